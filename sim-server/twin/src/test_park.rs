//! A park small enough to read, for tests: a battery, two PV inverters and a meter with alarm limits.

use crate::{DeviceRecord, Registry};
use serde_json::json;
use shared::{
    command::CommandRequest,
    scene::Scene,
    telemetry::{Origin, Quality, Reading},
    text::Text,
    time::Timestamp,
};

/// JSON rather than a scene's folder: the loader is not what is tested here.
pub(crate) fn scene() -> Scene {
    serde_json::from_str(include_str!("test_park.json")).expect("the test park is a scene")
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
pub(crate) fn set_power(
    command_id: &str,
    power_kw: f64,
    timestamp: Timestamp,
    expires: Option<Timestamp>,
) -> CommandRequest {
    CommandRequest {
        device_id: "bess-1".parse().expect("an id"),
        command_id: command_id.parse().expect("an id"),
        command: "setPower".to_owned(),
        parameters: [("power".to_owned(), json!(power_kw))].into_iter().collect(),
        timestamp,
        expires,
    }
}
