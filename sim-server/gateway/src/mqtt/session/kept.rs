//! What of a session outlives its connection.
//!
//! Commands are not in it: they are the twin's, journaled, and offered again to whatever connection the device has. Kept are what
//! the device subscribed to, which packet ids are in use, and the notices it has not acknowledged.

use super::{Message, payload_of, subscribe::Subscriptions};
use crate::ingest::Channel;
use serde::{Deserialize, Serialize};
use shared::{
    id::CommandId,
    time::{DAY_MS, Timestamp},
};
use std::collections::{BTreeSet, VecDeque};

/// Notices kept for a device that is away or slow. When it is full newer ones are counted instead, and the next that is kept says
/// how many: a device that does the same wrong thing all day learns most from the first reports.
pub(crate) const MOST_NOTICES: usize = 32;
const MOST_NOTICE_BYTES: usize = 64 * 1024;
/// What was refused longer ago nobody mends.
const NOTICE_LIFE_MS: i64 = 7 * DAY_MS;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Kept {
    /// How long the session outlives its connection.
    pub expiry_s: u32,
    pub subscriptions: Subscriptions,
    /// QoS 1 publishes the device has not acknowledged, oldest first.
    pub in_flight: Vec<(u16, Sent)>,
    /// QoS 2 publishes that are durable and were not released by the device yet.
    pub taken: BTreeSet<u16>,
    pub notices: VecDeque<Notice>,
    pub next_notice: u64,
    /// Notices there was no room for.
    pub missed: usize,
    /// The newest desired state the device was sent.
    pub desired: Option<String>,
    /// When the connection ended; none while there is one.
    pub left_at: Option<Timestamp>,
    pub will: Option<LateWill>,
}

/// What a QoS 1 publish to the device was about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Sent {
    Command(CommandId),
    Notice(u64),
    Desired,
}

/// A report of something refused, as the errors topic carries it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Notice {
    pub number: u64,
    pub at: Timestamp,
    pub payload: String,
}

/// A will that waits for its device to come back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LateWill {
    channel: Channel,
    payload: String,
    delay_s: u32,
}

impl Kept {
    pub(crate) fn is_lasting(&self) -> bool {
        self.expiry_s > 0
    }

    /// When a session without a connection ends.
    pub(crate) fn ends_at(&self) -> Option<Timestamp> {
        self.left_at.map(|left_at| after(left_at, self.expiry_s))
    }

    /// When its will is due, at the latest with the session's end.
    pub(crate) fn will_due_at(&self) -> Option<Timestamp> {
        let (will, left_at) = (self.will.as_ref()?, self.left_at?);
        Some(after(left_at, will.delay_s.min(self.expiry_s)))
    }

    /// Takes a report, given how many were missed before it, unless there is no room.
    pub(crate) fn add_notice(&mut self, at: Timestamp, payload: impl FnOnce(usize) -> Vec<u8>) -> bool {
        self.notices.retain(|notice| notice.expires_at() > at);
        let bytes: usize = self.notices.iter().map(|notice| notice.payload.len()).sum();
        if self.notices.len() >= MOST_NOTICES || bytes >= MOST_NOTICE_BYTES {
            self.missed += 1;
            return false;
        }
        let payload = String::from_utf8_lossy(&payload(std::mem::take(&mut self.missed))).into_owned();
        self.notices.push_back(Notice { number: self.next_notice, at, payload });
        self.next_notice += 1;
        true
    }
}

impl Notice {
    pub(crate) fn expires_at(&self) -> Timestamp {
        Timestamp(self.at.0.saturating_add(NOTICE_LIFE_MS))
    }
}

impl LateWill {
    /// What is no text is no JSON either and will be refused as such.
    pub(crate) fn new(will: &Message, delay_s: u32) -> Self {
        let payload = String::from_utf8_lossy(will.payload.as_slice()).into_owned();
        Self { channel: will.channel, payload, delay_s }
    }

    pub(crate) fn into_message(self) -> Message {
        Message { channel: self.channel, payload: payload_of(self.payload.as_bytes()) }
    }
}

fn after(at: Timestamp, seconds: u32) -> Timestamp {
    Timestamp(at.0.saturating_add(i64::from(seconds) * 1000))
}
