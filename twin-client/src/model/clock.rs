//! The server's clock, told from this machine's and the messages that carried it.
//!
//! A message shows the server's clock as it was when sent, so what it says lags by its way here. The least delayed of the
//! last minute is the best guess; older ones are let go, since two clocks never run quite alike.

use shared::time::Timestamp;
use std::collections::VecDeque;

/// How far back the least delayed message is looked for.
const WINDOW_MS: i64 = 60_000;
/// The server's clock was set back when every message of this long says so…
const RECENT_MS: i64 = 5_000;
/// …by more than this.
const JUMP_MS: i64 = 2_000;

#[derive(Debug, Default)]
pub struct ServerClock {
    /// When a message was heard and how far ahead the server's clock was: offsets fall, moments rise, so the first is the
    /// largest and each stays only until one after it is as large.
    best: VecDeque<(i64, i64)>,
    /// The same over the last seconds only.
    recent: VecDeque<(i64, i64)>,
    first_recent: Option<i64>,
}

impl ServerClock {
    /// Takes the server's clock as a message told it; `local` is this machine's, which must not jump.
    pub fn observe(&mut self, server: Timestamp, local: Timestamp) {
        let sample = (local.0, server.since(local));
        if self.recent.back().is_none_or(|(last, _)| local.0 - last > RECENT_MS) {
            self.first_recent = Some(local.0);
        }
        push(&mut self.best, sample, WINDOW_MS);
        push(&mut self.recent, sample, RECENT_MS);
        let heard_for = self.first_recent.map_or(0, |first| local.0 - first);
        if let (Some((_, best)), Some((_, recent))) = (self.best.front(), self.recent.front())
            && heard_for >= RECENT_MS
            && best - recent > JUMP_MS
        {
            self.best = self.recent.clone();
        }
    }

    /// Server's clock minus this machine's, milliseconds; `None` until it was heard.
    pub fn offset_ms(&self) -> Option<i64> {
        self.best.front().map(|(_, offset)| *offset)
    }
}

fn push(window: &mut VecDeque<(i64, i64)>, (at, offset): (i64, i64), span_ms: i64) {
    while window.back().is_some_and(|(_, smaller)| *smaller <= offset) {
        window.pop_back();
    }
    while window.front().is_some_and(|(old, _)| at - old > span_ms) {
        window.pop_front();
    }
    window.push_back((at, offset));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(clock: &mut ServerClock, local: i64, offset: i64, delay: i64) {
        clock.observe(Timestamp(local + offset - delay), Timestamp(local));
    }

    #[test]
    fn the_least_delayed_message_of_the_last_minute_counts() {
        let mut clock = ServerClock::default();
        assert_eq!(clock.offset_ms(), None);
        for (second, delay) in [40, 90, 15, 300, 22].into_iter().enumerate() {
            hear(&mut clock, second as i64 * 1_000, 5_000, delay);
        }
        assert_eq!(clock.offset_ms(), Some(4_985));
    }

    #[test]
    fn a_clock_that_runs_too_fast_or_slow_is_followed() {
        // 100 parts in a million: 360 ms an hour.
        for drift in [-1, 1] {
            let mut clock = ServerClock::default();
            for second in 0..3_600_i64 {
                hear(&mut clock, second * 1_000, 7_000 + drift * second / 10, 10 + (second * 37) % 50);
            }
            let right = 7_000 + drift * 360;
            let off = clock.offset_ms().unwrap() - right;
            assert!((-40..=10).contains(&off), "{off} ms off after an hour");
        }
    }

    #[test]
    fn a_server_clock_set_forward_is_followed_at_once_and_back_within_seconds() {
        let mut clock = ServerClock::default();
        hear(&mut clock, 0, 0, 20);
        hear(&mut clock, 1_000, 60_000, 20);
        assert_eq!(clock.offset_ms(), Some(59_980));
        for second in 2..=8 {
            hear(&mut clock, second * 1_000, -60_000, 20);
        }
        assert_eq!(clock.offset_ms(), Some(-60_020));
    }

    #[test]
    fn messages_held_up_for_seconds_are_not_a_jump() {
        let mut clock = ServerClock::default();
        for second in 0..10 {
            hear(&mut clock, second * 1_000, 1_000, 5);
        }
        // Eight seconds of nothing, then everything at once.
        for held in (0..8).rev() {
            hear(&mut clock, 17_000, 1_000, held * 1_000 + 5);
            assert_eq!(clock.offset_ms(), Some(995));
        }
    }
}
