//! Devices enter the park: the scene's own at first start, others over HTTP.

use crate::{
    error::TwinError,
    twin::{Inner, Twin, TwinChange, to_the_end},
};
use records::{DeviceRecord, DeviceSecret, RecordsError};
use shared::{
    id::DeviceId,
    scene::{Device, Scene},
    telemetry::Origin,
    time::Timestamp,
};

/// The record of a scene device.
pub(crate) fn scene_record(device: &Device, origin: Origin, registered_at: Timestamp) -> DeviceRecord {
    DeviceRecord {
        id: device.id.clone(),
        model: device.model.clone(),
        name: device.name.clone(),
        origin,
        manufacturer: device.manufacturer.clone(),
        capacity_kw: Some(device.rating.nameplate_kw()).filter(|kw| *kw > 0.0),
        location: Some(device.position),
        installed_on: None,
        building: device.building.clone(),
        feeder: device.bus.clone(),
        registered_at,
    }
}

impl Twin {
    /// Registers the scene's devices that are not registered yet; gives their new secrets, which exist nowhere else.
    pub async fn provision_scene(
        &self,
        origin: Origin,
        now: Timestamp,
    ) -> Result<Vec<(DeviceId, DeviceSecret)>, TwinError> {
        let inner = self.inner.clone();
        to_the_end(async move {
            let missing: Vec<(DeviceRecord, DeviceSecret)> = inner
                .scene
                .devices
                .iter()
                .filter(|device| inner.registry.get(device.id.as_str()).is_none())
                .map(|device| (scene_record(device, origin, now), DeviceSecret::generate()))
                .collect();
            if missing.is_empty() {
                return Ok(Vec::new());
            }
            inner.records.insert_devices(&missing).await?;
            let secrets = missing
                .into_iter()
                .filter_map(|(record, secret)| {
                    let entry = inner.add_device(record, secret.sha256())?;
                    Some((entry.id().clone(), secret))
                })
                .collect();
            inner.announce(TwinChange::Registry);
            Ok(secrets)
        })
        .await
    }

    /// Registers a device of the field (whatever `origin` says) and gives its secret, this once.
    pub async fn register(&self, device: DeviceRecord, now: Timestamp) -> Result<DeviceSecret, TwinError> {
        let record = DeviceRecord { origin: Origin::Field, registered_at: now, ..device };
        self.inner.check_registration(&record)?;
        let inner = self.inner.clone();
        to_the_end(async move {
            let secret = DeviceSecret::generate();
            inner.records.insert_device(&record, &secret).await.map_err(|e| match e {
                RecordsError::AlreadyExists { .. } => TwinError::AlreadyRegistered(record.id.clone()),
                other => other.into(),
            })?;
            inner.add_device(record, secret.sha256());
            inner.announce(TwinChange::Registry);
            Ok(secret)
        })
        .await
    }

    /// Gives a device another secret, this once; the old one is worth nothing from then on, and whoever is connected by it
    /// is hung up on.
    pub async fn replace_secret(&self, id: &DeviceId) -> Result<DeviceSecret, TwinError> {
        let entry =
            self.inner.registry.get(id.as_str()).ok_or_else(|| TwinError::UnknownDevice(id.clone()))?;
        let twin = self.clone();
        to_the_end(async move {
            let secret = DeviceSecret::generate();
            twin.inner.records.replace_device_secret(entry.id(), &secret).await?;
            entry.replace_secret(secret.sha256());
            twin.hang_up(entry.id());
            Ok(secret)
        })
        .await
    }

    /// The device, when the secret is its own; constant time.
    pub fn authenticate(&self, id: &str, secret: &str) -> Option<DeviceId> {
        self.inner.registry.authenticate(id, secret)
    }
}

impl Inner {
    fn check_registration(&self, record: &DeviceRecord) -> Result<(), TwinError> {
        let device = || record.id.clone();
        if self.registry.get(record.id.as_str()).is_some() {
            return Err(TwinError::AlreadyRegistered(device()));
        }
        let scene: &Scene = &self.scene;
        if self.registry.model(&record.model).is_none() {
            let known: Vec<&str> = scene.models.keys().map(|id| id.as_str()).collect();
            return Err(TwinError::UnknownModel {
                device: device(),
                model: record.model.clone(),
                known: known.join(", "),
            });
        }
        if let Some(planned) = scene.device(record.id.as_str()).filter(|d| d.model != record.model) {
            return Err(TwinError::ModelMismatch {
                device: device(),
                scene: planned.model.clone(),
                asked: record.model.clone(),
            });
        }
        if let Some(building) = &record.building
            && !scene.site.buildings.iter().any(|b| b.id == *building)
        {
            return Err(TwinError::UnknownBuilding { device: device(), building: building.clone() });
        }
        if let Some(bus) = &record.feeder
            && !scene.network.buses.iter().any(|b| b.id == *bus)
        {
            return Err(TwinError::UnknownFeeder { device: device(), bus: bus.clone() });
        }
        Ok(())
    }
}
