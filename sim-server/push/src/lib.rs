//! What other systems are told by themselves.
//!
//! Whatever makes something news writes so in its own transaction (`records`); from there each line is queued for every webhook
//! that wants it, and each webhook has a courier that delivers its queue in order until the receiver takes it, or until it is
//! given up. So nothing is lost between what happened and the receiver, whenever the server ends; what may happen is that a
//! delivery arrives twice, under the same id.
//!
//! ```text
//! alarm, command, presence → news ─ hand_on (one transaction) → queue of each webhook → courier → receiver
//! ```
//!
//! What devices measure is queued likewise, a round once a step is over: see `reporter`.
//!
//! Deliveries are signed as the Standard Webhooks specification has it, so receivers may use its libraries.

mod address;
mod backoff;
mod client;
mod courier;
mod reporter;
mod service;
mod signature;
mod telemetry;
mod webhook;

pub use service::{Devices, Push, PushError, PushOptions, WebhookView};
pub use signature::{Secret, signature};
pub use telemetry::{MeasuredSeries, TelemetryPush};
pub use webhook::{NewWebhook, Webhook, WebhookChange};
