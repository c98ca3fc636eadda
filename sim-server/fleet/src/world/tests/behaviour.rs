use super::park::{QUARTER_MS, device, monday, number, scene, word, world_at};
use crate::world::{Rule, World, WorldMemory};
use shared::{
    telemetry::Sent,
    thing_model::{MeasurementKind, Role},
    time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Timestamp},
};

fn after(start: Timestamp, ms: i64) -> Timestamp {
    Timestamp(start.millis() + ms)
}

#[test]
fn every_measurement_of_every_model_is_produced() {
    let mut world = world_at(monday());
    world.step(after(monday(), QUARTER_MS), Rule::Rest);
    assert_eq!(world.unproduced(), vec![]);
}

#[test]
fn an_ordinary_year_stays_within_the_models_ranges() {
    let mut world = world_at(monday());
    let scene = scene();
    for day in 0..365 {
        // One hour of every day, wandering through the clock.
        let at = after(monday(), day * DAY_MS + (day * 7 % 24) * HOUR_MS);
        world.skip_to(Timestamp(at.millis() - QUARTER_MS));
        world.step(at, Rule::TimeOfUse);
        for (place, described) in scene.devices.iter().enumerate() {
            let model = &scene.models[&described.model];
            for (key, sent) in world.sample(place).data {
                let measurement = model.measurement(key.as_str()).unwrap();
                let Sent::Number(value) = sent else { panic!("{} {key} is a word", described.id) };
                assert!(measurement.in_range(value), "{at} {} {key} = {value}", described.id);
            }
        }
    }
}

#[test]
fn the_grid_meter_reads_what_everyone_draws_plus_what_is_lost() {
    let mut world = world_at(monday());
    for step in 1..=3 * 96 {
        world.step(after(monday(), step * QUARTER_MS), Rule::TimeOfUse);
        let balance = world.balance();
        let terms: f64 = (0..world.device_count())
            .filter(|at| world.role(*at).is_balance_term())
            .map(|at| world.devices[at].power_kw)
            .sum();
        let grid = device(&world, "grid-meter");
        assert!((balance.drawn_kw - terms).abs() < 1e-9);
        assert!((world.devices[grid].power_kw - terms - balance.loss_kw).abs() < 1e-6);
        assert!(balance.loss_kw > 0.0 && balance.loss_kw < 0.05 * terms.abs().max(500.0), "{balance:?}");
        // Everything but the grid meter hangs below the one transformer.
        assert!((number(&world, "feeder-meter", "power") - terms).abs() < 0.1, "step {step}");
    }
}

#[test]
fn registers_only_grow_and_hold_the_energy_of_the_powers() {
    let mut world = world_at(monday());
    world.step(after(monday(), QUARTER_MS), Rule::TimeOfUse);
    let registers = |world: &World| -> Vec<(usize, String, f64)> {
        (0..world.device_count())
            .flat_map(|at| {
                let model = world.model(at).unwrap().clone();
                world.sample(at).data.into_iter().filter_map(move |(key, sent)| match sent {
                    Sent::Number(value)
                        if model.measurement(key.as_str())?.kind == MeasurementKind::Counter =>
                    {
                        Some((at, key.as_str().to_owned(), value))
                    }
                    _ => None,
                })
            })
            .collect()
    };
    let (start, mut last) = (registers(&world), registers(&world));
    let mut storage_in = 0.0;
    for step in 2..=200 {
        world.step(after(monday(), step * QUARTER_MS), Rule::TimeOfUse);
        storage_in += number(&world, "battery-container", "power").max(0.0) * 0.25;
        let now = registers(&world);
        for ((at, key, before), (_, _, after)) in last.iter().zip(&now) {
            assert!(after >= before, "{} {key}: {before} → {after}", world.device_id(*at));
        }
        last = now;
    }
    let register = |of: &[(usize, String, f64)]| {
        let at = device(&world, "battery-container");
        of.iter().find(|(place, key, _)| *place == at && key == "energy_import").unwrap().2
    };
    assert!(storage_in > 500.0);
    assert!((register(&last) - register(&start) - storage_in).abs() < 1.0);
}

#[test]
fn the_same_seed_is_the_same_park_and_another_seed_another() {
    let run = |seed: u64| {
        let mut world = World::new(&scene(), seed, monday()).unwrap();
        for step in 1..=50 {
            world.step(after(monday(), step * QUARTER_MS), Rule::TimeOfUse);
        }
        (0..world.device_count()).map(|at| world.sample(at)).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn a_park_that_was_put_away_goes_on_as_if_it_never_had_been() {
    let mut whole = world_at(monday());
    let mut first = world_at(monday());
    for step in 1..=120 {
        whole.step(after(monday(), step * QUARTER_MS), Rule::TimeOfUse);
        if step <= 40 {
            first.step(after(monday(), step * QUARTER_MS), Rule::TimeOfUse);
        }
    }
    let text = serde_json::to_string(&first.memory()).unwrap();
    let memory: WorldMemory = serde_json::from_str(&text).unwrap();
    let mut second = world_at(memory.at);
    second.restore(memory);
    for step in 41..=120 {
        second.step(after(monday(), step * QUARTER_MS), Rule::TimeOfUse);
    }
    for at in 0..whole.device_count() {
        assert_eq!(whole.sample(at), second.sample(at), "{}", whole.device_id(at));
    }
}

#[test]
fn quarters_of_an_hour_and_minutes_come_to_the_same_energy() {
    let day = |step_ms: i64| {
        let mut world = world_at(monday());
        let mut drawn_kwh = [0.0; 3];
        for step in 1..=DAY_MS / step_ms {
            world.step(after(monday(), step * step_ms), Rule::TimeOfUse);
            for (kwh, id) in drawn_kwh.iter_mut().zip(["pv-inverter", "production-line", "charger-ac"]) {
                *kwh += world.devices[device(&world, id)].power_kw * step_ms as f64 / HOUR_MS as f64;
            }
        }
        drawn_kwh
    };
    for (coarse, fine) in day(QUARTER_MS).into_iter().zip(day(MINUTE_MS)) {
        assert!((coarse - fine).abs() < 0.03 * fine.abs(), "{coarse} {fine}");
    }
}

#[test]
fn a_car_charges_from_its_arrival_until_it_has_what_it_needs() {
    let mut world = world_at(monday());
    let at = |hour: i64, minute: i64| after(monday(), hour * HOUR_MS + minute * MINUTE_MS);
    let mut drawn_kwh = 0.0;
    let mut story = Vec::new();
    for minutes in 1..=24 * 60 {
        world.step(at(0, minutes), Rule::Rest);
        drawn_kwh += number(&world, "charger-ac", "power") / 60.0;
        let now = (word(&world, "charger-ac", "plugged"), word(&world, "charger-ac", "status"));
        if story.last().is_none_or(|(_, last)| *last != now) {
            story.push((minutes, now));
        }
    }
    let states: Vec<(&str, &str)> = story.iter().map(|(_, (p, s))| (p.as_str(), s.as_str())).collect();
    assert_eq!(
        states,
        [("free", "idle"), ("plugged", "charging"), ("plugged", "finished"), ("free", "idle")]
    );
    assert!((drawn_kwh - 20.0).abs() < 0.1, "{drawn_kwh}");
    assert_eq!(story[1].0, 9 * 60 + 1);
    // 20 kWh at 7 kW, the last of it tapering.
    assert!((171..=240).contains(&(story[2].0 - story[1].0)), "{story:?}");
    assert_eq!(story[3].0, 16 * 60);
}

#[test]
fn storage_rests_when_live_and_follows_the_tariff_when_the_past_is_filled() {
    let run = |rule: Rule| {
        let mut world = world_at(monday());
        let mut powers = Vec::new();
        for step in 1..=96 {
            world.step(after(monday(), step * QUARTER_MS), rule);
            powers.push(number(&world, "battery-container", "power"));
        }
        powers
    };
    assert!(run(Rule::Rest).iter().all(|power| *power == 0.0));
    let powers = run(Rule::TimeOfUse);
    assert!(powers[..8].iter().all(|power| *power > 0.0), "valley: {powers:?}");
    assert!(powers[68..76].iter().any(|power| *power < 0.0), "peak: {powers:?}");
    assert!(powers[46..66].iter().all(|power| *power == 0.0), "flat: {powers:?}");
}

#[test]
fn pv_feeds_in_by_day_and_sleeps_by_night() {
    let mut world = world_at(monday());
    world.step(after(monday(), HOUR_MS), Rule::Rest);
    assert_eq!(number(&world, "pv-inverter", "power"), 0.0);
    assert_eq!(word(&world, "pv-inverter", "status"), "standby");
    world.skip_to(after(monday(), 12 * HOUR_MS - SECOND_MS));
    world.step(after(monday(), 12 * HOUR_MS), Rule::Rest);
    let power = number(&world, "pv-inverter", "power");
    assert!((-330.0..-150.0).contains(&power), "{power}");
    assert_eq!(word(&world, "pv-inverter", "status"), "running");
}

#[test]
fn the_thermal_store_stays_between_its_limits_and_the_pump_fills_it() {
    let mut world = world_at(monday());
    let mut pump_ran = false;
    for step in 1..=14 * 96 {
        world.step(after(monday(), step * QUARTER_MS), Rule::Rest);
        let temperature = number(&world, "thermal-store", "temperature");
        assert!((35.0..=60.1).contains(&temperature), "step {step}: {temperature}");
        pump_ran |= number(&world, "heat-pump", "power") > 0.0;
        let cop = number(&world, "heat-pump", "cop");
        let (heat, power) = (number(&world, "heat-pump", "heat_power"), number(&world, "heat-pump", "power"));
        assert!((heat - power * cop).abs() <= 0.01 * heat + 1.0, "{heat} {power} {cop}");
    }
    assert!(pump_ran);
}

#[test]
fn a_broken_reference_is_named() {
    let mut scene = scene();
    let stack = scene.devices.iter_mut().find(|d| d.id.as_str() == "stack-monitor").unwrap();
    stack.rating =
        shared::scene::Rating::StackMonitor { boiler: "nobody".parse().unwrap(), stack_height_m: 20.0 };
    let error = World::new(&scene, 1, monday()).unwrap_err().to_string();
    assert_eq!(
        error,
        "device stack-monitor cannot be simulated: what its rating refers to is not in the scene"
    );
}

#[test]
fn devices_without_power_draw_none() {
    let mut world = world_at(monday());
    world.step(after(monday(), HOUR_MS), Rule::Rest);
    for at in 0..world.device_count() {
        let role = world.role(at);
        if !role.is_balance_term() && !matches!(role, Role::GridMeter | Role::FeederMeter) {
            assert_eq!(world.devices[at].power_kw, 0.0, "{}", world.device_id(at));
        }
    }
}
