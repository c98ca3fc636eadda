//! Steps of whole hours, of many series at once: from the hours of what is merged, and what is loose or in memory beside them.
//!
//! An hour is answered from what it comes to unless readings of it may have been written twice: where something loose or in memory
//! falls into an hour that is merged, or overlaps another, and where a piece crosses hours, the readings themselves are asked.

use crate::{
    aggregate::Aggregate,
    bucket::{Bucket, Buckets, Steps},
    core::Core,
    error::HistoryError,
    hours::{DayOfHours, Hours, day_of, hour_of, start_of_hour},
    query::{self, Sink},
    series::SeriesId,
};
use shared::{telemetry::Reading, time::Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
};

/// Adds to what each series did in each step what it did in `range`, which follows on what was gathered before and begins at a whole
/// hour, as the steps do.
pub(crate) async fn gather(
    core: &Core,
    range: Range<Timestamp>,
    sinks: &mut [(SeriesId, Buckets)],
) -> Result<(), HistoryError> {
    gather_all(core, range, sinks).await.inspect_err(|error| core.note_damage(error))
}

async fn gather_all(
    core: &Core,
    range: Range<Timestamp>,
    sinks: &mut [(SeriesId, Buckets)],
) -> Result<(), HistoryError> {
    let (from, to) = (range.start, range.end);
    if from >= to || sinks.is_empty() {
        return Ok(());
    }
    let series: Vec<SeriesId> = sinks.iter().map(|(id, _)| *id).collect();
    let months = core.store.months();
    // Memory, then what is loose, then hours: what moves on meanwhile is seen twice, never missed.
    let memory: Vec<Vec<Reading>> = {
        let heads = core.heads.read();
        series.iter().map(|id| heads.snapshot(*id, from, to).0).collect()
    };
    let loose: Vec<Vec<Aggregate>> = {
        let blocks = core.loose.read();
        series.iter().map(|id| blocks.of_series(*id, from, to).map(|l| l.all).collect()).collect()
    };
    let mut days: HashMap<SeriesId, Vec<DayOfHours>> = HashMap::with_capacity(series.len());
    for (month, totals) in months.iter().filter(|(_, t)| t.oldest < to && t.newest >= from) {
        let first = from.max(month.start()).max(totals.oldest);
        let last = Timestamp(to.min(month.end()).0 - 1).min(totals.newest);
        for day in core.store.hours(*month, Some(&series), (day_of(first), day_of(last))).await? {
            days.entry(day.series).or_default().push(day);
        }
    }
    days.values_mut().for_each(|days| days.sort_by_key(|day| day.day));
    let mut parts: Vec<Vec<Part>> = Vec::with_capacity(series.len());
    for (index, (id, sink)) in sinks.iter_mut().enumerate() {
        let days = days.remove(id).unwrap_or_default();
        let (loose, memory) = (&loose[index], &memory[index]);
        let mut hours = Hours::default();
        if loose.is_empty() && memory.is_empty() {
            // Nearly all of the past: nothing but hours.
            let opened: Vec<Vec<Bucket>> = days.iter().map(DayOfHours::open).collect::<Result<_, _>>()?;
            let within = |bucket: &&Bucket| bucket.all.first_time >= from && bucket.start < to;
            let within = || opened.iter().flatten().filter(within);
            if within().next_back().is_none_or(|last| last.all.last_time < to) {
                for hour in within() {
                    let _ = sink.aggregate(&hour.all);
                }
                parts.push(Vec::new());
                continue;
            }
            hours.extend(opened.into_iter().flatten());
        } else {
            for day in &days {
                hours.add(day)?;
            }
        }
        parts.push(parts_of(&hours, loose, memory, from..to));
    }
    let mut asked = ask(core, &series, &parts, &sinks[0].1.steps.clone()).await?;
    for (index, (parts, (_, sink))) in parts.iter().zip(sinks).enumerate() {
        for part in parts {
            let known = match part {
                Part::Known(all) => std::slice::from_ref(all),
                Part::Ask(range) => asked.entry((range.start, range.end, index)).or_default(),
            };
            for one in known {
                let _ = sink.aggregate(one);
            }
        }
    }
    Ok(())
}

type Asked = BTreeMap<(Timestamp, Timestamp, usize), Vec<Aggregate>>;

/// Looks at the readings of the ranges that are to be asked, the same range of many series at once.
async fn ask(
    core: &Core,
    series: &[SeriesId],
    parts: &[Vec<Part>],
    steps: &Steps,
) -> Result<Asked, HistoryError> {
    let mut ranges: BTreeMap<(Timestamp, Timestamp), Vec<usize>> = BTreeMap::new();
    for (index, parts) in parts.iter().enumerate() {
        for part in parts {
            if let Part::Ask(range) = part {
                ranges.entry((range.start, range.end)).or_default().push(index);
            }
        }
    }
    let mut asked = Asked::new();
    for ((from, to), indices) in ranges {
        let mut sinks: Vec<(SeriesId, Buckets)> =
            indices.iter().map(|i| (series[*i], Buckets::of(steps.clone()))).collect();
        query::walk_many(core, from, to, &mut sinks).await?;
        for (index, (_, gathered)) in indices.into_iter().zip(sinks) {
            asked.insert((from, to, index), gathered.buckets.into_iter().map(|b| b.all).collect());
        }
    }
    Ok(asked)
}

/// Some of a series, in the order of time.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    Known(Aggregate),
    /// The readings of this range must be looked at.
    Ask(Range<Timestamp>),
}

fn parts_of(hours: &Hours, loose: &[Aggregate], memory: &[Reading], range: Range<Timestamp>) -> Vec<Part> {
    let merged = hours.within(hour_of(range.start), hour_of(Timestamp(range.end.0 - 1)));
    let mut fresh: Vec<Aggregate> = loose.to_vec();
    fresh.extend(
        memory.chunk_by(|a, b| hour_of(a.timestamp) == hour_of(b.timestamp)).filter_map(Aggregate::of_all),
    );
    fresh.sort_by_key(|all| all.first_time);
    let mut asked = BTreeSet::new();
    // An hour the range ends within, if it says more than the range holds.
    let last = hour_of(range.end);
    if hours.within(last, last).any(|all| all.last_time >= range.end) && range.end != start_of_hour(last) {
        asked.insert(last);
    }
    let mut through = None;
    for all in &fresh {
        let (first, last) = (hour_of(all.first_time), hour_of(all.last_time));
        let overlaps = through.is_some_and(|t| all.first_time <= t);
        let beyond = all.first_time < range.start || all.last_time >= range.end;
        if first != last || overlaps || beyond || hours.any(first, last) {
            asked.extend(first.max(hour_of(range.start))..=last.min(hour_of(range.end)));
        }
        through = through.max(Some(all.last_time));
    }
    let is_asked = |hour: i64| asked.contains(&hour);
    // What begins before the range is asked about from there on.
    let is_known = |all: &&Aggregate| all.first_time >= range.start && !is_asked(hour_of(all.first_time));
    let known = merged.chain(&fresh).filter(is_known);
    let mut parts: Vec<(Timestamp, Part)> = known.map(|all| (all.first_time, Part::Known(*all))).collect();
    let mut ask: Option<Range<i64>> = None;
    for hour in asked.iter().copied().chain([i64::MAX]) {
        match &mut ask {
            Some(open) if open.end == hour => open.end += 1,
            open => {
                let done = open.replace(hour..hour.saturating_add(1));
                parts.extend(done.map(|hours| {
                    let (start, end) = (start_of_hour(hours.start), start_of_hour(hours.end));
                    let asked = start.max(range.start)..end.min(range.end);
                    (asked.start, Part::Ask(asked))
                }));
            }
        }
    }
    parts.sort_by_key(|(at, _)| *at);
    parts.into_iter().map(|(_, part)| part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::{telemetry::Quality, time::HOUR_MS};

    fn reading(minute: i64) -> Reading {
        Reading { value: minute as f64, timestamp: Timestamp(minute * 60_000), quality: Quality::Good }
    }

    fn all(minutes: Range<i64>) -> Aggregate {
        Aggregate::of_all(&minutes.map(reading).collect::<Vec<_>>()).unwrap()
    }

    fn ask(hours: Range<i64>) -> Part {
        Part::Ask(start_of_hour(hours.start)..start_of_hour(hours.end))
    }

    #[test]
    fn an_hour_is_known_unless_readings_of_it_may_be_written_twice() {
        let mut hours = Hours::default();
        hours.put(&(0..180).map(reading).collect::<Vec<_>>());
        let day = Timestamp(0)..Timestamp(24 * HOUR_MS);
        let merged = |hour: i64| Part::Known(all(hour * 60..hour * 60 + 60));
        let late: Vec<_> = [70, 75].map(reading).to_vec();
        let table = [
            // (loose, in memory, expected)
            (vec![], vec![], vec![merged(0), merged(1), merged(2)]),
            (
                vec![all(180..200)],
                (200..220).map(reading).collect(),
                vec![merged(0), merged(1), merged(2), Part::Known(all(180..200)), Part::Known(all(200..220))],
            ),
            (vec![], late, vec![merged(0), ask(1..2), merged(2)]),
            (vec![all(110..130)], vec![], vec![merged(0), ask(1..3)]),
            (vec![all(180..200), all(190..210)], vec![], vec![merged(0), merged(1), merged(2), ask(3..4)]),
            (vec![all(230..250), all(250..260)], vec![], vec![merged(0), merged(1), merged(2), ask(3..5)]),
        ];
        for (loose, memory, expected) in table {
            assert_eq!(parts_of(&hours, &loose, &memory, day.clone()), expected, "{loose:?} {memory:?}");
        }
        let (two, through_it) = (start_of_hour(2)..start_of_hour(3), [all(90..200)]);
        assert_eq!(parts_of(&Hours::default(), &through_it, &[], two.clone()), [Part::Ask(two)]);
        let until_half_past_two = day.start..Timestamp(150 * 60_000);
        let (start, end) = (start_of_hour(2), until_half_past_two.end);
        assert_eq!(
            parts_of(&hours, &[], &[], until_half_past_two),
            [merged(0), merged(1), Part::Ask(start..end)]
        );
        let mut until_a_third = Hours::default();
        until_a_third.put(&(0..140).map(reading).collect::<Vec<_>>());
        let last = Part::Known(all(120..140));
        assert_eq!(parts_of(&until_a_third, &[], &[], day.start..end), [merged(0), merged(1), last]);
    }
}
