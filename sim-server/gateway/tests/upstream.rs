//! Devices behind a real Mosquitto.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod support;

use gateway::{UpstreamOptions, run_upstream};
use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
use serde_json::{Value, json};
use shared::{command::CommandStatus, time::Timestamp};
use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};
use support::{Park, data, eventually, next, now};
use tokio::{net::TcpStream, sync::mpsc, task::JoinHandle};

/// A broker of our own, ended with the test.
struct Broker {
    process: Child,
    port: u16,
}

impl Broker {
    async fn start(folder: &Path, port: u16) -> Self {
        let config = folder.join("mosquitto.conf");
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
             autosave_interval 1\nautosave_on_changes true\nlog_dest none\nuser root\n",
            folder.display()
        );
        std::fs::write(&config, text).expect("a configuration");
        let process = Command::new("mosquitto")
            .arg("-c")
            .arg(&config)
            .env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto (Debian package mosquitto) is needed for this test");
        eventually("the broker listens", async || TcpStream::connect(("127.0.0.1", port)).await.is_ok())
            .await;
        Self { process, port }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn upstream(park: &Park, port: u16) -> JoinHandle<()> {
    let options = UpstreamOptions { first_pause: Duration::from_millis(50), ..UpstreamOptions::default() };
    let (twin, shutdown) = (park.twin.clone(), park.shutdown.clone());
    tokio::spawn(async move {
        run_upstream(&format!("mqtt://127.0.0.1:{port}"), twin, options, shutdown).await.expect("a URL");
    })
}

/// Keeps connecting, as devices do; its incoming packets arrive on a channel.
fn device(port: u16, id: &str) -> (AsyncClient, mpsc::UnboundedReceiver<Packet>) {
    let (client, mut protocol) = AsyncClient::new(MqttOptions::new(id, "127.0.0.1", port), 4096);
    let (packets, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            match protocol.poll().await {
                Ok(Event::Incoming(packet)) => {
                    if packets.send(packet).is_err() {
                        return;
                    }
                }
                Ok(Event::Outgoing(_)) => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    (client, received)
}

async fn published(packets: &mut mpsc::UnboundedReceiver<Packet>) -> (String, Value) {
    next(packets, |packet| match packet {
        Packet::Publish(p) => Some((p.topic, serde_json::from_slice(&p.payload).expect("JSON"))),
        _ => None,
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry_commands_and_answers_pass_through_a_broker() {
    let park = Park::open().await;
    let broker = Broker::start(park.folder.path(), free_port()).await;
    let running = upstream(&park, broker.port);
    let (client, mut packets) = device(broker.port, "bess-0");
    client
        .subscribe_many(
            ["control", "errors"].map(|topic| {
                rumqttc::SubscribeFilter::new(format!("device/bess-0/{topic}"), QoS::AtLeastOnce)
            }),
        )
        .await
        .unwrap();
    // Until the server has subscribed, the broker drops what nobody listens to: a meter reports again.
    let start = now().0 - 100_000;
    let mut n = 0;
    eventually("telemetry arrives", async || {
        n += 1;
        let payload = data("bess-0", Timestamp(start + n), json!({ "power": 4.0 }));
        client.publish("device/bess-0/data", QoS::AtLeastOnce, false, payload).await.unwrap();
        !park.readings("bess-0", "power").await.is_empty()
    })
    .await;

    park.submit("bess-0", "c1", 9.0).await;
    let (topic, command) = published(&mut packets).await;
    assert_eq!((topic.as_str(), &command["commandId"]), ("device/bess-0/control", &json!("c1")));
    eventually("the command is sent", async || park.command_status("c1").await == CommandStatus::Sent).await;
    let ack = json!({ "deviceId": "bess-0", "commandId": "c1", "status": "done" }).to_string();
    client.publish("device/bess-0/control/ack", QoS::AtLeastOnce, false, ack).await.unwrap();
    eventually("the answer arrives", async || park.command_status("c1").await == CommandStatus::Acknowledged)
        .await;

    // The topic says who speaks; the payload may not say otherwise.
    let lie = data("bess-1", now(), json!({ "power": 1.0 }));
    client.publish("device/bess-0/data", QoS::AtLeastOnce, false, lie).await.unwrap();
    let (topic, report) = published(&mut packets).await;
    assert_eq!(topic, "device/bess-0/errors");
    assert_eq!(report["errors"][0]["code"], "NOT_YOUR_DEVICE");
    assert!(park.readings("bess-1", "power").await.is_empty());

    park.shutdown.cancel();
    tokio::time::timeout(support::PATIENCE, running).await.expect("in time").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_while_the_server_or_the_broker_is_away_is_not_lost() {
    let park = Park::open().await;
    let port = free_port();
    let broker = Broker::start(park.folder.path(), port).await;
    let running = upstream(&park, port);
    let (client, _packets) = device(port, "bess-0");
    let start = now().0 - 100_000;
    let publish = async |n: i64| {
        let payload = data("bess-0", Timestamp(start + n), json!({ "power": n }));
        client.publish("device/bess-0/data", QoS::AtLeastOnce, false, payload).await.unwrap();
    };
    let stored = async || park.readings("bess-0", "power").await.len();
    let mut n = 0;
    eventually("the server has subscribed", async || {
        publish(n).await;
        n += 1;
        stored().await > 0
    })
    .await;
    let seen = park.readings("bess-0", "power").await[0].timestamp.0 - start;

    // The server goes; the broker keeps what comes for it.
    park.shutdown.cancel();
    tokio::time::timeout(support::PATIENCE, running).await.expect("in time").unwrap();
    for _ in 0..50 {
        publish(n).await;
        n += 1;
    }
    let park = Park { shutdown: Default::default(), ..park };
    let running = upstream(&park, port);
    let all = (n - seen) as usize;
    eventually("what came meanwhile is stored", async || park.readings("bess-0", "power").await.len() >= all)
        .await;

    // The broker goes and comes back; the device and the server find it again by themselves.
    drop(broker);
    publish(n).await;
    let _broker = Broker::start(park.folder.path(), port).await;
    eventually("telemetry flows again", async || {
        let found = park.readings("bess-0", "power").await;
        if found.last().is_some_and(|r| r.timestamp.0 >= start + n) {
            return true;
        }
        publish(n).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        false
    })
    .await;
    park.shutdown.cancel();
    tokio::time::timeout(support::PATIENCE, running).await.expect("in time").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_never_spoke_is_commanded_through_the_broker_and_not_taken_for_heard() {
    let park = Park::open().await;
    let broker = Broker::start(park.folder.path(), free_port()).await;
    // As after a restart: the command is open, and nothing is known of who is behind the broker.
    park.submit("bess-0", "c1", 9.0).await;
    let (client, mut packets) = device(broker.port, "bess-0");
    client.subscribe("device/bess-0/control", QoS::AtLeastOnce).await.unwrap();
    next(&mut packets, |packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
    let running = upstream(&park, broker.port);
    let (topic, command) = published(&mut packets).await;
    assert_eq!((topic.as_str(), &command["commandId"]), ("device/bess-0/control", &json!("c1")));
    // The broker took it; whether anybody listens is not known.
    assert_eq!(park.command_status("c1").await, CommandStatus::Queued);
    for entry in park.twin.registry().all() {
        assert!(!entry.is_online() && entry.last_seen().is_none(), "{} was not heard", entry.id());
    }
    let ack = json!({ "deviceId": "bess-0", "commandId": "c1", "status": "done" }).to_string();
    client.publish("device/bess-0/control/ack", QoS::AtLeastOnce, false, ack).await.unwrap();
    eventually("the answer arrives", async || park.command_status("c1").await == CommandStatus::Acknowledged)
        .await;
    assert!(park.twin.registry().get("bess-0").unwrap().is_online(), "now it was heard");
    park.shutdown.cancel();
    tokio::time::timeout(support::PATIENCE, running).await.expect("in time").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_its_own_comes_before_the_broker_and_the_broker_stands_in_after_it() {
    let park = Park::open().await;
    let broker = Broker::start(park.folder.path(), free_port()).await;
    let (client, mut packets) = device(broker.port, "bess-0");
    client.subscribe("device/bess-0/control", QoS::AtLeastOnce).await.unwrap();
    next(&mut packets, |packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
    let running = upstream(&park, broker.port);
    park.submit("bess-0", "c1", 1.0).await;
    assert_eq!(published(&mut packets).await.1["commandId"], "c1");

    let id = "bess-0".parse().unwrap();
    let mut own = park.twin.connect(&id, now());
    assert!(park.twin.stand_in(&id, now()).is_none());
    park.submit("bess-0", "c2", 2.0).await;
    loop {
        let delivery = tokio::time::timeout(support::PATIENCE, own.deliveries.recv()).await;
        if delivery.expect("in time").expect("its own line").command_id.as_str() == "c2" {
            break;
        }
    }
    drop(own);
    // Offered again to whoever stands in.
    while published(&mut packets).await.1["commandId"] != "c2" {}
    park.shutdown.cancel();
    tokio::time::timeout(support::PATIENCE, running).await.expect("in time").unwrap();
}
