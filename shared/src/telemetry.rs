//! Telemetry on the wire and in the twin: what a device says, and how far to trust it.

use crate::{
    id::{DeviceId, MeasurementKey},
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How good one value is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Quality {
    #[default]
    Good = 0,
    /// Outside the thing model's range: kept as sent, and flagged.
    OutOfRange = 1,
    /// Filled in rather than measured.
    Estimated = 2,
}

impl Quality {
    /// The code kept in storage.
    pub fn code(self) -> u8 {
        self as u8
    }
    pub fn from_code(code: u8) -> Option<Self> {
        [Quality::Good, Quality::OutOfRange, Quality::Estimated].into_iter().find(|q| q.code() == code)
    }
}

/// Where a device's values come from. The demo's fleet is never shown as measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    #[default]
    Field,
    Simulated,
}

/// How a shown number came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    Measured,
    Estimated,
    Simulated,
    Forecast,
}

impl Provenance {
    pub fn of(origin: Origin, quality: Quality) -> Self {
        match (origin, quality) {
            (Origin::Simulated, _) => Provenance::Simulated,
            (Origin::Field, Quality::Estimated) => Provenance::Estimated,
            (Origin::Field, _) => Provenance::Measured,
        }
    }
}

/// One value of one measurement at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reading {
    pub value: f64,
    pub timestamp: Timestamp,
    pub quality: Quality,
}

/// What a device sends: `{"deviceId","timestamp","data":{measurement: value}}`.
#[derive(Debug, Clone, PartialEq)]
pub struct DataMessage {
    pub device_id: DeviceId,
    pub timestamp: Timestamp,
    /// Values as sent, judged against the thing model later; in payload order.
    pub data: Vec<(MeasurementKey, Sent)>,
}

/// A value as sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Sent {
    Number(f64),
    /// The word of a `state` measurement.
    Word(String),
}

/// What a device announces on its event topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeviceEvent {
    pub device_id: DeviceId,
    pub timestamp: Timestamp,
    /// The event's own id: the same id again is the same event.
    pub id: String,
    /// One of the thing model's events.
    #[serde(rename = "type")]
    pub kind: String,
    pub severity: crate::alarm::Severity,
    #[serde(default)]
    pub description: String,
}

/// Why one item of a payload was refused. `code` is stable and counted; `field` names what is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{code:?} at {field}: {message}")]
#[serde(rename_all = "camelCase")]
pub struct Refusal {
    pub code: RefusalCode,
    pub field: String,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RefusalCode {
    MalformedJson,
    MissingField,
    WrongType,
    NotFinite,
    UnknownDevice,
    UnknownMeasurement,
    UnknownState,
    EmptyData,
    TimestampTooOld,
    TimestampTooFarAhead,
    NotYourDevice,
    TooLarge,
    /// The store cannot take more just now; send again later.
    Busy,
    /// The store failed; nothing was kept.
    StorageFailed,
}

impl RefusalCode {
    /// The code as it appears on the wire and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            RefusalCode::MalformedJson => "MALFORMED_JSON",
            RefusalCode::MissingField => "MISSING_FIELD",
            RefusalCode::WrongType => "WRONG_TYPE",
            RefusalCode::NotFinite => "NOT_FINITE",
            RefusalCode::UnknownDevice => "UNKNOWN_DEVICE",
            RefusalCode::UnknownMeasurement => "UNKNOWN_MEASUREMENT",
            RefusalCode::UnknownState => "UNKNOWN_STATE",
            RefusalCode::EmptyData => "EMPTY_DATA",
            RefusalCode::TimestampTooOld => "TIMESTAMP_TOO_OLD",
            RefusalCode::TimestampTooFarAhead => "TIMESTAMP_TOO_FAR_AHEAD",
            RefusalCode::NotYourDevice => "NOT_YOUR_DEVICE",
            RefusalCode::TooLarge => "TOO_LARGE",
            RefusalCode::Busy => "BUSY",
            RefusalCode::StorageFailed => "STORAGE_FAILED",
        }
    }
}

impl Refusal {
    pub fn new(code: RefusalCode, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, field: field.into(), message: message.into() }
    }
}

/// Parses a data payload: one object or an array, each item judged on its own, so one bad item spoils no other.
///
/// The outer error is a payload that is not JSON (or neither object nor array); the inner ones name their field as
/// `[3].data.power`.
pub fn parse_data(payload: &[u8]) -> Result<Vec<Result<DataMessage, Refusal>>, Refusal> {
    parse_items(payload, parse_data_item)
}

/// Parses an event payload, one object or an array.
pub fn parse_events(payload: &[u8]) -> Result<Vec<Result<DeviceEvent, Refusal>>, Refusal> {
    parse_items(payload, |item, at| {
        serde_json::from_value(item)
            .map_err(|e| Refusal::new(RefusalCode::WrongType, at.to_owned(), e.to_string()))
    })
}

fn parse_items<T>(
    payload: &[u8],
    parse: impl Fn(Value, &str) -> Result<T, Refusal>,
) -> Result<Vec<Result<T, Refusal>>, Refusal> {
    let value: Value = serde_json::from_slice(payload).map_err(|e| {
        Refusal::new(
            RefusalCode::MalformedJson,
            format!("line {} column {}", e.line(), e.column()),
            e.to_string(),
        )
    })?;
    match value {
        Value::Object(_) => Ok(vec![parse(value, "")]),
        Value::Array(items) => Ok(items
            .into_iter()
            .enumerate()
            .map(|(index, item)| parse(item, &format!("[{index}]")))
            .collect()),
        other => Err(Refusal::new(
            RefusalCode::WrongType,
            "",
            format!("expected an object or an array of objects, got {}", type_name(&other)),
        )),
    }
}

fn parse_data_item(item: Value, at: &str) -> Result<DataMessage, Refusal> {
    let field = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    let Value::Object(mut object) = item else {
        return Err(Refusal::new(
            RefusalCode::WrongType,
            at,
            format!("expected an object, got {}", type_name(&item)),
        ));
    };
    let mut take = |name: &str| {
        object
            .remove(name)
            .ok_or_else(|| Refusal::new(RefusalCode::MissingField, field(name), format!("{name} is missing")))
    };
    let device_id = match take("deviceId")? {
        Value::String(text) => text
            .parse()
            .map_err(|e: crate::id::InvalidId| {
                Refusal::new(RefusalCode::WrongType, field("deviceId"), e.to_string())
            })?,
        other => return Err(wrong_type(field("deviceId"), "a string", &other)),
    };
    let timestamp = match take("timestamp")? {
        Value::Number(n) => n
            .as_i64()
            .map(Timestamp)
            .ok_or_else(|| wrong_type(field("timestamp"), "whole milliseconds", &Value::Number(n)))?,
        Value::String(text) => Timestamp::parse(&text)
            .map_err(|e| Refusal::new(RefusalCode::WrongType, field("timestamp"), e.to_string()))?,
        other => return Err(wrong_type(field("timestamp"), "milliseconds or RFC 3339", &other)),
    };
    let Value::Object(values) = take("data")? else {
        return Err(Refusal::new(
            RefusalCode::WrongType,
            field("data"),
            "expected an object of measurement: value",
        ));
    };
    if values.is_empty() {
        return Err(Refusal::new(RefusalCode::EmptyData, field("data"), "no measurement in it"));
    }
    let data = values
        .into_iter()
        .map(|(key, value)| {
            let here = field(&format!("data.{key}"));
            let sent = match value {
                Value::Number(n) => match n.as_f64().filter(|v| v.is_finite()) {
                    Some(v) => Sent::Number(v),
                    None => {
                        return Err(Refusal::new(RefusalCode::NotFinite, here, "not a finite number"));
                    }
                },
                Value::Bool(on) => Sent::Number(f64::from(u8::from(on))),
                Value::String(word) if matches!(word.as_str(), "NaN" | "Infinity" | "-Infinity") => {
                    return Err(Refusal::new(RefusalCode::NotFinite, here, "not a finite number"));
                }
                Value::String(word) => Sent::Word(word),
                other => return Err(wrong_type(here, "a number, a boolean or a state's word", &other)),
            };
            let key = key
                .parse()
                .map_err(|e: crate::id::InvalidId| {
                    Refusal::new(RefusalCode::UnknownMeasurement, here, e.to_string())
                })?;
            Ok((key, sent))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok(DataMessage { device_id, timestamp, data })
}

fn wrong_type(field: String, expected: &str, got: &Value) -> Refusal {
    Refusal::new(RefusalCode::WrongType, field, format!("expected {expected}, got {}", type_name(got)))
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(payload: &str) -> (RefusalCode, String) {
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
            ("3", WrongType, ""),
            (r#"{"timestamp":1,"data":{"power":1}}"#, MissingField, "deviceId"),
            (r#"{"deviceId":"a/b","timestamp":1,"data":{"power":1}}"#, WrongType, "deviceId"),
            (r#"{"deviceId":"a","timestamp":1.5,"data":{"power":1}}"#, WrongType, "timestamp"),
            (r#"{"deviceId":"a","timestamp":"soon","data":{"power":1}}"#, WrongType, "timestamp"),
            (r#"{"deviceId":"a","timestamp":1}"#, MissingField, "data"),
            (r#"{"deviceId":"a","timestamp":1,"data":[]}"#, WrongType, "data"),
            (r#"{"deviceId":"a","timestamp":1,"data":{}}"#, EmptyData, "data"),
            (r#"{"deviceId":"a","timestamp":1,"data":{"power":null}}"#, WrongType, "data.power"),
            (r#"{"deviceId":"a","timestamp":1,"data":{"power":"NaN"}}"#, NotFinite, "data.power"),
            (r#"[{"deviceId":"a","timestamp":1,"data":{"p":1}},7]"#, WrongType, "[1]"),
        ] {
            assert_eq!(code(payload), (expected, field.to_owned()), "{payload}");
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
        assert_eq!(code(r#"{"deviceId":"a","timestamp":1,"data":{"power":1e999}}"#).0, RefusalCode::MalformedJson);
    }
}
