//! The server's clock while it is simulated: an epoch plus what the paused runtime of this thread says has passed.

use shared::time::Timestamp;
use std::cell::Cell;
use tokio::time::Instant;

/// When every simulation begins: a little before a month ends, so that blocks meet the boundary.
pub(crate) const START_MS: i64 = 1_780_271_700_000;

thread_local! {
    static EPOCH: Cell<Option<(Instant, i64)>> = const { Cell::new(None) };
}

/// It is `at_ms` now. Called within the runtime whose time counts from here.
pub(crate) fn start(at_ms: i64) {
    EPOCH.set(Some((Instant::now(), at_ms)));
}

pub(crate) fn now() -> Timestamp {
    let (since, at_ms) = EPOCH.get().unwrap_or_else(|| (Instant::now(), START_MS));
    Timestamp(at_ms + i64::try_from(since.elapsed().as_millis()).unwrap_or(0))
}
