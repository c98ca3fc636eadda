//! The announced points, found by device: worked out once a subscription, away from the frame.

use super::SceneIndex;
use shared::{
    id::{DeviceId, MeasurementKey},
    stream::{PointInfo, PointName},
    telemetry::Origin,
};
use std::{collections::HashMap, fmt, hash::Hash, sync::Arc};

/// No device of the scene.
const NOBODY: u32 = u32::MAX;

/// All points of a subscription. Their indices are the server's, from `Subscribed`.
#[derive(Clone, Default)]
pub struct PointTable {
    /// Names, each once: a park has far fewer of them than points.
    devices: Vec<DeviceId>,
    keys: Vec<MeasurementKey>,
    points: Vec<Point>,
    /// The scene the devices were found in.
    scene: Option<Arc<SceneIndex>>,
    /// Scene's device by name in `devices`.
    device_index: Vec<u32>,
    /// Points of scene device `d`: `by_device[starts[d]..starts[d + 1]]`.
    starts: Vec<u32>,
    by_device: Vec<u32>,
}

#[derive(Clone, Copy)]
struct Point {
    device: u32,
    key: u32,
    origin: Origin,
}

impl fmt::Debug for PointTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PointTable of {} points", self.points.len())
    }
}

impl PointTable {
    pub fn new(infos: Vec<PointInfo>, scene: Option<&Arc<SceneIndex>>) -> Self {
        let mut table = Self::default();
        let (mut devices, mut keys) = (HashMap::new(), HashMap::new());
        for PointInfo { name: PointName { device, measurement }, origin } in infos {
            let device = number(&mut devices, &mut table.devices, device);
            let key = number(&mut keys, &mut table.keys, measurement);
            table.points.push(Point { device, key, origin });
        }
        table.find_devices(scene);
        table
    }

    /// The same points in another scene.
    pub fn in_scene(&self, scene: Option<&Arc<SceneIndex>>) -> Self {
        let mut table = self.clone();
        table.find_devices(scene);
        table
    }

    fn find_devices(&mut self, scene: Option<&Arc<SceneIndex>>) {
        self.scene = scene.cloned();
        let index_of = |id| scene.and_then(|s| s.device_index(id)).unwrap_or(NOBODY);
        self.device_index = self.devices.iter().map(index_of).collect();
        let count = scene.map_or(0, |s| s.scene.devices.len());
        // Counted, then placed.
        self.starts = vec![0; count + 1];
        for point in &self.points {
            if let Some(start) = self.starts.get_mut(self.device_index[point.device as usize] as usize) {
                *start += 1;
            }
        }
        let mut total = 0;
        for start in &mut self.starts {
            total += std::mem::replace(start, total);
        }
        self.by_device = vec![0; total as usize];
        let mut next = self.starts.clone();
        for (number, point) in self.points.iter().enumerate() {
            if let Some(place) = next.get_mut(self.device_index[point.device as usize] as usize) {
                self.by_device[*place as usize] = number as u32;
                *place += 1;
            }
        }
    }

    /// Whether these are exactly the points of another answer, found in the same scene.
    pub fn is_same(&self, infos: &[PointInfo], scene: Option<&Arc<SceneIndex>>) -> bool {
        self.is_for(scene)
            && self.points.len() == infos.len()
            && self.points.iter().zip(infos).all(|(point, info)| {
                point.origin == info.origin
                    && self.devices[point.device as usize] == info.name.device
                    && self.keys[point.key as usize] == info.name.measurement
            })
    }

    /// Whether the devices were found in this scene.
    pub fn is_for(&self, scene: Option<&Arc<SceneIndex>>) -> bool {
        match (&self.scene, scene) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (None, None) => true,
            _ => false,
        }
    }

    pub fn len(&self) -> usize {
        self.points.len()
    }

    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The scene's device a point belongs to.
    pub fn device(&self, point: u32) -> Option<u32> {
        let device = self.device_index[self.points.get(point as usize)?.device as usize];
        (device != NOBODY).then_some(device)
    }

    /// How many devices the scene has.
    pub fn device_count(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    pub fn origin(&self, point: u32) -> Option<Origin> {
        self.points.get(point as usize).map(|p| p.origin)
    }

    /// The points of a scene's device.
    pub fn of_device(&self, device: u32) -> &[u32] {
        let place = |i: usize| self.starts.get(i).map(|start| *start as usize);
        match (place(device as usize), place(device as usize + 1)) {
            (Some(from), Some(to)) => &self.by_device[from..to],
            _ => &[],
        }
    }

    /// A device's point by measurement key.
    pub fn find(&self, device: u32, measurement: &str) -> Option<u32> {
        let is_it = |p: &u32| self.keys[self.points[*p as usize].key as usize].as_str() == measurement;
        self.of_device(device).iter().copied().find(is_it)
    }
}

/// A name's number; a new name gets the next.
fn number<T: Clone + Eq + Hash>(numbers: &mut HashMap<T, u32>, names: &mut Vec<T>, name: T) -> u32 {
    if let Some(known) = numbers.get(&name) {
        return *known;
    }
    let next = names.len() as u32;
    names.push(name.clone());
    numbers.insert(name, next);
    next
}
