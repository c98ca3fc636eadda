//! This machine's clock, read in one place.

use bevy::platform::time::Instant;
use shared::time::Timestamp;
use std::sync::OnceLock;

/// The wall clock as it was when first asked, going on steadily from there: setting the wall clock moves neither the
/// link's deadlines nor what was learnt of the server's clock.
pub fn local_now() -> Timestamp {
    static STARTED: OnceLock<(Instant, i64)> = OnceLock::new();
    let (instant, wall_ms) =
        STARTED.get_or_init(|| (Instant::now(), jiff::Timestamp::now().as_millisecond()));
    Timestamp(wall_ms + instant.elapsed().as_millis() as i64)
}
