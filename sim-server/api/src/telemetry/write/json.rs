//! The usual envelope, written as it comes: `{"code":"SUCCESS","message":"","data":{…}}`. Cut off, it is no JSON.

use super::{Column, Head, Sample, digits::Pen};
use serde::Serialize;
use shared::time::Timestamp;

/// What a point usually takes.
const BYTES_A_POINT: usize = 24;

#[derive(Debug, Default)]
pub(crate) struct JsonWriter {
    pub(super) out: Vec<u8>,
    /// Whether something stands before the next row, series, and point.
    follows: bool,
    point_follows: bool,
}

impl JsonWriter {
    /// Writes an object without its closing brace.
    fn open(&mut self, object: &impl Serialize) {
        let start = self.out.len();
        if serde_json::to_writer(&mut self.out, object).is_ok() {
            self.out.pop();
        } else {
            // Never so for a struct of texts and numbers.
            self.out.truncate(start);
            self.out.push(b'{');
        }
    }

    fn head(&mut self, head: &Head) {
        self.out.extend_from_slice(br#"{"code":"SUCCESS","message":"","data":"#);
        self.open(head);
    }

    fn comma(&mut self) {
        if std::mem::replace(&mut self.follows, true) {
            self.out.push(b',');
        }
    }

    pub(super) fn table(&mut self, head: &Head, columns: &[Column]) {
        self.head(head);
        self.out.extend_from_slice(br#","columns":"#);
        if serde_json::to_writer(&mut self.out, columns).is_err() {
            self.out.extend_from_slice(b"[]");
        }
        self.out.extend_from_slice(br#","rows":["#);
    }

    pub(super) fn row(&mut self, at: Timestamp, values: &[f64]) {
        self.comma();
        let mut pen = Pen::new(&mut self.out, (values.len() + 1) * BYTES_A_POINT);
        pen.byte(b'[');
        pen.instant(at);
        for value in values {
            pen.byte(b',');
            pen.number(*value, "null");
        }
        pen.byte(b']');
    }

    pub(super) fn series(&mut self, head: &Head) {
        self.head(head);
        self.out.extend_from_slice(br#","series":["#);
    }

    pub(super) fn begin(&mut self, series: &Column) {
        self.comma();
        self.open(series);
        self.out.extend_from_slice(br#","points":["#);
        self.point_follows = false;
    }

    pub(super) fn samples(&mut self, samples: impl ExactSizeIterator<Item = Sample>) {
        let mut pen = Pen::new(&mut self.out, samples.len() * BYTES_A_POINT);
        for sample in samples {
            if std::mem::replace(&mut self.point_follows, true) {
                pen.byte(b',');
            }
            pen.byte(b'[');
            pen.instant(sample.at);
            pen.byte(b',');
            pen.number(sample.value, "null");
            if let Some(flag) = sample.flag {
                pen.bytes(b",\"");
                pen.bytes(flag.as_bytes());
                pen.byte(b'"');
            }
            pen.byte(b']');
        }
    }

    pub(super) fn finish(&mut self, of: Option<u64>) {
        self.out.push(b']');
        if let Some(of) = of {
            self.out.extend_from_slice(br#","of":"#);
            let _ = serde_json::to_writer(&mut self.out, &of);
        }
        self.out.push(b'}');
    }

    pub(super) fn end(&mut self) {
        self.out.extend_from_slice(b"]}}");
    }
}
