//! The state of the connection, as people see it.

use super::Fault;
use shared::time::Timestamp;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Default)]
pub enum LinkState {
    /// Nothing to log in with yet: the client asks.
    #[default]
    NeedsLogin,
    LoggingIn,
    LoadingScene,
    Connecting,
    /// Messages arrive.
    Live,
    /// The link is gone since then (this machine's clock) and is being tried again.
    Lost {
        since: Timestamp,
        reason: Fault,
    },
    /// The server does not want us: wrong password, revoked token, other version.
    Refused {
        reason: Fault,
        /// The link tries again by itself, slowly.
        retry: bool,
    },
}

impl fmt::Display for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LinkState::NeedsLogin => f.write_str("nobody is logged in"),
            LinkState::LoggingIn => f.write_str("logging in"),
            LinkState::LoadingScene => f.write_str("loading the scene"),
            LinkState::Connecting => f.write_str("connecting"),
            LinkState::Live => f.write_str("live"),
            LinkState::Lost { reason, .. } => write!(f, "lost ({reason}), trying again"),
            LinkState::Refused { reason, .. } => write!(f, "refused: {reason}"),
        }
    }
}

impl LinkState {
    pub fn is_live(&self) -> bool {
        matches!(self, LinkState::Live)
    }
}
