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
/// The longest that common clients wait between two attempts to connect.
const RETURN_WITHIN_S: u32 = 120;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Kept {
    /// How long the session outlives its connection.
    pub expiry_s: u32,
    pub subscriptions: Subscriptions,
    /// QoS 1 publishes the device has not acknowledged, oldest first.
    pub in_flight: Vec<(u16, Sent)>,
    /// QoS 2 publishes that are durable and were not released by the device yet: one that is repeated on the next connection is
    /// not taken twice.
    ///
    /// Never on the disk: a copy there that is older than a release would have the next message under that id acknowledged and
    /// dropped. To be current it would take a write before each PUBREC and each PUBCOMP, and restoring a backup would still bring
    /// old ones back. After a restart a repeated publish is handed over again instead, which changes nothing: a reading is one by
    /// its device, measurement and time, an event by its id, and an answer to a command that has ended is heard no more.
    #[serde(skip)]
    pub taken: BTreeSet<u16>,
    pub notices: VecDeque<Notice>,
    pub next_notice: u64,
    /// Notices there was no room for.
    pub missed: usize,
    /// The newest desired state the device was sent.
    pub desired: Option<String>,
    /// When the connection ended; none while there is one.
    pub left_at: Option<Timestamp>,
    /// From CONNECT on, so that a device is not forgotten that goes while the server is down.
    pub will: Option<Will>,
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

/// A will, and how long it waits for its device to come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Will {
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

    /// As an earlier process left it. The connections it still had ended with it, through no fault of their devices: those have a
    /// while to come back before their wills say that they are gone.
    pub(crate) fn left_behind(mut self, now: Timestamp) -> Self {
        if self.left_at.is_none() {
            self.left_at = Some(now);
            if let Some(will) = &mut self.will {
                will.delay_s = will.delay_s.max(RETURN_WITHIN_S);
            }
        }
        self
    }

    /// The will as the loss of the connection, or the session's end with it, leaves it: to be handed over now, or to wait.
    pub(crate) fn will_at_the_end(&mut self) -> Option<Message> {
        let waits = self.is_lasting() && self.will.as_ref().is_some_and(|will| will.delay_s > 0);
        if waits { None } else { self.will.take().map(Will::into_message) }
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

impl Will {
    /// What is no text is no JSON either and will be refused as such.
    pub(crate) fn new(channel: Channel, payload: &[u8], delay_s: u32) -> Self {
        Self { channel, payload: String::from_utf8_lossy(payload).into_owned(), delay_s }
    }

    pub(crate) fn into_message(self) -> Message {
        Message { channel: self.channel, payload: payload_of(self.payload.as_bytes()) }
    }
}

fn after(at: Timestamp, seconds: u32) -> Timestamp {
    Timestamp(at.0.saturating_add(i64::from(seconds) * 1000))
}
