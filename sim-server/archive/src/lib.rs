//! The archive: telemetry's days as Parquet files, in a folder or an S3-compatible store, and back into a store.
//!
//! ```text
//! <place>/manifest.json                                   what is there: per day file, SHA-256, rows, first and last time
//! <place>/year=2026/month=11/day=25/telemetry.parquet     a day of the park's own time zone
//! ```
//!
//! Out go days that are over. A day whose readings changed since (late data, corrections) is written anew; one that did not
//! is left alone; what the store has given up by retention stays in the archive. In come such files, or any Parquet with the
//! columns `device`, `measurement`, `time` and `value`; what the store has already is not stored again.
//!
//! This is a crate of its own so that `history`, which half the workspace builds on, needs neither Parquet nor an HTTP client.

mod connection;
mod day;
mod error;
mod export;
mod import;
mod manifest;
mod merge;
mod place;
mod read;
mod words;
mod write;

#[cfg(test)]
mod tests;

pub use error::ArchiveError;
pub use export::{DayOutcome, DayReport, Days, Description, ExportReport, ParkName, export};
pub use import::{BadRow, FileReport, ImportReport, WhoWins, import};
pub use manifest::{FileEntry, Manifest};
pub use place::Archive;
