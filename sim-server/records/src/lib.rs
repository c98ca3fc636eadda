//! What the park must remember besides telemetry: people, tokens, devices, commands, alarms, events, an audit trail.
//!
//! One handle, [`Records`], over SQLite (a file beside the telemetry) or PostgreSQL, chosen by URL. In come checked
//! values of `shared` and instants; out come the same values. A method that returns `Ok` has committed: SQLite runs with
//! `synchronous = FULL`, so what it acknowledged survives a power cut.
//!
//! The rules live elsewhere: this crate only keeps what a table can keep true by itself — one command per id, one
//! device per id, a refresh token spent once, always one administrator.
//!
//! ```no_run
//! # async fn example() -> Result<(), records::RecordsError> {
//! use records::{Records, Role};
//! use shared::time::Timestamp;
//! let records = Records::open("sqlite:///var/lib/park/records.db").await?;
//! records.create_user("admin", "a long enough password", Role::Admin, Timestamp(0)).await?;
//! assert!(records.verify_password("admin", "not it").await?.is_none());
//! # Ok(()) }
//! ```

#[macro_use]
mod engine;

mod alarms;
mod api_keys;
mod audit;
mod claim;
mod commands;
mod copy;
mod device_days;
mod devices;
mod error;
mod events;
mod news;
mod page;
mod passwords;
mod secrets;
mod sessions;
mod settings;
mod tokens;
mod users;
mod webhooks;

pub use api_keys::{KeyCounts, KeyIncrement, KeyUse, StoredKey};
pub use audit::AuditEntry;
pub use claim::Claim;
pub use commands::Inserted;
pub use device_days::DeviceDay;
pub use devices::{DeviceRecord, StoredDevice};
pub use error::RecordsError;
pub use news::{Happened, News};
pub use page::Page;
pub use secrets::{DeviceSecret, is_secret, random_bytes, random_text, sha256};
pub use sessions::MqttSession;
pub use tokens::{Rotation, WALL_TOKEN_PREFIX, WallTokenInfo};
pub use users::{Role, User};
pub use webhooks::{Delivery, DeliveryCounts, DeliveryStatus, NewDelivery, StoredWebhook};

use engine::Engine;
use shared::time::Timestamp;
use std::sync::Arc;
use work::Work;

/// The database. Clones share its connections.
#[derive(Clone)]
pub struct Records {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    work: Work,
    passwords: passwords::Hashing,
    /// Told when there is news.
    news: tokio::sync::Notify,
}

impl Records {
    /// Opens `sqlite:///path/records.db` or `postgres://…`, creating and migrating what is missing.
    ///
    /// A SQLite file is made readable by its owner only.
    pub async fn open(url: &str) -> Result<Records, RecordsError> {
        Records::open_with(url, Work::on_threads()).await
    }

    /// The same with somebody else to say when the database's work is done.
    pub async fn open_with(url: &str, work: Work) -> Result<Records, RecordsError> {
        let engine = work.outside(Engine::open(url)).await?;
        Ok(Records {
            inner: Arc::new(Inner {
                engine,
                work,
                passwords: passwords::Hashing::new(),
                news: tokio::sync::Notify::new(),
            }),
        })
    }

    /// Whether the database answers: for readiness checks.
    pub async fn check(&self) -> Result<(), RecordsError> {
        on_reader!(self, pool => {
            sqlx::query("SELECT 1").execute(pool).await.map_err(error::database("checking the database"))?;
        });
        Ok(())
    }

    /// Forgets what has ended and is older than `cutoff`: commands, alarms, events, audit entries, deliveries and news nobody took. Says how many.
    pub async fn prune_before(&self, cutoff: Timestamp) -> Result<u64, RecordsError> {
        const PRUNES: [&str; 6] = [
            "DELETE FROM commands WHERE queued_at < $1 AND status NOT IN ('queued', 'sent')",
            "DELETE FROM alarms WHERE raised_at < $1 AND open = 0",
            "DELETE FROM device_events WHERE received_at < $1",
            "DELETE FROM audit WHERE at < $1",
            "DELETE FROM webhook_deliveries WHERE queued_at < $1 AND status <> 'waiting'",
            "DELETE FROM news WHERE at < $1",
        ];
        let mut pruned = 0;
        for prune in PRUNES {
            pruned += on_writer!(self, pool => {
                sqlx::query(prune)
                    .bind(cutoff.0)
                    .execute(pool)
                    .await
                    .map_err(error::database("forgetting old records"))?
                    .rows_affected()
            });
        }
        // A day is named in the park's zone: one more is kept than may have to be.
        let day = cutoff.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date();
        let before = day.yesterday().unwrap_or(day).to_string();
        pruned += self.prune_device_days(&before).await?;
        pruned += self.prune_key_days(&before).await?;
        Ok(pruned)
    }

    /// Ends all connections once what they do is done; every clone of the handle is closed with it.
    pub async fn close(&self) {
        self.inner.work.outside(self.inner.engine.close()).await;
    }
}
