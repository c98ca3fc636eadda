//! The table, and who connects to it.

use crate::{FrameError, error::database};
use sqlx::{
    Executor, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use std::{str::FromStr, time::Duration};

/// What writers say to readers when a frame is there.
pub(crate) const NEWS: &str = "park_ingest_frames";
const CONNECTIONS: u32 = 3;
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Several processes may start at once, and `IF NOT EXISTS` alone does not stop them from both creating.
const CREATE: [&str; 4] = [
    "SELECT pg_advisory_xact_lock(hashtext('park-frames'), hashtext(current_schema()))",
    "CREATE SEQUENCE IF NOT EXISTS ingest_writers",
    "CREATE TABLE IF NOT EXISTS ingest_frames (
        writer BIGINT NOT NULL,
        seq BIGINT NOT NULL,
        frame BYTEA NOT NULL,
        PRIMARY KEY (writer, seq)
    )",
    // PostgreSQL's own compression is slower than its disk here, and a frame lives for minutes.
    "ALTER TABLE ingest_frames ALTER COLUMN frame SET STORAGE EXTERNAL",
];

pub(crate) async fn open(url: &str) -> Result<PgPool, FrameError> {
    let refused =
        |reason: String| FrameError::Address { address: shared::url::without_password(url), reason };
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        return Err(refused("gateways and their server share a PostgreSQL, postgres://…".to_owned()));
    }
    let options = PgConnectOptions::from_str(url).map_err(|e| refused(e.to_string()))?;
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| {
            // A commit must be durable when it returns, whatever the server's default says.
            Box::pin(async move { connection.execute("SET synchronous_commit = on").await.map(|_| ()) })
        })
        .connect_with(options.application_name("park-frames"))
        .await
        .map_err(|e| refused(e.to_string()))?;
    let failed = database("creating the table of frames");
    let mut transaction = pool.begin().await.map_err(&failed)?;
    for statement in CREATE {
        sqlx::query(statement).execute(&mut *transaction).await.map_err(&failed)?;
    }
    transaction.commit().await.map_err(&failed)?;
    Ok(pool)
}
