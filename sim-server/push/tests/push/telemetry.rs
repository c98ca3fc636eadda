//! What devices measure, as receivers get it.

use super::*;
use history::Point;
use push::TelemetryPush;
use shared::telemetry::{Quality, Reading};
use std::collections::BTreeMap;

/// What is told here; it is measured twice as often.
const STEP_MS: i64 = 10_000;

/// A reading every five seconds, its value the number of five seconds since `from`.
async fn measure(history: &History, (device, measurement): (&str, &str), from: Timestamp, to: Timestamp) {
    let series = SeriesKey { device: device.parse().unwrap(), measurement: measurement.parse().unwrap() };
    let reading = |at: i64| Reading {
        value: ((at - from.0) / 5_000) as f64,
        timestamp: Timestamp(at),
        quality: Quality::Good,
    };
    let points = (from.0..to.0).step_by(5_000);
    let points = points.map(|at| Point { series: series.clone(), reading: reading(at) }).collect();
    history.append(points).await.unwrap();
}

/// What was told: the ranges in their order, and each line by its series and the beginning of its step.
type Lines = BTreeMap<(String, String, i64), Vec<f64>>;

fn told(came: &[Came]) -> (Vec<(i64, i64)>, Lines) {
    let mut seen: Vec<String> = Vec::new();
    let (mut ranges, mut lines) = (Vec::new(), Lines::new());
    for came in came {
        let body = came.json();
        assert_eq!(body["type"], "telemetry", "{body}");
        // The same delivery may come twice.
        if seen.contains(&came.id()) {
            continue;
        }
        seen.push(came.id());
        let data = &body["data"];
        assert_eq!(data["step"], 10);
        assert_eq!(data["columns"], json!(["start", "count", "mean", "min", "max", "first", "last"]));
        let range = (data["from"].as_i64().unwrap(), data["to"].as_i64().unwrap());
        assert_eq!(body["timestamp"], range.1);
        if ranges.last() != Some(&range) {
            ranges.push(range);
        }
        for series in data["series"].as_array().unwrap() {
            let name = |key: &str| series[key].as_str().unwrap().to_owned();
            assert_eq!(name("unit"), if name("measurement") == "soc" { "%" } else { "kW" });
            for step in series["steps"].as_array().unwrap() {
                let numbers: Vec<f64> =
                    step.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect();
                let key = (name("device"), name("measurement"), numbers[0] as i64);
                assert!((range.0..range.1).contains(&key.2), "{key:?} in {range:?}");
                assert!(lines.insert(key, numbers[1..].to_vec()).is_none(), "a step came twice");
            }
        }
    }
    (ranges, lines)
}

impl Running {
    /// Told the steps of the batteries' power since `from`, at once.
    async fn told_power(&self, records: &Records, url: String, from: Timestamp) -> String {
        let new = NewWebhook {
            name: "erp".into(),
            url,
            events: vec![],
            telemetry: Some(TelemetryPush { step: 10, delay: 0 }),
            scope: "measurement=power".parse().unwrap(),
        };
        let id = self.push.create(new, "admin", now()).await.unwrap().0.id;
        while records.told_through(&id).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        // As if it had been made then.
        records.set_told_through(&id, from).await.unwrap();
        self.look_again(&id).await;
        id
    }

    async fn look_again(&self, id: &str) {
        self.push.change(id, WebhookChange::default()).await.unwrap();
    }
}

pub(crate) async fn each_step_is_told_once_whatever_happens_meanwhile(records: Records) {
    let folder = tempfile::tempdir().unwrap();
    let history = history_in(&folder).await;
    let receiver = Receiver::listening().await;
    let start = Timestamp((now().0 / STEP_MS - 800) * STEP_MS);
    let step = |n: i64| Timestamp(start.0 + n * STEP_MS);
    for series in [("bess-1", "power"), ("bess-1", "soc"), ("bess-2", "power"), ("pv-1", "power")] {
        measure(&history, series, start, step(600)).await;
    }

    // It refuses, the server is closed while it says nothing, and something happens besides.
    receiver.will(&[Does::Refuses(500), Does::Refuses(503), Does::Hangs]);
    let running = Running::beside(&records, &history, options()).await;
    let id = running.told_power(&records, receiver.url(), start).await;
    records.save_alarms(&[alarm("a-1", None)]).await.unwrap();
    receiver.count(3).await;
    running.close().await;

    let options = PushOptions { reports_max: 1, ..options() };
    let running = Running::beside(&records, &history, options).await;
    running.until(&id, |all| all.iter().all(|d| d.status == DeliveryStatus::Delivered)).await;
    let came = receiver.came.borrow().clone();
    let (ranges, lines) = told(&came);
    // More than one delivery holds.
    assert_eq!(came.last().unwrap().json()["data"]["parts"], 2);
    assert_eq!(ranges[0].0, start.0);
    assert!(ranges.windows(2).all(|w| w[0].1 == w[1].0), "{ranges:?}");
    let expected: Lines = ["bess-1", "bess-2"]
        .into_iter()
        .flat_map(|device| (0..600).map(move |n| (device, n)))
        .map(|(device, n)| {
            let (first, last) = (2.0 * n as f64, 2.0 * n as f64 + 1.0);
            let figures = vec![2.0, first + 0.5, first, last, first, last];
            ((device.to_owned(), "power".to_owned(), step(n).0), figures)
        })
        .collect();
    assert_eq!(lines, expected);
    // The alarm is handed on, to nobody.
    while !records.news(1).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }

    // What came later, a round each; of rounds that have ended few stay.
    for round in 600..603 {
        let before = receiver.came.borrow().len();
        measure(&history, ("bess-1", "power"), step(round), step(round + 1)).await;
        records.set_told_through(&id, step(round)).await.unwrap();
        running.look_again(&id).await;
        let (ranges, lines) = told(&receiver.count(before + 1).await[before..]);
        assert_eq!((ranges[0].0, lines.len()), (step(round).0, 1));
        running.until(&id, |all| all.iter().all(|d| d.status == DeliveryStatus::Delivered)).await;
    }
    let all = running.until(&id, |all| all.first().is_some_and(|d| d.sequence == 5)).await;
    assert_eq!(all.len(), 2, "{all:#?}");
    running.close().await;
}

pub(crate) async fn telemetry_ends_when_it_is_no_longer_asked_for(records: Records) {
    let folder = tempfile::tempdir().unwrap();
    let history = history_in(&folder).await;
    let (receiver, running) =
        (Receiver::listening().await, Running::beside(&records, &history, options()).await);
    let start = Timestamp((now().0 / STEP_MS - 10) * STEP_MS);
    measure(&history, ("bess-1", "power"), start, Timestamp(start.0 + STEP_MS)).await;
    let id = running.told_power(&records, receiver.url(), start).await;
    receiver.count(1).await;
    running.until(&id, |all| all.iter().all(|d| d.status == DeliveryStatus::Delivered)).await;
    let change = |telemetry| WebhookChange {
        telemetry: Some(telemetry),
        scope: Some(Selector::default()),
        ..WebhookChange::default()
    };
    let changed = running.push.change(&id, change(None)).await.unwrap();
    assert_eq!((changed.telemetry, records.told_through(&id).await.unwrap()), (None, None));
    // Now it is told what happens, since nothing else is said.
    records.save_alarms(&[alarm("a-1", None)]).await.unwrap();
    assert_eq!(receiver.count(2).await[1].json()["type"], "alarm.raised");
    // Told again, it begins anew.
    let changed_at = now();
    running.push.change(&id, change(Some(TelemetryPush { step: 10, delay: 0 }))).await.unwrap();
    let told = loop {
        match records.told_through(&id).await.unwrap() {
            Some(told) => break told,
            None => tokio::task::yield_now().await,
        }
    };
    assert!(told.0 > changed_at.0 - STEP_MS, "{told:?}");
    running.close().await;
}
