//! An answer made in small bits is the answer made at once.

use super::{
    answer::Source,
    expression::Expression,
    figure::{Across, Figure},
    fill::{Fill, With},
    readings::{Pace, Readings},
    rows::{Base, Output, Rows, Table},
    sending::Sending,
    step::StepClock,
    write::{Column, Format, Head},
};
use history::{History, HistoryOptions, Point, SeriesKey};
use jiff::tz::TimeZone;
use shared::{
    telemetry::{Quality, Reading},
    time::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp},
};
use std::sync::Arc;

/// A midnight of Shanghai.
const START: i64 = 1_779_984_000_000;

async fn store() -> (tempfile::TempDir, History) {
    let folder = tempfile::tempdir().unwrap();
    let options = HistoryOptions { folder: folder.path().into(), ..Default::default() };
    let history = History::open(options).await.unwrap();
    (folder, history)
}

fn key(device: &str) -> SeriesKey {
    SeriesKey { device: device.parse().unwrap(), measurement: "power".parse().unwrap() }
}

fn column(name: &str) -> Column {
    Column {
        name: name.to_owned(),
        device: None,
        r#type: None,
        building: None,
        group: None,
        measurement: None,
        unit: Some("kW".to_owned()),
        figure: None,
        series: 1,
    }
}

/// Three devices that report now and then over three days, with a silent day in between and a stray reading long after.
async fn fill(history: &History) {
    let mut points = Vec::new();
    let mut state = 7u64;
    for device in ["a", "b", "c"] {
        let mut at = START;
        while at < START + 3 * DAY_MS {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            at += 1_000 + (state >> 33) as i64 % (20 * MINUTE_MS);
            if (START + DAY_MS..START + 2 * DAY_MS).contains(&at) {
                continue;
            }
            let reading = Reading {
                value: ((state >> 40) % 1_000) as f64 / 10.0,
                timestamp: Timestamp(at),
                quality: if state.is_multiple_of(9) { Quality::Suspect } else { Quality::Good },
            };
            points.push(Point { series: key(device), reading });
        }
    }
    let stray = Reading { value: 1.0, timestamp: Timestamp(START + 40 * DAY_MS), quality: Quality::Good };
    points.push(Point { series: key("b"), reading: stray });
    history.append(points).await.unwrap();
    history.compact().await.unwrap();
}

async fn written(source: Source, head: &Head, format: Format) -> Vec<u8> {
    let mut sending = Sending::new(source, head, format, |_| {});
    let mut all = Vec::new();
    while let Some(bytes) = sending.next().await.unwrap() {
        all.extend_from_slice(&bytes);
    }
    all
}

fn head(step: Option<&str>) -> Head {
    let (from, to) = (Timestamp(START), Timestamp(START + 41 * DAY_MS + 5 * HOUR_MS));
    Head { from, to, step: step.map(str::to_owned), fill: None, time_zone: "Asia/Shanghai".to_owned() }
}

#[tokio::test]
async fn a_table_made_of_small_windows_is_the_same() {
    let (_folder, history) = store().await;
    fill(&history).await;
    let names = ["twa", "last"].map(str::to_owned);
    let expression = Arc::new(Expression::parse("twa - last / 2", &names).unwrap());
    for step in ["1m", "7m", "1h", "5h", "1d", "1mo"] {
        let of = |windows: usize| {
            let clock = StepClock::new(step.parse().unwrap(), TimeZone::get("Asia/Shanghai").unwrap());
            let base = |figure, across, series: &[usize]| Base { figure, across, series: series.to_vec() };
            let mut table = Table::new(
                history.clone(),
                head(Some(step)),
                clock,
                ["a", "b", "c"].map(key).to_vec(),
                vec![
                    base(Figure::Twa, Across::Sum, &[0, 1, 2]),
                    base(Figure::Last, Across::Mean, &[1]),
                    base(Figure::Delta, Across::Max, &[2, 0]),
                ],
                vec![
                    Output::Base(0),
                    Output::Base(2),
                    Output::Computed { expression: expression.clone(), variables: vec![Some(0), Some(1)] },
                ],
                ["x", "y", "z"].map(column).to_vec(),
            );
            table.buckets_at_once = windows;
            Source::Table(Box::new(Rows::of(table)))
        };
        let whole = written(of(1 << 20), &head(Some(step)), Format::Csv).await;
        let rows = whole.iter().filter(|byte| **byte == b'\n').count() - 1;
        assert!(rows >= 2, "{step}: {rows} rows");
        for windows in [1, 10, 1_000] {
            if step == "1m" && windows == 1 {
                continue; // Sixty thousand windows are no better a test than a few hundred.
            }
            let part = written(of(windows), &head(Some(step)), Format::Csv).await;
            assert_eq!(String::from_utf8_lossy(&part), String::from_utf8_lossy(&whole), "{step} {windows}");
        }
    }
}

/// Beside those of `fill`: one that reports every day and a half, one that came late, and readings in memory that overrule some of a's.
async fn fill_with_the_rare(history: &History) {
    fill(history).await;
    let reading = |device: &str, at: i64, value: f64| Point {
        series: key(device),
        reading: Reading { value, timestamp: Timestamp(START + at), quality: Quality::Good },
    };
    let rare = (-20..20).map(|i| reading("rare", i * 36 * HOUR_MS + 77_000, (i * i) as f64 / 10.0));
    let late = (0..300).map(|i| reading("late", 60 * HOUR_MS + i * 7 * MINUTE_MS, i as f64));
    history.append(rare.chain(late).collect()).await.unwrap();
    history.checkpoint().await.unwrap();
    let memory = (0..40).map(|i| reading("a", 20 * HOUR_MS + i * 11 * MINUTE_MS, 200.0 + i as f64));
    history.append(memory.collect()).await.unwrap();
}

type Row = (Timestamp, Vec<f64>);

fn table_of(history: &History, step: &str, range: (i64, i64), figures: &[Figure]) -> Table {
    let devices = ["a", "b", "c", "rare", "late"];
    let clock = StepClock::new(step.parse().unwrap(), TimeZone::get("Asia/Shanghai").unwrap());
    let base = |figure, series| Base { figure, across: Across::Sum, series };
    let alone = |figure: &Figure| (0..devices.len()).map(|i| base(*figure, vec![i])).collect::<Vec<_>>();
    let mut bases: Vec<Base> = figures.iter().flat_map(alone).collect();
    bases.extend(figures.iter().map(|figure| base(*figure, (0..devices.len()).collect())));
    let outputs: Vec<Output> = (0..bases.len()).map(Output::Base).collect();
    let columns = vec![column("x"); bases.len()];
    let head = Head { from: Timestamp(range.0), to: Timestamp(range.1), ..head(Some(step)) };
    Table::new(history.clone(), head, clock, devices.map(key).to_vec(), bases, outputs, columns)
}

async fn rows_of(table: Table) -> Vec<Row> {
    let mut rows = Rows::of(table);
    let mut all = Vec::new();
    while rows.next_window().await.unwrap() {
        while let Some((at, values)) = rows.next_row() {
            all.push((at, values.to_vec()));
        }
    }
    all
}

/// Sums may differ by what adding in another order does.
fn assert_same(rows: &[Row], expected: &[Row], what: &str) {
    let starts = |rows: &[Row]| rows.iter().map(|(at, _)| *at).collect::<Vec<_>>();
    assert_eq!(starts(rows), starts(expected), "{what}");
    for ((at, values), (_, expected)) in rows.iter().zip(expected) {
        for (i, (value, expected)) in values.iter().zip(expected).enumerate() {
            let is_same = (value - expected).abs() <= 1e-9 * expected.abs().max(1.0);
            assert!(
                is_same || value.is_nan() && expected.is_nan(),
                "{what} {at} {i}: {value}, not {expected}"
            );
        }
    }
}

#[tokio::test]
async fn two_questions_that_meet_at_a_step_give_the_rows_of_one_over_both() {
    let (_folder, history) = store().await;
    fill_with_the_rare(&history).await;
    let mut state = 11u64;
    for step in ["7m", "1h", "7h", "1d", "1w"] {
        let (from, to) = (START - 7 * DAY_MS, START + 41 * DAY_MS + 5 * HOUR_MS);
        let mut clock = StepClock::new(step.parse().unwrap(), TimeZone::get("Asia/Shanghai").unwrap());
        let from = clock.floor(Timestamp(from)).0;
        let of = async |from, to| rows_of(table_of(&history, step, (from, to), &Figure::ALL)).await;
        let whole = of(from, to).await;
        let edges = clock.edges(Timestamp(from), Timestamp(to), usize::MAX - 1);
        for _ in 0..40 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Most cuts where most readings are.
            let place = (state >> 33) as usize % edges.len();
            let place = if state.is_multiple_of(3) { place } else { place * 12 / 48 };
            let cut = edges[place];
            let parts = [of(from, cut.0).await, of(cut.0, to).await].concat();
            assert_same(&parts, &whole, &format!("{step} cut at {cut}"));
        }
    }
}

#[tokio::test]
async fn what_is_filled_in_is_the_same_wherever_questions_and_windows_begin() {
    let (_folder, history) = store().await;
    fill_with_the_rare(&history).await;
    let (from, to, until) = (START - 2 * DAY_MS, START + 9 * DAY_MS, Timestamp(START + 8 * DAY_MS + 1));
    for with in [With::Zero, With::Previous { within_ms: 20 * HOUR_MS }] {
        for step in ["50m", "7h", "1d"] {
            let of = async |from, to, buckets_at_once| {
                let mut table = table_of(&history, step, (from, to), &Figure::ALL);
                table.fill = Some(Fill { with, until });
                table.buckets_at_once = buckets_at_once;
                rows_of(table).await
            };
            let whole = of(from, to, 1 << 20).await;
            let mut clock = StepClock::new(step.parse().unwrap(), TimeZone::get("Asia/Shanghai").unwrap());
            for cut in clock.edges(Timestamp(from), Timestamp(to), usize::MAX - 1).into_iter().step_by(3) {
                let parts = [of(from, cut.0, 1 << 20).await, of(cut.0, to, 1 << 20).await].concat();
                assert_same(&parts, &whole, &format!("{with:?} {step} cut at {cut}"));
            }
            assert_same(&of(from, to, 40).await, &whole, &format!("{with:?} {step} in small windows"));
            if with == With::Zero {
                let steps = clock.edges(Timestamp(from), until, usize::MAX - 1).len() - 1;
                assert_eq!(whole.iter().filter(|(at, _)| *at < until).count(), steps, "{step}");
            }
        }
    }
}

#[tokio::test]
async fn readings_made_of_small_pages_are_the_same() {
    let (_folder, history) = store().await;
    fill(&history).await;
    for points in [None, Some(20)] {
        let of = |pace: Pace| {
            let series = ["a", "nobody", "b", "c"].map(|name| (key(name), column(name)));
            let range = (head(None).from, head(None).to);
            Source::Readings(Box::new(Readings::new(
                history.clone(),
                series.into_iter(),
                range,
                points,
                pace,
            )))
        };
        for format in [Format::Json, Format::Csv, Format::Arrow] {
            let whole = written(of(Pace::default()), &head(None), format).await;
            for (series, readings, page) in [(1, 1, 1), (2, 9, 5), (3, 1_000, 7), (4, 12, 1_000)] {
                let part = written(of(Pace { series, readings, page }), &head(None), format).await;
                assert!(part == whole, "{format:?} {series} {readings} {page}");
            }
        }
    }
}
