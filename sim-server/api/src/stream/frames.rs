//! What all clients hear alike, written once per encoding.
//!
//! A client that needs a frame takes the kept one if it is fresh enough for it, and otherwise makes the next.

use super::{
    alarm_feed::{AlarmFeed, SeenStep},
    command_feed::CommandFeed,
    wire::shared_frame,
};
use crate::{App, kept::Kept};
use axum::extract::ws::Message;
use bytes::Bytes;
use shared::{
    plan::PlanView,
    stream::{Encoding, ServerMessage},
    time::{SECOND_MS, Timestamp},
};
use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Instant,
};

#[derive(Default)]
pub(crate) struct SharedFrames {
    /// Live streams open now.
    pub(super) clients: AtomicUsize,
    energy: [Kept<i64>; 2],
    plan: [Kept<u64>; 2],
    alarms: AlarmFeed,
    pub(super) commands: CommandFeed,
}

pub(super) fn place(encoding: Encoding) -> usize {
    match encoding {
        Encoding::Postcard => 0,
        Encoding::Json => 1,
    }
}

/// A shared frame; none, with a line in the log, where the message cannot be written.
fn frame<K>(
    kept: &[Kept<K>; 2],
    encoding: Encoding,
    fresh: impl FnOnce(&K) -> bool,
    make: impl FnOnce() -> (K, ServerMessage),
) -> Option<Message> {
    let bytes = kept[place(encoding)].get_or(fresh, || {
        let (key, message) = make();
        encoding.encode(&message).map(|bytes| (key, Bytes::from(bytes)))
    });
    match bytes {
        Ok(bytes) => Some(shared_frame(encoding, bytes)),
        Err(error) => {
            tracing::error!(%error, "a message cannot be written");
            None
        }
    }
}

impl App {
    /// The energy summary of this second.
    pub(super) fn energy_frame(&self, encoding: Encoding, now: Timestamp) -> Option<Message> {
        let second = now.0.div_euclid(SECOND_MS);
        frame(
            &self.frames.energy,
            encoding,
            |kept| *kept == second,
            || (second, ServerMessage::Energy(Box::new(self.state.energy.summary(now)))),
        )
    }

    pub(super) fn plan_frame(&self, encoding: Encoding, plan: &Arc<PlanView>) -> Option<Message> {
        frame(
            &self.frames.plan,
            encoding,
            |kept| *kept == plan.version,
            || (plan.version, ServerMessage::Plan(Box::new(PlanView::clone(plan)))),
        )
    }

    /// What brings a client's alarms up to date.
    pub(super) fn alarm_frames(
        &self,
        encoding: Encoding,
        seen: &mut SeenStep,
        now: Instant,
    ) -> impl Iterator<Item = Message> + use<> {
        let frames =
            self.frames.alarms.frames(&self.state.twin, encoding, seen, now).unwrap_or_else(|error| {
                tracing::error!(%error, "alarms cannot be written");
                Vec::new()
            });
        frames.into_iter().map(move |bytes| shared_frame(encoding, bytes))
    }
}
