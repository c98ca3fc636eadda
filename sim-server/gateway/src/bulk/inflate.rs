//! Gzip, a little at a time: what comes out never waits in memory for the whole of what goes in.

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use std::io::{self, Write};

/// Compressed bytes taken at once. Deflate grows by at most 1,032 times, so no more than 4 MiB come out of them.
const AT_ONCE: usize = 4 << 10;

/// A gzip stream of one member or several.
pub(crate) struct Inflate {
    decoder: MultiGzDecoder<Vec<u8>>,
}

impl Inflate {
    pub(crate) fn new() -> Self {
        Self { decoder: MultiGzDecoder::new(Vec::new()) }
    }

    /// Takes a little off the front of `compressed` and gives what that says, which may be nothing yet.
    pub(crate) fn take(&mut self, compressed: &mut Bytes) -> io::Result<Bytes> {
        let piece = compressed.split_to(compressed.len().min(AT_ONCE));
        self.decoder.write_all(&piece).map_err(clearer)?;
        // Whether it reached the buffer or still waits in the decoder's own.
        self.decoder.flush().map_err(clearer)?;
        Ok(Bytes::from(std::mem::take(self.decoder.get_mut())))
    }

    /// No more will come: gives the rest. `Err` where the stream stops in the middle.
    pub(crate) fn finish(&mut self) -> io::Result<Bytes> {
        self.decoder.try_finish().map_err(clearer)?;
        Ok(Bytes::from(std::mem::take(self.decoder.get_mut())))
    }
}

/// Some of the decoder's errors say nothing that helps a sender.
fn clearer(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::WriteZero | io::ErrorKind::UnexpectedEof => {
            io::Error::new(error.kind(), "the gzip stream stops in the middle, or something else follows it")
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    /// What comes out, and the most that came out at once.
    fn inflate(compressed: &[u8], step: usize) -> io::Result<(Vec<u8>, usize)> {
        let (mut inflate, mut plain, mut most) = (Inflate::new(), Vec::new(), 0);
        for chunk in compressed.chunks(step) {
            let mut chunk = Bytes::copy_from_slice(chunk);
            while !chunk.is_empty() {
                let piece = inflate.take(&mut chunk)?;
                most = most.max(piece.len());
                plain.extend_from_slice(&piece);
            }
        }
        plain.extend_from_slice(&inflate.finish()?);
        Ok((plain, most))
    }

    #[test]
    fn a_stream_of_several_members_is_inflated_however_it_is_cut() {
        let text: Vec<u8> = (0..100_000u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let whole = [gzip(&text), gzip(b"and more"), gzip(b"")].concat();
        let expected = [&text[..], b"and more"].concat();
        for step in [1, 7, 1_000, usize::MAX] {
            assert!(inflate(&whole, step).unwrap().0 == expected, "{step}");
        }
    }

    #[test]
    fn a_bomb_comes_out_in_pieces() {
        let (plain, most) = inflate(&gzip(&vec![b' '; 64 << 20]), usize::MAX).unwrap();
        assert_eq!(plain.len(), 64 << 20);
        assert!(most <= 5 << 20, "{most}");
    }

    #[test]
    fn what_is_cut_off_broken_or_no_gzip_is_an_error() {
        let good = gzip(b"a line\nand another\n");
        for length in 1..good.len() {
            assert!(inflate(&good[..length], 5).is_err(), "the first {length} bytes of {}", good.len());
        }
        let mut broken = good.clone();
        let crc = broken.len() - 6;
        broken[crc] ^= 1;
        assert!(inflate(&broken, 5).is_err());
        assert!(inflate(b"plain text", 5).is_err());
        assert!(inflate(&[&good[..], b"trailing"].concat(), 5).is_err());
    }
}
