//! The demo park in the simulator: every measurement of every device is produced, believable, and adds up.

// A scene that does not load must stop the test with its problems.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use fleet::{
    read_scene_folder,
    world::{Rule, World},
};
use shared::{
    scene::Scene,
    telemetry::Sent,
    thing_model::Role,
    time::{HOUR_MS, Timestamp},
};
use std::path::Path;

const QUARTER_MS: i64 = HOUR_MS / 4;

fn scene() -> Scene {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenes/wujiang-park");
    let files = read_scene_folder(&folder, None).unwrap();
    Scene::load(&files).unwrap_or_else(|error| panic!("{error}"))
}

/// Midnight of a Monday in the park.
fn monday(date: &str) -> Timestamp {
    Timestamp::parse(&format!("{date}T00:00:00+08:00")).unwrap()
}

#[test]
fn every_measurement_of_every_device_is_produced() {
    let scene = scene();
    let mut world = World::new(&scene, 1, monday("2026-07-06")).unwrap();
    world.step(Timestamp(world.now().millis() + QUARTER_MS), Rule::Rest);
    assert_eq!(world.unproduced(), vec![]);
    let measurements: usize = (0..world.device_count()).map(|at| world.sample(at).data.len()).sum();
    assert!(world.device_count() >= 300 && measurements >= 1500, "{} {measurements}", world.device_count());
}

#[test]
fn a_week_of_each_season_is_believable_and_adds_up() {
    let scene = scene();
    for date in ["2026-01-12", "2026-04-13", "2026-07-13", "2026-10-12"] {
        let mut world = World::new(&scene, 1, monday(date)).unwrap();
        let (mut import_kwh, mut peak_kw, mut least_kw) = (0.0, 0.0f64, 0.0f64);
        let mut by_role = std::collections::BTreeMap::<Role, f64>::new();
        let mut out_of_range = std::collections::BTreeMap::<String, (usize, f64)>::new();
        for step in 1..=7 * 96 {
            world.step(Timestamp(monday(date).millis() + step * QUARTER_MS), Rule::TimeOfUse);
            let balance = world.balance();
            let mut terms_kw = 0.0;
            for (at, device) in scene.devices.iter().enumerate() {
                let model = scene.model_of(device).unwrap();
                for (key, sent) in world.sample(at).data {
                    let Sent::Number(value) = sent else { continue };
                    if !model.measurement(key.as_str()).unwrap().in_range(value) {
                        let entry = out_of_range.entry(format!("{} {key}", device.id)).or_insert((0, value));
                        entry.0 += 1;
                    }
                    if key.as_str() == "power" && model.role.is_balance_term() {
                        terms_kw += value;
                        *by_role.entry(model.role).or_default() += value * 0.25;
                    }
                }
            }
            assert!((balance.drawn_kw - terms_kw).abs() < 2.0, "{balance:?} {terms_kw}");
            assert!((balance.grid_kw - balance.drawn_kw - balance.loss_kw).abs() < 1e-6);
            import_kwh += balance.grid_kw.max(0.0) * 0.25;
            peak_kw = peak_kw.max(balance.grid_kw);
            least_kw = least_kw.min(balance.grid_kw);
        }
        println!(
            "{date}: import {import_kwh:.0} kWh, peak {peak_kw:.0} kW, least {least_kw:.0} kW, {by_role:.0?}"
        );
        assert!(out_of_range.is_empty(), "{date}: {out_of_range:?}");
        let grid = &scene.park.grid;
        assert!(peak_kw < grid.import_limit_kw && least_kw > -grid.export_limit_kw, "{peak_kw} {least_kw}");
        assert!(by_role[&Role::Pv] < -10_000.0 && by_role[&Role::Charger] > 500.0, "{by_role:?}");
    }
}
