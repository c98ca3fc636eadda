//! Alarms: something a person must act on.

use crate::{
    id::{AlarmId, DeviceId},
    text::Text,
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How urgent, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    Critical,
    Major,
    Warning,
    Info,
}

/// What an alarm is about; one active alarm per kind, device and detail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlarmKind {
    DeviceOffline,
    /// Data arrive later than they should.
    DataDelayed,
    /// Outside the thing model's plausible range.
    OutOfRange,
    /// Outside a limit of the park's alarm rules.
    LimitExceeded,
    PlanInfeasible,
    DiskLow,
    /// The device said so itself on its event topic.
    DeviceEvent,
}

/// An alarm from being raised to being cleared and acknowledged, in either order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    pub id: AlarmId,
    pub kind: AlarmKind,
    /// The measurement or the device's event type the alarm is about, where there is one.
    pub detail: Option<String>,
    /// Absent for alarms of the park itself.
    pub device_id: Option<DeviceId>,
    pub severity: Severity,
    pub text: Text,
    /// The value that raised it, where there is one.
    pub value: Option<f64>,
    pub raised_at: Timestamp,
    pub cleared_at: Option<Timestamp>,
    pub acknowledged_at: Option<Timestamp>,
    pub acknowledged_by: Option<String>,
}

impl Alarm {
    pub fn is_active(&self) -> bool {
        self.cleared_at.is_none()
    }
    /// Whether a person still has something to do with it.
    pub fn needs_attention(&self) -> bool {
        self.is_active() || self.acknowledged_at.is_none()
    }
}
