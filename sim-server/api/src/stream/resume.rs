//! What a client missed while it was away, from the history.

use history::{History, HistoryError, SeriesKey};
use shared::{
    downsample::Downsampler,
    stream::{Missed, PointName, RESUME_MS, RESUME_READINGS},
    telemetry::Reading,
    time::Timestamp,
};
use std::ops::Range;

/// Points read and sent at a time, between which the stream may tick.
const POINTS_AT_ONCE: usize = 50;
/// Readings of one point read at once.
const PAGE: usize = 8 * RESUME_READINGS;

/// Reads some points after others.
pub(super) struct Absence {
    history: History,
    /// In index order.
    series: Vec<SeriesKey>,
    next: usize,
    /// Everything measured after the first and until the second.
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
}

impl Absence {
    pub(super) fn new(
        history: History,
        points: impl Iterator<Item = PointName>,
        after: Timestamp,
        now: Timestamp,
    ) -> Absence {
        let series = points.map(|point| SeriesKey { device: point.device, measurement: point.measurement });
        let from = Timestamp(after.0.max(now.0.saturating_sub(RESUME_MS)).min(now.0));
        Absence { history, series: series.collect(), next: 0, from, to: now }
    }

    /// What was missed of the next points; `None` when all were asked for.
    pub(super) async fn step(&mut self) -> Result<Option<Vec<Missed>>, HistoryError> {
        let some = self.next..self.series.len().min(self.next + POINTS_AT_ONCE);
        if some.is_empty() {
            return Ok(None);
        }
        self.next = some.end;
        let pages = self.pages(some.clone()).await?;
        let mut missed = Vec::new();
        for (point, page) in some.zip(pages) {
            if let Some(found) = self.whole(point, page).await? {
                missed.push(found);
            }
        }
        Ok(Some(missed))
    }

    async fn pages(&self, some: Range<usize>) -> Result<Vec<Vec<Reading>>, HistoryError> {
        self.history.readings_many(&self.series[some], self.first(), self.end(), PAGE).await
    }

    /// A point's readings, whose first page is known.
    async fn whole(&self, point: usize, mut page: Vec<Reading>) -> Result<Option<Missed>, HistoryError> {
        let mut curve = Downsampler::new(RESUME_READINGS);
        loop {
            let (is_full, last) = (page.len() >= PAGE, page.last().map(|reading| reading.timestamp));
            page.into_iter().for_each(|reading| curve.push(reading));
            let Some(last) = last.filter(|_| is_full) else { break };
            page = self.history.readings(&self.series[point], after(last), self.end(), PAGE).await?;
        }
        let thinned = curve.seen() > RESUME_READINGS as u64;
        let readings = curve.finish();
        let point = u32::try_from(point).unwrap_or(u32::MAX);
        Ok((!readings.is_empty()).then_some(Missed { point, readings, thinned }))
    }

    fn first(&self) -> Timestamp {
        after(self.from)
    }

    /// The history's ranges exclude their end.
    fn end(&self) -> Timestamp {
        after(self.to)
    }
}

fn after(moment: Timestamp) -> Timestamp {
    Timestamp(moment.0.saturating_add(1))
}
