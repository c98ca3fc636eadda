//! Why no plan exists: which limit would have to give way, when, and by how much.
//!
//! The problem is stated again with every limit exceedable at a price and solved for the least excess. The prices say
//! who gives way first: the connection's limits (a contract, and often a fuse that holds for a while) before the
//! energy a battery should end with, and that before the least energy it may hold.

use serde::Serialize;
use shared::text::Text;

use crate::formulation::Limits;
use crate::problem::DispatchProblem;
use crate::search::{Found, optimise};
use crate::solver::{Budget, SolverFault};

/// Price of exceeding a limit of the connection, per kWh.
pub(crate) const GRID_WEIGHT: f64 = 1.0;
/// Price of ending with less energy than wanted, per kWh.
pub(crate) const ENERGY_FINAL_WEIGHT: f64 = 10.0;
/// Price of holding less energy than allowed, per kWh and step.
pub(crate) const ENERGY_MIN_WEIGHT: f64 = 100.0;

/// Less than the solver's own tolerance is no excess.
const LEAST_EXCESS: f64 = 1e-5;

/// A limit that can make a problem infeasible.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Limit {
    /// `grid.import_limit_kw`
    Import { limit_kw: f64 },
    /// `grid.export_limit_kw`
    Export { limit_kw: f64 },
    /// `energy_min_kwh` of a battery
    EnergyMin { battery: String, limit_kwh: f64 },
    /// `energy_final_min_kwh` of a battery
    EnergyFinalMin { battery: String, limit_kwh: f64 },
}

/// A limit that no plan can keep.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Infeasibility {
    pub limit: Limit,
    pub step: usize,
    /// By how much it is missed or exceeded when everything else is at its best.
    pub amount: f64,
    /// Of `amount`: `kW` or `kWh`.
    pub unit: &'static str,
    pub text: Text,
}

impl Limit {
    /// The limit itself, kW or kWh.
    pub fn value(&self) -> f64 {
        match *self {
            Limit::Import { limit_kw } | Limit::Export { limit_kw } => limit_kw,
            Limit::EnergyMin { limit_kwh, .. } | Limit::EnergyFinalMin { limit_kwh, .. } => limit_kwh,
        }
    }

    pub fn unit(&self) -> &'static str {
        match self {
            Limit::Import { .. } | Limit::Export { .. } => "kW",
            Limit::EnergyMin { .. } | Limit::EnergyFinalMin { .. } => "kWh",
        }
    }

    fn excess(&self, step: usize, amount: f64) -> Text {
        let (limit, amount) = (rounded(self.value()), rounded(amount));
        match self {
            Limit::Import { .. } => Text::new(
                format!("第 {step} 步：购电功率超出上限 {limit} kW 达 {amount} kW"),
                format!("import limit {limit} kW exceeded by {amount} kW at step {step}"),
            ),
            Limit::Export { .. } => Text::new(
                format!("第 {step} 步：上网功率超出上限 {limit} kW 达 {amount} kW"),
                format!("export limit {limit} kW exceeded by {amount} kW at step {step}"),
            ),
            Limit::EnergyMin { battery, .. } => Text::new(
                format!("第 {step} 步：储能 {battery} 的电量比下限 {limit} kWh 少 {amount} kWh"),
                format!(
                    "battery {battery}: minimum energy {limit} kWh missed by {amount} kWh at step {step}"
                ),
            ),
            Limit::EnergyFinalMin { battery, .. } => Text::new(
                format!("第 {step} 步：储能 {battery} 的期末电量比要求的 {limit} kWh 少 {amount} kWh"),
                format!("battery {battery}: final energy {limit} kWh missed by {amount} kWh at step {step}"),
            ),
        }
    }
}

/// Three decimals, and none that say nothing.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Names the limits that have to give way, the largest excess of each kind first; `None` when the budget ends first.
pub(crate) fn explain(
    problem: &DispatchProblem,
    budget: &Budget<'_>,
) -> Result<Option<Vec<Infeasibility>>, SolverFault> {
    let (formulation, found) = optimise(problem, Limits::Elastic, budget)?;
    let point = match found {
        Found::Plan(optimum) => optimum.point,
        Found::Infeasible => return Err(SolverFault("no limit explains why there is no plan".to_owned())),
        Found::Nothing { .. } => return Ok(None),
    };
    let mut excesses: Vec<Infeasibility> = formulation
        .slacks
        .into_iter()
        .filter(|slack| point[slack.column] > LEAST_EXCESS)
        .map(|slack| {
            let (amount, step) = (point[slack.column], slack.step);
            let (unit, text) = (slack.limit.unit(), slack.limit.excess(step, amount));
            Infeasibility { limit: slack.limit, step, amount, unit, text }
        })
        .collect();
    excesses.sort_by(|left, right| {
        rank(&left.limit).cmp(&rank(&right.limit)).then(right.amount.total_cmp(&left.amount))
    });
    if excesses.is_empty() {
        return Err(SolverFault("no plan, and yet no limit is exceeded".to_owned()));
    }
    Ok(Some(excesses))
}

fn rank(limit: &Limit) -> u8 {
    match limit {
        Limit::Import { .. } => 0,
        Limit::Export { .. } => 1,
        Limit::EnergyFinalMin { .. } => 2,
        Limit::EnergyMin { .. } => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::sample;
    use crate::{Outcome, SolveOptions, solve};

    fn reasons(problem: &DispatchProblem) -> Vec<String> {
        match solve(problem, &SolveOptions::default()).unwrap() {
            Outcome::Infeasible(limits) => limits.into_iter().map(|limit| limit.text.en).collect(),
            Outcome::Planned(solution) => panic!("a plan at {}", solution.objective),
        }
    }

    #[test]
    fn each_limit_is_named_with_step_and_amount() {
        type Tighten = fn(&mut DispatchProblem);
        let table: [(Tighten, &[&str]); 6] = [
            (
                // 1,000 less the limit 300, the sun's 20, the battery's 50 and the cut of 20
                |it| {
                    it.load_kw[3] = 1000.0;
                    it.batteries[0].energy_final_min_kwh = 0.0;
                },
                &["import limit 300 kW exceeded by 610 kW at step 3"],
            ),
            (
                |it| (it.load_kw[1], it.load_kw[3]) = (2000.0, 1000.0),
                // The battery's 50 kW are spent where they help as much as anywhere.
                &["import limit 300 kW exceeded by 1", "import limit 300 kW exceeded by 6"],
            ),
            (
                |it| it.batteries[0].energy_final_min_kwh = 120.0,
                &["battery bess-1: final energy 120 kWh missed by 20 kWh at step 3"],
            ),
            (
                |it| it.batteries[0].charge_limit_kw = 0.0,
                &["battery bess-1: final energy 50 kWh missed by 0.2 kWh at step 3"],
            ),
            (
                |it| {
                    it.batteries[0].charge_limit_kw = 0.0;
                    it.batteries[0].energy_final_min_kwh = 0.0;
                    it.batteries[0].energy_min_kwh = 50.0;
                },
                &["battery bess-1: minimum energy 50 kWh missed by 0.2 kWh at step 3"],
            ),
            (
                // 500 kW that must leave, less the battery's 50 and the limit of 100
                |it| {
                    it.load_kw[0] = -500.0;
                    it.batteries[0].energy_initial_kwh = 10.0;
                },
                &["export limit 100 kW exceeded by 350 kW at step 0"],
            ),
        ];
        for (tighten, wanted) in table {
            let mut problem = sample();
            tighten(&mut problem);
            let reasons = reasons(&problem);
            for (reason, wanted) in reasons.iter().zip(wanted) {
                assert!(reason.starts_with(wanted), "{reasons:?} should start with {wanted}");
            }
            assert!(reasons.len() >= wanted.len(), "{reasons:?}");
        }
    }

    #[test]
    fn the_largest_excess_comes_first_in_both_languages() {
        let mut problem = sample();
        problem.load_kw = vec![900.0, 2000.0, 1000.0, 700.0];
        let Outcome::Infeasible(limits) = solve(&problem, &SolveOptions::default()).unwrap() else {
            panic!("a plan");
        };
        assert_eq!(limits[0].step, 1);
        assert!(limits.is_sorted_by(|left, right| left.amount >= right.amount), "{limits:?}");
        assert!(limits[0].text.zh.starts_with("第 1 步：购电功率超出上限 300 kW 达"));
    }
}
