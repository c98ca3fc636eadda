//! What the device wants to hear.

use super::{Output, Phase, Session, publish};
use crate::{
    ingest::Fault,
    mqtt::reply::{self, SubscribeAnswer},
    topic::{self, FilterVerdict},
};
use mqtt_protocol_core::mqtt::{
    packet::{Qos, SubEntry},
    result_code::MqttError,
};

/// Two topics are there to be heard; nobody needs more filters than this on one connection.
const MAX_FILTERS: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    filters: Vec<Filter>,
}

#[derive(Debug)]
struct Filter {
    text: String,
    qos: Qos,
    control: bool,
    errors: bool,
}

impl Subscriptions {
    /// The QoS commands are delivered with; `None` when nobody listens.
    pub(super) fn control(&self) -> Option<Qos> {
        let heard = self.filters.iter().filter(|f| f.control);
        heard.map(|f| f.qos).max_by_key(|qos| *qos as u8)
    }

    pub(super) fn errors(&self) -> bool {
        self.filters.iter().any(|f| f.errors)
    }

    fn add(&mut self, filter: Filter) -> SubscribeAnswer {
        let granted = SubscribeAnswer::Granted(filter.qos);
        if let Some(known) = self.filters.iter_mut().find(|f| f.text == filter.text) {
            *known = filter;
        } else if self.filters.len() < MAX_FILTERS {
            self.filters.push(filter);
        } else {
            return SubscribeAnswer::QuotaExceeded;
        }
        granted
    }

    fn remove(&mut self, text: &str) -> bool {
        let before = self.filters.len();
        self.filters.retain(|f| f.text != text);
        self.filters.len() < before
    }
}

/// What is wrong with a filter that is not granted: its code in metrics and on the errors topic, and in words.
fn refusal(answer: SubscribeAnswer) -> Option<(&'static str, &'static str)> {
    match answer {
        SubscribeAnswer::Granted(_) => None,
        SubscribeAnswer::NotAuthorized => {
            Some(("NOT_YOUR_TOPIC", "a device hears only control and errors under device/{its own id}/"))
        }
        SubscribeAnswer::FilterInvalid => Some(("INVALID_FILTER", "no topic filter")),
        SubscribeAnswer::SharedNotSupported => {
            Some(("SHARED_FILTER", "a device's topics have one reader: no $share/"))
        }
        SubscribeAnswer::QuotaExceeded => {
            Some(("TOO_MANY_FILTERS", "the connection has as many filters as are kept"))
        }
    }
}

impl Session {
    pub(super) fn on_subscribe(&mut self, packet_id: u16, entries: &[SubEntry]) {
        let Phase::Open(device) = &self.phase else { return self.fail(MqttError::ProtocolError) };
        if packet_id == 0 {
            return self.fail(MqttError::ProtocolError);
        }
        let mut answers = Vec::with_capacity(entries.len());
        for entry in entries {
            let answer = match topic::judge_filter(device, entry.topic_filter()) {
                FilterVerdict::Hears { control, errors } => {
                    // QoS 1 is as far as commands need to go: they carry their own id.
                    let qos = match entry.sub_opts().qos() {
                        Qos::AtMostOnce => Qos::AtMostOnce,
                        _ => Qos::AtLeastOnce,
                    };
                    let text = entry.topic_filter().to_owned();
                    self.subscriptions.add(Filter { text, qos, control, errors })
                }
                FilterVerdict::NotYours => SubscribeAnswer::NotAuthorized,
                FilterVerdict::Invalid => SubscribeAnswer::FilterInvalid,
                FilterVerdict::Shared => SubscribeAnswer::SharedNotSupported,
            };
            answers.push(answer);
        }
        self.send(reply::suback(self.version(), packet_id, &answers));
        for (entry, answer) in entries.iter().zip(answers) {
            let Some((code, message)) = refusal(answer) else { continue };
            self.outputs.push(Output::Refused(code));
            let fault = Fault { code, field: "topicFilter".to_owned(), message: message.to_owned() };
            self.report(&publish::quoted(entry.topic_filter()), Some(packet_id), &[fault]);
        }
    }

    pub(super) fn on_unsubscribe<'a>(&mut self, packet_id: u16, filters: impl Iterator<Item = &'a str>) {
        if packet_id == 0 || !matches!(self.phase, Phase::Open(_)) {
            return self.fail(MqttError::ProtocolError);
        }
        let existed: Vec<bool> = filters.map(|filter| self.subscriptions.remove(filter)).collect();
        self.send(reply::unsuback(self.version(), packet_id, &existed));
    }
}
