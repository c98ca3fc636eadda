//! `park.toml`: where the park is, how it is connected, what its electricity emits, when to raise an alarm.

use super::FusedQuantity;
use crate::{
    alarm::Severity,
    id::{MeasurementKey, ModelId, ParkId},
    text::Text,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Park {
    pub id: ParkId,
    pub name: Text,
    #[schemars(range(min = -90, max = 90))]
    pub latitude_deg: f64,
    #[schemars(range(min = -180, max = 180))]
    pub longitude_deg: f64,
    #[serde(default)]
    #[schemars(range(min = -500, max = 9000))]
    pub elevation_m: f64,
    /// IANA name, such as `Asia/Shanghai`: tariffs, calendars, day and month rollups follow it.
    pub time_zone: String,
    /// Grid region, such as 华东.
    pub grid_region: String,
    pub province: String,
    /// Width (east–west) and depth (north–south) of the site in metres, centred on the origin.
    #[schemars(inner(range(min = 1)))]
    pub extent_m: [f64; 2],
    pub grid: GridConnection,
    pub emission: EmissionFactor,
    #[serde(default)]
    pub series: Vec<SeriesSource>,
    /// Quantities that several devices tell of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<FusedQuantity>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GridConnection {
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub import_limit_kw: f64,
    #[schemars(range(min = 0))]
    pub export_limit_kw: f64,
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub voltage_kv: f64,
}

/// The factor that turns imported energy into CO₂e, with where it comes from and how sure it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmissionFactor {
    #[schemars(range(min = 0))]
    pub kg_per_kwh: f64,
    #[schemars(length(min = 1))]
    pub source: String,
    /// Year the factor describes.
    pub year: u16,
    /// `V` verified against an official restatement, `R` public secondary sources, `M` memory, `X` conflicting.
    #[schemars(extend("enum" = ["V", "R", "M", "X"]))]
    pub status: String,
    /// `location` or `market`.
    #[schemars(extend("enum" = ["location", "market"]))]
    pub basis: String,
    /// Whether plans and the carbon clock weight the factor by the hour, in the shape of the series `market`. Accounts
    /// are kept with the factor itself.
    #[serde(default)]
    pub hourly_shape: bool,
}

/// Where a series comes from. `stand_in` series are real, but another place's: shown as what they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SeriesSource {
    /// The file's name in `series/` without `.csv`.
    pub name: String,
    pub what: Text,
    #[schemars(length(min = 1))]
    pub source: String,
    #[schemars(length(min = 1))]
    pub licence: String,
    pub stand_in: bool,
}

/// `alarms.toml`: thresholds as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlarmRules {
    /// Silence after which a device is offline.
    #[schemars(range(min = 1))]
    pub offline_after_s: u32,
    pub offline_severity: Severity,
    /// A value that arrives later than this after it was measured is delayed.
    #[schemars(range(min = 1))]
    pub delayed_after_s: u32,
    pub delayed_severity: Severity,
    /// A device whose clock is further off than this says something wrong about when: what it sends is flagged `suspect`.
    #[serde(default = "default_clock_skew_s")]
    #[schemars(range(min = 1))]
    pub clock_skew_s: u32,
    /// Least free disk space below the data folder.
    pub disk_free_min_mb: u64,
    pub disk_severity: Severity,
    pub plan_infeasible_severity: Severity,
    /// Severity of a measurement outside its thing model's range.
    pub out_of_range_severity: Severity,
    /// Tighter limits than the model's plausible range.
    #[serde(default)]
    pub limits: Vec<LimitRule>,
}

fn default_clock_skew_s() -> u32 {
    10
}

/// Raises an alarm while `measurement` of any device of `model` lies outside `min..=max`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitRule {
    pub model: ModelId,
    pub measurement: MeasurementKey,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<f64>,
    pub severity: Severity,
    pub text: Text,
    /// How far back inside the limits the value must be before the alarm clears.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub hysteresis: f64,
}

/// Metres a degree of latitude spans on the mean Earth sphere.
const METRES_PER_DEGREE: f64 = 111_194.926_644_558_74;

impl Park {
    /// Longitude and latitude to metres east and north of the origin (equirectangular: exact enough over a few km).
    pub fn to_local(&self, longitude_deg: f64, latitude_deg: f64) -> [f64; 2] {
        let east =
            (longitude_deg - self.longitude_deg) * METRES_PER_DEGREE * self.latitude_deg.to_radians().cos();
        [east, (latitude_deg - self.latitude_deg) * METRES_PER_DEGREE]
    }

    /// Metres east and north of the origin to longitude and latitude.
    pub fn to_geographic(&self, east_m: f64, north_m: f64) -> [f64; 2] {
        [
            self.longitude_deg + east_m / (METRES_PER_DEGREE * self.latitude_deg.to_radians().cos()),
            self.latitude_deg + north_m / METRES_PER_DEGREE,
        ]
    }
}
