//! What is counted of a device's data by day. What the counts mean is the twin's affair.

use crate::{Records, RecordsError, error::database};
use shared::id::DeviceId;

/// The counts of one device in one day.
#[derive(Debug, Clone, PartialEq)]
pub struct DeviceDay {
    pub device: DeviceId,
    /// JSON.
    pub body: String,
}

impl Records {
    /// A day's counts, of all devices or of one.
    pub async fn device_days(
        &self,
        day: &str,
        device: Option<&DeviceId>,
    ) -> Result<Vec<DeviceDay>, RecordsError> {
        let rows: Vec<(String, String)> = on_reader!(self, pool => {
            sqlx::query_as(
                "SELECT device_id, body FROM device_days WHERE day = $1 AND ($2 = '' OR device_id = $2)
                 ORDER BY device_id",
            )
            .bind(day)
            .bind(device.map_or("", DeviceId::as_str))
            .fetch_all(pool)
            .await
            .map_err(database("reading counts by day"))?
        });
        // Only well-formed ids are ever written.
        Ok(rows
            .into_iter()
            .filter_map(|(device, body)| Some(DeviceDay { device: device.parse().ok()?, body }))
            .collect())
    }

    /// Puts a day's counts of these devices in the place of those that are there: all of them or none.
    pub async fn put_device_days(&self, day: &str, rows: &[DeviceDay]) -> Result<(), RecordsError> {
        const DOING: &str = "writing counts by day";
        on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            for row in rows {
                sqlx::query(
                    "INSERT INTO device_days (day, device_id, body) VALUES ($1, $2, $3)
                     ON CONFLICT (day, device_id) DO UPDATE SET body = excluded.body",
                )
                .bind(day)
                .bind(row.device.as_str())
                .bind(&row.body)
                .execute(&mut *transaction)
                .await
                .map_err(database(DOING))?;
            }
            transaction.commit().await.map_err(database(DOING))?;
        });
        Ok(())
    }

    /// Forgets the counts of days before this one; says how many.
    pub async fn prune_device_days(&self, before: &str) -> Result<u64, RecordsError> {
        Ok(on_writer!(self, pool => {
            sqlx::query("DELETE FROM device_days WHERE day < $1")
                .bind(before)
                .execute(pool)
                .await
                .map_err(database("forgetting old counts by day"))?
                .rows_affected()
        }))
    }
}
