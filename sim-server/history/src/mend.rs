//! Hours that are damaged are made again from the blocks they were made of.
//!
//! Whoever meets them notes them and tells who asked; the sealer makes them before it does anything else with blocks.

use crate::{
    bucket::Bucket,
    core::Core,
    error::HistoryError,
    hours::{DayOfHours, day_of, month_of_day, start_of_hour},
    merge,
    query::open_block,
    series::SeriesId,
    store::{Batch, Detail, Row, Wanted},
};
use shared::{telemetry::Reading, time::HOUR_MS};

impl Core {
    /// Remembers what an error says is damaged, if it can be made again.
    pub(crate) fn note_damage(&self, error: &HistoryError) {
        if let HistoryError::DamagedHours { day, series, .. } = error {
            self.damaged_hours.lock().insert((*day, SeriesId(*series)));
            self.wake_sealer.notify_one();
        }
    }
}

/// Makes again what was noted, and says whether that was anything. What cannot be made, since its blocks are damaged too, is told of and
/// left as it is.
pub(crate) async fn mend_noted(core: &Core) -> Result<bool, HistoryError> {
    let mut any = false;
    loop {
        let Some((day, series)) = core.damaged_hours.lock().first().copied() else { break };
        match mend(core, day, series).await {
            Err(error @ HistoryError::DamagedBlock { .. }) => {
                tracing::error!(day = %start_of_hour(day * 24), series = series.0, %error, "damaged hours stay so");
            }
            mended => {
                mended?;
                tracing::warn!(day = %start_of_hour(day * 24), series = series.0, "damaged hours were made again from blocks");
                any = true;
            }
        }
        core.damaged_hours.lock().remove(&(day, series));
    }
    if any {
        // What could not be merged because of them can be now.
        merge::look_again(core).await?;
    }
    Ok(any)
}

/// Called by who holds the right to change blocks.
pub(crate) async fn mend(core: &Core, day: i64, series: SeriesId) -> Result<(), HistoryError> {
    let (from, to) = (start_of_hour(day * 24), start_of_hour(day * 24 + 24));
    let span_ms = core.heads.read().state(series).span_ms;
    let wanted = Wanted { series: &[series], from, to, span_ms, detail: Detail::Readings };
    let rows = core.store.rows(month_of_day(day), wanted).await?;
    let made = core.work.blocking(move || {
        let rows = rows.iter().map(|(_, row)| row);
        DayOfHours::of(series, day, &hours_of_merged(day, series, rows)?)
    });
    let made = made.await.map_err(|e| HistoryError::Inconsistent(format!("mending stopped: {e}")))??;
    core.store.commit(&Batch { hours: vec![made], ..Batch::default() }).await
}

/// What the merged ones among a series' blocks come to in the hours of a day.
pub(crate) fn hours_of_merged<'a>(
    day: i64,
    series: SeriesId,
    rows: impl IntoIterator<Item = &'a Row>,
) -> Result<Vec<Bucket>, HistoryError> {
    let mut readings: Vec<Reading> = Vec::new();
    for row in rows.into_iter().filter(|row| row.merged) {
        readings.extend(open_block(series, &row.summary, row.body.as_deref().unwrap_or_default())?);
    }
    let mut hours = Bucket::each(&readings, HOUR_MS);
    hours.retain(|bucket| day_of(bucket.start) == day);
    Ok(hours)
}
