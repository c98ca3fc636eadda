//! Aggregates over equal steps of time.

use crate::{
    aggregate::{Aggregate, rise},
    error::HistoryError,
    query::Sink,
    record,
};
use serde::Serialize;
use shared::{telemetry::Reading, time::Timestamp};
use std::{ops::ControlFlow, sync::Arc};

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

/// The stretches of time that readings are gathered in: one begins where the last one ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps {
    from: Timestamp,
    to: Timestamp,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Even {
        step_ms: i64,
    },
    /// Where each begins, the first at `from`, and the end.
    Between(Arc<[Timestamp]>),
}

impl Steps {
    /// Steps of `step_ms` from `from` on; the last one ends at `to`.
    pub fn even(from: Timestamp, to: Timestamp, step_ms: i64) -> Result<Steps, HistoryError> {
        if !(1..=record::END_OF_TIME_MS).contains(&step_ms) {
            return Err(HistoryError::BadRequest(format!("a step of {step_ms} ms is no step")));
        }
        // There is nothing before 1970; beginning there with the same alignment keeps what follows within range.
        let skipped = (-i128::from(from.0)).max(0) / i128::from(step_ms) * i128::from(step_ms);
        let from = Timestamp((i128::from(from.0) + skipped) as i64);
        Ok(Steps { from, to, kind: Kind::Even { step_ms } })
    }

    /// Steps from each of these instants to the next, such as the midnights of a time zone.
    pub fn between(edges: impl Into<Arc<[Timestamp]>>) -> Result<Steps, HistoryError> {
        let edges = edges.into();
        let (Some((from, to)), true) = (edges.first().zip(edges.last()), edges.is_sorted_by(|a, b| a < b))
        else {
            return Err(HistoryError::BadRequest(
                "steps must have a beginning, and one after the other".to_owned(),
            ));
        };
        Ok(Steps { from: *from, to: *to, kind: Kind::Between(edges) })
    }

    pub(crate) fn from(&self) -> Timestamp {
        self.from
    }

    pub(crate) fn to(&self) -> Timestamp {
        self.to
    }

    /// Where the step begins that holds `t`, an instant from `from` on.
    pub(crate) fn start_of(&self, t: Timestamp) -> Timestamp {
        match &self.kind {
            Kind::Even { step_ms } => Timestamp(t.0 - t.since(self.from) % step_ms),
            Kind::Between(edges) => edges[edges.partition_point(|edge| *edge <= t).saturating_sub(1)],
        }
    }

    /// Where the step ends that holds `t`.
    fn end_of(&self, t: Timestamp) -> Timestamp {
        match &self.kind {
            Kind::Even { step_ms } => Timestamp(self.start_of(t).0.saturating_add(*step_ms)),
            Kind::Between(edges) => {
                edges.get(edges.partition_point(|edge| *edge <= t)).copied().unwrap_or(Timestamp(i64::MAX))
            }
        }
    }

    /// The length of the shortest.
    pub(crate) fn shortest_ms(&self) -> i64 {
        match &self.kind {
            Kind::Even { step_ms } => *step_ms,
            Kind::Between(edges) => edges.windows(2).map(|w| w[1].since(w[0])).min().unwrap_or(i64::MAX),
        }
    }

    /// Whether each begins at a multiple of `unit_ms` since 1970.
    pub(crate) fn are_whole(&self, unit_ms: i64) -> bool {
        let whole = |t: Timestamp| t.0.rem_euclid(unit_ms) == 0;
        match &self.kind {
            Kind::Even { step_ms } => whole(self.from) && step_ms % unit_ms == 0,
            Kind::Between(edges) => edges.iter().rev().skip(1).all(|edge| whole(*edge)),
        }
    }
}

/// Gathers readings, in the order of time, into buckets.
#[derive(Debug)]
pub(crate) struct Buckets {
    pub steps: Steps,
    pub buckets: Vec<Bucket>,
    /// Where the step of the last bucket ends.
    end: Timestamp,
}

impl Buckets {
    pub(crate) fn of(steps: Steps) -> Buckets {
        Buckets { steps, buckets: Vec::new(), end: Timestamp(i64::MIN) }
    }
}

impl Sink for Buckets {
    fn takes(&self, first: Timestamp, last: Timestamp) -> bool {
        self.steps.start_of(first) == self.steps.start_of(last)
    }

    fn step_ms(&self) -> Option<i64> {
        Some(self.steps.shortest_ms())
    }

    fn aggregate(&mut self, part: &Aggregate) -> ControlFlow<()> {
        match self.buckets.last_mut() {
            Some(bucket) if part.first_time < self.end => bucket.all.join(part),
            _ => {
                self.end = self.steps.end_of(part.first_time);
                self.buckets.push(Bucket { start: self.steps.start_of(part.first_time), all: *part });
            }
        }
        ControlFlow::Continue(())
    }

    fn reading(&mut self, reading: Reading) -> ControlFlow<()> {
        self.aggregate(&Aggregate::of(reading))
    }

    fn readings(&mut self, readings: &[Reading]) -> ControlFlow<()> {
        let mut left = readings;
        while let Some(first) = left.first() {
            let end = self.steps.end_of(first.timestamp);
            let (of_step, rest) = left.split_at(left.partition_point(|r| r.timestamp < end).max(1));
            if let Some(all) = Aggregate::of_all(of_step) {
                self.aggregate(&all)?;
            }
            left = rest;
        }
        ControlFlow::Continue(())
    }
}
