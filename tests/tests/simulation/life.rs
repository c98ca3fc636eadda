//! One life of the server's process: it can end at any step, and then nothing of it goes on.

use crate::trace::{Trace, note};
use history::FaultDisk;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use tokio::sync::Notify;

pub(crate) struct Life {
    pub(crate) trace: Arc<Trace>,
    pub(crate) disk: FaultDisk,
    is_dead: AtomicBool,
    killed: Notify,
    steps: AtomicU64,
    /// It ends when so many steps are done.
    dies_at_step: Option<u64>,
}

impl Life {
    pub(crate) fn new(trace: Arc<Trace>, disk: FaultDisk, dies_at_step: Option<u64>) -> Arc<Life> {
        Arc::new(Life {
            trace,
            disk,
            is_dead: AtomicBool::new(false),
            killed: Notify::new(),
            steps: AtomicU64::new(0),
            dies_at_step,
        })
    }

    /// Whether nothing of it may be heard any more. A disk without power means the machine has none.
    pub(crate) fn is_dead(&self) -> bool {
        if self.disk.is_power_off() {
            self.kill("the power went");
        }
        self.is_dead.load(Ordering::Relaxed)
    }

    pub(crate) fn kill(&self, why: &str) {
        if !self.is_dead.swap(true, Ordering::Relaxed) {
            note!(self.trace, "dies: {why}");
            self.killed.notify_one();
        }
    }

    /// Resolves when it is dead.
    pub(crate) async fn ended(&self) {
        self.killed.notified().await;
    }

    /// A step that may be the last one. A dead process does not go on.
    pub(crate) async fn step(&self, what: &str) {
        let step = self.steps.fetch_add(1, Ordering::Relaxed);
        note!(self.trace, "step {step}: {what}");
        if self.dies_at_step == Some(step) {
            self.kill("killed at a step");
        }
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }
}
