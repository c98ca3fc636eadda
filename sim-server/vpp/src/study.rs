//! A simulated stretch of time with and without dispatch: the same planner, forecasts included, on a simulated park.
//!
//! The planner sees only what it would see live: past quarter hours, the state of storage and the cars plugged in now.

use crate::{
    VppError,
    clear_sky::ClearSky,
    energy_book::self_sufficiency,
    groups::Group,
    guard::{Measured, guarded},
    park::ParkContext,
    planner::{self, CarState, PlanInputs, STEP_MS, StorageState},
    set_points::{self, SetPoints},
};
use forecast::Series;
use optimizer::SolveOptions;
use shared::time::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp};

/// Days the park runs undispatched before the study, so that the forecasts have something to rest on.
pub const WARM_UP_DAYS: i64 = 14;
/// A park that can be run by quarter hours.
pub trait SimulatedPark {
    /// Runs `duration_ms` from `at` under `set_points` and gives each group's power in kW, in [`Group`] order, positive when
    /// drawing.
    fn step(&mut self, at: Timestamp, duration_ms: i64, set_points: &SetPoints) -> [f64; 6];
    fn storage(&self) -> Vec<StorageState>;
    fn cars(&self, at: Timestamp) -> Vec<CarState>;
}

/// What a stretch came to.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StudyResult {
    pub energy_cost_yuan: f64,
    /// The month's demand charge on the highest demand of the month so far.
    pub demand_cost_yuan: f64,
    /// Highest quarter hour of the stretch.
    pub peak_kw: f64,
    /// Highest quarter hour of the month so far, the warm-up's days of the same month included.
    pub month_peak_kw: f64,
    pub import_kwh: f64,
    pub export_kwh: f64,
    /// With the factor accounts are kept with.
    pub emissions_kg: f64,
    /// With the factor weighted by the hour, as the planner sees it.
    pub hourly_emissions_kg: f64,
    pub self_sufficiency: f64,
    pub charging_kwh: f64,
    pub plans: u32,
    pub infeasible_plans: u32,
    /// Mean grid power of every quarter hour.
    pub grid_kw: Vec<f64>,
}

/// Runs `days` from `from`, with or without dispatch, after a warm-up without. With dispatch a plan is made every
/// quarter hour, as often as this simulation can tell the planner anything new.
pub fn run(
    park: &ParkContext,
    simulated: &mut dyn SimulatedPark,
    from: Timestamp,
    days: i64,
    dispatch: bool,
) -> Result<StudyResult, VppError> {
    let sky = ClearSky::of(&park.scene);
    let start = Timestamp(from.floor_to(STEP_MS).0 - WARM_UP_DAYS * DAY_MS);
    let warm_up_steps = WARM_UP_DAYS * DAY_MS / STEP_MS;
    let steps = warm_up_steps + days * DAY_MS / STEP_MS;
    let mut past: Vec<[f64; 6]> = Vec::with_capacity(steps as usize);
    let mut result = StudyResult {
        energy_cost_yuan: 0.0,
        demand_cost_yuan: 0.0,
        peak_kw: 0.0,
        month_peak_kw: 0.0,
        import_kwh: 0.0,
        export_kwh: 0.0,
        emissions_kg: 0.0,
        hourly_emissions_kg: 0.0,
        self_sufficiency: 0.0,
        charging_kwh: 0.0,
        plans: 0,
        infeasible_plans: 0,
        grid_kw: Vec::new(),
    };
    let mut planned: Option<(i64, planner::PlannedDevices)> = None;
    let mut ceiling_kw = f64::INFINITY;
    // Demand is billed by the calendar month, and most of a month's peak may lie before the study.
    let mut month_peak_kw = 0.0f64;
    for step in 0..steps {
        let now = Timestamp(start.0 + step * STEP_MS);
        let measured = step >= warm_up_steps;
        if now.start_of_month(&park.zone) == now {
            month_peak_kw = 0.0;
        }
        if measured && dispatch {
            let inputs = inputs(&past, start, now, simulated, month_peak_kw);
            let plan = planner::make_plan(park, &sky, &inputs, &SolveOptions::default(), &|| 0.0)?;
            result.plans += 1;
            ceiling_kw = plan.ceiling_kw;
            match plan.devices {
                Some(devices) => planned = Some((step, devices)),
                None => result.infeasible_plans += 1,
            }
        }
        let set_points = planned
            .as_ref()
            .map(|(made, devices)| set_points::of_step(park, devices, (step - made) as usize))
            .unwrap_or_default();
        let powers = if measured {
            quarter_hour(park, simulated, now, &set_points, ceiling_kw)
        } else {
            simulated.step(now, STEP_MS, &set_points)
        };
        month_peak_kw = month_peak_kw.max(powers[Group::Grid as usize]);
        if measured {
            account(park, &mut result, now, &powers);
            result.month_peak_kw = result.month_peak_kw.max(month_peak_kw);
        }
        past.push(powers);
    }
    let storage_losses_kwh = storage_losses(park, &past[warm_up_steps as usize..]);
    let used: f64 = past[warm_up_steps as usize..]
        .iter()
        .map(|p| (p[Group::Load as usize] + p[Group::Charging as usize]) * STEP_MS as f64 / HOUR_MS as f64)
        .sum();
    result.self_sufficiency = self_sufficiency(result.import_kwh, used + storage_losses_kwh).unwrap_or(0.0);
    result.demand_cost_yuan = result.month_peak_kw * park.scene.tariff.demand_charge_per_kw_month;
    Ok(result)
}

/// Runs a quarter hour minute by minute, storage giving way to what is measured as it does live.
fn quarter_hour(
    park: &ParkContext,
    simulated: &mut dyn SimulatedPark,
    start: Timestamp,
    set_points: &SetPoints,
    ceiling_kw: f64,
) -> [f64; 6] {
    let minutes = STEP_MS / MINUTE_MS;
    let mut sum = [0.0; 6];
    let mut measured: Option<Measured> = None;
    for minute in 0..minutes {
        let held_back = measured
            .map(|measured| guarded(park, set_points, &simulated.storage(), measured, ceiling_kw))
            .unwrap_or_else(|| set_points.clone());
        let powers = simulated.step(Timestamp(start.0 + minute * MINUTE_MS), MINUTE_MS, &held_back);
        measured = Some(Measured {
            grid_kw: powers[Group::Grid as usize],
            storage_kw: powers[Group::Storage as usize],
        });
        for (total, power) in sum.iter_mut().zip(powers) {
            *total += power / minutes as f64;
        }
    }
    sum
}

fn account(park: &ParkContext, result: &mut StudyResult, now: Timestamp, powers: &[f64; 6]) {
    let hours = STEP_MS as f64 / HOUR_MS as f64;
    let grid = powers[Group::Grid as usize];
    let (import, export) = (grid.max(0.0) * hours, (-grid).max(0.0) * hours);
    let tariff = &park.scene.tariff;
    result.energy_cost_yuan +=
        import * tariff.import_price_at(now, &park.zone) - export * park.feed_in_price_at(now);
    result.peak_kw = result.peak_kw.max(grid);
    result.import_kwh += import;
    result.export_kwh += export;
    result.emissions_kg += import * park.scene.park.emission.kg_per_kwh;
    result.hourly_emissions_kg += import * park.emission_factor_at(now);
    result.charging_kwh += powers[Group::Charging as usize] * hours;
    result.grid_kw.push(grid);
}

fn storage_losses(park: &ParkContext, powers: &[[f64; 6]]) -> f64 {
    let (charge, discharge) = park.storage_efficiencies();
    powers
        .iter()
        .map(|p| {
            let kwh = p[Group::Storage as usize] * STEP_MS as f64 / HOUR_MS as f64;
            kwh.max(0.0) * (1.0 - charge) + (-kwh).max(0.0) * (1.0 / discharge - 1.0)
        })
        .sum()
}

fn inputs(
    past: &[[f64; 6]],
    start: Timestamp,
    now: Timestamp,
    simulated: &dyn SimulatedPark,
    incurred_peak_kw: f64,
) -> PlanInputs {
    let keep = (WARM_UP_DAYS * DAY_MS / STEP_MS) as usize;
    let skip = past.len().saturating_sub(keep);
    let series = |group: Group, sign: f64| Series {
        start: Timestamp(start.0 + skip as i64 * STEP_MS),
        step_ms: STEP_MS,
        values: past[skip..].iter().map(|p| Some(sign * p[group as usize])).collect(),
    };
    PlanInputs {
        now,
        past_load: series(Group::Load, 1.0),
        past_charging: series(Group::Charging, 1.0),
        past_pv: series(Group::Pv, -1.0),
        past_wind: series(Group::Wind, -1.0),
        storage: simulated.storage(),
        cars: simulated.cars(now),
        held: Vec::new(),
        incurred_peak_kw,
    }
}
