//! `site.geojson`: what stands and grows on the ground, in local metres once read.

use crate::{id::BuildingId, text::Text};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Metres east and north of the park's origin.
pub type Point = [f64; 2];

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Site {
    pub buildings: Vec<Building>,
    pub roads: Vec<Road>,
    pub areas: Vec<Area>,
    pub trees: Vec<Tree>,
    pub pv_areas: Vec<PvArea>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Building {
    pub id: BuildingId,
    pub name: Text,
    #[serde(rename = "use")]
    pub used_as: BuildingUse,
    /// Outline counter-clockwise, first point not repeated.
    pub footprint: Vec<Point>,
    pub height_m: f64,
    pub floors: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BuildingUse {
    Factory,
    Warehouse,
    Office,
    DataHall,
    Canteen,
    Dormitory,
    EnergyStation,
    Gatehouse,
    Laboratory,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Road {
    pub centreline: Vec<Point>,
    pub width_m: f64,
}

/// Ground that is not road: water, lawn, paving, parking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Area {
    pub kind: AreaKind,
    pub outline: Vec<Point>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AreaKind {
    Water,
    Green,
    Paved,
    Parking,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tree {
    pub position: Point,
    pub height_m: f64,
}

/// A field of PV modules: on a roof (`base_m` = roof height) or over a car park.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PvArea {
    /// The PV device whose modules these are.
    pub device: crate::id::DeviceId,
    pub outline: Vec<Point>,
    /// Height of the mounting plane above ground.
    pub base_m: f64,
    pub tilt_deg: f64,
    /// Degrees clockwise from north the modules face.
    pub azimuth_deg: f64,
    /// Whether it is a carport: posts are drawn and cars park below.
    pub carport: bool,
}
