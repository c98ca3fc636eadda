//! The journal of commands: each is written before anyone hears of it.

use crate::{
    Page, Records, RecordsError,
    error::{database, decode, encode},
    news::{insert_news, of_command},
    page::rows,
};
use shared::{
    command::CommandRecord,
    id::{CommandId, DeviceId},
    time::Timestamp,
};

/// What became of a new journal entry. It lives for one `match`, so its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq)]
pub enum Inserted {
    New,
    /// The id was used before, for this.
    Existing(CommandRecord),
}

impl Records {
    /// Journals a command unless its id is taken.
    pub async fn insert_command(&self, record: &CommandRecord) -> Result<Inserted, RecordsError> {
        let body = encode("a command", record)?;
        let inserted = on_writer!(self, pool => {
            sqlx::query(
                "INSERT INTO commands (command_id, device_id, status, queued_at, body) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (command_id) DO NOTHING",
            )
            .bind(record.request.command_id.as_str())
            .bind(record.request.device_id.as_str())
            .bind(record.status.as_str())
            .bind(record.queued_at.0)
            .bind(body)
            .execute(pool)
            .await
            .map_err(database("journaling a command"))?
            .rows_affected()
        });
        if inserted == 1 {
            return Ok(Inserted::New);
        }
        match self.command(&record.request.command_id).await? {
            Some(existing) => Ok(Inserted::Existing(existing)),
            None => {
                Err(RecordsError::NotFound { what: "command", id: record.request.command_id.to_string() })
            }
        }
    }

    /// Writes a command's new state.
    pub async fn update_command(&self, record: &CommandRecord) -> Result<(), RecordsError> {
        let body = encode("a command", record)?;
        let changed = on_writer!(self, pool => {
            sqlx::query("UPDATE commands SET status = $1, body = $2 WHERE command_id = $3")
                .bind(record.status.as_str())
                .bind(body)
                .bind(record.request.command_id.as_str())
                .execute(pool)
                .await
                .map_err(database("journaling a command's state"))?
                .rows_affected()
        });
        match changed {
            0 => Err(RecordsError::NotFound { what: "command", id: record.request.command_id.to_string() }),
            _ => Ok(()),
        }
    }

    /// Writes several commands' new states and the news of those that ended: all or none. One that was pruned meanwhile is passed over.
    pub async fn update_commands(&self, records: &[CommandRecord]) -> Result<(), RecordsError> {
        const DOING: &str = "journaling commands' states";
        on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            for record in records {
                let body = encode("a command", record)?;
                if record.status.is_final() {
                    let ends: Option<String> = sqlx::query_scalar(
                        "SELECT command_id FROM commands WHERE command_id = $1 AND status IN ('queued', 'sent')",
                    )
                    .bind(record.request.command_id.as_str())
                    .fetch_optional(&mut *transaction)
                    .await
                    .map_err(database(DOING))?;
                    let news: Vec<_> = ends.iter().map(|_| of_command(record, &body)).collect();
                    insert_news!(transaction, news, DOING);
                }
                sqlx::query("UPDATE commands SET status = $1, body = $2 WHERE command_id = $3")
                    .bind(record.status.as_str())
                    .bind(body)
                    .bind(record.request.command_id.as_str())
                    .execute(&mut *transaction)
                    .await
                    .map_err(database(DOING))?;
            }
            transaction.commit().await.map_err(database(DOING))?;
        });
        self.inner.news.notify_one();
        Ok(())
    }

    pub async fn command(&self, id: &CommandId) -> Result<Option<CommandRecord>, RecordsError> {
        let body: Option<String> = on_reader!(self, pool => {
            sqlx::query_scalar("SELECT body FROM commands WHERE command_id = $1")
                .bind(id.as_str())
                .fetch_optional(pool)
                .await
                .map_err(database("reading a command"))?
        });
        body.map(|body| decode("command", id.as_str(), &body)).transpose()
    }

    /// Commands that have not ended, oldest first.
    pub async fn open_commands(&self) -> Result<Vec<CommandRecord>, RecordsError> {
        let rows: Vec<(String, String)> = on_reader!(self, pool => {
            sqlx::query_as(
                "SELECT command_id, body FROM commands WHERE status IN ('queued', 'sent')
                 ORDER BY queued_at, command_id",
            )
            .fetch_all(pool)
            .await
            .map_err(database("reading the open commands"))?
        });
        rows.iter().map(|(id, body)| decode("command", id, body)).collect()
    }

    /// Commands queued since then that devices said they obeyed, oldest first: what they may still be following.
    pub async fn acknowledged_commands(&self, since: Timestamp) -> Result<Vec<CommandRecord>, RecordsError> {
        let rows: Vec<(String, String)> = on_reader!(self, pool => {
            sqlx::query_as(
                "SELECT command_id, body FROM commands WHERE status = 'acknowledged' AND queued_at >= $1
                 ORDER BY queued_at, command_id",
            )
            .bind(since.0)
            .fetch_all(pool)
            .await
            .map_err(database("reading the acknowledged commands"))?
        });
        rows.iter().map(|(id, body)| decode("command", id, body)).collect()
    }

    /// A device's commands, newest first.
    pub async fn commands_of(
        &self,
        device: &DeviceId,
        limit: usize,
    ) -> Result<Vec<CommandRecord>, RecordsError> {
        self.commands_from(device, limit, 0).await
    }

    /// A page of a device's commands, newest first.
    pub async fn commands_page(
        &self,
        device: &DeviceId,
        limit: usize,
        offset: usize,
    ) -> Result<Page<CommandRecord>, RecordsError> {
        let total: i64 = on_reader!(self, pool => {
            sqlx::query_scalar("SELECT COUNT(*) FROM commands WHERE device_id = $1")
                .bind(device.as_str())
                .fetch_one(pool)
                .await
                .map_err(database("counting a device's commands"))?
        });
        let items = self.commands_from(device, limit, offset).await?;
        Ok(Page { items, total: total.unsigned_abs() })
    }

    async fn commands_from(
        &self,
        device: &DeviceId,
        limit: usize,
        offset: usize,
    ) -> Result<Vec<CommandRecord>, RecordsError> {
        let rows: Vec<(String, String)> = on_reader!(self, pool => {
            sqlx::query_as(
                "SELECT command_id, body FROM commands WHERE device_id = $1
                 ORDER BY queued_at DESC, command_id DESC LIMIT $2 OFFSET $3",
            )
            .bind(device.as_str())
            .bind(rows(limit))
            .bind(rows(offset))
            .fetch_all(pool)
            .await
            .map_err(database("reading a device's commands"))?
        });
        rows.iter().map(|(id, body)| decode("command", id, body)).collect()
    }
}
