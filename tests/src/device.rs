//! A device speaking MQTT 3.1.1 through rumqttc, which tells what was acknowledged.

use anyhow::{Context, bail};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Outgoing, Packet, QoS};
use serde_json::{Value, json};
use std::{collections::HashMap, time::Duration};

/// A connected device.
pub struct Device {
    pub id: String,
    pub client: AsyncClient,
    pub events: EventLoop,
    /// Payload tags by packet id, until acknowledged.
    in_flight: HashMap<u16, i64>,
    /// Tags published but not yet given a packet id, oldest first.
    waiting: std::collections::VecDeque<i64>,
}

/// What polling a device brought.
#[derive(Debug)]
pub enum Outcome {
    /// The publish with this tag is durable.
    Acknowledged(i64),
    /// A message on a subscribed topic.
    Message {
        topic: String,
        payload: Value,
    },
    Other,
}

impl Device {
    pub fn new(port: u16, id: &str, secret: &str) -> Device {
        let mut options = MqttOptions::new(id, "127.0.0.1", port);
        options.set_credentials(id, secret).set_keep_alive(Duration::from_secs(30)).set_inflight(50);
        let (client, events) = AsyncClient::new(options, 1000);
        Device {
            id: id.to_owned(),
            client,
            events,
            in_flight: HashMap::new(),
            waiting: std::collections::VecDeque::new(),
        }
    }

    /// Polls until the server accepted the connection.
    pub async fn connected(&mut self) -> anyhow::Result<()> {
        loop {
            if let Event::Incoming(Packet::ConnAck(_)) = self.events.poll().await? {
                return Ok(());
            }
        }
    }

    /// Subscribes and waits for the server's answer.
    pub async fn subscribe(&mut self, topic: &str) -> anyhow::Result<rumqttc::SubscribeReasonCode> {
        self.client.subscribe(topic, QoS::AtLeastOnce).await?;
        loop {
            if let Event::Incoming(Packet::SubAck(answer)) = self.events.poll().await? {
                return answer.return_codes.first().copied().context("an empty SUBACK");
            }
        }
    }

    /// Publishes one power reading; `tag` comes back when it is durable.
    pub async fn publish_power(&mut self, timestamp: i64, power_kw: f64, tag: i64) -> anyhow::Result<()> {
        let body = json!({"deviceId": self.id, "timestamp": timestamp, "data": {"power": power_kw}});
        self.waiting.push_back(tag);
        let topic = format!("device/{}/data", self.id);
        Ok(self.client.publish(topic, QoS::AtLeastOnce, false, body.to_string()).await?)
    }

    /// Takes the next event.
    pub async fn poll(&mut self) -> anyhow::Result<Outcome> {
        Ok(match self.events.poll().await? {
            Event::Outgoing(Outgoing::Publish(packet)) => {
                if let Some(tag) = self.waiting.pop_front() {
                    self.in_flight.insert(packet, tag);
                }
                Outcome::Other
            }
            Event::Incoming(Packet::PubAck(ack)) => match self.in_flight.remove(&ack.pkid) {
                Some(tag) => Outcome::Acknowledged(tag),
                None => Outcome::Other,
            },
            Event::Incoming(Packet::Publish(message)) => Outcome::Message {
                topic: message.topic,
                payload: serde_json::from_slice(&message.payload).context("a payload that is not JSON")?,
            },
            Event::Incoming(Packet::Disconnect) => bail!("the server disconnected"),
            _ => Outcome::Other,
        })
    }

    /// Polls until a message comes.
    pub async fn message(&mut self) -> anyhow::Result<(String, Value)> {
        loop {
            if let Outcome::Message { topic, payload } = self.poll().await? {
                return Ok((topic, payload));
            }
        }
    }
}
