//! What is stored and read back, of any bytes: refused or read, never a panic, and what is read holds together.
//!
//! Checksums would turn every change away at the door, so each body gets a right one: what lies behind is what is tried.

use super::place::reading;
use crate::{
    block::{self, Block, Summary},
    bucket::Bucket,
    pack,
    record::{self, PointBatch, Record},
    series::{SeriesId, SeriesKey},
};
use shared::{
    telemetry::{Quality, Reading},
    time::Timestamp,
};

fn with_checksum(content: &[u8]) -> Vec<u8> {
    [content, &crc32c::crc32c(content).to_le_bytes()].concat()
}

/// Readings of every shape a block tells apart: even and uneven times, one value or many, mixed qualities.
fn shapes() -> Vec<Vec<Reading>> {
    let at = |i: i64| 1_780_000_000_000 + i * 1_000;
    let mixed = |i: i64| Reading {
        quality: if i % 5 == 0 { Quality::OutOfRange } else { Quality::Good },
        ..reading(at(i) + i * i % 7, (i * 37 % 101) as f64 / 10.0)
    };
    vec![
        vec![reading(at(0), 1.5)],
        (0..60).map(|i| reading(at(i), 2.5)).collect(),
        (0..60).map(|i| reading(at(i), i as f64 / 10.0)).collect(),
        (0..200).map(mixed).collect(),
        (0..40)
            .map(|i| reading(at(i * i), f64::from_bits(0x4059_0000_0000_0000 ^ (i as u64) << 13)))
            .collect(),
    ]
}

/// Readings with values that are no numbers compare too.
fn bits(readings: &[Reading]) -> impl Iterator<Item = (i64, u64, Quality)> {
    readings.iter().map(|r| (r.timestamp.0, r.value.to_bits(), r.quality))
}

/// The kind of an outcome: how much was read, or why not, numbers aside.
fn kind<T>(outcome: &Result<Vec<T>, String>) -> (usize, String) {
    match outcome {
        Ok(read) => (read.len().min(4), String::new()),
        Err(reason) => (0, reason.chars().filter(|c| !c.is_ascii_digit()).collect()),
    }
}

#[test]
fn fuzzed_blocks_are_refused_or_read_whole() {
    // The number of readings, which stands in a block's row, before its body.
    let seeds = shapes().into_iter().map(|readings| {
        let block = Block::seal(SeriesId(0), 1, 1, &readings).unwrap();
        let content = &block.body[..block.body.len() - 4];
        [&(readings.len() as u16).to_le_bytes()[..], content].concat()
    });
    let template = Block::seal(SeriesId(0), 1, 1, &shapes()[0]).unwrap().summary;
    park_fuzz::target("blocks", seeds, |bytes| {
        let Some((count, content)) = bytes.split_first_chunk::<2>() else { return (0, String::new()) };
        let mut summary: Summary = template;
        summary.all.count = u64::from(u16::from_le_bytes(*count));
        let read = block::decode(&summary, &with_checksum(content));
        if let Ok(readings) = &read {
            assert_eq!(readings.len() as u64, summary.all.count);
        }
        // What is opened no further than a question needs is no other than what is opened whole.
        let (from, to) = (Timestamp(1_780_000_000_000 + 3_000), Timestamp(1_780_000_000_000 + 40_000));
        let within = block::decode_within(&summary, &with_checksum(content), from..to);
        if let Ok(readings) = &read
            && readings.is_sorted_by_key(|r| r.timestamp)
        {
            let within = within.as_ref().expect("what opens whole opens in part");
            let wanted: Vec<Reading> =
                readings.iter().filter(|r| (from..to).contains(&r.timestamp)).copied().collect();
            assert!(bits(&wanted).eq(bits(within)));
        }
        assert!(content.len() < 5 || block::decode(&summary, content).is_err(), "no checksum, no readings");
        kind(&read)
    });
}

/// Minutes in blocks' rows, hours of days and days of months: the unit first, then a pack.
#[test]
fn fuzzed_packs_are_refused_or_read_whole() {
    const UNITS_MS: [i64; 2] = [60_000, 3_600_000];
    let seeds = shapes().into_iter().flat_map(|readings| {
        UNITS_MS.iter().enumerate().map(move |(at, unit)| {
            let body = pack::pack(*unit, &Bucket::each(&readings, *unit)).unwrap();
            [&[at as u8][..], &body[..body.len() - 4]].concat()
        })
    });
    park_fuzz::target("packs", seeds.collect::<Vec<_>>(), |bytes| {
        let Some((unit, content)) = bytes.split_first() else { return (0, String::new()) };
        let unit_ms = UNITS_MS[usize::from(*unit) % UNITS_MS.len()];
        kind(&pack::unpack(unit_ms, &with_checksum(content)))
    });
}

#[test]
fn fuzzed_log_records_are_refused_or_read_and_say_the_same_again() {
    let mut batch = PointBatch::new();
    for (i, readings) in shapes().into_iter().enumerate() {
        for reading in readings.into_iter().take(5) {
            batch.push(SeriesId(i as u32 * 3), reading).unwrap();
        }
    }
    let key = SeriesKey { device: "bess-01".parse().unwrap(), measurement: "soc".parse().unwrap() };
    let names = vec![(SeriesId(0), key.clone()), (SeriesId(700), key)];
    let seeds = batch
        .records()
        .map(<[u8]>::to_vec)
        .chain([record::series(&names), record::delete_before(Timestamp(1_700_000_000_000))]);
    let seeds: Vec<Vec<u8>> = seeds.collect();
    park_fuzz::target("wal-records", seeds, |bytes| match Record::read(bytes) {
        Err(reason) => (0u8, 0, reason.chars().filter(|c| !c.is_ascii_digit()).collect::<String>()),
        Ok(Record::DeleteBefore(_)) => (1, 0, String::new()),
        Ok(Record::Series(names)) => {
            assert!(
                matches!(Record::read(&record::series(&names)), Ok(Record::Series(again)) if again == names)
            );
            (2, names.len().min(3), String::new())
        }
        Ok(Record::Points(mut points)) => {
            let read: Vec<(SeriesId, Reading)> = points.by_ref().collect();
            let mut again = PointBatch::new();
            let sound = read.iter().all(|(series, reading)| again.push(*series, *reading).is_ok());
            if sound {
                let mut copy = Vec::new();
                for bytes in again.records() {
                    let Ok(Record::Points(points)) = Record::read(bytes) else { panic!("points") };
                    copy.extend(points);
                }
                assert_eq!(copy, read);
            }
            (3, read.len().min(6), format!("{sound} {}", points.is_complete()))
        }
    });
}
