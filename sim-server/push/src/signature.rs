//! How a receiver knows that a delivery is the park's and fresh: the Standard Webhooks signature.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use shared::time::Timestamp;
use std::fmt;

const PREFIX: &str = "whsec_";

/// What signs: `whsec_` and 256 random bits in base64. Shown once to whoever made it; never part of a log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// # Panics
    /// When the operating system has no randomness to give.
    pub fn generate() -> Secret {
        Secret(format!("{PREFIX}{}", BASE64.encode(&records::random_bytes())))
    }

    /// The text to be handed to the receiver.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The key's bytes. A text that is no base64 signs as it is; ours always is.
    fn key(&self) -> Vec<u8> {
        let text = self.0.strip_prefix(PREFIX).unwrap_or(&self.0);
        BASE64.decode(text.as_bytes()).unwrap_or_else(|_| text.as_bytes().to_vec())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// `v1,` and the base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`, the timestamp being whole seconds.
pub fn signature(secret: &Secret, id: &str, at: Timestamp, body: &str) -> String {
    let key = secret.key();
    // Of any length: HMAC hashes what is longer than a block.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return String::new() };
    mac.update(format!("{id}.{}.{body}", seconds(at)).as_bytes());
    format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes()))
}

pub(crate) fn seconds(at: Timestamp) -> i64 {
    at.0.div_euclid(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the Standard Webhooks specification; computed anew with Python's `hmac`.
    #[test]
    fn the_specifications_example_comes_out() {
        let secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into());
        let at = Timestamp(1_614_265_330_999);
        assert_eq!(
            signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", at, r#"{"test": 2432232314}"#),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn a_secret_is_not_in_what_is_logged() {
        let secret = Secret::generate();
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_eq!(secret.key().len(), 32);
        assert_ne!(secret, Secret::generate());
    }
}
