//! The points of the registry that a selector means.

use super::ask::Selection;
use crate::{ApiError, auth::Reader};
use axum::http::StatusCode;
use shared::{
    group::Group,
    id::DeviceId,
    selector::{Kind, UnknownName},
    thing_model::Measurement,
};
use std::sync::Arc;
use twin::{DeviceEntry, Registry};

/// What stands for a building, or a group, of a device that is in none: no id looks like it.
const NONE: &str = "(none)";

/// A measurement of a device.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) device: Arc<DeviceEntry>,
    /// The measurement's place in the device's model.
    pub(super) index: usize,
}

impl Point {
    /// Its number among all points of the park.
    pub(super) fn number(&self) -> u32 {
        self.device.first_point + self.index as u32
    }

    pub(super) fn measurement(&self) -> &Measurement {
        &self.device.rules.measurements[self.index].measurement
    }

    /// What it is called by.
    pub(super) fn name(&self, kind: Kind) -> &str {
        let record = &self.device.record;
        match kind {
            Kind::Device => record.id.as_str(),
            Kind::Type => record.model.as_str(),
            Kind::Building => record.building.as_ref().map_or(NONE, |id| id.as_str()),
            Kind::Group => Group::of(self.device.rules.model.role).map_or(NONE, Group::as_str),
            Kind::Measurement => self.measurement().key.as_str(),
        }
    }
}

/// The points of a selection, devices in the order named or else the registry's; refuses one that means nothing. What is not the
/// reader's to see is as if it were not there.
pub(super) fn points_of(
    registry: &Registry,
    reader: &Reader,
    selection: &Selection,
) -> Result<Vec<Point>, ApiError> {
    let selector = &selection.selector;
    let all = || registry.all().into_iter().filter(|device| reader.sees(device.facts())).collect::<Vec<_>>();
    let seen = |id: &DeviceId| registry.get(id.as_str()).filter(|device| reader.sees(device.facts()));
    let devices: Option<Vec<Arc<DeviceEntry>>> =
        if selector.devices.is_empty() { Some(all()) } else { selector.devices.iter().map(seen).collect() };
    let mut points = Vec::new();
    for device in devices.iter().flatten().filter(|device| selector.takes_device(device.facts())) {
        for (index, rules) in device.rules.measurements.iter().enumerate() {
            let key = rules.measurement.key.as_str();
            if selector.takes_measurement(key) && reader.may_read(device.facts(), key) {
                points.push(Point { device: device.clone(), index });
            }
        }
    }
    let has = |takes: &dyn Fn(&Point) -> bool| points.iter().any(takes);
    // Names that are found among the points are known: only others are looked for in the whole park.
    let all_known = devices.is_some()
        && selector.measurements.iter().all(|key| has(&|p| p.measurement().key == *key))
        && selector.buildings.iter().all(|id| has(&|p| p.name(Kind::Building) == id.as_str()))
        && selector.types.iter().all(|name| {
            has(&|p| p.device.record.model == *name || p.device.rules.model.role.as_str() == name.as_str())
        });
    if !all_known {
        let all = all();
        let keys = |device: &'_ Arc<DeviceEntry>| device.rules.model.measurements.len();
        debug_assert!(all.iter().all(|device| keys(device) == device.rules.measurements.len()));
        selector
            .check(all.iter().map(|device| {
                let keys = device.rules.measurements.iter().map(|rules| &rules.measurement.key);
                (device.facts(), keys)
            }))
            .map_err(|unknown| refused(selection, unknown))?;
    }
    if points.is_empty() {
        let message = format!("nothing in the park is meant by {selector}");
        let field = selection.name.as_ref().map_or_else(|| "device".to_owned(), |name| format!("q.{name}"));
        return Err(ApiError::field("NOTHING_SELECTED", field, message));
    }
    Ok(points)
}

fn refused(selection: &Selection, unknown: UnknownName) -> ApiError {
    let code = format!("UNKNOWN_{}", unknown.kind.as_str().to_uppercase());
    let error = ApiError::field(code, selection.parameter(unknown.kind), unknown.to_string());
    if unknown.kind == Kind::Device { error.with_status(StatusCode::NOT_FOUND) } else { error }
}
