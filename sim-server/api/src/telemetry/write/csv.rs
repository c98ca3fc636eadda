//! CSV as RFC 4180 has it: a header, lines that end in CR LF, instants as Unix milliseconds, nothing where there is no value.

use super::{Column, Head, Sample, instant, number};
use shared::time::Timestamp;

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
        instant(&mut self.out, at);
        for value in values {
            self.out.push(b',');
            number(&mut self.out, *value, "");
        }
        self.out.extend_from_slice(b"\r\n");
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

    pub(super) fn sample(&mut self, sample: Sample) {
        self.out.extend_from_slice(&self.prefix);
        instant(&mut self.out, sample.at);
        self.out.push(b',');
        number(&mut self.out, sample.value, "");
        self.out.push(b',');
        self.out.extend_from_slice(sample.quality.as_bytes());
        self.out.extend_from_slice(b"\r\n");
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
