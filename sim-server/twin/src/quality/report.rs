//! What is counted becomes durable, and becomes the report people read.
//!
//! Memory holds counts since they were last written; the records hold the rest, a row a device and day. A report adds the two.
//! Writing adds as well, so no day is ever loaded to be counted on. A process that is killed loses what was counted since
//! the last write, at most a minute's: the readings themselves are in the history.

use super::{
    day::{DayCounts, Expected, ParkDay},
    fuse,
};
use crate::{
    registry::DeviceEntry,
    twin::{Inner, Twin},
};
use jiff::{civil::Date, tz::TimeZone};
use parking_lot::Mutex;
use records::{DeviceDay, RecordsError};
use shared::{
    id::DeviceId,
    quality::{DayQuality, DeviceQuality, FusedSource, FusionState, QualityFigures, QualityReport},
    scene::Scene,
    time::{SECOND_MS, Timestamp},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Sources that differ for less than this were only read at different moments.
const CONFLICT_AFTER_MS: i64 = 10 * SECOND_MS;
/// Days times devices of a report.
const QUALITY_ROWS_MOST: usize = 50_000;

pub(crate) struct QualityBook {
    pub(crate) zone: TimeZone,
    pub(crate) limits: super::SampleLimits,
    /// Held while counts are on their way between memory and records: whoever adds the two up waits.
    moving: tokio::sync::Mutex<()>,
    /// Since when a quantity's sources differ, and whether that was counted.
    conflicts: Mutex<HashMap<String, (Timestamp, bool)>>,
}

impl QualityBook {
    pub(crate) fn new(scene: &Scene) -> Self {
        let late_ms = i64::from(scene.alarms.delayed_after_s) * SECOND_MS;
        Self {
            zone: TimeZone::get(&scene.park.time_zone).unwrap_or(TimeZone::UTC),
            limits: super::SampleLimits {
                late_ms,
                live_ms: late_ms * crate::ingest::LIVE_WITHIN_DELAYS,
                skew_ms: i64::from(scene.alarms.clock_skew_s) * SECOND_MS,
            },
            moving: tokio::sync::Mutex::new(()),
            conflicts: Mutex::default(),
        }
    }
}

/// Which days and devices.
#[derive(Debug, Clone)]
pub struct QualityQuery {
    /// Any instant of the first and of the last day.
    pub from: Timestamp,
    pub to: Timestamp,
    pub device: Option<DeviceId>,
    /// A thing model's id, or a role's word.
    pub kind: Option<String>,
    /// Most rows of single devices.
    pub limit: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum QualityError {
    #[error(
        "{days} days of {devices} devices are more than {QUALITY_ROWS_MOST} rows: ask for fewer days, a type or a device"
    )]
    TooMuch { days: usize, devices: usize },
    #[error("no device of type {0:?}")]
    UnknownKind(String),
    #[error(transparent)]
    Records(#[from] RecordsError),
}

impl Twin {
    /// Writes what was counted since the last time; [`Twin::run`] does so once a minute and when it ends.
    pub async fn write_quality(&self) -> Result<(), RecordsError> {
        self.inner.write_quality().await
    }

    /// The quality of days and devices, up to now.
    pub async fn quality(&self, query: &QualityQuery, now: Timestamp) -> Result<QualityReport, QualityError> {
        let inner = &self.inner;
        let zone = &inner.quality.zone;
        let (first, last) = (query.from.local(zone).date(), query.to.local(zone).date());
        let entries = inner.asked_for(query)?;
        let mut dates = days_back(last, first, QUALITY_ROWS_MOST);
        if dates.len().saturating_mul(entries.len().max(1)) > QUALITY_ROWS_MOST {
            return Err(QualityError::TooMuch { days: dates.len(), devices: entries.len() });
        }
        let today = now.local(zone).date();
        dates.retain(|date| *date <= today);
        let mut report = QualityReport {
            at: now,
            from: first.to_string(),
            to: last.to_string(),
            late_after_s: inner.scene.alarms.delayed_after_s,
            clock_skew_s: inner.scene.alarms.clock_skew_s,
            totals: QualityFigures::default(),
            days: Vec::with_capacity(dates.len()),
            devices: Vec::new(),
            left_out: 0,
            sources: inner.fused_sources(now),
        };
        let _still = inner.quality.moving.lock().await;
        for date in dates {
            let day = ParkDay::on(date, zone);
            let stored = inner.records.device_days(&date.to_string(), query.device.as_ref()).await?;
            let mut stored: HashMap<DeviceId, String> =
                stored.into_iter().map(|d| (d.device, d.body)).collect();
            let mut rows: Vec<DeviceQuality> = entries
                .iter()
                .filter_map(|entry| {
                    let mut counts =
                        stored.remove(entry.id()).map(|body| parse(entry, &body)).unwrap_or_default();
                    row(entry, &day, &mut counts, date == today, now)
                })
                .collect();
            let mut figures = QualityFigures::default();
            rows.iter().for_each(|row| figures.add(&row.figures));
            report.totals.add(&figures);
            report.days.push(DayQuality { day: date.to_string(), figures });
            rows.sort_by(|a, b| {
                let worst = |row: &DeviceQuality| row.figures.worst();
                worst(a).total_cmp(&worst(b)).then_with(|| a.device_id.cmp(&b.device_id))
            });
            let room = query.limit.saturating_sub(report.devices.len());
            report.left_out += rows.len().saturating_sub(room);
            rows.truncate(room);
            report.devices.append(&mut rows);
        }
        Ok(report)
    }

    /// The park's quantities with several sources, as they are now.
    pub fn fused_sources(&self, now: Timestamp) -> Vec<FusedSource> {
        self.inner.fused_sources(now)
    }
}

/// The days from `last` back to `first`, newest first; one more than `most` is enough to know that it is too many.
fn days_back(last: Date, first: Date, most: usize) -> Vec<Date> {
    let mut days = Vec::new();
    let mut date = Some(last);
    while let Some(day) = date.filter(|day| *day >= first && days.len() <= most) {
        days.push(day);
        date = day.yesterday().ok();
    }
    days
}

fn parse(entry: &DeviceEntry, body: &str) -> DayCounts {
    serde_json::from_str(body).unwrap_or_else(|error| {
        tracing::warn!(device = %entry.id(), %error, "a day's counts of data quality cannot be read; counted anew");
        DayCounts::default()
    })
}

/// `None` for a day before the device was there, unless it handed in something for it.
fn row(
    entry: &DeviceEntry,
    day: &ParkDay,
    counts: &mut DayCounts,
    is_today: bool,
    now: Timestamp,
) -> Option<DeviceQuality> {
    let mut skew_now = None;
    {
        let state = entry.quality.lock();
        if let Some(unwritten) = state.unwritten(day) {
            counts.merge(unwritten);
        }
        if is_today {
            skew_now = state.skew_ms();
        }
    }
    if entry.record.registered_at >= day.end && *counts == DayCounts::default() {
        return None;
    }
    let expected = Expected::of(&entry.rules.model);
    Some(DeviceQuality {
        device_id: entry.id().clone(),
        model: entry.rules.model.id.clone(),
        day: day.date.to_string(),
        clock_skew_ms: skew_now.or(counts.skew_ms),
        figures: counts.figures(day, entry.record.registered_at, now, &expected),
    })
}

impl Inner {
    fn asked_for(&self, query: &QualityQuery) -> Result<Vec<Arc<DeviceEntry>>, QualityError> {
        if let Some(device) = &query.device {
            return Ok(self.registry.get(device.as_str()).into_iter().collect());
        }
        let all = self.registry.all();
        let Some(kind) = &query.kind else { return Ok(all) };
        let role = serde_json::from_value::<shared::thing_model::Role>(kind.as_str().into()).ok();
        let model = kind.parse().ok().filter(|id| self.registry.model(id).is_some());
        if role.is_none() && model.is_none() {
            return Err(QualityError::UnknownKind(kind.chars().take(64).collect()));
        }
        let is_meant = |entry: &Arc<DeviceEntry>| {
            Some(&entry.rules.model.id) == model.as_ref() || Some(entry.rules.model.role) == role
        };
        Ok(all.into_iter().filter(is_meant).collect())
    }

    pub(crate) async fn write_quality(&self) -> Result<(), RecordsError> {
        let _moving = self.quality.moving.lock().await;
        let mut taken: BTreeMap<Date, Vec<(Arc<DeviceEntry>, ParkDay, DayCounts)>> = BTreeMap::new();
        for entry in self.registry.all() {
            let days = entry.quality.lock().take_days();
            for (day, counts) in days {
                taken.entry(day.date).or_default().push((entry.clone(), day, counts));
            }
        }
        let mut result = Ok(());
        for (date, counted) in taken {
            if result.is_ok() {
                result = self.write_day(&date.to_string(), &counted).await;
                if result.is_ok() {
                    continue;
                }
            }
            for (entry, day, counts) in &counted {
                entry.quality.lock().give_back(*day, counts);
            }
        }
        result
    }

    async fn write_day(
        &self,
        date: &str,
        counted: &[(Arc<DeviceEntry>, ParkDay, DayCounts)],
    ) -> Result<(), RecordsError> {
        let stored = self.records.device_days(date, None).await?;
        let mut stored: HashMap<DeviceId, String> = stored.into_iter().map(|d| (d.device, d.body)).collect();
        let rows: Vec<DeviceDay> = counted
            .iter()
            .filter_map(|(entry, _, counts)| {
                let mut sum = stored.remove(entry.id()).map(|body| parse(entry, &body)).unwrap_or_default();
                sum.merge(counts);
                let body = serde_json::to_string(&sum).ok()?;
                Some(DeviceDay { device: entry.id().clone(), body })
            })
            .collect();
        self.records.put_device_days(date, &rows).await
    }

    pub(crate) fn fused_sources(&self, now: Timestamp) -> Vec<FusedSource> {
        let conflicts = self.quality.conflicts.lock();
        self.scene
            .park
            .sources
            .iter()
            .map(|quantity| {
                let said = |input: &shared::scene::SourceInput| {
                    fuse::sum(input.devices.iter().map(|device| {
                        let entry = self.registry.get(device.as_str())?;
                        let index = entry.rules.index_of(input.measurement.as_str(), 0)?;
                        self.live.reading(entry.first_point + u32::from(index))
                    }))
                };
                let readings: Vec<_> = quantity.inputs.iter().map(said).collect();
                let mut fused = fuse::fuse(quantity, &readings, now);
                if fused.state == FusionState::Conflict {
                    fused.conflict_since = Some(conflicts.get(&quantity.id).map_or(now, |(since, _)| *since));
                }
                fused
            })
            .collect()
    }

    /// Watches for sources that differ; one that lasts is counted, once.
    pub(crate) fn tick_sources(&self, now: Timestamp) {
        if self.scene.park.sources.is_empty() {
            return;
        }
        let fused = self.fused_sources(now);
        let mut conflicts = self.quality.conflicts.lock();
        for source in fused {
            if source.state != FusionState::Conflict {
                conflicts.remove(&source.id);
                continue;
            }
            let (since, counted) = conflicts.entry(source.id).or_insert((now, false));
            if !*counted && now.since(*since) >= CONFLICT_AFTER_MS {
                *counted = true;
                self.meters.quality.conflicts.increment(1);
            }
        }
    }
}
