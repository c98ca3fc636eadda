//! The endpoint with a real twin behind it, and clients of both protocol versions.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod support;

use gateway::MqttOptions;
use rumqttc::{AsyncClient, ConnectReturnCode, ConnectionError, Event, Packet, QoS, SubscribeReasonCode, v5};
use serde_json::{Value, json};
use shared::{command::CommandStatus, telemetry::Quality, time::Timestamp};
use std::{net::SocketAddr, time::Duration};
use support::{Park, copy_folder, data, eventually, next, now, open_history, readings};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
};

use v5::mqttbytes::v5::Packet as V5Packet;

type V4Events = mpsc::UnboundedReceiver<Result<Event, ConnectionError>>;
type V5Events = mpsc::UnboundedReceiver<Result<v5::Event, v5::ConnectionError>>;

/// A client whose events, and last error, arrive on a channel.
fn v4(address: SocketAddr, user: &str, secret: &str) -> (AsyncClient, V4Events) {
    let mut options = rumqttc::MqttOptions::new("v4", address.ip().to_string(), address.port());
    options.set_credentials(user, secret);
    let (client, mut protocol) = AsyncClient::new(options, 64);
    let (events, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let event = protocol.poll().await;
            let last = event.is_err();
            if events.send(event).is_err() || last {
                return;
            }
        }
    });
    (client, received)
}

fn v5(address: SocketAddr, user: &str, secret: &str) -> (v5::AsyncClient, V5Events) {
    let mut options = v5::MqttOptions::new("v5", address.ip().to_string(), address.port());
    options.set_credentials(user, secret);
    let (client, mut protocol) = v5::AsyncClient::new(options, 64);
    let (events, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let event = protocol.poll().await;
            let last = event.is_err();
            if events.send(event).is_err() || last {
                return;
            }
        }
    });
    (client, received)
}

fn v4_packet(event: Result<Event, ConnectionError>) -> Option<Packet> {
    match event.expect("connected") {
        Event::Incoming(packet) => Some(packet),
        Event::Outgoing(_) => None,
    }
}

fn v5_packet(event: Result<v5::Event, v5::ConnectionError>) -> Option<V5Packet> {
    match event.expect("connected") {
        v5::Event::Incoming(packet) => Some(packet),
        v5::Event::Outgoing(_) => None,
    }
}

async fn v4_acked(events: &mut V4Events) {
    next(events, |event| matches!(v4_packet(event)?, Packet::PubAck(_)).then_some(())).await;
}

async fn v5_acked(events: &mut V5Events) -> v5::mqttbytes::v5::PubAckReason {
    next(events, |event| match v5_packet(event)? {
        V5Packet::PubAck(ack) => Some(ack.reason),
        _ => None,
    })
    .await
}

async fn v4_published(events: &mut V4Events) -> (String, Value) {
    next(events, |event| match v4_packet(event)? {
        Packet::Publish(p) => Some((p.topic, serde_json::from_slice(&p.payload).expect("JSON"))),
        _ => None,
    })
    .await
}

async fn v5_published(events: &mut V5Events) -> (String, Value) {
    next(events, |event| match v5_packet(event)? {
        V5Packet::Publish(p) => {
            let topic = String::from_utf8(p.topic.to_vec()).expect("a topic");
            Some((topic, serde_json::from_slice(&p.payload).expect("JSON")))
        }
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_on_disk() {
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions::default()).await;
    let at = now();
    let (client, mut events) = v4(address, "bess-0", park.secret("bess-0"));
    let payload = data("bess-0", at, json!({ "power": -12.5, "soc": 150.0 }));
    client.publish("device/bess-0/data", QoS::AtLeastOnce, false, payload).await.unwrap();
    v4_acked(&mut events).await;
    // What another process would find after the power went.
    let copy = tempfile::tempdir().unwrap();
    copy_folder(park.folder.path(), copy.path());
    let found = open_history(copy.path()).await;
    let power = readings(&found, "bess-0", "power").await;
    assert_eq!((power[0].value, power[0].timestamp), (-12.5, at));
    let soc = readings(&found, "bess-0", "soc").await;
    assert_eq!(soc[0].quality, Quality::OutOfRange, "kept and flagged");

    let (client, mut events) = v5(address, "bess-1", park.secret("bess-1"));
    let payload = data("bess-1", at, json!({ "power": 7.0 }));
    client.publish("device/bess-1/data", v5::mqttbytes::QoS::AtLeastOnce, false, payload).await.unwrap();
    assert_eq!(v5_acked(&mut events).await, v5::mqttbytes::v5::PubAckReason::Success);
    assert_eq!(park.readings("bess-1", "power").await[0].value, 7.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_publishes_in_flight_are_all_stored_and_acknowledged_in_order() {
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions::default()).await;
    let (client, mut events) = v4(address, "bess-0", park.secret("bess-0"));
    let start = now().0 - 10_000;
    let sender = tokio::spawn(async move {
        for n in 0..1000 {
            let payload = data("bess-0", Timestamp(start + n), json!({ "power": n }));
            client.publish("device/bess-0/data", QoS::AtLeastOnce, false, payload).await.unwrap();
        }
        client
    });
    let (mut sent, mut acked) = (Vec::new(), Vec::new());
    while acked.len() < 1000 {
        next(&mut events, |event| {
            match event.expect("connected") {
                Event::Outgoing(rumqttc::Outgoing::Publish(id)) => sent.push(id),
                Event::Incoming(Packet::PubAck(ack)) => acked.push(ack.pkid),
                _ => {}
            }
            Some(())
        })
        .await;
    }
    assert_eq!(acked, sent[..1000]);
    assert_eq!(park.readings("bess-0", "power").await.len(), 1000);
    drop(sender.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_refused() {
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions::default()).await;
    let guess = park.secret("bess-1").to_owned();
    for (user, secret) in [("bess-0", guess.as_str()), ("bess-0", ""), ("nobody", &guess), ("a/b", &guess)] {
        let (_client, mut events) = v4(address, user, secret);
        let error = next(&mut events, |event| event.err()).await;
        assert!(
            matches!(error, ConnectionError::ConnectionRefused(ConnectReturnCode::BadUserNamePassword)),
            "{user}: {error}"
        );
        let (_client, mut events) = v5(address, user, secret);
        let error = next(&mut events, |event| event.err()).await;
        assert!(error.to_string().contains("BadUserNamePassword"), "{user}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_speaks_and_hears_only_for_itself() {
    use v5::mqttbytes::{
        QoS as Q,
        v5::{PubAckReason, SubscribeReasonCode as Code},
    };
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions::default()).await;
    let stolen = data("bess-1", now(), json!({ "power": 1.0 }));

    let (client, mut events) = v5(address, "bess-0", park.secret("bess-0"));
    client.publish("device/bess-1/data", Q::AtLeastOnce, false, stolen.clone()).await.unwrap();
    assert_eq!(v5_acked(&mut events).await, PubAckReason::NotAuthorized);
    client.publish("device/bess-0/data", Q::AtLeastOnce, false, stolen.clone()).await.unwrap();
    assert_eq!(v5_acked(&mut events).await, PubAckReason::NotAuthorized);
    client.publish("weather", Q::AtLeastOnce, false, "{}").await.unwrap();
    assert_eq!(v5_acked(&mut events).await, PubAckReason::TopicNameInvalid);
    client.subscribe("device/+/control", Q::AtLeastOnce).await.unwrap();
    let codes = next(&mut events, |event| match v5_packet(event)? {
        V5Packet::SubAck(ack) => Some(ack.return_codes),
        _ => None,
    })
    .await;
    assert_eq!(codes, [Code::NotAuthorized]);

    let (client, mut events) = v4(address, "bess-2", park.secret("bess-2"));
    client.subscribe("device/bess-2/errors", QoS::AtLeastOnce).await.unwrap();
    client.subscribe("device/bess-1/control", QoS::AtLeastOnce).await.unwrap();
    let mut answers = Vec::new();
    while answers.len() < 2 {
        answers.extend(
            next(&mut events, |event| match v4_packet(event)? {
                Packet::SubAck(ack) => Some(ack.return_codes),
                _ => None,
            })
            .await,
        );
    }
    assert_eq!(answers, [SubscribeReasonCode::Success(QoS::AtLeastOnce), SubscribeReasonCode::Failure]);
    let (_, report) = v4_published(&mut events).await;
    assert_eq!(report["topic"], "device/bess-1/control", "what a 3.1.1 SUBACK cannot say");
    assert_eq!(report["errors"][0]["code"], "NOT_YOUR_TOPIC");
    client.publish("device/bess-1/data", QoS::AtLeastOnce, false, stolen).await.unwrap();
    let (topic, report) = v4_published(&mut events).await;
    assert_eq!((topic.as_str(), &report["topic"]), ("device/bess-2/errors", &json!("device/bess-1/data")));
    assert_eq!(report["errors"][0]["code"], "NOT_YOUR_DEVICE");
    assert!(park.readings("bess-1", "power").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_has_its_code_and_stops_nothing() {
    use v5::mqttbytes::{QoS as Q, v5::PubAckReason};
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions::default()).await;
    let (client, mut events) = v5(address, "bess-0", park.secret("bess-0"));
    client.subscribe("device/bess-0/errors", Q::AtLeastOnce).await.unwrap();
    let at = now();
    let far = Timestamp(at.0 + 3_600_000);
    for (payload, code, field) in [
        ("{".to_owned(), "MALFORMED_JSON", "line 1 column 1"),
        ("7".to_owned(), "WRONG_TYPE", ""),
        (r#"{"timestamp":1,"data":{"power":1}}"#.to_owned(), "MISSING_FIELD", "deviceId"),
        (data("bess-0", at, json!({})), "EMPTY_DATA", "data"),
        (data("bess-0", at, json!({ "power": "NaN" })), "NOT_FINITE", "data.power"),
        (data("bess-0", at, json!({ "power": null })), "WRONG_TYPE", "data.power"),
        (data("bess-0", at, json!({ "colour": 1 })), "UNKNOWN_MEASUREMENT", "data.colour"),
        (data("bess-0", Timestamp(1000), json!({ "power": 1 })), "TIMESTAMP_TOO_OLD", "timestamp"),
        (data("bess-0", far, json!({ "power": 1 })), "TIMESTAMP_TOO_FAR_AHEAD", "timestamp"),
    ] {
        client.publish("device/bess-0/data", Q::AtLeastOnce, false, payload.clone()).await.unwrap();
        let (topic, report) = v5_published(&mut events).await;
        assert_eq!(topic, "device/bess-0/errors");
        assert_eq!(report["errors"][0]["code"], code, "{payload}: {report}");
        assert_eq!(report["errors"][0]["field"], field, "{payload}: {report}");
        assert_eq!(v5_acked(&mut events).await, PubAckReason::PayloadFormatInvalid, "{payload}");
    }
    // One bad item in a batch spoils no other.
    let good = data("bess-0", at, json!({ "power": 3.0 }));
    let batch = format!("[{good},{{}}]");
    client.publish("device/bess-0/data", Q::AtLeastOnce, false, batch).await.unwrap();
    let (_, report) = v5_published(&mut events).await;
    assert_eq!(report["errors"][0]["field"], "[1].deviceId");
    assert_eq!(v5_acked(&mut events).await, PubAckReason::Success);
    assert_eq!(park.readings("bess-0", "power").await[0].value, 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_announces_events() {
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions::default()).await;
    let (client, mut events) = v4(address, "bess-0", park.secret("bess-0"));
    let event = json!({
        "deviceId": "bess-0", "timestamp": now().0, "id": "e1", "type": "overheat", "severity": "major",
        "description": "cell 7",
    });
    client.publish("device/bess-0/event", QoS::AtLeastOnce, false, event.to_string()).await.unwrap();
    v4_acked(&mut events).await;
    assert_eq!(park.twin.open_alarms().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_reaches_its_device_and_its_answer_comes_back() {
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions::default()).await;
    // Asked for before the device is there, and delivered when it subscribes.
    park.submit("bess-0", "c1", 25.0).await;
    let (client, mut events) = v4(address, "bess-0", park.secret("bess-0"));
    client.subscribe("device/bess-0/control", QoS::AtLeastOnce).await.unwrap();
    let (topic, command) = v4_published(&mut events).await;
    assert_eq!(topic, "device/bess-0/control");
    assert_eq!((&command["commandId"], &command["parameters"]), (&json!("c1"), &json!({ "power": 25.0 })));
    eventually("the command is sent", async || park.command_status("c1").await == CommandStatus::Sent).await;
    let ack = json!({ "deviceId": "bess-0", "commandId": "c1", "status": "done" }).to_string();
    client.publish("device/bess-0/control/ack", QoS::AtLeastOnce, false, ack).await.unwrap();
    v4_acked(&mut events).await;
    assert_eq!(park.command_status("c1").await, CommandStatus::Acknowledged);

    use v5::mqttbytes::QoS as Q;
    let (client, mut events) = v5(address, "bess-1", park.secret("bess-1"));
    client.subscribe("device/bess-1/#", Q::AtLeastOnce).await.unwrap();
    park.submit("bess-1", "c2", 1.0).await;
    let (_, command) = v5_published(&mut events).await;
    assert_eq!(command["commandId"], "c2");
    let refusal =
        json!({ "deviceId": "bess-1", "commandId": "c2", "status": "rejected", "reason": "too hot" });
    client.publish("device/bess-1/control/ack", Q::AtLeastOnce, false, refusal.to_string()).await.unwrap();
    v5_acked(&mut events).await;
    assert_eq!(park.command_status("c2").await, CommandStatus::Rejected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_of_a_device_takes_over() {
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions::default()).await;
    let (old, mut old_events) = v5(address, "bess-0", park.secret("bess-0"));
    next(&mut old_events, |event| matches!(v5_packet(event)?, V5Packet::ConnAck(_)).then_some(())).await;
    let (new, mut new_events) = v4(address, "bess-0", park.secret("bess-0"));
    let error = next(&mut old_events, |event| event.err()).await;
    assert!(error.to_string().contains("SessionTakenOver"), "{error}");
    new.subscribe("device/bess-0/control", QoS::AtLeastOnce).await.unwrap();
    park.submit("bess-0", "c1", 1.0).await;
    assert_eq!(v4_published(&mut new_events).await.1["commandId"], "c1");
    drop(old);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reconnect_storm_leaves_nothing_behind() {
    let park = Park::open().await;
    let (address, served) = park.serve(MqttOptions::default()).await;
    let connect = raw_connect("bess-0", park.secret("bess-0"));
    let mut clients = JoinSet::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&connect).await.unwrap();
        clients.spawn(async move { stream.read_to_end(&mut Vec::new()).await });
    }
    // Whichever came last holds the device; the server closes all others.
    let closed = async {
        for _ in 0..299 {
            clients.join_next().await;
        }
    };
    tokio::time::timeout(support::PATIENCE, closed).await.expect("closed by the server");
    assert!(clients.try_join_next().is_none(), "one stays");
    park.shutdown.cancel();
    tokio::time::timeout(support::PATIENCE, served).await.expect("every task ended").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_publishes_and_leaves_is_not_forgotten() {
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions::default()).await;
    let mut bytes = raw_connect("bess-0", park.secret("bess-0"));
    let topic = "device/bess-0/data";
    let payload = data("bess-0", now(), json!({ "power": 5.0 }));
    let body = [&(topic.len() as u16).to_be_bytes()[..], topic.as_bytes(), payload.as_bytes()].concat();
    bytes.extend([0x30, body.len() as u8]);
    assert!(body.len() < 128);
    bytes.extend(body);
    bytes.extend([0xE0, 0]);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    drop(stream);
    eventually("the reading is stored", async || !park.readings("bess-0", "power").await.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_and_senseless_sockets_are_closed_and_slow_nobody() {
    let park = Park::open().await;
    let options = MqttOptions { connect_within: Duration::from_millis(200), ..MqttOptions::default() };
    let (address, _served) = park.serve(options).await;
    let mut silent = Vec::new();
    for first in [&b""[..], b"\x10", b"\x10\x7F\x00\x04MQ"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(first).await.unwrap();
        silent.push(stream);
    }
    for senseless in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xFF; 4096], &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3]]
    {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(senseless).await.unwrap();
        silent.push(stream);
    }
    let (client, mut events) = v4(address, "bess-0", park.secret("bess-0"));
    let payload = data("bess-0", now(), json!({ "power": 1.0 }));
    client.publish("device/bess-0/data", QoS::AtLeastOnce, false, payload).await.unwrap();
    v4_acked(&mut events).await;
    for mut stream in silent {
        let mut said = Vec::new();
        let ended = tokio::time::timeout(support::PATIENCE, stream.read_to_end(&mut said)).await;
        ended.expect("closed by the server").ok();
        assert!(said.is_empty(), "{said:x?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packet_beyond_the_limit_is_refused_with_its_reason() {
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions::default()).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut bytes = raw_connect_v5("bess-0", park.secret("bess-0"));
    bytes.extend([0x32, 0x80, 0x80, 0x80, 0x05]); // 10 MiB announced
    stream.write_all(&bytes).await.unwrap();
    // A client in the middle of its 10 MiB still hears why.
    let chunk = vec![b' '; 64 * 1024];
    let mut said = Vec::new();
    let (mut reader, mut writer) = stream.into_split();
    let sending = async move { while writer.write_all(&chunk).await.is_ok() {} };
    let reading = async {
        let _ = reader.read_to_end(&mut said).await;
    };
    tokio::time::timeout(support::PATIENCE, async { tokio::join!(sending, reading) }).await.expect("closed");
    assert!(said.ends_with(&[0xE0, 2, 0x95, 0]), "{said:x?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_beyond_the_limit_are_told_so() {
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions { max_connections: 2, ..MqttOptions::default() }).await;
    let (_a, mut a) = v4(address, "bess-0", park.secret("bess-0"));
    let (_b, mut b) = v4(address, "bess-1", park.secret("bess-1"));
    for events in [&mut a, &mut b] {
        next(events, |event| matches!(v4_packet(event)?, Packet::ConnAck(_)).then_some(())).await;
    }
    let (_c, mut c) = v4(address, "bess-2", park.secret("bess-2"));
    let error = next(&mut c, |event| event.err()).await;
    assert!(
        matches!(error, ConnectionError::ConnectionRefused(ConnectReturnCode::ServiceUnavailable)),
        "{error}"
    );
    let (_d, mut d) = v5(address, "bess-2", park.secret("bess-2"));
    let error = next(&mut d, |event| event.err()).await;
    assert!(error.to_string().contains("QuotaExceeded"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn more_silent_sockets_than_places_keep_no_device_out() {
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions { max_connections: 4, ..MqttOptions::default() }).await;
    let mut silent = Vec::new();
    for round in 0..4 {
        for first in [&b""[..], b"\x10", b"\x10\x7F\x00\x04MQ"].repeat(4) {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // One crowded out already may not take it.
            let _ = stream.write_all(first).await;
            silent.push(stream);
        }
        let id = format!("bess-{round}");
        let (client, mut events) = v4(address, &id, park.secret(&id));
        let payload = data(&id, now(), json!({ "power": 1.0 }));
        client.publish(format!("device/{id}/data"), QoS::AtLeastOnce, false, payload).await.unwrap();
        v4_acked(&mut events).await;
        client.disconnect().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_secret_ends_the_session_it_opened() {
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions::default()).await;
    let (_client, mut events) = v5(address, "bess-0", park.secret("bess-0"));
    next(&mut events, |event| matches!(v5_packet(event)?, V5Packet::ConnAck(_)).then_some(())).await;
    let new = park.twin.replace_secret(&"bess-0".parse().unwrap()).await.unwrap().to_string();
    let error = next(&mut events, |event| event.err()).await;
    assert!(error.to_string().contains("AdministrativeAction"), "{error}");
    let (_client, mut events) = v4(address, "bess-0", park.secret("bess-0"));
    let refused = next(&mut events, |event| event.err()).await;
    assert!(refused.to_string().contains("BadUserNamePassword"), "{refused}");
    let (_client, mut events) = v4(address, "bess-0", &new);
    next(&mut events, |event| matches!(v4_packet(event)?, Packet::ConnAck(_)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_tells_the_clients_and_ends() {
    let park = Park::open().await;
    let (address, served) = park.serve(MqttOptions::default()).await;
    let (_client, mut events) = v5(address, "bess-0", park.secret("bess-0"));
    next(&mut events, |event| matches!(v5_packet(event)?, V5Packet::ConnAck(_)).then_some(())).await;
    park.shutdown.cancel();
    let error = next(&mut events, |event| event.err()).await;
    assert!(error.to_string().contains("ServerShuttingDown"), "{error}");
    tokio::time::timeout(support::PATIENCE, served).await.expect("in time").unwrap();
}

fn raw_connect(user: &str, secret: &str) -> Vec<u8> {
    raw(b"\0\x04MQTT\x04\xC2\0\x3C\0\x01c", user, secret)
}

fn raw_connect_v5(user: &str, secret: &str) -> Vec<u8> {
    raw(b"\0\x04MQTT\x05\xC2\0\x3C\0\0\x01c", user, secret)
}

fn raw(head: &[u8], user: &str, secret: &str) -> Vec<u8> {
    let mut body = head.to_vec();
    for text in [user, secret] {
        body.extend((text.len() as u16).to_be_bytes());
        body.extend(text.as_bytes());
    }
    assert!(body.len() < 128);
    [&[0x10, body.len() as u8], &body[..]].concat()
}
