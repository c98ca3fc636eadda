//! What series did last before an instant, however long before it that was.
//!
//! Blocks are looked for by their times alone, the latest first, until each series has one. Only then is anything opened, and only where
//! blocks overlap or go on past the instant.

use crate::{
    History,
    aggregate::Aggregate,
    bucket::{Buckets, Steps},
    core::Core,
    error::HistoryError,
    month::Month,
    query::walk_many,
    series::{SeriesId, SeriesKey},
    store::{Detail, Wanted},
};
use shared::time::{DAY_MS, Timestamp};
use std::{collections::BTreeMap, ops::Range};

impl History {
    /// Of each of the series, in the order asked, some of what it did before an instant, up to and with its newest reading then. None
    /// where it has none.
    pub async fn newest_before(
        &self,
        series: &[SeriesKey],
        before: Timestamp,
    ) -> Result<Vec<Option<Aggregate>>, HistoryError> {
        let newest = self.share_out(series, move |history, ids| async move {
            of_each(&history.0.core, &ids, before).await
        });
        Ok(newest.await?.into_iter().map(|mut of_one| of_one.pop()).collect())
    }
}

async fn of_each(
    core: &Core,
    ids: &[SeriesId],
    before: Timestamp,
) -> Result<Vec<Vec<Aggregate>>, HistoryError> {
    // Memory before blocks: what is sealed in between is seen twice, never missed.
    let mut memory: BTreeMap<SeriesId, Timestamp> = BTreeMap::new();
    let mut left: Vec<SeriesId> = Vec::new();
    let mut span_ms = 0;
    {
        let heads = core.heads.read();
        for id in ids {
            let state = heads.state(*id);
            span_ms = state.span_ms.max(span_ms);
            let newest = heads.times(*id).filter(|at| *at < before).max();
            memory.extend(newest.map(|at| (*id, at)));
            if newest.is_some() || state.newest.is_some() {
                left.push(*id);
            }
        }
    }
    let mut newest: BTreeMap<SeriesId, Aggregate> = BTreeMap::new();
    for (month, stretch) in stretches_before(core, before) {
        // An instant of each that is found at which it has a reading: the newest is not before it.
        let mut found: BTreeMap<SeriesId, Timestamp> = BTreeMap::new();
        found.extend(
            left.iter().filter_map(|id| Some((*id, *memory.get(id)?))).filter(|(_, at)| *at >= stretch.end),
        );
        let series: Vec<SeriesId> = left.iter().copied().filter(|id| !found.contains_key(id)).collect();
        let Range { start: from, end: to } = stretch;
        let wanted = Wanted { series: &series, from, to, span_ms, detail: Detail::Summary };
        for (id, row) in core.store.rows(month, wanted).await? {
            let since = found.entry(id).or_insert(row.summary.all.first_time);
            *since = row.summary.all.first_time.max(*since);
        }
        left.retain(|id| !found.contains_key(id));
        newest.extend(read(core, found, before).await?);
        if left.is_empty() {
            break;
        }
    }
    let in_memory = left.iter().filter_map(|id| Some((*id, *memory.get(id)?))).collect();
    newest.extend(read(core, in_memory, before).await?);
    Ok(ids.iter().map(|id| newest.get(id).copied().into_iter().collect()).collect())
}

/// Where blocks are looked for, the latest first: on the last day of each month, which tells of nearly all series, then on the others.
fn stretches_before(core: &Core, before: Timestamp) -> Vec<(Month, Range<Timestamp>)> {
    let mut stretches = Vec::new();
    for (month, totals) in core.store.months().into_iter().rev() {
        let end = before.min(Timestamp(totals.newest.0.saturating_add(1)));
        let last_day = Timestamp(end.0.saturating_sub(DAY_MS)).max(totals.oldest);
        let parts = [last_day..end, totals.oldest..last_day];
        stretches.extend(parts.into_iter().filter(|part| part.start < part.end).map(|part| (month, part)));
    }
    stretches
}

/// What each did from the instant named on.
async fn read(
    core: &Core,
    since: BTreeMap<SeriesId, Timestamp>,
    before: Timestamp,
) -> Result<Vec<(SeriesId, Aggregate)>, HistoryError> {
    let Some(from) = since.values().min() else { return Ok(Vec::new()) };
    let all = Steps::between([*from, before])?;
    let mut sinks: Vec<(SeriesId, Buckets)> =
        since.keys().map(|id| (*id, Buckets::of(all.clone()))).collect();
    walk_many(core, *from, before, &mut sinks).await?;
    let newest = sinks.into_iter().filter_map(|(id, gathered)| Some((id, gathered.buckets.last()?.all)));
    Ok(newest.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HistoryOptions, Point};
    use shared::{
        telemetry::{Quality, Reading},
        time::HOUR_MS,
    };

    const START: i64 = 1_767_000_000_000;

    fn key(i: u64) -> SeriesKey {
        SeriesKey { device: format!("meter-{i}").parse().unwrap(), measurement: "energy".parse().unwrap() }
    }

    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    #[tokio::test]
    async fn the_newest_before_an_instant_is_the_one_that_reading_all_would_find() {
        let folder = tempfile::tempdir().unwrap();
        let options = HistoryOptions {
            folder: folder.path().into(),
            seal_points: 16,
            merge_points: 40,
            ..Default::default()
        };
        let history = History::open(options).await.unwrap();
        let mut written: BTreeMap<(u64, i64), f64> = BTreeMap::new();
        let mut state = 3;
        for round in 0..60 {
            // Some hours of some series, now here and now there within a hundred days: silence, disorder and rewriting.
            let (series, hour) = (next(&mut state) % 4, next(&mut state) as i64 % 2_400);
            let count = if series == 3 { 1 } else { next(&mut state) % 60 };
            let points = (0..count).map(|i| {
                let at = START + hour * HOUR_MS + (next(&mut state) % 40) as i64 * 300_000;
                let value = (round * 100 + i) as f64;
                written.insert((series, at), value);
                let reading = Reading { value, timestamp: Timestamp(at), quality: Quality::Good };
                Point { series: key(series), reading }
            });
            let points = points.collect();
            history.append(points).await.unwrap();
            match next(&mut state) % 4 {
                0 => history.checkpoint().await.unwrap(),
                1 => history.compact().await.unwrap(),
                _ => {}
            }
        }
        let series: Vec<SeriesKey> = [2, 0, 9, 3, 1].map(key).to_vec();
        let check = async |written: &BTreeMap<(u64, i64), f64>, before: i64| {
            let told = history.newest_before(&series, Timestamp(before)).await.unwrap();
            for (i, told) in [2, 0, 9, 3, 1].into_iter().zip(told) {
                let expected = written.range((i, i64::MIN)..(i, before)).next_back();
                let told = told.map(|all| ((i, all.last_time.0), all.last));
                assert_eq!(told, expected.map(|(at, value)| (*at, *value)), "{i} before {before}");
            }
        };
        let all: Vec<i64> = written.keys().map(|(_, at)| *at).collect();
        let instants = all.iter().step_by(7).flat_map(|at| [*at, at + 1]);
        let others = (0..100).map(|i| START - HOUR_MS + i * 25 * HOUR_MS);
        for before in instants.chain(others).chain([0, i64::MAX]) {
            check(&written, before).await;
        }
        let cutoff = START + 1_200 * HOUR_MS;
        history.delete_before(Timestamp(cutoff)).await.unwrap();
        written.retain(|(_, at), _| *at >= cutoff);
        for before in (0..50).map(|i| cutoff - HOUR_MS + i * 31 * HOUR_MS) {
            check(&written, before).await;
        }
    }
}
