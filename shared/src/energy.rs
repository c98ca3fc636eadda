//! The park's energy balance, now and today.
//!
//! grid = load + storage + chargers − PV − wind, with a device's power positive when it draws.

use crate::{scene::EmissionFactor, tariff::Band, telemetry::Provenance, time::Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Powers at one instant, kW.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PowerBalance {
    /// Positive on import.
    pub grid_kw: f64,
    /// PV feeding in, shown positive.
    pub pv_kw: f64,
    /// Wind feeding in, shown positive.
    pub wind_kw: f64,
    /// Positive when charging.
    pub storage_kw: f64,
    /// Charging points.
    pub charging_kw: f64,
    /// Everything else that draws.
    pub load_kw: f64,
    /// Grid meter minus the sum of the parts: losses and what nobody measures.
    pub unaccounted_kw: f64,
}

/// Energies over a period, kWh, all positive.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnergyTotals {
    pub import_kwh: f64,
    pub export_kwh: f64,
    pub pv_kwh: f64,
    pub wind_kwh: f64,
    pub charge_kwh: f64,
    pub discharge_kwh: f64,
    pub charging_kwh: f64,
    pub load_kwh: f64,
    /// Energy bill of the period: import at its price minus feed-in, without the demand charge.
    pub cost_yuan: f64,
    /// From import × the scene's factor.
    pub emissions_kg: f64,
    /// 1 − import ÷ (load + charging + storage losses); absent while nothing was drawn.
    pub self_sufficiency: Option<f64>,
}

/// The emission factor a figure rests on, with its source and how sure it is (see [`EmissionFactor`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FactorUsed {
    pub kg_per_kwh: f64,
    pub source: String,
    pub year: u16,
    pub status: String,
    pub basis: String,
    /// Whether plans weight it by the hour with another grid's shape: a stand-in, shown as such.
    pub hourly_shape: bool,
}

impl From<&EmissionFactor> for FactorUsed {
    fn from(factor: &EmissionFactor) -> Self {
        Self {
            kg_per_kwh: factor.kg_per_kwh,
            source: factor.source.clone(),
            year: factor.year,
            status: factor.status.clone(),
            basis: factor.basis.clone(),
            hourly_shape: factor.hourly_shape,
        }
    }
}

/// `GET /api/v1/energy/summary`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnergySummary {
    pub at: Timestamp,
    /// Age of the oldest value in the balance, milliseconds.
    pub age_ms: i64,
    pub provenance: Provenance,
    pub now: PowerBalance,
    /// Mean state of charge of all storage, weighted by capacity, 0 to 1.
    pub state_of_charge: Option<f64>,
    pub stored_kwh: f64,
    pub storage_capacity_kwh: f64,
    /// kgCO₂e per hour at the present import.
    pub emission_rate_kg_per_h: f64,
    /// Since local midnight.
    pub today: EnergyTotals,
    pub today_from: Timestamp,
    /// Highest demand of this month so far, kW.
    pub month_peak_kw: f64,
    pub band: Band,
    pub import_price_per_kwh: f64,
    pub tariff_is_example: bool,
    pub emission_factor: FactorUsed,
    pub devices_online: u32,
    pub devices_total: u32,
}

/// Park-level curves in steps of `step_s`: means in kW, `None` where nothing was measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnergyCurve {
    pub start: Timestamp,
    pub step_s: u32,
    pub grid_kw: Vec<Option<f64>>,
    pub pv_kw: Vec<Option<f64>>,
    pub wind_kw: Vec<Option<f64>>,
    /// Positive when charging.
    pub storage_kw: Vec<Option<f64>>,
    pub charging_kw: Vec<Option<f64>>,
    pub load_kw: Vec<Option<f64>>,
}
