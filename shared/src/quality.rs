//! How good the park's data are: figures by device and day, and quantities with several sources.
//!
//! A day's *completeness* is the share of expected readings that came; *timeliness* the share of them that came within the
//! declared delay; *validity* the share that nothing is said against. What a device hands in from before it was first on time is
//! back-fill: it is kept and counted, and says nothing about completeness or timeliness.

use crate::{
    id::{DeviceId, MeasurementKey, ModelId},
    telemetry::Quality,
    text::Text,
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `GET /api/v1/quality`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QualityReport {
    pub at: Timestamp,
    /// First and last of the park's days, such as `2026-06-01`.
    pub from: String,
    pub to: String,
    /// What comes later than this is late.
    pub late_after_s: u32,
    /// A clock further off than this is wrong.
    pub clock_skew_s: u32,
    /// Over all days and devices asked for.
    pub totals: QualityFigures,
    /// By day over all devices asked for, newest first.
    pub days: Vec<DayQuality>,
    /// By day and device: the newest day first, in a day the worst device first.
    pub devices: Vec<DeviceQuality>,
    /// Rows of `devices` beyond the limit.
    pub left_out: usize,
    /// The park's quantities with several sources, as they are now.
    pub sources: Vec<FusedSource>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DayQuality {
    pub day: String,
    pub figures: QualityFigures,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceQuality {
    pub device_id: DeviceId,
    pub model: ModelId,
    pub day: String,
    /// How far its clock was off: positive when ahead. The most of the day; today, as estimated last.
    pub clock_skew_ms: Option<i64>,
    pub figures: QualityFigures,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct QualityFigures {
    /// 0 to 1; absent where nothing was expected yet, or the thing model names no period.
    pub completeness: Option<f64>,
    /// 0 to 1; absent where nothing came by itself.
    pub timeliness: Option<f64>,
    /// 0 to 1; absent where nothing came.
    pub validity: Option<f64>,
    /// Readings that should have come by now, and how many of them did.
    pub expected: u64,
    pub came: u64,
    /// All readings kept, each once.
    pub received: u64,
    pub late: u64,
    /// Handed in from before the device was first on time.
    pub backfilled: u64,
    pub out_of_range: u64,
    /// Flagged `suspect`, by what was seen. One reading may count under several.
    pub suspect: u64,
    pub jumps: u64,
    pub stuck: u64,
    pub skewed: u64,
    /// The same reading again; counted, not kept twice.
    pub duplicates: u64,
    /// Payload items that were refused.
    pub refused: u64,
    /// Values turned into the measurement's unit.
    pub converted: u64,
    /// The longest time without any reading, seconds, in steps of five minutes.
    pub longest_gap_s: u32,
}

impl QualityFigures {
    /// The least of the three shares: what makes one device worse than another.
    pub fn worst(&self) -> f64 {
        [self.completeness, self.timeliness, self.validity].into_iter().flatten().fold(1.0, f64::min)
    }

    /// Takes in another day's or device's.
    pub fn add(&mut self, other: &QualityFigures) {
        for (sum, more) in [
            (&mut self.expected, other.expected),
            (&mut self.came, other.came),
            (&mut self.received, other.received),
            (&mut self.late, other.late),
            (&mut self.backfilled, other.backfilled),
            (&mut self.out_of_range, other.out_of_range),
            (&mut self.suspect, other.suspect),
            (&mut self.jumps, other.jumps),
            (&mut self.stuck, other.stuck),
            (&mut self.skewed, other.skewed),
            (&mut self.duplicates, other.duplicates),
            (&mut self.refused, other.refused),
            (&mut self.converted, other.converted),
        ] {
            *sum += more;
        }
        self.longest_gap_s = self.longest_gap_s.max(other.longest_gap_s);
        self.shares();
    }

    /// The shares, from the counts.
    pub fn shares(&mut self) {
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let by_itself = self.received.saturating_sub(self.backfilled);
        self.completeness = share(self.came, self.expected);
        self.timeliness = share(by_itself.saturating_sub(self.late), by_itself);
        self.validity = share(self.received.saturating_sub(self.out_of_range + self.suspect), self.received);
    }
}

/// A quantity that several devices tell of, fused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FusedSource {
    pub id: String,
    pub name: Text,
    pub unit: String,
    /// The value of the source in use.
    pub value: Option<f64>,
    pub timestamp: Option<Timestamp>,
    pub quality: Option<Quality>,
    pub state: FusionState,
    /// Since when sources differ by more than is tolerated.
    pub conflict_since: Option<Timestamp>,
    /// How far another source may be from the value, in the unit.
    pub tolerance: Option<f64>,
    /// By priority.
    pub inputs: Vec<FusedInput>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FusionState {
    /// All usable sources agree.
    Agreed,
    /// Only one source can be used: nothing to compare it with.
    Alone,
    /// Sources differ by more than is tolerated.
    Conflict,
    /// No source has a fresh value.
    Stale,
    /// No source has any.
    Missing,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FusedInput {
    pub priority: u32,
    pub measurement: MeasurementKey,
    pub devices: Vec<DeviceId>,
    pub value: Option<f64>,
    pub timestamp: Option<Timestamp>,
    pub quality: Option<Quality>,
    /// Whether this one is taken.
    pub used: bool,
    pub stale: bool,
    /// From the value taken, where both can be compared.
    pub difference: Option<f64>,
    /// Whether that is more than is tolerated.
    pub conflicts: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_from_counts_and_are_absent_where_there_is_nothing_to_divide() {
        let mut none = QualityFigures::default();
        none.shares();
        assert_eq!(
            (none.completeness, none.timeliness, none.validity, none.worst()),
            (None, None, None, 1.0)
        );
        let mut all = QualityFigures {
            expected: 100,
            came: 90,
            received: 200,
            backfilled: 100,
            late: 10,
            out_of_range: 1,
            suspect: 3,
            ..Default::default()
        };
        all.shares();
        assert_eq!((all.completeness, all.timeliness, all.validity), (Some(0.9), Some(0.9), Some(0.98)));
        all.add(&QualityFigures { expected: 100, longest_gap_s: 600, ..Default::default() });
        assert_eq!((all.completeness, all.longest_gap_s, all.worst()), (Some(0.45), 600, 0.45));
    }
}
