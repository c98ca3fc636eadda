//! Back-fill in bulk: runs of one measurement's readings, each looked up and checked once rather than a reading at a time.
//!
//! What is imported is history. It shows in the live table only where it is newer than what is there, raises no alarm for being
//! late and is not counted by data quality: its gaps, repeats and jumps say nothing of how the device reports.

use crate::{
    alarms::AlarmInput,
    check::{Accepted, Sender, TimeWindow},
    ingest::not_stored,
    model::MeasurementRules,
    registry::DeviceEntry,
    twin::{Inner, Twin, to_the_end},
};
use history::{PointBatch, SeriesId};
use shared::{
    telemetry::{Quality, Reading, Refusal, RefusalCode},
    thing_model::MeasurementKind,
    time::Timestamp,
};
use std::{collections::HashMap, sync::Arc};

/// A registered device's measurement, looked up once a run.
#[derive(Debug, Clone)]
pub struct ImportTarget {
    entry: Arc<DeviceEntry>,
    measurement: u16,
    series: SeriesId,
}

impl ImportTarget {
    pub fn rules(&self) -> &MeasurementRules {
        &self.entry.rules.measurements[usize::from(self.measurement)]
    }

    /// Judges a run of readings, `values[i]` at `timestamps[i]` (Unix milliseconds), as a whole: kept entirely or not at all. Values
    /// outside the model's range are kept and flagged. A refusal names its field as `values[3]` or `timestamps[3]`.
    pub fn check<'a>(
        &'a self,
        window: &TimeWindow,
        timestamps: &'a [i64],
        values: &'a [f64],
    ) -> Result<CheckedRun<'a>, Refusal> {
        if timestamps.len() != values.len() {
            let message = format!("{} timestamps and {} values", timestamps.len(), values.len());
            return Err(Refusal::new(RefusalCode::WrongType, "timestamps", message));
        }
        // Without a branch a reading; which one is at fault is looked for only when one is.
        let (oldest, newest) =
            timestamps.iter().fold((i64::MAX, i64::MIN), |(low, high), &t| (low.min(t), high.max(t)));
        if !timestamps.is_empty() && (oldest < window.oldest.0 || newest > window.newest.0) {
            let outside = |t: &i64| *t < window.oldest.0 || *t > window.newest.0;
            let at = timestamps.iter().position(outside).unwrap_or_default();
            window.check(Timestamp(timestamps[at]), || format!("timestamps[{at}]"))?;
        }
        if !values.iter().fold(true, |finite, value| finite & value.is_finite()) {
            let at = values.iter().position(|value| !value.is_finite()).unwrap_or_default();
            return Err(Refusal::new(
                RefusalCode::NotFinite,
                format!("values[{at}]"),
                "not a finite number".to_owned(),
            ));
        }
        let rules = self.rules();
        if rules.measurement.kind == MeasurementKind::State
            && let Some(at) = values.iter().position(|&value| !rules.takes_number(value))
        {
            let states: Vec<&str> = rules.measurement.states.iter().map(|s| s.word.as_str()).collect();
            let message = format!(
                "{} is no code of {}; its states are {}",
                values[at],
                rules.measurement.key,
                states.join(", ")
            );
            return Err(Refusal::new(RefusalCode::UnknownState, format!("values[{at}]"), message));
        }
        Ok(CheckedRun { target: self, timestamps, values })
    }
}

/// Readings of one measurement that may be stored: made by [`ImportTarget::check`] only.
#[derive(Debug, Clone, Copy)]
pub struct CheckedRun<'a> {
    target: &'a ImportTarget,
    timestamps: &'a [i64],
    values: &'a [f64],
}

impl<'a> CheckedRun<'a> {
    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Takes up to `most` readings off the front.
    pub fn take(&mut self, most: usize) -> CheckedRun<'a> {
        let most = most.min(self.len());
        let ((timestamps, later), (values, rest)) =
            (self.timestamps.split_at(most), self.values.split_at(most));
        (self.timestamps, self.values) = (later, rest);
        CheckedRun { target: self.target, timestamps, values }
    }
}

/// Runs gathered to become durable together.
#[derive(Debug, Default)]
pub struct Import {
    points: PointBatch,
    out_of_range: usize,
    /// The newest reading of each point, by its place in the live table.
    newest: HashMap<u32, (Arc<DeviceEntry>, u16, Reading)>,
}

impl Import {
    pub fn with_capacity(points: usize) -> Self {
        Self { points: PointBatch::with_capacity(points), ..Self::default() }
    }

    /// Readings in it.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// Adds a run. `Err` is a store that thinks otherwise of an instant or a value than the check.
    pub fn add(&mut self, run: &CheckedRun<'_>) -> Result<Accepted, Refusal> {
        let target = run.target;
        let measurement = &target.rules().measurement;
        let mut accepted = Accepted { points: run.len(), ..Accepted::default() };
        let mut newest: Option<Reading> = None;
        for (&timestamp, &value) in run.timestamps.iter().zip(run.values) {
            let in_range = measurement.in_range(value);
            accepted.out_of_range += usize::from(!in_range);
            let quality = if in_range { Quality::Good } else { Quality::OutOfRange };
            let reading = Reading { value, timestamp: Timestamp(timestamp), quality };
            self.points.push(target.series, reading).map_err(|e| not_stored(&e.into()))?;
            if newest.is_none_or(|known| reading.timestamp >= known.timestamp) {
                newest = Some(reading);
            }
        }
        self.out_of_range += accepted.out_of_range;
        if let Some(reading) = newest {
            let point = target.entry.first_point + u32::from(target.measurement);
            let (.., known) = self
                .newest
                .entry(point)
                .or_insert_with(|| (Arc::clone(&target.entry), target.measurement, reading));
            if reading.timestamp >= known.timestamp {
                *known = reading;
            }
        }
        Ok(accepted)
    }
}

impl Twin {
    /// The measurement a run is of, when the sender may speak for its device. A refusal names its field `device` or `measurement`.
    pub fn import_target(
        &self,
        sender: &Sender,
        device: &str,
        measurement: &str,
    ) -> Result<ImportTarget, Refusal> {
        let entry = sender.may_speak_for(&self.inner.registry, device, || "device".to_owned())?;
        let Some(index) = entry.rules.index_of(measurement, usize::MAX) else {
            let name: String = measurement.chars().take(64).collect();
            let message = format!("model {} has no measurement {name:?}", entry.rules.model.id);
            return Err(Refusal::new(RefusalCode::UnknownMeasurement, "measurement", message));
        };
        let series = entry.series_ids(&self.inner.history)[usize::from(index)];
        Ok(ImportTarget { entry, measurement: index, series })
    }

    /// The instants that are taken at `now`.
    pub fn import_window(&self, now: Timestamp) -> TimeWindow {
        self.inner.window(now)
    }

    /// Stores runs: all of them are durable when this returns `Ok`, none is kept when it does not. After
    /// [`RefusalCode::Busy`] it may be handed in again.
    pub async fn import(&self, import: Arc<Import>, now: Timestamp) -> Result<(), Refusal> {
        if import.is_empty() {
            return Ok(());
        }
        let inner = self.inner.clone();
        to_the_end(async move {
            let stored = inner.history.append_batch(import.points.clone()).await;
            stored.map_err(|e| not_stored(&e))?;
            inner.show_imported(&import, now);
            Ok(())
        })
        .await
    }
}

impl Inner {
    /// The runs are durable: where they are news, they may be seen.
    fn show_imported(&self, import: &Import, now: Timestamp) {
        self.meters.points.increment(import.points.len() as u64);
        if import.out_of_range > 0 {
            self.meters.out_of_range.increment(import.out_of_range as u64);
        }
        for (entry, measurement, reading) in import.newest.values() {
            let rules = &entry.rules.measurements[usize::from(*measurement)];
            let mut is_shown = false;
            self.live.apply(entry.first_point, [(*measurement, *reading)], |_, _| is_shown = true);
            entry.presence.reported(reading.timestamp);
            // It says the device was there when it measured.
            let alive_at = reading.timestamp.min(now);
            if now.since(alive_at) <= entry.rules.offline_after_ms {
                self.heard(entry, alive_at, now);
            } else {
                entry.presence.heard_long_ago(alive_at);
            }
            // What the twin shows now is judged as any value it shows.
            let is_fault = reading.quality == Quality::OutOfRange || rules.violated(reading.value).is_some();
            if is_shown && is_fault && self.is_fresh(entry, reading.timestamp, now) {
                let input = AlarmInput::Value { subject: entry.subject(), rules, reading: *reading };
                self.publish_alarms(self.alarms.lock().handle(input, now));
            }
        }
    }
}
