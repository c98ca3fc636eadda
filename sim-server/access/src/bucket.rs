//! A limit of so many a minute, as a bucket that fills evenly and holds a minute's worth. Pure: the time is passed in.

use shared::time::{MINUTE_MS, Timestamp};

/// What is left of a limit. What is taken is known only afterwards where it is an answer's points: so the bucket may be
/// overdrawn once, and who overdrew it waits until that is paid back. Over time no more is taken than the limit allows,
/// besides one minute's worth to begin with and the last answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    per_minute: f64,
    level: f64,
    at: Timestamp,
}

impl Bucket {
    /// A full bucket.
    pub fn new(per_minute: u64, now: Timestamp) -> Bucket {
        Bucket { per_minute: per_minute as f64, level: per_minute as f64, at: now }
    }

    /// Whether there is room for one more, or else how many milliseconds until there is.
    pub fn ready(&mut self, now: Timestamp) -> Result<(), i64> {
        self.fill(now);
        // A hair below one is one: filling adds up in floating point.
        let missing = 1.0 - self.level;
        if missing <= 1e-9 {
            return Ok(());
        }
        let wait = (missing / self.per_minute * MINUTE_MS as f64).ceil();
        // Of a limit of none, one never gets anything; a wait of a day says so as well as any other.
        Err(if wait.is_finite() { (wait as i64).clamp(1, 24 * 60 * MINUTE_MS) } else { 24 * 60 * MINUTE_MS })
    }

    /// Takes so many, even if there are less.
    pub fn take(&mut self, count: u64, now: Timestamp) {
        self.fill(now);
        self.level -= count as f64;
    }

    /// Goes on with another limit; what was overdrawn stays so.
    pub fn set_limit(&mut self, per_minute: u64, now: Timestamp) {
        self.fill(now);
        self.per_minute = per_minute as f64;
        self.level = self.level.min(self.per_minute);
    }

    /// A clock that was set back fills nothing, and filling goes on from there: waiting until it is where it was would starve
    /// the key. However it jumps, no more than a minute's worth is given away.
    fn fill(&mut self, now: Timestamp) {
        let passed = now.since(self.at).max(0) as f64;
        self.at = now;
        self.level = (self.level + passed / MINUTE_MS as f64 * self.per_minute).min(self.per_minute);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp(1_780_000_000_000 + ms)
    }

    #[test]
    fn a_minutes_worth_may_come_at_once_and_then_evenly() {
        let mut bucket = Bucket::new(60, at(0));
        for _ in 0..60 {
            bucket.ready(at(0)).unwrap();
            bucket.take(1, at(0));
        }
        assert_eq!(bucket.ready(at(0)), Err(1_000));
        assert_eq!(bucket.ready(at(400)), Err(600));
        assert_eq!(bucket.ready(at(1_000)), Ok(()));
        bucket.take(1, at(1_000));
        assert_eq!(bucket.ready(at(1_000)), Err(1_000));
    }

    #[test]
    fn who_overdrew_waits_until_it_is_paid_back() {
        let mut bucket = Bucket::new(100, at(0));
        bucket.ready(at(0)).unwrap();
        bucket.take(300, at(0));
        assert_eq!(bucket.ready(at(0)), Err(2 * MINUTE_MS + 600));
        assert_eq!(bucket.ready(at(2 * MINUTE_MS + 600)), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_neither_fills_nor_starves() {
        const DAY: i64 = 24 * 60 * MINUTE_MS;
        let mut bucket = Bucket::new(60, at(0));
        bucket.take(60, at(0));
        assert_eq!(bucket.ready(at(-DAY)), Err(1_000));
        assert_eq!(bucket.ready(at(1_000 - DAY)), Ok(()));
        // And forward by a day: a minute's worth, not a day's.
        bucket.take(1, at(1_000 - DAY));
        bucket.take(60, at(DAY));
        assert_eq!(bucket.ready(at(DAY)), Err(1_000));
    }

    #[test]
    fn a_limit_of_none_gives_nothing_and_a_changed_one_holds_at_once() {
        let mut bucket = Bucket::new(0, at(0));
        assert_eq!(bucket.ready(at(0)), Err(24 * 60 * MINUTE_MS));
        bucket.set_limit(60, at(0));
        assert_eq!(bucket.ready(at(1_000)), Ok(()));
        bucket.set_limit(1, at(1_000));
        bucket.take(1, at(1_000));
        assert_eq!(bucket.ready(at(1_000)), Err(MINUTE_MS));
    }

    proptest! {
        #[test]
        fn no_more_is_let_through_than_the_limit_and_waiting_as_told_always_helps(
            per_minute in 1_u64..10_000,
            steps in prop::collection::vec((0_i64..30_000, 1_u64..5), 1..200),
        ) {
            let mut bucket = Bucket::new(per_minute, at(0));
            let (mut now, mut taken) = (0, 0);
            for (pause, count) in steps {
                now += pause;
                match bucket.ready(at(now)) {
                    Ok(()) => {
                        bucket.take(count, at(now));
                        taken += count;
                    }
                    Err(wait) => {
                        let mut later = bucket;
                        prop_assert_eq!(later.ready(at(now + wait)), Ok(()));
                        if wait > 1 {
                            let mut sooner = bucket;
                            prop_assert!(sooner.ready(at(now + wait - 2)).is_err());
                        }
                    }
                }
                let allowed = per_minute as f64 * (1.0 + now as f64 / MINUTE_MS as f64);
                prop_assert!(taken as f64 <= allowed + 5.0, "{taken} of {allowed} in {now} ms");
            }
        }
    }
}
