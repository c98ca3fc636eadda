//! What the parts of an open store share.

use crate::{
    error::HistoryError,
    head::Heads,
    loose::LooseBlocks,
    options::HistoryOptions,
    seal::Sealer,
    series::{Registry, SeriesId},
    store::Store,
    wal::{Disk, OpenReport, Wal},
    writer::Queue,
};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::BTreeSet,
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{MutexGuard, Notify};
use work::Work;

pub(crate) struct Core {
    pub options: HistoryOptions,
    pub disk: Arc<dyn Disk>,
    pub registry: Registry,
    pub heads: RwLock<Heads>,
    pub queue: Queue,
    /// Who does what takes a thread.
    pub work: Work,
    pub store: Store,
    /// What waits to be merged. Changed by who holds `sealer`, after the store.
    pub loose: RwLock<LooseBlocks>,
    pub log: Mutex<LogView>,
    /// Whoever changes what is in blocks holds this: sealing, deletion, the consistent part of a backup.
    pub sealer: tokio::sync::Mutex<Sealer>,
    pub wake_sealer: Notify,
    pub seal_fault: Mutex<Option<String>>,
    /// Days (of UTC, since 1970) of series whose hours were found damaged.
    pub damaged_hours: Mutex<BTreeSet<(i64, SeriesId)>>,
    pub report: OpenReport,
    pub closed: AtomicBool,
    /// Keeps other processes out of the folder.
    pub lock: Mutex<Option<File>>,
}

/// The log as the writer last saw it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LogView {
    pub bytes: u64,
    /// The last sequence number of the oldest closed segment.
    pub oldest_closed: Option<u64>,
    /// When over budget: readings up to this sequence number must be sealed to get well below it.
    pub seal_through: Option<u64>,
}

impl LogView {
    pub(crate) fn of(wal: &Wal, budget_bytes: u64) -> LogView {
        let bytes = wal.bytes();
        let mut view = LogView {
            bytes,
            oldest_closed: wal.closed().next().map(|s| s.last_sequence),
            seal_through: None,
        };
        if bytes > budget_bytes {
            let mut left = bytes;
            for segment in wal.closed() {
                if left <= budget_bytes / 2 {
                    break;
                }
                left -= segment.bytes;
                view.seal_through = view.seal_through.max(Some(segment.last_sequence));
            }
        }
        view
    }
}

/// So many full heads are sealed without waiting for the interval.
const MANY_FULL_HEADS: usize = 512;

impl Core {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Called by the writer after each group.
    pub(crate) fn log_changed(&self, wal: &Wal) {
        let view = LogView::of(wal, self.options.wal_budget_bytes);
        let (heads_bytes, full) = {
            let heads = self.heads.read();
            (heads.bytes(), heads.full())
        };
        *self.log.lock() = view;
        if view.seal_through.is_some()
            || heads_bytes > self.options.memory_bytes / 2
            || full >= MANY_FULL_HEADS
        {
            self.wake_sealer.notify_one();
        }
    }

    /// The right to change blocks, with nothing half sealed.
    pub(crate) async fn settled(&self) -> Result<MutexGuard<'_, Sealer>, HistoryError> {
        let mut sealer = self.sealer.lock().await;
        if self.is_closed() {
            return Err(HistoryError::Closed);
        }
        sealer.finish(self).await?;
        Ok(sealer)
    }
}
