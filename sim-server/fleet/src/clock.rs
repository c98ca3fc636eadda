//! The fleet's clock while it is live: steps the world, hands out what devices measure, remembers.

use crate::{
    events::EventSource,
    faults::FaultyDevice,
    link::Saying,
    state_file,
    status::Status,
    world::{Rule, World},
};
use shared::{
    id::ParkId,
    telemetry::DeviceEvent,
    thing_model::Role,
    time::{MINUTE_MS, Timestamp},
};
use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    time::{Duration, SystemTime},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How often devices without power of their own report at the most.
const HEARTBEAT_MS: i64 = 5_000;
/// How often the state file is written.
const REMEMBER_EVERY_MS: i64 = 5_000;
/// How often refusals are told.
const TELL_EVERY_MS: i64 = 10_000;

/// The world, shared by the clock and by the links that bring commands.
pub(crate) type SharedWorld = Arc<Mutex<World>>;

pub(crate) fn lock(world: &SharedWorld) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The wall clock.
pub(crate) fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// One device as the clock sees it.
pub(crate) struct Reporter {
    pub(crate) outbox: mpsc::Sender<Saying>,
    pub(crate) faults: FaultyDevice,
    /// Milliseconds between reports, and where in that interval this device's falls.
    every_ms: i64,
    phase_ms: i64,
}

impl Reporter {
    pub(crate) fn new(
        outbox: mpsc::Sender<Saying>,
        faults: FaultyDevice,
        role: Role,
        rate_ms: i64,
        place: usize,
    ) -> Self {
        let has_power = role.is_balance_term() || matches!(role, Role::GridMeter | Role::FeederMeter);
        // Powers are measured together so that the balance closes; the others spread over their heartbeat.
        let (every_ms, phase_ms) = if has_power {
            (rate_ms, 0)
        } else {
            let every_ms = rate_ms.max(HEARTBEAT_MS);
            (every_ms, place as i64 * 1_000 % every_ms)
        };
        Self { outbox, faults, every_ms, phase_ms }
    }

    /// Whether a report is due in the tick that ends at `now`.
    fn is_due(&self, now: Timestamp, tick_ms: i64) -> bool {
        let slot = |at: i64| (at - self.phase_ms).div_euclid(self.every_ms);
        slot(now.millis()) != slot(now.millis() - tick_ms)
    }

    /// Hands a message to the link; a full outbox loses it and counts it.
    pub(crate) fn say(&self, saying: Saying, status: &Status) {
        status.outstanding.fetch_add(1, Ordering::AcqRel);
        if self.outbox.try_send(saying).is_err() {
            status.outstanding.fetch_sub(1, Ordering::AcqRel);
            status.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub(crate) struct Clock {
    pub(crate) world: SharedWorld,
    pub(crate) reporters: Vec<Reporter>,
    pub(crate) events: EventSource,
    pub(crate) status: Arc<Status>,
    pub(crate) state_path: PathBuf,
    pub(crate) park: ParkId,
    pub(crate) rate_ms: i64,
    pub(crate) stop: CancellationToken,
}

impl Clock {
    /// Runs until told to stop.
    pub(crate) async fn run(&mut self) {
        let tick_ms = self.rate_ms.min(1_000);
        let mut remembered = wall_clock();
        let mut told = (wall_clock(), 0);
        loop {
            let next = Timestamp(wall_clock().floor_to(tick_ms).millis() + tick_ms);
            let pause = Duration::from_millis(next.since(wall_clock()).max(0).unsigned_abs());
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return,
            }
            // Before the next step: what is remembered is then what the server has acknowledged.
            if wall_clock().since(remembered) >= REMEMBER_EVERY_MS && self.status.everything_is_acknowledged()
            {
                remembered = wall_clock();
                self.remember().await;
            }
            self.tick(next, tick_ms);
            if wall_clock().since(told.0) >= TELL_EVERY_MS {
                told = (wall_clock(), self.tell_refusals(told.1));
            }
        }
    }

    fn tick(&mut self, now: Timestamp, tick_ms: i64) {
        let mut world = lock(&self.world);
        world.step(now, Rule::Rest);
        let new_minute = now.floor_to(MINUTE_MS) != Timestamp(now.millis() - tick_ms).floor_to(MINUTE_MS);
        for (at, reporter) in self.reporters.iter_mut().enumerate() {
            if reporter.is_due(now, tick_ms)
                && let Some(message) = reporter.faults.distort(world.sample(at))
            {
                reporter.say(Saying::Data(message), &self.status);
            }
            if new_minute && let Some(event) = event_of(&self.events, &world, at, now) {
                reporter.say(Saying::Event(event), &self.status);
            }
        }
    }

    /// Writes the state file; an error is told and the fleet goes on.
    pub(crate) async fn remember(&self) {
        let memory = lock(&self.world).memory();
        let (path, park) = (self.state_path.clone(), self.park.clone());
        let written = tokio::task::spawn_blocking(move || state_file::save(&path, &park, memory)).await;
        if let Ok(Err(error)) = written {
            tracing::error!(%error, "the fleet will not remember this moment");
        }
    }

    /// Tells when the server refused something since; gives the count so far.
    fn tell_refusals(&self, before: u64) -> u64 {
        let refused = self.status.refused.load(Ordering::Relaxed);
        if refused > before {
            let last = self.status.last_refusal().unwrap_or_default();
            tracing::warn!(refused, %last, "the server refuses messages");
        }
        refused
    }
}

fn event_of(events: &EventSource, world: &World, at: usize, now: Timestamp) -> Option<DeviceEvent> {
    events.event(world.device_id(at), world.model(at)?, now.floor_to(MINUTE_MS))
}
