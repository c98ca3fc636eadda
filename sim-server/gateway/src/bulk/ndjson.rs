//! A line of bulk import, `{"metric":{"__name__":"power","device":"pv-01"},"values":[…],"timestamps":[…]}`: what VictoriaMetrics
//! exports and imports.
//!
//! Read by hand into buffers that are used again: a million readings a second leave no time for a tree of JSON values, and hardly
//! any for a number. Numbers are those of JSON, rounded as the standard library rounds them.

use serde::de::IgnoredAny;
use shared::telemetry::{Refusal, RefusalCode};
use std::borrow::Cow;

/// What a line says. Its buffers are used again for the next line.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Run {
    pub device: String,
    pub measurement: String,
    /// Booleans are 1 and 0; 0 where a word stands.
    pub values: Vec<f64>,
    /// Unix milliseconds.
    pub timestamps: Vec<i64>,
    /// Words of states, by their place in `values`.
    pub words: Vec<(usize, String)>,
    /// Values that were `null`; neither they nor their timestamps are above.
    pub skipped: usize,
    nulls: Vec<usize>,
}

type Parsed<T> = Result<T, Refusal>;

impl Run {
    /// How many readings came, as far as the line was read.
    pub(crate) fn readings(&self) -> usize {
        self.values.len().max(self.timestamps.len())
    }

    /// A field such as `values[3]` of what was read, as the line has it: with the nulls that were left out.
    pub(crate) fn field_as_sent(&self, field: String) -> String {
        let Some((name, index)) = field.strip_suffix(']').and_then(|field| field.split_once('[')) else {
            return field;
        };
        let Ok(mut at) = index.parse::<usize>() else { return field };
        for &null in &self.nulls {
            at += usize::from(null <= at);
        }
        format!("{name}[{at}]")
    }

    fn clear(&mut self) {
        self.device.clear();
        self.measurement.clear();
        self.values.clear();
        self.timestamps.clear();
        self.words.clear();
        self.nulls.clear();
        self.skipped = 0;
    }

    /// Reads a line; what was in the run before is forgotten. After a fault device and measurement are there if they came before it.
    pub(crate) fn parse(&mut self, line: &[u8]) -> Parsed<()> {
        self.clear();
        let mut cursor = Cursor { bytes: line, at: 0 };
        let (mut has_metric, mut has_values, mut has_timestamps) = (false, false, false);
        cursor.members("", |cursor, key| match key {
            "metric" => {
                once(&mut has_metric, "metric")?;
                self.metric(cursor)
            }
            "values" => {
                once(&mut has_values, "values")?;
                self.values(cursor)
            }
            "timestamps" => {
                once(&mut has_timestamps, "timestamps")?;
                self.timestamps(cursor)
            }
            _ => cursor.skip_value(),
        })?;
        cursor.skip_whitespace();
        if cursor.at < line.len() {
            return Err(cursor.malformed("", "more after the object's end"));
        }
        for (has, name) in [(has_metric, "metric"), (has_values, "values"), (has_timestamps, "timestamps")] {
            if !has {
                return Err(Refusal::new(RefusalCode::MissingField, name, "is not there"));
            }
        }
        for (name, field) in [(&self.measurement, "metric.__name__"), (&self.device, "metric.device")] {
            if name.is_empty() {
                return Err(Refusal::new(RefusalCode::MissingField, field, "is not there"));
            }
        }
        if self.values.len() != self.timestamps.len() {
            let message = format!("{} timestamps for {} values", self.timestamps.len(), self.values.len());
            return Err(Refusal::new(RefusalCode::WrongType, "timestamps", message));
        }
        self.leave_out_nulls();
        Ok(())
    }

    fn metric(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        cursor.members("metric", |cursor, key| {
            let name = match key {
                "__name__" => &mut self.measurement,
                "device" => &mut self.device,
                _ => return cursor.skip_value(),
            };
            let field = || format!("metric.{key}");
            if cursor.peek() != Some(b'"') {
                return Err(cursor.wrong_type(field(), "a text"));
            }
            let text = cursor.string(field)?;
            name.clear();
            name.push_str(&text);
            Ok(())
        })
    }

    fn values(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        let Run { values, words, nulls, .. } = self;
        cursor.elements("values", |cursor, index| {
            let field = || format!("values[{index}]");
            let value = match cursor.peek() {
                Some(b'-' | b'0'..=b'9') => cursor.number(field)?,
                Some(b't') => cursor.word("true", field).map(|()| 1.0)?,
                Some(b'f') => cursor.word("false", field).map(|()| 0.0)?,
                Some(b'n') => {
                    cursor.word("null", field)?;
                    nulls.push(index);
                    0.0
                }
                Some(b'"') => {
                    let word = cursor.string(field)?;
                    if matches!(&*word, "NaN" | "Infinity" | "-Infinity" | "+Inf" | "-Inf") {
                        return Err(Refusal::new(RefusalCode::NotFinite, field(), "not a finite number"));
                    }
                    words.push((index, word.into_owned()));
                    0.0
                }
                _ => return Err(cursor.wrong_type(field(), "a number, a boolean, a state's word or null")),
            };
            values.push(value);
            Ok(())
        })
    }

    fn timestamps(&mut self, cursor: &mut Cursor<'_>) -> Parsed<()> {
        let timestamps = &mut self.timestamps;
        cursor.elements("timestamps", |cursor, index| {
            timestamps.push(cursor.integer(|| format!("timestamps[{index}]"))?);
            Ok(())
        })
    }

    fn leave_out_nulls(&mut self) {
        let nulls = std::mem::take(&mut self.nulls);
        self.skipped = nulls.len();
        if let Some(&first) = nulls.first() {
            let mut left_out = nulls.iter().peekable();
            let mut to = first;
            for from in first..self.values.len() {
                if left_out.next_if(|&&null| null == from).is_some() {
                    continue;
                }
                self.values[to] = self.values[from];
                self.timestamps[to] = self.timestamps[from];
                to += 1;
            }
            self.values.truncate(to);
            self.timestamps.truncate(to);
            for (at, _) in &mut self.words {
                *at -= nulls.partition_point(|&null| null < *at);
            }
        }
        self.nulls = nulls;
    }
}

fn once(has: &mut bool, name: &str) -> Parsed<()> {
    if std::mem::replace(has, true) {
        return Err(Refusal::new(RefusalCode::WrongType, name, "is there twice"));
    }
    Ok(())
}

/// Powers of ten that are exact.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
const LARGEST_EXACT: u64 = 1 << 53;

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn skip_whitespace(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn malformed(&self, field: impl Into<String>, what: &str) -> Refusal {
        Refusal::new(RefusalCode::MalformedJson, field, format!("{what}, at column {}", self.at + 1))
    }

    fn wrong_type(&self, field: impl Into<String>, expected: &str) -> Refusal {
        let message = format!("expected {expected}, at column {}", self.at + 1);
        let code = match self.peek() {
            Some(b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => RefusalCode::WrongType,
            _ => RefusalCode::MalformedJson,
        };
        Refusal::new(code, field, message)
    }

    /// Calls for each member of an object, with the cursor at its value.
    fn members(&mut self, field: &str, mut member: impl FnMut(&mut Self, &str) -> Parsed<()>) -> Parsed<()> {
        self.skip_whitespace();
        if self.peek() != Some(b'{') {
            return Err(self.wrong_type(field, "an object"));
        }
        self.at += 1;
        self.skip_whitespace();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.skip_whitespace();
            let key = self.string(|| field.to_owned())?;
            self.skip_whitespace();
            if self.peek() != Some(b':') {
                return Err(self.malformed(field, "expected a colon"));
            }
            self.at += 1;
            self.skip_whitespace();
            member(self, &key)?;
            self.skip_whitespace();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.malformed(field, "expected a comma or the object's end")),
            }
        }
    }

    /// Calls for each element of an array, with the cursor at it.
    #[inline]
    fn elements(
        &mut self,
        field: &str,
        mut element: impl FnMut(&mut Self, usize) -> Parsed<()>,
    ) -> Parsed<()> {
        if self.peek() != Some(b'[') {
            return Err(self.wrong_type(field, "an array"));
        }
        self.at += 1;
        self.skip_whitespace();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        let mut index = 0;
        loop {
            self.skip_whitespace();
            element(self, index)?;
            index += 1;
            self.skip_whitespace();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return Err(self.malformed(field, "expected a comma or the array's end")),
            }
        }
    }

    fn word(&mut self, word: &str, field: impl Fn() -> String) -> Parsed<()> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.malformed(field(), &format!("expected {word}")));
        }
        self.at += word.len();
        Ok(())
    }

    fn string(&mut self, field: impl Fn() -> String) -> Parsed<Cow<'a, str>> {
        if self.peek() != Some(b'"') {
            return Err(self.malformed(field(), "expected a text"));
        }
        let start = self.at;
        let mut has_escapes = false;
        let mut end = start + 1;
        loop {
            match self.bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    end += 2;
                }
                Some(_) => end += 1,
                None => return Err(self.malformed(field(), "a text without end")),
            }
        }
        let quoted = &self.bytes[start..=end];
        let inner = &quoted[1..quoted.len() - 1];
        let text = if has_escapes {
            serde_json::from_slice::<String>(quoted).ok().map(Cow::Owned)
        } else if inner.iter().any(|&byte| byte < 0x20) {
            None
        } else {
            std::str::from_utf8(inner).ok().map(Cow::Borrowed)
        };
        let Some(text) = text else { return Err(self.malformed(field(), "not a text of JSON")) };
        self.at = end + 1;
        Ok(text)
    }

    /// Digits as a number, and how many there are; the number is right while there are at most 19.
    #[inline]
    fn digits(&mut self, mut number: u64) -> (u64, usize) {
        let start = self.at;
        while let Some(digit) = self.peek().map(|byte| byte.wrapping_sub(b'0')).filter(|&digit| digit < 10) {
            number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
            self.at += 1;
        }
        (number, self.at - start)
    }

    #[inline]
    fn number(&mut self, field: impl Fn() -> String) -> Parsed<f64> {
        let start = self.at;
        let is_negative = self.peek() == Some(b'-');
        self.at += usize::from(is_negative);
        let begins_with_zero = self.peek() == Some(b'0');
        let (mut mantissa, mut digits) = self.digits(0);
        if digits == 0 || (begins_with_zero && digits > 1) {
            return Err(self.malformed(field(), "not a number of JSON"));
        }
        let mut fraction = 0;
        if self.peek() == Some(b'.') {
            self.at += 1;
            (mantissa, fraction) = self.digits(mantissa);
            if fraction == 0 {
                return Err(self.malformed(field(), "not a number of JSON"));
            }
            digits += fraction;
        }
        let has_exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if has_exponent {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            if self.digits(0).1 == 0 {
                return Err(self.malformed(field(), "not a number of JSON"));
            }
        }
        // Both parts exact: one division, rounded once, is the right result (Clinger 1990).
        if !has_exponent && digits <= 19 && mantissa <= LARGEST_EXACT && fraction < POWERS.len() {
            let value = mantissa as f64 / POWERS[fraction];
            return Ok(if is_negative { -value } else { value });
        }
        let text = std::str::from_utf8(&self.bytes[start..self.at]).ok();
        match text.and_then(|text| text.parse::<f64>().ok()) {
            Some(value) if value.is_finite() => Ok(value),
            _ => Err(Refusal::new(RefusalCode::NotFinite, field(), "not a finite number")),
        }
    }

    #[inline]
    fn integer(&mut self, field: impl Fn() -> String) -> Parsed<i64> {
        let start = self.at;
        let is_negative = self.peek() == Some(b'-');
        self.at += usize::from(is_negative);
        let (number, digits) = self.digits(0);
        let goes_on = matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        if digits == 0 || goes_on {
            self.at = start;
            return Err(self.wrong_type(field(), "whole milliseconds since 1970"));
        }
        let number = i64::try_from(number).ok().filter(|_| digits <= 18);
        let Some(number) = number else {
            self.at = start;
            return Err(self.wrong_type(field(), "milliseconds since 1970 of at most 18 digits"));
        };
        Ok(if is_negative { -number } else { number })
    }

    fn skip_value(&mut self) -> Parsed<()> {
        let mut values =
            serde_json::Deserializer::from_slice(&self.bytes[self.at..]).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                self.at += values.byte_offset();
                Ok(())
            }
            Some(Err(error)) => Err(self.malformed("", &format!("no value of JSON ({error})"))),
            None => Err(self.malformed("", "a value is missing")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn parse(line: &str) -> Parsed<Run> {
        let mut run = Run::default();
        run.parse(line.as_bytes())?;
        Ok(run)
    }

    fn line(values: &str, timestamps: &str) -> String {
        format!(
            r#"{{"metric":{{"__name__":"power","device":"pv-01"}},"values":{values},"timestamps":{timestamps}}}"#
        )
    }

    #[test]
    fn a_line_of_victoriametrics_is_read() {
        let run = parse(
            r#" {"metric":{"__name__":"power","job":"x","device":"pv\u002d01"}, "values":[1, -2.5 ,true,null,"idle",1e3],
                "timestamps":[1,2,3,4,5,6],"more":{"a":[1,{}]}} "#,
        )
        .unwrap();
        assert_eq!((run.measurement.as_str(), run.device.as_str()), ("power", "pv-01"));
        assert_eq!(run.values, [1.0, -2.5, 1.0, 0.0, 1000.0]);
        assert_eq!(run.timestamps, [1, 2, 3, 5, 6]);
        assert_eq!(run.words, [(3, "idle".to_owned())]);
        assert_eq!(run.skipped, 1);
        for (field, as_sent) in [("values[2]", "values[2]"), ("values[3]", "values[4]"), ("metric", "metric")]
        {
            assert_eq!(run.field_as_sent(field.to_owned()), as_sent);
        }
        assert!(parse(&line("[]", "[]")).unwrap().values.is_empty());
    }

    #[test]
    fn each_fault_is_named() {
        use RefusalCode::*;
        for (text, code, field) in [
            ("", MalformedJson, ""),
            ("7", WrongType, ""),
            ("{", MalformedJson, ""),
            ("{} x", MalformedJson, ""),
            ("{}", MissingField, "metric"),
            (r#"{"metric":{}}"#, MissingField, "values"),
            (r#"{"metric":{"device":7}}"#, WrongType, "metric.device"),
            (r#"{"metric":{"device":"a"},"values":[],"timestamps":[]}"#, MissingField, "metric.__name__"),
            (r#"{"metric":{"__name__":"a"},"values":[],"timestamps":[]}"#, MissingField, "metric.device"),
            (r#"{"metric":{},"metric":{}}"#, WrongType, "metric"),
            (&line("[1,2]", "[1]"), WrongType, "timestamps"),
            (&line("[1,{}]", "[1,2]"), WrongType, "values[1]"),
            (&line("[1,,2]", "[1,2]"), MalformedJson, "values[1]"),
            (&line("[01]", "[1]"), MalformedJson, "values[0]"),
            (&line("[1.]", "[1]"), MalformedJson, "values[0]"),
            (&line("[1e]", "[1]"), MalformedJson, "values[0]"),
            (&line("[tru]", "[1]"), MalformedJson, "values[0]"),
            (&line("[1e999]", "[1]"), NotFinite, "values[0]"),
            (&line("[1,\"NaN\"]", "[1,2]"), NotFinite, "values[1]"),
            (&line("[1", "[1]"), MalformedJson, "values"),
            (&line("7", "[1]"), WrongType, "values"),
            (&line("[1]", "[1.5]"), WrongType, "timestamps[0]"),
            (&line("[1]", "[\"2026-01-01\"]"), WrongType, "timestamps[0]"),
            (&line("[1]", "[12345678901234567890123]"), WrongType, "timestamps[0]"),
        ] {
            let fault = parse(text).unwrap_err();
            assert_eq!((fault.code, fault.field.as_str()), (code, field), "{text}: {}", fault.message);
            assert!(!fault.message.is_empty());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_printed_is_read_again(
            device in "[A-Za-z0-9._:\\-\"\\\\é]{1,12}",
            points in prop::collection::vec((prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL,
                -4_000_000_000_000i64..4_000_000_000_000), 0..40),
        ) {
            let (values, timestamps): (Vec<f64>, Vec<i64>) = points.into_iter().unzip();
            let text = json!({"timestamps": timestamps, "metric": {"device": device, "__name__": "power"}, "values": values});
            let run = parse(&text.to_string()).unwrap();
            prop_assert_eq!(run.device, device);
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            prop_assert_eq!(bits(&run.values), bits(&values));
            prop_assert_eq!(run.timestamps, timestamps);
        }

        #[test]
        fn numbers_are_those_of_the_standard_library(
            text in "-?(0|[1-9][0-9]{0,22})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,2})?",
        ) {
            let run = parse(&line(&format!("[{text}]"), "[1]")).unwrap();
            prop_assert_eq!(run.values[0].to_bits(), text.parse::<f64>().unwrap().to_bits());
        }

        #[test]
        fn what_serde_refuses_is_refused(text in "[-+0-9.eE\\[\\], ntrufalse]{0,12}") {
            let text = line(&text, "[1]");
            if parse(&text).is_ok() {
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
            }
        }
    }
}
