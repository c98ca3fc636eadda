//! How many connections there may be, and which gives way when every seat is taken.
//!
//! A connection is idle while none of its requests is being answered: before its first, between two, in the middle of a
//! head that does not end. A newcomer to a full house takes the seat of whichever has been idle for longest, so sockets
//! that ask nothing keep nobody out who does. Connections that are being answered, live streams among them, keep theirs.

use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Descriptors kept for files, databases and whatever else is not a connection: a quarter, but at least this many.
const SPARE_LEAST: usize = 128;

/// The connections a process with this limit on open files can afford here: a third of what it has for connections, the
/// rest being the devices' over MQTT.
pub(super) fn affordable(open_files: usize) -> usize {
    let spare = (open_files / 4).max(SPARE_LEAST).min(open_files / 2);
    ((open_files - spare) / 3).max(1)
}

/// The limit on this process's open files; `None` where there is none or it cannot be told.
pub(super) fn open_files_limit() -> Option<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[derive(Debug)]
pub(super) struct Seats {
    most: usize,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    taken: usize,
    /// In the order they fell idle.
    idle: BTreeMap<u64, CancellationToken>,
    next_number: u64,
}

/// A connection's seat, given up on drop.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    /// Its number among the idle; `None` while it is being answered.
    idle: Mutex<Option<u64>>,
    gave_way: CancellationToken,
    asked: Notify,
}

/// While this lives, the connection is being answered.
#[derive(Debug)]
pub(super) struct Answering(Option<Arc<Seat>>);

impl Seats {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, inside: Mutex::default() })
    }

    /// `None` when all are taken and being answered.
    pub(super) fn take(self: &Arc<Self>) -> Option<Arc<Seat>> {
        let mut inside = self.inside.lock();
        if inside.taken >= self.most && !inside.make_one_give_way() {
            return None;
        }
        inside.taken += 1;
        let gave_way = CancellationToken::new();
        let number = inside.fall_idle(gave_way.clone());
        let idle = Mutex::new(Some(number));
        Some(Arc::new(Seat { seats: Arc::clone(self), idle, gave_way, asked: Notify::new() }))
    }

    /// Ends the connection that has been idle for longest, when there is one.
    pub(super) fn make_one_give_way(&self) -> bool {
        self.inside.lock().make_one_give_way()
    }
}

impl Inside {
    fn make_one_give_way(&mut self) -> bool {
        let Some((_, gave_way)) = self.idle.pop_first() else { return false };
        gave_way.cancel();
        self.taken -= 1;
        true
    }

    fn fall_idle(&mut self, gave_way: CancellationToken) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        self.idle.insert(number, gave_way);
        number
    }
}

impl Seat {
    /// A request has come.
    pub(super) fn answering(self: &Arc<Self>) -> Answering {
        let mut inside = self.seats.inside.lock();
        if let Some(number) = self.idle.lock().take() {
            inside.idle.remove(&number);
        }
        self.asked.notify_one();
        Answering(Some(Arc::clone(self)))
    }

    /// Resolves when a newcomer has taken the seat.
    pub(super) async fn gave_way(&self) {
        self.gave_way.cancelled().await;
    }

    /// Resolves with the first request.
    pub(super) async fn asked(&self) {
        self.asked.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut inside = self.seats.inside.lock();
        // Who gave way has been counted out already.
        if !self.gave_way.is_cancelled() {
            inside.taken -= 1;
            if let Some(number) = self.idle.get_mut().take() {
                inside.idle.remove(&number);
            }
        }
    }
}

impl Answering {
    /// The connection has become something else, which has no requests and so is never idle.
    pub(super) fn for_good(mut self) {
        self.0 = None;
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let Some(seat) = self.0.take() else { return };
        let mut inside = seat.seats.inside.lock();
        if !seat.gave_way.is_cancelled() {
            let number = inside.fall_idle(seat.gave_way.clone());
            *seat.idle.lock() = Some(number);
        }
        drop(inside);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_idle_for_longest_gives_way() {
        let seats = Seats::new(3);
        let [first, second, third] = std::array::from_fn(|_| seats.take().unwrap());
        // The first has asked since, so the second has been idle for longest.
        drop(first.answering());
        let newcomer = seats.take().unwrap();
        assert!(second.gave_way.is_cancelled());
        drop(second);
        drop(third);
        let _free = seats.take().unwrap();
        assert!(!first.gave_way.is_cancelled() && !newcomer.gave_way.is_cancelled());
        assert!(seats.take().is_some() && first.gave_way.is_cancelled());
    }

    #[test]
    fn who_is_being_answered_keeps_the_seat() {
        let seats = Seats::new(2);
        let (asking, stream) = (seats.take().unwrap(), seats.take().unwrap());
        let answering = asking.answering();
        stream.answering().for_good();
        assert!(seats.take().is_none() && !seats.make_one_give_way());
        drop(answering);
        let newcomer = seats.take().unwrap();
        assert!(asking.gave_way.is_cancelled() && !stream.gave_way.is_cancelled());
        drop((asking, newcomer));
        assert!(seats.take().is_some());
    }

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        for (open_files, connections) in [(256, 42), (1_024, 256), (20_000, 5_000), (1, 1)] {
            assert_eq!(affordable(open_files), connections, "{open_files}");
        }
    }
}
