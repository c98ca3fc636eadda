//! Whatever is appended, deleted and restarted, reads agree with a map that does the obvious.

use super::place::{ALWAYS, Place, key};
use crate::{Aggregate, Bucket, History, Point, SeriesKey, Steps};
use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use shared::{
    telemetry::{Quality, Reading},
    time::Timestamp,
};
use std::collections::BTreeMap;

/// Ten seconds before a month ends, so that blocks meet the boundary.
const BASE_MS: i64 = 1_769_903_990_000;

#[derive(Debug, Clone)]
enum Step {
    /// (series, second, value, quality)
    Append(Vec<(usize, i64, i32, u8)>),
    Checkpoint,
    Compact,
    Reopen,
    DeleteBefore(i64),
    /// Of the first series only, whole blocks only.
    DeleteFirstBefore(i64),
}

fn step() -> impl Strategy<Value = Step> {
    // The last are late enough for the month before to be settled.
    let second = prop_oneof![
        8 => 0..40i64, 2 => -3_000..3_000i64, 2 => -20_000..20_000i64, 1 => 200_000..400_000i64
    ];
    let points = prop::collection::vec((0..3usize, second, -50..50i32, 0..3u8), 1..40);
    prop_oneof![
        12 => points.prop_map(Step::Append),
        2 => Just(Step::Checkpoint),
        2 => Just(Step::Compact),
        1 => Just(Step::Reopen),
        1 => (-10..20i64).prop_map(Step::DeleteBefore),
        1 => (-10..20i64).prop_map(|hour| Step::DeleteFirstBefore(hour * 3_600)),
    ]
}

#[derive(Default)]
struct Model(BTreeMap<SeriesKey, BTreeMap<Timestamp, Reading>>);

impl Model {
    fn readings(&self, series: &SeriesKey, from: Timestamp, to: Timestamp) -> Vec<Reading> {
        self.0.get(series).map(|r| r.range(from..to).map(|(_, r)| *r).collect()).unwrap_or_default()
    }

    fn buckets(&self, series: &SeriesKey, from: Timestamp, to: Timestamp, step_ms: i64) -> Vec<Bucket> {
        let mut buckets: BTreeMap<i64, Vec<Reading>> = BTreeMap::new();
        for r in self.readings(series, from, to) {
            buckets.entry((r.timestamp.0 - from.0) / step_ms).or_default().push(r);
        }
        let bucket = |(i, readings): (i64, Vec<Reading>)| {
            let values = readings.iter().map(|r| r.value);
            let pairs = || readings.iter().zip(&readings[1..]);
            let all = Aggregate {
                count: readings.len() as u64,
                sum: values.clone().sum(),
                min: values.clone().fold(f64::INFINITY, f64::min),
                max: values.fold(f64::NEG_INFINITY, f64::max),
                first: readings[0].value,
                last: readings[readings.len() - 1].value,
                first_time: readings[0].timestamp,
                last_time: readings[readings.len() - 1].timestamp,
                integral: pairs().map(|(a, b)| a.value * (b.timestamp.0 - a.timestamp.0) as f64).sum(),
                rise: pairs().map(|(a, b)| if b.value < a.value { b.value } else { b.value - a.value }).sum(),
            };
            Bucket { start: Timestamp(from.0 + i * step_ms), all }
        };
        buckets.into_iter().map(bucket).collect()
    }

    fn latest(&self) -> Vec<(SeriesKey, Reading)> {
        self.0.iter().filter_map(|(k, r)| Some((k.clone(), *r.values().next_back()?))).collect()
    }
}

fn series(index: usize) -> SeriesKey {
    key(["a", "a", "b"][index], ["power", "soc", "power"][index])
}

async fn compare(history: &History, model: &Model) -> Result<(), TestCaseError> {
    let second = |s: i64| Timestamp(BASE_MS + s * 1_000);
    for series in [series(0), series(1), series(2), key("none", "power")] {
        for (from, to) in [(Timestamp(0), second(5_000)), (second(3), second(17)), (second(10), second(11))] {
            let read = history.readings(&series, from, to, usize::MAX).await.unwrap();
            prop_assert_eq!(&read, &model.readings(&series, from, to), "{} in {}..{}", series, from, to);
            let first = history.readings(&series, from, to, 5).await.unwrap();
            prop_assert_eq!(&first[..], &read[..read.len().min(5)]);
        }
        for (from, step_ms) in [
            (second(-3_000), 7_000),
            (second(2), 1_000),
            (second(-4_000), 4_000_000),
            (second(-3_590), 60_000),
            (second(-20_390), 3_600_000),
        ] {
            let to = second(2_000);
            let read = history.buckets(&series, from, to, step_ms).await.unwrap();
            prop_assert_eq!(read, model.buckets(&series, from, to, step_ms), "{} by {}", series, step_ms);
        }
    }
    // Whole hours; the last of them ends at one, or within one.
    let hour = |h: i64| second(10 + 3_600 * h);
    let all = [series(0), series(1), series(2), key("none", "power")];
    for end in [hour(6), second(2_000), second(11)] {
        let edges: Vec<Timestamp> = [-6, -5, -2, -1, 0].map(hour).into_iter().chain([end]).collect();
        let read = history.buckets_many(&all, &Steps::between(edges.clone()).unwrap()).await.unwrap();
        for (series, read) in all.iter().zip(read) {
            let expected: Vec<Bucket> =
                edges.windows(2).flat_map(|w| model.buckets(series, w[0], w[1], w[1].since(w[0]))).collect();
            prop_assert_eq!(read, expected, "{} in hours until {}", series, end);
        }
    }
    // Days on the store's clock and on another, and a month: the first ends within the range.
    let midnight = |day: i64, clock_hours: i64| second(10 + 86_400 * day - 3_600 * clock_hours);
    let days = |clock_hours: i64| (-32..5).map(|day| midnight(day, clock_hours)).collect::<Vec<_>>();
    for edges in [days(8), days(0), days(1), [-32, 0, 28].map(|day| midnight(day, 8)).to_vec()] {
        let read = history.buckets_many(&all, &Steps::between(edges.clone()).unwrap()).await.unwrap();
        for (series, read) in all.iter().zip(read) {
            let expected: Vec<Bucket> =
                edges.windows(2).flat_map(|w| model.buckets(series, w[0], w[1], w[1].since(w[0]))).collect();
            prop_assert_eq!(read, expected, "{} in days from {}", series, edges[0]);
        }
    }
    for (some, from, to) in [(0..4, -20_000, 20_000), (0..1, 5, 3_000), (1..3, 3_600, 80_000), (2..4, 7, 7)] {
        let (from, to, some) = (second(from), second(to), &all[some]);
        let until = history.silent_until(some, from, to).await.unwrap();
        prop_assert!(from <= until && until <= to);
        let times = || some.iter().flat_map(|s| model.readings(s, from, ALWAYS.1)).map(|r| r.timestamp);
        prop_assert!(times().all(|at| at >= until || at >= to), "silent until {}", until);
        prop_assert!(until == to || times().next().is_some(), "something at {}", until);
    }
    let mut latest = history.latest().await.unwrap();
    latest.sort_by(|a, b| a.0.cmp(&b.0));
    prop_assert_eq!(latest, model.latest());
    Ok(())
}

async fn live(place: &Place, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut history = place.open().await;
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append(points) => {
                let points: Vec<Point> = points
                    .into_iter()
                    .map(|(index, second, value, quality)| Point {
                        series: series(index),
                        reading: Reading {
                            value: f64::from(value) / 2.0,
                            timestamp: Timestamp(BASE_MS + second * 1_000),
                            quality: Quality::from_code(quality).unwrap(),
                        },
                    })
                    .collect();
                for p in &points {
                    let readings = model.0.entry(p.series.clone()).or_default();
                    readings.insert(p.reading.timestamp, p.reading);
                }
                history.append(points).await.unwrap();
            }
            Step::Checkpoint => history.checkpoint().await.unwrap(),
            Step::Compact => history.compact().await.unwrap(),
            Step::Reopen => {
                history.close().await.unwrap();
                history = place.open().await;
                let report = history.stats().await.open_report;
                prop_assert_eq!(report.damage, []);
                prop_assert_eq!(report.torn_tail, None);
            }
            Step::DeleteFirstBefore(second) => {
                let cutoff = Timestamp(BASE_MS + second * 1_000);
                let before = history.readings(&series(0), ALWAYS.0, ALWAYS.1, usize::MAX).await.unwrap();
                history.delete_series_before(&[series(0)], cutoff).await.unwrap();
                let after = history.readings(&series(0), ALWAYS.0, ALWAYS.1, usize::MAX).await.unwrap();
                // Nothing younger goes, and what is left is as it was.
                let day = Timestamp(cutoff.0.div_euclid(86_400_000) * 86_400_000);
                prop_assert!(before.iter().filter(|r| r.timestamp >= day).all(|r| after.contains(r)));
                let readings = after.into_iter().map(|r| (r.timestamp, r));
                prop_assert!(readings.clone().all(|(_, r)| before.contains(&r)));
                if let Some(known) = model.0.get_mut(&series(0)) {
                    *known = readings.collect();
                }
            }
            Step::DeleteBefore(second) => {
                let cutoff = Timestamp(BASE_MS + second * 1_000);
                let stored_before = history.stats().await.points;
                let gone = history.delete_before(cutoff).await.unwrap();
                for readings in model.0.values_mut() {
                    readings.retain(|t, _| *t >= cutoff);
                }
                // Fewer when a head that held an instant twice was sealed meanwhile.
                prop_assert!(history.stats().await.points <= stored_before - gone);
            }
        }
        compare(&history, &model).await?;
    }
    let stats = history.stats().await;
    let times = || model.0.values().flat_map(|r| r.keys().copied());
    prop_assert_eq!((stats.oldest, stats.newest), (times().min(), times().max()));
    prop_assert!(stats.points as usize >= times().count());
    prop_assert_eq!(history.verify().await.unwrap().faults, []);
    history.close().await.unwrap();
    Ok(())
}

/// `PROPTEST_CASES` (256 when not set) times `share` sixteenths.
fn check(share: u32, place: impl Fn(&tokio::runtime::Runtime) -> Option<Place>) {
    let cases = Config::default().cases * share / 16;
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new(config);
    let result = runner.run(&prop::collection::vec(step(), 1..25), |steps| {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let Some(place) = place(&runtime) else { return Ok(()) };
        runtime.block_on(async {
            let result = live(&place, steps).await;
            place.remove().await;
            result
        })
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}

#[test]
fn reads_agree_with_the_obvious_map_on_sqlite() {
    check(3, |_| Some(Place::sqlite()));
}

#[test]
fn reads_agree_with_the_obvious_map_on_postgres() {
    check(1, |runtime| runtime.block_on(Place::postgres()));
}

#[test]
fn a_step_is_aligned_to_its_start_however_early_that_is() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let place = Place::sqlite();
        let history = place.open().await;
        let reading = super::place::reading(25_000, 3.0);
        history.append(super::place::points(&series(0), [reading])).await.unwrap();
        for (from, start) in [(-7_000, 23_000), (0, 20_000), (20_001, 20_001), (i64::MIN + 2, 24_194)] {
            let buckets = history.buckets(&series(0), Timestamp(from), ALWAYS.1, 10_000).await.unwrap();
            assert_eq!(buckets.iter().map(|b| b.start.0).collect::<Vec<_>>(), [start], "from {from}");
        }
        for step_ms in [0, -5, i64::MAX] {
            assert!(history.buckets(&series(0), ALWAYS.0, ALWAYS.1, step_ms).await.is_err());
        }
        history.close().await.unwrap();
    });
}
