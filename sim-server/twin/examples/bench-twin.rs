//! How many points a second the twin takes, in process: payloads of 10 points from 1,000 devices, each durable before it
//! is answered. Prints a JSON array of results.
//!
//! `cargo run -p twin --release --example bench-twin [-- SECONDS]`

use history::{History, HistoryOptions};
use records::Records;
use serde_json::{Value, json};
use shared::{
    scene::Scene,
    stream::Selector,
    telemetry::{Origin, Quality, Reading, parse_data_items},
    time::Timestamp,
};
use std::{
    error::Error,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use twin::{
    DeviceQuality, LiveTable, ModelRules, Registry, SampleLimits, Sender, TimeWindow, Twin, TwinOptions,
    check,
};

const DEVICES: usize = 1_000;
const POINTS: usize = 10;
/// The first instant of the load; every payload is a millisecond later than the one before.
const START_MS: i64 = 1_780_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let seconds = std::env::args().nth(1).map_or(Ok(5), |text| text.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let results = runtime.block_on(measure(Duration::from_secs(seconds)))?;
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&results)?)?;
    Ok(())
}

fn result(name: &str, value: f64, unit: &str, bar: Option<f64>) -> Value {
    let value = (value * 1e3).round() / 1e3;
    json!({ "name": name, "value": value, "unit": unit, "bar": bar, "peer": null, "peer_value": null })
}

async fn measure(duration: Duration) -> Result<Vec<Value>, Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("park-twin-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let measured = measure_in(&folder, duration).await;
    std::fs::remove_dir_all(&folder)?;
    measured
}

async fn measure_in(folder: &Path, duration: Duration) -> Result<Vec<Value>, Box<dyn Error>> {
    let history = HistoryOptions { folder: folder.join("history"), ..HistoryOptions::default() };
    let records = format!("sqlite://{}", folder.join("records.db").display());
    let twin = Twin::open(
        Arc::new(scene(DEVICES)?),
        History::open(history).await?,
        Records::open(&records).await?,
        TwinOptions::default(),
        Timestamp(START_MS),
    )
    .await?;
    twin.provision_scene(Origin::Simulated, Timestamp(START_MS)).await?;
    let mut results = vec![judging(twin.registry())?];
    for declared in [false, true] {
        results.push(quality_steps(declared)?);
    }
    results.extend(ingesting(&twin, duration).await?);
    results.extend(listening(twin.live()));
    Ok(results)
}

/// The test park with nothing but meters of ten measurements.
fn scene(devices: usize) -> Result<Scene, serde_json::Error> {
    let mut scene: Value = serde_json::from_str(include_str!("../src/test_park.json"))?;
    let grid = scene["devices"][3].clone();
    scene["devices"] = (0..devices)
        .map(|n| {
            let mut device = grid.clone();
            device["id"] = json!(name(n));
            device
        })
        .collect();
    serde_json::from_value(scene)
}

fn name(device: usize) -> String {
    format!("meter-{device:04}")
}

/// What a meter sends, rounded as meters round.
fn payload(device: usize, at_ms: i64) -> Vec<u8> {
    let mut text = Vec::with_capacity(220);
    let _ = write!(text, r#"{{"deviceId":"meter-{device:04}","timestamp":{at_ms},"data":{{"#);
    for m in 0..POINTS {
        let separator = if m == 0 { "" } else { "," };
        let value = (at_ms % 1_000) as f64 / 10.0 + m as f64;
        let _ = write!(text, r#"{separator}"m{m}":{value:.1}"#);
    }
    text.extend_from_slice(b"}}");
    text
}

/// Parsing and checking alone, on one core.
fn judging(registry: &Registry) -> Result<Value, Box<dyn Error>> {
    let payloads: Vec<Vec<u8>> = (0..DEVICES).map(|device| payload(device, START_MS)).collect();
    let window = TimeWindow { oldest: Timestamp(0), newest: Timestamp(i64::MAX) };
    let mut readings = Vec::new();
    let start = Instant::now();
    let mut points = 0;
    while start.elapsed() < Duration::from_secs(1) {
        for payload in &payloads {
            readings.clear();
            for item in parse_data_items(payload)? {
                points += check(&item?, &Sender::Trusted, registry, &window, &mut readings)?.1.points;
            }
        }
    }
    let rate = points as f64 / start.elapsed().as_secs_f64();
    Ok(result("twin parse and check, one core", rate, "points/s", None))
}

/// What the steps of data quality cost a reading, on one core: with nothing declared, and with rate and stuck on every
/// measurement.
fn quality_steps(declared: bool) -> Result<Value, Box<dyn Error>> {
    let mut scene = serde_json::to_value(scene(1)?)?;
    if declared {
        for measurement in scene["models"]["meter"]["measurements"].as_array_mut().into_iter().flatten() {
            measurement["rate_per_s"] = json!(1_000.0);
            measurement["stuck_after_s"] = json!(3_600);
        }
    }
    let scene: Scene = serde_json::from_value(scene)?;
    let model = scene.models.values().find(|model| model.id.as_str() == "meter").ok_or("no meter")?;
    let rules = ModelRules::new(model.clone(), &scene.alarms);
    let limits = SampleLimits { late_ms: 30_000, live_ms: 300_000, skew_ms: 10_000 };
    let zone = jiff::tz::TimeZone::get(&scene.park.time_zone)?;
    let mut devices: Vec<DeviceQuality> = (0..DEVICES).map(|_| DeviceQuality::default()).collect();
    let mut readings: Vec<(u16, Reading)> = Vec::with_capacity(POINTS);
    let (mut items, mut doubted, start) = (0_u64, 0_u64, Instant::now());
    while start.elapsed() < Duration::from_secs(1) {
        let at = Timestamp(START_MS + items as i64);
        for device in &mut devices {
            readings.clear();
            readings.extend((0..POINTS).map(|m| {
                let value = (items % 1_000) as f64 / 10.0 + m as f64;
                (m as u16, Reading { value, timestamp: at, quality: Quality::Good })
            }));
            let verdict = device.judge(&rules, &limits, at, &mut readings, at, |_| None);
            device.count(&verdict, &limits, at, at, true, &zone);
            doubted += u64::from(verdict.suspect);
            items += 1;
        }
    }
    let name = if declared { "rate and stuck on every measurement" } else { "nothing declared" };
    let ns = start.elapsed().as_secs_f64() * 1e9 / (items * POINTS as u64) as f64;
    if doubted > 0 {
        return Err(format!("{doubted} readings were doubted").into());
    }
    Ok(result(&format!("data quality steps, {name}, one core"), ns, "ns/reading", None))
}

async fn ingesting(twin: &Twin, duration: Duration) -> Result<Vec<Value>, Box<dyn Error>> {
    let taken = Arc::new(AtomicU64::new(0));
    let clock = Arc::new(AtomicI64::new(START_MS));
    let over = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    let tasks: Vec<_> = (0..DEVICES)
        .map(|device| {
            let (twin, taken, clock, over) = (twin.clone(), taken.clone(), clock.clone(), over.clone());
            tokio::spawn(async move {
                let mut waits = Vec::new();
                let sender = Sender::Device(name(device).parse().map_err(|e| format!("{e}"))?);
                while !over.load(Relaxed) {
                    let now = clock.fetch_add(1, Relaxed);
                    let sent = Instant::now();
                    let results = twin
                        .ingest(&sender, &payload(device, now), Timestamp(now))
                        .await
                        .map_err(|refusal| refusal.to_string())?;
                    for result in results {
                        let accepted = result.result.map_err(|refusal| refusal.to_string())?;
                        taken.fetch_add(accepted.points as u64, Relaxed);
                    }
                    waits.push(sent.elapsed());
                }
                Ok::<_, String>(waits)
            })
        })
        .collect();
    tokio::time::sleep(duration).await;
    over.store(true, Relaxed);
    let elapsed = start.elapsed();
    let points = taken.load(Relaxed);
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    waits.sort();
    let at = |share: f64| {
        let index = (share * waits.len().saturating_sub(1) as f64) as usize;
        waits.get(index).map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
    };
    let rate = points as f64 / elapsed.as_secs_f64();
    Ok(vec![
        result("twin ingest, durable, 1,000 devices, 10 points a payload", rate, "points/s", Some(150_000.0)),
        result("twin ingest, wait p50", at(0.50), "ms", None),
        result("twin ingest, wait p99", at(0.99), "ms", None),
    ])
}

/// What a tick of all listeners costs when every point has changed, and when none has.
fn listening(live: &LiveTable) -> Vec<Value> {
    let all: Vec<u32> = live.resolve(&Selector::All).into_iter().map(|(point, _)| point).collect();
    let listeners: Vec<Vec<u32>> =
        (0..1_000).map(|n| (0..50).map(|i| all[(n * 7 + i * 191) % all.len()]).collect()).collect();
    let mut out = Vec::new();
    let mut tick = |lists: &[Vec<u32>], version: u64| {
        let start = Instant::now();
        for points in lists {
            out.clear();
            live.changed_since(points, version, &mut out);
        }
        start.elapsed().as_secs_f64() * 1e3
    };
    vec![
        result("live table, 1,000 listeners × 50 points, all changed", tick(&listeners, 0), "ms", None),
        result(
            "live table, 1,000 listeners × 50 points, one write ago",
            tick(&listeners, live.version() - 1),
            "ms",
            None,
        ),
        result("live table, one listener, 10,000 points, all changed", tick(&[all], 0), "ms", None),
    ]
}
