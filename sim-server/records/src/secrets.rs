//! Random secrets and their digests.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest, Sha256};
use std::fmt;
use subtle::ConstantTimeEq;

/// A device's password: 256 random bits, shown once when the device is registered; only its SHA-256 is stored.
pub struct DeviceSecret(String);

impl DeviceSecret {
    /// # Panics
    /// When the operating system has no randomness to give: a guessable secret would be worse.
    pub fn generate() -> DeviceSecret {
        DeviceSecret(random_text())
    }

    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.0)
    }
}

impl fmt::Display for DeviceSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DeviceSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceSecret(…)")
    }
}

/// Whether `secret` is the one with this digest, in time that does not depend on where they differ.
pub fn is_secret(secret: &str, sha256_of_it: &[u8; 32]) -> bool {
    sha256(secret).ct_eq(sha256_of_it).into()
}

/// 256 random bits.
///
/// # Panics
/// When the operating system has no randomness to give: a guessable secret would be worse.
#[allow(clippy::panic)]
pub fn random_bytes() -> [u8; 32] {
    let mut bytes = [0u8; 32];
    if let Err(e) = getrandom::fill(&mut bytes) {
        panic!("the operating system gives no random bytes: {e}");
    }
    bytes
}

/// 256 random bits as base64url text.
pub fn random_text() -> String {
    BASE64URL_NOPAD.encode(&random_bytes())
}

pub fn sha256(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// A token's digest as it is stored and looked up. A lookup by digest needs no constant time: who can choose the
/// digest's bits already has the token.
pub(crate) fn sha256_hex(text: &str) -> String {
    HEXLOWER.encode(&sha256(text))
}

pub(crate) fn hex(digest: &[u8; 32]) -> String {
    HEXLOWER.encode(digest)
}

pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_256_bits_and_only_it_matches_its_digest() {
        let (a, b) = (DeviceSecret::generate(), DeviceSecret::generate());
        assert_eq!(BASE64URL_NOPAD.decode(a.to_string().as_bytes()).unwrap().len(), 32);
        assert!(is_secret(&a.to_string(), &a.sha256()));
        assert!(!is_secret(&b.to_string(), &a.sha256()));
        assert!(!is_secret("", &a.sha256()));
        assert_eq!(from_hex(&hex(&a.sha256())), Some(a.sha256()));
    }

    #[test]
    fn debug_output_does_not_leak_a_secret() {
        let secret = DeviceSecret::generate();
        assert!(!format!("{secret:?}").contains(&secret.to_string()));
    }
}
