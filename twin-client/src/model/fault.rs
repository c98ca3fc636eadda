//! Why something did not work: a kind people read in their language, and the other side's own words as detail.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Nobody answers at the server's address.
    Unreachable,
    /// A request was taken and not answered in time.
    NoAnswer,
    /// The open stream says nothing any more.
    Silent,
    /// The stream was closed from the other end.
    Closed,
    /// What came does not read.
    Unreadable,
    /// The server says: later.
    Busy,
    ServerFault,
    WrongPassword,
    TooManyAttempts,
    /// The access or wall token is not accepted (any more).
    TokenOver,
    /// Logged in until now; neither the refresh token nor the password is accepted any more.
    SessionOver,
    /// The server speaks another version of the stream.
    Version,
    /// The role does not suffice.
    NotAllowed,
    NotLoggedIn,
    /// Refused for a reason that only the detail tells.
    Refused,
}

impl FaultKind {
    /// Its message in the translations; without `fault-` and hyphens also its words in the log.
    pub fn key(self) -> &'static str {
        match self {
            FaultKind::Unreachable => "fault-server-unreachable",
            FaultKind::NoAnswer => "fault-no-answer-in-time",
            FaultKind::Silent => "fault-nothing-heard",
            FaultKind::Closed => "fault-closed-by-the-server",
            FaultKind::Unreadable => "fault-unreadable-answer",
            FaultKind::Busy => "fault-server-busy",
            FaultKind::ServerFault => "fault-server-failed",
            FaultKind::WrongPassword => "fault-wrong-password",
            FaultKind::TooManyAttempts => "fault-too-many-attempts",
            FaultKind::TokenOver => "fault-token-not-accepted",
            FaultKind::SessionOver => "fault-login-is-over",
            FaultKind::Version => "fault-other-version",
            FaultKind::NotAllowed => "fault-not-allowed",
            FaultKind::NotLoggedIn => "fault-not-logged-in",
            FaultKind::Refused => "fault-refused",
        }
    }

    pub fn with(self, detail: impl Into<String>) -> Fault {
        Fault { kind: self, detail: Some(detail.into()) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// The server's or the system's own words.
    pub detail: Option<String>,
}

impl From<FaultKind> for Fault {
    fn from(kind: FaultKind) -> Self {
        Self { kind, detail: None }
    }
}

/// For the log; people are told through the translations.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind.key().trim_start_matches("fault-").replace('-', " "))?;
        match &self.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_reads_as_words_with_the_detail_behind() {
        assert_eq!(Fault::from(FaultKind::NoAnswer).to_string(), "no answer in time");
        assert_eq!(FaultKind::WrongPassword.with("said so").to_string(), "wrong password: said so");
    }
}
