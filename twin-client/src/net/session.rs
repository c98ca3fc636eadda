//! The tokens of a login, and when the next ones are due.

use super::rest::Tokens;
use shared::time::{SECOND_MS, Timestamp};

/// A renewal that could not be done is tried again after this long.
const TRY_AGAIN_MS: i64 = 5_000;

/// What the server gave us for logging in. A refresh token is taken out to be used: it is good once, and showing one a
/// second time ends every login of its user. So one whose answer never came is not shown again.
#[derive(Default)]
pub(super) struct Session {
    access_token: Option<String>,
    refresh_token: Option<String>,
    renew_at: Option<i64>,
    /// Counts access tokens.
    pub(super) generation: u64,
}

impl Session {
    /// Takes new tokens; they are renewed when a quarter of the access token's life is left.
    pub(super) fn take(&mut self, tokens: &Tokens, now: Timestamp) {
        self.access_token = Some(tokens.access_token.clone());
        self.refresh_token = tokens.refresh_token.clone();
        self.renew_at = tokens.expires_in.map(|s| now.0 + s.max(1) * SECOND_MS * 3 / 4);
        self.generation += 1;
    }

    /// Uses a token that came from elsewhere and cannot be renewed.
    pub(super) fn take_given(&mut self, access_token: String) {
        *self = Self { access_token: Some(access_token), generation: self.generation + 1, ..Self::default() };
    }

    pub(super) fn access_token(&self) -> Option<&str> {
        self.access_token.as_deref()
    }

    pub(super) fn take_refresh_token(&mut self) -> Option<String> {
        self.refresh_token.take()
    }

    /// A refresh token that was surely not used after all.
    pub(super) fn give_back(&mut self, refresh_token: String) {
        self.refresh_token = Some(refresh_token);
    }

    /// The server does not accept the access token any more.
    pub(super) fn access_is_over(&mut self) {
        self.access_token = None;
        self.renew_at = None;
    }

    pub(super) fn end(&mut self) {
        *self = Self { generation: self.generation + 1, ..Self::default() };
    }

    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.renew_at.is_some_and(|at| now.0 >= at)
    }

    pub(super) fn postpone(&mut self, now: Timestamp) {
        self.renew_at = Some(now.0 + TRY_AGAIN_MS);
    }
}
