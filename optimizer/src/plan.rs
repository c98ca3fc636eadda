//! The decisions for a horizon, and what they cost.
//!
//! The JSON names are those of the reference formulation (`import`, `charge`, `shortfall` …); every series has one
//! entry a step.

use serde::{Deserialize, Serialize};

use crate::problem::DispatchProblem;

/// What everything does in every step. Devices stand in the problem's order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    #[serde(rename = "import")]
    pub import_kw: Vec<f64>,
    #[serde(rename = "export")]
    pub export_kw: Vec<f64>,
    /// Taken from the sun; the rest of what it offers is curtailed.
    #[serde(rename = "pv")]
    pub pv_kw: Vec<f64>,
    pub batteries: Vec<BatteryPlan>,
    pub ev_sessions: Vec<EvPlan>,
    pub curtailable_loads: Vec<CurtailmentPlan>,
    /// The largest import, or the incurred peak where that is higher.
    #[serde(rename = "peak")]
    pub peak_kw: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatteryPlan {
    pub id: String,
    #[serde(rename = "charge")]
    pub charge_kw: Vec<f64>,
    #[serde(rename = "discharge")]
    pub discharge_kw: Vec<f64>,
    /// In store at the end of each step.
    #[serde(rename = "energy")]
    pub energy_kwh: Vec<f64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvPlan {
    pub id: String,
    #[serde(rename = "power")]
    pub power_kw: Vec<f64>,
    /// Missing in the vehicle at departure.
    #[serde(rename = "shortfall")]
    pub shortfall_kwh: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CurtailmentPlan {
    pub id: String,
    #[serde(rename = "cut")]
    pub cut_kw: Vec<f64>,
}

/// A plan's cost by cause, in the park's currency; `export_revenue` is subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Cost {
    pub energy: f64,
    pub carbon: f64,
    pub export_revenue: f64,
    pub throughput: f64,
    pub demand: f64,
    pub shortfall: f64,
    pub curtailment: f64,
}

impl Cost {
    /// The objective of the formulation.
    pub fn total(&self) -> f64 {
        self.energy + self.carbon - self.export_revenue
            + self.throughput
            + self.demand
            + self.shortfall
            + self.curtailment
    }
}

impl Plan {
    /// What the plan costs under a problem's prices. The plan's arrays must have the problem's shape.
    pub fn cost(&self, problem: &DispatchProblem) -> Cost {
        let hours = problem.step_hours();
        let bought = |price: &[f64], power: &[f64]| hours * dot(price, power);
        let incurred = problem.grid.incurred_peak_kw;
        let peak = self.import_kw.iter().copied().fold(incurred, f64::max);
        Cost {
            energy: bought(&problem.import_price_per_kwh, &self.import_kw),
            carbon: problem.carbon_price_per_kg
                * bought(&problem.emission_factor_kg_per_kwh, &self.import_kw),
            export_revenue: bought(&problem.export_price_per_kwh, &self.export_kw),
            throughput: problem
                .batteries
                .iter()
                .zip(&self.batteries)
                .map(|(battery, plan)| {
                    battery.throughput_cost_per_kwh * hours * (sum(&plan.charge_kw) + sum(&plan.discharge_kw))
                })
                .sum(),
            demand: problem.grid.demand_charge_per_kw * (peak - incurred),
            shortfall: problem
                .ev_sessions
                .iter()
                .zip(&self.ev_sessions)
                .map(|(session, plan)| session.shortfall_penalty_per_kwh * plan.shortfall_kwh)
                .sum(),
            curtailment: problem
                .curtailable_loads
                .iter()
                .zip(&self.curtailable_loads)
                .map(|(load, plan)| load.penalty_per_kwh * hours * sum(&plan.cut_kw))
                .sum(),
        }
    }
}

fn sum(values: &[f64]) -> f64 {
    values.iter().sum()
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    left.iter().zip(right).map(|(left, right)| left * right).sum()
}
