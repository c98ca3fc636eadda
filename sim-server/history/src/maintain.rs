//! Deleting what is too old, and copying the whole store while it runs.

use crate::{
    block::Block,
    core::Core,
    error::{AppendError, HistoryError, io_at},
    hours::{day_of, hour_of, start_of_hour},
    mend::mend,
    merge,
    month::Month,
    open::{LOG_FOLDER, lock, open_store},
    options::HistoryOptions,
    query::open_block,
    series::{SeriesId, SeriesKey},
    store::{Batch, Database, SqliteStore, Store, Trimmed},
    wal::{create_folder, sync_folder},
    writer::Job,
};
use shared::time::Timestamp;
use std::{
    collections::{BTreeMap, HashMap},
    fs,
    io::Write,
    ops::Range,
    path::Path,
};
use tokio::sync::oneshot;
use work::Work;

const BLOCKS_AT_ONCE: i64 = 2_000;

/// Deletes readings before `cutoff`: whole months as a whole, then single blocks, and blocks across the cutoff are cut. Returns how
/// many stored readings went.
pub(crate) async fn delete_before(core: &Core, cutoff: Timestamp) -> Result<u64, HistoryError> {
    let mut settled = core.settled().await?;
    settled.days.look_again();
    let (answer, removed) = oneshot::channel();
    core.queue.push(Job::DeleteBefore { cutoff, answer })?;
    let mut gone = removed.await.map_err(|_| AppendError::Closed)?? as i64;
    for (month, totals) in core.store.months() {
        if month.end() <= cutoff {
            core.store.drop_month(month).await?;
            gone += totals.points;
        } else if totals.oldest < cutoff {
            let trimmed = loop {
                match trim_month(core, month, cutoff).await {
                    Err(HistoryError::DamagedHours { day, series, .. }) => {
                        mend(core, day, SeriesId(series)).await?;
                    }
                    trimmed => break trimmed?,
                }
            };
            gone += core.store.trim(month, cutoff, &trimmed).await?;
        }
    }
    merge::look_again(core).await?;
    core.store.forget_newest_before(cutoff).await?;
    Ok(u64::try_from(gone).unwrap_or(0))
}

/// Deletes blocks of some series that end before the day of `cutoff`. A block is a few thousand readings, so these are few rows.
pub(crate) async fn delete_series_before(
    core: &Core,
    series: &[SeriesKey],
    cutoff: Timestamp,
) -> Result<u64, HistoryError> {
    let series: Vec<SeriesId> = series.iter().filter_map(|key| core.registry.find(key)).collect();
    let cutoff = start_of_hour(day_of(cutoff) * 24);
    let mut settled = core.settled().await?;
    settled.days.look_again();
    let mut gone = 0;
    for (month, totals) in core.store.months() {
        if totals.oldest < cutoff {
            gone += core.store.expire(month, &series, cutoff.min(month.end())).await?;
        }
    }
    if gone > 0 {
        merge::look_again(core).await?;
    }
    Ok(u64::try_from(gone).unwrap_or(0))
}

/// What is left of the blocks that a cutoff goes through. They are loose again: of their hours nothing is merged any more.
async fn trim_month(core: &Core, month: Month, cutoff: Timestamp) -> Result<Trimmed, HistoryError> {
    let mut trimmed = Trimmed { last_day: day_of(cutoff), ..Trimmed::default() };
    let mut through: HashMap<SeriesId, i64> = HashMap::new();
    for block in core.store.straddling(month, cutoff).await? {
        if block.merged {
            let last = block.summary.all.last_time;
            trimmed.last_day = trimmed.last_day.max(day_of(last));
            let hour = through.entry(block.series).or_insert(hour_of(cutoff));
            *hour = hour_of(last).max(*hour);
        }
        trimmed.blocks.push(trim(&block, cutoff)?);
    }
    let days = (day_of(cutoff), trimmed.last_day);
    for day in core.store.hours(month, None, days).await? {
        let through = through.get(&day.series).copied().unwrap_or(hour_of(cutoff));
        trimmed.hours.extend(day.since_hour(through + 1)?);
    }
    Ok(trimmed)
}

fn trim(block: &Block, cutoff: Timestamp) -> Result<Block, HistoryError> {
    let readings = open_block(block.series, &block.summary, &block.body)?;
    let kept = &readings[readings.partition_point(|r| r.timestamp < cutoff)..];
    Block::seal(block.series, block.summary.id, block.sequence, kept).map_err(HistoryError::Inconsistent)
}

/// Copies the store into an empty or new folder: everything acknowledged before the call, nothing half. The copy is a store on
/// SQLite files, whatever the original is on, and opens as such.
pub(crate) async fn backup(core: &Core, into: &Path) -> Result<(), HistoryError> {
    create_folder(into).map_err(io_at("creating", into))?;
    if fs::read_dir(into).map_err(io_at("listing", into))?.next().is_some() {
        return Err(HistoryError::BadRequest(format!("the backup folder {} is not empty", into.display())));
    }
    match &core.store.database {
        Database::Sqlite(store) => {
            // What does not change while it is copied needs no stop; sealing stops for the rest only.
            let mut copied = BTreeMap::new();
            store.copy_months(into, &mut copied).await?;
            let _settled = core.settled().await?;
            copy_log(core, into).await?;
            store.copy_catalog(into).await?;
            store.copy_months(into, &mut copied).await?;
        }
        Database::Postgres(store) => {
            let settled = core.settled().await?;
            copy_log(core, into).await?;
            let mut snapshot = store.snapshot().await?;
            drop(settled);
            let target = SqliteStore::open(into, core.work.clone()).await?;
            let names = std::mem::take(&mut snapshot.stored.names);
            target.commit(&Batch { names, ..Batch::default() }).await?;
            let mut after = 0;
            loop {
                let blocks = snapshot.page(after, BLOCKS_AT_ONCE).await?;
                let Some(last) = blocks.last() else { break };
                after = last.summary.id;
                target.commit(&Batch { blocks, ..Batch::default() }).await?;
            }
            for day in core.store.months().keys().flat_map(|month| days_of(*month)) {
                let hours = snapshot.hours(day).await?;
                target.commit(&Batch { hours, ..Batch::default() }).await?;
            }
            let states = std::mem::take(&mut snapshot.stored.states);
            target.commit(&Batch { states, ..Batch::default() }).await?;
            target.close().await;
        }
    }
    sync_folder(into).map_err(io_at("syncing", into))
}

fn days_of(month: Month) -> Range<i64> {
    day_of(month.start())..day_of(month.end())
}

/// Closes the current segment and copies all of them. Nothing is sealed meanwhile, so none goes away.
async fn copy_log(core: &Core, into: &Path) -> Result<(), HistoryError> {
    let (answer, segments) = oneshot::channel();
    core.queue.push(Job::Rotate { answer })?;
    let segments = segments.await.map_err(|_| AppendError::Closed)??;
    let (disk, folder) = (core.disk.clone(), into.join(LOG_FOLDER));
    let copy = core.work.blocking(move || {
        create_folder(&folder).map_err(io_at("creating", &folder))?;
        for segment in segments.into_iter().filter(|s| s.last_sequence > 0) {
            let name = segment.file_name();
            let path = folder.join(&name);
            let bytes = disk.read(&name, segment.bytes).map_err(io_at("reading", &name))?;
            let mut file = fs::File::create(&path).map_err(io_at("creating", &path))?;
            file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(io_at("writing", &path))?;
        }
        sync_folder(&folder).map_err(io_at("syncing", &folder))
    });
    copy.await.map_err(|e| HistoryError::Inconsistent(format!("copying the log stopped: {e}")))?
}

/// Puts a backup in place of nothing: the store described by `options` must not hold anything yet.
pub(crate) async fn restore(options: &HistoryOptions, from: &Path) -> Result<(), HistoryError> {
    let folder = &options.folder;
    let _lock = lock(folder)?;
    let log = folder.join(LOG_FOLDER);
    if log.exists() || folder.join("history.db").exists() {
        return Err(HistoryError::BadRequest(format!("{} already holds telemetry", folder.display())));
    }
    if !from.join("history.db").is_file() {
        return Err(HistoryError::BadRequest(format!("{} holds no telemetry backup", from.display())));
    }
    if options.database_url.is_some() {
        let target = open_store(options, Work::on_threads()).await?;
        let done = into_database(&target, from).await;
        target.close().await;
        done?;
    } else {
        copy_files(from, folder, |name| name.starts_with("history") && name.ends_with(".db"))?;
    }
    create_folder(&log).map_err(io_at("creating", &log))?;
    copy_files(&from.join(LOG_FOLDER), &log, |name| name.ends_with(".log"))?;
    sync_folder(folder).map_err(io_at("syncing", folder))
}

async fn into_database(target: &Store, from: &Path) -> Result<(), HistoryError> {
    let there = target.load().await?;
    if !there.names.is_empty() || !target.months().is_empty() {
        return Err(HistoryError::BadRequest("the telemetry database already holds telemetry".to_owned()));
    }
    let source = Store::new(Database::Sqlite(SqliteStore::open(from, Work::on_threads()).await?), 0);
    let stored = source.load().await?;
    target.commit(&Batch { names: stored.names, ..Batch::default() }).await?;
    for month in source.months().into_keys() {
        let mut after = 0;
        loop {
            let blocks = source.page(month, after, BLOCKS_AT_ONCE).await?;
            let Some(last) = blocks.last() else { break };
            after = last.summary.id;
            target.commit(&Batch { blocks, ..Batch::default() }).await?;
        }
        for day in days_of(month) {
            let hours = source.hours(month, None, (day, day)).await?;
            target.commit(&Batch { hours, ..Batch::default() }).await?;
        }
    }
    target.commit(&Batch { states: stored.states, ..Batch::default() }).await?;
    source.close().await;
    Ok(())
}

fn copy_files(from: &Path, to: &Path, wanted: impl Fn(&str) -> bool) -> Result<(), HistoryError> {
    for entry in fs::read_dir(from).map_err(io_at("listing", from))? {
        let entry = entry.map_err(io_at("listing", from))?;
        let name = entry.file_name();
        if name.to_str().is_some_and(&wanted) {
            let target = to.join(&name);
            fs::copy(entry.path(), &target).map_err(io_at("copying", entry.path()))?;
            fs::File::open(&target).and_then(|f| f.sync_all()).map_err(io_at("syncing", &target))?;
        }
    }
    sync_folder(to).map_err(io_at("syncing", to))
}
