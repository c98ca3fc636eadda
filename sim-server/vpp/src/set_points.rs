//! A step of a plan as commands to devices.

use crate::{park::ParkContext, planner::PlannedDevices};
use serde_json::{Map, Value, json};
use shared::{
    command::CommandRequest,
    id::DeviceId,
    time::{MINUTE_MS, Timestamp},
};
use std::collections::BTreeMap;

/// How long a set-point holds where plans come every quarter hour or sooner; then the device returns to its own safe rule.
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
/// Curtailment falls on PV and wind alike, and within each on its devices in proportion to their limits; without it they
/// get no set-point and an earlier one runs out.
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
    let feed_in = &planned.feed_in;
    let at = |series: &[f64]| series.get(step).copied().unwrap_or(0.0);
    let (pv_kw, wind_kw, curtailed) = (at(&feed_in.pv_kw), at(&feed_in.wind_kw), at(&feed_in.curtailed_kw));
    if curtailed > LEAST_CURTAILMENT_KW {
        let share = (1.0 - curtailed / (pv_kw + wind_kw)).clamp(0.0, 1.0);
        limit(&mut set_points, &park.curtailable_pv, pv_kw * share);
        limit(&mut set_points, &park.curtailable_wind, wind_kw * share);
    }
    set_points
}

/// Shares what may be fed in among devices, in proportion to their limits.
fn limit(set_points: &mut SetPoints, devices: &[(DeviceId, f64)], allowed_kw: f64) {
    let limits: f64 = devices.iter().map(|(_, kw)| kw).sum();
    for (device, limit_kw) in devices {
        set_points.insert(device.clone(), -(allowed_kw * limit_kw / limits.max(1.0)));
    }
}

/// The set-points as commands of plan `version`; ids are stable, so that sending twice is one command.
///
/// They hold for `duration_s`, which must outlast the time to the next plan.
pub fn commands(
    set_points: &SetPoints,
    version: u64,
    duration_s: i64,
    now: Timestamp,
) -> Vec<CommandRequest> {
    set_points
        .iter()
        .filter_map(|(device, power_kw)| {
            let mut parameters = Map::new();
            // 10 W: what a device can hold, and what a person can read.
            parameters.insert("power".into(), json!((power_kw * 100.0).round() / 100.0));
            parameters.insert("duration".into(), Value::from(duration_s));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{planner::FeedIn, test_park};

    #[test]
    fn curtailment_falls_on_pv_and_wind_alike() {
        let mut park = ParkContext::new(test_park::scene(2000.0)).unwrap();
        let wind: DeviceId = "wind".parse().unwrap();
        park.curtailable_wind.push((wind.clone(), 800.0));
        let feed_in =
            FeedIn { pv_kw: vec![300.0, 300.0], wind_kw: vec![100.0, 100.0], curtailed_kw: vec![0.0, 200.0] };
        let planned = PlannedDevices { feed_in, ..PlannedDevices::default() };
        assert!(of_step(&park, &planned, 0).is_empty());
        let points = of_step(&park, &planned, 1);
        assert_eq!((points["pv"], points[&wind]), (-150.0, -50.0));
    }
}
