//! The rows of a table: a window of steps is read of all series at once, then turned into rows one by one.

use super::{
    ask::{By, Top},
    expression::Expression,
    figure::{Across, Figure},
    fill::Fill,
    step::{StepClock, steps_between},
    write::{Column, Head},
};
use history::{Bucket, History, HistoryError, SeriesKey};
use shared::time::Timestamp;
use std::sync::Arc;

/// Steps of series read at once: some megabytes.
const BUCKETS_AT_ONCE: usize = 1 << 16;

/// A figure of some series, before arithmetic.
#[derive(Debug, Clone)]
pub(super) struct Base {
    pub(super) figure: Figure,
    pub(super) across: Across,
    /// By their places in the table.
    pub(super) series: Vec<usize>,
}

/// What a column of the answer shows.
#[derive(Debug, Clone)]
pub(super) enum Output {
    Base(usize),
    /// The expression's columns are these bases, or nothing.
    Computed {
        expression: Arc<Expression>,
        variables: Vec<Option<usize>>,
    },
}

#[derive(Clone)]
pub(super) struct Table {
    history: History,
    pub(super) head: Head,
    clock: StepClock,
    series: Vec<SeriesKey>,
    bases: Vec<Base>,
    outputs: Vec<Output>,
    pub(super) columns: Vec<Column>,
    pub(super) fill: Option<Fill>,
    pub(super) buckets_at_once: usize,
}

impl Table {
    pub(super) fn new(
        history: History,
        head: Head,
        clock: StepClock,
        series: Vec<SeriesKey>,
        bases: Vec<Base>,
        outputs: Vec<Output>,
        columns: Vec<Column>,
    ) -> Table {
        let (fill, buckets_at_once) = (None, BUCKETS_AT_ONCE);
        Table { history, head, clock, series, bases, outputs, columns, fill, buckets_at_once }
    }

    /// The same with these columns only, in this order; what they do not need is not read.
    fn with_columns(&self, kept: &[usize]) -> Table {
        let mut table = self.clone();
        table.columns = kept.iter().map(|place| self.columns[*place].clone()).collect();
        table.outputs = kept.iter().map(|place| self.outputs[*place].clone()).collect();
        let mut places: Vec<Option<usize>> = vec![None; self.series.len()];
        table.series = Vec::new();
        let mut needed = vec![false; self.bases.len()];
        for output in &table.outputs {
            match output {
                Output::Base(base) => needed[*base] = true,
                Output::Computed { expression, variables } => {
                    for slot in expression.columns() {
                        if let Some(Some(base)) = variables.get(slot) {
                            needed[*base] = true;
                        }
                    }
                }
            }
        }
        for (base, needed) in table.bases.iter_mut().zip(needed) {
            if !needed {
                base.series.clear();
            }
            for series in &mut base.series {
                let place = places[*series].get_or_insert_with(|| {
                    table.series.push(self.series[*series].clone());
                    table.series.len() - 1
                });
                *series = *place;
            }
        }
        table
    }

    /// Looks through all steps for the columns with the greatest values; greatest first. A column without any value is none of them.
    pub(super) async fn top(self, top: Top) -> Result<Table, HistoryError> {
        let mut ranked: Vec<(usize, Rank)> = (0..self.columns.len()).map(|i| (i, Rank::default())).collect();
        let mut rows = Rows::of(self);
        while rows.next_window().await? {
            while let Some((_, values)) = rows.next_row() {
                for ((_, rank), value) in ranked.iter_mut().zip(values) {
                    rank.add(*value);
                }
            }
        }
        ranked.retain(|(_, rank)| rank.count > 0.0);
        ranked.sort_by(|(_, a), (_, b)| b.by(top.by).total_cmp(&a.by(top.by)));
        let kept: Vec<usize> = ranked.into_iter().take(top.count).map(|(place, _)| place).collect();
        Ok(rows.table.with_columns(&kept))
    }
}

/// What a column's steps come to.
#[derive(Debug, Clone)]
struct Rank {
    count: f64,
    sum: f64,
    max: f64,
}

impl Default for Rank {
    fn default() -> Self {
        Rank { count: 0.0, sum: 0.0, max: f64::NEG_INFINITY }
    }
}

impl Rank {
    fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.count += 1.0;
            self.sum += value;
            self.max = self.max.max(value);
        }
    }

    fn by(&self, by: By) -> f64 {
        match by {
            By::Sum => self.sum,
            By::Max => self.max,
            By::Mean => self.sum / self.count,
        }
    }
}

/// Goes through a table from its beginning to its end.
pub(super) struct Rows {
    pub(super) table: Table,
    /// Where the next window begins.
    at: Timestamp,
    /// Where each step of this window begins, and the end.
    edges: Vec<Timestamp>,
    /// The place of the step to be shown next, where steps without a reading are filled.
    edge: usize,
    /// Of each series, with the place of the one to be shown next.
    buckets: Vec<(Vec<Bucket>, usize)>,
    /// The last step of each series before this window, or all that is known of before.
    before: Vec<Option<Bucket>>,
    /// Series that nobody has looked for before the first window, and whose figures depend on it.
    is_unknown: Vec<bool>,
    bases: Vec<f64>,
    values: Vec<f64>,
    stack: Vec<f64>,
}

impl Rows {
    pub(super) fn of(mut table: Table) -> Rows {
        let fills_back = table.fill.is_some_and(Fill::looks_back);
        let mut is_unknown = vec![fills_back; table.series.len()];
        for base in table.bases.iter().filter(|base| base.figure.looks_back()) {
            base.series.iter().for_each(|series| is_unknown[*series] = true);
        }
        // What the first step begins with is nearly always known from the one before, which is read with it.
        let looks_back = is_unknown.contains(&true);
        let from = table.head.from;
        let before = if looks_back { table.clock.floor(Timestamp((from.0 - 1).max(0))) } else { from };
        Rows {
            at: before.min(from),
            edges: Vec::new(),
            edge: 0,
            buckets: Vec::new(),
            before: vec![None; table.series.len()],
            is_unknown,
            bases: vec![f64::NAN; table.bases.len()],
            values: vec![f64::NAN; table.outputs.len()],
            stack: Vec::new(),
            table,
        }
    }

    /// Reads on; false when there is nothing more.
    pub(super) async fn next_window(&mut self) -> Result<bool, HistoryError> {
        for (before, (buckets, _)) in self.before.iter_mut().zip(&self.buckets) {
            *before = buckets.last().copied().or(*before);
        }
        if self.table.series.is_empty() {
            return Ok(false);
        }
        while self.at < self.table.head.to {
            let Table { history, head, clock, series, buckets_at_once, .. } = &mut self.table;
            let start = self.at;
            let most = (*buckets_at_once / series.len()).max(1);
            self.edges = clock.edges(start, head.to, most);
            let steps = steps_between(self.edges.clone())?;
            let buckets = history.buckets_many(series, &steps).await?;
            self.at = *self.edges.last().unwrap_or(&head.to);
            self.look_back(&buckets).await?;
            let fills = |fill: Fill| self.before.iter().any(|before| fill.is_there(before.as_ref(), start));
            if buckets.iter().any(|buckets| !buckets.is_empty()) || self.table.fill.is_some_and(fills) {
                self.buckets = buckets.into_iter().map(|buckets| (buckets, 0)).collect();
                self.edge = 0;
                return Ok(true);
            }
            let Table { history, head, clock, series, .. } = &mut self.table;
            // Nothing here: on to where there is something, however far that is.
            let silent_until = history.silent_until(series, self.at, head.to).await?;
            self.at = if silent_until < head.to { clock.floor(silent_until).max(self.at) } else { head.to };
        }
        Ok(false)
    }

    /// Finds out what came before the first window, of series that begin in this one. So a step is the same wherever the question
    /// begins, and however long a series was silent.
    async fn look_back(&mut self, buckets: &[Vec<Bucket>]) -> Result<(), HistoryError> {
        let Table { history, head, series, fill, .. } = &self.table;
        let fills_back = fill.is_some_and(Fill::looks_back);
        let begins = |place: usize| match buckets[place].first() {
            Some(first) => first.start >= head.from,
            None => fills_back,
        };
        let asked: Vec<usize> = (0..series.len())
            .filter(|i| self.is_unknown[*i] && self.before[*i].is_none() && begins(*i))
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        let keys: Vec<SeriesKey> = asked.iter().map(|place| series[*place].clone()).collect();
        let newest = history.newest_before(&keys, head.from).await?;
        for (place, all) in asked.into_iter().zip(newest) {
            self.is_unknown[place] = false;
            self.before[place] = all.map(|all| Bucket { start: all.first_time, all });
        }
        Ok(())
    }

    /// The next step with a reading, or with something filled in: when it begins, and a value for each column, NaN for none.
    pub(super) fn next_row(&mut self) -> Option<(Timestamp, &[f64])> {
        loop {
            let next = |(buckets, place): &(Vec<Bucket>, usize)| buckets.get(*place).map(|b| b.start);
            let start = if self.table.fill.is_none() {
                self.buckets.iter().filter_map(next).min()?
            } else {
                // The last edge is the end.
                self.edge += 1;
                *self.edges.get(self.edge).and(self.edges.get(self.edge - 1))?
            };
            let is_shown = start >= self.table.head.from && self.evaluate(start);
            for (buckets, place) in &mut self.buckets {
                if buckets.get(*place).is_some_and(|bucket| bucket.start == start) {
                    *place += 1;
                }
            }
            if is_shown {
                return Some((start, &self.values));
            }
        }
    }

    /// Says whether any series takes part.
    fn evaluate(&mut self, start: Timestamp) -> bool {
        let mut takes_part = false;
        let end = self.edges.partition_point(|edge| *edge <= start);
        let until = self.edges.get(end).copied().unwrap_or(self.table.head.to);
        let (all, before, fill) = (&self.buckets, &self.before, self.table.fill);
        for (value, base) in self.bases.iter_mut().zip(&self.table.bases) {
            let of_series = |series: &usize| {
                let (buckets, place) = &all[*series];
                let earlier = match place.checked_sub(1) {
                    Some(earlier) => buckets.get(earlier),
                    None => before[*series].as_ref(),
                };
                let value = match buckets.get(*place).filter(|bucket| bucket.start == start) {
                    Some(bucket) => base.figure.of(bucket, earlier, until),
                    None => fill.filter(|fill| fill.is_there(earlier, start))?.value(base.figure, earlier),
                };
                takes_part = true;
                Some(value)
            };
            *value = base.across.of(base.series.iter().filter_map(of_series));
        }
        let bases = &self.bases;
        for (value, output) in self.values.iter_mut().zip(&self.table.outputs) {
            *value = match output {
                Output::Base(base) => bases[*base],
                Output::Computed { expression, variables } => {
                    let column =
                        |slot: usize| variables.get(slot).copied().flatten().map_or(f64::NAN, |b| bases[b]);
                    expression.evaluate(column, &mut self.stack)
                }
            };
        }
        takes_part
    }
}
