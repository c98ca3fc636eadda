//! What the end-to-end tests share: a real server process in a temporary folder, and clients that talk to it.
//!
//! Nothing here waits for a fixed time: [`eventually`] polls a condition up to a generous limit and says what was
//! awaited when it never came true.

pub mod broker;
pub mod certificates;
pub mod database;
pub mod device;
pub mod paho;
pub mod postgres;
pub mod process;
pub mod server;

pub use broker::Broker;
pub use certificates::{Authority, Identity};
pub use database::Database;
pub use device::{Device, Outcome};
pub use paho::Paho;
pub use postgres::Postgres;
pub use process::{binary, free_port, repository, tool};
pub use server::Server;

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Far above anything seen, so that only a real fault reaches it.
pub const LIMIT: Duration = Duration::from_secs(90);

/// The wall clock, Unix milliseconds.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Polls until `condition` gives a value.
///
/// # Errors
/// Says what was awaited when [`LIMIT`] passes.
pub async fn eventually<T, F>(what: &str, mut condition: F) -> anyhow::Result<T>
where
    F: AsyncFnMut() -> anyhow::Result<Option<T>>,
{
    let started = Instant::now();
    let mut last_error = None;
    while started.elapsed() < LIMIT {
        match condition().await {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => {}
            Err(error) => last_error = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    match last_error {
        Some(error) => Err(error.context(format!("never came true: {what}"))),
        None => anyhow::bail!("never came true: {what}"),
    }
}

/// What `scripts/test` sets in the environment for a test that needs more than this workspace; `None`, said aloud, where nobody
/// set it.
///
/// # Errors
/// In continuous integration nothing may be left out.
#[expect(clippy::print_stderr, reason = "what was left out must be seen beside the test's name")]
pub fn given(variable: &str) -> anyhow::Result<Option<String>> {
    let value = std::env::var(variable).ok();
    if value.is_none() {
        anyhow::ensure!(std::env::var_os("CI").is_none(), "{variable} is not set; scripts/test sets it");
        eprintln!("skipped: {variable} is not set; scripts/test sets it");
    }
    Ok(value)
}
