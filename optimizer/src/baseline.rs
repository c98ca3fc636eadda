//! What a park does without an optimizer: the plan that dispatch is compared with, and falls back to.
//!
//! Vehicles charge as fast as they can from the moment they arrive, as long as the connection bears it. The sun's
//! power is used, then sold as far as the export limit allows. Batteries only keep their energy, and charge as late
//! as they can for what they must hold at the end. Loads are cut when the import limit would be exceeded otherwise.

use crate::plan::{BatteryPlan, CurtailmentPlan, EvPlan, Plan};
use crate::problem::{Battery, DispatchProblem};

/// The baseline of a valid problem. It keeps every limit that these rules can keep; [`check`](crate::check) tells
/// whether that was all of them.
pub fn baseline(problem: &DispatchProblem) -> Plan {
    let hours = problem.step_hours();
    let mut plan = idle(problem);
    for step in 0..problem.steps {
        let batteries_kw: f64 = plan.batteries.iter().map(|battery| battery.charge_kw[step]).sum();
        let mut demand_kw = problem.load_kw[step] + batteries_kw;
        let pv_kw = problem.pv_available_kw[step];
        for (session, ev) in problem.ev_sessions.iter().zip(&mut plan.ev_sessions) {
            if session.present(step) {
                let bearable_kw = (problem.grid.import_limit_kw + pv_kw - demand_kw).max(0.0);
                let wanted_kw = ev.shortfall_kwh / (hours * session.efficiency);
                let power_kw = session.charge_limit_kw.min(wanted_kw).min(bearable_kw);
                ev.power_kw[step] = power_kw;
                ev.shortfall_kwh = (ev.shortfall_kwh - power_kw * hours * session.efficiency).max(0.0);
                demand_kw += power_kw;
            }
        }
        for (load, curtailment) in problem.curtailable_loads.iter().zip(&mut plan.curtailable_loads) {
            let beyond_kw = (demand_kw - pv_kw - problem.grid.import_limit_kw).max(0.0);
            let cut_kw = load.available_kw[step].min(beyond_kw);
            curtailment.cut_kw[step] = cut_kw;
            demand_kw -= cut_kw;
        }
        plan.pv_kw[step] = pv_kw.min((demand_kw + problem.grid.export_limit_kw).max(0.0));
        let net_kw = demand_kw - plan.pv_kw[step];
        plan.import_kw[step] = net_kw.max(0.0);
        plan.export_kw[step] = (-net_kw).max(0.0);
    }
    plan.peak_kw = plan.import_kw.iter().copied().fold(problem.grid.incurred_peak_kw, f64::max);
    plan
}

/// Batteries as they will be, everything else at rest.
fn idle(problem: &DispatchProblem) -> Plan {
    let none = || vec![0.0; problem.steps];
    Plan {
        import_kw: none(),
        export_kw: none(),
        pv_kw: none(),
        batteries: problem.batteries.iter().map(|battery| keep_energy(battery, problem)).collect(),
        ev_sessions: problem
            .ev_sessions
            .iter()
            .map(|session| EvPlan {
                id: session.id.clone(),
                power_kw: none(),
                shortfall_kwh: session.energy_needed_kwh,
            })
            .collect(),
        curtailable_loads: problem
            .curtailable_loads
            .iter()
            .map(|load| CurtailmentPlan { id: load.id.clone(), cut_kw: none() })
            .collect(),
        peak_kw: problem.grid.incurred_peak_kw,
    }
}

/// Replaces what a battery loses by itself, and fills it as late as possible to what it must hold at the end.
fn keep_energy(battery: &Battery, problem: &DispatchProblem) -> BatteryPlan {
    let (steps, hours) = (problem.steps, problem.step_hours());
    let retention = battery.retention(hours);
    let stored_per_kw = hours * battery.charge_efficiency;

    let mut needed_kwh = vec![0.0; steps];
    let mut needed = battery.energy_final_min_kwh;
    for slot in needed_kwh.iter_mut().rev() {
        *slot = needed;
        needed = (needed - stored_per_kw * battery.charge_limit_kw) / retention;
    }
    let mut energy = battery.energy_initial_kwh;
    let mut plan = BatteryPlan {
        id: battery.id.clone(),
        charge_kw: Vec::with_capacity(steps),
        discharge_kw: vec![0.0; steps],
        energy_kwh: Vec::with_capacity(steps),
    };
    for needed in needed_kwh {
        let target = needed.max(battery.energy_initial_kwh).min(battery.energy_max_kwh);
        let lacking = target - retention * energy;
        let charge_kw = (lacking / stored_per_kw).clamp(0.0, battery.charge_limit_kw);
        energy = retention * energy + stored_per_kw * charge_kw;
        plan.charge_kw.push(charge_kw);
        plan.energy_kwh.push(energy);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check;
    use crate::sample::{planned, sample};

    #[test]
    fn the_baseline_keeps_the_limits_and_costs_more_than_the_optimum() {
        let problem = sample();
        let plan = baseline(&problem);
        assert_eq!(check(&problem, &plan), []);
        assert!(plan.cost(&problem).total() > planned(&problem).objective);
    }

    #[test]
    fn vehicles_charge_at_once_and_loads_are_cut_only_where_the_connection_needs_it() {
        let mut problem = sample();
        problem.grid.import_limit_kw = 140.0;
        let plan = baseline(&problem);
        assert_eq!(check(&problem, &plan), []);
        assert_eq!(plan.ev_sessions[0].power_kw[1], 11.0);
        assert!((plan.ev_sessions[0].power_kw[2] - (15.0 / 0.92 - 11.0)).abs() < 1e-9);
        let cut = &plan.curtailable_loads[0].cut_kw;
        assert_eq!(cut[..3], [0.0; 3]);
        assert_eq!(cut[3], 0.0);
    }
}
