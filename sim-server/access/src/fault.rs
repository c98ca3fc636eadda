//! Why a key opens nothing, and what can go wrong with keeping keys.

use crate::{Invalid, Right};
use records::RecordsError;
use shared::time::Timestamp;
use std::net::IpAddr;

/// Why a request with a key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("send Authorization: Bearer <key>")]
    Missing,
    #[error("the Authorization header is not Bearer <key>")]
    Malformed,
    #[error("there is more than one Authorization header")]
    Twice,
    #[error("the key is not one of this server's")]
    Unknown,
    #[error("the key expired at {at}")]
    Expired { at: Timestamp },
    #[error("the key has been revoked")]
    Revoked,
    #[error("the key may not be used from {from}")]
    Elsewhere { from: IpAddr },
    #[error("the key has no right to {}", .right.as_str())]
    NoRight { right: Right },
    /// Of what is under way only: the next request is answered by the new one.
    #[error("the key's scope was changed meanwhile; send it again")]
    ScopeChanged,
    /// `what` is `requests`, `points read` or `points written`.
    #[error("the key's {what} a minute are used up; there is room in {wait_ms} ms")]
    TooMany { what: &'static str, wait_ms: i64 },
}

impl KeyFault {
    /// Stable and in capitals, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            KeyFault::Missing | KeyFault::Malformed | KeyFault::Twice => "UNAUTHENTICATED",
            KeyFault::Unknown => "INVALID_TOKEN",
            KeyFault::Expired { .. } => "TOKEN_EXPIRED",
            KeyFault::Revoked => "TOKEN_REVOKED",
            KeyFault::Elsewhere { .. } => "WRONG_SOURCE",
            KeyFault::NoRight { .. } => "FORBIDDEN",
            KeyFault::ScopeChanged => "SCOPE_CHANGED",
            KeyFault::TooMany { .. } => "TOO_MANY_REQUESTS",
        }
    }

    /// The HTTP status that says it.
    pub fn status(&self) -> http::StatusCode {
        match self {
            KeyFault::Elsewhere { .. } | KeyFault::NoRight { .. } => http::StatusCode::FORBIDDEN,
            KeyFault::TooMany { .. } => http::StatusCode::TOO_MANY_REQUESTS,
            // Clients that drop what is refused with 4xx would lose what the new scope may well take.
            KeyFault::ScopeChanged => http::StatusCode::SERVICE_UNAVAILABLE,
            _ => http::StatusCode::UNAUTHORIZED,
        }
    }

    /// Whole seconds after which another try is let in, for `Retry-After`.
    pub fn retry_after_s(&self) -> Option<u64> {
        match self {
            KeyFault::TooMany { wait_ms, .. } => Some(wait_ms.unsigned_abs().div_ceil(1_000).max(1)),
            KeyFault::ScopeChanged => Some(1),
            _ => None,
        }
    }
}

/// What can go wrong with making, changing and counting keys.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("there is no API key {id:?}")]
    UnknownKey { id: String },
    #[error("the API key {id:?} is revoked for good; make another")]
    Revoked { id: String },
    #[error("there are {most} API keys that are in force; revoke one first")]
    TooManyKeys { most: usize },
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error("the work was cut off")]
    CutOff,
}
