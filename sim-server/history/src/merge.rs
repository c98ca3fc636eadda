//! Merging: the loose blocks that sealing leaves become few large ones with their minutes packed, late readings join the hours
//! they belong to, and of readings written twice the last one stays.
//!
//! A merged block covers whole hours (UTC), so an hour lies in one block unless it holds more than a block may. Hours of which
//! more is still to come stay loose. Each step replaces blocks of one month in one transaction; readers that meet a block which
//! has just gone look again.

use crate::{
    block::{Block, MAX_POINTS},
    core::Core,
    days::DaysToMake,
    error::HistoryError,
    head::{SeriesState, sort_last_written_wins},
    hours::{Hours, day_of, hour_of, start_of_hour},
    loose::{Loose, MANY, is_settled, is_small},
    month::Month,
    query::open_block,
    series::SeriesId,
    store::{Batch, Detail, Replacement, Row, Wanted},
};
use shared::telemetry::Reading;
use std::{
    collections::{BTreeSet, HashMap},
    slice::Chunks,
};

/// Blocks that must be merged together: their hours meet.
#[derive(Debug)]
struct Group {
    rows: Vec<Row>,
    /// The hours they reach, the second one excluded.
    hours: (i64, i64),
}

impl Group {
    fn is_loose(&self) -> bool {
        self.rows.iter().all(|r| !r.merged)
    }
}

/// Sorts a series' blocks (by first time) into groups; neighbours that are all loose are one.
fn groups(rows: Vec<Row>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for row in rows {
        let all = &row.summary.all;
        let hours = (hour_of(all.first_time), hour_of(all.last_time) + 1);
        match groups.last_mut() {
            Some(group) if hours.0 < group.hours.1 || !row.merged && group.is_loose() => {
                group.hours.1 = group.hours.1.max(hours.1);
                group.rows.push(row);
            }
            _ => groups.push(Group { rows: vec![row], hours }),
        }
    }
    groups
}

/// What becomes of a group.
#[derive(Debug, PartialEq)]
struct Outcome {
    remove: Vec<i64>,
    merged: Vec<Vec<Reading>>,
    loose: Option<Vec<Reading>>,
}

/// Before the hour `over` no more is expected.
fn merge(series: SeriesId, group: &Group, over: i64, plan: Plan) -> Result<Option<Outcome>, HistoryError> {
    let enough = plan.enough;
    let mut rows: Vec<&Row> = group.rows.iter().collect();
    rows.sort_by_key(|row| row.summary.id);
    let mut readings = Vec::new();
    for row in &rows {
        let body = row.body.as_deref().unwrap_or_default();
        readings.extend(open_block(series, &row.summary, body)?);
    }
    sort_last_written_wins(&mut readings);
    // What was merged stays merged.
    let merged_to = rows.iter().filter(|r| r.merged).map(|r| hour_of(r.summary.all.last_time) + 1).max();
    let over = merged_to.map_or(over, |hour| hour.max(over));
    let complete = readings.partition_point(|r| hour_of(r.timestamp) < over);
    let (complete, rest) = readings.split_at(complete);
    if merged_to.is_some() || over >= group.hours.1 || complete.len() >= enough {
        // Loose blocks of the last hour alone stay as they are.
        let stays = |row: &&Row| !plan.thorough && !row.merged && hour_of(row.summary.all.first_time) >= over;
        let kept: Vec<i64> = rows.iter().copied().filter(|r| stays(r)).map(|r| r.summary.id).collect();
        let remove: Vec<i64> = rows.iter().map(|r| r.summary.id).filter(|id| !kept.contains(id)).collect();
        if kept.is_empty() {
            let loose = (!rest.is_empty()).then(|| rest.to_vec());
            return Ok(Some(Outcome { remove, merged: pieces(complete, enough), loose }));
        }
        // Readings of the last hour come from blocks that stay and from blocks that go; the order of writing among them is only
        // kept by making one of all.
        let goes_into_rest = rows.iter().any(|r| !stays(r) && hour_of(r.summary.all.last_time) >= over);
        if goes_into_rest {
            let remove = rows.iter().map(|r| r.summary.id).collect();
            return Ok(Some(Outcome {
                remove,
                merged: pieces(complete, enough),
                loose: Some(rest.to_vec()),
            }));
        }
        return Ok(Some(Outcome { remove, merged: pieces(complete, enough), loose: None }));
    }
    let small = rows.iter().filter(|r| is_small(r.summary.all.count, enough)).count();
    let worth = if plan.thorough { small > 0 && rows.len() > 1 } else { small >= MANY };
    if !worth || readings.len() > MAX_POINTS {
        return Ok(None);
    }
    let remove = group.rows.iter().map(|r| r.summary.id).collect();
    Ok(Some(Outcome { remove, merged: Vec::new(), loose: Some(readings) }))
}

/// Cuts readings at hours into blocks of enough and not too many; an hour of too many is cut evenly.
fn pieces(readings: &[Reading], enough: usize) -> Vec<Vec<Reading>> {
    let mut pieces: Vec<Vec<Reading>> = Vec::new();
    let mut open: Vec<Reading> = Vec::new();
    for of_hour in readings.chunk_by(|a, b| hour_of(a.timestamp) == hour_of(b.timestamp)) {
        if open.len() >= enough || open.len() + of_hour.len() > MAX_POINTS {
            pieces.extend(Some(std::mem::take(&mut open)).filter(|piece| !piece.is_empty()));
        }
        if of_hour.len() > MAX_POINTS {
            pieces.extend(even_parts(of_hour).map(<[Reading]>::to_vec));
        } else {
            open.extend_from_slice(of_hour);
        }
    }
    pieces.extend(Some(open).filter(|piece| !piece.is_empty()));
    pieces
}

/// No more parts than it takes, of nearly the same length.
fn even_parts(readings: &[Reading]) -> Chunks<'_, Reading> {
    let parts = readings.len().div_ceil(MAX_POINTS).max(1);
    readings.chunks(readings.len().div_ceil(parts).max(1))
}

/// Merges some of what is due, and says whether there may be more.
pub(crate) async fn merge_due(
    core: &Core,
    last_block_id: &mut i64,
    days: &mut DaysToMake,
) -> Result<bool, HistoryError> {
    let newest = core.store.months().values().map(|t| t.newest).max().unwrap_or_default();
    let next = {
        let mut blocks = core.loose.write();
        blocks.call_in_settled(newest);
        blocks.next()
    };
    let Some((month, due)) = next else { return Ok(false) };
    let settled = is_settled(month, newest);
    let plan = Plan { enough: core.options.merge_points, thorough: false, settled };
    match merge_series(core, last_block_id, days, month, &due, plan).await {
        Ok(()) => Ok(true),
        Err(error) => {
            // Whatever the store did of it, what it holds now is the truth.
            days.look_again();
            look_again(core).await?;
            Err(error)
        }
    }
}

/// Looks which blocks wait to be merged.
pub(crate) async fn look_again(core: &Core) -> Result<(), HistoryError> {
    let loose = core.store.loose().await?;
    core.loose.write().again(loose);
    Ok(())
}

async fn merge_series(
    core: &Core,
    last_block_id: &mut i64,
    days: &mut DaysToMake,
    month: Month,
    due: &[(SeriesId, bool)],
    plan: Plan,
) -> Result<(), HistoryError> {
    let mut work: Vec<Work> = Vec::new();
    let mut absent: Vec<SeriesId> = Vec::new();
    for (series, thorough) in due {
        let Some((first, last)) = core.loose.read().hours(month, *series) else { continue };
        let state = core.heads.read().state(*series);
        let (from, to) = (start_of_hour(first), start_of_hour(last + 1));
        let series = &[*series];
        let wanted = Wanted { series, from, to, span_ms: state.span_ms, detail: Detail::Summary };
        let rows = core.store.rows(month, wanted).await?.into_iter().map(|(_, row)| row).collect();
        let mut groups = groups(rows);
        groups.retain(|g| g.rows.iter().any(|r| !r.merged));
        if groups.is_empty() {
            absent.push(series[0]);
        }
        let ids: Vec<i64> = groups.iter().flat_map(|g| &g.rows).map(|r| r.summary.id).collect();
        let mut bodies: HashMap<i64, Vec<u8>> = core.store.bodies(month, &ids).await?.into_iter().collect();
        for row in groups.iter_mut().flat_map(|g| &mut g.rows) {
            row.body = bodies.remove(&row.summary.id).map(Into::into);
        }
        work.push(Work { series: series[0], thorough: *thorough, state, groups, hours: Hours::default() });
    }
    hours_of(core, month, &mut work).await?;
    let first_id = *last_block_id + 1;
    let built = core
        .work
        .blocking(move || build(&mut work, first_id, plan))
        .await
        .map_err(|e| HistoryError::Inconsistent(format!("merging stopped: {e}")))??;
    let Some(Built { replacement, spans, last_id }) = built else {
        let mut blocks = core.loose.write();
        for (series, _) in due {
            if absent.contains(series) {
                blocks.forget(month, *series);
            } else if plan.settled {
                // What of them is damaged is still there, for whoever reads it to be told.
                blocks.leave(month, *series);
            }
        }
        return Ok(());
    };
    *last_block_id = last_id;
    // Readers must look far enough for the longer blocks before these are there.
    let wider = core.heads.write().widen(&spans);
    if !wider.is_empty() {
        core.store.commit(&Batch { states: wider, ..Batch::default() }).await?;
    }
    core.store.replace(month, &replacement, last_id).await?;
    days.changed(month, replacement.changed());
    let mut blocks = core.loose.write();
    for (series, _) in spans {
        let added = replacement.insert.iter().filter(|b| b.series == series && !b.merged);
        blocks.replace(month, series, &replacement.remove, added.map(Loose::of));
    }
    Ok(())
}

/// Brings the hours that are there of the days which the groups reach.
async fn hours_of(core: &Core, month: Month, work: &mut [Work]) -> Result<(), HistoryError> {
    let reached = || work.iter().flat_map(|w| &w.groups).map(|g| g.hours);
    let first = reached().map(|(first, _)| first).min();
    let Some((first, end)) = first.zip(reached().map(|(_, end)| end).max()) else { return Ok(()) };
    let days = (first.div_euclid(24), (end - 1).div_euclid(24));
    let series: Vec<SeriesId> = work.iter().map(|w| w.series).collect();
    let mut of_series: HashMap<SeriesId, &mut Hours> =
        work.iter_mut().map(|w| (w.series, &mut w.hours)).collect();
    let mut damaged: BTreeSet<SeriesId> = BTreeSet::new();
    for day in core.store.hours(month, Some(&series), days).await? {
        if let Some(hours) = of_series.get_mut(&day.series)
            && let Err(error) = hours.add(&day)
        {
            tracing::error!(%error, "blocks are not merged");
            core.note_damage(&error);
            damaged.insert(day.series);
        }
    }
    // The others are none the worse for it.
    work.iter_mut().filter(|w| damaged.contains(&w.series)).for_each(|w| w.groups.clear());
    Ok(())
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    /// A merged block holds at least this many readings, where its hours do.
    enough: usize,
    /// Any two loose blocks are made one, if one is small.
    thorough: bool,
    /// Nothing more is expected of the month.
    settled: bool,
}

/// A series' blocks to merge, and its hours on the days they reach.
struct Work {
    series: SeriesId,
    thorough: bool,
    state: SeriesState,
    groups: Vec<Group>,
    hours: Hours,
}

struct Built {
    replacement: Replacement,
    /// How long blocks of each series are now.
    spans: Vec<(SeriesId, i64)>,
    last_id: i64,
}

fn build(work: &mut [Work], first_id: i64, plan: Plan) -> Result<Option<Built>, HistoryError> {
    let mut replacement = Replacement::default();
    let mut spans = Vec::new();
    for Work { series, thorough, state, groups, hours } in work {
        let plan = Plan { thorough: *thorough, ..plan };
        let mut span = state.span_ms;
        let mut days: Option<(i64, i64)> = None;
        for group in &*groups {
            let newest = state.newest.map_or(group.hours.1 - 1, |r| hour_of(r.timestamp));
            let over = if plan.settled { i64::MAX } else { newest };
            let outcome = match merge(*series, group, over, plan) {
                // It stays with its neighbours as it is, for whoever can mend it; whoever reads it is told.
                Err(error @ HistoryError::DamagedBlock { .. }) => {
                    tracing::error!(%error, "blocks are not merged");
                    continue;
                }
                outcome => outcome?,
            };
            let Some(outcome) = outcome else { continue };
            for row in group.rows.iter().filter(|r| outcome.remove.contains(&r.summary.id)) {
                replacement.removed_points += row.summary.all.count as i64;
                replacement.removed_bytes += row.body.as_ref().map_or(0, |body| body.len()) as i64;
            }
            replacement.remove.extend(&outcome.remove);
            let merged = outcome.merged.concat();
            if let Some((first, last)) = merged.first().zip(merged.last()) {
                hours.put(&merged);
                let (first, last) = (day_of(first.timestamp), day_of(last.timestamp));
                days = Some(days.map_or((first, last), |(from, to)| (from.min(first), to.max(last))));
            }
            let merged = outcome.merged.iter().map(|readings| (true, &readings[..]));
            // An hour that is not over may hold more than a block may.
            let loose =
                outcome.loose.iter().flat_map(|readings| even_parts(readings)).map(|part| (false, part));
            for (merged, readings) in merged.chain(loose) {
                let id = first_id + replacement.insert.len() as i64;
                let seal = if merged { Block::seal_merged } else { Block::seal };
                let block =
                    seal(*series, id, state.sealed_through, readings).map_err(HistoryError::Inconsistent)?;
                span = span.max(block.span_ms());
                replacement.insert.push(block);
            }
        }
        if let Some(days) = days {
            replacement.hours.extend(hours.days(*series, days)?);
        }
        spans.push((*series, span));
    }
    let last_id = first_id + replacement.insert.len() as i64 - 1;
    Ok((!replacement.remove.is_empty()).then_some(Built { replacement, spans, last_id }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shared::{
        telemetry::Quality,
        time::{HOUR_MS, Timestamp},
    };

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn pieces_are_cut_at_hours_unless_an_hour_is_too_much(
            hours in prop::collection::vec((1i64..4, prop_oneof![4 => 1usize..400, 1 => 3_000usize..20_000]), 1..12)
        ) {
            let mut readings = Vec::new();
            let mut at = 0;
            for (gap, count) in hours {
                at += gap;
                readings.extend((0..count).map(|i| Reading {
                    value: 1.0,
                    timestamp: Timestamp(at * HOUR_MS + i as i64 * (HOUR_MS / 20_000)),
                    quality: Quality::Good,
                }));
            }
            let pieces = pieces(&readings, 3_600);
            prop_assert_eq!(&pieces.concat(), &readings);
            for pair in pieces.windows(2) {
                let (before, after) = (&pair[0], &pair[1]);
                let cut_within = hour_of(before[before.len() - 1].timestamp) == hour_of(after[0].timestamp);
                let lone = |piece: &[Reading]| hour_of(piece[0].timestamp) == hour_of(piece[piece.len() - 1].timestamp);
                prop_assert!(!cut_within || lone(before) && lone(after));
                prop_assert!(before.len() <= MAX_POINTS);
            }
        }
    }
}
