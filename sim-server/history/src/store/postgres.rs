//! Blocks in PostgreSQL: the same tables, all in one schema, a batch in one transaction. Blocks and hours are partitioned by months,
//! as SQLite has a file for each: what is too old is dropped, not deleted.
//!
//! One process owns the store: an advisory lock keeps a second one out, and because a lock is lost with its connection, every
//! write also checks that the owner's epoch is still its own.

use super::{
    Batch, MonthTotals, Replacement, Row, Stored, Trimmed, Wanted,
    schema::{self, Dialect},
    sql::on_postgres,
    upgrade::{self, FORMAT, Format},
};
use crate::{
    block::Block,
    days::MonthOfDays,
    error::{HistoryError, database_at},
    hours::{DayOfHours, day_of, month_of_day},
    loose::Loose,
    month::Month,
    series::SeriesId,
};
use parking_lot::RwLock;
use shared::time::Timestamp;
use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, PgPool, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    str::FromStr,
    time::Duration,
};
use tokio::sync::Mutex;

pub(crate) struct PostgresStore {
    pool: PgPool,
    /// Host and database, for messages; never the password.
    place: String,
    months: RwLock<BTreeMap<Month, MonthTotals>>,
    /// Months whose partitions are there.
    partitions: RwLock<BTreeSet<Month>>,
    /// Holds the advisory lock.
    lock: Mutex<Option<PgConnection>>,
    epoch: i64,
}

/// The server may take a moment to notice that the last holder's connection is gone.
const LOCK_ATTEMPTS: u32 = 15;
const BETWEEN_LOCK_ATTEMPTS: Duration = Duration::from_millis(200);

/// Locks and migrations of this store, told from others in the same database by the schema.
const LOCK: &str = "hashtextextended('park history ' || current_schema(), 0)";

impl PostgresStore {
    pub(crate) async fn open(url: &str) -> Result<PostgresStore, HistoryError> {
        let options =
            PgConnectOptions::from_str(url).map_err(database_at("reading the URL", "database_url"))?;
        let database = options.get_database().unwrap_or(options.get_username());
        let place = format!("postgres://{}:{}/{database}", options.get_host(), options.get_port());
        let options = options.application_name(&format!("park history, process {}", std::process::id()));
        let failed = |what| database_at(what, &place);
        let mut lock = PgConnection::connect_with(&options).await.map_err(failed("connecting"))?;
        take_lock(&mut lock, &place).await?;
        let pool = PgPoolOptions::new()
            .max_connections(6)
            .after_connect(|db, _| {
                Box::pin(async move {
                    // A commit must be durable when it returns, whatever the server's default says.
                    db.execute(
                        "SELECT set_config('synchronous_commit', 'on', false)
                         WHERE current_setting('synchronous_commit') = 'off'",
                    )
                    .await?;
                    Ok(())
                })
            })
            .connect_lazy_with(options);
        let mut tx = pool.begin().await.map_err(failed("connecting"))?;
        let migrate = |schema| sqlx::raw_sql(AssertSqlSafe(schema));
        let catalog = schema::catalog("DOUBLE PRECISION");
        tx.execute(migrate(catalog)).await.map_err(failed("migrating"))?;
        let found = on_postgres::meta(&mut tx, "format").await.map_err(failed("opening"))?;
        match Format::of(found, &place)? {
            Format::Ours => {}
            Format::New => {
                tx.execute(migrate(schema::blocks(&PARTITIONED))).await.map_err(failed("migrating"))?;
            }
            Format::Older(from) => {
                let whole = || schema::blocks(&WHOLE);
                if from <= 1 {
                    upgrade::postgres_from_1(&mut tx, whole()).await.map_err(failed("upgrading"))?;
                }
                if from <= 2 {
                    upgrade::postgres_from_2(&mut tx, whole()).await.map_err(failed("upgrading"))?;
                }
                partition(&mut tx).await.map_err(failed("upgrading"))?;
                tracing::info!(place, from, to = FORMAT, "upgraded telemetry");
            }
        }
        on_postgres::put_meta(&mut tx, "format", FORMAT).await.map_err(failed("migrating"))?;
        let epoch = on_postgres::meta(&mut tx, "epoch").await.map_err(failed("opening"))?.unwrap_or(0) + 1;
        on_postgres::put_meta(&mut tx, "epoch", epoch).await.map_err(failed("opening"))?;
        let months = on_postgres::months(&mut tx).await.map_err(failed("reading totals"))?;
        let partitions = partitions(&mut tx).await.map_err(failed("reading partitions"))?;
        tx.commit().await.map_err(failed("migrating"))?;
        let months = RwLock::new(months.into_iter().collect());
        let (partitions, lock) = (RwLock::new(partitions), Mutex::new(Some(lock)));
        Ok(PostgresStore { pool, place, months, partitions, lock, epoch })
    }

    fn at(&self, what: &'static str) -> impl FnOnce(sqlx::Error) -> HistoryError {
        database_at(what, &self.place)
    }

    async fn connection(&self) -> Result<PoolConnection<sqlx::Postgres>, HistoryError> {
        self.pool.acquire().await.map_err(self.at("connecting"))
    }

    /// Makes the partitions of months that have none. They are there for good once the transaction is committed.
    async fn make_partitions(
        &self,
        db: &mut PgConnection,
        months: &BTreeSet<Month>,
    ) -> Result<(), sqlx::Error> {
        let missing: Vec<Month> = months.difference(&self.partitions.read()).copied().collect();
        for month in missing {
            make_partitions(db, month).await?;
        }
        Ok(())
    }

    /// A transaction that writes, if this process is still the owner.
    async fn begin(&self) -> Result<Transaction<'static, sqlx::Postgres>, HistoryError> {
        let mut tx = self.pool.begin().await.map_err(self.at("beginning"))?;
        let epoch: i64 = sqlx::query_scalar("SELECT value FROM history_meta WHERE name = 'epoch' FOR SHARE")
            .fetch_one(&mut *tx)
            .await
            .map_err(self.at("checking the owner"))?;
        if epoch != self.epoch {
            let (folder, holder) = (self.place.clone().into(), format!("epoch {epoch}"));
            return Err(HistoryError::InUse { folder, holder });
        }
        Ok(tx)
    }

    pub(super) async fn load(&self) -> Result<Stored, HistoryError> {
        let mut db = self.connection().await?;
        load(&mut db).await.map_err(self.at("loading"))
    }

    pub(crate) async fn commit(&self, batch: &Batch) -> Result<(), HistoryError> {
        let mut months: BTreeMap<Month, Vec<&Block>> = BTreeMap::new();
        for block in &batch.blocks {
            months.entry(block.month()).or_default().push(block);
        }
        let failed = || self.at("storing blocks");
        let mut tx = self.begin().await?;
        on_postgres::insert_names(&mut tx, batch).await.map_err(failed())?;
        let hours = batch.hours.iter().map(|hours| month_of_day(hours.day));
        let all: BTreeSet<Month> = months.keys().copied().chain(hours).collect();
        self.make_partitions(&mut tx, &all).await.map_err(failed())?;
        let mut added = Vec::new();
        for (month, blocks) in months {
            if on_postgres::insert_blocks(&mut tx, month, &blocks).await.map_err(failed())? {
                added.extend(MonthTotals::of(blocks).map(|totals| (month, totals)));
            }
        }
        on_postgres::put_hours(&mut tx, &batch.hours).await.map_err(failed())?;
        on_postgres::put_states(&mut tx, batch).await.map_err(failed())?;
        tx.commit().await.map_err(failed())?;
        self.partitions.write().extend(all);
        let mut months = self.months.write();
        for (month, totals) in added {
            months.entry(month).and_modify(|t| *t = t.with(&totals)).or_insert(totals);
        }
        Ok(())
    }

    pub(super) fn months(&self) -> BTreeMap<Month, MonthTotals> {
        self.months.read().clone()
    }

    pub(super) async fn rows(
        &self,
        month: Month,
        wanted: Wanted<'_>,
    ) -> Result<Vec<(SeriesId, Row)>, HistoryError> {
        // A block lies in one month, so the month's bounds keep those of its neighbours out.
        let wanted =
            Wanted { from: wanted.from.max(month.start()), to: wanted.to.min(month.end()), ..wanted };
        let mut db = self.connection().await?;
        on_postgres::rows(&mut db, month, wanted).await.map_err(self.at("reading blocks"))
    }

    pub(super) async fn hours(
        &self,
        month: Month,
        series: Option<&[SeriesId]>,
        (from, to): (i64, i64),
    ) -> Result<Vec<DayOfHours>, HistoryError> {
        let days = (from.max(day_of(month.start())), to.min(day_of(month.end()) - 1));
        let mut db = self.connection().await?;
        on_postgres::hours(&mut db, series, days).await.map_err(self.at("reading hours"))
    }

    pub(super) async fn days(
        &self,
        month: Month,
        series: &[SeriesId],
    ) -> Result<Vec<MonthOfDays>, HistoryError> {
        let mut db = self.connection().await?;
        on_postgres::days(&mut db, month, series).await.map_err(self.at("reading days"))
    }

    pub(super) async fn put_days(&self, month: Month, days: &[MonthOfDays]) -> Result<(), HistoryError> {
        let mut tx = self.begin().await?;
        on_postgres::put_days(&mut tx, month, days).await.map_err(self.at("storing days"))?;
        tx.commit().await.map_err(self.at("storing days"))
    }

    pub(super) async fn days_made_by(&self, month: Month) -> Result<Option<String>, HistoryError> {
        let mut db = self.connection().await?;
        on_postgres::days_made_by(&mut db, month).await.map_err(self.at("reading days"))
    }

    pub(super) async fn note_days_made_by(&self, month: Month, zone: &str) -> Result<(), HistoryError> {
        let mut tx = self.begin().await?;
        on_postgres::note_days_made_by(&mut tx, month, zone).await.map_err(self.at("storing days"))?;
        tx.commit().await.map_err(self.at("storing days"))
    }

    pub(super) async fn bodies(
        &self,
        month: Month,
        ids: &[i64],
    ) -> Result<Vec<(i64, Vec<u8>)>, HistoryError> {
        let mut db = self.connection().await?;
        on_postgres::bodies(&mut db, month, ids).await.map_err(self.at("reading blocks"))
    }

    pub(super) async fn page(
        &self,
        month: Month,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Block>, HistoryError> {
        let mut db = self.connection().await?;
        on_postgres::page(&mut db, month.start(), month.end(), after, limit)
            .await
            .map_err(self.at("reading blocks"))
    }

    pub(super) async fn counted(&self, month: Month) -> Result<(i64, i64, i64), HistoryError> {
        let mut db = self.connection().await?;
        on_postgres::counted(&mut db, month.start(), month.end()).await.map_err(self.at("counting blocks"))
    }

    pub(super) async fn straddling(
        &self,
        month: Month,
        cutoff: Timestamp,
    ) -> Result<Vec<Block>, HistoryError> {
        let mut db = self.connection().await?;
        on_postgres::straddling(&mut db, month, cutoff).await.map_err(self.at("reading blocks"))
    }

    pub(super) async fn trim(
        &self,
        month: Month,
        cutoff: Timestamp,
        trimmed: &Trimmed,
    ) -> Result<i64, HistoryError> {
        let failed = || self.at("deleting blocks");
        let mut tx = self.begin().await?;
        let gone = on_postgres::trim(&mut tx, month, cutoff, trimmed).await.map_err(failed())?;
        let totals = on_postgres::months(&mut tx).await.map_err(failed())?;
        tx.commit().await.map_err(failed())?;
        *self.months.write() = totals.into_iter().collect();
        Ok(gone)
    }

    pub(super) async fn expire(
        &self,
        month: Month,
        series: &[SeriesId],
        cutoff: Timestamp,
    ) -> Result<i64, HistoryError> {
        let failed = || self.at("deleting blocks");
        let mut tx = self.begin().await?;
        let gone = on_postgres::expire(&mut tx, month, series, cutoff).await.map_err(failed())?;
        let totals = on_postgres::months(&mut tx).await.map_err(failed())?;
        tx.commit().await.map_err(failed())?;
        *self.months.write() = totals.into_iter().collect();
        Ok(gone)
    }

    pub(super) async fn replace(
        &self,
        month: Month,
        replacement: &Replacement,
        _last_id: i64,
    ) -> Result<(), HistoryError> {
        let failed = || self.at("merging blocks");
        let mut tx = self.begin().await?;
        on_postgres::replace(&mut tx, month, replacement).await.map_err(failed())?;
        let totals = on_postgres::months(&mut tx).await.map_err(failed())?;
        tx.commit().await.map_err(failed())?;
        *self.months.write() = totals.into_iter().collect();
        Ok(())
    }

    pub(super) async fn loose(&self) -> Result<Vec<(SeriesId, Loose)>, HistoryError> {
        let mut db = self.connection().await?;
        on_postgres::loose(&mut db).await.map_err(self.at("reading blocks"))
    }

    pub(super) async fn drop_month(&self, month: Month) -> Result<(), HistoryError> {
        let failed = || self.at("deleting blocks");
        let mut tx = self.begin().await?;
        // Whoever reads must have ended, and whoever comes meanwhile waits behind this: a long backup is not waited for.
        let patience = "SET LOCAL lock_timeout = '10s'";
        tx.execute(patience).await.map_err(failed())?;
        for table in &PARTITIONED_TABLES {
            let drop = format!("DROP TABLE IF EXISTS {}", table.partition(month));
            tx.execute(AssertSqlSafe(drop)).await.map_err(failed())?;
        }
        for forget in
            ["DELETE FROM history_months WHERE month = $1", "DELETE FROM history_days_made WHERE month = $1"]
        {
            sqlx::query(forget).bind(i64::from(month.0)).execute(&mut *tx).await.map_err(failed())?;
        }
        tx.commit().await.map_err(failed())?;
        self.partitions.write().remove(&month);
        self.months.write().remove(&month);
        Ok(())
    }

    pub(super) async fn forget_newest_before(&self, cutoff: Timestamp) -> Result<(), HistoryError> {
        let mut db = self.connection().await?;
        on_postgres::forget_newest_before(&mut db, cutoff).await.map_err(self.at("deleting"))
    }

    /// 0 when the server does not say.
    pub(super) async fn bytes(&self) -> u64 {
        let sizes = "SELECT CAST(SUM(pg_total_relation_size(relid)) AS BIGINT) FROM (
                         SELECT relid FROM pg_partition_tree('history_blocks')
                         UNION ALL SELECT relid FROM pg_partition_tree('history_hours')
                         UNION ALL SELECT relid FROM pg_partition_tree('history_days')
                         UNION ALL SELECT CAST('history_series' AS regclass)
                         UNION ALL SELECT CAST('history_state' AS regclass)) AS tables";
        let bytes: Result<i64, _> = sqlx::query_scalar(sizes).fetch_one(&self.pool).await;
        bytes.ok().and_then(|b| u64::try_from(b).ok()).unwrap_or(0)
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
        if let Some(lock) = self.lock.lock().await.take() {
            // The lock goes with the connection, however that ends.
            let _ = lock.close().await;
        }
    }

    /// What is committed at this moment, to be read at leisure.
    pub(crate) async fn snapshot(&self) -> Result<Snapshot<'_>, HistoryError> {
        let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let mut tx = self.pool.begin_with(begin).await.map_err(self.at("beginning"))?;
        // The first statement is what fixes the snapshot.
        let stored = load(&mut tx).await.map_err(self.at("loading"))?;
        Ok(Snapshot { store: self, tx, stored })
    }
}

/// Tables before they were partitioned.
const WHOLE: Dialect = Dialect {
    id: "BIGINT",
    real: "DOUBLE PRECISION",
    blob: "BYTEA",
    block: "id",
    blocks_are: "",
    hours_are: "",
    days_are: "",
};
const PARTITIONED: Dialect = Dialect {
    block: "id, t0",
    blocks_are: " PARTITION BY RANGE (t0)",
    hours_are: " PARTITION BY RANGE (day)",
    days_are: " PARTITION BY RANGE (month)",
    ..WHOLE
};

/// A table in parts of a month.
struct Partitioned {
    name: &'static str,
    /// Where a month begins in it.
    begins: fn(Month) -> i64,
}

const PARTITIONED_TABLES: [Partitioned; 3] = [
    Partitioned { name: "history_blocks", begins: |month| month.start().0 },
    Partitioned { name: "history_hours", begins: |month| day_of(month.start()) },
    Partitioned { name: "history_days", begins: |month| i64::from(month.0) },
];

impl Partitioned {
    /// `"history_blocks 2026-06"`
    fn partition(&self, month: Month) -> String {
        format!("\"{} {month}\"", self.name)
    }
}

/// Makes the partitions of a month, unless they are there. Attached, they wait for nobody who reads the others, such as a backup; made
/// as partitions they would.
async fn make_partitions(db: &mut PgConnection, month: Month) -> Result<(), sqlx::Error> {
    for table in &PARTITIONED_TABLES {
        let (from, to) = ((table.begins)(month), (table.begins)(Month(month.0 + 1)));
        let (name, partition) = (table.name, table.partition(month));
        let is_there: bool = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL")
            .bind(&partition)
            .fetch_one(&mut *db)
            .await?;
        if is_there {
            continue;
        }
        let make = format!(
            "CREATE TABLE {partition} (LIKE {name} INCLUDING ALL);
             ALTER TABLE {name} ATTACH PARTITION {partition} FOR VALUES FROM ({from}) TO ({to})"
        );
        db.execute(sqlx::raw_sql(AssertSqlSafe(make))).await?;
    }
    Ok(())
}

/// Months whose partitions are there.
async fn partitions(db: &mut PgConnection) -> Result<BTreeSet<Month>, sqlx::Error> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid
         WHERE inhparent = CAST('history_blocks' AS regclass)",
    )
    .fetch_all(db)
    .await?;
    Ok(tables.iter().filter_map(|name| name.strip_prefix("history_blocks ")?.parse().ok()).collect())
}

/// Divides tables that are whole into months. To be called in a transaction.
async fn partition(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut moved = Vec::new();
    for Partitioned { name, .. } in &PARTITIONED_TABLES {
        let whole: Option<bool> =
            sqlx::query_scalar("SELECT relkind = 'r' FROM pg_class WHERE oid = to_regclass($1)")
                .bind(name)
                .fetch_optional(&mut *db)
                .await?;
        if whole == Some(true) {
            db.execute(AssertSqlSafe(format!("ALTER TABLE {name} RENAME TO {name}_whole"))).await?;
            moved.push(name);
        }
    }
    if moved.contains(&&"history_blocks") {
        db.execute(sqlx::raw_sql("DROP INDEX history_blocks_by_time; DROP INDEX history_blocks_loose;"))
            .await?;
    }
    db.execute(sqlx::raw_sql(AssertSqlSafe(schema::blocks(&PARTITIONED)))).await?;
    // A month may have hours of a day and no block, where its blocks have gone.
    let mut months: BTreeSet<Month> =
        on_postgres::months(db).await?.into_iter().map(|(month, _)| month).collect();
    months.extend(partitions(db).await?);
    if moved.contains(&&"history_hours") {
        let days =
            sqlx::query_scalar("SELECT DISTINCT day FROM history_hours_whole").fetch_all(&mut *db).await?;
        months.extend(days.into_iter().map(month_of_day));
    }
    for month in months {
        make_partitions(db, month).await?;
    }
    for name in moved {
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT CAST(attname AS TEXT) FROM pg_attribute
             WHERE attrelid = CAST(CAST($1 AS TEXT) AS regclass) AND attnum > 0 AND NOT attisdropped",
        )
        .bind(name)
        .fetch_all(&mut *db)
        .await?;
        let columns = columns.join(", ");
        let fill = format!(
            "INSERT INTO {name} ({columns}) SELECT {columns} FROM {name}_whole; DROP TABLE {name}_whole;"
        );
        db.execute(sqlx::raw_sql(AssertSqlSafe(fill))).await?;
    }
    Ok(())
}

async fn take_lock(db: &mut PgConnection, place: &str) -> Result<(), HistoryError> {
    let failed = || database_at("locking", place);
    for attempt in 1..=LOCK_ATTEMPTS {
        let taken: bool = sqlx::query_scalar(AssertSqlSafe(format!("SELECT pg_try_advisory_lock({LOCK})")))
            .fetch_one(&mut *db)
            .await
            .map_err(failed())?;
        if taken {
            return Ok(());
        }
        if attempt < LOCK_ATTEMPTS {
            tokio::time::sleep(BETWEEN_LOCK_ATTEMPTS).await;
        }
    }
    let holder: Option<String> = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT application_name || ' at ' || COALESCE(HOST(client_addr), 'a local socket')
         FROM pg_locks JOIN pg_stat_activity USING (pid)
         WHERE locktype = 'advisory' AND granted AND objsubid = 1
           AND (classid::bigint << 32) | objid::bigint = {LOCK} LIMIT 1"
    )))
    .fetch_optional(db)
    .await
    .map_err(failed())?;
    let holder = holder.unwrap_or_else(|| "another process".to_owned());
    Err(HistoryError::InUse { folder: place.into(), holder })
}

async fn load(db: &mut PgConnection) -> Result<Stored, sqlx::Error> {
    Ok(Stored {
        names: on_postgres::names(db).await?,
        states: on_postgres::states(db).await?,
        loose: on_postgres::loose(db).await?,
        unaccounted: Vec::new(),
        last_block_id: on_postgres::last_block_id(db)
            .await?
            .max(on_postgres::meta(db, "accounted").await?.unwrap_or(0)),
    })
}

/// A consistent view of the whole store.
pub(crate) struct Snapshot<'a> {
    store: &'a PostgresStore,
    tx: Transaction<'static, sqlx::Postgres>,
    pub stored: Stored,
}

impl Snapshot<'_> {
    /// Blocks in the order of sealing, after the given one.
    pub(crate) async fn page(&mut self, after: i64, limit: i64) -> Result<Vec<Block>, HistoryError> {
        on_postgres::page(&mut self.tx, Timestamp(i64::MIN), Timestamp(i64::MAX), after, limit)
            .await
            .map_err(self.store.at("reading blocks"))
    }

    /// The hours of one day (UTC) of all series.
    pub(crate) async fn hours(&mut self, day: i64) -> Result<Vec<DayOfHours>, HistoryError> {
        let days = on_postgres::hours(&mut self.tx, None, (day, day)).await;
        days.map_err(self.store.at("reading hours"))
    }
}
