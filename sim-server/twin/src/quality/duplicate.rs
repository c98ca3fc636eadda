//! Duplicates: the same item again, as after a reconnection of MQTT QoS 1.
//!
//! The last few items of a device are remembered by instant and fingerprint. What was remembered is gone after a restart; then
//! the newest readings, which the store gives back, still tell an item that brings nothing but them. A duplicate is stored as
//! it was the first time, flags included, so that the history's "last written wins" changes nothing.

use shared::telemetry::Reading;

const REMEMBERED: usize = 8;

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    at: i64,
    /// 0 for a place never used.
    fingerprint: u64,
    /// Which of the item's values were doubted, by place in the item, as far as there are bits.
    doubted: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Recent {
    seen: [Seen; REMEMBERED],
    next: usize,
}

impl Recent {
    /// What was doubted of the item when it came first, if it did.
    pub(crate) fn find(&self, at: i64, fingerprint: u64) -> Option<u64> {
        self.seen.iter().find(|s| s.at == at && s.fingerprint == fingerprint).map(|s| s.doubted)
    }

    pub(crate) fn remember(&mut self, at: i64, fingerprint: u64, doubted: u64) {
        self.seen[self.next] = Seen { at, fingerprint, doubted };
        self.next = (self.next + 1) % REMEMBERED;
    }

    /// The store did not take this item: it may be sent again, and is no duplicate then.
    pub(crate) fn forget(&mut self, at: i64, fingerprint: u64) {
        let Some(place) = self.seen.iter().position(|s| s.at == at && s.fingerprint == fingerprint) else {
            return;
        };
        self.seen[place] = Seen::default();
        // Its place is the next one's, so that an item tried often does not push out all others.
        if (place + 1) % REMEMBERED == self.next {
            self.next = place;
        }
    }
}

/// Gives an item the flags it is stored with, when it says nothing but what its points' newest readings say already.
pub(crate) fn is_newest(readings: &mut [(u16, Reading)], newest: impl Fn(u16) -> Option<Reading>) -> bool {
    let is_known = |(measurement, reading): &(u16, Reading)| {
        let known = newest(*measurement);
        known.is_some_and(|known| known.timestamp == reading.timestamp && known.value == reading.value)
    };
    if readings.is_empty() || !readings.iter().all(is_known) {
        return false;
    }
    for (measurement, reading) in readings {
        *reading = newest(*measurement).unwrap_or(*reading);
    }
    true
}

/// Stands for an item's values; never 0.
pub(crate) fn fingerprint(readings: &[(u16, Reading)]) -> u64 {
    // FNV-1a's multiplier over whole words: spread enough to tell items of one device apart.
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mix = |hash: u64, (measurement, reading): &(u16, Reading)| {
        ((hash ^ reading.value.to_bits() ^ u64::from(*measurement).rotate_left(48)).wrapping_mul(PRIME))
            .rotate_left(29)
    };
    readings.iter().fold(0xcbf2_9ce4_8422_2325, mix) | 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_park::reading;

    #[test]
    fn an_item_is_known_by_its_instant_and_its_values() {
        let item = |values: &[f64]| {
            let readings: Vec<_> =
                values.iter().enumerate().map(|(i, v)| (i as u16, reading(*v, 0))).collect();
            fingerprint(&readings)
        };
        let mut recent = Recent::default();
        recent.remember(5, item(&[1.0, 2.0]), 0b10);
        assert_eq!(recent.find(5, item(&[1.0, 2.0])), Some(0b10));
        for (at, other) in [(6, item(&[1.0, 2.0])), (5, item(&[2.0, 1.0])), (5, item(&[1.0])), (0, 0)] {
            assert_eq!(recent.find(at, other | 1), None, "{at}");
        }
        recent.remember(5, item(&[3.0]), 0);
        recent.forget(5, item(&[3.0]));
        assert_eq!(recent.find(5, item(&[1.0, 2.0])), Some(0b10), "another item of the same instant stays");
        for _ in 0..20 {
            recent.remember(6, item(&[4.0]), 0);
            recent.forget(6, item(&[4.0]));
        }
        assert_eq!(recent.find(6, item(&[4.0])), None);
        assert_eq!(recent.find(5, item(&[1.0, 2.0])), Some(0b10), "an item tried often pushes out no other");
        for at in 0..20 {
            recent.remember(at, item(&[at as f64]), 0);
        }
        assert_eq!(recent.find(19, item(&[19.0])), Some(0));
        assert_eq!(recent.find(11, item(&[11.0])), None, "only the last few are remembered");
    }
}
