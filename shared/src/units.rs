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

/// CO₂e per unit of energy, in micrograms per watt-hour: 0.5827 kg/kWh is exactly 582,700 µg/Wh.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
pub struct EmissionIntensity(pub i64);

impl EmissionIntensity {
    /// Rounds to the nearest microgram per watt-hour, a millionth of a kg/kWh.
    pub fn from_kg_per_kwh(kg_per_kwh: f64) -> Self {
        Self((kg_per_kwh * 1e6).round() as i64)
    }

    /// What an amount of energy emitted; exact, so that the hours of a day sum to the day.
    pub fn of(self, energy: WattHours) -> Micrograms {
        Micrograms(i128::from(self.0) * i128::from(energy.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_sum_to_the_whole() {
        let factor = EmissionIntensity::from_kg_per_kwh(0.5827);
        assert_eq!(factor.0, 582_700);
        let parts = [WattHours(333), WattHours(333), WattHours(334)];
        let sum: i128 = parts.iter().map(|&p| factor.of(p).0).sum();
        assert_eq!(Micrograms(sum), factor.of(WattHours(1_000)));
        assert_eq!(factor.of(WattHours(1_000)).as_kg(), 0.5827);
    }
}
