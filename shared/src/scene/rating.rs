//! What a device can do, by role: the figures its physics, its dispatch and its looks follow from.

use crate::{id::DeviceId, thing_model::Role};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Ratings, tagged by `kind` in `devices.toml`; the kind must fit the thing model's role.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Rating {
    GridMeter {
        #[schemars(extend("exclusiveMinimum" = 0))]
        limit_kw: f64,
    },
    /// A meter that sees everything on its bus and the buses below.
    FeederMeter {
        #[schemars(extend("exclusiveMinimum" = 0))]
        rated_kva: f64,
    },
    Pv {
        /// DC peak power at standard test conditions.
        #[schemars(extend("exclusiveMinimum" = 0))]
        peak_kw: f64,
        /// AC limit of the inverter.
        #[schemars(extend("exclusiveMinimum" = 0))]
        inverter_kw: f64,
        #[schemars(range(min = 0, max = 90))]
        tilt_deg: f64,
        /// Degrees clockwise from north.
        #[schemars(range(min = 0, max = 360))]
        azimuth_deg: f64,
    },
    Wind {
        #[schemars(extend("exclusiveMinimum" = 0))]
        rated_kw: f64,
        #[schemars(extend("exclusiveMinimum" = 0))]
        hub_height_m: f64,
        #[schemars(extend("exclusiveMinimum" = 0))]
        rotor_diameter_m: f64,
    },
    Storage {
        #[schemars(extend("exclusiveMinimum" = 0))]
        energy_kwh: f64,
        #[schemars(extend("exclusiveMinimum" = 0))]
        charge_kw: f64,
        #[schemars(extend("exclusiveMinimum" = 0))]
        discharge_kw: f64,
        #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
        charge_efficiency: f64,
        #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
        discharge_efficiency: f64,
        /// Least state of charge the plan may use, 0 to 1.
        #[schemars(range(min = 0, max = 1))]
        soc_min: f64,
        /// Greatest state of charge the plan may use, 0 to 1; above `soc_min`.
        #[schemars(range(min = 0, max = 1))]
        soc_max: f64,
        /// Cost of wear per kWh moved in or out.
        #[schemars(range(min = 0))]
        throughput_cost_per_kwh: f64,
    },
    Charger {
        #[schemars(extend("exclusiveMinimum" = 0))]
        power_kw: f64,
        /// Least power a plugged car accepts before it pauses.
        #[schemars(range(min = 0))]
        min_kw: f64,
        #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
        efficiency: f64,
    },
    /// Draws `peak_kw ×` the named shape of the load-shape series.
    Load {
        #[schemars(extend("exclusiveMinimum" = 0))]
        peak_kw: f64,
        #[schemars(length(min = 1))]
        shape: String,
    },
    /// Electric chiller: cools what its building asks for.
    Chiller {
        #[schemars(extend("exclusiveMinimum" = 0))]
        power_kw: f64,
        /// Cold out per electricity in, at rated conditions.
        #[schemars(range(max = 15), extend("exclusiveMinimum" = 0))]
        cop: f64,
    },
    HeatPump {
        #[schemars(extend("exclusiveMinimum" = 0))]
        power_kw: f64,
        /// Heat out per electricity in, at rated conditions.
        #[schemars(range(max = 15), extend("exclusiveMinimum" = 0))]
        cop: f64,
        /// The thermal store it charges.
        store: Option<DeviceId>,
    },
    ThermalStore {
        #[schemars(extend("exclusiveMinimum" = 0))]
        energy_kwh: f64,
        /// Temperature at which it is empty; below `max_c`.
        min_c: f64,
        max_c: f64,
        #[schemars(range(min = 0))]
        loss_kw_per_k: f64,
    },
    Boiler {
        #[schemars(extend("exclusiveMinimum" = 0))]
        heat_kw: f64,
        #[schemars(range(max = 1), extend("exclusiveMinimum" = 0))]
        efficiency: f64,
    },
    StackMonitor {
        boiler: DeviceId,
        #[schemars(extend("exclusiveMinimum" = 0))]
        stack_height_m: f64,
    },
    WeatherStation {},
    Sensor {
        /// What it senses, for the simulated fleet: `indoor`, `outdoor_air`, `water`, `light`, `noise`.
        #[schemars(extend("enum" = SENSES))]
        senses: String,
    },
}

/// What [`Rating::Sensor`] may sense.
pub const SENSES: [&str; 5] = ["indoor", "outdoor_air", "water", "light", "noise"];

impl Rating {
    /// The role a device with this rating has.
    pub fn role(&self) -> Role {
        match self {
            Rating::GridMeter { .. } => Role::GridMeter,
            Rating::FeederMeter { .. } => Role::FeederMeter,
            Rating::Pv { .. } => Role::Pv,
            Rating::Wind { .. } => Role::Wind,
            Rating::Storage { .. } => Role::Storage,
            Rating::Charger { .. } => Role::Charger,
            Rating::Load { .. } => Role::Load,
            Rating::Chiller { .. } => Role::Chiller,
            Rating::HeatPump { .. } => Role::HeatPump,
            Rating::ThermalStore { .. } => Role::ThermalStore,
            Rating::Boiler { .. } => Role::Boiler,
            Rating::StackMonitor { .. } => Role::StackMonitor,
            Rating::WeatherStation {} => Role::WeatherStation,
            Rating::Sensor { .. } => Role::Sensor,
        }
    }

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
