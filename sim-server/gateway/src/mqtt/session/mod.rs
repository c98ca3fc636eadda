//! One MQTT connection as a pure state machine: bytes and answers in, bytes and requests out, time as an argument.
//!
//! The shell appends what it reads to [`Session::inbox`], calls [`Session::handle`], does what the outputs ask, and writes
//! [`Session::outgoing`]. `now` is time since the endpoint started: a wall clock that jumps must not end connections.
//!
//! Every [`Output::Publish`] is answered by exactly one [`Input::Judged`], in the same order; acknowledgements leave in the
//! order the publishes came. At most `window` publishes are unanswered: then no further packet is taken from the inbox,
//! [`Session::wants_bytes`] is false, and the socket pushes back.

mod connect;
mod deliver;
mod kept;
mod publish;
mod subscribe;

#[cfg(test)]
mod tests;

pub(crate) use self::{connect::Opening, kept::Kept, publish::LateReport};

use self::{
    connect::Hello,
    deliver::Deliveries,
    publish::{Acknowledge, Answer, Flags, Pending},
    subscribe::Subscriptions,
};
use crate::{
    ingest::{Channel, Verdict},
    mqtt::{
        frame::{self, Announced},
        reply::{self, SubscribeAnswer, UnsubscribeAnswer},
    },
    topic::Heard,
};
use bytes::BytesMut;
use mqtt_protocol_core::mqtt::{
    self, ArcPayload, Version,
    common::Cursor,
    connection::{Connection, Event, TimerKind},
    packet::{GenericPacketTrait, Packet, Property},
    result_code::{DisconnectReasonCode, MqttError},
    role,
};
use serde_json::{Map, Value};
use shared::{
    command::CommandDelivery,
    id::{CommandId, DeviceId},
    time::Timestamp,
};
use std::{collections::VecDeque, time::Duration};

/// A stranger's first packet may hold a will; it has no need to be larger than this.
const MAX_CONNECT_BYTES: usize = 64 * 1024;
/// An inbox that held a large packet gives its memory back above this.
const INBOX_KEPT_BYTES: usize = 64 * 1024;

/// Limits of one connection.
#[derive(Debug, Clone)]
pub(crate) struct SessionOptions {
    /// Whether there is room for the client; without, its CONNECT is refused.
    pub has_place: bool,
    /// Whether the client's certificate says who it is, so that it needs no password.
    pub has_certificate: bool,
    pub max_packet_bytes: usize,
    /// The longest a session outlives its connection; clients that ask for more are told.
    pub longest_session_s: u32,
    /// Publishes that may wait for the twin's verdict; MQTT 5's receive maximum.
    pub window: u16,
    pub connect_within: Duration,
    /// Longest keep-alive; clients that ask for none get this one.
    pub max_keep_alive: Duration,
    /// A client that takes no bytes for this long is gone.
    pub write_stalled_after: Duration,
    /// Bytes waiting to be written above which nothing is read or delivered.
    pub max_outgoing_bytes: usize,
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Input {
    /// Bytes were appended to the inbox.
    Received,
    /// The client closed its side.
    PeerClosed,
    /// Some of the outgoing bytes were written.
    Sent,
    /// The answer to [`Output::Authenticate`].
    Authenticated(Option<DeviceId>),
    /// The answer to [`Output::Open`]: what is kept of the session; an error when it could not be written.
    Opened(Result<Option<Box<Kept>>, ()>),
    /// The answer to [`Output::Keep`], where one is asked for: whether it is on the disk.
    Written(bool),
    /// The set-points the device follows, because they changed or in answer to [`Output::AskDesired`].
    Desired {
        set_points: Map<String, Value>,
        retained: bool,
    },
    /// The answer to the oldest unanswered [`Output::Publish`].
    Judged(Verdict),
    /// A command for the device.
    Delivery(CommandDelivery),
    /// The deadline passed.
    Tick,
    /// The same device connected anew.
    TakenOver,
    /// What the device proved itself with is worth nothing any more.
    SecretReplaced,
    /// A newcomer needs the place of one that has not said who it is.
    CrowdedOut,
    Shutdown,
}

/// What the shell is asked to do.
#[derive(Debug)]
pub(crate) enum Output {
    Authenticate {
        user: Option<String>,
        password: Option<Vec<u8>>,
    },
    /// The connection is this device's from now on; what is kept of its session is wanted.
    Open(Opening),
    /// Write what is kept of the session, and say when that is done if an answer is wanted.
    Keep {
        kept: Box<Kept>,
        answer: bool,
    },
    AskDesired {
        retained: bool,
    },
    Publish(Message),
    /// The device has the command.
    CommandSent(CommandId),
    /// Counted: a publish, subscription or will that never reached the twin.
    Refused(&'static str),
    /// Write what is outgoing, then close. `will` is to be handed over as if published. `kept` is what is left of the session;
    /// without, it has ended.
    Close {
        why: CloseReason,
        will: Option<Message>,
        kept: Option<Box<Kept>>,
    },
}

/// A payload for the twin.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub channel: Channel,
    pub payload: ArcPayload,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseReason {
    /// DISCONNECT by the client.
    Disconnected,
    PeerClosed,
    ConnectTimeout,
    KeepAliveTimeout,
    WriteStalled,
    BadCredentials,
    BadWill,
    TooManyConnections,
    CrowdedOut,
    TlsFailed,
    UnsupportedVersion,
    Malformed,
    ProtocolError,
    PacketTooLarge,
    /// MQTT 3.1.1 has no way to say so but by closing; the device sends again.
    NotStored,
    TakenOver,
    SecretReplaced,
    Shutdown,
}

impl CloseReason {
    /// As it appears in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            CloseReason::Disconnected => "disconnected",
            CloseReason::PeerClosed => "peer_closed",
            CloseReason::ConnectTimeout => "connect_timeout",
            CloseReason::KeepAliveTimeout => "keep_alive_timeout",
            CloseReason::WriteStalled => "write_stalled",
            CloseReason::BadCredentials => "bad_credentials",
            CloseReason::BadWill => "bad_will",
            CloseReason::TooManyConnections => "too_many_connections",
            CloseReason::CrowdedOut => "crowded_out",
            CloseReason::TlsFailed => "tls_failed",
            CloseReason::UnsupportedVersion => "unsupported_version",
            CloseReason::Malformed => "malformed",
            CloseReason::ProtocolError => "protocol_error",
            CloseReason::PacketTooLarge => "packet_too_large",
            CloseReason::NotStored => "not_stored",
            CloseReason::TakenOver => "taken_over",
            CloseReason::SecretReplaced => "secret_replaced",
            CloseReason::Shutdown => "shutdown",
        }
    }
}

enum Phase {
    AwaitingConnect,
    Authenticating(Box<Hello>),
    Opening { device: DeviceId, hello: Box<Hello> },
    Open(DeviceId),
    Closed,
}

/// An answer that waits until what it promises is on the disk. `before` are the subscriptions to go back to when it is not.
enum Reply {
    Suback {
        packet_id: u16,
        answers: Vec<SubscribeAnswer>,
        filters: Vec<String>,
        wants_retained: bool,
        before: Subscriptions,
    },
    Unsuback {
        packet_id: u16,
        answers: Vec<UnsubscribeAnswer>,
        before: Subscriptions,
    },
    /// Of a publish whose report is kept.
    Acknowledge(Acknowledge, Answer),
}

pub(crate) struct Session {
    options: SessionOptions,
    mqtt: Connection<role::Server>,
    phase: Phase,
    inbox: BytesMut,
    outgoing: BytesMut,
    outputs: Vec<Output>,
    pending: VecDeque<Pending>,
    kept: Kept,
    /// Something kept changed that nobody waits for.
    is_dirty: bool,
    awaits_write: Option<Reply>,
    deliveries: Deliveries,
    /// Topic aliases the client takes.
    alias_maximum: u16,
    /// The CONNECT asked for a session that lasts; only then may a DISCONNECT.
    asked_to_last: bool,
    /// MQTT 5 clients may ask to be spared reason strings.
    says_reasons: bool,
    /// The wall clock, for what expires.
    wall: Timestamp,
    opened_at: Duration,
    last_heard: Duration,
    /// One and a half times what client or server asked for.
    keep_alive: Duration,
    unwritten_since: Option<Duration>,
}

impl Session {
    pub(crate) fn new(options: SessionOptions, now: Duration) -> Self {
        Self {
            mqtt: Connection::new(Version::Undetermined),
            phase: Phase::AwaitingConnect,
            inbox: BytesMut::new(),
            outgoing: BytesMut::new(),
            outputs: Vec::new(),
            pending: VecDeque::new(),
            kept: Kept::default(),
            is_dirty: false,
            awaits_write: None,
            deliveries: Deliveries::default(),
            alias_maximum: 0,
            asked_to_last: false,
            says_reasons: true,
            wall: Timestamp(0),
            opened_at: now,
            last_heard: now,
            keep_alive: options.max_keep_alive * 3 / 2,
            unwritten_since: None,
            options,
        }
    }

    /// The buffers to read into and to write from.
    pub(crate) fn buffers(&mut self) -> (&mut BytesMut, &mut BytesMut) {
        (&mut self.inbox, &mut self.outgoing)
    }

    pub(crate) fn has_outgoing(&self) -> bool {
        !self.outgoing.is_empty()
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Whether the socket should be read.
    pub(crate) fn wants_bytes(&self) -> bool {
        matches!(self.phase, Phase::AwaitingConnect | Phase::Open(_)) && !self.is_paused()
    }

    /// Whether a command could be sent to the device now.
    pub(crate) fn wants_deliveries(&self) -> bool {
        matches!(self.phase, Phase::Open(_))
            && self.kept.subscriptions.hears(Heard::Control)
            && self.may_deliver()
    }

    /// When [`Input::Tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let silence = match self.phase {
            Phase::AwaitingConnect | Phase::Authenticating(_) | Phase::Opening { .. } => {
                Some(self.opened_at + self.options.connect_within)
            }
            // While the socket is not read, silence is ours.
            Phase::Open(_) => (!self.is_paused()).then(|| self.last_heard + self.keep_alive),
            Phase::Closed => return None,
        };
        let stall = self.unwritten_since.map(|since| since + self.options.write_stalled_after);
        [silence, stall].into_iter().flatten().min()
    }

    /// Whether it wants to hear of changes of the device's desired state.
    pub(crate) fn hears_desired(&self) -> bool {
        matches!(self.phase, Phase::Open(_)) && self.kept.subscriptions.hears(Heard::Desired)
    }

    /// `wall` is for what expires by the calendar: commands and notices.
    pub(crate) fn handle(&mut self, input: Input, now: Duration, wall: Timestamp) -> Vec<Output> {
        if self.is_closed() {
            return Vec::new();
        }
        self.wall = wall;
        let was_paused = self.is_paused();
        match input {
            Input::Received => {}
            Input::PeerClosed => self.close(CloseReason::PeerClosed),
            Input::Sent => self.unwritten_since = None,
            Input::Authenticated(device) => self.on_authenticated(device),
            Input::Opened(kept) => self.on_opened(kept, now),
            Input::Written(is_written) => self.on_written(is_written),
            Input::Desired { set_points, retained } => self.on_desired(set_points, retained),
            Input::Judged(verdict) => self.on_verdict(verdict),
            Input::Delivery(delivery) => self.on_delivery(delivery),
            Input::Tick => self.on_tick(now),
            Input::TakenOver => {
                self.say_goodbye(DisconnectReasonCode::SessionTakenOver);
                self.close(CloseReason::TakenOver);
            }
            Input::SecretReplaced => {
                self.say_goodbye(DisconnectReasonCode::AdministrativeAction);
                self.close(CloseReason::SecretReplaced);
            }
            Input::CrowdedOut => self.close(CloseReason::CrowdedOut),
            Input::Shutdown => {
                self.say_goodbye(DisconnectReasonCode::ServerShuttingDown);
                self.close(CloseReason::Shutdown);
            }
        }
        if was_paused && !self.is_paused() {
            self.last_heard = now;
        }
        self.read_packets(now);
        if matches!(self.phase, Phase::Open(_)) {
            self.send_waiting();
            if std::mem::take(&mut self.is_dirty) && self.kept.is_lasting() {
                self.outputs.push(Output::Keep { kept: Box::new(self.snapshot()), answer: false });
            }
        }
        match (self.outgoing.is_empty(), self.unwritten_since) {
            (true, _) => self.unwritten_since = None,
            (false, None) => self.unwritten_since = Some(now),
            (false, Some(_)) => {}
        }
        std::mem::take(&mut self.outputs)
    }

    fn is_paused(&self) -> bool {
        self.awaits_write.is_some()
            || self.pending.len() >= usize::from(self.options.window)
            || self.outgoing.len() >= self.options.max_outgoing_bytes
    }

    /// Takes whole packets from the inbox for as long as there is room for what they lead to.
    fn read_packets(&mut self, now: Duration) {
        while self.wants_bytes() {
            let max = match self.phase {
                Phase::AwaitingConnect => MAX_CONNECT_BYTES.min(self.options.max_packet_bytes),
                _ => self.options.max_packet_bytes,
            };
            match frame::first(&self.inbox, max) {
                Ok(Some(frame)) => {
                    let mut packet = self.inbox.split_to(frame.total_bytes);
                    self.last_heard = now;
                    self.read_packet(&mut packet);
                }
                Ok(None) => break,
                Err(frame::FrameFault::Malformed) => self.fail(MqttError::MalformedPacket),
                Err(frame::FrameFault::TooLarge { bytes }) => {
                    if matches!(self.phase, Phase::AwaitingConnect) {
                        match frame::announced_version(&self.inbox) {
                            // Its first bytes say how it can be told.
                            Announced::NotYet => break,
                            Announced::V5 => {
                                self.outgoing.extend_from_slice(&reply::CONNACK_V5_PACKET_TOO_LARGE);
                            }
                            Announced::Other => {}
                        }
                    }
                    self.report_too_large(bytes, max);
                    self.fail(MqttError::PacketTooLarge);
                }
            }
        }
        if self.inbox.is_empty() && self.inbox.capacity() > INBOX_KEPT_BYTES {
            self.inbox = BytesMut::new();
        }
    }

    fn read_packet(&mut self, packet: &mut [u8]) {
        let mut takes_no_alias = false;
        if let Some(start) = frame::connect_body(packet) {
            if !frame::connect_flags_are_legal(&packet[start..]) {
                return self.fail(MqttError::MalformedPacket);
            }
            if let Some(at) = frame::zero_topic_alias_maximum(&packet[start..]) {
                packet[start + at] = 1;
                takes_no_alias = true;
            }
        }
        let events = self.mqtt.recv(&mut Cursor::new(&*packet));
        let (received, fault, close) = self.apply(events);
        match (received, fault) {
            (_, Some(fault)) => self.fail(fault),
            (_, None) if close => self.close(CloseReason::ProtocolError),
            (Some(Packet::V5_0Connect(connect)), None) => self.on_connect_v5(&connect, takes_no_alias),
            (Some(packet), None) => self.on_packet(packet),
            (None, None) => {}
        }
    }

    fn on_packet(&mut self, packet: Packet) {
        match packet {
            Packet::V3_1_1Publish(p) => {
                let flags = Flags { duplicate: p.dup(), retain: p.retain() };
                self.on_publish(p.topic_name(), p.qos(), p.packet_id(), p.payload().clone(), flags);
            }
            Packet::V5_0Publish(p) => {
                let flags = Flags { duplicate: p.dup(), retain: p.retain() };
                self.on_publish(p.topic_name(), p.qos(), p.packet_id(), p.payload().clone(), flags);
            }
            Packet::V3_1_1Pubrel(p) => self.on_pubrel(p.packet_id()),
            Packet::V5_0Pubrel(p) => self.on_pubrel(p.packet_id()),
            Packet::V3_1_1Puback(p) => self.on_puback(p.packet_id(), true),
            Packet::V5_0Puback(p) => {
                self.on_puback(p.packet_id(), p.reason_code().is_none_or(|code| code.is_success()));
            }
            Packet::V3_1_1Pingreq(_) | Packet::V5_0Pingreq(_) => self.send(reply::pingresp(self.version())),
            Packet::V3_1_1Subscribe(p) => self.on_subscribe(p.packet_id(), p.entries(), &[]),
            Packet::V5_0Subscribe(p) => self.on_subscribe(p.packet_id(), p.entries(), p.props()),
            Packet::V3_1_1Unsubscribe(p) => {
                self.on_unsubscribe(p.packet_id(), p.entries().iter().map(|e| e.as_str()));
            }
            Packet::V5_0Unsubscribe(p) => {
                self.on_unsubscribe(p.packet_id(), p.entries().iter().map(|e| e.as_str()));
            }
            Packet::V3_1_1Disconnect(_) => self.on_disconnect(false, &[]),
            Packet::V5_0Disconnect(p) => self.on_disconnect(
                p.reason_code().is_some_and(|code| code != DisconnectReasonCode::NormalDisconnection),
                p.props().as_deref().unwrap_or_default(),
            ),
            Packet::V3_1_1Connect(p) => self.on_connect_v3(&p),
            _ => self.fail(MqttError::ProtocolError),
        }
    }

    fn on_disconnect(&mut self, keep_will: bool, properties: &[Property]) {
        let expiry_s = properties.iter().find_map(|property| match property {
            Property::SessionExpiryInterval(seconds) => Some(seconds.val()),
            _ => None,
        });
        match expiry_s {
            // MQTT 5 section 3.14.2.2.2.
            Some(1..) if !self.asked_to_last => return self.fail(MqttError::ProtocolError),
            Some(seconds) => self.kept.expiry_s = seconds.min(self.options.longest_session_s),
            None => {}
        }
        if !keep_will {
            self.kept.will = None;
        }
        self.close(CloseReason::Disconnected);
    }

    fn on_tick(&mut self, now: Duration) {
        if self.unwritten_since.is_some_and(|since| now >= since + self.options.write_stalled_after) {
            return self.close(CloseReason::WriteStalled);
        }
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        if matches!(self.phase, Phase::Open(_)) {
            self.say_goodbye(DisconnectReasonCode::KeepAliveTimeout);
            self.close(CloseReason::KeepAliveTimeout);
        } else {
            self.close(CloseReason::ConnectTimeout);
        }
    }

    /// What is to be known of the session when this connection ends.
    fn snapshot(&self) -> Kept {
        Kept { in_flight: self.deliveries.unacknowledged(), ..self.kept.clone() }
    }

    fn is_v3(&self) -> bool {
        self.version() == Version::V3_1_1
    }

    fn version(&self) -> Version {
        self.mqtt.get_protocol_version()
    }

    /// Sends a reply, unless the client said it cannot take one that large.
    fn send(&mut self, packet: Result<Packet, MqttError>) {
        if let Err(error) = self.try_send(packet) {
            tracing::debug!(?error, "reply not sent");
        }
    }

    fn try_send(&mut self, packet: Result<Packet, MqttError>) -> Result<(), MqttError> {
        let events = self.mqtt.send(packet?);
        match self.apply(events) {
            (_, Some(error), _) => Err(error),
            _ => Ok(()),
        }
    }

    /// Does what the library asks for; gives back the packet received, the fault found, and whether to close.
    fn apply(&mut self, events: Vec<Event>) -> (Option<Packet>, Option<MqttError>, bool) {
        let (mut received, mut fault, mut close) = (None, None, false);
        for event in events {
            match event {
                Event::NotifyPacketReceived(packet) => received = Some(packet),
                Event::RequestSendPacket { packet, .. } if !self.is_premature(&packet) => {
                    let packet = reply::spelled_out(packet);
                    self.outgoing.extend_from_slice(&packet.to_continuous_buffer());
                }
                Event::RequestTimerReset { kind: TimerKind::PingreqRecv, duration_ms } => {
                    let longest = self.options.max_keep_alive * 3 / 2;
                    self.keep_alive = Duration::from_millis(duration_ms).min(longest);
                }
                Event::NotifyError(error) => fault = Some(error),
                Event::RequestClose => close = true,
                _ => {}
            }
        }
        (received, fault, close)
    }

    /// Ends the connection for a fault of the client, saying which where the protocol can.
    fn fail(&mut self, fault: MqttError) {
        let why = match fault {
            MqttError::PacketTooLarge => CloseReason::PacketTooLarge,
            MqttError::UnsupportedProtocolVersion => CloseReason::UnsupportedVersion,
            MqttError::MalformedPacket | MqttError::InsufficientBytes => CloseReason::Malformed,
            _ if matches!(self.phase, Phase::AwaitingConnect) => CloseReason::Malformed,
            _ => CloseReason::ProtocolError,
        };
        if why == CloseReason::UnsupportedVersion && self.version() == Version::Undetermined {
            self.outgoing.extend_from_slice(&reply::CONNACK_UNACCEPTABLE_VERSION);
        }
        // Refused when the library already sent one, or before the CONNACK.
        self.say_goodbye(fault.into());
        self.close(why);
    }

    fn say_goodbye(&mut self, reason: DisconnectReasonCode) {
        if self.version() == Version::V5_0 && matches!(self.phase, Phase::Open(_)) {
            // In words when the client has room for them.
            if let Err(MqttError::PacketTooLarge) = self.try_send(reply::disconnect(reason, true)) {
                self.send(reply::disconnect(reason, false));
            }
        }
    }

    fn close(&mut self, why: CloseReason) {
        if self.is_closed() {
            return;
        }
        let was_open = matches!(self.phase, Phase::Open(_));
        self.phase = Phase::Closed;
        let is_our_doing = matches!(why, CloseReason::Shutdown | CloseReason::SecretReplaced);
        if !was_open || is_our_doing {
            self.kept.will = None;
        }
        let will = self.kept.will_at_the_end();
        let kept = (was_open && self.kept.is_lasting()).then(|| Box::new(self.snapshot()));
        self.outputs.push(Output::Close { why, will, kept });
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let device = if let Phase::Open(device) = &self.phase { Some(device) } else { None };
        f.debug_struct("Session")
            .field("device", &device)
            .field("pending", &self.pending.len())
            .field("outgoing", &self.outgoing.len())
            .finish_non_exhaustive()
    }
}

/// The library's payload, from bytes of our own.
fn payload_of(bytes: &[u8]) -> ArcPayload {
    mqtt::IntoPayload::into_payload(bytes)
}
