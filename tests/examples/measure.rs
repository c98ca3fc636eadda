//! Load on a real server, for `scripts/bench`: `measure http` (read API) and `measure stream` (device → client).
//!
//! Prints a JSON array of `{"name","value","unit","bar","peer","peer_value"}`. Build with `--release` beside a release server.

use anyhow::Context;
use futures::{SinkExt, StreamExt};
use park_tests::{Device, Server, now_ms};
use serde_json::{Value, json};
use shared::{
    stream::{ClientMessage, Encoding, Hello, PROTOCOL_VERSION, Selector, ServerMessage, Welcome},
    time::Timestamp,
};
use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest, http::HeaderValue};

/// Measurements of a storage container that a payload carries.
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

fn row(name: &str, value: f64, unit: &str, bar: Option<f64>) -> Value {
    json!({"name": name, "value": (value * 1e3).round() / 1e3, "unit": unit, "bar": bar, "peer": null, "peer_value": null})
}

fn percentile(sorted: &[u64], share: f64) -> f64 {
    let index = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
    sorted.get(index).copied().unwrap_or(0) as f64
}

/// The value after `--name`, or `default`.
fn option(name: &str, default: u64) -> anyhow::Result<u64> {
    let mut arguments = std::env::args();
    match arguments.find(|a| a == name) {
        None => Ok(default),
        Some(_) => {
            let text = arguments.next().with_context(|| format!("{name} needs a number"))?;
            text.parse().with_context(|| format!("{name} {text}: not a number"))
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let rows = match std::env::args().nth(1).as_deref() {
        Some("http") => http().await?,
        Some("stream") => stream().await?,
        _ => anyhow::bail!("usage: measure http|stream [--seconds N] [--clients N] [--rate POINTS_PER_S]"),
    };
    writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&rows)?)?;
    Ok(())
}

/// Registers storage containers and gives ids and secrets.
async fn register(server: &Server, count: usize) -> anyhow::Result<Vec<(String, String)>> {
    let mut devices = Vec::with_capacity(count);
    for index in 0..count {
        let id = format!("load-{index:04}");
        let secret = server.register(&id, "battery-container").await?;
        devices.push((id, secret));
    }
    Ok(devices)
}

fn payload(id: &str, timestamp: i64, value: f64) -> String {
    let data: serde_json::Map<String, Value> =
        KEYS.iter().map(|&key| (key.to_owned(), json!((value * 10.0).round() / 10.0))).collect();
    json!({"deviceId": id, "timestamp": timestamp, "data": data}).to_string()
}

/// Requests a second and latency of the read API, keep-alive connections, a mix of what a dashboard asks for.
async fn http() -> anyhow::Result<Vec<Value>> {
    let (seconds, clients) = (option("--seconds", 10)?, option("--clients", 64)?);
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let devices = register(&server, 1).await?;
    let (id, secret) = devices.first().context("a device")?;
    // An hour of history at one second, through the batch door.
    let start = now_ms() - 3_600_000;
    let client = reqwest::Client::new();
    for batch in 0..36 {
        let items: Vec<Value> = (0..100)
            .map(|i| {
                let second = batch * 100 + i;
                serde_json::from_str(&payload(id, start + second * 1000, (second % 600) as f64 / 10.0))
            })
            .collect::<Result<_, _>>()?;
        let response = client
            .post(server.url("/api/v1/device/data/sync"))
            .bearer_auth(secret)
            .json(&items)
            .send()
            .await?;
        anyhow::ensure!(response.status().is_success(), "{}", response.text().await?);
    }
    let paths = [
        format!("/api/v1/devices/{id}"),
        "/api/v1/energy/summary".to_owned(),
        format!("/api/v1/devices/{id}/history?measurement=power&from={start}&to={}&step=60", now_ms()),
        "/api/v1/vpp/plan".to_owned(),
        "/api/v1/alarms?state=open".to_owned(),
    ];
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..clients as usize {
        let (client, token) = (client.clone(), server.token().to_owned());
        let urls: Vec<String> = paths.iter().map(|path| server.url(path)).collect();
        tasks.spawn(async move {
            let mut taken_us = Vec::new();
            let mut turn = worker;
            while Instant::now() < until {
                let started = Instant::now();
                let response = client.get(&urls[turn % urls.len()]).bearer_auth(&token).send().await?;
                anyhow::ensure!(
                    response.status().is_success(),
                    "{}: {}",
                    urls[turn % urls.len()],
                    response.status()
                );
                response.bytes().await?;
                taken_us.push(u64::try_from(started.elapsed().as_micros())?);
                turn += 1;
            }
            Ok(taken_us)
        });
    }
    let mut all = Vec::new();
    while let Some(result) = tasks.join_next().await {
        all.extend(result??);
    }
    all.sort_unstable();
    let rate = all.len() as f64 / seconds as f64;
    Ok(vec![
        row(&format!("read API, {clients} clients"), rate, "requests/s", None),
        row("read API p50", percentile(&all, 0.5) / 1e3, "ms", None),
        row("read API p99", percentile(&all, 0.99) / 1e3, "ms", Some(100.0)),
    ])
}

/// From a device's clock to a subscribed client, through MQTT, the disk and the WebSocket.
async fn stream() -> anyhow::Result<Vec<Value>> {
    let (seconds, clients, rate) =
        (option("--seconds", 15)?, option("--clients", 1000)? as usize, option("--rate", 50_000)?);
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let devices = register(&server, 200).await?;
    let measuring = Arc::new(AtomicBool::new(false));
    let stop = Arc::new(AtomicBool::new(false));
    let mut listeners = tokio::task::JoinSet::new();
    for index in 0..clients {
        let watched: Vec<_> =
            (0..5).map(|k| devices[(index * 5 + k) % devices.len()].0.parse()).collect::<Result<_, _>>()?;
        let mut socket = connect(&server).await?;
        let subscribe = ClientMessage::Subscribe(Selector::Devices(watched));
        socket.send(Message::Binary(Encoding::Postcard.encode(&subscribe)?.into())).await?;
        let (measuring, stop) = (Arc::clone(&measuring), Arc::clone(&stop));
        listeners.spawn(async move {
            let mut latencies_ms = Vec::new();
            while !stop.load(Relaxed) {
                let next = tokio::time::timeout(Duration::from_millis(500), socket.next()).await;
                let Ok(Some(Ok(Message::Binary(bytes)))) = next else { continue };
                let now = now_ms();
                if !measuring.load(Relaxed) {
                    continue;
                }
                if let Ok(ServerMessage::Values(values)) = Encoding::Postcard.decode(&bytes) {
                    latencies_ms
                        .extend(values.iter().map(|v| u64::try_from(now - v.timestamp.0).unwrap_or(0)));
                }
            }
            latencies_ms
        });
    }
    let per_device_per_s = rate as f64 / KEYS.len() as f64 / devices.len() as f64;
    let mut senders = tokio::task::JoinSet::new();
    for (index, (id, secret)) in devices.into_iter().enumerate() {
        let (stop, port) = (Arc::clone(&stop), server.mqtt);
        senders.spawn(async move {
            let mut device = Device::new(port, &id, &secret);
            device.connected().await?;
            let mut every = tokio::time::interval(Duration::from_secs_f64(1.0 / per_device_per_s));
            let topic = format!("device/{id}/data");
            let mut turn = index;
            while !stop.load(Relaxed) {
                tokio::select! {
                    _ = every.tick() => {
                        turn += 1;
                        let body = payload(&id, now_ms(), (turn % 600) as f64 / 10.0);
                        device.client.try_publish(&topic, rumqttc::QoS::AtLeastOnce, false, body)?;
                    }
                    outcome = device.poll() => { outcome?; }
                }
            }
            anyhow::Ok(turn - index)
        });
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    measuring.store(true, Relaxed);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    stop.store(true, Relaxed);
    let mut published = 0usize;
    while let Some(result) = senders.join_next().await {
        published += result??;
    }
    let mut all = Vec::new();
    while let Some(result) = listeners.join_next().await {
        all.extend(result?);
    }
    all.sort_unstable();
    let points_per_s = published as f64 * KEYS.len() as f64 / (seconds + 3) as f64;
    Ok(vec![
        row("points sent while measuring", points_per_s, "points/s", Some(rate as f64)),
        row(
            &format!("values received by {clients} clients"),
            all.len() as f64 / seconds as f64,
            "values/s",
            None,
        ),
        row("device → client p50", percentile(&all, 0.5), "ms", None),
        row("device → client p99", percentile(&all, 0.99), "ms", Some(100.0)),
        row("device → client max", percentile(&all, 1.0), "ms", None),
    ])
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

/// A signed-in stream, ready for its subscription.
async fn connect(server: &Server) -> anyhow::Result<Socket> {
    let mut request = format!("ws://127.0.0.1:{}/api/v1/stream", server.http).into_client_request()?;
    request
        .headers_mut()
        .insert("sec-websocket-protocol", HeaderValue::from_static(Encoding::Postcard.subprotocol()));
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await?;
    let hello = Hello { version: PROTOCOL_VERSION, token: server.token().to_owned() };
    socket.send(Message::Binary(Encoding::Postcard.encode(&hello)?.into())).await?;
    let answer = socket.next().await.context("the stream closed")??;
    match Encoding::Postcard.decode::<Welcome>(&answer.into_data())? {
        Welcome::Accepted { server_time: Timestamp(_), .. } => Ok(socket),
        Welcome::Denied(why) => anyhow::bail!("denied: {why:?}"),
    }
}
