//! CONNECT and its answer: who it is, then whether its will may be, then what is kept of its session, and only then CONNACK.

use super::{
    CloseReason, Output, Phase, Session,
    kept::{Kept, Will},
    publish,
};
use crate::{
    mqtt::reply::{self, ConnectRefusal, Welcome},
    topic,
};
use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};
use shared::id::DeviceId;
use std::time::Duration;

/// Longer ones are refused for sessions that are to be kept under them.
const MAX_CLIENT_ID_BYTES: usize = 256;

/// What a CONNECT asked for, kept until it is answered.
#[derive(Debug, Default)]
pub(super) struct Hello {
    client_id: String,
    clean_start: bool,
    keep_alive_s: u16,
    /// How long its session is to outlive the connection; `None` in 3.1.1 for as long as possible.
    expiry_s: Option<u32>,
    will: Option<(String, Vec<u8>)>,
    will_delay_s: u32,
}

/// What the shell is to find out about a session before it is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    pub device: DeviceId,
    pub client_id: String,
    /// What is kept under this id is forgotten.
    pub clean_start: bool,
    pub expiry_s: u32,
    pub will: Option<Will>,
}

impl Opening {
    /// The session while the connection has it, given what was kept before.
    pub(crate) fn kept(&self, before: Option<&Kept>) -> Kept {
        let before = before.cloned().unwrap_or_default();
        Kept { expiry_s: self.expiry_s, left_at: None, will: self.will.clone(), ..before }
    }
}

impl Session {
    pub(super) fn on_connect_v3(&mut self, connect: &v3_1_1::Connect) {
        if connect.client_id().is_empty() && !connect.clean_session() {
            return self.refuse_connect(ConnectRefusal::ClientIdMissing);
        }
        let hello = Hello {
            client_id: connect.client_id().to_owned(),
            clean_start: connect.clean_session(),
            keep_alive_s: connect.keep_alive(),
            expiry_s: connect.clean_session().then_some(0),
            will: will(connect.will_topic(), connect.will_payload()),
            will_delay_s: 0,
        };
        self.authenticate(connect.user_name(), connect.password(), hello);
    }

    /// `takes_no_alias`: the client said so in as many words, which the library was not told.
    pub(super) fn on_connect_v5(&mut self, connect: &v5_0::Connect, takes_no_alias: bool) {
        let mut hello = Hello {
            client_id: connect.client_id().to_owned(),
            clean_start: connect.clean_start(),
            keep_alive_s: connect.keep_alive(),
            expiry_s: Some(0),
            will: will(connect.will_topic(), connect.will_payload()),
            will_delay_s: 0,
        };
        for property in connect.props() {
            match property {
                Property::AuthenticationMethod(_) => {
                    return self.refuse_connect(ConnectRefusal::BadAuthenticationMethod);
                }
                Property::SessionExpiryInterval(seconds) => hello.expiry_s = Some(seconds.val()),
                Property::RequestProblemInformation(wanted) => self.says_reasons = wanted.val() != 0,
                Property::TopicAliasMaximum(most) if !takes_no_alias => self.alias_maximum = most.val(),
                _ => {}
            }
        }
        for property in connect.will_props() {
            if let Property::WillDelayInterval(seconds) = property {
                hello.will_delay_s = seconds.val();
            }
        }
        self.authenticate(connect.user_name(), connect.password(), hello);
    }

    fn authenticate(&mut self, user: Option<&str>, password: Option<&[u8]>, hello: Hello) {
        if !self.options.has_place {
            return self.refuse_connect(ConnectRefusal::NoPlace);
        }
        if hello.expiry_s != Some(0) && hello.client_id.len() > MAX_CLIENT_ID_BYTES {
            return self.refuse_connect(ConnectRefusal::ClientIdTooLong);
        }
        match (user, password) {
            _ if self.options.has_certificate => {}
            (None, _) => return self.refuse_connect(ConnectRefusal::Anonymous),
            (_, None) => return self.refuse_connect(ConnectRefusal::BadCredentials),
            _ => {}
        }
        let (user, password) = (user.map(str::to_owned), password.map(<[u8]>::to_vec));
        self.outputs.push(Output::Authenticate { user, password });
        self.phase = Phase::Authenticating(Box::new(hello));
    }

    pub(super) fn on_authenticated(&mut self, device: Option<DeviceId>) {
        let Phase::Authenticating(hello) = &mut self.phase else { return };
        let mut hello = std::mem::take(hello);
        let Some(device) = device else {
            return self.refuse_connect(match self.options.has_certificate {
                true => ConnectRefusal::BadCertificate,
                false => ConnectRefusal::BadCredentials,
            });
        };
        if let Some((topic, payload)) = hello.will.take() {
            match topic::judge_publish(&device, &topic) {
                Ok(channel) => {
                    self.kept.will = Some(Will::new(channel, &payload, hello.will_delay_s));
                }
                Err(refusal) => {
                    self.outputs.push(Output::Refused(publish::topic_code(refusal)));
                    return self.refuse_connect(ConnectRefusal::WillTopic);
                }
            }
        }
        let longest_s = self.options.longest_session_s;
        self.outputs.push(Output::Open(Opening {
            device: device.clone(),
            // Client ids are free; a missing one is made of whose connection it is.
            client_id: match hello.client_id.is_empty() {
                true => device.to_string(),
                false => hello.client_id.clone(),
            },
            clean_start: hello.clean_start,
            expiry_s: hello.expiry_s.unwrap_or(longest_s).min(longest_s),
            will: self.kept.will.clone(),
        }));
        self.phase = Phase::Opening { device, hello };
    }

    /// `kept` is what there is of the session, if anything; `Err` when it could not be written.
    pub(super) fn on_opened(&mut self, kept: Result<Option<Box<Kept>>, ()>, now: Duration) {
        let Phase::Opening { device, hello } = &mut self.phase else { return };
        let (device, hello) = (device.clone(), std::mem::take(hello));
        let Ok(kept) = kept else { return self.refuse_connect(ConnectRefusal::NotStored) };
        let session_present = kept.is_some();
        let longest_s = self.options.longest_session_s;
        let expiry_s = hello.expiry_s.unwrap_or(longest_s).min(longest_s);
        let will = self.kept.will.take();
        self.kept = Kept { expiry_s, left_at: None, will, ..kept.map(|kept| *kept).unwrap_or_default() };
        let longest_keep_alive_s = u16::try_from(self.options.max_keep_alive.as_secs()).unwrap_or(u16::MAX);
        let imposed = hello.keep_alive_s == 0 || hello.keep_alive_s > longest_keep_alive_s;
        let welcome = Welcome {
            session_present,
            assigned_client_id: hello.client_id.is_empty().then(|| device.to_string()),
            receive_maximum: self.options.window.max(1),
            max_packet_bytes: u32::try_from(self.options.max_packet_bytes).unwrap_or(u32::MAX),
            session_expiry_s: (hello.expiry_s != Some(expiry_s)).then_some(expiry_s),
            keep_alive_s: imposed.then_some(longest_keep_alive_s),
        };
        self.asked_to_last = hello.expiry_s != Some(0);
        self.last_heard = now;
        self.phase = Phase::Open(device);
        if self.try_send(reply::welcome(self.version(), &welcome)).is_err() {
            // The client's maximum packet size leaves no room for a CONNACK.
            return self.close(CloseReason::ProtocolError);
        }
        if !session_present {
            return;
        }
        self.resume_deliveries();
        self.send_waiting();
        if self.kept.subscriptions.hears(topic::Heard::Desired) {
            self.outputs.push(Output::AskDesired { retained: false });
        }
    }

    fn refuse_connect(&mut self, why: ConnectRefusal) {
        // In words when the client has room for them: the code alone always fits.
        if self.try_send(reply::refuse_connect(self.version(), why, true)).is_err() {
            self.send(reply::refuse_connect(self.version(), why, false));
        }
        self.close(match why {
            ConnectRefusal::WillTopic => CloseReason::BadWill,
            ConnectRefusal::NoPlace => CloseReason::TooManyConnections,
            ConnectRefusal::NotStored => CloseReason::NotStored,
            ConnectRefusal::Anonymous
            | ConnectRefusal::BadCredentials
            | ConnectRefusal::BadCertificate
            | ConnectRefusal::BadAuthenticationMethod
            | ConnectRefusal::ClientIdMissing
            | ConnectRefusal::ClientIdTooLong => CloseReason::BadCredentials,
        });
    }
}

fn will(topic: Option<&str>, payload: Option<&[u8]>) -> Option<(String, Vec<u8>)> {
    topic.map(|topic| (topic.to_owned(), payload.unwrap_or_default().to_vec()))
}
