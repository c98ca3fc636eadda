//! A small park for this crate's tests: a meter, an array, a container, a charging point and a load.

use shared::{
    alarm::Severity,
    scene::{AlarmRules, Device, EmissionFactor, GridConnection, Network, Park, Rating, Scene, Site},
    tariff::{Band, Period, Prices, Season, Tariff},
    text::Text,
    thing_model::{Role, ThingModel},
};
use std::{collections::BTreeMap, sync::Arc};

fn text(name: &str) -> Text {
    Text::new(name, name)
}

fn device(id: &str, rating: Rating) -> Device {
    Device {
        id: id.parse().unwrap(),
        model: format!("{id}-model").parse().unwrap(),
        name: text(id),
        building: None,
        bus: None,
        position: [0.0; 3],
        heading_deg: 0.0,
        manufacturer: None,
        rating,
    }
}

/// Valley until 08:00 and from 22:00, peak from 17:00 to 22:00, flat between.
pub(crate) fn tariff() -> Tariff {
    let period = |band, from: &str, to: &str| Period { band, from: from.into(), to: to.into() };
    Tariff {
        name: text("test"),
        example: true,
        source: "test".into(),
        currency: "CNY".into(),
        prices: Prices { critical: 1.4, peak: 1.1, flat: 0.7, valley: 0.3 },
        seasons: vec![Season {
            months: (1..=12).collect(),
            periods: vec![
                period(Band::Valley, "00:00", "08:00"),
                period(Band::Flat, "08:00", "17:00"),
                period(Band::Peak, "17:00", "22:00"),
                period(Band::Valley, "22:00", "24:00"),
            ],
        }],
        demand_charge_per_kw_month: 40.0,
        demand_interval_min: 15,
        feed_in_price_per_kwh: 0.35,
        feed_in_follows_market: false,
        carbon_price_per_kg: 0.08,
    }
}

pub(crate) fn scene(import_limit_kw: f64) -> Arc<Scene> {
    let devices = vec![
        device("grid", Rating::GridMeter { limit_kw: import_limit_kw }),
        device("pv", Rating::Pv { peak_kw: 500.0, inverter_kw: 450.0, tilt_deg: 20.0, azimuth_deg: 180.0 }),
        device(
            "bess",
            Rating::Storage {
                energy_kwh: 1000.0,
                charge_kw: 250.0,
                discharge_kw: 250.0,
                charge_efficiency: 0.95,
                discharge_efficiency: 0.95,
                soc_min: 0.1,
                soc_max: 0.9,
                throughput_cost_per_kwh: 0.02,
            },
        ),
        device("charger", Rating::Charger { power_kw: 60.0, min_kw: 5.0, efficiency: 0.95 }),
        device("load", Rating::Load { peak_kw: 800.0, shape: "G0-A".into() }),
    ];
    let roles = [Role::GridMeter, Role::Pv, Role::Storage, Role::Charger, Role::Load];
    let models: BTreeMap<_, _> = devices
        .iter()
        .zip(roles)
        .map(|(device, role)| {
            let model = ThingModel {
                id: device.model.clone(),
                name: text("model"),
                role,
                offline_after_s: None,
                period_s: None,
                measurements: Vec::new(),
                commands: Vec::new(),
                events: Vec::new(),
            };
            (device.model.clone(), model)
        })
        .collect();
    Arc::new(Scene {
        park: Park {
            id: "test".parse().unwrap(),
            name: text("test park"),
            latitude_deg: 31.1,
            longitude_deg: 120.6,
            elevation_m: 4.0,
            time_zone: "Asia/Shanghai".into(),
            grid_region: "华东".into(),
            province: "江苏".into(),
            extent_m: [100.0, 100.0],
            grid: GridConnection { import_limit_kw, export_limit_kw: 500.0, voltage_kv: 10.0 },
            emission: EmissionFactor {
                kg_per_kwh: 0.5827,
                source: "test".into(),
                year: 2023,
                status: "R".into(),
                basis: "location".into(),
                hourly_shape: false,
            },
            series: Vec::new(),
            sources: Vec::new(),
        },
        models,
        devices,
        site: Site::default(),
        network: Network::default(),
        tariff: tariff(),
        alarms: AlarmRules {
            offline_after_s: 300,
            offline_severity: Severity::Critical,
            delayed_after_s: 30,
            delayed_severity: Severity::Warning,
            clock_skew_s: 10,
            disk_free_min_mb: 1,
            disk_severity: Severity::Critical,
            plan_infeasible_severity: Severity::Major,
            out_of_range_severity: Severity::Warning,
            limits: Vec::new(),
        },
        series: BTreeMap::new(),
    })
}
