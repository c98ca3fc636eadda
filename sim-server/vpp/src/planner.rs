//! One plan: what is known now in, a plan and its explanation out. Pure: no clock, no I/O.

use crate::{VppError, clear_sky::ClearSky, park::ParkContext};
use forecast::{Series, clear_sky_persistence, decaying_persistence, load_profile};
use optimizer::{Battery, DispatchProblem, EvSession, Grid, Outcome, Plan, SolveOptions, Status};
use shared::{
    id::DeviceId,
    plan::{DevicePlan, PlanStatus, PlanView},
    time::{HOUR_MS, MINUTE_MS, Timestamp},
};

/// Quarter hours: the settlement interval, and fine enough for the tariff.
pub const STEP_MS: i64 = 15 * MINUTE_MS;
/// A day ahead.
pub const STEPS: usize = 96;
/// What leaving a car short of a kWh counts for, in yuan: far above any tariff, so that it happens only when it must.
const SHORTFALL_PENALTY_PER_KWH: f64 = 8.0;
/// Wind keeps half its deviation from the mean for this long.
const WIND_HALF_LIFE_MS: i64 = 3 * HOUR_MS;
/// Cars that will come are counted by their usual profile, fully after this time; those here now are planned singly.
const ARRIVALS_COMPLETE_AFTER_MS: f64 = 4.0 * HOUR_MS as f64;

/// What is known when a plan is made.
#[derive(Debug, Clone)]
pub struct PlanInputs {
    pub now: Timestamp,
    /// Quarter-hour means of the past days up to now, kW, each positive in its own sense.
    pub past_load: Series,
    pub past_charging: Series,
    pub past_pv: Series,
    pub past_wind: Series,
    pub storage: Vec<StorageState>,
    pub cars: Vec<CarState>,
    /// What people have taken in hand.
    pub held: Vec<HeldPower>,
    /// Highest demand of this month so far.
    pub incurred_peak_kw: f64,
}

/// A storage unit that can be steered now.
#[derive(Debug, Clone, PartialEq)]
pub struct StorageState {
    /// Index into [`ParkContext::storage`].
    pub unit: usize,
    /// 0 to 1.
    pub state_of_charge: f64,
}

/// A car plugged in now.
#[derive(Debug, Clone, PartialEq)]
pub struct CarState {
    /// Index into [`ParkContext::charging`].
    pub point: usize,
    pub energy_needed_kwh: f64,
    pub departure: Timestamp,
}

/// A storage unit or charging point that a person has taken in hand: its power is a fact the plan goes round.
#[derive(Debug, Clone, PartialEq)]
pub struct HeldPower {
    /// Positive when it draws.
    pub power_kw: f64,
    /// When it ends: the set-point's own end, or that of the energy there is room or need for.
    pub until: Timestamp,
}

/// A plan by device, and what was curtailed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PlannedDevices {
    /// kW, positive charging.
    pub storage: Vec<(DeviceId, Vec<f64>)>,
    pub charging: Vec<(DeviceId, Vec<f64>)>,
    pub feed_in: FeedIn,
}

/// What could be fed in, by kind, and what of it the plan leaves unused; kW by step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FeedIn {
    pub pv_kw: Vec<f64>,
    pub wind_kw: Vec<f64>,
    pub curtailed_kw: Vec<f64>,
}

/// The dispatch problem with what its totals were made of.
#[derive(Debug, Clone)]
pub struct Stated {
    pub problem: DispatchProblem,
    pub pv_kw: Vec<f64>,
    pub wind_kw: Vec<f64>,
    /// Days of history behind the load forecast.
    pub basis_days: usize,
}

/// The outcome of planning.
#[derive(Debug, Clone)]
pub struct Planned {
    pub problem: DispatchProblem,
    pub view: PlanView,
    /// Absent when no plan is feasible.
    pub devices: Option<PlannedDevices>,
    /// Highest import the plan accepts, kW: what was incurred before, or what it raises the peak to.
    pub ceiling_kw: f64,
    /// Days of history behind the load forecast; below one it is a guess.
    pub basis_days: usize,
}

/// States the dispatch problem for the day ahead.
pub fn state_problem(park: &ParkContext, sky: &ClearSky, inputs: &PlanInputs) -> Stated {
    let start = inputs.now.floor_to(STEP_MS);
    let load = load_profile(&inputs.past_load, start, STEPS, &park.zone);
    let charging = load_profile(&inputs.past_charging, start, STEPS, &park.zone);
    let past_clear = sky.series_kw(inputs.past_pv.start, STEP_MS, inputs.past_pv.values.len());
    let clear = sky.series_kw(start, STEP_MS, STEPS);
    let pv = clear_sky_persistence(&inputs.past_pv, &past_clear, &clear, start);
    let wind = decaying_persistence(&inputs.past_wind, start, STEPS, WIND_HALF_LIFE_MS);
    let arrivals = |step: usize| (step as f64 * STEP_MS as f64 / ARRIVALS_COMPLETE_AFTER_MS).min(1.0);
    let tariff = &park.scene.tariff;
    let connection = &park.scene.park.grid;
    let time = |step: usize| Timestamp(start.0 + step as i64 * STEP_MS);
    let held = |step: usize| inputs.held.iter().map(|held| held.mean_kw(time(step))).sum::<f64>();
    let pv_kw: Vec<f64> = pv.mean.iter().map(|kw| kw.max(0.0)).collect();
    let wind_kw: Vec<f64> = wind.mean.iter().map(|kw| kw.max(0.0)).collect();
    let problem = DispatchProblem {
        step_minutes: (STEP_MS / MINUTE_MS) as f64,
        steps: STEPS,
        load_kw: (0..STEPS).map(|s| load.mean[s] + arrivals(s) * charging.mean[s] + held(s)).collect(),
        pv_available_kw: pv_kw.iter().zip(&wind_kw).map(|(pv, wind)| pv + wind).collect(),
        import_price_per_kwh: (0..STEPS).map(|s| tariff.import_price_at(time(s), &park.zone)).collect(),
        export_price_per_kwh: (0..STEPS).map(|s| park.feed_in_price_at(time(s))).collect(),
        emission_factor_kg_per_kwh: (0..STEPS).map(|s| park.emission_factor_at(time(s))).collect(),
        carbon_price_per_kg: tariff.carbon_price_per_kg,
        grid: Grid {
            import_limit_kw: connection.import_limit_kw,
            export_limit_kw: connection.export_limit_kw,
            demand_charge_per_kw: tariff.demand_charge_per_kw_month,
            incurred_peak_kw: inputs.incurred_peak_kw.clamp(0.0, connection.import_limit_kw),
        },
        batteries: inputs.storage.iter().map(|state| battery(park, state)).collect(),
        ev_sessions: inputs.cars.iter().filter_map(|car| session(park, car, start)).collect(),
        curtailable_loads: Vec::new(),
    };
    Stated { problem, pv_kw, wind_kw, basis_days: load.basis_days }
}

impl HeldPower {
    /// Over the step that begins at `start`.
    fn mean_kw(&self, start: Timestamp) -> f64 {
        self.power_kw * self.until.since(start).clamp(0, STEP_MS) as f64 / STEP_MS as f64
    }
}

fn battery(park: &ParkContext, state: &StorageState) -> Battery {
    let unit = &park.storage[state.unit];
    let (least, most) = (unit.soc_min * unit.energy_kwh, unit.soc_max * unit.energy_kwh);
    // A unit found outside its band is planned from the band's edge: the plan then brings it no further out.
    let initial = (state.state_of_charge * unit.energy_kwh).clamp(least, most);
    Battery {
        id: unit.device.to_string(),
        charge_limit_kw: unit.charge_kw,
        discharge_limit_kw: unit.discharge_kw,
        charge_efficiency: unit.charge_efficiency,
        discharge_efficiency: unit.discharge_efficiency,
        energy_initial_kwh: initial,
        energy_min_kwh: least,
        energy_max_kwh: most,
        // Ending the day emptier than it began would only borrow from tomorrow; ending half full is enough.
        energy_final_min_kwh: initial.min(0.5 * (least + most)),
        throughput_cost_per_kwh: unit.throughput_cost_per_kwh,
        self_discharge_per_hour: 0.0,
    }
}

fn session(park: &ParkContext, car: &CarState, start: Timestamp) -> Option<EvSession> {
    let point = &park.charging[car.point];
    // Done a step early where there is time: a taper near full or a short pause then costs nobody a departure.
    let until = car.departure.since(start).div_euclid(STEP_MS);
    let last = (if until > 2 { until - 1 } else { until }).clamp(1, STEPS as i64);
    (car.energy_needed_kwh > 0.05).then(|| EvSession {
        id: point.device.to_string(),
        arrival_step: 0,
        departure_step: usize::try_from(last).unwrap_or(1),
        energy_needed_kwh: car.energy_needed_kwh,
        charge_limit_kw: point.power_kw,
        efficiency: point.efficiency,
        shortfall_penalty_per_kwh: SHORTFALL_PENALTY_PER_KWH,
    })
}

/// Makes a plan. `elapsed_seconds` is the caller's stopwatch for the time box; `solve_ms` of the view is left at 0.
pub fn make_plan(
    park: &ParkContext,
    sky: &ClearSky,
    inputs: &PlanInputs,
    options: &SolveOptions,
    elapsed_seconds: &dyn Fn() -> f64,
) -> Result<Planned, VppError> {
    let Stated { problem, pv_kw, wind_kw, basis_days } = state_problem(park, sky, inputs);
    let outcome = optimizer::solve_with_stopwatch(&problem, options, elapsed_seconds)?;
    let start = inputs.now.floor_to(STEP_MS);
    Ok(match outcome {
        Outcome::Planned(solution) => {
            let curtailed_kw =
                problem.pv_available_kw.iter().zip(&solution.plan.pv_kw).map(|(a, p)| a - p).collect();
            let feed_in = FeedIn { pv_kw, wind_kw, curtailed_kw };
            let devices = by_device(park, inputs, &solution.plan, feed_in);
            let mut view = view(park, &problem, Some(&solution.plan), &devices, inputs.now, start);
            view.status = match solution.status {
                Status::Optimal => PlanStatus::Optimal,
                Status::Feasible => PlanStatus::Feasible,
            };
            view.objective_yuan = Some(solution.objective);
            view.gap = Some(solution.gap);
            view.baseline_yuan = Some(optimizer::baseline(&problem).cost(&problem).total());
            Planned { problem, view, devices: Some(devices), ceiling_kw: solution.plan.peak_kw, basis_days }
        }
        Outcome::Infeasible(reasons) => {
            let mut view = view(park, &problem, None, &PlannedDevices::default(), inputs.now, start);
            view.infeasible = reasons.into_iter().map(|reason| reason.text).collect();
            let ceiling_kw = problem.grid.import_limit_kw;
            Planned { problem, view, devices: None, ceiling_kw, basis_days }
        }
    })
}

fn by_device(park: &ParkContext, inputs: &PlanInputs, plan: &Plan, feed_in: FeedIn) -> PlannedDevices {
    let storage = inputs
        .storage
        .iter()
        .zip(&plan.batteries)
        .map(|(state, planned)| {
            let power = planned.charge_kw.iter().zip(&planned.discharge_kw).map(|(c, d)| c - d).collect();
            (park.storage[state.unit].device.clone(), power)
        })
        .collect();
    let charging = plan
        .ev_sessions
        .iter()
        .filter_map(|planned| Some((planned.id.parse().ok()?, planned.power_kw.clone())))
        .collect();
    PlannedDevices { storage, charging, feed_in }
}

fn view(
    park: &ParkContext,
    problem: &DispatchProblem,
    plan: Option<&Plan>,
    devices: &PlannedDevices,
    now: Timestamp,
    start: Timestamp,
) -> PlanView {
    let total = |rows: &[(DeviceId, Vec<f64>)]| -> Vec<f64> {
        (0..problem.steps).map(|s| rows.iter().map(|(_, row)| row[s]).sum()).collect()
    };
    let unit_of = |device: &DeviceId| {
        let index = problem.batteries.iter().position(|b| b.id == device.as_str())?;
        let unit = park.storage.iter().find(|unit| unit.device == *device)?;
        Some((index, unit.energy_kwh))
    };
    PlanView {
        version: 0,
        made_at: now,
        start,
        step_s: (STEP_MS / 1000) as u32,
        status: PlanStatus::Infeasible,
        objective_yuan: None,
        baseline_yuan: None,
        gap: None,
        solve_ms: 0.0,
        grid_kw: plan
            .map_or_else(Vec::new, |p| p.import_kw.iter().zip(&p.export_kw).map(|(i, e)| i - e).collect()),
        load_kw: problem.load_kw.clone(),
        renewable_available_kw: problem.pv_available_kw.clone(),
        renewable_kw: plan.map_or_else(Vec::new, |p| p.pv_kw.clone()),
        storage_kw: if plan.is_some() { total(&devices.storage) } else { Vec::new() },
        charging_kw: if plan.is_some() { total(&devices.charging) } else { Vec::new() },
        stored_kwh: plan.map_or_else(Vec::new, |p| {
            (0..problem.steps).map(|s| p.batteries.iter().map(|b| b.energy_kwh[s]).sum()).collect()
        }),
        import_price_per_kwh: problem.import_price_per_kwh.clone(),
        emission_factor_kg_per_kwh: problem.emission_factor_kg_per_kwh.clone(),
        emission_factor_before_kg_per_kwh: day_so_far(park, start),
        devices: devices
            .storage
            .iter()
            .chain(&devices.charging)
            .map(|(device, power)| DevicePlan {
                device_id: device.clone(),
                power_kw: power.clone(),
                state_of_charge: unit_of(device).and_then(|(index, full_kwh)| {
                    plan.map(|p| p.batteries[index].energy_kwh.iter().map(|e| e / full_kwh).collect())
                }),
            })
            .collect(),
        infeasible: Vec::new(),
    }
}

/// The emission factor of the steps between the local midnight and `start`.
fn day_so_far(park: &ParkContext, start: Timestamp) -> Vec<f64> {
    let midnight = start.start_of_day(&park.zone);
    let steps = start.since(midnight) / STEP_MS;
    (0..steps).map(|step| park.emission_factor_at(Timestamp(start.0 - (steps - step) * STEP_MS))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{set_points, test_park};
    use shared::time::DAY_MS;

    fn flat(kw: f64, now: Timestamp) -> Series {
        let steps = 14 * DAY_MS / STEP_MS;
        Series {
            start: Timestamp(now.floor_to(STEP_MS).0 - steps * STEP_MS),
            step_ms: STEP_MS,
            values: vec![Some(kw); steps as usize],
        }
    }

    fn inputs(load_kw: f64) -> PlanInputs {
        let now = Timestamp::parse("2026-07-13T06:05:00+08:00").unwrap();
        PlanInputs {
            now,
            past_load: flat(load_kw, now),
            past_charging: flat(0.0, now),
            past_pv: flat(0.0, now),
            past_wind: flat(0.0, now),
            storage: vec![StorageState { unit: 0, state_of_charge: 0.5 }],
            cars: vec![CarState {
                point: 0,
                energy_needed_kwh: 40.0,
                departure: Timestamp(now.0 + 9 * HOUR_MS),
            }],
            held: Vec::new(),
            incurred_peak_kw: 700.0,
        }
    }

    fn plan(import_limit_kw: f64, inputs: &PlanInputs) -> (ParkContext, Planned) {
        let park = ParkContext::new(test_park::scene(import_limit_kw)).unwrap();
        let sky = ClearSky::of(&park.scene);
        let planned = make_plan(&park, &sky, inputs, &SolveOptions::default(), &|| 0.0).unwrap();
        (park, planned)
    }

    #[test]
    fn storage_fills_in_the_valley_and_empties_at_the_peak() {
        let inputs = inputs(600.0);
        let (park, planned) = plan(2000.0, &inputs);
        let view = &planned.view;
        assert_eq!(view.status, PlanStatus::Optimal);
        assert!(optimizer::check(&planned.problem, &resolve(&planned.problem)).is_empty());
        let energy_in = |from: i64, to: i64| -> f64 {
            (0..STEPS)
                .filter(|s| {
                    let hour = Timestamp(view.start.0 + *s as i64 * STEP_MS).local(&park.zone).hour();
                    (from..to).contains(&i64::from(hour))
                })
                .map(|s| view.storage_kw[s] * 0.25)
                .sum()
        };
        assert!(energy_in(17, 22) < -300.0, "discharges at the peak: {}", energy_in(17, 22));
        assert!(energy_in(0, 8) > 100.0, "charges in the valley: {}", energy_in(0, 8));
        assert!(
            view.objective_yuan < view.baseline_yuan,
            "{:?} {:?}",
            view.objective_yuan,
            view.baseline_yuan
        );
        assert_eq!(planned.basis_days, 14);
        let soc = view.devices[0].state_of_charge.as_ref().unwrap();
        assert!(soc.iter().all(|s| (0.1 - 1e-6..=0.9 + 1e-6).contains(s)));
    }

    fn resolve(problem: &DispatchProblem) -> Plan {
        match optimizer::solve(problem, &SolveOptions::default()).unwrap() {
            Outcome::Planned(solution) => solution.plan,
            Outcome::Infeasible(reasons) => panic!("{reasons:?}"),
        }
    }

    #[test]
    fn set_points_are_the_first_step_within_ratings_and_named_once() {
        let inputs = inputs(600.0);
        let (park, planned) = plan(2000.0, &inputs);
        let devices = planned.devices.unwrap();
        let points = set_points::of_step(&park, &devices, 0);
        assert!(points["bess"].abs() <= 250.0 + 1e-6 && (0.0..=60.0 + 1e-6).contains(&points["charger"]));
        let commands = set_points::commands(&points, 7, set_points::SET_POINT_DURATION_S, inputs.now);
        assert_eq!(commands.len(), points.len());
        assert!(commands.iter().all(|c| c.expires_at() > inputs.now && c.command == "setPower"));
        assert_eq!(
            commands,
            set_points::commands(&points, 7, set_points::SET_POINT_DURATION_S, inputs.now),
            "the same plan is the same commands"
        );
    }

    #[test]
    fn what_a_person_holds_is_a_fact_the_plan_goes_round() {
        let free = inputs(600.0);
        let until = Timestamp(free.now.floor_to(STEP_MS).0 + 90 * MINUTE_MS);
        let taken = PlanInputs {
            storage: Vec::new(),
            held: vec![HeldPower { power_kw: 200.0, until }],
            ..free.clone()
        };
        let (park, planned) = plan(2000.0, &taken);
        let sky = ClearSky::of(&park.scene);
        let without = state_problem(&park, &sky, &PlanInputs { held: Vec::new(), ..taken.clone() }).problem;
        for (step, (with, without)) in planned.problem.load_kw.iter().zip(&without.load_kw).enumerate() {
            let expected = if step < 6 { 200.0 } else { 0.0 };
            assert!((with - without - expected).abs() < 1e-9, "step {step}: {with} {without}");
        }
        let points = set_points::of_step(&park, planned.devices.as_ref().unwrap(), 0);
        assert!(!points.contains_key("bess"), "{points:?}");
    }

    #[test]
    fn an_import_limit_below_the_load_is_named() {
        let mut inputs = inputs(600.0);
        inputs.incurred_peak_kw = 0.0;
        let (_, planned) = plan(300.0, &inputs);
        assert_eq!(planned.view.status, PlanStatus::Infeasible);
        assert!(planned.devices.is_none());
        let text = &planned.view.infeasible[0];
        assert!(text.en.contains("import limit 300 kW"), "{}", text.en);
        assert!(text.zh.contains("购电"), "{}", text.zh);
    }
}
