//! The dispatch plan as people and programs see it.

use crate::{id::DeviceId, text::Text, time::Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A plan from `start` in steps of `step_s` seconds; every array has one entry a step, kW unless named otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanView {
    /// Counts up; 0 is no plan yet.
    pub version: u64,
    pub made_at: Timestamp,
    pub start: Timestamp,
    pub step_s: u32,
    pub status: PlanStatus,
    /// Objective in yuan; absent when infeasible.
    pub objective_yuan: Option<f64>,
    /// What the same horizon would cost with storage idle and cars charging on arrival.
    pub baseline_yuan: Option<f64>,
    pub gap: Option<f64>,
    pub solve_ms: f64,
    /// Grid import minus export.
    pub grid_kw: Vec<f64>,
    /// Forecast of what is not controlled.
    pub load_kw: Vec<f64>,
    /// Forecast of PV and wind before curtailment.
    pub renewable_available_kw: Vec<f64>,
    pub renewable_kw: Vec<f64>,
    /// All storage together, positive charging.
    pub storage_kw: Vec<f64>,
    pub charging_kw: Vec<f64>,
    /// Energy stored at the end of each step, kWh.
    pub stored_kwh: Vec<f64>,
    pub import_price_per_kwh: Vec<f64>,
    pub emission_factor_kg_per_kwh: Vec<f64>,
    /// The emission factor of the local day's steps before `start`, the last one right before it.
    pub emission_factor_before_kg_per_kwh: Vec<f64>,
    pub devices: Vec<DevicePlan>,
    /// What made it infeasible, each naming limit, step and amount.
    pub infeasible: Vec<Text>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlanStatus {
    /// Proven optimal.
    Optimal,
    /// The time box ended first; `gap` says how far the bound is.
    Feasible,
    /// Nothing satisfies the limits; devices keep their last safe set-point.
    Infeasible,
    /// None was made yet.
    Pending,
}

/// What the plan asks of one device.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DevicePlan {
    pub device_id: DeviceId,
    /// Positive when it draws.
    pub power_kw: Vec<f64>,
    /// For storage: at the end of each step, 0 to 1.
    pub state_of_charge: Option<Vec<f64>>,
}

/// How the last steps went: planned against measured, kW means over each step.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanTracking {
    pub step_s: u32,
    pub start: Timestamp,
    pub planned_grid_kw: Vec<Option<f64>>,
    pub measured_grid_kw: Vec<Option<f64>>,
    pub planned_storage_kw: Vec<Option<f64>>,
    pub measured_storage_kw: Vec<Option<f64>>,
}
