//! The newest reading of every point, readable by thousands of clients at once without a queue for any of them.
//!
//! Every (device, measurement) has a dense index for the process's life. A client keeps its list of indices and the
//! version it has seen, and asks on its own tick what changed since: what came in between is conflated by itself.
//!
//! Points lie in chunks of [`CHUNK`] behind a lock each. A version is drawn while the chunk is locked for writing, so a
//! reader that has seen version `v` and then locks the chunk sees every write up to `v`.

use crate::registry::{DeviceEntry, Registry};
use arc_swap::ArcSwap;
use parking_lot::{Mutex, RwLock};
use shared::{
    stream::{PointInfo, PointName, Selector},
    telemetry::{Quality, Reading},
    time::Timestamp,
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

const CHUNK: usize = 1_024;

#[derive(Debug)]
pub struct LiveTable {
    registry: Arc<Registry>,
    chunks: ArcSwap<Vec<Arc<RwLock<Chunk>>>>,
    growing: Mutex<()>,
    version: AtomicU64,
}

/// Versions apart from readings: looking for changes touches an eighth of a cache line a point.
#[derive(Debug)]
struct Chunk {
    /// Version of the chunk's newest write. Inside the lock: a writer has drawn its version before it is seen here.
    newest: u64,
    /// 0 for a point that never had a value.
    versions: Vec<u64>,
    readings: Vec<Reading>,
}

impl Chunk {
    fn new() -> Arc<RwLock<Self>> {
        let nothing = Reading { value: 0.0, timestamp: Timestamp(0), quality: Quality::Good };
        Arc::new(RwLock::new(Self { newest: 0, versions: vec![0; CHUNK], readings: vec![nothing; CHUNK] }))
    }
}

impl LiveTable {
    pub(crate) fn new(registry: Arc<Registry>) -> Self {
        Self { registry, chunks: ArcSwap::default(), growing: Mutex::new(()), version: AtomicU64::new(0) }
    }

    /// Makes room for `points` points.
    pub(crate) fn grow(&self, points: u32) {
        let wanted = (points as usize).div_ceil(CHUNK);
        let _one_at_a_time = self.growing.lock();
        let chunks = self.chunks.load_full();
        if chunks.len() < wanted {
            let mut more = chunks.as_ref().clone();
            more.resize_with(wanted, Chunk::new);
            self.chunks.store(Arc::new(more));
        }
    }

    /// Takes readings of one device, given by measurement; one that is older than the point's own is not taken.
    /// `taken` hears of those that became the newest.
    pub(crate) fn apply(
        &self,
        first_point: u32,
        readings: impl IntoIterator<Item = (u16, Reading)>,
        mut taken: impl FnMut(u16, Reading),
    ) {
        let chunks = self.chunks.load();
        let mut readings = readings.into_iter().peekable();
        while let Some(&(measurement, _)) = readings.peek() {
            let chunk_index = (first_point as usize + measurement as usize) / CHUNK;
            let Some(chunk) = chunks.get(chunk_index) else {
                readings.next();
                continue;
            };
            let mut points = chunk.write();
            let version = self.version.fetch_add(1, Ordering::AcqRel) + 1;
            points.newest = version;
            while let Some((measurement, reading)) = readings.next_if(|(measurement, _)| {
                (first_point as usize + *measurement as usize) / CHUNK == chunk_index
            }) {
                let at = (first_point as usize + measurement as usize) % CHUNK;
                if points.versions[at] == 0 || reading.timestamp >= points.readings[at].timestamp {
                    points.readings[at] = reading;
                    points.versions[at] = version;
                    taken(measurement, reading);
                }
            }
        }
    }

    /// The newest reading of a point.
    pub fn reading(&self, point: u32) -> Option<Reading> {
        let chunks = self.chunks.load();
        let points = chunks.get(point as usize / CHUNK)?.read();
        let at = point as usize % CHUNK;
        (points.versions[at] > 0).then(|| points.readings[at])
    }

    /// The points a selector means, each with its name and origin, in the selector's order; unknown ones are left out.
    pub fn resolve(&self, selector: &Selector) -> Vec<(u32, PointInfo)> {
        let of_device = |entry: &DeviceEntry, measurement: usize| {
            let series = &entry.series[measurement];
            let name = PointName { device: series.device.clone(), measurement: series.measurement.clone() };
            (entry.first_point + measurement as u32, PointInfo { name, origin: entry.record.origin })
        };
        let all_of = |entry: Arc<DeviceEntry>| {
            (0..entry.series.len()).map(|m| of_device(&entry, m)).collect::<Vec<_>>()
        };
        match selector {
            Selector::All => self.registry.all().into_iter().flat_map(all_of).collect(),
            Selector::Devices(ids) => {
                ids.iter().filter_map(|id| self.registry.get(id.as_str())).flat_map(all_of).collect()
            }
            Selector::Matching(selector) => {
                let devices = self.registry.all().into_iter();
                let meant = devices.filter(|entry| selector.takes_device(entry.facts()));
                meant
                    .flat_map(all_of)
                    .filter(|(_, info)| selector.takes_measurement(info.name.measurement.as_str()))
                    .collect()
            }
            Selector::Points(names) => names
                .iter()
                .filter_map(|name| {
                    let entry = self.registry.get(name.device.as_str())?;
                    let measurement = entry.rules.index_of(name.measurement.as_str(), 0)?;
                    Some(of_device(&entry, measurement as usize))
                })
                .collect(),
        }
    }

    /// Grows with every applied batch.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Adds to `out` the position in `points` and the reading of every point that changed after `version` (0: every
    /// point that ever had a value). Gives the version to pass next time. A change may be told twice, never missed.
    pub fn changed_since(&self, points: &[u32], version: u64, out: &mut Vec<(usize, Reading)>) -> u64 {
        // Read first: what is written while we scan may be seen now, and is told again next time.
        let next = self.version();
        if next == version {
            return next;
        }
        let chunks = self.chunks.load();
        let mut position = 0;
        while let Some(&point) = points.get(position) {
            let chunk_index = point as usize / CHUNK;
            let run = points[position..]
                .iter()
                .position(|&p| p as usize / CHUNK != chunk_index)
                .unwrap_or(points.len() - position);
            let end = position + run;
            if let Some(held) = chunks.get(chunk_index).map(|c| c.read()).filter(|c| c.newest > version) {
                for (offset, &point) in points[position..end].iter().enumerate() {
                    let at = point as usize % CHUNK;
                    if held.versions[at] > version {
                        out.push((position + offset, held.readings[at]));
                    }
                }
            }
            position = end;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_park;
    use records::DeviceRecord;

    fn table(devices: usize) -> LiveTable {
        let scene = test_park::scene();
        let registry = Arc::new(Registry::new(&scene));
        let live = LiveTable::new(registry.clone());
        for n in 0..devices {
            let record = DeviceRecord { id: format!("d{n}").parse().unwrap(), ..test_park::record("pv-1") };
            registry.insert(record, [0; 32], |points| live.grow(points)).unwrap();
        }
        live
    }

    fn reading(value: f64, at: i64) -> Reading {
        Reading { value, timestamp: Timestamp(at), quality: Quality::Good }
    }

    fn put(live: &LiveTable, first_point: u32, values: &[(u16, Reading)]) -> usize {
        let mut taken = 0;
        live.apply(first_point, values.iter().copied(), |_, _| taken += 1);
        taken
    }

    #[test]
    fn an_older_reading_never_replaces_a_newer_one() {
        let live = table(1);
        assert_eq!(put(&live, 0, &[(0, reading(1.0, 10))]), 1);
        assert_eq!(put(&live, 0, &[(0, reading(2.0, 9))]), 0);
        assert_eq!(live.reading(0), Some(reading(1.0, 10)));
        assert_eq!(
            put(&live, 0, &[(0, reading(3.0, 10))]),
            1,
            "the last written of one instant wins, as in the history"
        );
        assert_eq!(live.reading(1), None);
    }

    #[test]
    fn a_reader_hears_of_every_point_once_and_then_of_changes_only() {
        let live = table(2_000);
        let points: Vec<u32> = live.resolve(&Selector::All).into_iter().map(|(point, _)| point).collect();
        let per_device = points.len() as u32 / 2_000;
        for device in 0..2_000 {
            put(&live, device * per_device, &[(0, reading(f64::from(device), 1)), (1, reading(0.5, 1))]);
        }
        let mut out = Vec::new();
        let seen = live.changed_since(&points, 0, &mut out);
        assert_eq!(out.len(), 4_000);
        out.clear();
        assert_eq!(live.changed_since(&points, seen, &mut out), seen);
        assert!(out.is_empty());
        put(&live, 7 * per_device, &[(1, reading(9.0, 2))]);
        live.changed_since(&points, seen, &mut out);
        assert_eq!(out, [(7 * per_device as usize + 1, reading(9.0, 2))]);
    }

    #[test]
    fn readings_of_a_device_that_lies_across_two_chunks_all_arrive() {
        let live = table(1_000);
        let points = live.resolve(&Selector::All).len() as u32;
        let per_device = points / 1_000;
        assert_ne!(CHUNK as u32 % per_device, 0, "the test park's model must not fit a chunk evenly");
        let across = CHUNK as u32 / per_device * per_device;
        let values: Vec<_> = (0..per_device as u16).map(|m| (m, reading(f64::from(m), 1))).collect();
        assert_eq!(put(&live, across, &values), values.len());
        let all: Vec<u32> = (across..across + per_device).collect();
        let mut out = Vec::new();
        live.changed_since(&all, 0, &mut out);
        assert_eq!(out.len(), values.len());
    }

    #[test]
    fn a_reader_beside_a_writer_misses_nothing() {
        let live = Arc::new(table(600));
        let points: Vec<u32> = live.resolve(&Selector::All).into_iter().map(|(point, _)| point).collect();
        let per_device = points.len() as u32 / 600;
        let writer = std::thread::spawn({
            let live = live.clone();
            move || {
                for round in 1..=200 {
                    for device in 0..600 {
                        put(&live, device * per_device, &[(0, reading(f64::from(round), i64::from(round)))]);
                    }
                }
            }
        });
        let mut known = vec![None; points.len()];
        let (mut seen, mut out) = (0, Vec::new());
        loop {
            let done = writer.is_finished();
            seen = live.changed_since(&points, seen, &mut out);
            for (position, reading) in out.drain(..) {
                known[position] = Some(reading);
            }
            if done {
                break;
            }
        }
        writer.join().unwrap();
        for (position, point) in points.iter().enumerate() {
            assert_eq!(known[position], live.reading(*point), "{position}");
        }
    }

    #[test]
    fn a_selector_names_points_and_leaves_unknown_ones_out() {
        let live = table(3);
        let name = |device: &str, measurement: &str| PointName {
            device: device.parse().unwrap(),
            measurement: measurement.parse().unwrap(),
        };
        let asked = vec![name("d1", "power"), name("d9", "power"), name("d0", "nonsense")];
        let resolved = live.resolve(&Selector::Points(asked));
        assert_eq!(resolved.len(), 1);
        assert_eq!(resolved[0].1.name, name("d1", "power"));
        let of_two = live.resolve(&Selector::Devices(vec!["d2".parse().unwrap()]));
        assert!(of_two.iter().all(|(_, info)| info.name.device.as_str() == "d2"));
        assert!(!of_two.is_empty());
    }
}
