//! Buckets of one length, packed: a column for each figure.
//!
//! ```text
//! body    = version 2 | entries | starts | counts | first times | last times | places | figures | CRC-32C
//! starts  = in steps: the first, then a column of those from one to the next; times = from the bucket's start, ms
//! places  = decimal places of readings that were rounded to so many: their figures are integers (`decimal`); or 255, and these
//! figures = min | max | first | last | sum | integral | rise, doubles each, or 2 alone for one of the last two that the others say
//! ```
//! Version 1 has no places, and other columns (`column`).

mod column;
mod decimal;

use crate::{aggregate::Aggregate, bucket::Bucket, varint};
use shared::time::Timestamp;

const VERSION: u8 = 2;
const VERSION_1: u8 = 1;
const DERIVED: u8 = 2;
const NOT_ROUNDED: u8 = 255;
/// What follows from other columns is left out when it differs by no more than adding in another order does.
const ROUNDING: f64 = 1e-12;
/// No pack holds more: a month of minutes.
const MAX_ENTRIES: usize = 31 * 24 * 60;

/// Packs buckets `step_ms` long that begin at multiples of it, oldest first.
pub(crate) fn pack(step_ms: i64, buckets: &[Bucket]) -> Result<Vec<u8>, String> {
    let mut body = vec![VERSION];
    varint::put(&mut body, buckets.len() as u64);
    let number = |bucket: &Bucket| bucket.start.0.div_euclid(step_ms);
    varint::put_signed(&mut body, buckets.first().map_or(0, number));
    let steps = buckets.windows(2).map(|w| number(&w[1]).wrapping_sub(number(&w[0])));
    column::put_about(&mut body, &steps.collect::<Vec<i64>>())?;
    let mut each =
        |of: fn(&Bucket) -> i64| column::put_about(&mut body, &buckets.iter().map(of).collect::<Vec<i64>>());
    each(|b| b.all.count as i64)?;
    each(|b| b.all.first_time.since(b.start))?;
    each(|b| b.all.last_time.since(b.start))?;
    if !decimal::put(&mut body, buckets)? {
        body.push(NOT_ROUNDED);
        put_doubles(&mut body, buckets)?;
    }
    let crc = crc32c::crc32c(&body);
    body.extend_from_slice(&crc.to_le_bytes());
    Ok(body)
}

fn put_doubles(body: &mut Vec<u8>, buckets: &[Bucket]) -> Result<(), String> {
    let column = |of: Figure| -> Vec<f64> { buckets.iter().map(|b| of(&b.all)).collect() };
    for of in FIGURES {
        column::put_doubles(body, &column(of))?;
    }
    for (of, derive) in DERIVABLE {
        if buckets.iter().all(|b| is_nearly(of(&b.all), derive(&b.all), scale(&b.all))) {
            body.push(DERIVED);
        } else {
            column::put_doubles(body, &column(of))?;
        }
    }
    Ok(())
}

type Figure = fn(&Aggregate) -> f64;

const FIGURES: [Figure; 5] = [|a| a.min, |a| a.max, |a| a.first, |a| a.last, |a| a.sum];
/// The integral of readings that came evenly, the rise of what never fell.
const DERIVABLE: [(Figure, Figure); 2] = [
    (|a| a.integral, |a| (a.sum - a.last) * interval_ms(a)),
    (|a| a.rise, |a| if a.last >= a.first { a.last - a.first } else { f64::NAN }),
];

/// From one reading to the next where they came evenly.
fn interval_ms(all: &Aggregate) -> f64 {
    all.last_time.0.wrapping_sub(all.first_time.0) as f64 / (all.count.max(2) - 1) as f64
}

fn is_nearly(one: f64, other: f64, scale: f64) -> bool {
    one == other || (one - other).abs() <= scale * ROUNDING
}

/// What figures of this size are rounded against.
fn scale(all: &Aggregate) -> f64 {
    all.min.abs().max(all.max.abs()) * all.count as f64 * interval_ms(all).max(1.0)
}

/// Opens a pack of buckets `step_ms` long.
pub(crate) fn unpack(step_ms: i64, body: &[u8]) -> Result<Vec<Bucket>, String> {
    let short = || "it is too short".to_owned();
    let (content, crc) = body.split_last_chunk::<4>().ok_or_else(short)?;
    if crc32c::crc32c(content) != u32::from_le_bytes(*crc) {
        return Err("checksum mismatch".to_owned());
    }
    let (&version, mut rest) = content.split_first().ok_or_else(short)?;
    if !matches!(version, VERSION | VERSION_1) {
        return Err(format!("unknown version {version}"));
    }
    let entries = varint::take(&mut rest).and_then(|n| usize::try_from(n).ok()).ok_or_else(short)?;
    if entries > MAX_ENTRIES {
        return Err(format!("{entries} entries"));
    }
    let mut number = varint::take_signed(&mut rest).ok_or_else(short)?;
    let mut integers = |count| match version {
        VERSION_1 => column::take::<i64>(&mut rest, count),
        _ => column::take_about(&mut rest, count),
    };
    let steps = integers(entries.saturating_sub(1))?;
    let (counts, first_times, last_times) = (integers(entries)?, integers(entries)?, integers(entries)?);
    let mut buckets = Vec::with_capacity(entries);
    for i in 0..entries {
        if i > 0 {
            number = number.wrapping_add(steps[i - 1]);
        }
        let start = Timestamp(number.wrapping_mul(step_ms));
        let all = Aggregate {
            count: u64::try_from(counts[i]).map_err(|_| format!("{} readings", counts[i]))?,
            sum: 0.0,
            min: 0.0,
            max: 0.0,
            first: 0.0,
            last: 0.0,
            first_time: Timestamp(start.0.wrapping_add(first_times[i])),
            last_time: Timestamp(start.0.wrapping_add(last_times[i])),
            integral: 0.0,
            rise: 0.0,
        };
        buckets.push(Bucket { start, all });
    }
    let places = match version {
        VERSION_1 => NOT_ROUNDED,
        _ => {
            let (&places, after) = rest.split_first().ok_or_else(short)?;
            rest = after;
            places
        }
    };
    match places {
        NOT_ROUNDED => take_doubles(&mut rest, &mut buckets)?,
        places if decimal::are_places(places) => decimal::take(&mut rest, places, &mut buckets)?,
        places => return Err(format!("{places} decimal places")),
    }
    Ok(buckets)
}

fn take_doubles(rest: &mut &[u8], buckets: &mut [Bucket]) -> Result<(), String> {
    let entries = buckets.len();
    let mut figures = Vec::with_capacity(FIGURES.len());
    for _ in FIGURES {
        figures.push(column::take::<f64>(rest, entries)?);
    }
    let mut derivable = Vec::with_capacity(DERIVABLE.len());
    for _ in DERIVABLE {
        derivable.push(match rest.split_first() {
            Some((&DERIVED, after)) => {
                *rest = after;
                None
            }
            _ => Some(column::take::<f64>(rest, entries)?),
        });
    }
    for (i, Bucket { all, .. }) in buckets.iter_mut().enumerate() {
        [all.min, all.max, all.first, all.last, all.sum] = std::array::from_fn(|f| figures[f][i]);
        let mut derived = DERIVABLE
            .iter()
            .zip(&derivable)
            .map(|((_, derive), column)| column.as_ref().map_or_else(|| derive(all), |column| column[i]));
        let (integral, rise) = (derived.next().unwrap_or(0.0), derived.next().unwrap_or(0.0));
        (all.integral, all.rise) = (integral, rise);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numbers::{compress, put_sized};
    use proptest::prelude::*;
    use shared::telemetry::{Quality, Reading};

    fn buckets(steps: Vec<(i64, f64)>) -> Vec<Bucket> {
        let mut t = 1_750_000_000_123;
        let readings: Vec<Reading> = steps
            .into_iter()
            .map(|(step, value)| {
                t += step;
                Reading { value, timestamp: Timestamp(t), quality: Quality::Good }
            })
            .collect();
        Bucket::each(&readings, 60_000)
    }

    /// The same but for what is added up, which may differ by what adding loses.
    fn same(unpacked: &[Bucket], buckets: &[Bucket]) -> Result<(), TestCaseError> {
        prop_assert_eq!(unpacked.len(), buckets.len());
        for (unpacked, bucket) in unpacked.iter().zip(buckets) {
            let (mut got, wanted) = (unpacked.all, bucket.all);
            let largest = wanted.min.abs().max(wanted.max.abs()) * wanted.count as f64;
            let lasting = largest * wanted.last_time.since(wanted.first_time).max(1) as f64;
            prop_assert!((got.sum - wanted.sum).abs() <= 1e-12 * largest, "{} {}", got.sum, wanted.sum);
            prop_assert!((got.rise - wanted.rise).abs() <= 1e-12 * largest, "{} {}", got.rise, wanted.rise);
            prop_assert!((got.integral - wanted.integral).abs() <= 1e-12 * lasting);
            (got.integral, got.rise, got.sum) = (wanted.integral, wanted.rise, wanted.sum);
            prop_assert_eq!((unpacked.start, got), (bucket.start, wanted));
        }
        Ok(())
    }

    /// As version 1 was written: short columns of doubles in decimal places, or as they are; integers alike.
    fn pack_1(step_ms: i64, buckets: &[Bucket], in_places: Option<u8>) -> Vec<u8> {
        let mut body = vec![VERSION_1];
        varint::put(&mut body, buckets.len() as u64);
        let number = |b: &Bucket| b.start.0.div_euclid(step_ms);
        varint::put_signed(&mut body, buckets.first().map_or(0, number));
        let put = |body: &mut Vec<u8>, places: u8, integers: Vec<i64>| {
            body.extend_from_slice(&[3, places]);
            let mut before = 0i64;
            for integer in integers {
                varint::put_signed(body, integer - std::mem::replace(&mut before, integer));
            }
        };
        put(&mut body, 0, buckets.windows(2).map(|w| number(&w[1]) - number(&w[0])).collect());
        let counts: Vec<i64> = buckets.iter().map(|b| b.all.count as i64).collect();
        match counts.first() {
            Some(first) if counts.iter().all(|count| count == first) => {
                body.push(0);
                body.extend_from_slice(&first.to_le_bytes());
            }
            _ => put(&mut body, 0, counts),
        }
        put(&mut body, 0, buckets.iter().map(|b| b.all.first_time.since(b.start)).collect());
        body.push(1);
        let last: Vec<i64> = buckets.iter().map(|b| b.all.last_time.since(b.start)).collect();
        put_sized(&mut body, |out| compress(&last, out)).unwrap();
        let derived: [Figure; 2] = [|a| a.integral, |a| a.rise];
        for (place, of) in FIGURES.into_iter().chain(derived).enumerate() {
            let column: Vec<f64> = buckets.iter().map(|b| of(&b.all)).collect();
            match in_places {
                Some(places) if place < 4 => {
                    let integers = column.iter().map(|v| decimal::in_places(*v, places).unwrap()).collect();
                    put(&mut body, places, integers);
                }
                _ => {
                    body.push(4);
                    column.iter().for_each(|v| body.extend_from_slice(&v.to_le_bytes()));
                }
            }
        }
        let crc = crc32c::crc32c(&body);
        body.extend_from_slice(&crc.to_le_bytes());
        body
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn packs_round_trip(
            steps in prop::collection::vec((1i64..200_000, -500_000i32..500_000), 0..900),
            (even, flat, counts) in any::<(bool, bool, bool)>(),
            divisor in prop_oneof![Just(1.0), Just(10.0), Just(1e3), Just(1e6), Just(3.0)],
        ) {
            let mut counter = 0.0;
            let steps = steps.into_iter().map(|(step, value)| {
                let value = if flat { 2.5 } else { f64::from(value) / divisor };
                counter += value.abs();
                (if even { 1_000 } else { step }, if counts { counter } else { value })
            });
            let buckets = buckets(steps.collect());
            same(&unpack(60_000, &pack(60_000, &buckets).unwrap()).unwrap(), &buckets)?;
        }

        #[test]
        fn packs_of_the_first_version_are_read(
            steps in prop::collection::vec((1i64..200_000, -500i32..500), 1..100),
            rounded in any::<bool>(),
        ) {
            let divisor = if rounded { 10.0 } else { 3.0 };
            let buckets = buckets(steps.into_iter().map(|(step, v)| (step, f64::from(v) / divisor)).collect());
            let body = pack_1(60_000, &buckets, rounded.then_some(1));
            prop_assert_eq!(unpack(60_000, &body).unwrap(), buckets);
        }

        #[test]
        fn no_body_makes_unpacking_panic(mut body in prop::collection::vec(any::<u8>(), 1..300)) {
            body[0] = if body[0] < 128 { VERSION } else { VERSION_1 };
            let crc = crc32c::crc32c(&body);
            body.extend_from_slice(&crc.to_le_bytes());
            let _ = unpack(60_000, &body);
        }
    }

    #[test]
    fn times_that_cannot_be_are_no_overflow() {
        let mut body = vec![VERSION];
        varint::put(&mut body, 2);
        varint::put_signed(&mut body, 0);
        // Steps, counts, and times as far apart as can be; then what figures there are.
        for column in [&[1][..], &[3, 5], &[i64::MIN, 0], &[i64::MAX, -1]] {
            column::put_about(&mut body, column).unwrap();
        }
        body.push(3);
        for column in [&[7, 9][..]; 10] {
            column::put_integers(&mut body, column).unwrap();
        }
        let crc = crc32c::crc32c(&body);
        body.extend_from_slice(&crc.to_le_bytes());
        let _ = unpack(60_000, &body);
    }

    #[test]
    fn minutes_of_a_lively_meter_take_few_bytes() {
        // A power that wanders by up to 2 kW a second, to 0.01 kW; noise of the same every time.
        let (mut level, mut state) = (100.0f64, 7u64);
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            level += (state >> 11) as f64 / (1u64 << 52) as f64 * 2.0 - 2.0;
            (level * 100.0).round() / 100.0
        };
        let buckets = buckets((0..7_200).map(|_| (1_000, next())).collect());
        let body = pack(60_000, &buckets).unwrap();
        let a_minute = body.len() as f64 / buckets.len() as f64;
        assert!(a_minute < 12.0, "{a_minute} bytes");
    }
}
