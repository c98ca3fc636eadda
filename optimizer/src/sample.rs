//! A small problem with one of everything, for tests beside the code.

use crate::{
    Battery, CurtailableLoad, DispatchProblem, EvSession, Grid, Outcome, Solution, SolveOptions, solve,
};

pub(crate) fn sample() -> DispatchProblem {
    DispatchProblem {
        step_minutes: 60.0,
        steps: 4,
        load_kw: vec![100.0, 120.0, 80.0, 150.0],
        pv_available_kw: vec![0.0, 50.0, 200.0, 20.0],
        import_price_per_kwh: vec![0.35, 0.68, 0.68, 1.1],
        export_price_per_kwh: vec![0.3; 4],
        emission_factor_kg_per_kwh: vec![0.58; 4],
        carbon_price_per_kg: 0.1,
        grid: Grid {
            import_limit_kw: 300.0,
            export_limit_kw: 100.0,
            demand_charge_per_kw: 10.0,
            incurred_peak_kw: 90.0,
        },
        batteries: vec![Battery {
            id: "bess-1".to_owned(),
            charge_limit_kw: 50.0,
            discharge_limit_kw: 50.0,
            charge_efficiency: 0.95,
            discharge_efficiency: 0.95,
            energy_initial_kwh: 50.0,
            energy_min_kwh: 10.0,
            energy_max_kwh: 100.0,
            energy_final_min_kwh: 50.0,
            throughput_cost_per_kwh: 0.02,
            self_discharge_per_hour: 0.001,
        }],
        ev_sessions: vec![EvSession {
            id: "ev-1".to_owned(),
            arrival_step: 1,
            departure_step: 3,
            energy_needed_kwh: 15.0,
            charge_limit_kw: 11.0,
            efficiency: 0.92,
            shortfall_penalty_per_kwh: 5.0,
        }],
        curtailable_loads: vec![CurtailableLoad {
            id: "hvac".to_owned(),
            available_kw: vec![20.0; 4],
            penalty_per_kwh: 1.6,
        }],
    }
}

/// Negative prices and a full battery without wear: charging and discharging at once would pay.
pub(crate) fn paid_to_waste() -> DispatchProblem {
    let mut problem = sample();
    problem.import_price_per_kwh = vec![-0.5, -0.4, -0.3, -0.2];
    problem.export_price_per_kwh = vec![-0.6; 4];
    problem.pv_available_kw = vec![0.0; 4];
    problem.grid.demand_charge_per_kw = 0.0;
    let battery = &mut problem.batteries[0];
    battery.throughput_cost_per_kwh = 0.0;
    battery.energy_initial_kwh = battery.energy_max_kwh;
    battery.energy_final_min_kwh = battery.energy_max_kwh;
    problem
}

/// The best plan of a problem that has one.
pub(crate) fn planned(problem: &DispatchProblem) -> Solution {
    match solve(problem, &SolveOptions::default()) {
        Ok(Outcome::Planned(solution)) => *solution,
        other => panic!("no plan: {other:?}"),
    }
}
