//! Commands to devices: asked for once, delivered until they expire, ended in exactly one way.

use crate::{
    id::{CommandId, DeviceId},
    time::Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What someone asks a device to do. The same id with the same body is the same command; with another, a conflict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandRequest {
    pub device_id: DeviceId,
    pub command_id: CommandId,
    /// One of the thing model's commands, such as `setPower`.
    pub command: String,
    /// Named as in the thing model; `power` in kW, positive when the device draws; `duration` in seconds.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// When it was asked for.
    pub timestamp: Timestamp,
    /// When it stops being worth doing; five minutes after `timestamp` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// How long a command stays deliverable when its request does not say.
pub const DEFAULT_COMMAND_LIFETIME_MS: i64 = 5 * crate::time::MINUTE_MS;

impl CommandRequest {
    pub fn expires_at(&self) -> Timestamp {
        self.expires.unwrap_or(Timestamp(self.timestamp.0 + DEFAULT_COMMAND_LIFETIME_MS))
    }
}

/// What the device receives on its control topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandDelivery {
    pub command_id: CommandId,
    pub command: String,
    pub parameters: Map<String, Value>,
    pub timestamp: Timestamp,
    pub expires: Timestamp,
}

/// What the device answers on `…/control/ack`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandAck {
    pub device_id: DeviceId,
    pub command_id: CommandId,
    pub status: AckStatus,
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub result: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AckStatus {
    Done,
    Rejected,
}

/// A command's life: `queued → sent → acknowledged | rejected | expired`; the last three are final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandStatus {
    Queued,
    Sent,
    Acknowledged,
    Rejected,
    Expired,
}

impl CommandStatus {
    pub fn is_final(self) -> bool {
        matches!(self, CommandStatus::Acknowledged | CommandStatus::Rejected | CommandStatus::Expired)
    }
    pub fn as_str(self) -> &'static str {
        match self {
            CommandStatus::Queued => "queued",
            CommandStatus::Sent => "sent",
            CommandStatus::Acknowledged => "acknowledged",
            CommandStatus::Rejected => "rejected",
            CommandStatus::Expired => "expired",
        }
    }
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Queued, Self::Sent, Self::Acknowledged, Self::Rejected, Self::Expired]
            .into_iter()
            .find(|s| s.as_str() == text)
    }
}

/// Who asked: a person, or the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Issuer {
    User { name: String },
    Plan,
}

/// A command with all that is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CommandRecord {
    #[serde(flatten)]
    pub request: CommandRequest,
    pub issuer: Issuer,
    pub status: CommandStatus,
    /// When the server took it.
    pub queued_at: Timestamp,
    /// Last time it was handed to the device's connection.
    #[serde(default)]
    pub sent_at: Option<Timestamp>,
    #[serde(default)]
    pub attempts: u32,
    /// When it reached its final status.
    #[serde(default)]
    pub ended_at: Option<Timestamp>,
    /// The device's reason, or why it expired.
    #[serde(default)]
    pub reason: Option<String>,
    #[serde(default)]
    pub result: Option<Value>,
    /// An acknowledgement that came after expiry: recorded, the command stays expired.
    #[serde(default)]
    pub late_ack: Option<CommandAck>,
}

/// A power a person has asked of a device: until it ends, the plan keeps off the device.
#[derive(Debug, Clone, PartialEq)]
pub struct Hold {
    pub by: String,
    /// Positive when the device draws.
    pub power_kw: f64,
    /// Absent while the device has not answered, and for a set-point without `duration`.
    pub until: Option<Timestamp>,
}

/// A person's set-point of this `priority` gives way to the plan; any other holds until it ends.
pub const PRIORITY_THAT_GIVES_WAY: &str = "low";
