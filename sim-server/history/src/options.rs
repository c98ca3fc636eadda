//! How a store is set up.

use jiff::tz::TimeZone;
use std::{path::PathBuf, time::Duration};

#[derive(Debug, Clone)]
pub struct HistoryOptions {
    /// Where the log lies, in `wal/`, and the SQLite files.
    pub folder: PathBuf,
    /// `postgres://…`: blocks go there. None: into SQLite files in the folder.
    pub database_url: Option<String>,
    /// Under load a commit waits up to this long for as many appends as the last one served. An idle store never waits.
    pub group_commit_max_wait: Duration,
    /// Points that may wait to become durable; more are refused as busy.
    pub queue_points: usize,
    /// A head this long is sealed into a block.
    pub seal_points: usize,
    /// Blocks are merged at whole hours once these hold this many readings.
    pub merge_points: usize,
    /// Full heads are sealed together, this often.
    pub seal_interval: Duration,
    /// A log segment this large is closed.
    pub segment_bytes: u64,
    /// When the log outgrows this, its oldest readings are sealed whatever their heads' length. It bounds what a restart
    /// replays.
    pub wal_budget_bytes: u64,
    /// What heads may take. At half of it the largest are sealed; at all of it appends are refused as busy.
    pub memory_bytes: usize,
    /// The clock by which the days of settled months are kept. None: what was kept stays, and none are made; they are made of hours when
    /// asked for.
    pub day_zone: Option<TimeZone>,
    /// Hours of series that a question about steps reads at once, in each of its tasks: what it takes to answer does not grow with
    /// the time asked about.
    pub read_hours: usize,
    /// What blocks that were read may take to be kept for whoever asks the same again.
    pub kept_bytes: usize,
}

impl Default for HistoryOptions {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("var/history"),
            database_url: None,
            group_commit_max_wait: Duration::from_millis(2),
            queue_points: 500_000,
            seal_points: 512,
            merge_points: 3_600,
            seal_interval: Duration::from_secs(5),
            segment_bytes: 8 << 20,
            wal_budget_bytes: 64 << 20,
            memory_bytes: 512 << 20,
            day_zone: None,
            read_hours: 16_384,
            kept_bytes: 32 << 20,
        }
    }
}
