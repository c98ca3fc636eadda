//! Keys of other systems: who holds one, and what was counted of its use by day. What a key may do is the `access` crate's affair.

use crate::{
    Records, RecordsError,
    error::{database, unique},
    secrets::{from_hex, hex},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::time::Timestamp;

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredKey {
    pub id: String,
    /// Of the whole key as its holder sends it.
    pub sha256: [u8; 32],
    pub created_at: Timestamp,
    pub last_use: Option<KeyUse>,
    /// JSON.
    pub body: String,
}

/// When and from where a key was last used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyUse {
    pub at: Timestamp,
    /// An IP address.
    pub from: String,
}

/// What was counted of a key's use; only ever added to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyCounts {
    /// Those that were refused included.
    pub requests: u64,
    /// Refused to the key itself: expired, revoked, from elsewhere, out of scope, too many.
    pub refused: u64,
    pub points_read: u64,
    pub points_written: u64,
    /// Of bodies that came.
    pub bytes_in: u64,
    /// Of bodies that went, before compression.
    pub bytes_out: u64,
}

impl KeyCounts {
    pub fn add(&mut self, other: &KeyCounts) {
        self.requests += other.requests;
        self.refused += other.refused;
        self.points_read += other.points_read;
        self.points_written += other.points_written;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
    }
}

/// What is to be added to what the records hold.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyIncrement {
    pub key: String,
    /// Such as `2026-06-01`.
    pub day: String,
    pub counts: KeyCounts,
    pub last_use: Option<KeyUse>,
}

type KeyRow = (String, String, i64, Option<i64>, Option<String>, String);

fn stored((id, sha256, created_at, at, from, body): KeyRow) -> Result<StoredKey, RecordsError> {
    let Some(sha256) = from_hex(&sha256) else {
        return Err(RecordsError::Corrupt { what: "API key", message: "no SHA-256".into(), id });
    };
    let last_use = at.zip(from).map(|(at, from)| KeyUse { at: Timestamp(at), from });
    Ok(StoredKey { id, sha256, created_at: Timestamp(created_at), last_use, body })
}

/// SQL counts in 64 bits with a sign.
fn sql(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Records {
    pub async fn insert_api_key(&self, key: &StoredKey) -> Result<(), RecordsError> {
        on_writer!(self, pool => {
            sqlx::query("INSERT INTO api_keys (id, sha256, created_at, body) VALUES ($1, $2, $3, $4)")
                .bind(&key.id)
                .bind(hex(&key.sha256))
                .bind(key.created_at.0)
                .bind(&key.body)
                .execute(pool)
                .await
                .map_err(unique("creating an API key", "API key", &key.id))?;
        });
        Ok(())
    }

    /// Puts another body in the place of the key's.
    pub async fn update_api_key(&self, id: &str, body: &str) -> Result<(), RecordsError> {
        let changed = on_writer!(self, pool => {
            sqlx::query("UPDATE api_keys SET body = $1 WHERE id = $2")
                .bind(body)
                .bind(id)
                .execute(pool)
                .await
                .map_err(database("changing an API key"))?
                .rows_affected()
        });
        match changed {
            0 => Err(RecordsError::NotFound { what: "API key", id: id.to_owned() }),
            _ => Ok(()),
        }
    }

    /// All that were ever made, oldest first.
    pub async fn api_keys(&self) -> Result<Vec<StoredKey>, RecordsError> {
        let rows: Vec<KeyRow> = on_reader!(self, pool => {
            sqlx::query_as(
                "SELECT id, sha256, created_at, last_used_at, last_used_from, body FROM api_keys
                 ORDER BY created_at, id",
            )
            .fetch_all(pool)
            .await
            .map_err(database("reading the API keys"))?
        });
        rows.into_iter().map(stored).collect()
    }

    /// Adds what was counted: all of it or nothing.
    pub async fn add_key_counts(&self, increments: &[KeyIncrement]) -> Result<(), RecordsError> {
        const DOING: &str = "adding up the use of API keys";
        on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            for KeyIncrement { key, day, counts, last_use } in increments {
                sqlx::query(
                    "INSERT INTO api_key_days
                     (key_id, day, requests, refused, points_read, points_written, bytes_in, bytes_out)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
                     ON CONFLICT (key_id, day) DO UPDATE SET
                     requests = api_key_days.requests + excluded.requests,
                     refused = api_key_days.refused + excluded.refused,
                     points_read = api_key_days.points_read + excluded.points_read,
                     points_written = api_key_days.points_written + excluded.points_written,
                     bytes_in = api_key_days.bytes_in + excluded.bytes_in,
                     bytes_out = api_key_days.bytes_out + excluded.bytes_out",
                )
                .bind(key)
                .bind(day)
                .bind(sql(counts.requests))
                .bind(sql(counts.refused))
                .bind(sql(counts.points_read))
                .bind(sql(counts.points_written))
                .bind(sql(counts.bytes_in))
                .bind(sql(counts.bytes_out))
                .execute(&mut *transaction)
                .await
                .map_err(database(DOING))?;
                if let Some(last) = last_use {
                    sqlx::query("UPDATE api_keys SET last_used_at = $1, last_used_from = $2 WHERE id = $3")
                        .bind(last.at.0)
                        .bind(&last.from)
                        .bind(key)
                        .execute(&mut *transaction)
                        .await
                        .map_err(database(DOING))?;
                }
            }
            transaction.commit().await.map_err(database(DOING))?;
        });
        Ok(())
    }

    /// What was counted of a key on the days `first` to `last`, both included, by day.
    pub async fn key_counts(
        &self,
        key: &str,
        first: &str,
        last: &str,
    ) -> Result<Vec<(String, KeyCounts)>, RecordsError> {
        let rows: Vec<(String, i64, i64, i64, i64, i64, i64)> = on_reader!(self, pool => {
            sqlx::query_as(
                "SELECT day, requests, refused, points_read, points_written, bytes_in, bytes_out
                 FROM api_key_days WHERE key_id = $1 AND day >= $2 AND day <= $3 ORDER BY day",
            )
            .bind(key)
            .bind(first)
            .bind(last)
            .fetch_all(pool)
            .await
            .map_err(database("reading the use of an API key"))?
        });
        let counts = |(day, requests, refused, points_read, points_written, bytes_in, bytes_out): (
            _,
            i64,
            i64,
            i64,
            i64,
            i64,
            i64,
        )| {
            let counts = KeyCounts {
                requests: requests.unsigned_abs(),
                refused: refused.unsigned_abs(),
                points_read: points_read.unsigned_abs(),
                points_written: points_written.unsigned_abs(),
                bytes_in: bytes_in.unsigned_abs(),
                bytes_out: bytes_out.unsigned_abs(),
            };
            (day, counts)
        };
        Ok(rows.into_iter().map(counts).collect())
    }

    /// Forgets what was counted on days before this one; says of how many.
    pub(crate) async fn prune_key_days(&self, before: &str) -> Result<u64, RecordsError> {
        Ok(on_writer!(self, pool => {
            sqlx::query("DELETE FROM api_key_days WHERE day < $1")
                .bind(before)
                .execute(pool)
                .await
                .map_err(database("forgetting the old use of API keys"))?
                .rows_affected()
        }))
    }
}
