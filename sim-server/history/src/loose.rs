//! Blocks that wait to be merged, in memory: which series have enough of them, and what they come to, for whoever reads hours.

use crate::{aggregate::Aggregate, block::Block, hours::hour_of, month::Month, series::SeriesId};
use shared::time::{HOUR_MS, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// So many small loose blocks (of less than half of enough) are made one, even when their hours are not over.
pub(crate) const MANY: usize = 8;
/// Readings merged in one transaction.
const READINGS_AT_ONCE: u64 = 400_000;
/// A month that ended this long before the newest reading is settled: what is loose in it is merged as it is.
const SETTLED_AFTER_MS: i64 = 24 * HOUR_MS;

/// A block that waits to be merged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Loose {
    pub id: i64,
    pub all: Aggregate,
}

impl Loose {
    pub(crate) fn of(block: &Block) -> Loose {
        Loose { id: block.summary.id, all: block.summary.all }
    }
}

/// The loose blocks of a store, and which series have enough of them.
#[derive(Debug)]
pub(crate) struct LooseBlocks {
    /// A merged block holds at least this many readings, where its hours do.
    enough: usize,
    months: BTreeMap<Month, HashMap<SeriesId, Vec<Loose>>>,
    /// Whether more than usual is to be made of it.
    due: BTreeMap<(Month, SeriesId), bool>,
    /// Those of which nothing could be merged, until there is more of them.
    left: BTreeSet<(Month, SeriesId)>,
}

impl LooseBlocks {
    /// The same question asked anew.
    pub(crate) fn again(&mut self, all: Vec<(SeriesId, Loose)>) {
        *self = LooseBlocks::new(self.enough, all);
    }

    pub(crate) fn new(enough: usize, all: Vec<(SeriesId, Loose)>) -> LooseBlocks {
        let mut blocks =
            LooseBlocks { enough, months: BTreeMap::new(), due: BTreeMap::new(), left: BTreeSet::new() };
        for (series, loose) in all {
            blocks.add(series, loose);
        }
        blocks
    }

    pub(crate) fn add(&mut self, series: SeriesId, loose: Loose) {
        let month = Month::of(loose.all.first_time);
        self.left.remove(&(month, series));
        let of_series = self.months.entry(month).or_default().entry(series).or_default();
        of_series.push(loose);
        let small = of_series.iter().filter(|l| is_small(l.all.count, self.enough)).count();
        let first = of_series.iter().map(|l| hour_of(l.all.first_time)).min();
        let hours = first < of_series.iter().map(|l| hour_of(l.all.last_time)).max();
        let enough = of_series.iter().map(|l| l.all.count).sum::<u64>() >= self.enough as u64;
        if small >= MANY || hours && enough {
            self.due.entry((month, series)).or_insert(false);
        }
    }

    /// Those of a series that hold something of `[from, to)`.
    pub(crate) fn of_series(
        &self,
        series: SeriesId,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = &Loose> {
        let months = self.months.range(Month::of(from)..=Month::of(to));
        let blocks = months.filter_map(move |(_, of_month)| of_month.get(&series)).flatten();
        blocks.filter(move |l| l.all.first_time < to && l.all.last_time >= from)
    }

    /// Makes due every series that has any, and any two blocks of it worth making one.
    pub(crate) fn call_in_all(&mut self) {
        for (month, series) in &self.months {
            self.due.extend(series.keys().map(|id| ((*month, *id), true)));
        }
    }

    /// Makes due every series that has any in a month that is settled.
    pub(crate) fn call_in_settled(&mut self, newest: Timestamp) {
        for (month, series) in self.months.iter().filter(|(month, _)| is_settled(**month, newest)) {
            for id in series.keys().filter(|id| !self.left.contains(&(*month, **id))) {
                self.due.entry((*month, *id)).or_insert(false);
            }
        }
    }

    /// The first and the last hour that a series' blocks of a month reach.
    pub(crate) fn hours(&self, month: Month, series: SeriesId) -> Option<(i64, i64)> {
        let blocks = self.months.get(&month)?.get(&series)?;
        let first = blocks.iter().map(|l| hour_of(l.all.first_time)).min()?;
        Some((first, blocks.iter().map(|l| hour_of(l.all.last_time)).max()?))
    }

    /// The next series to merge, all of one month, until they hold enough readings; and whether thoroughly.
    pub(crate) fn next(&mut self) -> Option<(Month, Vec<(SeriesId, bool)>)> {
        let month = self.due.first_key_value()?.0.0;
        let (mut series, mut readings) = (Vec::new(), 0);
        while let Some(((at, id), thorough)) =
            self.due.first_key_value().map(|(k, v)| (*k, *v)).filter(|((at, _), _)| *at == month)
        {
            let blocks = self.months.get(&at).and_then(|m| m.get(&id)).map_or(&[][..], Vec::as_slice);
            let count: u64 = blocks.iter().map(|l| l.all.count).sum();
            if !series.is_empty() && readings + count > READINGS_AT_ONCE {
                break;
            }
            readings += count;
            series.push((id, thorough));
            self.due.pop_first();
        }
        Some((month, series))
    }

    pub(crate) fn replace(
        &mut self,
        month: Month,
        series: SeriesId,
        removed: &[i64],
        added: impl Iterator<Item = Loose>,
    ) {
        let Some(of_month) = self.months.get_mut(&month) else { return };
        let of_series = of_month.entry(series).or_default();
        of_series.retain(|l| !removed.contains(&l.id));
        of_series.extend(added);
        if of_series.is_empty() {
            self.forget(month, series);
        }
    }

    /// Of these nothing can be merged as they are.
    pub(crate) fn leave(&mut self, month: Month, series: SeriesId) {
        self.left.insert((month, series));
    }

    pub(crate) fn forget(&mut self, month: Month, series: SeriesId) {
        let Some(of_month) = self.months.get_mut(&month) else { return };
        of_month.remove(&series);
        if of_month.is_empty() {
            self.months.remove(&month);
        }
    }
}

pub(crate) fn is_small(count: u64, enough: usize) -> bool {
    count * 2 < enough as u64
}

pub(crate) fn is_settled(month: Month, newest: Timestamp) -> bool {
    month.end().0.saturating_add(SETTLED_AFTER_MS) <= newest.0
}
