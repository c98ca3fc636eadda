//! Does a plan keep every constraint? Written from the problem alone, without the formulation it checks.
//!
//! Tests hold every plan to it, and the server does before it sends a command.

use std::fmt;

use serde::Serialize;

use crate::plan::{BatteryPlan, EvPlan, Plan};
use crate::problem::{Battery, DispatchProblem, EvSession};

/// What may be missing from a constraint, kW or kWh.
pub const TOLERANCE: f64 = 1e-6;

/// A constraint of the formulation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// The plan has the problem's devices and steps.
    Shape,
    /// Every value is a number.
    Finite,
    ImportLimit,
    ExportLimit,
    PvAvailable,
    ChargeLimit,
    DischargeLimit,
    EvLimit,
    /// A vehicle charges only while it is there.
    EvPresent,
    CutAvailable,
    /// Supply equals demand.
    Balance,
    /// What is stored follows from what was charged and discharged.
    StoredEnergy,
    EnergyMin,
    EnergyMax,
    EnergyFinalMin,
    /// A vehicle gets what it needs, or the shortfall says so.
    SessionEnergy,
    Shortfall,
    /// A battery charges or discharges.
    OneDirection,
    /// The park imports or exports.
    ImportOrExport,
    /// The stated peak is the largest import or the incurred peak.
    Peak,
}

/// A constraint that a plan breaks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Violation {
    pub rule: Rule,
    /// The battery, session or load, where it is one's.
    pub device: Option<String>,
    pub step: Option<usize>,
    /// By how much, kW or kWh.
    pub amount: f64,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} broken by {}", self.rule, self.amount)?;
        if let Some(device) = &self.device {
            write!(formatter, " by {device}")?;
        }
        match self.step {
            Some(step) => write!(formatter, " at step {step}"),
            None => Ok(()),
        }
    }
}

/// Every constraint that a plan breaks by more than [`TOLERANCE`]; none if it may be carried out.
pub fn check(problem: &DispatchProblem, plan: &Plan) -> Vec<Violation> {
    let mut found = Found(Vec::new());
    found.shape(problem, plan);
    if found.0.is_empty() {
        found.grid(problem, plan);
        for (battery, plan) in problem.batteries.iter().zip(&plan.batteries) {
            found.battery(battery, plan, problem.step_hours());
        }
        for (session, plan) in problem.ev_sessions.iter().zip(&plan.ev_sessions) {
            found.session(session, plan, problem.step_hours());
        }
        for (load, plan) in problem.curtailable_loads.iter().zip(&plan.curtailable_loads) {
            for (step, (&cut, &available)) in plan.cut_kw.iter().zip(&load.available_kw).enumerate() {
                found.within(Rule::CutAvailable, Some(&load.id), step, cut, 0.0, available);
            }
        }
    }
    found.0
}

struct Found(Vec<Violation>);

impl Found {
    fn excess(&mut self, rule: Rule, device: Option<&str>, step: Option<usize>, amount: f64) {
        if amount > TOLERANCE || amount.is_nan() {
            self.0.push(Violation { rule, device: device.map(str::to_owned), step, amount });
        }
    }

    fn within(&mut self, rule: Rule, device: Option<&str>, step: usize, value: f64, low: f64, high: f64) {
        self.excess(rule, device, Some(step), (low - value).max(value - high));
    }

    fn shape(&mut self, problem: &DispatchProblem, plan: &Plan) {
        let mut series: Vec<(Option<&str>, &[f64])> =
            vec![(None, &plan.import_kw), (None, &plan.export_kw), (None, &plan.pv_kw)];
        for battery in &plan.batteries {
            let id = Some(battery.id.as_str());
            series.extend([
                (id, battery.charge_kw.as_slice()),
                (id, &battery.discharge_kw),
                (id, &battery.energy_kwh),
            ]);
        }
        series.extend(plan.ev_sessions.iter().map(|ev| (Some(ev.id.as_str()), ev.power_kw.as_slice())));
        series.extend(
            plan.curtailable_loads.iter().map(|load| (Some(load.id.as_str()), load.cut_kw.as_slice())),
        );
        for (device, values) in series {
            self.excess(Rule::Shape, device, None, values.len().abs_diff(problem.steps) as f64);
            if let Some(step) = values.iter().position(|value| !value.is_finite()) {
                self.excess(Rule::Finite, device, Some(step), f64::NAN);
            }
        }
        for (ev, shortfall) in plan.ev_sessions.iter().map(|ev| (ev, ev.shortfall_kwh)) {
            if !shortfall.is_finite() {
                self.excess(Rule::Finite, Some(&ev.id), None, f64::NAN);
            }
        }
        self.devices(problem.batteries.iter().map(|it| &it.id), plan.batteries.iter().map(|it| &it.id));
        self.devices(problem.ev_sessions.iter().map(|it| &it.id), plan.ev_sessions.iter().map(|it| &it.id));
        self.devices(
            problem.curtailable_loads.iter().map(|it| &it.id),
            plan.curtailable_loads.iter().map(|it| &it.id),
        );
    }

    fn devices<'a>(
        &mut self,
        wanted: impl ExactSizeIterator<Item = &'a String>,
        planned: impl ExactSizeIterator<Item = &'a String>,
    ) {
        self.excess(Rule::Shape, None, None, wanted.len().abs_diff(planned.len()) as f64);
        for (wanted, planned) in wanted.zip(planned) {
            if wanted != planned {
                self.excess(Rule::Shape, Some(planned), None, f64::INFINITY);
            }
        }
    }

    fn grid(&mut self, problem: &DispatchProblem, plan: &Plan) {
        let grid = &problem.grid;
        for step in 0..problem.steps {
            let (import, export, pv) = (plan.import_kw[step], plan.export_kw[step], plan.pv_kw[step]);
            self.within(Rule::ImportLimit, None, step, import, 0.0, grid.import_limit_kw);
            self.within(Rule::ExportLimit, None, step, export, 0.0, grid.export_limit_kw);
            self.within(Rule::PvAvailable, None, step, pv, 0.0, problem.pv_available_kw[step]);
            self.excess(Rule::ImportOrExport, None, Some(step), import.min(export));

            let mut supply = import - export + pv;
            let mut demand = problem.load_kw[step];
            for battery in &plan.batteries {
                supply += battery.discharge_kw[step];
                demand += battery.charge_kw[step];
            }
            supply += plan.curtailable_loads.iter().map(|load| load.cut_kw[step]).sum::<f64>();
            demand += plan.ev_sessions.iter().map(|ev| ev.power_kw[step]).sum::<f64>();
            self.excess(Rule::Balance, None, Some(step), (supply - demand).abs());
        }
        let peak = plan.import_kw.iter().copied().fold(grid.incurred_peak_kw, f64::max);
        self.excess(Rule::Peak, None, None, (plan.peak_kw - peak).abs());
    }

    fn battery(&mut self, battery: &Battery, plan: &BatteryPlan, hours: f64) {
        let id = Some(battery.id.as_str());
        let left = (1.0 - battery.self_discharge_per_hour).powf(hours);
        let mut before = battery.energy_initial_kwh;
        for (step, &energy) in plan.energy_kwh.iter().enumerate() {
            let (charge, discharge) = (plan.charge_kw[step], plan.discharge_kw[step]);
            self.within(Rule::ChargeLimit, id, step, charge, 0.0, battery.charge_limit_kw);
            self.within(Rule::DischargeLimit, id, step, discharge, 0.0, battery.discharge_limit_kw);
            self.excess(Rule::OneDirection, id, Some(step), charge.min(discharge));
            let follows = left * before + hours * charge * battery.charge_efficiency
                - hours * discharge / battery.discharge_efficiency;
            self.excess(Rule::StoredEnergy, id, Some(step), (energy - follows).abs());
            self.excess(Rule::EnergyMin, id, Some(step), battery.energy_min_kwh - energy);
            self.excess(Rule::EnergyMax, id, Some(step), energy - battery.energy_max_kwh);
            before = energy;
        }
        let last = plan.energy_kwh.len().checked_sub(1);
        self.excess(Rule::EnergyFinalMin, id, last, battery.energy_final_min_kwh - before);
    }

    fn session(&mut self, session: &EvSession, plan: &EvPlan, hours: f64) {
        let id = Some(session.id.as_str());
        for (step, &power) in plan.power_kw.iter().enumerate() {
            if (session.arrival_step..session.departure_step).contains(&step) {
                self.within(Rule::EvLimit, id, step, power, 0.0, session.charge_limit_kw);
            } else {
                self.excess(Rule::EvPresent, id, Some(step), power.abs());
            }
        }
        let charged: f64 = plan.power_kw.iter().map(|power| hours * session.efficiency * power).sum();
        self.excess(Rule::Shortfall, id, None, -plan.shortfall_kwh);
        self.excess(
            Rule::SessionEnergy,
            id,
            None,
            (charged + plan.shortfall_kwh - session.energy_needed_kwh).abs(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{planned, sample};

    #[test]
    fn every_way_of_spoiling_a_plan_is_found_by_its_rule() {
        type Spoil = fn(&mut Plan);
        let table: [(Rule, Spoil); 19] = [
            (Rule::Shape, |plan| _ = plan.pv_kw.pop()),
            (Rule::Shape, |plan| _ = plan.batteries.pop()),
            (Rule::Shape, |plan| plan.batteries[0].id = "other".to_owned()),
            (Rule::Finite, |plan| plan.import_kw[0] = f64::NAN),
            (Rule::Finite, |plan| plan.ev_sessions[0].shortfall_kwh = f64::INFINITY),
            (Rule::ImportLimit, |plan| plan.import_kw[1] += 1e4),
            (Rule::ExportLimit, |plan| plan.export_kw[1] = -1e-3),
            (Rule::PvAvailable, |plan| plan.pv_kw[2] += 1e3),
            (Rule::ChargeLimit, |plan| plan.batteries[0].charge_kw[0] = 51.0),
            (Rule::DischargeLimit, |plan| plan.batteries[0].discharge_kw[0] = -0.01),
            (Rule::EvLimit, |plan| plan.ev_sessions[0].power_kw[1] = 12.0),
            (Rule::EvPresent, |plan| plan.ev_sessions[0].power_kw[0] = 0.001),
            (Rule::CutAvailable, |plan| plan.curtailable_loads[0].cut_kw[3] = 21.0),
            (Rule::Balance, |plan| plan.import_kw[0] += 1e-5),
            (Rule::StoredEnergy, |plan| plan.batteries[0].energy_kwh[0] += 1e-5),
            (Rule::EnergyMax, |plan| plan.batteries[0].energy_kwh[0] = 101.0),
            (Rule::EnergyFinalMin, |plan| plan.batteries[0].energy_kwh[3] = 49.0),
            (Rule::SessionEnergy, |plan| plan.ev_sessions[0].shortfall_kwh += 1e-5),
            (Rule::Peak, |plan| plan.peak_kw += 1.0),
        ];
        let problem = sample();
        let plan = planned(&problem).plan;
        assert_eq!(check(&problem, &plan), []);
        for (rule, spoil) in table {
            let mut spoiled = plan.clone();
            spoil(&mut spoiled);
            let found = check(&problem, &spoiled);
            assert!(found.iter().any(|violation| violation.rule == rule), "{rule:?} not among {found:?}");
        }
    }

    #[test]
    fn both_directions_at_once_are_found_even_when_the_sums_are_right() {
        let problem = sample();
        let plan = planned(&problem).plan;

        let mut both = plan.clone();
        both.import_kw[0] += 1.0;
        both.export_kw[0] += 1.0;
        let step =
            both.import_kw.iter().zip(&both.export_kw).position(|(import, export)| import.min(*export) > 0.0);
        assert_eq!(step, Some(0));
        assert_eq!(check(&problem, &both)[0].rule, Rule::ImportOrExport);

        let mut both = plan;
        both.batteries[0].charge_kw[0] += 1.0;
        both.batteries[0].discharge_kw[0] += 1.0;
        assert!(check(&problem, &both).iter().any(|violation| violation.rule == Rule::OneDirection));
    }
}
