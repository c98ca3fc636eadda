//! Data quality across the disk: what a busy, a failing and a restarted store leave of flags and counts.

use crate::{QualityQuery, Sender, Twin, TwinOptions, test_park};
use history::{Disk, DiskFile, FaultDisk, History, HistoryOptions, Point, SeriesKey};
use parking_lot::Mutex;
use records::Records;
use serde_json::{Value, json};
use shared::{
    quality::QualityFigures,
    scene::Scene,
    telemetry::{Origin, Quality, Reading, RefusalCode},
    time::{DAY_MS, Timestamp},
};
use std::{io, path::Path, sync::Arc};
use tempfile::TempDir;

/// Far from any midnight of the park.
const NOON: i64 = 1_780_027_200_000;

fn t(seconds: i64) -> Timestamp {
    Timestamp(NOON + seconds * 1_000)
}

/// A disk whose syncs wait while `gate` is held.
struct GatedDisk {
    disk: FaultDisk,
    gate: Arc<Mutex<()>>,
}

struct GatedFile {
    file: Box<dyn DiskFile>,
    gate: Arc<Mutex<()>>,
}

impl Disk for GatedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        self.disk.read(name, limit)
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(GatedFile { file: self.disk.create(name)?, gate: self.gate.clone() }))
    }
    fn truncate(&self, name: &str, len: u64) -> io::Result<()> {
        self.disk.truncate(name, len)
    }
    fn rewrite(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.disk.rewrite(name, bytes)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_folder(&self) -> io::Result<()> {
        self.disk.sync_folder()
    }
}

impl DiskFile for GatedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.append(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        let _open = self.gate.lock();
        self.file.sync()
    }
}

/// The battery's power jumps from 5 kW a second on, its state of charge is stuck after 5 s, its temperature is kept for 30 days.
fn scene() -> Scene {
    let mut scene = test_park::scene();
    for measurement in scene.models.values_mut().flat_map(|model| &mut model.measurements) {
        match measurement.key.as_str() {
            "power" => measurement.rate_per_s = Some(5.0),
            "soc" => measurement.stuck_after_s = Some(5),
            "temperature" => measurement.keep_days = Some(30),
            "current" => measurement.keep_days = Some(10),
            _ => {}
        }
    }
    scene
}

struct Park {
    folder: TempDir,
    disk: FaultDisk,
    gate: Arc<Mutex<()>>,
    twin: Twin,
}

async fn open(folder: &Path, disk: &FaultDisk, gate: &Arc<Mutex<()>>, queue_points: usize) -> Twin {
    let options =
        HistoryOptions { folder: folder.join("history"), queue_points, ..HistoryOptions::default() };
    let gated = Arc::new(GatedDisk { disk: disk.clone(), gate: gate.clone() });
    let history = History::open_on(options, gated).await.unwrap();
    let records = Records::open(&format!("sqlite://{}", folder.join("records.db").display())).await.unwrap();
    let options = TwinOptions { clock: || Timestamp(NOON), ..TwinOptions::default() };
    Twin::open(Arc::new(scene()), history, records, options, t(0)).await.unwrap()
}

impl Park {
    async fn start(queue_points: usize) -> Park {
        let (folder, disk, gate) = (tempfile::tempdir().unwrap(), FaultDisk::default(), Arc::default());
        let twin = open(folder.path(), &disk, &gate, queue_points).await;
        twin.provision_scene(Origin::Simulated, t(0)).await.unwrap();
        Park { folder, disk, gate, twin }
    }

    async fn restart(mut self) -> Park {
        self.twin.write_quality().await.unwrap();
        self.twin.inner.history.clone().close().await.unwrap();
        self.twin.inner.records.close().await;
        self.twin = open(self.folder.path(), &self.disk, &self.gate, 1_000).await;
        self
    }

    /// Takes a payload's place in the order of writing, or hears why there is none.
    fn begin(
        &self,
        payload: &Value,
    ) -> Result<impl Future<Output = Result<(), RefusalCode>> + use<>, RefusalCode> {
        let payload = payload.to_string();
        let sender = Sender::Device("bess-1".parse().unwrap());
        let begun =
            self.twin.begin_ingest(&sender, payload.as_bytes(), t(30)).map_err(|refusal| refusal.code)?;
        Ok(async move { begun.await.map(|_| ()).map_err(|refusal| refusal.code) })
    }

    async fn send(&self, payload: &Value) -> Result<(), RefusalCode> {
        self.begin(payload)?.await
    }

    async fn stored(&self, measurement: &str) -> Vec<Reading> {
        let history = &self.twin.inner.history;
        history.readings(&series(measurement), Timestamp(0), t(1_000), 1_000).await.unwrap()
    }

    async fn quality_at(&self, measurement: &str, at: Timestamp) -> Option<Quality> {
        self.stored(measurement).await.iter().find(|r| r.timestamp == at).map(|r| r.quality)
    }

    async fn figures(&self) -> QualityFigures {
        let device = Some("bess-1".parse().unwrap());
        let query = QualityQuery { from: t(0), to: t(0), device, kind: None, limit: 10 };
        self.twin.quality(&query, t(700)).await.unwrap().totals
    }
}

fn series(measurement: &str) -> SeriesKey {
    SeriesKey { device: "bess-1".parse().unwrap(), measurement: measurement.parse().unwrap() }
}

fn item(second: i64, data: Value) -> Value {
    json!({ "deviceId": "bess-1", "timestamp": t(second), "data": data })
}

#[tokio::test]
async fn a_sample_that_waits_for_a_busy_store_is_flagged_and_counted_as_if_it_had_not() {
    let park = Park::start(1).await;
    for second in 0..9 {
        park.send(&item(second, json!({ "power": 1.0, "soc": 50.0 }))).await.unwrap();
    }
    let gate = park.gate.clone();
    let held = gate.lock();
    let waiting = park.begin(&item(9, json!({ "power": 1.0 }))).unwrap();
    // A spike, an item that is wrong, the sample after the spike, and a value that stands still.
    let payload = json!([
        item(10, json!({ "power": 90.0, "soc": 50.0 })),
        item(11, json!({ "pwoer": 1.0 })),
        item(11, json!({ "power": 1.0 })),
    ]);
    for _ in 0..20 {
        assert_eq!(park.begin(&payload).err(), Some(RefusalCode::Busy));
    }
    drop(held);
    waiting.await.unwrap();
    park.send(&payload).await.unwrap();
    assert_eq!(park.quality_at("power", t(10)).await, Some(Quality::Suspect));
    assert_eq!(park.quality_at("power", t(11)).await, Some(Quality::Good));
    assert_eq!(park.quality_at("soc", t(10)).await, Some(Quality::Suspect));
    let figures = park.figures().await;
    assert_eq!((figures.received, figures.refused, figures.duplicates), (22, 1, 0));
    assert_eq!((figures.jumps, figures.stuck, figures.suspect), (1, 1, 2));
    // What came before the store was busy is still known.
    park.send(&item(8, json!({ "power": 1.0, "soc": 50.0 }))).await.unwrap();
    assert_eq!(park.figures().await.duplicates, 2);
}

#[tokio::test]
async fn samples_that_a_failing_disk_lost_are_flagged_when_they_come_again() {
    for failing in 1..=3 {
        let park = Park::start(1_000).await;
        park.send(&item(0, json!({ "power": 1.0 }))).await.unwrap();
        let values = [(1, 90.0), (2, 1.0), (3, 80.0)];
        let items = values.map(|(second, power)| item(second, json!({ "power": power })));
        let gate = park.gate.clone();
        let held = gate.lock();
        // The log takes the first by itself while the others gather behind it.
        let mut begun = vec![park.begin(&items[0]).unwrap()];
        park.disk.fail_syncs(failing);
        begun.extend(items[1..].iter().map(|item| park.begin(item).unwrap()));
        drop(held);
        let results = futures::future::join_all(begun).await;
        assert_eq!(results[0], Err(RefusalCode::StorageFailed), "{failing}");
        park.disk.fail_syncs(0);
        for (item, result) in items.iter().zip(results) {
            if result.is_err() {
                park.send(item).await.unwrap();
            }
        }
        for (second, quality) in [(1, Quality::Suspect), (2, Quality::Good), (3, Quality::Suspect)] {
            assert_eq!(park.quality_at("power", t(second)).await, Some(quality), "{failing} {second}");
        }
        let figures = park.figures().await;
        assert_eq!((figures.received, figures.jumps, figures.duplicates), (4, 2, 0), "{failing}");
    }
}

#[tokio::test]
async fn the_newest_item_is_known_as_a_duplicate_and_keeps_its_flags_after_a_restart() {
    let park = Park::start(1_000).await;
    park.send(&item(0, json!({ "power": 1.0, "soc": 50.0 }))).await.unwrap();
    let spike = item(1, json!({ "power": 90.0, "soc": 51.0 }));
    park.send(&spike).await.unwrap();
    let park = park.restart().await;
    park.send(&spike).await.unwrap();
    assert_eq!(park.quality_at("power", t(1)).await, Some(Quality::Suspect));
    let figures = park.figures().await;
    assert_eq!((figures.received, figures.duplicates, figures.jumps), (4, 2, 1));
    // A correction, and an item that says more, are none.
    park.send(&item(1, json!({ "power": 91.0, "soc": 51.0 }))).await.unwrap();
    park.send(&item(1, json!({ "power": 91.0, "temperature": 20.0 }))).await.unwrap();
    let figures = park.figures().await;
    assert_eq!((figures.received, figures.duplicates), (8, 2));
}

#[tokio::test]
async fn a_measurement_is_kept_for_the_days_of_its_model_and_the_others_stay() {
    let park = Park::start(1_000).await;
    let history = &park.twin.inner.history;
    let current = SeriesKey { device: "pv-1".parse().unwrap(), measurement: "current".parse().unwrap() };
    let all = [series("power"), series("soc"), series("temperature"), current.clone()];
    for days_ago in [40, 20, 0] {
        let reading = test_park::reading(1.0, NOON - days_ago * DAY_MS);
        history.append(all.clone().map(|series| Point { series, reading }).to_vec()).await.unwrap();
        // Only what is in blocks can go.
        history.checkpoint().await.unwrap();
    }
    let expired = park.twin.delete_expired(t(0)).await;
    let told: Vec<_> = expired.into_iter().map(|e| (e.days, e.deleted.unwrap())).collect();
    // Of the other inverter nothing ever came.
    assert_eq!(told, [(10, 2), (30, 1)]);
    let mut kept = Vec::new();
    for series in &all {
        let readings = history.readings(series, Timestamp(0), t(1), 10).await.unwrap();
        kept.push(readings.iter().map(|r| t(0).since(r.timestamp) / DAY_MS).collect::<Vec<_>>());
    }
    assert_eq!(kept, [vec![40, 20, 0], vec![40, 20, 0], vec![20, 0], vec![0]]);
}
