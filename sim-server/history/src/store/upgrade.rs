//! Brings what an older version of this program stored to today's format, with nothing lost.
//!
//! | format | since then |
//! | --- | --- |
//! | 1 | blocks with a bit set of their qualities |
//! | 2 | blocks with integral and rise, which may be merged and have their minutes; no bit set |
//! | 3 | the hours of what is merged |
//! | 4 | PostgreSQL's tables in partitions of a month; SQLite's as they were |
//! | 5 | the days of settled months |
//!
//! PostgreSQL goes from one format to the next in a transaction. SQLite does so a month's file at a time and marks the catalog
//! last, so after a crash opening goes on with the files that are left.

use super::sql::{self, BlockColumns, on_postgres, on_sqlite, series_id};
use crate::{
    aggregate::Aggregate,
    block::{self, Block, MINUTE_MS, Summary},
    bucket::Bucket,
    error::HistoryError,
    hours::Hours,
    month::Month,
    pack,
};
use shared::time::{HOUR_MS, Timestamp};
use std::collections::BTreeMap;

/// The format this program writes.
pub(super) const FORMAT: i64 = 5;

/// What has to happen before the store found at `place` can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Ours,
    New,
    Older(i64),
}

impl Format {
    pub(super) fn of(found: Option<i64>, place: impl ToString) -> Result<Format, HistoryError> {
        match found {
            None => Ok(Format::New),
            Some(FORMAT) => Ok(Format::Ours),
            Some(found @ 1..FORMAT) => Ok(Format::Older(found)),
            Some(found) => Err(HistoryError::UnknownFormat { place: place.to_string(), found, ours: FORMAT }),
        }
    }
}

/// A block as format 1 kept it.
#[derive(sqlx::FromRow)]
struct BlockOfFormat1 {
    id: i64,
    series: i64,
    t0: i64,
    t1: i64,
    sequence: i64,
    count: i64,
    min_value: f64,
    max_value: f64,
    sum_value: f64,
    first_value: f64,
    last_value: f64,
    body: Vec<u8>,
}

impl BlockOfFormat1 {
    fn upgraded(self) -> Result<Block, sqlx::Error> {
        let known = Aggregate {
            count: self.count as u64,
            sum: self.sum_value,
            min: self.min_value,
            max: self.max_value,
            first: self.first_value,
            last: self.last_value,
            first_time: Timestamp(self.t0),
            last_time: Timestamp(self.t1),
            integral: 0.0,
            rise: 0.0,
        };
        let summary = Summary { id: self.id, all: known };
        let all = match block::decode(&summary, &self.body) {
            Ok(readings) => Aggregate::of_all(&readings).unwrap_or(known),
            // It stays as it is, for whoever can mend it, and whoever asks for its readings is told. What only they could say,
            // its mean over time and its rise, reads as 0.
            Err(reason) => {
                tracing::error!(block = self.id, series = self.series, reason, "a block is damaged");
                known
            }
        };
        Ok(Block {
            series: series_id(self.series)?,
            summary: Summary { id: self.id, all },
            sequence: self.sequence as u64,
            merged: false,
            minutes: None,
            body: self.body,
        })
    }
}

/// Blocks held in memory at once.
const AT_ONCE: i64 = 512;

macro_rules! upgrades {
    ($from_1:ident, $from_2:ident, $module:ident, $connection:ty) => {
        /// Takes blocks and totals from format 1 to today's `schema`; nothing of them is merged. To be called in a transaction.
        pub(super) async fn $from_1(db: &mut $connection, schema: String) -> Result<(), sqlx::Error> {
            use sqlx::{AssertSqlSafe, Executor};
            db.execute(sqlx::raw_sql(
                "ALTER TABLE history_blocks RENAME TO history_blocks_of_format_1;
                 DROP INDEX history_blocks_by_time;
                 DELETE FROM history_months;",
            ))
            .await?;
            db.execute(sqlx::raw_sql(AssertSqlSafe(schema))).await?;
            let mut after = i64::MIN;
            loop {
                let rows: Vec<BlockOfFormat1> = sqlx::query_as(
                    "SELECT id, series, t0, t1, sequence, count, min_value, max_value, sum_value, first_value,
                            last_value, body
                     FROM history_blocks_of_format_1 WHERE id > $1 ORDER BY id LIMIT $2",
                )
                .bind(after)
                .bind(AT_ONCE)
                .fetch_all(&mut *db)
                .await?;
                let Some(last) = rows.last() else { break };
                after = last.id;
                let mut months: BTreeMap<Month, Vec<Block>> = BTreeMap::new();
                for row in rows {
                    let block = row.upgraded()?;
                    months.entry(block.month()).or_default().push(block);
                }
                for (month, blocks) in months {
                    let blocks: Vec<&Block> = blocks.iter().collect();
                    $module::insert_blocks(db, month, &blocks).await?;
                }
            }
            db.execute("DROP TABLE history_blocks_of_format_1").await?;
            Ok(())
        }

        /// Makes the hours of what is merged. To be called in a transaction.
        pub(super) async fn $from_2(db: &mut $connection, schema: String) -> Result<(), sqlx::Error> {
            use sqlx::{AssertSqlSafe, Executor};
            db.execute(sqlx::raw_sql(AssertSqlSafe(schema))).await?;
            let series: Vec<i64> =
                sqlx::query_scalar("SELECT DISTINCT series FROM history_blocks WHERE merged = 1 ORDER BY series")
                    .fetch_all(&mut *db)
                    .await?;
            for id in series {
                let rows: Vec<BlockColumns> = sqlx::query_as(
                    "SELECT id, series, t0, t1, sequence, count, min_value, max_value, sum_value, first_value,
                     last_value, integral, rise, merged, minutes, body FROM history_blocks
                     WHERE series = $1 AND merged = 1 ORDER BY t0",
                )
                .bind(id)
                .fetch_all(&mut *db)
                .await?;
                let mut hours = Hours::default();
                for row in rows {
                    let block = sql::block(row)?;
                    match parts(&block) {
                        Ok(parts) => hours.join(parts),
                        // Loose, it is opened by whoever asks for its hours, who is told.
                        Err(reason) => {
                            tracing::error!(block = block.summary.id, series = id, reason, "a block is damaged");
                            sqlx::query("UPDATE history_blocks SET merged = 0 WHERE id = $1")
                                .bind(block.summary.id)
                                .execute(&mut *db)
                                .await?;
                        }
                    }
                }
                let days = hours.days(series_id(id)?, (i64::MIN, i64::MAX));
                $module::put_hours(db, &days.map_err(|e| sql::inconsistent(e.to_string()))?).await?;
            }
            Ok(())
        }
    };
}

/// Stretches of a block that cross no hour.
fn parts(block: &Block) -> Result<Vec<Aggregate>, String> {
    let buckets = match &block.minutes {
        Some(minutes) => pack::unpack(MINUTE_MS, minutes)?,
        None => Bucket::each(&block::decode(&block.summary, &block.body)?, HOUR_MS),
    };
    Ok(buckets.into_iter().map(|b| b.all).collect())
}

upgrades!(sqlite_from_1, sqlite_from_2, on_sqlite, sqlx::SqliteConnection);
upgrades!(postgres_from_1, postgres_from_2, on_postgres, sqlx::PgConnection);
