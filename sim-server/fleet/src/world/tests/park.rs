//! A small park made for tests: one device of every thing model, made-up weather, two weeks of cars.

use crate::world::World;
use shared::{
    alarm::Severity,
    id::{DeviceId, ModelId},
    scene::{
        AlarmRules, Building, BuildingUse, Bus, Device, EmissionFactor, GridConnection, Line, Network, Park,
        Rating, Scene, Site, Transformer,
    },
    series::SeriesFile,
    tariff::{Band, Period, Prices, Season, Tariff},
    telemetry::Sent,
    text::Text,
    thing_model::{Role, ThingModel},
    time::{HOUR_MS, Timestamp},
};
use std::{collections::BTreeMap, f64::consts::PI, fs, path::Path};

pub(super) const QUARTER_MS: i64 = HOUR_MS / 4;

/// Monday 6 July 2026, midnight in Shanghai.
pub(super) fn monday() -> Timestamp {
    Timestamp::parse("2026-07-05T16:00:00Z").unwrap()
}

pub(super) fn world_at(start: Timestamp) -> World {
    World::new(&scene(), 42, start).unwrap()
}

pub(super) fn device(world: &World, id: &str) -> usize {
    world.device_index(&id.parse().unwrap()).unwrap_or_else(|| panic!("no device {id}"))
}

/// A number a device reads.
pub(super) fn number(world: &World, id: &str, key: &str) -> f64 {
    match value(world, id, key) {
        Sent::Number(number) => number,
        other => panic!("{id} {key} is {other:?}"),
    }
}

/// The word of a state a device reads.
pub(super) fn word(world: &World, id: &str, key: &str) -> String {
    let code = number(world, id, key) as i32;
    let model = world.model(device(world, id)).unwrap();
    let state = model.measurement(key).unwrap().states.iter().find(|s| s.code == code);
    state.unwrap_or_else(|| panic!("{id} {key} is {code}")).word.clone()
}

fn value(world: &World, id: &str, key: &str) -> Sent {
    let sample = world.sample(device(world, id));
    sample.data.into_iter().find(|(k, _)| k.as_str() == key).unwrap_or_else(|| panic!("{id} lacks {key}")).1
}

pub(super) fn models() -> BTreeMap<ModelId, ThingModel> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenes/models");
    let models: BTreeMap<ModelId, ThingModel> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| toml::from_str::<ThingModel>(&fs::read_to_string(path).unwrap()).unwrap())
        .map(|model| (model.id.clone(), model))
        .collect();
    assert!(models.len() > 10, "no models in {}", folder.display());
    models
}

/// Where devices of a role hang and what they can do.
fn rating(model: &ThingModel) -> Rating {
    match model.role {
        Role::GridMeter => Rating::GridMeter { limit_kw: 8_000.0 },
        Role::FeederMeter => Rating::FeederMeter { rated_kva: 2_500.0 },
        Role::Pv => Rating::Pv { peak_kw: 400.0, inverter_kw: 330.0, tilt_deg: 10.0, azimuth_deg: 180.0 },
        Role::Wind => Rating::Wind { rated_kw: 500.0, hub_height_m: 60.0, rotor_diameter_m: 52.0 },
        Role::Storage => Rating::Storage {
            energy_kwh: 2_000.0,
            charge_kw: 1_000.0,
            discharge_kw: 1_000.0,
            charge_efficiency: 0.96,
            discharge_efficiency: 0.95,
            soc_min: 0.1,
            soc_max: 0.9,
            throughput_cost_per_kwh: 0.1,
        },
        Role::Charger if model.id.as_str() == "charger-dc" => {
            Rating::Charger { power_kw: 120.0, min_kw: 10.0, efficiency: 0.94 }
        }
        Role::Charger => Rating::Charger { power_kw: 7.0, min_kw: 1.4, efficiency: 0.92 },
        Role::Load => Rating::Load { peak_kw: 90.0, shape: "factory".into() },
        Role::Chiller => Rating::Chiller { power_kw: 300.0, cop: 5.2 },
        Role::HeatPump => {
            Rating::HeatPump { power_kw: 250.0, cop: 3.6, store: Some("thermal-store".parse().unwrap()) }
        }
        Role::ThermalStore => {
            Rating::ThermalStore { energy_kwh: 3_000.0, min_c: 40.0, max_c: 60.0, loss_kw_per_k: 0.15 }
        }
        Role::Boiler => Rating::Boiler { heat_kw: 4_200.0, efficiency: 0.92 },
        Role::StackMonitor => {
            Rating::StackMonitor { boiler: "gas-boiler".parse().unwrap(), stack_height_m: 25.0 }
        }
        Role::WeatherStation => Rating::WeatherStation {},
        Role::Sensor => {
            let senses = match model.id.as_str() {
                "outdoor-air-station" => "outdoor_air",
                "water-meter" => "water",
                "light-sensor" => "light",
                "noise-sensor" => "noise",
                _ => "indoor",
            };
            Rating::Sensor { senses: senses.into() }
        }
    }
}

/// Devices are named after their models.
pub(super) fn scene() -> Scene {
    let models = models();
    let devices = models
        .values()
        .enumerate()
        .map(|(place, model)| Device {
            id: model.id.as_str().parse::<DeviceId>().unwrap(),
            model: model.id.clone(),
            name: model.name.clone(),
            building: Some("hall".parse().unwrap()),
            bus: match model.role {
                Role::GridMeter => Some("grid".parse().unwrap()),
                _ => Some("lv".parse().unwrap()),
            },
            position: [40.0 * place as f64 - 400.0, 60.0, 0.0],
            heading_deg: 0.0,
            manufacturer: None,
            rating: rating(model),
        })
        .collect();
    Scene {
        park: park(),
        models,
        devices,
        site: Site {
            buildings: vec![Building {
                id: "hall".parse().unwrap(),
                name: Text::new("一号厂房", "Hall 1"),
                used_as: BuildingUse::Factory,
                footprint: vec![[0.0, 0.0], [50.0, 0.0], [50.0, 30.0], [0.0, 30.0]],
                height_m: 12.0,
                floors: 2,
            }],
            ..Site::default()
        },
        network: network(),
        tariff: tariff(),
        alarms: AlarmRules {
            offline_after_s: 300,
            offline_severity: Severity::Critical,
            delayed_after_s: 30,
            delayed_severity: Severity::Warning,
            clock_skew_s: 10,
            disk_free_min_mb: 500,
            disk_severity: Severity::Major,
            plan_infeasible_severity: Severity::Major,
            out_of_range_severity: Severity::Warning,
            limits: vec![],
        },
        series: [
            ("weather", weather()),
            ("load_shapes", load_shapes()),
            ("ev_sessions", ev_sessions()),
            ("market", market()),
        ]
        .into_iter()
        .map(|(name, text)| (name.to_owned(), SeriesFile { path: format!("series/{name}.csv"), text }))
        .collect(),
    }
}

fn park() -> Park {
    Park {
        id: "test-park".parse().unwrap(),
        name: Text::new("测试园区", "Test park"),
        latitude_deg: 31.1,
        longitude_deg: 120.6,
        elevation_m: 4.0,
        time_zone: "Asia/Shanghai".into(),
        grid_region: "华东".into(),
        province: "江苏".into(),
        extent_m: [1000.0, 1000.0],
        grid: GridConnection { import_limit_kw: 8_000.0, export_limit_kw: 2_000.0, voltage_kv: 10.0 },
        emission: EmissionFactor {
            kg_per_kwh: 0.5827,
            source: "test".into(),
            year: 2023,
            status: "R".into(),
            basis: "location".into(),
            hourly_shape: false,
        },
        series: vec![],
        sources: vec![],
    }
}

fn network() -> Network {
    let bus = |id: &str, voltage_kv: f64| Bus {
        id: id.parse().unwrap(),
        name: Text::new(id, id),
        voltage_kv,
        position: [0.0, 0.0],
    };
    Network {
        grid_bus: Some("grid".parse().unwrap()),
        buses: vec![bus("grid", 10.0), bus("ring", 10.0), bus("lv", 0.4)],
        lines: vec![Line {
            id: "l1".into(),
            from: "grid".parse().unwrap(),
            to: "ring".parse().unwrap(),
            length_m: 600.0,
            resistance_ohm_per_km: 0.125,
            reactance_ohm_per_km: 0.1,
            ampacity_a: 450.0,
            via: vec![],
        }],
        transformers: vec![Transformer {
            id: "t1".into(),
            high: "ring".parse().unwrap(),
            low: "lv".parse().unwrap(),
            rated_kva: 2_500.0,
            short_circuit_pct: 6.0,
            copper_loss_pct: 0.8,
            meter: Some("feeder-meter".parse().unwrap()),
        }],
        switches: vec![],
    }
}

fn tariff() -> Tariff {
    let period = |band, from: &str, to: &str| Period { band, from: from.into(), to: to.into() };
    Tariff {
        name: Text::new("示例", "Example"),
        example: true,
        source: "test".into(),
        currency: "CNY".into(),
        prices: Prices { critical: 1.4, peak: 1.2, flat: 0.7, valley: 0.3 },
        seasons: vec![Season {
            months: (1..=12).collect(),
            periods: vec![
                period(Band::Valley, "00:00", "08:00"),
                period(Band::Peak, "08:00", "11:00"),
                period(Band::Flat, "11:00", "17:00"),
                period(Band::Peak, "17:00", "22:00"),
                period(Band::Flat, "22:00", "24:00"),
            ],
        }],
        demand_charge_per_kw_month: 40.0,
        demand_interval_min: 15,
        feed_in_price_per_kwh: 0.39,
        feed_in_follows_market: false,
        carbon_price_per_kg: 0.0,
    }
}

/// Every day the same: sun from 6 to 18, warm in summer, a breeze that turns slowly.
fn weather() -> String {
    const DAYS: [usize; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut text = String::from(
        "time,ghi_w_m2,dni_w_m2,dhi_w_m2,temperature_c,wind_m_s,wind_direction_deg,relative_humidity_pct,pressure_hpa\n",
    );
    for (month, days) in DAYS.iter().enumerate() {
        for day in 1..=*days {
            for hour in 0..24 {
                let sun = ((hour as f64 + 0.5 - 6.0) / 12.0 * PI).sin().max(0.0);
                let season = -((month as f64) / 12.0 * 2.0 * PI).cos();
                text += &format!(
                    "{:02}-{day:02}T{hour:02},{:.1},{:.1},{:.1},{:.1},{:.1},{},70,1010\n",
                    month + 1,
                    600.0 * sun,
                    500.0 * sun,
                    200.0 * sun,
                    16.0 + 12.0 * season + 4.0 * sun,
                    4.0 + (day % 7) as f64,
                    day * 11,
                );
            }
        }
    }
    text
}

fn load_shapes() -> String {
    let quarters: Vec<String> = (0..96).map(|q| format!("{:02}:{:02}", q / 4, q % 4 * 15)).collect();
    let mut text = format!("date,shape,{}\n", quarters.join(","));
    for day in 1..=14 {
        let values: Vec<String> =
            (0..96).map(|q| if (32..76).contains(&q) { "900" } else { "300" }.to_owned()).collect();
        text += &format!("2016-02-{day:02},factory,{}\n", values.join(","));
    }
    text
}

/// Two stations, a car each every day from 9 to 16 o'clock; 20 kWh.
fn ev_sessions() -> String {
    let mut text =
        String::from("station,arrival,departure,estimated_departure,requested_kwh,delivered_kwh\n");
    for day in 6..20 {
        for station in ["S1", "S2"] {
            text += &format!(
                "{station},2019-05-{day:02}T09:00,2019-05-{day:02}T16:00,2019-05-{day:02}T15:30,25,20\n"
            );
        }
    }
    text
}

fn market() -> String {
    let mut text = String::from("time,spot_price_eur_per_mwh,emission_factor_kg_per_kwh,heat_demand\n");
    for day in 1..=28 {
        for hour in 0..24 {
            text += &format!("2019-02-{day:02}T{hour:02}:00,40,0.3,0.4\n");
        }
    }
    text
}
