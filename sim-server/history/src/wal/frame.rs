//! One frame: `magic | length u32 | sequence u64 | CRC-32C u32 | payload`, little-endian.
//!
//! The checksum also covers the segment's number and the frame's offset, so a frame is valid only where it was written:
//! stale bytes, or a payload that happens to hold a frame, never parse.

use std::ops::Range;

pub(super) const MAGIC: [u8; 4] = [0xF7, b'W', b'F', b'1'];
pub(super) const HEADER_BYTES: usize = 20;
/// Larger lengths are damage, not frames.
pub(super) const MAX_PAYLOAD_BYTES: usize = 256 << 20;

fn checksum(segment: u64, offset: u64, length: u32, sequence: u64, payload: &[u8]) -> u32 {
    let mut place = [0u8; 28];
    place[..8].copy_from_slice(&segment.to_le_bytes());
    place[8..16].copy_from_slice(&offset.to_le_bytes());
    place[16..20].copy_from_slice(&length.to_le_bytes());
    place[20..].copy_from_slice(&sequence.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), payload)
}

/// Appends a frame to `out`; `offset` is where it will lie in its segment.
pub(super) fn write(out: &mut Vec<u8>, segment: u64, offset: u64, sequence: u64, payload: &[u8]) {
    // Callers keep payloads under MAX_PAYLOAD_BYTES, which fits.
    let length = payload.len() as u32;
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&checksum(segment, offset, length, sequence, payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// A valid frame found in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub sequence: u64,
    /// Where its payload lies in the segment.
    pub payload: Range<usize>,
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The frame that starts at `offset`, when a whole valid one does.
pub(super) fn read(bytes: &[u8], segment: u64, offset: usize) -> Option<Frame> {
    if take::<4>(bytes, offset)? != MAGIC {
        return None;
    }
    let length = u32::from_le_bytes(take(bytes, offset + 4)?);
    let sequence = u64::from_le_bytes(take(bytes, offset + 8)?);
    let crc = u32::from_le_bytes(take(bytes, offset + 16)?);
    let start = offset + HEADER_BYTES;
    if length as usize > MAX_PAYLOAD_BYTES {
        return None;
    }
    let payload = start..start + length as usize;
    let content = bytes.get(payload.clone())?;
    (checksum(segment, offset as u64, length, sequence, content) == crc)
        .then_some(Frame { sequence, payload })
}

/// The first valid frame at or after `from`.
pub(super) fn find(bytes: &[u8], segment: u64, from: usize) -> Option<(usize, Frame)> {
    let mut at = from;
    while let Some(step) = bytes.get(at..)?.windows(MAGIC.len()).position(|w| w == MAGIC) {
        at += step;
        if let Some(frame) = read(bytes, segment, at) {
            return Some((at, frame));
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_valid_only_where_it_was_written() {
        let mut bytes = vec![0; 7];
        write(&mut bytes, 3, 7, 42, b"points");
        let frame = read(&bytes, 3, 7).expect("as written");
        assert_eq!((frame.sequence, &bytes[frame.payload]), (42, &b"points"[..]));
        assert_eq!(read(&bytes, 4, 7), None, "another segment");
        assert_eq!(read(&bytes[1..], 3, 6), None, "another offset");
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_noticed() {
        let mut bytes = Vec::new();
        write(&mut bytes, 1, 0, 1, b"0123456789");
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&damaged, 1, 0), None, "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut], 1, 0), None, "cut at {cut}");
        }
    }

    #[test]
    fn a_frame_inside_a_payload_is_not_taken_for_one() {
        let mut inner = Vec::new();
        write(&mut inner, 1, 0, 9, b"x");
        let mut bytes = Vec::new();
        write(&mut bytes, 1, 0, 1, &inner);
        bytes[17] ^= 1; // the outer frame is damaged
        assert_eq!(find(&bytes, 1, 0), None);
    }
}
