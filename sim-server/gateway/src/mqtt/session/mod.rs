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
mod publish;
mod subscribe;

#[cfg(test)]
mod tests;

use self::{connect::Hello, deliver::Deliveries, publish::Pending, subscribe::Subscriptions};
use crate::{
    ingest::{Channel, Verdict},
    mqtt::{
        frame::{self, Announced},
        reply,
    },
};
use bytes::BytesMut;
use mqtt_protocol_core::mqtt::{
    self, ArcPayload, Version,
    common::Cursor,
    connection::{Connection, Event, TimerKind},
    packet::{GenericPacketTrait, Packet},
    result_code::{DisconnectReasonCode, MqttError},
    role,
};
use shared::{
    command::CommandDelivery,
    id::{CommandId, DeviceId},
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
    pub max_packet_bytes: usize,
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
    Written,
    /// The answer to [`Output::Authenticate`].
    Authenticated(Option<DeviceId>),
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
        user: String,
        password: Vec<u8>,
    },
    /// The connection is this device's from now on.
    Opened(DeviceId),
    Publish(Message),
    /// The device has the command.
    CommandSent(CommandId),
    /// Counted: a publish, subscription or will that never reached the twin.
    Refused(&'static str),
    /// Write what is outgoing, then close. `will` is to be handed over as if published.
    Close {
        why: CloseReason,
        will: Option<Message>,
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
    Authenticating(Hello),
    Open(DeviceId),
    Closed,
}

pub(crate) struct Session {
    options: SessionOptions,
    mqtt: Connection<role::Server>,
    phase: Phase,
    inbox: BytesMut,
    outgoing: BytesMut,
    outputs: Vec<Output>,
    pending: VecDeque<Pending>,
    subscriptions: Subscriptions,
    deliveries: Deliveries,
    will: Option<Message>,
    /// MQTT 5 clients may ask to be spared reason strings.
    says_reasons: bool,
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
            subscriptions: Subscriptions::default(),
            deliveries: Deliveries::default(),
            will: None,
            says_reasons: true,
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
            && self.subscriptions.control().is_some()
            && self.deliveries.has_room()
            && self.mqtt.get_receive_maximum_vacancy_for_send() != Some(0)
            && self.outgoing.len() < self.options.max_outgoing_bytes
    }

    /// When [`Input::Tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let silence = match self.phase {
            Phase::AwaitingConnect | Phase::Authenticating(_) => {
                Some(self.opened_at + self.options.connect_within)
            }
            // While the socket is not read, silence is ours.
            Phase::Open(_) => (!self.is_paused()).then(|| self.last_heard + self.keep_alive),
            Phase::Closed => return None,
        };
        let stall = self.unwritten_since.map(|since| since + self.options.write_stalled_after);
        [silence, stall].into_iter().flatten().min()
    }

    pub(crate) fn handle(&mut self, input: Input, now: Duration) -> Vec<Output> {
        if self.is_closed() {
            return Vec::new();
        }
        let was_paused = self.is_paused();
        match input {
            Input::Received => {}
            Input::PeerClosed => self.close(CloseReason::PeerClosed),
            Input::Written => self.unwritten_since = None,
            Input::Authenticated(device) => self.on_authenticated(device, now),
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
        match (self.outgoing.is_empty(), self.unwritten_since) {
            (true, _) => self.unwritten_since = None,
            (false, None) => self.unwritten_since = Some(now),
            (false, Some(_)) => {}
        }
        std::mem::take(&mut self.outputs)
    }

    fn is_paused(&self) -> bool {
        self.pending.len() >= usize::from(self.options.window)
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
        if let Some(start) = frame::connect_body(packet) {
            if !frame::connect_flags_are_legal(&packet[start..]) {
                return self.fail(MqttError::MalformedPacket);
            }
            if let Some(at) = frame::zero_topic_alias_maximum(&packet[start..]) {
                packet[start + at] = 1;
            }
        }
        let events = self.mqtt.recv(&mut Cursor::new(&*packet));
        let (received, fault, close) = self.apply(events);
        match (received, fault) {
            (_, Some(fault)) => self.fail(fault),
            (_, None) if close => self.close(CloseReason::ProtocolError),
            (Some(packet), None) => self.on_packet(packet),
            (None, None) => {}
        }
    }

    fn on_packet(&mut self, packet: Packet) {
        match packet {
            Packet::V3_1_1Publish(p) => {
                self.on_publish(p.topic_name(), p.qos(), p.packet_id(), p.payload().clone());
            }
            Packet::V5_0Publish(p) => {
                self.on_publish(p.topic_name(), p.qos(), p.packet_id(), p.payload().clone());
            }
            Packet::V3_1_1Pubrel(p) => self.on_pubrel(p.packet_id()),
            Packet::V5_0Pubrel(p) => self.on_pubrel(p.packet_id()),
            Packet::V3_1_1Puback(p) => self.on_puback(p.packet_id(), true),
            Packet::V5_0Puback(p) => {
                self.on_puback(p.packet_id(), p.reason_code().is_none_or(|code| code.is_success()));
            }
            Packet::V3_1_1Pingreq(_) | Packet::V5_0Pingreq(_) => self.send(reply::pingresp(self.version())),
            Packet::V3_1_1Subscribe(p) => self.on_subscribe(p.packet_id(), p.entries()),
            Packet::V5_0Subscribe(p) => self.on_subscribe(p.packet_id(), p.entries()),
            Packet::V3_1_1Unsubscribe(p) => {
                self.on_unsubscribe(p.packet_id(), p.entries().iter().map(|e| e.as_str()));
            }
            Packet::V5_0Unsubscribe(p) => {
                self.on_unsubscribe(p.packet_id(), p.entries().iter().map(|e| e.as_str()));
            }
            Packet::V3_1_1Disconnect(_) => self.on_disconnect(false),
            Packet::V5_0Disconnect(p) => self.on_disconnect(
                p.reason_code().is_some_and(|code| code != DisconnectReasonCode::NormalDisconnection),
            ),
            Packet::V3_1_1Connect(p) => self.on_connect_v3(&p),
            Packet::V5_0Connect(p) => self.on_connect_v5(&p),
            _ => self.fail(MqttError::ProtocolError),
        }
    }

    fn on_disconnect(&mut self, keep_will: bool) {
        if !keep_will {
            self.will = None;
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
            self.send(reply::disconnect(reason));
        }
    }

    fn close(&mut self, why: CloseReason) {
        if self.is_closed() {
            return;
        }
        let was_open = matches!(self.phase, Phase::Open(_));
        self.phase = Phase::Closed;
        let is_our_doing = matches!(why, CloseReason::Shutdown | CloseReason::SecretReplaced);
        let will = self.will.take().filter(|_| was_open && !is_our_doing);
        self.outputs.push(Output::Close { why, will });
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
