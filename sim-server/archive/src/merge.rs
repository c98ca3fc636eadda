//! What an archive's day holds already, on its way into the day's new file.
//!
//! A day is written anew from both: what the store knows now counts, and what it has given up since (by retention) stays.

use crate::{
    error::ArchiveError,
    export::Description,
    read::{self, Rows, Run},
};
use history::SeriesKey;
use shared::{telemetry::Reading, time::Timestamp};
use std::{cmp::Ordering, fs::File, ops::ControlFlow};
use tokio::sync::mpsc;

/// Batches read ahead.
const AHEAD: usize = 2;

/// An archived file's rows in order, a run at a time.
pub(crate) struct Archived {
    path: String,
    batches: Option<mpsc::Receiver<Result<Rows, String>>>,
    /// Read and not taken yet, the next one last.
    runs: Vec<Run>,
}

impl Archived {
    pub(crate) fn nothing() -> Archived {
        Archived { path: String::new(), batches: None, runs: Vec::new() }
    }

    pub(crate) fn read(path: &str, file: File) -> Archived {
        let (sender, batches) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            let done = read::read(file, |rows| match sender.blocking_send(Ok(rows)) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            });
            if let Err(reason) = done {
                // Nobody listens any more when this fails.
                let _ = sender.blocking_send(Err(reason));
            }
        });
        Archived { path: path.to_owned(), batches: Some(batches), runs: Vec::new() }
    }

    async fn fill(&mut self) -> Result<(), ArchiveError> {
        let Some(batches) = self.batches.as_mut().filter(|_| self.runs.is_empty()) else { return Ok(()) };
        let bad = |reason: String| ArchiveError::BadFile { path: self.path.clone(), reason };
        match batches.recv().await {
            None => self.batches = None,
            Some(Err(reason)) => return Err(bad(reason)),
            Some(Ok(Rows { bad: rows, .. })) if !rows.is_empty() => {
                return Err(bad(format!("row {}: {}", rows[0].row, rows[0].reason)));
            }
            Some(Ok(rows)) => self.runs = rows.runs.into_iter().rev().collect(),
        }
        Ok(())
    }

    /// The series that comes next.
    pub(crate) async fn next_key(&mut self) -> Result<Option<&SeriesKey>, ArchiveError> {
        self.fill().await?;
        Ok(self.runs.last().map(|run| &run.key))
    }

    /// The next run, when it is of this series.
    pub(crate) async fn next_of(&mut self, key: &SeriesKey) -> Result<Option<Run>, ArchiveError> {
        self.fill().await?;
        Ok(if self.runs.last().is_some_and(|run| run.key == *key) { self.runs.pop() } else { None })
    }

    /// What comes next of this series up to and with `last`.
    pub(crate) async fn take_through(
        &mut self,
        key: &SeriesKey,
        last: Timestamp,
    ) -> Result<(Vec<Reading>, Description), ArchiveError> {
        let (mut taken, mut description) = (Vec::new(), Description::default());
        while let Some(mut run) = self.next_of(key).await? {
            let rest = run.readings.split_off(run.readings.partition_point(|r| r.timestamp <= last));
            taken.append(&mut run.readings);
            description = run.description.clone();
            if !rest.is_empty() {
                self.runs.push(Run { readings: rest, ..run });
                break;
            }
        }
        Ok((taken, description))
    }
}

/// Both in the order of time; at the same instant what the store says counts.
pub(crate) fn merged(stored: &[Reading], archived: &[Reading]) -> Vec<Reading> {
    let mut all = Vec::with_capacity(stored.len().max(archived.len()));
    let (mut stored, mut archived) = (stored.iter().peekable(), archived.iter().peekable());
    loop {
        let order = match (stored.peek(), archived.peek()) {
            (None, None) => return all,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(s), Some(a)) => s.timestamp.cmp(&a.timestamp),
        };
        if order.is_eq() {
            archived.next();
        }
        all.extend(if order.is_gt() { archived.next() } else { stored.next() });
    }
}
