//! Which devices there are: the scene's and those registered over HTTP, each with its model's rules, its secret's hash
//! and its place in the live table.

use crate::{model::ModelRules, presence::PresenceState, quality::DeviceQuality};
use history::{History, SeriesId, SeriesKey};
use parking_lot::{Mutex, RwLock};
use records::{DeviceRecord, is_secret};
use shared::{
    id::{DeviceId, ModelId},
    scene::Scene,
    selector::{DeviceFacts, Selector},
    time::Timestamp,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, OnceLock},
};

/// A registered device.
#[derive(Debug)]
pub struct DeviceEntry {
    pub record: DeviceRecord,
    pub rules: Arc<ModelRules>,
    /// Index in the live table of the model's first measurement; the others follow it.
    pub first_point: u32,
    /// The history's key of each measurement, in the model's order.
    pub series: Vec<SeriesKey>,
    pub(crate) presence: PresenceState,
    pub(crate) quality: Mutex<DeviceQuality>,
    /// Held while a payload of the device looks for its place in the order of writing: whoever holds it goes first.
    pub turn: tokio::sync::Mutex<()>,
    /// The history's number of each measurement, asked for with the device's first data.
    series_ids: OnceLock<Vec<SeriesId>>,
    secret_sha256: Mutex<[u8; 32]>,
}

impl DeviceEntry {
    pub fn id(&self) -> &DeviceId {
        &self.record.id
    }

    /// What selectors ask of it.
    pub fn facts(&self) -> DeviceFacts<'_> {
        DeviceFacts {
            id: &self.record.id,
            model: &self.record.model,
            role: self.rules.model.role,
            building: self.record.building.as_ref(),
        }
    }

    pub fn is_online(&self) -> bool {
        self.presence.is_online()
    }

    /// When the server last heard of it.
    pub fn last_seen(&self) -> Option<Timestamp> {
        self.presence.last_seen()
    }

    pub(crate) fn series_ids(&self, history: &History) -> &[SeriesId] {
        self.series_ids.get_or_init(|| self.series.iter().map(|key| history.series_id(key)).collect())
    }

    pub(crate) fn replace_secret(&self, sha256: [u8; 32]) {
        *self.secret_sha256.lock() = sha256;
    }
}

/// All registered devices. Reads share a lock that is held for a look-up only.
#[derive(Debug)]
pub struct Registry {
    models: BTreeMap<ModelId, Arc<ModelRules>>,
    devices: RwLock<Devices>,
}

#[derive(Debug, Default)]
struct Devices {
    by_id: HashMap<DeviceId, Arc<DeviceEntry>>,
    /// In the order of their points.
    in_order: Vec<Arc<DeviceEntry>>,
    points: u32,
}

impl Registry {
    pub fn new(scene: &Scene) -> Self {
        let models = scene
            .models
            .iter()
            .map(|(id, model)| (id.clone(), ModelRules::new(model.clone(), &scene.alarms)))
            .collect();
        Self { models, devices: RwLock::default() }
    }

    pub fn model(&self, id: &ModelId) -> Option<&Arc<ModelRules>> {
        self.models.get(id)
    }

    pub fn get(&self, id: &str) -> Option<Arc<DeviceEntry>> {
        self.devices.read().by_id.get(id).cloned()
    }

    /// Every device, in the order of their points.
    pub fn all(&self) -> Vec<Arc<DeviceEntry>> {
        self.devices.read().in_order.clone()
    }

    /// The series that a selector means, with the units of their readings, devices in the order of their points.
    pub fn measured(&self, selector: &Selector) -> Vec<(SeriesKey, String)> {
        let devices = self.all().into_iter().filter(|device| selector.takes_device(device.facts()));
        let of_device = |device: Arc<DeviceEntry>| {
            let all = device.series.iter().zip(device.rules.measurements.iter());
            let meant = all.filter(|(key, _)| selector.takes_measurement(key.measurement.as_str()));
            meant.map(|(key, rules)| (key.clone(), rules.measurement.unit.clone())).collect::<Vec<_>>()
        };
        devices.flat_map(of_device).collect()
    }

    pub fn len(&self) -> usize {
        self.devices.read().in_order.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a device whose model the scene knows. `grow` is told how many points there will be before anybody can see
    /// the device. `None` when the model is unknown or the device is there already.
    pub(crate) fn insert(
        &self,
        record: DeviceRecord,
        secret_sha256: [u8; 32],
        grow: impl FnOnce(u32),
    ) -> Option<Arc<DeviceEntry>> {
        let rules = self.models.get(&record.model)?.clone();
        let series = rules
            .measurements
            .iter()
            .map(|m| SeriesKey { device: record.id.clone(), measurement: m.measurement.key.clone() })
            .collect();
        let mut devices = self.devices.write();
        if devices.by_id.contains_key(&record.id) {
            return None;
        }
        let first_point = devices.points;
        devices.points += rules.measurements.len() as u32;
        grow(devices.points);
        let entry = Arc::new(DeviceEntry {
            record,
            rules,
            first_point,
            series,
            presence: PresenceState::new(),
            quality: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            series_ids: OnceLock::new(),
            secret_sha256: Mutex::new(secret_sha256),
        });
        devices.by_id.insert(entry.id().clone(), entry.clone());
        devices.in_order.push(entry.clone());
        Some(entry)
    }

    /// The device, when the secret is its own. Takes as long for an unknown device as for a wrong secret.
    pub fn authenticate(&self, id: &str, secret: &str) -> Option<DeviceId> {
        let entry = self.get(id);
        let expected = entry.as_ref().map_or([0; 32], |entry| *entry.secret_sha256.lock());
        let same = is_secret(secret, &expected);
        entry.filter(|_| same).map(|entry| entry.id().clone())
    }
}
