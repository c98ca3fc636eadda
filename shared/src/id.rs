//! Identifiers: one newtype each, checked once where they enter.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// Why a string is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {text:?} must be 1 to 64 characters of A-Z a-z 0-9 . _ : -")]
pub struct InvalidId {
    pub kind: &'static str,
    pub text: String,
}

/// What every identifier looks like, as JSON Schemas say it.
pub const PATTERN: &str = "^[A-Za-z0-9._:-]{1,64}$";

/// Whether a text fits [`PATTERN`].
pub fn is_valid(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-'))
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String", extend("pattern" = PATTERN))]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if is_valid(text) {
                    Ok(Self(Arc::from(text)))
                } else {
                    Err(InvalidId { kind: $kind, text: text.chars().take(80).collect() })
                }
            }
        }
        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

id!(
    /// A device, as it names itself in topics and payloads.
    DeviceId, "device id"
);
id!(
    /// A thing model (物模型): the kind of device.
    ModelId, "model id"
);
id!(
    /// A measurement's short key within its thing model, such as `power` or `soc`.
    MeasurementKey, "measurement key"
);
id!(BuildingId, "building id");
id!(
    /// A bus (node) of the electrical network.
    BusId, "bus id"
);
id!(
    /// A command, named by whoever asks for it, so that asking twice is one command.
    CommandId, "command id"
);
id!(AlarmId, "alarm id");
id!(ParkId, "park id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_1_to_64_plain_characters() {
        for good in ["a", "PV_01", "CA-305", "a.b:c", &"x".repeat(64)] {
            assert!(good.parse::<DeviceId>().is_ok(), "{good}");
        }
        for bad in ["", "a b", "a/b", "+", "#", "设备", &"x".repeat(65)] {
            assert!(bad.parse::<DeviceId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn json_refuses_what_parsing_refuses() {
        assert!(serde_json::from_str::<DeviceId>("\"a/b\"").is_err());
        assert_eq!(serde_json::to_string(&"ok".parse::<DeviceId>().unwrap()).unwrap(), "\"ok\"");
    }
}
