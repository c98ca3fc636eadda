//! One file a kind of device: how it moves through a step, and what its meters and sensors then read.
//!
//! In: the [`Moment`] and the set-point in force. Out: the electrical power it draws (positive) and a [`Report`] of everything it
//! can measure; the world adds what every electrical device measures.

pub(super) mod boiler;
pub(super) mod charger;
pub(super) mod cooling;
pub(super) mod heat;
pub(super) mod load;
pub(super) mod pv;
pub(super) mod sensor;
pub(super) mod storage;
pub(super) mod weather_station;
pub(super) mod wind;

use super::climate::{Climate, Conditions};
use crate::noise::Noise;
use shared::{scene::BuildingUse, series::Series, tariff::Band, time::Timestamp};

/// A value a device reads: a number, or the state it is in by one of the words its kind knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    State(&'static str),
}

/// Everything a device can measure, by measurement key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) values: Vec<(&'static str, Value)>,
}

impl Report {
    pub(super) fn number(&mut self, key: &'static str, value: f64) {
        self.values.push((key, Value::Number(value)));
    }

    pub(super) fn state(&mut self, key: &'static str, word: &'static str) {
        self.values.push((key, Value::State(word)));
    }
}

/// What a device lives through in one step.
#[derive(Clone, Copy)]
pub(crate) struct Moment<'a> {
    pub(crate) climate: &'a Climate,
    /// At the middle of the step.
    pub(crate) conditions: &'a Conditions,
    pub(crate) series: &'a Series,
    /// End of the step.
    pub(crate) now: Timestamp,
    pub(crate) hours: f64,
    /// Whether the past is being filled in.
    pub(crate) rule: super::Rule,
    pub(crate) band: Band,
    /// What the park drew from the grid in the last step.
    pub(crate) grid_kw: f64,
}

/// What does not change about a device and every kind may need.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    pub(crate) position: [f64; 3],
    pub(crate) noise: Noise,
    pub(crate) used_as: Option<BuildingUse>,
}

impl Site {
    /// How full the device's building is; half full where it stands in none.
    pub(super) fn occupancy(&self, moment: &Moment<'_>) -> f64 {
        self.used_as.map_or(0.5, |used_as| super::occupancy::occupancy(used_as, moment.conditions.local))
    }
}

/// `value` drawn towards `target` over `hours` with a time constant: how temperatures move.
pub(super) fn relax(value: f64, target: f64, time_constant_h: f64, hours: f64) -> f64 {
    target + (value - target) * (-hours / time_constant_h).exp()
}
