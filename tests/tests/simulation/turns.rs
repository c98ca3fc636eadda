//! Whose turn it is: the databases' threads and the log's writer work when the seed says so, one after the other, and nothing
//! else runs meanwhile.
//!
//! SQLite is the real one, on threads of its own; to the simulated server each of its transactions is one instant, before and
//! after which the process may die.

use crate::life::Life;
use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::runtime::{Handle, Runtime};
use work::Schedule;

/// Where SQLite's pools live, in real time. Its threads do one thing at a time for each simulation.
pub(crate) fn databases() -> &'static Handle {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let start = || match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("no runtime for the databases: {error}"),
    };
    RUNTIME.get_or_init(start).handle()
}

pub(crate) struct Turns {
    life: Arc<Life>,
    rng: Mutex<ChaCha8Rng>,
}

impl Turns {
    pub(crate) fn new(life: Arc<Life>, rng: ChaCha8Rng) -> Arc<Turns> {
        Arc::new(Turns { life, rng: Mutex::new(rng) })
    }

    /// How long a disk takes: mostly next to nothing, now and then long.
    async fn disk_time(&self) {
        let wait_us = {
            let mut rng = self.rng.lock();
            match rng.random_range(0..100) {
                0..60 => 0,
                60..97 => rng.random_range(200..8_000),
                _ => rng.random_range(50_000..1_500_000),
            }
        };
        if wait_us > 0 {
            tokio::time::sleep(Duration::from_micros(wait_us)).await;
        }
    }
}

impl Schedule for Turns {
    fn outside<'a>(&'a self, work: BoxFuture<'a, ()>) -> BoxFuture<'a, ()> {
        async move {
            self.disk_time().await;
            self.life.step("database").await;
            {
                let _theirs = databases().enter();
                // Its wakes come from other threads: they must not find the server running.
                futures::executor::block_on(tokio::task::unconstrained(work));
            }
            self.life.step("database done").await;
        }
        .boxed()
    }

    fn log_turn(&self) -> BoxFuture<'_, ()> {
        async {
            self.disk_time().await;
            self.life.step("log").await;
        }
        .boxed()
    }
}
