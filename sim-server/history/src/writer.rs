//! The writer: the one thread, or where a schedule says whose turn it is the one task, that touches the log.
//!
//! Appends queue up; the thread takes all that arrived, writes them as one group, syncs once, applies them to the heads in
//! the order of the log, and only then answers. While it syncs, the next group gathers.

use crate::{
    core::Core,
    error::{AppendError, HistoryError},
    record::{self, PointBatch, Record},
    wal::{Segment, Wal, WalError},
};
use parking_lot::{Condvar, Mutex};
use shared::time::Timestamp;
use std::{
    io,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};
use tokio::sync::{Notify, oneshot};
use work::Schedule;

/// More bytes than this are committed in several groups, so that memory stays bounded.
const GROUP_BYTES: usize = 8 << 20;

type Answer<T> = oneshot::Sender<Result<T, AppendError>>;

pub(crate) enum Job {
    Append {
        batch: PointBatch,
        answer: Answer<()>,
    },
    /// Answers how many readings left the heads.
    DeleteBefore {
        cutoff: Timestamp,
        answer: Answer<usize>,
    },
    /// Answers the segments that hold everything answered before.
    Rotate {
        answer: Answer<Vec<Segment>>,
    },
    DropBelow {
        low_water: u64,
    },
}

#[derive(Default)]
struct Waiting {
    jobs: Vec<Job>,
    points: usize,
    closed: bool,
}

/// What waits for the writer.
#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    /// The same for a writer that is a task.
    arrived_for_task: Notify,
}

impl Queue {
    /// Adds an append unless that makes more than `limit` points wait. One that is larger than that alone may wait alone.
    pub(crate) fn append(
        &self,
        batch: PointBatch,
        answer: Answer<()>,
        limit: usize,
    ) -> Result<(), AppendError> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(AppendError::Closed);
        }
        if waiting.points > 0 && waiting.points + batch.len() > limit {
            return Err(AppendError::Busy);
        }
        waiting.points += batch.len();
        waiting.jobs.push(Job::Append { batch, answer });
        self.notify();
        Ok(())
    }

    pub(crate) fn push(&self, job: Job) -> Result<(), AppendError> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(AppendError::Closed);
        }
        waiting.jobs.push(job);
        self.notify();
        Ok(())
    }

    /// Takes no more jobs; those that wait are still done.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.notify();
    }

    fn notify(&self) {
        self.arrived.notify_one();
        self.arrived_for_task.notify_one();
    }

    /// Resolves when there are jobs, or the queue is closed.
    async fn some(&self) {
        loop {
            let is_idle = {
                let waiting = self.waiting.lock();
                waiting.jobs.is_empty() && !waiting.closed
            };
            if !is_idle {
                return;
            }
            self.arrived_for_task.notified().await;
        }
    }

    /// Points that are not durable yet.
    pub(crate) fn points(&self) -> usize {
        self.waiting.lock().points
    }

    /// Waits for jobs, then for up to `linger` until there are `worth_waiting_for`. None when closed and done.
    fn take(&self, worth_waiting_for: usize, linger: Duration) -> Option<Vec<Job>> {
        let mut waiting = self.waiting.lock();
        while waiting.jobs.is_empty() {
            if waiting.closed {
                return None;
            }
            self.arrived.wait(&mut waiting);
        }
        let deadline = Instant::now() + linger;
        while waiting.jobs.len() < worth_waiting_for && !waiting.closed {
            if self.arrived.wait_until(&mut waiting, deadline).timed_out() {
                break;
            }
        }
        Some(std::mem::take(&mut waiting.jobs))
    }

    fn done(&self, points: usize) {
        self.waiting.lock().points -= points;
    }
}

pub(crate) struct Writer<'a> {
    core: &'a Core,
    wal: Wal,
    /// The series below this number are named in the log or in the store.
    named: usize,
    failing: bool,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(core: &'a Core, wal: Wal, named: usize) -> Self {
        Self { core, wal, named, failing: false }
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let (mut last_group, mut last_took) = (0, Duration::ZERO);
        loop {
            // One append at a time is a lone device, not load: it never waits. Nor does anyone longer than a commit takes.
            let worth_waiting_for = if last_group > 1 { last_group } else { 0 };
            let linger = self.core.options.group_commit_max_wait.min(last_took);
            let Some(jobs) = self.core.queue.take(worth_waiting_for, linger) else { return };
            last_group = jobs.len();
            let began = Instant::now();
            self.work(jobs);
            last_took = began.elapsed();
        }
    }

    /// The same, on a task, whenever the schedule gives it a turn.
    async fn run_in_turn(mut self, schedule: &dyn Schedule) {
        loop {
            self.core.queue.some().await;
            schedule.log_turn().await;
            let Some(jobs) = self.core.queue.take(0, Duration::ZERO) else { return };
            self.work(jobs);
        }
    }

    fn work(&mut self, jobs: Vec<Job>) {
        let mut group = Group::default();
        for job in jobs {
            match job {
                Job::Append { batch, answer } => {
                    group.bytes += batch.bytes();
                    group.points += batch.len();
                    group.appends.push((batch, answer));
                    if group.bytes >= GROUP_BYTES {
                        self.commit(std::mem::take(&mut group));
                    }
                }
                control => {
                    self.commit(std::mem::take(&mut group));
                    self.control(control);
                }
            }
        }
        self.commit(group);
        self.core.log_changed(&self.wal);
    }

    fn commit(&mut self, group: Group) {
        if group.appends.is_empty() {
            return;
        }
        // Series are numbered before their points are queued, so those of this group are all there by now.
        let names = self.core.registry.from(self.named);
        let name_records: Vec<Vec<u8>> =
            names.chunks(record::SERIES_PER_RECORD).map(record::series).collect();
        let names_first = name_records.iter().map(Vec::as_slice);
        let points = group.appends.iter().flat_map(|(batch, _)| batch.records());
        let result = self.wal.commit(names_first.chain(points));
        self.note(result.as_ref().err());
        let answer = match result {
            Ok(first) => {
                if let Some((last, _)) = names.last() {
                    self.named = last.index() + 1;
                }
                self.apply(first + name_records.len() as u64, &group);
                Ok(())
            }
            Err(error) => Err(AppendError::from(&error)),
        };
        self.core.queue.done(group.points);
        for (_, waiting) in group.appends {
            // Whoever asked may be gone; the points are stored all the same.
            let _ = waiting.send(answer.clone());
        }
    }

    fn apply(&self, first: u64, group: &Group) {
        let (mut sequence, known) = (first, self.core.registry.len());
        for bytes in group.appends.iter().flat_map(|(batch, _)| batch.records()) {
            // Locked record by record, so that readers get their turn.
            if let Ok(Record::Points(mut points)) = Record::read(bytes) {
                self.core.heads.write().apply(sequence, &mut points, known);
            }
            sequence += 1;
        }
    }

    fn control(&mut self, job: Job) {
        match job {
            Job::Append { .. } => {}
            Job::DeleteBefore { cutoff, answer } => {
                let result = self.wal.commit([&record::delete_before(cutoff)[..]]);
                self.note(result.as_ref().err());
                let done = match result {
                    Ok(sequence) => Ok(self.core.heads.write().delete_before(sequence, cutoff)),
                    Err(error) => Err(AppendError::from(&error)),
                };
                let _ = answer.send(done);
            }
            Job::Rotate { answer } => {
                self.wal.rotate();
                let _ = answer.send(Ok(self.wal.closed().cloned().collect()));
            }
            Job::DropBelow { low_water } => {
                if let Err(error) = self.wal.drop_below(low_water) {
                    tracing::warn!(%error, "a log segment that is no longer needed stays");
                }
            }
        }
    }

    /// Says once that the log fails, and once that it works again.
    fn note(&mut self, error: Option<&WalError>) {
        match error {
            Some(error) if !self.failing => {
                tracing::error!(%error, "the telemetry log cannot be written; points are refused until it can");
            }
            None if self.failing => tracing::info!("the telemetry log can be written again"),
            _ => {}
        }
        self.failing = error.is_some();
    }
}

/// The writer at work.
pub(crate) enum WriterTask {
    Thread(thread::JoinHandle<()>),
    Task(tokio::task::JoinHandle<()>),
}

impl WriterTask {
    pub(crate) fn start(core: &Arc<Core>, wal: Wal, named: usize) -> io::Result<WriterTask> {
        let owned = core.clone();
        match core.work.schedule().cloned() {
            None => thread::Builder::new()
                .name("history-log".to_owned())
                .spawn(move || Writer::new(&owned, wal, named).run())
                .map(WriterTask::Thread),
            Some(schedule) => Ok(WriterTask::Task(tokio::spawn(async move {
                Writer::new(&owned, wal, named).run_in_turn(&*schedule).await;
            }))),
        }
    }

    /// Waits for its end, which comes once the queue is closed and empty.
    pub(crate) async fn ended(self) -> Result<(), HistoryError> {
        let is_well = match self {
            WriterTask::Thread(thread) => {
                matches!(tokio::task::spawn_blocking(move || thread.join()).await, Ok(Ok(())))
            }
            WriterTask::Task(task) => task.await.is_ok(),
        };
        match is_well {
            true => Ok(()),
            false => Err(HistoryError::Inconsistent("the log's writer had stopped".to_owned())),
        }
    }
}

#[derive(Default)]
struct Group {
    appends: Vec<(PointBatch, Answer<()>)>,
    bytes: usize,
    points: usize,
}
