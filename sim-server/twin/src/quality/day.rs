//! What is counted of a device in one of the park's days, and the figures that follow.
//!
//! Counts of the same day add up, so memory holds only what was not written yet.

use jiff::{civil::Date, tz::TimeZone};
use serde::{Deserialize, Serialize};
use shared::{
    quality::QualityFigures,
    thing_model::ThingModel,
    time::{DAY_MS, MINUTE_MS, Timestamp},
};

/// Readings are counted by stretches of this length.
const SLOT_MS: i64 = 5 * MINUTE_MS;

/// A calendar day in the park's zone; 23 or 25 hours where clocks change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParkDay {
    pub(crate) date: Date,
    pub(crate) start: Timestamp,
    pub(crate) end: Timestamp,
}

impl ParkDay {
    pub(crate) fn of(at: Timestamp, zone: &TimeZone) -> Self {
        Self::on(at.local(zone).date(), zone)
    }

    pub(crate) fn on(date: Date, zone: &TimeZone) -> Self {
        let midnight = |date: Date| {
            let at = date.to_zoned(zone.clone()).map(|z| Timestamp(z.timestamp().as_millisecond()));
            at.unwrap_or_default()
        };
        let start = midnight(date);
        let end = date.tomorrow().map_or(Timestamp(start.0 + DAY_MS), midnight);
        Self { date, start, end }
    }

    pub(crate) fn holds(&self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct DayCounts {
    pub(crate) received: u64,
    pub(crate) late: u64,
    pub(crate) backfilled: u64,
    pub(crate) out_of_range: u64,
    pub(crate) suspect: u64,
    pub(crate) jumps: u64,
    pub(crate) stuck: u64,
    pub(crate) skewed: u64,
    pub(crate) duplicates: u64,
    pub(crate) refused: u64,
    pub(crate) converted: u64,
    /// The clock's largest error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) skew_ms: Option<i64>,
    /// Readings that came by themselves, by slot since midnight.
    slots: Vec<(u16, u32)>,
    /// Slots that back-fill came for.
    filled: Vec<u16>,
}

impl DayCounts {
    /// Counts readings of an instant.
    pub(crate) fn take(&mut self, day: &ParkDay, at: Timestamp, readings: u32, is_backfill: bool) {
        let slot = (at.since(day.start) / SLOT_MS).clamp(0, i64::from(u16::MAX)) as u16;
        self.received += u64::from(readings);
        if is_backfill {
            self.backfilled += u64::from(readings);
            if self.filled.last() != Some(&slot) && !self.filled.contains(&slot) {
                self.filled.push(slot);
            }
        } else {
            self.take_slot(slot, readings);
        }
    }

    fn take_slot(&mut self, slot: u16, readings: u32) {
        // Time goes on: it is nearly always the last one.
        match self.slots.iter_mut().rev().find(|(known, _)| *known == slot) {
            Some((_, count)) => *count = count.saturating_add(readings),
            None => self.slots.push((slot, readings)),
        }
    }

    /// The larger error of the clock.
    pub(crate) fn note_skew(&mut self, skew_ms: Option<i64>) {
        if skew_ms.map(i64::abs) > self.skew_ms.map(i64::abs) {
            self.skew_ms = skew_ms;
        }
    }

    pub(crate) fn merge(&mut self, other: &DayCounts) {
        for (sum, more) in [
            (&mut self.received, other.received),
            (&mut self.late, other.late),
            (&mut self.backfilled, other.backfilled),
            (&mut self.out_of_range, other.out_of_range),
            (&mut self.suspect, other.suspect),
            (&mut self.jumps, other.jumps),
            (&mut self.stuck, other.stuck),
            (&mut self.skewed, other.skewed),
            (&mut self.duplicates, other.duplicates),
            (&mut self.refused, other.refused),
            (&mut self.converted, other.converted),
        ] {
            *sum += more;
        }
        self.note_skew(other.skew_ms);
        for (slot, readings) in &other.slots {
            self.take_slot(*slot, *readings);
        }
        for slot in &other.filled {
            if !self.filled.contains(slot) {
                self.filled.push(*slot);
            }
        }
        self.slots.sort_unstable();
        self.filled.sort_unstable();
    }

    /// The day's figures up to `now`; nothing was expected before `begin`.
    ///
    /// Completeness is taken slot by slot (or by as many slots as the longest period takes), so that an hour of too many
    /// readings does not stand for an hour of none. Slots that back-fill came for, and the one that is not over, are left out.
    pub(crate) fn figures(
        &self,
        day: &ParkDay,
        begin: Timestamp,
        now: Timestamp,
        expected: &Expected,
    ) -> QualityFigures {
        let mut figures = QualityFigures {
            received: self.received,
            late: self.late,
            backfilled: self.backfilled,
            out_of_range: self.out_of_range,
            suspect: self.suspect,
            jumps: self.jumps,
            stuck: self.stuck,
            skewed: self.skewed,
            duplicates: self.duplicates,
            refused: self.refused,
            converted: self.converted,
            ..QualityFigures::default()
        };
        if let Some(longest_ms) = expected.longest_ms {
            let stretch = (longest_ms + SLOT_MS - 1) / SLOT_MS;
            let slots = (day.end.since(day.start) + SLOT_MS - 1) / SLOT_MS;
            let mut by_slot = vec![0u64; slots as usize];
            let mut is_filled = vec![false; slots as usize];
            for (slot, readings) in &self.slots {
                if let Some(count) = by_slot.get_mut(usize::from(*slot)) {
                    *count += u64::from(*readings);
                }
            }
            for slot in &self.filled {
                if let Some(filled) = is_filled.get_mut(usize::from(*slot)) {
                    *filled = true;
                }
            }
            let (mut wanted, mut came, mut gap_ms) = (0.0, 0.0, 0);
            for (index, counts) in by_slot.chunks(stretch as usize).enumerate() {
                let first = index * stretch as usize;
                let from = Timestamp(day.start.0 + first as i64 * SLOT_MS);
                let to = Timestamp(from.0 + stretch * SLOT_MS).min(day.end);
                let filled = is_filled[first..first + counts.len()].contains(&true);
                if from < begin || to > now || filled {
                    gap_ms = 0;
                    continue;
                }
                let readings = counts.iter().sum::<u64>();
                let share = expected.per_ms * to.since(from) as f64;
                wanted += share;
                came += share.min(readings as f64);
                gap_ms = if readings == 0 { gap_ms + to.since(from) } else { 0 };
                figures.longest_gap_s = figures.longest_gap_s.max((gap_ms / 1_000) as u32);
            }
            (figures.expected, figures.came) = (wanted.round() as u64, came.round() as u64);
        }
        figures.shares();
        figures
    }
}

/// How much a device of a model is expected to send.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Expected {
    per_ms: f64,
    /// `None` where the model says nothing about it.
    longest_ms: Option<i64>,
}

impl Expected {
    pub(crate) fn of(model: &ThingModel) -> Self {
        let periods = || model.measurements.iter().filter_map(|m| model.period_ms(m));
        Self { per_ms: periods().map(|ms| 1.0 / ms as f64).sum(), longest_ms: periods().max() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day() -> ParkDay {
        ParkDay::on("2026-06-01".parse().unwrap(), &TimeZone::get("Asia/Shanghai").unwrap())
    }

    fn minute(n: i64) -> Timestamp {
        Timestamp(day().start.0 + n * MINUTE_MS)
    }

    const EVERY_MINUTE: Expected = Expected { per_ms: 1.0 / 60_000.0, longest_ms: Some(MINUTE_MS) };

    /// One reading a minute over `minutes`.
    fn live(minutes: std::ops::Range<i64>) -> DayCounts {
        let mut counts = DayCounts::default();
        minutes.for_each(|n| counts.take(&day(), minute(n), 1, false));
        counts
    }

    #[test]
    fn days_are_the_parks_and_as_long_as_they_are() {
        assert_eq!(day().start, Timestamp::parse("2026-05-31T16:00:00Z").unwrap());
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let spring = ParkDay::of(Timestamp::parse("2026-03-29T12:00:00Z").unwrap(), &berlin);
        assert_eq!(spring.end.since(spring.start), 23 * 60 * MINUTE_MS);
        assert!(spring.holds(spring.start) && !spring.holds(spring.end));
    }

    #[test]
    fn completeness_counts_what_is_over_from_when_something_was_expected() {
        let figures = |counts: &DayCounts, begin: i64, now: i64| {
            let f = counts.figures(&day(), minute(begin), minute(now), &EVERY_MINUTE);
            (f.expected, f.came, f.longest_gap_s)
        };
        let hour = live(0..60);
        assert_eq!(figures(&hour, 0, 60), (60, 60, 0));
        assert_eq!(figures(&hour, 0, 64), (60, 60, 0), "the slot that is not over is left out");
        assert_eq!(figures(&hour, 0, 90), (90, 60, 1_800));
        assert_eq!(figures(&hour, 31, 60), (25, 25, 0), "nothing before it was there");
        assert_eq!(figures(&DayCounts::default(), 0, 2_000), (1_440, 0, 86_400));
        let mut eager = live(0..5);
        (0..1_000).for_each(|_| eager.take(&day(), minute(1), 1, false));
        assert_eq!(figures(&eager, 0, 10), (10, 5, 300), "too many now do not stand for none later");
        let silent = Expected { per_ms: 0.0, longest_ms: None };
        assert_eq!(hour.figures(&day(), minute(0), minute(90), &silent).completeness, None);
    }

    #[test]
    fn long_periods_are_judged_over_as_many_slots_as_they_take() {
        let quarter = Expected { per_ms: 1.0 / 900_000.0, longest_ms: Some(15 * MINUTE_MS) };
        let mut counts = DayCounts::default();
        for n in [0, 15, 30, 75] {
            counts.take(&day(), minute(n), 1, false);
        }
        let f = counts.figures(&day(), minute(0), minute(90), &quarter);
        assert_eq!((f.expected, f.came, f.longest_gap_s), (6, 4, 1_800));
    }

    #[test]
    fn back_fill_is_neither_late_nor_complete() {
        let mut counts = live(30..60);
        counts.take(&day(), minute(0), 10, true);
        counts.take(&day(), minute(15), 10, true);
        let f = counts.figures(&day(), minute(0), minute(60), &EVERY_MINUTE);
        assert_eq!((f.received, f.backfilled, f.timeliness), (50, 20, Some(1.0)));
        assert_eq!((f.expected, f.came, f.longest_gap_s), (50, 30, 600));
    }

    #[test]
    fn counts_that_are_written_in_parts_are_the_same_as_counted_at_once() {
        let mut parts = live(0..7);
        for part in [live(7..33), live(33..34), live(34..60)] {
            let text = serde_json::to_string(&parts).unwrap();
            parts = serde_json::from_str(&text).unwrap();
            parts.merge(&part);
        }
        assert_eq!(parts, live(0..60));
        parts.note_skew(Some(-5_000));
        parts.note_skew(Some(3_000));
        assert_eq!(parts.skew_ms, Some(-5_000));
    }
}
