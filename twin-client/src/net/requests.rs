//! Requests under way and requests that wait for a token: both bounded, none for ever.

use super::rest::Ask;
use shared::time::Timestamp;
use std::collections::{HashMap, VecDeque};

/// Requests that may wait for a token.
const MOST_HELD: usize = 64;
/// How long they may.
const HELD_FOR_MS: i64 = 30_000;

pub(super) struct Pending {
    pub(super) ask: Ask,
    /// The access token it went with.
    pub(super) generation: u64,
    /// It went before, with another token.
    pub(super) again: bool,
    until: i64,
}

#[derive(Default)]
pub(super) struct Requests {
    last_id: u64,
    pending: HashMap<u64, Pending>,
    held: VecDeque<(Ask, i64)>,
}

impl Requests {
    /// Notes a request that goes out, and gives its number. An answer under a number that is not known (any more) is late.
    pub(super) fn begin(&mut self, ask: Ask, generation: u64, again: bool, now: Timestamp) -> u64 {
        self.last_id += 1;
        let until = now.0 + ask.patience_ms();
        self.pending.insert(self.last_id, Pending { ask, generation, again, until });
        self.last_id
    }

    pub(super) fn answered(&mut self, id: u64) -> Option<Pending> {
        self.pending.remove(&id)
    }

    /// Whether new tokens have been asked for.
    pub(super) fn is_logging_in(&self) -> bool {
        self.pending.values().any(|p| p.ask.is_login())
    }

    /// Keeps a request until there is a token; gives it back when too many wait.
    pub(super) fn hold(&mut self, ask: Ask, now: Timestamp) -> Result<(), Ask> {
        if self.held.len() >= MOST_HELD {
            return Err(ask);
        }
        self.held.push_back((ask, now.0 + HELD_FOR_MS));
        Ok(())
    }

    pub(super) fn take_held(&mut self) -> Vec<Ask> {
        self.held.drain(..).map(|(ask, _)| ask).collect()
    }

    /// Nobody waits for the scene any more.
    pub(super) fn forget_scene(&mut self) {
        self.pending.retain(|_, p| p.ask != Ask::Scene);
    }

    /// Everything under way and waiting, as when somebody else logs in.
    pub(super) fn take_all(&mut self) -> Vec<Ask> {
        let mut all: Vec<_> = self.pending.drain().collect();
        all.sort_by_key(|(id, _)| *id);
        all.into_iter().map(|(_, p)| p.ask).chain(self.held.drain(..).map(|(ask, _)| ask)).collect()
    }

    /// What waited too long.
    pub(super) fn expire(&mut self, now: Timestamp) -> Vec<Ask> {
        let mut late: Vec<u64> =
            self.pending.iter().filter(|(_, p)| now.0 >= p.until).map(|(id, _)| *id).collect();
        late.sort_unstable();
        let mut expired: Vec<Ask> =
            late.into_iter().filter_map(|id| self.pending.remove(&id)).map(|p| p.ask).collect();
        while self.held.front().is_some_and(|(_, until)| now.0 >= *until) {
            expired.extend(self.held.pop_front().map(|(ask, _)| ask));
        }
        expired
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_answered_in_time_is_told_once_and_its_answer_is_late() {
        let mut requests = Requests::default();
        let plan = requests.begin(Ask::Plan, 1, false, Timestamp(0));
        requests.begin(Ask::Scene, 1, false, Timestamp(0));
        requests.hold(Ask::PlanNow, Timestamp(0)).unwrap();
        assert!(requests.expire(Timestamp(14_999)).is_empty());
        assert_eq!(requests.expire(Timestamp(15_000)), [Ask::Plan]);
        assert!(requests.answered(plan).is_none());
        assert_eq!(requests.expire(Timestamp(60_000)), [Ask::Scene, Ask::PlanNow]);
        assert!(requests.take_all().is_empty());
    }

    #[test]
    fn only_so_many_wait_for_a_token() {
        let mut requests = Requests::default();
        for _ in 0..MOST_HELD {
            requests.hold(Ask::PlanNow, Timestamp(0)).unwrap();
        }
        assert_eq!(requests.hold(Ask::Plan, Timestamp(0)), Err(Ask::Plan));
        assert_eq!(requests.take_held().len(), MOST_HELD);
    }
}
