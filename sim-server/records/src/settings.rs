//! Small facts the server keeps about itself, such as whether the first start's back-fill is done.

use crate::{Records, RecordsError, error::database};

impl Records {
    pub async fn setting(&self, key: &str) -> Result<Option<String>, RecordsError> {
        Ok(on_reader!(self, pool => {
            sqlx::query_scalar("SELECT value FROM settings WHERE key = $1")
                .bind(key)
                .fetch_optional(pool)
                .await
                .map_err(database("reading a setting"))?
        }))
    }

    pub async fn put_setting(&self, key: &str, value: &str) -> Result<(), RecordsError> {
        on_writer!(self, pool => {
            sqlx::query(
                "INSERT INTO settings (key, value) VALUES ($1, $2)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )
            .bind(key)
            .bind(value)
            .execute(pool)
            .await
            .map_err(database("writing a setting"))?;
        });
        Ok(())
    }
}
