//! The registry: which devices may speak, and the digest of each one's secret.

use crate::{
    DeviceSecret, Records, RecordsError,
    error::{self, database, decode, encode},
    secrets,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{
    id::{BuildingId, BusId, DeviceId, ModelId},
    telemetry::Origin,
    text::Text,
    time::Timestamp,
};

/// A registered device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceRecord {
    pub id: DeviceId,
    pub model: ModelId,
    pub name: Text,
    pub origin: Origin,
    #[serde(default)]
    pub manufacturer: Option<String>,
    #[serde(default)]
    pub capacity_kw: Option<f64>,
    /// Metres east, north and up of the park's origin.
    #[serde(default)]
    pub location: Option<[f64; 3]>,
    /// `YYYY-MM-DD`.
    #[serde(default)]
    pub installed_on: Option<String>,
    #[serde(default)]
    pub building: Option<BuildingId>,
    /// The bus its power flows through.
    #[serde(default)]
    pub feeder: Option<BusId>,
    pub registered_at: Timestamp,
}

#[derive(Debug, Clone, PartialEq)]
pub struct StoredDevice {
    pub record: DeviceRecord,
    pub secret_sha256: [u8; 32],
}

const INSERT: &str = "INSERT INTO devices (id, registered_at, secret_sha256, body) VALUES ($1, $2, $3, $4)";

impl Records {
    pub async fn insert_device(
        &self,
        device: &DeviceRecord,
        secret: &DeviceSecret,
    ) -> Result<(), RecordsError> {
        let body = encode("a device", device)?;
        on_writer!(self, pool => {
            sqlx::query(INSERT)
                .bind(device.id.as_str())
                .bind(device.registered_at.0)
                .bind(secrets::hex(&secret.sha256()))
                .bind(body)
                .execute(pool)
                .await
                .map_err(error::unique("registering a device", "device", device.id.as_str()))?;
        });
        Ok(())
    }

    /// All or none of them.
    pub async fn insert_devices(&self, devices: &[(DeviceRecord, DeviceSecret)]) -> Result<(), RecordsError> {
        const DOING: &str = "registering devices";
        on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            for (device, secret) in devices {
                sqlx::query(INSERT)
                    .bind(device.id.as_str())
                    .bind(device.registered_at.0)
                    .bind(secrets::hex(&secret.sha256()))
                    .bind(encode("a device", device)?)
                    .execute(&mut *transaction)
                    .await
                    .map_err(error::unique(DOING, "device", device.id.as_str()))?;
            }
            transaction.commit().await.map_err(database(DOING))?;
        });
        Ok(())
    }

    /// All registered devices, by id.
    pub async fn devices(&self) -> Result<Vec<StoredDevice>, RecordsError> {
        let rows: Vec<(String, String, String)> = on_reader!(self, pool => {
            sqlx::query_as("SELECT id, secret_sha256, body FROM devices ORDER BY id")
                .fetch_all(pool)
                .await
                .map_err(database("reading the devices"))?
        });
        rows.into_iter()
            .map(|(id, secret, body)| {
                let secret_sha256 = secrets::from_hex(&secret).ok_or_else(|| RecordsError::Corrupt {
                    what: "device",
                    id: id.clone(),
                    message: "its secret is not a SHA-256".into(),
                })?;
                Ok(StoredDevice { record: decode("device", &id, &body)?, secret_sha256 })
            })
            .collect()
    }

    /// Gives a device another secret; the old one is worth nothing from then on.
    pub async fn replace_device_secret(
        &self,
        id: &DeviceId,
        secret: &DeviceSecret,
    ) -> Result<(), RecordsError> {
        let changed = on_writer!(self, pool => {
            sqlx::query("UPDATE devices SET secret_sha256 = $1 WHERE id = $2")
                .bind(secrets::hex(&secret.sha256()))
                .bind(id.as_str())
                .execute(pool)
                .await
                .map_err(database("replacing a device's secret"))?
                .rows_affected()
        });
        found(changed, id)
    }

    /// Its commands, alarms and events stay: they happened.
    pub async fn delete_device(&self, id: &DeviceId) -> Result<(), RecordsError> {
        let changed = on_writer!(self, pool => {
            sqlx::query("DELETE FROM devices WHERE id = $1")
                .bind(id.as_str())
                .execute(pool)
                .await
                .map_err(database("deleting a device"))?
                .rows_affected()
        });
        found(changed, id)
    }
}

fn found(changed: u64, id: &DeviceId) -> Result<(), RecordsError> {
    match changed {
        0 => Err(RecordsError::NotFound { what: "device", id: id.to_string() }),
        _ => Ok(()),
    }
}
