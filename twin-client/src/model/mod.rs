//! What the client knows of the park: the one thing panels and the 3D world read.
//!
//! Messages go in through [`ParkModel::apply`] and friends, which are plain functions of values; nothing here does I/O or
//! reads a clock.

pub mod flows;
pub mod history;
pub mod link;
pub mod scene_index;
pub mod selection;
pub mod values;

pub use link::LinkState;
pub use scene_index::SceneIndex;
pub use selection::Selection;
pub use values::LiveValue;

use bevy::prelude::Resource;
use history::Histories;
use shared::{
    alarm::Alarm,
    command::CommandStatus,
    energy::{EnergyCurve, EnergySummary},
    id::DeviceId,
    plan::{PlanTracking, PlanView},
    scene::Scene,
    stream::{CommandUpdate, PointName, ServerMessage},
    time::Timestamp,
};
use std::sync::Arc;
use values::Values;

/// Recent command updates kept for display.
const COMMANDS_KEPT: usize = 64;

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
    pub energy: Option<EnergySummary>,
    pub plan: Option<PlanView>,
    pub tracking: Option<PlanTracking>,
    /// Today's park-level curves.
    pub curve: Option<EnergyCurve>,
    pub alarms: Vec<Alarm>,
    pub commands: Vec<CommandUpdate>,
    pub histories: Histories,
    pub link: LinkState,
    /// Server's clock minus this machine's, milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// The present moment on the server's clock; set once a frame.
    pub now: Timestamp,
    /// Round trip of the last ping, milliseconds.
    pub round_trip_ms: Option<u32>,
}

impl ParkModel {
    /// Takes a scene; everything that points into the old one is resolved again.
    pub fn set_scene(&mut self, scene: Scene, etag: String) {
        let index = SceneIndex::new(scene, etag);
        self.presence = vec![Connected::default(); index.scene.devices.len()];
        self.values.resolve(Some(&index));
        self.scene = Some(Arc::new(index));
        self.scene_version += 1;
    }

    /// Takes a stream message; `local_now` is this machine's clock when it arrived.
    pub fn apply(&mut self, message: ServerMessage, local_now: Timestamp) {
        match message {
            ServerMessage::Subscribed(points) => self.values.subscribe(points, self.scene.as_deref()),
            ServerMessage::Values(values) => self.values.update(&values),
            ServerMessage::Presence(list) => {
                let Some(scene) = &self.scene else { return };
                for presence in list {
                    if let Some(index) = scene.device_index(&presence.device) {
                        self.presence[index as usize] =
                            Connected { online: Some(presence.online), last_seen: presence.last_seen };
                    }
                }
            }
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
            ServerMessage::Pong(_) => {}
            ServerMessage::Tick(server_now) => self.set_clock(server_now, local_now),
        }
    }

    /// Takes the server's clock. The least delayed message gives the largest offset, so that one is kept unless the clocks jump.
    pub fn set_clock(&mut self, server_now: Timestamp, local_now: Timestamp) {
        const JUMP_MS: i64 = 5_000;
        let seen = server_now.since(local_now);
        self.clock_offset_ms = Some(match self.clock_offset_ms {
            Some(kept) if (seen - kept).abs() < JUMP_MS => kept.max(seen),
            _ => seen,
        });
    }

    /// Sets the present moment from this machine's clock.
    pub fn set_local_time(&mut self, local_now: Timestamp) {
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

    pub fn pending_commands(&self) -> usize {
        self.commands
            .iter()
            .filter(|c| matches!(c.status, CommandStatus::Queued | CommandStatus::Sent))
            .count()
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
            && !self.values.is_empty()
            && self.values.known() > 0
            && self.energy.is_some()
            && self.has_plan()
            && self.curve.is_some()
    }

    /// What a first picture still waits for.
    pub fn missing(&self) -> Vec<&'static str> {
        [
            (self.scene.is_none(), "scene"),
            (self.values.known() == 0, "live values"),
            (self.energy.is_none(), "energy summary"),
            (!self.has_plan(), "plan"),
            (self.curve.is_none(), "today's curves"),
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
