//! An answer made in small bits is the answer made at once.

use super::{
    answer::Source,
    expression::Expression,
    figure::{Across, Figure},
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
    Head { from, to, step: step.map(str::to_owned), time_zone: "Asia/Shanghai".to_owned() }
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
