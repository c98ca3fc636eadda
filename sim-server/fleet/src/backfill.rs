//! The past, sent through the same connections before the fleet goes live.
//!
//! Only what is missing: from the moment the fleet remembers (or the days asked for) up to now. One pass of the world gives every
//! device's history; links batch it into arrays and keep a window of them in flight, so the server's pace is the fleet's.

use crate::{
    clock::{Clock, lock, wall_clock},
    link::Saying,
    world::Rule,
};
use shared::time::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp};
use std::{sync::atomic::Ordering, time::Duration};

/// Steps of all devices between two progress lines: a day of quarter hours.
const STEPS_A_LINE: u32 = 96;

/// Gaps shorter than this are filled minute by minute.
const SHORT_GAP_MS: i64 = 2 * HOUR_MS;

/// The moments a history from `from` to `until` is reported at: whole steps strictly after `from`, up to `until`.
fn moments(from: Timestamp, until: Timestamp, step_ms: i64) -> impl Iterator<Item = Timestamp> {
    let first = from.floor_to(step_ms).millis() + step_ms;
    (0..).map(move |n| Timestamp(first + n * step_ms)).take_while(move |at| *at <= until)
}

impl Clock {
    /// Fills the gap between the world's moment and now; `say` gets progress lines. Gives how many reports were sent.
    pub(crate) async fn backfill(&mut self, step_s: u32, say: &(dyn Fn(&str) + Sync)) -> u64 {
        let mut sent = 0;
        let began = lock(&self.world).now();
        // While the past is sent, time goes on: a second, short pass closes what the first took.
        loop {
            let (from, until) = (lock(&self.world).now(), wall_clock());
            let gap_ms = until.since(from);
            let wanted_ms = i64::from(step_s) * 1_000;
            let step_ms = if gap_ms < SHORT_GAP_MS { wanted_ms.min(MINUTE_MS) } else { wanted_ms };
            let steps: Vec<Timestamp> = moments(from, until, step_ms).collect();
            if steps.is_empty() || self.stop.is_cancelled() {
                break;
            }
            for (done, at) in steps.iter().enumerate() {
                if !self.send_step(*at).await {
                    return sent;
                }
                sent += self.reporters.len() as u64;
                if (done + 1).is_multiple_of(STEPS_A_LINE as usize) {
                    let share = at.since(began) as f64 / until.since(began).max(1) as f64;
                    say(&format!(
                        "history: {:.0} % ({} of {} days)",
                        100.0 * share,
                        days(at.since(began)),
                        days(until.since(began))
                    ));
                }
            }
            self.wait_for_acknowledgements().await;
            self.remember().await;
        }
        sent
    }

    /// One step of the world and one report of every device; false when the fleet is to stop.
    async fn send_step(&mut self, at: Timestamp) -> bool {
        let messages: Vec<_> = {
            let mut world = lock(&self.world);
            world.step(at, Rule::TimeOfUse);
            (0..world.device_count()).map(|device| world.sample(device)).collect()
        };
        for (reporter, message) in self.reporters.iter_mut().zip(messages) {
            let Some(message) = reporter.faults.distort(message) else { continue };
            self.status.outstanding.fetch_add(1, Ordering::AcqRel);
            tokio::select! {
                taken = reporter.outbox.send(Saying::Data(message)) => {
                    if taken.is_err() {
                        self.status.outstanding.fetch_sub(1, Ordering::AcqRel);
                        return false;
                    }
                }
                () = self.stop.cancelled() => return false,
            }
        }
        true
    }

    async fn wait_for_acknowledgements(&self) {
        const LOOK_AGAIN: Duration = Duration::from_millis(20);
        while !self.status.everything_is_acknowledged() && !self.stop.is_cancelled() {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

fn days(ms: i64) -> String {
    format!("{:.1}", ms as f64 / DAY_MS as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_filled_at_whole_steps_after_what_is_known_up_to_now() {
        let minutes = |from: i64, until: i64, step: i64| -> Vec<i64> {
            moments(Timestamp(from * MINUTE_MS), Timestamp(until * MINUTE_MS), step * MINUTE_MS)
                .map(|at| at.millis() / MINUTE_MS)
                .collect()
        };
        assert_eq!(minutes(0, 45, 15), [15, 30, 45]);
        assert_eq!(minutes(7, 44, 15), [15, 30]);
        assert_eq!(minutes(15, 29, 15), Vec::<i64>::new());
        assert_eq!(minutes(20, 10, 15), Vec::<i64>::new());
    }
}
