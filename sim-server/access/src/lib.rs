//! What other systems may do with the park's data, and what they are told of by themselves.
//!
//! An API key is a principal beside people: it reads or writes telemetry within its scope and its limits, and nothing else.
//! [`KeyRing`] holds them all in memory, so that a request costs a hash and a look-up; what is counted of their use is added
//! to the records now and then. A [`Webhook`] says where to tell what; delivering is the `push` crate's affair.
//!
//! ```text
//! request → ring.admit(key, address, now) → Pass → pass.scope(), pass.read(points) …
//!                     └ KeyFault: unknown, expired, revoked, from elsewhere, too many
//! ```

mod bucket;
mod key;
mod network;
mod ring;
mod usage;
mod webhook;

pub use bucket::Bucket;
pub use key::{ApiKey, KEY_PREFIX, KeyChange, Limits, NewKey, Rights};
pub use network::Network;
pub use ring::{AccessError, KeyFault, KeyRing, Pass, Refused};
pub use webhook::{Disabled, Event, NewWebhook, TelemetryPush, Webhook, WebhookChange};

/// What is wrong with a field of something asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    pub field: &'static str,
    pub message: String,
}

impl Invalid {
    pub(crate) fn new(field: &'static str, message: impl Into<String>) -> Invalid {
        Invalid { field, message: message.into() }
    }
}

const NAME_MAX: usize = 100;
const PURPOSE_MAX: usize = 500;

/// A name or a purpose as a person writes it.
pub(crate) fn check_text(field: &'static str, text: &str, least: usize) -> Result<(), Invalid> {
    let most = if field == "purpose" { PURPOSE_MAX } else { NAME_MAX };
    let length = text.chars().count();
    if !(least..=most).contains(&length) || text.chars().any(char::is_control) {
        let message = format!("{field} has {least} to {most} characters, none of them control characters");
        return Err(Invalid::new(field, message));
    }
    Ok(())
}

/// Tells a field that is left out, which stays as it is, from one that is `null`, which is taken away.
pub(crate) fn given<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: serde::Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    serde::Deserialize::deserialize(deserializer).map(Some)
}
