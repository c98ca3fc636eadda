//! What an archive holds, written down beside it.

use crate::error::ArchiveError;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use shared::time::Timestamp;
use std::collections::BTreeMap;

pub(crate) const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    pub format: u32,
    pub park: String,
    /// IANA name: where a day begins.
    pub time_zone: String,
    pub days: BTreeMap<Date, FileEntry>,
}

/// A day's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileEntry {
    /// From the manifest's folder.
    pub path: String,
    pub bytes: u64,
    pub sha256: String,
    /// Said before the file is replaced and forgotten after: whoever looks in between may find either.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_sha256: Option<String>,
    pub rows: u64,
    pub series: u64,
    /// Unix milliseconds of the oldest and the newest row.
    pub first: Timestamp,
    pub last: Timestamp,
    /// Of the rows, whatever the file looks like.
    pub rows_sha256: String,
    /// Of what the store said the day came to when it was exported: the same again means nothing changed.
    pub store_sha256: String,
    pub exported_at: Timestamp,
}

impl FileEntry {
    pub(crate) fn is_of(&self, sha256: &str) -> bool {
        self.sha256 == sha256 || self.next_sha256.as_deref() == Some(sha256)
    }
}

impl Manifest {
    pub(crate) fn read(bytes: &[u8], place: &str) -> Result<Manifest, ArchiveError> {
        let bad = |e: serde_json::Error| ArchiveError::BadFile {
            path: format!("{place}/manifest.json"),
            reason: e.to_string(),
        };
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(bytes).map_err(bad)?;
        if format > FORMAT {
            return Err(ArchiveError::UnknownFormat { place: place.to_owned(), found: format, ours: FORMAT });
        }
        serde_json::from_slice(bytes).map_err(bad)
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        // A map with text for keys and plain values has nothing that JSON cannot say.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}
