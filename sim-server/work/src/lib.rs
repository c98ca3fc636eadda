//! Who does the work that takes a thread.
//!
//! Ordinarily threads do: tokio's blocking ones, the database's own, the telemetry log's. Their order is anybody's guess, so
//! whoever wants to run a whole server again in exactly the same order gives it a [`Schedule`], which does everything on
//! the caller's own thread, one piece after the other. The work is the same either way.
//!
//! ```
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let work = work::Work::on_threads();
//! assert_eq!(work.blocking(|| 6 * 7).await?, 42);
//! # Ok::<(), tokio::task::JoinError>(()) }).unwrap();
//! ```

use futures::{FutureExt, future::BoxFuture};
use std::sync::Arc;
use tokio::task::JoinError;

/// Something that decides when work is done.
pub trait Schedule: Send + Sync + 'static {
    /// Brings a future to its end that waits for threads of its own, such as a database's. Nothing else of the server may
    /// run meanwhile.
    fn outside<'a>(&'a self, work: BoxFuture<'a, ()>) -> BoxFuture<'a, ()>;

    /// Resolves when the telemetry log's writer may take what waits for it.
    fn log_turn(&self) -> BoxFuture<'_, ()>;
}

/// Threads, or a schedule. Clones are the same.
#[derive(Clone, Default)]
pub struct Work(Option<Arc<dyn Schedule>>);

impl Work {
    pub fn on_threads() -> Self {
        Self(None)
    }

    pub fn by(schedule: Arc<dyn Schedule>) -> Self {
        Self(Some(schedule))
    }

    pub fn schedule(&self) -> Option<&Arc<dyn Schedule>> {
        self.0.as_ref()
    }

    /// Waits for a future that waits for threads of its own.
    pub async fn outside<T: Send>(&self, work: impl Future<Output = T> + Send) -> T {
        let Some(schedule) = &self.0 else { return work.await };
        let mut done = None;
        schedule.outside(async { done = Some(work.await) }.boxed()).await;
        match done {
            Some(done) => done,
            // A schedule that ends early lets nobody go on: the process it plays is dead.
            None => std::future::pending().await,
        }
    }

    /// Does work that would hold up its thread; an error is its panic.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        match self.0 {
            None => tokio::task::spawn_blocking(work).await,
            Some(_) => Ok(work()),
        }
    }
}
