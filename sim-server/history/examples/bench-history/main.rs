//! Measures the store on this machine and prints a JSON array of `{name, value, unit, bar, peer, peer_value}`.
//!
//! `cargo run -p history --release --example bench-history -- [seconds of 1,000 series at 1 Hz, default 10000, at least 3600] [folder]`
//!
//! The signals are those of `signals`, as meters round them.

#![allow(clippy::print_stdout)]

mod signals;

use history::{AppendError, History, HistoryOptions, Point, PointBatch, SeriesKey, Steps};
use serde::Serialize;
use shared::{
    telemetry::{Quality, Reading},
    time::Timestamp,
};
use signals::{SERIES, Signals};
use std::{
    error::Error,
    path::PathBuf,
    sync::Arc,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

const START: Timestamp = Timestamp(1_780_272_000_000);

#[derive(Serialize)]
struct Figure {
    name: &'static str,
    value: f64,
    unit: &'static str,
    bar: Option<f64>,
    peer: Option<&'static str>,
    peer_value: Option<f64>,
}

fn figure(name: &'static str, value: f64, unit: &'static str, bar: impl Into<Option<f64>>) -> Figure {
    Figure { name, value, unit, bar: bar.into(), peer: None, peer_value: None }
}

fn key(series: usize) -> SeriesKey {
    let (device, measurement) = (format!("device-{:04}", series / 10), format!("m{}", series % 10));
    match (device.parse(), measurement.parse()) {
        (Ok(device), Ok(measurement)) => SeriesKey { device, measurement },
        _ => unreachable!("{device} and {measurement} are identifiers"),
    }
}

fn good(value: f64, timestamp: Timestamp) -> Reading {
    Reading { value, timestamp, quality: Quality::Good }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let seconds: i64 = args.next().map_or(Ok(10_000), |s| s.parse())?;
    if seconds < 3_600 {
        return Err("at least 3600 seconds: an hour is read back".into());
    }
    let folder = args.next().map_or_else(
        || std::env::temp_dir().join(format!("history-bench-{}", std::process::id())),
        PathBuf::from,
    );
    let options = HistoryOptions { folder: folder.clone(), ..HistoryOptions::default() };
    let mut figures = Vec::new();

    let history = History::open(options.clone()).await?;
    figures.push(figure("history: durable bulk append", bulk(&history, seconds).await?, "points/s", 1e6));
    history.checkpoint().await?;
    let began = Instant::now();
    history.compact().await?;
    let stats = history.stats().await;
    let rate = stats.points as f64 / began.elapsed().as_secs_f64();
    figures.push(figure("history: points merged after that", rate, "points/s", None));
    figures.push(figure("history: blocks", stats.blocks as f64, "blocks", None));
    let per_point = |bytes: u64| bytes as f64 / stats.points as f64;
    figures.push(figure("history: block bytes per point", per_point(stats.block_bytes), "bytes", 1.1));
    figures.push(figure("history: database bytes per point", per_point(stats.bytes), "bytes", 1.3));

    let end = Timestamp(START.0 + seconds * 1_000);
    let trickle = Trickle::start(&history, end, 20_000);
    figures.push(figure("history: one series, 1 h raw, p50", hour_raw(&history, seconds).await?, "ms", 0.5));
    figures.push(figure(
        "history: minute means of one series, p50",
        minute_means(&history, end).await?,
        "ms",
        2.0,
    ));
    let (raw, minutes) = hour_of_many(&history, seconds).await?;
    figures.push(figure("history: 100 series, 1 h raw, p50", raw, "ms", 12.0));
    figures.push(figure("history: 100 series, minute means of 1 h, p50", minutes, "ms", 12.0));
    let hourly = hourly_means_of_all(&history, end).await?;
    figures.push(figure("history: hourly means of 1,000 series, p50", hourly, "ms", 10.0));
    trickle.stop().await;

    let (rate, p99) = devices(&history, end, Duration::from_secs(5)).await?;
    figures.push(figure("history: durable append, 1,000 writers of 10 points", rate, "points/s", 150e3));
    figures.push(figure("history: durable append of 10 points among 1,000 writers, p99", p99, "ms", None));

    let unsealed = history.stats().await.unsealed_points;
    history.close().await?;
    let began = Instant::now();
    let history = History::open(options).await?;
    figures.push(figure("history: open with an unsealed tail", began.elapsed().as_secs_f64(), "s", 5.0));
    figures.push(figure("history: unsealed points at that open", unsealed as f64, "points", None));
    history.close().await?;
    std::fs::remove_dir_all(folder)?;
    println!("{}", serde_json::to_string_pretty(&figures)?);
    Ok(())
}

/// Appends, and waits where the store says it is busy.
async fn append(history: &History, batch: PointBatch) -> Result<(), AppendError> {
    loop {
        match history.append_batch(batch.clone()).await {
            Err(AppendError::Busy) => tokio::time::sleep(Duration::from_millis(5)).await,
            done => return done,
        }
    }
}

/// Ten seconds of all series an append, four appends at a time.
async fn bulk(history: &History, seconds: i64) -> Result<f64, Box<dyn Error>> {
    let ids: Vec<_> = (0..SERIES).map(|s| history.series_id(&key(s))).collect();
    let mut signals = Signals::new();
    let mut waiting = std::collections::VecDeque::new();
    let mut generating = Duration::ZERO;
    let began = Instant::now();
    for first in (0..seconds).step_by(10) {
        let generated = Instant::now();
        let mut batch = PointBatch::with_capacity(SERIES * 10);
        for second in first..(first + 10).min(seconds) {
            for (series, id) in ids.iter().enumerate() {
                batch.push(*id, good(signals.next(series), Timestamp(START.0 + second * 1_000)))?;
            }
        }
        generating += generated.elapsed();
        let history = history.clone();
        waiting.push_back(tokio::spawn(async move { append(&history, batch).await }));
        if waiting.len() > 4
            && let Some(oldest) = waiting.pop_front()
        {
            oldest.await??;
        }
    }
    for one in waiting {
        one.await??;
    }
    let took = began.elapsed();
    eprint_note(&format!("bulk: {took:?}, of which making the points {generating:?}"));
    Ok((seconds as usize * SERIES) as f64 / took.as_secs_f64())
}

#[allow(clippy::print_stderr)]
fn eprint_note(note: &str) {
    eprintln!("{note}");
}

/// Points coming in while reads are measured.
struct Trickle {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<()>,
}

impl Trickle {
    fn start(history: &History, end: Timestamp, points_per_second: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (history, stopped) = (history.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            for round in 0.. {
                tick.tick().await;
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let points = (0..points_per_second / 100)
                    .map(|i| Point {
                        series: key((round * 200 + i) % SERIES),
                        reading: good(i as f64, Timestamp(end.0 + 4_000_000 + round as i64)),
                    })
                    .collect();
                if history.append(points).await.is_err() {
                    break;
                }
            }
        });
        Trickle { stop, task }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.task.await;
    }
}

fn median_ms(mut took: Vec<Duration>) -> f64 {
    took.sort();
    took[took.len() / 2].as_secs_f64() * 1_000.0
}

async fn hour_raw(history: &History, seconds: i64) -> Result<f64, Box<dyn Error>> {
    let mut took = Vec::new();
    for i in 0..2_000 {
        let from = START.0 + (i * 37 % (seconds - 3_599)) * 1_000;
        let began = Instant::now();
        let read = history
            .readings(&key((i as usize * 7) % SERIES), Timestamp(from), Timestamp(from + 3_600_000), 100_000)
            .await?;
        took.push(began.elapsed());
        assert_eq!(read.len(), 3_600);
    }
    Ok(median_ms(took))
}

async fn minute_means(history: &History, end: Timestamp) -> Result<f64, Box<dyn Error>> {
    let mut took = Vec::new();
    for i in 0..200 {
        let began = Instant::now();
        history.buckets(&key((i * 7) % SERIES), START, end, 60_000).await?;
        took.push(began.elapsed());
    }
    Ok(median_ms(took))
}

/// An hour of a hundred series: as they were sent, and by minutes.
async fn hour_of_many(history: &History, seconds: i64) -> Result<(f64, f64), Box<dyn Error>> {
    let (mut raw, mut minutes) = (Vec::new(), Vec::new());
    for i in 0..100 {
        let from = Timestamp(START.0 + (i * 37 % ((seconds - 3_540) / 60)) * 60_000);
        let to = Timestamp(from.0 + 3_600_000);
        let series: Vec<SeriesKey> = (0..100).map(|s| key((i as usize * 7 + s * 9) % SERIES)).collect();
        let began = Instant::now();
        let read = history.readings_many(&series, from, to, 100_000).await?;
        raw.push(began.elapsed());
        assert_eq!(read.iter().map(Vec::len).sum::<usize>(), 360_000);
        let began = Instant::now();
        let read = history.buckets_many(&series, &Steps::even(from, to, 60_000)?).await?;
        minutes.push(began.elapsed());
        assert_eq!(read.iter().map(Vec::len).sum::<usize>(), 6_000);
    }
    Ok((median_ms(raw), median_ms(minutes)))
}

async fn hourly_means_of_all(history: &History, end: Timestamp) -> Result<f64, Box<dyn Error>> {
    let series: Vec<SeriesKey> = (0..SERIES).map(key).collect();
    let hours = Timestamp(START.0.div_euclid(3_600_000) * 3_600_000);
    let steps = Steps::even(hours, end, 3_600_000)?;
    let mut took = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        let read = history.buckets_many(&series, &steps).await?;
        took.push(began.elapsed());
        assert_eq!(read.len(), SERIES);
    }
    Ok(median_ms(took))
}

/// A thousand devices, each sending its next ten points when the last ten are durable.
async fn devices(history: &History, end: Timestamp, time: Duration) -> Result<(f64, f64), Box<dyn Error>> {
    let points = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let writers: Vec<_> = (0..1_000)
        .map(|device| {
            let (history, points) = (history.clone(), points.clone());
            tokio::spawn(async move {
                let keys: Vec<_> = (0..10).map(|m| key(device % 100 * 10 + m)).collect();
                let mut took = Vec::new();
                for round in 0.. {
                    if began.elapsed() > time {
                        break;
                    }
                    let t = Timestamp(end.0 + 8_000_000 + round * 1_000 + device as i64);
                    let batch = keys
                        .iter()
                        .map(|series| Point { series: series.clone(), reading: good(round as f64, t) })
                        .collect();
                    let sent = Instant::now();
                    match history.append(batch).await {
                        Ok(()) => {
                            took.push(sent.elapsed());
                            points.fetch_add(10, Ordering::Relaxed);
                        }
                        Err(AppendError::Busy) => tokio::time::sleep(Duration::from_millis(5)).await,
                        Err(error) => return Err(error),
                    }
                }
                Ok(took)
            })
        })
        .collect();
    let mut took = Vec::new();
    for writer in writers {
        took.extend(writer.await??);
    }
    let rate = points.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64();
    took.sort();
    Ok((rate, took[took.len() * 99 / 100].as_secs_f64() * 1_000.0))
}
