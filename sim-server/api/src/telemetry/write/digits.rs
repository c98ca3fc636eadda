//! Instants and readings as decimal text: answers of hundreds of thousands of points are little else.

use shared::time::Timestamp;

/// All numbers of two digits.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// Room for any instant, and any number.
const LONGEST: usize = 32;
/// What the buffer grows by where more is written than was said.
const MORE: usize = 4_096;
/// Instants that share all but so many of their last milliseconds share the text of what is before.
const SHARED_MS: i64 = 100_000;
/// The first and the last instant whose text without these has eight digits: from 2001 to 2286.
const EIGHT_DIGITS: std::ops::Range<i64> = 1_000_000_000_000..10_000_000_000_000;

/// Writes at the end of a buffer that grew in advance.
pub(super) struct Pen<'a> {
    out: &'a mut Vec<u8>,
    at: usize,
    /// What instants shared of their text, and the text.
    shared: (i64, [u8; 8]),
}

impl<'a> Pen<'a> {
    /// `bytes`: about how many will be written.
    pub(super) fn new(out: &'a mut Vec<u8>, bytes: usize) -> Pen<'a> {
        let at = out.len();
        out.resize(at + bytes + LONGEST, 0);
        Pen { out, at, shared: (0, [0; 8]) }
    }

    fn room_for(&mut self, bytes: usize) {
        if self.out.len() - self.at < bytes {
            self.out.resize(self.at + bytes.max(MORE), 0);
        }
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.room_for(1);
        self.put([byte]);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.room_for(bytes.len());
        if let Some(place) = self.out.get_mut(self.at..self.at + bytes.len()) {
            place.copy_from_slice(bytes);
            self.at += bytes.len();
        }
    }

    fn put<const N: usize>(&mut self, bytes: [u8; N]) {
        if let Some(place) = self.out.get_mut(self.at..self.at + N) {
            place.copy_from_slice(&bytes);
            self.at += N;
        }
    }

    fn pair(&mut self, number: u64) {
        self.put(PAIRS[number as usize % 100]);
    }

    fn whole(&mut self, number: u64) {
        match number {
            0..10 => self.put([b'0' + number as u8]),
            10..100 => self.pair(number),
            100..1_000 => {
                self.put([b'0' + (number / 100) as u8]);
                self.pair(number % 100);
            }
            1_000..10_000 => {
                self.pair(number / 100);
                self.pair(number % 100);
            }
            _ => {
                self.whole(number / 10_000);
                self.pair(number / 100 % 100);
                self.pair(number % 100);
            }
        }
    }

    pub(super) fn instant(&mut self, at: Timestamp) {
        self.room_for(LONGEST);
        if !EIGHT_DIGITS.contains(&at.0) {
            if at.0 < 0 {
                self.put([b'-']);
            }
            return self.whole(at.0.unsigned_abs());
        }
        let (shared, rest) = (at.0 / SHARED_MS, at.0 % SHARED_MS);
        if self.shared.0 != shared {
            let mut text = [0; 8];
            let mut left = shared;
            for place in text.chunks_exact_mut(2).rev() {
                place.copy_from_slice(&PAIRS[(left % 100) as usize]);
                left /= 100;
            }
            self.shared = (shared, text);
        }
        self.put(self.shared.1);
        let rest = rest as u64;
        self.put([b'0' + (rest / 10_000) as u8]);
        self.pair(rest / 100 % 100);
        self.pair(rest % 100);
    }

    /// A number as JSON and CSV have it, or what is said of one that is none.
    pub(super) fn number(&mut self, value: f64, none: &str) {
        // Most readings have few decimals: as whole thousandths they are written several times faster.
        let thousandths = (value * 1e3 + 0.5f64.copysign(value)) as i64;
        if thousandths.unsigned_abs() < 1_000_000_000_000_000 && thousandths as f64 / 1e3 == value {
            return self.thousandths(thousandths);
        }
        let mut text = [0; LONGEST];
        let mut rest = &mut text[..];
        if value.is_finite() && serde_json::to_writer(&mut rest, &value).is_ok() {
            let length = LONGEST - rest.len();
            self.bytes(&text[..length]);
        } else {
            self.bytes(none.as_bytes());
        }
    }

    /// As few decimals as say it, but one.
    fn thousandths(&mut self, thousandths: i64) {
        self.room_for(LONGEST);
        // Nought below nought is written as nought: it is the same number.
        if thousandths < 0 {
            self.put([b'-']);
        }
        let number = thousandths.unsigned_abs();
        let (whole, rest) = (number / 1_000, number % 1_000);
        self.whole(whole);
        self.put([b'.', b'0' + (rest / 100) as u8]);
        let rest = rest % 100;
        if rest != 0 {
            if rest.is_multiple_of(10) { self.put([b'0' + (rest / 10) as u8]) } else { self.pair(rest) }
        }
    }
}

impl Drop for Pen<'_> {
    fn drop(&mut self) {
        self.out.truncate(self.at);
    }
}
