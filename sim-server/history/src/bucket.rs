//! Aggregates over equal steps of time.

use crate::{block::Summary, query::Sink, record};
use serde::Serialize;
use shared::{telemetry::Reading, time::Timestamp};
use std::ops::ControlFlow;

/// What a series did in `[start, start + step)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Bucket {
    pub start: Timestamp,
    /// At least 1.
    pub count: u64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    pub first: f64,
    pub last: f64,
}

impl Bucket {
    /// The mean over the readings, each weighing the same.
    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
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

    fn add(&mut self, part: Bucket) {
        match self.buckets.last_mut() {
            Some(bucket) if bucket.start == part.start => {
                bucket.count += part.count;
                bucket.sum += part.sum;
                bucket.min = bucket.min.min(part.min);
                bucket.max = bucket.max.max(part.max);
                bucket.last = part.last;
            }
            _ => self.buckets.push(part),
        }
    }
}

impl Sink for Buckets {
    fn takes_summary(&self, first: Timestamp, last: Timestamp) -> bool {
        self.start_of(first) == self.start_of(last)
    }

    fn opens_most(&self, block_span_ms: i64) -> bool {
        self.step_ms < block_span_ms
    }

    fn summary(&mut self, s: &Summary) -> ControlFlow<()> {
        let start = self.start_of(s.first_time);
        let Summary { min, max, sum, first, last, .. } = *s;
        self.add(Bucket { start, count: u64::from(s.count), sum, min, max, first, last });
        ControlFlow::Continue(())
    }

    fn reading(&mut self, reading: Reading) -> ControlFlow<()> {
        let (start, v) = (self.start_of(reading.timestamp), reading.value);
        self.add(Bucket { start, count: 1, sum: v, min: v, max: v, first: v, last: v });
        ControlFlow::Continue(())
    }
}
