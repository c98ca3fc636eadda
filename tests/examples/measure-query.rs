//! How soon a real server answers questions about past telemetry, for `scripts/bench query`.
//!
//! `measure-query [seconds of 1,000 series at 1 Hz, default 100000, at least 3600]` prints a JSON array of
//! `{"name","value","unit","bar","peer","peer_value"}`. Build with `--release` beside a release server. The series are stored by
//! the `history` crate before the server starts; peers are what VictoriaMetrics 1.79 took for the same on two cores.

use anyhow::{Context, ensure};
use history::{AppendError, History, HistoryOptions, PointBatch, SeriesKey};
use park_tests::{Server, now_ms};
use serde_json::{Value, json};
use shared::{
    telemetry::{Quality, Reading},
    time::Timestamp,
};
use std::{
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

/// Ten measurements of a hundred storage containers.
const KEYS: [&str; 10] = [
    "power",
    "soc",
    "voltage",
    "current",
    "dc_voltage",
    "dc_current",
    "temperature",
    "temperature_max",
    "energy_import",
    "energy_export",
];
const DEVICES: usize = 100;

fn device(index: usize) -> String {
    format!("load-{index:03}")
}

/// A small generator of noise between −1 and 1, the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// Stores a second's reading of each series, rounded as meters round, up to `end`.
async fn fill(folder: &Path, end: i64, seconds: i64) -> anyhow::Result<()> {
    let history = History::open(HistoryOptions { folder: folder.to_owned(), ..Default::default() }).await?;
    let mut ids = Vec::new();
    for index in 0..DEVICES {
        for key in KEYS {
            let series = SeriesKey { device: device(index).parse()?, measurement: key.parse()? };
            ids.push(history.series_id(&series));
        }
    }
    let mut noise = Noise(7);
    let mut levels: Vec<f64> = (0..ids.len()).map(|i| 50.0 + i as f64 / 10.0).collect();
    for first in (0..seconds).step_by(10) {
        let mut batch = PointBatch::with_capacity(ids.len() * 10);
        for second in first..(first + 10).min(seconds) {
            let timestamp = Timestamp(end - (seconds - second) * 1_000);
            for (index, (id, level)) in ids.iter().zip(&mut levels).enumerate() {
                let by = noise.next();
                *level += if index % 10 < 8 { by * 0.4 } else { (1.0 + by) * 0.01 };
                let value = (*level * 10.0).round() / 10.0;
                batch.push(*id, Reading { value, timestamp, quality: Quality::Good })?;
            }
        }
        while let Err(error) = history.append_batch(batch.clone()).await {
            ensure!(error == AppendError::Busy, "{error}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    history.compact().await?;
    history.close().await?;
    Ok(())
}

struct Asking {
    client: reqwest::Client,
    server: Server,
}

impl Asking {
    /// The median time until an answer is read, and how long it is.
    async fn time(&self, times: usize, question: impl Fn(usize) -> String) -> anyhow::Result<(f64, usize)> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        for turn in 0..times {
            let url = self.server.url(&format!("/api/v1/telemetry/query?{}", question(turn)));
            let started = Instant::now();
            let answer = self.client.get(&url).bearer_auth(self.server.token()).send().await?;
            let status = answer.status();
            let body = answer.bytes().await?;
            taken.push(started.elapsed());
            ensure!(status.is_success(), "{url}: {status} {}", String::from_utf8_lossy(&body));
            bytes = body.len();
        }
        taken.sort();
        Ok((taken[taken.len() / 2].as_secs_f64() * 1e3, bytes))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let seconds: i64 = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    ensure!(seconds >= 3_600, "at least 3600 seconds: an hour is read back");
    let folder = tempfile::tempdir()?;
    let end = now_ms() / 3_600_000 * 3_600_000;
    let began = Instant::now();
    fill(&folder.path().join("history"), end, seconds).await?;
    writeln!(std::io::stderr(), "{} points stored in {:.0?}", seconds * 1_000, began.elapsed())?;
    let server = Server::start(folder.path(), &[]).await?;
    for index in 0..DEVICES {
        server.register(&device(index), "battery-container").await.context("registering")?;
    }
    let asking = Asking { client: reqwest::Client::new(), server };
    let start = end - seconds * 1_000;
    let hour = |turn: usize| {
        let from = start + (turn as i64 * 37 % (seconds - 3_599)) * 1_000;
        format!("from={from}&to={}", from + 3_600_000)
    };
    let one = |turn: usize| format!("device={}&measurement={}", device(turn % DEVICES), KEYS[turn * 7 % 10]);
    let all: Vec<String> = (0..DEVICES).map(device).collect();
    let all = format!("device={}", all.join(","));
    let whole = format!("from={start}&to={end}");

    let mut rows: Vec<Value> = Vec::new();
    let mut row = |name: String, (ms, bytes): (f64, usize), bar: Option<f64>, peer: Option<f64>| {
        rows.push(json!({
            "name": format!("{name}, {:.2} MB", bytes as f64 / 1e6), "value": (ms * 1e3).round() / 1e3, "unit": "ms",
            "bar": bar, "peer": peer.map(|_| "VictoriaMetrics"), "peer_value": peer,
        }));
    };
    for format in ["json", "csv", "arrow"] {
        let f = format!("format={format}");
        let time = asking.time(500, |turn| format!("{}&{}&{f}", one(turn), hour(turn))).await?;
        row(format!("query: one series, 1 h raw, {format}"), time, Some(0.5), Some(1.24));
        let time = asking.time(100, |turn| format!("{}&{whole}&step=1m&{f}", one(turn))).await?;
        row(format!("query: minute means of one whole series, {format}"), time, Some(2.0), Some(1.88));
        let time = asking
            .time(50, |turn| format!("{all}&measurement={}&{}&{f}", KEYS[turn % 10], hour(turn)))
            .await?;
        row(format!("query: 100 series, 1 h raw, {format}"), time, Some(12.0), Some(12.1));
        let time = asking.time(50, |_| format!("{all}&{whole}&step=1h&{f}")).await?;
        row(format!("query: hourly means of 1,000 series, {format}"), time, Some(10.0), Some(1_108.0));
    }
    let time = asking.time(50, |turn| format!("{}&{whole}&points=1000", one(turn))).await?;
    row("query: a chart of 1,000 points of one whole series".to_owned(), time, None, None);
    let time = asking.time(20, |_| format!("{all}&measurement=power&{whole}&step=15m&top=5")).await?;
    row("query: the five greatest of 100 series by quarter hours".to_owned(), time, None, None);
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&rows)?)?;
    Ok(())
}
