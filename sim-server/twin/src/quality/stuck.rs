//! Stuck values: a gauge that always moves a little and does not.
//!
//! The persistence test of WMO's guidelines for automatic weather stations (2004): less variability than the quantity ever
//! shows over a time says that the sensor, or what reads it, hangs.

/// Fewer samples than these may be the same by chance, or are a gap rather than a sensor that hangs. Five were too few: quarter
/// hours of simulated voltages agreed now and then.
const SAMPLES: u8 = 10;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StuckLimit {
    pub(crate) after_ms: i64,
    /// Values at which the quantity may rest: nothing flows, or the range ends.
    pub(crate) at_rest: [Option<f64>; 3],
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StuckState {
    value: f64,
    since: i64,
    newest: i64,
    samples: u8,
}

impl StuckState {
    /// Whether the value has stood still for too long.
    pub(crate) fn judge(&mut self, limit: &StuckLimit, at: i64, value: f64) -> bool {
        if self.samples > 0 && at <= self.newest {
            return false;
        }
        self.newest = at;
        if self.samples == 0 || value != self.value {
            *self = Self { value, since: at, newest: at, samples: 1 };
            return false;
        }
        self.samples = self.samples.saturating_add(1);
        self.samples >= SAMPLES
            && at - self.since >= limit.after_ms
            && !limit.at_rest.iter().flatten().any(|rest| *rest == value)
    }

    /// The newest sample that moved this; the state before it has an older one.
    pub(crate) fn newest(&self) -> Option<i64> {
        (self.samples > 0).then_some(self.newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standing_still_is_told_from_resting_from_gaps_and_from_moving() {
        let limit = StuckLimit { after_ms: 5_000, at_rest: [Some(0.0), Some(-10.0), Some(100.0)] };
        let every = |ms: i64, values: &[f64]| {
            values.iter().enumerate().map(|(i, v)| (i as i64 * ms, *v)).collect::<Vec<_>>()
        };
        for (what, samples, expected) in [
            ("moving", every(1_000, &[1.0, 1.1, 1.0, 1.1, 1.0, 1.1, 1.0]), 0),
            ("still from the start", every(1_000, &[1.0; 13]), 4),
            ("still, then moving", every(1_000, &[&[1.0; 10][..], &[1.1; 2]].concat()), 1),
            ("at rest", every(1_000, &[0.0; 12]), 0),
            ("at the end of the range", every(1_000, &[100.0; 12]), 0),
            ("few samples far apart", every(60_000, &[1.0; 9]), 0),
            ("many samples far apart", every(60_000, &[1.0; 11]), 2),
            ("the same sample again and again", vec![(9_000, 1.0); 12], 0),
        ] {
            let mut state = StuckState::default();
            let stuck = samples.iter().filter(|(at, value)| state.judge(&limit, *at, *value)).count();
            assert_eq!(stuck, expected, "{what}");
        }
    }
}
