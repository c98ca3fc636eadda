//! Blocks in SQLite: `history.db` for names and states, `history-YYYY-MM.db` for each month's blocks.
//!
//! Commits are synced in full (`synchronous = FULL`): the log segment that holds the same readings goes away right after.

use super::{
    Batch, MonthTotals, Replacement, Row, Stored, Trimmed, Wanted,
    schema::{self, Dialect},
    sql::on_sqlite,
    upgrade::{self, FORMAT, Format},
};
use crate::{
    block::Block,
    days::MonthOfDays,
    error::{HistoryError, database_at, io_at},
    hours::{DayOfHours, month_of_day},
    loose::Loose,
    month::Month,
    series::SeriesId,
    wal::{create_folder, sync_folder},
};
use parking_lot::RwLock;
use shared::time::Timestamp;
use sqlx::{
    AssertSqlSafe, Executor, SqliteConnection, SqlitePool,
    pool::PoolConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use work::Work;

const CATALOG: &str = "history.db";
/// Rows read and not taken yet.
const ROWS_READ_AHEAD: usize = 1_024;

/// The file of a month's blocks.
fn month_file(month: Month) -> String {
    format!("history-{month}.db")
}

fn month_of_file(name: &str) -> Option<Month> {
    name.strip_prefix("history-")?.strip_suffix(".db")?.parse().ok()
}

/// One database file.
struct File {
    name: String,
    path: PathBuf,
    pool: SqlitePool,
}

impl File {
    fn open(folder: &Path, name: String) -> File {
        let path = folder.join(&name);
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            // Rows of a few kilobytes waste a quarter of small pages.
            .page_size(16_384)
            // A great commit leaves a great journal; it need not stay.
            .pragma("journal_size_limit", "8388608")
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            // Each time its buffer is full the thread that reads rows sleeps until somebody has taken some.
            .row_buffer_size(ROWS_READ_AHEAD);
        // One writer at a time is all there is; the others read.
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            // A file is there, whatever is asked of it first: asking costs as much as reading a block.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(options);
        File { name, path, pool }
    }

    async fn connection(&self) -> Result<PoolConnection<sqlx::Sqlite>, HistoryError> {
        self.pool.acquire().await.map_err(self.at("connecting"))
    }

    fn at(&self, what: &'static str) -> impl FnOnce(sqlx::Error) -> HistoryError {
        database_at(what, self.path.display())
    }

    /// A write transaction, so that readers see all of it or nothing.
    async fn begin(&self) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>, HistoryError> {
        self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(self.at("beginning"))
    }

    /// Gives back the space of what was deleted, where that is a quarter of the file.
    async fn shrink(&self) -> Result<(), HistoryError> {
        let mut db = self.connection().await?;
        let pages = async |db: &mut SqliteConnection, what: &'static str| -> Result<i64, HistoryError> {
            sqlx::query_scalar(what).fetch_one(db).await.map_err(self.at("measuring"))
        };
        let free = pages(&mut db, "PRAGMA freelist_count").await?;
        if free * 4 >= pages(&mut db, "PRAGMA page_count").await? {
            let shrink = "VACUUM; PRAGMA wal_checkpoint(TRUNCATE);";
            db.execute(sqlx::raw_sql(shrink)).await.map_err(self.at("shrinking"))?;
        }
        Ok(())
    }

    /// Takes what is in the journal into the file, and gives back the journal's space.
    async fn cut_journal(&self) -> Result<(), HistoryError> {
        let mut db = self.connection().await?;
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").await.map_err(self.at("cutting the journal"))?;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        ["", "-wal"]
            .iter()
            .filter_map(|suffix| fs::metadata(format!("{}{suffix}", self.path.display())).ok())
            .map(|m| m.len())
            .sum()
    }
}

struct MonthFile {
    file: File,
    totals: RwLock<MonthTotals>,
    /// Grows with every change, so that a copy can tell whether it is still true.
    version: AtomicU64,
}

pub(crate) struct SqliteStore {
    /// Says when the databases' threads are waited for.
    pub(super) work: Work,
    folder: PathBuf,
    catalog: File,
    months: RwLock<BTreeMap<Month, Arc<MonthFile>>>,
}

impl SqliteStore {
    pub(crate) async fn open(folder: &Path, work: Work) -> Result<SqliteStore, HistoryError> {
        let doing = work.clone();
        doing.outside(Self::open_files(folder, work)).await
    }

    async fn open_files(folder: &Path, work: Work) -> Result<SqliteStore, HistoryError> {
        create_folder(folder).map_err(io_at("creating", folder))?;
        let catalog = File::open(folder, CATALOG.to_owned());
        let mut db = catalog.connection().await?;
        migrate(&mut db, schema::catalog("REAL")).await.map_err(catalog.at("migrating"))?;
        let found = on_sqlite::meta(&mut db, "format").await.map_err(catalog.at("opening"))?;
        let format = Format::of(found, catalog.path.display())?;
        let store = SqliteStore { work, folder: folder.to_owned(), catalog, months: RwLock::default() };
        for entry in fs::read_dir(folder).map_err(io_at("listing", folder))? {
            let name = entry.map_err(io_at("listing", folder))?.file_name();
            if let Some(month) = name.to_str().and_then(month_of_file) {
                if let Format::Older(from) = format {
                    upgrade_month(&File::open(folder, month_file(month)), from).await?;
                }
                store.open_month(month).await?;
            }
        }
        if format != Format::Ours {
            on_sqlite::put_meta(&mut db, "format", FORMAT).await.map_err(store.catalog.at("migrating"))?;
        }
        drop(db);
        sync_folder(folder).map_err(io_at("syncing", folder))?;
        Ok(store)
    }

    async fn open_month(&self, month: Month) -> Result<Arc<MonthFile>, HistoryError> {
        let file = File::open(&self.folder, month_file(month));
        let mut db = file.connection().await?;
        migrate(&mut db, blocks_schema()).await.map_err(file.at("migrating"))?;
        let totals = on_sqlite::months(&mut db).await.map_err(file.at("reading totals"))?;
        let totals = totals.into_iter().find(|(m, _)| *m == month).map(|(_, t)| t).unwrap_or_default();
        drop(db);
        let file = Arc::new(MonthFile { file, totals: RwLock::new(totals), version: AtomicU64::new(0) });
        self.months.write().insert(month, file.clone());
        Ok(file)
    }

    fn month(&self, month: Month) -> Option<Arc<MonthFile>> {
        self.months.read().get(&month).cloned()
    }

    /// The month's file, durably created if there was none.
    async fn month_or_new(&self, month: Month) -> Result<Arc<MonthFile>, HistoryError> {
        if let Some(file) = self.month(month) {
            return Ok(file);
        }
        let file = self.open_month(month).await?;
        sync_folder(&self.folder).map_err(io_at("syncing", &self.folder))?;
        Ok(file)
    }

    pub(super) async fn load(&self) -> Result<Stored, HistoryError> {
        let mut db = self.catalog.connection().await?;
        let failed = || self.catalog.at("loading");
        let names = on_sqlite::names(&mut db).await.map_err(failed())?;
        let states = on_sqlite::states(&mut db).await.map_err(failed())?;
        let accounted = on_sqlite::meta(&mut db, "accounted").await.map_err(failed())?.unwrap_or(0);
        drop(db);
        let mut stored = Stored { names, states, last_block_id: accounted, ..Stored::default() };
        let months: Vec<_> = self.months.read().iter().map(|(m, f)| (*m, f.clone())).collect();
        for (month, file) in months {
            let mut db = file.file.connection().await?;
            let failed = || file.file.at("loading");
            let last = on_sqlite::last_block_id(&mut db).await.map_err(failed())?;
            stored.last_block_id = stored.last_block_id.max(last);
            stored.loose.extend(on_sqlite::loose(&mut db).await.map_err(failed())?);
            let new = on_sqlite::page(&mut db, month.start(), month.end(), accounted, i64::MAX).await;
            stored.unaccounted.extend(new.map_err(failed())?);
        }
        stored.unaccounted.sort_by_key(|b| b.summary.id);
        Ok(stored)
    }

    pub(crate) async fn commit(&self, batch: &Batch) -> Result<(), HistoryError> {
        // Names first: a block must never be there without its series' name.
        if !batch.names.is_empty() {
            self.work.outside(self.commit_names(batch)).await?;
        }
        let mut months: BTreeMap<Month, Vec<&Block>> = BTreeMap::new();
        for block in &batch.blocks {
            months.entry(block.month()).or_default().push(block);
        }
        for (month, blocks) in months {
            self.work.outside(self.commit_blocks(month, blocks)).await?;
        }
        for days in batch.hours.chunk_by(|a, b| month_of_day(a.day) == month_of_day(b.day)) {
            self.work.outside(self.commit_hours(days)).await?;
        }
        if !batch.states.is_empty() || !batch.blocks.is_empty() {
            self.work.outside(self.commit_states(batch)).await?;
        }
        Ok(())
    }

    async fn commit_names(&self, batch: &Batch) -> Result<(), HistoryError> {
        let mut tx = self.catalog.begin().await?;
        on_sqlite::insert_names(&mut tx, batch).await.map_err(self.catalog.at("storing names"))?;
        tx.commit().await.map_err(self.catalog.at("storing names"))
    }

    async fn commit_blocks(&self, month: Month, blocks: Vec<&Block>) -> Result<(), HistoryError> {
        let file = self.month_or_new(month).await?;
        let mut tx = file.file.begin().await?;
        let new = on_sqlite::insert_blocks(&mut tx, month, &blocks)
            .await
            .map_err(file.file.at("storing blocks"))?;
        tx.commit().await.map_err(file.file.at("storing blocks"))?;
        if let Some(added) = MonthTotals::of(blocks).filter(|_| new) {
            let mut totals = file.totals.write();
            *totals = if totals.blocks == 0 { added } else { totals.with(&added) };
        }
        file.version.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn commit_hours(&self, days: &[DayOfHours]) -> Result<(), HistoryError> {
        let Some(first) = days.first() else { return Ok(()) };
        let file = self.month_or_new(month_of_day(first.day)).await?;
        let mut tx = file.file.begin().await?;
        on_sqlite::put_hours(&mut tx, days).await.map_err(file.file.at("storing hours"))?;
        tx.commit().await.map_err(file.file.at("storing hours"))
    }

    async fn commit_states(&self, batch: &Batch) -> Result<(), HistoryError> {
        let mut tx = self.catalog.begin().await?;
        on_sqlite::put_states(&mut tx, batch).await.map_err(self.catalog.at("storing states"))?;
        tx.commit().await.map_err(self.catalog.at("storing states"))
    }

    pub(super) fn months(&self) -> BTreeMap<Month, MonthTotals> {
        let months = self.months.read();
        months
            .iter()
            .map(|(month, file)| (*month, *file.totals.read()))
            .filter(|(_, t)| t.blocks > 0)
            .collect()
    }

    pub(super) async fn rows(
        &self,
        month: Month,
        wanted: Wanted<'_>,
    ) -> Result<Vec<(SeriesId, Row)>, HistoryError> {
        let Some(file) = self.month(month) else { return Ok(Vec::new()) };
        let Some(mut db) = self.reader(month, &file).await? else { return Ok(Vec::new()) };
        on_sqlite::rows(&mut db, month, wanted).await.map_err(file.file.at("reading blocks"))
    }

    pub(super) async fn hours(
        &self,
        month: Month,
        series: Option<&[SeriesId]>,
        days: (i64, i64),
    ) -> Result<Vec<DayOfHours>, HistoryError> {
        let Some(file) = self.month(month) else { return Ok(Vec::new()) };
        let Some(mut db) = self.reader(month, &file).await? else { return Ok(Vec::new()) };
        on_sqlite::hours(&mut db, series, days).await.map_err(file.file.at("reading hours"))
    }

    pub(super) async fn days(
        &self,
        month: Month,
        series: &[SeriesId],
    ) -> Result<Vec<MonthOfDays>, HistoryError> {
        let Some(file) = self.month(month) else { return Ok(Vec::new()) };
        let Some(mut db) = self.reader(month, &file).await? else { return Ok(Vec::new()) };
        on_sqlite::days(&mut db, month, series).await.map_err(file.file.at("reading days"))
    }

    pub(super) async fn put_days(&self, month: Month, days: &[MonthOfDays]) -> Result<(), HistoryError> {
        let Some(file) = self.month(month) else { return Ok(()) };
        let failed = || file.file.at("storing days");
        let mut tx = file.file.begin().await?;
        on_sqlite::put_days(&mut tx, month, days).await.map_err(failed())?;
        tx.commit().await.map_err(failed())?;
        file.version.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) async fn days_made_by(&self, month: Month) -> Result<Option<String>, HistoryError> {
        let Some(file) = self.month(month) else { return Ok(None) };
        let mut db = file.file.connection().await?;
        on_sqlite::days_made_by(&mut db, month).await.map_err(file.file.at("reading days"))
    }

    pub(super) async fn note_days_made_by(&self, month: Month, zone: &str) -> Result<(), HistoryError> {
        let Some(file) = self.month(month) else { return Ok(()) };
        let mut db = file.file.connection().await?;
        on_sqlite::note_days_made_by(&mut db, month, zone).await.map_err(file.file.at("storing days"))?;
        file.version.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) async fn bodies(
        &self,
        month: Month,
        ids: &[i64],
    ) -> Result<Vec<(i64, Vec<u8>)>, HistoryError> {
        let Some(file) = self.month(month) else { return Ok(Vec::new()) };
        let Some(mut db) = self.reader(month, &file).await? else { return Ok(Vec::new()) };
        on_sqlite::bodies(&mut db, month, ids).await.map_err(file.file.at("reading blocks"))
    }

    pub(super) async fn page(
        &self,
        month: Month,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Block>, HistoryError> {
        let Some(file) = self.month(month) else { return Ok(Vec::new()) };
        let Some(mut db) = self.reader(month, &file).await? else { return Ok(Vec::new()) };
        on_sqlite::page(&mut db, month.start(), month.end(), after, limit)
            .await
            .map_err(file.file.at("reading blocks"))
    }

    pub(super) async fn counted(&self, month: Month) -> Result<(i64, i64, i64), HistoryError> {
        let Some(file) = self.month(month) else { return Ok((0, 0, 0)) };
        let mut db = file.file.connection().await?;
        on_sqlite::counted(&mut db, month.start(), month.end()).await.map_err(file.file.at("counting blocks"))
    }

    /// None when the month was dropped meanwhile.
    async fn reader(
        &self,
        month: Month,
        file: &MonthFile,
    ) -> Result<Option<PoolConnection<sqlx::Sqlite>>, HistoryError> {
        match file.file.pool.acquire().await {
            Ok(db) => Ok(Some(db)),
            Err(sqlx::Error::PoolClosed) if self.month(month).is_none() => Ok(None),
            Err(error) => Err(file.file.at("connecting")(error)),
        }
    }

    pub(super) async fn straddling(
        &self,
        month: Month,
        cutoff: Timestamp,
    ) -> Result<Vec<Block>, HistoryError> {
        let Some(file) = self.month(month) else { return Ok(Vec::new()) };
        let mut db = file.file.connection().await?;
        on_sqlite::straddling(&mut db, month, cutoff).await.map_err(file.file.at("reading blocks"))
    }

    pub(super) async fn trim(
        &self,
        month: Month,
        cutoff: Timestamp,
        trimmed: &Trimmed,
    ) -> Result<i64, HistoryError> {
        let Some(file) = self.month(month) else { return Ok(0) };
        let failed = || file.file.at("deleting blocks");
        let mut tx = file.file.begin().await?;
        let gone = on_sqlite::trim(&mut tx, month, cutoff, trimmed).await.map_err(failed())?;
        let totals = on_sqlite::months(&mut tx).await.map_err(failed())?;
        tx.commit().await.map_err(failed())?;
        *file.totals.write() = totals.first().map(|(_, t)| *t).unwrap_or_default();
        file.version.fetch_add(1, Ordering::Relaxed);
        Ok(gone)
    }

    pub(super) async fn expire(
        &self,
        month: Month,
        series: &[SeriesId],
        cutoff: Timestamp,
    ) -> Result<i64, HistoryError> {
        let Some(file) = self.month(month) else { return Ok(0) };
        let failed = || file.file.at("deleting blocks");
        let mut tx = file.file.begin().await?;
        let gone = on_sqlite::expire(&mut tx, month, series, cutoff).await.map_err(failed())?;
        let totals = on_sqlite::months(&mut tx).await.map_err(failed())?;
        tx.commit().await.map_err(failed())?;
        *file.totals.write() = totals.first().map(|(_, t)| *t).unwrap_or_default();
        file.version.fetch_add(1, Ordering::Relaxed);
        // A month that goes on writes over what is free.
        if gone > 0 && self.months.read().keys().next_back() != Some(&month) {
            // What was deleted is deleted; on a full disk there may be no room to say so in fewer bytes.
            if let Err(error) = file.file.shrink().await {
                tracing::warn!(%error, "the file of a month stays as large as it is");
            }
        }
        Ok(gone)
    }

    pub(super) async fn replace(
        &self,
        month: Month,
        replacement: &Replacement,
        last_id: i64,
    ) -> Result<(), HistoryError> {
        let Some(file) = self.month(month) else { return Ok(()) };
        self.work.outside(self.replace_blocks(&file, month, replacement)).await?;
        // Their readings are accounted for: a restart need not open them.
        self.work.outside(self.note_accounted(last_id)).await
    }

    async fn replace_blocks(
        &self,
        file: &MonthFile,
        month: Month,
        replacement: &Replacement,
    ) -> Result<(), HistoryError> {
        let failed = || file.file.at("merging blocks");
        let mut tx = file.file.begin().await?;
        on_sqlite::replace(&mut tx, month, replacement).await.map_err(failed())?;
        let totals = on_sqlite::months(&mut tx).await.map_err(failed())?;
        tx.commit().await.map_err(failed())?;
        *file.totals.write() = totals.first().map(|(_, t)| *t).unwrap_or_default();
        file.version.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn note_accounted(&self, last_id: i64) -> Result<(), HistoryError> {
        let mut db = self.catalog.connection().await?;
        on_sqlite::put_meta(&mut db, "accounted", last_id).await.map_err(self.catalog.at("merging blocks"))
    }

    pub(super) async fn cut_journals(&self) -> Result<(), HistoryError> {
        let files: Vec<_> = self.months.read().values().cloned().collect();
        for file in files {
            file.file.cut_journal().await?;
        }
        self.catalog.cut_journal().await
    }

    pub(super) async fn loose(&self) -> Result<Vec<(SeriesId, Loose)>, HistoryError> {
        let files: Vec<_> = self.months.read().values().cloned().collect();
        let mut loose = Vec::new();
        for file in files {
            let mut db = file.file.connection().await?;
            loose.extend(on_sqlite::loose(&mut db).await.map_err(file.file.at("reading blocks"))?);
        }
        Ok(loose)
    }

    pub(super) async fn drop_month(&self, month: Month) -> Result<(), HistoryError> {
        let Some(file) = self.months.write().remove(&month) else { return Ok(()) };
        file.file.pool.close().await;
        // The database itself goes last: a new one of its name must not meet an old journal.
        for suffix in ["-wal", "-shm", ""] {
            let path = self.folder.join(format!("{}{suffix}", file.file.name));
            match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io_at("removing", path)(e)),
                _ => {}
            }
        }
        sync_folder(&self.folder).map_err(io_at("syncing", &self.folder))
    }

    pub(super) async fn forget_newest_before(&self, cutoff: Timestamp) -> Result<(), HistoryError> {
        let mut db = self.catalog.connection().await?;
        on_sqlite::forget_newest_before(&mut db, cutoff).await.map_err(self.catalog.at("deleting"))
    }

    pub(super) async fn bytes(&self) -> u64 {
        let months = self.months.read();
        self.catalog.bytes() + months.values().map(|m| m.file.bytes()).sum::<u64>()
    }

    pub(crate) async fn close(&self) {
        let months: Vec<_> = self.months.read().values().cloned().collect();
        for month in months {
            month.file.pool.close().await;
        }
        self.catalog.pool.close().await;
    }

    /// Copies each month's file into `folder`; `copied` remembers which version, so that calling again copies only what changed.
    pub(crate) async fn copy_months(
        &self,
        folder: &Path,
        copied: &mut BTreeMap<Month, u64>,
    ) -> Result<(), HistoryError> {
        let months: Vec<_> = self.months.read().iter().map(|(m, f)| (*m, f.clone())).collect();
        for (month, file) in months {
            let version = file.version.load(Ordering::Relaxed);
            if copied.get(&month) == Some(&version) {
                continue;
            }
            copy(&file.file, folder).await?;
            copied.insert(month, version);
        }
        Ok(())
    }

    pub(crate) async fn copy_catalog(&self, folder: &Path) -> Result<(), HistoryError> {
        copy(&self.catalog, folder).await
    }
}

fn blocks_schema() -> String {
    schema::blocks(&Dialect {
        id: "INTEGER",
        real: "REAL",
        blob: "BLOB",
        block: "id",
        blocks_are: "",
        hours_are: " WITHOUT ROWID",
        days_are: " WITHOUT ROWID",
    })
}

/// Takes a month's file to the format of today, unless that was done before a crash.
async fn upgrade_month(file: &File, from: i64) -> Result<(), HistoryError> {
    let failed = || file.at("upgrading");
    let mut tx = file.begin().await?;
    let count = async |tx: &mut SqliteConnection, what: &'static str| -> Result<i64, HistoryError> {
        sqlx::query_scalar(what).fetch_one(tx).await.map_err(failed())
    };
    let columns = "SELECT COUNT(*) FROM pragma_table_info('history_blocks') WHERE name = 'qualities'";
    if count(&mut tx, columns).await? > 0 {
        upgrade::sqlite_from_1(&mut tx, blocks_schema()).await.map_err(failed())?;
    }
    if count(&mut tx, "SELECT COUNT(*) FROM sqlite_master WHERE name = 'history_hours'").await? == 0 {
        upgrade::sqlite_from_2(&mut tx, blocks_schema()).await.map_err(failed())?;
    }
    tx.commit().await.map_err(failed())?;
    tracing::info!(file = %file.path.display(), from, to = FORMAT, "upgraded telemetry");
    file.pool.close().await;
    Ok(())
}

async fn migrate(db: &mut SqliteConnection, schema: String) -> Result<(), sqlx::Error> {
    db.execute(sqlx::raw_sql(AssertSqlSafe(schema))).await?;
    Ok(())
}

/// A compact, synced copy of what is committed.
async fn copy(file: &File, folder: &Path) -> Result<(), HistoryError> {
    let target = folder.join(&file.name);
    match fs::remove_file(&target) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(io_at("replacing", target)(e)),
        _ => {}
    }
    let mut db = file.connection().await?;
    sqlx::query("VACUUM INTO $1")
        .bind(target.display().to_string())
        .execute(&mut *db)
        .await
        .map_err(file.at("copying"))?;
    fs::File::open(&target).and_then(|f| f.sync_all()).map_err(io_at("syncing", target))
}
