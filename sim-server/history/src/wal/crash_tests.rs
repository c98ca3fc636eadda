//! What was acknowledged survives, whenever the power goes and whatever the disk refuses.

use super::{
    OpenReport, Wal,
    fault_disk::{FaultDisk, Unsynced},
};
use proptest::prelude::*;
use std::{collections::BTreeSet, sync::Arc};

const SEGMENT_BYTES: u64 = 200;
const AFTERMATHS: [Unsynced; 3] = [Unsynced::Lost, Unsynced::Kept, Unsynced::Torn];

fn record(id: u32) -> Vec<u8> {
    let mut bytes = id.to_le_bytes().to_vec();
    bytes.resize(4 + (id as usize * 7) % 40, id as u8);
    bytes
}

fn open(disk: &FaultDisk) -> (Wal, OpenReport, Vec<u32>) {
    let mut seen = Vec::new();
    let (wal, report) = Wal::open(Arc::new(disk.clone()), SEGMENT_BYTES, 0, &mut |_, payload| {
        let id = u32::from_le_bytes(payload[..4].try_into().unwrap());
        assert_eq!(payload, record(id), "a record comes back as it was written or not at all");
        seen.push(id);
        Ok(())
    })
    .expect("the log opens");
    (wal, report, seen)
}

#[derive(Default)]
struct Story {
    next: u32,
    acknowledged: Vec<u32>,
    refused: BTreeSet<u32>,
    dropped_below: u32,
    last_sequence: u64,
}

impl Story {
    fn commit(&mut self, wal: &mut Wal, count: u32) -> bool {
        let ids: Vec<u32> = (self.next..self.next + count).collect();
        self.next += count;
        let records: Vec<Vec<u8>> = ids.iter().map(|id| record(*id)).collect();
        match wal.commit(records.iter().map(Vec::as_slice)) {
            Ok(first) => {
                assert!(first > self.last_sequence);
                self.last_sequence = first + u64::from(count) - 1;
                self.acknowledged.extend(ids);
                true
            }
            Err(_) => {
                self.refused.extend(ids);
                false
            }
        }
    }

    /// Drops what lies in closed segments, as a checkpoint does.
    fn drop_closed(&mut self, wal: &mut Wal, acknowledged_before: usize, low_water: u64) {
        let _ = wal.drop_below(low_water);
        self.dropped_below =
            self.acknowledged.get(acknowledged_before).copied().unwrap_or(self.dropped_below);
    }

    fn check(&self, seen: &[u32], context: &str) {
        assert!(seen.windows(2).all(|w| w[0] < w[1]), "{context}: in order, once: {seen:?}");
        let seen_set: BTreeSet<u32> = seen.iter().copied().collect();
        for id in self.acknowledged.iter().filter(|id| **id >= self.dropped_below) {
            assert!(seen_set.contains(id), "{context}: acknowledged {id} is gone; seen {seen:?}");
        }
        assert!(seen.iter().all(|id| *id < self.next), "{context}: nothing is invented");
    }
}

/// A life of the log: groups of records, enough for several segments, with a checkpoint in between.
fn live(disk: &FaultDisk) -> Story {
    let mut story = Story::default();
    let mut low_water = (0, 0);
    let Ok((mut wal, _)) = Wal::open(Arc::new(disk.clone()), SEGMENT_BYTES, 0, &mut |_, _| Ok(())) else {
        return story;
    };
    for round in 0..12 {
        story.commit(&mut wal, 1 + round % 4);
        if round == 5 {
            low_water = (story.acknowledged.len(), story.last_sequence + 1);
        }
        if round == 8 && low_water.1 > 1 {
            story.drop_closed(&mut wal, low_water.0, low_water.1);
        }
    }
    story
}

fn survives(disk: &FaultDisk, story: &Story, context: &str) {
    for aftermath in AFTERMATHS {
        let disk = disk.after_power_loss(aftermath);
        let context = format!("{context}, unsynced bytes {aftermath:?}");
        let (mut wal, report, seen) = open(&disk);
        story.check(&seen, &context);
        // What an open showed, the next one shows too, after more was written.
        assert!(Story { next: 900, ..Story::default() }.commit(&mut wal, 2), "{context}: writing goes on");
        let (_, again, after) = open(&disk.after_power_loss(Unsynced::Lost));
        assert_eq!(after, [&seen[..], &[900, 901]].concat(), "{context}: {report:?} then {again:?}");
        assert_eq!(again.torn_tail, None, "{context}");
    }
}

#[test]
fn the_power_may_go_at_every_byte() {
    let calm = FaultDisk::default();
    live(&calm);
    assert!(calm.names().len() > 2, "several segments");
    for byte in 0..=calm.written() {
        let disk = FaultDisk::default();
        disk.power_off_at_byte(byte);
        let story = live(&disk);
        survives(&disk, &story, &format!("power off at byte {byte}"));
    }
}

#[test]
fn the_power_may_go_at_every_operation() {
    let calm = FaultDisk::default();
    live(&calm);
    for operation in 0..=calm.operations() {
        let disk = FaultDisk::default();
        disk.power_off_at_operation(operation);
        let story = live(&disk);
        survives(&disk, &story, &format!("power off at operation {operation}"));
    }
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let disk = FaultDisk::default();
    let (mut wal, ..) = open(&disk);
    let mut story = Story::default();
    assert!(story.commit(&mut wal, 2));
    disk.power_off_at_byte(disk.written() + 25);
    assert!(!story.commit(&mut wal, 1));
    let disk = disk.after_power_loss(Unsynced::Kept);
    let (_, report, seen) = open(&disk);
    assert_eq!(seen, [0, 1]);
    assert_eq!(report.torn_tail.expect("a torn tail").bytes, 25);
    assert_eq!(report.damage, []);
    assert_eq!(open(&disk).1.torn_tail, None, "cut once");
}

#[test]
fn a_corrupted_middle_is_reported_with_file_and_offset_and_the_rest_recovered() {
    let disk = FaultDisk::default();
    let (mut wal, ..) = open(&disk);
    let mut story = Story::default();
    for _ in 0..20 {
        assert!(story.commit(&mut wal, 1));
    }
    drop(wal);
    let names = disk.names();
    // In the first segment (closed) the second frame's payload, in the last one its first frame's length.
    let second = super::segment::HEADER_BYTES + 20 + record(0).len();
    disk.flip(&names[0], second + 20);
    let last = names.last().unwrap();
    disk.flip(last, super::segment::HEADER_BYTES + 4);
    let (_, report, seen) = open(&disk);
    assert_eq!(seen.len(), 18);
    assert!(!seen.contains(&1));
    let places: Vec<_> = report.damage.iter().map(|d| (d.file.as_str(), d.offset)).collect();
    assert_eq!(
        places,
        [(names[0].as_str(), second as u64), (last.as_str(), super::segment::HEADER_BYTES as u64)]
    );
    assert_eq!(report.damage[0].bytes, 20 + record(1).len() as u64);
}

#[test]
fn a_damaged_header_costs_no_record() {
    let disk = FaultDisk::default();
    let (mut wal, ..) = open(&disk);
    let mut story = Story::default();
    for _ in 0..20 {
        assert!(story.commit(&mut wal, 1));
    }
    for name in disk.names() {
        disk.flip(&name, 12);
    }
    let (_, report, seen) = open(&disk);
    assert_eq!(seen, story.acknowledged);
    assert_eq!(report.damage.len(), disk.names().len());
}

#[test]
fn a_missing_or_shortened_segment_is_reported() {
    use super::Disk;
    let disk = FaultDisk::default();
    let (mut wal, ..) = open(&disk);
    let mut story = Story::default();
    for _ in 0..30 {
        assert!(story.commit(&mut wal, 1));
    }
    let names = disk.names();
    assert!(names.len() >= 4);
    disk.remove(&names[1]).unwrap();
    let len = disk.len(&names[2]) as u64;
    disk.truncate(&names[2], len - 5).unwrap();
    let (_, report, _) = open(&disk);
    let faults: Vec<_> = report.damage.iter().map(|d| (d.file.clone(), d.reason.as_str())).collect();
    assert_eq!(faults.len(), 3);
    assert_eq!(faults[0], (names[1].clone(), "the file is missing"));
    assert_eq!(faults[1], (names[2].clone(), "the end of the file is missing"));
}

#[test]
fn a_full_disk_refuses_and_recovers_when_space_returns() {
    let disk = FaultDisk::default();
    let (mut wal, ..) = open(&disk);
    let mut story = Story::default();
    assert!(story.commit(&mut wal, 3));
    disk.set_free_bytes(Some(10));
    for _ in 0..5 {
        let error = wal.commit([&record(500)[..]]).expect_err("no space");
        assert!(error.is_storage_full(), "{error}");
    }
    disk.set_free_bytes(None);
    story.next = 600;
    assert!(story.commit(&mut wal, 3));
    for aftermath in AFTERMATHS {
        let (_, report, seen) = open(&disk.after_power_loss(aftermath));
        assert_eq!(seen, story.acknowledged, "{aftermath:?}");
        assert_eq!(report.damage, [], "{aftermath:?}");
    }
}

#[test]
fn bytes_of_a_failed_sync_are_never_seen_again() {
    for (aftermath, refuses) in AFTERMATHS.iter().flat_map(|a| [(*a, false), (*a, true)]) {
        let disk = FaultDisk::default();
        let (mut wal, ..) = open(&disk);
        let mut story = Story::default();
        assert!(story.commit(&mut wal, 2));
        // Even where the bytes cannot be cut off again.
        disk.refuse_changes(refuses);
        disk.fail_syncs(1);
        assert!(!story.commit(&mut wal, 2));
        disk.fail_syncs(1);
        assert!(!story.commit(&mut wal, 2));
        assert!(story.commit(&mut wal, 2));
        let (_, report, seen) = open(&disk.after_power_loss(aftermath));
        assert_eq!(seen, [0, 1, 6, 7], "{aftermath:?}, changes refused: {refuses}");
        assert_eq!(report.damage, [], "{aftermath:?}, changes refused: {refuses}");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Commit(u32),
    Full(u64),
    Space,
    FailSyncs(u32),
    ShortWrites(usize),
    RefuseChanges(bool),
    Reopen,
    PowerLoss(Unsynced),
    Drop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1u32..5).prop_map(Step::Commit),
        1 => (0u64..120).prop_map(Step::Full),
        2 => Just(Step::Space),
        1 => (1u32..4).prop_map(Step::FailSyncs),
        1 => (1usize..30).prop_map(Step::ShortWrites),
        1 => any::<bool>().prop_map(Step::RefuseChanges),
        1 => Just(Step::Reopen),
        1 => prop::sample::select(&AFTERMATHS[..]).prop_map(Step::PowerLoss),
        1 => Just(Step::Drop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4 * ProptestConfig::default().cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn whatever_the_disk_does_acknowledged_records_survive(steps in prop::collection::vec(step(), 1..60)) {
        let mut disk = FaultDisk::default();
        let (mut wal, ..) = open(&disk);
        let mut story = Story::default();
        for step in steps {
            match step {
                Step::Commit(count) => { story.commit(&mut wal, count); }
                Step::Full(free) => disk.set_free_bytes(Some(free)),
                Step::Space => { disk.set_free_bytes(None); disk.limit_writes(None); }
                Step::FailSyncs(count) => disk.fail_syncs(count),
                Step::ShortWrites(longest) => disk.limit_writes(Some(longest)),
                Step::RefuseChanges(refuse) => disk.refuse_changes(refuse),
                Step::Drop => {
                    let (count, low) = (story.acknowledged.len(), story.last_sequence + 1);
                    wal.rotate();
                    story.drop_closed(&mut wal, count, low);
                    story.dropped_below = story.next;
                }
                Step::Reopen | Step::PowerLoss(_) => {
                    drop(wal);
                    if let Step::PowerLoss(aftermath) = step {
                        disk = disk.after_power_loss(aftermath);
                    } else {
                        disk.fail_syncs(0);
                        disk.refuse_changes(false);
                    }
                    let (reopened, report, seen) = open(&disk);
                    wal = reopened;
                    prop_assert_eq!(&report.damage, &[]);
                    story.check(&seen, "reopened");
                    // What was refused may be seen only if nothing was written after it.
                    let last_acknowledged = story.acknowledged.last().copied();
                    for id in story.refused.iter().filter(|id| Some(**id) < last_acknowledged) {
                        prop_assert!(!seen.contains(id), "refused {} came back", id);
                    }
                    story.last_sequence = 0;
                    // From here on what was seen is as good as acknowledged: readers have it.
                    story.acknowledged = seen;
                    story.refused.clear();
                }
            }
        }
    }
}
