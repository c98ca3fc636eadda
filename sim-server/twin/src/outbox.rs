//! Writes to the records that must not hold up what caused them: the newest state of each thing, written in the order
//! the things first changed.
//!
//! Bounded by conflation: a thing that changes again before it is written is written once. What could not be written
//! stays and is tried again.

use indexmap::IndexMap;
use parking_lot::Mutex;
use std::hash::Hash;
use tokio::sync::Notify;

#[derive(Debug)]
pub struct Outbox<K, V> {
    state: Mutex<State<K, V>>,
    /// Held by the one who writes, so that an older state never follows a newer one.
    writing: tokio::sync::Mutex<()>,
    added: Notify,
}

#[derive(Debug)]
struct State<K, V> {
    waiting: IndexMap<K, V>,
    in_flight: IndexMap<K, V>,
}

impl<K: Hash + Eq + Clone, V: Clone> Default for Outbox<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Outbox<K, V> {
    pub fn new() -> Self {
        Self {
            state: Mutex::new(State { waiting: IndexMap::new(), in_flight: IndexMap::new() }),
            writing: tokio::sync::Mutex::new(()),
            added: Notify::new(),
        }
    }

    pub fn put(&self, key: K, value: V) {
        self.state.lock().waiting.insert(key, value);
        self.added.notify_one();
    }

    /// The newest state that is not known to be written yet.
    pub fn get(&self, key: &K) -> Option<V> {
        let state = self.state.lock();
        state.waiting.get(key).or_else(|| state.in_flight.get(key)).cloned()
    }

    /// Resolves when something was put since the last time.
    pub async fn changed(&self) {
        self.added.notified().await;
    }

    /// Writes all that waits; on `Ok` everything put before the call is written.
    pub async fn flush<E>(&self, write: impl AsyncFnOnce(Vec<V>) -> Result<(), E>) -> Result<(), E> {
        let _one_at_a_time = self.writing.lock().await;
        let batch: Vec<V> = {
            let mut state = self.state.lock();
            // Left over when a writer was dropped half-way: newer states of the same things win.
            let left_over = std::mem::take(&mut state.in_flight);
            let mut batch = left_over;
            batch.extend(std::mem::take(&mut state.waiting));
            state.in_flight = batch;
            state.in_flight.values().cloned().collect()
        };
        if batch.is_empty() {
            return Ok(());
        }
        write(batch).await?;
        self.state.lock().in_flight.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Numbers = Outbox<&'static str, (&'static str, i32)>;

    async fn flush_into(outbox: &Numbers, written: &mut Vec<(&'static str, i32)>) {
        let write = async |batch| {
            written.extend::<Vec<_>>(batch);
            Ok::<(), ()>(())
        };
        outbox.flush(write).await.unwrap();
    }

    #[tokio::test]
    async fn the_newest_state_of_each_is_written_in_the_order_they_first_changed() {
        let outbox = Numbers::new();
        for (key, value) in [("a", 1), ("b", 1), ("a", 2)] {
            outbox.put(key, (key, value));
        }
        let mut written = Vec::new();
        flush_into(&outbox, &mut written).await;
        assert_eq!(written, [("a", 2), ("b", 1)]);
        outbox.flush(async |_| -> Result<(), ()> { panic!("nothing is left") }).await.unwrap();
    }

    #[tokio::test]
    async fn what_could_not_be_written_is_tried_again_unless_a_newer_state_came() {
        let outbox = Numbers::new();
        outbox.put("a", ("a", 1));
        outbox.put("b", ("b", 1));
        outbox.flush(async |_| Err("disk full")).await.unwrap_err();
        assert_eq!(outbox.get(&"a"), Some(("a", 1)));
        outbox.put("b", ("b", 2));
        assert_eq!(outbox.get(&"b"), Some(("b", 2)));
        let mut written = Vec::new();
        flush_into(&outbox, &mut written).await;
        assert_eq!(written, [("a", 1), ("b", 2)]);
        assert_eq!(outbox.get(&"a"), None);
    }
}
