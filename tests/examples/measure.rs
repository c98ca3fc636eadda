//! Load on a real server, for `scripts/bench`: `measure http` (read API) and `measure stream` (device → client, and commands
//! under the same load).
//!
//! Prints a JSON array of `{"name","value","unit","bar","peer","peer_value"}`. Build with `--release` beside a release server.

use anyhow::Context;
use futures::{SinkExt, StreamExt};
use park_tests::{Device, Server, binary, now_ms};
use rumqttc::{Event, Packet};
use serde_json::{Value, json};
use shared::{
    stream::{ClientMessage, Encoding, Hello, PROTOCOL_VERSION, PointName, Selector, ServerMessage, Welcome},
    time::Timestamp,
};
use std::{
    collections::BTreeMap,
    io::Write,
    time::{Duration, Instant},
};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::{Message, client::IntoClientRequest, http::HeaderValue};

/// Measurements of a storage container that a payload carries, with the spans of a healthy one.
const KEYS: [(&str, &str); 10] = [
    ("power", "0..100"),
    ("soc", "0..100"),
    ("voltage", "380..420"),
    ("current", "0..100"),
    ("dc_voltage", "700..800"),
    ("dc_current", "0..100"),
    ("temperature", "20..30"),
    ("temperature_max", "25..35"),
    ("energy_import", "0..100"),
    ("energy_export", "0..100"),
];
/// The same where every reading of a third of them is an alarm or the end of one.
const STORM: &str = "temperature=0..100,temperature_max=0..100,cell_voltage_max=0..5";

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
        _ => anyhow::bail!(
            "usage: measure http|stream [--seconds N] [--clients N] [--every MS] [--rate POINTS_PER_S] [--storm]"
        ),
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
        KEYS.iter().map(|&(key, _)| (key.to_owned(), json!((value * 10.0).round() / 10.0))).collect();
    json!({"deviceId": id, "timestamp": timestamp, "data": data}).to_string()
}

/// Requests a second and latency of the read API, keep-alive connections, a mix of what a dashboard asks for. Each client asks
/// again as soon as it has its answer, or once every `--every` milliseconds.
async fn http() -> anyhow::Result<Vec<Value>> {
    let (seconds, clients) = (option("--seconds", 10)?, option("--clients", 64)?);
    let every = Duration::from_millis(option("--every", 0)?);
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
        ("a device", format!("/api/v1/devices/{id}")),
        ("the energy summary", "/api/v1/energy/summary".to_owned()),
        (
            "minutes of an hour",
            format!("/api/v1/devices/{id}/history?measurement=power&from={start}&to={}&step=60", now_ms()),
        ),
        ("the plan", "/api/v1/vpp/plan".to_owned()),
        ("open alarms", "/api/v1/alarms?state=open".to_owned()),
    ];
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..clients as usize {
        let (client, token) = (client.clone(), server.token().to_owned());
        let urls: Vec<String> = paths.iter().map(|(_, path)| server.url(path)).collect();
        tasks.spawn(async move {
            let mut taken_us = vec![Vec::new(); urls.len()];
            let mut turn = worker;
            // Not all at once.
            let mut next = tokio::time::Instant::now() + every * worker as u32 / clients as u32;
            while Instant::now() < until {
                // Who asks once in a while waits from when it was due, however late the last answer made it.
                let due = (!every.is_zero()).then_some(next);
                if let Some(due) = due {
                    tokio::time::sleep_until(due).await;
                    next += every;
                }
                let started = due.map_or_else(Instant::now, tokio::time::Instant::into_std);
                let response = client.get(&urls[turn % urls.len()]).bearer_auth(&token).send().await?;
                anyhow::ensure!(
                    response.status().is_success(),
                    "{}: {}",
                    urls[turn % urls.len()],
                    response.status()
                );
                response.bytes().await?;
                taken_us[turn % urls.len()].push(u64::try_from(started.elapsed().as_micros())?);
                turn += 1;
            }
            Ok(taken_us)
        });
    }
    let mut each: Vec<Vec<u64>> = vec![Vec::new(); paths.len()];
    while let Some(result) = tasks.join_next().await {
        each.iter_mut().zip(result??).for_each(|(all, some)| all.extend(some));
    }
    each.iter_mut().for_each(|taken| taken.sort_unstable());
    let mut all = each.concat();
    all.sort_unstable();
    let rate = all.len() as f64 / seconds as f64;
    let of = match every.as_millis() {
        0 => format!("read API, {clients} busy clients"),
        every => format!("read API, {clients} users, a request each {every} ms"),
    };
    let mut rows = vec![
        row(&of, rate, "requests/s", None),
        row(&format!("{of}, p50"), percentile(&all, 0.5) / 1e3, "ms", None),
        row(&format!("{of}, p99"), percentile(&all, 0.99) / 1e3, "ms", Some(100.0)),
        row(&format!("{of}, max"), percentile(&all, 1.0) / 1e3, "ms", None),
    ];
    rows.extend(paths.iter().zip(&each).map(|((name, _), taken)| {
        row(&format!("{of}, p99 of {name}"), percentile(taken, 0.99) / 1e3, "ms", None)
    }));
    Ok(rows)
}

/// From a device's clock to a subscribed client, through MQTT, the disk and the WebSocket; and under the same load from
/// asking for a command to hearing that its device has done it.
async fn stream() -> anyhow::Result<Vec<Value>> {
    let (seconds, clients, rate) =
        (option("--seconds", 15)?, option("--clients", 1000)? as usize, option("--rate", 50_000)?);
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let devices = register(&server, LOAD_DEVICES).await?;
    let secrets = folder.path().join("load.json");
    std::fs::write(&secrets, serde_json::to_vec(&devices.iter().cloned().collect::<BTreeMap<_, _>>())?)?;

    let storm = std::env::args().any(|argument| argument == "--storm");
    let calm: Vec<String> = KEYS.iter().map(|(key, span)| format!("{key}={span}")).collect();
    let measurements = if storm { [&calm[..7].join(","), STORM].join(",") } else { calm.join(",") };

    let (phase, phases) = watch::channel(Phase::WarmUp);
    let mut listeners = tokio::task::JoinSet::new();
    for index in 0..clients {
        let watched = (0..WATCHED_DEVICES)
            .map(|k| &devices[(index * WATCHED_DEVICES + k) % devices.len()].0)
            .flat_map(|id| KEYS.iter().map(move |(key, _)| (id, key)))
            .map(|(id, key)| Ok(PointName { device: id.parse()?, measurement: key.parse()? }))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let mut socket = connect(&server).await?;
        let subscribe = ClientMessage::Subscribe(Selector::Points(watched));
        socket.send(Message::Binary(Encoding::Postcard.encode(&subscribe)?.into())).await?;
        listeners.spawn(listen(socket, phases.clone()));
    }
    let load = tokio::process::Command::new(binary("park-load")?)
        .args(["--address", &format!("127.0.0.1:{}", server.mqtt), "--secrets"])
        .arg(&secrets)
        .args(["--measurements", &measurements, "--points", &KEYS.len().to_string()])
        .args(["--rate", &rate.to_string(), "--warm-up", "3", "--seconds", &(2 * seconds).to_string()])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;

    tokio::time::sleep(Duration::from_secs(4)).await;
    phase.send_replace(Phase::Measuring);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    phase.send_replace(Phase::Idle);
    let commands_ms = commands(&server, Duration::from_secs(seconds.saturating_sub(3).max(1))).await?;
    let load: Value = serde_json::from_slice(&load.wait_with_output().await?.stdout)?;
    phase.send_replace(Phase::Over);

    let mut all = Vec::new();
    while let Some(result) = listeners.join_next().await {
        all.extend(result??);
    }
    all.sort_unstable();
    let of_load = |key: &str| load[key].as_f64().unwrap_or(0.0);
    Ok(vec![
        row("durable points, MQTT QoS 1", of_load("pointsPerSecond"), "points/s", Some(rate as f64)),
        row("… acknowledgement p99", of_load("ackMsP99"), "ms", None),
        row(
            &format!("values received by {clients} clients × {} points", WATCHED_DEVICES * KEYS.len()),
            all.len() as f64 / seconds as f64,
            "values/s",
            // All of them: each client watches some of the points that come in.
            Some(0.99 * rate as f64 * (clients * WATCHED_DEVICES) as f64 / LOAD_DEVICES as f64),
        ),
        row("device → client p50", percentile(&all, 0.5), "ms", None),
        row("device → client p99", percentile(&all, 0.99), "ms", Some(100.0)),
        row("device → client max", percentile(&all, 1.0), "ms", None),
        row(
            &format!("command → device → acknowledged, p50 of {}", commands_ms.len()),
            percentile(&commands_ms, 0.5) / 1e3,
            "ms",
            None,
        ),
        row("command → device → acknowledged, p99", percentile(&commands_ms, 0.99) / 1e3, "ms", Some(50.0)),
    ])
}

/// A thousand meters, each as often as the rate asks for.
const LOAD_DEVICES: usize = 1_000;
/// Ten points of each make the fifty that a client watches.
const WATCHED_DEVICES: usize = 5;

/// What the listeners do with what they hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    WarmUp,
    Measuring,
    Idle,
    Over,
}

/// Hears a stream to the end; the age of every value heard while measuring, ms.
async fn listen(mut socket: Socket, mut phases: watch::Receiver<Phase>) -> anyhow::Result<Vec<u64>> {
    let mut ages_ms = Vec::new();
    loop {
        let message = tokio::select! {
            changed = phases.changed() => match changed {
                Ok(()) if *phases.borrow_and_update() != Phase::Over => continue,
                _ => return Ok(ages_ms),
            },
            message = socket.next() => message.context("a stream ended")??,
        };
        let (Message::Binary(bytes), now) = (message, now_ms()) else { continue };
        if *phases.borrow() != Phase::Measuring {
            continue;
        }
        if let ServerMessage::Values(values) = Encoding::Postcard.decode(&bytes)? {
            ages_ms.extend(values.iter().map(|value| u64::try_from(now - value.timestamp.0).unwrap_or(0)));
        }
    }
}

/// Asks one device for a set-point again and again, each once the last is done; µs from the request until the device knows
/// that its answer is kept.
async fn commands(server: &Server, how_long: Duration) -> anyhow::Result<Vec<u64>> {
    let id = "commanded-1";
    let secret = server.register(id, "battery-container").await?;
    let mut device = Device::new(server.mqtt, id, &secret);
    device.connected().await?;
    device.subscribe(&format!("device/{id}/control")).await?;
    let (done, mut answered) = tokio::sync::mpsc::channel::<()>(1);
    let answering = tokio::spawn(async move {
        loop {
            match device.events.poll().await? {
                Event::Incoming(Packet::Publish(message)) => {
                    let command: Value = serde_json::from_slice(&message.payload)?;
                    let ack = json!({"deviceId": id, "commandId": command["commandId"], "status": "done",
                        "result": {"power": command["parameters"]["power"]}});
                    let topic = format!("device/{id}/control/ack");
                    device.client.publish(topic, rumqttc::QoS::AtLeastOnce, false, ack.to_string()).await?;
                }
                // The answer's: nothing else was published.
                Event::Incoming(Packet::PubAck(_)) => done.send(()).await?,
                _ => {}
            }
        }
        #[allow(unreachable_code, reason = "names the error")]
        anyhow::Ok(())
    });
    let mut taken_us = Vec::new();
    let began = Instant::now();
    while began.elapsed() < how_long {
        let body = json!({"deviceId": id, "commandId": format!("bench-{}", taken_us.len()), "command": "setPower",
            "parameters": {"power": 50.0, "duration": 60}, "timestamp": now_ms()});
        let started = Instant::now();
        server.post("/api/v1/device/control", &body).await?;
        answered.recv().await.context("the device went away")?;
        taken_us.push(u64::try_from(started.elapsed().as_micros())?);
    }
    answering.abort();
    taken_us.sort_unstable();
    Ok(taken_us)
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
