//! Who did what, when.

use crate::{Page, Records, RecordsError, error::database, page::rows};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::time::Timestamp;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEntry {
    pub id: String,
    pub at: Timestamp,
    /// A user's name, or what part of the server acted.
    pub who: String,
    /// Such as `login` or `device.register`.
    pub action: String,
    /// What it was done to.
    pub what: String,
}

type AuditRow = (String, i64, String, String, String);

impl Records {
    pub async fn audit(
        &self,
        who: &str,
        action: &str,
        what: &str,
        now: Timestamp,
    ) -> Result<(), RecordsError> {
        // Names in refused requests may hold anything; PostgreSQL's text holds no NUL.
        let [who, what] = [who, what].map(|text| text.replace('\0', "\u{fffd}"));
        on_writer!(self, pool => {
            sqlx::query("INSERT INTO audit (id, at, who, action, what) VALUES ($1, $2, $3, $4, $5)")
                .bind(Uuid::now_v7().to_string())
                .bind(now.0)
                .bind(who)
                .bind(action)
                .bind(what)
                .execute(pool)
                .await
                .map_err(database("writing the audit trail"))?;
        });
        Ok(())
    }

    /// Newest first.
    pub async fn audit_log(&self, limit: usize, offset: usize) -> Result<Page<AuditEntry>, RecordsError> {
        const DOING: &str = "reading the audit trail";
        let (total, rows): (i64, Vec<AuditRow>) = on_reader!(self, pool => {
            let total = sqlx::query_scalar("SELECT COUNT(*) FROM audit")
                .fetch_one(pool)
                .await
                .map_err(database(DOING))?;
            let rows = sqlx::query_as(
                "SELECT id, at, who, action, what FROM audit ORDER BY at DESC, id DESC LIMIT $1 OFFSET $2",
            )
            .bind(rows(limit))
            .bind(rows(offset))
            .fetch_all(pool)
            .await
            .map_err(database(DOING))?;
            (total, rows)
        });
        let items = rows
            .into_iter()
            .map(|(id, at, who, action, what)| AuditEntry { id, at: Timestamp(at), who, action, what })
            .collect();
        Ok(Page { items, total: total.unsigned_abs() })
    }
}
