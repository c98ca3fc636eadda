//! The state of the connection, as people see it.

use shared::time::Timestamp;

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
        reason: String,
    },
    /// The server does not want us: wrong password, revoked token, other version.
    Refused {
        reason: String,
    },
}

impl LinkState {
    pub fn is_live(&self) -> bool {
        matches!(self, LinkState::Live)
    }
}
