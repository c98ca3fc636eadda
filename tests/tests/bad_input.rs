//! Bad input gets a precise error, is counted, and neither stops nor slows others.

use park_tests::{Device, Outcome, Server, now_ms};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Status and body of a sync by a device.
async fn sync(server: &Server, secret: &str, body: Vec<u8>) -> anyhow::Result<(u16, Value)> {
    let response = reqwest::Client::new()
        .post(server.url("/api/v1/device/data/sync"))
        .bearer_auth(secret)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await?;
    let status = response.status().as_u16();
    Ok((status, serde_json::from_slice(&response.bytes().await?)?))
}

#[tokio::test]
async fn each_fault_over_http_is_named() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let secret = server.register("bad-test", "feeder-meter").await?;
    server.register("other", "feeder-meter").await?;
    let now = now_ms();
    let item = |device: &str, timestamp: i64, data: Value| {
        json!({"deviceId": device, "timestamp": timestamp, "data": data}).to_string().into_bytes()
    };
    let day = 24 * 3_600_000;
    for (name, body, status, code) in [
        ("malformed JSON", b"{\"deviceId\":".to_vec(), 400, "MALFORMED_JSON"),
        ("not an object", b"42".to_vec(), 400, "MISSING_FIELD"),
        ("wrong type", item("bad-test", now, json!({"power": [1]})), 422, "WRONG_TYPE"),
        ("NaN", item("bad-test", now, json!({"power": "NaN"})), 422, "NOT_FINITE"),
        ("unknown measurement", item("bad-test", now, json!({"mood": 1})), 422, "UNKNOWN_MEASUREMENT"),
        ("too old", item("bad-test", now - 2000 * day, json!({"power": 1})), 422, "TIMESTAMP_TOO_OLD"),
        (
            "too far ahead",
            item("bad-test", now + 3_600_000, json!({"power": 1})),
            422,
            "TIMESTAMP_TOO_FAR_AHEAD",
        ),
        ("empty", item("bad-test", now, json!({})), 422, "EMPTY_DATA"),
    ] {
        let (got, answer) = sync(&server, &secret, body).await?;
        assert_eq!(got, status, "{name}: {answer}");
        assert!(answer.to_string().contains(code), "{name}: {answer} lacks {code}");
    }
    let (status, answer) = sync(&server, &secret, item("other", now, json!({"power": 1}))).await?;
    assert!(status == 401 || status == 403, "another's data: {status} {answer}");
    let (status, answer) = sync(&server, "not-a-secret", item("bad-test", now, json!({"power": 1}))).await?;
    assert_eq!(status, 401, "{answer}");
    let (status, answer) = sync(&server, &secret, vec![b' '; 11 * 1024 * 1024]).await?;
    assert_eq!(status, 413, "{answer}");

    // One bad item spoils no other, and out of range is kept and flagged.
    let batch = json!([
        {"deviceId": "bad-test", "timestamp": now, "data": {"power": 9.9e9}},
        {"deviceId": "bad-test", "timestamp": now + 1, "data": {"mood": 1}},
    ]);
    let (status, answer) = sync(&server, &secret, batch.to_string().into_bytes()).await?;
    assert_eq!(status, 200, "{answer}");
    let shadow = server.get("/api/v1/devices/bad-test").await?;
    assert_eq!(shadow["reported"]["power"]["quality"], "out_of_range", "{shadow}");

    let metrics = reqwest::get(server.url("/metrics")).await?.text().await?;
    for code in ["UNKNOWN_MEASUREMENT", "TIMESTAMP_TOO_OLD", "NOT_FINITE"] {
        assert!(metrics.contains(code), "{code} is not counted");
    }
    Ok(())
}

#[tokio::test]
async fn bad_tokens_and_roles_are_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let client = reqwest::Client::new();
    for (token, expected) in [(None, 401), (Some("nonsense"), 401)] {
        let mut request = client.get(server.url("/api/v1/devices"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await?;
        assert_eq!(response.status().as_u16(), expected);
        let body: Value = response.json().await?;
        assert!(body["code"].is_string() && body["traceId"].is_string(), "{body}");
    }
    let wrong = json!({"username": "admin", "password": "wrong"});
    let response = client.post(server.url("/api/v1/auth/login")).json(&wrong).send().await?;
    assert_eq!(response.status().as_u16(), 401);
    Ok(())
}

#[tokio::test]
async fn garbage_and_half_open_sockets_disturb_nobody() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let secret = server.register("good", "feeder-meter").await?;
    let mut half_open = Vec::new();
    for _ in 0..200 {
        half_open.push(tokio::net::TcpStream::connect(("127.0.0.1", server.mqtt)).await?);
    }
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[0x10, 0xff, 0xff, 0xff, 0x7f], &[0x00, 0x00]]
    {
        let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", server.mqtt)).await?;
        socket.write_all(garbage).await?;
        let mut rest = Vec::new();
        // The server closes; how (FIN or RST) is its own affair.
        let _ = socket.read_to_end(&mut rest).await;
    }
    let mut device = Device::new(server.mqtt, "good", &secret);
    device.connected().await?;
    device.publish_power(now_ms(), 5.0, 1).await?;
    while !matches!(device.poll().await?, Outcome::Acknowledged(1)) {}
    Ok(())
}

#[tokio::test]
async fn what_mqtt_3_cannot_say_comes_on_the_errors_topic() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let secret = server.register("mqtt3", "feeder-meter").await?;
    let mut device = Device::new(server.mqtt, "mqtt3", &secret);
    device.connected().await?;
    device.subscribe("device/mqtt3/errors").await?;
    let denied = device.subscribe("device/other/control").await?;
    assert_eq!(denied, rumqttc::SubscribeReasonCode::Failure);
    for (topic, payload, code) in [
        ("device/mqtt3/data", "{", "MALFORMED_JSON"),
        (
            "device/mqtt3/data",
            r#"{"deviceId":"mqtt3","timestamp":1,"data":{"power":1}}"#,
            "TIMESTAMP_TOO_OLD",
        ),
        ("device/mqtt3/data", r#"{"deviceId":"other","timestamp":1,"data":{"power":1}}"#, "NOT_YOUR_DEVICE"),
    ] {
        device.client.publish(topic, rumqttc::QoS::AtLeastOnce, false, payload).await?;
        let (topic, errors) = device.message().await?;
        assert_eq!(topic, "device/mqtt3/errors");
        assert!(errors.to_string().contains(code), "{payload}: {errors} lacks {code}");
    }
    Ok(())
}
