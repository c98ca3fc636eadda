//! What is counted of a key's use: in memory as it happens, in the records now and then.

use records::{KeyCounts, KeyIncrement, KeyUse};
use schemars::JsonSchema;
use serde::Serialize;
use shared::time::Timestamp;
use std::{collections::BTreeMap, net::IpAddr};

/// What a key did on some of the park's days.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyUsage {
    pub key_id: String,
    pub last_use: Option<KeyUse>,
    pub total: KeyCounts,
    /// Days without any use are left out.
    pub days: Vec<KeyDay>,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyDay {
    /// Such as `2026-06-01`, in the park's time zone.
    pub day: String,
    #[serde(flatten)]
    pub counts: KeyCounts,
}

/// What was counted and is not in the records yet.
#[derive(Debug, Default)]
pub(crate) struct Uncounted {
    days: BTreeMap<String, KeyCounts>,
    last_use: Option<KeyUse>,
}

impl Uncounted {
    pub(crate) fn count(&mut self, day: String, counts: &KeyCounts) {
        self.days.entry(day).or_default().add(counts);
    }

    pub(crate) fn used(&mut self, at: Timestamp, from: IpAddr) {
        self.last_use = Some(KeyUse { at, from: from.to_string() });
    }

    /// Takes what there is, as increments of the key's days.
    pub(crate) fn take(&mut self, key: &str) -> Vec<KeyIncrement> {
        let last_use = self.last_use.take();
        let days = std::mem::take(&mut self.days);
        let increments = days.into_iter().map(|(day, counts)| KeyIncrement {
            key: key.to_owned(),
            day,
            counts,
            last_use: None,
        });
        let mut increments: Vec<KeyIncrement> = increments.collect();
        // A use is a request, and that is counted: there is a day.
        if let Some(last) = increments.last_mut() {
            last.last_use = last_use;
        }
        increments
    }

    /// What could not be written is to be written later.
    pub(crate) fn put_back(&mut self, increment: KeyIncrement) {
        self.count(increment.day, &increment.counts);
        if self.last_use.is_none() {
            self.last_use = increment.last_use;
        }
    }
}
