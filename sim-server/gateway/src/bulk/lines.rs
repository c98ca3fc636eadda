//! Lines out of chunks, wherever the chunks are cut.

use bytes::Bytes;

/// Where a line ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnds {
    /// At each line feed.
    Everywhere,
    /// As in line protocol: a quoted field value may hold line feeds.
    OutsideQuotes,
}

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Whole(&'a [u8]),
    /// Longer than is taken; thrown away as it came.
    TooLong,
}

/// Cuts chunks into lines. Feed a chunk, take lines until there is none, feed the next; [`Lines::finish`] gives what had no end.
#[derive(Debug)]
pub(crate) struct Lines {
    ends: LineEnds,
    longest: usize,
    chunk: Bytes,
    at: usize,
    /// The beginning of a line that lies across chunks.
    partial: Vec<u8>,
    is_too_long: bool,
    /// `partial` was given out.
    is_given: bool,
    quotes: Quotes,
    number: u64,
}

/// How far into a line of line protocol the scan has come.
#[derive(Debug, Default, Clone, Copy)]
struct Quotes {
    begun: bool,
    is_comment: bool,
    in_fields: bool,
    is_quoted: bool,
    is_escaped: bool,
    after_equals: bool,
}

impl Quotes {
    /// Takes a byte; whether it ends the line.
    fn ends_with(&mut self, byte: u8) -> bool {
        if self.is_comment {
            return byte == b'\n';
        }
        if !self.begun && !byte.is_ascii_whitespace() {
            self.begun = true;
            self.is_comment = byte == b'#';
        }
        let after_equals = std::mem::take(&mut self.after_equals);
        if self.is_escaped {
            self.is_escaped = false;
            // A backslash before a line feed outside quotes escapes nothing.
            return byte == b'\n' && !self.is_quoted;
        }
        match byte {
            b'\\' => self.is_escaped = true,
            b'"' if self.is_quoted => self.is_quoted = false,
            b'"' if self.in_fields && after_equals => self.is_quoted = true,
            b' ' if self.begun => self.in_fields = true,
            b'=' if !self.is_quoted => self.after_equals = true,
            b'\n' => return !self.is_quoted,
            _ => {}
        }
        false
    }
}

impl Lines {
    /// Lines of up to `longest` bytes.
    pub(crate) fn new(ends: LineEnds, longest: usize) -> Self {
        Self {
            ends,
            longest,
            chunk: Bytes::new(),
            at: 0,
            partial: Vec::new(),
            is_too_long: false,
            is_given: false,
            quotes: Quotes::default(),
            number: 0,
        }
    }

    /// Takes the next chunk. What is left of the one before is lost: take its lines first.
    pub(crate) fn feed(&mut self, chunk: Bytes) {
        (self.chunk, self.at) = (chunk, 0);
    }

    /// The next line that ends in this chunk, and its number, from 1. Blank ones are given too.
    pub(crate) fn next(&mut self) -> Option<(u64, Line<'_>)> {
        self.forget_given();
        let rest = &self.chunk[self.at..];
        let Some(length) = end_of_line(self.ends, &mut self.quotes, rest) else {
            if self.partial.len() + rest.len() > self.longest {
                self.is_too_long = true;
                self.partial.clear();
            } else if !self.is_too_long {
                self.partial.extend_from_slice(rest);
            }
            self.at = self.chunk.len();
            return None;
        };
        let start = self.at;
        self.at += length + 1;
        self.number += 1;
        self.quotes = Quotes::default();
        if std::mem::take(&mut self.is_too_long) || self.partial.len() + length > self.longest {
            self.partial.clear();
            return Some((self.number, Line::TooLong));
        }
        let line = &self.chunk[start..start + length];
        if self.partial.is_empty() {
            return Some((self.number, Line::Whole(without_return(line))));
        }
        self.partial.extend_from_slice(line);
        self.is_given = true;
        Some((self.number, Line::Whole(without_return(&self.partial))))
    }

    /// The last line of a body that does not end with a line feed.
    pub(crate) fn finish(&mut self) -> Option<(u64, Line<'_>)> {
        self.forget_given();
        if std::mem::take(&mut self.is_too_long) {
            self.number += 1;
            return Some((self.number, Line::TooLong));
        }
        if self.partial.is_empty() {
            return None;
        }
        self.number += 1;
        self.is_given = true;
        Some((self.number, Line::Whole(without_return(&self.partial))))
    }

    fn forget_given(&mut self) {
        if std::mem::take(&mut self.is_given) {
            self.partial.clear();
        }
    }
}

fn end_of_line(ends: LineEnds, quotes: &mut Quotes, bytes: &[u8]) -> Option<usize> {
    match ends {
        LineEnds::Everywhere => bytes.iter().position(|&byte| byte == b'\n'),
        LineEnds::OutsideQuotes => bytes.iter().position(|&byte| quotes.ends_with(byte)),
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Cut = Vec<(u64, Option<Vec<u8>>)>;

    fn cut(ends: LineEnds, longest: usize, chunks: &[&[u8]]) -> Cut {
        let mut lines = Lines::new(ends, longest);
        let mut out = Cut::new();
        let mut take = |(number, line): (u64, Line<'_>)| {
            out.push((
                number,
                match line {
                    Line::Whole(line) => Some(line.to_vec()),
                    Line::TooLong => None,
                },
            ));
        };
        for chunk in chunks {
            lines.feed(Bytes::copy_from_slice(chunk));
            while let Some(line) = lines.next() {
                take(line);
            }
        }
        if let Some(line) = lines.finish() {
            take(line);
        }
        out
    }

    fn whole(ends: LineEnds, body: &str) -> Vec<String> {
        let cut = cut(ends, 1000, &[body.as_bytes()]);
        cut.into_iter().map(|(_, line)| String::from_utf8(line.unwrap()).unwrap()).collect()
    }

    #[test]
    fn a_line_feed_in_a_quoted_field_value_ends_no_line() {
        use LineEnds::*;
        for (body, expected) in [
            ("a\nb", vec!["a", "b"]),
            ("a\r\n\r\nb\n", vec!["a", "", "b"]),
            ("m,t=\"x v=\"one\ntwo\" 5\nn v=1\n", vec!["m,t=\"x v=\"one\ntwo\" 5", "n v=1"]),
            ("m v=\"a\\\"\nb\"\nn v=1", vec!["m v=\"a\\\"\nb\"", "n v=1"]),
            // A quote that stands elsewhere swallows nothing.
            ("m v=1\" 5\nn v=2", vec!["m v=1\" 5", "n v=2"]),
            ("# m v=\"\nn v=2", vec!["# m v=\"", "n v=2"]),
            ("m v=1\\\nn v=2", vec!["m v=1\\", "n v=2"]),
        ] {
            assert_eq!(whole(OutsideQuotes, body), expected, "{body:?}");
        }
        assert_eq!(whole(Everywhere, "a v=\"x\ny\""), ["a v=\"x", "y\""]);
        assert!(whole(Everywhere, "").is_empty());
    }

    #[test]
    fn a_line_too_long_is_told_and_the_next_one_read() {
        let expected = vec![(1, Some(b"ab".to_vec())), (2, None), (3, Some(b"c".to_vec()))];
        assert_eq!(cut(LineEnds::Everywhere, 4, &[b"ab\n12345\nc"]), expected);
        assert_eq!(cut(LineEnds::Everywhere, 4, &[b"ab\n123", b"4", b"5", b"67\nc"]), expected);
        assert_eq!(cut(LineEnds::Everywhere, 4, &[b"12345"]), [(1, None)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn lines_are_the_same_wherever_the_chunks_are_cut(
            body in prop::collection::vec(prop::sample::select(b"ab=,\" \\#\r\n\n".to_vec()), 0..80),
            cuts in prop::collection::vec(0usize..80, 0..6),
            longest in prop::sample::select(vec![5usize, 1000]),
            ends in prop::sample::select(vec![LineEnds::Everywhere, LineEnds::OutsideQuotes]),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|at| at.min(body.len())).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect();
            prop_assert_eq!(cut(ends, longest, &chunks), cut(ends, longest, &[&body]));
        }
    }
}
