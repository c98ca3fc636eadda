//! What the client knows of the park: the one thing panels and the 3D world read.
//!
//! Messages go in through [`ParkModel::apply`] and friends, which are plain functions of values; nothing here does I/O or
//! reads a clock.

pub mod clock;
pub mod fault;
pub mod flows;
pub mod history;
pub mod link;
pub mod points;
pub mod quality;
pub mod role;
pub mod scene_index;
pub mod selection;
pub mod values;

pub use fault::{Fault, FaultKind};
pub use link::LinkState;
pub use points::PointTable;
pub use role::Role;
pub use scene_index::SceneIndex;
pub use selection::Selection;
pub use values::LiveValue;

use bevy::prelude::Resource;
use clock::ServerClock;
use history::Histories;
use quality::DataQuality;
use shared::{
    alarm::Alarm,
    energy::{EnergyCurve, EnergySummary},
    id::DeviceId,
    plan::{PlanTracking, PlanView},
    scene::Scene,
    stream::{CommandUpdate, PointName, Presence, ServerMessage},
    time::Timestamp,
};
use std::sync::Arc;
use values::Values;

/// Recent command updates kept for display.
pub const COMMANDS_KEPT: usize = 64;

/// Whether a device is connected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connected {
    /// `None` until the server said.
    pub online: Option<bool>,
    pub last_seen: Option<Timestamp>,
}

#[derive(Resource, Default)]
pub struct ParkModel {
    pub scene: Option<Arc<SceneIndex>>,
    /// Counts scenes, so that the world knows when to rebuild.
    pub scene_version: u64,
    pub values: Values,
    presence: Vec<Connected>,
    /// Rises whenever a device's connection changed.
    pub presence_version: u64,
    /// More has arrived than a frame takes: the next ones go on with it.
    pub catching_up: bool,
    pub energy: Option<EnergySummary>,
    pub plan: Option<PlanView>,
    pub tracking: Option<PlanTracking>,
    /// Today's park-level curves.
    pub curve: Option<EnergyCurve>,
    pub alarms: Vec<Alarm>,
    pub commands: Vec<CommandUpdate>,
    pub histories: Histories,
    pub quality: DataQuality,
    pub link: LinkState,
    /// Who is logged in, as the server calls them.
    pub user_name: Option<String>,
    /// What they may do; `None` until the server said.
    pub role: Option<Role>,
    clock: ServerClock,
    /// Server's clock minus this machine's, milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// The present moment on the server's clock; set once a frame.
    pub now: Timestamp,
    /// The present moment on this machine's clock, which never jumps: for animation and waits.
    pub local_now: Timestamp,
    /// Round trip of the last ping, milliseconds.
    pub round_trip_ms: Option<u32>,
}

impl ParkModel {
    /// Takes a scene and its tag.
    pub fn set_scene(&mut self, scene: Scene, etag: String) {
        self.take_scene(Arc::new(SceneIndex::new(scene, etag)));
    }

    /// Takes a scene; everything that points into the old one is found again.
    pub fn take_scene(&mut self, index: Arc<SceneIndex>) {
        let mut presence = vec![Connected::default(); index.scene.devices.len()];
        if let Some(old) = &self.scene {
            for (device, known) in old.scene.devices.iter().zip(&self.presence) {
                if let Some(place) = index.device_index(&device.id) {
                    presence[place as usize] = *known;
                }
            }
        }
        self.presence = presence;
        self.presence_version += 1;
        self.values.find_devices(Some(&index));
        self.scene = Some(index);
        self.scene_version += 1;
    }

    /// Takes a subscription's points.
    pub fn take_points(&mut self, table: Arc<PointTable>) {
        self.values.subscribe(table, self.scene.as_ref());
        self.histories.stream_was_away();
    }

    /// Takes a stream message; `local_now` is this machine's clock when it arrived.
    pub fn apply(&mut self, message: ServerMessage, local_now: Timestamp) {
        match message {
            ServerMessage::Subscribed(points) => {
                self.take_points(Arc::new(PointTable::new(points, self.scene.as_ref())));
            }
            ServerMessage::Values(values) => self.values.update(&values),
            ServerMessage::Presence(list) => self.note_presence(list),
            ServerMessage::Energy(summary) => self.energy = Some(*summary),
            ServerMessage::Plan(plan) => self.plan = Some(*plan),
            ServerMessage::Alarms(mut alarms) => {
                sort_alarms(&mut alarms);
                self.alarms = alarms;
            }
            ServerMessage::AlarmsChanged(changed) => {
                for alarm in changed {
                    self.alarms.retain(|known| known.id != alarm.id);
                    if alarm.needs_attention() {
                        self.alarms.push(alarm);
                    }
                }
                sort_alarms(&mut self.alarms);
            }
            ServerMessage::Command(update) => self.note_command(update),
            // Never asked for: a stream is subscribed to, not resumed, and the curves on screen are fetched again
            // (`Histories::stream_was_away`).
            ServerMessage::Missed(_) | ServerMessage::Resumed { .. } => {}
            // The link's own.
            ServerMessage::Pong(_) => {}
            ServerMessage::Tick(server_now) => self.set_clock(server_now, local_now),
        }
    }

    /// Takes who is connected; devices for which that is news count as changed.
    pub fn note_presence(&mut self, list: impl IntoIterator<Item = Presence>) {
        let Some(scene) = &self.scene else { return };
        for Presence { device, online, last_seen } in list {
            let Some(index) = scene.device_index(&device) else { continue };
            let known = &mut self.presence[index as usize];
            if known.online != Some(online) {
                self.presence_version += 1;
                self.values.mark_changed(index);
            }
            *known = Connected { online: Some(online), last_seen };
        }
    }

    /// Takes the server's clock.
    pub fn set_clock(&mut self, server_now: Timestamp, local_now: Timestamp) {
        self.clock.observe(server_now, local_now);
        self.clock_offset_ms = self.clock.offset_ms();
    }

    /// Whether [`ParkModel::now`] is the server's clock already, or still this machine's.
    pub fn clock_known(&self) -> bool {
        self.clock_offset_ms.is_some()
    }

    /// Sets the present moment from this machine's clock.
    pub fn set_local_time(&mut self, local_now: Timestamp) {
        self.local_now = local_now;
        self.now = Timestamp(local_now.0 + self.clock_offset_ms.unwrap_or(0));
    }

    fn note_command(&mut self, update: CommandUpdate) {
        if let Some(known) = self.commands.iter_mut().find(|c| c.command_id == update.command_id) {
            *known = update;
            return;
        }
        if self.commands.len() == COMMANDS_KEPT {
            self.commands.remove(0);
        }
        self.commands.push(update);
    }

    /// The newest command to a device, by the order in which this client heard of them.
    pub fn last_command(&self, device: &DeviceId) -> Option<&CommandUpdate> {
        self.commands.iter().rev().find(|c| &c.device_id == device)
    }

    pub fn connected(&self, device: u32) -> Connected {
        self.presence.get(device as usize).copied().unwrap_or_default()
    }

    /// Alarms of one device that still need someone.
    pub fn alarms_of<'a>(&'a self, device: &'a DeviceId) -> impl Iterator<Item = &'a Alarm> {
        self.alarms.iter().filter(move |a| a.device_id.as_ref() == Some(device))
    }

    /// A device's value by measurement key.
    pub fn value(&self, device: u32, measurement: &str) -> Option<LiveValue> {
        self.values.get(device, measurement)
    }

    /// Appends the live values of the hours being watched.
    pub fn extend_histories(&mut self, watched: &[PointName]) {
        let Some(scene) = &self.scene else { return };
        for name in watched {
            let live =
                scene.device_index(&name.device).and_then(|d| self.values.get(d, name.measurement.as_str()));
            if let Some(live) = live {
                self.histories.append(name, live.timestamp, live.value);
            }
        }
    }

    /// Whether there is a plan; version 0 is none yet.
    pub fn has_plan(&self) -> bool {
        self.plan.as_ref().is_some_and(|p| p.version > 0)
    }

    /// Whether everything a first picture needs has arrived.
    pub fn is_complete(&self) -> bool {
        self.scene.is_some()
            && !self.catching_up
            && !self.values.is_empty()
            && self.values.known() > 0
            && self.energy.is_some()
            && self.has_plan()
            && self.curve.is_some()
            && !self.quality.is_awaited()
    }

    /// What a first picture still waits for.
    pub fn missing(&self) -> Vec<&'static str> {
        [
            (self.scene.is_none(), "scene"),
            (self.values.known() == 0 || self.catching_up, "live values"),
            (self.energy.is_none(), "energy summary"),
            (!self.has_plan(), "plan"),
            (self.curve.is_none(), "today's curves"),
            (self.quality.is_awaited(), "data quality"),
        ]
        .into_iter()
        .filter_map(|(missing, what)| missing.then_some(what))
        .collect()
    }
}

/// Unacknowledged and active first, then by urgency, then newest.
fn sort_alarms(alarms: &mut [Alarm]) {
    alarms.sort_by_key(|a| {
        (a.acknowledged_at.is_some(), !a.is_active(), a.severity, std::cmp::Reverse(a.raised_at))
    });
}

#[cfg(test)]
mod tests;
