//! Which series there are. A series gets a small number once, and everything inside speaks of numbers.

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use shared::{
    id::{DeviceId, MeasurementKey},
    telemetry::Reading,
};
use std::{collections::HashMap, fmt};

/// One measurement of one device: the key, with the time, of every reading.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SeriesKey {
    pub device: DeviceId,
    pub measurement: MeasurementKey,
}

impl fmt::Display for SeriesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.device, self.measurement)
    }
}

/// A reading of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub series: SeriesKey,
    pub reading: Reading,
}

/// A series' number in one store; only that store knows what it means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub(crate) u32);

impl SeriesId {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Numbers and names of all series. Numbers are dense; a hole is a number whose name was lost with a damaged record.
#[derive(Default)]
pub(crate) struct Registry(RwLock<Names>);

#[derive(Default)]
struct Names {
    ids: HashMap<DeviceId, HashMap<MeasurementKey, SeriesId>>,
    keys: Vec<Option<SeriesKey>>,
}

impl Names {
    fn find(&self, device: &DeviceId, measurement: &MeasurementKey) -> Option<SeriesId> {
        self.ids.get(device)?.get(measurement).copied()
    }

    fn insert(&mut self, id: SeriesId, key: SeriesKey) {
        if self.keys.len() <= id.index() {
            self.keys.resize(id.index() + 1, None);
        }
        self.ids.entry(key.device.clone()).or_default().insert(key.measurement.clone(), id);
        self.keys[id.index()] = Some(key);
    }
}

impl Registry {
    pub(crate) fn find(&self, key: &SeriesKey) -> Option<SeriesId> {
        self.0.read().find(&key.device, &key.measurement)
    }

    /// The number of a series, new if it has none yet.
    pub(crate) fn intern(&self, key: &SeriesKey) -> SeriesId {
        if let Some(id) = self.find(key) {
            return id;
        }
        let mut names = self.0.write();
        if let Some(id) = names.find(&key.device, &key.measurement) {
            return id;
        }
        let id = SeriesId(names.keys.len() as u32);
        names.insert(id, key.clone());
        id
    }

    /// Hands each point's number to `each`, taking the lock once for the known ones.
    pub(crate) fn intern_all<E>(
        &self,
        points: &[Point],
        mut each: impl FnMut(SeriesId, &Point) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = points;
        while !rest.is_empty() {
            {
                let names = self.0.read();
                let mut device: Option<(&DeviceId, Option<&HashMap<MeasurementKey, SeriesId>>)> = None;
                while let Some((point, after)) = rest.split_first() {
                    let of_device = match device {
                        Some((last, ids)) if *last == point.series.device => ids,
                        _ => {
                            let ids = names.ids.get(&point.series.device);
                            device = Some((&point.series.device, ids));
                            ids
                        }
                    };
                    let Some(id) = of_device.and_then(|ids| ids.get(&point.series.measurement)) else {
                        break;
                    };
                    each(*id, point)?;
                    rest = after;
                }
            }
            if let Some((point, after)) = rest.split_first() {
                each(self.intern(&point.series), point)?;
                rest = after;
            }
        }
        Ok(())
    }

    /// Puts a series where storage says it is. An error when storage contradicts itself.
    pub(crate) fn restore(&self, id: SeriesId, key: SeriesKey) -> Result<(), String> {
        let mut names = self.0.write();
        match names.keys.get(id.index()) {
            Some(Some(known)) if *known == key => return Ok(()),
            Some(Some(known)) => return Err(format!("series {} is {known}, not {key}", id.0)),
            _ => {}
        }
        if let Some(other) = names.find(&key.device, &key.measurement) {
            return Err(format!("{key} is series {}, not {}", other.0, id.0));
        }
        names.insert(id, key);
        Ok(())
    }

    pub(crate) fn key(&self, id: SeriesId) -> Option<SeriesKey> {
        self.0.read().keys.get(id.index()).cloned().flatten()
    }

    /// One more than the largest number.
    pub(crate) fn len(&self) -> usize {
        self.0.read().keys.len()
    }

    /// How many series there are, holes not counted.
    pub(crate) fn count(&self) -> usize {
        self.0.read().ids.values().map(HashMap::len).sum()
    }

    /// The series numbered from `first` on.
    pub(crate) fn from(&self, first: usize) -> Vec<(SeriesId, SeriesKey)> {
        let names = self.0.read();
        let keys = names.keys.iter().enumerate().skip(first);
        keys.filter_map(|(i, key)| Some((SeriesId(i as u32), key.clone()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::{telemetry::Quality, time::Timestamp};

    fn key(device: &str, measurement: &str) -> SeriesKey {
        SeriesKey { device: device.parse().unwrap(), measurement: measurement.parse().unwrap() }
    }

    #[test]
    fn a_series_keeps_its_number() {
        let registry = Registry::default();
        let points: Vec<Point> = [("a", "p"), ("a", "q"), ("b", "p"), ("a", "p"), ("b", "p")]
            .map(|(d, m)| Point {
                series: key(d, m),
                reading: Reading { value: 1.0, timestamp: Timestamp(1), quality: Quality::Good },
            })
            .to_vec();
        for _ in 0..2 {
            let mut ids = Vec::new();
            let done: Result<(), ()> = registry.intern_all(&points, |id, _| {
                ids.push(id.0);
                Ok(())
            });
            assert_eq!((done, ids), (Ok(()), vec![0, 1, 2, 0, 2]));
        }
        assert_eq!(registry.key(SeriesId(1)), Some(key("a", "q")));
    }

    #[test]
    fn storage_that_contradicts_itself_is_refused() {
        let registry = Registry::default();
        assert_eq!(registry.restore(SeriesId(3), key("a", "p")), Ok(()));
        assert_eq!(registry.restore(SeriesId(3), key("a", "p")), Ok(()));
        assert!(registry.restore(SeriesId(3), key("b", "p")).is_err());
        assert!(registry.restore(SeriesId(4), key("a", "p")).is_err());
        assert_eq!(registry.intern(&key("b", "p")), SeriesId(4), "holes are not filled");
    }
}
