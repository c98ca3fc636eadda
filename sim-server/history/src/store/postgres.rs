//! Blocks in PostgreSQL: the same tables, all in one schema, a batch in one transaction.
//!
//! One process owns the store: an advisory lock keeps a second one out, and because a lock is lost with its connection, every
//! write also checks that the owner's epoch is still its own.

use super::{
    Batch, MonthTotals, Replacement, Row, Stored, Trimmed, Wanted,
    sql::{self, on_postgres},
    upgrade::{self, FORMAT, Format},
};
use crate::{
    block::Block,
    error::{HistoryError, database_at},
    hours::{DayOfHours, day_of},
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
use std::{collections::BTreeMap, str::FromStr, time::Duration};
use tokio::sync::Mutex;

pub(crate) struct PostgresStore {
    pool: PgPool,
    /// Host and database, for messages; never the password.
    place: String,
    months: RwLock<BTreeMap<Month, MonthTotals>>,
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
        let catalog = sql::catalog_schema("DOUBLE PRECISION");
        tx.execute(migrate(catalog)).await.map_err(failed("migrating"))?;
        let blocks = sql::blocks_schema("BIGINT", "DOUBLE PRECISION", "BYTEA", "");
        let found = on_postgres::meta(&mut tx, "format").await.map_err(failed("opening"))?;
        match Format::of(found, &place)? {
            Format::Ours => {}
            Format::New => {
                tx.execute(migrate(blocks)).await.map_err(failed("migrating"))?;
            }
            Format::Older(from) => {
                if from == 1 {
                    let blocks = blocks.clone();
                    upgrade::postgres_from_1(&mut tx, blocks).await.map_err(failed("upgrading"))?;
                }
                upgrade::postgres_from_2(&mut tx, blocks).await.map_err(failed("upgrading"))?;
                tracing::info!(place, from, to = FORMAT, "upgraded telemetry");
            }
        }
        on_postgres::put_meta(&mut tx, "format", FORMAT).await.map_err(failed("migrating"))?;
        let epoch = on_postgres::meta(&mut tx, "epoch").await.map_err(failed("opening"))?.unwrap_or(0) + 1;
        on_postgres::put_meta(&mut tx, "epoch", epoch).await.map_err(failed("opening"))?;
        let months = on_postgres::months(&mut tx).await.map_err(failed("reading totals"))?;
        tx.commit().await.map_err(failed("migrating"))?;
        let months = RwLock::new(months.into_iter().collect());
        Ok(PostgresStore { pool, place, months, lock: Mutex::new(Some(lock)), epoch })
    }

    fn at(&self, what: &'static str) -> impl FnOnce(sqlx::Error) -> HistoryError {
        database_at(what, &self.place)
    }

    async fn connection(&self) -> Result<PoolConnection<sqlx::Postgres>, HistoryError> {
        self.pool.acquire().await.map_err(self.at("connecting"))
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
        let mut added = Vec::new();
        for (month, blocks) in months {
            if on_postgres::insert_blocks(&mut tx, month, &blocks).await.map_err(failed())? {
                added.extend(MonthTotals::of(blocks).map(|totals| (month, totals)));
            }
        }
        on_postgres::put_hours(&mut tx, &batch.hours).await.map_err(failed())?;
        on_postgres::put_states(&mut tx, batch).await.map_err(failed())?;
        tx.commit().await.map_err(failed())?;
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
        on_postgres::rows(&mut db, wanted).await.map_err(self.at("reading blocks"))
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

    pub(super) async fn bodies(
        &self,
        _month: Month,
        ids: &[i64],
    ) -> Result<Vec<(i64, Vec<u8>)>, HistoryError> {
        let mut db = self.connection().await?;
        on_postgres::bodies(&mut db, ids).await.map_err(self.at("reading blocks"))
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
        sqlx::query("DELETE FROM history_blocks WHERE t0 >= $1 AND t0 < $2")
            .bind(month.start().0)
            .bind(month.end().0)
            .execute(&mut *tx)
            .await
            .map_err(failed())?;
        on_postgres::drop_hours(&mut tx, day_of(month.start()), day_of(month.end()))
            .await
            .map_err(failed())?;
        sqlx::query("DELETE FROM history_months WHERE month = $1")
            .bind(i64::from(month.0))
            .execute(&mut *tx)
            .await
            .map_err(failed())?;
        tx.commit().await.map_err(failed())?;
        self.months.write().remove(&month);
        Ok(())
    }

    pub(super) async fn forget_newest_before(&self, cutoff: Timestamp) -> Result<(), HistoryError> {
        let mut db = self.connection().await?;
        on_postgres::forget_newest_before(&mut db, cutoff).await.map_err(self.at("deleting"))
    }

    /// 0 when the server does not say.
    pub(super) async fn bytes(&self) -> u64 {
        let sizes =
            "SELECT pg_total_relation_size('history_blocks') + pg_total_relation_size('history_series')
                     + pg_total_relation_size('history_state') + pg_total_relation_size('history_hours')";
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
