//! `network.toml`: buses, lines, transformers and switches of the park's feeders.

use crate::{id::BusId, text::Text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The bus of the grid connection (slack).
    pub grid_bus: Option<BusId>,
    #[serde(default)]
    pub buses: Vec<Bus>,
    #[serde(default)]
    pub lines: Vec<Line>,
    #[serde(default)]
    pub transformers: Vec<Transformer>,
    #[serde(default)]
    pub switches: Vec<Switch>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bus {
    pub id: BusId,
    pub name: Text,
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub voltage_kv: f64,
    /// Metres east and north of the park's origin.
    pub position: [f64; 2],
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub id: String,
    pub from: BusId,
    pub to: BusId,
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub length_m: f64,
    #[schemars(range(min = 0))]
    pub resistance_ohm_per_km: f64,
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub reactance_ohm_per_km: f64,
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub ampacity_a: f64,
    /// Corners between the two buses, metres east and north, for drawing.
    #[serde(default)]
    pub via: Vec<[f64; 2]>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transformer {
    pub id: String,
    pub high: BusId,
    pub low: BusId,
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub rated_kva: f64,
    /// Short-circuit voltage and its resistive part, percent.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub short_circuit_pct: f64,
    #[schemars(range(min = 0))]
    pub copper_loss_pct: f64,
    /// The feeder meter that measures it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meter: Option<crate::id::DeviceId>,
}

/// A switch in series with a line; an open one parts the ring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    pub id: String,
    /// The line it opens.
    pub line: String,
    pub closed: bool,
}
