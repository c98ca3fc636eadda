//! Clock skew: how far a device's clock is from the server's.
//!
//! What arrives was underway for some time, never for less than none: the least lateness of the last arrivals is the clock's
//! error and the shortest way (the minimum filter of NTP, RFC 5905 § 10). A clock ahead shows in one sample, since nothing
//! arrives before it was measured. A clock behind looks like a delay; it counts as one only while the lateness of all last
//! arrivals is about the same: what a device catches up with grows younger.

const SAMPLES: usize = 16;
/// The fewest that say something.
const ENOUGH: usize = 5;
/// Arrivals closer together than this tell the same.
const APART_MS: i64 = 2_000;

#[derive(Debug, Clone, Copy)]
pub(crate) struct SkewEstimate {
    lateness_ms: [i32; SAMPLES],
    seen: usize,
    last: i64,
}

impl Default for SkewEstimate {
    fn default() -> Self {
        Self { lateness_ms: [0; SAMPLES], seen: 0, last: i64::MIN }
    }
}

impl SkewEstimate {
    /// Takes in an arrival; whether its clock is wrong by more than the limit.
    pub(crate) fn judge(&mut self, at: i64, now: i64, limit_ms: i64) -> bool {
        let lateness = now.saturating_sub(at);
        if now.saturating_sub(self.last) >= APART_MS {
            self.lateness_ms[self.seen % SAMPLES] =
                lateness.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
            self.seen += 1;
            self.last = now;
        }
        if lateness < -limit_ms {
            return true;
        }
        let Some((least, most)) = self.least_and_most().filter(|_| lateness > limit_ms) else { return false };
        least > limit_ms && most - least <= limit_ms
    }

    /// When the newest arrival came that moved this; the estimate before it has an older one.
    pub(crate) fn newest(&self) -> i64 {
        self.last
    }

    fn least_and_most(&self) -> Option<(i64, i64)> {
        let known = &self.lateness_ms[..self.seen.min(SAMPLES)];
        let (least, most) = (known.iter().min()?, known.iter().max()?);
        (known.len() >= ENOUGH).then_some((i64::from(*least), i64::from(*most)))
    }

    /// The device's clock minus the server's, once enough has arrived. The shortest way is in it: milliseconds, on most.
    pub(crate) fn estimate_ms(&self) -> Option<i64> {
        self.least_and_most().map(|(least, _)| -least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: i64 = 10_000;

    /// How many of the arrivals are flagged, and the last estimate; lateness by arrival, a few seconds apart.
    fn run(lateness: &[i64]) -> (usize, Option<i64>) {
        let mut skew = SkewEstimate::default();
        let mut flagged = 0;
        for (i, late) in lateness.iter().enumerate() {
            let now = 1_000_000_000 + i as i64 * 3_000;
            flagged += usize::from(skew.judge(now - late, now, LIMIT));
        }
        (flagged, skew.estimate_ms())
    }

    #[test]
    fn clocks_that_are_wrong_are_told_from_slow_ways_and_from_catching_up() {
        let alternating: Vec<i64> = (0..30).map(|i| if i % 3 == 0 { 200 } else { 15_000 }).collect();
        let catching_up: Vec<i64> = (0..30).map(|i| 90_000 - i * 3_000).collect();
        for (what, lateness, expected) in [
            ("right", vec![20; 30], (0, Some(-20))),
            ("a little ahead", vec![-4_000; 30], (0, Some(4_000))),
            ("far ahead, from the first sample on", vec![-15_000; 30], (30, Some(15_000))),
            ("far behind, once that is sure", vec![60_000; 30], (26, Some(-60_000))),
            ("a way that is slow now and then", alternating, (0, Some(-200))),
            ("catching up", catching_up, (0, Some(-3_000))),
            ("too little to say", vec![60_000; 4], (0, None)),
        ] {
            assert_eq!(run(&lateness), expected, "{what}");
        }
    }

    #[test]
    fn arrivals_at_once_count_as_one() {
        let mut skew = SkewEstimate::default();
        for i in 0..100 {
            assert!(!skew.judge(i, 60_000 + i, LIMIT));
        }
        assert_eq!(skew.estimate_ms(), None);
    }
}
