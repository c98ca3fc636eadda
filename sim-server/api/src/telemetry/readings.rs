//! Readings as they were sent, series after series: some series at once, the next of them while these are written, and of long ones
//! a page at a time.

use super::{
    cleaned::read_cleaned,
    write::{Column, Sample, Writer},
};
use crate::ApiError;
use history::{History, HistoryError, SeriesKey};
use shared::{
    downsample::Downsampler,
    telemetry::{Quality, Reading},
    time::Timestamp,
};
use std::collections::VecDeque;
use tokio::task::JoinSet;
use twin::{Cleaning, PointFlag};

/// Readings of some series held at once, twice of which are in memory: some megabytes.
const READINGS_AT_ONCE: usize = 100_000;
const SERIES_AT_ONCE: usize = 25;
/// Readings of one series read at once.
const PAGE: usize = 32_768;
const CLEANED_PAGE: usize = 10_000;

/// How much is read at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) series: usize,
    pub(super) readings: usize,
    pub(super) page: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { series: SERIES_AT_ONCE, readings: READINGS_AT_ONCE, page: PAGE }
    }
}

/// Writes all readings of some series.
pub(super) struct Readings {
    history: History,
    from: Timestamp,
    to: Timestamp,
    points: Option<usize>,
    pace: Pace,
    /// Not begun yet.
    waiting: Box<dyn Iterator<Item = (SeriesKey, Column)> + Send + Sync>,
    /// The next of them being read; none when nobody waits, or nothing has begun.
    ahead: JoinSet<Result<VecDeque<Begun>, HistoryError>>,
    has_begun: bool,
    read: VecDeque<Begun>,
    /// What is being written.
    open: Option<Open>,
}

/// Some readings of a series, and whether there may be more.
struct Page {
    readings: Vec<Reading>,
    is_full: bool,
}

/// A series and its first page.
type Begun = (SeriesKey, Column, Page);

struct Open {
    series: SeriesKey,
    sampler: Option<Downsampler>,
    /// Where to read on; none when all is written.
    next: Option<Timestamp>,
}

/// As it is written.
fn sample(reading: &Reading) -> Sample {
    let flag = match reading.quality {
        Quality::Good => None,
        Quality::OutOfRange => Some("out_of_range"),
        Quality::Estimated => Some("estimated"),
        Quality::Suspect => Some("suspect"),
    };
    Sample { at: reading.timestamp, value: reading.value, flag }
}

impl Readings {
    pub(super) fn new(
        history: History,
        series: impl Iterator<Item = (SeriesKey, Column)> + Send + Sync + 'static,
        (from, to): (Timestamp, Timestamp),
        points: Option<usize>,
        pace: Pace,
    ) -> Readings {
        let waiting = Box::new(series);
        let (ahead, read) = (JoinSet::new(), VecDeque::new());
        Readings { history, from, to, points, pace, waiting, ahead, has_begun: false, read, open: None }
    }

    /// Writes a bit; false when all is written.
    pub(super) async fn step(&mut self, writer: &mut Writer) -> Result<bool, HistoryError> {
        if let Some(open) = &mut self.open {
            match open.next {
                Some(next) => {
                    let readings = self.history.readings(&open.series, next, self.to, self.pace.page).await?;
                    let is_full = readings.len() >= self.pace.page;
                    open.write(&Page { readings, is_full }, writer);
                }
                None => {
                    if let Some(open) = self.open.take() {
                        open.close(writer);
                    }
                }
            }
            return Ok(true);
        }
        if let Some((series, column, page)) = self.read.pop_front() {
            writer.begin(&column);
            let mut open = Open { series, sampler: self.points.map(Downsampler::new), next: None };
            open.write(&page, writer);
            self.open = Some(open);
            return Ok(true);
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            self.read_ahead();
        }
        match self.ahead.join_next().await {
            None => return Ok(false),
            Some(Ok(read)) => self.read = read?,
            Some(Err(e)) => return Err(HistoryError::Inconsistent(format!("reading stopped: {e}"))),
        }
        self.read_ahead();
        Ok(true)
    }

    /// Begins to read the next series, if there are any. What is read is dropped with this.
    fn read_ahead(&mut self) {
        let some: Vec<(SeriesKey, Column)> = self.waiting.by_ref().take(self.pace.series).collect();
        if some.is_empty() {
            return;
        }
        let (history, from, to) = (self.history.clone(), self.from, self.to);
        let limit = (self.pace.readings / some.len()).clamp(1, self.pace.page);
        self.ahead.spawn(async move {
            let keys: Vec<SeriesKey> = some.iter().map(|(key, _)| key.clone()).collect();
            let pages = history.readings_many(&keys, from, to, limit).await?;
            let pages = pages.into_iter().map(|readings| Page { is_full: readings.len() >= limit, readings });
            Ok(some.into_iter().zip(pages).map(|((key, column), page)| (key, column, page)).collect())
        });
    }
}

impl Open {
    fn write(&mut self, page: &Page, writer: &mut Writer) {
        match &mut self.sampler {
            Some(sampler) => page.readings.iter().for_each(|reading| sampler.push(*reading)),
            None => writer.samples(page.readings.iter().map(sample)),
        }
        let last = page.readings.last().filter(|_| page.is_full);
        self.next = last.map(|reading| Timestamp(reading.timestamp.0.saturating_add(1)));
    }

    fn close(self, writer: &mut Writer) {
        let seen = self.sampler.map(|sampler| {
            let seen = sampler.seen();
            writer.samples(sampler.finish().iter().map(sample));
            seen
        });
        writer.finish(seen);
    }
}

/// Writes the cleaned view of one series.
pub(super) struct CleanedReadings {
    pub(super) history: History,
    pub(super) series: SeriesKey,
    pub(super) column: Column,
    pub(super) cleaning: Cleaning,
    /// Where to read on; none when all is written.
    pub(super) next: Option<Timestamp>,
    pub(super) to: Timestamp,
    pub(super) has_begun: bool,
}

impl CleanedReadings {
    /// Writes a bit; false when all is written.
    pub(super) async fn step(&mut self, writer: &mut Writer) -> Result<bool, ApiError> {
        if !std::mem::replace(&mut self.has_begun, true) {
            writer.begin(&self.column);
        }
        let Some(from) = self.next else {
            writer.finish(None);
            return Ok(false);
        };
        let range = (from, self.to);
        let (cleaned, next) =
            read_cleaned(&self.history, &self.series, range, CLEANED_PAGE, &self.cleaning).await?;
        writer.samples(cleaned.points.iter().map(|point| {
            let flag = match point.flag {
                PointFlag::Good => None,
                PointFlag::Suspect => Some("suspect"),
                PointFlag::OutOfRange => Some("out_of_range"),
                PointFlag::Estimated => Some("estimated"),
                PointFlag::Spike => Some("spike"),
            };
            Sample { at: point.timestamp, value: point.value, flag }
        }));
        self.next = next;
        Ok(true)
    }
}
