//! A log of any bytes opens, gives back only what was written into one, and goes on.

use super::{
    Disk, Wal,
    fault_disk::FaultDisk,
    segment::{self, Frames, Piece},
};
use std::{collections::BTreeSet, sync::Arc};

const SEGMENT_BYTES: u64 = 200;

/// Segments one after another, each with its length before it.
fn joined(disk: &FaultDisk) -> Vec<u8> {
    let segments = disk.names().into_iter().filter_map(|name| disk.read(&name, u64::MAX).ok());
    segments.flat_map(|bytes| [&(bytes.len() as u16).to_le_bytes()[..], &bytes].concat()).collect()
}

fn parted(mut bytes: &[u8]) -> FaultDisk {
    let disk = FaultDisk::default();
    let mut number = 0;
    while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
        let len = usize::from(u16::from_le_bytes(*len)).min(rest.len());
        number += 1;
        let mut file = disk.create(&segment::file_name(number)).unwrap();
        file.append(&rest[..len]).unwrap();
        file.sync().unwrap();
        bytes = &rest[len..];
    }
    disk.sync_folder().unwrap();
    disk
}

type Records = BTreeSet<(u64, Vec<u8>)>;

fn open(disk: &FaultDisk) -> (Wal, super::OpenReport, Records) {
    let mut seen = Records::new();
    let (wal, report) = Wal::open(Arc::new(disk.clone()), SEGMENT_BYTES, 0, &mut |sequence, payload| {
        assert!(seen.insert((sequence, payload.to_vec())), "a record is replayed once");
        Ok(())
    })
    .expect("whatever lies there, the log opens");
    (wal, report, seen)
}

/// Logs as the code writes them: of one segment, of several, and with one that was abandoned after a failed sync.
fn seeds() -> (Vec<Vec<u8>>, Records) {
    let mut seeds = vec![Vec::new()];
    let mut written = Records::new();
    for commits in [1u8, 9, 30] {
        let disk = FaultDisk::default();
        let (mut wal, _, _) = open(&disk);
        for number in 0..commits {
            if number == 7 {
                disk.fail_syncs(1);
            }
            let record = vec![number; usize::from(number) + 1];
            // What was refused may come back after all when the bytes that say so are damaged: it was written once.
            let sequence = wal.commit([&record[..]]).unwrap_or(u64::from(number) + 1);
            written.insert((sequence, record));
        }
        drop(wal);
        seeds.push(joined(&disk));
    }
    (seeds, written)
}

#[test]
fn fuzzed_logs_open_and_invent_nothing() {
    let (seeds, written) = seeds();
    park_fuzz::target("wal-log", seeds, |bytes| {
        let disk = parted(bytes);
        let (mut wal, report, seen) = open(&disk);
        assert!(seen.is_subset(&written), "{:?} was never written", seen.difference(&written).next());
        wal.commit([&b"afterwards"[..]]).expect("the log goes on");
        drop(wal);
        let (_, _, again) = open(&disk);
        assert!(seen.is_subset(&again), "what was replayed once is replayed again");
        assert!(again.iter().any(|(_, payload)| payload == b"afterwards"));
        let reasons: BTreeSet<String> = report
            .damage
            .iter()
            .map(|d| d.reason.chars().filter(|c| !c.is_ascii_digit()).collect())
            .collect();
        (report.segments.min(4), report.records.min(4), report.torn_tail.is_some(), reasons)
    });
}

#[test]
fn fuzzed_segments_are_walked_from_end_to_end() {
    let mut bytes = Vec::new();
    for sequence in 1..=4u64 {
        let offset = bytes.len() as u64;
        super::frame::write(&mut bytes, 1, offset, sequence, &vec![7; sequence as usize * 5]);
    }
    park_fuzz::target("wal-frames", [bytes], |bytes| {
        let mut at = 0;
        let mut pieces = Vec::new();
        for piece in Frames::new(bytes, 1, 0) {
            let (from, to, kind) = match piece {
                Piece::Frame { offset, frame } => (offset, frame.payload.end, 0u8),
                Piece::Damaged { offset, end } => (offset, end, 1),
                Piece::Rest { offset } => (offset, bytes.len(), 2),
            };
            assert!(from == at && to > from, "pieces follow one another: {from} to {to} after {at}");
            at = to;
            pieces.push(kind);
        }
        assert_eq!(at, bytes.len());
        pieces.truncate(6);
        pieces
    });
}
