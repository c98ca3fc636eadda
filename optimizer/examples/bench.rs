//! How long the solver takes: `cargo run -p optimizer --release --example bench`
//!
//! Prints a JSON array of `{"name","value","unit","bar","peer","peer_value"}`. The park days are drawn from a seeded
//! generator; every plan must be proven optimal and pass the checker, else the run fails.

use std::process::ExitCode;
use std::time::Instant;

use optimizer::{
    Battery, DispatchProblem, EvSession, Grid, Outcome, SolveOptions, Status, check, solve_with_stopwatch,
};
use serde_json::{Value, json};

const STEPS: usize = 96;

#[expect(clippy::print_stdout, clippy::print_stderr)]
fn main() -> ExitCode {
    match results() {
        Ok(results) => {
            println!("{results:#}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}

fn results() -> Result<Value, String> {
    let mut results = Vec::new();
    for (name, vehicles, batteries) in [
        ("dispatch solve, 96 steps × 500 EVs + 10 batteries, demand charge", 500, 10),
        ("dispatch solve, 96 steps × 60 EVs + 3 batteries, demand charge", 60, 3),
        ("dispatch solve, 96 steps × 50 batteries, demand charge", 0, 50),
    ] {
        let mut milliseconds = Vec::new();
        for seed in 0..11 {
            milliseconds.push(solve_milliseconds(&park_day(vehicles, batteries, seed))?);
        }
        milliseconds.sort_by(f64::total_cmp);
        let mut add = |kind: &str, value: f64| {
            results.push(json!({
                "name": format!("{name} ({kind} of {} days)", milliseconds.len()),
                "value": (value * 100.0).round() / 100.0,
                "unit": "ms",
                "bar": 150.0,
                "peer": null,
                "peer_value": null,
            }));
        };
        add("median", milliseconds[milliseconds.len() / 2]);
        add("slowest", milliseconds[milliseconds.len() - 1]);
    }
    Ok(Value::Array(results))
}

fn solve_milliseconds(problem: &DispatchProblem) -> Result<f64, String> {
    let start = Instant::now();
    let elapsed = || start.elapsed().as_secs_f64();
    let outcome = solve_with_stopwatch(problem, &SolveOptions::default(), &elapsed);
    let milliseconds = elapsed() * 1e3;
    match outcome.map_err(|error| error.to_string())? {
        Outcome::Planned(solution) => {
            if solution.status != Status::Optimal {
                return Err(format!("not proven: gap {}", solution.gap));
            }
            match check(problem, &solution.plan).first() {
                Some(violation) => Err(violation.to_string()),
                None => Ok(milliseconds),
            }
        }
        Outcome::Infeasible(limits) => Err(limits[0].text.en.clone()),
    }
}

/// A working day: load and sun in their shapes, a time-of-use tariff, vehicles from the morning on.
fn park_day(vehicles: usize, batteries: usize, seed: u64) -> DispatchProblem {
    let mut random = SplitMix(seed);
    let steps = 0..STEPS;
    let bell = |step: usize, centre: f64, width: f64| (-((step as f64 - centre) / width).powi(2)).exp();
    let load_kw = steps.clone().map(|step| {
        let shape = 0.5 + 0.5 * bell(step, 48.0, 20.0) + 0.3 * bell(step, 76.0, 8.0);
        3000.0 * shape * random.between(0.95, 1.05)
    });
    let load_kw = load_kw.collect();
    let pv_available_kw = steps.clone().map(|step| {
        let height = ((step as f64 - 24.0) / 48.0 * std::f64::consts::PI).sin().max(0.0);
        if (24..72).contains(&step) { 4000.0 * height * random.between(0.6, 1.0) } else { 0.0 }
    });
    let pv_available_kw = pv_available_kw.collect();
    let import_price_per_kwh: Vec<f64> = steps
        .clone()
        .map(|step| match step {
            0..32 => 0.35,
            40..48 | 72..84 => 1.1,
            _ => 0.68,
        })
        .collect();
    let batteries = (0..batteries).map(|number| {
        let capacity_kwh = random.between(500.0, 1000.0);
        Battery {
            id: format!("bess-{number}"),
            charge_limit_kw: capacity_kwh / 2.0,
            discharge_limit_kw: capacity_kwh / 2.0,
            charge_efficiency: random.between(0.93, 0.97),
            discharge_efficiency: random.between(0.93, 0.97),
            energy_initial_kwh: 0.5 * capacity_kwh,
            energy_min_kwh: 0.1 * capacity_kwh,
            energy_max_kwh: 0.95 * capacity_kwh,
            energy_final_min_kwh: 0.5 * capacity_kwh,
            throughput_cost_per_kwh: 0.02,
            self_discharge_per_hour: 0.0005,
        }
    });
    let batteries = batteries.collect();
    let ev_sessions = (0..vehicles).map(|number| {
        let arrival_step = random.between(20.0, 50.0) as usize;
        EvSession {
            id: format!("ev-{number}"),
            arrival_step,
            departure_step: (arrival_step + random.between(8.0, 44.0) as usize).min(STEPS),
            energy_needed_kwh: random.between(4.0, 45.0),
            charge_limit_kw: [7.0, 11.0, 22.0][random.between(0.0, 3.0) as usize],
            efficiency: 0.92,
            shortfall_penalty_per_kwh: 5.0,
        }
    });
    let ev_sessions = ev_sessions.collect();
    DispatchProblem {
        step_minutes: 15.0,
        steps: STEPS,
        load_kw,
        pv_available_kw,
        export_price_per_kwh: vec![0.39; STEPS],
        import_price_per_kwh,
        emission_factor_kg_per_kwh: steps.map(|_| random.between(0.5, 0.65)).collect(),
        carbon_price_per_kg: 0.1,
        grid: Grid {
            import_limit_kw: 8000.0,
            export_limit_kw: 3000.0,
            demand_charge_per_kw: 40.0,
            incurred_peak_kw: 1000.0,
        },
        batteries,
        ev_sessions,
        curtailable_loads: Vec::new(),
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same days everywhere.
struct SplitMix(u64);

impl SplitMix {
    fn between(&mut self, low: f64, high: f64) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        low + (high - low) * (bits >> 11) as f64 / (1u64 << 53) as f64
    }
}
