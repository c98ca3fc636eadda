//! Columns of a pack: one number for all, or each.
//!
//! ```text
//! integers = 6 and one for all; 5 and Rice codes; 1 and pco, where there are many
//! doubles  = 0 and one for all; 4 and the numbers as they are; 1 and pco, where there are many
//! ```
//! Packs of version 1 have integers as doubles are here, and short columns of either as 3: decimal places and the steps from one to
//! the next in those.

use super::decimal::{are_places, of_places};
use crate::{
    numbers::{compress, decompress, put_sized, take_sized},
    rice,
    varint::{self, unzigzag, zigzag},
};
use pco::data_types::Number;

const SAME: u8 = 0;
const EACH: u8 = 1;
const DECIMAL: u8 = 3;
const PLAIN: u8 = 4;
const RICE: u8 = 5;
const SAME_INTEGER: u8 = 6;
/// Opening a column of pco takes as long as opening many numbers: not worth it for so few.
const FEW_DOUBLES: usize = 64;
/// pco finds out how numbers are distributed, and must say so first.
const FEW_INTEGERS: usize = 512;

pub(super) fn put_integers(out: &mut Vec<u8>, column: &[u64]) -> Result<(), String> {
    let first = column.first().copied().unwrap_or_default();
    if column.iter().all(|number| *number == first) {
        out.push(SAME_INTEGER);
        varint::put(out, first);
    } else if column.len() <= FEW_INTEGERS {
        out.push(RICE);
        rice::put(out, column);
    } else {
        out.push(EACH);
        put_sized(out, |out| compress(column, out))?;
    }
    Ok(())
}

pub(super) fn take_integers(bytes: &mut &[u8], count: usize) -> Result<Vec<u64>, String> {
    match kind(bytes)? {
        SAME_INTEGER => Ok(vec![varint::take(bytes).ok_or_else(short)?; count]),
        RICE => rice::take(bytes, count),
        EACH => decompress(take_sized(bytes).ok_or_else(short)?, count),
        other => Err(format!("a column of unknown kind {other}")),
    }
}

/// Integers that are nearly all the same, or about the same: the usual one, and how far each is from it.
pub(super) fn put_about(out: &mut Vec<u8>, column: &[i64]) -> Result<(), String> {
    let mut sorted = column.to_vec();
    sorted.sort_unstable();
    let usual = sorted.get(sorted.len() / 2).copied().unwrap_or_default();
    varint::put_signed(out, usual);
    let away = column.iter().map(|number| zigzag(number.wrapping_sub(usual)));
    put_integers(out, &away.collect::<Vec<u64>>())
}

pub(super) fn take_about(bytes: &mut &[u8], count: usize) -> Result<Vec<i64>, String> {
    let usual = varint::take_signed(bytes).ok_or_else(short)?;
    let away = take_integers(bytes, count)?;
    Ok(away.into_iter().map(|away| usual.wrapping_add(unzigzag(away))).collect())
}

pub(super) fn put_doubles(out: &mut Vec<u8>, column: &[f64]) -> Result<(), String> {
    let first = column.first().copied().unwrap_or_default();
    if column.iter().all(|number| number.to_bits() == first.to_bits()) {
        out.push(SAME);
        out.extend_from_slice(&first.to_le_bytes());
    } else if column.len() <= FEW_DOUBLES {
        out.push(PLAIN);
        column.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
    } else {
        out.push(EACH);
        put_sized(out, |out| compress(column, out))?;
    }
    Ok(())
}

/// A number of eight bytes.
pub(super) trait Eight: Number + Default {
    fn of_bytes(bytes: [u8; 8]) -> Self;
    fn of_places(integer: i64, places: u8) -> Self;
}

impl Eight for i64 {
    fn of_bytes(bytes: [u8; 8]) -> Self {
        i64::from_le_bytes(bytes)
    }
    fn of_places(integer: i64, _: u8) -> Self {
        integer
    }
}

impl Eight for f64 {
    fn of_bytes(bytes: [u8; 8]) -> Self {
        f64::from_le_bytes(bytes)
    }
    fn of_places(integer: i64, places: u8) -> Self {
        of_places(integer, places)
    }
}

/// Doubles of any version, or integers of version 1.
pub(super) fn take<T: Eight>(bytes: &mut &[u8], count: usize) -> Result<Vec<T>, String> {
    match kind(bytes)? {
        SAME => {
            let (value, rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
            *bytes = rest;
            Ok(vec![T::of_bytes(*value); count])
        }
        EACH => decompress(take_sized(bytes).ok_or_else(short)?, count),
        DECIMAL => {
            let (&places, rest) = bytes.split_first().ok_or_else(short)?;
            *bytes = rest;
            if !are_places(places) {
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

fn kind(bytes: &mut &[u8]) -> Result<u8, String> {
    let (&kind, rest) = bytes.split_first().ok_or_else(short)?;
    *bytes = rest;
    Ok(kind)
}

fn short() -> String {
    "it is too short".to_owned()
}
