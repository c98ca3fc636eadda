//! A long time of many series, cut into stretches that are read one after the other: what is read at once is bounded, and where
//! nothing is stored nothing is read.

use crate::{core::Core, series::SeriesId};
use shared::time::{DAY_MS, HOUR_MS, Timestamp};
use std::{collections::BTreeSet, ops::Range};

/// Stretches of `range` that hold all of its readings, in the order of time: each at most `hours` hours of series long, and of an hour at
/// least. Each but the first begins at a whole hour.
pub(crate) fn stretches(
    core: &Core,
    series: &[SeriesId],
    range: Range<Timestamp>,
    hours: usize,
) -> Vec<Range<Timestamp>> {
    let width_ms = width_ms(series.len(), hours);
    if range.end.0.saturating_sub(range.start.0) <= width_ms {
        return vec![range];
    }
    let last = Timestamp(range.end.0 - 1);
    let place = |t: Timestamp| t.0.div_euclid(width_ms);
    let mut places = BTreeSet::new();
    // Memory before months: what is sealed in between is seen twice, never missed.
    {
        let heads = core.heads.read();
        for id in series {
            let mut before = None;
            for at in heads.times(*id).filter(|at| range.contains(at)).map(place) {
                if before.replace(at) != Some(at) {
                    places.insert(at);
                }
            }
        }
    }
    for (month, totals) in core.store.months() {
        let first = range.start.max(month.start()).max(totals.oldest);
        let last = last.min(Timestamp(month.end().0 - 1)).min(totals.newest);
        if first <= last {
            places.extend(place(first)..=place(last));
        }
    }
    let stretch = |place: i64| {
        let start = Timestamp(place * width_ms);
        start.max(range.start)..Timestamp(start.0.saturating_add(width_ms)).min(range.end)
    };
    places.into_iter().map(stretch).collect()
}

/// Whole days where it can be: hours are kept by days.
fn width_ms(series: usize, hours: usize) -> i64 {
    match (hours / series.max(1)).clamp(1, 24 * 3_660) as i64 {
        hours @ 24.. => hours / 24 * DAY_MS,
        hours => hours * HOUR_MS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_of_whole_days_or_of_hours() {
        for (series, hours, expected) in [
            (1, 3, 3),
            (2, 3, 1),
            (9, 3, 1),
            (0, 3, 3),
            (500, 65_536, 120),
            (1, 30, 24),
            (1, usize::MAX, 87_840),
        ] {
            assert_eq!(width_ms(series, hours), expected * HOUR_MS, "{series} {hours}");
        }
    }
}
