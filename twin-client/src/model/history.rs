//! The last hour of single measurements, fetched when someone looks, kept fresh by live values.

use shared::{stream::PointName, time::Timestamp};
use std::collections::HashMap;

/// How far back a device's chart reaches.
pub const SPAN_MS: i64 = 3_600_000;
/// A fetched hour is asked for again after this long.
const STALE_MS: i64 = 60_000;
/// Hours kept in memory; the one asked for longest ago goes first.
const CAPACITY: usize = 64;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hour {
    pub asked_at: Timestamp,
    /// Milliseconds and value, oldest first; empty until the answer is here.
    pub points: Vec<(i64, f64)>,
    pub arrived: bool,
    /// Why the last request failed.
    pub error: Option<String>,
}

#[derive(Debug, Default)]
pub struct Histories {
    hours: HashMap<PointName, Hour>,
}

impl Histories {
    pub fn get(&self, name: &PointName) -> Option<&Hour> {
        self.hours.get(name)
    }

    /// Whether to ask the server for a point now; notes that it was asked.
    pub fn should_ask(&mut self, name: &PointName, now: Timestamp) -> bool {
        match self.hours.get_mut(name) {
            Some(hour) if now.since(hour.asked_at) < STALE_MS => false,
            Some(hour) => {
                hour.asked_at = now;
                true
            }
            None => {
                self.make_room();
                self.hours.insert(name.clone(), Hour { asked_at: now, ..Hour::default() });
                true
            }
        }
    }

    fn make_room(&mut self) {
        if self.hours.len() >= CAPACITY
            && let Some(oldest) = self.hours.iter().min_by_key(|(_, h)| h.asked_at).map(|(n, _)| n.clone())
        {
            self.hours.remove(&oldest);
        }
    }

    pub fn answer(&mut self, name: &PointName, result: Result<Vec<(i64, f64)>, String>) {
        let Some(hour) = self.hours.get_mut(name) else { return };
        match result {
            Ok(points) => *hour = Hour { points, arrived: true, error: None, asked_at: hour.asked_at },
            Err(reason) => hour.error = Some(reason),
        }
    }

    /// Appends a live value to an hour that is being shown, and lets go of what is older than it.
    pub fn append(&mut self, name: &PointName, at: Timestamp, value: f64) {
        let Some(hour) = self.hours.get_mut(name).filter(|h| h.arrived) else { return };
        if hour.points.last().is_none_or(|(last, _)| *last < at.0) {
            hour.points.push((at.0, value));
            let gone = hour.points.partition_point(|(t, _)| *t < at.0 - SPAN_MS);
            // In blocks, so that a full hour does not move its values once a second.
            if gone > 256 {
                hour.points.drain(..gone);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(measurement: &str) -> PointName {
        PointName { device: "d".parse().unwrap(), measurement: measurement.parse().unwrap() }
    }

    #[test]
    fn an_hour_is_asked_for_once_a_minute_and_grows_with_live_values() {
        let mut histories = Histories::default();
        let power = name("power");
        assert!(histories.should_ask(&power, Timestamp(0)));
        assert!(!histories.should_ask(&power, Timestamp(59_999)));
        histories.append(&power, Timestamp(5), 1.0);
        assert!(histories.get(&power).unwrap().points.is_empty(), "nothing before the answer");
        histories.answer(&power, Ok(vec![(1, 1.0), (2, 2.0)]));
        histories.append(&power, Timestamp(3), 3.0);
        histories.append(&power, Timestamp(3), 9.0);
        assert_eq!(histories.get(&power).unwrap().points, vec![(1, 1.0), (2, 2.0), (3, 3.0)]);
        assert!(histories.should_ask(&power, Timestamp(60_000)));
    }

    #[test]
    fn memory_is_bounded() {
        let mut histories = Histories::default();
        for i in 0..200 {
            assert!(histories.should_ask(&name(&format!("m{i}")), Timestamp(i)));
        }
        assert_eq!(histories.hours.len(), CAPACITY);
        assert!(histories.get(&name("m199")).is_some());
        assert!(histories.get(&name("m0")).is_none());
    }
}
