//! Publishes from the device: handed over, then acknowledged in the order they came.

use super::{CloseReason, Message, Output, Phase, Session};
use crate::{
    ingest::{Fault, Verdict},
    mqtt::reply::{self, PublishAnswer},
    report,
    topic::{self, TopicRefusal},
};
use mqtt_protocol_core::mqtt::{
    ArcPayload, Version,
    packet::{Packet, Qos},
    result_code::MqttError,
};
use shared::telemetry::RefusalCode;

/// A refused topic or filter is quoted up to here.
const QUOTED_CHARS: usize = 200;

/// A publish whose acknowledgement has not left.
#[derive(Debug)]
pub(super) struct Pending {
    acknowledge: Acknowledge,
    topic: String,
    /// `None` while the twin has it.
    answer: Option<Answer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Acknowledge {
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
struct Answer {
    code: PublishAnswer,
    faults: Vec<Fault>,
    /// The store did not take it: MQTT 3.1.1 must not acknowledge.
    not_stored: bool,
}

impl Session {
    pub(super) fn on_publish(&mut self, topic: &str, qos: Qos, packet_id: Option<u16>, payload: ArcPayload) {
        let Phase::Open(device) = &self.phase else { return self.fail(MqttError::ProtocolError) };
        let acknowledge = match (qos, packet_id) {
            (Qos::AtMostOnce, _) => Acknowledge::Nothing,
            (Qos::AtLeastOnce, Some(id)) if id != 0 => Acknowledge::Puback(id),
            (Qos::ExactlyOnce, Some(id)) if id != 0 => Acknowledge::Pubrec(id),
            _ => return self.fail(MqttError::ProtocolError),
        };
        match topic::judge_publish(device, topic) {
            Ok(channel) => {
                self.pending.push_back(Pending { acknowledge, topic: topic.to_owned(), answer: None });
                self.outputs.push(Output::Publish(Message { channel, payload }));
            }
            Err(refusal) => {
                let answer = refused_topic(refusal);
                self.outputs.push(Output::Refused(topic_code(refusal)));
                self.pending.push_back(Pending { acknowledge, topic: quoted(topic), answer: Some(answer) });
                self.acknowledge_answered();
            }
        }
    }

    pub(super) fn on_verdict(&mut self, verdict: Verdict) {
        let Some(waiting) = self.pending.iter_mut().find(|p| p.answer.is_none()) else { return };
        waiting.answer = Some(match verdict {
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
        });
        self.acknowledge_answered();
    }

    pub(super) fn on_pubrel(&mut self, packet_id: u16) {
        self.send(reply::pubcomp(self.version(), packet_id));
    }

    /// The library answers a repeated QoS 2 publish with a PUBREC of its own; while the first copy is not durable that
    /// would acknowledge too early, so it is dropped here and leaves with the verdict.
    pub(super) fn is_premature(&self, packet: &Packet) -> bool {
        let id = match packet {
            Packet::V3_1_1Pubrec(p) => p.packet_id(),
            Packet::V5_0Pubrec(p) => p.packet_id(),
            _ => return false,
        };
        self.pending.iter().any(|p| p.acknowledge == Acknowledge::Pubrec(id))
    }

    fn acknowledge_answered(&mut self) {
        while self.pending.front().is_some_and(|p| p.answer.is_some()) {
            let Some(Pending { acknowledge, topic, answer: Some(answer) }) = self.pending.pop_front() else {
                return;
            };
            if !answer.faults.is_empty() {
                self.report(&topic, acknowledge.packet_id(), &answer.faults);
            }
            let version = self.version();
            if answer.not_stored && version == Version::V3_1_1 {
                return self.close(CloseReason::NotStored);
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
            let Some(full) = packet(reason.as_deref()) else { continue };
            // Too large for the client with its reason: the code alone always fits.
            if self.try_send(full).is_err()
                && let Some(bare) = packet(None)
            {
                self.send(bare);
            }
        }
    }

    /// Says what was refused on the device's errors topic, when it listens. QoS 0, and dropped when the client does not keep
    /// up: it is a report, not the record.
    pub(super) fn report(&mut self, topic: &str, packet_id: Option<u16>, faults: &[Fault]) {
        let Phase::Open(device) = &self.phase else { return };
        if !self.subscriptions.errors() || self.outgoing.len() >= self.options.max_outgoing_bytes {
            return;
        }
        let payload = report::errors_json(topic, packet_id, faults);
        self.send(reply::publish(self.version(), &topic::errors(device), None, payload));
    }

    pub(super) fn report_too_large(&mut self, bytes: usize, max: usize) {
        let message = format!("a packet of {bytes} bytes; at most {max} are taken");
        let fault = Fault { code: RefusalCode::TooLarge.as_str(), field: String::new(), message };
        self.report("", None, &[fault]);
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
