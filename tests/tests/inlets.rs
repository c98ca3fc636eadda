//! Telemetry by other ways in than MQTT, on the real server: InfluxDB's client, bulk import, a WebSocket.

use anyhow::Context;
use futures::{SinkExt, StreamExt};
use park_tests::{Server, given, now_ms, repository};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::process::Command;
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest},
};

const DEVICE: &str = "bess-field";

#[tokio::test]
async fn influxdbs_client_writes_unchanged() -> anyhow::Result<()> {
    let Some(python) = given("PARK_TEST_DUCKDB")? else { return Ok(()) };
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let secret = server.register(DEVICE, "battery-container").await?;
    let start = now_ms() - 3_600_000;
    let output = Command::new(python)
        .arg(repository().join("tests/influx/write.py"))
        .args([server.url(""), format!("{DEVICE}:{secret}"), DEVICE.to_owned(), start.to_string()])
        .env("NO_PROXY", "*")
        .stderr(Stdio::inherit())
        .output()
        .await?;
    anyhow::ensure!(output.status.success(), "the client: {}", output.status);
    let outcome: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!((&outcome["failed"], &outcome["ping"]), (&json!([]), &json!(true)), "{outcome}");
    assert_eq!(
        (&outcome["stranger"], &outcome["refused"]["status"]),
        (&json!(401), &json!(400)),
        "{outcome}"
    );
    assert_eq!(outcome["refused"]["code"], "invalid", "{outcome}");
    let message = outcome["refused"]["message"].as_str().context("no message")?;
    assert!(message.starts_with("line 2: data.colour: "), "{message}");
    let power = server.history(DEVICE, "power").await?;
    assert_eq!(power.len(), 1_001, "a thousand, and the good line beside the one that was refused");
    for (n, (at, value)) in power.iter().take(1_000).enumerate() {
        assert_eq!((*at, *value), (start + n as i64, n as f64 / 10.0));
    }
    assert_eq!(server.history(DEVICE, "soc").await?, [(start, 55.0)]);
    assert_eq!(server.history(DEVICE, "status").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn what_an_import_answered_survives_a_kill() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let secret = server.register(DEVICE, "battery-container").await?;
    let start = now_ms() - 7 * 86_400_000;
    let mut body = String::new();
    for part in 0..20i64 {
        let at: Vec<i64> = (0..5_000).map(|n| start + (part * 5_000 + n) * 1_000).collect();
        let values: Vec<f64> = (0..5_000).map(|n| f64::from(n) / 100.0).collect();
        let metric = json!({"__name__": "power", "device": DEVICE});
        body.push_str(&json!({"metric": metric, "values": values, "timestamps": at}).to_string());
        body.push('\n');
    }
    body.push_str("{\"metric\":{\"__name__\":\"power\"}}\n");
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = server.url("/api/v1/telemetry/import");
    let viewer = json!({"username": "walter", "password": "correct horse battery", "role": "viewer"});
    server.post("/api/v1/users", &viewer).await?;
    let signed_in = server.post("/api/v1/auth/login", &viewer_login(&viewer)).await?;
    let viewer_token = signed_in["accessToken"].as_str().context("no token")?;
    for (token, expected) in [(viewer_token, 403), ("nobody", 401)] {
        let status = client.post(&url).bearer_auth(token).body(body.clone()).send().await?.status().as_u16();
        assert_eq!(status, expected, "{token}");
    }
    assert!(server.history(DEVICE, "power").await?.is_empty());
    let own = format!("{DEVICE}:{secret}");
    for token in [server.token(), own.as_str()] {
        let answer = client.post(&url).bearer_auth(token).body(body.clone()).send().await?;
        let (status, answer) = (answer.status().as_u16(), answer.json::<Value>().await?);
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["data"]["points"]["accepted"], 100_000, "{answer}");
        assert_eq!(answer["data"]["errors"][0]["line"], 21, "{answer}");
    }
    let server = server.kill_and_restart().await?;
    let power = server.history(DEVICE, "power").await?;
    assert_eq!(power.len(), 100_000);
    assert_eq!(power[99_999], (start + 99_999_000, 49.99));
    // Week-old data say nothing about now.
    let open = server.get("/api/v1/alarms?size=1000").await?;
    let about_it =
        open["items"].as_array().context("no alarms")?.iter().filter(|alarm| alarm["deviceId"] == DEVICE);
    assert_eq!(about_it.count(), 0, "{open}");
    Ok(())
}

fn viewer_login(viewer: &Value) -> Value {
    json!({"username": viewer["username"], "password": viewer["password"]})
}

#[tokio::test]
async fn a_device_lives_on_a_websocket() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let secret = server.register(DEVICE, "battery-container").await?;
    let url = server.url("/api/v1/device/stream").replacen("http", "ws", 1);
    let mut request = url.into_client_request()?;
    request.headers_mut().insert("authorization", format!("Bearer {secret}").parse()?);
    request.headers_mut().insert("x-device-id", DEVICE.parse()?);
    let (mut socket, _) = connect_async(request).await?;
    let data =
        json!({"deviceId": DEVICE, "timestamp": now_ms(), "data": {"power": 12.5, "status": "charging"}});
    socket.send(Message::text(json!({"id": "a", "type": "data", "payload": data}).to_string())).await?;
    let body = json!({
        "deviceId": DEVICE, "commandId": "c-1", "command": "setPower", "timestamp": now_ms(),
        "parameters": {"power": 50.0, "duration": 3600, "priority": "high"},
    });
    server.post("/api/v1/device/control", &body).await?;
    let (mut is_stored, mut is_answered) = (false, false);
    while !(is_stored && is_answered) {
        let Message::Text(text) = socket.next().await.context("the stream ended")?? else { continue };
        let heard: Value = serde_json::from_str(&text)?;
        match (heard["type"].as_str(), heard["id"].as_str()) {
            (Some("stored"), Some("a")) => is_stored = true,
            (Some("stored"), Some("b")) => is_answered = true,
            (Some("command"), None) => {
                assert_eq!(heard["payload"]["commandId"], "c-1");
                let done = json!({"deviceId": DEVICE, "commandId": "c-1", "status": "done", "result": {"power": 50.0}});
                let ack = json!({"id": "b", "type": "ack", "payload": done});
                socket.send(Message::text(ack.to_string())).await?;
            }
            _ => anyhow::bail!("unexpected: {heard}"),
        }
    }
    let shadow = server.get(&format!("/api/v1/devices/{DEVICE}")).await?;
    assert_eq!(shadow["reported"]["power"]["value"], 12.5, "{shadow}");
    assert_eq!(server.get("/api/v1/commands/c-1").await?["status"], "acknowledged");
    Ok(())
}
