//! Irregularity without randomness: the same seed, name and moment always give the same value.
//!
//! So a fleet that is restarted, stepped in seconds or stepped in quarters of an hour lives in the same world.

use shared::time::Timestamp;

/// A source of irregular but reproducible numbers, one per device and purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noise(u64);

/// Finaliser of SplitMix64 (Steele, Lea & Flood 2014): every input bit reaches every output bit.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// 0 up to 1 from the upper bits.
fn unit(x: u64) -> f64 {
    (x >> 11) as f64 / (1u64 << 53) as f64
}

impl Noise {
    pub(crate) fn new(seed: u64, name: &str) -> Self {
        Self(name.bytes().fold(mix(seed), |state, byte| mix(state ^ u64::from(byte))))
    }

    /// Another source for another purpose of the same device.
    pub(crate) fn of(self, purpose: &str) -> Self {
        Self::new(self.0, purpose)
    }

    /// A constant in 0…1.
    pub(crate) fn constant(self) -> f64 {
        unit(mix(self.0))
    }

    /// A value in 0…1 for one slot of time (or any other number), independent from slot to slot.
    pub(crate) fn slot(self, slot: i64) -> f64 {
        unit(mix(self.0 ^ mix(slot as u64)))
    }

    /// A smooth value in −1…1 that wanders over `period_s`: independent values at whole periods, a cubic between them.
    pub(crate) fn at(self, at: Timestamp, period_s: f64) -> f64 {
        let position = at.millis() as f64 / (period_s * 1e3);
        let before = position.floor();
        let fraction = position - before;
        let eased = fraction * fraction * (3.0 - 2.0 * fraction);
        let (a, b) = (self.slot(before as i64), self.slot(before as i64 + 1));
        2.0 * (a + (b - a) * eased) - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_moment_has_the_same_noise_and_another_seed_has_not() {
        let (a, b, c) = (Noise::new(1, "pv-01"), Noise::new(1, "pv-01"), Noise::new(2, "pv-01"));
        let at = Timestamp(1_780_000_123_456);
        assert_eq!(a.at(at, 60.0), b.at(at, 60.0));
        assert_ne!(a.at(at, 60.0), c.at(at, 60.0));
        assert_ne!(a.of("cloud").at(at, 60.0), a.of("load").at(at, 60.0));
    }

    #[test]
    fn noise_is_centred_bounded_and_smooth() {
        let noise = Noise::new(7, "x");
        let values: Vec<f64> = (0..200_000).map(|s| noise.at(Timestamp(s * 1000), 30.0)).collect();
        assert!(values.iter().all(|v| (-1.0..=1.0).contains(v)));
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.02, "{mean}");
        let steepest = values.windows(2).map(|w| (w[1] - w[0]).abs()).fold(0.0, f64::max);
        assert!(steepest <= 2.0 * 1.5 / 30.0 + 1e-9, "{steepest}");
    }

    #[test]
    fn slots_are_spread_evenly() {
        let noise = Noise::new(3, "y");
        let low = (0..10_000).filter(|slot| noise.slot(*slot) < 0.3).count();
        assert!((2_800..3_200).contains(&low), "{low}");
    }
}
