//! Payloads to messages: JSON read once, borrowing names and words from the payload.
//!
//! One object or an array, each item judged on its own, so one bad item spoils no other. What is not JSON is refused
//! as a whole; other faults name their field as `[3].data.power`. A name that comes twice in an object counts once,
//! with its last value. Hundreds of thousands of values a second pass here: on the good path an item costs one
//! allocation, for its list of values.

use super::{DataMessage, DeviceEvent, Refusal, RefusalCode, Sent};
use crate::{
    alarm::Severity,
    id::{DeviceId, InvalidId, is_valid},
    time::Timestamp,
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use std::{borrow::Cow, collections::HashMap, fmt};

/// A [`DataMessage`] whose names and words still lie in the payload.
#[derive(Debug, Clone, PartialEq)]
pub struct DataItem<'a> {
    /// Where it stands when the payload is an array.
    pub at: Option<usize>,
    /// A well-formed device id.
    pub device_id: Cow<'a, str>,
    pub timestamp: Timestamp,
    /// Values by measurement key, each key once, in payload order. Keys are as sent: not yet known to be well-formed.
    pub data: Vec<(Cow<'a, str>, SentRef<'a>)>,
}

impl DataItem<'_> {
    /// How a refusal names a field of this item, such as `[3].data.power`.
    pub fn field(&self, name: &str) -> String {
        field_at(self.at, name)
    }
}

/// A [`Sent`] whose word still lies in the payload.
#[derive(Debug, Clone, PartialEq)]
pub enum SentRef<'a> {
    Number(f64),
    Word(Cow<'a, str>),
    InUnit { value: f64, unit: Cow<'a, str> },
}

/// Parses a data payload without copying its names.
pub fn parse_data_items(payload: &[u8]) -> Result<Vec<Result<DataItem<'_>, Refusal>>, Refusal> {
    match serde_json::from_slice(payload).map_err(malformed)? {
        Payload::One(item) => Ok(vec![data_item(item, None)]),
        Payload::Many(items) => {
            Ok(items.into_iter().enumerate().map(|(i, item)| data_item(item, Some(i))).collect())
        }
        Payload::Other(got) => Err(not_items(got)),
    }
}

/// Parses a data payload: one object or an array, each item judged on its own.
///
/// The outer error is a payload that is not JSON (or neither object nor array); the inner ones name their field.
pub fn parse_data(payload: &[u8]) -> Result<Vec<Result<DataMessage, Refusal>>, Refusal> {
    Ok(parse_data_items(payload)?.into_iter().map(|item| item.and_then(owned)).collect())
}

/// Parses an event payload, one object or an array.
pub fn parse_events(payload: &[u8]) -> Result<Vec<Result<DeviceEvent, Refusal>>, Refusal> {
    match serde_json::from_slice(payload).map_err(malformed)? {
        Payload::One(item) => Ok(vec![event(item, None)]),
        Payload::Many(items) => {
            Ok(items.into_iter().enumerate().map(|(i, item)| event(item, Some(i))).collect())
        }
        Payload::Other(got) => Err(not_items(got)),
    }
}

/// Longest name repeated in a refusal: what somebody sends as a key may be megabytes.
const SHOWN_NAME_CHARS: usize = 80;

/// A field's name in its payload; `at` is the item's place in an array.
fn field_at(at: Option<usize>, name: &str) -> String {
    let name: String = name.chars().take(SHOWN_NAME_CHARS).collect();
    match (at, name.is_empty()) {
        (None, _) => name,
        (Some(index), true) => format!("[{index}]"),
        (Some(index), false) => format!("[{index}].{name}"),
    }
}

fn malformed(e: serde_json::Error) -> Refusal {
    let place = format!("line {} column {}", e.line(), e.column());
    Refusal::new(RefusalCode::MalformedJson, place, e.to_string())
}

fn not_items(got: &str) -> Refusal {
    Refusal::new(RefusalCode::WrongType, "", format!("expected an object or an array of objects, got {got}"))
}

fn wrong_type(field: String, expected: &str, got: &str) -> Refusal {
    Refusal::new(RefusalCode::WrongType, field, format!("expected {expected}, got {got}"))
}

fn data_item<'a>(item: Item<'a>, at: Option<usize>) -> Result<DataItem<'a>, Refusal> {
    let fields = item.fields(at)?;
    let device_id = device_id(fields.device_id, at)?;
    let timestamp = timestamp(fields.timestamp, at)?;
    let values = match required(fields.data, "data", at)? {
        Value::Object(values) => values,
        _ => {
            return Err(Refusal::new(
                RefusalCode::WrongType,
                field_at(at, "data"),
                "expected an object of measurement: value",
            ));
        }
    };
    if values.is_empty() {
        return Err(Refusal::new(RefusalCode::EmptyData, field_at(at, "data"), "no measurement in it"));
    }
    let data = last_of_each(values)
        .into_iter()
        .map(|(key, value)| match sent(value) {
            Ok(sent) => Ok((key, sent)),
            Err((code, message)) => Err(Refusal::new(code, field_at(at, &format!("data.{key}")), message)),
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(DataItem { at, device_id, timestamp, data })
}

fn sent(value: Value<'_>) -> Result<SentRef<'_>, (RefusalCode, String)> {
    const EXPECTED: &str =
        "expected a number, a boolean, a state's word or {\"value\": number, \"unit\": text}, got";
    let not_finite = || (RefusalCode::NotFinite, "not a finite number".to_owned());
    match value {
        Value::Float(v) if v.is_finite() => Ok(SentRef::Number(v)),
        Value::Float(_) => Err(not_finite()),
        Value::Unsigned(v) => Ok(SentRef::Number(v as f64)),
        Value::Signed(v) => Ok(SentRef::Number(v as f64)),
        Value::Bool(on) => Ok(SentRef::Number(f64::from(u8::from(on)))),
        Value::Text(word) if matches!(&*word, "NaN" | "Infinity" | "-Infinity") => Err(not_finite()),
        Value::Text(word) => Ok(SentRef::Word(word)),
        Value::Measure(measure) => match (measure.value, measure.unit) {
            (None | Some(Value::Measure(_)), _) => {
                Err((RefusalCode::WrongType, format!("{EXPECTED} an object without such a value")))
            }
            // One that names no unit is in the measurement's own.
            (Some(value), None) => sent(value),
            (Some(value), Some(Value::Text(unit))) => match sent(value)? {
                SentRef::Number(value) => Ok(SentRef::InUnit { value, unit }),
                _ => Err((RefusalCode::WrongType, "a value with a unit is a number".to_owned())),
            },
            (Some(_), Some(unit)) => {
                Err((RefusalCode::WrongType, format!("unit: expected a text, got {}", unit.type_name())))
            }
        },
        other => Err((RefusalCode::WrongType, format!("{EXPECTED} {}", other.type_name()))),
    }
}

fn owned(item: DataItem<'_>) -> Result<DataMessage, Refusal> {
    let refuse =
        |e: InvalidId, field: &str, code| Refusal::new(code, field_at(item.at, field), e.to_string());
    let device_id = item.device_id.parse().map_err(|e| refuse(e, "deviceId", RefusalCode::WrongType))?;
    let data = item
        .data
        .into_iter()
        .map(|(key, sent)| {
            let name = key
                .parse()
                .map_err(|e| refuse(e, &format!("data.{key}"), RefusalCode::UnknownMeasurement))?;
            Ok(match sent {
                SentRef::Number(v) => (name, Sent::Number(v)),
                SentRef::Word(word) => (name, Sent::Word(word.into_owned())),
                SentRef::InUnit { value, unit } => (name, Sent::InUnit { value, unit: unit.into_owned() }),
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(DataMessage { device_id, timestamp: item.timestamp, data })
}

/// Longest event id, type and description kept; telemetry is no file store.
const EVENT_NAME_MAX: usize = 128;
const EVENT_DESCRIPTION_MAX: usize = 2_000;

fn event(item: Item<'_>, at: Option<usize>) -> Result<DeviceEvent, Refusal> {
    let fields = item.fields(at)?;
    let device_id: DeviceId = device_id(fields.device_id, at)?.parse().map_err(|e: InvalidId| {
        Refusal::new(RefusalCode::WrongType, field_at(at, "deviceId"), e.to_string())
    })?;
    let timestamp = timestamp(fields.timestamp, at)?;
    let id = text(fields.id, "id", EVENT_NAME_MAX, at)?;
    let kind = text(fields.kind, "type", EVENT_NAME_MAX, at)?;
    let severity = match &*text(fields.severity, "severity", EVENT_NAME_MAX, at)? {
        "critical" => Severity::Critical,
        "major" => Severity::Major,
        "warning" => Severity::Warning,
        "info" => Severity::Info,
        other => {
            let other: String = other.chars().take(40).collect();
            return Err(wrong_type(
                field_at(at, "severity"),
                "critical, major, warning or info",
                &format!("{other:?}"),
            ));
        }
    };
    let description = match fields.description {
        None => String::new(),
        Some(_) => text(fields.description, "description", EVENT_DESCRIPTION_MAX, at)?.into_owned(),
    };
    for (name, value) in [("id", &id), ("type", &kind)] {
        if value.is_empty() || value.chars().any(char::is_control) {
            return Err(wrong_type(field_at(at, name), "text without control characters", "something else"));
        }
    }
    Ok(DeviceEvent {
        device_id,
        timestamp,
        id: id.into_owned(),
        kind: kind.into_owned(),
        severity,
        description,
    })
}

fn required<'a>(value: Option<Value<'a>>, name: &str, at: Option<usize>) -> Result<Value<'a>, Refusal> {
    value.ok_or_else(|| {
        Refusal::new(RefusalCode::MissingField, field_at(at, name), format!("{name} is missing"))
    })
}

fn text<'a>(
    value: Option<Value<'a>>,
    name: &str,
    max: usize,
    at: Option<usize>,
) -> Result<Cow<'a, str>, Refusal> {
    match required(value, name, at)? {
        Value::Text(text) if text.len() <= max => Ok(text),
        Value::Text(_) => Err(Refusal::new(
            RefusalCode::TooLarge,
            field_at(at, name),
            format!("{name} is longer than {max} bytes"),
        )),
        other => Err(wrong_type(field_at(at, name), "a string", other.type_name())),
    }
}

fn device_id<'a>(value: Option<Value<'a>>, at: Option<usize>) -> Result<Cow<'a, str>, Refusal> {
    match required(value, "deviceId", at)? {
        Value::Text(text) if is_valid(&text) => Ok(text),
        Value::Text(text) => {
            let message = text.parse::<DeviceId>().err().map(|e| e.to_string()).unwrap_or_default();
            Err(Refusal::new(RefusalCode::WrongType, field_at(at, "deviceId"), message))
        }
        other => Err(wrong_type(field_at(at, "deviceId"), "a string", other.type_name())),
    }
}

fn timestamp(value: Option<Value<'_>>, at: Option<usize>) -> Result<Timestamp, Refusal> {
    let field = || field_at(at, "timestamp");
    match required(value, "timestamp", at)? {
        Value::Signed(ms) => Ok(Timestamp(ms)),
        Value::Unsigned(ms) => i64::try_from(ms)
            .map(Timestamp)
            .map_err(|_| wrong_type(field(), "whole milliseconds", "a number")),
        Value::Float(_) => Err(wrong_type(field(), "whole milliseconds", "a number")),
        Value::Text(text) => {
            Timestamp::parse(&text).map_err(|e| Refusal::new(RefusalCode::WrongType, field(), e.to_string()))
        }
        other => Err(wrong_type(field(), "milliseconds or RFC 3339", other.type_name())),
    }
}

/// Few enough to compare each with each.
const FEW: usize = 16;

/// Each name once, with its last value, where it came first or later: order among the rest is kept.
fn last_of_each<'a>(mut values: Vec<(Cow<'a, str>, Value<'a>)>) -> Vec<(Cow<'a, str>, Value<'a>)> {
    if values.len() <= FEW {
        let mut i = 0;
        while i < values.len() {
            if values[i + 1..].iter().any(|(name, _)| *name == values[i].0) {
                values.remove(i);
            } else {
                i += 1;
            }
        }
        return values;
    }
    let last: HashMap<Cow<'a, str>, usize> =
        values.iter().enumerate().map(|(i, (name, _))| (name.clone(), i)).collect();
    if last.len() == values.len() {
        return values;
    }
    let mut i = 0;
    values.retain(|(name, _)| {
        i += 1;
        last.get(name) == Some(&(i - 1))
    });
    values
}

/// A JSON value as far as payloads go: objects one level deep, arrays only known to be arrays.
enum Value<'a> {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(Cow<'a, str>),
    Array,
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
    /// An object as one value of `data`: a number with its unit, or a fault.
    Measure(Box<Measure<'a>>),
}

/// What means something in an object that stands for a value; the rest is read past.
#[derive(Default)]
struct Measure<'a> {
    value: Option<Value<'a>>,
    unit: Option<Value<'a>>,
}

impl Value<'_> {
    fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Signed(_) | Value::Unsigned(_) | Value::Float(_) => "a number",
            Value::Text(_) => "a string",
            Value::Array => "an array",
            Value::Object(_) | Value::Measure(_) => "an object",
        }
    }
}

/// The fields of an item that mean something, of data and events alike; others are read past.
#[derive(Default)]
struct Fields<'a> {
    device_id: Option<Value<'a>>,
    timestamp: Option<Value<'a>>,
    data: Option<Value<'a>>,
    id: Option<Value<'a>>,
    kind: Option<Value<'a>>,
    severity: Option<Value<'a>>,
    description: Option<Value<'a>>,
}

enum Item<'a> {
    Object(Box<Fields<'a>>),
    Other(&'static str),
}

impl<'a> Item<'a> {
    fn fields(self, at: Option<usize>) -> Result<Fields<'a>, Refusal> {
        match self {
            Item::Object(fields) => Ok(*fields),
            Item::Other(got) => Err(wrong_type(field_at(at, ""), "an object", got)),
        }
    }
}

enum Payload<'a> {
    One(Item<'a>),
    Many(Vec<Item<'a>>),
    Other(&'static str),
}

/// The scalar part of the visitors below: what a JSON scalar becomes.
macro_rules! scalars {
    ($lifetime:lifetime, $wrap:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("JSON")
        }
        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok($wrap(Value::Null))
        }
        fn visit_bool<E: Error>(self, v: bool) -> Result<Self::Value, E> {
            Ok($wrap(Value::Bool(v)))
        }
        fn visit_i64<E: Error>(self, v: i64) -> Result<Self::Value, E> {
            Ok($wrap(Value::Signed(v)))
        }
        fn visit_u64<E: Error>(self, v: u64) -> Result<Self::Value, E> {
            Ok($wrap(Value::Unsigned(v)))
        }
        fn visit_f64<E: Error>(self, v: f64) -> Result<Self::Value, E> {
            Ok($wrap(Value::Float(v)))
        }
        fn visit_borrowed_str<E: Error>(self, v: &$lifetime str) -> Result<Self::Value, E> {
            Ok($wrap(Value::Text(Cow::Borrowed(v))))
        }
        fn visit_str<E: Error>(self, v: &str) -> Result<Self::Value, E> {
            Ok($wrap(Value::Text(Cow::Owned(v.to_owned()))))
        }
    };
}

fn read_past<'de, A: SeqAccess<'de>>(mut items: A) -> Result<(), A::Error> {
    while items.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// A value inside `data`: of an object there only a value and its unit are looked at.
struct Inner<'a>(Value<'a>);

impl<'de> Deserialize<'de> for Inner<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Inner<'de>;
            scalars!('de, Inner);
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
                read_past(items)?;
                Ok(Inner(Value::Array))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
                let mut measure = Box::<Measure<'de>>::default();
                while let Some(Name(name)) = fields.next_key()? {
                    let field = match &*name {
                        "value" => &mut measure.value,
                        "unit" => &mut measure.unit,
                        _ => {
                            fields.next_value::<IgnoredAny>()?;
                            continue;
                        }
                    };
                    *field = Some(fields.next_value::<Inner<'de>>()?.0);
                }
                Ok(Inner(Value::Measure(measure)))
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Value<'de>;
            scalars!('de, std::convert::identity);
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
                read_past(items)?;
                Ok(Value::Array)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::with_capacity(8);
                while let Some((Name(name), Inner(value))) = fields.next_entry()? {
                    values.push((name, value));
                }
                Ok(Value::Object(values))
            }
        }
        deserializer.deserialize_any(V)
    }
}

/// A key of an object, borrowed unless it was escaped.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_borrowed_str<E: Error>(self, v: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(v)))
            }
            fn visit_str<E: Error>(self, v: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(v.to_owned())))
            }
        }
        deserializer.deserialize_str(V)
    }
}

fn read_fields<'de, A: MapAccess<'de>>(mut object: A) -> Result<Item<'de>, A::Error> {
    let mut fields = Box::<Fields<'de>>::default();
    while let Some(Name(name)) = object.next_key()? {
        let field = match &*name {
            "deviceId" => &mut fields.device_id,
            "timestamp" => &mut fields.timestamp,
            "data" => &mut fields.data,
            "id" => &mut fields.id,
            "type" => &mut fields.kind,
            "severity" => &mut fields.severity,
            "description" => &mut fields.description,
            _ => {
                object.next_value::<IgnoredAny>()?;
                continue;
            }
        };
        *field = Some(object.next_value()?);
    }
    Ok(Item::Object(fields))
}

impl<'de> Deserialize<'de> for Item<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Item<'de>;
            scalars!('de, |value: Value<'_>| Item::Other(value.type_name()));
            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
                read_past(items)?;
                Ok(Item::Other(Value::Array.type_name()))
            }
            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
                read_fields(fields)
            }
        }
        deserializer.deserialize_any(V)
    }
}

impl<'de> Deserialize<'de> for Payload<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Payload<'de>;
            scalars!('de, |value: Value<'_>| Payload::Other(value.type_name()));
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(item) = items.next_element()? {
                    all.push(item);
                }
                Ok(Payload::Many(all))
            }
            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Self::Value, A::Error> {
                read_fields(fields).map(Payload::One)
            }
        }
        deserializer.deserialize_any(V)
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(payload: &str) -> (RefusalCode, String) {
        let refusal = match parse_data(payload.as_bytes()) {
            Err(refusal) => refusal,
            Ok(items) => items.into_iter().find_map(Result::err).expect("a refusal"),
        };
        (refusal.code, refusal.field)
    }

    #[test]
    fn each_fault_names_its_field() {
        use RefusalCode::*;
        for (payload, expected, field) in [
            ("{", MalformedJson, "line 1 column 1"),
            ("", MalformedJson, "line 1 column 0"),
            ("3", WrongType, ""),
            ("null", WrongType, ""),
            (r#"{"timestamp":1,"data":{"power":1}}"#, MissingField, "deviceId"),
            (r#"{"deviceId":7,"timestamp":1,"data":{"power":1}}"#, WrongType, "deviceId"),
            (r#"{"deviceId":"a/b","timestamp":1,"data":{"power":1}}"#, WrongType, "deviceId"),
            (r#"{"deviceId":"a","data":{"power":1}}"#, MissingField, "timestamp"),
            (r#"{"deviceId":"a","timestamp":1.5,"data":{"power":1}}"#, WrongType, "timestamp"),
            (
                r#"{"deviceId":"a","timestamp":99999999999999999999,"data":{"power":1}}"#,
                WrongType,
                "timestamp",
            ),
            (
                r#"{"deviceId":"a","timestamp":18446744073709551615,"data":{"power":1}}"#,
                WrongType,
                "timestamp",
            ),
            (r#"{"deviceId":"a","timestamp":"soon","data":{"power":1}}"#, WrongType, "timestamp"),
            (r#"{"deviceId":"a","timestamp":true,"data":{"power":1}}"#, WrongType, "timestamp"),
            (r#"{"deviceId":"a","timestamp":1}"#, MissingField, "data"),
            (r#"{"deviceId":"a","timestamp":1,"data":[]}"#, WrongType, "data"),
            (r#"{"deviceId":"a","timestamp":1,"data":{}}"#, EmptyData, "data"),
            (r#"{"deviceId":"a","timestamp":1,"data":{"power":null}}"#, WrongType, "data.power"),
            (r#"{"deviceId":"a","timestamp":1,"data":{"power":{"now":1}}}"#, WrongType, "data.power"),
            (r#"{"deviceId":"a","timestamp":1,"data":{"power":"NaN"}}"#, NotFinite, "data.power"),
            (r#"{"deviceId":"a","timestamp":1,"data":{"po wer":1}}"#, UnknownMeasurement, "data.po wer"),
            (r#"{"deviceId":"a","timestamp":1,"data":{"power":NaN}}"#, MalformedJson, "line 1 column 47"),
            (r#"[{"deviceId":"a","timestamp":1,"data":{"p":1}},7]"#, WrongType, "[1]"),
            (r#"[{"deviceId":"a","timestamp":1,"data":{"p":[]}}]"#, WrongType, "[0].data.p"),
        ] {
            assert_eq!(refusal(payload), (expected, field.to_owned()), "{payload}");
        }
    }

    #[test]
    fn one_bad_item_spoils_no_other() {
        let items = parse_data(
            br#"[{"deviceId":"a","timestamp":5,"data":{"power":1.5,"status":"on","ok":true}},{}]"#,
        )
        .unwrap();
        assert_eq!(items[0].as_ref().unwrap().data.len(), 3);
        assert_eq!(items[1].as_ref().unwrap_err().field, "[1].deviceId");
    }

    #[test]
    fn numbers_too_big_for_f64_are_refused() {
        // serde_json itself refuses 1e999, naming the place.
        assert_eq!(
            refusal(r#"{"deviceId":"a","timestamp":1,"data":{"power":1e999}}"#).0,
            RefusalCode::MalformedJson
        );
    }

    #[test]
    fn names_and_words_may_be_escaped_and_other_fields_are_read_past() {
        let item = parse_data_items(
            br#" {"x":[{"data":1}],"deviceI\u0064":"a","timestamp":"1970-01-01T00:00:01Z","data":{"st\u0061tus":"o\u006e"}} "#,
        )
        .unwrap()
        .remove(0)
        .unwrap();
        assert_eq!(item.timestamp, Timestamp(1_000));
        assert_eq!(item.data, [("status".into(), SentRef::Word("on".into()))]);
    }

    #[test]
    fn a_value_may_carry_its_unit() {
        let data = |data: &str| {
            let payload = format!(r#"{{"deviceId":"a","timestamp":1,"data":{{"p":{data}}}}}"#);
            parse_data(payload.as_bytes()).unwrap().remove(0).map(|m| m.data[0].1.clone())
        };
        let watts = Sent::InUnit { value: 81_500.0, unit: "W".into() };
        assert_eq!(data(r#"{"value":81500,"unit":"W"}"#), Ok(watts.clone()));
        assert_eq!(data(r#"{"unit":"\u0057","note":{"a":[1]},"value":8.15e4}"#), Ok(watts));
        assert_eq!(data(r#"{"value":7}"#), Ok(Sent::Number(7.0)));
        assert_eq!(data(r#"{"value":"on"}"#), Ok(Sent::Word("on".into())));
        for (bad, code) in [
            (r#"{}"#, RefusalCode::WrongType),
            (r#"{"unit":"W"}"#, RefusalCode::WrongType),
            (r#"{"value":"on","unit":"W"}"#, RefusalCode::WrongType),
            (r#"{"value":1,"unit":5}"#, RefusalCode::WrongType),
            (r#"{"value":{"value":1}}"#, RefusalCode::WrongType),
            (r#"{"value":"NaN","unit":"W"}"#, RefusalCode::NotFinite),
        ] {
            let refusal = data(bad).unwrap_err();
            assert_eq!((refusal.code, refusal.field.as_str()), (code, "data.p"), "{bad}");
        }
    }

    #[test]
    fn a_name_that_comes_twice_counts_once_with_its_last_value() {
        for many in [1, 40] {
            let others: String = (0..many).map(|i| format!(r#""m{i}":{i},"#)).collect();
            let payload =
                format!(r#"{{"deviceId":"z","deviceId":"a","timestamp":1,"data":{{"p":1,{others}"p":2}}}}"#);
            let message = parse_data(payload.as_bytes()).unwrap().remove(0).unwrap();
            assert_eq!(message.device_id.as_str(), "a");
            assert_eq!(message.data.len(), many + 1);
            assert_eq!(message.data.last().unwrap(), &("p".parse().unwrap(), Sent::Number(2.0)));
        }
    }

    #[test]
    fn deep_nesting_is_read_past_or_refused_but_never_overflows() {
        let deep = format!(r#"{{"deviceId":"a","timestamp":1,"data":{{"p":{}"#, "[".repeat(500_000));
        assert_eq!(refusal(&deep).0, RefusalCode::MalformedJson);
    }

    #[test]
    fn the_place_of_a_lone_object_in_an_array_is_named_as_in_an_array() {
        assert_eq!(refusal(r#" [{"deviceId":"a","timestamp":1,"data":{"p q":1}}]"#).1, "[0].data.p q");
    }

    #[test]
    fn an_event_names_what_it_lacks() {
        use RefusalCode::*;
        let good = r#"{"deviceId":"a","timestamp":1,"id":"e1","type":"overheat","severity":"major","description":"热"}"#;
        let event = parse_events(good.as_bytes()).unwrap().remove(0).unwrap();
        assert_eq!((event.kind.as_str(), event.severity), ("overheat", Severity::Major));
        for (payload, expected, field) in [
            (r#"{"timestamp":1,"id":"e","type":"t","severity":"info"}"#, MissingField, "deviceId"),
            (r#"{"deviceId":"a","id":"e","type":"t","severity":"info"}"#, MissingField, "timestamp"),
            (r#"{"deviceId":"a","timestamp":1,"type":"t","severity":"info"}"#, MissingField, "id"),
            (r#"{"deviceId":"a","timestamp":1,"id":"","type":"t","severity":"info"}"#, WrongType, "id"),
            (r#"{"deviceId":"a","timestamp":1,"id":1,"type":"t","severity":"info"}"#, WrongType, "id"),
            (r#"{"deviceId":"a","timestamp":1,"id":"e","severity":"info"}"#, MissingField, "type"),
            (r#"{"deviceId":"a","timestamp":1,"id":"e","type":"t"}"#, MissingField, "severity"),
            (r#"{"deviceId":"a","timestamp":1,"id":"e","type":"t","severity":"bad"}"#, WrongType, "severity"),
            (r#"[1]"#, WrongType, "[0]"),
        ] {
            let refusal = parse_events(payload.as_bytes()).unwrap().remove(0).unwrap_err();
            assert_eq!((refusal.code, refusal.field.as_str()), (expected, field), "{payload}");
        }
        let long = good.replace("e1", &"x".repeat(200));
        assert_eq!(parse_events(long.as_bytes()).unwrap().remove(0).unwrap_err().code, TooLarge);
    }
}
