//! The last hour of single measurements, fetched when someone looks, kept fresh by live values.

use super::Fault;
use shared::{stream::PointName, time::Timestamp};
use std::collections::HashMap;

/// How far back a device's chart reaches.
pub const SPAN_MS: i64 = 3_600_000;
/// An hour is fetched as means over steps of this many seconds.
pub const STEP_S: i64 = 20;
/// A fetched hour is asked for again after this long…
const STALE_MS: i64 = 60_000;
/// …and one that did not come after this.
const RETRY_MS: i64 = 10_000;
/// Hours kept in memory; the one asked for longest ago goes first.
const CAPACITY: usize = 64;
/// A line is broken where nothing was measured for this many times the usual interval.
const GAP_INTERVALS: i64 = 3;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hour {
    /// On this machine's clock.
    pub asked_at: Timestamp,
    /// Milliseconds and value, oldest first; the last good ones when a later request fails.
    pub points: Vec<(i64, f64)>,
    /// An answer came at least once.
    pub arrived: bool,
    /// Why the last request failed.
    pub error: Option<Fault>,
    /// The stream was away meanwhile: to be asked for again however fresh.
    has_gap: bool,
    /// What usually lies between two points, but no less than a fetched step.
    usual_ms: i64,
}

impl Hour {
    /// The points in pieces that a line may be drawn through: broken where nothing was measured for long.
    pub fn segments(&self) -> impl Iterator<Item = &[(i64, f64)]> {
        let gap = GAP_INTERVALS * self.usual_ms;
        self.points.chunk_by(move |before, after| after.0 - before.0 <= gap)
    }

    fn learn_interval(&mut self) {
        let mut intervals: Vec<i64> = self.points.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        let middle = intervals.len() / 2;
        let median = if intervals.is_empty() { 0 } else { *intervals.select_nth_unstable(middle).1 };
        self.usual_ms = median.max(STEP_S * 1_000);
    }
}

#[derive(Debug, Default)]
pub struct Histories {
    hours: HashMap<PointName, Hour>,
}

impl Histories {
    pub fn get(&self, name: &PointName) -> Option<&Hour> {
        self.hours.get(name)
    }

    /// Whether to ask the server for a point now (this machine's clock); notes that it was asked.
    pub fn should_ask(&mut self, name: &PointName, now: Timestamp) -> bool {
        match self.hours.get_mut(name) {
            Some(hour) => {
                let wait = if hour.error.is_some() { RETRY_MS } else { STALE_MS };
                let due = hour.has_gap || now.since(hour.asked_at) >= wait;
                if due {
                    hour.asked_at = now;
                    hour.has_gap = false;
                }
                due
            }
            None => {
                self.make_room();
                self.hours.insert(name.clone(), Hour { asked_at: now, ..Hour::default() });
                true
            }
        }
    }

    /// The stream has begun anew: what came while there was none is fetched for every hour that is looked at.
    pub fn stream_was_away(&mut self) {
        self.hours.values_mut().for_each(|hour| hour.has_gap = true);
    }

    fn make_room(&mut self) {
        if self.hours.len() >= CAPACITY
            && let Some(oldest) = self.hours.iter().min_by_key(|(_, h)| h.asked_at).map(|(n, _)| n.clone())
        {
            self.hours.remove(&oldest);
        }
    }

    pub fn answer(&mut self, name: &PointName, result: Result<Vec<(i64, f64)>, Fault>) {
        let Some(hour) = self.hours.get_mut(name) else { return };
        match result {
            Ok(points) => {
                (hour.points, hour.arrived, hour.error) = (points, true, None);
                hour.learn_interval();
            }
            Err(fault) => hour.error = Some(fault),
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
            hour.learn_interval();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FaultKind;

    fn name(measurement: &str) -> PointName {
        PointName { device: "d".parse().unwrap(), measurement: measurement.parse().unwrap() }
    }

    fn lengths(histories: &Histories, name: &PointName) -> Vec<usize> {
        histories.get(name).unwrap().segments().map(<[_]>::len).collect()
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
    fn a_failed_refresh_keeps_the_last_good_points_and_is_tried_again_soon() {
        let mut histories = Histories::default();
        let power = name("power");
        histories.should_ask(&power, Timestamp(0));
        histories.answer(&power, Ok(vec![(1, 1.0)]));
        assert!(histories.should_ask(&power, Timestamp(60_000)));
        histories.answer(&power, Err(FaultKind::NoAnswer.into()));
        let hour = histories.get(&power).unwrap();
        assert_eq!((hour.points.len(), hour.arrived, hour.error.is_some()), (1, true, true));
        assert!(!histories.should_ask(&power, Timestamp(69_999)));
        assert!(histories.should_ask(&power, Timestamp(70_000)));
        histories.answer(&power, Ok(vec![(1, 1.0), (2, 2.0)]));
        assert_eq!(histories.get(&power).unwrap().error, None);
    }

    #[test]
    fn a_line_breaks_where_nothing_was_measured_for_three_intervals() {
        let mut histories = Histories::default();
        let fetched = |seconds: &[i64]| Ok(seconds.iter().map(|s| (s * 1_000, 0.0)).collect());
        // Steps of 20 s with two missing, which is no gap yet, and with three missing; then live values by the second.
        let power = name("power");
        histories.should_ask(&power, Timestamp(0));
        histories.answer(&power, fetched(&[0, 20, 40, 100, 120, 200, 220]));
        assert_eq!(lengths(&histories, &power), [5, 2]);
        for second in 221..600 {
            histories.append(&power, Timestamp(second * 1_000), 0.0);
        }
        assert_eq!(lengths(&histories, &power), [5, 381]);
        // A device that reports every five minutes has no gap between its reports, but where two hours are missing.
        let slow = name("slow");
        histories.should_ask(&slow, Timestamp(0));
        histories.answer(&slow, fetched(&[0, 300, 600, 900]));
        histories.append(&slow, Timestamp(8_000_000), 0.0);
        assert_eq!(lengths(&histories, &slow), [4, 1]);
        // Nothing measured is no segment.
        let none = name("none");
        histories.should_ask(&none, Timestamp(0));
        histories.answer(&none, Ok(Vec::new()));
        assert!(lengths(&histories, &none).is_empty());
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

    #[test]
    fn what_came_while_the_stream_was_away_is_asked_for_at_once() {
        let mut histories = Histories::default();
        let power = name("power");
        histories.should_ask(&power, Timestamp(0));
        assert!(!histories.should_ask(&power, Timestamp(1)));
        histories.stream_was_away();
        assert!(histories.should_ask(&power, Timestamp(2)));
        assert!(!histories.should_ask(&power, Timestamp(3)));
    }
}
