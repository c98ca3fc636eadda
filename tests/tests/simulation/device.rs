//! A device: measures by a clock of its own, keeps what is not acknowledged, sends it again over the next connection, and obeys
//! commands once.

use crate::{
    clock,
    network::{End, Network},
    oracle::{Oracle, WritingId, values, version_of},
    packets::{self, Packet, Version},
    trace::note,
};
use bytes::BytesMut;
use parking_lot::Mutex;
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use shared::{command::AckStatus, time::Timestamp};
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

/// Publishes it leaves unanswered, fewer than the server takes.
const IN_FLIGHT: usize = 20;
/// It measures no more while so many wait.
const WAITING_MOST: usize = 60;
/// Without an answer for so long it connects anew; longer than the server asks a busy store.
const PATIENCE: Duration = Duration::from_secs(45);
const PING_EVERY: Duration = Duration::from_secs(15);
const DAY_MS: i64 = 86_400_000;

/// What it has to say.
struct Message {
    topic: String,
    payload: String,
    about: About,
    /// Its number on this connection.
    id: Option<u16>,
    was_sent: bool,
}

enum About {
    Data(Vec<WritingId>),
    Answer(String),
    Event(String),
}

pub(crate) struct Device {
    index: usize,
    pub(crate) name: String,
    secret: String,
    /// Its clock minus the true one.
    skew_ms: i64,
    rng: ChaCha8Rng,
    outbox: VecDeque<Message>,
    next_number: u32,
    answers: BTreeMap<String, AckStatus>,
    /// It measures; otherwise it only gets rid of what waits.
    pub(crate) measures: bool,
    oracle: Arc<Mutex<Oracle>>,
}

/// So far ahead that nothing it measures is taken.
const REFUSED_FROM_MS: i64 = 3_600_000;

impl Device {
    pub(crate) fn new(
        index: usize,
        name: String,
        secret: String,
        mut rng: ChaCha8Rng,
        oracle: Arc<Mutex<Oracle>>,
    ) -> Self {
        let skew_ms = match rng.random_range(0..10) {
            0..5 => rng.random_range(-200..200),
            5..7 => rng.random_range(20_000..400_000),
            7..9 => rng.random_range(-400_000..-20_000),
            _ => rng.random_range(REFUSED_FROM_MS..2 * REFUSED_FROM_MS),
        };
        Self {
            index,
            name,
            secret,
            skew_ms,
            rng,
            outbox: VecDeque::new(),
            next_number: 1,
            answers: BTreeMap::new(),
            measures: true,
            oracle,
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.outbox.len()
    }

    fn version(&self) -> Version {
        version_of(self.index)
    }

    fn topic(&self, last: &str) -> String {
        format!("device/{}/{last}", self.name)
    }

    /// A new instant by its own clock, `ago_ms` back.
    fn instant(&mut self, ago_ms: i64) -> i64 {
        let mut instant = clock::now().0 + self.skew_ms - ago_ms;
        while self.oracle.lock().is_known(self.index, instant) {
            instant += 1;
        }
        instant
    }

    fn measure(&mut self) {
        if !self.measures || self.outbox.len() >= WAITING_MOST {
            return;
        }
        let settled = self.oracle.lock().settled(self.index, 40);
        let one_of_them = (!settled.is_empty()).then(|| settled[self.rng.random_range(0..settled.len())]);
        let drawn = self.rng.random_range(0..100);
        match (drawn, one_of_them) {
            (97.., _) => self.say_event(),
            (0..12, _) => {
                let count = self.rng.random_range(2..6);
                let step = self.rng.random_range(50..20_000);
                let items: Vec<(i64, u32)> =
                    (1..=count).map(|n| (self.instant(n * step), self.number())).collect();
                self.say(&items, true);
            }
            (12..22, Some((instant, _))) => {
                let number = self.number();
                self.say(&[(instant, number)], false);
            }
            (22..30, Some(again)) => self.say(&[again], false),
            (30..36, _) if self.skew_ms < REFUSED_FROM_MS => {
                let ago = self.rng.random_range(0..40 * DAY_MS);
                let item = (self.instant(ago), self.number());
                self.say(&[item], false);
            }
            // At once corrected: the order of publishes on a connection is their order.
            (36..42, _) if self.version() == Version::V311 => {
                let (instant, wrong, right) = (self.instant(0), self.number(), self.number());
                self.say(&[(instant, wrong)], false);
                self.say(&[(instant, right)], false);
            }
            _ => {
                let item = (self.instant(0), self.number());
                self.say(&[item], false);
            }
        }
    }

    fn number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number
    }

    fn say(&mut self, items: &[(i64, u32)], as_array: bool) {
        let mut oracle = self.oracle.lock();
        let ids =
            items.iter().map(|(instant, number)| oracle.writes(self.index, *instant, *number)).collect();
        drop(oracle);
        let item = |(instant, number): &(i64, u32)| {
            let data: serde_json::Map<String, Value> =
                values(*number).into_iter().map(|(key, value)| (key.to_owned(), value.into())).collect();
            json!({ "deviceId": self.name, "timestamp": instant, "data": data })
        };
        let payload = match items {
            [one] if !as_array => item(one),
            all => all.iter().map(item).collect(),
        };
        let about = About::Data(ids);
        let message = Message {
            topic: self.topic("data"),
            payload: payload.to_string(),
            about,
            id: None,
            was_sent: false,
        };
        self.outbox.push_back(message);
    }

    fn say_event(&mut self) {
        let instant = clock::now().0 + self.skew_ms;
        let number = self.number();
        let id = format!("{}-{number}", self.name);
        self.oracle.lock().event(self.index, &id, false);
        let payload = json!({
            "deviceId": self.name, "timestamp": instant, "id": id, "type": id, "severity": "warning",
            "description": "north door",
        });
        let (topic, payload) = (self.topic("event"), payload.to_string());
        self.outbox.push_back(Message { topic, payload, about: About::Event(id), id: None, was_sent: false });
    }

    fn answer(&mut self, command: String) {
        let is_waiting = |m: &Message| matches!(&m.about, About::Answer(id) if *id == command);
        if self.outbox.iter().any(is_waiting) {
            return;
        }
        let drawn = if self.rng.random_range(0..4) == 0 { AckStatus::Rejected } else { AckStatus::Done };
        let status = *self.answers.entry(command.clone()).or_insert(drawn);
        self.oracle.lock().answers(&command, status);
        let payload = json!({ "deviceId": self.name, "commandId": command, "status": status }).to_string();
        let about = About::Answer(command);
        let topic = self.topic("control/ack");
        self.outbox.push_back(Message { topic, payload, about, id: None, was_sent: false });
    }

    /// The next message to write, as a packet.
    fn next_publish(&mut self, next_id: &mut u16) -> Option<Vec<u8>> {
        let version = self.version();
        if self.outbox.iter().filter(|m| m.id.is_some()).count() >= IN_FLIGHT {
            return None;
        }
        let message = self.outbox.iter_mut().find(|m| m.id.is_none())?;
        message.id = Some(*next_id);
        *next_id = next_id.wrapping_add(1).max(2);
        if let About::Data(ids) = &message.about {
            self.oracle.lock().sent(self.index, ids);
        }
        let is_again = std::mem::replace(&mut message.was_sent, true);
        Some(packets::publish(version, &message.topic, message.id?, is_again, message.payload.as_bytes()))
    }

    /// An error when the server could not store it: everything is sent again, in order, over another connection.
    fn on_puback(&mut self, id: u16, code: u8) -> io::Result<()> {
        let Some(at) = self.outbox.iter().position(|m| m.id == Some(id)) else {
            return Err(io::Error::other("an acknowledgement of nothing"));
        };
        if matches!(code, 0x83 | 0x97) {
            return Err(io::Error::other("not stored"));
        }
        if let Some(Message { about, .. }) = self.outbox.remove(at) {
            let is_refusal = code >= 0x80 || self.skew_ms >= REFUSED_FROM_MS;
            match about {
                About::Data(ids) => self.oracle.lock().acknowledged(self.index, &ids, is_refusal),
                About::Event(id) => self.oracle.lock().event(self.index, &id, !is_refusal),
                About::Answer(command) if code < 0x80 => self.oracle.lock().answer_kept(&command),
                About::Answer(command) => {
                    self.oracle
                        .lock()
                        .violated(format!("the answer to {command} was refused with {code:#x}"));
                }
            }
        }
        Ok(())
    }

    /// Gives the command to answer, if it is one.
    fn on_publish(&mut self, topic: &str, payload: &[u8], connected_at: Timestamp) -> Option<String> {
        if !topic.ends_with("/control") {
            return None;
        }
        let body: Value = serde_json::from_slice(payload).unwrap_or_default();
        let id = body["commandId"].as_str()?.to_owned();
        let power = body["parameters"]["power"].as_f64().unwrap_or(f64::NAN);
        self.oracle.lock().command_came(&id, &self.name, power, connected_at);
        Some(id)
    }
}

/// Lives as long as the runtime: connects again whenever a connection ends.
pub(crate) async fn run(device: Arc<Mutex<Device>>, network: Arc<Network>) {
    loop {
        let (index, pause_ms) = {
            let mut device = device.lock();
            (device.index, device.rng.random_range(20..3_000))
        };
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        if let Ok(end) = network.connect(index).await {
            // However it ended, the device connects again.
            if let Err(error) = converse(&device, end).await {
                note!(network.trace(), "device {index} starts over: {error}");
            }
        }
    }
}

async fn converse(device: &Mutex<Device>, mut end: End) -> io::Result<()> {
    let connected_at = clock::now();
    let (version, hello, topics) = {
        let mut device = device.lock();
        device.outbox.iter_mut().for_each(|m| m.id = None);
        let lasting = device.rng.random_range(0..2) == 0;
        let hello = packets::connect(device.version(), &device.name, &device.secret, lasting);
        (device.version(), hello, [device.topic("control"), device.topic("errors")])
    };
    end.write_all(&hello).await?;
    let mut inbox = BytesMut::new();
    match next(&mut end, version, &mut inbox, Instant::now() + PATIENCE).await? {
        Packet::Connack { code: 0 } => {}
        other => return Err(io::Error::other(format!("{other:?}"))),
    }
    end.write_all(&packets::subscribe(version, 1, &topics)).await?;
    let mut next_id = 2;
    let (mut measure_at, mut ping_at) = (Instant::now(), Instant::now() + PING_EVERY);
    let mut heard = Instant::now();
    let mut to_answer: BTreeMap<Instant, String> = BTreeMap::new();
    loop {
        while let Some(publish) = { device.lock().next_publish(&mut next_id) } {
            tokio::time::timeout(PATIENCE, end.write_all(&publish)).await??;
        }
        let answer_at = to_answer.keys().next().copied();
        tokio::select! {
            biased;
            packet = next(&mut end, version, &mut inbox, heard + PATIENCE) => {
                heard = Instant::now();
                match packet? {
                    Packet::Puback { id, code } => device.lock().on_puback(id, code)?,
                    Packet::Publish { topic, id, payload } => {
                        if let Some(id) = id {
                            tokio::time::timeout(PATIENCE, end.write_all(&packets::puback(id))).await??;
                        }
                        let mut device = device.lock();
                        if let Some(command) = device.on_publish(&topic, &payload, connected_at) {
                            let after = Duration::from_millis(device.rng.random_range(0..4_000));
                            to_answer.insert(Instant::now() + after, command);
                        }
                    }
                    Packet::Disconnect => return Err(io::ErrorKind::ConnectionAborted.into()),
                    Packet::Connack { .. } | Packet::Other => {}
                }
            }
            () = tokio::time::sleep_until(answer_at.unwrap_or(measure_at)), if answer_at.is_some() => {
                if let Some((_, command)) = to_answer.pop_first() {
                    device.lock().answer(command);
                }
            }
            () = tokio::time::sleep_until(measure_at) => {
                let mut device = device.lock();
                device.measure();
                measure_at = Instant::now() + Duration::from_millis(device.rng.random_range(100..4_000));
            }
            () = tokio::time::sleep_until(ping_at) => {
                end.write_all(&packets::ping()).await?;
                ping_at = Instant::now() + PING_EVERY;
            }
        }
    }
}

/// The next packet; an error when none came by then.
async fn next(end: &mut End, version: Version, inbox: &mut BytesMut, by: Instant) -> io::Result<Packet> {
    loop {
        if let Some(packet) = packets::take(version, inbox) {
            return Ok(packet);
        }
        if tokio::time::timeout_at(by, end.read_buf(inbox)).await?? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
