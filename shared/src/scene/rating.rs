//! What a device can do, by role: the figures its physics, its dispatch and its looks follow from.

use crate::id::DeviceId;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Ratings, tagged by `kind` in `devices.toml`; the kind must fit the thing model's role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Rating {
    GridMeter { limit_kw: f64 },
    /// A meter that sees everything on its bus and the buses below.
    FeederMeter { rated_kva: f64 },
    Pv {
        /// DC peak power at standard test conditions.
        peak_kw: f64,
        /// AC limit of the inverter.
        inverter_kw: f64,
        tilt_deg: f64,
        /// Degrees clockwise from north.
        azimuth_deg: f64,
    },
    Wind { rated_kw: f64, hub_height_m: f64, rotor_diameter_m: f64 },
    Storage {
        energy_kwh: f64,
        charge_kw: f64,
        discharge_kw: f64,
        charge_efficiency: f64,
        discharge_efficiency: f64,
        /// Bounds of the state of charge the plan may use, 0 to 1.
        soc_min: f64,
        soc_max: f64,
        /// Cost of wear per kWh moved in or out.
        throughput_cost_per_kwh: f64,
    },
    Charger {
        power_kw: f64,
        /// Least power a plugged car accepts before it pauses.
        min_kw: f64,
        efficiency: f64,
    },
    /// Draws `peak_kw ×` the named shape of the load-shape series.
    Load { peak_kw: f64, shape: String },
    /// Electric chiller: cools what its building asks for.
    Chiller { power_kw: f64, cop: f64 },
    HeatPump {
        power_kw: f64,
        cop: f64,
        /// The thermal store it charges.
        store: Option<DeviceId>,
    },
    ThermalStore { energy_kwh: f64, min_c: f64, max_c: f64, loss_kw_per_k: f64 },
    Boiler { heat_kw: f64, efficiency: f64 },
    StackMonitor {
        boiler: DeviceId,
        stack_height_m: f64,
    },
    WeatherStation {},
    Sensor {
        /// What it senses, for the simulated fleet: `indoor`, `outdoor_air`, `water`, `light`, `noise`.
        senses: String,
    },
}

impl Rating {
    /// The largest electrical power in kW the device can draw or feed in, 0 for sensors.
    pub fn nameplate_kw(&self) -> f64 {
        match self {
            Rating::GridMeter { limit_kw } => *limit_kw,
            Rating::FeederMeter { rated_kva } => *rated_kva,
            Rating::Pv { inverter_kw, .. } => *inverter_kw,
            Rating::Wind { rated_kw, .. } => *rated_kw,
            Rating::Storage { charge_kw, discharge_kw, .. } => charge_kw.max(*discharge_kw),
            Rating::Charger { power_kw, .. }
            | Rating::Chiller { power_kw, .. }
            | Rating::HeatPump { power_kw, .. } => *power_kw,
            Rating::Load { peak_kw, .. } => *peak_kw,
            Rating::ThermalStore { .. }
            | Rating::Boiler { .. }
            | Rating::StackMonitor { .. }
            | Rating::WeatherStation {}
            | Rating::Sensor { .. } => 0.0,
        }
    }
}
