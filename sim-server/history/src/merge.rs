//! Merging: the loose blocks that sealing leaves become few large ones with their minutes packed, late readings join the hours
//! they belong to, and of readings written twice the last one stays.
//!
//! A merged block covers whole hours (UTC), so an hour lies in one block unless it holds more than a block may. Hours of which
//! more is still to come stay loose. Each step replaces blocks of one month in one transaction; readers that meet a block which
//! has just gone look again.

use crate::{
    block::{Block, MAX_POINTS},
    core::Core,
    error::HistoryError,
    head::{SeriesState, sort_last_written_wins},
    month::Month,
    query::open_block,
    series::SeriesId,
    store::{Batch, Detail, Replacement, Row, Wanted},
};
use shared::{
    telemetry::Reading,
    time::{HOUR_MS, Timestamp},
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// So many small loose blocks (of less than half of enough) are made one, even when their hours are not over.
const MANY: usize = 8;
/// Readings merged in one transaction.
const READINGS_AT_ONCE: u64 = 400_000;
/// A month that ended this long before the newest reading is settled: what is loose in it is merged as it is.
const SETTLED_AFTER_MS: i64 = 24 * HOUR_MS;

/// A block that waits to be merged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Loose {
    pub id: i64,
    pub first: Timestamp,
    pub last: Timestamp,
    pub count: u64,
}

impl Loose {
    pub(crate) fn of(block: &Block) -> Loose {
        let all = &block.summary.all;
        Loose { id: block.summary.id, first: all.first_time, last: all.last_time, count: all.count }
    }
}

/// The loose blocks of a store, and which series have enough of them.
#[derive(Debug)]
pub(crate) struct LooseBlocks {
    /// A merged block holds at least this many readings, where its hours do.
    enough: usize,
    months: BTreeMap<Month, HashMap<SeriesId, Vec<Loose>>>,
    due: BTreeSet<(Month, SeriesId)>,
}

impl LooseBlocks {
    pub(crate) fn new(enough: usize, all: Vec<(SeriesId, Loose)>) -> LooseBlocks {
        let mut blocks = LooseBlocks { enough, months: BTreeMap::new(), due: BTreeSet::new() };
        for (series, loose) in all {
            blocks.add(series, loose);
        }
        blocks
    }

    pub(crate) fn add(&mut self, series: SeriesId, loose: Loose) {
        let month = Month::of(loose.first);
        let of_series = self.months.entry(month).or_default().entry(series).or_default();
        of_series.push(loose);
        let small = of_series.iter().filter(|l| is_small(l.count, self.enough)).count();
        let hours =
            of_series.iter().map(|l| hour(l.first)).min() < of_series.iter().map(|l| hour(l.last)).max();
        let enough = of_series.iter().map(|l| l.count).sum::<u64>() >= self.enough as u64;
        if small >= MANY || hours && enough {
            self.due.insert((month, series));
        }
    }

    /// Every series that has any in a month that is settled, or (`everything`) at all.
    fn call_in(&mut self, newest: Timestamp, everything: bool) {
        let settled = |month: &Month| month.end().0.saturating_add(SETTLED_AFTER_MS) <= newest.0;
        for (month, series) in self.months.iter().filter(|(month, _)| everything || settled(month)) {
            self.due.extend(series.keys().map(|id| (*month, *id)));
        }
    }

    /// The next series to merge, all of one month, until they hold enough readings.
    fn next(&mut self) -> Option<(Month, Vec<SeriesId>)> {
        let month = self.due.first()?.0;
        let (mut series, mut readings) = (Vec::new(), 0);
        while let Some((at, id)) = self.due.first().copied().filter(|(at, _)| *at == month) {
            let blocks = self.months.get(&at).and_then(|m| m.get(&id)).map_or(&[][..], Vec::as_slice);
            let count: u64 = blocks.iter().map(|l| l.count).sum();
            if !series.is_empty() && readings + count > READINGS_AT_ONCE {
                break;
            }
            readings += count;
            series.push(id);
            self.due.pop_first();
        }
        Some((month, series))
    }

    fn replace(&mut self, month: Month, series: SeriesId, removed: &[i64], added: &[Block]) {
        let Some(of_month) = self.months.get_mut(&month) else { return };
        let of_series = of_month.entry(series).or_default();
        of_series.retain(|l| !removed.contains(&l.id));
        of_series.extend(added.iter().filter(|b| !b.merged).map(Loose::of));
        if of_series.is_empty() {
            self.forget(month, series);
        }
    }

    fn forget(&mut self, month: Month, series: SeriesId) {
        let Some(of_month) = self.months.get_mut(&month) else { return };
        of_month.remove(&series);
        if of_month.is_empty() {
            self.months.remove(&month);
        }
    }
}

fn is_small(count: u64, enough: usize) -> bool {
    count * 2 < enough as u64
}

fn hour(t: Timestamp) -> i64 {
    t.0.div_euclid(HOUR_MS)
}

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
        let hours = (hour(all.first_time), hour(all.last_time) + 1);
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
fn merge(series: SeriesId, group: &Group, over: i64, enough: usize) -> Result<Option<Outcome>, HistoryError> {
    let mut rows: Vec<&Row> = group.rows.iter().collect();
    rows.sort_by_key(|row| row.summary.id);
    let mut readings = Vec::new();
    for row in &rows {
        let body = row.body.as_deref().unwrap_or_default();
        readings.extend(open_block(series, &row.summary, body)?);
    }
    sort_last_written_wins(&mut readings);
    // What was merged stays merged.
    let merged_to = rows.iter().filter(|r| r.merged).map(|r| hour(r.summary.all.last_time) + 1).max();
    let over = merged_to.map_or(over, |hour| hour.max(over));
    let complete = readings.partition_point(|r| hour(r.timestamp) < over);
    let (complete, rest) = readings.split_at(complete);
    if merged_to.is_some() || over >= group.hours.1 || complete.len() >= enough {
        // Loose blocks of the last hour alone stay as they are.
        let stays = |row: &&Row| !row.merged && hour(row.summary.all.first_time) >= over;
        let kept: Vec<i64> = rows.iter().copied().filter(|r| stays(r)).map(|r| r.summary.id).collect();
        let remove: Vec<i64> = rows.iter().map(|r| r.summary.id).filter(|id| !kept.contains(id)).collect();
        if kept.is_empty() {
            let loose = (!rest.is_empty()).then(|| rest.to_vec());
            return Ok(Some(Outcome { remove, merged: pieces(complete, enough), loose }));
        }
        // Readings of the last hour come from blocks that stay and from blocks that go; the order of writing among them is only
        // kept by making one of all.
        let goes_into_rest = rows.iter().any(|r| !stays(r) && hour(r.summary.all.last_time) >= over);
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
    let small: Vec<&Row> = rows.into_iter().filter(|r| is_small(r.summary.all.count, enough)).collect();
    if small.len() < MANY || readings.len() > MAX_POINTS {
        return Ok(None);
    }
    let remove = group.rows.iter().map(|r| r.summary.id).collect();
    Ok(Some(Outcome { remove, merged: Vec::new(), loose: Some(readings) }))
}

/// Cuts readings at hours into blocks of enough and not too many; an hour of too many is cut evenly.
fn pieces(readings: &[Reading], enough: usize) -> Vec<Vec<Reading>> {
    let mut pieces: Vec<Vec<Reading>> = Vec::new();
    let mut open: Vec<Reading> = Vec::new();
    for of_hour in readings.chunk_by(|a, b| hour(a.timestamp) == hour(b.timestamp)) {
        if open.len() >= enough || open.len() + of_hour.len() > MAX_POINTS {
            pieces.extend(Some(std::mem::take(&mut open)).filter(|piece| !piece.is_empty()));
        }
        if of_hour.len() > MAX_POINTS {
            let parts = of_hour.len().div_ceil(MAX_POINTS);
            pieces.extend(of_hour.chunks(of_hour.len().div_ceil(parts)).map(<[Reading]>::to_vec));
        } else {
            open.extend_from_slice(of_hour);
        }
    }
    pieces.extend(Some(open).filter(|piece| !piece.is_empty()));
    pieces
}

/// Merges some of what is due, and says whether there may be more. `everything` calls in what would wait.
pub(crate) async fn merge_due(
    core: &Core,
    blocks: &mut LooseBlocks,
    last_block_id: &mut i64,
    everything: bool,
) -> Result<bool, HistoryError> {
    let newest = core.store.months().values().map(|t| t.newest).max().unwrap_or_default();
    if everything || blocks.months.len() > 1 {
        blocks.call_in(newest, everything);
    }
    let Some((month, due)) = blocks.next() else { return Ok(false) };
    match merge_series(core, blocks, last_block_id, month, &due, newest).await {
        Ok(()) => Ok(true),
        Err(error) => {
            // Whatever the store did of it, what it holds now is the truth.
            *blocks = LooseBlocks::new(blocks.enough, core.store.loose().await?);
            Err(error)
        }
    }
}

async fn merge_series(
    core: &Core,
    blocks: &mut LooseBlocks,
    last_block_id: &mut i64,
    month: Month,
    due: &[SeriesId],
    newest: Timestamp,
) -> Result<(), HistoryError> {
    let settled = month.end().0.saturating_add(SETTLED_AFTER_MS) <= newest.0;
    let mut work: Vec<(SeriesId, SeriesState, Vec<Group>)> = Vec::new();
    for series in due {
        let Some(loose) = blocks.months.get(&month).and_then(|m| m.get(series)) else { continue };
        let Some((first, last)) = loose.iter().map(|l| l.first).min().zip(loose.iter().map(|l| l.last).max())
        else {
            continue;
        };
        let state = core.heads.read().state(*series);
        let hours = |t: i64| Timestamp(t * HOUR_MS);
        let (from, to) = (hours(hour(first)), hours(hour(last) + 1));
        let span_ms = state.span_ms;
        let wanted = Wanted { series: *series, from, to, span_ms, detail: Detail::Summary };
        let rows = core.store.rows(month, wanted).await?;
        let mut groups = groups(rows);
        groups.retain(|g| g.rows.iter().any(|r| !r.merged));
        let ids: Vec<i64> = groups.iter().flat_map(|g| &g.rows).map(|r| r.summary.id).collect();
        let mut bodies: HashMap<i64, Vec<u8>> = core.store.bodies(month, &ids).await?.into_iter().collect();
        for row in groups.iter_mut().flat_map(|g| &mut g.rows) {
            row.body = bodies.remove(&row.summary.id);
        }
        work.push((*series, state, groups));
    }
    let (first_id, enough) = (*last_block_id + 1, blocks.enough);
    let built = tokio::task::spawn_blocking(move || build(&work, first_id, settled, enough))
        .await
        .map_err(|e| HistoryError::Inconsistent(format!("merging stopped: {e}")))??;
    let Some((replacement, states, last_id)) = built else {
        if settled {
            // There is nothing of them after all.
            due.iter().for_each(|series| blocks.forget(month, *series));
        }
        return Ok(());
    };
    *last_block_id = last_id;
    // Readers must look far enough for the longer blocks before these are there.
    let wider = core.heads.write().widen(&states);
    if !wider.is_empty() {
        core.store.commit(&Batch { states: wider, ..Batch::default() }).await?;
    }
    core.store.replace(month, &replacement, last_id).await?;
    for (series, _) in states {
        let added: Vec<Block> = replacement.insert.iter().filter(|b| b.series == series).cloned().collect();
        blocks.replace(month, series, &replacement.remove, &added);
    }
    Ok(())
}

type Built = (Replacement, Vec<(SeriesId, i64)>, i64);

/// The replacement, how long blocks of each series are now, and the last block's number.
fn build(
    work: &[(SeriesId, SeriesState, Vec<Group>)],
    first_id: i64,
    settled: bool,
    enough: usize,
) -> Result<Option<Built>, HistoryError> {
    let mut replacement = Replacement::default();
    let mut spans = Vec::new();
    for (series, state, groups) in work {
        let mut span = state.span_ms;
        for group in groups {
            let newest = state.newest.map_or(group.hours.1 - 1, |r| hour(r.timestamp));
            let over = if settled { i64::MAX } else { newest };
            let Some(outcome) = merge(*series, group, over, enough)? else { continue };
            for row in group.rows.iter().filter(|r| outcome.remove.contains(&r.summary.id)) {
                replacement.removed_points += row.summary.all.count as i64;
                replacement.removed_bytes += row.body.as_ref().map_or(0, Vec::len) as i64;
            }
            replacement.remove.extend(&outcome.remove);
            let merged = outcome.merged.iter().map(|readings| (true, readings));
            let loose = outcome.loose.iter().map(|readings| (false, readings));
            for (merged, readings) in merged.chain(loose) {
                let id = first_id + replacement.insert.len() as i64;
                let seal = if merged { Block::seal_merged } else { Block::seal };
                let block =
                    seal(*series, id, state.sealed_through, readings).map_err(HistoryError::Inconsistent)?;
                span = span.max(block.span_ms());
                replacement.insert.push(block);
            }
        }
        spans.push((*series, span));
    }
    let last_id = first_id + replacement.insert.len() as i64 - 1;
    Ok((!replacement.remove.is_empty()).then_some((replacement, spans, last_id)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shared::telemetry::Quality;

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
                let cut_within = hour(before[before.len() - 1].timestamp) == hour(after[0].timestamp);
                let lone = |piece: &[Reading]| hour(piece[0].timestamp) == hour(piece[piece.len() - 1].timestamp);
                prop_assert!(!cut_within || lone(before) && lone(after));
                prop_assert!(before.len() <= MAX_POINTS);
            }
        }
    }
}
