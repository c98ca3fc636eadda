//! What can go wrong, naming what and where.

use crate::wal::WalError;
use std::{io, path::PathBuf};

/// Why points were not stored. Nothing of the append counts, and sending it again is always safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too much waits to become durable or to be sealed; send again later.
    #[error("the telemetry store is busy; send again later")]
    Busy,
    /// The disk is full. The store takes points again by itself when there is space.
    #[error("no space left for telemetry: {detail}")]
    StorageFull { detail: String },
    #[error("telemetry could not be stored: {reason}")]
    Failed { reason: String },
    #[error("the telemetry store is closed")]
    Closed,
}

impl From<&WalError> for AppendError {
    fn from(error: &WalError) -> Self {
        if error.is_storage_full() {
            AppendError::StorageFull { detail: error.to_string() }
        } else {
            AppendError::Failed { reason: error.to_string() }
        }
    }
}

/// Why the store could not be opened, read or maintained.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    #[error("{what} {}: {source}", path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    /// Another process has the store open.
    #[error("the telemetry store {} is in use by {holder}", folder.display())]
    InUse { folder: PathBuf, holder: String },
    #[error("{what} in {place}: {source}")]
    Database { what: &'static str, place: String, source: sqlx::Error },
    /// Another version of this program wrote it.
    #[error("the telemetry in {place} is of format {found}; this version reads formats up to {ours}")]
    UnknownFormat { place: String, found: i64, ours: i64 },
    #[error("block {block} of series {series} is damaged: {reason}")]
    DamagedBlock { block: i64, series: u32, reason: String },
    /// They are made again from blocks, if these are sound, before long.
    #[error("the hours of series {series} on {date} are damaged: {reason}", date = crate::hours::start_of_hour(day * 24))]
    DamagedHours {
        /// Of UTC, since 1970.
        day: i64,
        series: u32,
        reason: String,
    },
    #[error("the telemetry store contradicts itself: {0}")]
    Inconsistent(String),
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    Log(String),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("the telemetry store is closed")]
    Closed,
}

impl From<WalError> for HistoryError {
    fn from(error: WalError) -> Self {
        HistoryError::Log(format!("the telemetry log: {error}"))
    }
}

/// Gives an I/O error its place.
pub(crate) fn io_at(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> HistoryError {
    let path = path.into();
    move |source| HistoryError::Io { what, path, source }
}

/// Gives a database error its place.
pub(crate) fn database_at(
    what: &'static str,
    place: impl ToString,
) -> impl FnOnce(sqlx::Error) -> HistoryError {
    let place = place.to_string();
    move |source| HistoryError::Database { what, place, source }
}
