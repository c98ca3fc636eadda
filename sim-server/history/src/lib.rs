//! Telemetry at rest: write-ahead log, compressed blocks, queries.
//!
//! In flow points: `append` returns when they are synced to the log (one sync serves all that arrived meanwhile), so whoever
//! is told so may forget them. In memory they join their series' head, and heads are sealed into compressed blocks, SQL rows in
//! SQLite files or PostgreSQL. Out flow readings and aggregates, merged from blocks and heads.
//!
//! The key of a reading is its series and instant: of readings written for the same instant the last one counts, whenever it
//! came; readings may come in any order.
//!
//! ```
//! use history::{History, HistoryOptions, Point, SeriesKey};
//! use shared::{telemetry::{Quality, Reading}, time::Timestamp};
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! # let folder = tempfile::tempdir().unwrap();
//! let history = History::open(HistoryOptions { folder: folder.path().into(), ..Default::default() }).await?;
//! let power = SeriesKey { device: "pv-01".parse()?, measurement: "power".parse()? };
//! let reading = Reading { value: -81.5, timestamp: Timestamp(1_750_000_000_000), quality: Quality::Good };
//! history.append(vec![Point { series: power.clone(), reading }]).await?;
//! assert_eq!(history.readings(&power, Timestamp(0), Timestamp(i64::MAX), 10).await?, [reading]);
//! history.close().await?;
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! ```

mod aggregate;
mod block;
mod bucket;
mod core;
mod days;
mod error;
mod head;
mod hours;
mod long_steps;
mod loose;
mod maintain;
mod many;
mod mend;
mod merge;
mod month;
mod newest;
mod numbers;
mod open;
mod options;
mod pack;
mod query;
mod record;
mod rice;
mod row_cache;
mod seal;
mod series;
mod silence;
mod stats;
mod store;
mod stretches;
mod varint;
mod verify;
mod wal;
mod writer;

#[cfg(test)]
mod tests;

pub use aggregate::Aggregate;
pub use bucket::{Bucket, Steps};
pub use error::{AppendError, HistoryError};
pub use options::HistoryOptions;
pub use record::{InvalidReading, PointBatch};
pub use series::{Point, SeriesId, SeriesKey};
pub use stats::HistoryStats;
pub use verify::{BlockFault, VerifyReport};
pub use wal::{Damage, Disk, DiskFile, FaultDisk, OpenReport, StdDisk, TornTail, Unsynced};

use crate::core::Core;
use parking_lot::Mutex;
use shared::{telemetry::Reading, time::Timestamp};
use std::{
    path::Path,
    sync::{Arc, atomic::Ordering},
};
use tokio::{sync::oneshot, task::JoinHandle};
use work::Work;
use writer::WriterTask;

/// An open store. Clones are handles to the same one; the last one dropped closes it, as [`History::close`] does, without
/// waiting.
#[derive(Clone)]
pub struct History(Arc<Inner>);

struct Inner {
    core: Arc<Core>,
    writer: Mutex<Option<WriterTask>>,
    sealer: Mutex<Option<JoinHandle<()>>>,
}

impl History {
    /// Opens the store, creating it when there is none: replays the log, cuts a torn tail, reports what is damaged (see
    /// [`HistoryStats::open_report`]) and recovers the rest.
    pub async fn open(options: HistoryOptions) -> Result<History, HistoryError> {
        open::open(options).await
    }

    /// Opens a store whose log lies on the given disk instead of in the folder.
    pub async fn open_on(options: HistoryOptions, disk: Arc<dyn Disk>) -> Result<History, HistoryError> {
        open::open_on(options, disk, None, Work::on_threads()).await
    }

    /// The same with somebody else to say when the log, the database and what takes long have their turn.
    pub async fn open_with(
        options: HistoryOptions,
        disk: Arc<dyn Disk>,
        work: Work,
    ) -> Result<History, HistoryError> {
        open::open_on(options, disk, None, work).await
    }

    /// The number of a series in this store, for [`PointBatch`].
    pub fn series_id(&self, key: &SeriesKey) -> SeriesId {
        self.0.core.registry.intern(key)
    }

    /// Stores points; returns when they are synced to disk.
    pub async fn append(&self, points: Vec<Point>) -> Result<(), AppendError> {
        let mut batch = PointBatch::with_capacity(points.len());
        self.0.core.registry.intern_all(&points, |id, point| {
            batch
                .push(id, point.reading)
                .map_err(|e| AppendError::Failed { reason: format!("{}: {e}", point.series) })
        })?;
        drop(points);
        self.append_batch(batch).await
    }

    /// Stores points; returns when they are synced to disk. Building the batch allocates nothing for each point.
    pub async fn append_batch(&self, batch: PointBatch) -> Result<(), AppendError> {
        self.enqueue(batch)?.await
    }

    /// Stores points after all that was enqueued before; what it gives resolves when they are synced to disk. They are stored
    /// whether or not it is waited for. An error at once: nothing of them is kept.
    pub fn enqueue(
        &self,
        batch: PointBatch,
    ) -> Result<impl Future<Output = Result<(), AppendError>> + Send + use<>, AppendError> {
        let core = &self.0.core;
        let (answer, done) = oneshot::channel();
        let synced = async move { done.await.unwrap_or(Err(AppendError::Closed)) };
        let Some(largest) = batch.largest_series() else {
            let _ = answer.send(Ok(()));
            return Ok(synced);
        };
        if largest.index() >= core.registry.len() {
            return Err(AppendError::Failed { reason: format!("series {} is not of this store", largest.0) });
        }
        if core.heads.read().bytes() > core.options.memory_bytes {
            return Err(AppendError::Busy);
        }
        core.queue.append(batch, answer, core.options.queue_points)?;
        Ok(synced)
    }

    /// A series' readings in `[from, to)`, oldest first, at most `limit`.
    pub async fn readings(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<Reading>, HistoryError> {
        let mut readings = self.readings_many(std::slice::from_ref(series), from, to, limit).await?;
        Ok(readings.pop().unwrap_or_default())
    }

    /// What a series did in each step of `step_ms` from `from` on, up to `to`. Steps without a reading are left out.
    pub async fn buckets(
        &self,
        series: &SeriesKey,
        from: Timestamp,
        to: Timestamp,
        step_ms: i64,
    ) -> Result<Vec<Bucket>, HistoryError> {
        let steps = Steps::even(from, to, step_ms)?;
        let mut buckets = self.buckets_many(std::slice::from_ref(series), &steps).await?;
        Ok(buckets.pop().unwrap_or_default())
    }

    /// The newest reading of each series.
    pub async fn latest(&self) -> Result<Vec<(SeriesKey, Reading)>, HistoryError> {
        let core = &self.0.core;
        let latest: Vec<_> = core.heads.read().latest().collect();
        Ok(latest.into_iter().filter_map(|(id, reading)| Some((core.registry.key(id)?, reading))).collect())
    }

    pub async fn stats(&self) -> HistoryStats {
        stats::stats(&self.0.core).await
    }

    /// Seals everything appended so far into blocks and drops the log that held it.
    pub async fn checkpoint(&self) -> Result<(), HistoryError> {
        let core = &self.0.core;
        core.settled().await?.seal_all(core).await
    }

    /// Merges all that waits to be merged, hours that are not over aside: what happens in the background, at once.
    pub async fn compact(&self) -> Result<(), HistoryError> {
        let core = &self.0.core;
        core.settled().await?.seal_all(core).await?;
        core.loose.write().call_in_all();
        // The right to change blocks is given back after each step: sealing, deletions and backups get their turn.
        while core.settled().await?.merge_due(core).await? {}
        core.store.cut_journals().await
    }

    /// Opens every block and says which are not what they say. Everything else goes on meanwhile.
    pub async fn verify(&self) -> Result<VerifyReport, HistoryError> {
        verify::verify(&self.0.core).await
    }

    /// Copies the store, consistently and while it runs, into an empty or new folder. The copy opens as a store on SQLite
    /// files, whatever the original is on.
    pub async fn backup(&self, into: &Path) -> Result<(), HistoryError> {
        maintain::backup(&self.0.core, into).await
    }

    /// Puts a backup where `options` says a store is to be; there must be none yet.
    pub async fn restore(options: &HistoryOptions, from: &Path) -> Result<(), HistoryError> {
        maintain::restore(options, from).await
    }

    /// Deletes every reading before `cutoff`; returns how many stored ones went. A month that is over goes as a whole.
    pub async fn delete_before(&self, cutoff: Timestamp) -> Result<u64, HistoryError> {
        maintain::delete_before(&self.0.core, cutoff).await
    }

    /// Deletes what some series hold in blocks that end before the day (UTC) of `cutoff`; returns how many readings went. Where little
    /// is left of a month that is over, its file shrinks. What is still in memory goes another day.
    pub async fn delete_series_before(
        &self,
        series: &[SeriesKey],
        cutoff: Timestamp,
    ) -> Result<u64, HistoryError> {
        maintain::delete_series_before(&self.0.core, series, cutoff).await
    }

    /// Closes the store for all handles: appends that wait are still synced and answered, later ones are refused.
    pub async fn close(self) -> Result<(), HistoryError> {
        let inner = &self.0;
        inner.stop();
        let sealer = inner.sealer.lock().take();
        if let Some(sealer) = sealer {
            sealer.await.map_err(|e| HistoryError::Inconsistent(format!("sealing stopped: {e}")))?;
        }
        let writer = inner.writer.lock().take();
        if let Some(writer) = writer {
            writer.ended().await?;
        }
        inner.core.store.close().await;
        inner.core.lock.lock().take();
        Ok(())
    }
}

impl Inner {
    fn stop(&self) {
        self.core.closed.store(true, Ordering::Release);
        self.core.queue.close();
        self.core.wake_sealer.notify_one();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}
