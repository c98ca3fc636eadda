//! Integers in few bits: Rice codes, within a fraction of a bit of the least where small ones are the more likely.
//!
//! ```text
//! column = k | bits, the lowest of a byte first, up to a whole byte
//! number = its quotient by 2^k in zeros, a one, then k bits; or ESCAPE zeros and 64 bits, where the quotient is no less
//! ```

/// Quotients from here on are not counted out.
const ESCAPE: u32 = 20;
/// Longer remainders do not fit the bits that are looked at together.
const LONGEST: u32 = 32;

pub(crate) fn put(out: &mut Vec<u8>, numbers: &[u64]) {
    let k = best(numbers);
    out.push(k as u8);
    let mut bits = Bits { out, pending: 0, held: 0 };
    for number in numbers {
        let quotient = number >> k;
        if quotient < u64::from(ESCAPE) {
            bits.put(1 << quotient, quotient as u32 + 1);
            bits.put(number & ((1 << k) - 1), k);
        } else {
            bits.put(0, ESCAPE);
            bits.put(number & u64::from(u32::MAX), 32);
            bits.put(number >> 32, 32);
        }
    }
    bits.finish();
}

/// The length of remainders that takes the fewest bits, looked for around the numbers' own length.
fn best(numbers: &[u64]) -> u32 {
    let lengths: u32 = numbers.iter().map(|n| u64::BITS - n.leading_zeros()).sum();
    let usual = lengths / (numbers.len() as u32).max(1);
    let cost = |k: u32| -> u64 {
        let of = |number: &u64| match number >> k {
            quotient if quotient < u64::from(ESCAPE) => quotient + 1 + u64::from(k),
            _ => u64::from(ESCAPE) + 64,
        };
        numbers.iter().map(of).sum()
    };
    let near = usual.saturating_sub(2).min(LONGEST)..=(usual + 1).min(LONGEST);
    near.min_by_key(|k| cost(*k)).unwrap_or(0)
}

struct Bits<'a> {
    out: &'a mut Vec<u8>,
    pending: u64,
    held: u32,
}

impl Bits<'_> {
    /// At most 32 bits.
    fn put(&mut self, bits: u64, count: u32) {
        self.pending |= bits << self.held;
        self.held += count;
        if self.held >= 32 {
            self.out.extend_from_slice(&(self.pending as u32).to_le_bytes());
            self.pending >>= 32;
            self.held -= 32;
        }
    }

    fn finish(self) {
        let bytes = self.held.div_ceil(8) as usize;
        self.out.extend_from_slice(&self.pending.to_le_bytes()[..bytes]);
    }
}

/// Takes `count` numbers off the front of `bytes`.
pub(crate) fn take(bytes: &mut &[u8], count: usize) -> Result<Vec<u64>, String> {
    let short = || "it is too short".to_owned();
    let (&k, content) = bytes.split_first().ok_or_else(short)?;
    let k = u32::from(k);
    if k > LONGEST {
        return Err(format!("remainders of {k} bits"));
    }
    // Each takes at least a bit.
    if count > content.len() * 8 {
        return Err(short());
    }
    let mut numbers = Vec::with_capacity(count);
    let mut at = 0usize;
    for _ in 0..count {
        let word = word_at(content, at);
        let zeros = word.trailing_zeros().min(ESCAPE);
        if zeros < ESCAPE {
            let remainder = (word >> (zeros + 1)) & ((1 << k) - 1);
            numbers.push(u64::from(zeros) << k | remainder);
            at += (zeros + 1 + k) as usize;
        } else {
            let half = |at: usize| word_at(content, at) & u64::from(u32::MAX);
            at += ESCAPE as usize;
            numbers.push(half(at + 32) << 32 | half(at));
            at += 64;
        }
    }
    *bytes = content.get(at.div_ceil(8)..).ok_or_else(short)?;
    Ok(numbers)
}

/// At least 57 bits from a place on; zeros where there are no more.
fn word_at(bytes: &[u8], at: usize) -> u64 {
    let word = match bytes.get(at / 8..at / 8 + 8) {
        Some(eight) => u64::from_le_bytes(eight.try_into().unwrap_or_default()),
        None => {
            let mut eight = [0; 8];
            for (into, byte) in eight.iter_mut().zip(bytes.get(at / 8..).unwrap_or_default()) {
                *into = *byte;
            }
            u64::from_le_bytes(eight)
        }
    };
    word >> (at % 8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn numbers_round_trip_one_column_after_another(
            columns in prop::collection::vec((0u32..64, prop::collection::vec(any::<u64>(), 0..200)), 0..5),
        ) {
            // Of any length, with a great one now and then.
            let columns: Vec<Vec<u64>> = columns
                .into_iter()
                .map(|(shift, column)| column.into_iter().map(|n| if n % 31 == 0 { n } else { n >> shift }).collect())
                .collect();
            let mut bytes = Vec::new();
            columns.iter().for_each(|column| put(&mut bytes, column));
            let mut rest = &bytes[..];
            for column in &columns {
                prop_assert_eq!(&take(&mut rest, column.len()).unwrap(), column);
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn no_bytes_make_taking_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), count in 0usize..600) {
            let _ = take(&mut &bytes[..], count);
        }
    }

    #[test]
    fn what_is_small_takes_few_bits() {
        let mut bytes = Vec::new();
        // Up to ten bits of chance each: a bit more than that.
        let numbers: Vec<u64> = (0..120u64).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54).collect();
        put(&mut bytes, &numbers);
        assert!(bytes.len() <= 120 * 11 / 8 + 8, "{} bytes", bytes.len());
        bytes.clear();
        put(&mut bytes, &[0; 80]);
        assert_eq!(bytes.len(), 11);
    }
}
