//! A line of InfluxDB's line protocol, `power,device=pv-01 value=-12.5 1780000000000000000`, as its reference has it:
//! <https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/>.
//!
//! What is read points into the line; only what holds escapes is copied.

use shared::telemetry::{Refusal, RefusalCode};
use std::{borrow::Cow, collections::HashSet};

/// Tags or fields of one line beyond which it is refused.
const MOST: usize = 1_000;

/// What a line says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point<'a> {
    pub measurement: Cow<'a, str>,
    pub tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// At least one, each key once.
    pub fields: Vec<(Cow<'a, str>, FieldValue<'a>)>,
    /// In the unit the writer says; when there is none, the writer means now.
    pub timestamp: Option<i64>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FieldValue<'a> {
    /// Finite.
    Float(f64),
    Integer(i64),
    Unsigned(u64),
    Boolean(bool),
    Text(Cow<'a, str>),
}

impl<'a> Point<'a> {
    /// Reads a line; `None` for a blank one or a comment.
    pub(crate) fn parse(line: &'a [u8]) -> Result<Option<Point<'a>>, Refusal> {
        let line = std::str::from_utf8(line).map_err(|error| {
            let message = format!("not UTF-8, at column {}", error.valid_up_to() + 1);
            Refusal::new(RefusalCode::WrongType, "", message)
        })?;
        let mut cursor = Cursor { line, at: 0 };
        cursor.skip_spaces();
        if cursor.rest().is_empty() || cursor.rest().starts_with('#') {
            return Ok(None);
        }
        let measurement = cursor.name(", ", "measurement", Escapes(", "))?;
        let mut tags = Vec::new();
        while cursor.takes(',') {
            let key = cursor.name("=, ", "a tag's key", Escapes(",= "))?;
            if !cursor.takes('=') {
                return Err(cursor.fault(key.into_owned(), "a tag without ="));
            }
            let value = cursor.name(", =", "a tag's value", Escapes(",= "))?;
            push_once(&mut tags, key, value, &cursor)?;
        }
        if !cursor.takes(' ') {
            return Err(cursor.fault(measurement.into_owned(), "expected a space and fields"));
        }
        cursor.skip_spaces();
        let mut fields = Vec::new();
        loop {
            let key = cursor.name("=, ", "a field's key", Escapes(",= "))?;
            if !cursor.takes('=') {
                return Err(cursor.fault(key.into_owned(), "a field without ="));
            }
            let value = cursor.value(&key)?;
            push_once(&mut fields, key, value, &cursor)?;
            if !cursor.takes(',') {
                break;
            }
        }
        each_once(&tags)?;
        each_once(&fields)?;
        let timestamp = cursor.timestamp()?;
        Ok(Some(Point { measurement, tags, fields, timestamp }))
    }
}

fn push_once<'a, T>(
    list: &mut Vec<(Cow<'a, str>, T)>,
    key: Cow<'a, str>,
    value: T,
    cursor: &Cursor<'_>,
) -> Result<(), Refusal> {
    if list.len() == MOST {
        let message = format!("more than {MOST} tags or fields, at column {}", cursor.at + 1);
        return Err(Refusal::new(RefusalCode::TooLarge, key, message));
    }
    list.push((key, value));
    Ok(())
}

fn each_once<T>(list: &[(Cow<'_, str>, T)]) -> Result<(), Refusal> {
    let mut seen = HashSet::with_capacity(list.len());
    match list.iter().find(|(key, _)| !seen.insert(&**key)) {
        Some((key, _)) => Err(Refusal::new(RefusalCode::WrongType, &**key, "is there twice")),
        None => Ok(()),
    }
}

/// Characters that a backslash before them makes ordinary; before others a backslash is one itself.
#[derive(Clone, Copy)]
struct Escapes(&'static str);

impl Escapes {
    fn undone(self, raw: &str) -> Cow<'_, str> {
        if !raw.contains('\\') {
            return Cow::Borrowed(raw);
        }
        let mut text = String::with_capacity(raw.len());
        let mut characters = raw.chars().peekable();
        while let Some(character) = characters.next() {
            match characters.next_if(|&next| character == '\\' && self.0.contains(next)) {
                Some(escaped) => text.push(escaped),
                None => text.push(character),
            }
        }
        Cow::Owned(text)
    }
}

struct Cursor<'a> {
    line: &'a str,
    /// A character's beginning.
    at: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        &self.line[self.at..]
    }

    fn takes(&mut self, character: char) -> bool {
        let is_there = self.rest().starts_with(character);
        if is_there {
            self.at += character.len_utf8();
        }
        is_there
    }

    fn skip_spaces(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn fault(&self, field: impl Into<String>, what: &str) -> Refusal {
        Refusal::new(RefusalCode::WrongType, field, format!("{what}, at column {}", self.at + 1))
    }

    /// A name up to one of `ends`, as far as that is not escaped.
    fn name(&mut self, ends: &str, what: &str, escapes: Escapes) -> Result<Cow<'a, str>, Refusal> {
        let rest = self.rest();
        let mut is_escaped = false;
        let end = rest.find(|character| {
            let ends_here = !is_escaped && ends.contains(character);
            is_escaped = !is_escaped && character == '\\';
            ends_here
        });
        let raw = &rest[..end.unwrap_or(rest.len())];
        if raw.is_empty() {
            return Err(self.fault("", &format!("{what} is missing")));
        }
        self.at += raw.len();
        Ok(escapes.undone(raw))
    }

    fn value(&mut self, key: &str) -> Result<FieldValue<'a>, Refusal> {
        if self.takes('"') {
            return self.text(key);
        }
        let rest = self.rest();
        let raw = &rest[..rest.find([',', ' ', '\t', '\r', '\n']).unwrap_or(rest.len())];
        let value = match raw {
            "" => return Err(self.fault(key, "a field without value")),
            "t" | "T" | "true" | "True" | "TRUE" => FieldValue::Boolean(true),
            "f" | "F" | "false" | "False" | "FALSE" => FieldValue::Boolean(false),
            _ => self.number(key, raw)?,
        };
        self.at += raw.len();
        Ok(value)
    }

    fn number(&self, key: &str, raw: &'a str) -> Result<FieldValue<'a>, Refusal> {
        let not_a_value = || {
            let shown: String = raw.chars().take(64).collect();
            self.fault(key, &format!("{shown:?} is no number, boolean or quoted text"))
        };
        let is_whole = |digits: &str| {
            let digits = digits.strip_prefix(['-', '+']).unwrap_or(digits);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        if let Some(digits) = raw.strip_suffix('i').filter(|digits| is_whole(digits)) {
            let integer = digits.parse().map(FieldValue::Integer);
            return integer.map_err(|_| self.fault(key, "an integer beyond 64 bits"));
        }
        if let Some(digits) = raw.strip_suffix('u').filter(|digits| is_whole(digits)) {
            let unsigned = digits.parse().map(FieldValue::Unsigned);
            return unsigned.map_err(|_| self.fault(key, "an unsigned integer below 0 or beyond 64 bits"));
        }
        let float: f64 = raw.parse().map_err(|_| not_a_value())?;
        if !float.is_finite() {
            return Err(Refusal::new(RefusalCode::NotFinite, key, "not a finite number"));
        }
        Ok(FieldValue::Float(float))
    }

    /// The rest of a quoted text and its end.
    fn text(&mut self, key: &str) -> Result<FieldValue<'a>, Refusal> {
        let rest = self.rest();
        let mut is_escaped = false;
        let end = rest.find(|character| {
            let ends_here = !is_escaped && character == '"';
            is_escaped = !is_escaped && character == '\\';
            ends_here
        });
        let Some(end) = end else { return Err(self.fault(key, "a text without end")) };
        self.at += end + 1;
        Ok(FieldValue::Text(Escapes("\"\\").undone(&rest[..end])))
    }

    fn timestamp(&mut self) -> Result<Option<i64>, Refusal> {
        let before = self.at;
        self.skip_spaces();
        let raw = self.rest().trim_end_matches([' ', '\t', '\r', '\n']);
        if raw.is_empty() {
            return Ok(None);
        }
        if self.at == before {
            return Err(self.fault("", "expected a comma, a space or the line's end"));
        }
        let shown: String = raw.chars().take(64).collect();
        let timestamp = raw
            .parse()
            .map_err(|_| self.fault("timestamp", &format!("{shown:?} is no whole number of 64 bits")))?;
        Ok(Some(timestamp))
    }
}

/// The unit of timestamps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Precision {
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
}

impl Precision {
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ns" => Precision::Nanoseconds,
            "us" => Precision::Microseconds,
            "ms" => Precision::Milliseconds,
            "s" => Precision::Seconds,
            _ => return None,
        })
    }

    /// Unix milliseconds, rounded down; `None` beyond what 64 bits hold.
    pub(crate) fn milliseconds(self, timestamp: i64) -> Option<i64> {
        match self {
            Precision::Nanoseconds => Some(timestamp.div_euclid(1_000_000)),
            Precision::Microseconds => Some(timestamp.div_euclid(1_000)),
            Precision::Milliseconds => Some(timestamp),
            Precision::Seconds => timestamp.checked_mul(1_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> Result<Option<Point<'_>>, Refusal> {
        Point::parse(line.as_bytes())
    }

    fn field(text: &str) -> FieldValue<'_> {
        parse(text).unwrap().unwrap().fields.remove(0).1
    }

    #[test]
    fn a_line_is_read_with_its_escapes() {
        let line = r#"my\ power\,x,dev\=ice=pv\ 01,host=a\b v\,1=1.5,text="a \"b\" \\ , = c",on=T,n=-7i,u=7u 1780000000000"#;
        let point = parse(line).unwrap().unwrap();
        assert_eq!(point.measurement, "my power,x");
        assert_eq!(point.tags, [("dev=ice".into(), "pv 01".into()), ("host".into(), r"a\b".into())]);
        assert_eq!(
            point.fields,
            [
                ("v,1".into(), FieldValue::Float(1.5)),
                ("text".into(), FieldValue::Text(r#"a "b" \ , = c"#.into())),
                ("on".into(), FieldValue::Boolean(true)),
                ("n".into(), FieldValue::Integer(-7)),
                ("u".into(), FieldValue::Unsigned(7)),
            ]
        );
        assert_eq!(point.timestamp, Some(1_780_000_000_000));
        assert_eq!(parse("m v=1").unwrap().unwrap().timestamp, None);
        assert_eq!(parse("  m   v=1   -5 \r").unwrap().unwrap().timestamp, Some(-5));
        assert_eq!(field("m v=\"two\nlines\""), FieldValue::Text("two\nlines".into()));
        assert_eq!(field(r#"m v="" 1"#), FieldValue::Text("".into()));
    }

    #[test]
    fn blank_lines_and_comments_say_nothing() {
        for line in ["", "   ", "\r", "# power v=1", "  # x"] {
            assert_eq!(parse(line).unwrap(), None, "{line:?}");
        }
    }

    #[test]
    fn numbers_have_many_forms() {
        for (text, expected) in [
            ("1", 1.0),
            ("-1.5", -1.5),
            ("+2", 2.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("1e3", 1_000.0),
            ("-1.5E-3", -0.0015),
            ("0.1", 0.1),
            ("1e-400", 0.0),
            ("9007199254740993", 9_007_199_254_740_992.0),
        ] {
            assert_eq!(field(&format!("m v={text}")), FieldValue::Float(expected), "{text}");
        }
        assert_eq!(field("m v=9223372036854775807i"), FieldValue::Integer(i64::MAX));
        assert_eq!(field("m v=18446744073709551615u 1"), FieldValue::Unsigned(u64::MAX));
        for (text, expected) in [("t", true), ("TRUE", true), ("false", false), ("F", false)] {
            assert_eq!(field(&format!("m v={text}")), FieldValue::Boolean(expected), "{text}");
        }
    }

    #[test]
    fn each_fault_is_named() {
        use RefusalCode::*;
        for (line, code, field) in [
            ("power", WrongType, "power"),
            ("power ", WrongType, ""),
            (",device=a v=1", WrongType, ""),
            ("m,=a v=1", WrongType, ""),
            ("m,device v=1", WrongType, "device"),
            ("m,device= v=1", WrongType, ""),
            ("m,device=a,device=b v=1", WrongType, "device"),
            ("m,a=b=c v=1", WrongType, "m"),
            ("m v", WrongType, "v"),
            ("m v=", WrongType, "v"),
            ("m =1", WrongType, ""),
            ("m v=1,", WrongType, ""),
            ("m v=1,v=2", WrongType, "v"),
            ("m v=1x", WrongType, "v"),
            ("m v=i", WrongType, "v"),
            ("m v=1.5i", WrongType, "v"),
            ("m v=-1u", WrongType, "v"),
            ("m v=9223372036854775808i", WrongType, "v"),
            ("m v=tRuE", WrongType, "v"),
            ("m v=\"open", WrongType, "v"),
            ("m v=\"a\"b 1", WrongType, ""),
            ("m v=NaN", NotFinite, "v"),
            ("m v=inf", NotFinite, "v"),
            ("m v=1e999", NotFinite, "v"),
            ("m v=1 soon", WrongType, "timestamp"),
            ("m v=1 1.5", WrongType, "timestamp"),
            ("m v=1 1 2", WrongType, "timestamp"),
            ("m v=1 99999999999999999999", WrongType, "timestamp"),
        ] {
            let refusal = parse(line).unwrap_err();
            assert_eq!((refusal.code, refusal.field.as_str()), (code, field), "{line}: {}", refusal.message);
            assert!(!refusal.message.is_empty());
        }
        assert_eq!(Point::parse(b"m v=\"\xff\"").unwrap_err().message, "not UTF-8, at column 6");
        let wide = format!("m {}", (0..=MOST).map(|n| format!("f{n}=1")).collect::<Vec<_>>().join(","));
        assert_eq!(parse(&wide).unwrap_err().code, TooLarge);
    }

    #[test]
    fn a_timestamp_becomes_milliseconds() {
        for (name, timestamp, expected) in [
            ("ns", 1_780_000_000_123_999_999, Some(1_780_000_000_123)),
            ("us", 1_780_000_000_123_999, Some(1_780_000_000_123)),
            ("ms", 5, Some(5)),
            ("s", 1_780_000_000, Some(1_780_000_000_000)),
            ("s", i64::MAX, None),
            ("ns", -1, Some(-1)),
        ] {
            let precision = Precision::from_name(name).unwrap();
            assert_eq!(precision.milliseconds(timestamp), expected, "{timestamp} {name}");
        }
        assert_eq!(Precision::from_name("h"), None);
    }

    fn escaped(text: &str, characters: &str) -> String {
        let escape = |c: char| if characters.contains(c) { format!("\\{c}") } else { c.to_string() };
        text.chars().map(escape).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_written_is_read_again(
            names in prop::collection::vec("[a-zé,= ]{0,5}[a-z]", 3),
            text in "[a-z\"\\\\, =\n]{0,12}",
            value in prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL,
            timestamp in any::<i64>(),
        ) {
            let line = format!(
                "{},{}={} text=\"{}\",value={value:?} {timestamp}",
                escaped(&names[0], ", "), escaped(&names[1], ",= "), escaped(&names[2], ",= "), escaped(&text, "\"\\"),
            );
            let line = line.trim_start();
            prop_assume!(!names[0].starts_with(' '));
            let point = parse(line).unwrap().unwrap();
            prop_assert_eq!(&*point.measurement, &*names[0]);
            prop_assert_eq!(&point.tags[0], &(names[1].as_str().into(), names[2].as_str().into()));
            prop_assert_eq!(&point.fields[0].1, &FieldValue::Text(text.into()));
            let FieldValue::Float(read) = point.fields[1].1 else { panic!("{line}") };
            prop_assert_eq!(read.to_bits(), value.to_bits());
            prop_assert_eq!(point.timestamp, Some(timestamp));
        }
    }
}
