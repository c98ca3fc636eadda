//! What can go wrong, naming the file or place at fault.

use history::HistoryError;

#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("{url} is no place for an archive: {reason}")]
    BadPlace { url: String, reason: String },
    #[error("{doing} {path} in {place}: {source}")]
    Store { doing: &'static str, path: String, place: String, source: Box<object_store::Error> },
    /// A file that is not what it should be.
    #[error("{path}: {reason}")]
    BadFile { path: String, reason: String },
    #[error("{place} holds the archive of park {found}, not of {ours}")]
    OtherPark { place: String, found: String, ours: String },
    #[error("{place} holds days of the time zone {found}, not of {ours}")]
    OtherZone { place: String, found: String, ours: String },
    #[error("the archive in {place} is of format {found}; this version knows formats up to {ours}")]
    UnknownFormat { place: String, found: u32, ours: u32 },
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("writing Parquet: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("a temporary file: {0}")]
    Temporary(std::io::Error),
    /// A thread that worked for us ended early.
    #[error("{0} stopped")]
    Stopped(&'static str),
}
