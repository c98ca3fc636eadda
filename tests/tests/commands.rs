//! From a person's request to the device and back.

use park_tests::{Device, Server, eventually, now_ms};
use serde_json::{Value, json};

fn set_power(device: &str, command_id: &str, power: f64, lifetime_ms: i64) -> Value {
    json!({
        "deviceId": device, "commandId": command_id, "command": "setPower", "timestamp": now_ms(),
        "expires": now_ms() + lifetime_ms,
        "parameters": {"power": power, "duration": 3600, "priority": "high"},
    })
}

async fn status_of(server: &Server, command_id: &str) -> anyhow::Result<Value> {
    server.get(&format!("/api/v1/commands/{command_id}")).await
}

async fn until_status(server: &Server, command_id: &str, status: &str) -> anyhow::Result<Value> {
    eventually(&format!("{command_id} is {status}"), async || {
        let record = status_of(server, command_id).await?;
        Ok((record["status"] == status).then_some(record))
    })
    .await
}

#[tokio::test]
async fn a_command_ends_in_exactly_one_way() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let secret = server.register("bess-test", "battery-container").await?;

    // Away: queued, not sent.
    let body = set_power("bess-test", "c-1", 50.0, 60_000);
    let record = server.post("/api/v1/device/control", &body).await?;
    assert_eq!(record["status"], "queued");
    // Twice is one; with another body it is a conflict.
    assert_eq!(server.post("/api/v1/device/control", &body).await?["commandId"], "c-1");
    let mut other = body.clone();
    other["parameters"]["power"] = json!(51.0);
    let (status, answer) = server.send(reqwest::Method::POST, "/api/v1/device/control", Some(&other)).await?;
    assert_eq!(status, 409, "{answer}");

    // It arrives once the device is there, and the device's answer ends it.
    let mut device = Device::new(server.mqtt, "bess-test", &secret);
    device.connected().await?;
    device.subscribe("device/bess-test/control").await?;
    let (topic, delivery) = device.message().await?;
    assert_eq!(topic, "device/bess-test/control");
    assert_eq!(delivery["commandId"], "c-1");
    assert_eq!(delivery["parameters"]["power"], 50.0);
    answer_with(&device, "c-1", "done", Value::Null).await?;
    tokio::select! {
        record = until_status(&server, "c-1", "acknowledged") => { record?; }
        error = poll_forever(&mut device) => return Err(error),
    }

    // Rejected with the device's reason.
    server.post("/api/v1/device/control", &set_power("bess-test", "c-2", 60.0, 60_000)).await?;
    device.message().await?;
    answer_with(&device, "c-2", "rejected", json!("full")).await?;
    let record = tokio::select! {
        record = until_status(&server, "c-2", "rejected") => record?,
        error = poll_forever(&mut device) => return Err(error),
    };
    assert_eq!(record["reason"], "full");

    // Silence until it expires; an answer after that is recorded, and it stays expired.
    server.post("/api/v1/device/control", &set_power("bess-test", "c-3", 70.0, 2_000)).await?;
    device.message().await?;
    tokio::select! {
        record = until_status(&server, "c-3", "expired") => { record?; }
        error = poll_forever(&mut device) => return Err(error),
    }
    answer_with(&device, "c-3", "done", Value::Null).await?;
    let late = eventually("the late answer is recorded", async || {
        let record = status_of(&server, "c-3").await?;
        Ok((!record["lateAck"].is_null()).then_some(record))
    });
    let record = tokio::select! {
        record = late => record?,
        error = poll_forever(&mut device) => return Err(error),
    };
    assert_eq!(record["status"], "expired");
    Ok(())
}

async fn answer_with(device: &Device, command_id: &str, status: &str, reason: Value) -> anyhow::Result<()> {
    let ack = json!({"deviceId": device.id, "commandId": command_id, "status": status, "reason": reason, "result": null});
    let topic = format!("device/{}/control/ack", device.id);
    Ok(device.client.publish(topic, rumqttc::QoS::AtLeastOnce, false, ack.to_string()).await?)
}

/// Keeps a connection going while something else is awaited.
async fn poll_forever(device: &mut Device) -> anyhow::Error {
    loop {
        if let Err(error) = device.poll().await {
            return error;
        }
    }
}

#[tokio::test]
async fn impossible_commands_name_what_is_wrong() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    server.register("bess-test", "battery-container").await?;
    let good = set_power("bess-test", "x", 1.0, 60_000);
    for (change, status, field) in [
        (json!({"deviceId": "nobody"}), 404, "deviceId"),
        (json!({"command": "explode"}), 400, "command"),
        (json!({"parameters": {"power": "much"}}), 400, "power"),
        (json!({"parameters": {"power": 1.0, "colour": "red"}}), 400, "colour"),
        (json!({"parameters": {}}), 400, "power"),
        (json!({"commandId": "no spaces please"}), 400, "commandId"),
    ] {
        let mut body = good.clone();
        for (key, value) in change.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        let (got, answer) = server.send(reqwest::Method::POST, "/api/v1/device/control", Some(&body)).await?;
        assert_eq!(got, status, "{change}: {answer}");
        assert!(answer.to_string().contains(field), "{change}: {answer} does not name {field}");
    }
    Ok(())
}
