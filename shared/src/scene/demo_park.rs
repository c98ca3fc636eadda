//! The demo park is the park it promises to be.

use super::{BuildingUse, Rating, Scene, SceneFiles};
use crate::{series::Series, thing_model::Role};
use jiff::{ToSpan, civil::date};
use std::{collections::BTreeSet, fs, path::Path};

fn read_folder(files: &mut SceneFiles, folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{prefix}{}", path.file_name().unwrap().to_string_lossy());
        if path.is_dir() {
            read_folder(files, &path, &format!("{name}/"));
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

fn demo_park() -> Scene {
    let scenes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenes");
    let mut files = SceneFiles::new();
    read_folder(&mut files, &scenes.join("wujiang-park"), "");
    read_folder(&mut files, &scenes.join("models"), "models/");
    Scene::load(&files).unwrap_or_else(|error| panic!("{error}"))
}

/// The sum over devices of what `figure` gives.
fn total(scene: &Scene, figure: impl Fn(&Rating) -> Option<f64>) -> f64 {
    scene.devices.iter().filter_map(|device| figure(&device.rating)).sum()
}

fn count(scene: &Scene, role: Role) -> usize {
    scene.devices.iter().filter(|device| scene.role_of(device) == role).count()
}

#[test]
fn the_demo_park_has_what_it_promises() {
    let scene = demo_park();
    assert!((scene.park.latitude_deg - 31.1).abs() < 0.05 && (scene.park.longitude_deg - 120.6).abs() < 0.05);
    assert!(scene.site.buildings.len() >= 14);
    let uses: BTreeSet<String> = scene.site.buildings.iter().map(|b| format!("{:?}", b.used_as)).collect();
    for needed in [
        BuildingUse::Factory,
        BuildingUse::Office,
        BuildingUse::DataHall,
        BuildingUse::Canteen,
        BuildingUse::Dormitory,
    ] {
        assert!(uses.contains(&format!("{needed:?}")), "{needed:?}");
    }
    assert!(
        total(&scene, |r| if let Rating::Pv { peak_kw, .. } = r { Some(*peak_kw) } else { None }) >= 5_000.0
    );
    let stored =
        |r: &Rating| if let Rating::Storage { energy_kwh, .. } = r { Some(*energy_kwh) } else { None };
    assert!(total(&scene, stored) >= 6_000.0);
    for (role, least) in [
        (Role::GridMeter, 1),
        (Role::FeederMeter, 8),
        (Role::Wind, 2),
        (Role::Storage, 3),
        (Role::Charger, 64),
        (Role::Chiller, 2),
        (Role::HeatPump, 1),
        (Role::ThermalStore, 1),
        (Role::Boiler, 1),
        (Role::StackMonitor, 1),
        (Role::WeatherStation, 1),
    ] {
        assert!(count(&scene, role) >= least, "{role:?}: {}", count(&scene, role));
    }
    assert_eq!((count(&scene, Role::Wind), count(&scene, Role::Storage)), (2, 3));
    assert!(scene.devices.len() >= 300);
    let measurements: usize =
        scene.devices.iter().filter_map(|d| scene.model_of(d)).map(|model| model.measurements.len()).sum();
    assert!(measurements >= 1_500, "{measurements}");
    assert_eq!(
        scene.network.switches.iter().filter(|switch| !switch.closed).count(),
        1,
        "the ring's open point"
    );
    assert!(scene.network.transformers.len() >= 8);
    assert!(scene.tariff.example && scene.park.series.iter().all(|series| series.stand_in));
    assert_eq!((scene.park.emission.kg_per_kwh, scene.park.emission.year), (0.5827, 2023));
}

#[test]
fn every_pv_device_of_the_demo_park_lies_somewhere_at_its_own_tilt() {
    let scene = demo_park();
    for device in &scene.devices {
        let Rating::Pv { peak_kw, tilt_deg, azimuth_deg, .. } = device.rating else { continue };
        let area = scene.site.pv_areas.iter().find(|area| area.device == device.id).unwrap();
        assert_eq!((area.tilt_deg, area.azimuth_deg), (tilt_deg, azimuth_deg), "{}", device.id);
        let [a, b, c] = [area.outline[0], area.outline[1], area.outline[2]];
        let square_m = (b[0] - a[0]).hypot(b[1] - a[1]) * (c[0] - b[0]).hypot(c[1] - b[1]);
        let density = peak_kw / square_m;
        assert!((0.1..0.22).contains(&density), "{}: {density} kW/m²", device.id);
    }
}

#[test]
fn the_demo_parks_load_and_sun_are_of_one_size() {
    let scene = demo_park();
    let series = Series::parse(&scene.series).unwrap();
    let load_kw = |local| {
        total(&scene, |rating| match rating {
            Rating::Load { peak_kw, shape } => {
                Some(peak_kw * series.load_shapes.value(shape, local).unwrap())
            }
            _ => None,
        })
    };
    let mean = |from: jiff::civil::Date, days: i32, hour: i8| {
        let moments = (0..days).map(|day| from.saturating_add(day.days()).at(hour, 0, 0, 0));
        moments.map(load_kw).sum::<f64>() / f64::from(days)
    };
    // Monday to Friday at eleven, a Sunday at eleven, the night before it.
    let (weekday, sunday, night) =
        (mean(date(2026, 5, 18), 5, 11), mean(date(2026, 5, 24), 1, 11), mean(date(2026, 5, 18), 5, 3));
    assert!((4_500.0..7_000.0).contains(&weekday), "{weekday}");
    assert!((2_000.0..4_000.0).contains(&sunday), "{sunday}");
    assert!((1_800.0..3_500.0).contains(&night), "{night}");
    // On a bright Sunday the sun gives more than the park draws; over a working day it does not.
    let peak_kw = total(&scene, |r| if let Rating::Pv { peak_kw, .. } = r { Some(*peak_kw) } else { None });
    assert!(peak_kw * 0.7 > sunday && peak_kw * 0.7 < weekday * 1.2, "{peak_kw}");
    assert!(
        scene.park.grid.import_limit_kw
            > weekday
                + total(&scene, |r| match r {
                    Rating::Charger { power_kw, .. } | Rating::Chiller { power_kw, .. } => Some(*power_kw),
                    _ => None,
                })
    );
}

#[test]
fn the_demo_parks_weather_follows_the_parks_sun() {
    let scene = demo_park();
    let series = Series::parse(&scene.series).unwrap();
    // Over the clear half of the year the irradiance is symmetric about solar noon, 11:58 on the park's clock.
    let (mut weighted, mut sum) = (0.0, 0.0);
    for day in date(2026, 1, 1).series(1.day()).take(365) {
        for minute in (0..24 * 60).step_by(15) {
            let local = day.at((minute / 60) as i8, (minute % 60) as i8, 0, 0);
            let ghi = series.weather.at(local).ghi_w_m2;
            weighted += ghi * f64::from(minute);
            sum += ghi;
        }
    }
    let centre = weighted / sum / 60.0;
    assert!((centre - 11.97).abs() < 0.25, "{centre}");
    let days = (0..7).map(|day| date(2026, 1, 5).saturating_add(day.days()));
    let sessions: usize = days.map(|day| series.ev_sessions.on(day).len()).sum();
    assert!(sessions > 300, "{sessions} charging sessions in a week");
}
