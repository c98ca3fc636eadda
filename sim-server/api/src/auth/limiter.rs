//! A brake on guessing passwords: after a few failures a (user, address) pair must wait, twice as long each time.

use parking_lot::Mutex;
use shared::time::{MINUTE_MS, SECOND_MS, Timestamp};
use std::{collections::HashMap, net::IpAddr};

/// Failures that cost nothing: people mistype.
const FREE_FAILURES: u32 = 5;
/// Failures of one address over all user names before it waits too.
const FREE_FAILURES_OF_ADDRESS: u32 = 50;
const FIRST_WAIT_MS: i64 = 30 * SECOND_MS;
const LONGEST_WAIT_MS: i64 = 15 * MINUTE_MS;
/// Without a failure for this long, all is forgotten.
const MEMORY_MS: i64 = 15 * MINUTE_MS;
/// Most pairs remembered: a flood of made-up names must not fill memory.
const MOST: usize = 20_000;

#[derive(Debug, Default)]
pub(crate) struct LoginLimiter {
    failures: Mutex<HashMap<Key, Failures>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Pair(String, IpAddr),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Failures {
    fn blocked_until(self, free: u32) -> Timestamp {
        match self.count.checked_sub(free) {
            None => Timestamp(i64::MIN),
            Some(beyond) => {
                let wait = FIRST_WAIT_MS.saturating_mul(1 << beyond.min(20)).min(LONGEST_WAIT_MS);
                Timestamp(self.last.0 + wait)
            }
        }
    }

    fn is_forgotten(self, now: Timestamp) -> bool {
        now.since(self.last) > MEMORY_MS
    }
}

impl LoginLimiter {
    /// Seconds to wait before another try, if any.
    pub(crate) fn wait_s(&self, user: &str, address: IpAddr, now: Timestamp) -> Option<u64> {
        let failures = self.failures.lock();
        let until = [
            (Key::Pair(user.to_owned(), address), FREE_FAILURES),
            (Key::Address(address), FREE_FAILURES_OF_ADDRESS),
        ]
        .into_iter()
        .filter_map(|(key, free)| {
            let known = failures.get(&key).filter(|known| !known.is_forgotten(now))?;
            Some(known.blocked_until(free))
        })
        .max()?;
        let wait_ms = until.0.saturating_sub(now.0);
        (wait_ms > 0).then(|| wait_ms.unsigned_abs().div_ceil(1_000))
    }

    pub(crate) fn failed(&self, user: &str, address: IpAddr, now: Timestamp) {
        let mut failures = self.failures.lock();
        if failures.len() >= MOST {
            failures.retain(|_, known| !known.is_forgotten(now));
        }
        if failures.len() >= MOST {
            // Still full of fresh ones: an attack. What is known of addresses matters more than of pairs.
            failures.retain(|key, _| matches!(key, Key::Address(_)));
        }
        for key in [Key::Pair(user.to_owned(), address), Key::Address(address)] {
            let known = failures.entry(key).or_insert(Failures { count: 0, last: now });
            if known.is_forgotten(now) {
                known.count = 0;
            }
            known.count = known.count.saturating_add(1);
            known.last = now;
        }
    }

    /// The right password forgives the pair, not the address: it may know just one account.
    pub(crate) fn succeeded(&self, user: &str, address: IpAddr) {
        self.failures.lock().remove(&Key::Pair(user.to_owned(), address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn at(ms: i64) -> Timestamp {
        Timestamp(1_780_000_000_000 + ms)
    }

    #[test]
    fn five_failures_are_free_and_then_waits_double() {
        let limiter = LoginLimiter::default();
        for _ in 0..4 {
            limiter.failed("lin", HERE, at(0));
        }
        assert_eq!(limiter.wait_s("lin", HERE, at(0)), None);
        limiter.failed("lin", HERE, at(0));
        assert_eq!(limiter.wait_s("lin", HERE, at(0)), Some(30));
        assert_eq!(limiter.wait_s("lin", HERE, at(29_001)), Some(1));
        assert_eq!(limiter.wait_s("lin", HERE, at(30_000)), None);
        limiter.failed("lin", HERE, at(30_000));
        assert_eq!(limiter.wait_s("lin", HERE, at(30_000)), Some(60));
        for _ in 0..40 {
            limiter.failed("lin", HERE, at(30_000));
        }
        assert_eq!(limiter.wait_s("lin", HERE, at(30_000)), Some(900));
    }

    #[test]
    fn others_do_not_wait_for_one_who_guesses() {
        let limiter = LoginLimiter::default();
        for _ in 0..10 {
            limiter.failed("lin", HERE, at(0));
        }
        assert_eq!(limiter.wait_s("lin", THERE, at(0)), None);
        assert_eq!(limiter.wait_s("wang", HERE, at(0)), None);
    }

    #[test]
    fn an_address_that_tries_many_names_waits() {
        let limiter = LoginLimiter::default();
        for index in 0..50 {
            limiter.failed(&format!("user-{index}"), HERE, at(0));
        }
        assert_eq!(limiter.wait_s("never tried", HERE, at(0)), Some(30));
        limiter.succeeded("never tried", HERE);
        assert_eq!(limiter.wait_s("never tried", HERE, at(0)), Some(30));
    }

    #[test]
    fn success_and_time_forgive() {
        let limiter = LoginLimiter::default();
        for _ in 0..6 {
            limiter.failed("lin", HERE, at(0));
        }
        assert_eq!(limiter.wait_s("lin", HERE, at(MEMORY_MS + 1)), None);
        limiter.succeeded("lin", HERE);
        assert_eq!(limiter.wait_s("lin", HERE, at(0)), None);
    }

    #[test]
    fn a_flood_of_names_does_not_fill_memory() {
        let limiter = LoginLimiter::default();
        for index in 0..(2 * MOST) {
            limiter.failed(&format!("user-{index}"), HERE, at(0));
        }
        assert!(limiter.failures.lock().len() <= MOST + 2);
        assert!(limiter.wait_s("anyone", HERE, at(0)).is_some());
    }
}
