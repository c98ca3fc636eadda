//! `sim-server study week`: the planner on the simulated park, against two parks that do without it.

use crate::{cli::WeekArgs, scene_folder};
use anyhow::Context;
use fleet::world::{Rule, World};
use shared::{
    command::CommandDelivery,
    id::DeviceId,
    telemetry::Sent,
    time::{MINUTE_MS, Timestamp},
};
use std::{fmt::Write, sync::Arc};
use vpp::{
    Group, ParkContext,
    planner::{CarState, STEP_MS, StorageState},
    set_points::{self, SetPoints},
    study::{self, SimulatedPark, StudyResult, WARM_UP_DAYS},
};

/// One weather and one set of cars for all runs.
const SEED: u64 = 1;

/// The fleet's world, run by quarter hours.
struct FleetPark<'a> {
    park: &'a ParkContext,
    world: World,
    rule: Rule,
    commands: u64,
    /// What was last asked for, and when: asked again when it changes or is about to run out.
    asked: (SetPoints, Timestamp),
}

impl FleetPark<'_> {
    fn value(&self, device: &DeviceId, measurement: &str) -> Option<f64> {
        let sample = self.world.sample(self.world.device_index(device)?);
        sample.data.into_iter().find_map(|(key, sent)| match sent {
            Sent::Number(value) if key.as_str() == measurement => Some(value),
            _ => None,
        })
    }
}

impl SimulatedPark for FleetPark<'_> {
    fn step(&mut self, at: Timestamp, duration_ms: i64, set_points: &SetPoints) -> [f64; 6] {
        if self.asked.0 != *set_points || at.since(self.asked.1) >= STEP_MS {
            self.commands += 1;
            self.asked = (set_points.clone(), at);
            for request in
                set_points::commands(set_points, self.commands, set_points::SET_POINT_DURATION_S, at)
            {
                let Some(index) = self.world.device_index(&request.device_id) else { continue };
                let delivery = CommandDelivery {
                    expires: request.expires_at(),
                    command_id: request.command_id,
                    command: request.command,
                    parameters: request.parameters,
                    timestamp: request.timestamp,
                };
                // A device that refuses follows its own rule, as it would in the field.
                let _ = self.world.command(index, &delivery, at);
            }
        }
        self.world.step(Timestamp(at.0 + duration_ms), self.rule);
        Group::ALL.map(|group| {
            self.park.groups.members(group).iter().filter_map(|device| self.value(device, "power")).sum()
        })
    }

    fn storage(&self) -> Vec<StorageState> {
        let units = self.park.storage.iter().enumerate();
        units
            .filter_map(|(unit, storage)| {
                let percent = self.value(&storage.device, "soc")?;
                Some(StorageState { unit, state_of_charge: percent / 100.0 })
            })
            .collect()
    }

    fn cars(&self, at: Timestamp) -> Vec<CarState> {
        let points = self.park.charging.iter().enumerate();
        points
            .filter_map(|(point, charger)| {
                let plugged = self.value(&charger.device, "plugged")? > 0.5;
                let energy_needed_kwh = self.value(&charger.device, "session_energy_needed")?;
                let minutes = self.value(&charger.device, "departure_in")?;
                let departure = Timestamp(at.0 + (minutes * MINUTE_MS as f64) as i64);
                plugged.then_some(CarState { point, energy_needed_kwh, departure })
            })
            .collect()
    }
}

#[allow(clippy::print_stdout)] // the answer of a command
pub(crate) fn week(args: &WeekArgs) -> anyhow::Result<()> {
    let scene = Arc::new(scene_folder::load(&args.scene, args.models.as_deref())?);
    let park = ParkContext::new(Arc::clone(&scene))?;
    let date: jiff::civil::Date =
        args.from.parse().with_context(|| format!("--from {}: not a date like 2026-07-13", args.from))?;
    let from = Timestamp(date.to_zoned(park.zone.clone())?.timestamp().as_millisecond());
    let mut results = Vec::new();
    for (name, rule, dispatch) in [
        ("storage at rest, cars charge on arrival", Rule::Rest, false),
        ("storage by a fixed time-of-use rule", Rule::TimeOfUse, false),
        ("dispatch by plan", Rule::Rest, true),
    ] {
        tracing::info!(name, "simulating {} days", args.days);
        let start = Timestamp(from.0 - WARM_UP_DAYS * shared::time::DAY_MS);
        let world = World::new(&scene, SEED, start)?;
        let mut simulated =
            FleetPark { park: &park, world, rule, commands: 0, asked: (SetPoints::new(), start) };
        results.push((name, study::run(&park, &mut simulated, from, args.days, dispatch)?));
    }
    let page = page(&park, args, &results)?;
    match &args.out {
        Some(path) => std::fs::write(path, page).with_context(|| format!("writing {}", path.display()))?,
        None => print!("{page}"),
    }
    Ok(())
}

fn page(park: &ParkContext, args: &WeekArgs, results: &[(&str, StudyResult)]) -> anyhow::Result<String> {
    let mut page = String::new();
    let scene = &park.scene;
    writeln!(page, "# A simulated week with and without dispatch\n")?;
    writeln!(
        page,
        "Made by `sim-server study week --from {} --days {} --out docs/dispatch-week.md`; do not edit by hand.\n",
        args.from, args.days
    )?;
    writeln!(
        page,
        "{} ({}), {} days from {}. The devices are the simulated fleet's equations in quarter hours; load, weather and \
         charging sessions are real series from other places (stand-ins, see the scene's NOTICE); the tariff is {}. The \
         planner sees only what it would see live: past quarter hours, the state of storage and the cars plugged in. It \
         plans every quarter hour on its own forecasts, and what it gets wrong costs it here as it would in the field.\n",
        scene.park.name.en,
        scene.park.name.zh,
        args.days,
        args.from,
        if scene.tariff.example { "an example" } else { "the park's own" },
    )?;
    write!(page, "| |")?;
    for (name, _) in results {
        write!(page, " {name} |")?;
    }
    writeln!(page, "\n| --- |{}", " ---: |".repeat(results.len()))?;
    type Figure = (&'static str, fn(&StudyResult) -> f64, usize);
    let figures: [Figure; 11] = [
        ("Energy cost, yuan", |r| r.energy_cost_yuan, 0),
        ("Highest quarter hour of these days, kW", |r| r.peak_kw, 0),
        ("Highest quarter hour of the month so far, kW", |r| r.month_peak_kw, 0),
        ("Demand charge of the month so far, yuan", |r| r.demand_cost_yuan, 0),
        ("Import, kWh", |r| r.import_kwh, 0),
        ("Export, kWh", |r| r.export_kwh, 0),
        ("Emissions of the import, kgCO₂e", |r| r.emissions_kg, 0),
        ("… weighted by the hour, kgCO₂e", |r| r.hourly_emissions_kg, 0),
        ("Self-sufficiency, %", |r| 100.0 * r.self_sufficiency, 1),
        ("Charged into cars, kWh", |r| r.charging_kwh, 0),
        ("Plans made", |r| f64::from(r.plans), 0),
    ];
    for (label, of, digits) in figures {
        write!(page, "| {label} |")?;
        for (_, result) in results {
            write!(page, " {:.digits$} |", of(result))?;
        }
        writeln!(page)?;
    }
    if let (Some((_, without)), Some((_, with))) = (results.first(), results.last()) {
        writeln!(
            page,
            "\nAgainst storage at rest, dispatch changes the energy bill by {:+.1} %, the peak by {:+.1} %, emissions by \
             {:+.1} % ({:+.1} % weighted by the hour) and self-sufficiency by {:+.1} percentage points.\n",
            change(without.energy_cost_yuan, with.energy_cost_yuan),
            change(without.peak_kw, with.peak_kw),
            change(without.emissions_kg, with.emissions_kg),
            change(without.hourly_emissions_kg, with.hourly_emissions_kg),
            100.0 * (with.self_sufficiency - without.self_sufficiency),
        )?;
        writeln!(
            page,
            "Energy left in storage at the end differs between the runs by at most the usable capacity, {:.0} kWh. Emissions \
             use the factor {} kgCO₂e/kWh ({}, {}, {}-based, status {}){}.",
            park.storage.iter().map(|s| (s.soc_max - s.soc_min) * s.energy_kwh).sum::<f64>(),
            scene.park.emission.kg_per_kwh,
            scene.park.emission.source,
            scene.park.emission.year,
            scene.park.emission.basis,
            scene.park.emission.status,
            if scene.park.emission.hourly_shape {
                "; weighted by the hour means in the shape of another grid's year, a stand-in that the planner sees too"
            } else {
                ""
            },
        )?;
    }
    Ok(page)
}

/// Percent.
fn change(before: f64, after: f64) -> f64 {
    if before == 0.0 { 0.0 } else { 100.0 * (after - before) / before }
}
