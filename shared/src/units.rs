//! Settled quantities as integers, so that parts always sum to the whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Money in fen (¥0.01).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Fen(pub i64);

/// Energy in watt-hours.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct WattHours(pub i64);

/// Mass of CO₂e in micrograms. 128 bits: a terawatt-hour of coal power is 10²¹ µg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct Micrograms(pub i128);

impl WattHours {
    /// Rounds to the nearest watt-hour.
    pub fn from_kwh(energy_kwh: f64) -> Self {
        Self((energy_kwh * 1e3).round() as i64)
    }
    pub fn as_kwh(self) -> f64 {
        self.0 as f64 / 1e3
    }
}

impl Fen {
    /// Rounds to the nearest fen.
    pub fn from_yuan(yuan: f64) -> Self {
        Self((yuan * 100.0).round() as i64)
    }
    pub fn as_yuan(self) -> f64 {
        self.0 as f64 / 100.0
    }
}

impl Micrograms {
    pub fn as_kg(self) -> f64 {
        self.0 as f64 / 1e9
    }
}
