//! Blocks at rest: SQL rows, in SQLite files or in PostgreSQL, one schema and one set of statements.
//!
//! In go batches of sealed blocks with what they change about their series; a commit returns when it is durable. Out come
//! summaries and bodies by series and time, and at open the names and states of all series.
//!
//! | | SQLite | PostgreSQL |
//! | --- | --- | --- |
//! | `history_series`, `history_state`, `history_meta` | `history.db` | tables |
//! | `history_blocks`, `history_hours`, `history_days` | `history-YYYY-MM.db`, one a month (UTC) | tables, a partition a month |
//! | `history_months`, `history_days_made` | in the month's file | tables |
//! | a batch is atomic | a month at a time, names before, states after | as a whole |
//!
//! With SQLite a crash between two commits of a batch leaves blocks the states do not know. Opening reads those (their numbers are above the
//! committed mark); the ones of the series' last month say how far it is sealed, so nothing is lost, and little is read from the log twice.

mod postgres;
mod schema;
mod sql;
mod sqlite;
mod upgrade;

pub(crate) use postgres::PostgresStore;
pub(crate) use sqlite::SqliteStore;

use crate::{
    block::{Block, Summary},
    days::MonthOfDays,
    error::HistoryError,
    head::SeriesState,
    hours::DayOfHours,
    loose::Loose,
    month::Month,
    row_cache::{Known, RowCache},
    series::{SeriesId, SeriesKey},
};
use shared::time::Timestamp;
use std::{collections::BTreeMap, sync::Arc};

/// What one commit stores.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Names not stored before.
    pub names: Vec<(SeriesId, SeriesKey)>,
    pub blocks: Vec<Block>,
    /// Hours of merged blocks; only copies of other stores have any.
    pub hours: Vec<DayOfHours>,
    pub states: Vec<(SeriesId, SeriesState)>,
}

/// What is stored, as it was found at open.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub names: Vec<(SeriesId, SeriesKey)>,
    pub states: Vec<(SeriesId, SeriesState)>,
    /// Blocks that wait to be merged, in the order of sealing.
    pub loose: Vec<(SeriesId, Loose)>,
    /// Blocks the states do not know of yet, in the order of sealing.
    pub unaccounted: Vec<Block>,
    pub last_block_id: i64,
}

/// What a month holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct MonthTotals {
    pub blocks: i64,
    /// Readings in blocks; one that was written again is counted again until its blocks are merged.
    pub points: i64,
    /// Bytes of block bodies.
    pub bytes: i64,
    pub oldest: Timestamp,
    pub newest: Timestamp,
}

impl MonthTotals {
    pub(crate) fn of<'a>(blocks: impl IntoIterator<Item = &'a Block>) -> Option<MonthTotals> {
        blocks.into_iter().fold(None, |totals: Option<MonthTotals>, block| {
            let one = MonthTotals {
                blocks: 1,
                points: block.summary.all.count as i64,
                bytes: block.body.len() as i64,
                oldest: block.summary.all.first_time,
                newest: block.summary.all.last_time,
            };
            Some(totals.map_or(one, |t| t.with(&one)))
        })
    }

    pub(crate) fn with(&self, other: &MonthTotals) -> MonthTotals {
        MonthTotals {
            blocks: self.blocks + other.blocks,
            points: self.points + other.points,
            bytes: self.bytes + other.bytes,
            oldest: self.oldest.min(other.oldest),
            newest: self.newest.max(other.newest),
        }
    }
}

/// A block's summary, with what more was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub summary: Summary,
    pub merged: bool,
    pub minutes: Option<Arc<[u8]>>,
    pub body: Option<Arc<[u8]>>,
}

/// What to bring along of blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    Summary,
    /// The minutes; the readings where there are none.
    Minutes,
    Readings,
}

/// Blocks of one month in the place of others that hold the same instants.
#[derive(Debug, Default)]
pub(crate) struct Replacement {
    pub remove: Vec<i64>,
    pub removed_points: i64,
    pub removed_bytes: i64,
    pub insert: Vec<Block>,
    /// Days with the hours as they are then.
    pub hours: Vec<DayOfHours>,
}

impl Replacement {
    /// The series whose hours are others than before.
    pub(crate) fn changed(&self) -> Vec<SeriesId> {
        let mut series: Vec<SeriesId> = self.hours.iter().map(|day| day.series).collect();
        series.dedup();
        series
    }
}

/// What is left of a month's blocks and hours that a cutoff goes through.
#[derive(Debug, Default)]
pub(crate) struct Trimmed {
    pub blocks: Vec<Block>,
    /// All hours that are left of the month's days up to this one.
    pub last_day: i64,
    pub hours: Vec<DayOfHours>,
}

/// Which blocks to look for: those of some series that may hold readings in `[from, to)`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub series: &'a [SeriesId],
    pub from: Timestamp,
    pub to: Timestamp,
    /// No block of these series is longer: what ends later than `to` plus this began after `to`.
    pub span_ms: i64,
    pub detail: Detail,
}

impl Wanted<'_> {
    fn last_end(&self) -> i64 {
        self.to.0.saturating_add(self.span_ms)
    }
}

pub(crate) struct Store {
    pub database: Database,
    rows: RowCache,
}

pub(crate) enum Database {
    Sqlite(SqliteStore),
    Postgres(PostgresStore),
}

macro_rules! either {
    ($self:ident, $store:ident => $call:expr) => {
        match &$self.database {
            Database::Sqlite($store) => $call,
            Database::Postgres($store) => $call,
        }
    };
}

/// The same for one that waits for the database, in its turn. Commits and merges take a turn for each of their transactions,
/// themselves.
macro_rules! in_turn {
    ($self:ident, $store:ident => $call:expr) => {
        match &$self.database {
            Database::Sqlite($store) => $store.work.outside($call).await,
            Database::Postgres($store) => $call.await,
        }
    };
}

impl Store {
    /// `rows_bytes`: what blocks that were read may take to be kept.
    pub(crate) fn new(database: Database, rows_bytes: usize) -> Store {
        Store { database, rows: RowCache::new(rows_bytes) }
    }

    pub(crate) async fn load(&self) -> Result<Stored, HistoryError> {
        in_turn!(self, store => store.load())
    }

    /// Stores the batch. When this returned an error the same batch may be committed again: what is there already stays.
    pub(crate) async fn commit(&self, batch: &Batch) -> Result<(), HistoryError> {
        let _changing = self.rows.changing(Some(batch.blocks.iter().map(|block| block.series).collect()));
        either!(self, store => store.commit(batch).await)
    }

    /// The months that hold blocks, oldest first.
    pub(crate) fn months(&self) -> BTreeMap<Month, MonthTotals> {
        either!(self, store => store.months())
    }

    /// The wanted blocks of one month, series after series, by first time.
    pub(crate) async fn rows(
        &self,
        month: Month,
        wanted: Wanted<'_>,
    ) -> Result<Vec<(SeriesId, Row)>, HistoryError> {
        in_turn!(self, store => store.rows(month, wanted))
    }

    /// The same, of what was read before where it is still true. For whoever asks for readings, not for their state on disk.
    pub(crate) async fn rows_kept(
        &self,
        month: Month,
        wanted: Wanted<'_>,
    ) -> Result<Vec<(SeriesId, Row)>, HistoryError> {
        let [series] = *wanted.series else { return self.rows(month, wanted).await };
        let to = wanted.to;
        let question = match self.rows.known(series, month, &wanted).await {
            Known::Rows(rows) => return Ok(rows.into_iter().map(|row| (series, row)).collect()),
            Known::Ask(question) => question,
        };
        // Beyond the newest there is nothing until somebody says so.
        let is_open = self.months().get(&month).is_some_and(|totals| totals.newest < to);
        let found = self.rows(month, wanted).await?;
        let rows: Vec<Row> = found.iter().map(|(_, row)| row.clone()).collect();
        question.keep(if is_open { month.end() } else { to }, &rows);
        Ok(found)
    }

    /// Hours of what is merged in one month, in days of UTC (both bounds included), in any order: of the given series at least, or
    /// of all.
    pub(crate) async fn hours(
        &self,
        month: Month,
        series: Option<&[SeriesId]>,
        days: (i64, i64),
    ) -> Result<Vec<DayOfHours>, HistoryError> {
        in_turn!(self, store => store.hours(month, series, days))
    }

    /// Days of one month that are there, of the given series, in any order.
    pub(crate) async fn days(
        &self,
        month: Month,
        series: &[SeriesId],
    ) -> Result<Vec<MonthOfDays>, HistoryError> {
        in_turn!(self, store => store.days(month, series))
    }

    pub(crate) async fn put_days(&self, month: Month, days: &[MonthOfDays]) -> Result<(), HistoryError> {
        in_turn!(self, store => store.put_days(month, days))
    }

    /// Whose clock the days of a month are by, if those of all series are there.
    pub(crate) async fn days_made_by(&self, month: Month) -> Result<Option<String>, HistoryError> {
        in_turn!(self, store => store.days_made_by(month))
    }

    pub(crate) async fn note_days_made_by(&self, month: Month, zone: &str) -> Result<(), HistoryError> {
        in_turn!(self, store => store.note_days_made_by(month, zone))
    }

    /// Bodies of blocks of one month, in any order.
    pub(crate) async fn bodies(
        &self,
        month: Month,
        ids: &[i64],
    ) -> Result<Vec<(i64, Vec<u8>)>, HistoryError> {
        in_turn!(self, store => store.bodies(month, ids))
    }

    /// Whole blocks of one month in the order of sealing, after the given one.
    pub(crate) async fn page(
        &self,
        month: Month,
        after: i64,
        limit: i64,
    ) -> Result<Vec<Block>, HistoryError> {
        in_turn!(self, store => store.page(month, after, limit))
    }

    /// Blocks, readings and bytes that a month really holds.
    pub(crate) async fn counted(&self, month: Month) -> Result<(i64, i64, i64), HistoryError> {
        in_turn!(self, store => store.counted(month))
    }

    /// Blocks of one month with readings on both sides of `cutoff`, and what is merged of the rest of its hour.
    pub(crate) async fn straddling(
        &self,
        month: Month,
        cutoff: Timestamp,
    ) -> Result<Vec<Block>, HistoryError> {
        in_turn!(self, store => store.straddling(month, cutoff))
    }

    /// Deletes the month's blocks that end before `cutoff` and puts the given ones in place of those with their numbers; its days are
    /// forgotten. Returns how many readings are gone.
    pub(crate) async fn trim(
        &self,
        month: Month,
        cutoff: Timestamp,
        trimmed: &Trimmed,
    ) -> Result<i64, HistoryError> {
        let _changing = self.rows.changing(None);
        in_turn!(self, store => store.trim(month, cutoff, trimmed))
    }

    /// Deletes blocks of some series of the month that end before `cutoff`, the beginning of a day, with their hours and days. Returns
    /// how many readings are gone.
    pub(crate) async fn expire(
        &self,
        month: Month,
        series: &[SeriesId],
        cutoff: Timestamp,
    ) -> Result<i64, HistoryError> {
        let _changing = self.rows.changing(None);
        in_turn!(self, store => store.expire(month, series, cutoff))
    }

    /// Puts merged blocks in the place of those they were merged from, whole or not at all. `last_id` is the greatest number of
    /// a block that was given out.
    pub(crate) async fn replace(
        &self,
        month: Month,
        replacement: &Replacement,
        last_id: i64,
    ) -> Result<(), HistoryError> {
        // What is removed is of the same series.
        let series = replacement.insert.iter().map(|block| block.series).collect::<Vec<_>>();
        let _changing = self.rows.changing((!series.is_empty()).then_some(series));
        either!(self, store => store.replace(month, replacement, last_id).await)
    }

    /// Blocks that wait to be merged.
    pub(crate) async fn loose(&self) -> Result<Vec<(SeriesId, Loose)>, HistoryError> {
        in_turn!(self, store => store.loose())
    }

    /// Deletes a whole month.
    pub(crate) async fn drop_month(&self, month: Month) -> Result<(), HistoryError> {
        let _changing = self.rows.changing(None);
        in_turn!(self, store => store.drop_month(month))
    }

    /// Forgets newest readings before `cutoff`.
    pub(crate) async fn forget_newest_before(&self, cutoff: Timestamp) -> Result<(), HistoryError> {
        in_turn!(self, store => store.forget_newest_before(cutoff))
    }

    /// Gives back the space of journals, where the store has some of its own.
    pub(crate) async fn cut_journals(&self) -> Result<(), HistoryError> {
        match &self.database {
            Database::Sqlite(store) => store.work.outside(store.cut_journals()).await,
            Database::Postgres(_) => Ok(()),
        }
    }

    /// Bytes the database takes.
    pub(crate) async fn bytes(&self) -> u64 {
        in_turn!(self, store => store.bytes())
    }

    pub(crate) async fn close(&self) {
        in_turn!(self, store => store.close());
    }
}
