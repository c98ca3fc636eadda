//! What the one who is logged in may do.

use serde::Deserialize;

/// Each role may do all that the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Looks; so do walls.
    Viewer,
    /// Also commands devices, plans and acknowledges alarms.
    Operator,
    /// Also manages devices, people and tokens.
    Admin,
}
