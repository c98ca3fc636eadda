//! Whether a device is there: when it was last heard, whether it ever reported, whether its data are on time.
//!
//! Written by every payload, so atomics and no lock.

use shared::time::Timestamp;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

/// Stands for "never" in the atomics.
const NEVER: i64 = i64::MIN;

#[derive(Debug)]
pub(crate) struct PresenceState {
    last_seen: AtomicI64,
    newest_data: AtomicI64,
    online: AtomicBool,
    /// Whether its silence was told since it was last heard.
    silence_told: AtomicBool,
    last_on_time: AtomicI64,
    last_late: AtomicI64,
    /// Whether the last data that were meant live came late.
    late_live: AtomicBool,
}

impl PresenceState {
    pub(crate) fn new() -> Self {
        Self {
            last_seen: AtomicI64::new(NEVER),
            newest_data: AtomicI64::new(NEVER),
            online: AtomicBool::new(false),
            silence_told: AtomicBool::new(false),
            last_on_time: AtomicI64::new(NEVER),
            last_late: AtomicI64::new(NEVER),
            late_live: AtomicBool::new(false),
        }
    }

    /// The device was alive at `at`. Whether that brought it back online.
    pub(crate) fn heard(&self, at: Timestamp) -> bool {
        self.last_seen.fetch_max(at.0, Relaxed);
        let is_back = !self.online.load(Relaxed) && !self.online.swap(true, Relaxed);
        if is_back {
            self.silence_told.store(false, Relaxed);
        }
        is_back
    }

    /// Whether the device's silence is news.
    pub(crate) fn tell_silence(&self) -> bool {
        !self.silence_told.swap(true, Relaxed)
    }

    /// The device was alive at `at`, too long ago to count as online.
    pub(crate) fn heard_long_ago(&self, at: Timestamp) {
        self.last_seen.fetch_max(at.0, Relaxed);
    }

    pub(crate) fn has_reported(&self) -> bool {
        self.newest_data.load(Relaxed) != NEVER
    }

    /// The device measured something at `at`; whether that is newer than all it measured before.
    pub(crate) fn reported(&self, at: Timestamp) -> bool {
        self.newest_data.fetch_max(at.0, Relaxed) < at.0
    }

    pub(crate) fn is_online(&self) -> bool {
        self.online.load(Relaxed)
    }

    pub(crate) fn last_seen(&self) -> Option<Timestamp> {
        Some(self.last_seen.load(Relaxed)).filter(|&at| at != NEVER).map(Timestamp)
    }

    /// Goes offline when silent since before `heard_after`; whether that changed anything.
    pub(crate) fn fall_silent(&self, heard_after: Timestamp) -> bool {
        if self.last_seen.load(Relaxed) > heard_after.0 || !self.online.swap(false, Relaxed) {
            return false;
        }
        // A payload may have come in between; it saw the device online and announced nothing.
        if self.last_seen.load(Relaxed) > heard_after.0 {
            self.online.store(true, Relaxed);
            return false;
        }
        true
    }

    pub(crate) fn was_on_time(&self, now: Timestamp) {
        self.last_on_time.store(now.0, Relaxed);
        self.late_live.store(false, Relaxed);
    }

    /// Whether its data ever were.
    pub(crate) fn was_ever_on_time(&self) -> bool {
        self.last_on_time.load(Relaxed) != NEVER
    }

    /// Late data came; whether they count as delayed. A device that was never on time may be handing in what it stored:
    /// then only data that are `meant_live` do, and only the second in a row, since the first may end what was stored.
    pub(crate) fn was_late(&self, meant_live: bool, now: Timestamp) -> bool {
        self.last_late.store(now.0, Relaxed);
        (meant_live && self.late_live.swap(true, Relaxed)) || self.last_on_time.load(Relaxed) != NEVER
    }

    /// Whether the last data were on time.
    pub(crate) fn is_on_time(&self) -> bool {
        self.last_on_time.load(Relaxed) > self.last_late.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_comes_online_once_and_falls_silent_once() {
        let presence = PresenceState::new();
        assert!(presence.heard(Timestamp(100)));
        assert!(!presence.heard(Timestamp(200)));
        assert!(!presence.fall_silent(Timestamp(150)), "heard after that");
        assert!(presence.fall_silent(Timestamp(200)));
        assert!(!presence.fall_silent(Timestamp(200)));
        assert!(presence.heard(Timestamp(300)));
    }

    #[test]
    fn stored_data_are_delayed_only_for_a_device_that_was_on_time() {
        let presence = PresenceState::new();
        assert!(!presence.was_late(false, Timestamp(1)));
        assert!(!presence.was_late(true, Timestamp(1)), "perhaps the last of what was stored");
        assert!(presence.was_late(true, Timestamp(1)), "meant to be live");
        presence.was_on_time(Timestamp(2));
        assert!(presence.is_on_time());
        assert!(presence.was_late(false, Timestamp(3)));
        assert!(!presence.is_on_time());
    }
}
