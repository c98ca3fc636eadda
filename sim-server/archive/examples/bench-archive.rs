//! Measures the archive on this machine and prints a JSON array of `{name, value, unit, bar, peer, peer_value}`: a day of a
//! hundred series at 1 Hz, out of a store into Parquet and into another store.
//!
//! `bench-archive [series, default 100] [folder]`; the signals are those of `bench-history`.

#![allow(clippy::print_stdout)]

use archive::{Archive, Days, Description, ParkName, WhoWins, export, import};
use history::{AppendError, History, HistoryOptions, PointBatch, SeriesKey};
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use shared::{
    telemetry::{Quality, Reading},
    time::{DAY_MS, Timestamp},
};
use std::{error::Error, path::Path, time::Instant};

/// 2026-11-23 00:00 in Shanghai.
const START_MS: i64 = 1_795_363_200_000;
const SECONDS: i64 = 86_400;

/// Between −1 and 1, the same in every run.
fn noise(state: &mut u64) -> f64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// Rounded as meters round: powers and voltages to 0.1, counters to 0.01, states of charge to 0.1.
fn next(series: usize, level: &mut f64, state: &mut u64) -> f64 {
    let noise = noise(state);
    let round = |v: f64, per_unit: f64| (v * per_unit).round() / per_unit;
    match series % 5 {
        0 | 1 => {
            *level += noise * 0.4;
            round(*level, 10.0)
        }
        2 => round(230.0 + noise * 0.6, 10.0),
        3 => {
            *level += (1.0 + noise) * 0.01;
            round(*level, 100.0)
        }
        _ => {
            *level += noise * 0.01;
            round(*level, 10.0)
        }
    }
}

fn figure(name: &str, value: f64, unit: &str) -> Value {
    json!({"name": name, "value": value, "unit": unit, "bar": null, "peer": null, "peer_value": null})
}

async fn open(folder: &Path) -> Result<History, Box<dyn Error>> {
    Ok(History::open(HistoryOptions { folder: folder.to_owned(), ..HistoryOptions::default() }).await?)
}

async fn fill(history: &History, series: usize) -> Result<(), Box<dyn Error>> {
    let mut state = 7;
    for series in 0..series {
        let (device, measurement) = (format!("device-{:04}", series / 10), format!("m{}", series % 10));
        let id = history.series_id(&SeriesKey { device: device.parse()?, measurement: measurement.parse()? });
        let mut batch = PointBatch::with_capacity(SECONDS as usize);
        let mut level = 50.0 + series as f64 / 10.0;
        for second in 0..SECONDS {
            let value = next(series, &mut level, &mut state);
            let timestamp = Timestamp(START_MS + second * 1_000);
            batch.push(id, Reading { value, timestamp, quality: Quality::Good })?;
        }
        while let Err(error) = history.append_batch(batch.clone()).await {
            if error != AppendError::Busy {
                return Err(error.into());
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    history.compact().await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let series: usize = args.next().map_or(Ok(100), |s| s.parse())?;
    let temporary = tempfile::tempdir()?;
    let folder = args.next().map_or(temporary.path().to_owned(), Into::into);
    let history = open(&folder.join("one")).await?;
    fill(&history, series).await?;
    let time_zone = "Asia/Shanghai".to_owned();
    let park = ParkName { id: "bench".into(), zone: TimeZone::get(&time_zone)?, time_zone };
    let place = format!("file://{}", folder.join("archive").display());
    let describe = |_: &SeriesKey| Description { unit: Some("kW".into()), origin: Some("simulated".into()) };

    let archive = Archive::create(&place, None)?;
    let now = Timestamp(START_MS + 2 * DAY_MS);
    let began = Instant::now();
    let out = export(&history, &archive, &park, &describe, Days::default(), now, &mut |_| {}).await?;
    let out_s = began.elapsed().as_secs_f64();
    let began = Instant::now();
    export(&history, &archive, &park, &describe, Days::default(), now, &mut |_| {}).await?;
    let unchanged_s = began.elapsed().as_secs_f64();
    history.close().await?;

    let other = open(&folder.join("two")).await?;
    let began = Instant::now();
    let back = import(&other, &archive, WhoWins::Store, &mut |_| {}).await?;
    let back_s = began.elapsed().as_secs_f64();
    let began = Instant::now();
    let again = import(&other, &archive, WhoWins::Store, &mut |_| {}).await?;
    let again_s = began.elapsed().as_secs_f64();
    other.close().await?;
    if (back.stored, again.already) != (out.rows, out.rows) {
        return Err(format!("{} went out, {} and {} came back", out.rows, back.stored, again.already).into());
    }
    let rows = out.rows as f64;
    let figures = [
        figure("archive: Parquet bytes per point", out.bytes as f64 / rows, "bytes"),
        figure("archive: export", rows / out_s, "points/s"),
        figure("archive: seeing that the day has not changed", unchanged_s * 1e3, "ms"),
        figure("archive: import into an empty store", rows / back_s, "points/s"),
        figure("archive: import of what is there", rows / again_s, "points/s"),
    ];
    println!("{}", serde_json::to_string_pretty(&figures)?);
    Ok(())
}
