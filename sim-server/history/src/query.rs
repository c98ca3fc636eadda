//! Reading: blocks and heads merged by time, the last written of each instant.
//!
//! A month's blocks come as summaries; those that overlap form a cluster. A cluster of one block that no reading in memory falls
//! into can be answered by its summary, if whoever asks wants no more; others are opened, merged in the order of sealing, then
//! with memory, which was written last. Bodies are fetched a few clusters at a time, so memory stays bounded.

use crate::{
    aggregate::Aggregate,
    block::{self, MINUTE_MS, Summary},
    core::Core,
    error::HistoryError,
    head::sort_last_written_wins,
    month::Month,
    pack,
    series::SeriesId,
    store::{Detail, Row, Wanted},
};
use shared::{telemetry::Reading, time::Timestamp};
use std::{collections::HashMap, ops::ControlFlow, sync::Arc};

/// Blocks opened together.
const BLOCKS_AT_ONCE: usize = 128;
/// More blocks than this are opened beside the async threads.
const BLOCKS_IN_PLACE: usize = 12;
/// A range this many blocks long is read with its bodies in one statement.
const SHORT_RANGE_BLOCKS: i64 = 32;

/// Who takes readings in the order of time.
pub(crate) trait Sink: Send {
    /// The step of what is gathered; none when every reading counts.
    fn step_ms(&self) -> Option<i64>;
    /// Whether readings from `first` to `last` come to one.
    fn takes(&self, first: Timestamp, last: Timestamp) -> bool;
    fn aggregate(&mut self, part: &Aggregate) -> ControlFlow<()>;
    fn reading(&mut self, reading: Reading) -> ControlFlow<()>;
    fn readings(&mut self, readings: &[Reading]) -> ControlFlow<()> {
        readings.iter().try_for_each(|reading| self.reading(*reading))
    }
    fn take(&mut self, readings: Vec<Reading>) -> ControlFlow<()> {
        self.readings(&readings)
    }
}

/// Blocks of which each overlaps the next.
#[derive(Debug)]
struct Cluster {
    rows: Vec<Row>,
    first: Timestamp,
    last: Timestamp,
}

fn clusters(rows: Vec<Row>) -> Vec<Cluster> {
    let mut clusters: Vec<Cluster> = Vec::new();
    for row in rows {
        let (first, last) = (row.summary.all.first_time, row.summary.all.last_time);
        match clusters.last_mut() {
            Some(cluster) if first <= cluster.last => {
                cluster.last = cluster.last.max(last);
                cluster.rows.push(row);
            }
            _ => clusters.push(Cluster { rows: vec![row], first, last }),
        }
    }
    for cluster in &mut clusters {
        cluster.rows.sort_by_key(|row| row.summary.id);
    }
    clusters
}

enum Answer {
    /// What it comes to, in the order of time.
    Parts(Vec<Aggregate>),
    /// Its readings are needed.
    Open,
}

fn damage(series: SeriesId, summary: &Summary, reason: String) -> HistoryError {
    HistoryError::DamagedBlock { block: summary.id, series: series.0, reason }
}

/// Opens a block, or says which one is damaged.
pub(crate) fn open_block(
    series: SeriesId,
    summary: &Summary,
    body: &[u8],
) -> Result<Vec<Reading>, HistoryError> {
    block::decode(summary, body).map_err(|reason| damage(series, summary, reason))
}

/// Hands each sink its series' readings in `[from, to)`. Blocks of many series are found by one statement.
pub(crate) async fn walk_many<S: Sink>(
    core: &Core,
    from: Timestamp,
    to: Timestamp,
    sinks: &mut [(SeriesId, S)],
) -> Result<(), HistoryError> {
    if core.is_closed() {
        return Err(HistoryError::Closed);
    }
    if from >= to {
        return Ok(());
    }
    // Memory before blocks: what is sealed in between is seen twice, never missed.
    let memories: Vec<(Vec<Reading>, i64)> = {
        let heads = core.heads.read();
        sinks.iter().map(|(series, _)| heads.snapshot(*series, from, to)).collect()
    };
    let span_ms = memories.iter().map(|(_, span)| *span).max().unwrap_or(0);
    let mut walks: Vec<Walk<'_, S>> = sinks
        .iter_mut()
        .zip(&memories)
        .map(|((series, sink), (memory, _))| Walk {
            core,
            series: *series,
            from,
            to,
            span_ms,
            memory,
            sink,
            done: false,
        })
        .collect();
    let months = core.store.months();
    let months = months.iter().filter(|(_, totals)| totals.oldest < to && totals.newest >= from);
    for (month, _) in months {
        let open: Vec<SeriesId> = walks.iter().filter(|w| !w.done).map(|w| w.series).collect();
        let Some(first) = walks.iter().find(|w| !w.done) else { break };
        let mut rows: HashMap<SeriesId, Vec<Row>> = HashMap::with_capacity(open.len());
        for (series, row) in first.rows(*month, &open, Freshness::Kept).await? {
            rows.entry(series).or_default().push(row);
        }
        for walk in walks.iter_mut().filter(|w| !w.done) {
            let rows = rows.remove(&walk.series).unwrap_or_default();
            walk.done = walk.month(*month, rows).await?.is_break();
        }
    }
    for walk in walks.iter_mut().filter(|w| !w.done) {
        let _ = walk.memory_before(None);
    }
    Ok(())
}

/// Where blocks are looked for.
#[derive(Debug, Clone, Copy)]
enum Freshness {
    /// Where they were read a moment ago.
    Kept,
    /// In the database: what was kept has just turned out to be old.
    Read,
}

struct Walk<'a, S> {
    core: &'a Core,
    series: SeriesId,
    from: Timestamp,
    to: Timestamp,
    span_ms: i64,
    /// What is left of the readings in memory.
    memory: &'a [Reading],
    sink: &'a mut S,
    done: bool,
}

impl<S: Sink> Walk<'_, S> {
    async fn month(&mut self, month: Month, mut rows: Vec<Row>) -> Result<ControlFlow<()>, HistoryError> {
        loop {
            match self.month_once(month, rows).await? {
                Some(done) => return Ok(done),
                // A block went while it was read: its readings lie in others now.
                None => {
                    let again = self.rows(month, &[self.series], Freshness::Read).await?;
                    rows = again.into_iter().map(|(_, row)| row).collect();
                }
            }
        }
    }

    /// Blocks that may hold something of what is left to read.
    async fn rows(
        &self,
        month: Month,
        series: &[SeriesId],
        freshness: Freshness,
    ) -> Result<Vec<(SeriesId, Row)>, HistoryError> {
        let mut span_ms = self.span_ms;
        loop {
            let rows = self.rows_of(month, series, freshness, span_ms).await?;
            // A merge makes blocks longer than they were when memory was looked at, and says so before they are there.
            let longest = {
                let heads = self.core.heads.read();
                series.iter().map(|id| heads.state(*id).span_ms).max().unwrap_or_default()
            };
            if longest <= span_ms {
                return Ok(rows);
            }
            span_ms = longest;
        }
    }

    async fn rows_of(
        &self,
        month: Month,
        series: &[SeriesId],
        freshness: Freshness,
        span_ms: i64,
    ) -> Result<Vec<(SeriesId, Row)>, HistoryError> {
        let (from, to) = (self.from.max(month.start()), self.to.min(month.end()));
        let short = to.since(from) <= span_ms.saturating_mul(SHORT_RANGE_BLOCKS);
        let detail = match self.sink.step_ms() {
            None if short => Detail::Readings,
            Some(step) if step < MINUTE_MS && short => Detail::Readings,
            Some(step) if (MINUTE_MS..span_ms).contains(&step) => Detail::Minutes,
            _ => Detail::Summary,
        };
        let wanted = Wanted { series, from, to, span_ms, detail };
        match freshness {
            Freshness::Kept => self.core.store.rows_kept(month, wanted).await,
            Freshness::Read => self.core.store.rows(month, wanted).await,
        }
    }

    /// None when it must be asked for again, from where it came to.
    async fn month_once(
        &mut self,
        month: Month,
        rows: Vec<Row>,
    ) -> Result<Option<ControlFlow<()>>, HistoryError> {
        let mut clusters = clusters(rows).into_iter().peekable();
        while clusters.peek().is_some() {
            let mut now = Vec::new();
            let mut blocks = 0;
            while let Some(cluster) =
                clusters.next_if(|c| blocks == 0 || blocks + c.rows.len() <= BLOCKS_AT_ONCE)
            {
                blocks += cluster.rows.len();
                now.push(cluster);
            }
            let first = now.first().map(|c| c.first);
            match self.clusters(month, now).await? {
                Some(ControlFlow::Continue(())) => {}
                Some(stop) => return Ok(Some(stop)),
                None => {
                    self.from = self.from.max(first.unwrap_or(self.from));
                    return Ok(None);
                }
            }
        }
        Ok(Some(ControlFlow::Continue(())))
    }

    /// None when a block is gone that was there a moment ago.
    async fn clusters(
        &mut self,
        month: Month,
        clusters: Vec<Cluster>,
    ) -> Result<Option<ControlFlow<()>>, HistoryError> {
        let mut answers = Vec::with_capacity(clusters.len());
        for cluster in &clusters {
            answers.push(self.answer(cluster)?);
        }
        let to_open = || {
            let opened = clusters.iter().zip(&answers).filter(|(_, answer)| matches!(answer, Answer::Open));
            opened.flat_map(|(c, _)| &c.rows)
        };
        let missing: Vec<i64> = to_open().filter(|r| r.body.is_none()).map(|r| r.summary.id).collect();
        let mut bodies: HashMap<i64, Arc<[u8]>> = HashMap::new();
        if !missing.is_empty() {
            let read = self.core.store.bodies(month, &missing).await?;
            bodies = read.into_iter().map(|(id, body)| (id, body.into())).collect();
        }
        let mut jobs: Vec<(Summary, Arc<[u8]>)> = Vec::new();
        for row in to_open() {
            match row.body.clone().or_else(|| bodies.remove(&row.summary.id)) {
                Some(body) => jobs.push((row.summary, body)),
                None => return Ok(None),
            }
        }
        let (series, range) = (self.series, self.from..self.to);
        let open = move || -> Result<HashMap<i64, Vec<Reading>>, HistoryError> {
            let open = |(summary, body): (Summary, Arc<[u8]>)| {
                let readings = block::decode_within(&summary, &body, range.clone());
                Ok((summary.id, readings.map_err(|reason| damage(series, &summary, reason))?))
            };
            jobs.into_iter().map(open).collect()
        };
        let mut readings = if to_open().count() <= BLOCKS_IN_PLACE {
            open()?
        } else {
            self.core
                .work
                .blocking(open)
                .await
                .map_err(|e| HistoryError::Inconsistent(format!("reading stopped: {e}")))??
        };
        for (cluster, answer) in clusters.into_iter().zip(answers) {
            let done = match answer {
                Answer::Open => {
                    let mut opened = cluster.rows.iter().filter_map(|r| readings.remove(&r.summary.id));
                    let mut merged = opened.next().unwrap_or_default();
                    opened.for_each(|more| merged.extend(more));
                    sort_last_written_wins(&mut merged);
                    if self.memory.is_empty() { self.sink.take(merged) } else { self.emit(&merged) }
                }
                Answer::Parts(parts) => match self.memory_before(Some(cluster.first)) {
                    ControlFlow::Continue(()) => parts.iter().try_for_each(|part| self.sink.aggregate(part)),
                    stop => stop,
                },
            };
            if done.is_break() {
                return Ok(Some(done));
            }
        }
        Ok(Some(ControlFlow::Continue(())))
    }

    /// What of a cluster says enough: a lone block that no reading in memory falls into may do with what it comes to, or with
    /// its minutes.
    fn answer(&self, cluster: &Cluster) -> Result<Answer, HistoryError> {
        let Cluster { rows, first, last } = cluster;
        let begins = self.memory.partition_point(|r| r.timestamp < *first);
        let [row] = &rows[..] else { return Ok(Answer::Open) };
        if self.memory.get(begins).is_some_and(|r| r.timestamp <= *last) {
            return Ok(Answer::Open);
        }
        let fits = |part: &Aggregate| {
            self.from <= part.first_time
                && part.last_time < self.to
                && self.sink.takes(part.first_time, part.last_time)
        };
        if fits(&row.summary.all) {
            return Ok(Answer::Parts(vec![row.summary.all]));
        }
        let Some(minutes) = &row.minutes else { return Ok(Answer::Open) };
        let minutes =
            pack::unpack(MINUTE_MS, minutes).map_err(|reason| damage(self.series, &row.summary, reason))?;
        let wanted = minutes.into_iter().map(|b| b.all);
        let wanted = wanted.filter(|all| all.last_time >= self.from && all.first_time < self.to);
        let wanted: Vec<Aggregate> = wanted.collect();
        Ok(if wanted.iter().all(fits) { Answer::Parts(wanted) } else { Answer::Open })
    }

    /// What was read of a cluster, with the readings in memory up to its end between them.
    fn emit(&mut self, merged: &[Reading]) -> ControlFlow<()> {
        let mut left = merged;
        while let Some(first) = left.first() {
            self.memory_before(Some(first.timestamp))?;
            let (now, rest) = match self.memory.first() {
                Some(memory) if memory.timestamp == first.timestamp => (&left[..0], &left[1..]),
                Some(memory) => left.split_at(left.partition_point(|r| r.timestamp < memory.timestamp)),
                None => (left, &left[..0]),
            };
            self.sink.readings(now)?;
            left = rest;
        }
        ControlFlow::Continue(())
    }

    /// Readings in memory before `end`, or all that are left.
    fn memory_before(&mut self, end: Option<Timestamp>) -> ControlFlow<()> {
        while let Some((reading, rest)) = self.memory.split_first() {
            if end.is_some_and(|end| reading.timestamp >= end) {
                break;
            }
            self.memory = rest;
            self.sink.reading(*reading)?;
        }
        ControlFlow::Continue(())
    }
}

/// The first readings, up to a limit.
pub(crate) struct FirstReadings {
    pub readings: Vec<Reading>,
    pub limit: usize,
}

impl Sink for FirstReadings {
    fn step_ms(&self) -> Option<i64> {
        None
    }
    fn takes(&self, _: Timestamp, _: Timestamp) -> bool {
        false
    }
    fn aggregate(&mut self, _: &Aggregate) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
    fn reading(&mut self, reading: Reading) -> ControlFlow<()> {
        if self.readings.len() < self.limit {
            self.readings.push(reading);
        }
        if self.readings.len() < self.limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
    fn take(&mut self, readings: Vec<Reading>) -> ControlFlow<()> {
        if !self.readings.is_empty() || readings.len() >= self.limit {
            return self.readings(&readings);
        }
        self.readings = readings;
        ControlFlow::Continue(())
    }
    fn readings(&mut self, readings: &[Reading]) -> ControlFlow<()> {
        let room = self.limit.saturating_sub(self.readings.len());
        self.readings.extend_from_slice(&readings[..readings.len().min(room)]);
        if self.readings.len() < self.limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
}
