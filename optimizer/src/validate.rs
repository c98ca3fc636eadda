//! Is a problem well posed? All faults are found at once, each with its field, its index and the reason.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;
use thiserror::Error;

use crate::problem::{Battery, CurtailableLoad, DispatchProblem, EvSession, Grid};

/// A year of quarter-hours, with a leap day.
pub const MAX_STEPS: usize = 366 * 96;

/// Most decision variables (steps × devices): the solver counts in 32 bits and memory is finite.
pub const MAX_VARIABLES: usize = 4_000_000;

/// Beyond this the solver's arithmetic no longer resolves a watt.
pub const MAX_MAGNITUDE: f64 = 1e12;

/// More faults than this are only counted.
const MAX_REPORTED: usize = 100;

/// Why a number, a series or a device cannot be used.
#[derive(Debug, Clone, PartialEq, Error, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    #[error("is not a finite number (NaN, infinite or missing)")]
    NotFinite,
    #[error("is {value}, beyond ±{MAX_MAGNITUDE:e}")]
    TooLarge { value: f64 },
    #[error("is {value}; it must not be negative")]
    Negative { value: f64 },
    #[error("is {value}; an efficiency lies above 0 and at most at 1")]
    NotAnEfficiency { value: f64 },
    #[error("is {value}; a share lost per hour lies from 0 to below 1")]
    NotALossRate { value: f64 },
    #[error("has {found} entries for {expected} steps")]
    Length { expected: usize, found: usize },
    #[error("is {steps}; from 1 to {MAX_STEPS} can be planned")]
    Steps { steps: usize },
    #[error("is {minutes}; a step is longer than zero and at most a day (1440)")]
    StepLength { minutes: f64 },
    #[error("would need {variables} decision variables; at most {MAX_VARIABLES} are accepted")]
    TooManyVariables { variables: usize },
    #[error("is {departure}, before the arrival at step {arrival}")]
    DepartureBeforeArrival { arrival: usize, departure: usize },
    #[error("is {step}, after the horizon of {steps} steps")]
    AfterHorizon { step: usize, steps: usize },
    #[error("is {value}; it must lie from {low} to {high}")]
    OutOfBounds { value: f64, low: f64, high: f64 },
    #[error("\"{id}\" is already the name of number {first}")]
    DuplicateId { id: String, first: usize },
}

/// One fault of a problem.
#[derive(Debug, Clone, PartialEq, Serialize, Error)]
#[error("{field} {reason}")]
pub struct ProblemError {
    /// Where, as a path in the problem: `load_kw[17]`, `batteries[2].charge_efficiency`.
    pub field: String,
    /// The path's last index: the step in a series, else the device's position in its list.
    pub index: Option<usize>,
    #[serde(flatten)]
    pub reason: Reason,
}

/// Everything that is wrong with a problem.
#[derive(Debug, Clone, PartialEq, Serialize, Error)]
pub struct ProblemErrors {
    pub errors: Vec<ProblemError>,
    /// Further faults that are not listed.
    pub left_out: usize,
}

impl fmt::Display for ProblemErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.errors.iter().enumerate() {
            write!(formatter, "{}{error}", if position > 0 { "\n" } else { "" })?;
        }
        if self.left_out > 0 {
            write!(formatter, "\nand {} more", self.left_out)?;
        }
        Ok(())
    }
}

impl DispatchProblem {
    /// Checks everything the formulation takes for granted.
    ///
    /// # Errors
    /// All faults, in the order of the problem's fields.
    pub fn validate(&self) -> Result<(), ProblemErrors> {
        let mut faults = Faults { steps: self.steps, found: Vec::new(), left_out: 0 };
        faults.horizon(self);
        faults.series("load_kw", &self.load_kw, Sign::Any);
        faults.series("pv_available_kw", &self.pv_available_kw, Sign::NotNegative);
        faults.series("import_price_per_kwh", &self.import_price_per_kwh, Sign::Any);
        faults.series("export_price_per_kwh", &self.export_price_per_kwh, Sign::Any);
        faults.series("emission_factor_kg_per_kwh", &self.emission_factor_kg_per_kwh, Sign::NotNegative);
        faults.not_negative("carbon_price_per_kg", None, self.carbon_price_per_kg);
        faults.grid(&self.grid);
        for (index, battery) in self.batteries.iter().enumerate() {
            faults.battery(index, battery);
        }
        faults.duplicates("batteries", self.batteries.iter().map(|battery| battery.id.as_str()));
        for (index, session) in self.ev_sessions.iter().enumerate() {
            faults.session(index, session);
        }
        faults.duplicates("ev_sessions", self.ev_sessions.iter().map(|session| session.id.as_str()));
        for (index, load) in self.curtailable_loads.iter().enumerate() {
            faults.curtailable(index, load);
        }
        faults.duplicates("curtailable_loads", self.curtailable_loads.iter().map(|load| load.id.as_str()));
        if faults.found.is_empty() {
            Ok(())
        } else {
            Err(ProblemErrors { errors: faults.found, left_out: faults.left_out })
        }
    }

    fn variables(&self) -> usize {
        let per_step = 3 + 3 * self.batteries.len() + self.curtailable_loads.len();
        let plugged: usize = self
            .ev_sessions
            .iter()
            .map(|session| session.departure_step.saturating_sub(session.arrival_step).saturating_add(1))
            .fold(0, usize::saturating_add);
        self.steps.saturating_mul(per_step).saturating_add(plugged)
    }
}

enum Sign {
    Any,
    NotNegative,
}

struct Faults {
    steps: usize,
    found: Vec<ProblemError>,
    left_out: usize,
}

impl Faults {
    fn add(&mut self, field: impl Into<String>, index: Option<usize>, reason: Reason) {
        if self.found.len() < MAX_REPORTED {
            self.found.push(ProblemError { field: field.into(), index, reason });
        } else {
            self.left_out += 1;
        }
    }

    /// Reports what no use of a number could accept; true when it can be judged further.
    fn finite(&mut self, field: &str, index: Option<usize>, value: f64) -> bool {
        let reason = if !value.is_finite() {
            Reason::NotFinite
        } else if value.abs() > MAX_MAGNITUDE {
            Reason::TooLarge { value }
        } else {
            return true;
        };
        self.add(field, index, reason);
        false
    }

    fn not_negative(&mut self, field: &str, index: Option<usize>, value: f64) {
        if self.finite(field, index, value) && value < 0.0 {
            self.add(field, index, Reason::Negative { value });
        }
    }

    fn efficiency(&mut self, field: &str, index: Option<usize>, value: f64) {
        if self.finite(field, index, value) && !(value > 0.0 && value <= 1.0) {
            self.add(field, index, Reason::NotAnEfficiency { value });
        }
    }

    fn series(&mut self, field: &str, values: &[f64], sign: Sign) {
        if values.len() != self.steps {
            self.add(field, None, Reason::Length { expected: self.steps, found: values.len() });
        }
        for (step, &value) in values.iter().enumerate() {
            let fine = value.is_finite()
                && value.abs() <= MAX_MAGNITUDE
                && (value >= 0.0 || matches!(sign, Sign::Any));
            if !fine {
                let entry = format!("{field}[{step}]");
                match sign {
                    Sign::Any => _ = self.finite(&entry, Some(step), value),
                    Sign::NotNegative => self.not_negative(&entry, Some(step), value),
                }
            }
        }
    }

    fn horizon(&mut self, problem: &DispatchProblem) {
        let (steps, minutes) = (problem.steps, problem.step_minutes);
        if self.finite("step_minutes", None, minutes) && !(minutes > 0.0 && minutes <= 1440.0) {
            self.add("step_minutes", None, Reason::StepLength { minutes });
        }
        let variables = problem.variables();
        if !(1..=MAX_STEPS).contains(&steps) {
            self.add("steps", None, Reason::Steps { steps });
        } else if variables > MAX_VARIABLES {
            self.add("steps", None, Reason::TooManyVariables { variables });
        }
    }

    fn grid(&mut self, grid: &Grid) {
        self.not_negative("grid.import_limit_kw", None, grid.import_limit_kw);
        self.not_negative("grid.export_limit_kw", None, grid.export_limit_kw);
        self.not_negative("grid.demand_charge_per_kw", None, grid.demand_charge_per_kw);
        self.not_negative("grid.incurred_peak_kw", None, grid.incurred_peak_kw);
    }

    fn battery(&mut self, index: usize, battery: &Battery) {
        let at = |field: &str| format!("batteries[{index}].{field}");
        let place = Some(index);
        self.not_negative(&at("charge_limit_kw"), place, battery.charge_limit_kw);
        self.not_negative(&at("discharge_limit_kw"), place, battery.discharge_limit_kw);
        self.efficiency(&at("charge_efficiency"), place, battery.charge_efficiency);
        self.efficiency(&at("discharge_efficiency"), place, battery.discharge_efficiency);
        self.not_negative(&at("energy_min_kwh"), place, battery.energy_min_kwh);
        self.not_negative(&at("energy_max_kwh"), place, battery.energy_max_kwh);
        self.not_negative(&at("energy_final_min_kwh"), place, battery.energy_final_min_kwh);
        self.not_negative(&at("throughput_cost_per_kwh"), place, battery.throughput_cost_per_kwh);

        let (low, high) = (battery.energy_min_kwh, battery.energy_max_kwh);
        if low > high {
            self.add(at("energy_min_kwh"), place, Reason::OutOfBounds { value: low, low: 0.0, high });
        }
        let value = battery.energy_initial_kwh;
        if self.finite(&at("energy_initial_kwh"), place, value)
            && low <= high
            && (value < low || value > high)
        {
            self.add(at("energy_initial_kwh"), place, Reason::OutOfBounds { value, low, high });
        }
        let value = battery.self_discharge_per_hour;
        let field = at("self_discharge_per_hour");
        if self.finite(&field, place, value) && !(0.0..1.0).contains(&value) {
            self.add(field, place, Reason::NotALossRate { value });
        }
    }

    fn session(&mut self, index: usize, session: &EvSession) {
        let at = |field: &str| format!("ev_sessions[{index}].{field}");
        let place = Some(index);
        let (arrival, departure) = (session.arrival_step, session.departure_step);
        if departure < arrival {
            self.add(at("departure_step"), place, Reason::DepartureBeforeArrival { arrival, departure });
        }
        if departure > self.steps {
            self.add(
                at("departure_step"),
                place,
                Reason::AfterHorizon { step: departure, steps: self.steps },
            );
        }
        self.not_negative(&at("energy_needed_kwh"), place, session.energy_needed_kwh);
        self.not_negative(&at("charge_limit_kw"), place, session.charge_limit_kw);
        self.efficiency(&at("efficiency"), place, session.efficiency);
        self.not_negative(&at("shortfall_penalty_per_kwh"), place, session.shortfall_penalty_per_kwh);
    }

    fn curtailable(&mut self, index: usize, load: &CurtailableLoad) {
        let at = |field: &str| format!("curtailable_loads[{index}].{field}");
        self.series(&at("available_kw"), &load.available_kw, Sign::NotNegative);
        self.not_negative(&at("penalty_per_kwh"), Some(index), load.penalty_per_kwh);
    }

    /// Plans are matched to devices by name as well as by position.
    fn duplicates<'a>(&mut self, list: &str, ids: impl Iterator<Item = &'a str>) {
        let mut seen = HashMap::new();
        for (index, id) in ids.enumerate() {
            let first = *seen.entry(id).or_insert(index);
            if first != index {
                let reason = Reason::DuplicateId { id: id.to_owned(), first };
                self.add(format!("{list}[{index}].id"), Some(index), reason);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::sample;

    #[test]
    fn every_fault_is_named_with_its_field_index_and_reason() {
        type Spoil = fn(&mut DispatchProblem);
        let table: [(Spoil, &str, Option<usize>); 26] = [
            (|it| it.step_minutes = 0.0, "step_minutes is 0; a step is longer", None),
            (|it| it.step_minutes = f64::NAN, "step_minutes is not a finite number", None),
            (|it| it.load_kw[3] = f64::NAN, "load_kw[3] is not a finite number", Some(3)),
            (|it| it.load_kw[1] = f64::INFINITY, "load_kw[1] is not a finite number", Some(1)),
            (|it| it.load_kw[1] = -1e13, "load_kw[1] is -10000000000000, beyond", Some(1)),
            (|it| _ = it.load_kw.pop(), "load_kw has 3 entries for 4 steps", None),
            (|it| it.pv_available_kw.push(0.0), "pv_available_kw has 5 entries for 4 steps", None),
            (|it| it.pv_available_kw[0] = -1.0, "pv_available_kw[0] is -1; it must not be negative", Some(0)),
            (|it| it.import_price_per_kwh[2] = f64::NAN, "import_price_per_kwh[2] is not", Some(2)),
            (|it| it.export_price_per_kwh.clear(), "export_price_per_kwh has 0 entries", None),
            (|it| it.emission_factor_kg_per_kwh[2] = -0.1, "emission_factor_kg_per_kwh[2] is -0.1", Some(2)),
            (|it| it.carbon_price_per_kg = -1.0, "carbon_price_per_kg is -1", None),
            (|it| it.grid.import_limit_kw = -5.0, "grid.import_limit_kw is -5; it must not", None),
            (|it| it.grid.demand_charge_per_kw = -5.0, "grid.demand_charge_per_kw is -5", None),
            (|it| it.batteries[0].charge_limit_kw = -1.0, "batteries[0].charge_limit_kw is -1", Some(0)),
            (
                |it| it.batteries[0].charge_efficiency = 1.2,
                "batteries[0].charge_efficiency is 1.2; an",
                Some(0),
            ),
            (
                |it| it.batteries[0].discharge_efficiency = 0.0,
                "batteries[0].discharge_efficiency is 0",
                Some(0),
            ),
            (|it| it.batteries[0].energy_max_kwh = -1.0, "batteries[0].energy_max_kwh is -1", Some(0)),
            (
                |it| it.batteries[0].energy_initial_kwh = 101.0,
                "batteries[0].energy_initial_kwh is 101; it must lie from 10 to 100",
                Some(0),
            ),
            (|it| it.batteries[0].energy_min_kwh = 200.0, "batteries[0].energy_min_kwh is 200", Some(0)),
            (
                |it| it.batteries[0].self_discharge_per_hour = 1.0,
                "batteries[0].self_discharge_per_hour",
                Some(0),
            ),
            (
                |it| it.ev_sessions[0].departure_step = 0,
                "ev_sessions[0].departure_step is 0, before the arrival at step 1",
                Some(0),
            ),
            (|it| it.ev_sessions[0].departure_step = 5, "ev_sessions[0].departure_step is 5, after", Some(0)),
            (|it| it.ev_sessions[0].efficiency = f64::NAN, "ev_sessions[0].efficiency is not", Some(0)),
            (
                |it| it.curtailable_loads[0].available_kw[2] = -3.0,
                "curtailable_loads[0].available_kw[2] is -3",
                Some(2),
            ),
            (
                |it| it.batteries.push(it.batteries[0].clone()),
                "batteries[1].id \"bess-1\" is already the name of number 0",
                Some(1),
            ),
        ];
        assert_eq!(sample().validate(), Ok(()));
        for (spoil, message, index) in table {
            let mut problem = sample();
            spoil(&mut problem);
            let errors = problem.validate().unwrap_err().errors;
            let found = errors.iter().find(|error| error.to_string().starts_with(message));
            let found = found.unwrap_or_else(|| panic!("no \"{message}\" among {errors:?}"));
            assert_eq!(found.index, index, "{found}");
        }
    }

    #[test]
    fn all_faults_are_found_at_once_in_the_order_of_the_fields() {
        let mut problem = sample();
        problem.ev_sessions[0].departure_step = 0;
        problem.batteries[0].charge_efficiency = 1.2;
        problem.load_kw[3] = f64::NAN;
        let errors = problem.validate().unwrap_err();
        let fields: Vec<&str> = errors.errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, ["load_kw[3]", "batteries[0].charge_efficiency", "ev_sessions[0].departure_step"]);
    }

    #[test]
    fn a_million_steps_are_refused_before_anything_is_built() {
        let steps = 1_000_000;
        let mut problem = sample();
        problem.steps = steps;
        for series in [
            &mut problem.load_kw,
            &mut problem.pv_available_kw,
            &mut problem.import_price_per_kwh,
            &mut problem.export_price_per_kwh,
            &mut problem.emission_factor_kg_per_kwh,
            &mut problem.curtailable_loads[0].available_kw,
        ] {
            *series = vec![0.1; steps];
        }
        let errors = problem.validate().unwrap_err();
        assert_eq!(errors.to_string(), "steps is 1000000; from 1 to 35136 can be planned");
    }

    #[test]
    fn many_faults_are_counted_rather_than_listed() {
        let mut problem = sample();
        problem.steps = 1000;
        problem.load_kw = vec![f64::NAN; 1000];
        let errors = problem.validate().unwrap_err();
        assert_eq!(errors.errors.len(), MAX_REPORTED);
        assert_eq!(errors.errors.len() + errors.left_out, 1000 + 5);
    }
}
