//! A device as the twin sees it: what it reported, what it was asked for, how the two differ, and whether it is there.

use crate::{
    registry::DeviceEntry,
    setpoint::Desired,
    twin::{Inner, Twin},
};
use indexmap::IndexMap;
use records::DeviceRecord;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use shared::{
    id::{BuildingId, DeviceId, MeasurementKey, ModelId},
    telemetry::{Origin, Reading},
    text::Text,
    thing_model::Role,
    time::Timestamp,
};
use std::collections::BTreeMap;

/// A device in a list.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceSummary {
    pub id: DeviceId,
    pub name: Text,
    pub model: ModelId,
    pub role: Role,
    pub building: Option<BuildingId>,
    pub online: bool,
    /// When the server last heard of it.
    pub last_seen: Option<Timestamp>,
    pub origin: Origin,
}

/// A device with all that is known of it now.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shadow {
    #[serde(flatten)]
    pub registration: DeviceRecord,
    pub role: Role,
    pub online: bool,
    pub last_seen: Option<Timestamp>,
    /// Age of the newest reading, milliseconds; absent while it never reported.
    pub age_ms: Option<i64>,
    /// The newest reading of each measurement that was ever reported, in the model's order.
    pub reported: IndexMap<MeasurementKey, Reading>,
    /// What it is asked for, by parameter.
    pub desired: BTreeMap<String, Desired>,
    /// Desired values that what is reported does not show.
    pub delta: BTreeMap<String, Delta>,
}

/// How a desired value and the reported one of the same name differ.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delta {
    pub desired: Value,
    pub reported: Option<f64>,
    /// Desired minus reported, where both are numbers.
    pub difference: Option<f64>,
}

impl Twin {
    /// All devices, in the order they were registered.
    pub fn devices(&self) -> Vec<DeviceSummary> {
        self.inner.registry.all().iter().map(|entry| DeviceSummary::of(entry)).collect()
    }

    /// A device's shadow, as old as the clock of [`crate::TwinOptions`] says.
    pub fn shadow(&self, id: &str) -> Option<Shadow> {
        self.shadow_at(id, (self.inner.options.clock)())
    }

    /// A device's shadow as seen at `now`.
    pub fn shadow_at(&self, id: &str, now: Timestamp) -> Option<Shadow> {
        let entry = self.inner.registry.get(id)?;
        let reported = self.inner.reported(&entry);
        let desired = self.inner.desk.lock().set_points.of(entry.id(), now);
        let newest = reported.values().map(|reading| reading.timestamp).max();
        Some(Shadow {
            role: entry.rules.model.role,
            online: entry.presence.is_online(),
            last_seen: entry.presence.last_seen(),
            age_ms: newest.map(|at| now.since(at).max(0)),
            delta: delta(&entry, &desired, &reported),
            registration: entry.record.clone(),
            reported,
            desired,
        })
    }
}

impl Inner {
    fn reported(&self, entry: &DeviceEntry) -> IndexMap<MeasurementKey, Reading> {
        let points = entry.first_point..;
        let known = entry.series.iter().zip(points);
        known
            .filter_map(|(series, point)| Some((series.measurement.clone(), self.live.reading(point)?)))
            .collect()
    }
}

impl DeviceSummary {
    /// A registered device as a list shows it.
    pub fn of(entry: &DeviceEntry) -> Self {
        Self {
            id: entry.id().clone(),
            name: entry.record.name.clone(),
            model: entry.record.model.clone(),
            role: entry.rules.model.role,
            building: entry.record.building.clone(),
            online: entry.presence.is_online(),
            last_seen: entry.presence.last_seen(),
            origin: entry.record.origin,
        }
    }
}

/// Equal means equal as shown: half a unit of the measurement's last digit is no difference.
fn delta(
    entry: &DeviceEntry,
    desired: &BTreeMap<String, Desired>,
    reported: &IndexMap<MeasurementKey, Reading>,
) -> BTreeMap<String, Delta> {
    desired
        .iter()
        .filter_map(|(name, desired)| {
            let reading = reported.get(name.as_str()).map(|reading| reading.value);
            let difference = desired.value.as_f64().zip(reading).map(|(wanted, is)| wanted - is);
            let decimals = entry.rules.model.measurement(name).map_or(1, |m| m.decimals);
            let least = 0.5 * 10_f64.powi(-i32::from(decimals));
            if difference.is_some_and(|difference| difference.abs() <= least) {
                return None;
            }
            let delta = Delta { desired: desired.value.clone(), reported: reading, difference };
            Some((name.clone(), delta))
        })
        .collect()
}
