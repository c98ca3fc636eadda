//! Alarms to all clients: changes are gathered into steps, each written once per encoding and shared.
//!
//! A client is sent the steps it has not seen; one that missed too many, or is new, is sent the whole list. So a storm of
//! alarms costs a client at most a frame a step, whatever the number of changes.

use bytes::Bytes;
use parking_lot::Mutex;
use shared::{
    alarm::Alarm,
    stream::{Encoding, ServerMessage, WireError},
};
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};
use twin::{FetchedAlarms, Twin};

/// Changes are gathered at least this long.
const STEP: Duration = Duration::from_millis(200);
/// Steps kept for clients that are behind: longer than a slow one is borne.
const KEPT: usize = 64;

/// Where a client gets alarms from; nothing before it has the whole list.
pub(super) type SeenStep = Option<u64>;

#[derive(Default)]
pub(crate) struct AlarmFeed(Mutex<Feed>);

#[derive(Default)]
struct Feed {
    /// Number of the newest step.
    newest: u64,
    /// The twin's version that the newest step reaches.
    version: u64,
    made: Option<Instant>,
    /// The last steps, the newest at the back; gapless.
    steps: VecDeque<Step>,
    /// The whole list as of a step, by encoding.
    whole: [Option<(u64, Bytes)>; 2],
}

struct Step {
    changed: Vec<Alarm>,
    frames: [Option<Bytes>; 2],
}

impl AlarmFeed {
    /// The frames that bring a client from `seen` up to date; `seen` is moved on.
    pub(super) fn frames(
        &self,
        twin: &Twin,
        encoding: Encoding,
        seen: &mut SeenStep,
        now: Instant,
    ) -> Result<Vec<Bytes>, WireError> {
        let mut feed = self.0.lock();
        if twin.alarms_version() != feed.version && feed.made.is_none_or(|made| now - made >= STEP) {
            feed.step(twin.fetch_alarms(), now);
        }
        let newest = feed.newest;
        match *seen {
            Some(step) if step == newest => return Ok(Vec::new()),
            Some(step) if newest - step <= feed.steps.len() as u64 => {
                let first = feed.steps.len() - (newest - step) as usize;
                let frames = feed.steps.range_mut(first..).map(|step| step.frame(encoding));
                let frames = frames.collect::<Result<_, _>>()?;
                *seen = Some(newest);
                return Ok(frames);
            }
            _ => {}
        }
        let place = super::frames::place(encoding);
        let bytes = match &feed.whole[place] {
            Some((step, bytes)) if *step == newest => bytes.clone(),
            _ => {
                let bytes = Bytes::from(encoding.encode(&ServerMessage::Alarms(twin.open_alarms()))?);
                feed.whole[place] = Some((newest, bytes.clone()));
                bytes
            }
        };
        *seen = Some(newest);
        Ok(vec![bytes])
    }
}

impl Feed {
    fn step(&mut self, fetched: FetchedAlarms, now: Instant) {
        self.version = fetched.version;
        self.made = Some(now);
        self.newest += 1;
        if fetched.complete {
            self.steps.push_back(Step { changed: fetched.changed, frames: [None, None] });
            if self.steps.len() > KEPT {
                self.steps.pop_front();
            }
        } else {
            self.steps.clear();
        }
    }
}

impl Step {
    fn frame(&mut self, encoding: Encoding) -> Result<Bytes, WireError> {
        let kept = &mut self.frames[super::frames::place(encoding)];
        if let Some(bytes) = kept {
            return Ok(bytes.clone());
        }
        let bytes = Bytes::from(encoding.encode(&ServerMessage::AlarmsChanged(self.changed.clone()))?);
        *kept = Some(bytes.clone());
        Ok(bytes)
    }
}
