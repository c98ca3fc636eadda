//! Rate of change: a value that got where it is faster than its quantity can.
//!
//! A sample is held against the last believed one, so a single spike is doubted and the sample after it is not. A level that
//! holds is believed: the third sample in a row that follows from the doubted ones before it becomes the new reference. After
//! the "check on a plausible rate of change" of WMO's guidelines for automatic weather stations (Zahumenský, CBS/OPAG-IOS,
//! 2004), which compares neighbours only.

/// Samples that agree with one another before a new level is believed.
const AGREEING: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RateLimit {
    pub(crate) per_ms: f64,
    /// The last digit shown: rounding alone is no jump.
    pub(crate) resolution: f64,
    /// Whether a fall is a register that began again at zero.
    pub(crate) is_counter: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RateState {
    believed: Option<(i64, f64)>,
    doubted: (i64, f64),
    agreeing: u8,
}

impl RateState {
    /// Whether the value jumped. A sample older than one judged before says nothing.
    pub(crate) fn judge(&mut self, limit: &RateLimit, at: i64, value: f64) -> bool {
        let Some(believed) = self.believed else {
            self.believed = Some((at, value));
            return false;
        };
        if at <= believed.0 || (self.agreeing > 0 && at <= self.doubted.0) {
            return false;
        }
        if limit.allows(believed, at, value) {
            (self.believed, self.agreeing) = (Some((at, value)), 0);
            return false;
        }
        let agrees = self.agreeing > 0 && limit.allows(self.doubted, at, value);
        self.agreeing = if agrees { self.agreeing + 1 } else { 1 };
        self.doubted = (at, value);
        if self.agreeing < AGREEING {
            return true;
        }
        (self.believed, self.agreeing) = (Some((at, value)), 0);
        false
    }
}

impl RateState {
    /// The newest sample that moved this; the state before it has an older one.
    pub(crate) fn newest(&self) -> Option<i64> {
        let believed = self.believed.map(|(at, _)| at);
        if self.agreeing > 0 { believed.max(Some(self.doubted.0)) } else { believed }
    }
}

impl RateLimit {
    fn allows(&self, (from_at, from): (i64, f64), at: i64, value: f64) -> bool {
        let change = if self.is_counter && value < from { value } else { value - from };
        change.abs() <= self.per_ms * (at - from_at) as f64 + self.resolution
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jumps(limit: &RateLimit, samples: &[(i64, f64)]) -> Vec<usize> {
        let mut state = RateState::default();
        let judged = samples.iter().enumerate().filter(|(_, (at, value))| state.judge(limit, *at, *value));
        judged.map(|(i, _)| i).collect()
    }

    #[test]
    fn jumps_are_told_from_spikes_steps_ramps_gaps_and_resets() {
        let gauge = RateLimit { per_ms: 0.001, resolution: 0.1, is_counter: false };
        let counter = RateLimit { is_counter: true, ..gauge };
        let s = |values: &[f64]| {
            values.iter().enumerate().map(|(i, v)| (i as i64 * 1_000, *v)).collect::<Vec<_>>()
        };
        for (what, limit, samples, expected) in [
            ("steady", gauge, s(&[5.0, 5.0, 5.1, 4.9]), vec![]),
            ("as fast as allowed", gauge, s(&[0.0, 1.0, 2.1, 3.0]), vec![]),
            ("one spike", gauge, s(&[5.0, 5.0, 50.0, 5.0, 5.0]), vec![2]),
            ("two different spikes", gauge, s(&[5.0, 50.0, -50.0, 5.0]), vec![1, 2]),
            ("a level that holds", gauge, s(&[5.0, 50.0, 50.0, 50.0, 50.5, 5.0]), vec![1, 2, 5]),
            ("slow over a gap", gauge, vec![(0, 0.0), (60_000, 50.0)], vec![]),
            ("older samples", gauge, vec![(10_000, 0.0), (5_000, 90.0), (10_000, 90.0)], vec![]),
            ("a register", counter, s(&[100.0, 100.5, 101.0, 150.0, 102.5]), vec![3]),
            ("a register that starts again", counter, s(&[100.0, 0.4, 0.9]), vec![]),
            ("a register that falls", counter, s(&[100.0, 60.0, 101.0]), vec![1]),
        ] {
            assert_eq!(jumps(&limit, &samples), expected, "{what}");
        }
    }
}
