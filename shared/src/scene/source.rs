//! Quantities with several sources: which is believed first, and how far they may differ.

use crate::{
    id::{DeviceId, MeasurementKey},
    text::Text,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[[sources]]` of `park.toml`: one quantity that several devices tell of, such as the park's import by the grid meter and by
/// the sum of its feeders. The best usable source is taken, by quality and then by priority; sources that differ are shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FusedQuantity {
    /// Names it, such as `grid-power`.
    #[schemars(length(min = 1, max = 64))]
    pub id: String,
    pub name: Text,
    /// The unit of every input.
    pub unit: String,
    /// How far a source may be from the one taken, in the unit.
    #[schemars(range(min = 0))]
    pub tolerance: f64,
    /// And how far besides, as a share of the value taken.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    pub tolerance_share: f64,
    /// A value older than this is stale: taken only when no source has a newer one, and then said to be.
    #[schemars(range(min = 1))]
    pub stale_after_s: u32,
    #[schemars(length(min = 2))]
    pub inputs: Vec<SourceInput>,
}

/// One source: a measurement of one device, or the sum of it over several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceInput {
    /// 1 is believed first.
    #[schemars(range(min = 1))]
    pub priority: u32,
    pub measurement: MeasurementKey,
    #[schemars(length(min = 1))]
    pub devices: Vec<DeviceId>,
}
