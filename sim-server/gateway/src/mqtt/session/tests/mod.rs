//! The session against scripted clients: packets in, words out.

mod arbitrary;
mod connecting;
mod delivering;
mod fuzzing;
mod publishing;
mod resuming;
mod subscribing;

use super::*;
use mqtt_protocol_core::mqtt::packet::{Property, Qos, SubEntry, SubOpts, v3_1_1 as v3, v5_0 as v5};

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn options() -> SessionOptions {
    SessionOptions {
        max_packet_bytes: 4096,
        window: 4,
        connect_within: 10 * SECOND,
        max_keep_alive: 600 * SECOND,
        write_stalled_after: 20 * SECOND,
        max_outgoing_bytes: 16 * 1024,
        has_place: true,
        has_certificate: false,
        longest_session_s: 86_400,
    }
}

/// A session with the client's side of the conversation.
pub(super) struct Conversation {
    pub session: Session,
    pub now: Duration,
    pub wall: Timestamp,
}

impl Conversation {
    pub(super) fn new() -> Self {
        Self::with(options())
    }

    pub(super) fn with(options: SessionOptions) -> Self {
        Self { session: Session::new(options, Duration::ZERO), now: Duration::ZERO, wall: Timestamp(0) }
    }

    /// A device that is connected and has heard so.
    pub(super) fn open(version: Version) -> Self {
        let mut it = Self::new();
        it.send(&connect(version, "pv-01", "secret", 60));
        let said = it.authenticated(Some("pv-01"));
        assert_eq!(said[0], "CONNACK 0x00");
        it
    }

    pub(super) fn handle(&mut self, input: Input) -> Vec<Output> {
        self.session.handle(input, self.now, self.wall)
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> Vec<Output> {
        self.session.buffers().0.extend_from_slice(bytes);
        self.handle(Input::Received)
    }

    /// The twin knows the device; nothing is kept of a session.
    pub(super) fn authenticated(&mut self, device: Option<&str>) -> Vec<String> {
        let outputs = self.handle(Input::Authenticated(device.map(|id| id.parse().unwrap())));
        if outputs.iter().any(|output| matches!(output, Output::Open(_))) {
            self.handle(Input::Opened(Ok(None)));
        }
        self.said()
    }

    /// What the server said since last asked, as words; the client has read it.
    pub(super) fn said(&mut self) -> Vec<String> {
        let version = self.session.version();
        let bytes = self.session.buffers().1.split();
        self.handle(Input::Sent);
        words(&bytes, version)
    }

    pub(super) fn judged(&mut self, verdict: Verdict) -> Vec<String> {
        self.handle(Input::Judged(verdict));
        self.said()
    }
}

pub(super) fn kept() -> Verdict {
    Verdict::Kept { faults: vec![] }
}

pub(super) fn closes(outputs: &[Output]) -> Option<CloseReason> {
    outputs.iter().find_map(|o| if let Output::Close { why, .. } = o { Some(*why) } else { None })
}

/// The codes counted.
pub(super) fn refused_codes(outputs: &[Output]) -> Vec<&'static str> {
    outputs.iter().filter_map(|o| if let Output::Refused(code) = o { Some(*code) } else { None }).collect()
}

pub(super) fn published(outputs: &[Output]) -> Vec<(Channel, String)> {
    let text = |m: &Message| String::from_utf8_lossy(m.payload.as_slice()).into_owned();
    let message = |o: &Output| if let Output::Publish(m) = o { Some((m.channel, text(m))) } else { None };
    outputs.iter().filter_map(message).collect()
}

pub(super) fn connect(version: Version, user: &str, password: &str, keep_alive: u16) -> Vec<u8> {
    match version {
        Version::V3_1_1 => v3::Connect::builder()
            .client_id("client")
            .unwrap()
            .clean_session(true)
            .keep_alive(keep_alive)
            .user_name(user)
            .unwrap()
            .password(password)
            .unwrap()
            .build()
            .unwrap()
            .to_continuous_buffer(),
        _ => connect_v5(user, password, keep_alive, vec![]),
    }
}

pub(super) fn connect_v5(user: &str, password: &str, keep_alive: u16, props: Vec<Property>) -> Vec<u8> {
    v5::Connect::builder()
        .client_id("client")
        .unwrap()
        .clean_start(true)
        .keep_alive(keep_alive)
        .user_name(user)
        .unwrap()
        .password(password)
        .unwrap()
        .props(props)
        .build()
        .unwrap()
        .to_continuous_buffer()
}

pub(super) fn publish(version: Version, topic: &str, qos: u8, id: u16, payload: &[u8]) -> Vec<u8> {
    let mut body = (topic.len() as u16).to_be_bytes().to_vec();
    body.extend_from_slice(topic.as_bytes());
    if qos > 0 {
        body.extend_from_slice(&id.to_be_bytes());
    }
    if version == Version::V5_0 {
        body.push(0);
    }
    body.extend_from_slice(payload);
    packet(0x30 | (qos << 1), &body)
}

/// The same packet, sent once more.
pub(super) fn again(mut publish: Vec<u8>) -> Vec<u8> {
    publish[0] |= 8;
    publish
}

pub(super) fn subscribe(version: Version, id: u16, filters: &[(&str, Qos)]) -> Vec<u8> {
    let entries: Vec<SubEntry> = filters
        .iter()
        .map(|(filter, qos)| SubEntry::new(*filter, SubOpts::new().set_qos(*qos)).unwrap())
        .collect();
    match version {
        Version::V3_1_1 => {
            v3::Subscribe::builder().packet_id(id).entries(entries).build().unwrap().to_continuous_buffer()
        }
        _ => v5::Subscribe::builder().packet_id(id).entries(entries).build().unwrap().to_continuous_buffer(),
    }
}

pub(super) fn puback(id: u16) -> Vec<u8> {
    packet(0x40, &id.to_be_bytes())
}

/// A packet of fewer than 16,384 bytes.
pub(super) fn packet(header: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![header];
    match body.len() {
        short @ 0..128 => bytes.push(short as u8),
        long => bytes.extend([(long % 128) as u8 | 0x80, (long / 128) as u8]),
    }
    bytes.extend_from_slice(body);
    bytes
}

/// Server packets as words: type, packet id, reason code, and a publish's topic and payload.
fn words(mut bytes: &[u8], version: Version) -> Vec<String> {
    let mut said = Vec::new();
    let v5 = version == Version::V5_0;
    while !bytes.is_empty() {
        let frame = frame::first(bytes, usize::MAX).unwrap().expect("a whole packet");
        let (one, rest) = bytes.split_at(frame.total_bytes);
        bytes = rest;
        let start = 1 + one[1..].iter().position(|b| b & 0x80 == 0).unwrap() + 1;
        let body = &one[start..];
        let id = || u16::from_be_bytes([body[0], body[1]]);
        let reason = || body.get(2).copied().unwrap_or(0);
        said.push(match one[0] >> 4 {
            2 if body[0] == 1 => format!("CONNACK {:#04x} resumed", body[1]),
            2 => format!("CONNACK {:#04x}", body[1]),
            3 => {
                let topic_bytes = usize::from(id());
                let topic = std::str::from_utf8(&body[2..2 + topic_bytes]).unwrap();
                let mut at = 2 + topic_bytes;
                let qos = (one[0] >> 1) & 3;
                let packet_id = if qos > 0 {
                    at += 2;
                    format!(" id={}", u16::from_be_bytes([body[at - 2], body[at - 1]]))
                } else {
                    String::new()
                };
                if v5 {
                    assert!(body[at] < 128, "short properties");
                    at += usize::from(body[at]) + 1;
                }
                let flags = [(8, " dup"), (1, " retained")]
                    .map(|(bit, name)| if one[0] & bit != 0 { name } else { "" });
                let payload = String::from_utf8_lossy(&body[at..]);
                format!("PUBLISH {topic} qos={qos}{packet_id}{} {payload}", flags.concat())
            }
            4 if v5 => format!("PUBACK {} {:#04x}", id(), reason()),
            4 => format!("PUBACK {}", id()),
            5 if v5 => format!("PUBREC {} {:#04x}", id(), reason()),
            5 => format!("PUBREC {}", id()),
            7 if reason() != 0 => format!("PUBCOMP {} {:#04x}", id(), reason()),
            7 => format!("PUBCOMP {}", id()),
            9 => {
                // Fewer than 128 bytes of properties.
                let codes = if v5 { 3 + usize::from(body[2]) } else { 2 };
                format!("SUBACK {} {:02x?}", id(), &body[codes..])
            }
            11 => format!("UNSUBACK {} {:02x?}", id(), &body[if v5 { 3 } else { 2 }..]),
            13 => "PINGRESP".to_owned(),
            14 => format!("DISCONNECT {:#04x}", body.first().copied().unwrap_or(0)),
            other => panic!("a server sends no packet of type {other}"),
        });
    }
    said
}
