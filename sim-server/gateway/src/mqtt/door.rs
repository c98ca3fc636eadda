//! How many connections there may be, and who gives way when every place is taken.
//!
//! A connection is a stranger until it has said which device it is. When the house is full a newcomer takes the place of
//! the stranger that came first, so sockets that say nothing keep no device out: a device's CONNECT follows at once. A
//! newcomer is refused only when every place is a device's, and told so, as far as the lobby reaches.

use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Refusals under way at once: at most this many, and at most one for this many places.
const LOBBY_MOST: usize = 64;
const PLACES_PER_LOBBY_SEAT: usize = 16;

/// Descriptors kept for files, databases and whatever else is not a connection: a quarter, but at least this many.
const SPARE_LEAST: usize = 128;

/// The connections a process with this limit on open files can afford here: two thirds of what it has for connections,
/// the rest being HTTP's.
pub(super) fn affordable(open_files: usize) -> usize {
    let spare = (open_files / 4).max(SPARE_LEAST).min(open_files / 2);
    ((open_files - spare) * 2 / 3).max(1)
}

/// The limit on this process's open files; `None` where there is none or it cannot be told.
pub(super) fn open_files_limit() -> Option<usize> {
    limit_in(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn limit_in(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[derive(Debug)]
pub(super) struct Door {
    places: usize,
    lobby: Arc<Semaphore>,
    inside: Mutex<Inside>,
}

#[derive(Debug, Default)]
struct Inside {
    devices: usize,
    /// In the order they came.
    strangers: BTreeMap<u64, CancellationToken>,
    next_number: u64,
}

/// What a newcomer gets.
#[derive(Debug)]
pub(super) enum Entry {
    Place(Place),
    /// Long enough to be told that there is none.
    Lobby(#[allow(dead_code, reason = "held while it lasts")] OwnedSemaphorePermit),
    Nothing,
}

/// A connection's place, given up on drop.
#[derive(Debug)]
pub(super) struct Place {
    door: Arc<Door>,
    number: u64,
    is_devices: bool,
    crowded_out: CancellationToken,
}

impl Door {
    pub(super) fn new(places: usize) -> Arc<Self> {
        let lobby = (places / PLACES_PER_LOBBY_SEAT).clamp(1, LOBBY_MOST);
        Arc::new(Self { places, lobby: Arc::new(Semaphore::new(lobby)), inside: Mutex::default() })
    }

    pub(super) fn enter(self: &Arc<Self>) -> Entry {
        let mut inside = self.inside.lock();
        let is_full = inside.devices + inside.strangers.len() >= self.places;
        if is_full && !inside.crowd_out_one() {
            return match Arc::clone(&self.lobby).try_acquire_owned() {
                Ok(seat) => Entry::Lobby(seat),
                Err(_) => Entry::Nothing,
            };
        }
        let number = inside.next_number;
        inside.next_number += 1;
        let crowded_out = CancellationToken::new();
        inside.strangers.insert(number, crowded_out.clone());
        Entry::Place(Place { door: Arc::clone(self), number, is_devices: false, crowded_out })
    }

    /// Closes the stranger that came first, when there is one.
    pub(super) fn crowd_out_one(&self) -> bool {
        self.inside.lock().crowd_out_one()
    }
}

impl Inside {
    fn crowd_out_one(&mut self) -> bool {
        let first = self.strangers.pop_first();
        first.map(|(_, crowded_out)| crowded_out.cancel()).is_some()
    }
}

impl Place {
    /// The place is a device's now and gives way to nobody; `false` when it was lost already.
    pub(super) fn is_now_a_devices(&mut self) -> bool {
        let mut inside = self.door.inside.lock();
        if inside.strangers.remove(&self.number).is_some() {
            inside.devices += 1;
            self.is_devices = true;
        }
        self.is_devices
    }

    /// Cancelled when a newcomer takes it.
    pub(super) fn crowded_out(&self) -> CancellationToken {
        self.crowded_out.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut inside = self.door.inside.lock();
        if self.is_devices {
            inside.devices -= 1;
        } else {
            inside.strangers.remove(&self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(door: &Arc<Door>) -> Place {
        match door.enter() {
            Entry::Place(place) => place,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_newcomer_takes_the_place_of_the_stranger_that_came_first() {
        let door = Door::new(3);
        let mut device = place(&door);
        assert!(device.is_now_a_devices());
        let (mut first, second) = (place(&door), place(&door));
        let newcomer = place(&door);
        assert!(first.crowded_out().is_cancelled() && !first.is_now_a_devices());
        for stays in [&device, &second, &newcomer] {
            assert!(!stays.crowded_out().is_cancelled());
        }
        // Who was crowded out gives nothing back by going.
        drop(first);
        let _another = place(&door);
        assert!(second.crowded_out().is_cancelled());
    }

    #[test]
    fn only_a_house_full_of_devices_refuses_and_tells_so_a_few_at_a_time() {
        let door = Door::new(2);
        let mut devices = [place(&door), place(&door)];
        assert!(devices.iter_mut().all(Place::is_now_a_devices));
        assert!(!door.crowd_out_one());
        let told = door.enter();
        assert!(matches!(told, Entry::Lobby(_)));
        assert!(matches!(door.enter(), Entry::Nothing));
        drop(told);
        assert!(matches!(door.enter(), Entry::Lobby(_)));
        drop(devices);
        place(&door);
    }

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        for (open_files, connections) in
            [(256, 85), (1_024, 512), (20_000, 10_000), (1_048_576, 524_288), (1, 1)]
        {
            assert_eq!(affordable(open_files), connections, "{open_files}");
        }
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             63422                63422                processes \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(limit_in(limits), Some(1024));
        assert_eq!(
            limit_in("Max open files            unlimited            unlimited            files"),
            None
        );
        assert_eq!(limit_in(""), None);
    }
}
