//! The scene with what is asked of it all the time: a device's number, its building, the park's time zone.

use jiff::tz::TimeZone;
use shared::{
    id::{BuildingId, DeviceId},
    scene::{Building, Device, Scene},
};
use std::{collections::HashMap, fmt};

/// A scene and its look-ups. Devices and buildings are known by their index from here on.
pub struct SceneIndex {
    pub scene: Scene,
    pub zone: TimeZone,
    /// The server's tag of this version.
    pub etag: String,
    devices: HashMap<DeviceId, u32>,
    buildings: HashMap<BuildingId, u32>,
    /// Devices by building.
    in_building: Vec<Vec<u32>>,
}

impl fmt::Debug for SceneIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SceneIndex of {} devices, {}", self.scene.devices.len(), self.etag)
    }
}

impl SceneIndex {
    /// An unknown time zone falls back to UTC; loading a scene on the server rules it out.
    pub fn new(scene: Scene, etag: String) -> Self {
        let devices = scene.devices.iter().enumerate().map(|(i, d)| (d.id.clone(), i as u32)).collect();
        let buildings: HashMap<BuildingId, u32> =
            scene.site.buildings.iter().enumerate().map(|(i, b)| (b.id.clone(), i as u32)).collect();
        let mut in_building = vec![Vec::new(); scene.site.buildings.len()];
        for (index, device) in scene.devices.iter().enumerate() {
            if let Some(home) = device.building.as_ref().and_then(|b| buildings.get(b)) {
                in_building[*home as usize].push(index as u32);
            }
        }
        let zone = TimeZone::get(&scene.park.time_zone).unwrap_or(TimeZone::UTC);
        Self { scene, zone, etag, devices, buildings, in_building }
    }

    pub fn device_index(&self, id: &DeviceId) -> Option<u32> {
        self.devices.get(id).copied()
    }

    pub fn device(&self, index: u32) -> Option<&Device> {
        self.scene.devices.get(index as usize)
    }

    pub fn building_index(&self, id: &BuildingId) -> Option<u32> {
        self.buildings.get(id).copied()
    }

    pub fn building(&self, index: u32) -> Option<&Building> {
        self.scene.site.buildings.get(index as usize)
    }

    /// Devices that stand in or belong to a building.
    pub fn devices_in(&self, building: u32) -> &[u32] {
        self.in_building.get(building as usize).map_or(&[], Vec::as_slice)
    }
}
