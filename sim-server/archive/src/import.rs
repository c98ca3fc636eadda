//! Days out of an archive, or any Parquet with the same columns, into a store.

pub use crate::read::BadRow;
use crate::{
    error::ArchiveError,
    manifest::FileEntry,
    place::{Archive, Listed},
    read::{self, Rows},
};
use history::{AppendError, History, PointBatch, SeriesKey};
use serde::Serialize;
use shared::{telemetry::Reading, time::Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    time::Duration,
};
use tokio::sync::mpsc;

/// Batches read ahead of what is being stored.
const AHEAD: usize = 2;
/// Stored readings compared at once.
const PAGE: usize = 100_000;
/// Bad rows named a file; the others are counted.
const NAMED_BAD_ROWS: usize = 20;
/// How long a busy store is left alone.
const BUSY: Duration = Duration::from_millis(50);

/// Whose value counts where the store has another one for the same instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhoWins {
    /// An archive is older than the store: what was corrected since stays corrected.
    Store,
    File,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FileReport {
    pub path: String,
    /// The manifest names it and its SHA-256 is right; none when no manifest does.
    pub verified: bool,
    pub rows: u64,
    /// Rows the store had not, or (where the file wins) had otherwise.
    pub stored: u64,
    /// Rows the store has just so.
    pub already: u64,
    /// Rows for which the store has another value, which stayed.
    pub kept: u64,
    pub refused: u64,
    /// The first of those refused.
    pub bad_rows: Vec<BadRow>,
    /// Why nothing, or nothing more, of it was stored.
    pub fault: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    pub files: usize,
    pub rows: u64,
    pub stored: u64,
    pub already: u64,
    pub kept: u64,
    pub refused: u64,
    /// Files of which something is missing, damaged or refused.
    pub faulty: Vec<FileReport>,
}

/// Stores what the files of an archive hold. A file that is damaged or missing keeps no other out; a second import of the same
/// files stores nothing.
pub async fn import(
    history: &History,
    archive: &Archive,
    who_wins: WhoWins,
    progress: &mut (dyn FnMut(&FileReport) + Send),
) -> Result<ImportReport, ArchiveError> {
    let files = archive.files().await?;
    let manifest = archive.manifest().await?;
    let entries = manifest.iter().flat_map(|m| m.days.values());
    let expected: BTreeMap<&str, &FileEntry> = entries.map(|entry| (entry.path.as_str(), entry)).collect();
    if files.is_empty() && expected.is_empty() {
        let reason = "there is no Parquet file".to_owned();
        return Err(ArchiveError::BadPlace { url: archive.name().to_owned(), reason });
    }
    let there: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let mut report = ImportReport::default();
    let missing = expected.keys().filter(|path| !archive.is_one_file() && !there.contains(*path));
    for path in missing {
        let fault = Some("the manifest names it and it is not there".to_owned());
        report.add(FileReport { path: (*path).to_owned(), fault, ..FileReport::default() }, progress);
    }
    for Listed { path, .. } in &files {
        let mut file = FileReport { path: path.clone(), ..FileReport::default() };
        let done =
            one_file(history, archive, expected.get(path.as_str()).copied(), who_wins, &mut file).await;
        match done {
            Ok(()) => {}
            // Whatever else is wrong with the store or the place is wrong for every file.
            Err(ArchiveError::BadFile { reason, .. }) => file.fault = Some(reason),
            Err(error) => return Err(error),
        }
        report.add(file, progress);
    }
    Ok(report)
}

impl ImportReport {
    fn add(&mut self, file: FileReport, progress: &mut (dyn FnMut(&FileReport) + Send)) {
        self.files += 1;
        self.rows += file.rows;
        self.stored += file.stored;
        self.already += file.already;
        self.kept += file.kept;
        self.refused += file.refused;
        progress(&file);
        if file.fault.is_some() || file.refused > 0 {
            self.faulty.push(file);
        }
    }
}

async fn one_file(
    history: &History,
    archive: &Archive,
    expected: Option<&FileEntry>,
    who_wins: WhoWins,
    report: &mut FileReport,
) -> Result<(), ArchiveError> {
    let path = report.path.clone();
    let bad = |reason: String| ArchiveError::BadFile { path: path.clone(), reason };
    let (file, sha256) = archive.download(&path).await?;
    match expected {
        Some(entry) if !entry.is_of(&sha256) => {
            return Err(bad(format!("its SHA-256 is {sha256}, and the manifest says {}", entry.sha256)));
        }
        expected => report.verified = expected.is_some(),
    }
    let (sender, mut batches) = mpsc::channel(AHEAD);
    let reading = tokio::task::spawn_blocking(move || {
        read::read(file, |rows| match sender.blocking_send(rows) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        })
    });
    while let Some(rows) = batches.recv().await {
        batch(history, rows, who_wins, report).await?;
    }
    match reading.await {
        Ok(done) => done.map_err(bad),
        Err(_) => Err(bad("it cannot be read as Parquet".to_owned())),
    }
}

async fn batch(
    history: &History,
    rows: Rows,
    who_wins: WhoWins,
    report: &mut FileReport,
) -> Result<(), ArchiveError> {
    report.rows += rows.bad.len() as u64;
    report.refused += rows.bad.len() as u64;
    let room = NAMED_BAD_ROWS.saturating_sub(report.bad_rows.len());
    report.bad_rows.extend(rows.bad.into_iter().take(room));
    // A file may hold its rows in any order: per series, in the order of time, the last one of an instant.
    let mut series: BTreeMap<SeriesKey, Vec<Reading>> = BTreeMap::new();
    for run in rows.runs {
        report.rows += run.readings.len() as u64;
        series.entry(run.key).or_default().extend(run.readings);
    }
    let mut points = PointBatch::new();
    for (key, mut readings) in series {
        readings.sort_by_key(|r| r.timestamp);
        readings.reverse();
        readings.dedup_by_key(|r| r.timestamp);
        readings.reverse();
        let compared = compare(history, &key, &readings, who_wins).await?;
        report.already += compared.already;
        report.kept += compared.kept;
        report.stored += compared.to_store.len() as u64;
        let id = history.series_id(&key);
        for reading in compared.to_store {
            points.push(id, reading).map_err(AppendError::from).map_err(history::HistoryError::from)?;
        }
    }
    append(history, points).await
}

/// Waits out a store that is busy.
async fn append(history: &History, points: PointBatch) -> Result<(), ArchiveError> {
    loop {
        match history.append_batch(points.clone()).await {
            Err(AppendError::Busy) => tokio::time::sleep(BUSY).await,
            done => return Ok(done.map_err(history::HistoryError::from)?),
        }
    }
}

#[derive(Default)]
struct Compared {
    to_store: Vec<Reading>,
    already: u64,
    kept: u64,
}

/// What of `readings` (in the order of time, each instant once) the store does not have.
async fn compare(
    history: &History,
    key: &SeriesKey,
    readings: &[Reading],
    who_wins: WhoWins,
) -> Result<Compared, ArchiveError> {
    let mut compared = Compared::default();
    let mut left = readings;
    while let (Some(first), Some(last)) = (left.first(), left.last()) {
        let page = history.readings(key, first.timestamp, Timestamp(last.timestamp.0 + 1), PAGE).await?;
        // Up to here the page says all that is stored.
        let known = match page.last() {
            Some(end) if page.len() == PAGE => left.partition_point(|r| r.timestamp <= end.timestamp),
            _ => left.len(),
        };
        let mut stored = page.iter().peekable();
        for reading in &left[..known] {
            while stored.next_if(|s| s.timestamp < reading.timestamp).is_some() {}
            match stored.next_if(|s| s.timestamp == reading.timestamp) {
                Some(same) if is_same(same, reading) => compared.already += 1,
                Some(_) if who_wins == WhoWins::Store => compared.kept += 1,
                _ => compared.to_store.push(*reading),
            }
        }
        left = &left[known..];
    }
    Ok(compared)
}

fn is_same(one: &Reading, other: &Reading) -> bool {
    one.value.to_bits() == other.value.to_bits() && one.quality == other.quality
}
