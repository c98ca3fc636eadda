//! Small changes that make one input into another.

use rand::{Rng, seq::IndexedRandom};
use std::ops::Range;

const NUMBERS: [&[u8]; 14] = [
    b"0",
    b"-1",
    b"1e308",
    b"1e999",
    b"-0.0",
    b"0.1",
    b"9007199254740993",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"18446744073709551616",
    b"NaN",
    b"null",
    b"1780000000000",
    b"253402300800000",
];
const INTEGERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0xffff_ffff,
    i64::MAX as u64,
    i64::MIN as u64,
    u64::MAX,
];
/// A part that is moved, taken out or put in is mostly short.
const LONG_PART: usize = 64;

/// Changes `input` in one place; parts may come from others in `pool`.
pub(crate) fn mutate(input: &mut Vec<u8>, pool: &[Vec<u8>], random: &mut impl Rng) {
    match random.random_range(0..11) {
        0 => at(input, random, |byte, random| *byte ^= 1 << random.random_range(0..8)),
        1 => at(input, random, |byte, random| *byte = random.random()),
        2 => {
            let bytes: Vec<u8> = (0..random.random_range(1..8)).map(|_| random.random()).collect();
            insert(input, &bytes, random);
        }
        3 => {
            let part = part(input, random);
            input.drain(part);
        }
        4 => {
            let copy = input[part(input, random)].to_vec();
            insert(input, &copy, random);
        }
        5 => {
            let other = pool.choose(random).cloned().unwrap_or_default();
            let piece = other[part(&other, random)].to_vec();
            let part = part(input, random);
            input.splice(part, piece);
        }
        6 => {
            let other = pool.choose(random).cloned().unwrap_or_default();
            let piece = other[part(&other, random)].to_vec();
            insert(input, &piece, random);
        }
        7 => {
            let number = NUMBERS.choose(random).copied().unwrap_or_default();
            match number_in(input, random) {
                Some(part) => drop(input.splice(part, number.iter().copied())),
                None => insert(input, number, random),
            }
        }
        8 => {
            let integer = INTEGERS.choose(random).copied().unwrap_or_default();
            let size = [1, 2, 4, 8].choose(random).copied().unwrap_or(1);
            let bytes: Vec<u8> = if random.random() {
                integer.to_le_bytes()[..size].to_vec()
            } else {
                integer.to_be_bytes()[8 - size..].to_vec()
            };
            let from = random.random_range(0..=input.len());
            let to = (from + size).min(input.len());
            input.splice(from..to, bytes);
        }
        9 => input.truncate(random.random_range(0..=input.len())),
        _ => {
            // The beginning of this one and the end of another.
            let other = pool.choose(random).cloned().unwrap_or_default();
            input.truncate(random.random_range(0..=input.len()));
            input.extend_from_slice(&other[random.random_range(0..=other.len())..]);
        }
    }
}

fn at<R: Rng>(input: &mut [u8], random: &mut R, change: impl Fn(&mut u8, &mut R)) {
    if !input.is_empty() {
        let at = random.random_range(0..input.len());
        change(&mut input[at], random);
    }
}

fn part(input: &[u8], random: &mut impl Rng) -> Range<usize> {
    let longest = if random.random_range(0..8) == 0 { input.len() } else { input.len().min(LONG_PART) };
    let len = random.random_range(0..=longest);
    let from = random.random_range(0..=input.len() - len);
    from..from + len
}

fn insert(input: &mut Vec<u8>, piece: &[u8], random: &mut impl Rng) {
    let at = random.random_range(0..=input.len());
    input.splice(at..at, piece.iter().copied());
}

/// Where a number in decimal digits lies.
fn number_in(input: &[u8], random: &mut impl Rng) -> Option<Range<usize>> {
    let is_part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E');
    let digits: Vec<usize> = (0..input.len()).filter(|i| input[*i].is_ascii_digit()).collect();
    let at = *digits.choose(random)?;
    let from = at - input[..at].iter().rev().take_while(|b| is_part(b)).count();
    let to = at + input[at..].iter().take_while(|b| is_part(b)).count();
    Some(from..to)
}
