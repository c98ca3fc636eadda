//! Sessions that outlive their connections, with a real twin behind them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod support;

use gateway::MqttOptions;
use rumqttc::v5::{
    AsyncClient, Event,
    mqttbytes::{QoS, v5::ConnAck, v5::ConnectProperties, v5::LastWill, v5::Packet},
};
use serde_json::{Value, json};
use shared::command::CommandStatus;
use std::net::SocketAddr;
use support::{Park, eventually, next};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

type Events = mpsc::UnboundedReceiver<Packet>;

/// A client that asks for its session to be kept; what it hears arrives on a channel until its connection ends.
fn lasting(address: SocketAddr, device: &str, secret: &str, manual: bool) -> (AsyncClient, Events) {
    let mut options = rumqttc::v5::MqttOptions::new("kept", address.ip().to_string(), address.port());
    options.set_credentials(device, secret).set_clean_start(false).set_manual_acks(manual);
    let properties = ConnectProperties { session_expiry_interval: Some(600), ..ConnectProperties::new() };
    options.set_connect_properties(properties);
    let (client, mut protocol) = AsyncClient::new(options, 64);
    let (events, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok(event) = protocol.poll().await {
            if let Event::Incoming(packet) = event
                && events.send(packet).is_err()
            {
                return;
            }
        }
    });
    (client, received)
}

async fn connack(events: &mut Events) -> ConnAck {
    next(events, |packet| if let Packet::ConnAck(connack) = packet { Some(connack) } else { None }).await
}

async fn message(events: &mut Events) -> (bool, u16, Value) {
    next(events, |packet| match packet {
        Packet::Publish(p) => Some((p.dup, p.pkid, serde_json::from_slice(&p.payload).expect("JSON"))),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_takes_over_resumes_where_the_other_was() {
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions::default()).await;
    let secret = park.secret("bess-0");
    let (client, mut events) = lasting(address, "bess-0", secret, true);
    assert!(!connack(&mut events).await.session_present);
    client.subscribe("device/bess-0/control", QoS::AtLeastOnce).await.unwrap();
    park.submit("bess-0", "c1", 25.0).await;
    let (dup, id, first) = message(&mut events).await;
    assert!(!dup);
    // Unacknowledged there, it comes again here, under its number and marked as what it is.
    let (second, mut second_events) = lasting(address, "bess-0", secret, false);
    assert!(connack(&mut second_events).await.session_present);
    assert_eq!(message(&mut second_events).await, (true, id, first));
    eventually("the command is sent", async || park.command_status("c1").await == CommandStatus::Sent).await;
    drop((client, second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_survives_the_endpoint() {
    let park = Park::open().await;
    let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stop = CancellationToken::new();
    let (address, served) = park.serve_on(listen().await, MqttOptions::default(), stop.clone()).await;
    let secret = park.secret("bess-0");
    let (client, mut events) = lasting(address, "bess-0", secret, false);
    assert!(!connack(&mut events).await.session_present);
    client.subscribe("device/bess-0/control", QoS::AtLeastOnce).await.unwrap();
    next(&mut events, |packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
    stop.cancel();
    served.await.unwrap();
    drop(client);
    park.submit("bess-0", "c1", 25.0).await;

    let (address, _served) = park.serve(MqttOptions::default()).await;
    let (client, mut events) = lasting(address, "bess-0", secret, false);
    assert!(connack(&mut events).await.session_present);
    assert_eq!(message(&mut events).await.2["commandId"], "c1");
    // Another client id is another session.
    drop(client);
    let kept = park.records.mqtt_sessions().await.unwrap();
    assert_eq!((kept.len(), kept[0].client_id.as_str()), (1, "kept"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_will_outlives_a_server_that_dies() {
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions::default()).await;
    let mut options = rumqttc::v5::MqttOptions::new("kept", address.ip().to_string(), address.port());
    options.set_credentials("bess-0", park.secret("bess-0"));
    let properties = ConnectProperties { session_expiry_interval: Some(2), ..ConnectProperties::new() };
    options.set_connect_properties(properties);
    let event = json!({
        "deviceId": "bess-0", "timestamp": support::now().0, "id": "gone", "type": "overheat",
        "severity": "warning", "description": "lost",
    });
    let will = LastWill::new("device/bess-0/event", event.to_string(), QoS::AtLeastOnce, false, None);
    options.set_last_will(will);
    let (_client, mut protocol) = AsyncClient::new(options, 8);
    assert!(matches!(protocol.poll().await.unwrap(), Event::Incoming(Packet::ConnAck(_))));
    // Another endpoint finds what the first would have left had it died now.
    let _served = park.serve(MqttOptions::default()).await;
    let device = "bess-0".parse().unwrap();
    eventually("the will arrives", async || !park.records.events(&device, 1).await.unwrap().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_cannot_have_its_session_written_is_told() {
    let park = Park::open().await;
    let (address, _served) = park.serve(MqttOptions::default()).await;
    let mut options = rumqttc::v5::MqttOptions::new("passing", address.ip().to_string(), address.port());
    options.set_credentials("bess-0", park.secret("bess-0"));
    // The endpoint has read its sessions once it answers.
    let (_first, mut protocol) = AsyncClient::new(options.clone(), 8);
    assert!(matches!(protocol.poll().await.unwrap(), Event::Incoming(Packet::ConnAck(_))));
    park.records.close().await;
    let (_client, mut events) = lasting(address, "bess-0", park.secret("bess-0"), false);
    assert!(events.recv().await.is_none(), "no CONNACK that promises a session");
    // Without one it is served as ever.
    let (client, mut protocol) = AsyncClient::new(options, 8);
    let payload = support::data("bess-0", support::now(), json!({ "power": 4.0 }));
    client.publish("device/bess-0/data", QoS::AtLeastOnce, false, payload).await.unwrap();
    loop {
        if let Event::Incoming(Packet::PubAck(_)) = protocol.poll().await.unwrap() {
            break;
        }
    }
    assert_eq!(park.readings("bess-0", "power").await[0].value, 4.0);
}
