//! One device of the load.

use crate::{packet, result::Measured};
use anyhow::{Context, bail};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const CONNACK: u8 = 2;
const PUBACK: u8 = 4;
const SUBACK: u8 = 9;
const PINGRESP: u8 = 13;
const DISCONNECT: u8 = 14;
/// An acknowledgement that takes longer will not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What every connection does.
pub(crate) struct Plan {
    pub measurements: Vec<packet::Measurement>,
    pub points: usize,
    pub window: usize,
    /// Between two payloads of one connection; none: as soon as the window allows.
    pub interval: Option<Duration>,
    pub warm_up: Duration,
    pub measured: Duration,
}

pub(crate) struct Connection {
    stream: TcpStream,
    device: String,
    received: Vec<u8>,
    in_flight: VecDeque<(u16, Instant)>,
    next_id: u16,
    last_timestamp_ms: i64,
    sent: u64,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr, device: &str, secret: &str) -> anyhow::Result<Self> {
        let mut stream =
            TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.write_all(&packet::connect(device, secret)).await?;
        let mut it = Self {
            stream,
            device: device.to_owned(),
            received: Vec::with_capacity(4096),
            in_flight: VecDeque::new(),
            next_id: 1,
            last_timestamp_ms: 0,
            sent: 0,
        };
        let body = it.packet(CONNACK).await?;
        if body.get(1) != Some(&0) {
            bail!("device {device}: connection refused, reason {:#04x}", body.get(1).unwrap_or(&0));
        }
        Ok(it)
    }

    /// Listens to its commands.
    pub(crate) async fn subscribe(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&packet::subscribe(&format!("device/{}/control", self.device))).await?;
        self.packet(SUBACK).await.map(drop)
    }

    pub(crate) async fn ping(&mut self) -> anyhow::Result<()> {
        self.stream.write_all(&[0xC0, 0]).await?;
        self.packet(PINGRESP).await.map(drop)
    }

    /// The body of the next packet, which must be of this kind.
    async fn packet(&mut self, expected: u8) -> anyhow::Result<Vec<u8>> {
        loop {
            if let Some((kind, body, total)) = packet::first(&self.received) {
                if kind != expected {
                    bail!("device {}: a packet of type {kind} instead of {expected}", self.device);
                }
                let body = body.to_vec();
                self.received.drain(..total);
                return Ok(body);
            }
            self.read().await?;
        }
    }

    pub(crate) async fn publish(
        mut self,
        plan: &Plan,
        began: Instant,
        offset: Duration,
    ) -> anyhow::Result<Measured> {
        let from = began + plan.warm_up;
        let until = from + plan.measured;
        let mut measured = Measured::default();
        let mut due = began + offset;
        let mut outgoing = Vec::new();
        let mut payload = Vec::new();
        loop {
            let now = Instant::now();
            if now >= until {
                return Ok(measured);
            }
            outgoing.clear();
            while self.in_flight.len() < plan.window && due <= now {
                self.add_payload(plan, &mut payload, &mut outgoing, now);
                due = match plan.interval {
                    Some(interval) => due + interval,
                    None => now,
                };
            }
            if !outgoing.is_empty() {
                self.stream.write_all(&outgoing).await?;
            }
            let wake = if self.in_flight.len() < plan.window { due.min(until) } else { until };
            if self.in_flight.is_empty() {
                tokio::time::sleep_until(wake.into()).await;
                continue;
            }
            let limit = if wake == until { now + PATIENCE } else { wake };
            match tokio::time::timeout_at(limit.into(), self.read()).await {
                Ok(read) => read?,
                Err(_) if limit == wake => continue,
                Err(_) => bail!("no acknowledgement for {PATIENCE:?}"),
            }
            self.take_acknowledgements(plan, from, until, &mut measured)?;
        }
    }

    fn add_payload(&mut self, plan: &Plan, payload: &mut Vec<u8>, outgoing: &mut Vec<u8>, now: Instant) {
        // Devices stamp what they send, and never twice the same.
        let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as i64;
        let timestamp = clock.max(self.last_timestamp_ms + 1);
        self.last_timestamp_ms = timestamp + packet::items(plan.points, plan.measurements.len()) - 1;
        self.sent += 1;
        packet::payload(payload, &self.device, &plan.measurements, plan.points, timestamp, self.sent);
        let topic = format!("device/{}/data", self.device);
        packet::publish(outgoing, &topic, self.next_id, payload);
        self.in_flight.push_back((self.next_id, now));
        self.next_id = if self.next_id == u16::MAX { 1 } else { self.next_id + 1 };
    }

    fn take_acknowledgements(
        &mut self,
        plan: &Plan,
        from: Instant,
        until: Instant,
        measured: &mut Measured,
    ) -> anyhow::Result<()> {
        let now = Instant::now();
        let mut taken = 0;
        while let Some((kind, body, total)) = packet::first(&self.received[taken..]) {
            taken += total;
            match kind {
                PUBACK => {
                    let id = u16::from_be_bytes([body[0], body[1]]);
                    let Some((expected, sent)) = self.in_flight.pop_front() else {
                        bail!("an acknowledgement of nothing");
                    };
                    if id != expected {
                        bail!("acknowledged {id} before {expected}");
                    }
                    if let Some(&reason) = body.get(2).filter(|reason| **reason >= 0x80) {
                        bail!("refused, reason {reason:#04x}: {}", String::from_utf8_lossy(&body[3..]));
                    }
                    if (from..until).contains(&now) {
                        measured.acknowledged(plan.points, now - sent);
                    }
                }
                DISCONNECT => bail!("disconnected, reason {:#04x}", body.first().unwrap_or(&0)),
                _ => {}
            }
        }
        self.received.drain(..taken);
        Ok(())
    }

    async fn read(&mut self) -> anyhow::Result<()> {
        if self.stream.read_buf(&mut self.received).await? == 0 {
            bail!("the server closed the connection");
        }
        Ok(())
    }
}
