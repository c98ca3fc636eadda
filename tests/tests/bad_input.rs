//! Bad input gets a precise error, is counted, and neither stops nor slows others.

use anyhow::{Context, ensure};
use park_tests::{Device, Outcome, Server, binary, eventually, free_port, now_ms, repository};
use rumqttc::v5::{
    self, Event as V5Event,
    mqttbytes::{
        QoS as V5QoS,
        v5::{LastWill, Packet as V5Packet, PubAckReason, SubscribeReasonCode},
    },
};
use serde_json::{Value, json};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// What the issue calls a 10 MB body.
const TEN_MB: usize = 10_000_000;
const DAY_MS: i64 = 24 * 3_600_000;
/// Long enough for a busy machine, short against what idle sockets are allowed.
const BOUNDED: Duration = Duration::from_secs(30);

/// Status and body of a sync by a device.
async fn sync(server: &Server, secret: &str, body: Vec<u8>) -> anyhow::Result<(u16, Value)> {
    post(server, "/api/v1/device/data/sync", secret, body).await
}

async fn post(server: &Server, path: &str, bearer: &str, body: Vec<u8>) -> anyhow::Result<(u16, Value)> {
    let response = reqwest::Client::new()
        .post(server.url(path))
        .bearer_auth(bearer)
        .header("content-type", "application/json")
        .body(body)
        .send()
        .await?;
    let status = response.status().as_u16();
    Ok((status, serde_json::from_slice(&response.bytes().await?)?))
}

/// What a counter says, all its series that carry every one of `labels` together.
async fn counted(http: u16, name: &str, labels: &[&str]) -> anyhow::Result<f64> {
    let metrics = reqwest::get(format!("http://127.0.0.1:{http}/metrics")).await?.text().await?;
    let series = metrics.lines().filter(|line| line.starts_with(&format!("{name}{{")));
    let wanted = series.filter(|line| labels.iter().all(|label| line.contains(label)));
    Ok(wanted.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
}

async fn refused_over_http(server: &Server, code: &str) -> anyhow::Result<f64> {
    counted(server.http, "park_device_http_refused_total", &[&format!("code=\"{code}\"")]).await
}

async fn refused_payloads(server: &Server, code: &str) -> anyhow::Result<f64> {
    counted(server.http, "park_ingest_refused_total", &[&format!("code=\"{code}\"")]).await
}

async fn refused_over_mqtt(server: &Server, code: &str) -> anyhow::Result<f64> {
    counted(server.http, "park_mqtt_refused_total", &[&format!("code=\"{code}\"")]).await
}

async fn closed_over_mqtt(http: u16, reason: &str) -> anyhow::Result<f64> {
    counted(http, "park_mqtt_closed_total", &[&format!("reason=\"{reason}\"")]).await
}

fn item(device: &str, timestamp: i64, data: Value) -> Vec<u8> {
    json!({"deviceId": device, "timestamp": timestamp, "data": data}).to_string().into_bytes()
}

#[tokio::test]
async fn each_fault_over_http_is_named_and_counted() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let secret = server.register("bad-test", "feeder-meter").await?;
    server.register("other", "feeder-meter").await?;
    let now = now_ms();
    for (name, bearer, body, status, code) in [
        ("malformed JSON", secret.as_str(), b"{\"deviceId\":".to_vec(), 400, "MALFORMED_JSON"),
        ("not an object", &secret, b"42".to_vec(), 400, "MISSING_FIELD"),
        ("wrong type", &secret, item("bad-test", now, json!({"power": [1]})), 422, "WRONG_TYPE"),
        ("NaN as a word", &secret, item("bad-test", now, json!({"power": "NaN"})), 422, "NOT_FINITE"),
        (
            "NaN as JSON has it not",
            &secret,
            format!(r#"{{"deviceId":"bad-test","timestamp":{now},"data":{{"power":NaN}}}}"#).into_bytes(),
            400,
            "MALFORMED_JSON",
        ),
        (
            "unknown measurement",
            &secret,
            item("bad-test", now, json!({"mood": 1})),
            422,
            "UNKNOWN_MEASUREMENT",
        ),
        ("unknown device", &secret, item("nobody", now, json!({"power": 1})), 401, "UNAUTHENTICATED"),
        (
            "too old",
            &secret,
            item("bad-test", now - 2000 * DAY_MS, json!({"power": 1})),
            422,
            "TIMESTAMP_TOO_OLD",
        ),
        (
            "too far ahead",
            &secret,
            item("bad-test", now + 3_600_000, json!({"power": 1})),
            422,
            "TIMESTAMP_TOO_FAR_AHEAD",
        ),
        ("empty", &secret, item("bad-test", now, json!({})), 422, "EMPTY_DATA"),
        ("another's data", &secret, item("other", now, json!({"power": 1})), 401, "UNAUTHENTICATED"),
        ("bad secret", "not-a-secret", item("bad-test", now, json!({"power": 1})), 401, "UNAUTHENTICATED"),
    ] {
        let before = refused_over_http(&server, code).await?;
        let (got, answer) = sync(&server, bearer, body).await?;
        assert_eq!((got, answer["code"].as_str()), (status, Some(code)), "{name}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|m| !m.is_empty()), "{name}: {answer}");
        assert_eq!(refused_over_http(&server, code).await?, before + 1.0, "{name} is counted");
    }
    // Another's data beside its own: the item is refused, and counted as such.
    let before = refused_payloads(&server, "NOT_YOUR_DEVICE").await?;
    let batch = json!([
        {"deviceId": "bad-test", "timestamp": now, "data": {"power": 1}},
        {"deviceId": "other", "timestamp": now, "data": {"power": 1}},
    ]);
    let (status, answer) = sync(&server, &secret, batch.to_string().into_bytes()).await?;
    assert_eq!((status, &answer["data"]["results"][1]["code"]), (200, &json!("NOT_YOUR_DEVICE")), "{answer}");
    assert_eq!(refused_payloads(&server, "NOT_YOUR_DEVICE").await?, before + 1.0);

    // One bad item spoils no other, and out of range is kept and flagged.
    let batch = json!([
        {"deviceId": "bad-test", "timestamp": now, "data": {"power": 9.9e9}},
        {"deviceId": "bad-test", "timestamp": now + 1, "data": {"mood": 1}},
    ]);
    let (status, answer) = sync(&server, &secret, batch.to_string().into_bytes()).await?;
    assert_eq!(status, 200, "{answer}");
    let shadow = server.get("/api/v1/devices/bad-test").await?;
    assert_eq!(shadow["reported"]["power"]["quality"], "out_of_range", "{shadow}");
    Ok(())
}

#[tokio::test]
async fn ten_megabytes_are_refused_wherever_they_are_posted() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let secret = server.register("large", "feeder-meter").await?;
    // Good items and nothing else, to the byte.
    let one = String::from_utf8(item("large", now_ms(), json!({"power": 1})))?;
    let mut good = format!("[{one}");
    while good.len() + one.len() + 2 <= TEN_MB {
        good.push(',');
        good.push_str(&one);
    }
    good.push_str(&" ".repeat(TEN_MB - 1 - good.len()));
    good.push(']');
    assert_eq!(good.len(), TEN_MB);
    for path in ["/api/v1/device/data/sync", "/api/v1/device/events"] {
        let before = refused_over_http(&server, "TOO_LARGE").await?;
        let (status, answer) = post(&server, path, &secret, good.clone().into_bytes()).await?;
        assert_eq!((status, answer["code"].as_str()), (413, Some("TOO_LARGE")), "{path}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|m| m.contains("8388608")), "{path}: {answer}");
        assert_eq!(refused_over_http(&server, "TOO_LARGE").await?, before + 1.0, "{path}");
    }
    for path in ["/api/v1/device/control", "/api/v1/devices", "/api/v1/auth/login", "/api/v1/auth/refresh"] {
        let labels = ["status=\"413\"", &format!("route=\"{path}\"")];
        let before = counted(server.http, "park_http_requests_total", &labels).await?;
        let (status, answer) = post(&server, path, server.token(), vec![b' '; TEN_MB]).await?;
        assert_eq!((status, answer["code"].as_str()), (413, Some("TOO_LARGE")), "{path}: {answer}");
        let after = counted(server.http, "park_http_requests_total", &labels).await?;
        assert_eq!(after, before + 1.0, "{path}");
    }
    let shadow = server.get("/api/v1/devices/large").await?;
    assert!(shadow["reported"].get("power").is_none(), "nothing of it was kept: {shadow}");
    Ok(())
}

#[tokio::test]
async fn bad_tokens_and_roles_are_refused_and_counted() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let client = reqwest::Client::new();
    for token in [None, Some("nonsense")] {
        let labels = ["route=\"/api/v1/devices\"", "status=\"401\""];
        let before = counted(server.http, "park_http_requests_total", &labels).await?;
        let mut request = client.get(server.url("/api/v1/devices"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await?;
        assert_eq!(response.status().as_u16(), 401);
        let body: Value = response.json().await?;
        assert!(body["code"].is_string() && body["traceId"].is_string(), "{body}");
        assert_eq!(counted(server.http, "park_http_requests_total", &labels).await?, before + 1.0);
    }
    let wrong = json!({"username": "admin", "password": "wrong"});
    let response = client.post(server.url("/api/v1/auth/login")).json(&wrong).send().await?;
    assert_eq!(response.status().as_u16(), 401);
    // A device that nobody registered cannot be commanded.
    let command = json!({
        "deviceId": "nobody", "commandId": "c1", "command": "setPower", "timestamp": now_ms(), "parameters": {"power": 1},
    });
    let (status, answer) =
        server.send(reqwest::Method::POST, "/api/v1/device/control", Some(&command)).await?;
    assert_eq!((status, answer["code"].as_str()), (404, Some("UNKNOWN_DEVICE")), "{answer}");
    Ok(())
}

/// A client of MQTT 5, connected and listening to its errors.
struct V5Device {
    id: String,
    client: v5::AsyncClient,
    events: v5::EventLoop,
}

impl V5Device {
    fn new(server: &Server, id: &str, secret: &str) -> V5Device {
        let mut options = v5::MqttOptions::new(id, "127.0.0.1", server.mqtt);
        options.set_credentials(id, secret);
        let (client, events) = v5::AsyncClient::new(options, 100);
        V5Device { id: id.to_owned(), client, events }
    }

    async fn packet(&mut self) -> anyhow::Result<V5Packet> {
        loop {
            if let V5Event::Incoming(packet) = timeout(BOUNDED, self.events.poll()).await?? {
                return Ok(packet);
            }
        }
    }

    async fn subscribe(&mut self, filter: &str) -> anyhow::Result<SubscribeReasonCode> {
        self.client.subscribe(filter, V5QoS::AtLeastOnce).await?;
        loop {
            if let V5Packet::SubAck(answer) = self.packet().await? {
                return answer.return_codes.first().cloned().context("an empty SUBACK");
            }
        }
    }

    /// Publishes and gives the PUBACK's reason with the report on the errors topic.
    async fn refused(&mut self, topic: &str, payload: Vec<u8>) -> anyhow::Result<(PubAckReason, Value)> {
        self.client.publish(topic, V5QoS::AtLeastOnce, false, payload).await?;
        let mut report = None;
        loop {
            match self.packet().await? {
                V5Packet::Publish(message) => {
                    ensure!(message.topic == format!("device/{}/errors", self.id), "{message:?}");
                    report = Some(serde_json::from_slice(&message.payload)?);
                }
                V5Packet::PubAck(ack) => {
                    return Ok((ack.reason, report.context("no report before the PUBACK")?));
                }
                _ => {}
            }
        }
    }
}

#[tokio::test]
async fn each_fault_over_mqtt_5_has_its_reason_and_is_reported_and_counted() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let secret = server.register("mqtt5", "feeder-meter").await?;
    let mut device = V5Device::new(&server, "mqtt5", &secret);
    let granted = device.subscribe("device/mqtt5/errors").await?;
    assert_eq!(granted, SubscribeReasonCode::Success(V5QoS::AtLeastOnce));
    let now = now_ms();
    let (data, ack) = ("device/mqtt5/data", "device/mqtt5/control/ack");
    use PubAckReason::{NotAuthorized, PayloadFormatInvalid};
    for (topic, payload, reason, code) in [
        (data, b"{".to_vec(), PayloadFormatInvalid, "MALFORMED_JSON"),
        (data, b"42".to_vec(), PayloadFormatInvalid, "WRONG_TYPE"),
        (data, item("mqtt5", now, json!({"power": [1]})), PayloadFormatInvalid, "WRONG_TYPE"),
        (data, item("mqtt5", now, json!({"power": "NaN"})), PayloadFormatInvalid, "NOT_FINITE"),
        (data, item("mqtt5", now, json!({"mood": 1})), PayloadFormatInvalid, "UNKNOWN_MEASUREMENT"),
        (
            data,
            item("mqtt5", now - 2000 * DAY_MS, json!({"power": 1})),
            PayloadFormatInvalid,
            "TIMESTAMP_TOO_OLD",
        ),
        (
            data,
            item("mqtt5", now + 3_600_000, json!({"power": 1})),
            PayloadFormatInvalid,
            "TIMESTAMP_TOO_FAR_AHEAD",
        ),
        (data, item("nobody", now, json!({"power": 1})), NotAuthorized, "NOT_YOUR_DEVICE"),
        (ack, b"{".to_vec(), PayloadFormatInvalid, "MALFORMED_JSON"),
        (ack, br#"{"deviceId":"mqtt5"}"#.to_vec(), PayloadFormatInvalid, "MISSING_FIELD"),
        (
            ack,
            br#"{"deviceId":"mqtt5","commandId":"c","status":"perhaps"}"#.to_vec(),
            PayloadFormatInvalid,
            "WRONG_TYPE",
        ),
        (
            ack,
            br#"{"deviceId":"mqtt5","commandId":"never","status":"done"}"#.to_vec(),
            PayloadFormatInvalid,
            "UNKNOWN_COMMAND",
        ),
    ] {
        let shown = String::from_utf8_lossy(&payload).into_owned();
        let before = refused_payloads(&server, code).await?;
        let (said, report) = device.refused(topic, payload).await?;
        assert_eq!((said, report["errors"][0]["code"].as_str()), (reason, Some(code)), "{shown}: {report}");
        assert_eq!(refused_payloads(&server, code).await?, before + 1.0, "{shown} is counted");
    }
    for (topic, reason, code) in [
        ("device/other/data", NotAuthorized, "NOT_YOUR_DEVICE"),
        ("weather", PubAckReason::TopicNameInvalid, "UNKNOWN_TOPIC"),
    ] {
        let before = refused_over_mqtt(&server, code).await?;
        let (said, report) = device.refused(topic, item("other", now, json!({"power": 1}))).await?;
        assert_eq!((said, report["errors"][0]["code"].as_str()), (reason, Some(code)), "{topic}: {report}");
        assert_eq!(refused_over_mqtt(&server, code).await?, before + 1.0, "{topic} is counted");
    }
    for (filter, reason, code) in [
        ("device/other/control", SubscribeReasonCode::NotAuthorized, "NOT_YOUR_TOPIC"),
        ("$share/g/device/other/control", SubscribeReasonCode::NotAuthorized, "NOT_YOUR_TOPIC"),
    ] {
        let before = refused_over_mqtt(&server, code).await?;
        assert_eq!(device.subscribe(filter).await?, reason, "{filter}");
        assert_eq!(refused_over_mqtt(&server, code).await?, before + 1.0, "{filter} is counted");
    }
    let mut answers = Vec::new();
    for n in 0..17 {
        answers.push(device.subscribe(&format!("device/mqtt5/{n}/#")).await?);
    }
    assert_eq!(answers.last(), Some(&SubscribeReasonCode::QuotaExceeded));
    assert!(refused_over_mqtt(&server, "TOO_MANY_FILTERS").await? >= 1.0);
    Ok(())
}

#[tokio::test]
async fn a_connect_that_is_not_accepted_says_why_and_is_counted() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let secret = server.register("willful", "feeder-meter").await?;
    let will = |topic: &str| Some(LastWill::new(topic, "gone", V5QoS::AtLeastOnce, false, None));
    for (user, password, will, said, reason) in [
        ("willful", "a guess", None, "BadUserNamePassword", "bad_credentials"),
        ("nobody", secret.as_str(), None, "BadUserNamePassword", "bad_credentials"),
        ("willful", &secret, will("device/other/event"), "TopicNameInvalid", "bad_will"),
    ] {
        let before = closed_over_mqtt(server.http, reason).await?;
        let mut options = v5::MqttOptions::new("client", "127.0.0.1", server.mqtt);
        options.set_credentials(user, password);
        if let Some(will) = will {
            options.set_last_will(will);
        }
        let (_client, mut events) = v5::AsyncClient::new(options, 10);
        let error = timeout(BOUNDED, events.poll()).await?.err().context("refused")?.to_string();
        assert!(error.contains(said), "{user}: {error}");
        eventually("the refusal is counted", async || {
            Ok((closed_over_mqtt(server.http, reason).await? == before + 1.0).then_some(()))
        })
        .await?;
    }
    assert_eq!(refused_over_mqtt(&server, "NOT_YOUR_DEVICE").await?, 1.0, "the will's topic");

    // Ten megabytes: as the first packet, and as one of a device that is known.
    let hello = connect_v5("willful", &secret);
    for (first, answer) in [
        ([fixed_header(0x10, TEN_MB), b"\0\x04MQTT\x05".to_vec()].concat(), &[0x20, 3, 0, 0x95, 0][..]),
        ([hello, fixed_header(0x32, TEN_MB)].concat(), &[0xE0, 2, 0x95, 0]),
    ] {
        let before = closed_over_mqtt(server.http, "packet_too_large").await?;
        let mut socket = TcpStream::connect(("127.0.0.1", server.mqtt)).await?;
        socket.write_all(&first).await?;
        let mut said = Vec::new();
        timeout(BOUNDED, socket.read_to_end(&mut said)).await??;
        assert!(said.ends_with(answer), "{said:x?}");
        assert_eq!(closed_over_mqtt(server.http, "packet_too_large").await?, before + 1.0);
    }
    Ok(())
}

fn fixed_header(kind: u8, remaining: usize) -> Vec<u8> {
    let mut header = vec![kind];
    let mut left = remaining;
    loop {
        let low = (left % 128) as u8;
        left /= 128;
        header.push(if left > 0 { low | 0x80 } else { low });
        if left == 0 {
            return header;
        }
    }
}

fn connect_v5(user: &str, secret: &str) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x05\xC2\0\x3C\0\0\x01c".to_vec();
    for text in [user, secret] {
        body.extend((text.len() as u16).to_be_bytes());
        body.extend(text.as_bytes());
    }
    [fixed_header(0x10, body.len()), body].concat()
}

#[tokio::test]
async fn garbage_and_half_open_sockets_disturb_nobody_and_are_counted() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let secret = server.register("good", "feeder-meter").await?;
    let mut half_open = Vec::new();
    for _ in 0..200 {
        half_open.push(TcpStream::connect(("127.0.0.1", server.mqtt)).await?);
    }
    for _ in 0..20 {
        let mut socket = TcpStream::connect(("127.0.0.1", server.http)).await?;
        socket.write_all(b"POST /api/v1/device/data/sync HTTP/1.1\r\nhost: x\r\n").await?;
        half_open.push(socket);
    }
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xff; 64], &[0x10, 0xff, 0xff, 0xff, 0x7f], &[0x00, 0x00]]
    {
        let mut socket = TcpStream::connect(("127.0.0.1", server.mqtt)).await?;
        socket.write_all(garbage).await?;
        if garbage[0] == 0x10 {
            // A CONNECT so large is waited for until it says of which version it is.
            socket.write_all(b"\0\x04MQTT\x04").await?;
        }
        let mut rest = Vec::new();
        // The server closes; how (FIN or RST) is its own affair.
        let _ = socket.read_to_end(&mut rest).await;
    }
    let mut device = Device::new(server.mqtt, "good", &secret);
    device.connected().await?;
    device.publish_power(now_ms(), 5.0, 1).await?;
    while !matches!(device.poll().await?, Outcome::Acknowledged(1)) {}
    assert!(closed_over_mqtt(server.http, "malformed").await? >= 3.0);
    eventually("the half-open sockets are closed and counted", async || {
        let mqtt = closed_over_mqtt(server.http, "connect_timeout").await?;
        let http = counted(server.http, "park_http_closed_total", &["reason=\"head_timeout\""]).await?;
        Ok((mqtt >= 200.0 && http >= 20.0).then_some(()))
    })
    .await
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
    let (_, report) = device.message().await?;
    assert_eq!(report["topic"], "device/other/control", "{report}");
    assert_eq!(report["errors"][0]["code"], "NOT_YOUR_TOPIC", "{report}");
    for (topic, payload, code) in [
        ("device/mqtt3/data", "{", "MALFORMED_JSON"),
        (
            "device/mqtt3/data",
            r#"{"deviceId":"mqtt3","timestamp":1,"data":{"power":1}}"#,
            "TIMESTAMP_TOO_OLD",
        ),
        ("device/mqtt3/data", r#"{"deviceId":"other","timestamp":1,"data":{"power":1}}"#, "NOT_YOUR_DEVICE"),
        ("device/mqtt3/control/ack", "{", "MALFORMED_JSON"),
        ("device/other/data", "{}", "NOT_YOUR_DEVICE"),
    ] {
        device.client.publish(topic, rumqttc::QoS::AtLeastOnce, false, payload).await?;
        let (heard_on, errors) = device.message().await?;
        assert_eq!(heard_on, "device/mqtt3/errors");
        assert!(errors.to_string().contains(code), "{payload}: {errors} lacks {code}");
        assert_eq!(errors["topic"], topic);
    }
    Ok(())
}

/// A server that may open few files; killed when dropped.
struct Limited {
    process: Child,
    http: u16,
    mqtt: u16,
}

impl Limited {
    async fn start(data: &Path, open_files: u32) -> anyhow::Result<Limited> {
        let (http, mqtt) = (free_port()?, free_port()?);
        let log = std::fs::File::create(data.join("limited.log"))?;
        let process = Command::new("sh")
            .args(["-c", &format!("ulimit -n {open_files} && exec \"$0\" \"$@\"")])
            .arg(binary("sim-server")?)
            .args(["serve", "--http", &format!("127.0.0.1:{http}"), "--mqtt", &format!("127.0.0.1:{mqtt}")])
            .arg("--scene")
            .arg(repository().join("scenes/wujiang-park"))
            .arg("--data")
            .arg(data)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let limited = Limited { process, http, mqtt };
        eventually("the limited server is ready", async || {
            let answer = reqwest::get(format!("http://127.0.0.1:{http}/readyz")).await;
            Ok(answer.ok().filter(|answer| answer.status().is_success()).map(drop))
        })
        .await?;
        Ok(limited)
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn more_idle_sockets_than_the_process_may_open_lock_nobody_out() -> anyhow::Result<()> {
    const OPEN_FILES: u32 = 256;
    let folder = tempfile::tempdir()?;
    let mut server = Server::start(folder.path(), &[]).await?;
    let secret = server.register("patient", "feeder-meter").await?;
    server.stop().await?;
    let server = Limited::start(folder.path(), OPEN_FILES).await?;
    let mut idle = Vec::new();
    for round in 0..3 {
        for _ in 0..OPEN_FILES {
            for (port, first) in [(server.http, &b"GET /healthz HTTP/1.1\r\n"[..]), (server.mqtt, b"\x10")] {
                let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
                // One that had to give way already may not take it.
                let _ = socket.write_all(first).await;
                idle.push(socket);
            }
        }
        timeout(BOUNDED, async {
            let mut device = Device::new(server.mqtt, "patient", &secret);
            device.connected().await?;
            device.publish_power(now_ms(), 5.0, round).await?;
            while !matches!(device.poll().await?, Outcome::Acknowledged(tag) if tag == round) {}
            let answer = reqwest::get(format!("http://127.0.0.1:{}/healthz", server.http)).await?;
            ensure!(answer.status().is_success(), "{}", answer.status());
            anyhow::Ok(())
        })
        .await
        .with_context(|| format!("round {round}: a device and a reader are served"))??;
    }
    let gave_way = counted(server.http, "park_http_closed_total", &["reason=\"gave_way\""]).await?;
    let crowded_out = closed_over_mqtt(server.http, "crowded_out").await?;
    assert!(gave_way > 0.0 && crowded_out > 0.0, "{gave_way} {crowded_out}");
    Ok(())
}
