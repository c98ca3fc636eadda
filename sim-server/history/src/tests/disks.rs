//! The store over disks that misbehave.

use super::place::{Place, all, key, points, reading, until};
use crate::{AppendError, Disk, DiskFile, FaultDisk, History, HistoryOptions, StdDisk, Unsynced};
use parking_lot::{Condvar, Mutex};
use std::{io, sync::Arc};

const T: i64 = 1_750_000_000_000;

#[tokio::test]
async fn a_full_disk_refuses_and_recovers_by_itself() {
    let (place, disk) = (Place::sqlite(), FaultDisk::default());
    let a = key("a", "power");
    let history = History::open_on(place.options(), Arc::new(disk.clone())).await.unwrap();
    history.append(points(&a, [reading(T, 1.0)])).await.unwrap();
    disk.set_free_bytes(Some(7));
    for i in 1..5 {
        let refused = history.append(points(&a, [reading(T + i, 2.0)])).await;
        assert!(matches!(refused, Err(AppendError::StorageFull { .. })), "{refused:?}");
    }
    assert_eq!(all(&history, &a).await, [reading(T, 1.0)], "what was refused is not read");
    disk.set_free_bytes(None);
    history.append(points(&a, [reading(T + 9, 3.0)])).await.unwrap();
    let expected = [reading(T, 1.0), reading(T + 9, 3.0)];
    assert_eq!(all(&history, &a).await, expected);
    history.close().await.unwrap();
    let disk = disk.after_power_loss(Unsynced::Kept);
    let history = History::open_on(place.options(), Arc::new(disk)).await.unwrap();
    assert_eq!(all(&history, &a).await, expected);
    history.close().await.unwrap();
}

#[tokio::test]
async fn a_failed_sync_refuses_and_the_next_append_works() {
    let (place, disk) = (Place::sqlite(), FaultDisk::default());
    let a = key("a", "power");
    let history = History::open_on(place.options(), Arc::new(disk.clone())).await.unwrap();
    history.append(points(&a, [reading(T, 1.0)])).await.unwrap();
    disk.fail_syncs(1);
    let refused = history.append(points(&a, [reading(T + 1, 2.0)])).await;
    assert!(matches!(refused, Err(AppendError::Failed { .. })), "{refused:?}");
    // A series named for the first time by the refused append must be named again.
    disk.fail_syncs(1);
    let b = key("b", "power");
    assert!(history.append(points(&b, [reading(T, 1.0)])).await.is_err());
    history.append(points(&b, [reading(T, 2.0)])).await.unwrap();
    history.close().await.unwrap();
    for aftermath in [Unsynced::Lost, Unsynced::Kept, Unsynced::Torn] {
        let place = Place::sqlite();
        let disk = Arc::new(disk.after_power_loss(aftermath));
        let history = History::open_on(place.options(), disk).await.unwrap();
        assert_eq!(all(&history, &a).await, [reading(T, 1.0)]);
        assert_eq!(all(&history, &b).await, [reading(T, 2.0)]);
        assert_eq!(history.stats().await.open_report.damage, []);
        history.close().await.unwrap();
    }
}

#[tokio::test]
async fn damage_in_the_log_is_reported_and_the_rest_read() {
    let (place, disk) = (Place::sqlite(), FaultDisk::default());
    let a = key("a", "power");
    let options = HistoryOptions { segment_bytes: 1 << 20, ..place.options() };
    let history = History::open_on(options.clone(), Arc::new(disk.clone())).await.unwrap();
    for i in 0..5 {
        history.append(points(&a, [reading(T + i, 1.0)])).await.unwrap();
    }
    history.close().await.unwrap();
    let name = disk.names().remove(0);
    disk.flip(&name, disk.len(&name) / 2);
    let history = History::open_on(options, Arc::new(disk)).await.unwrap();
    let report = history.stats().await.open_report;
    assert_eq!(report.damage.len(), 1);
    assert_eq!(report.damage[0].file, name);
    assert_eq!(all(&history, &a).await.len(), 4);
    history.close().await.unwrap();
}

/// A real folder whose syncs wait at a gate.
struct GatedDisk {
    disk: StdDisk,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    shut: bool,
    waiting: usize,
    syncs: usize,
}

impl Gate {
    fn shut(&self, shut: bool) {
        self.state.lock().shut = shut;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock();
        state.waiting += 1;
        while state.shut {
            self.changed.wait(&mut state);
        }
        state.waiting -= 1;
        state.syncs += 1;
    }
}

struct GatedFile(Box<dyn DiskFile>, Arc<Gate>);

impl DiskFile for GatedFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.append(bytes)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.1.pass();
        self.0.sync()
    }
}

impl Disk for GatedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn read(&self, name: &str, limit: u64) -> io::Result<Vec<u8>> {
        self.disk.read(name, limit)
    }
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(GatedFile(self.disk.create(name)?, self.gate.clone())))
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sync_serves_all_that_arrived_and_a_full_queue_is_busy() {
    let place = Place::sqlite();
    let a = key("a", "power");
    let options = HistoryOptions { queue_points: 40, segment_bytes: 1 << 20, ..place.options() };
    let gate = Arc::new(Gate::default());
    let disk = StdDisk::open(&options.folder.join("wal")).unwrap();
    let history = History::open_on(options, Arc::new(GatedDisk { disk, gate: gate.clone() })).await.unwrap();
    history.append(points(&a, [reading(T, 0.0)])).await.unwrap();
    let syncs = || gate.state.lock().syncs;
    let before = syncs();

    gate.shut(true);
    let append = |i: i64| {
        let (history, a) = (history.clone(), a.clone());
        tokio::spawn(async move { history.append(points(&a, [reading(T + i, 0.0)])).await })
    };
    let mut waiting = vec![append(1)];
    until("the first append is being synced", || async { gate.state.lock().waiting == 1 }).await;
    waiting.extend((2..=40).map(append));
    until("the others wait", || async { history.stats().await.queued_points == 40 }).await;
    assert_eq!(history.append(points(&a, [reading(T + 41, 0.0)])).await, Err(AppendError::Busy));
    assert_eq!(all(&history, &a).await.len(), 1, "what is not durable is not read");
    assert!(waiting.iter().all(|w| !w.is_finished()), "nor acknowledged");

    gate.shut(false);
    for one in waiting {
        one.await.unwrap().unwrap();
    }
    assert_eq!(syncs() - before, 2, "one sync for the first, one for all the others");
    assert_eq!(all(&history, &a).await.len(), 41);
    history.append(points(&a, [reading(T + 41, 0.0)])).await.unwrap();
    history.close().await.unwrap();
}
