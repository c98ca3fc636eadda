//! A segment file: its name, its header, and the walk over its frames.

use super::frame::{self, Frame};

pub(super) const HEADER_BYTES: usize = 36;
const MAGIC: [u8; 8] = *b"PARKWAL1";

pub(super) fn file_name(number: u64) -> String {
    format!("wal-{number:016x}.log")
}

/// The segment number in a file name, if it is one of ours.
pub(super) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("wal-")?.strip_suffix(".log")?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

/// The last good segment before this one, and how many of its bytes count. Segments between the two hold nothing that
/// was ever acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Anchor {
    pub number: u64,
    pub len: u64,
}

pub(super) fn header(number: u64, anchor: Anchor) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    bytes[16..24].copy_from_slice(&anchor.number.to_le_bytes());
    bytes[24..32].copy_from_slice(&anchor.len.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..32]);
    bytes[32..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The anchor of segment `number`, when its header is whole and its own.
pub(super) fn read_header(bytes: &[u8], number: u64) -> Option<Anchor> {
    let bytes: &[u8; HEADER_BYTES] = bytes.get(..HEADER_BYTES)?.try_into().ok()?;
    let field = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let anchor = Anchor { number: field(16)?, len: field(24)? };
    (header(number, anchor) == *bytes).then_some(anchor)
}

/// What lies at one place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Frame {
        offset: usize,
        frame: Frame,
    },
    /// Bytes that are no frame, with a valid frame after them.
    Damaged {
        offset: usize,
        end: usize,
    },
    /// Bytes that are no frame, up to the end.
    Rest {
        offset: usize,
    },
}

/// Walks the frames from the header on, skipping what is damaged.
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    number: u64,
    at: usize,
    found: Option<(usize, Frame)>,
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8], number: u64, start: usize) -> Self {
        Self { bytes, number, at: start, found: None }
    }
}

impl Iterator for Frames<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        if let Some((offset, frame)) = self.found.take() {
            self.at = frame.payload.end;
            return Some(Piece::Frame { offset, frame });
        }
        if self.at >= self.bytes.len() {
            return None;
        }
        let offset = self.at;
        if let Some(frame) = frame::read(self.bytes, self.number, offset) {
            self.at = frame.payload.end;
            return Some(Piece::Frame { offset, frame });
        }
        match frame::find(self.bytes, self.number, offset + 1) {
            Some((end, frame)) => {
                self.found = Some((end, frame));
                Some(Piece::Damaged { offset, end })
            }
            None => {
                self.at = self.bytes.len();
                Some(Piece::Rest { offset })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_headers_round_trip() {
        assert_eq!(number_of(&file_name(0x2a)), Some(0x2a));
        for other in ["wal-1.log", "lock", "wal-000000000000002a.log.bak"] {
            assert_eq!(number_of(other), None, "{other}");
        }
        let anchor = Anchor { number: 6, len: 1_000 };
        let bytes = header(7, anchor);
        assert_eq!(read_header(&bytes, 7), Some(anchor));
        assert_eq!(read_header(&bytes, 8), None);
        assert_eq!(read_header(&bytes[..35], 7), None);
    }

    #[test]
    fn frames_after_a_damaged_one_are_found_again() {
        let mut bytes = Vec::new();
        let mut starts = Vec::new();
        for sequence in 1..=3 {
            starts.push(bytes.len());
            let offset = bytes.len() as u64;
            frame::write(&mut bytes, 5, offset, sequence, b"payload");
        }
        bytes[starts[1] + 22] ^= 1;
        let pieces: Vec<_> = Frames::new(&bytes, 5, 0).collect();
        assert!(matches!(&pieces[0], Piece::Frame { frame, .. } if frame.sequence == 1));
        assert_eq!(pieces[1], Piece::Damaged { offset: starts[1], end: starts[2] });
        assert!(matches!(&pieces[2], Piece::Frame { frame, .. } if frame.sequence == 3));
        assert_eq!(pieces.len(), 3);
    }
}
