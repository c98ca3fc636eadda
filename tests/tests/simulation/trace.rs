//! What happened, as one number: two runs with the same number did the same.

use crate::clock;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// The last events are kept for whoever reads of a failure; all of them when one seed is run.
const KEPT: usize = 60;

#[derive(Debug)]
pub(crate) struct Trace(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    hash: u64,
    events: u64,
    last: VecDeque<String>,
    keeps_all: bool,
}

impl Trace {
    pub(crate) fn new(keeps_all: bool) -> Trace {
        Trace(Mutex::new(State { keeps_all, ..State::default() }))
    }

    pub(crate) fn note(&self, what: std::fmt::Arguments<'_>) {
        let line = format!("{} {what}", clock::now().0 - clock::START_MS);
        let mut state = self.0.lock();
        state.hash = state.hash.rotate_left(5).wrapping_mul(0x0100_0000_01b3)
            ^ u64::from(crc32c::crc32c(line.as_bytes()));
        state.events += 1;
        if state.last.len() == KEPT && !state.keeps_all {
            state.last.pop_front();
        }
        state.last.push_back(line);
    }

    /// The number, and of how many events.
    pub(crate) fn sum(&self) -> (u64, u64) {
        let state = self.0.lock();
        (state.hash, state.events)
    }

    pub(crate) fn tail(&self) -> String {
        self.0.lock().last.iter().map(|line| format!("  {line}\n")).collect()
    }
}

macro_rules! note {
    ($trace:expr, $($what:tt)*) => { $trace.note(format_args!($($what)*)) };
}
pub(crate) use note;
