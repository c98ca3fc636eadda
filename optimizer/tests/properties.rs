//! What holds for any problem: plans keep every constraint and are never worse than doing nothing clever; where there
//! is no plan, a limit is named.

use optimizer::{
    Battery, CurtailableLoad, DispatchProblem, EvSession, Grid, Outcome, SolveOptions, Status, baseline,
    check, solve,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// Small problems of every kind, hard ones included: negative prices, dear exports, limits that are too tight.
fn problems() -> impl Strategy<Value = DispatchProblem> {
    (2usize..9)
        .prop_flat_map(|steps| {
            let series = (
                vec(-50.0..300.0, steps),
                vec(0.0..200.0, steps),
                vec(-0.2..1.2, steps),
                vec(-0.2..0.9, steps),
                vec(0.0..1.0, steps),
            );
            let terms =
                (prop_oneof![Just(15.0), Just(30.0), Just(60.0)], prop_oneof![Just(0.0), 0.0..0.3], grids());
            let devices = (
                vec(batteries(), 0..3),
                vec(sessions(steps), 0..4),
                vec((vec(0.0..30.0, steps), 0.0..2.0), 0..2),
            );
            (Just(steps), series, terms, devices)
        })
        .prop_map(|(steps, series, terms, devices)| {
            let (
                load_kw,
                pv_available_kw,
                import_price_per_kwh,
                export_price_per_kwh,
                emission_factor_kg_per_kwh,
            ) = series;
            let (step_minutes, carbon_price_per_kg, grid) = terms;
            let (batteries, ev_sessions, curtailable_loads) = devices;
            let mut problem = DispatchProblem {
                step_minutes,
                steps,
                load_kw,
                pv_available_kw,
                import_price_per_kwh,
                export_price_per_kwh,
                emission_factor_kg_per_kwh,
                carbon_price_per_kg,
                grid,
                batteries,
                ev_sessions,
                curtailable_loads: curtailable_loads
                    .into_iter()
                    .map(|(available_kw, penalty_per_kwh)| CurtailableLoad {
                        id: String::new(),
                        available_kw,
                        penalty_per_kwh,
                    })
                    .collect(),
            };
            for (index, battery) in problem.batteries.iter_mut().enumerate() {
                battery.id = format!("bess-{index}");
            }
            for (index, session) in problem.ev_sessions.iter_mut().enumerate() {
                session.id = format!("ev-{index}");
            }
            for (index, load) in problem.curtailable_loads.iter_mut().enumerate() {
                load.id = format!("load-{index}");
            }
            problem
        })
}

fn grids() -> impl Strategy<Value = Grid> {
    let limit = || prop_oneof![Just(0.0), 0.0..400.0];
    let charge = prop_oneof![Just(0.0), 0.0..50.0];
    (limit(), limit(), charge, 0.0..200.0).prop_map(
        |(import_limit_kw, export_limit_kw, demand_charge_per_kw, incurred_peak_kw)| Grid {
            import_limit_kw,
            export_limit_kw,
            demand_charge_per_kw,
            incurred_peak_kw,
        },
    )
}

fn batteries() -> impl Strategy<Value = Battery> {
    let fraction = || 0.0..1.0;
    (0.0..100.0, 0.0..100.0, 0.8..=1.0, 0.8..=1.0, (fraction(), fraction(), fraction()), 0.0..0.1, 0.0..0.1)
        .prop_map(|(charge, discharge, charge_efficiency, discharge_efficiency, energy, wear, loss)| {
            let (low, initial, last) = energy;
            let (energy_min_kwh, energy_max_kwh) = (30.0 * low, 100.0);
            let between = |share: f64| energy_min_kwh + share * (energy_max_kwh - energy_min_kwh);
            Battery {
                id: String::new(),
                charge_limit_kw: charge,
                discharge_limit_kw: discharge,
                charge_efficiency,
                discharge_efficiency,
                energy_initial_kwh: between(initial),
                energy_min_kwh,
                energy_max_kwh,
                energy_final_min_kwh: between(last),
                throughput_cost_per_kwh: if wear < 0.03 { 0.0 } else { wear },
                self_discharge_per_hour: if loss < 0.05 { 0.0 } else { loss },
            }
        })
}

fn sessions(steps: usize) -> impl Strategy<Value = EvSession> {
    (0..=steps, 0..=steps, 0.0..60.0, 0.0..30.0, 0.8..=1.0, 0.0..6.0).prop_map(
        |(one, other, energy_needed_kwh, charge_limit_kw, efficiency, shortfall_penalty_per_kwh)| EvSession {
            id: String::new(),
            arrival_step: one.min(other),
            departure_step: one.max(other),
            energy_needed_kwh,
            charge_limit_kw,
            efficiency,
            shortfall_penalty_per_kwh,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn plans_keep_their_limits_and_beat_the_baseline(problem in problems()) {
        match solve(&problem, &SolveOptions::default()).unwrap() {
            Outcome::Planned(solution) => {
                prop_assert_eq!(solution.status, Status::Optimal);
                prop_assert_eq!(check(&problem, &solution.plan), vec![]);
                prop_assert!(solution.gap <= 1e-6, "gap {}", solution.gap);
                let rule = baseline(&problem);
                if check(&problem, &rule).is_empty() {
                    let by_rule = rule.cost(&problem).total();
                    prop_assert!(
                        solution.objective <= by_rule + 1e-6 * by_rule.abs().max(1.0),
                        "{} by the optimizer, {by_rule} by rule", solution.objective
                    );
                }
            }
            Outcome::Infeasible(limits) => {
                prop_assert!(!limits.is_empty());
                for limit in &limits {
                    prop_assert!(limit.step < problem.steps && limit.amount > 0.0);
                }
                prop_assert!(!check(&problem, &baseline(&problem)).is_empty(), "the baseline is a plan");
            }
        }
    }

    #[test]
    fn giving_way_by_the_named_amounts_makes_a_plan_possible(mut problem in problems()) {
        if let Outcome::Infeasible(limits) = solve(&problem, &SolveOptions::default()).unwrap() {
            for infeasibility in limits {
                let room = infeasibility.amount + 1e-3;
                match infeasibility.limit {
                    optimizer::Limit::Import { limit_kw } => {
                        problem.grid.import_limit_kw = problem.grid.import_limit_kw.max(limit_kw + room);
                    }
                    optimizer::Limit::Export { limit_kw } => {
                        problem.grid.export_limit_kw = problem.grid.export_limit_kw.max(limit_kw + room);
                    }
                    optimizer::Limit::EnergyMin { battery, limit_kwh } => {
                        let found = problem.batteries.iter_mut().find(|it| it.id == battery).unwrap();
                        found.energy_min_kwh = found.energy_min_kwh.min((limit_kwh - room).max(0.0));
                    }
                    optimizer::Limit::EnergyFinalMin { battery, limit_kwh } => {
                        let found = problem.batteries.iter_mut().find(|it| it.id == battery).unwrap();
                        found.energy_final_min_kwh = (limit_kwh - room).max(0.0);
                    }
                }
            }
            let again = solve(&problem, &SolveOptions::default()).unwrap();
            prop_assert!(matches!(again, Outcome::Planned(_)), "still {again:?}");
        }
    }
}
