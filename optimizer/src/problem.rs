//! The dispatch problem as data: what the park must do over a horizon, what it may decide, and what that costs.
//!
//! Field names are those of the reference cases. Powers are averages over a step in kW, energies in kWh, prices in
//! the park's currency, masses in kg CO₂e. A missing number (`null`) reads as NaN, so that [`DispatchProblem::validate`]
//! can name it together with every other fault.

use serde::{Deserialize, Deserializer, Serialize};

/// A horizon of equal steps with everything that is known about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DispatchProblem {
    /// Length of a step, in minutes.
    #[serde(deserialize_with = "number")]
    pub step_minutes: f64,
    /// Number of steps; every series has as many entries.
    pub steps: usize,
    /// Inflexible demand, kW. Below zero it is generation that cannot be curtailed.
    #[serde(deserialize_with = "series")]
    pub load_kw: Vec<f64>,
    /// What the sun offers, kW; less may be taken, at no cost.
    #[serde(deserialize_with = "series")]
    pub pv_available_kw: Vec<f64>,
    #[serde(deserialize_with = "series")]
    pub import_price_per_kwh: Vec<f64>,
    #[serde(deserialize_with = "series")]
    pub export_price_per_kwh: Vec<f64>,
    /// Emissions of the grid's electricity, kg CO₂e per kWh imported.
    #[serde(deserialize_with = "series")]
    pub emission_factor_kg_per_kwh: Vec<f64>,
    /// Price of a kilogram of CO₂e; it adds to the import price.
    #[serde(deserialize_with = "number")]
    pub carbon_price_per_kg: f64,
    pub grid: Grid,
    #[serde(default)]
    pub batteries: Vec<Battery>,
    #[serde(default)]
    pub ev_sessions: Vec<EvSession>,
    #[serde(default)]
    pub curtailable_loads: Vec<CurtailableLoad>,
}

/// The park's connection and its capacity tariff.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    #[serde(deserialize_with = "number")]
    pub import_limit_kw: f64,
    #[serde(deserialize_with = "number")]
    pub export_limit_kw: f64,
    /// Price of every kW by which the horizon raises the peak.
    #[serde(deserialize_with = "number")]
    pub demand_charge_per_kw: f64,
    /// The peak already paid for in this billing period; reaching it again is free.
    #[serde(deserialize_with = "number")]
    pub incurred_peak_kw: f64,
}

/// Electric storage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Battery {
    pub id: String,
    #[serde(deserialize_with = "number")]
    pub charge_limit_kw: f64,
    #[serde(deserialize_with = "number")]
    pub discharge_limit_kw: f64,
    /// Stored per drawn, in (0, 1].
    #[serde(deserialize_with = "number")]
    pub charge_efficiency: f64,
    /// Delivered per taken out of store, in (0, 1].
    #[serde(deserialize_with = "number")]
    pub discharge_efficiency: f64,
    /// In store before the first step.
    #[serde(deserialize_with = "number")]
    pub energy_initial_kwh: f64,
    #[serde(deserialize_with = "number")]
    pub energy_min_kwh: f64,
    #[serde(deserialize_with = "number")]
    pub energy_max_kwh: f64,
    /// Least energy in store after the last step.
    #[serde(deserialize_with = "number")]
    pub energy_final_min_kwh: f64,
    /// Wear, per kWh charged and per kWh discharged at the terminals.
    #[serde(deserialize_with = "number")]
    pub throughput_cost_per_kwh: f64,
    /// Share of the stored energy lost in an hour, in [0, 1).
    #[serde(deserialize_with = "number")]
    pub self_discharge_per_hour: f64,
}

/// A vehicle at a charger, from `arrival_step` until just before `departure_step`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvSession {
    pub id: String,
    pub arrival_step: usize,
    pub departure_step: usize,
    /// Wanted in the vehicle's battery by departure.
    #[serde(deserialize_with = "number")]
    pub energy_needed_kwh: f64,
    #[serde(deserialize_with = "number")]
    pub charge_limit_kw: f64,
    /// Stored per drawn, in (0, 1].
    #[serde(deserialize_with = "number")]
    pub efficiency: f64,
    #[serde(deserialize_with = "number")]
    pub shortfall_penalty_per_kwh: f64,
}

/// Demand that may be reduced at a price.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CurtailableLoad {
    pub id: String,
    /// How much of it can be cut, kW.
    #[serde(deserialize_with = "series")]
    pub available_kw: Vec<f64>,
    #[serde(deserialize_with = "number")]
    pub penalty_per_kwh: f64,
}

impl DispatchProblem {
    /// Length of a step, in hours.
    pub fn step_hours(&self) -> f64 {
        self.step_minutes / 60.0
    }

    /// What a kilowatt-hour from the grid costs in a step, carbon included.
    pub fn import_cost_per_kwh(&self, step: usize) -> f64 {
        self.import_price_per_kwh[step] + self.carbon_price_per_kg * self.emission_factor_kg_per_kwh[step]
    }
}

impl Battery {
    /// Share of the stored energy that is left after a step without charging or discharging.
    pub fn retention(&self, step_hours: f64) -> f64 {
        (1.0 - self.self_discharge_per_hour).powf(step_hours)
    }
}

impl EvSession {
    /// True while the vehicle is plugged in.
    pub fn present(&self, step: usize) -> bool {
        (self.arrival_step..self.departure_step).contains(&step)
    }
}

fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

fn series<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let values = Vec::<Option<f64>>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}
