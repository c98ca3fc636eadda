//! Blocks of single series that were read a moment ago: dashboards ask the same again and again, and each time the database's own
//! thread would have to be woken and waited for.
//!
//! Kept is the answer to a question, for as long as no block of its series has come, gone or changed: whoever changes blocks says so
//! before anybody may rely on it, and what was read meanwhile is not kept. Whoever asks what is being asked waits for that answer,
//! so that a hundred who ask at once are one question. What was not asked for lately goes first.

use crate::{
    month::Month,
    series::SeriesId,
    store::{Detail, Row, Wanted},
};
use parking_lot::Mutex;
use shared::time::Timestamp;
use std::{collections::HashMap, ops::Range};
use tokio::sync::watch;

/// What a row takes besides its bodies.
const ROW_BYTES: usize = size_of::<Row>();
/// An answer may take this part of everything.
const LARGEST_PART: usize = 16;

#[derive(Debug)]
pub(crate) struct RowCache {
    bytes_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: HashMap<SeriesId, Vec<Kept>>,
    bytes: usize,
    /// Grows with each use.
    clock: u64,
    /// Questions that are being asked of the database.
    asked: HashMap<u64, Asked>,
    questions: u64,
}

#[derive(Debug)]
struct Asked {
    series: SeriesId,
    month: Month,
    detail: Detail,
    range: Range<Timestamp>,
    span_ms: i64,
    /// Whether nothing changed since.
    is_true: bool,
    ended: watch::Receiver<Outcome>,
}

/// What became of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Open,
    /// Nothing that others could use; failing is each one's own.
    Failed,
    /// It is kept, or something changed meanwhile.
    LookAgain,
}

/// What is known of a question.
pub(crate) enum Known<'a> {
    Rows(Vec<Row>),
    /// Nothing: the database is to be asked.
    Ask(Question<'a>),
}

#[derive(Debug)]
struct Kept {
    month: Month,
    detail: Detail,
    range: Range<Timestamp>,
    /// Blocks may be as long as this and more: who knows of longer ones must ask again.
    span_ms: i64,
    /// None where they are too much to be kept: whoever asks need not wait for others.
    rows: Option<Vec<Row>>,
    bytes: usize,
    used: u64,
}

fn covers(range: &Range<Timestamp>, wanted: &Wanted<'_>) -> bool {
    range.start <= wanted.from && wanted.to <= range.end
}

impl RowCache {
    pub(crate) fn new(bytes_max: usize) -> RowCache {
        RowCache { bytes_max, inner: Mutex::default() }
    }

    /// What is kept of what is wanted of a series; else the right to ask the database for it.
    pub(crate) async fn known(&self, series: SeriesId, month: Month, wanted: &Wanted<'_>) -> Known<'_> {
        loop {
            let mut ended = {
                let mut inner = self.inner.lock();
                let is_same = |asked: &&Asked| {
                    (asked.series, asked.month, asked.detail) == (series, month, wanted.detail)
                        && asked.is_true
                        && asked.span_ms >= wanted.span_ms
                        && covers(&asked.range, wanted)
                };
                match inner.get(series, month, wanted) {
                    Some(Some(rows)) => return Known::Rows(rows),
                    Some(None) => return Known::Ask(inner.ask(self, series, month, wanted)),
                    None => match inner.asked.values().find(is_same) {
                        Some(asked) => asked.ended.clone(),
                        None => return Known::Ask(inner.ask(self, series, month, wanted)),
                    },
                }
            };
            let outcome = ended.wait_for(|outcome| *outcome != Outcome::Open).await.map(|outcome| *outcome);
            if !matches!(outcome, Ok(Outcome::LookAgain)) {
                let mut inner = self.inner.lock();
                return Known::Ask(inner.ask(self, series, month, wanted));
            }
        }
    }

    /// To be held while blocks of these series, or of all, are changed, until before anything is done that relies on the change.
    pub(crate) fn changing(&self, series: Option<Vec<SeriesId>>) -> Forgetting<'_> {
        Forgetting { cache: self, series }
    }

    fn forget(&self, series: impl IntoIterator<Item = SeriesId>) {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        for series in series {
            for kept in inner.kept.remove(&series).unwrap_or_default() {
                inner.bytes -= kept.bytes;
            }
            inner.asked.values_mut().for_each(|asked| asked.is_true &= asked.series != series);
        }
    }

    fn forget_all(&self) {
        let mut inner = self.inner.lock();
        inner.kept.clear();
        inner.bytes = 0;
        inner.asked.values_mut().for_each(|asked| asked.is_true = false);
    }
}

impl Inner {
    fn get(&mut self, series: SeriesId, month: Month, wanted: &Wanted<'_>) -> Option<Option<Vec<Row>>> {
        self.clock += 1;
        let answers = |kept: &&mut Kept| {
            (kept.month, kept.detail) == (month, wanted.detail)
                && kept.span_ms >= wanted.span_ms
                && covers(&kept.range, wanted)
        };
        let kept = self.kept.get_mut(&series)?.iter_mut().find(answers)?;
        kept.used = self.clock;
        let within =
            |row: &&Row| row.summary.all.last_time >= wanted.from && row.summary.all.first_time < wanted.to;
        Some(kept.rows.as_ref().map(|rows| rows.iter().filter(within).cloned().collect()))
    }

    fn ask<'a>(
        &mut self,
        cache: &'a RowCache,
        series: SeriesId,
        month: Month,
        wanted: &Wanted<'_>,
    ) -> Question<'a> {
        let (outcome, ended) = watch::channel(Outcome::Open);
        self.questions += 1;
        let Wanted { from, to, span_ms, detail, .. } = *wanted;
        let asked = Asked { series, month, detail, range: from..to, span_ms, is_true: true, ended };
        self.asked.insert(self.questions, asked);
        Question { cache, number: self.questions, outcome }
    }

    fn keep(&mut self, series: SeriesId, mut kept: Kept, bytes_max: usize) {
        self.clock += 1;
        kept.used = self.clock;
        self.bytes += kept.bytes;
        let of_series = self.kept.entry(series).or_default();
        // One answer for each kind of question.
        of_series.retain(|other| {
            let stays = other.month != kept.month || other.detail != kept.detail;
            self.bytes -= if stays { 0 } else { other.bytes };
            stays
        });
        of_series.push(kept);
        while self.bytes > bytes_max {
            self.drop_half();
        }
    }

    /// Drops what was not used lately, one answer at least.
    fn drop_half(&mut self) {
        let mut used: Vec<u64> = self.kept.values().flatten().map(|kept| kept.used).collect();
        used.sort_unstable();
        let last = used[(used.len() - 1) / 2];
        for of_series in self.kept.values_mut() {
            of_series.retain(|kept| {
                let stays = kept.used > last;
                self.bytes -= if stays { 0 } else { kept.bytes };
                stays
            });
        }
        self.kept.retain(|_, of_series| !of_series.is_empty());
    }
}

/// A question that the database is asked; when it is dropped nobody need tell of changes any more, and who waited without an answer asks too.
pub(crate) struct Question<'a> {
    cache: &'a RowCache,
    number: u64,
    outcome: watch::Sender<Outcome>,
}

impl Question<'_> {
    /// Keeps the answer, unless a block of the series has changed since the question was put. It may be true of more than was asked,
    /// up to `until`.
    pub(crate) fn keep(self, until: Timestamp, rows: &[Row]) {
        let body = |row: &Row| {
            let [minutes, body] = [&row.minutes, &row.body].map(|part| part.as_ref().map_or(0, |b| b.len()));
            ROW_BYTES + minutes + body
        };
        let bytes = rows.iter().map(body).sum::<usize>();
        let is_little = bytes <= self.cache.bytes_max / LARGEST_PART;
        let rows = is_little.then(|| rows.to_vec());
        let bytes = size_of::<Kept>() + if is_little { bytes } else { 0 };
        let mut inner = self.cache.inner.lock();
        let asked = inner.asked.remove(&self.number);
        if let Some(Asked { series, month, detail, range, span_ms, is_true: true, .. }) = asked {
            let kept = Kept { month, detail, range: range.start..until, span_ms, rows, bytes, used: 0 };
            inner.keep(series, kept, self.cache.bytes_max);
        }
        drop(inner);
        self.outcome.send_replace(Outcome::LookAgain);
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.cache.inner.lock().asked.remove(&self.number);
        // Unless it was said what became of it.
        self.outcome.send_if_modified(|outcome| {
            let is_open = *outcome == Outcome::Open;
            if is_open {
                *outcome = Outcome::Failed;
            }
            is_open
        });
    }
}

/// Forgets series when it is dropped: whether what changed them succeeded, failed or was cut off.
pub(crate) struct Forgetting<'a> {
    cache: &'a RowCache,
    /// None for all.
    series: Option<Vec<SeriesId>>,
}

impl Drop for Forgetting<'_> {
    fn drop(&mut self) {
        match self.series.take() {
            Some(series) => self.cache.forget(series),
            None => self.cache.forget_all(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{aggregate::Aggregate, block::Summary};
    use shared::telemetry::{Quality, Reading};

    const A: SeriesId = SeriesId(1);
    const B: SeriesId = SeriesId(2);

    fn month() -> Month {
        Month::of(Timestamp(0))
    }

    fn row(id: i64, minute: i64) -> Row {
        let reading = |minute: i64| Reading {
            value: 1.0,
            timestamp: Timestamp(minute * 60_000),
            quality: Quality::Good,
        };
        let all = Aggregate::of_all(&[reading(minute), reading(minute + 9)]).unwrap();
        Row { summary: Summary { id, all }, merged: true, minutes: None, body: Some(vec![0; 1_000].into()) }
    }

    fn wanted(detail: Detail, range: Range<i64>) -> Wanted<'static> {
        let (from, to) = (minute(range.start), minute(range.end));
        Wanted { series: &[], from, to, span_ms: SPAN_MS, detail }
    }

    impl RowCache {
        fn kept(&self, series: SeriesId, detail: Detail, range: Range<i64>) -> Option<Vec<i64>> {
            let rows = self.inner.lock().get(series, month(), &wanted(detail, range))??;
            Some(rows.iter().map(|row| row.summary.id).collect())
        }

        fn ask(&self, series: SeriesId, detail: Detail, range: Range<i64>) -> Question<'_> {
            self.inner.lock().ask(self, series, month(), &wanted(detail, range))
        }
    }

    fn minute(n: i64) -> Timestamp {
        Timestamp(n * 60_000)
    }

    const READINGS: Detail = Detail::Readings;
    const SPAN_MS: i64 = 600_000;

    #[test]
    fn what_was_asked_is_answered_until_it_changes() {
        let cache = RowCache::new(1 << 20);
        cache.ask(A, READINGS, 0..30).keep(minute(40), &[row(1, 0), row(2, 10), row(3, 20)]);
        assert_eq!(cache.kept(A, READINGS, 0..30), Some(vec![1, 2, 3]));
        assert_eq!(cache.kept(A, READINGS, 12..20), Some(vec![2]));
        assert_eq!(cache.kept(A, READINGS, 12..40), Some(vec![2, 3]));
        assert_eq!(cache.kept(A, READINGS, 12..41), None);
        assert_eq!(cache.kept(B, READINGS, 12..20), None);
        assert_eq!(cache.kept(A, Detail::Minutes, 0..30), None);
        drop(cache.changing(Some(vec![B])));
        assert_eq!(cache.kept(A, READINGS, 0..30), Some(vec![1, 2, 3]));
        // Who knows of longer blocks must look further back than who asked.
        let longer = Wanted { span_ms: SPAN_MS + 1, ..wanted(READINGS, 0..30) };
        assert!(cache.inner.lock().get(A, month(), &longer).is_none());
        // Changed while the database was asked: not kept; of another series, kept.
        let (a, b) = (cache.ask(A, READINGS, 0..30), cache.ask(B, READINGS, 0..30));
        drop(cache.changing(Some(vec![A])));
        assert_eq!(cache.kept(A, READINGS, 0..30), None);
        a.keep(minute(30), &[row(1, 0)]);
        b.keep(minute(30), &[row(4, 0)]);
        assert_eq!(cache.kept(A, READINGS, 0..30), None);
        assert_eq!(cache.kept(B, READINGS, 0..30), Some(vec![4]));
        let late = cache.ask(B, READINGS, 0..30);
        drop(cache.changing(None));
        late.keep(minute(30), &[row(4, 0)]);
        assert_eq!(cache.kept(B, READINGS, 0..30), None);
        assert_eq!(cache.inner.lock().bytes, 0);
        assert!(cache.inner.lock().asked.is_empty());
    }

    #[test]
    fn what_was_not_asked_lately_goes_when_there_is_too_much() {
        let cache = RowCache::new(32 << 10);
        for n in 0..200 {
            cache.ask(SeriesId(n), READINGS, 0..10).keep(minute(10), &[row(1, 0)]);
            assert!(cache.kept(SeriesId(0), READINGS, 0..10).is_some(), "asked for each time, it stays");
            let inner = cache.inner.lock();
            let kept: usize = inner.kept.values().flatten().map(|kept| kept.bytes).sum();
            assert_eq!(inner.bytes, kept);
            assert!(inner.bytes <= 32 << 10, "{}", inner.bytes);
        }
        assert!(cache.kept(SeriesId(1), READINGS, 0..10).is_none());
        assert!(cache.kept(SeriesId(199), READINGS, 0..10).is_some());
        // Where there is room for nothing, nothing is kept.
        let none = RowCache::new(0);
        none.ask(A, READINGS, 0..10).keep(minute(10), &[]);
        none.ask(A, READINGS, 0..10).keep(minute(10), &[row(1, 0)]);
        assert!(none.kept(A, READINGS, 0..10).is_none());
        assert_eq!(none.inner.lock().bytes, 0);
    }

    #[tokio::test]
    async fn who_asks_the_same_waits_for_the_answer() {
        let cache = RowCache::new(32 << 10);
        let (readings, summary) = (wanted(READINGS, 5..9), wanted(Detail::Summary, 5..9));
        let known = || Box::pin(cache.known(A, month(), &readings));
        let asking = cache.ask(A, READINGS, 0..10);
        let mut waiting = known();
        assert!(futures::poll!(&mut waiting).is_pending());
        // Another detail is another question.
        assert!(matches!(cache.known(A, month(), &summary).await, Known::Ask(_)));
        asking.keep(minute(10), &[row(1, 0)]);
        assert!(matches!(waiting.await, Known::Rows(rows) if rows.len() == 1));

        // Overtaken by a change: the next asks, and the others wait for that.
        cache.forget([A]);
        let asking = cache.ask(A, READINGS, 0..10);
        let (mut one, mut other) = (known(), known());
        assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut other).is_pending());
        cache.forget([A]);
        asking.keep(minute(10), &[row(1, 0)]);
        let Known::Ask(asking) = one.await else { panic!("it was asked before the change") };
        assert!(futures::poll!(&mut other).is_pending());
        // It failed: others ask for themselves.
        drop(asking);
        let Known::Ask(asking) = other.await else { panic!("nothing is known") };

        // What is too much to be kept is not waited for again.
        let (mut one, mut other) = (known(), known());
        assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut other).is_pending());
        let many: Vec<Row> = (0..3).map(|n| row(n, n * 10)).collect();
        asking.keep(minute(10), &many);
        let both = futures::join!(one, other);
        assert!(matches!(both, (Known::Ask(_), Known::Ask(_))));
        drop(both);
        assert!(cache.inner.lock().asked.is_empty());
    }
}
