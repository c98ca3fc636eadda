//! Devices' MQTT sessions between their connections. What is in one is the gateway's business.

use crate::{Records, RecordsError, error::database};

/// A session as it is now; without a body it has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MqttSession {
    pub device_id: String,
    pub client_id: String,
    /// JSON.
    pub body: Option<String>,
}

impl Records {
    pub async fn mqtt_sessions(&self) -> Result<Vec<MqttSession>, RecordsError> {
        let rows: Vec<(String, String, String)> = on_reader!(self, pool => {
            sqlx::query_as("SELECT device_id, client_id, body FROM mqtt_sessions")
                .fetch_all(pool)
                .await
                .map_err(database("reading MQTT sessions"))?
        });
        let session = |(device_id, client_id, body)| MqttSession { device_id, client_id, body: Some(body) };
        Ok(rows.into_iter().map(session).collect())
    }

    /// Writes sessions as they are now, all or none.
    pub async fn put_mqtt_sessions(&self, sessions: &[MqttSession]) -> Result<(), RecordsError> {
        const DOING: &str = "writing MQTT sessions";
        on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            for MqttSession { device_id, client_id, body } in sessions {
                let query = match body {
                    Some(body) => sqlx::query(
                        "INSERT INTO mqtt_sessions (device_id, client_id, body) VALUES ($1, $2, $3)
                         ON CONFLICT (device_id, client_id) DO UPDATE SET body = excluded.body",
                    )
                    .bind(device_id)
                    .bind(client_id)
                    .bind(body),
                    None => sqlx::query("DELETE FROM mqtt_sessions WHERE device_id = $1 AND client_id = $2")
                        .bind(device_id)
                        .bind(client_id),
                };
                query.execute(&mut *transaction).await.map_err(database(DOING))?;
            }
            transaction.commit().await.map_err(database(DOING))?;
        });
        Ok(())
    }
}
