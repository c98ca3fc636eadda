//! An API key: who holds it, what for, how far it reaches and how much it may ask.

use crate::{Invalid, KeyFault, Network, check_text, given};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{selector::Selector, time::Timestamp};
use std::net::IpAddr;

/// Every key starts so; what follows is 256 random bits.
pub const KEY_PREFIX: &str = "ptk_";

const NAME_MAX: usize = 100;
const PURPOSE_MAX: usize = 500;
const NETWORKS_MAX: usize = 100;
/// Names in a scope, over all its kinds; every check looks through them.
const SCOPE_MAX: usize = 1_000;
/// Above anything a park holds; it keeps a slip of the finger from being a limit of none.
const LIMIT_MAX: u64 = 1_000_000_000;

/// What someone wants to do with telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    Read,
    Write,
}

impl Right {
    pub fn as_str(self) -> &'static str {
        match self {
            Right::Read => "read",
            Right::Write => "write",
        }
    }
}

/// What a key may do with what is in its scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rights {
    #[serde(default)]
    pub read: bool,
    #[serde(default)]
    pub write: bool,
}

impl Rights {
    pub fn include(self, right: Right) -> bool {
        match right {
            Right::Read => self.read,
            Right::Write => self.write,
        }
    }
}

/// How much in a minute. A minute's worth may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    pub requests_per_minute: u64,
    /// Readings that answers hold. An answer is given whole; what it took too much is waited for.
    pub points_read_per_minute: u64,
    pub points_written_per_minute: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            requests_per_minute: 600,
            points_read_per_minute: 1_000_000,
            points_written_per_minute: 1_000_000,
        }
    }
}

/// A key as it is shown and kept; the key itself is neither.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    pub id: String,
    pub name: String,
    /// What it is for.
    pub purpose: String,
    pub created_at: Timestamp,
    /// The administrator who made it.
    pub created_by: String,
    /// From then on it opens nothing; absent for one without an end.
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub rights: Rights,
    /// Which devices and measurements; empty is the whole park.
    pub scope: Selector,
    /// Where it may be used from; empty is anywhere.
    pub sources: Vec<Network>,
    pub limits: Limits,
}

/// A key to be made.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewKey {
    /// 1 to 100 characters.
    pub name: String,
    /// What it is for: up to 500 characters.
    #[serde(default)]
    pub purpose: String,
    /// Unix milliseconds; without an end when left out.
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    pub rights: Rights,
    #[serde(default)]
    pub scope: Selector,
    /// Networks such as `10.1.0.0/16`, or single addresses.
    #[serde(default)]
    pub sources: Vec<Network>,
    #[serde(default)]
    pub limits: Limits,
}

/// What to change of a key; what is left out stays.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct KeyChange {
    pub name: Option<String>,
    pub purpose: Option<String>,
    /// `null` for a key without an end.
    #[serde(deserialize_with = "given")]
    #[schemars(with = "Option<Timestamp>")]
    pub expires_at: Option<Option<Timestamp>>,
    pub rights: Option<Rights>,
    pub scope: Option<Selector>,
    pub sources: Option<Vec<Network>>,
    pub limits: Option<Limits>,
}

impl NewKey {
    pub(crate) fn into_key(self, id: String, by: &str, now: Timestamp) -> Result<ApiKey, Invalid> {
        let key = ApiKey {
            id,
            name: self.name,
            purpose: self.purpose,
            created_at: now,
            created_by: by.to_owned(),
            expires_at: self.expires_at,
            revoked_at: None,
            rights: self.rights,
            scope: self.scope,
            sources: self.sources,
            limits: self.limits,
        };
        if key.expires_at.is_some_and(|at| at <= now) {
            return Err(Invalid::new("expiresAt", "a key that has expired already is of no use"));
        }
        key.checked()
    }
}

impl ApiKey {
    /// Whether it opens anything at that time.
    pub(crate) fn is_over(&self, now: Timestamp) -> Option<KeyFault> {
        if self.revoked_at.is_some() {
            return Some(KeyFault::Revoked);
        }
        self.expires_at.filter(|at| *at <= now).map(|at| KeyFault::Expired { at })
    }

    pub(crate) fn changed(&self, change: KeyChange) -> Result<ApiKey, Invalid> {
        let old = self.clone();
        ApiKey {
            name: change.name.unwrap_or(old.name),
            purpose: change.purpose.unwrap_or(old.purpose),
            expires_at: change.expires_at.unwrap_or(old.expires_at),
            rights: change.rights.unwrap_or(old.rights),
            scope: change.scope.unwrap_or(old.scope),
            sources: change.sources.unwrap_or(old.sources),
            limits: change.limits.unwrap_or(old.limits),
            ..old
        }
        .checked()
    }

    fn checked(self) -> Result<ApiKey, Invalid> {
        check_text("name", &self.name, 1, NAME_MAX)?;
        check_text("purpose", &self.purpose, 0, PURPOSE_MAX)?;
        if !self.rights.read && !self.rights.write {
            return Err(Invalid::new("rights", "a key reads, writes or does both"));
        }
        let scope = &self.scope;
        let names = scope.devices.len()
            + scope.types.len()
            + scope.buildings.len()
            + scope.groups.len()
            + scope.measurements.len();
        if names > SCOPE_MAX {
            return Err(Invalid::new("scope", format!("at most {SCOPE_MAX} names, not {names}")));
        }
        if self.sources.len() > NETWORKS_MAX {
            return Err(Invalid::new("sources", format!("at most {NETWORKS_MAX} networks")));
        }
        for (field, limit) in [
            ("limits.requestsPerMinute", self.limits.requests_per_minute),
            ("limits.pointsReadPerMinute", self.limits.points_read_per_minute),
            ("limits.pointsWrittenPerMinute", self.limits.points_written_per_minute),
        ] {
            if !(1..=LIMIT_MAX).contains(&limit) {
                return Err(Invalid::new(
                    field,
                    format!("a limit is 1 to {LIMIT_MAX} a minute, not {limit}"),
                ));
            }
        }
        Ok(self)
    }

    /// Whether it may be used from there.
    pub fn is_welcome_from(&self, address: IpAddr) -> bool {
        self.sources.is_empty() || self.sources.iter().any(|network| network.contains(address))
    }
}
