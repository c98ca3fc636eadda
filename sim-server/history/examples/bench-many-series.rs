//! What a great many series take: memory, time to take a reading of each, time to open. Prints a JSON array of
//! `{name, value, unit, bar, peer, peer_value}`.
//!
//! `cargo run -p history --release --example bench-many-series -- [series, default 1000000] [readings of each, default 60] [folder]`

#![allow(clippy::print_stdout)]

use history::{AppendError, History, HistoryOptions, PointBatch, SeriesId, SeriesKey};
use serde_json::json;
use shared::{
    telemetry::{Quality, Reading},
    time::Timestamp,
};
use std::{
    error::Error,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

const START: Timestamp = Timestamp(1_780_272_000_000);
/// Readings of one append.
const POINTS_AT_ONCE: usize = 10_000;
const MEASUREMENTS: usize = 10;

fn key(series: usize) -> Result<SeriesKey, Box<dyn Error>> {
    let (device, measurement) = (series / MEASUREMENTS, series % MEASUREMENTS);
    Ok(SeriesKey {
        device: format!("d-{device:06}").parse()?,
        measurement: format!("m{measurement}").parse()?,
    })
}

/// What this process takes, in MiB: now, or at most so far.
fn memory_mib(field: &str) -> Result<f64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such field")?;
    let kib: f64 = line.trim_start_matches(':').trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}

async fn append(history: &History, batch: PointBatch) -> Result<(), AppendError> {
    loop {
        match history.append_batch(batch.clone()).await {
            Err(AppendError::Busy) => tokio::time::sleep(Duration::from_millis(5)).await,
            done => return done,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let series: usize = args.next().map_or(Ok(1_000_000), |s| s.parse())?;
    let readings: i64 = args.next().map_or(Ok(60), |s| s.parse())?;
    let folder = args.next().map_or_else(
        || std::env::temp_dir().join(format!("history-bench-{}", std::process::id())),
        PathBuf::from,
    );
    let options = HistoryOptions { folder: folder.clone(), ..HistoryOptions::default() };
    let history = History::open(options.clone()).await?;
    let ids: Vec<SeriesId> =
        (0..series).map(|s| Ok(history.series_id(&key(s)?))).collect::<Result<_, Box<dyn Error>>>()?;
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    for minute in 0..readings {
        let round = Instant::now();
        for (part, some) in ids.chunks(POINTS_AT_ONCE).enumerate() {
            let mut batch = PointBatch::with_capacity(some.len());
            for (place, id) in some.iter().enumerate() {
                let number = (part * POINTS_AT_ONCE + place) as i64;
                let value = (number % 977 + minute) as f64 / 10.0;
                let timestamp = Timestamp(START.0 + minute * 60_000 + number % 60_000);
                batch.push(*id, Reading { value, timestamp, quality: Quality::Good })?;
            }
            append(&history, batch).await?;
        }
        slowest = slowest.max(round.elapsed());
    }
    let rate = series as f64 * readings as f64 / began.elapsed().as_secs_f64();
    let (held, most) = (memory_mib("VmRSS")?, memory_mib("VmHWM")?);
    history.close().await?;
    let began = Instant::now();
    let history = History::open(options).await?;
    let opened = began.elapsed();
    let read = history.readings(&key(series / 2)?, START, Timestamp(i64::MAX), 100_000).await?;
    assert_eq!(read.len() as i64, readings);
    history.close().await?;
    fs::remove_dir_all(folder)?;
    let row = |name: &str, value: f64, unit: &str, bar: Option<f64>| {
        let name = format!("history: {series} series with {readings} readings each: {name}");
        json!({ "name": name, "value": value, "unit": unit, "bar": bar, "peer": null, "peer_value": null })
    };
    let rows = [
        row("memory at most", most, "MiB", Some(2_048.0)),
        row("memory at the end", held, "MiB", None),
        row("durable points", rate, "points/s", None),
        row("slowest round of a reading each", slowest.as_secs_f64(), "s", None),
        row("time to open", opened.as_secs_f64(), "s", None),
    ];
    println!("{}", serde_json::to_string_pretty(&rows)?);
    Ok(())
}
