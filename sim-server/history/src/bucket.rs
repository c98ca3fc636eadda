//! Aggregates over equal steps of time.

use crate::{
    aggregate::{Aggregate, rise},
    query::Sink,
    record,
};
use serde::Serialize;
use shared::{telemetry::Reading, time::Timestamp};
use std::ops::ControlFlow;

/// What a series did in `[start, start + step)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bucket {
    pub start: Timestamp,
    #[serde(flatten)]
    pub all: Aggregate,
}

impl Bucket {
    /// The mean over the time of the bucket, which ends at `end`: each reading holds until the next, the last one of the bucket
    /// `before` into this one. Without one before, time counts from the first reading.
    pub fn time_weighted_mean(&self, before: Option<&Bucket>, end: Timestamp) -> f64 {
        let all = &self.all;
        let held = before.map_or(0.0, |b| b.all.last * all.first_time.since(self.start) as f64);
        let from = if before.is_some() { self.start } else { all.first_time };
        let lasting = end.since(all.last_time).max(0) as f64;
        let time = end.since(from) as f64;
        if time > 0.0 { (held + all.integral + all.last * lasting) / time } else { all.last }
    }

    /// How far a counter went on within the bucket, from its last reading in the bucket `before`; a reading below the one before
    /// it is a counter that began again at zero.
    pub fn delta(&self, before: Option<&Bucket>) -> f64 {
        before.map_or(0.0, |b| rise(b.all.last, self.all.first)) + self.all.rise
    }

    /// The buckets of readings in the order of time, beginning at multiples of `step_ms` since 1970.
    pub(crate) fn each(readings: &[Reading], step_ms: i64) -> Vec<Bucket> {
        readings
            .chunk_by(|a, b| a.timestamp.0.div_euclid(step_ms) == b.timestamp.0.div_euclid(step_ms))
            .filter_map(|part| {
                let all = Aggregate::of_all(part)?;
                Some(Bucket { start: Timestamp(all.first_time.0.div_euclid(step_ms) * step_ms), all })
            })
            .collect()
    }
}

/// Gathers readings, in the order of time, into buckets aligned to `from`.
pub(crate) struct Buckets {
    pub from: Timestamp,
    pub step_ms: i64,
    pub buckets: Vec<Bucket>,
}

impl Buckets {
    /// None when the step is not positive, or longer than the calendar.
    pub(crate) fn aligned(from: Timestamp, step_ms: i64) -> Option<Buckets> {
        if !(1..=record::END_OF_TIME_MS).contains(&step_ms) {
            return None;
        }
        // There is nothing before 1970; beginning there with the same alignment keeps what follows within range.
        let skipped = (-i128::from(from.0)).max(0) / i128::from(step_ms) * i128::from(step_ms);
        let from = Timestamp((i128::from(from.0) + skipped) as i64);
        Some(Buckets { from, step_ms, buckets: Vec::new() })
    }

    fn start_of(&self, t: Timestamp) -> Timestamp {
        Timestamp(t.0 - t.since(self.from) % self.step_ms)
    }
}

impl Sink for Buckets {
    fn takes(&self, first: Timestamp, last: Timestamp) -> bool {
        self.start_of(first) == self.start_of(last)
    }

    fn step_ms(&self) -> Option<i64> {
        Some(self.step_ms)
    }

    fn aggregate(&mut self, part: &Aggregate) -> ControlFlow<()> {
        let start = self.start_of(part.first_time);
        match self.buckets.last_mut() {
            Some(bucket) if bucket.start == start => bucket.all.join(part),
            _ => self.buckets.push(Bucket { start, all: *part }),
        }
        ControlFlow::Continue(())
    }

    fn reading(&mut self, reading: Reading) -> ControlFlow<()> {
        self.aggregate(&Aggregate::of(reading))
    }
}
