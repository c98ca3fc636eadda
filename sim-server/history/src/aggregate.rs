//! What a stretch of one series' readings comes to. Stretches that follow one another join without being read again, so a
//! minute, an hour and a day are all made of the same thing.

use serde::Serialize;
use shared::{telemetry::Reading, time::Timestamp};

/// Of at least one reading, in the order of time, each instant once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Aggregate {
    pub count: u64,
    pub sum: f64,
    pub min: f64,
    pub max: f64,
    pub first: f64,
    pub last: f64,
    pub first_time: Timestamp,
    pub last_time: Timestamp,
    /// ∫ value dt from the first reading to the last, each holding until the next: value · ms.
    pub integral: f64,
    /// How far a counter went on: what it rose, and after each fall (a reset) what it has counted since zero.
    pub rise: f64,
}

/// From one reading of a counter to the next.
pub(crate) fn rise(before: f64, after: f64) -> f64 {
    if after >= before { after - before } else { after }
}

impl Aggregate {
    /// The mean over the readings, each weighing the same.
    pub fn mean(&self) -> f64 {
        self.sum / self.count as f64
    }

    pub(crate) fn of(reading: Reading) -> Aggregate {
        let Reading { value, timestamp, .. } = reading;
        Aggregate {
            count: 1,
            sum: value,
            min: value,
            max: value,
            first: value,
            last: value,
            first_time: timestamp,
            last_time: timestamp,
            integral: 0.0,
            rise: 0.0,
        }
    }

    pub(crate) fn of_all(readings: &[Reading]) -> Option<Aggregate> {
        let (first, rest) = readings.split_first()?;
        let mut aggregate = Aggregate::of(*first);
        for reading in rest {
            aggregate.join(&Aggregate::of(*reading));
        }
        Some(aggregate)
    }

    /// Takes in what came after.
    pub(crate) fn join(&mut self, later: &Aggregate) {
        let between = later.first_time.since(self.last_time) as f64;
        self.integral += self.last * between + later.integral;
        self.rise += rise(self.last, later.first) + later.rise;
        self.count += later.count;
        self.sum += later.sum;
        self.min = self.min.min(later.min);
        self.max = self.max.max(later.max);
        self.last = later.last;
        self.last_time = later.last_time;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shared::telemetry::Quality;

    fn readings(values: &[f64]) -> Vec<Reading> {
        let at = |i: usize| Timestamp(1_000 * i as i64);
        let reading =
            |(i, value): (usize, &f64)| Reading { value: *value, timestamp: at(i), quality: Quality::Good };
        values.iter().enumerate().map(reading).collect()
    }

    #[test]
    fn a_counter_that_starts_again_goes_on() {
        let all = Aggregate::of_all(&readings(&[10.0, 12.0, 2.0, 5.0])).unwrap();
        assert_eq!(all.rise, 2.0 + 2.0 + 3.0);
        assert_eq!(all.integral, 1_000.0 * (10.0 + 12.0 + 2.0));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn parts_join_to_the_whole(values in prop::collection::vec(-50i32..50, 2..60), cut in 1usize..59) {
            let values: Vec<f64> = values.into_iter().map(|v| f64::from(v) / 2.0).collect();
            let all = readings(&values);
            let (before, after) = all.split_at(cut.min(all.len() - 1));
            let mut joined = Aggregate::of_all(before).unwrap();
            joined.join(&Aggregate::of_all(after).unwrap());
            prop_assert_eq!(joined, Aggregate::of_all(&all).unwrap());
        }
    }
}
