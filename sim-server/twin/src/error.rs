//! What the twin refuses or fails at, each naming the thing at fault.

use shared::{
    id::{AlarmId, BuildingId, BusId, CommandId, DeviceId, InvalidId, ModelId},
    time::Timestamp,
};

/// Why the twin could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum TwinError {
    #[error("no device {0} is registered")]
    UnknownDevice(DeviceId),
    #[error("no alarm {0} needs attention")]
    UnknownAlarm(AlarmId),
    #[error("no thing model {model} for device {device}; the scene has {known}")]
    UnknownModel { device: DeviceId, model: ModelId, known: String },
    #[error("no building {building} for device {device} in the scene")]
    UnknownBuilding { device: DeviceId, building: BuildingId },
    #[error("no bus {bus} to feed device {device} in the scene")]
    UnknownFeeder { device: DeviceId, bus: BusId },
    #[error("device {device} is {scene} in the scene and cannot be registered as {asked}")]
    ModelMismatch { device: DeviceId, scene: ModelId, asked: ModelId },
    #[error("device {0} is registered already")]
    AlreadyRegistered(DeviceId),
    #[error(transparent)]
    Id(#[from] InvalidId),
    #[error("the records failed: {0}")]
    Records(#[from] records::RecordsError),
    #[error("the history failed: {0}")]
    History(#[from] history::HistoryError),
}

/// Why a command was not taken; nothing was journaled and nothing will be sent.
#[derive(Debug, thiserror::Error)]
pub enum CommandRefusal {
    #[error("no device {0} is registered")]
    UnknownDevice(DeviceId),
    #[error("device {device} has no command {command:?}; it knows {known}")]
    UnknownCommand { device: DeviceId, command: String, known: String },
    /// `field` is a path in the request, such as `parameters.power`.
    #[error("{field}: {message}")]
    BadParameter { field: String, message: String },
    #[error("command {0} was asked for before with another body")]
    Conflict(CommandId),
    #[error("command {command} expired at {expired_at}, before it was taken")]
    Expired { command: CommandId, expired_at: Timestamp },
    #[error("device {device} has {open} open commands already; wait for them to end")]
    Busy { device: DeviceId, open: usize },
    /// Only the plan hears this: a person's newer set-point replaces an older one.
    #[error("{by} holds device {device}")]
    Held { device: DeviceId, by: String },
    #[error("the command could not be journaled: {0}")]
    Storage(#[from] records::RecordsError),
}

impl CommandRefusal {
    /// Stable code for the wire and for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            CommandRefusal::UnknownDevice(_) => "UNKNOWN_DEVICE",
            CommandRefusal::UnknownCommand { .. } => "UNKNOWN_COMMAND",
            CommandRefusal::BadParameter { .. } => "BAD_PARAMETER",
            CommandRefusal::Conflict(_) => "CONFLICT",
            CommandRefusal::Expired { .. } => "EXPIRED",
            CommandRefusal::Busy { .. } => "BUSY",
            CommandRefusal::Held { .. } => "HELD",
            CommandRefusal::Storage(_) => "STORAGE_FAILED",
        }
    }

    /// The request's field at fault, where there is one.
    pub fn field(&self) -> Option<&str> {
        match self {
            CommandRefusal::UnknownDevice(_) => Some("deviceId"),
            CommandRefusal::UnknownCommand { .. } => Some("command"),
            CommandRefusal::BadParameter { field, .. } => Some(field),
            CommandRefusal::Conflict(_) => Some("commandId"),
            CommandRefusal::Expired { .. } => Some("expires"),
            CommandRefusal::Busy { .. } | CommandRefusal::Held { .. } | CommandRefusal::Storage(_) => None,
        }
    }
}
