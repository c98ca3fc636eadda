//! A process that dies between any two of the database's transactions.

use super::place::{Place, all, key, points, reading};
use crate::{FaultDisk, History};
use futures::{FutureExt, future::BoxFuture};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Notify;
use work::{Schedule, Work};

/// A minute before a month ends.
const T: i64 = 1_769_903_940_000;

/// Does what is asked of it so many times, and never again.
struct Dying {
    left: AtomicUsize,
    dead: Notify,
}

impl Schedule for Dying {
    fn outside<'a>(&'a self, work: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
        async move {
            let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if left.is_err() {
                self.dead.notify_one();
                std::future::pending::<()>().await;
            }
            work.await;
        }
        .boxed()
    }

    fn log_turn(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

#[tokio::test]
async fn whichever_transaction_was_the_last_no_reading_is_lost() {
    let readings: Vec<_> = (0..40).map(|i| reading(T + i * 3_000, i as f64)).collect();
    let (a, b) = (key("a", "power"), key("b", "power"));
    let mut transactions = 0;
    loop {
        let (place, disk) = (Place::sqlite(), FaultDisk::default());
        let dying = Arc::new(Dying { left: AtomicUsize::new(usize::MAX), dead: Notify::new() });
        let options = crate::HistoryOptions { seal_points: 1_000, ..place.options() };
        let work = Work::by(dying.clone());
        let history = History::open_with(options, Arc::new(disk.clone()), work).await.unwrap();
        history.append(points(&a, readings.clone())).await.unwrap();
        history.append(points(&b, readings.clone())).await.unwrap();
        dying.left.store(transactions, Ordering::SeqCst);
        let is_done = tokio::select! {
            done = history.checkpoint() => { done.unwrap(); true }
            () = dying.dead.notified() => false,
        };
        drop(history);
        let found = History::open_on(place.options(), Arc::new(disk)).await.unwrap();
        for series in [&a, &b] {
            assert_eq!(all(&found, series).await, readings, "{series} after {transactions} transactions");
        }
        // Also once the log that still has them is gone.
        found.compact().await.unwrap();
        for series in [&a, &b] {
            assert_eq!(
                all(&found, series).await,
                readings,
                "{series}, later, after {transactions} transactions"
            );
        }
        assert_eq!(found.verify().await.unwrap().faults, []);
        found.close().await.unwrap();
        if is_done {
            break;
        }
        transactions += 1;
    }
    assert!(transactions >= 4, "names, two months, states: {transactions}");
}
