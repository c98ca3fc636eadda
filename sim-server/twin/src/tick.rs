//! The passing of time: devices fall silent, alarms clear, commands are retried and expire, and what waits is written.

use crate::{
    alarms::{AlarmBook, AlarmInput},
    twin::{Inner, Twin},
};
use shared::{alarm::AlarmKind, time::Timestamp};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Commands are looked after this often: what a retry or an expiry may be late.
const COMMAND_TICK: Duration = Duration::from_millis(250);
/// Presence and alarms every this many of those.
const ALARM_EVERY: u32 = 4;
/// Counts of data quality are written this often: what a killed process loses of them.
const COUNTS_EVERY: Duration = Duration::from_secs(60);
/// What could not be written is tried again after this.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

impl Twin {
    /// Looks after everything that happens by itself until `shutdown`; then writes what is left and returns.
    pub async fn run(&self, shutdown: CancellationToken) {
        let inner = &self.inner;
        let ticking = async {
            let mut interval = tokio::time::interval(COMMAND_TICK);
            interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut round = 0_u32;
            while shutdown.run_until_cancelled(interval.tick()).await.is_some() {
                let now = (inner.options.clock)();
                inner.tick_commands(now);
                if round.is_multiple_of(ALARM_EVERY) {
                    inner.tick_devices(now);
                }
                round = round.wrapping_add(1);
            }
        };
        tokio::join!(
            ticking,
            inner.keep_writing(&shutdown),
            inner.keep_counts(&shutdown),
            inner.keep_presence(&shutdown)
        );
    }

    /// One round of what [`Twin::run`] does, at an instant of the caller's choosing.
    pub async fn tick(&self, now: Timestamp) -> Result<(), records::RecordsError> {
        self.inner.tick_commands(now);
        self.inner.tick_devices(now);
        self.inner.flush_commands().await?;
        self.inner.flush_alarms().await?;
        self.inner.write_presence(now).await?;
        self.inner.write_quality().await
    }
}

impl Inner {
    async fn keep_writing(&self, shutdown: &CancellationToken) {
        let mut failing = false;
        loop {
            let stop = shutdown.is_cancelled();
            let commands = self.flush_commands().await;
            let alarms = self.flush_alarms().await;
            match commands.and(alarms) {
                Ok(()) if failing => {
                    failing = false;
                    tracing::info!("alarms and commands are being written again");
                }
                Ok(()) => {}
                Err(e) => {
                    if !failing {
                        tracing::error!("alarms and commands cannot be written, trying again: {e}");
                    }
                    failing = true;
                }
            }
            if stop {
                return;
            }
            if failing {
                shutdown.run_until_cancelled(tokio::time::sleep(WRITE_AGAIN)).await;
            } else {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => {}
                    () = self.command_outbox.changed() => {}
                    () = self.alarm_outbox.changed() => {}
                }
            }
        }
    }

    async fn keep_counts(&self, shutdown: &CancellationToken) {
        let mut failing = false;
        loop {
            let stop = shutdown.run_until_cancelled(tokio::time::sleep(COUNTS_EVERY)).await.is_none();
            match self.write_quality().await {
                Ok(()) => failing = false,
                Err(e) => {
                    if !failing {
                        tracing::error!("counts of data quality cannot be written, trying again: {e}");
                    }
                    failing = true;
                }
            }
            if stop {
                return;
            }
        }
    }

    fn tick_devices(&self, now: Timestamp) {
        let mut book = self.alarms.lock();
        for entry in self.registry.all() {
            let heard_after = Timestamp(now.0.saturating_sub(entry.rules.offline_after_ms));
            if entry.presence.fall_silent(heard_after) {
                self.meters.online.decrement(1.0);
                self.announce_presence(&entry);
            }
            // Nobody is silent before the server listened.
            let Some(last_seen) = entry.presence.last_seen().map(|at| at.max(self.opened_at)) else {
                continue;
            };
            if entry.presence.has_reported() && last_seen <= heard_after && entry.presence.tell_silence() {
                let input = AlarmInput::Silent { subject: entry.subject(), silent_ms: now.since(last_seen) };
                self.publish_alarms(book.handle(input, now));
            }
        }
        self.look_at_watched(&mut book, now);
        self.tick_sources(now);
        self.publish_alarms(book.handle(AlarmInput::Tick, now));
        self.meters.open_alarms.set(book.open().count() as f64);
    }

    /// Conditions end here rather than in the live flow: a value that is back inside costs nothing there.
    fn look_at_watched(&self, book: &mut AlarmBook, now: Timestamp) {
        for (kind, device, detail) in book.watched() {
            let Some(entry) = self.registry.get(device.as_str()) else { continue };
            if kind == AlarmKind::DataDelayed {
                if entry.presence.is_on_time() {
                    self.publish_alarms(book.handle(AlarmInput::OnTime { device: &device }, now));
                }
                continue;
            }
            let Some(index) = detail.and_then(|key| entry.rules.index_of(&key, 0)) else { continue };
            if let Some(reading) = self.live.reading(entry.first_point + u32::from(index)) {
                let rules = &entry.rules.measurements[usize::from(index)];
                let input = AlarmInput::Value { subject: entry.subject(), rules, reading };
                self.publish_alarms(book.handle(input, now));
            }
        }
    }
}
