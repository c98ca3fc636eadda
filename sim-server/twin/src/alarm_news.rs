//! What changed among the alarms since it was last fetched: the newest state of each, however often it changed.
//!
//! A storm of alarms costs whoever listens no more than its alarms, not its changes. One fetches; it shares what it got.

use indexmap::IndexMap;
use parking_lot::Mutex;
use shared::{alarm::Alarm, id::AlarmId};
use std::sync::atomic::{AtomicU64, Ordering};

/// More changed alarms than this are not kept apart: the whole list is then what changed.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub(crate) struct AlarmNews {
    version: AtomicU64,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    changed: IndexMap<AlarmId, Alarm>,
    incomplete: bool,
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq)]
pub struct FetchedAlarms {
    pub version: u64,
    /// As they now are; one that does not need attention has left the list.
    pub changed: Vec<Alarm>,
    /// False where more changed than is kept: read [`crate::Twin::open_alarms`] instead.
    pub complete: bool,
}

impl AlarmNews {
    pub(crate) fn put(&self, alarms: impl IntoIterator<Item = Alarm>) {
        let mut waiting = self.waiting.lock();
        for alarm in alarms {
            waiting.changed.insert(alarm.id.clone(), alarm);
        }
        if waiting.changed.len() > MOST {
            *waiting = Waiting { changed: IndexMap::new(), incomplete: true };
        }
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Grows with every change.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn fetch(&self) -> FetchedAlarms {
        let mut waiting = self.waiting.lock();
        let taken = std::mem::take(&mut *waiting);
        FetchedAlarms {
            version: self.version(),
            changed: taken.changed.into_values().collect(),
            complete: !taken.incomplete,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::{
        alarm::{AlarmKind, Severity},
        text::Text,
        time::Timestamp,
    };

    fn alarm(n: usize, value: f64) -> Alarm {
        Alarm {
            id: format!("a{n}").parse().unwrap(),
            kind: AlarmKind::LimitExceeded,
            detail: None,
            device_id: None,
            severity: Severity::Major,
            text: Text::new("", ""),
            value: Some(value),
            raised_at: Timestamp(0),
            cleared_at: None,
            acknowledged_at: None,
            acknowledged_by: None,
        }
    }

    #[test]
    fn an_alarm_that_changes_often_is_told_once_as_it_last_was() {
        let news = AlarmNews::default();
        news.put([alarm(1, 1.0), alarm(2, 1.0)]);
        news.put([alarm(1, 2.0)]);
        let fetched = news.fetch();
        assert_eq!(
            fetched,
            FetchedAlarms { version: 2, changed: vec![alarm(1, 2.0), alarm(2, 1.0)], complete: true }
        );
        assert!(news.fetch().changed.is_empty());
    }

    #[test]
    fn what_nobody_fetches_takes_no_room_without_end_and_says_so() {
        let news = AlarmNews::default();
        news.put((0..=MOST).map(|n| alarm(n, 0.0)));
        news.put([alarm(1, 1.0)]);
        let fetched = news.fetch();
        assert_eq!((fetched.changed.len(), fetched.complete), (1, false));
        assert!(news.fetch().complete);
    }
}
