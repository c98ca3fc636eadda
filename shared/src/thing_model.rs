//! Thing models (物模型): what a kind of device measures, obeys and announces.
//!
//! A model is a file in `scenes/models/`; adding a kind of device is adding a file.

use crate::{
    id::{MeasurementKey, ModelId},
    text::Text,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThingModel {
    pub id: ModelId,
    pub name: Text,
    pub role: Role,
    /// How long a device of this kind may be silent before it counts as offline; the park's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub offline_after_s: Option<u32>,
    /// How often a device of this kind is expected to report, at least: what gaps and completeness are judged by. Nothing is
    /// said about either when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub period_s: Option<u32>,
    #[schemars(length(min = 1))]
    pub measurements: Vec<Measurement>,
    #[serde(default)]
    pub commands: Vec<CommandModel>,
    #[serde(default)]
    pub events: Vec<EventModel>,
}

/// What a device is to the park: decides its place in the energy balance, its physics and its looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The meter at the grid connection; positive on import.
    GridMeter,
    /// A meter or transformer that sees what others draw; never counted again in the balance.
    FeederMeter,
    Pv,
    Wind,
    Storage,
    Charger,
    /// Anything that just draws power: production, lighting, sockets, servers.
    Load,
    Chiller,
    HeatPump,
    ThermalStore,
    Boiler,
    /// Continuous emission monitoring on a stack (CEMS).
    StackMonitor,
    WeatherStation,
    /// Indoor or outdoor sensors, water meters, switches: no power of their own worth counting.
    Sensor,
}

impl Role {
    /// As it is written in files, requests and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::GridMeter => "grid_meter",
            Role::FeederMeter => "feeder_meter",
            Role::Pv => "pv",
            Role::Wind => "wind",
            Role::Storage => "storage",
            Role::Charger => "charger",
            Role::Load => "load",
            Role::Chiller => "chiller",
            Role::HeatPump => "heat_pump",
            Role::ThermalStore => "thermal_store",
            Role::Boiler => "boiler",
            Role::StackMonitor => "stack_monitor",
            Role::WeatherStation => "weather_station",
            Role::Sensor => "sensor",
        }
    }

    /// Whether the device's own `power` is a term of the park's balance (grid = Σ of these).
    pub fn is_balance_term(self) -> bool {
        matches!(
            self,
            Role::Pv
                | Role::Wind
                | Role::Storage
                | Role::Charger
                | Role::Load
                | Role::Chiller
                | Role::HeatPump
        )
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Measurement {
    pub key: MeasurementKey,
    pub name: Text,
    /// Unit as shown, such as `kW`, `%`, `°C`; empty for a pure number or a state.
    pub unit: String,
    #[serde(default)]
    pub kind: MeasurementKind,
    /// Plausible range; a value outside is stored and flagged `out_of_range`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// How often this one is expected, where that is not the model's own period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub period_s: Option<u32>,
    /// The fastest believable change, in units a second; a faster one is stored and flagged `suspect`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub rate_per_s: Option<f64>,
    /// How long a gauge that always moves a little may stand still before its values are flagged `suspect`. Zero and the
    /// ends of the range are at rest rather than stuck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub stuck_after_s: Option<u32>,
    /// Digits after the point when shown, and when the simulated fleet rounds as a meter would.
    #[serde(default = "default_decimals")]
    #[schemars(range(max = 9))]
    pub decimals: u8,
    /// Days its readings are kept, where that is less than the park keeps telemetry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 36_500))]
    pub keep_days: Option<u32>,
    /// For `state`: the words a device may send, by code.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<StateWord>,
}

fn default_decimals() -> u8 {
    1
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MeasurementKind {
    /// A value at an instant.
    #[default]
    Gauge,
    /// A total that only grows (a meter's register).
    Counter,
    /// One of a few named states, sent as its code or its word.
    State,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateWord {
    pub code: i32,
    /// What a device sends, such as `charging`.
    pub word: String,
    pub name: Text,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CommandModel {
    /// Such as `setPower`.
    pub name: String,
    pub text: Text,
    #[serde(default)]
    pub parameters: Vec<ParameterModel>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParameterModel {
    pub key: String,
    pub text: Text,
    #[serde(default)]
    pub unit: String,
    #[serde(default)]
    pub required: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    /// The words it may be, such as `high`; a parameter without words is a number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EventModel {
    pub id: String,
    pub text: Text,
    pub severity: crate::alarm::Severity,
}

impl ThingModel {
    pub fn measurement(&self, key: &str) -> Option<&Measurement> {
        self.measurements.iter().find(|m| m.key.as_str() == key)
    }

    pub fn command(&self, name: &str) -> Option<&CommandModel> {
        self.commands.iter().find(|c| c.name == name)
    }
}

impl ThingModel {
    /// How often a measurement is expected, in milliseconds.
    pub fn period_ms(&self, measurement: &Measurement) -> Option<i64> {
        measurement.period_s.or(self.period_s).map(|s| i64::from(s) * 1_000)
    }
}

impl Measurement {
    /// Whether a value lies in the model's range (bounds included; an open end is no bound).
    pub fn in_range(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min) && self.max.is_none_or(|max| value <= max)
    }
}
