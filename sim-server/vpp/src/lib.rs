//! The virtual power plant: resources → forecast → plan → set-points → comparison.
//!
//! The core is pure: [`planner::make_plan`] turns what is known now ([`planner::PlanInputs`]) into a plan and the
//! set-points of its first step. [`Vpp`] is the shell that runs it every five minutes on the live park, [`EnergyBook`]
//! keeps the park's balance, and [`study`] runs the same planner over a simulated week.
//!
//! Live values and commands go through [`LiveValues`] and a channel wired by the binary, since the twin stands beside
//! this crate, not below it.

pub mod clear_sky;
pub mod energy_book;
pub mod groups;
pub mod guard;
pub mod park;
pub mod planner;
pub mod service;
pub mod set_points;
pub mod study;
#[cfg(test)]
mod test_park;
mod tracking;

pub use energy_book::EnergyBook;
pub use groups::{Group, Groups};
pub use park::ParkContext;
pub use service::{PlanLoop, Vpp, VppOptions};

use shared::{command::Hold, id::DeviceId, telemetry::Reading, time::Timestamp};

/// The live twin as the planner sees it.
pub trait LiveValues: Send + Sync {
    /// The newest value of a measurement, whatever its age.
    fn reading(&self, device: &DeviceId, measurement: &str) -> Option<Reading>;
    fn is_online(&self, device: &DeviceId) -> bool;
    /// The power a person has asked of a device; the plan then leaves it alone.
    fn hold(&self, device: &DeviceId, now: Timestamp) -> Option<Hold>;
    /// Devices online, and devices in all.
    fn devices_online(&self) -> (u32, u32);
    /// Whether any value of the park's balance comes from a simulated device.
    fn is_simulated(&self) -> bool;
}

/// What can go wrong around a plan.
#[derive(Debug, thiserror::Error)]
pub enum VppError {
    #[error("reading the history for the plan: {0}")]
    History(#[from] history::HistoryError),
    #[error("the dispatch problem: {0}")]
    Problem(#[from] optimizer::SolveError),
    #[error("the scene's time zone: {0}")]
    TimeZone(String),
    #[error("the market's hours: {0}")]
    Series(String),
    #[error(
        "{what} from {from} to {to} in steps of {step_s} s would be {steps} steps; at most {most} are answered"
    )]
    TooManySteps { what: &'static str, from: i64, to: i64, step_s: u32, steps: i64, most: i64 },
    #[error("step must be at least 60 s and divide a day, got {0} s")]
    BadStep(u32),
    #[error("the planner has stopped")]
    Stopped,
}
