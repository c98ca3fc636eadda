//! Live values: the newest reading of every subscribed point, reachable by device.

use super::{points::PointTable, scene_index::SceneIndex};
use shared::{
    stream::PointValue,
    telemetry::{Origin, Provenance, Quality},
    time::Timestamp,
};
use std::sync::Arc;

/// A value as it is known now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LiveValue {
    pub value: f64,
    pub timestamp: Timestamp,
    pub quality: Quality,
    pub provenance: Provenance,
}

#[derive(Clone, Copy)]
struct Reading {
    value: f64,
    timestamp: Timestamp,
    quality: Quality,
    /// The subscription it came in.
    subscription: u32,
}

/// The newest reading of every point.
#[derive(Default)]
pub struct Values {
    table: Arc<PointTable>,
    readings: Vec<Option<Reading>>,
    /// Counts subscriptions: the first reading of a new one counts however old it is, since the server may be another.
    subscription: u32,
    /// Devices with news since the last [`Values::clear_changed`], each once.
    changed: Vec<u32>,
    is_changed: Vec<bool>,
    known: usize,
}

impl Values {
    /// Takes a subscription's points. The same points as before keep their readings, so that nothing flickers.
    pub fn subscribe(&mut self, table: Arc<PointTable>, scene: Option<&Arc<SceneIndex>>) {
        self.subscription = self.subscription.wrapping_add(1);
        if !Arc::ptr_eq(&self.table, &table) {
            self.known = 0;
            self.readings.clear();
            self.readings.resize(table.len(), None);
            self.table = table;
            self.forget_changes();
        }
        self.find_devices(scene);
    }

    /// Finds each point's device again, as after a new scene.
    pub fn find_devices(&mut self, scene: Option<&Arc<SceneIndex>>) {
        if !self.table.is_for(scene) {
            self.table = Arc::new(self.table.in_scene(scene));
            self.forget_changes();
        }
    }

    fn forget_changes(&mut self) {
        self.changed.clear();
        self.is_changed.clear();
        self.is_changed.resize(self.table.device_count(), false);
    }

    /// Takes new values; one for a point that was never announced is ignored, and so is an older one.
    pub fn update(&mut self, values: &[PointValue]) {
        for new in values {
            let Some(reading) = self.readings.get_mut(new.point as usize) else { continue };
            match reading {
                Some(old) if old.subscription == self.subscription && old.timestamp > new.timestamp => {
                    continue;
                }
                Some(_) => {}
                None => self.known += 1,
            }
            *reading = Some(Reading {
                value: new.value,
                timestamp: new.timestamp,
                quality: new.quality,
                subscription: self.subscription,
            });
            if let Some(device) = self.table.device(new.point) {
                self.mark_changed(device);
            }
        }
    }

    /// Puts a device among the changed ones.
    pub fn mark_changed(&mut self, device: u32) {
        if let Some(flag) = self.is_changed.get_mut(device as usize)
            && !std::mem::replace(flag, true)
        {
            self.changed.push(device);
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

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// A device's measurement.
    pub fn get(&self, device: u32, measurement: &str) -> Option<LiveValue> {
        let point = self.table.find(device, measurement)?;
        let Reading { value, timestamp, quality, .. } = (*self.readings.get(point as usize)?)?;
        let provenance = Provenance::of(self.table.origin(point)?, quality);
        Some(LiveValue { value, timestamp, quality, provenance })
    }

    /// When a device's newest value was taken.
    pub fn newest(&self, device: u32) -> Option<Timestamp> {
        let points = self.table.of_device(device).iter();
        points.filter_map(|&point| Some((*self.readings.get(point as usize)?)?.timestamp)).max()
    }

    /// Whether the server announced values of a device at all, and where they come from.
    pub fn origin(&self, device: u32) -> Option<Origin> {
        self.table.origin(*self.table.of_device(device).first()?)
    }
}
