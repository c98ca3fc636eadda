//! The usual envelope, written as it comes: `{"code":"SUCCESS","message":"","data":{…}}`. Cut off, it is no JSON.

use super::{Column, GOOD, Head, Sample, instant, number};
use serde::Serialize;
use shared::time::Timestamp;

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
        self.out.push(b'[');
        instant(&mut self.out, at);
        for value in values {
            self.out.push(b',');
            number(&mut self.out, *value, "null");
        }
        self.out.push(b']');
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

    pub(super) fn sample(&mut self, sample: Sample) {
        if std::mem::replace(&mut self.point_follows, true) {
            self.out.push(b',');
        }
        self.out.push(b'[');
        instant(&mut self.out, sample.at);
        self.out.push(b',');
        number(&mut self.out, sample.value, "null");
        if sample.quality != GOOD {
            self.out.extend_from_slice(b",\"");
            self.out.extend_from_slice(sample.quality.as_bytes());
            self.out.push(b'"');
        }
        self.out.push(b']');
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
