//! How long to wait before trying again.

use sha2::{Digest, Sha256};

/// Twice as long after each failure, from `first_ms` up to `longest_ms`, give or take a fifth that differs by delivery and attempt:
/// receivers that failed together are not all asked again together. `attempts` have failed so far, at least one.
pub(crate) fn wait_ms(first_ms: i64, longest_ms: i64, delivery: &str, attempts: u64) -> i64 {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX).min(32);
    let wait = first_ms.saturating_mul(1_i64 << doublings).clamp(1, longest_ms.max(1));
    let hash = Sha256::digest(format!("{delivery} {attempts}"));
    let share = f64::from(u16::from_be_bytes([hash[0], hash[1]])) / f64::from(u16::MAX);
    ((wait as f64 * (0.8 + 0.4 * share)) as i64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let about = |attempts, expected: i64| {
            let wait = wait_ms(5_000, 3_600_000, "d", attempts);
            assert!((expected * 8 / 10..=expected * 12 / 10).contains(&wait), "{attempts}: {wait}");
        };
        for (attempts, expected) in [(1, 5_000), (2, 10_000), (3, 20_000), (10, 2_560_000), (11, 3_600_000)] {
            about(attempts, expected);
        }
        about(u64::MAX, 3_600_000);
    }

    proptest! {
        #[test]
        fn a_wait_is_never_none_and_never_much_above_the_longest(first in 1_i64..100_000, longest in 1_i64..10_000_000, id in ".*", attempts: u64) {
            let wait = wait_ms(first, longest, &id, attempts);
            prop_assert!(wait >= 1 && wait as f64 <= longest as f64 * 1.2 + 1.0);
        }
    }

    #[test]
    fn deliveries_do_not_wait_in_step() {
        let waits: std::collections::BTreeSet<i64> =
            (0..100).map(|n| wait_ms(5_000, 3_600_000, &format!("d-{n}"), 4)).collect();
        assert!(waits.len() > 90, "{}", waits.len());
    }
}
