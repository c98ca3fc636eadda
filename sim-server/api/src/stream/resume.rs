//! What a client missed while it was away, from the history.
//!
//! Reading the past takes time, in which more is stored. So it is looked at again and again, each time for what came since, until a look
//! takes no longer than what live values are conflated over. A later look asks how many readings each point has by now; one that has
//! more is read on from the last that was told, and where that does not explain all of them, some came late and it is told anew.

use history::{History, HistoryError, SeriesKey, Steps};
use shared::{
    downsample::Downsampler,
    stream::{Missed, PointName, RESUME_MS, RESUME_READINGS},
    telemetry::Reading,
    time::{MINUTE_MS, Timestamp},
};
use std::ops::Range;

/// Points read and sent at a time, between which the stream may tick.
const POINTS_AT_ONCE: usize = 50;
/// Readings of one point read at once.
const PAGE: usize = 8 * RESUME_READINGS;
/// Points are read on together when what was told of them ends no further apart.
const TOGETHER_MS: i64 = MINUTE_MS;

/// Looks at some points after others, as often as it is told to begin.
pub(super) struct Absence {
    history: History,
    /// In index order.
    series: Vec<SeriesKey>,
    told: Vec<Told>,
    next: usize,
    looks: u32,
    /// Everything measured after it was missed.
    from: Timestamp,
    /// What this look reads ends before it.
    end: Timestamp,
}

/// What the client has been told of a point, thinned or not.
#[derive(Debug, Clone, Copy)]
struct Told {
    readings: u64,
    /// The newest of them.
    until: Timestamp,
}

/// A point with readings after the first instant, and up to the second, that the client does not have.
#[derive(Debug, Clone, Copy)]
struct Behind {
    point: usize,
    after: Timestamp,
    to: Timestamp,
}

impl Absence {
    pub(super) fn new(
        history: History,
        points: impl Iterator<Item = PointName>,
        after: Timestamp,
        now: Timestamp,
    ) -> Absence {
        let series: Vec<SeriesKey> =
            points.map(|point| SeriesKey { device: point.device, measurement: point.measurement }).collect();
        let from = Timestamp(after.0.max(now.0.saturating_sub(RESUME_MS)).min(now.0));
        let told = vec![Told { readings: 0, until: from }; series.len()];
        Absence { history, series, told, next: 0, looks: 0, from, end: from }
    }

    /// Begins the next look, at all points up to `newest`: clocks of devices may be ahead of ours.
    pub(super) fn look(&mut self, newest: Timestamp) {
        self.looks += 1;
        self.next = 0;
        self.end = self.end.max(next_after(newest));
    }

    /// From when on everything has been told, for a client that is told so at `now`.
    pub(super) fn told_from(&self, now: Timestamp) -> Timestamp {
        Timestamp(self.from.0.max(now.0.saturating_sub(RESUME_MS)))
    }

    /// What this look finds of the next points; `None` when it is over.
    pub(super) async fn step(&mut self) -> Result<Option<Vec<Missed>>, HistoryError> {
        let some = self.next..self.series.len().min(self.next + POINTS_AT_ONCE);
        if some.is_empty() {
            return Ok(None);
        }
        self.next = some.end;
        let mut missed = Vec::new();
        if self.looks == 1 {
            let all = some.map(|point| self.behind(point, self.end)).collect();
            self.read_on(all, &mut missed).await?;
            return Ok(Some(missed));
        }
        let mut stored = self.stored(some).await?;
        stored.retain(|(point, readings, _)| *readings > self.told[*point].readings);
        let behind = stored.iter().map(|(point, _, newest)| self.behind(*point, *newest)).collect();
        self.read_on(behind, &mut missed).await?;
        stored.retain(|(point, readings, _)| *readings > self.told[*point].readings);
        for (point, ..) in &stored {
            self.told[*point] = Told { readings: 0, until: self.from };
        }
        let anew = stored.iter().map(|(point, _, newest)| self.behind(*point, *newest)).collect();
        self.read_on(anew, &mut missed).await?;
        Ok(Some(missed))
    }

    fn behind(&self, point: usize, to: Timestamp) -> Behind {
        Behind { point, after: self.told[point].until, to }
    }

    /// How many readings each point has that were missed, and the newest one's instant. Those without any are left out.
    async fn stored(&self, some: Range<usize>) -> Result<Vec<(usize, u64, Timestamp)>, HistoryError> {
        let from = next_after(self.from);
        let one_step = Steps::even(from, self.end, self.end.since(from).max(1))?;
        let counted = self.history.buckets_many(&self.series[some.clone()], &one_step).await?;
        let counted = some.zip(counted).filter_map(|(point, steps)| {
            let step = steps.last()?;
            Some((point, step.all.count, step.all.last_time))
        });
        Ok(counted.collect())
    }

    async fn read_on(
        &mut self,
        mut behind: Vec<Behind>,
        missed: &mut Vec<Missed>,
    ) -> Result<(), HistoryError> {
        behind.sort_unstable_by_key(|point| point.after);
        for some in behind.chunk_by(|a, b| b.after.since(a.after) <= TOGETHER_MS) {
            let Some(earliest) = some.first() else { continue };
            let series: Vec<SeriesKey> = some.iter().map(|b| self.series[b.point].clone()).collect();
            let pages =
                self.history.readings_many(&series, next_after(earliest.after), self.end, PAGE).await?;
            for (point, page) in some.iter().zip(pages) {
                missed.extend(self.whole(*point, page).await?);
            }
        }
        Ok(())
    }

    /// What a point is behind, whose first page is known.
    async fn whole(
        &mut self,
        behind: Behind,
        mut page: Vec<Reading>,
    ) -> Result<Option<Missed>, HistoryError> {
        let mut curve = Downsampler::new(RESUME_READINGS);
        let mut until = behind.after;
        loop {
            let page_end = page.last().map(|reading| reading.timestamp).filter(|_| page.len() >= PAGE);
            let wanted = page.into_iter().filter(|r| r.timestamp > behind.after && r.timestamp <= behind.to);
            for reading in wanted {
                until = reading.timestamp;
                curve.push(reading);
            }
            let Some(page_end) = page_end.filter(|end| *end < behind.to) else { break };
            let series = &self.series[behind.point];
            page = self.history.readings(series, next_after(page_end), self.end, PAGE).await?;
        }
        let told = &mut self.told[behind.point];
        *told = Told { readings: told.readings + curve.seen(), until };
        let thinned = curve.seen() > RESUME_READINGS as u64;
        let readings = curve.finish();
        let point = u32::try_from(behind.point).unwrap_or(u32::MAX);
        Ok((!readings.is_empty()).then_some(Missed { point, readings, thinned }))
    }
}

/// Ranges of the history include their beginning and not their end.
fn next_after(moment: Timestamp) -> Timestamp {
    Timestamp(moment.0.saturating_add(1))
}
