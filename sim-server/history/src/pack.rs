//! Buckets of one length, packed: a column for each figure.
//!
//! ```text
//! body   = version 1 | entries | starts | counts | first times | last times | min | max | first | last | sum | integral | rise | CRC-32C
//! starts = in steps, from one to the next; times = from the bucket's start, ms
//! column = 0 and one number for all, or 1 and pco; 2 alone where the others say it; short ones 3, decimal places and the steps
//!          from one to the next in those, or 4 and the numbers as they are
//! ```

use crate::{
    aggregate::Aggregate,
    bucket::Bucket,
    numbers::{compress, decompress, put_sized, take_sized},
    varint,
};
use pco::data_types::Number;
use shared::time::Timestamp;

const VERSION: u8 = 1;
const SAME: u8 = 0;
const EACH: u8 = 1;
const DERIVED: u8 = 2;
const DECIMAL: u8 = 3;
const PLAIN: u8 = 4;
/// Opening a column of pco takes as long as opening many numbers: not worth it for so few.
const SHORT: usize = 64;
/// Meters round to so many places at most.
const PLACES: u8 = 3;
const POWERS: [f64; PLACES as usize + 1] = [1.0, 10.0, 100.0, 1_000.0];
/// Integers below this are exact as doubles.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// What follows from other columns is left out when it differs by no more than adding in another order does.
const ROUNDING: f64 = 1e-12;
/// No pack holds more: a month of minutes.
const MAX_ENTRIES: usize = 31 * 24 * 60;

/// Packs buckets `step_ms` long that begin at multiples of it, oldest first.
pub(crate) fn pack(step_ms: i64, buckets: &[Bucket]) -> Result<Vec<u8>, String> {
    let mut body = vec![VERSION];
    varint::put(&mut body, buckets.len() as u64);
    let mut before = 0;
    let starts = buckets.iter().map(|b| {
        let number = b.start.0.div_euclid(step_ms);
        number - std::mem::replace(&mut before, number)
    });
    let starts: Vec<i64> = starts.collect();
    // The first is a date and the others nearly all 1: apart, each is short.
    varint::put_signed(&mut body, starts.first().copied().unwrap_or(0));
    put_column(&mut body, starts.get(1..).unwrap_or_default())?;
    let whole = |of: fn(&Bucket) -> i64| -> Vec<i64> { buckets.iter().map(of).collect() };
    put_column(&mut body, &whole(|b| b.all.count as i64))?;
    put_column(&mut body, &whole(|b| b.all.first_time.since(b.start)))?;
    put_column(&mut body, &whole(|b| b.all.last_time.since(b.start)))?;
    for of in FIGURES {
        let column: Vec<f64> = buckets.iter().map(|b| of(&b.all)).collect();
        put_column(&mut body, &column)?;
    }
    for (of, derive) in DERIVABLE {
        if buckets.iter().all(|b| is_nearly(of(&b.all), derive(&b.all), scale(&b.all))) {
            body.push(DERIVED);
        } else {
            let column: Vec<f64> = buckets.iter().map(|b| of(&b.all)).collect();
            put_column(&mut body, &column)?;
        }
    }
    let crc = crc32c::crc32c(&body);
    body.extend_from_slice(&crc.to_le_bytes());
    Ok(body)
}

type Figure = fn(&Aggregate) -> f64;

const FIGURES: [Figure; 5] = [|a| a.min, |a| a.max, |a| a.first, |a| a.last, |a| a.sum];
/// The integral of readings that came evenly, the rise of what never fell.
const DERIVABLE: [(Figure, Figure); 2] = [
    (|a| a.integral, |a| (a.sum - a.last) * interval_ms(a)),
    (|a| a.rise, |a| if a.last >= a.first { a.last - a.first } else { f64::NAN }),
];

fn interval_ms(all: &Aggregate) -> f64 {
    all.last_time.since(all.first_time) as f64 / (all.count.max(2) - 1) as f64
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
    if version != VERSION {
        return Err(format!("unknown version {version}"));
    }
    let entries = varint::take(&mut rest).and_then(|n| usize::try_from(n).ok()).ok_or_else(short)?;
    if entries > MAX_ENTRIES {
        return Err(format!("{entries} entries"));
    }
    let mut number = varint::take_signed(&mut rest).ok_or_else(short)?;
    let steps = take_column::<i64>(&mut rest, entries.saturating_sub(1))?;
    let counts = take_column::<i64>(&mut rest, entries)?;
    let first_times = take_column::<i64>(&mut rest, entries)?;
    let last_times = take_column::<i64>(&mut rest, entries)?;
    let mut figures = Vec::with_capacity(FIGURES.len());
    for _ in FIGURES {
        figures.push(take_column::<f64>(&mut rest, entries)?);
    }
    let mut derivable = Vec::with_capacity(DERIVABLE.len());
    for _ in DERIVABLE {
        derivable.push(match rest.split_first() {
            Some((&DERIVED, after)) => {
                rest = after;
                None
            }
            _ => Some(take_column::<f64>(&mut rest, entries)?),
        });
    }
    let mut buckets = Vec::with_capacity(entries);
    for i in 0..entries {
        if i > 0 {
            number = number.wrapping_add(steps[i - 1]);
        }
        let start = Timestamp(number.wrapping_mul(step_ms));
        let [min, max, first, last, sum] = std::array::from_fn(|f| figures[f][i]);
        let mut all = Aggregate {
            count: u64::try_from(counts[i]).map_err(|_| format!("{} readings", counts[i]))?,
            sum,
            min,
            max,
            first,
            last,
            first_time: Timestamp(start.0.wrapping_add(first_times[i])),
            last_time: Timestamp(start.0.wrapping_add(last_times[i])),
            integral: 0.0,
            rise: 0.0,
        };
        let mut derived = DERIVABLE
            .iter()
            .zip(&derivable)
            .map(|((_, derive), column)| column.as_ref().map_or_else(|| derive(&all), |column| column[i]));
        let (integral, rise) = (derived.next().unwrap_or(0.0), derived.next().unwrap_or(0.0));
        (all.integral, all.rise) = (integral, rise);
        buckets.push(Bucket { start, all });
    }
    Ok(buckets)
}

/// A number as eight bytes.
trait Eight: Number + Default {
    fn bytes(self) -> [u8; 8];
    fn of_bytes(bytes: [u8; 8]) -> Self;
    /// The integer of so many decimal places that is exactly this number.
    fn in_places(self, places: u8) -> Option<i64>;
    fn of_places(integer: i64, places: u8) -> Self;
}

impl Eight for i64 {
    fn bytes(self) -> [u8; 8] {
        self.to_le_bytes()
    }
    fn of_bytes(bytes: [u8; 8]) -> Self {
        i64::from_le_bytes(bytes)
    }
    fn in_places(self, places: u8) -> Option<i64> {
        (places == 0).then_some(self)
    }
    fn of_places(integer: i64, _: u8) -> Self {
        integer
    }
}

impl Eight for f64 {
    fn bytes(self) -> [u8; 8] {
        self.to_le_bytes()
    }
    fn of_bytes(bytes: [u8; 8]) -> Self {
        f64::from_le_bytes(bytes)
    }
    fn in_places(self, places: u8) -> Option<i64> {
        let integer = (self * POWERS[usize::from(places)]).round();
        let exact =
            integer.abs() < EXACT && f64::of_places(integer as i64, places).to_bits() == self.to_bits();
        exact.then_some(integer as i64)
    }
    fn of_places(integer: i64, places: u8) -> Self {
        integer as f64 / POWERS[usize::from(places)]
    }
}

fn put_column<T: Eight>(out: &mut Vec<u8>, column: &[T]) -> Result<(), String> {
    let first = column.first().copied().unwrap_or_default();
    if column.iter().all(|v| v.bytes() == first.bytes()) {
        out.push(SAME);
        out.extend_from_slice(&first.bytes());
        Ok(())
    } else if column.len() <= SHORT {
        put_short(out, column);
        Ok(())
    } else {
        out.push(EACH);
        put_sized(out, |out| compress(column, out))
    }
}

fn put_short<T: Eight>(out: &mut Vec<u8>, column: &[T]) {
    let in_places = |places| column.iter().map(|v| v.in_places(places)).collect::<Option<Vec<i64>>>();
    match (0..=PLACES).find_map(|places| Some((places, in_places(places)?))) {
        Some((places, integers)) => {
            out.extend_from_slice(&[DECIMAL, places]);
            let mut before = 0i64;
            for integer in integers {
                varint::put_signed(out, integer.wrapping_sub(std::mem::replace(&mut before, integer)));
            }
        }
        None => {
            out.push(PLAIN);
            column.iter().for_each(|v| out.extend_from_slice(&v.bytes()));
        }
    }
}

fn take_column<T: Eight>(bytes: &mut &[u8], count: usize) -> Result<Vec<T>, String> {
    let short = || "it is too short".to_owned();
    let (&kind, rest) = bytes.split_first().ok_or_else(short)?;
    *bytes = rest;
    match kind {
        SAME => {
            let (value, rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
            *bytes = rest;
            Ok(vec![T::of_bytes(*value); count])
        }
        EACH => decompress(take_sized(bytes).ok_or_else(short)?, count),
        DECIMAL => {
            let (&places, rest) = bytes.split_first().ok_or_else(short)?;
            *bytes = rest;
            if places > PLACES {
                return Err(format!("{places} decimal places"));
            }
            let mut integer = 0i64;
            let mut column = Vec::with_capacity(count);
            for _ in 0..count {
                integer = integer.wrapping_add(varint::take_signed(bytes).ok_or_else(short)?);
                column.push(T::of_places(integer, places));
            }
            Ok(column)
        }
        PLAIN => {
            let (numbers, rest) = bytes.split_at_checked(count * 8).ok_or_else(short)?;
            *bytes = rest;
            let (numbers, _) = numbers.as_chunks::<8>();
            Ok(numbers.iter().map(|eight| T::of_bytes(*eight)).collect())
        }
        other => Err(format!("a column of unknown kind {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shared::telemetry::{Quality, Reading};

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn packs_round_trip(steps in prop::collection::vec((1i64..200_000, -500i32..500), 0..400), flat in any::<bool>()) {
            let mut t = 1_750_000_000_123;
            let readings: Vec<Reading> = steps.into_iter().map(|(step, value)| {
                t += if flat { 1_000 } else { step };
                let value = if flat { 2.5 } else { f64::from(value) / 10.0 };
                Reading { value, timestamp: Timestamp(t), quality: Quality::Good }
            }).collect();
            let buckets = Bucket::each(&readings, 60_000);
            let body = pack(60_000, &buckets).unwrap();
            let unpacked = unpack(60_000, &body).unwrap();
            prop_assert_eq!(unpacked.len(), buckets.len());
            for (unpacked, bucket) in unpacked.iter().zip(&buckets) {
                let (mut got, wanted) = (unpacked.all, bucket.all);
                prop_assert!((got.integral - wanted.integral).abs() <= 1e-9 * wanted.integral.abs().max(1.0));
                prop_assert!((got.rise - wanted.rise).abs() <= 1e-9 * wanted.rise.abs().max(1.0));
                (got.integral, got.rise) = (wanted.integral, wanted.rise);
                prop_assert_eq!((unpacked.start, got), (bucket.start, wanted));
            }
        }

        #[test]
        fn no_body_makes_unpacking_panic(mut body in prop::collection::vec(any::<u8>(), 1..300)) {
            body[0] = VERSION;
            let crc = crc32c::crc32c(&body);
            body.extend_from_slice(&crc.to_le_bytes());
            let _ = unpack(60_000, &body);
        }
    }
}
