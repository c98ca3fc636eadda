//! What the device wants to hear.

use super::{Output, Phase, Reply, Session, publish};
use crate::{
    ingest::Fault,
    mqtt::reply::{self, SubscribeAnswer, UnsubscribeAnswer},
    topic::{self, FilterVerdict, Heard},
};
use mqtt_protocol_core::mqtt::{
    packet::{Property, Qos, RetainHandling, SubEntry},
    result_code::MqttError,
};
use serde::{Deserialize, Serialize};

/// Three topics are there to be heard; nobody needs more filters than this.
const MAX_FILTERS: usize = 16;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Subscriptions {
    filters: Vec<Filter>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Filter {
    text: String,
    /// QoS 1 rather than 0.
    acknowledged: bool,
    heard: Vec<Heard>,
    id: Option<u32>,
    retain_as_published: bool,
}

/// How a topic is delivered: as the most demanding of the filters that match it asks for, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terms {
    pub acknowledged: bool,
    pub retain_as_published: bool,
    pub ids: Vec<u32>,
}

impl Subscriptions {
    /// `None` when nobody listens.
    pub(super) fn terms(&self, heard: Heard) -> Option<Terms> {
        let mut terms: Option<Terms> = None;
        for filter in self.filters.iter().filter(|filter| filter.heard.contains(&heard)) {
            let empty = Terms { acknowledged: false, retain_as_published: false, ids: Vec::new() };
            let terms = terms.get_or_insert(empty);
            terms.acknowledged |= filter.acknowledged;
            terms.retain_as_published |= filter.retain_as_published;
            terms.ids.extend(filter.id);
        }
        terms
    }

    pub(super) fn hears(&self, heard: Heard) -> bool {
        self.filters.iter().any(|filter| filter.heard.contains(&heard))
    }

    fn has(&self, text: &str) -> bool {
        self.filters.iter().any(|filter| filter.text == text)
    }

    fn add(&mut self, filter: Filter) -> SubscribeAnswer {
        let granted =
            SubscribeAnswer::Granted(if filter.acknowledged { Qos::AtLeastOnce } else { Qos::AtMostOnce });
        if let Some(known) = self.filters.iter_mut().find(|known| known.text == filter.text) {
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
        self.filters.retain(|filter| filter.text != text);
        self.filters.len() < before
    }
}

/// What is wrong with a filter that is not granted: its code in metrics and on the errors topic, and in words.
fn refusal(answer: SubscribeAnswer) -> Option<(&'static str, &'static str)> {
    match answer {
        SubscribeAnswer::Granted(_) => None,
        SubscribeAnswer::NotAuthorized => Some((
            "NOT_YOUR_TOPIC",
            "a device hears only control, desired and errors under device/{its own id}/",
        )),
        SubscribeAnswer::FilterInvalid => Some(("INVALID_FILTER", "no topic filter")),
        SubscribeAnswer::QuotaExceeded => {
            Some(("TOO_MANY_FILTERS", "the session has as many filters as are kept"))
        }
        SubscribeAnswer::NotStored => {
            Some((publish::NOT_STORED, "the session could not be written; subscribe again later"))
        }
    }
}

impl Session {
    /// `properties` are empty in 3.1.1.
    pub(super) fn on_subscribe(&mut self, packet_id: u16, entries: &[SubEntry], properties: &[Property]) {
        let Phase::Open(device) = &self.phase else { return self.fail(MqttError::ProtocolError) };
        if packet_id == 0 {
            return self.fail(MqttError::ProtocolError);
        }
        let id = properties.iter().find_map(|property| match property {
            Property::SubscriptionIdentifier(id) => Some(id.val()),
            _ => None,
        });
        let before = self.kept.subscriptions.clone();
        let mut answers = Vec::with_capacity(entries.len());
        let mut wants_retained = false;
        for entry in entries {
            let (text, options) = (entry.topic_filter(), entry.sub_opts());
            let answer = match topic::judge_filter(device, text) {
                FilterVerdict::Hears { heard, shared } => {
                    if shared && options.nl() {
                        // MQTT 5 section 3.8.3.1: No Local on a shared subscription is a protocol error.
                        return self.fail(MqttError::ProtocolError);
                    }
                    let is_new = !before.has(text);
                    // QoS 1 is as far as commands need to go: they carry their own id.
                    let answer = self.kept.subscriptions.add(Filter {
                        text: text.to_owned(),
                        acknowledged: options.qos() != Qos::AtMostOnce,
                        retain_as_published: options.rap(),
                        id,
                        heard: heard.clone(),
                    });
                    let asks = match options.rh() {
                        RetainHandling::SendRetained => true,
                        RetainHandling::SendRetainedIfNotExists => is_new,
                        RetainHandling::DoNotSendRetained => false,
                    };
                    // A shared subscription gets no retained messages (section 4.8.2).
                    wants_retained |= asks
                        && !shared
                        && heard.contains(&Heard::Desired)
                        && matches!(answer, SubscribeAnswer::Granted(_));
                    answer
                }
                FilterVerdict::NotYours => SubscribeAnswer::NotAuthorized,
                FilterVerdict::Invalid => SubscribeAnswer::FilterInvalid,
            };
            answers.push(answer);
        }
        let filters = entries.iter().map(|entry| publish::quoted(entry.topic_filter())).collect();
        let reply = Reply::Suback { packet_id, answers, filters, wants_retained, before };
        self.reply_when_kept(reply);
    }

    pub(super) fn on_unsubscribe<'a>(&mut self, packet_id: u16, filters: impl Iterator<Item = &'a str>) {
        if packet_id == 0 || !matches!(self.phase, Phase::Open(_)) {
            return self.fail(MqttError::ProtocolError);
        }
        let before = self.kept.subscriptions.clone();
        let answers = filters.map(|filter| match self.kept.subscriptions.remove(filter) {
            true => UnsubscribeAnswer::Success,
            false => UnsubscribeAnswer::NoneExisted,
        });
        let answers = answers.collect();
        self.reply_when_kept(Reply::Unsuback { packet_id, answers, before });
    }

    /// What a lasting session promises is on the disk before the promise: after a crash it would be resumed without the
    /// subscription, and its device none the wiser.
    fn reply_when_kept(&mut self, reply: Reply) {
        let changed = match &reply {
            Reply::Suback { before, .. } | Reply::Unsuback { before, .. } => {
                *before != self.kept.subscriptions
            }
            Reply::Acknowledge(..) => true,
        };
        self.awaits_write = Some(reply);
        if changed && self.kept.is_lasting() {
            self.is_dirty = false;
            self.outputs.push(Output::Keep { kept: Box::new(self.snapshot()), answer: true });
        } else {
            self.on_written(true);
        }
    }

    /// The answer to [`Output::Keep`].
    pub(super) fn on_written(&mut self, is_written: bool) {
        match self.awaits_write.take() {
            None => {}
            // The report waits in memory if not on the disk.
            Some(Reply::Acknowledge(acknowledge, answer)) => self.acknowledge(acknowledge, &answer),
            Some(Reply::Suback { packet_id, mut answers, filters, wants_retained, before }) => {
                if !is_written {
                    self.kept.subscriptions = before;
                    for answer in &mut answers {
                        if matches!(answer, SubscribeAnswer::Granted(_)) {
                            *answer = SubscribeAnswer::NotStored;
                        }
                    }
                }
                let version = self.version();
                let words = answers.iter().find_map(|answer| refusal(*answer)).filter(|_| self.says_reasons);
                let words = words.map(|(code, message)| format!("{code}: {message}"));
                // Too large for the client with its reason: the codes are what it must have.
                if self.try_send(reply::suback(version, packet_id, &answers, words.as_deref())).is_err()
                    && words.is_some()
                {
                    self.send(reply::suback(version, packet_id, &answers, None));
                }
                for (filter, answer) in filters.iter().zip(answers) {
                    let Some((code, message)) = refusal(answer) else { continue };
                    self.outputs.push(Output::Refused(code));
                    let fault = Fault { code, field: "topicFilter".to_owned(), message: message.to_owned() };
                    self.report(filter, Some(packet_id), &[fault]);
                }
                if wants_retained && is_written {
                    self.outputs.push(Output::AskDesired { retained: true });
                }
            }
            Some(Reply::Unsuback { packet_id, mut answers, before }) => {
                if !is_written {
                    self.kept.subscriptions = before;
                    // A 3.1.1 UNSUBACK cannot say no.
                    if self.is_v3() {
                        return self.close(super::CloseReason::NotStored);
                    }
                    answers.fill(UnsubscribeAnswer::NotStored);
                }
                self.send(reply::unsuback(self.version(), packet_id, &answers));
            }
        }
        self.acknowledge_answered();
    }
}
