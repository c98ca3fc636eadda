//! Days leave the park as Parquet that DuckDB reads, from a running server and from a stopped one, into a folder and into a real
//! S3-compatible store, and come back as they were.

use anyhow::Context;
use park_tests::{Server, binary, eventually, free_port, given, now_ms, repository};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

const DAY_MS: i64 = 86_400_000;
/// Midnight in Shanghai is this long before midnight UTC.
const OFFSET_MS: i64 = 8 * 3_600_000;

/// The Python that `scripts/test` made with DuckDB and moto.
fn python() -> anyhow::Result<Option<PathBuf>> {
    Ok(given("PARK_TEST_DUCKDB")?.map(PathBuf::from))
}

fn duckdb(python: &Path, args: &[&str]) -> anyhow::Result<Value> {
    let script = repository().join("tests/duckdb/archive.py");
    let output = Command::new(python).arg(script).args(args).stderr(Stdio::inherit()).output()?;
    anyhow::ensure!(output.status.success(), "DuckDB: {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Runs `sim-server history`; what it printed and whether it succeeded, with what it logged.
async fn history(data: &Path, args: &[&str]) -> anyhow::Result<(bool, String, String)> {
    let mut command = tokio::process::Command::new(binary("sim-server")?);
    command.arg("history").args(args).arg("--data").arg(data).env("NO_PROXY", "*");
    command
        .env("AWS_ACCESS_KEY_ID", "park")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "us-east-1");
    let output = command.output().await?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
}

/// The same, of which success and a report are expected.
async fn report(data: &Path, args: &[&str]) -> anyhow::Result<Value> {
    let (success, printed, logged) = history(data, args).await?;
    anyhow::ensure!(success, "history {args:?}: {logged}");
    serde_json::from_str(&printed).with_context(|| format!("history {args:?} printed {printed}"))
}

/// An S3-compatible store nobody here wrote.
struct Moto {
    process: Child,
    port: u16,
}

impl Moto {
    async fn start(python: &Path, log: &Path) -> anyhow::Result<Moto> {
        let port = free_port()?;
        let log = std::fs::File::create(log)?;
        let process = Command::new(python.with_file_name("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let moto = Moto { process, port };
        let client = reqwest::Client::new();
        eventually("moto makes a bucket", async || {
            let made = client.put(moto.url("/archive")).send().await;
            Ok(made.ok().filter(|r| r.status().is_success()).map(|_| ()))
        })
        .await?;
        Ok(moto)
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn value_of(device: i64, i: i64) -> f64 {
    ((i * 13 + device * 7) % 1_000) as f64 / 10.0
}

/// Two park days of a reading a minute for two devices, the last day the one before today's; one reading is out of range.
async fn fill(server: &Server) -> anyhow::Result<(i64, Vec<Value>)> {
    let today = (now_ms() + OFFSET_MS).div_euclid(DAY_MS) * DAY_MS - OFFSET_MS;
    let first = today - 2 * DAY_MS;
    let mut expected = Vec::new();
    for device in 0..2 {
        let id = format!("archive-{device}");
        let secret = server.register(&id, "feeder-meter").await?;
        let mut items = Vec::new();
        for i in 0..2 * 1_440 {
            let value = if i == 100 { 9_999.5 } else { value_of(device, i) };
            let time = first + i * 60_000 + device;
            items.push(json!({"deviceId": id, "timestamp": time, "data": {"power": value}}));
            let quality = if i == 100 { "out_of_range" } else { "good" };
            expected.push(json!([id, "power", time, value, quality, "kW", "field"]));
        }
        // And one of today, which is not over.
        items.push(json!({"deviceId": id, "timestamp": now_ms(), "data": {"power": 1.0}}));
        let answer = reqwest::Client::new()
            .post(server.url("/api/v1/device/data/sync"))
            .bearer_auth(&secret)
            .json(&items)
            .send()
            .await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        assert_eq!(answer["data"]["accepted"], items.len(), "{answer}");
    }
    Ok((first, expected))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_go_out_as_parquet_and_come_back() -> anyhow::Result<()> {
    let Some(python) = python()? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let text = |name: &str| at(name).to_string_lossy().into_owned();
    let mut server = Server::start(&at("data"), &[]).await?;
    let (first, expected) = fill(&server).await?;

    // The server that has the store open does it.
    let exported = report(&at("data"), &["export", "--to", &text("archive")]).await?;
    assert_eq!((&exported["written"], &exported["rows"]), (&json!(2), &json!(expected.len())), "{exported}");
    let again = report(&at("data"), &["export", "--to", &text("archive")]).await?;
    assert_eq!((&again["written"], &again["unchanged"]), (&json!(0), &json!(2)), "{again}");

    let read = duckdb(&python, &["read", &text("archive")])?;
    assert_eq!(read["count"], expected.len());
    let sum: f64 = expected.iter().filter_map(|row| row[3].as_f64()).sum();
    assert!((read["sum"].as_f64().context("no sum")? - sum).abs() < 1e-6, "{} {sum}", read["sum"]);
    assert_eq!(read["rows"], Value::Array(expected.clone()));
    let days = read["days"].as_array().context("no days")?;
    assert_eq!(days.len(), 2);
    for (i, day) in days.iter().enumerate() {
        let from = first + i as i64 * DAY_MS;
        let local = jiff_date(from + OFFSET_MS);
        assert_eq!(*day, json!([local.0, local.1, local.2, 2 * 1_440, from, from + 1_439 * 60_000 + 1]));
    }
    for (column, kind, encoding) in [
        ("time", "INT64", "DELTA_BINARY_PACKED"),
        ("value", "DOUBLE", "DICTIONARY"),
        ("device", "BYTE_ARRAY", "DICTIONARY"),
        ("measurement", "BYTE_ARRAY", "DICTIONARY"),
    ] {
        let columns = read["columns"].as_array().context("no columns")?;
        let found: Vec<_> = columns.iter().filter(|c| c[0] == column).collect();
        assert!(!found.is_empty());
        for c in found {
            assert_eq!((&c[1], &c[3]), (&json!(kind), &json!("ZSTD")), "{c}");
            assert!(c[2].as_str().is_some_and(|e| e.contains(encoding)), "{c}");
        }
    }
    assert!(read["about"].to_string().contains("Asia/Shanghai"), "{}", read["about"]);

    // Late data, and the server still runs: its day alone is written anew.
    let secret = server.register("archive-late", "feeder-meter").await?;
    let late = json!({"deviceId": "archive-late", "timestamp": first + 5, "data": {"power": 3.5}});
    let client = reqwest::Client::new();
    let url = server.url("/api/v1/device/data/sync");
    client.post(url).bearer_auth(&secret).json(&late).send().await?.error_for_status()?;
    let changed = report(&at("data"), &["export", "--to", &text("archive")]).await?;
    assert_eq!((&changed["rewritten"], &changed["unchanged"]), (&json!(1), &json!(1)), "{changed}");

    // A file DuckDB wrote, into the running server: the row without a value is named, the others are stored.
    duckdb(&python, &["write", &text("duck.parquet"), &first.to_string()])?;
    let (success, printed, logged) =
        history(&at("data"), &["import", "--from", &text("duck.parquet")]).await?;
    assert!(!success && logged.contains("row 1001: there is no value"), "{logged}");
    assert_eq!(serde_json::from_str::<Value>(&printed)?["stored"], 1_000);
    let duck = server.stop().await?;
    assert!(duck.success());

    // The stopped server's data, to S3 and from there into a new park.
    let moto = Moto::start(&python, &at("moto.log")).await?;
    let endpoint = moto.url("");
    let s3 = ["--endpoint", &endpoint];
    let exported =
        report(&at("data"), &[&["export", "--to", "s3://archive/park/one"], &s3[..]].concat()).await?;
    assert_eq!(
        (&exported["written"], &exported["rows"]),
        (&json!(2), &json!(expected.len() + 1_001)),
        "{exported}"
    );
    let again =
        report(&at("data"), &[&["export", "--to", "s3://archive/park/one"], &s3[..]].concat()).await?;
    assert_eq!((&again["written"], &again["unchanged"]), (&json!(0), &json!(2)), "{again}");
    std::fs::create_dir(at("new"))?;
    let imported =
        report(&at("new"), &[&["import", "--from", "s3://archive/park/one"], &s3[..]].concat()).await?;
    assert_eq!((&imported["stored"], &imported["files"]), (&exported["rows"], &json!(2)), "{imported}");
    let imported =
        report(&at("new"), &[&["import", "--from", "s3://archive/park/one"], &s3[..]].concat()).await?;
    assert_eq!((&imported["stored"], &imported["already"]), (&json!(0), &exported["rows"]), "{imported}");

    // What came back goes out as the very same rows; a park nobody served yet must be named.
    let (success, _, logged) = history(&at("new"), &["export", "--to", &text("again")]).await?;
    assert!(!success && logged.contains("--scene"), "{logged}");
    let scene = repository().join("scenes/wujiang-park").to_string_lossy().into_owned();
    report(&at("new"), &["export", "--to", &text("again"), "--scene", &scene]).await?;
    report(&at("data"), &["export", "--to", &text("archive")]).await?;
    let manifest = |name: &str| -> anyhow::Result<Vec<Value>> {
        let manifest: Value = serde_json::from_slice(&std::fs::read(at(name).join("manifest.json"))?)?;
        let days = manifest["days"].as_object().context("no days")?.values();
        Ok(days.map(|day| json!([day["path"], day["rows"], day["rowsSha256"]])).collect())
    };
    assert_eq!(manifest("again")?, manifest("archive")?);

    // A store that is not there, and a bucket that is not.
    let nobody = format!("http://127.0.0.1:{}", free_port()?);
    let (success, _, logged) =
        history(&at("new"), &["import", "--from", "s3://archive/park", "--endpoint", &nobody]).await?;
    assert!(!success && logged.contains("s3://archive/park"), "{logged}");
    let (success, _, logged) =
        history(&at("new"), &[&["import", "--from", "s3://nothing/x"], &s3[..]].concat()).await?;
    assert!(!success && logged.contains("NoSuchBucket"), "{logged}");
    Ok(())
}

/// Year, month and day of an instant.
fn jiff_date(ms: i64) -> (i64, i64, i64) {
    let text = shared::time::Timestamp(ms).to_string();
    let mut parts = text[..10].split('-').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}
