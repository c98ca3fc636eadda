//! CSV as RFC 4180 has it: a header, lines that end in CR LF, instants as Unix milliseconds, nothing where there is no value.

use super::{Column, GOOD, Head, Sample, digits::Pen};
use shared::time::Timestamp;

/// What an instant or a value takes, and the comma after it.
const BYTES_A_POINT: usize = 16;

#[derive(Debug, Default)]
pub(crate) struct CsvWriter {
    pub(super) out: Vec<u8>,
    /// How each line of the series begins.
    prefix: Vec<u8>,
}

/// Quoted where it must be.
fn field(out: &mut Vec<u8>, text: &str) {
    if !text.contains(['"', ',', '\r', '\n']) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    out.push(b'"');
}

impl CsvWriter {
    pub(super) fn table(&mut self, _: &Head, columns: &[Column]) {
        self.out.extend_from_slice(b"timestamp");
        for column in columns {
            self.out.push(b',');
            match column.unit.as_deref().filter(|unit| !unit.is_empty()) {
                Some(unit) => field(&mut self.out, &format!("{} [{unit}]", column.name)),
                None => field(&mut self.out, &column.name),
            }
        }
        self.out.extend_from_slice(b"\r\n");
    }

    pub(super) fn row(&mut self, at: Timestamp, values: &[f64]) {
        let mut pen = Pen::new(&mut self.out, (values.len() + 1) * BYTES_A_POINT);
        pen.instant(at);
        for value in values {
            pen.byte(b',');
            pen.number(*value, "");
        }
        pen.bytes(b"\r\n");
    }

    pub(super) fn series(&mut self, _: &Head) {
        self.out.extend_from_slice(b"series,unit,timestamp,value,quality\r\n");
    }

    pub(super) fn begin(&mut self, series: &Column) {
        self.prefix.clear();
        field(&mut self.prefix, &series.name);
        self.prefix.push(b',');
        field(&mut self.prefix, series.unit.as_deref().unwrap_or_default());
        self.prefix.push(b',');
    }

    pub(super) fn samples(&mut self, samples: impl ExactSizeIterator<Item = Sample>) {
        let mut pen = Pen::new(&mut self.out, samples.len() * (self.prefix.len() + 2 * BYTES_A_POINT));
        for sample in samples {
            pen.bytes(&self.prefix);
            pen.instant(sample.at);
            pen.byte(b',');
            pen.number(sample.value, "");
            pen.byte(b',');
            pen.bytes(sample.flag.unwrap_or(GOOD).as_bytes());
            pen.bytes(b"\r\n");
        }
    }

    pub(super) fn finish(&mut self, _: Option<u64>) {}

    pub(super) fn end(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        let written = |text: &str| {
            let mut out = Vec::new();
            field(&mut out, text);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written("bess-1/power [kW]"), "bess-1/power [kW]");
        assert_eq!(written("max(a,b)"), "\"max(a,b)\"");
        assert_eq!(written("6\" pipe"), "\"6\"\" pipe\"");
    }
}
