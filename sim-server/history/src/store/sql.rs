//! The statements, once, for both databases: the macro only puts in the connection's type, so that each adapter is checked
//! against its own driver. Statements stay within what SQLite and PostgreSQL both speak (`$1`, `ON CONFLICT`).

use super::{Batch, Detail, MonthTotals, Replacement, Row, Trimmed, Wanted};
use crate::{
    aggregate::Aggregate,
    block::{Block, MAX_POINTS, Summary},
    days::MonthOfDays,
    head::SeriesState,
    hours::{DayOfHours, day_of, hour_of, start_of_hour},
    loose::Loose,
    month::Month,
    series::{SeriesId, SeriesKey},
};
use shared::{
    telemetry::{Quality, Reading},
    time::Timestamp,
};
use std::collections::HashMap;

/// Rows in one INSERT, ids in one list.
pub(super) const ROWS_AT_ONCE: usize = 64;
/// Who asks for so many series reads past the others.
pub(super) const MANY_SERIES: usize = 512;

/// What a block comes to: its times, count and figures.
#[derive(sqlx::FromRow)]
pub(super) struct AllColumns {
    id: i64,
    t0: i64,
    t1: i64,
    count: i64,
    min_value: f64,
    max_value: f64,
    sum_value: f64,
    first_value: f64,
    last_value: f64,
    integral: f64,
    rise: f64,
}

#[derive(sqlx::FromRow)]
pub(super) struct RowColumns {
    #[sqlx(flatten)]
    all: AllColumns,
    series: i64,
    merged: i64,
    minutes: Option<Vec<u8>>,
    body: Option<Vec<u8>>,
}

#[derive(sqlx::FromRow)]
pub(super) struct BlockColumns {
    #[sqlx(flatten)]
    all: AllColumns,
    series: i64,
    sequence: i64,
    merged: i64,
    minutes: Option<Vec<u8>>,
    body: Vec<u8>,
}

#[derive(sqlx::FromRow)]
pub(super) struct LooseColumns {
    #[sqlx(flatten)]
    all: AllColumns,
    series: i64,
}

pub(super) type StateColumns = (i64, i64, i64, Option<i64>, Option<f64>, Option<i64>);

pub(super) fn inconsistent(what: impl Into<String>) -> sqlx::Error {
    sqlx::Error::Decode(what.into().into())
}

pub(super) fn series_id(id: i64) -> Result<SeriesId, sqlx::Error> {
    u32::try_from(id).map(SeriesId).map_err(|_| inconsistent(format!("{id} is no series")))
}

fn summary(row: &AllColumns) -> Result<Summary, sqlx::Error> {
    let count = u64::try_from(row.count).ok().filter(|n| *n <= MAX_POINTS as u64);
    let count = count.ok_or_else(|| inconsistent(format!("block {} counts {}", row.id, row.count)))?;
    let all = Aggregate {
        count,
        sum: row.sum_value,
        min: row.min_value,
        max: row.max_value,
        first: row.first_value,
        last: row.last_value,
        first_time: Timestamp(row.t0),
        last_time: Timestamp(row.t1),
        integral: row.integral,
        rise: row.rise,
    };
    Ok(Summary { id: row.id, all })
}

pub(super) fn row(row: RowColumns) -> Result<(SeriesId, Row), sqlx::Error> {
    let summary = summary(&row.all)?;
    let series = series_id(row.series)?;
    let [minutes, body] = [row.minutes, row.body].map(|part| part.map(Into::into));
    Ok((series, Row { summary, merged: row.merged != 0, minutes, body }))
}

pub(super) fn block(row: BlockColumns) -> Result<Block, sqlx::Error> {
    Ok(Block {
        series: series_id(row.series)?,
        summary: summary(&row.all)?,
        sequence: row.sequence as u64,
        merged: row.merged != 0,
        minutes: row.minutes,
        body: row.body,
    })
}

pub(super) fn loose_block(row: LooseColumns) -> Result<(SeriesId, Loose), sqlx::Error> {
    let Summary { id, all } = summary(&row.all)?;
    Ok((series_id(row.series)?, Loose { id, all }))
}

pub(super) fn hours_of_day(row: (i64, i64, Vec<u8>)) -> Result<DayOfHours, sqlx::Error> {
    let (day, series, body) = row;
    Ok(DayOfHours { day, series: series_id(series)?, body })
}

/// Of blocks (id, series, first and last time) by series and falling last time: which end before the cutoff and meet none that stays,
/// and from when on, a whole hour, each series keeps what it has.
pub(super) fn expired(
    blocks: &[(i64, i64, i64, i64)],
    cutoff: Timestamp,
) -> (Vec<i64>, HashMap<i64, Timestamp>) {
    let mut kept_from: HashMap<i64, Timestamp> = HashMap::new();
    let mut gone = Vec::new();
    for (id, series, t0, t1) in blocks {
        let from = kept_from.entry(*series).or_insert(cutoff);
        if Timestamp(*t1) >= *from {
            *from = start_of_hour(hour_of(Timestamp(*t0))).min(*from);
        } else {
            gone.push(*id);
        }
    }
    (gone, kept_from)
}

pub(super) fn state(row: StateColumns) -> Result<(SeriesId, SeriesState), sqlx::Error> {
    let (series, sealed_through, span_ms, time, value, quality) = row;
    let newest = match (time, value, quality) {
        (Some(t), Some(value), Some(code)) => {
            let quality = u8::try_from(code).ok().and_then(Quality::from_code);
            let quality =
                quality.ok_or_else(|| inconsistent(format!("quality {code} of series {series}")))?;
            Some(Reading { value, timestamp: Timestamp(t), quality })
        }
        _ => None,
    };
    Ok((series_id(series)?, SeriesState { sealed_through: sealed_through as u64, span_ms, newest }))
}

pub(super) fn name(row: (i64, String, String)) -> Result<(SeriesId, SeriesKey), sqlx::Error> {
    let (id, device, measurement) = row;
    let bad = |e: shared::id::InvalidId| inconsistent(e.to_string());
    let key =
        SeriesKey { device: device.parse().map_err(bad)?, measurement: measurement.parse().map_err(bad)? };
    Ok((series_id(id)?, key))
}

macro_rules! statements {
    ($module:ident, $database:ty, $connection:ty) => {
        pub(super) mod $module {
            use super::*;
            use sqlx::{QueryBuilder, query, query_as, query_scalar};

            type Connection = $connection;

            pub(in crate::store) async fn meta(
                db: &mut Connection,
                name: &str,
            ) -> Result<Option<i64>, sqlx::Error> {
                query_scalar("SELECT value FROM history_meta WHERE name = $1")
                    .bind(name)
                    .fetch_optional(db)
                    .await
            }

            pub(in crate::store) async fn put_meta(
                db: &mut Connection,
                name: &str,
                value: i64,
            ) -> Result<(), sqlx::Error> {
                query(
                    "INSERT INTO history_meta (name, value) VALUES ($1, $2)
                     ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                )
                .bind(name)
                .bind(value)
                .execute(db)
                .await?;
                Ok(())
            }

            pub(in crate::store) async fn names(
                db: &mut Connection,
            ) -> Result<Vec<(SeriesId, SeriesKey)>, sqlx::Error> {
                let rows: Vec<(i64, String, String)> =
                    query_as("SELECT id, device, measurement FROM history_series ORDER BY id")
                        .fetch_all(db)
                        .await?;
                rows.into_iter().map(name).collect()
            }

            pub(in crate::store) async fn states(
                db: &mut Connection,
            ) -> Result<Vec<(SeriesId, SeriesState)>, sqlx::Error> {
                let rows: Vec<StateColumns> = query_as(
                    "SELECT series, sealed_through, span_ms, newest_time, newest_value, newest_quality
                     FROM history_state",
                )
                .fetch_all(db)
                .await?;
                rows.into_iter().map(state).collect()
            }

            pub(in crate::store) async fn insert_names(
                db: &mut Connection,
                batch: &Batch,
            ) -> Result<(), sqlx::Error> {
                for names in batch.names.chunks(ROWS_AT_ONCE) {
                    let mut insert = QueryBuilder::<$database>::new(
                        "INSERT INTO history_series (id, device, measurement) ",
                    );
                    insert.push_values(names, |mut row, (id, key)| {
                        row.push_bind(i64::from(id.0))
                            .push_bind(key.device.as_str().to_owned())
                            .push_bind(key.measurement.as_str().to_owned());
                    });
                    insert.push(" ON CONFLICT (id) DO NOTHING");
                    insert.build().persistent(names.len() == ROWS_AT_ONCE).execute(&mut *db).await?;
                }
                Ok(())
            }

            /// States, and the number up to which blocks are accounted for in them.
            pub(in crate::store) async fn put_states(
                db: &mut Connection,
                batch: &Batch,
            ) -> Result<(), sqlx::Error> {
                for states in batch.states.chunks(ROWS_AT_ONCE) {
                    let mut insert = QueryBuilder::<$database>::new(
                        "INSERT INTO history_state
                         (series, sealed_through, span_ms, newest_time, newest_value, newest_quality) ",
                    );
                    insert.push_values(states, |mut row, (series, state)| {
                        row.push_bind(i64::from(series.0))
                            .push_bind(state.sealed_through as i64)
                            .push_bind(state.span_ms)
                            .push_bind(state.newest.map(|r| r.timestamp.0))
                            .push_bind(state.newest.map(|r| r.value))
                            .push_bind(state.newest.map(|r| i64::from(r.quality.code())));
                    });
                    insert.push(
                        " ON CONFLICT (series) DO UPDATE SET sealed_through = excluded.sealed_through,
                         span_ms = excluded.span_ms, newest_time = excluded.newest_time,
                         newest_value = excluded.newest_value, newest_quality = excluded.newest_quality",
                    );
                    insert.build().persistent(states.len() == ROWS_AT_ONCE).execute(&mut *db).await?;
                }
                if let Some(last) = batch.blocks.iter().map(|b| b.summary.id).max() {
                    put_meta(db, "accounted", last).await?;
                }
                Ok(())
            }

            /// Inserts blocks of one month that are not there yet, and counts them. Returns whether they were new.
            pub(in crate::store) async fn insert_blocks(
                db: &mut Connection,
                month: Month,
                blocks: &[&Block],
            ) -> Result<bool, sqlx::Error> {
                let mut inserted = 0;
                for blocks in blocks.chunks(ROWS_AT_ONCE) {
                    let mut insert = QueryBuilder::<$database>::new(
                        "INSERT INTO history_blocks (id, series, t0, t1, sequence, count, min_value, max_value,
                         sum_value, first_value, last_value, integral, rise, merged, minutes, body) ",
                    );
                    insert.push_values(blocks, |mut row, block| {
                        let all = &block.summary.all;
                        row.push_bind(block.summary.id)
                            .push_bind(i64::from(block.series.0))
                            .push_bind(all.first_time.0)
                            .push_bind(all.last_time.0)
                            .push_bind(block.sequence as i64)
                            .push_bind(all.count as i64)
                            .push_bind(all.min)
                            .push_bind(all.max)
                            .push_bind(all.sum)
                            .push_bind(all.first)
                            .push_bind(all.last)
                            .push_bind(all.integral)
                            .push_bind(all.rise)
                            .push_bind(i64::from(block.merged))
                            .push_bind(block.minutes.clone())
                            .push_bind(block.body.clone());
                    });
                    insert.push(" ON CONFLICT DO NOTHING");
                    let done =
                        insert.build().persistent(blocks.len() == ROWS_AT_ONCE).execute(&mut *db).await?;
                    inserted += done.rows_affected();
                }
                let Some(totals) = MonthTotals::of(blocks.iter().copied()) else { return Ok(false) };
                if inserted == 0 {
                    return Ok(false);
                }
                query(
                    "INSERT INTO history_months (month, blocks, points, bytes, oldest, newest)
                     VALUES ($1, $2, $3, $4, $5, $6)
                     ON CONFLICT (month) DO UPDATE SET
                         blocks = history_months.blocks + excluded.blocks,
                         points = history_months.points + excluded.points,
                         bytes = history_months.bytes + excluded.bytes,
                         oldest = CASE WHEN excluded.oldest < history_months.oldest
                                       THEN excluded.oldest ELSE history_months.oldest END,
                         newest = CASE WHEN excluded.newest > history_months.newest
                                       THEN excluded.newest ELSE history_months.newest END",
                )
                .bind(i64::from(month.0))
                .bind(totals.blocks)
                .bind(totals.points)
                .bind(totals.bytes)
                .bind(totals.oldest.0)
                .bind(totals.newest.0)
                .execute(db)
                .await?;
                Ok(true)
            }

            pub(in crate::store) async fn months(
                db: &mut Connection,
            ) -> Result<Vec<(Month, MonthTotals)>, sqlx::Error> {
                let rows: Vec<(i64, i64, i64, i64, i64, i64)> = query_as(
                    "SELECT month, blocks, points, bytes, oldest, newest FROM history_months ORDER BY month",
                )
                .fetch_all(db)
                .await?;
                rows.into_iter()
                    .map(|(month, blocks, points, bytes, oldest, newest)| {
                        let month = i32::try_from(month)
                            .map_err(|_| inconsistent(format!("{month} is no month")))?;
                        let (oldest, newest) = (Timestamp(oldest), Timestamp(newest));
                        Ok((Month(month), MonthTotals { blocks, points, bytes, oldest, newest }))
                    })
                    .collect()
            }

            pub(in crate::store) async fn last_block_id(db: &mut Connection) -> Result<i64, sqlx::Error> {
                query_scalar("SELECT COALESCE(MAX(id), 0) FROM history_blocks").fetch_one(db).await
            }

            pub(in crate::store) async fn rows(
                db: &mut Connection,
                month: Month,
                wanted: Wanted<'_>,
            ) -> Result<Vec<(SeriesId, Row)>, sqlx::Error> {
                let mut found = Vec::new();
                for series in wanted.series.chunks(ROWS_AT_ONCE) {
                    let mut select = QueryBuilder::<$database>::new(
                        "SELECT id, series, t0, t1, count, min_value, max_value, sum_value, first_value,
                         last_value, integral, rise, merged, ",
                    );
                    // A column that is not wanted is not read from its pages.
                    select.push(match wanted.detail {
                        Detail::Summary => "CASE WHEN 1 = 0 THEN minutes END AS minutes,
                                            CASE WHEN 1 = 0 THEN body END AS body",
                        Detail::Minutes => "minutes, CASE WHEN minutes IS NULL THEN body END AS body",
                        Detail::Readings => "CASE WHEN 1 = 0 THEN minutes END AS minutes, body",
                    });
                    select.push(" FROM history_blocks WHERE series IN (");
                    let mut list = select.separated(", ");
                    for id in series {
                        list.push_bind(i64::from(id.0));
                    }
                    list.push_unseparated(") AND t1 >= ");
                    select.push_bind(wanted.from.0).push(" AND t1 < ").push_bind(wanted.last_end());
                    select.push(" AND t0 >= ").push_bind(month.start().0);
                    select.push(" AND t0 < ").push_bind(wanted.to.0).push(" ORDER BY series, t0, id");
                    let usual = series.len() == 1 || series.len() == ROWS_AT_ONCE;
                    let rows: Vec<RowColumns> =
                        select.build_query_as().persistent(usual).fetch_all(&mut *db).await?;
                    found.reserve(rows.len());
                    for one in rows {
                        found.push(row(one)?);
                    }
                }
                Ok(found)
            }

            /// Days of hours of one month, both bounds included: of the given series, or of all.
            pub(in crate::store) async fn hours(
                db: &mut Connection,
                series: Option<&[SeriesId]>,
                days: (i64, i64),
            ) -> Result<Vec<DayOfHours>, sqlx::Error> {
                let Some(series) = series.filter(|s| s.len() < MANY_SERIES) else {
                    let rows: Vec<(i64, i64, Vec<u8>)> = query_as(
                        "SELECT day, series, body FROM history_hours WHERE day >= $1 AND day <= $2",
                    )
                    .bind(days.0)
                    .bind(days.1)
                    .fetch_all(db)
                    .await?;
                    return rows.into_iter().map(hours_of_day).collect();
                };
                let mut found = Vec::new();
                for some in series.chunks(ROWS_AT_ONCE) {
                    let mut select =
                        QueryBuilder::<$database>::new("SELECT day, series, body FROM history_hours WHERE day IN (");
                    // Each day by its number: the key begins with it.
                    let mut list = select.separated(", ");
                    for day in days.0..=days.1 {
                        list.push(day);
                    }
                    list.push_unseparated(") AND series IN (");
                    let mut list = select.separated(", ");
                    for id in some {
                        list.push_bind(i64::from(id.0));
                    }
                    list.push_unseparated(")");
                    let rows: Vec<(i64, i64, Vec<u8>)> =
                        select.build_query_as().persistent(false).fetch_all(&mut *db).await?;
                    for one in rows {
                        found.push(hours_of_day(one)?);
                    }
                }
                Ok(found)
            }

            pub(in crate::store) async fn put_hours(
                db: &mut Connection,
                hours: &[DayOfHours],
            ) -> Result<(), sqlx::Error> {
                for days in hours.chunks(ROWS_AT_ONCE) {
                    let mut insert =
                        QueryBuilder::<$database>::new("INSERT INTO history_hours (day, series, body) ");
                    insert.push_values(days, |mut row, of_day| {
                        row.push_bind(of_day.day)
                            .push_bind(i64::from(of_day.series.0))
                            .push_bind(of_day.body.clone());
                    });
                    insert.push(" ON CONFLICT (day, series) DO UPDATE SET body = excluded.body");
                    insert.build().persistent(days.len() == ROWS_AT_ONCE).execute(&mut *db).await?;
                }
                Ok(())
            }

            pub(in crate::store) async fn days(
                db: &mut Connection,
                month: Month,
                series: &[SeriesId],
            ) -> Result<Vec<MonthOfDays>, sqlx::Error> {
                let mut found = Vec::with_capacity(series.len());
                for some in series.chunks(ROWS_AT_ONCE) {
                    let mut select =
                        QueryBuilder::<$database>::new("SELECT series, body FROM history_days WHERE month = ");
                    select.push_bind(i64::from(month.0));
                    in_series(&mut select, some);
                    let usual = some.len() == 1 || some.len() == ROWS_AT_ONCE;
                    let rows: Vec<(i64, Vec<u8>)> =
                        select.build_query_as().persistent(usual).fetch_all(&mut *db).await?;
                    for (series, body) in rows {
                        found.push(MonthOfDays { series: series_id(series)?, body });
                    }
                }
                Ok(found)
            }

            pub(in crate::store) async fn put_days(
                db: &mut Connection,
                month: Month,
                days: &[MonthOfDays],
            ) -> Result<(), sqlx::Error> {
                for days in days.chunks(ROWS_AT_ONCE) {
                    let mut insert =
                        QueryBuilder::<$database>::new("INSERT INTO history_days (month, series, body) ");
                    insert.push_values(days, |mut row, of_month| {
                        row.push_bind(i64::from(month.0))
                            .push_bind(i64::from(of_month.series.0))
                            .push_bind(of_month.body.clone());
                    });
                    insert.push(" ON CONFLICT (month, series) DO UPDATE SET body = excluded.body");
                    insert.build().persistent(days.len() == ROWS_AT_ONCE).execute(&mut *db).await?;
                }
                Ok(())
            }

            pub(in crate::store) async fn days_made_by(
                db: &mut Connection,
                month: Month,
            ) -> Result<Option<String>, sqlx::Error> {
                query_scalar("SELECT zone FROM history_days_made WHERE month = $1")
                    .bind(i64::from(month.0))
                    .fetch_optional(db)
                    .await
            }

            pub(in crate::store) async fn note_days_made_by(
                db: &mut Connection,
                month: Month,
                zone: &str,
            ) -> Result<(), sqlx::Error> {
                query(
                    "INSERT INTO history_days_made (month, zone) VALUES ($1, $2)
                     ON CONFLICT (month) DO UPDATE SET zone = excluded.zone",
                )
                .bind(i64::from(month.0))
                .bind(zone)
                .execute(db)
                .await?;
                Ok(())
            }

            /// Forgets the days of some series: their hours are others now.
            async fn forget_days(
                db: &mut Connection,
                month: Month,
                series: &[SeriesId],
            ) -> Result<(), sqlx::Error> {
                for some in series.chunks(ROWS_AT_ONCE) {
                    let mut delete = QueryBuilder::<$database>::new("DELETE FROM history_days WHERE month = ");
                    delete.push_bind(i64::from(month.0));
                    in_series(&mut delete, some);
                    delete.build().persistent(false).execute(&mut *db).await?;
                }
                query("DELETE FROM history_days_made WHERE month = $1")
                    .bind(i64::from(month.0))
                    .execute(db)
                    .await?;
                Ok(())
            }

            fn in_series(statement: &mut QueryBuilder<$database>, series: &[SeriesId]) {
                statement.push(" AND series IN (");
                let mut list = statement.separated(", ");
                for id in series {
                    list.push_bind(i64::from(id.0));
                }
                list.push_unseparated(")");
            }

            /// Forgets the hours of days in `[from, to)`.
            pub(in crate::store) async fn drop_hours(
                db: &mut Connection,
                from: i64,
                to: i64,
            ) -> Result<(), sqlx::Error> {
                query("DELETE FROM history_hours WHERE day >= $1 AND day < $2")
                    .bind(from)
                    .bind(to)
                    .execute(db)
                    .await?;
                Ok(())
            }

            pub(in crate::store) async fn bodies(
                db: &mut Connection,
                month: Month,
                ids: &[i64],
            ) -> Result<Vec<(i64, Vec<u8>)>, sqlx::Error> {
                let mut bodies = Vec::with_capacity(ids.len());
                for ids in ids.chunks(ROWS_AT_ONCE) {
                    let mut select =
                        QueryBuilder::<$database>::new("SELECT id, body FROM history_blocks WHERE id IN (");
                    let mut list = select.separated(", ");
                    for id in ids {
                        list.push_bind(*id);
                    }
                    list.push_unseparated(")");
                    of_month(&mut select, month);
                    let rows: Vec<(i64, Vec<u8>)> = select.build_query_as().fetch_all(&mut *db).await?;
                    bodies.extend(rows);
                }
                Ok(bodies)
            }

            /// Whole blocks with first times in `[from, to)`, in the order of sealing.
            pub(in crate::store) async fn page(
                db: &mut Connection,
                from: Timestamp,
                to: Timestamp,
                after: i64,
                limit: i64,
            ) -> Result<Vec<Block>, sqlx::Error> {
                let rows: Vec<BlockColumns> = query_as(
                    "SELECT id, series, t0, t1, sequence, count, min_value, max_value, sum_value, first_value,
                     last_value, integral, rise, merged, minutes, body FROM history_blocks
                     WHERE id > $1 AND t0 >= $2 AND t0 < $3 ORDER BY id LIMIT $4",
                )
                .bind(after)
                .bind(from.0)
                .bind(to.0)
                .bind(limit)
                .fetch_all(db)
                .await?;
                rows.into_iter().map(block).collect()
            }

            /// Blocks, readings and bytes of blocks with first times in `[from, to)`.
            pub(in crate::store) async fn counted(
                db: &mut Connection,
                from: Timestamp,
                to: Timestamp,
            ) -> Result<(i64, i64, i64), sqlx::Error> {
                query_as(
                    "SELECT COUNT(*), CAST(COALESCE(SUM(count), 0) AS BIGINT),
                            CAST(COALESCE(SUM(LENGTH(body)), 0) AS BIGINT)
                     FROM history_blocks WHERE t0 >= $1 AND t0 < $2",
                )
                .bind(from.0)
                .bind(to.0)
                .fetch_one(db)
                .await
            }

            pub(in crate::store) async fn loose(
                db: &mut Connection,
            ) -> Result<Vec<(SeriesId, Loose)>, sqlx::Error> {
                let rows: Vec<LooseColumns> = query_as(
                    "SELECT id, series, t0, t1, count, min_value, max_value, sum_value, first_value, last_value,
                     integral, rise FROM history_blocks WHERE merged = 0 ORDER BY id",
                )
                .fetch_all(db)
                .await?;
                rows.into_iter().map(loose_block).collect()
            }

            /// Puts blocks of one month in the place of others that hold the same instants.
            pub(in crate::store) async fn replace(
                db: &mut Connection,
                month: Month,
                replacement: &Replacement,
            ) -> Result<(), sqlx::Error> {
                delete_blocks(db, month, &replacement.remove).await?;
                let blocks: Vec<&Block> = replacement.insert.iter().collect();
                insert_blocks(db, month, &blocks).await?;
                put_hours(db, &replacement.hours).await?;
                forget_days(db, month, &replacement.changed()).await?;
                query(
                    "UPDATE history_months SET blocks = blocks - $2, points = points - $3, bytes = bytes - $4
                     WHERE month = $1",
                )
                .bind(i64::from(month.0))
                .bind(replacement.remove.len() as i64)
                .bind(replacement.removed_points)
                .bind(replacement.removed_bytes)
                .execute(db)
                .await?;
                Ok(())
            }

            pub(in crate::store) async fn straddling(
                db: &mut Connection,
                month: Month,
                cutoff: Timestamp,
            ) -> Result<Vec<Block>, sqlx::Error> {
                let rows: Vec<BlockColumns> = query_as(
                    "SELECT id, series, t0, t1, sequence, count, min_value, max_value, sum_value, first_value,
                     last_value, integral, rise, merged, minutes, body FROM history_blocks
                     WHERE t0 >= $1 AND t1 >= $2 AND (t0 < $2 OR merged = 1 AND t0 < $3) AND t0 < $4
                     ORDER BY id",
                )
                .bind(month.start().0)
                .bind(cutoff.0)
                .bind(start_of_hour(hour_of(cutoff) + 1).0)
                .bind(month.end().0)
                .fetch_all(db)
                .await?;
                rows.into_iter().map(block).collect()
            }

            /// Returns how many readings are gone.
            pub(in crate::store) async fn trim(
                db: &mut Connection,
                month: Month,
                cutoff: Timestamp,
                trimmed: &Trimmed,
            ) -> Result<i64, sqlx::Error> {
                let before = points_in(db, month).await?;
                drop_hours(db, day_of(month.start()), trimmed.last_day + 1).await?;
                put_hours(db, &trimmed.hours).await?;
                query("DELETE FROM history_days WHERE month = $1")
                    .bind(i64::from(month.0))
                    .execute(&mut *db)
                    .await?;
                forget_days(db, month, &[]).await?;
                query("DELETE FROM history_blocks WHERE t0 >= $1 AND t0 < $2 AND t1 < $3")
                    .bind(month.start().0)
                    .bind(month.end().0)
                    .bind(cutoff.0)
                    .execute(&mut *db)
                    .await?;
                let again: Vec<i64> = trimmed.blocks.iter().map(|block| block.summary.id).collect();
                delete_blocks(db, month, &again).await?;
                let trimmed: Vec<&Block> = trimmed.blocks.iter().collect();
                insert_blocks(db, month, &trimmed).await?;
                recount(db, month).await?;
                Ok(before - points_in(db, month).await?)
            }

            /// Returns how many readings are gone.
            pub(in crate::store) async fn expire(
                db: &mut Connection,
                month: Month,
                series: &[SeriesId],
                cutoff: Timestamp,
            ) -> Result<i64, sqlx::Error> {
                let before = points_in(db, month).await?;
                for some in series.chunks(ROWS_AT_ONCE) {
                    let of_series = |statement: &str| {
                        let mut statement = QueryBuilder::<$database>::new(statement);
                        statement.push("series IN (");
                        let mut list = statement.separated(", ");
                        for id in some {
                            list.push(id.0);
                        }
                        list.push_unseparated(")");
                        statement
                    };
                    let mut reach = of_series("SELECT id, series, t0, t1 FROM history_blocks WHERE ");
                    reach.push(" AND t0 >= ").push_bind(month.start().0);
                    reach.push(" AND t0 < ").push_bind(cutoff.0).push(" ORDER BY series, t1 DESC");
                    let reach: Vec<(i64, i64, i64, i64)> =
                        reach.build_query_as().persistent(false).fetch_all(&mut *db).await?;
                    let (gone, kept_from) = expired(&reach, cutoff);
                    delete_blocks(db, month, &gone).await?;
                    if gone.is_empty() {
                        continue;
                    }
                    let days = (day_of(month.start()), day_of(Timestamp(cutoff.0 - 1)));
                    let mut left = Vec::new();
                    for of_day in hours(db, Some(some), days).await? {
                        let from = kept_from.get(&i64::from(of_day.series.0)).copied().unwrap_or(cutoff);
                        let of_day = of_day.since_hour(hour_of(from)).map_err(|e| inconsistent(e.to_string()))?;
                        left.extend(of_day);
                    }
                    let mut drop = of_series("DELETE FROM history_hours WHERE ");
                    drop.push(" AND day >= ").push_bind(days.0).push(" AND day <= ").push_bind(days.1);
                    drop.build().persistent(false).execute(&mut *db).await?;
                    put_hours(db, &left).await?;
                    forget_days(db, month, some).await?;
                }
                let gone = before - points_in(db, month).await?;
                if gone > 0 {
                    recount(db, month).await?;
                }
                Ok(gone)
            }

            /// Where blocks of a month lie, for a database that keeps it apart.
            fn of_month(statement: &mut QueryBuilder<$database>, month: Month) {
                statement.push(" AND t0 >= ").push_bind(month.start().0);
                statement.push(" AND t0 < ").push_bind(month.end().0);
            }

            async fn delete_blocks(
                db: &mut Connection,
                month: Month,
                ids: &[i64],
            ) -> Result<(), sqlx::Error> {
                for ids in ids.chunks(ROWS_AT_ONCE) {
                    let mut delete =
                        QueryBuilder::<$database>::new("DELETE FROM history_blocks WHERE id IN (");
                    let mut list = delete.separated(", ");
                    for id in ids {
                        list.push_bind(*id);
                    }
                    list.push_unseparated(")");
                    of_month(&mut delete, month);
                    delete.build().persistent(ids.len() == ROWS_AT_ONCE).execute(&mut *db).await?;
                }
                Ok(())
            }

            async fn points_in(db: &mut Connection, month: Month) -> Result<i64, sqlx::Error> {
                query_scalar(
                    "SELECT CAST(COALESCE(SUM(count), 0) AS BIGINT) FROM history_blocks
                     WHERE t0 >= $1 AND t0 < $2",
                )
                .bind(month.start().0)
                .bind(month.end().0)
                .fetch_one(db)
                .await
            }

            async fn recount(db: &mut Connection, month: Month) -> Result<(), sqlx::Error> {
                query("DELETE FROM history_months WHERE month = $1")
                    .bind(i64::from(month.0))
                    .execute(&mut *db)
                    .await?;
                query(
                    "INSERT INTO history_months (month, blocks, points, bytes, oldest, newest)
                     SELECT $1, COUNT(*), CAST(SUM(count) AS BIGINT), CAST(SUM(LENGTH(body)) AS BIGINT),
                            MIN(t0), MAX(t1)
                     FROM history_blocks WHERE t0 >= $2 AND t0 < $3 HAVING COUNT(*) > 0",
                )
                .bind(i64::from(month.0))
                .bind(month.start().0)
                .bind(month.end().0)
                .execute(&mut *db)
                .await?;
                Ok(())
            }

            pub(in crate::store) async fn forget_newest_before(
                db: &mut Connection,
                cutoff: Timestamp,
            ) -> Result<(), sqlx::Error> {
                query(
                    "UPDATE history_state SET newest_time = NULL, newest_value = NULL, newest_quality = NULL
                     WHERE newest_time < $1",
                )
                .bind(cutoff.0)
                .execute(db)
                .await?;
                Ok(())
            }
        }
    };
}

statements!(on_sqlite, sqlx::Sqlite, sqlx::SqliteConnection);
statements!(on_postgres, sqlx::Postgres, sqlx::PgConnection);
