//! Opening a store: names and states from the database, the unsealed rest from the log.

use crate::{
    History, Inner,
    core::{Core, LogView},
    error::{HistoryError, io_at},
    head::{Heads, SeriesState},
    loose::LooseBlocks,
    options::HistoryOptions,
    record::Record,
    seal::{self, Sealer},
    series::Registry,
    store::{Batch, Database, PostgresStore, SqliteStore, Store},
    wal::{Disk, StdDisk, Wal, create_folder},
    writer::{Queue, WriterTask},
};
use parking_lot::{Mutex, RwLock};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Write},
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};
use work::Work;

/// Where the log lies in a store's folder.
pub(crate) const LOG_FOLDER: &str = "wal";
const LOCK_FILE: &str = "history.lock";

pub(crate) async fn open_store(options: &HistoryOptions, work: Work) -> Result<Store, HistoryError> {
    let database = match options.database_url.as_deref() {
        None => Database::Sqlite(SqliteStore::open(&options.folder, work).await?),
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            Database::Postgres(PostgresStore::open(url).await?)
        }
        Some(_) => {
            let message = "the telemetry database's URL must begin with postgres:// (without one, telemetry lies in SQLite files)";
            return Err(HistoryError::BadRequest(message.to_owned()));
        }
    };
    Ok(Store::new(database, options.kept_bytes))
}

/// Takes the folder for this process.
pub(crate) fn lock(folder: &Path) -> Result<File, HistoryError> {
    create_folder(folder).map_err(io_at("creating", folder))?;
    let path = folder.join(LOCK_FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io_at("opening", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder);
            let holder = match holder.trim() {
                "" => "another process".to_owned(),
                pid => format!("process {pid}"),
            };
            return Err(HistoryError::InUse { folder: folder.to_owned(), holder });
        }
        Err(TryLockError::Error(error)) => return Err(io_at("locking", path)(error)),
    }
    file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(io_at("writing", path))?;
    Ok(file)
}

pub(crate) async fn open(options: HistoryOptions) -> Result<History, HistoryError> {
    let folder = options.folder.join(LOG_FOLDER);
    let lock = lock(&options.folder)?;
    let disk = StdDisk::open(&folder).map_err(io_at("opening", folder))?;
    open_on(options, Arc::new(disk), Some(lock), Work::on_threads()).await
}

pub(crate) async fn open_on(
    options: HistoryOptions,
    disk: Arc<dyn Disk>,
    lock: Option<File>,
    work: Work,
) -> Result<History, HistoryError> {
    if options.seal_points == 0 || options.segment_bytes == 0 || options.merge_points == 0 {
        return Err(HistoryError::BadRequest(
            "seal_points, segment_bytes and merge_points must not be 0".to_owned(),
        ));
    }
    let store = open_store(&options, work.clone()).await?;
    let stored = store.load().await?;
    let registry = Registry::default();
    for (id, key) in stored.names {
        registry.restore(id, key).map_err(HistoryError::Inconsistent)?;
    }
    let stored_names = registry.len();
    let mut states = vec![SeriesState::default(); stored_names];
    for (id, state) in stored.states {
        if id.index() >= states.len() {
            return Err(HistoryError::Inconsistent(format!("series {} has a state and no name", id.0)));
        }
        states[id.index()] = state;
    }
    let changed = seal::account(&mut states, &stored.unaccounted)?;
    if !changed.is_empty() {
        let states = changed.into_iter().map(|id| (id, states[id.index()])).collect();
        store.commit(&Batch { states, ..Batch::default() }).await?;
    }
    let last_sealed = states.iter().map(|s| s.sealed_through).max().unwrap_or(0);
    let heads = Heads::new(options.seal_points, states);

    let (segment_bytes, log_disk) = (options.segment_bytes, disk.clone());
    // Reading the log is blocking work.
    let replayed = work.blocking(move || {
        let mut replay = Replay { registry, heads };
        let (wal, report) = Wal::open(log_disk, segment_bytes, last_sealed, &mut |sequence, bytes| {
            replay.record(sequence, bytes)
        })?;
        Ok::<_, HistoryError>((wal, report, replay))
    });
    let (wal, report, Replay { registry, heads }) = replayed
        .await
        .map_err(|e| HistoryError::Inconsistent(format!("replaying the log stopped: {e}")))??;
    if let Some(tail) = &report.torn_tail {
        tracing::info!(
            file = tail.file,
            offset = tail.offset,
            bytes = tail.bytes,
            "cut the torn tail of the telemetry log"
        );
    }
    for damage in &report.damage {
        tracing::error!(
            file = damage.file,
            offset = damage.offset,
            bytes = damage.bytes,
            reason = damage.reason,
            "the telemetry log is damaged; what lies there is lost, the rest was recovered"
        );
    }

    let named = registry.len();
    let loose = LooseBlocks::new(options.merge_points, stored.loose);
    let core = Arc::new(Core {
        log: Mutex::new(LogView::of(&wal, options.wal_budget_bytes)),
        disk,
        registry,
        heads: RwLock::new(heads),
        queue: Queue::default(),
        work,
        store,
        loose: RwLock::new(loose),
        sealer: tokio::sync::Mutex::new(Sealer::new(stored_names, stored.last_block_id)),
        wake_sealer: tokio::sync::Notify::new(),
        seal_fault: Mutex::new(None),
        damaged_hours: Mutex::default(),
        report,
        closed: AtomicBool::new(false),
        lock: Mutex::new(lock),
        options,
    });
    let writer = WriterTask::start(&core, wal, named)
        .map_err(io_at("starting the writer of", &core.options.folder))?;
    let sealer = tokio::spawn({
        let core = core.clone();
        async move { seal::run(&core).await }
    });
    core.wake_sealer.notify_one();
    Ok(History(Arc::new(Inner { core, writer: Mutex::new(Some(writer)), sealer: Mutex::new(Some(sealer)) })))
}

struct Replay {
    registry: Registry,
    heads: Heads,
}

impl Replay {
    fn record(&mut self, sequence: u64, bytes: &[u8]) -> Result<(), String> {
        match Record::read(bytes)? {
            Record::Series(names) => {
                names.into_iter().try_for_each(|(id, key)| self.registry.restore(id, key))
            }
            Record::DeleteBefore(cutoff) => {
                self.heads.delete_before(sequence, cutoff);
                Ok(())
            }
            Record::Points(mut points) => {
                let nameless = self.heads.apply(sequence, &mut points, self.registry.len());
                if nameless > 0 {
                    return Err(format!("{nameless} readings of series whose names are lost"));
                }
                if points.is_complete() { Ok(()) } else { Err("a malformed record of points".to_owned()) }
            }
        }
    }
}
