//! What other systems may do with the park's telemetry.
//!
//! An API key is a principal beside people: it reads or writes telemetry within its scope and its limits, and nothing else.
//! [`KeyRing`] holds them all in memory, so that a request costs a hash and a look-up; what is counted of their use is added
//! to the records now and then.
//!
//! ```text
//! request → ring.admit(credential, address, right, now) → Pass → pass.may(device, measurement), pass.read(points) …
//!                     └ KeyFault: unknown, expired, revoked, from elsewhere, no such right, too many
//! ```
//!
//! Whoever answers something large asks [`Pass::still_good`] between its parts: a key that is revoked opens nothing from that
//! moment, also not the rest of an answer, and what it asked for under another scope or from where it is not welcome any more ends.

mod bucket;
mod fault;
mod key;
mod network;
mod request;
mod ring;
mod usage;

pub use bucket::Bucket;
pub use fault::{AccessError, KeyFault};
pub use key::{ApiKey, KEY_PREFIX, KeyChange, Limits, NewKey, Right, Rights};
pub use network::{InvalidNetwork, Network};
pub use request::{Credential, client_address, credential};
pub use ring::{KeyRing, KeyView, Pass};
pub use usage::{KeyDay, KeyUsage};

/// What is wrong with a field of something asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Invalid {
    pub field: &'static str,
    pub message: String,
}

impl Invalid {
    pub fn new(field: &'static str, message: impl Into<String>) -> Invalid {
        Invalid { field, message: message.into() }
    }
}

/// Checks a name or a purpose as a person writes it: `least` to `most` characters, none of them control characters.
pub fn check_text(field: &'static str, text: &str, least: usize, most: usize) -> Result<(), Invalid> {
    let length = text.chars().count();
    if !(least..=most).contains(&length) || text.chars().any(char::is_control) {
        let message = format!("{field} has {least} to {most} characters, none of them control characters");
        return Err(Invalid::new(field, message));
    }
    Ok(())
}

/// Tells a field that is left out, which stays as it is, from one that is `null`, which is taken away.
pub fn given<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: serde::Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    serde::Deserialize::deserialize(deserializer).map(Some)
}
