//! The telemetry store through its own doors, beside VictoriaMetrics on the same data in the same run, for `scripts/bench telemetry`.
//!
//! `telemetry [--seconds N]`: N seconds of 1,000 series at 1 Hz are imported into both, then read from both while 20,000 points a second
//! come in. Prints a JSON array of `{"name","value","unit","bar","peer","peer_value"}`. Build with `--release` beside a
//! release server. Without the Debian package `victoria-metrics` the peer's columns stay empty.

#[path = "../../sim-server/history/examples/bench-history/signals.rs"]
mod signals;

use anyhow::{Context, ensure};
use park_tests::{Server, free_port, repository, tool};
use serde_json::{Value, json};
use signals::{SERIES, Signals};
use std::{
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::task::JoinHandle;

/// 2026-06-01T00:00:00Z.
const START_MS: i64 = 1_780_272_000_000;
/// Seconds of one import request, all series: what a forwarder sends at once.
const SLICE_S: i64 = 600;
const DEVICES: usize = SERIES / 10;
const PEER: &str = "VictoriaMetrics";

/// A model without limits, so that the bench's own noise raises no alarm.
fn model() -> String {
    let mut text = String::from(
        "id = \"bench-meter\"\nname = { zh = \"测试表\", en = \"Bench meter\" }\nrole = \"sensor\"\nperiod_s = 1\nmeasurements = [\n",
    );
    for m in 0..10 {
        let kind = if m % 5 == 3 { ", kind = \"counter\"" } else { "" };
        let _ = writeln!(
            text,
            "  {{ key = \"m{m}\", name = {{ zh = \"量 {m}\", en = \"Quantity {m}\" }}, unit = \"kW\"{kind} }},"
        );
    }
    text + "]\n"
}

fn models(folder: &Path) -> anyhow::Result<PathBuf> {
    let into = folder.join("models");
    std::fs::create_dir_all(&into)?;
    for entry in std::fs::read_dir(repository().join("scenes/models"))? {
        let entry = entry?;
        std::fs::copy(entry.path(), into.join(entry.file_name()))?;
    }
    std::fs::write(into.join("bench-meter.toml"), model())?;
    Ok(into)
}

fn device(index: usize) -> String {
    format!("device-{index:04}")
}

/// Lines of both import doors: `seconds` from `first` of every series.
fn lines(signals: &mut Signals, first: i64, seconds: i64) -> String {
    let mut values: Vec<String> = vec![String::new(); SERIES];
    for second in 0..seconds {
        for (series, text) in values.iter_mut().enumerate() {
            let comma = if second == 0 { "" } else { "," };
            let _ = write!(text, "{comma}{}", signals.next(series));
        }
    }
    let times: Vec<String> = (first..first + seconds).map(|s| (START_MS + s * 1_000).to_string()).collect();
    let times = times.join(",");
    let mut body = String::new();
    for (series, values) in values.iter().enumerate() {
        let (device, m) = (device(series / 10), series % 10);
        let _ = writeln!(
            body,
            "{{\"metric\":{{\"__name__\":\"m{m}\",\"device\":\"{device}\"}},\"values\":[{values}],\"timestamps\":[{times}]}}"
        );
    }
    body
}

/// What one request took, and the bytes of the last answer.
struct Taken {
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    bytes: usize,
}

/// A store under measurement.
#[derive(Clone)]
struct Store {
    pid: u32,
    client: reqwest::Client,
    token: Option<String>,
    base: String,
    import: &'static str,
}

impl Store {
    async fn get(&self, path: &str) -> anyhow::Result<usize> {
        let mut request = self.client.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        ensure!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&body));
        Ok(body.len())
    }

    async fn post(&self, path: &str, body: Vec<u8>) -> anyhow::Result<String> {
        let mut request = self.client.post(format!("{}{path}", self.base)).body(body);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(text)
    }

    /// Posts lines, all of whose points are to be taken.
    async fn import(&self, lines: Vec<u8>, points: u64) -> anyhow::Result<()> {
        let answer = self.post(self.import, lines).await?;
        // The peer says nothing of what it took.
        if !answer.is_empty() {
            let answer: Value = serde_json::from_str(&answer)?;
            let accepted = answer["data"]["points"]["accepted"].as_u64();
            ensure!(accepted == Some(points), "of {points} points: {answer}");
        }
        Ok(())
    }

    /// Posts the files, two under way at a time, and gives points a second.
    async fn load(&self, files: &[PathBuf], points: f64) -> anyhow::Result<f64> {
        let began = Instant::now();
        let next = AtomicUsize::new(0);
        let worker = || async {
            while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.import(tokio::fs::read(file).await?, SLICE_S as u64 * SERIES as u64).await?;
            }
            anyhow::Ok(())
        };
        tokio::try_join!(worker(), worker())?;
        Ok(points / began.elapsed().as_secs_f64())
    }

    async fn time(&self, times: usize, path: impl Fn(usize) -> String) -> anyhow::Result<Taken> {
        let mut taken = Vec::with_capacity(times);
        let mut bytes = 0;
        for turn in 0..times {
            let path = path(turn);
            let began = Instant::now();
            bytes = self.get(&path).await?;
            taken.push(began.elapsed().as_secs_f64() * 1e3);
        }
        taken.sort_by(f64::total_cmp);
        let at = |share: f64| taken.get((times as f64 * share) as usize).or(taken.last()).copied();
        let [p50_ms, p99_ms, max_ms] = [0.5, 0.99, 1.0].map(|share| at(share).unwrap_or_default());
        Ok(Taken { p50_ms, p99_ms, max_ms, bytes })
    }

    /// Processor seconds and bytes written since the process began.
    fn used(&self) -> anyhow::Result<(f64, u64)> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let fields: Vec<&str> = stat.rsplit_once(')').context("/proc/…/stat")?.1.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|t| t.parse::<f64>().ok()).unwrap_or_default();
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.pid))?;
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        Ok(((ticks(11) + ticks(12)) / 100.0, written.and_then(|w| w.parse().ok()).unwrap_or_default()))
    }
}

/// VictoriaMetrics; killed when dropped.
struct Peer {
    process: Child,
    store: Store,
    data: PathBuf,
}

impl Peer {
    async fn start(folder: &Path) -> anyhow::Result<Option<Peer>> {
        let Ok(program) = tool("victoria-metrics") else { return Ok(None) };
        let (port, data) = (free_port()?, folder.join("victoria"));
        let process = Command::new(program)
            .args(["-retentionPeriod", "100y", "-search.latencyOffset", "0s", "-search.disableCache"])
            .arg(format!("-storageDataPath={}", data.display()))
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let store = Store {
            pid: process.id(),
            client: reqwest::Client::new(),
            token: None,
            base: format!("http://127.0.0.1:{port}"),
            import: "/api/v1/import",
        };
        let peer = Peer { process, store, data };
        park_tests::eventually("VictoriaMetrics answers", async || {
            Ok(peer.store.get("/health").await.ok().map(drop))
        })
        .await?;
        Ok(Some(peer))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn bytes_in(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += if entry.file_type()?.is_dir() { bytes_in(&entry.path())? } else { entry.metadata()?.len() };
    }
    Ok(bytes)
}

/// Two thousand points ten times a second, as lines, following what is there.
struct Trickle {
    running: JoinHandle<anyhow::Result<()>>,
    ended: Arc<AtomicBool>,
    points: Arc<AtomicU64>,
    began: Instant,
}

impl Trickle {
    fn start(store: &Store, from_second: i64) -> Trickle {
        let (ended, points) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (store, stop, came) = (store.clone(), Arc::clone(&ended), Arc::clone(&points));
        let running = tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            let mut signals = Signals::new();
            let mut second = from_second;
            while !stop.load(Ordering::Relaxed) {
                tick.tick().await;
                let body = lines(&mut signals, second, 2);
                second += 2;
                store.import(body.into_bytes(), 2 * SERIES as u64).await?;
                came.fetch_add(2 * SERIES as u64, Ordering::Relaxed);
            }
            Ok(())
        });
        Trickle { running, ended, points, began: Instant::now() }
    }

    /// Points a second that came in.
    async fn end(self) -> anyhow::Result<f64> {
        self.ended.store(true, Ordering::Relaxed);
        self.running.await?.context("the points that come in")?;
        Ok(self.points.load(Ordering::Relaxed) as f64 / self.began.elapsed().as_secs_f64())
    }
}

/// Days and months of a year, of a thousand series that have a reading an hour.
async fn year(server: &Server, ours: &Store) -> anyhow::Result<Vec<(String, Taken)>> {
    const HOURS: i64 = 365 * 24;
    const HOUR_MS: i64 = 3_600_000;
    let end = park_tests::now_ms() / HOUR_MS * HOUR_MS;
    let start = end - HOURS * HOUR_MS;
    let times: Vec<String> = (0..HOURS).map(|hour| (start + hour * HOUR_MS).to_string()).collect();
    let times = times.join(",");
    let mut signals = Signals::new();
    for index in 0..DEVICES {
        let device = format!("year-{index:04}");
        server.register(&device, "bench-meter").await?;
        let mut body = String::new();
        for m in 0..10 {
            let values: Vec<String> = (0..HOURS).map(|_| signals.next(index * 10 + m).to_string()).collect();
            let values = values.join(",");
            let _ = writeln!(
                body,
                "{{\"metric\":{{\"__name__\":\"m{m}\",\"device\":\"{device}\"}},\"values\":[{values}],\"timestamps\":[{times}]}}"
            );
        }
        ours.import(body.into_bytes(), 10 * HOURS as u64).await?;
    }
    compact(server)?;
    let mut taken = Vec::new();
    for (name, devices) in [("a series", 0), ("100 series", 10), ("1,000 series", DEVICES)] {
        let devices: Vec<String> = (0..devices.max(1)).map(|index| format!("year-{index:04}")).collect();
        let measurement = if name == "a series" { "&measurement=m0" } else { "" };
        let devices = devices.join(",");
        for (step, steps) in [("1d", "days"), ("1mo", "months")] {
            let path = format!(
                "/api/v1/telemetry/query?device={devices}{measurement}&step={step}&from={start}&to={end}"
            );
            taken.push((format!("{steps} of a year of {name}"), ours.time(5, |_| path.clone()).await?));
        }
    }
    Ok(taken)
}

fn compact(server: &Server) -> anyhow::Result<()> {
    let status = Command::new(park_tests::binary("sim-server")?)
        .args(["history", "compact", "--data"])
        .arg(&server.data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "sim-server history compact failed");
    Ok(())
}

struct Rows(Vec<Value>);

impl Rows {
    fn add(&mut self, name: &str, value: f64, unit: &str, bar: Option<f64>, peer: Option<f64>) {
        let round = |v: f64| (v * 1e3).round() / 1e3;
        self.0.push(json!({
            "name": format!("telemetry: {name}"), "value": round(value), "unit": unit, "bar": bar,
            "peer": peer.map(|_| PEER), "peer_value": peer.map(round),
        }));
    }

    fn add_taken(&mut self, name: &str, ours: &Taken, bar: Option<f64>, peers: Option<&Taken>) {
        self.add(&format!("{name}, p50"), ours.p50_ms, "ms", bar, peers.map(|p| p.p50_ms));
        self.add(&format!("{name}, p99"), ours.p99_ms, "ms", None, peers.map(|p| p.p99_ms));
        self.add(&format!("{name}, max"), ours.max_ms, "ms", None, peers.map(|p| p.max_ms));
        let kilobytes = |taken: &Taken| taken.bytes as f64 / 1e3;
        self.add(&format!("{name}, answer"), kilobytes(ours), "kB", None, peers.map(kilobytes));
    }
}

fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let seconds: i64 = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => 10_800,
        (Some("--seconds"), Some(n)) => n.parse().with_context(|| format!("--seconds {n}"))?,
        _ => anyhow::bail!("usage: telemetry [--seconds N]"),
    };
    ensure!(seconds >= 3_600 && seconds % SLICE_S == 0, "--seconds: a multiple of {SLICE_S}, at least 3600");
    let folder = tempfile::tempdir()?;
    let mut signals = Signals::new();
    let mut files = Vec::new();
    for first in (0..seconds).step_by(SLICE_S as usize) {
        let file = folder.path().join(format!("{first}.ndjson"));
        std::fs::write(&file, lines(&mut signals, first, SLICE_S))?;
        files.push(file);
    }
    let points = seconds as f64 * SERIES as f64;
    note(&format!("{points:.0} points, {} MB of lines", bytes_in(folder.path())? / 1_000_000));

    let models = models(folder.path())?;
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--models", &models.display().to_string()]).await?;
    for index in 0..DEVICES {
        server.register(&device(index), "bench-meter").await?;
    }
    let ours = Store {
        pid: server.pid(),
        client: reqwest::Client::new(),
        token: Some(server.token().to_owned()),
        base: server.url(""),
        import: "/api/v1/telemetry/import",
    };
    let peer = Peer::start(folder.path()).await?;
    let mut rows = Rows(Vec::new());

    // One after the other, and each until it has settled: merged blocks here, merged parts there.
    let before = ours.used()?;
    let rate = ours.load(&files, points).await?;
    compact(&server)?;
    let after = ours.used()?;
    let stats = Command::new(park_tests::binary("sim-server")?)
        .args(["history", "stats", "--data"])
        .arg(&data)
        .stderr(Stdio::null())
        .output()?;
    let stats: Value = serde_json::from_slice(&stats.stdout).context("history stats")?;
    let stat = |name: &str| stats[name].as_f64().with_context(|| format!("no {name} in {stats}"));
    // The park keeps a few readings of its own.
    ensure!((points..points + 10_000.0).contains(&stat("points")?), "{points} points were sent: {stats}");
    let folder_bytes = bytes_in(&data.join("history"))? as f64;

    let mut peers_rate = None;
    let mut peers_bytes = None;
    if let Some(peer) = &peer {
        peers_rate = Some(peer.store.load(&files, points).await?);
        peer.store.get("/internal/force_flush").await?;
        peer.store.get("/internal/force_merge").await?;
        // Merging goes on after the answer: settled is what no longer changes.
        let mut last = 0;
        peers_bytes = Some(
            park_tests::eventually("VictoriaMetrics has merged", async || {
                tokio::time::sleep(Duration::from_secs(2)).await;
                let now = bytes_in(&peer.data)?;
                let settled = now == last;
                last = now;
                Ok(settled.then_some(now as f64))
            })
            .await?,
        );
    }
    let peers_use = peer.as_ref().map(|peer| peer.store.used()).transpose()?;
    let a_point = |bytes: f64| bytes / points;
    rows.add("durable bulk import over HTTP", rate, "points/s", Some(1e6), peers_rate);
    rows.add(
        "processor time of a million imported points, merging included",
        a_point(after.0 - before.0) * 1e6,
        "s",
        None,
        peers_use.map(|u| a_point(u.0) * 1e6),
    );
    rows.add("bytes a point, readings alone", a_point(stat("blockBytes")?), "bytes", Some(1.1), None);
    rows.add("bytes a point, with rollups and indexes", a_point(stat("bytes")?), "bytes", Some(1.3), None);
    rows.add(
        "bytes a point, the whole folder, log included",
        a_point(folder_bytes),
        "bytes",
        None,
        peers_bytes.map(a_point),
    );
    rows.add(
        "bytes written to disk for a point, merging included",
        a_point((after.1 - before.1) as f64),
        "bytes",
        None,
        peers_use.map(|u| a_point(u.1 as f64)),
    );

    let end = START_MS + seconds * 1_000;
    let hour_from = |turn: usize| START_MS + (turn as i64 * 37 % ((seconds - 3_540) / 60)) * 60_000;
    // The same question in each one's own words.
    struct Question<'a> {
        name: &'a str,
        bar: Option<f64>,
        times: usize,
        ours: Box<dyn Fn(usize) -> String + 'a>,
        peers: Box<dyn Fn(usize) -> String + 'a>,
    }
    let range = |from: i64, to: i64| format!("from={from}&to={to}");
    let seconds_of = |ms: i64| ms as f64 / 1e3;
    let questions = [
        Question {
            name: "one series, 1 h raw",
            bar: Some(0.5),
            times: 500,
            ours: Box::new(|turn| {
                let (from, name) = (hour_from(turn), device(turn * 7 % DEVICES));
                format!(
                    "/api/v1/telemetry/query?device={name}&measurement=m{}&{}",
                    turn % 10,
                    range(from, from + 3_600_000)
                )
            }),
            peers: Box::new(|turn| {
                let (from, name) = (hour_from(turn), device(turn * 7 % DEVICES));
                format!(
                    "/api/v1/export?match[]=m{}{{device=%22{name}%22}}&start={}&end={}",
                    turn % 10,
                    seconds_of(from),
                    seconds_of(from + 3_599_000)
                )
            }),
        },
        Question {
            name: "minute means of a whole series",
            bar: Some(2.0),
            times: 200,
            ours: Box::new(|turn| {
                let name = device(turn * 7 % DEVICES);
                format!(
                    "/api/v1/telemetry/query?device={name}&measurement=m{}&step=1m&aggregate=mean&{}",
                    turn % 10,
                    range(START_MS, end)
                )
            }),
            peers: Box::new(|turn| {
                let name = device(turn * 7 % DEVICES);
                format!(
                    "/api/v1/query_range?query=avg_over_time(m{}{{device=%22{name}%22}}[1m])&step=60&start={}&end={}",
                    turn % 10,
                    seconds_of(START_MS + 60_000),
                    seconds_of(end)
                )
            }),
        },
        Question {
            name: "100 series, minute means of 1 h",
            bar: None,
            times: 200,
            ours: Box::new(|turn| {
                let from = hour_from(turn);
                format!(
                    "/api/v1/telemetry/query?type=bench-meter&measurement=m{}&step=1m&aggregate=mean&{}",
                    turn % 10,
                    range(from, from + 3_600_000)
                )
            }),
            peers: Box::new(|turn| {
                let from = hour_from(turn);
                format!(
                    "/api/v1/query_range?query=avg_over_time(m{}[1m])&step=60&start={}&end={}",
                    turn % 10,
                    seconds_of(from + 60_000),
                    seconds_of(from + 3_600_000)
                )
            }),
        },
        Question {
            name: "100 series, 1 h raw",
            bar: Some(12.0),
            times: 100,
            ours: Box::new(|turn| {
                let from = hour_from(turn);
                format!(
                    "/api/v1/telemetry/query?type=bench-meter&measurement=m{}&{}",
                    turn % 10,
                    range(from, from + 3_600_000)
                )
            }),
            peers: Box::new(|turn| {
                let from = hour_from(turn);
                format!(
                    "/api/v1/export?match[]=m{}&start={}&end={}",
                    turn % 10,
                    seconds_of(from),
                    seconds_of(from + 3_599_000)
                )
            }),
        },
        Question {
            name: "hourly means of everything",
            bar: Some(10.0),
            times: 100,
            ours: Box::new(|_| {
                format!(
                    "/api/v1/telemetry/query?type=bench-meter&step=1h&aggregate=mean&{}",
                    range(START_MS, end)
                )
            }),
            peers: Box::new(|_| {
                format!(
                    "/api/v1/query_range?query=avg_over_time({{device!=%22%22}}[1h])&step=3600&start={}&end={}",
                    seconds_of(START_MS + 3_600_000),
                    seconds_of(end)
                )
            }),
        },
    ];
    // One store after the other, each with its own points coming in.
    let trickle = Trickle::start(&ours, seconds);
    let mut all_ours = Vec::new();
    for question in &questions {
        all_ours.push(ours.time(question.times, &question.ours).await?);
    }
    let mut further = Vec::new();
    for format in ["csv", "arrow"] {
        for question in &questions {
            let taken = ours
                .time(question.times, |turn| format!("{}&format={format}", (question.ours)(turn)))
                .await?;
            further.push((format!("{}, {format}", question.name), taken));
        }
    }
    let whole = range(START_MS, end);
    let chart = |turn: usize| {
        let name = device(turn * 7 % DEVICES);
        format!("/api/v1/telemetry/query?device={name}&measurement=m{}&points=1000&{whole}", turn % 10)
    };
    further.push(("a chart of 1,000 points of a whole series".to_owned(), ours.time(50, chart).await?));
    let top = |turn: usize| {
        let key = turn % 10;
        format!("/api/v1/telemetry/query?type=bench-meter&measurement=m{key}&step=15m&top=5&{whole}")
    };
    further.push(("the five greatest of 100 series by quarter hours".to_owned(), ours.time(20, top).await?));
    // With the hour that goes on, which is in memory for the most part.
    let now = |_: usize| {
        let to = end + 3 * 3_600_000;
        format!("/api/v1/telemetry/query?type=bench-meter&step=1h&aggregate=mean&{}", range(START_MS, to))
    };
    further.push(("hourly means of everything until now".to_owned(), ours.time(50, now).await?));
    let our_trickle = trickle.end().await?;
    let mut all_peers = Vec::new();
    let mut peers_trickle = None;
    if let Some(peer) = &peer {
        let trickle = Trickle::start(&peer.store, seconds);
        for question in &questions {
            all_peers.push(peer.store.time(question.times, &question.peers).await?);
        }
        peers_trickle = Some(trickle.end().await?);
    }
    // A little less than asked: ticks do not come early.
    rows.add("points that came in meanwhile", our_trickle, "points/s", Some(19_500.0), peers_trickle);
    further.extend(year(&server, &ours).await?);
    for (place, (question, taken)) in questions.iter().zip(all_ours).enumerate() {
        rows.add_taken(question.name, &taken, question.bar, all_peers.get(place));
    }
    for (name, taken) in further {
        rows.add_taken(&name, &taken, None, None);
    }
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&rows.0)?)?;
    Ok(())
}
