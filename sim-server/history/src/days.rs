//! The days of months that are settled: what hours come to by the park's clock, a month of a series packed in a row.
//!
//! They only save work. Whoever merges, cuts or drops hours of a month forgets the days of the same series in the same transaction; they
//! are made again once nothing else is to be done. So a row that is there is what the hours say, and where there is none the hours
//! are asked, as they are of whatever is loose or in memory beside them.

use crate::{
    bucket::{Bucket, Buckets, Steps},
    core::Core,
    error::HistoryError,
    head::Heads,
    hours::{DayOfHours, day_of},
    long_steps,
    loose::is_settled,
    month::Month,
    pack,
    query::Sink,
    series::SeriesId,
    stretches::stretches,
};
use jiff::tz::TimeZone;
use shared::time::{HOUR_MS, Timestamp};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry},
    mem::replace,
    ops::Range,
};

/// Where summer time begins a day is this long.
const SHORTEST_DAY_MS: i64 = 22 * HOUR_MS;
/// Rows read or written at once.
const SERIES_AT_ONCE: usize = 256;

/// The days of one month of one series, packed by hours: each begins where its clock says, the first one may lie before the month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MonthOfDays {
    pub series: SeriesId,
    pub body: Vec<u8>,
}

impl MonthOfDays {
    pub(crate) fn open(&self) -> Result<Vec<Bucket>, String> {
        pack::unpack(HOUR_MS, &self.body)
    }

    /// What the hours of a month, in any order of days, come to in each of its days.
    pub(crate) fn of(
        series: SeriesId,
        mut hours: Vec<DayOfHours>,
        days: &Steps,
    ) -> Result<MonthOfDays, HistoryError> {
        hours.sort_by_key(|day| day.day);
        let mut gathered = Buckets::of(days.clone());
        for day in &hours {
            for hour in day.open()? {
                let _ = gathered.aggregate(&hour.all);
            }
        }
        let body = pack::pack(HOUR_MS, &gathered.buckets).map_err(HistoryError::Inconsistent)?;
        Ok(MonthOfDays { series, body })
    }
}

/// The days of a clock that hold something of a month; none where they begin within hours.
pub(crate) fn days_of(month: Month, zone: &TimeZone) -> Option<Steps> {
    let mut date = month.start().to_jiff().to_zoned(zone.clone()).date();
    let mut midnights = Vec::new();
    loop {
        let midnight = Timestamp(date.to_zoned(zone.clone()).ok()?.timestamp().as_millisecond());
        midnights.push(midnight);
        if midnight >= month.end() {
            return Steps::between(midnights).ok().filter(|days| days.are_whole(HOUR_MS));
        }
        date = date.tomorrow().ok()?;
    }
}

/// A question's time in the order of time.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All of a month whose days may be there.
    Month(Month),
    Other(Range<Timestamp>),
}

/// Steps of a day and more meet months that are settled; others only hours.
pub(crate) fn parts(core: &Core, steps: &Steps) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut from = steps.from();
    if steps.shortest_ms() >= SHORTEST_DAY_MS {
        for month in settled(core) {
            let (start, end) = (month.start(), month.end());
            if start < from || end > steps.to() {
                continue;
            }
            if from < start {
                parts.push(Part::Other(from..start));
            }
            parts.push(Part::Month(month));
            from = end;
        }
    }
    if from < steps.to() || parts.is_empty() {
        parts.push(Part::Other(from..steps.to()));
    }
    parts
}

fn settled(core: &Core) -> Vec<Month> {
    let months = core.store.months();
    let newest = months.values().map(|totals| totals.newest).max().unwrap_or_default();
    months.into_keys().filter(|month| is_settled(*month, newest)).collect()
}

/// Adds to what each series did in each step what it did in a month, which follows on what was gathered before. `hours`: so many hours
/// of series may be read at once.
pub(crate) async fn gather(
    core: &Core,
    month: Month,
    hours: usize,
    sinks: &mut [(SeriesId, Buckets)],
) -> Result<(), HistoryError> {
    let (from, to) = (month.start(), month.end());
    for sinks in sinks.chunks_mut(SERIES_AT_ONCE) {
        // Memory, then what is loose, then days: what moves on meanwhile is seen there or has left no days.
        let is_written = |heads: &Heads, id| heads.times(id).any(|at| from <= at && at < to);
        let mut asked: BTreeSet<SeriesId> = {
            let heads = core.heads.read();
            sinks.iter().map(|(id, _)| *id).filter(|id| is_written(&heads, *id)).collect()
        };
        {
            let loose = core.loose.read();
            asked.extend(
                sinks.iter().map(|(id, _)| *id).filter(|id| loose.of_series(*id, from, to).next().is_some()),
            );
        }
        let series: Vec<SeriesId> =
            sinks.iter().map(|(id, _)| *id).filter(|id| !asked.contains(id)).collect();
        let days = core.store.days(month, &series).await?;
        let mut days: HashMap<SeriesId, MonthOfDays> = days.into_iter().map(|d| (d.series, d)).collect();
        let mut others: Vec<(usize, (SeriesId, Buckets))> = Vec::new();
        for (index, (id, sink)) in sinks.iter_mut().enumerate() {
            // What is damaged is made up for by the hours.
            let days = days.remove(id).and_then(|days| days.open().ok());
            let fit = |days: &Vec<Bucket>| days.iter().all(|d| sink.takes(d.all.first_time, d.all.last_time));
            match days.filter(fit) {
                Some(days) => {
                    for day in &days {
                        let _ = sink.aggregate(&day.all);
                    }
                }
                None => {
                    let steps = sink.steps.clone();
                    others.push((index, (*id, replace(sink, Buckets::of(steps)))));
                }
            }
        }
        if others.is_empty() {
            continue;
        }
        let (indices, mut by_hours): (Vec<usize>, Vec<(SeriesId, Buckets)>) = others.into_iter().unzip();
        let series: Vec<SeriesId> = by_hours.iter().map(|(id, _)| *id).collect();
        for range in stretches(core, &series, from..to, hours) {
            long_steps::gather(core, range, &mut by_hours).await?;
        }
        for (index, sink) in indices.into_iter().zip(by_hours) {
            sinks[index] = sink;
        }
    }
    Ok(())
}

/// What is left to make of the days of settled months.
#[derive(Debug, Default)]
pub(crate) struct DaysToMake(BTreeMap<Month, Left>);

#[derive(Debug, Default)]
struct Left {
    /// Every series from this one on.
    from: Option<SeriesId>,
    /// Whose hours changed since they were made.
    changed: BTreeSet<SeriesId>,
    /// Some could not be made.
    is_short: bool,
}

impl Left {
    /// Some of the series that are left.
    fn take(&mut self, series: usize) -> Vec<SeriesId> {
        let Some(SeriesId(from)) = self.from else {
            let some: Vec<SeriesId> = self.changed.iter().take(SERIES_AT_ONCE).copied().collect();
            self.changed.retain(|id| !some.contains(id));
            return some;
        };
        let all = u32::try_from(series).unwrap_or(u32::MAX);
        let end = all.min(from.saturating_add(SERIES_AT_ONCE as u32));
        self.from = (end < all).then_some(SeriesId(end));
        (from..end).map(SeriesId).collect()
    }

    fn is_nothing(&self) -> bool {
        self.from.is_none() && self.changed.is_empty()
    }
}

impl DaysToMake {
    /// Hours of series changed, and their days went with the same transaction.
    pub(crate) fn changed(&mut self, month: Month, series: Vec<SeriesId>) {
        if let Some(left) = self.0.get_mut(&month) {
            left.changed.extend(series);
        }
    }

    /// Hours changed in ways that only the store knows.
    pub(crate) fn look_again(&mut self) {
        self.0.clear();
    }

    /// Makes some days that are missing, and says whether there may be more.
    pub(crate) async fn make_some(&mut self, core: &Core) -> Result<bool, HistoryError> {
        let Some(zone) = &core.options.day_zone else { return Ok(false) };
        let settled = settled(core);
        self.0.retain(|month, _| settled.contains(month));
        for month in settled {
            let left = match self.0.entry(month) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => {
                    let name = core.store.days_made_by(month).await?;
                    let is_made = name.is_some() && name == name_of(zone);
                    new.insert(Left { from: (!is_made).then_some(SeriesId(0)), ..Left::default() })
                }
            };
            let Some(days) = days_of(month, zone).filter(|_| !left.is_nothing()) else { continue };
            let series = left.take(core.registry.len());
            let is_all = left.is_nothing();
            let made = make(core, month, &series, days).await;
            match made {
                Err(_) => {
                    // What is missing is found again.
                    self.0.remove(&month);
                }
                Ok(are_all) => {
                    left.is_short |= !are_all;
                    if let Some(name) = name_of(zone).filter(|_| is_all && !left.is_short) {
                        core.store.note_days_made_by(month, &name).await?;
                    }
                }
            }
            return made.map(|_| true);
        }
        Ok(false)
    }
}

fn name_of(zone: &TimeZone) -> Option<String> {
    zone.iana_name().map(str::to_owned)
}

/// Whether all could be made: whoever asks for others is answered by their hours, or told what is wrong with them.
async fn make(core: &Core, month: Month, series: &[SeriesId], days: Steps) -> Result<bool, HistoryError> {
    let all = (day_of(month.start()), day_of(month.end()) - 1);
    let hours = core.store.hours(month, Some(series), all).await?;
    let wanted: BTreeSet<SeriesId> = series.iter().copied().collect();
    let made = core.work.blocking(move || {
        let mut of_series: BTreeMap<SeriesId, Vec<DayOfHours>> = BTreeMap::new();
        for day in hours.into_iter().filter(|day| wanted.contains(&day.series)) {
            of_series.entry(day.series).or_default().push(day);
        }
        of_series.into_iter().map(|(series, hours)| MonthOfDays::of(series, hours, &days)).collect::<Vec<_>>()
    });
    let made = made.await.map_err(|e| HistoryError::Inconsistent(format!("making days stopped: {e}")))?;
    let mut days = Vec::with_capacity(made.len());
    let mut are_all = true;
    for made in made {
        match made {
            Ok(made) => days.push(made),
            Err(error) => {
                tracing::error!(%error, "the days of a month are not made");
                core.note_damage(&error);
                are_all = false;
            }
        }
    }
    core.store.put_days(month, &days).await?;
    Ok(are_all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_days_of_a_month_are_those_of_a_clock_where_they_begin_with_hours() {
        let june = Month::of(Timestamp::parse("2026-06-15T00:00:00Z").unwrap());
        let starts = |zone: &str| {
            let days = days_of(june, &TimeZone::get(zone).unwrap())?;
            Some((days.from().to_string(), days.to().to_string()))
        };
        let utc = |from: &str, to: &str| Some((from.to_owned(), to.to_owned()));
        assert_eq!(starts("UTC"), utc("2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"));
        assert_eq!(starts("Asia/Shanghai"), utc("2026-05-31T16:00:00Z", "2026-07-01T16:00:00Z"));
        assert_eq!(starts("America/New_York"), utc("2026-05-31T04:00:00Z", "2026-07-01T04:00:00Z"));
        assert_eq!(starts("Asia/Kolkata"), None);
    }

    #[test]
    fn what_is_left_is_taken_once() {
        let mut left =
            Left { from: Some(SeriesId(0)), changed: BTreeSet::from([SeriesId(3)]), is_short: false };
        let mut taken = Vec::new();
        while !left.is_nothing() {
            taken.extend(left.take(SERIES_AT_ONCE + 2));
        }
        let all: Vec<SeriesId> = (0..SERIES_AT_ONCE as u32 + 2).map(SeriesId).collect();
        assert_eq!(taken, [&all[..], &[SeriesId(3)]].concat());
    }
}
