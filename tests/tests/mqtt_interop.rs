//! MQTT as clients nobody here wrote speak it: paho and Mosquitto's tools, 3.1.1 and 5, against the real server.

#![allow(clippy::print_stderr, reason = "says what is skipped")]

use anyhow::Context;
use park_tests::{Authority, Paho, Server, eventually, now_ms, paho, tool};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

const MODEL: &str = "battery-container";
const VERSIONS: [&str; 2] = ["3", "5"];

/// A server, the Python with paho, and a registered device; `None` where there is no paho.
async fn with_paho(
    extra: &[&str],
) -> anyhow::Result<Option<(tempfile::TempDir, Server, std::path::PathBuf)>> {
    let Some(python) = paho::python()? else {
        return Ok(None);
    };
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), extra).await?;
    Ok(Some((folder, server, python)))
}

/// A CONNECT order with the device's secret.
fn as_device(device: &str, secret: &str, more: Value) -> Value {
    let mut order = json!({"id": format!("{device}-client"), "user": device, "password": secret});
    if let (Some(order), Value::Object(more)) = (order.as_object_mut(), more) {
        order.extend(more);
    }
    order
}

/// What asks for a session that lasts, in either version.
fn lasting(more: Value) -> Value {
    let mut order = json!({"clean": false, "properties": {"SessionExpiryInterval": 3600}});
    if let (Some(order), Value::Object(more)) = (order.as_object_mut(), more) {
        order.extend(more);
    }
    order
}

fn sample(device: &str, at: i64, power: f64) -> Value {
    json!({"deviceId": device, "timestamp": at, "data": {"power": power}})
}

async fn ask(server: &Server, device: &str, id: &str, expires: Option<i64>) -> anyhow::Result<()> {
    let mut body = json!({
        "deviceId": device, "commandId": id, "command": "setPower", "timestamp": now_ms(),
        "parameters": {"power": 50.0, "duration": 3600, "priority": "high"},
    });
    if let Some(expires) = expires {
        body["expires"] = json!(expires);
    }
    server.post("/api/v1/device/control", &body).await.map(drop)
}

async fn until_status(server: &Server, id: &str, status: &str) -> anyhow::Result<Value> {
    eventually(&format!("{id} is {status}"), async || {
        let record = server.get(&format!("/api/v1/commands/{id}")).await?;
        Ok((record["status"] == status).then_some(record))
    })
    .await
}

async fn acknowledge(paho: &mut Paho, device: &str, id: &str) -> anyhow::Result<()> {
    let answer = json!({"deviceId": device, "commandId": id, "status": "done", "reason": null, "result": {"power": 50.0}});
    paho.publish(&format!("device/{device}/control/ack"), 1, &answer).await.map(drop)
}

fn command_id(message: &Value) -> anyhow::Result<String> {
    let body: Value = serde_json::from_str(message["payload"].as_str().context("no payload")?)?;
    Ok(body["commandId"].as_str().context("no command id")?.to_owned())
}

#[tokio::test]
async fn every_qos_in_is_stored_and_refusals_say_why() -> anyhow::Result<()> {
    let Some((_folder, server, python)) = with_paho(&[]).await? else { return Ok(()) };
    for version in VERSIONS {
        let device = format!("qos-{version}");
        let secret = server.register(&device, MODEL).await?;
        let mut paho = Paho::start(&python, server.mqtt, version)?;
        paho.connect(as_device(&device, &secret, json!({}))).await?;
        let (topic, at) = (format!("device/{device}/data"), now_ms() - 60_000);
        for qos in 0..=2u8 {
            let order = json!({
                "do": "publish", "topic": topic, "qos": qos, "retain": true,
                "payload": sample(&device, at + i64::from(qos), f64::from(qos)).to_string(),
            });
            paho.tell(order).await?;
            assert_eq!(paho.event("published").await?["reason"], 0, "version {version}, QoS {qos}");
        }
        // An empty retained payload would clear what is retained: there is nothing, and no fault in it.
        paho.tell(json!({"do": "publish", "topic": topic, "qos": 1, "retain": true})).await?;
        assert_eq!(paho.event("published").await?["reason"], 0);
        let points = server.history(&device, "power").await?;
        assert_eq!(points, [(at, 0.0), (at + 1, 1.0), (at + 2, 2.0)], "version {version}");

        // QoS 1 reports on the errors topic, whatever the version; reason codes where there are any.
        paho.subscribe(&format!("device/{device}/errors"), json!({})).await?;
        let refused = paho.publish("device/somebody-else/data", 1, &json!({})).await?;
        assert_eq!(refused["reason"], if version == "5" { 0x87 } else { 0 }, "{refused}");
        let report = paho.event("message").await?;
        assert!(report["payload"].as_str().is_some_and(|text| text.contains("NOT_YOUR_DEVICE")), "{report}");
        if version == "5" {
            let refused = paho.publish(&topic, 1, &json!({"deviceId": device})).await?;
            assert_eq!(refused["reason"], 0x99, "{refused}");
            let said = refused["properties"]["ReasonString"].as_str().unwrap_or_default();
            assert!(said.contains("MISSING_FIELD"), "{refused}");
        }
        let code = paho.subscribe("device/somebody-else/control", json!({})).await?;
        assert_eq!(code, if version == "5" { 0x87 } else { 0x80 });
    }
    Ok(())
}

#[tokio::test]
async fn a_session_is_resumed_with_its_command_also_after_the_server_was_killed() -> anyhow::Result<()> {
    let Some((_folder, mut server, python)) = with_paho(&[]).await? else { return Ok(()) };
    for version in VERSIONS {
        let device = format!("session-{version}");
        let secret = server.register(&device, MODEL).await?;
        let control = format!("device/{device}/control");
        let mut paho = Paho::start(&python, server.mqtt, version)?;
        let connack = paho.connect(as_device(&device, &secret, lasting(json!({})))).await?;
        assert_eq!(connack["present"], false, "version {version}: {connack}");
        assert!(paho.subscribe(&control, json!({})).await? <= 2);
        paho.disconnect().await?;

        // Asked for while the device is away; it subscribes to nothing when it is back.
        let first = format!("away-{version}");
        ask(&server, &device, &first, None).await?;
        let mut paho = Paho::start(&python, server.mqtt, version)?;
        let connack = paho.connect(as_device(&device, &secret, lasting(json!({})))).await?;
        assert_eq!(connack["present"], true, "version {version}: {connack}");
        let message = paho.event("message").await?;
        assert_eq!((command_id(&message)?, &message["qos"]), (first.clone(), &json!(1)));
        if version == "5" {
            let left = message["properties"]["MessageExpiryInterval"].as_u64().unwrap_or_default();
            assert!((1..=300).contains(&left), "{message}");
        }
        acknowledge(&mut paho, &device, &first).await?;
        until_status(&server, &first, "acknowledged").await?;
        paho.die().await?;

        // The same across a kill -9 of the server.
        let second = format!("killed-{version}");
        ask(&server, &device, &second, None).await?;
        server = server.kill_and_restart().await?;
        let mut paho = Paho::start(&python, server.mqtt, version)?;
        let connack = paho.connect(as_device(&device, &secret, lasting(json!({})))).await?;
        assert_eq!(connack["present"], true, "version {version}, after the restart: {connack}");
        assert_eq!(command_id(&paho.event("message").await?)?, second);
        paho.disconnect().await?;

        // A clean start ends it.
        let mut paho = Paho::start(&python, server.mqtt, version)?;
        let connack = paho.connect(as_device(&device, &secret, json!({"clean": true}))).await?;
        assert_eq!(connack["present"], false);
        paho.disconnect().await?;
        let mut paho = Paho::start(&python, server.mqtt, version)?;
        let connack = paho.connect(as_device(&device, &secret, lasting(json!({})))).await?;
        assert_eq!(connack["present"], false, "version {version}: the clean start left something");
    }
    Ok(())
}

#[tokio::test]
async fn a_report_waits_for_a_device_that_left_before_it() -> anyhow::Result<()> {
    let Some((_folder, mut server, python)) = with_paho(&[]).await? else { return Ok(()) };
    for version in VERSIONS {
        let device = format!("report-{version}");
        let secret = server.register(&device, MODEL).await?;
        let manual = lasting(json!({"manualAck": true}));
        let mut paho = Paho::start(&python, server.mqtt, version)?;
        paho.connect(as_device(&device, &secret, manual.clone())).await?;
        paho.subscribe(&format!("device/{device}/errors"), json!({})).await?;
        paho.publish(&format!("device/{device}/data"), 1, &json!({"deviceId": device})).await?;
        // Acknowledged, so the report is on the disk; the device reads it and dies before it has acknowledged it.
        let first = paho.event("message").await?;
        assert_eq!(first["qos"], 1, "version {version}: {first}");
        paho.die().await?;
        server = server.kill_and_restart().await?;
        let mut paho = Paho::start(&python, server.mqtt, version)?;
        let connack = paho.connect(as_device(&device, &secret, manual)).await?;
        assert_eq!(connack["present"], true);
        let again = paho.event("message").await?;
        assert_eq!(again["payload"], first["payload"], "version {version}");
        paho.tell(json!({"do": "ack", "mid": again["mid"]})).await?;
        paho.disconnect().await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_expired_command_is_not_delivered_late() -> anyhow::Result<()> {
    let Some((_folder, server, python)) = with_paho(&[]).await? else { return Ok(()) };
    for version in VERSIONS {
        let device = format!("expiry-{version}");
        let secret = server.register(&device, MODEL).await?;
        let mut paho = Paho::start(&python, server.mqtt, version)?;
        paho.connect(as_device(&device, &secret, lasting(json!({})))).await?;
        paho.subscribe(&format!("device/{device}/control"), json!({})).await?;
        paho.disconnect().await?;
        let (short, long) = (format!("short-{version}"), format!("long-{version}"));
        ask(&server, &device, &short, Some(now_ms() + 1_000)).await?;
        ask(&server, &device, &long, None).await?;
        until_status(&server, &short, "expired").await?;
        let mut paho = Paho::start(&python, server.mqtt, version)?;
        paho.connect(as_device(&device, &secret, lasting(json!({})))).await?;
        assert_eq!(command_id(&paho.event("message").await?)?, long, "version {version}");
    }
    Ok(())
}

#[tokio::test]
async fn a_will_is_the_last_word_of_a_device_that_dies() -> anyhow::Result<()> {
    let Some((_folder, server, python)) = with_paho(&[]).await? else { return Ok(()) };
    let will_of = |device: &str, delay: u32| {
        let payload = json!({
            "deviceId": device, "timestamp": now_ms(), "id": format!("{device}-gone"), "type": "smoke",
            "severity": "critical", "description": "last word",
        });
        json!({
            "topic": format!("device/{device}/event"), "payload": payload.to_string(), "retain": true,
            "properties": {"WillDelayInterval": delay},
        })
    };
    let has_event = async |device: &str| -> anyhow::Result<bool> {
        let found = server.get(&format!("/api/v1/devices/{device}/events")).await?;
        Ok(found.to_string().contains(&format!("{device}-gone")))
    };
    for (version, delay) in [("3", 0), ("5", 0), ("5", 1)] {
        let device = format!("will-{version}-{delay}");
        let secret = server.register(&device, MODEL).await?;
        let order = lasting(json!({"will": will_of(&device, delay)}));
        let mut paho = Paho::start(&python, server.mqtt, version)?;
        paho.connect(as_device(&device, &secret, order.clone())).await?;
        paho.disconnect().await?;
        let mut paho = Paho::start(&python, server.mqtt, version)?;
        paho.connect(as_device(&device, &secret, order)).await?;
        assert!(!has_event(&device).await?, "version {version}: a goodbye leaves no will");
        paho.die().await?;
        eventually("the will arrives", async || Ok(has_event(&device).await?.then_some(()))).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_device_that_does_not_come_back_after_the_server_was_killed_leaves_its_will() -> anyhow::Result<()>
{
    let Some((_folder, server, python)) = with_paho(&[]).await? else { return Ok(()) };
    let mut lines = Vec::new();
    for device in ["stays-away", "comes-back"] {
        let secret = server.register(device, MODEL).await?;
        let payload = json!({
            "deviceId": device, "timestamp": now_ms(), "id": "gone", "type": "offline", "severity": "warning", "description": "lost",
        });
        // With the end of its session at the latest.
        let order = json!({
            "clean": false, "properties": {"SessionExpiryInterval": 4},
            "will": {"topic": format!("device/{device}/event"), "payload": payload.to_string()},
        });
        let mut paho = Paho::start(&python, server.mqtt, "5")?;
        paho.connect(as_device(device, &secret, order.clone())).await?;
        lines.push((paho, device, secret, order));
    }
    let server = server.kill_and_restart().await?;
    let Some((mut paho, device, secret, order)) = lines.pop() else { return Ok(()) };
    paho.event("disconnected").await?;
    let connack = paho.connect(as_device(device, &secret, order)).await?;
    assert_eq!(connack["present"], true, "{connack}");
    let has_event = async |device: &str| -> anyhow::Result<bool> {
        let found = server.get(&format!("/api/v1/devices/{device}/events")).await?;
        Ok(found.to_string().contains("gone"))
    };
    eventually("the will arrives", async || Ok(has_event("stays-away").await?.then_some(()))).await?;
    assert!(!has_event("comes-back").await?, "it is there");
    Ok(())
}

/// Byte by byte: no client can be stopped between PUBREC and PUBREL.
#[tokio::test]
async fn a_packet_id_released_before_the_server_was_killed_hides_no_new_reading() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = Server::start(folder.path(), &[]).await?;
    let device = "exactly-once";
    let secret = server.register(device, MODEL).await?;
    let at = now_ms() - 60_000;
    let text = |text: &str| [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat();
    let packet = |header: u8, body: &[u8]| match body.len() {
        short @ 0..128 => [&[header, short as u8][..], body].concat(),
        long => [&[header, (long % 128) as u8 | 0x80, (long / 128) as u8][..], body].concat(),
    };
    // 3.1.1, with a session that lasts, a name and a password.
    let protocol = [&text("MQTT")[..], &[4, 0xC0, 0, 60]].concat();
    let connect = packet(0x10, &[protocol, text("client"), text(device), text(&secret)].concat());
    let reading = |header: u8, at: i64, power: f64| {
        let payload = sample(device, at, power).to_string();
        packet(header, &[&text(&format!("device/{device}/data"))[..], &[0, 7], payload.as_bytes()].concat())
    };
    let subscribe = packet(0x82, &[&[0, 9][..], &text(&format!("device/{device}/control")), &[1]].concat());
    let (release, released) = ([0x62, 2, 0, 7], [0x70, 2, 0, 7]);
    let received = [0x50, 2, 0, 7];
    let converse = async |port: u16, exchanges: &[(&[u8], &[u8])]| -> anyhow::Result<()> {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        for (said, expected) in exchanges {
            stream.write_all(said).await?;
            let mut answer = vec![0; expected.len()];
            tokio::time::timeout(park_tests::LIMIT, stream.read_exact(&mut answer)).await??;
            assert_eq!(answer, *expected, "to {said:x?}");
        }
        Ok(())
    };
    // A subscription has the session written while the packet id is taken.
    let first: [(&[u8], &[u8]); 4] = [
        (&connect, &[0x20, 2, 0, 0]),
        (&reading(0x34, at, 1.0), &received),
        (&subscribe, &[0x90, 3, 0, 9, 1]),
        (&release, &released),
    ];
    converse(server.mqtt, &first).await?;
    server = server.kill_and_restart().await?;
    // Sent in vain while the server was away, so this is not the first time.
    let second: [(&[u8], &[u8]); 3] =
        [(&connect, &[0x20, 2, 1, 0]), (&reading(0x3C, at + 1, 2.0), &received), (&release, &released)];
    converse(server.mqtt, &second).await?;
    assert_eq!(server.history(device, "power").await?, [(at, 1.0), (at + 1, 2.0)]);
    Ok(())
}

#[tokio::test]
async fn what_a_device_follows_is_retained_for_it() -> anyhow::Result<()> {
    let Some((_folder, server, python)) = with_paho(&[]).await? else { return Ok(()) };
    for version in VERSIONS {
        let device = format!("desired-{version}");
        let secret = server.register(&device, MODEL).await?;
        let (control, desired) = (format!("device/{device}/control"), format!("device/{device}/desired"));
        let mut paho = Paho::start(&python, server.mqtt, version)?;
        paho.connect(as_device(&device, &secret, json!({}))).await?;
        paho.subscribe(&control, json!({})).await?;
        let id = format!("follow-{version}");
        ask(&server, &device, &id, None).await?;
        paho.event("message").await?;
        acknowledge(&mut paho, &device, &id).await?;
        until_status(&server, &id, "acknowledged").await?;
        paho.die().await?;

        // Restarted, the device knows nothing: it asks what it is to follow.
        let mut paho = Paho::start(&python, server.mqtt, version)?;
        paho.connect(as_device(&device, &secret, json!({}))).await?;
        paho.subscribe(&desired, json!({})).await?;
        let message = paho.event("message").await?;
        assert_eq!((&message["topic"], &message["retain"]), (&json!(desired), &json!(true)), "{message}");
        let state: Value = serde_json::from_str(message["payload"].as_str().context("no payload")?)?;
        assert_eq!(state["desired"]["power"]["value"], 50.0, "{state}");
        assert_eq!(state["desired"]["power"]["commandId"], id.as_str(), "{state}");
        if version == "5" {
            // Retain handling 2: nothing is asked for, so the next message is the next change.
            paho.subscribe(&desired, json!({"retainHandling": 2})).await?;
        }
        // A release is a change like any other.
        paho.subscribe(&control, json!({})).await?;
        let release = format!("release-{version}");
        let body = json!({
            "deviceId": device, "commandId": release, "command": "release", "timestamp": now_ms(), "parameters": {},
        });
        server.post("/api/v1/device/control", &body).await?;
        assert_eq!(command_id(&paho.event("message").await?)?, release);
        acknowledge(&mut paho, &device, &release).await?;
        let message = paho.event("message").await?;
        assert_eq!((&message["topic"], &message["retain"]), (&json!(desired), &json!(false)), "{message}");
        let state: Value = serde_json::from_str(message["payload"].as_str().context("no payload")?)?;
        assert_eq!(state["desired"], json!({}), "{state}");
    }
    Ok(())
}

#[tokio::test]
async fn version_5_aliases_topics_and_keeps_to_the_receive_maximum() -> anyhow::Result<()> {
    let Some((_folder, server, python)) = with_paho(&[]).await? else { return Ok(()) };
    let device = "five";
    let secret = server.register(device, MODEL).await?;
    let mut paho = Paho::start(&python, server.mqtt, "5")?;
    let order = json!({"manualAck": true, "properties": {"ReceiveMaximum": 1, "TopicAliasMaximum": 5}});
    let connack = paho.connect(as_device(device, &secret, order)).await?;
    let told = &connack["properties"];
    assert!(told["TopicAliasMaximum"].as_u64().is_some_and(|most| most >= 1), "{connack}");
    assert!(told["ReceiveMaximum"].as_u64().is_some_and(|most| most >= 1), "{connack}");
    // A device's topic once by name, then by number.
    let (topic, at) = (format!("device/{device}/data"), now_ms() - 60_000);
    for (n, topic) in [(0, topic.as_str()), (1, ""), (2, "")] {
        paho.tell(json!({
            "do": "publish", "topic": topic, "qos": 1, "properties": {"TopicAlias": 1},
            "payload": sample(device, at + n, n as f64).to_string(),
        }))
        .await?;
        assert_eq!(paho.event("published").await?["reason"], 0);
    }
    assert_eq!(server.history(device, "power").await?, [(at, 0.0), (at + 1, 1.0), (at + 2, 2.0)]);
    // Shared, and with an identifier that comes back.
    let filter = format!("$share/group/device/{device}/control");
    paho.tell(json!({
        "do": "subscribe", "topic": filter, "qos": 1, "properties": {"SubscriptionIdentifier": 7},
    }))
    .await?;
    assert_eq!(paho.event("subscribed").await?["reasons"], json!([1]));
    for id in ["one", "two", "three"] {
        ask(&server, device, id, None).await?;
    }
    for id in ["one", "two", "three"] {
        let message = paho.event("message").await?;
        assert_eq!(command_id(&message)?, id);
        assert_eq!(message["properties"]["SubscriptionIdentifier"], json!([7]), "{message}");
        // The server answers something else and sends no second command meanwhile.
        paho.publish(&topic, 1, &sample(device, at + 10, 1.0)).await?;
        assert!(!paho.has_heard("message"), "a second message before the first was acknowledged");
        paho.tell(json!({"do": "ack", "mid": message["mid"]})).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_names_the_device_spares_its_password() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new(folder.path(), "park-authority")?;
    let foreign = Authority::new(folder.path(), "somebody-elses-authority")?;
    let identity = authority.server()?;
    let mqtts = park_tests::free_port()?;
    let path = |path: &std::path::Path| path.display().to_string();
    let (address, certificate, key, authority_file) = (
        format!("127.0.0.1:{mqtts}"),
        path(&identity.certificate),
        path(&identity.key),
        path(&authority.file()),
    );
    let extra = [
        "--mqtts",
        &address,
        "--tls-cert",
        &certificate,
        "--tls-key",
        &key,
        "--tls-client-ca",
        &authority_file,
    ];
    let server = Server::start(&folder.path().join("data"), &extra).await?;
    let secret = server.register("tls-1", MODEL).await?;
    server.register("tls-2", MODEL).await?;
    let own = authority.device("tls-1")?;

    // Mosquitto's tools: the certificate alone, with the user name, and the password over TLS.
    let publish = async |version: &str, more: &[&str]| -> anyhow::Result<bool> {
        let mut tool = Command::new(tool("mosquitto_pub")?);
        tool.args(["-h", "127.0.0.1", "-p", &mqtts.to_string(), "-V", version, "-q", "1"]);
        tool.args(["--cafile", &authority_file, "-t", "device/tls-1/data"]);
        tool.args(["-m", &sample("tls-1", now_ms(), 1.0).to_string()]).args(more);
        Ok(tool.stderr(Stdio::null()).stdout(Stdio::null()).status().await?.success())
    };
    let with = |identity: &park_tests::Identity| {
        ["--cert".to_owned(), path(&identity.certificate), "--key".to_owned(), path(&identity.key)]
    };
    for version in ["mqttv311", "mqttv5"] {
        let own = with(&own);
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        assert!(publish(version, &own).await?, "{version}: the certificate alone");
        assert!(publish(version, &[&own[..], &["-u", "tls-1"]].concat()).await?, "{version}: with its name");
        assert!(publish(version, &["-u", "tls-1", "-P", &secret]).await?, "{version}: the password over TLS");
        assert!(!publish(version, &[]).await?, "{version}: neither certificate nor password");
        assert!(!publish(version, &["-u", "tls-1", "-P", "guess"]).await?, "{version}: a guess");
        assert!(
            !publish(version, &[&own[..], &["-u", "tls-2"]].concat()).await?,
            "{version}: another's name"
        );
        for (what, identity) in [
            ("expired", authority.expired("tls-1")?),
            ("of another authority", foreign.device("tls-1")?),
            ("of no device", authority.device("nobody-registered")?),
        ] {
            let bad = with(&identity);
            let bad: Vec<&str> = bad.iter().map(String::as_str).collect();
            assert!(!publish(version, &bad).await?, "{version}: a certificate {what}");
        }
    }
    // Each refusal is in the log with the name on the certificate.
    let log = server.log();
    for (name, reason) in
        [("tls-1", "xpired"), ("tls-1", "UnknownIssuer"), ("nobody-registered", "no such device")]
    {
        let found = log.lines().any(|line| {
            line.contains("certificate was refused") && line.contains(name) && line.contains(reason)
        });
        assert!(found, "no line about {name} and {reason} in\n{log}");
    }
    let Some(python) = paho::python()? else { return Ok(()) };
    for version in VERSIONS {
        let mut paho = Paho::start(&python, mqtts, version)?;
        let tls = json!({"ca": authority_file, "cert": path(&own.certificate), "key": path(&own.key)});
        paho.connect(json!({"id": "tls-client", "tls": tls})).await?;
        paho.subscribe("device/tls-1/control", json!({})).await?;
        let id = format!("tls-{version}");
        ask(&server, "tls-1", &id, None).await?;
        assert_eq!(command_id(&paho.event("message").await?)?, id);
        acknowledge(&mut paho, "tls-1", &id).await?;
        until_status(&server, &id, "acknowledged").await?;
        paho.disconnect().await?;
    }
    Ok(())
}

#[tokio::test]
async fn mosquittos_tools_resume_a_session_after_a_restart() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = Server::start(folder.path(), &[]).await?;
    for version in ["mqttv311", "mqttv5"] {
        let device = format!("mosquitto-session-{version}");
        let secret = server.register(&device, MODEL).await?;
        let listener = |more: &[&str]| -> anyhow::Result<Command> {
            let mut command = Command::new(tool("mosquitto_sub")?);
            command.args(["-h", "127.0.0.1", "-p", &server.mqtt.to_string(), "-V", version, "-q", "1", "-c"]);
            command.args([
                "-u",
                &device,
                "-P",
                &secret,
                "-i",
                "ear",
                "-t",
                &format!("device/{device}/control"),
            ]);
            if version == "mqttv5" {
                command.args(["-x", "3600"]);
            }
            command.args(more).kill_on_drop(true).stdout(Stdio::piped());
            Ok(command)
        };
        assert!(listener(&["-E"])?.status().await?.success(), "{version}: subscribing");
        let id = format!("restart-{version}");
        ask(&server, &device, &id, None).await?;
        let mut waiting = listener(&["-C", "1"])?;
        server = server.kill_and_restart().await?;
        let output = waiting.output().await?;
        let command: Value = serde_json::from_slice(&output.stdout)?;
        assert_eq!(command["commandId"], id.as_str(), "{version}");
        // QoS 2 and a will, as the tools send them.
        let mut publish = Command::new(tool("mosquitto_pub")?);
        publish.args(["-h", "127.0.0.1", "-p", &server.mqtt.to_string(), "-V", version, "-q", "2", "-r"]);
        publish.args(["-u", &device, "-P", &secret, "-t", &format!("device/{device}/data")]);
        let at = now_ms();
        publish.args(["-m", &sample(&device, at, 3.0).to_string()]);
        assert!(publish.status().await?.success(), "{version}: QoS 2");
        assert_eq!(server.history(&device, "power").await?, [(at, 3.0)]);
    }
    Ok(())
}
