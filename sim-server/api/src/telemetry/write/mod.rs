//! Answers as bytes, written bit by bit into one buffer that whoever sends it empties.
//!
//! An answer is a table (a row for each step, a column for each series or group) or a list of series (each with its own
//! instants). Both are known by their columns before the first value is.

mod arrow;
mod csv;
mod digits;
mod flat;
mod json;

use super::figure::named;
use crate::ApiError;
use arrow::ArrowWriter;
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use csv::CsvWriter;
use json::JsonWriter;
use schemars::JsonSchema;
use serde::Serialize;
use shared::time::Timestamp;

/// What an answer is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Csv,
    Arrow,
}

impl Format {
    const ALL: [Format; 3] = [Format::Json, Format::Csv, Format::Arrow];

    fn as_str(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Arrow => "arrow",
        }
    }

    /// What files of it are called at their end.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Csv => "csv",
            Format::Arrow => "arrows",
        }
    }

    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Csv => "text/csv; charset=utf-8; header=present",
            Format::Arrow => "application/vnd.apache.arrow.stream",
        }
    }

    /// The one asked for by name, else the one that the Accept header asks for, else JSON.
    pub(crate) fn of(asked: Option<&str>, headers: &HeaderMap) -> Result<Format, ApiError> {
        if let Some(asked) = asked {
            return named("format", asked, Format::ALL, Format::as_str);
        }
        let accepted = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let types = accepted.split(',').map(|part| part.split(';').next().unwrap_or_default().trim());
        let known = types.filter_map(|name| {
            Format::ALL.into_iter().find(|f| f.media_type().split(';').next() == Some(name))
        });
        Ok(known.into_iter().next().unwrap_or(Format::Json))
    }
}

/// What an answer says of itself.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Head {
    /// Where the first step begins, or the `from` asked for where there are no steps.
    pub(crate) from: Timestamp,
    /// Up to but not including.
    pub(crate) to: Timestamp,
    /// Absent for readings as they were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) step: Option<String>,
    /// What steps without a reading are filled with, where they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fill: Option<&'static str>,
    /// Whose days and months steps are of.
    pub(crate) time_zone: String,
}

/// What a column, or a series, is of. What its series do not share is absent.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Column {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) building: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) measurement: Option<String>,
    /// Absent where its series disagree, or arithmetic makes it uncertain; empty for a pure number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unit: Option<String>,
    /// What a value is: `twa`, `sum of twa`, or the expression. Absent for readings as they were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) figure: Option<String>,
    /// How many series are in it.
    pub(crate) series: usize,
}

/// One point of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    pub(crate) at: Timestamp,
    pub(crate) value: f64,
    /// What is said of it; nothing of a good one in JSON.
    pub(crate) flag: Option<&'static str>,
}

/// What CSV and Arrow say of a good one.
const GOOD: &str = "good";

/// Writes one answer. The calls are, in this order: `table` and then `row`s, or `series` and then for each of them `begin`,
/// `samples`, `finish`; and at last `end`.
pub(crate) struct Writer {
    form: Form,
    /// Values and samples written and not taken yet.
    points: usize,
}

enum Form {
    Json(JsonWriter),
    Csv(CsvWriter),
    Arrow(ArrowWriter),
}

/// Calls the same method of whichever writer it is.
macro_rules! each {
    ($self:ident, $writer:ident => $call:expr) => {
        match &mut $self.form {
            Form::Json($writer) => $call,
            Form::Csv($writer) => $call,
            Form::Arrow($writer) => $call,
        }
    };
}

impl Writer {
    pub(crate) fn new(format: Format) -> Writer {
        let form = match format {
            Format::Json => Form::Json(JsonWriter::default()),
            Format::Csv => Form::Csv(CsvWriter::default()),
            Format::Arrow => Form::Arrow(ArrowWriter::default()),
        };
        Writer { form, points: 0 }
    }

    pub(crate) fn table(&mut self, head: &Head, columns: &[Column]) {
        each!(self, writer => writer.table(head, columns));
    }

    /// A value for each column, NaN for none.
    pub(crate) fn row(&mut self, at: Timestamp, values: &[f64]) {
        self.points += values.len();
        each!(self, writer => writer.row(at, values));
    }

    pub(crate) fn series(&mut self, head: &Head) {
        each!(self, writer => writer.series(head));
    }

    pub(crate) fn begin(&mut self, series: &Column) {
        each!(self, writer => writer.begin(series));
    }

    pub(crate) fn samples(&mut self, samples: impl ExactSizeIterator<Item = Sample>) {
        self.points += samples.len();
        each!(self, writer => writer.samples(samples));
    }

    /// `of`: how many points the samples stand for, where they are fewer.
    pub(crate) fn finish(&mut self, of: Option<u64>) {
        each!(self, writer => writer.finish(of));
    }

    pub(crate) fn end(&mut self) {
        each!(self, writer => writer.end());
    }

    /// Bytes that wait to be taken.
    pub(crate) fn waiting(&self) -> usize {
        match &self.form {
            Form::Json(writer) => writer.out.len(),
            Form::Csv(writer) => writer.out.len(),
            Form::Arrow(writer) => writer.out.len(),
        }
    }

    /// How many points were written since last asked.
    pub(crate) fn take_points(&mut self) -> usize {
        std::mem::take(&mut self.points)
    }

    pub(crate) fn take(&mut self) -> Bytes {
        let out = each!(self, writer => &mut writer.out);
        let room = out.capacity().min(1 << 20);
        Bytes::from(std::mem::replace(out, Vec::with_capacity(if out.is_empty() { 0 } else { room })))
    }
}

#[cfg(test)]
mod tests {
    use super::{digits::Pen, *};
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    fn written(value: f64) -> String {
        let mut out = Vec::new();
        Pen::new(&mut out, 0).number(value, "null");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_written_as_json_has_them() {
        for value in [
            0.0,
            1.0,
            -1.5,
            0.1,
            2.3,
            99.999,
            -0.001,
            0.0001,
            1e-9,
            123_456_789.125,
            1e12,
            1e15,
            1.0 / 3.0,
            f64::MAX,
        ] {
            assert_eq!(written(value), serde_json::to_string(&value).unwrap());
        }
        for none in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(written(none), "null");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_number_is_read_back_as_it_was(any in any::<f64>(), tenths in -1_000_000_000i64..1_000_000_000) {
            for value in [any, any % 1e6, tenths as f64 / 10.0, tenths as f64 / 1e3, tenths as f64 / 1e5] {
                let text = written(value);
                if value.is_finite() {
                    prop_assert_eq!(text.parse::<f64>().unwrap(), value);
                    prop_assert!(text.len() <= serde_json::to_string(&value).unwrap().len());
                } else {
                    prop_assert_eq!(text, "null");
                }
            }
        }
    }

    #[test]
    fn instants_are_written_as_whole_numbers() {
        for at in [
            0,
            7,
            -7,
            10,
            99,
            100,
            1_780_272_000_000,
            1_780_272_099_999,
            1_000_000_000_000,
            -1_000,
            i64::MAX,
            i64::MIN,
        ] {
            let mut out = b"at ".to_vec();
            Pen::new(&mut out, 0).instant(Timestamp(at));
            assert_eq!(out, format!("at {at}").into_bytes());
        }
    }

    #[test]
    fn a_format_is_named_or_accepted() {
        let of = |asked: Option<&str>, accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            Format::of(asked, &headers).ok()
        };
        assert_eq!(of(Some("csv"), "application/json"), Some(Format::Csv));
        assert_eq!(of(Some("xml"), "*/*"), None);
        assert_eq!(of(None, "text/html, text/csv;q=0.9, */*"), Some(Format::Csv));
        assert_eq!(of(None, "application/vnd.apache.arrow.stream"), Some(Format::Arrow));
        assert_eq!(of(None, "*/*"), Some(Format::Json));
        assert_eq!(Format::of(None, &HeaderMap::new()).ok(), Some(Format::Json));
    }
}
