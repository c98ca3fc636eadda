//! Decisions as mathematics: the park's cheapest day, as a linear program where it is one and a mixed-integer one
//! where it must be.
//!
//! A [`DispatchProblem`] goes in: load, sun, prices and emission factors for every step, the connection, and the
//! devices that can be decided about. An [`Outcome`] comes out: a [`Plan`] with its cost and the proof of how good it
//! is, or the limits that no plan can keep. No I/O and no clock: a time box is a number, its stopwatch an argument.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let problem = optimizer::read_problem(r#"{
//!     "step_minutes": 60, "steps": 2,
//!     "load_kw": [100, 100], "pv_available_kw": [0, 0],
//!     "import_price_per_kwh": [0.3, 1.1], "export_price_per_kwh": [0.2, 0.2],
//!     "emission_factor_kg_per_kwh": [0.58, 0.58], "carbon_price_per_kg": 0.0,
//!     "grid": {"import_limit_kw": 500, "export_limit_kw": 0, "demand_charge_per_kw": 0, "incurred_peak_kw": 0},
//!     "batteries": [{"id": "bess-1", "charge_limit_kw": 50, "discharge_limit_kw": 50,
//!         "charge_efficiency": 1, "discharge_efficiency": 1, "energy_initial_kwh": 0, "energy_min_kwh": 0,
//!         "energy_max_kwh": 100, "energy_final_min_kwh": 0, "throughput_cost_per_kwh": 0,
//!         "self_discharge_per_hour": 0}]
//! }"#)?;
//! let optimizer::Outcome::Planned(solution) = optimizer::solve(&problem, &optimizer::SolveOptions::default())? else {
//!     return Err("infeasible".into());
//! };
//! // 50 kWh bought at 0.30 instead of 1.10
//! assert!((solution.objective - (150.0 * 0.3 + 50.0 * 1.1)).abs() < 1e-9);
//! assert!(optimizer::check(&problem, &solution.plan).is_empty());
//! # Ok(())
//! # }
//! ```

mod baseline;
mod check;
mod dispatch;
mod flow;
mod formulation;
mod infeasible;
mod plan;
mod problem;
mod program;
mod read;
#[cfg(test)]
mod sample;
mod search;
mod solver;
mod validate;

pub use baseline::baseline;
pub use check::{Rule, TOLERANCE, Violation, check};
pub use dispatch::{Outcome, Solution, SolveError, SolveOptions, Status, solve, solve_with_stopwatch};
pub use infeasible::{Infeasibility, Limit};
pub use plan::{BatteryPlan, Cost, CurtailmentPlan, EvPlan, Plan};
pub use problem::{Battery, CurtailableLoad, DispatchProblem, EvSession, Grid};
pub use read::{ReadError, read_problem};
pub use search::Method;
pub use validate::{MAX_MAGNITUDE, MAX_STEPS, MAX_VARIABLES, ProblemError, ProblemErrors, Reason};
