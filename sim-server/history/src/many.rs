//! Many series read at once: shared out among the processor's cores.

use crate::{
    History,
    bucket::{Bucket, Buckets, Steps},
    days::{self, Part},
    error::HistoryError,
    long_steps,
    query::{FirstReadings, walk_many},
    series::{SeriesId, SeriesKey},
    stretches::stretches,
};
use shared::{
    telemetry::Reading,
    time::{HOUR_MS, Timestamp},
};
use std::{future::Future, thread::available_parallelism};
use tokio::task::JoinSet;

/// Fewer are not worth sharing out.
const SERIES_A_TASK: usize = 8;
/// So many hours' figures take the memory of a block's row with its minutes.
const HOURS_A_BLOCK: usize = 4;

impl History {
    /// What each of the series did in each step, in the order asked. Steps without a reading are left out.
    pub async fn buckets_many(
        &self,
        series: &[SeriesKey],
        steps: &Steps,
    ) -> Result<Vec<Vec<Bucket>>, HistoryError> {
        let of_hours = steps.are_whole(HOUR_MS);
        let steps = steps.clone();
        self.share_out(series, move |history, ids| {
            let steps = steps.clone();
            async move {
                let core = &history.0.core;
                let at_once = core.options.read_hours * if of_hours { HOURS_A_BLOCK } else { 1 };
                let parts = if of_hours {
                    days::parts(core, &steps)
                } else {
                    vec![Part::Other(steps.from()..steps.to())]
                };
                let mut sinks: Vec<(SeriesId, Buckets)> =
                    ids.iter().map(|id| (*id, Buckets::of(steps.clone()))).collect();
                for part in parts {
                    let range = match part {
                        Part::Month(month) => {
                            days::gather(core, month, at_once, &mut sinks).await?;
                            continue;
                        }
                        Part::Other(range) => range,
                    };
                    for range in stretches(core, &ids, range, at_once) {
                        if of_hours {
                            long_steps::gather(core, range, &mut sinks).await?;
                        } else {
                            walk_many(core, range.start, range.end, &mut sinks).await?;
                        }
                    }
                }
                Ok(sinks.into_iter().map(|(_, gathered)| gathered.buckets).collect())
            }
        })
        .await
    }

    /// The readings of each of the series in `[from, to)`, in the order asked: oldest first, at most `limit` of each.
    pub async fn readings_many(
        &self,
        series: &[SeriesKey],
        from: Timestamp,
        to: Timestamp,
        limit: usize,
    ) -> Result<Vec<Vec<Reading>>, HistoryError> {
        self.share_out(series, move |history, ids| async move {
            let first = |id| (id, FirstReadings { readings: Vec::new(), limit });
            let mut sinks: Vec<(SeriesId, FirstReadings)> = ids.into_iter().map(first).collect();
            walk_many(&history.0.core, from, to, &mut sinks).await?;
            Ok(sinks.into_iter().map(|(_, first)| first.readings).collect())
        })
        .await
    }

    /// Asks about some of the series in each task. A series that is not there has nothing.
    pub(crate) async fn share_out<T, F>(
        &self,
        series: &[SeriesKey],
        ask: impl Fn(History, Vec<SeriesId>) -> F,
    ) -> Result<Vec<Vec<T>>, HistoryError>
    where
        T: Send + 'static,
        F: Future<Output = Result<Vec<Vec<T>>, HistoryError>> + Send + 'static,
    {
        if self.0.core.is_closed() {
            return Err(HistoryError::Closed);
        }
        let found: Vec<Option<SeriesId>> = series.iter().map(|key| self.0.core.registry.find(key)).collect();
        let ids: Vec<SeriesId> = found.iter().copied().flatten().collect();
        let tasks = available_parallelism().map_or(1, |n| n.get());
        let at_once = ids.len().div_ceil(tasks).max(SERIES_A_TASK);
        let mut answers: Vec<(usize, Vec<Vec<T>>)> = Vec::new();
        if ids.len() <= at_once {
            answers.push((0, ask(self.clone(), ids).await?));
        } else {
            let mut running = JoinSet::new();
            for (place, some) in ids.chunks(at_once).enumerate() {
                let answer = ask(self.clone(), some.to_vec());
                running.spawn(async move { (place, answer.await) });
            }
            while let Some(done) = running.join_next().await {
                let (place, answer) =
                    done.map_err(|e| HistoryError::Inconsistent(format!("reading stopped: {e}")))?;
                answers.push((place, answer?));
            }
            answers.sort_by_key(|(place, _)| *place);
        }
        let mut answers = answers.into_iter().flat_map(|(_, of_some)| of_some);
        let answer = |id: Option<SeriesId>| id.and_then(|_| answers.next()).unwrap_or_default();
        Ok(found.into_iter().map(answer).collect())
    }
}
