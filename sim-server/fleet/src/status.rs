//! What the fleet's connections have come to, counted.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
};

#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) connected: AtomicUsize,
    /// Connections made after the first of each device.
    pub(crate) reconnects: AtomicU64,
    /// Messages handed to links and not yet acknowledged by the server.
    pub(crate) outstanding: AtomicI64,
    pub(crate) acknowledged: AtomicU64,
    /// Messages given up because a device's memory was full while it was cut off.
    pub(crate) lost: AtomicU64,
    pub(crate) commands_done: AtomicU64,
    pub(crate) commands_rejected: AtomicU64,
    /// Refusals the server announced on the devices' error topics.
    pub(crate) refused: AtomicU64,
    last_refusal: Mutex<Option<String>>,
    last_error: Mutex<Option<String>>,
}

impl Status {
    pub(crate) fn note_refusal(&self, text: String) {
        self.refused.fetch_add(1, Ordering::Relaxed);
        *self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    pub(crate) fn last_refusal(&self) -> Option<String> {
        self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn note_error(&self, text: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    pub(crate) fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn everything_is_acknowledged(&self) -> bool {
        self.outstanding.load(Ordering::Acquire) == 0
    }
}
