//! Publishes from the device: handed over, then acknowledged in the order they came.

use super::{CloseReason, Message, Output, Phase, Reply, Session, kept::Sent, subscribe::Terms};
use crate::{
    ingest::{Fault, Verdict},
    mqtt::reply::{self, PublishAnswer},
    report,
    topic::{self, Heard, TopicRefusal},
};
use mqtt_protocol_core::mqtt::{
    ArcPayload,
    packet::{Packet, Qos},
    result_code::MqttError,
};
use shared::telemetry::RefusalCode;

/// What could not be written, as metrics and the errors topic name it.
pub(super) const NOT_STORED: &str = "NOT_STORED";
/// A refused topic or filter is quoted up to here.
const QUOTED_CHARS: usize = 200;

/// What a PUBLISH says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flags {
    /// Sent before.
    pub duplicate: bool,
    pub retain: bool,
}

/// A publish whose acknowledgement has not left.
#[derive(Debug)]
pub(super) struct Pending {
    acknowledge: Acknowledge,
    topic: String,
    /// `None` while the twin has it.
    answer: Option<Answer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Acknowledge {
    Nothing,
    Puback(u16),
    Pubrec(u16),
}

impl Acknowledge {
    fn packet_id(self) -> Option<u16> {
        match self {
            Acknowledge::Nothing => None,
            Acknowledge::Puback(id) | Acknowledge::Pubrec(id) => Some(id),
        }
    }
}

#[derive(Debug)]
pub(super) struct Answer {
    code: PublishAnswer,
    faults: Vec<Fault>,
    /// The store did not take it: MQTT 3.1.1 must not acknowledge.
    not_stored: bool,
}

impl Session {
    /// RETAIN asks for nothing that is not done anyway: the newest value of everything is the twin's shadow. An empty retained
    /// payload, which clears a retained message, finds none and is no telemetry either.
    pub(super) fn on_publish(
        &mut self,
        topic: &str,
        qos: Qos,
        packet_id: Option<u16>,
        payload: ArcPayload,
        flags: Flags,
    ) {
        let Phase::Open(device) = &self.phase else { return self.fail(MqttError::ProtocolError) };
        let acknowledge = match (qos, packet_id) {
            (Qos::AtMostOnce, _) => Acknowledge::Nothing,
            (Qos::AtLeastOnce, Some(id)) if id != 0 => Acknowledge::Puback(id),
            (Qos::ExactlyOnce, Some(id)) if id != 0 => Acknowledge::Pubrec(id),
            _ => return self.fail(MqttError::ProtocolError),
        };
        if let Acknowledge::Pubrec(id) = acknowledge
            && self.kept.taken.contains(&id)
        {
            // Taken on an earlier connection: the library knows those of this one.
            if flags.duplicate {
                let answer = answer_to(Verdict::Kept { faults: Vec::new() });
                return self.answer_now(acknowledge, topic.to_owned(), answer);
            }
            // A first attempt is a new message (MQTT 5 section 3.3.1.1): the device lost its memory since, and starts to count again.
            self.kept.taken.remove(&id);
        }
        match topic::judge_publish(device, topic) {
            Ok(_) if flags.retain && payload.as_slice().is_empty() => {
                let answer = answer_to(Verdict::Kept { faults: Vec::new() });
                self.answer_now(acknowledge, topic.to_owned(), answer);
            }
            Ok(channel) => {
                self.pending.push_back(Pending { acknowledge, topic: topic.to_owned(), answer: None });
                self.outputs.push(Output::Publish(Message { channel, payload }));
            }
            Err(refusal) => {
                self.outputs.push(Output::Refused(topic_code(refusal)));
                self.answer_now(acknowledge, quoted(topic), refused_topic(refusal));
            }
        }
    }

    /// In its turn, without asking the twin.
    fn answer_now(&mut self, acknowledge: Acknowledge, topic: String, answer: Answer) {
        self.pending.push_back(Pending { acknowledge, topic, answer: Some(answer) });
        self.acknowledge_answered();
    }

    pub(super) fn on_verdict(&mut self, verdict: Verdict) {
        let Some(waiting) = self.pending.iter_mut().find(|p| p.answer.is_none()) else { return };
        waiting.answer = Some(answer_to(verdict));
        self.acknowledge_answered();
    }

    pub(super) fn on_pubrel(&mut self, packet_id: u16) {
        let known = self.kept.taken.remove(&packet_id);
        self.send(reply::pubcomp(self.version(), packet_id, known));
    }

    /// The library answers a repeated QoS 2 publish with a PUBREC of its own; while the first copy is not durable that
    /// would acknowledge too early, so it is dropped here and leaves with the verdict.
    pub(super) fn is_premature(&self, packet: &Packet) -> bool {
        let id = match packet {
            Packet::V3_1_1Pubrec(p) => p.packet_id(),
            Packet::V5_0Pubrec(p) => p.packet_id(),
            _ => return false,
        };
        let waits = matches!(&self.awaits_write, Some(Reply::Acknowledge(Acknowledge::Pubrec(other), _)) if *other == id);
        waits || self.pending.iter().any(|p| p.acknowledge == Acknowledge::Pubrec(id))
    }

    /// A report that is kept is on the disk before the acknowledgement leaves: a device that hears only the latter would think
    /// that all is well.
    pub(super) fn acknowledge_answered(&mut self) {
        while self.awaits_write.is_none() && self.pending.front().is_some_and(|p| p.answer.is_some()) {
            let Some(Pending { acknowledge, topic, answer: Some(answer) }) = self.pending.pop_front() else {
                return;
            };
            if !answer.faults.is_empty() && self.report(&topic, acknowledge.packet_id(), &answer.faults) {
                self.is_dirty = false;
                self.outputs.push(Output::Keep { kept: Box::new(self.snapshot()), answer: true });
                self.awaits_write = Some(Reply::Acknowledge(acknowledge, answer));
                return;
            }
            self.acknowledge(acknowledge, &answer);
        }
    }

    pub(super) fn acknowledge(&mut self, acknowledge: Acknowledge, answer: &Answer) {
        if self.is_closed() {
            return;
        }
        let version = self.version();
        if answer.not_stored && self.is_v3() {
            return self.close(CloseReason::NotStored);
        }
        if let Acknowledge::Pubrec(id) = acknowledge
            && (answer.code == PublishAnswer::Success || self.is_v3())
        {
            // Its message is on the disk by now.
            self.kept.taken.insert(id);
        }
        let reason = answer.faults.first().filter(|_| self.says_reasons).map(|fault| {
            if fault.field.is_empty() {
                format!("{}: {}", fault.code, fault.message)
            } else {
                format!("{} at {}: {}", fault.code, fault.field, fault.message)
            }
        });
        let packet = |reason: Option<&str>| match acknowledge {
            Acknowledge::Nothing => None,
            Acknowledge::Puback(id) => Some(reply::puback(version, id, answer.code, reason)),
            Acknowledge::Pubrec(id) => Some(reply::pubrec(version, id, answer.code, reason)),
        };
        let Some(full) = packet(reason.as_deref()) else { return };
        // Too large for the client with its reason: the code alone always fits.
        if self.try_send(full).is_err()
            && let Some(bare) = packet(None)
        {
            self.send(bare);
        }
    }

    /// Says what was refused on the device's errors topic, when it listens: on a lasting session with QoS 1 the report is kept
    /// until the device has it, and this says so; otherwise it leaves at QoS 0, and not at all when the client does not keep up.
    pub(super) fn report(&mut self, topic: &str, packet_id: Option<u16>, faults: &[Fault]) -> bool {
        let Some(terms) = self.kept.subscriptions.terms(Heard::Errors) else { return false };
        let report = |missed| report::errors_json(topic, packet_id, faults, missed);
        if terms.acknowledged && self.kept.is_lasting() {
            let wall = self.wall;
            let is_kept = self.kept.add_notice(wall, report);
            match is_kept {
                true => self.is_dirty = true,
                false => self.outputs.push(Output::Refused("NOTICES_FULL")),
            }
            self.send_waiting();
            return is_kept;
        }
        if self.outgoing.len() < self.options.max_outgoing_bytes {
            let terms = Terms { acknowledged: false, ..terms };
            if let Err(error) = self.deliver(Heard::Errors, &terms, Sent::Notice(0), report(0), false, None) {
                tracing::debug!(?error, "report not sent");
            }
        }
        false
    }

    /// What a verdict that comes after the connection's end has to say, for a session that lasts.
    pub(crate) fn late_report(&mut self, verdict: Verdict) -> Option<LateReport> {
        let at = self.pending.iter().position(|pending| pending.answer.is_none())?;
        let pending = self.pending.remove(at)?;
        let faults = answer_to(verdict).faults;
        let terms = self.kept.subscriptions.terms(Heard::Errors)?;
        (self.kept.is_lasting() && terms.acknowledged && !faults.is_empty()).then(|| LateReport {
            topic: pending.topic,
            packet_id: pending.acknowledge.packet_id(),
            faults,
        })
    }

    pub(super) fn report_too_large(&mut self, bytes: usize, max: usize) {
        let message = format!("a packet of {bytes} bytes; at most {max} are taken");
        let fault = Fault { code: RefusalCode::TooLarge.as_str(), field: String::new(), message };
        self.report("", None, &[fault]);
    }
}

/// A report for a device that is gone already.
#[derive(Debug)]
pub(crate) struct LateReport {
    topic: String,
    packet_id: Option<u16>,
    faults: Vec<Fault>,
}

impl LateReport {
    pub(crate) fn json(&self, missed: usize) -> Vec<u8> {
        report::errors_json(&self.topic, self.packet_id, &self.faults, missed)
    }
}

fn answer_to(verdict: Verdict) -> Answer {
    match verdict {
        Verdict::Kept { faults } => Answer { code: PublishAnswer::Success, faults, not_stored: false },
        Verdict::Refused { code, faults } => {
            Answer { code: refused_payload(code), faults, not_stored: false }
        }
        Verdict::NotStored(refusal) => Answer {
            code: match refusal.code {
                RefusalCode::Busy => PublishAnswer::QuotaExceeded,
                _ => PublishAnswer::StoreFailed,
            },
            faults: vec![refusal.into()],
            not_stored: true,
        },
    }
}

/// A topic or filter as it may be shown.
pub(super) fn quoted(topic: &str) -> String {
    topic.chars().take(QUOTED_CHARS).collect()
}

/// As it appears in metrics and on the errors topic.
pub(super) fn topic_code(refusal: TopicRefusal) -> &'static str {
    match refusal {
        TopicRefusal::NotYours => RefusalCode::NotYourDevice.as_str(),
        TopicRefusal::Unknown => "UNKNOWN_TOPIC",
    }
}

fn refused_topic(refusal: TopicRefusal) -> Answer {
    let (code, message) = match refusal {
        TopicRefusal::NotYours => (
            PublishAnswer::NotAuthorized,
            "a device publishes only on data, event and control/ack under device/{its own id}/",
        ),
        TopicRefusal::Unknown => (
            PublishAnswer::TopicNameInvalid,
            "no such topic: device/{deviceId}/data, …/event or …/control/ack",
        ),
    };
    let fault = Fault { code: topic_code(refusal), field: "topic".to_owned(), message: message.to_owned() };
    Answer { code, faults: vec![fault], not_stored: false }
}

fn refused_payload(code: RefusalCode) -> PublishAnswer {
    match code {
        RefusalCode::NotYourDevice | RefusalCode::UnknownDevice => PublishAnswer::NotAuthorized,
        RefusalCode::TooLarge => PublishAnswer::QuotaExceeded,
        _ => PublishAnswer::PayloadFormatInvalid,
    }
}
