//! The two databases behind one interface: which pools there are, and macros that run one body on either.
//!
//! A body is written once and compiled for each database's own types, so there is no dynamic driver in between.

use crate::{RecordsError, error};
use sqlx::{
    PgPool, SqlitePool,
    migrate::Migrator,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{path::Path, str::FromStr, time::Duration};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How long a caller waits for a connection before being told that the database is too busy.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
const SQLITE_READERS: u32 = 4;
const POSTGRES_CONNECTIONS: u32 = 10;

pub(crate) enum Engine {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// SQLite has one writer at a time whatever one does: a single connection for it queues writers here, in order,
/// instead of in the busy handler; readers see the last commit and wait for nobody.
pub(crate) struct Sqlite {
    pub(crate) reader: SqlitePool,
    pub(crate) writer: SqlitePool,
}

pub(crate) struct Postgres {
    pub(crate) reader: PgPool,
    pub(crate) writer: PgPool,
}

/// Runs the body when it is its turn; an error in it is returned from the function.
macro_rules! in_turn {
    ($records:expr, $body:expr) => {
        $records.inner.work.outside(async { Ok::<_, $crate::RecordsError>($body) }).await?
    };
}

/// Runs the body with `$pool` bound to the open database's pool for reading.
macro_rules! on_reader {
    ($records:expr, $pool:ident => $body:expr) => {
        in_turn!($records, with_pool!(reader of $records, $pool => $body))
    };
}

/// Runs the body with `$pool` bound to the open database's pool for writing.
macro_rules! on_writer {
    ($records:expr, $pool:ident => $body:expr) => {
        in_turn!($records, with_pool!(writer of $records, $pool => $body))
    };
}

/// The same in no turn: for what waits for more than the database.
macro_rules! with_pool {
    ($which:ident of $records:expr, $pool:ident => $body:expr) => {
        match &$records.inner.engine {
            $crate::engine::Engine::Sqlite(sqlite) => {
                let $pool = &sqlite.$which;
                $body
            }
            $crate::engine::Engine::Postgres(postgres) => {
                let $pool = &postgres.$which;
                $body
            }
        }
    };
}

impl Engine {
    pub(crate) async fn open(url: &str) -> Result<Engine, RecordsError> {
        let refused = |e: sqlx::Error| RecordsError::Address {
            address: shared::url::without_password(url),
            message: e.to_string(),
        };
        if url.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(url).map_err(refused)?;
            Ok(Engine::Sqlite(Sqlite::open(options).await?))
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            let options = PgConnectOptions::from_str(url).map_err(refused)?.application_name("park-records");
            let pool = PgPoolOptions::new()
                .max_connections(POSTGRES_CONNECTIONS)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                .connect_with(options)
                .await
                .map_err(refused)?;
            MIGRATIONS.run(&pool).await?;
            Ok(Engine::Postgres(Postgres { reader: pool.clone(), writer: pool }))
        } else {
            Err(RecordsError::Address {
                address: shared::url::without_password(url),
                message: "expected sqlite:///path/records.db or postgres://…".into(),
            })
        }
    }

    pub(crate) async fn close(&self) {
        match self {
            Engine::Sqlite(sqlite) => {
                sqlite.reader.close().await;
                sqlite.writer.close().await;
            }
            Engine::Postgres(postgres) => postgres.writer.close().await,
        }
    }
}

impl Sqlite {
    async fn open(options: SqliteConnectOptions) -> Result<Sqlite, RecordsError> {
        create_private(options.get_filename())?;
        let writing = options
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(ACQUIRE_TIMEOUT);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            // A file does not go away, and asking it whether it is there costs as much as what is asked of it then.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(writing)
            .await
            .map_err(error::database("opening the database"))?;
        MIGRATIONS.run(&writer).await?;
        let reader = SqlitePoolOptions::new()
            .max_connections(SQLITE_READERS)
            .test_before_acquire(false)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_with(options.read_only(true).busy_timeout(ACQUIRE_TIMEOUT))
            .await
            .map_err(error::database("opening the database for reading"))?;
        Ok(Sqlite { reader, writer })
    }
}

/// Creates the file if it is missing and lets only its owner read it; SQLite gives its side files the same mode.
pub(crate) fn create_private(path: &Path) -> Result<(), RecordsError> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
        let file = options.mode(0o600).open(path).map_err(error::file("creating", path))?;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))
            .map_err(error::file("restricting access to", path))?;
    }
    #[cfg(not(unix))]
    options.open(path).map_err(error::file("creating", path))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sqlite_commits_reach_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("records.db").display());
        let Engine::Sqlite(sqlite) = Engine::open(&url).await.unwrap() else { panic!("another engine") };
        let journal: String =
            sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&sqlite.writer).await.unwrap();
        let synchronous: i64 =
            sqlx::query_scalar("PRAGMA synchronous").fetch_one(&sqlite.writer).await.unwrap();
        let keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(&sqlite.writer).await.unwrap();
        assert_eq!((journal.as_str(), synchronous, keys), ("wal", 2, 1), "2 is full");
        assert!(sqlx::query("DELETE FROM users").execute(&sqlite.reader).await.is_err(), "readers only read");
    }
}
