//! Behind a real Mosquitto: telemetry is read with manual acknowledgement, commands go out through it.

use anyhow::Context;
use park_tests::{Broker, Device, Outcome, Server, eventually, now_ms};
use serde_json::json;

#[tokio::test]
async fn devices_behind_a_broker_are_read_and_commanded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let broker = Broker::start(folder.path()).await?;
    let upstream = broker.url();
    let server = Server::start(&folder.path().join("data"), &["--mqtt-upstream", &upstream]).await?;
    server.register("behind-broker", "battery-container").await?;

    let mut device = Device::new(broker.port, "behind-broker", "the broker does not ask");
    device.connected().await?;
    device.subscribe("device/behind-broker/control").await?;
    // The broker acknowledges; the park has it a moment later.
    device.publish_power(now_ms(), 77.5, 1).await?;
    let arrived = eventually("the value came through the broker", async || {
        let shadow = server.get("/api/v1/devices/behind-broker").await?;
        Ok((shadow["reported"]["power"]["value"] == 77.5).then_some(()))
    });
    tokio::select! {
        result = arrived => result?,
        error = async { loop { if let Err(error) = device.poll().await { break error } } } => return Err(error),
    }

    let body = json!({
        "deviceId": "behind-broker", "commandId": "c-upstream", "command": "setPower", "timestamp": now_ms(),
        "parameters": {"power": 20.0, "duration": 600},
    });
    server.post("/api/v1/device/control", &body).await?;
    let (_, delivery) = device.message().await?;
    assert_eq!(delivery["commandId"], "c-upstream");
    let answer = json!({"deviceId": "behind-broker", "commandId": "c-upstream", "status": "done", "reason": null, "result": null});
    device
        .client
        .publish("device/behind-broker/control/ack", rumqttc::QoS::AtLeastOnce, false, answer.to_string())
        .await?;
    let acknowledged = eventually("the command is acknowledged", async || {
        let record = server.get("/api/v1/commands/c-upstream").await?;
        Ok((record["status"] == "acknowledged").then_some(()))
    });
    tokio::select! {
        result = acknowledged => result,
        error = async { loop { if let Err(error) = device.poll().await { break error } } } => Err(error),
    }
}

/// More payloads than a connection can have unacknowledged (packet ids are 16 bits): some brokers send all they have kept at once.
const BACKLOG: i64 = 80_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_broker_kept_meanwhile_is_taken_however_much_it_is() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let broker = Broker::start(folder.path()).await?;
    let upstream = broker.url();
    let mut server = Server::start(&folder.path().join("data"), &["--mqtt-upstream", &upstream]).await?;
    server.register("behind-broker", "battery-container").await?;
    eventually("the park has subscribed", async || {
        let metrics = reqwest::get(server.url("/metrics")).await?.text().await?;
        Ok(metrics.lines().any(|line| line == "park_upstream_connected 1").then_some(()))
    })
    .await?;
    server.kill()?;

    let first_ms = now_ms() - 3_600_000;
    let mut device = Device::new(broker.port, "behind-broker", "the broker does not ask");
    device.connected().await?;
    let (mut sent, mut acknowledged) = (0, 0);
    while acknowledged < BACKLOG {
        if sent < BACKLOG && sent - acknowledged < 40 {
            device.publish_power(first_ms + sent, (sent % 1_000) as f64 / 10.0, sent).await?;
            sent += 1;
        }
        if let Outcome::Acknowledged(_) = device.poll().await? {
            acknowledged += 1;
        }
    }

    let server = server.restart().await?;
    let path = format!(
        "/api/v1/telemetry/query?device=behind-broker&measurement=power&from={first_ms}&to={}&step=1d&aggregate=count",
        first_ms + BACKLOG
    );
    eventually("all of it is in the history", async || {
        let answer = server.get(&path).await?;
        let rows = answer["rows"].as_array().context("rows")?;
        let count: f64 = rows.iter().filter_map(|row| row[1].as_f64()).sum();
        Ok((count == BACKLOG as f64).then_some(()))
    })
    .await
}
