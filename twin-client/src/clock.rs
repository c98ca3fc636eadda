//! This machine's clock, read in one place.

use shared::time::Timestamp;

pub fn local_now() -> Timestamp {
    Timestamp(jiff::Timestamp::now().as_millisecond())
}
