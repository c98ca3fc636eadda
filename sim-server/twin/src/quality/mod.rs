//! How far the park's data can be trusted: flags on each sample, figures by device and day, a cleaned view, fused sources.
//!
//! ```text
//! item → format, unit, range (check) → duplicate · rate · stuck · skew (here) → history, with its flag
//!                                                             └→ counts of the device's day → records, once a minute
//! ```
//!
//! Each step is a pure function of a sample and a little state of its series or device; none drops anything. What a step
//! doubts is kept as sent with quality `suspect`, and its counter rises. [`clean`] makes the cleaned view of a series from
//! what is stored: nothing cleaned is ever written back. [`fuse`] picks among several sources of one quantity.

mod clean;
mod day;
mod device;
mod duplicate;
mod fuse;
mod rate;
mod report;
mod skew;
mod stuck;

pub use clean::{Cleaned, Cleaning, Fill, Gap, Hampel, PointFlag, clean};
pub use device::{DeviceQuality, SampleLimits, Verdict};
pub use fuse::fuse;
pub use report::{QualityError, QualityQuery};

pub(crate) use device::StepStates;
pub(crate) use report::QualityBook;

use crate::model::ModelRules;
use rate::RateLimit;
use shared::thing_model::{Measurement, MeasurementKind};
use stuck::StuckLimit;

/// The steps declared for a measurement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Steps {
    pub(crate) rate: Option<RateLimit>,
    pub(crate) stuck: Option<StuckLimit>,
    /// Where its state lies among those of the device's measurements with steps.
    pub(crate) place: usize,
}

impl Steps {
    /// `None` where nothing is declared: such a measurement costs nothing and has no state.
    pub(crate) fn of(measurement: &Measurement, place: usize) -> Option<Steps> {
        let resolution = 0.1f64.powi(i32::from(measurement.decimals));
        let rate = measurement.rate_per_s.map(|per_s| RateLimit {
            per_ms: per_s / 1e3,
            resolution,
            is_counter: measurement.kind == MeasurementKind::Counter,
        });
        let stuck = measurement.stuck_after_s.map(|after_s| StuckLimit {
            after_ms: i64::from(after_s) * 1_000,
            at_rest: [Some(0.0), measurement.min, measurement.max],
        });
        (rate.is_some() || stuck.is_some()).then_some(Steps { rate, stuck, place })
    }
}

/// How many of a model's measurements have steps.
pub(crate) fn with_steps(rules: &ModelRules) -> usize {
    rules.measurements.iter().filter(|m| m.steps.is_some()).count()
}
