//! What devices announced on their event topics.

use crate::{
    Page, Records, RecordsError,
    error::{database, decode, encode},
    page::rows,
};
use shared::{id::DeviceId, telemetry::DeviceEvent, time::Timestamp};

const EVENT_ID_MAX: usize = 200;

impl Records {
    /// Whether the device announced this id before.
    pub async fn has_event(&self, device: &DeviceId, id: &str) -> Result<bool, RecordsError> {
        let known: i64 = on_reader!(self, pool => {
            sqlx::query_scalar("SELECT COUNT(*) FROM device_events WHERE device_id = $1 AND event_id = $2")
                .bind(device.as_str())
                .bind(id)
                .fetch_one(pool)
                .await
                .map_err(database("looking for a device's event"))?
        });
        Ok(known > 0)
    }

    /// Keeps an event; `false` when the device announced this id before.
    pub async fn insert_event(&self, event: &DeviceEvent, now: Timestamp) -> Result<bool, RecordsError> {
        if event.id.is_empty() || event.id.len() > EVENT_ID_MAX || event.id.chars().any(char::is_control) {
            return Err(RecordsError::Invalid {
                field: "id",
                message: format!("an event's id is 1 to {EVENT_ID_MAX} bytes without control characters"),
            });
        }
        let body = encode("an event", event)?;
        let inserted = on_writer!(self, pool => {
            sqlx::query(
                "INSERT INTO device_events (device_id, event_id, at, received_at, body) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (device_id, event_id) DO NOTHING",
            )
            .bind(event.device_id.as_str())
            .bind(&event.id)
            .bind(event.timestamp.0)
            .bind(now.0)
            .bind(body)
            .execute(pool)
            .await
            .map_err(database("keeping a device's event"))?
            .rows_affected()
        });
        Ok(inserted == 1)
    }

    /// A device's events, newest first.
    pub async fn events(&self, device: &DeviceId, limit: usize) -> Result<Vec<DeviceEvent>, RecordsError> {
        self.events_from(device, limit, 0).await
    }

    /// A page of a device's events, newest first.
    pub async fn events_page(
        &self,
        device: &DeviceId,
        limit: usize,
        offset: usize,
    ) -> Result<Page<DeviceEvent>, RecordsError> {
        let total: i64 = on_reader!(self, pool => {
            sqlx::query_scalar("SELECT COUNT(*) FROM device_events WHERE device_id = $1")
                .bind(device.as_str())
                .fetch_one(pool)
                .await
                .map_err(database("counting a device's events"))?
        });
        let items = self.events_from(device, limit, offset).await?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    async fn events_from(
        &self,
        device: &DeviceId,
        limit: usize,
        offset: usize,
    ) -> Result<Vec<DeviceEvent>, RecordsError> {
        let rows: Vec<(String, String)> = on_reader!(self, pool => {
            sqlx::query_as(
                "SELECT event_id, body FROM device_events WHERE device_id = $1
                 ORDER BY at DESC, event_id DESC LIMIT $2 OFFSET $3",
            )
            .bind(device.as_str())
            .bind(rows(limit))
            .bind(rows(offset))
            .fetch_all(pool)
            .await
            .map_err(database("reading a device's events"))?
        });
        rows.iter().map(|(id, body)| decode("event", id, body)).collect()
    }
}
