//! One device's MQTT connection: reports out, commands in, acknowledgements back.
//!
//! A message stays in the link until the server has acknowledged it; after a broken connection everything unacknowledged is sent again,
//! in order. At most [`WINDOW`] messages are in flight. Reports that wait are sent together as one array.

use crate::{payload, status::Status};
use rumqttc::{AsyncClient, Event, MqttOptions, Outgoing, Packet, QoS, SubscribeFilter};
use shared::{
    command::{AckStatus, CommandAck, CommandDelivery},
    id::DeviceId,
    telemetry::{DataMessage, DeviceEvent},
};
use std::{
    collections::VecDeque,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// Messages in flight on one connection.
const WINDOW: usize = 16;
/// Reports sent together at most: a day of quarter hours.
const MOST_IN_ONE: usize = 96;
/// Messages a device keeps while it is cut off: a quarter of an hour at one a second.
pub(crate) const OUTBOX: usize = 900;
/// Bytes of one packet: a day of reports of the largest model stays far below.
const PACKET_BYTES: usize = 1 << 20;
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a stopping link waits for its last acknowledgements.
const FAREWELL: Duration = Duration::from_secs(3);

/// What a device has to say.
#[derive(Debug, Clone)]
pub(crate) enum Saying {
    Data(DataMessage),
    Event(DeviceEvent),
}

pub(crate) struct LinkOptions {
    pub(crate) device: DeviceId,
    pub(crate) secret: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Spreads retries of a fleet that lost its server at one moment, 0 to 1.
    pub(crate) jitter: f64,
}

/// A publication the server has not acknowledged.
struct Unacknowledged {
    topic: String,
    payload: Vec<u8>,
    /// Given when it was written to this connection.
    packet_id: Option<u16>,
    /// Messages in it that count as outstanding.
    messages: i64,
}

pub(crate) struct Link<F> {
    options: LinkOptions,
    outbox: mpsc::Receiver<Saying>,
    unacknowledged: VecDeque<Unacknowledged>,
    obey: F,
    status: Arc<Status>,
    stop: CancellationToken,
    /// Changes when all connections are to drop at once.
    storm: watch::Receiver<u64>,
    connections: u64,
}

enum Ended {
    Stopped,
    Broken,
}

impl<F: Fn(CommandDelivery) -> CommandAck> Link<F> {
    pub(crate) fn new(
        options: LinkOptions,
        outbox: mpsc::Receiver<Saying>,
        obey: F,
        status: Arc<Status>,
        stop: CancellationToken,
        storm: watch::Receiver<u64>,
    ) -> Self {
        Self { options, outbox, unacknowledged: VecDeque::new(), obey, status, stop, storm, connections: 0 }
    }

    /// Connects, and again after every break, until told to stop.
    pub(crate) async fn run(mut self) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let before = self.connections;
            match self.connection().await {
                Ended::Stopped => return,
                Ended::Broken if self.connections > before => pause = SHORTEST_PAUSE,
                Ended::Broken => pause = (pause * 2).min(LONGEST_PAUSE),
            }
            let pause = pause.mul_f64(0.5 + self.options.jitter);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.stop.cancelled() => return,
            }
        }
    }

    /// One connection from its first packet to its end.
    async fn connection(&mut self) -> Ended {
        let mut mqtt = MqttOptions::new(self.options.device.as_str(), &self.options.host, self.options.port);
        mqtt.set_credentials(self.options.device.as_str(), &self.options.secret);
        mqtt.set_keep_alive(KEEP_ALIVE);
        mqtt.set_max_packet_size(PACKET_BYTES, PACKET_BYTES);
        for publication in &mut self.unacknowledged {
            publication.packet_id = None;
        }
        // Room for everything in flight, acknowledgements of commands and the subscription.
        let (client, mut mqtt_loop) = AsyncClient::new(mqtt, 16 * WINDOW);
        let mut connected = false;
        let mut waiting = Vec::with_capacity(MOST_IN_ONE);
        let ended = loop {
            // The poll must not be abandoned half way, or a packet may be lost: it is held until it is through.
            let event = {
                let mut poll = pin!(mqtt_loop.poll());
                loop {
                    let may_send = connected && self.unacknowledged.len() < WINDOW;
                    tokio::select! {
                        event = &mut poll => break Some(event),
                        count = self.outbox.recv_many(&mut waiting, MOST_IN_ONE), if may_send => {
                            if count == 0 {
                                break None;
                            }
                            say(&self.options.device, &client, &mut self.unacknowledged, &mut waiting);
                        }
                        () = self.stop.cancelled() => break None,
                        Ok(()) = self.storm.changed() => break Some(Err(rumqttc::ConnectionError::RequestsDone)),
                    }
                }
            };
            match event {
                None => break Ended::Stopped,
                Some(Err(error)) => {
                    self.status.note_error(format!("{}: {error}", self.options.device));
                    tracing::debug!(device = %self.options.device, %error, "connection ended");
                    break Ended::Broken;
                }
                Some(Ok(event)) => self.handle(event, &client, &mut connected),
            }
        };
        if connected && matches!(ended, Ended::Stopped) {
            let farewell = self.say_farewell(&client, &mut mqtt_loop, &mut waiting);
            if tokio::time::timeout(FAREWELL, farewell).await.is_err() {
                tracing::debug!(device = %self.options.device, "stopped with messages unacknowledged");
            }
        }
        if connected {
            self.status.connected.fetch_sub(1, Ordering::AcqRel);
        }
        ended
    }

    fn handle(&mut self, event: Event, client: &AsyncClient, connected: &mut bool) {
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                *connected = true;
                self.status.connected.fetch_add(1, Ordering::AcqRel);
                if self.connections > 0 {
                    self.status.reconnects.fetch_add(1, Ordering::Relaxed);
                }
                self.connections += 1;
                let topic = |last: &str| {
                    SubscribeFilter::new(format!("device/{}/{last}", self.options.device), QoS::AtLeastOnce)
                };
                let subscribed = client.try_subscribe_many([topic("control"), topic("errors")]);
                if let Err(error) = subscribed {
                    self.status.note_error(format!("{}: cannot subscribe: {error}", self.options.device));
                }
                for publication in &self.unacknowledged {
                    send(client, publication);
                }
            }
            Event::Outgoing(Outgoing::Publish(packet_id)) => {
                if let Some(first) = self.unacknowledged.iter_mut().find(|p| p.packet_id.is_none()) {
                    first.packet_id = Some(packet_id);
                }
            }
            Event::Incoming(Packet::PubAck(ack)) => {
                if let Some(at) = self.unacknowledged.iter().position(|p| p.packet_id == Some(ack.pkid))
                    && let Some(done) = self.unacknowledged.remove(at)
                {
                    self.status.outstanding.fetch_sub(done.messages, Ordering::AcqRel);
                    self.status.acknowledged.fetch_add(done.messages.unsigned_abs(), Ordering::Relaxed);
                }
            }
            Event::Incoming(Packet::Publish(publish)) => {
                if publish.topic.ends_with("/control") {
                    self.answer(&publish.payload, client);
                } else if publish.topic.ends_with("/errors") {
                    let text: String = String::from_utf8_lossy(&publish.payload).chars().take(300).collect();
                    tracing::debug!(device = %self.options.device, refusal = %text, "refused by the server");
                    self.status.note_refusal(format!("{}: {text}", self.options.device));
                }
            }
            _ => {}
        }
    }

    /// Obeys a command and answers at once, before any waiting report.
    fn answer(&mut self, payload: &[u8], client: &AsyncClient) {
        let delivery: CommandDelivery = match serde_json::from_slice(payload) {
            Ok(delivery) => delivery,
            Err(error) => {
                tracing::warn!(device = %self.options.device, %error, "a command cannot be read");
                return;
            }
        };
        let ack = (self.obey)(delivery);
        let count = match ack.status {
            AckStatus::Done => &self.status.commands_done,
            AckStatus::Rejected => &self.status.commands_rejected,
        };
        count.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(device = %self.options.device, command = %ack.command_id, status = ?ack.status, reason = ?ack.reason, "answered");
        let Ok(payload) = serde_json::to_vec(&ack) else { return };
        let topic = format!("device/{}/control/ack", self.options.device);
        let publication = Unacknowledged { topic, payload, packet_id: None, messages: 0 };
        send(client, &publication);
        self.unacknowledged.push_back(publication);
    }

    /// Sends what still waits, collects the last acknowledgements, says goodbye.
    async fn say_farewell(
        &mut self,
        client: &AsyncClient,
        mqtt_loop: &mut rumqttc::EventLoop,
        waiting: &mut Vec<Saying>,
    ) {
        let mut said_goodbye = false;
        loop {
            while self.unacknowledged.len() < WINDOW {
                while let Ok(saying) = self.outbox.try_recv() {
                    waiting.push(saying);
                    if waiting.len() == MOST_IN_ONE {
                        break;
                    }
                }
                if waiting.is_empty() {
                    break;
                }
                say(&self.options.device, client, &mut self.unacknowledged, waiting);
            }
            if self.unacknowledged.is_empty() && !said_goodbye {
                said_goodbye = true;
                if client.try_disconnect().is_err() {
                    return;
                }
            }
            match mqtt_loop.poll().await {
                Ok(Event::Outgoing(Outgoing::Disconnect)) | Err(_) => return,
                Ok(event) => {
                    let mut connected = true;
                    self.handle(event, client, &mut connected);
                }
            }
        }
    }
}

/// Publishes what waits: neighbouring reports together, events one by one, in order.
fn say(
    device: &DeviceId,
    client: &AsyncClient,
    unacknowledged: &mut VecDeque<Unacknowledged>,
    waiting: &mut Vec<Saying>,
) {
    let mut reports: Vec<DataMessage> = Vec::new();
    let mut publish = |kind: &str, payload: Vec<u8>, messages: usize| {
        let publication = Unacknowledged {
            topic: format!("device/{device}/{kind}"),
            payload,
            packet_id: None,
            messages: messages as i64,
        };
        send(client, &publication);
        unacknowledged.push_back(publication);
    };
    for saying in waiting.drain(..) {
        match saying {
            Saying::Data(report) => reports.push(report),
            Saying::Event(event) => {
                if !reports.is_empty() {
                    publish("data", payload::encode(&reports), reports.len());
                    reports.clear();
                }
                publish("event", serde_json::to_vec(&event).unwrap_or_default(), 1);
            }
        }
    }
    if !reports.is_empty() {
        publish("data", payload::encode(&reports), reports.len());
    }
}

/// Hands a publication to the connection. It has room for all that can be in flight; should it not, the publication stays unacknowledged and
/// goes out with the next connection.
fn send(client: &AsyncClient, publication: &Unacknowledged) {
    if let Err(error) =
        client.try_publish(&publication.topic, QoS::AtLeastOnce, false, publication.payload.clone())
    {
        tracing::warn!(topic = publication.topic, %error, "a message waits for the next connection");
    }
}
