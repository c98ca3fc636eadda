//! Sealing: heads become blocks, and the log that held them is dropped.
//!
//! A batch that could not be committed is kept and tried again, the very same one, so that nothing is stored twice; readers see
//! its readings all the while. Until it succeeds the heads grow, up to where appends are refused.

use crate::{
    block::{Block, stretches},
    core::Core,
    days::DaysToMake,
    error::HistoryError,
    head::{Pick, Sealing, SeriesState, sort_last_written_wins},
    loose::Loose,
    mend, merge,
    month::Month,
    series::SeriesId,
    store::Batch,
    writer::Job,
};
use std::time::Duration;

/// Points sealed in one commit.
const POINTS_AT_ONCE: usize = 500_000;
const RETRY_FIRST: Duration = Duration::from_millis(500);
const RETRY_LAST: Duration = Duration::from_secs(30);

pub(crate) struct Sealer {
    /// Series below this number are named in the store.
    named: usize,
    last_block_id: i64,
    picked: Vec<Sealing>,
    /// Built from `picked` and not known to be committed.
    batch: Option<Batch>,
    /// Days of months that are settled.
    pub(crate) days: DaysToMake,
}

impl Sealer {
    pub(crate) fn new(named: usize, last_block_id: i64) -> Self {
        Self { named, last_block_id, picked: Vec::new(), batch: None, days: DaysToMake::default() }
    }

    /// Merges some of what is due, or else makes some days, and says whether there may be more.
    pub(crate) async fn merge_due(&mut self, core: &Core) -> Result<bool, HistoryError> {
        self.finish(core).await?;
        if mend::mend_noted(core).await? {
            self.days.look_again();
        }
        let merged = merge::merge_due(core, &mut self.last_block_id, &mut self.days).await?;
        Ok(merged || self.days.make_some(core).await?)
    }

    /// Seals some of what is due, and says whether there may be more: what takes too much memory first, then what keeps the
    /// log too long, then full heads.
    pub(crate) async fn seal_due(&mut self, core: &Core) -> Result<bool, HistoryError> {
        self.finish(core).await?;
        let through = core.log.lock().seal_through;
        let (bytes, full) = {
            let heads = core.heads.read();
            (heads.bytes(), heads.full())
        };
        let due = [
            (bytes > core.options.memory_bytes / 2)
                .then_some(Pick::DownToBytes(core.options.memory_bytes / 4)),
            through.map(Pick::Through),
            (full > 0).then_some(Pick::Full),
        ];
        let mut sealed = false;
        for pick in due.into_iter().flatten() {
            sealed = self.seal(core, pick).await?;
            if sealed {
                break;
            }
        }
        self.drop_log(core).await?;
        Ok(sealed)
    }

    /// Seals everything that was durable when it was called.
    pub(crate) async fn seal_all(&mut self, core: &Core) -> Result<(), HistoryError> {
        let now = core.heads.read().applied_through();
        while self.seal(core, Pick::Through(now)).await? {}
        self.drop_log(core).await
    }

    async fn seal(&mut self, core: &Core, pick: Pick) -> Result<bool, HistoryError> {
        self.picked = core.heads.write().pick(pick, POINTS_AT_ONCE);
        let any = !self.picked.is_empty();
        self.finish(core).await?;
        Ok(any)
    }

    /// Brings what was picked into blocks. After an error it is still picked.
    pub(crate) async fn finish(&mut self, core: &Core) -> Result<(), HistoryError> {
        if self.picked.is_empty() {
            return Ok(());
        }
        if self.batch.is_none() {
            let (picked, first_id) = (self.picked.clone(), self.last_block_id + 1);
            let built = core.work.blocking(move || build(&picked, first_id)).await;
            let mut batch = built
                .map_err(|e| HistoryError::Inconsistent(format!("sealing stopped: {e}")))?
                .map_err(HistoryError::Inconsistent)?;
            self.last_block_id += batch.blocks.len() as i64;
            batch.names = core.registry.from(self.named);
            self.batch = Some(batch);
        }
        let Some(batch) = &self.batch else { return Ok(()) };
        core.store.commit(batch).await?;
        if let Some((last, _)) = batch.names.last() {
            self.named = last.index() + 1;
        }
        // Loose before memory forgets it: whoever looks there and then here misses nothing.
        let mut loose = core.loose.write();
        for block in &batch.blocks {
            loose.add(block.series, Loose::of(block));
        }
        drop(loose);
        let mut heads = core.heads.write();
        for (series, state) in &batch.states {
            heads.sealed(*series, *state);
        }
        drop(heads);
        self.batch = None;
        self.picked.clear();
        Ok(())
    }

    /// Drops the log segments whose readings are all in blocks.
    async fn drop_log(&mut self, core: &Core) -> Result<(), HistoryError> {
        let oldest = core.log.lock().oldest_closed;
        let low_water = core.heads.read().low_water();
        if oldest.is_none_or(|sequence| sequence >= low_water) {
            return Ok(());
        }
        // The names of series whose readings are younger may lie in the segments that go.
        let names = core.registry.from(self.named);
        if let Some((last, _)) = names.last() {
            let named = last.index() + 1;
            core.store.commit(&Batch { names, ..Batch::default() }).await?;
            self.named = named;
        }
        // A closed store drops nothing any more, and need not.
        let _ = core.queue.push(Job::DropBelow { low_water });
        Ok(())
    }
}

fn build(picked: &[Sealing], first_id: i64) -> Result<Batch, String> {
    let mut batch = Batch::default();
    for sealing in picked {
        let mut readings = (*sealing.readings).clone();
        sort_last_written_wins(&mut readings);
        let mut state: SeriesState = sealing.state;
        let frontier = state.newest.map(|r| r.timestamp);
        let last_month = readings.last().map(|r| Month::of(r.timestamp));
        for stretch in stretches(&readings, frontier) {
            let id = first_id + batch.blocks.len() as i64;
            // Months are committed one after the other. Only the last one's blocks say how far the series is sealed: found without them, the
            // log is read once more.
            let is_last = stretch.last().map(|r| Month::of(r.timestamp)) == last_month;
            let sequence = if is_last { sealing.last_sequence } else { sealing.state.sealed_through };
            let block = Block::seal(sealing.series, id, sequence, stretch)?;
            if let Some(last) = stretch.last() {
                state.absorb(sealing.last_sequence, block.span_ms(), *last);
            }
            batch.blocks.push(block);
        }
        batch.states.push((sealing.series, state));
    }
    Ok(batch)
}

/// The series' states after blocks that were committed without them.
pub(crate) fn account(
    states: &mut Vec<SeriesState>,
    unaccounted: &[Block],
) -> Result<Vec<SeriesId>, HistoryError> {
    let mut changed = Vec::new();
    for block in unaccounted {
        let readings = crate::query::open_block(block.series, &block.summary, &block.body)?;
        if states.len() <= block.series.index() {
            states.resize(block.series.index() + 1, SeriesState::default());
        }
        if let Some(last) = readings.last() {
            states[block.series.index()].absorb(block.sequence, block.span_ms(), *last);
        }
        changed.push(block.series);
    }
    changed.sort_unstable();
    changed.dedup();
    Ok(changed)
}

/// Seals when it is time, until the store closes.
pub(crate) async fn run(core: &Core) {
    let mut retry = None;
    loop {
        match retry {
            // Either the time or a wish is a reason to look.
            None => {
                let _ = tokio::time::timeout(core.options.seal_interval, core.wake_sealer.notified()).await;
            }
            Some(wait) => {
                let closing = async {
                    while !core.is_closed() {
                        core.wake_sealer.notified().await;
                    }
                };
                let _ = tokio::time::timeout(wait, closing).await;
            }
        }
        if core.is_closed() {
            return;
        }
        // The right to seal is given back after each batch: deletions and backups get their turn.
        let result = loop {
            let mut sealer = core.sealer.lock().await;
            let more = match sealer.seal_due(core).await {
                Ok(false) => sealer.merge_due(core).await,
                other => other,
            };
            match more {
                Ok(true) if !core.is_closed() => continue,
                other => break other,
            }
        };
        note(core, result.as_ref().err());
        retry = match (result, retry) {
            (Ok(_), _) => None,
            (Err(_), None) => Some(RETRY_FIRST),
            (Err(_), Some(last)) => Some((last * 2).min(RETRY_LAST)),
        };
    }
}

/// Says once that sealing fails, and once that it works again.
fn note(core: &Core, error: Option<&HistoryError>) {
    let mut fault = core.seal_fault.lock();
    match error {
        Some(error) if fault.is_none() => {
            tracing::error!(%error, "telemetry cannot be sealed into blocks; it stays in the log and is tried again");
        }
        None if fault.is_some() => tracing::info!("telemetry is sealed into blocks again"),
        _ => {}
    }
    *fault = error.map(ToString::to_string);
}
