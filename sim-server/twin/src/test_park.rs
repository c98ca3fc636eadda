//! A park small enough to read, for tests and the benchmark: a battery, two PV inverters and a meter with alarm limits.

use crate::{DeviceRecord, Registry};
use serde_json::{Value, json};
use shared::{
    scene::Scene,
    telemetry::{Origin, Quality, Reading},
    text::Text,
    time::Timestamp,
};

fn text(name: &str) -> Value {
    json!({ "zh": format!("{name}（中）"), "en": name })
}

fn measurement(key: &str, unit: &str, min: Option<f64>, max: Option<f64>) -> Value {
    json!({ "key": key, "name": text(key), "unit": unit, "min": min, "max": max })
}

fn models() -> Value {
    let set_power = json!({
        "name": "setPower",
        "text": text("set power"),
        "parameters": [{ "key": "power", "text": text("power"), "unit": "kW", "required": true, "min": -500.0, "max": 500.0 }],
    });
    let status = json!({
        "key": "status", "name": text("status"), "unit": "", "kind": "state",
        "states": [
            { "code": 0, "word": "idle", "name": text("idle") },
            { "code": 1, "word": "charging", "name": text("charging") },
            { "code": 2, "word": "discharging", "name": text("discharging") },
        ],
    });
    json!({
        "battery": {
            "id": "battery", "name": text("battery"), "role": "storage",
            "measurements": [
                measurement("power", "kW", Some(-1000.0), Some(1000.0)),
                measurement("soc", "%", Some(0.0), Some(100.0)),
                measurement("temperature", "°C", Some(-40.0), Some(120.0)),
                status,
            ],
            "commands": [set_power, { "name": "stop", "text": text("stop") }],
            "events": [{ "id": "overheat", "text": text("overheating"), "severity": "major" }],
        },
        "inverter": {
            "id": "inverter", "name": text("inverter"), "role": "pv", "offline_after_s": 60,
            "measurements": [
                measurement("power", "kW", Some(-200.0), Some(0.0)),
                measurement("voltage", "V", None, None),
                measurement("current", "A", None, None),
            ],
        },
        "meter": {
            "id": "meter", "name": text("meter"), "role": "grid_meter",
            "measurements": (0..10).map(|i| measurement(&format!("m{i}"), "kW", None, None)).collect::<Vec<_>>(),
        },
    })
}

fn device(id: &str, model: &str, rating: Value) -> Value {
    json!({ "id": id, "model": model, "name": text(id), "position": [1.0, 2.0, 0.0], "rating": rating })
}

/// Built from JSON: the scene's loader is not what is tested here.
pub(crate) fn scene() -> Scene {
    let pv = json!({ "kind": "pv", "peak_kw": 120.0, "inverter_kw": 100.0, "tilt_deg": 10.0, "azimuth_deg": 180.0 });
    let storage = json!({
        "kind": "storage", "energy_kwh": 1000.0, "charge_kw": 500.0, "discharge_kw": 500.0, "charge_efficiency": 0.95,
        "discharge_efficiency": 0.95, "soc_min": 0.1, "soc_max": 0.9, "throughput_cost_per_kwh": 0.02,
    });
    let limit = |max: f64, severity: &str| {
        json!({
            "model": "battery", "measurement": "temperature", "max": max, "severity": severity,
            "text": text("battery too hot"), "hysteresis": 2.0,
        })
    };
    let scene = json!({
        "park": {
            "id": "test-park", "name": text("test park"), "latitude_deg": 31.1, "longitude_deg": 120.6,
            "time_zone": "Asia/Shanghai", "grid_region": "华东", "province": "江苏", "extent_m": [100.0, 100.0],
            "grid": { "import_limit_kw": 1000.0, "export_limit_kw": 1000.0, "voltage_kv": 10.0 },
            "emission": { "kg_per_kwh": 0.5827, "source": "test", "year": 2023, "status": "R", "basis": "location" },
        },
        "models": models(),
        "devices": [
            device("bess-1", "battery", storage),
            device("pv-1", "inverter", pv.clone()),
            device("pv-2", "inverter", pv),
            device("grid", "meter", json!({ "kind": "grid_meter", "limit_kw": 1000.0 })),
        ],
        "site": { "buildings": [], "roads": [], "areas": [], "trees": [], "pvAreas": [] },
        "network": { "grid_bus": null },
        "tariff": {
            "name": text("flat"), "example": true, "source": "test", "currency": "CNY",
            "prices": { "critical": 1.0, "peak": 1.0, "flat": 1.0, "valley": 1.0 },
            "seasons": [], "demand_charge_per_kw_month": 0.0, "demand_interval_min": 15, "feed_in_price_per_kwh": 0.3,
            "carbon_price_per_kg": 0.0,
        },
        "alarms": {
            "offline_after_s": 300, "offline_severity": "critical", "delayed_after_s": 30, "delayed_severity": "warning",
            "disk_free_min_mb": 100, "disk_severity": "critical", "plan_infeasible_severity": "major",
            "out_of_range_severity": "major", "limits": [limit(45.0, "warning"), limit(55.0, "critical")],
        },
    });
    serde_json::from_value(scene).expect("the test park is a scene")
}

/// A record of the scene device with this id.
pub(crate) fn record(id: &str) -> DeviceRecord {
    let scene = scene();
    let device = scene.device(id).expect("a device of the test park");
    DeviceRecord {
        id: device.id.clone(),
        model: device.model.clone(),
        name: Text::new(format!("{id}号"), format!("No. {id}")),
        origin: Origin::Field,
        manufacturer: None,
        capacity_kw: None,
        location: None,
        installed_on: None,
        building: None,
        feeder: None,
        registered_at: Timestamp(0),
    }
}

/// A registry of every scene device.
pub(crate) fn registry() -> Registry {
    let scene = scene();
    let registry = Registry::new(&scene);
    for device in &scene.devices {
        registry.insert(record(device.id.as_str()), [0; 32], |_| ()).expect("a fresh registry");
    }
    registry
}

pub(crate) fn reading(value: f64, at_ms: i64) -> Reading {
    Reading { value, timestamp: Timestamp(at_ms), quality: Quality::Good }
}

/// `setPower` for the battery.
#[cfg(test)]
pub(crate) fn set_power(
    command_id: &str,
    power_kw: f64,
    timestamp: Timestamp,
    expires: Option<Timestamp>,
) -> shared::command::CommandRequest {
    shared::command::CommandRequest {
        device_id: "bess-1".parse().expect("an id"),
        command_id: command_id.parse().expect("an id"),
        command: "setPower".to_owned(),
        parameters: [("power".to_owned(), json!(power_kw))].into_iter().collect(),
        timestamp,
        expires,
    }
}
