//! Days out of a store into an archive.

use crate::{
    day::{self, Day},
    error::ArchiveError,
    manifest::{FORMAT, FileEntry, Manifest},
    merge::{Archived, merged},
    place::{Archive, Upload, hex},
    write::{DayWriter, Written},
};
use history::{Aggregate, History, SeriesKey};
use jiff::{civil::Date, tz::TimeZone};
use serde::Serialize;
use sha2::{Digest, Sha256};
use shared::{telemetry::Reading, time::Timestamp};
use std::collections::{BTreeMap, HashMap};

/// Readings of a series asked for at once: a day at 1 Hz.
const PAGE: usize = 100_000;

/// The park whose days these are.
#[derive(Debug, Clone)]
pub struct ParkName {
    pub id: String,
    /// IANA name.
    pub time_zone: String,
    pub zone: TimeZone,
}

/// What is known of a series beside its readings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Description {
    pub unit: Option<String>,
    /// `field` or `simulated`: what is simulated must not pass for measured, in the archive neither.
    pub origin: Option<String>,
}

/// Which days to export.
#[derive(Debug, Clone, Copy, Default)]
pub struct Days {
    pub first: Option<Date>,
    pub last: Option<Date>,
    /// Read every day again, also those that come to what they came to before. Only this finds a correction after which a
    /// series' count, sum, extremes, integral, rise and ends are all what they were, such as one of a reading's quality.
    pub full: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DayReport {
    pub day: Date,
    pub outcome: DayOutcome,
    pub rows: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum DayOutcome {
    /// For the first time.
    Written,
    /// Since readings came late, were corrected, or the file was gone.
    Rewritten,
    Unchanged,
}

/// What an export did, over all days.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportReport {
    pub written: usize,
    pub rewritten: usize,
    pub unchanged: usize,
    /// Of the files written.
    pub rows: u64,
    pub bytes: u64,
    /// Archived files that are damaged: they stay as they are, and so does what the archive says of their days.
    pub faults: Vec<String>,
}

/// Brings the archive up to what the store holds of days that are over at `now`. Each day counts once its file is whole; the
/// manifest follows day by day, so an export that is cut short goes on where it was.
pub async fn export(
    history: &History,
    archive: &Archive,
    park: &ParkName,
    describe: &(dyn Fn(&SeriesKey) -> Description + Sync),
    days: Days,
    now: Timestamp,
    progress: &mut (dyn FnMut(&DayReport) + Send),
) -> Result<ExportReport, ArchiveError> {
    let mut manifest = open_manifest(archive, park).await?;
    let there: HashMap<String, u64> =
        archive.files().await?.into_iter().map(|file| (file.path, file.bytes)).collect();
    // Into blocks first: what leaves for the archive should not still be in the log only.
    history.checkpoint().await?;
    let mut keys: Vec<SeriesKey> = history.latest().await?.into_iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    let stats = history.stats().await;
    let mut report = ExportReport::default();
    let Some(range) = stats.oldest.zip(stats.newest) else { return Ok(report) };
    let days_over = day::days(&park.zone, range, now, (days.first, days.last));
    let survey = survey(history, &keys, &days_over).await?;
    for day in days_over {
        let Some(store_sha256) = survey.get(&day.date) else { continue };
        let entry = manifest.days.get(&day.date);
        let is_there = entry.is_some_and(|e| there.get(&e.path) == Some(&e.bytes));
        let done = match entry {
            Some(entry) if is_there && !days.full && entry.store_sha256 == *store_sha256 => {
                Ok(DayOutcome::Unchanged)
            }
            _ => {
                let archived = there.contains_key(&day.path());
                let source = Source { history, keys: &keys, day: &day, park, describe };
                write_day(archive, source, archived, &mut manifest, store_sha256, now).await
            }
        };
        let outcome = match done {
            Ok(outcome) => outcome,
            // One damaged file keeps no other day from being archived.
            Err(ArchiveError::BadFile { path, reason }) => {
                report.faults.push(format!("{path}: {reason}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        let (rows, bytes) = manifest.days.get(&day.date).map_or((0, 0), |entry| (entry.rows, entry.bytes));
        match outcome {
            DayOutcome::Written => report.written += 1,
            DayOutcome::Rewritten => report.rewritten += 1,
            DayOutcome::Unchanged => report.unchanged += 1,
        }
        if outcome != DayOutcome::Unchanged {
            report.rows += rows;
            report.bytes += bytes;
        }
        progress(&DayReport { day: day.date, outcome, rows, bytes });
    }
    Ok(report)
}

async fn open_manifest(archive: &Archive, park: &ParkName) -> Result<Manifest, ArchiveError> {
    let Some(manifest) = archive.manifest().await? else {
        let (park, time_zone) = (park.id.clone(), park.time_zone.clone());
        return Ok(Manifest { format: FORMAT, park, time_zone, days: BTreeMap::new() });
    };
    let place = archive.name().to_owned();
    if manifest.park != park.id {
        return Err(ArchiveError::OtherPark { place, found: manifest.park, ours: park.id.clone() });
    }
    if manifest.time_zone != park.time_zone {
        let (found, ours) = (manifest.time_zone, park.time_zone.clone());
        return Err(ArchiveError::OtherZone { place, found, ours });
    }
    Ok(manifest)
}

/// A fingerprint of what the store says each day comes to; days without readings have none. Mostly summaries of blocks answer
/// this, so that a nightly export of a year's store need not read a year.
async fn survey(
    history: &History,
    keys: &[SeriesKey],
    days: &[Day],
) -> Result<BTreeMap<Date, String>, ArchiveError> {
    let mut hashes: BTreeMap<Date, Sha256> = BTreeMap::new();
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return Ok(BTreeMap::new()) };
    let step_ms = day::common_step_ms(days);
    for key in keys {
        for bucket in history.buckets(key, first.from, last.to, step_ms).await? {
            let day = days.partition_point(|day| day.to <= bucket.start);
            let Some(day) = days.get(day) else { continue };
            let hash = hashes.entry(day.date).or_default();
            hash.update(key.device.as_str());
            hash.update([0]);
            hash.update(key.measurement.as_str());
            hash.update([0]);
            absorb(hash, &bucket.all);
        }
    }
    Ok(hashes.into_iter().map(|(date, hash)| (date, hex(hash))).collect())
}

fn absorb(hash: &mut Sha256, all: &Aggregate) {
    hash.update(all.count.to_le_bytes());
    for time in [all.first_time, all.last_time] {
        hash.update(time.0.to_le_bytes());
    }
    for figure in [all.sum, all.min, all.max, all.first, all.last, all.integral, all.rise] {
        hash.update(figure.to_bits().to_le_bytes());
    }
}

struct Source<'a> {
    history: &'a History,
    keys: &'a [SeriesKey],
    day: &'a Day,
    park: &'a ParkName,
    describe: &'a (dyn Fn(&SeriesKey) -> Description + Sync),
}

/// Writes a day from the store and what is archived of it, unless that makes the very rows that are there.
async fn write_day(
    archive: &Archive,
    source: Source<'_>,
    is_archived: bool,
    manifest: &mut Manifest,
    store_sha256: &str,
    now: Timestamp,
) -> Result<DayOutcome, ArchiveError> {
    let (path, date) = (source.day.path(), source.day.date);
    let before = manifest.days.get(&date).cloned();
    let archived =
        if is_archived { read_archived(archive, &path, before.as_ref()).await? } else { Archived::nothing() };
    let mut upload = archive.upload(&path).await?;
    let written = match source.write(archived, &mut upload).await {
        Ok(written) => written,
        Err(error) => {
            upload.abort().await;
            return Err(error);
        }
    };
    if let Some(entry) = before.as_ref().filter(|e| is_archived && e.rows_sha256 == written.rows_sha256) {
        upload.abort().await;
        manifest.days.insert(date, FileEntry { store_sha256: store_sha256.to_owned(), ..entry.clone() });
        archive.write_manifest(manifest).await?;
        return Ok(DayOutcome::Unchanged);
    }
    let outcome = if is_archived { DayOutcome::Rewritten } else { DayOutcome::Written };
    if let Some(entry) = before {
        let next_sha256 = Some(upload.sha256());
        manifest.days.insert(date, FileEntry { next_sha256, ..entry });
        archive.write_manifest(manifest).await?;
    }
    let (bytes, sha256) = upload.finish().await?;
    let Written { rows, series, first, last, rows_sha256 } = written;
    let entry = FileEntry {
        path,
        bytes,
        sha256,
        next_sha256: None,
        rows,
        series,
        first,
        last,
        rows_sha256,
        store_sha256: store_sha256.to_owned(),
        exported_at: now,
    };
    manifest.days.insert(date, entry);
    archive.write_manifest(manifest).await?;
    Ok(outcome)
}

async fn read_archived(
    archive: &Archive,
    path: &str,
    entry: Option<&FileEntry>,
) -> Result<Archived, ArchiveError> {
    let (file, sha256) = archive.download(path).await?;
    if entry.is_some_and(|entry| !entry.is_of(&sha256)) {
        let reason = "its SHA-256 is not what the manifest says; if it is lost, remove it to have its day written anew";
        return Err(ArchiveError::BadFile { path: path.to_owned(), reason: reason.to_owned() });
    }
    Ok(Archived::read(path, file))
}

impl Source<'_> {
    async fn write(&self, mut archived: Archived, upload: &mut Upload<'_>) -> Result<Written, ArchiveError> {
        let date = self.day.date.to_string();
        let writer = DayWriter::new(&[
            ("park.format", &FORMAT.to_string()),
            ("park.id", &self.park.id),
            ("park.timeZone", &self.park.time_zone),
            ("park.day", &date),
        ])?;
        let mut out = Out { writer: Some(writer), upload };
        for key in self.keys {
            while let Some(before) = archived.next_key().await?.filter(|next| *next < key).cloned() {
                self.only_archived(&before, &mut archived, &mut out).await?;
            }
            self.series(key, &mut archived, &mut out).await?;
        }
        while let Some(rest) = archived.next_key().await?.cloned() {
            self.only_archived(&rest, &mut archived, &mut out).await?;
        }
        out.finish().await
    }

    async fn series(
        &self,
        key: &SeriesKey,
        archived: &mut Archived,
        out: &mut Out<'_, '_>,
    ) -> Result<(), ArchiveError> {
        let (mut from, to) = (self.day.from, self.day.to);
        let description = (self.describe)(key);
        loop {
            let page = self.history.readings(key, from, to, PAGE).await?;
            let Some(last) = page.last().map(|r| r.timestamp) else { break };
            let (old, told) = archived.take_through(key, last).await?;
            out.push(key, &description.or(&told), merged(&page, &old)).await?;
            if page.len() < PAGE {
                break;
            }
            from = Timestamp(last.0 + 1);
        }
        self.only_archived(key, archived, out).await
    }

    /// What is left of a series in the archive.
    async fn only_archived(
        &self,
        key: &SeriesKey,
        archived: &mut Archived,
        out: &mut Out<'_, '_>,
    ) -> Result<(), ArchiveError> {
        while let Some(run) = archived.next_of(key).await? {
            out.push(key, &(self.describe)(key).or(&run.description), run.readings).await?;
        }
        Ok(())
    }
}

impl Description {
    /// What is not known now may have been told when the day was exported first.
    fn or(&self, told: &Description) -> Description {
        Description {
            unit: self.unit.clone().or_else(|| told.unit.clone()),
            origin: self.origin.clone().or_else(|| told.origin.clone()),
        }
    }
}

/// A day's file being written: encoded beside the async threads, sent on row group by row group.
struct Out<'a, 'u> {
    /// Not there while a thread has it.
    writer: Option<DayWriter>,
    upload: &'a mut Upload<'u>,
}

impl Out<'_, '_> {
    async fn push(
        &mut self,
        key: &SeriesKey,
        description: &Description,
        readings: Vec<Reading>,
    ) -> Result<(), ArchiveError> {
        let Some(writer) = &mut self.writer else { return Err(ArchiveError::Stopped("writing Parquet")) };
        writer.push(key, description, &readings);
        if !writer.is_group_full() {
            return Ok(());
        }
        let bytes = self
            .on_thread(|mut writer| {
                let bytes = writer.write_group()?;
                Ok((Some(writer), bytes))
            })
            .await?;
        self.upload.write(bytes).await
    }

    async fn finish(mut self) -> Result<Written, ArchiveError> {
        let (bytes, written) = self
            .on_thread(|writer| {
                let (bytes, written) = writer.finish()?;
                Ok((None, (bytes, written)))
            })
            .await?;
        self.upload.write(bytes).await?;
        Ok(written)
    }

    async fn on_thread<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(DayWriter) -> Result<(Option<DayWriter>, T), ArchiveError> + Send + 'static,
    ) -> Result<T, ArchiveError> {
        let stopped = || ArchiveError::Stopped("writing Parquet");
        let writer = self.writer.take().ok_or_else(stopped)?;
        let (writer, done) =
            tokio::task::spawn_blocking(move || work(writer)).await.map_err(|_| stopped())??;
        self.writer = writer;
        Ok(done)
    }
}
