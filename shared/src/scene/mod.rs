//! A park as data: the folder `scenes/<park>/` read into one checked value.
//!
//! `Scene::load` takes the bytes of the folder's files (never paths) and gives either a scene in which every
//! reference resolves, or *all* problems with file, line and field.
//!
//! Places are in metres east, north and up of the park's origin; [`Park::to_local`] and [`Park::to_geographic`]
//! convert. The site's GeoJSON stays in longitude and latitude so that it opens in QGIS.

mod etag;
mod feature;
mod load;
mod network;
mod park;
mod problem;
mod rating;
mod site;
mod source;

#[cfg(test)]
mod demo_park;
#[cfg(test)]
mod schema_files;

pub use load::SceneFiles;
pub use network::{Bus, Line, Network, Switch, Transformer};
pub use park::{AlarmRules, EmissionFactor, GridConnection, LimitRule, Park, SeriesSource};
pub use problem::{Problem, SceneError};
pub use rating::{Rating, SENSES};
pub use site::{Area, AreaKind, Building, BuildingUse, Point, PvArea, Road, Site, Tree};
pub use source::{FusedQuantity, SourceInput};

use crate::{
    id::{BuildingId, BusId, DeviceId, ModelId},
    series::SeriesFile,
    tariff::Tariff,
    text::Text,
    thing_model::{Role, ThingModel},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything a park is made of, checked: every model, bus and building a device names exists.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scene {
    pub park: Park,
    pub models: BTreeMap<ModelId, ThingModel>,
    pub devices: Vec<Device>,
    pub site: Site,
    pub network: Network,
    pub tariff: Tariff,
    pub alarms: AlarmRules,
    /// The text of `series/*.csv`, by name. Left out where a scene is sent to a client.
    #[serde(skip)]
    pub series: BTreeMap<String, SeriesFile>,
}

/// A device of the scene. Devices registered later over HTTP live in the twin's registry beside these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Device {
    pub id: DeviceId,
    pub model: ModelId,
    pub name: Text,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub building: Option<BuildingId>,
    /// The bus its power flows through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bus: Option<BusId>,
    /// Metres east, north and up of the park's origin.
    pub position: [f64; 3],
    /// Degrees clockwise from north the device faces.
    #[serde(default)]
    pub heading_deg: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    pub rating: Rating,
}

impl Scene {
    pub fn device(&self, id: &str) -> Option<&Device> {
        self.devices.iter().find(|d| d.id.as_str() == id)
    }

    pub fn model_of(&self, device: &Device) -> Option<&ThingModel> {
        self.models.get(&device.model)
    }

    pub fn role_of(&self, device: &Device) -> Role {
        self.models.get(&device.model).map_or(Role::Sensor, |m| m.role)
    }
}
