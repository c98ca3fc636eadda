//! Live values: the newest reading of every subscribed point, reachable by device.

use super::scene_index::SceneIndex;
use shared::{
    stream::{PointInfo, PointName, PointValue},
    telemetry::{Origin, Provenance, Quality},
    time::Timestamp,
};

/// A value as it is known now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiveValue {
    pub value: f64,
    pub timestamp: Timestamp,
    pub quality: Quality,
    pub provenance: Provenance,
}

struct Point {
    name: PointName,
    origin: Origin,
    device: Option<u32>,
    reading: Option<(f64, Timestamp, Quality)>,
}

/// All subscribed points. Indices are the server's, from `Subscribed`.
#[derive(Default)]
pub struct Values {
    points: Vec<Point>,
    by_device: Vec<Vec<u32>>,
    /// Devices with a value newer than the last [`Values::clear_changed`], each once.
    changed: Vec<u32>,
    is_changed: Vec<bool>,
    known: usize,
}

impl Values {
    pub fn subscribe(&mut self, infos: Vec<PointInfo>, scene: Option<&SceneIndex>) {
        self.known = 0;
        self.points = infos
            .into_iter()
            .map(|info| Point { name: info.name, origin: info.origin, device: None, reading: None })
            .collect();
        self.resolve(scene);
    }

    /// Finds each point's device again, as after a new scene.
    pub fn resolve(&mut self, scene: Option<&SceneIndex>) {
        let count = scene.map_or(0, |s| s.scene.devices.len());
        self.by_device = vec![Vec::new(); count];
        self.is_changed = vec![false; count];
        self.changed.clear();
        for (index, point) in self.points.iter_mut().enumerate() {
            point.device = scene.and_then(|s| s.device_index(&point.name.device));
            if let Some(device) = point.device {
                self.by_device[device as usize].push(index as u32);
            }
        }
    }

    /// Takes new values; one for a point that was never announced is ignored, and so is an older one.
    pub fn update(&mut self, values: &[PointValue]) {
        for new in values {
            let Some(point) = self.points.get_mut(new.point as usize) else { continue };
            match point.reading {
                Some((_, at, _)) if at > new.timestamp => continue,
                Some(_) => {}
                None => self.known += 1,
            }
            point.reading = Some((new.value, new.timestamp, new.quality));
            if let Some(device) = point.device
                && let Some(flag) = self.is_changed.get_mut(device as usize)
                && !*flag
            {
                *flag = true;
                self.changed.push(device);
            }
        }
    }

    /// Devices that changed since the last clear.
    pub fn changed(&self) -> &[u32] {
        &self.changed
    }

    pub fn clear_changed(&mut self) {
        for device in self.changed.drain(..) {
            self.is_changed[device as usize] = false;
        }
    }

    /// How many points have a value.
    pub fn known(&self) -> usize {
        self.known
    }

    pub fn len(&self) -> usize {
        self.points.len()
    }

    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// A device's measurement.
    pub fn get(&self, device: u32, measurement: &str) -> Option<LiveValue> {
        self.by_device
            .get(device as usize)?
            .iter()
            .find_map(|&p| {
                let point = &self.points[p as usize];
                (point.name.measurement.as_str() == measurement).then_some(point)
            })
            .and_then(live)
    }

    /// Whether the server announced values of a device at all, and where they come from.
    pub fn origin(&self, device: u32) -> Option<Origin> {
        let first = *self.by_device.get(device as usize)?.first()?;
        Some(self.points[first as usize].origin)
    }

    /// The newest timestamp of a device's values.
    pub fn newest(&self, device: u32) -> Option<Timestamp> {
        self.by_device
            .get(device as usize)?
            .iter()
            .filter_map(|&p| self.points[p as usize].reading.map(|(_, at, _)| at))
            .max()
    }
}

fn live(point: &Point) -> Option<LiveValue> {
    let (value, timestamp, quality) = point.reading?;
    Some(LiveValue { value, timestamp, quality, provenance: Provenance::of(point.origin, quality) })
}
