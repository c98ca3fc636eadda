//! The twin: what the park knows of its devices, now.
//!
//! In come payloads, acknowledgements and connections (from the gateway), commands (from people and the plan) and
//! the passing of time; out go durable readings (to `history`), shadows and live points (to clients), alarms, and
//! command deliveries (to the gateway).
//!
//! ```text
//! payload → parse → check → history.append (durable) → live table → alarms → a result per item
//! command → validate → journal (durable) → queue → Connection::deliveries → device → acknowledge → journal
//! ```
//!
//! The rules are pure and synchronous: [`check`] judges an item, [`AlarmBook`] and [`CommandQueue`] take an input and
//! `now` and answer with what must happen. [`Twin`] is the thin shell that locks them, does the I/O they ask for and
//! keeps the order. Nothing here reads a clock except [`TwinOptions::clock`], used by [`Twin::run`], views of age and gateways.
//!
//! Metric handles are taken when a twin opens: install the recorder first.

mod alarm_news;
mod alarm_text;
mod alarms;
mod check;
mod commands;
mod control;
mod error;
mod expiry;
mod import;
mod ingest;
mod live;
mod meters;
mod model;
mod outbox;
mod presence;
mod presence_news;
mod quality;
mod registration;
mod registry;
mod setpoint;
mod shadow;
mod tick;
mod twin;
mod validate;
mod watch;

#[cfg(test)]
mod flows;
#[cfg(test)]
mod quality_flows;
#[cfg(test)]
mod test_park;

pub use alarm_news::FetchedAlarms;
pub use alarms::{AlarmBook, AlarmChange, AlarmInput, AlarmOptions, Subject};
pub use check::{Accepted, ItemResult, Sender, TimeWindow, check};
pub use commands::{Backoff, CommandInput, CommandOutput, CommandQueue, ConnectionId};
pub use control::Connection;
pub use error::{CommandRefusal, TwinError};
pub use expiry::Expired;
pub use import::{CheckedRun, Import, ImportTarget};
pub use live::LiveTable;
pub use model::{MeasurementRules, ModelRules};
pub use outbox::Outbox;
pub use quality::{
    Cleaned, Cleaning, DeviceQuality, Fill, Gap, Hampel, PointFlag, QualityError, QualityQuery, SampleLimits,
    Verdict, clean, fuse,
};
pub use records::{DeviceRecord, DeviceSecret};
pub use registry::{DeviceEntry, Registry};
pub use setpoint::{Desired, SetPoints};
pub use shadow::{Delta, DeviceSummary, Shadow};
pub use twin::{Twin, TwinChange, TwinOptions};
pub use validate::validate_command;
