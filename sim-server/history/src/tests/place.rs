//! Where a test's store lies.

use crate::{History, HistoryOptions, Point, SeriesKey, month::Month};
use jiff::tz::TimeZone;
use shared::{
    telemetry::{Quality, Reading},
    time::Timestamp,
};
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection, sqlite::SqliteConnectOptions,
};
use std::{
    future::Future,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tempfile::TempDir;

pub(super) struct Place {
    pub folder: TempDir,
    schema: Option<Schema>,
}

struct Schema {
    server: String,
    name: String,
}

impl Place {
    pub(super) fn sqlite() -> Place {
        Place { folder: tempfile::tempdir().expect("a temporary folder"), schema: None }
    }

    /// A fresh schema on the server named by `PARK_TEST_POSTGRES`. Without one the test says that it is skipped, except in
    /// continuous integration, where it fails.
    pub(super) async fn postgres() -> Option<Place> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var("PARK_TEST_POSTGRES") else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "PARK_TEST_POSTGRES is not set");
            eprintln!("skipped on PostgreSQL: PARK_TEST_POSTGRES (a postgres:// URL) is not set");
            return None;
        };
        let name = format!("history_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let schema = Schema { server, name };
        schema.run("DROP SCHEMA IF EXISTS {} CASCADE").await;
        schema.run("CREATE SCHEMA {}").await;
        Some(Place { folder: tempfile::tempdir().expect("a temporary folder"), schema: Some(schema) })
    }

    /// A second place of the same kind.
    pub(super) async fn another(&self) -> Place {
        match self.schema {
            None => Place::sqlite(),
            Some(_) => Place::postgres().await.expect("a server is there"),
        }
    }

    pub(super) fn url(&self) -> Option<String> {
        let schema = self.schema.as_ref()?;
        let sign = if schema.server.contains('?') { '&' } else { '?' };
        Some(format!("{}{sign}options=-c%20search_path%3D{}", schema.server, schema.name))
    }

    /// Options under which little data already seals, rotates and drops.
    pub(super) fn options(&self) -> HistoryOptions {
        HistoryOptions {
            folder: self.folder.path().join("history"),
            database_url: self.url(),
            seal_points: 16,
            merge_points: 40,
            segment_bytes: 2_000,
            wal_budget_bytes: 16_000,
            seal_interval: Duration::from_millis(20),
            day_zone: Some(TimeZone::get("Asia/Shanghai").expect("the zone is known")),
            read_hours: 3,
            ..HistoryOptions::default()
        }
    }

    pub(super) async fn open(&self) -> History {
        History::open(self.options()).await.expect("the store opens")
    }

    /// Changes blocks of a month behind the store's back.
    pub(super) async fn execute(&self, statements: &str, in_month: i64) {
        self.execute_in(&format!("history-{}.db", Month::of(Timestamp(in_month))), statements).await;
    }

    /// Changes names, states and marks behind the store's back.
    pub(super) async fn execute_in_catalog(&self, statements: &str) {
        self.execute_in("history.db", statements).await;
    }

    /// Rows of a table: of a month where each has its own, of all else.
    pub(super) async fn count(&self, table: &str, in_month: i64) -> i64 {
        let count = AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        match self.url() {
            Some(url) => {
                let mut db = PgConnection::connect(&url).await.unwrap();
                sqlx::query_scalar(count).fetch_one(&mut db).await.unwrap()
            }
            None => {
                let file = format!("history-{}.db", Month::of(Timestamp(in_month)));
                let options = SqliteConnectOptions::new().filename(self.options().folder.join(file));
                let mut db = SqliteConnection::connect_with(&options).await.unwrap();
                sqlx::query_scalar(count).fetch_one(&mut db).await.unwrap()
            }
        }
    }

    async fn execute_in(&self, file: &str, statements: &str) {
        let statements = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
        match self.url() {
            Some(url) => {
                let mut db = PgConnection::connect(&url).await.unwrap();
                db.execute(statements).await.unwrap();
            }
            None => {
                let options = SqliteConnectOptions::new().filename(self.options().folder.join(file));
                let mut db = SqliteConnection::connect_with(&options).await.unwrap();
                db.execute(statements).await.unwrap();
            }
        }
    }

    /// The months that have a file or partitions of their own.
    pub(super) async fn months(&self) -> Vec<String> {
        let mut months: Vec<String> = match self.url() {
            Some(url) => {
                let mut db = PgConnection::connect(&url).await.unwrap();
                let names = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()";
                let tables: Vec<String> = sqlx::query_scalar(names).fetch_all(&mut db).await.unwrap();
                let of = |parent: &str| {
                    let mut months: Vec<String> =
                        tables.iter().filter_map(|t| Some(t.strip_prefix(parent)?.to_owned())).collect();
                    months.sort();
                    months
                };
                assert_eq!(of("history_blocks "), of("history_hours "));
                of("history_blocks ")
            }
            None => {
                let files = std::fs::read_dir(self.options().folder).unwrap();
                let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
                names
                    .filter_map(|name| Some(name.strip_prefix("history-")?.strip_suffix(".db")?.to_owned()))
                    .collect()
            }
        };
        months.sort();
        months
    }

    pub(super) async fn remove(self) {
        if let Some(schema) = self.schema {
            schema.run("DROP SCHEMA {} CASCADE").await;
        }
    }
}

impl Schema {
    async fn run(&self, statement: &str) {
        let mut db = PgConnection::connect(&self.server).await.expect("PARK_TEST_POSTGRES answers");
        db.execute(AssertSqlSafe(statement.replace("{}", &self.name))).await.expect("schemas can be made");
    }
}

/// Runs a test on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&crate::tests::place::Place::sqlite()).await;
            })*
        }
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let Some(place) = crate::tests::place::Place::postgres().await else { return };
                super::$name(&place).await;
                place.remove().await;
            })*
        }
    };
}
pub(super) use on_both;

pub(super) const ALWAYS: (Timestamp, Timestamp) = (Timestamp(0), Timestamp(i64::MAX));

pub(super) fn key(device: &str, measurement: &str) -> SeriesKey {
    SeriesKey { device: device.parse().unwrap(), measurement: measurement.parse().unwrap() }
}

pub(super) fn reading(t: i64, value: f64) -> Reading {
    Reading { value, timestamp: Timestamp(t), quality: Quality::Good }
}

pub(super) fn points(series: &SeriesKey, readings: impl IntoIterator<Item = Reading>) -> Vec<Point> {
    readings.into_iter().map(|reading| Point { series: series.clone(), reading }).collect()
}

pub(super) async fn all(history: &History, series: &SeriesKey) -> Vec<Reading> {
    history.readings(series, ALWAYS.0, ALWAYS.1, usize::MAX).await.expect("readings")
}

/// Waits until something is so.
pub(super) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "still not so after a minute: {what}");
}

/// The folder as a killed process would leave it.
pub(super) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            match std::fs::copy(entry.path(), target) {
                // A log segment that was dropped meanwhile, or a file of SQLite's that lives as long as a connection.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                done => drop(done.unwrap()),
            }
        }
    }
}
