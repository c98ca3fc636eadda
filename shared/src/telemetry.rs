//! Telemetry on the wire and in the twin: what a device says, and how far to trust it.

use crate::{
    id::{DeviceId, MeasurementKey},
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod parse;

pub use parse::{DataItem, SentRef, parse_data, parse_data_items, parse_events};

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
    /// Kept as sent, and doubtful: it jumped, it stands still, or its clock is wrong. The last code a log record has room for.
    Suspect = 3,
}

impl Quality {
    /// The code kept in storage.
    pub fn code(self) -> u8 {
        self as u8
    }
    pub fn from_code(code: u8) -> Option<Self> {
        [Quality::Good, Quality::OutOfRange, Quality::Estimated, Quality::Suspect]
            .into_iter()
            .find(|q| q.code() == code)
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
    /// A number in a unit of the device's own, `{"value": 81500, "unit": "W"}`.
    InUnit {
        value: f64,
        unit: String,
    },
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
    /// A value in a unit that cannot be turned into the measurement's.
    UnknownUnit,
    /// An acknowledgement names a command nobody gave.
    UnknownCommand,
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
            RefusalCode::UnknownUnit => "UNKNOWN_UNIT",
            RefusalCode::UnknownCommand => "UNKNOWN_COMMAND",
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
