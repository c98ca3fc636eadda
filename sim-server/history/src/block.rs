//! A block: a stretch of one series' readings, compressed, with what answers most questions without opening it.
//!
//! ```text
//! body  = version 1 | flags | times | qualities | values | CRC-32C
//! times = a fixed step (meters tick evenly), or the offsets from the first one in pco
//! qualities = one for all, or runs of (length, code)
//! values = one for all, or pco
//! ```
//! The number of readings and the first time are in the block's row.

use crate::{
    aggregate::Aggregate,
    bucket::Bucket,
    month::Month,
    numbers::{compress, decompress, decompress_first, put_sized, take_sized},
    pack,
    series::SeriesId,
    varint,
};
use shared::{
    telemetry::{Quality, Reading},
    time::Timestamp,
};
use std::ops::Range;

const VERSION: u8 = 1;
const EVEN_TIMES: u8 = 1;
const ONE_VALUE: u8 = 2;
const ONE_QUALITY: u8 = 4;

/// No block holds more.
pub(crate) const MAX_POINTS: usize = 8_192;

/// What a block says about itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Summary {
    /// Unique, and greater than that of every block of the same series stored before: where two overlap, the greater wins.
    pub id: i64,
    pub all: Aggregate,
}

/// A block as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Block {
    pub series: SeriesId,
    pub summary: Summary,
    /// The log sequence number up to which the series is sealed once this block is there.
    pub sequence: u64,
    /// Merged for good: it holds all that was known of the hours it covers, and covers whole hours unless one hour is too
    /// much for a block. Loose blocks wait to be merged.
    pub merged: bool,
    /// Its minutes, packed; of a merged block that has many readings a minute.
    pub minutes: Option<Vec<u8>>,
    pub body: Vec<u8>,
}

pub(crate) const MINUTE_MS: i64 = 60_000;
/// Minutes are packed where they hold this many readings on average: below, the readings themselves are as quickly read.
const READINGS_A_MINUTE: usize = 4;

impl Block {
    /// Seals readings in the order of time, at most one an instant, not empty and no more than a block may hold.
    pub(crate) fn seal(
        series: SeriesId,
        id: i64,
        sequence: u64,
        readings: &[Reading],
    ) -> Result<Block, String> {
        let all = Aggregate::of_all(readings).ok_or("a block of nothing")?;
        if readings.len() > MAX_POINTS {
            return Err(format!("a block of {} readings", readings.len()));
        }
        let body = encode(readings)?;
        Ok(Block { series, summary: Summary { id, all }, sequence, merged: false, minutes: None, body })
    }

    /// Seals what no later merge need touch.
    pub(crate) fn seal_merged(
        series: SeriesId,
        id: i64,
        sequence: u64,
        readings: &[Reading],
    ) -> Result<Block, String> {
        let block = Block::seal(series, id, sequence, readings)?;
        let minutes = Bucket::each(readings, MINUTE_MS);
        let minutes = (readings.len() >= READINGS_A_MINUTE * minutes.len())
            .then(|| pack::pack(MINUTE_MS, &minutes))
            .transpose()?;
        Ok(Block { merged: true, minutes, ..block })
    }

    pub(crate) fn month(&self) -> Month {
        Month::of(self.summary.all.first_time)
    }

    pub(crate) fn span_ms(&self) -> i64 {
        self.summary.all.last_time.since(self.summary.all.first_time)
    }
}

/// Cuts readings (sorted) into the stretches that become blocks: none crosses a month, none mixes what came late, at or
/// before `frontier` (the newest sealed instant), with what came in order, so that late data makes few blocks overlap.
pub(crate) fn stretches(readings: &[Reading], frontier: Option<Timestamp>) -> Vec<&[Reading]> {
    let late = frontier.map_or(0, |t| readings.partition_point(|r| r.timestamp <= t));
    let mut stretches = Vec::new();
    for mut part in [&readings[..late], &readings[late..]] {
        while let Some(first) = part.first() {
            let month_end = Month::of(first.timestamp).end();
            let in_month = part.partition_point(|r| r.timestamp < month_end).max(1);
            // Even pieces rather than a full one and a crumb.
            let pieces = in_month.div_ceil(MAX_POINTS);
            let (now, rest) = part.split_at(in_month);
            stretches.extend(now.chunks(in_month.div_ceil(pieces)));
            part = rest;
        }
    }
    stretches
}

fn encode(readings: &[Reading]) -> Result<Vec<u8>, String> {
    let first = readings[0];
    let mut body = vec![VERSION, 0];
    let mut flags = 0;

    let step = readings.get(1).map_or(0, |r| r.timestamp.since(first.timestamp));
    if readings.windows(2).all(|w| w[1].timestamp.since(w[0].timestamp) == step) {
        flags |= EVEN_TIMES;
        varint::put_signed(&mut body, step);
    } else {
        let offsets: Vec<i64> = readings.iter().map(|r| r.timestamp.since(first.timestamp)).collect();
        put_sized(&mut body, |out| compress(&offsets, out))?;
    }

    if readings.iter().all(|r| r.quality == first.quality) {
        flags |= ONE_QUALITY;
        body.push(first.quality.code());
    } else {
        put_sized(&mut body, |out| {
            for run in readings.chunk_by(|a, b| a.quality == b.quality) {
                varint::put(out, run.len() as u64);
                out.push(run[0].quality.code());
            }
            Ok(())
        })?;
    }

    if readings.iter().all(|r| r.value.to_bits() == first.value.to_bits()) {
        flags |= ONE_VALUE;
        body.extend_from_slice(&first.value.to_le_bytes());
    } else {
        let values: Vec<f64> = readings.iter().map(|r| r.value).collect();
        compress(&values, &mut body)?;
    }

    body[1] = flags;
    let crc = crc32c::crc32c(&body);
    body.extend_from_slice(&crc.to_le_bytes());
    Ok(body)
}

/// Opens a block's body.
pub(crate) fn decode(summary: &Summary, body: &[u8]) -> Result<Vec<Reading>, String> {
    let readings = decode_within(summary, body, Timestamp(i64::MIN)..Timestamp(i64::MAX))?;
    if readings.len() as u64 == summary.all.count { Ok(readings) } else { Err("it is too short".to_owned()) }
}

/// Opens a block's body as far as its readings in a range need it, and gives these.
pub(crate) fn decode_within(
    summary: &Summary,
    body: &[u8],
    range: Range<Timestamp>,
) -> Result<Vec<Reading>, String> {
    let count = usize::try_from(summary.all.count).unwrap_or(usize::MAX);
    let short = || "it is too short".to_owned();
    let (content, crc) = body.split_last_chunk::<4>().ok_or_else(short)?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
        return Err("checksum mismatch".to_owned());
    }
    let (&[version, flags], mut rest) = content.split_first_chunk::<2>().ok_or_else(short)?;
    if version != VERSION {
        return Err(format!("unknown version {version}"));
    }
    if count == 0 || count > MAX_POINTS {
        return Err(format!("{count} readings"));
    }
    let start = summary.all.first_time.0;
    let times = if flags & EVEN_TIMES != 0 {
        Times::Even { start, step: varint::take_signed(&mut rest).ok_or_else(short)? }
    } else {
        let offsets = decompress::<i64>(take_sized(&mut rest).ok_or_else(short)?, count)?;
        Times::Each(offsets.into_iter().map(|offset| start.wrapping_add(offset)).collect())
    };
    let wanted = times.before(range.start, count)..times.before(range.end, count);
    let qualities = if flags & ONE_QUALITY != 0 {
        let (&code, after) = rest.split_first().ok_or_else(short)?;
        rest = after;
        vec![(count, quality(code)?)]
    } else {
        let mut runs = Vec::new();
        let mut part = take_sized(&mut rest).ok_or_else(short)?;
        let mut total = 0usize;
        while !part.is_empty() {
            let len = varint::take(&mut part).ok_or_else(short)?;
            let (&code, after) = part.split_first().ok_or_else(short)?;
            part = after;
            let len = usize::try_from(len).map_err(|e| e.to_string())?.min(count);
            total = total.saturating_add(len);
            runs.push((len, quality(code)?));
        }
        if total < count {
            return Err(short());
        }
        runs
    };
    let values = if flags & ONE_VALUE != 0 {
        let value = rest.try_into().map(f64::from_le_bytes).map_err(|_| short())?;
        vec![value; wanted.end]
    } else {
        decompress_first::<f64>(rest, count, wanted.end)?
    };
    let mut readings = Vec::with_capacity(wanted.len());
    let mut run_start = 0usize;
    for (len, quality) in qualities {
        let run_end = run_start.saturating_add(len);
        let run = run_start.max(wanted.start)..run_end.min(wanted.end);
        let of_run = values.get(run.clone()).unwrap_or_default();
        let reading =
            |(index, value): (usize, &f64)| Reading { value: *value, timestamp: times.at(index), quality };
        readings.extend(run.zip(of_run).map(reading));
        run_start = run_end;
    }
    Ok(readings)
}

/// When a block's readings were taken.
enum Times {
    Even { start: i64, step: i64 },
    Each(Vec<i64>),
}

impl Times {
    fn at(&self, index: usize) -> Timestamp {
        Timestamp(match self {
            Times::Even { start, step } => start.wrapping_add(step.wrapping_mul(index as i64)),
            Times::Each(times) => times[index],
        })
    }

    /// How many of `count` readings were taken before an instant.
    fn before(&self, end: Timestamp, count: usize) -> usize {
        match self {
            Times::Even { start, step } => {
                let away = i128::from(end.0) - i128::from(*start);
                let steps = match i128::from(*step) {
                    ..=0 if away <= 0 => 0,
                    ..=0 => count as i128,
                    step => (away + step - 1).div_euclid(step),
                };
                steps.clamp(0, count as i128) as usize
            }
            Times::Each(times) => times.partition_point(|t| *t < end.0),
        }
    }
}

fn quality(code: u8) -> Result<Quality, String> {
    Quality::from_code(code).ok_or_else(|| format!("unknown quality {code}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn readings() -> impl Strategy<Value = Vec<Reading>> {
        let step = prop_oneof![3 => Just(1_000i64), 1 => 1..100_000i64];
        let value = prop_oneof![3 => (0i32..5_000).prop_map(|v| f64::from(v) / 10.0), 1 => -1e12f64..1e12];
        let quality = prop_oneof![9 => Just(0u8), 1 => 0..3u8];
        let steps = prop::collection::vec((step, value, quality), 1..600);
        (0i64..2_000_000_000_000, any::<bool>(), any::<bool>(), steps).prop_map(
            |(start, even, flat, steps)| {
                let mut t = start;
                let mut readings = Vec::new();
                for (step, value, quality) in steps {
                    t += if even { 1_000 } else { step };
                    let value = if flat { 12.5 } else { value };
                    let quality = Quality::from_code(if flat { 0 } else { quality }).unwrap();
                    readings.push(Reading { value, timestamp: Timestamp(t), quality });
                }
                readings
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn blocks_round_trip_and_their_summaries_are_true(readings in readings()) {
            let block = Block::seal(SeriesId(3), 9, 40, &readings).unwrap();
            prop_assert_eq!(&decode(&block.summary, &block.body).unwrap(), &readings);
            prop_assert_eq!(Some(block.summary.all), Aggregate::of_all(&readings));
        }

        #[test]
        fn a_part_of_a_block_is_what_lies_in_the_range(
            readings in readings(),
            (from, to) in (-1_000i64..700_000, -1_000i64..700_000),
            ends in any::<bool>(),
        ) {
            let block = Block::seal(SeriesId(3), 9, 40, &readings).unwrap();
            let first = readings[0].timestamp.0;
            let at = |ms: i64| Timestamp(if ends { readings[ms.unsigned_abs() as usize % readings.len()].timestamp.0 } else { first + ms });
            let range = at(from)..at(to);
            let within: Vec<Reading> = readings.iter().copied().filter(|r| range.contains(&r.timestamp)).collect();
            prop_assert_eq!(decode_within(&block.summary, &block.body, range).unwrap(), within);
        }

        #[test]
        fn no_body_makes_decoding_panic(mut body in prop::collection::vec(any::<u8>(), 2..300), count in 0u32..600) {
            let seed = Block::seal(SeriesId(0), 1, 1, &[Reading { value: 1.0, timestamp: Timestamp(1), quality: Quality::Good }]).unwrap();
            body[0] = VERSION;
            let crc = crc32c::crc32c(&body);
            body.extend_from_slice(&crc.to_le_bytes());
            let mut summary = seed.summary;
            summary.all.count = u64::from(count);
            let _ = decode(&summary, &body);
        }

        #[test]
        fn stretches_cover_everything_once_and_stay_in_their_month(readings in readings(), frontier in 0usize..600) {
            let frontier = readings.get(frontier).map(|r| r.timestamp);
            let parts = stretches(&readings, frontier);
            prop_assert_eq!(&parts.concat(), &readings);
            for part in parts {
                prop_assert_eq!(Month::of(part[0].timestamp), Month::of(part[part.len() - 1].timestamp));
                let late = |r: &Reading| frontier.is_some_and(|f| r.timestamp <= f);
                prop_assert_eq!(late(&part[0]), late(&part[part.len() - 1]));
            }
        }
    }

    #[test]
    fn a_damaged_body_is_named_and_not_read() {
        let readings: Vec<_> = (0..100)
            .map(|i| Reading {
                value: f64::from(i % 7),
                timestamp: Timestamp(i64::from(i)),
                quality: Quality::Good,
            })
            .collect();
        let mut block = Block::seal(SeriesId(0), 1, 1, &readings).unwrap();
        block.body[9] ^= 1;
        assert_eq!(decode(&block.summary, &block.body), Err("checksum mismatch".to_owned()));
    }

    #[test]
    fn long_heads_become_even_blocks() {
        let readings: Vec<_> = (0..20_000)
            .map(|i| Reading { value: 1.0, timestamp: Timestamp(i), quality: Quality::Good })
            .collect();
        let sizes: Vec<usize> = stretches(&readings, None).iter().map(|s| s.len()).collect();
        assert_eq!(sizes, [6_667, 6_667, 6_666]);
    }
}
