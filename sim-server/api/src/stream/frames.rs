//! What all clients hear alike, written once per encoding.
//!
//! Each kind keeps its newest frame with what it was made from. A client that needs one takes the kept frame if it is
//! fresh enough for it and otherwise makes the next: no task runs for nobody, and a thousand clients cost one.

use super::wire::shared_frame;
use crate::App;
use axum::extract::ws::Message;
use bytes::Bytes;
use parking_lot::Mutex;
use serde::Serialize;
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
    alarms: [Kept<Instant>; 2],
}

/// A frame and what it was made from.
type Kept<K> = Mutex<Option<(K, Bytes)>>;

fn place(encoding: Encoding) -> usize {
    match encoding {
        Encoding::Postcard => 0,
        Encoding::Json => 1,
    }
}

/// The kept frame if `fresh` says so, else a new one. Others wait meanwhile, for the same frame.
fn kept_or<K>(
    kept: &Kept<K>,
    encoding: Encoding,
    fresh: impl FnOnce(&K) -> bool,
    make: impl FnOnce() -> (K, ServerMessage),
) -> Option<Message> {
    let mut kept = kept.lock();
    if !kept.as_ref().is_some_and(|(key, _)| fresh(key)) {
        let (key, message) = make();
        *kept = Some((key, encoded(encoding, &message)?));
    }
    kept.as_ref().map(|(_, bytes)| shared_frame(encoding, bytes.clone()))
}

fn encoded<T: Serialize>(encoding: Encoding, message: &T) -> Option<Bytes> {
    match encoding.encode(message) {
        Ok(bytes) => Some(Bytes::from(bytes)),
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
        kept_or(
            &self.frames.energy[place(encoding)],
            encoding,
            |kept| *kept == second,
            || (second, ServerMessage::Energy(Box::new(self.state.energy.summary(now)))),
        )
    }

    pub(super) fn plan_frame(&self, encoding: Encoding, plan: &Arc<PlanView>) -> Option<Message> {
        kept_or(
            &self.frames.plan[place(encoding)],
            encoding,
            |kept| *kept == plan.version,
            || (plan.version, ServerMessage::Plan(Box::new(PlanView::clone(plan)))),
        )
    }

    /// All alarms that need attention, no older than `since`: the moment the client heard that they changed.
    pub(super) fn alarms_frame(&self, encoding: Encoding, since: Instant) -> Option<Message> {
        kept_or(
            &self.frames.alarms[place(encoding)],
            encoding,
            |made| *made > since,
            || (Instant::now(), ServerMessage::Alarms(self.state.twin.open_alarms())),
        )
    }
}
