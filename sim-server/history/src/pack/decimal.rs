//! Figures of readings that were rounded to decimal places: integers, each less what the others lead one to expect.
//!
//! What was added up is a whole number of such places too, but for what adding doubles loses: it is kept as that number.

use super::{column, interval_ms, is_nearly};
use crate::{
    aggregate::Aggregate,
    bucket::Bucket,
    varint::{self, unzigzag, zigzag},
};

/// Meters round to so many places at most.
const PLACES: u8 = 6;
const POWERS: [f64; PLACES as usize + 1] = [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6];
/// Integers below this are exact as doubles.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The figures of a bucket in units of a decimal place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Whole {
    min: i64,
    max: i64,
    first: i64,
    last: i64,
    sum: i64,
    rise: i64,
    integral: i64,
}

/// The integer of so many decimal places that is exactly this number.
pub(super) fn in_places(number: f64, places: u8) -> Option<i64> {
    let integer = (number * POWERS[usize::from(places)]).round();
    let exact = integer.abs() < EXACT && of_places(integer as i64, places).to_bits() == number.to_bits();
    exact.then_some(integer as i64)
}

pub(super) fn of_places(integer: i64, places: u8) -> f64 {
    integer as f64 / POWERS[usize::from(places)]
}

pub(super) fn are_places(places: u8) -> bool {
    places <= PLACES
}

/// The integer that a number made by adding must be.
fn nearly_in_places(number: f64, places: u8, scale: f64) -> Option<i64> {
    let integer = (number * POWERS[usize::from(places)]).round();
    let is_near = integer.abs() < EXACT && is_nearly(of_places(integer as i64, places), number, scale);
    is_near.then_some(integer as i64)
}

impl Whole {
    fn of(all: &Aggregate, places: u8) -> Option<Whole> {
        let exactly = |number| in_places(number, places);
        let largest = all.min.abs().max(all.max.abs());
        let added = largest * all.count as f64;
        let lasting = largest * all.last_time.since(all.first_time) as f64;
        Some(Whole {
            min: exactly(all.min)?,
            max: exactly(all.max)?,
            first: exactly(all.first)?,
            last: exactly(all.last)?,
            sum: nearly_in_places(all.sum, places, added)?,
            rise: nearly_in_places(all.rise, places, added)?,
            integral: nearly_in_places(all.integral, places, lasting)?,
        })
    }

    fn fill(&self, all: &mut Aggregate, places: u8) {
        let number = |integer| of_places(integer, places);
        (all.min, all.max, all.first, all.last) =
            (number(self.min), number(self.max), number(self.first), number(self.last));
        (all.sum, all.rise, all.integral) = (number(self.sum), number(self.rise), number(self.integral));
    }
}

/// What a sum is like: readings evenly about the middle of the least and the greatest.
fn expected_sum(count: u64, min: i64, max: i64) -> i64 {
    (count as i64).wrapping_mul(min.wrapping_add(max)) >> 1
}

/// The integral of readings that came evenly.
fn expected_integral(all: &Aggregate, sum: i64, last: i64) -> i64 {
    (sum.wrapping_sub(last) as f64 * interval_ms(all)).round() as i64
}

/// Puts the figures of buckets, if they are whole numbers of the same few decimal places; says whether it has.
pub(super) fn put(body: &mut Vec<u8>, buckets: &[Bucket]) -> Result<bool, String> {
    let whole = |places| buckets.iter().map(|b| Whole::of(&b.all, places)).collect::<Option<Vec<Whole>>>();
    let Some((places, whole)) = (0..=PLACES).find_map(|places| Some((places, whole(places)?))) else {
        return Ok(false);
    };
    body.push(places);
    let anchor = whole.first().map_or(0, |w| w.first);
    varint::put_signed(body, anchor);
    let befores = [anchor].into_iter().chain(whole.iter().map(|w| w.last));
    let first = whole.iter().zip(befores).map(|(w, before)| zigzag(w.first.wrapping_sub(before)));
    column::put_integers(body, &first.collect::<Vec<u64>>())?;
    let mut each =
        |of: &dyn Fn(&Whole) -> u64| column::put_integers(body, &whole.iter().map(of).collect::<Vec<u64>>());
    each(&|w| zigzag(w.last.wrapping_sub(w.first)))?;
    each(&|w| w.max.wrapping_sub(w.first.max(w.last)) as u64)?;
    each(&|w| w.first.min(w.last).wrapping_sub(w.min) as u64)?;
    let sums = whole.iter().zip(buckets);
    let sums = sums.map(|(w, b)| zigzag(w.sum.wrapping_sub(expected_sum(b.all.count, w.min, w.max))));
    column::put_integers(body, &sums.collect::<Vec<u64>>())?;
    // Of what never falls, nothing; else about as much in each.
    let rises: Vec<i64> = whole.iter().map(|w| w.rise.wrapping_sub(w.last.wrapping_sub(w.first))).collect();
    column::put_about(body, &rises)?;
    let integrals = whole.iter().zip(buckets);
    let integrals =
        integrals.map(|(w, b)| zigzag(w.integral.wrapping_sub(expected_integral(&b.all, w.sum, w.last))));
    column::put_integers(body, &integrals.collect::<Vec<u64>>())?;
    Ok(true)
}

/// Takes the figures off the front of `rest`, for buckets whose counts and times are known.
pub(super) fn take(rest: &mut &[u8], places: u8, buckets: &mut [Bucket]) -> Result<(), String> {
    let short = || "it is too short".to_owned();
    let entries = buckets.len();
    let mut before = varint::take_signed(rest).ok_or_else(short)?;
    let first = column::take_integers(rest, entries)?;
    let last = column::take_integers(rest, entries)?;
    let max = column::take_integers(rest, entries)?;
    let min = column::take_integers(rest, entries)?;
    let sum = column::take_integers(rest, entries)?;
    let rise = column::take_about(rest, entries)?;
    let integral = column::take_integers(rest, entries)?;
    for (i, Bucket { all, .. }) in buckets.iter_mut().enumerate() {
        let first = before.wrapping_add(unzigzag(first[i]));
        let last = first.wrapping_add(unzigzag(last[i]));
        let max = first.max(last).wrapping_add(max[i] as i64);
        let min = first.min(last).wrapping_sub(min[i] as i64);
        let sum = expected_sum(all.count, min, max).wrapping_add(unzigzag(sum[i]));
        let rise = last.wrapping_sub(first).wrapping_add(rise[i]);
        let integral = expected_integral(all, sum, last).wrapping_add(unzigzag(integral[i]));
        Whole { min, max, first, last, sum, rise, integral }.fill(all, places);
        before = last;
    }
    Ok(())
}
