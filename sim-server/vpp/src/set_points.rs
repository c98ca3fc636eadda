//! A step of a plan as commands to devices.

use crate::{park::ParkContext, planner::PlannedDevices};
use serde_json::{Map, Value, json};
use shared::{
    command::CommandRequest,
    id::DeviceId,
    time::{MINUTE_MS, Timestamp},
};
use std::collections::BTreeMap;

/// A set-point holds a little longer than the time to the next plan; then the device returns to its own safe rule.
pub const SET_POINT_DURATION_S: i64 = 15 * 60;
/// A set-point that cannot be delivered within this time is overtaken by the next plan.
const SET_POINT_EXPIRY_MS: i64 = 2 * MINUTE_MS;
/// Below this, feed-in counts as not curtailed: forecasts are not that exact.
const LEAST_CURTAILMENT_KW: f64 = 5.0;

/// Below this the plan means not charging.
const LEAST_CHARGING_KW: f64 = 0.05;

/// Power asked of each device, kW, positive when it draws.
pub type SetPoints = BTreeMap<DeviceId, f64>;

/// What the plan asks for in one of its steps; nothing beyond its end.
///
/// Curtailment is shared among feed-in devices in proportion to their limits; without it they get no set-point and
/// an earlier one runs out.
pub fn of_step(park: &ParkContext, planned: &PlannedDevices, step: usize) -> SetPoints {
    let mut set_points = SetPoints::new();
    for (device, power_kw) in &planned.storage {
        if let Some(power_kw) = power_kw.get(step) {
            set_points.insert(device.clone(), *power_kw);
        }
    }
    for (device, power_kw) in &planned.charging {
        let Some(power_kw) = power_kw.get(step) else { continue };
        let min_kw = park.charging.iter().find(|p| p.device == *device).map_or(0.0, |p| p.min_kw);
        // The plan may spread a little energy thinly; the car would pause instead, so it gets its least.
        let power_kw = if *power_kw > LEAST_CHARGING_KW { power_kw.max(min_kw) } else { 0.0 };
        set_points.insert(device.clone(), power_kw);
    }
    let curtailed = planned.curtailed_kw.get(step).copied().unwrap_or(0.0);
    let available = planned.feed_in_available_kw.get(step).copied().unwrap_or(0.0);
    if curtailed > LEAST_CURTAILMENT_KW && available > 0.0 {
        let share = 1.0 - curtailed / available;
        let limits: f64 = park.curtailable.iter().map(|(_, kw)| kw).sum();
        for (device, limit_kw) in &park.curtailable {
            set_points.insert(device.clone(), -(available * share * limit_kw / limits.max(1.0)));
        }
    }
    set_points
}

/// The set-points as commands of plan `version`; ids are stable, so that sending twice is one command.
pub fn commands(set_points: &SetPoints, version: u64, now: Timestamp) -> Vec<CommandRequest> {
    set_points
        .iter()
        .filter_map(|(device, power_kw)| {
            let mut parameters = Map::new();
            // 10 W: what a device can hold, and what a person can read.
            parameters.insert("power".into(), json!((power_kw * 100.0).round() / 100.0));
            parameters.insert("duration".into(), Value::from(SET_POINT_DURATION_S));
            parameters.insert("priority".into(), Value::from("normal"));
            let command_id = format!("plan-{}-{version}-{device}", now.0 / 1000);
            Some(CommandRequest {
                device_id: device.clone(),
                command_id: short(&command_id).parse().ok()?,
                command: "setPower".into(),
                parameters,
                timestamp: now,
                expires: Some(Timestamp(now.0 + SET_POINT_EXPIRY_MS)),
            })
        })
        .collect()
}

/// Cuts an id to the 64 characters allowed, keeping its end, which names the device.
fn short(id: &str) -> &str {
    &id[id.len().saturating_sub(64)..]
}
