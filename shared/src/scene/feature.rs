//! `site.geojson` as it stands in the file: a feature collection whose features say in `properties.kind` what they are.
//!
//! Flat properties and one geometry type a kind, so that a GIS program edits it as an ordinary layer. Coordinates are
//! longitude and latitude (WGS 84).

use super::BuildingUse;
use crate::id::{BuildingId, DeviceId};
use schemars::JsonSchema;
use serde::Deserialize;

/// The whole file. Members that GIS programs add beside these are left alone.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used: the loader takes geometry and properties apart")]
pub(crate) struct SiteFile {
    #[serde(rename = "type")]
    kind: FeatureCollection,
    features: Vec<SiteFeature>,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
enum FeatureCollection {
    FeatureCollection,
}

/// One thing on the ground.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used: the loader takes geometry and properties apart")]
struct SiteFeature {
    #[serde(rename = "type")]
    kind: FeatureType,
    /// `Polygon` for buildings and areas, `LineString` for roads, `Point` or `MultiPoint` for trees.
    geometry: serde_json::Map<String, serde_json::Value>,
    properties: Properties,
}

#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
enum FeatureType {
    Feature,
}

/// What a feature is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Properties {
    Building {
        id: BuildingId,
        #[schemars(length(min = 1))]
        name_zh: String,
        #[schemars(length(min = 1))]
        name_en: String,
        #[serde(rename = "use")]
        used_as: BuildingUse,
        #[schemars(range(max = 500), extend("exclusiveMinimum" = 0))]
        height_m: f64,
        #[schemars(range(min = 1, max = 120))]
        floors: u32,
    },
    Road {
        #[schemars(range(max = 100), extend("exclusiveMinimum" = 0))]
        width_m: f64,
    },
    Water {},
    Green {},
    Paved {},
    Parking {},
    Tree {
        #[schemars(range(max = 60), extend("exclusiveMinimum" = 0))]
        height_m: f64,
    },
    /// A field of PV modules.
    PvArea {
        /// The PV device whose modules these are.
        device: DeviceId,
        /// Height of the mounting plane above ground.
        #[schemars(range(min = 0, max = 500))]
        base_m: f64,
        #[schemars(range(min = 0, max = 90))]
        tilt_deg: f64,
        /// Degrees clockwise from north the modules face.
        #[schemars(range(min = 0, max = 360))]
        azimuth_deg: f64,
        /// Over a car park rather than on a roof.
        #[serde(default)]
        carport: bool,
    },
}
