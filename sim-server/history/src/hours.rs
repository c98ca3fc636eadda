//! The hours of what is merged, packed a day (UTC) a row.
//!
//! A merged block holds all that was known of the hours it covers, so whoever merges writes what each of them comes to, in the same
//! transaction. Two things hold at every moment:
//!
//! - an hour that is there is what all merged blocks hold of it,
//! - a merged block touches no hour that is not there.
//!
//! What else there is of an hour is loose or in memory: see `long_steps`.

use crate::{
    aggregate::Aggregate, bucket::Bucket, error::HistoryError, month::Month, pack, series::SeriesId,
};
use shared::{
    telemetry::Reading,
    time::{DAY_MS, HOUR_MS, Timestamp},
};
use std::collections::BTreeMap;

/// Hours since 1970.
pub(crate) fn hour_of(t: Timestamp) -> i64 {
    t.0.div_euclid(HOUR_MS)
}

pub(crate) fn start_of_hour(hour: i64) -> Timestamp {
    Timestamp(hour.saturating_mul(HOUR_MS))
}

/// Days of UTC since 1970.
pub(crate) fn day_of(t: Timestamp) -> i64 {
    t.0.div_euclid(DAY_MS)
}

pub(crate) fn month_of_day(day: i64) -> Month {
    Month::of(Timestamp(day.saturating_mul(DAY_MS)))
}

/// The hours of one day of one series, packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DayOfHours {
    pub day: i64,
    pub series: SeriesId,
    pub body: Vec<u8>,
}

impl DayOfHours {
    pub(crate) fn of(series: SeriesId, day: i64, hours: &[Bucket]) -> Result<DayOfHours, HistoryError> {
        let body = pack::pack(HOUR_MS, hours).map_err(HistoryError::Inconsistent)?;
        Ok(DayOfHours { day, series, body })
    }

    pub(crate) fn open(&self) -> Result<Vec<Bucket>, HistoryError> {
        pack::unpack(HOUR_MS, &self.body).map_err(|reason| HistoryError::DamagedHours {
            day: self.day,
            series: self.series.0,
            reason,
        })
    }

    /// What is left of it from an hour on.
    pub(crate) fn since_hour(&self, hour: i64) -> Result<Option<DayOfHours>, HistoryError> {
        let mut hours = Hours::default();
        hours.add(self)?;
        hours.forget_before(hour);
        Ok(hours.days(self.series, (self.day, self.day))?.pop())
    }
}

/// Hours of one series.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Hours(BTreeMap<i64, Aggregate>);

impl Hours {
    /// Hours that are there; a day that is damaged is an error.
    pub(crate) fn add(&mut self, day: &DayOfHours) -> Result<(), HistoryError> {
        self.extend(day.open()?);
        Ok(())
    }

    pub(crate) fn extend(&mut self, hours: impl IntoIterator<Item = Bucket>) {
        self.0.extend(hours.into_iter().map(|hour| (hour_of(hour.start), hour.all)));
    }

    /// Puts in what readings (in the order of time) come to, in place of what was there of their hours.
    pub(crate) fn put(&mut self, readings: &[Reading]) {
        self.0.extend(Bucket::each(readings, HOUR_MS).into_iter().map(|b| (hour_of(b.start), b.all)));
    }

    /// Adds stretches that follow one another to what is there of their hours.
    pub(crate) fn join(&mut self, parts: impl IntoIterator<Item = Aggregate>) {
        for part in parts {
            self.0.entry(hour_of(part.first_time)).and_modify(|all| all.join(&part)).or_insert(part);
        }
    }

    fn forget_before(&mut self, hour: i64) {
        self.0 = self.0.split_off(&hour);
    }

    /// Those of `[from, to]` that are there.
    pub(crate) fn within(&self, from: i64, to: i64) -> impl Iterator<Item = &Aggregate> {
        self.0.range(from..=to).map(|(_, all)| all)
    }

    /// Whether any of `[from, to]` is there.
    pub(crate) fn any(&self, from: i64, to: i64) -> bool {
        self.within(from, to).next().is_some()
    }

    fn iter(&self) -> impl Iterator<Item = Bucket> {
        self.0.iter().map(|(hour, all)| Bucket { start: start_of_hour(*hour), all: *all })
    }

    /// The days that hold something of `[from, to]`, packed.
    pub(crate) fn days(
        &self,
        series: SeriesId,
        (from, to): (i64, i64),
    ) -> Result<Vec<DayOfHours>, HistoryError> {
        let buckets: Vec<Bucket> = self.iter().filter(|b| (from..=to).contains(&day_of(b.start))).collect();
        buckets
            .chunk_by(|a, b| day_of(a.start) == day_of(b.start))
            .map(|of_day| DayOfHours::of(series, day_of(of_day[0].start), of_day))
            .collect()
    }
}
