//! Behind a real Mosquitto: telemetry is read with manual acknowledgement, commands go out through it.

use park_tests::{Broker, Device, Server, eventually, now_ms};
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
