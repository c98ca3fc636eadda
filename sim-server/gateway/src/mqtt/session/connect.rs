//! CONNECT and its answer.

use super::{CloseReason, Message, Output, Phase, Session, payload_of, publish};
use crate::{
    mqtt::reply::{self, ConnectRefusal, Welcome},
    topic,
};
use mqtt_protocol_core::mqtt::packet::{Property, v3_1_1, v5_0};
use shared::id::DeviceId;
use std::time::Duration;

/// What a CONNECT asked for, kept until the twin has said who it is.
#[derive(Debug, Default)]
pub(super) struct Hello {
    client_id_missing: bool,
    keep_alive_s: u16,
    wants_lasting_session: bool,
    will: Option<(String, Vec<u8>)>,
}

impl Session {
    pub(super) fn on_connect_v3(&mut self, connect: &v3_1_1::Connect) {
        if connect.client_id().is_empty() && !connect.clean_session() {
            return self.refuse_connect(ConnectRefusal::ClientIdMissing);
        }
        let hello = Hello {
            client_id_missing: false,
            keep_alive_s: connect.keep_alive(),
            wants_lasting_session: false,
            will: will(connect.will_topic(), connect.will_payload()),
        };
        self.authenticate(connect.user_name(), connect.password(), hello);
    }

    pub(super) fn on_connect_v5(&mut self, connect: &v5_0::Connect) {
        let mut hello = Hello {
            client_id_missing: connect.client_id().is_empty(),
            keep_alive_s: connect.keep_alive(),
            wants_lasting_session: false,
            will: will(connect.will_topic(), connect.will_payload()),
        };
        for property in connect.props() {
            match property {
                Property::AuthenticationMethod(_) => {
                    return self.refuse_connect(ConnectRefusal::BadAuthenticationMethod);
                }
                Property::SessionExpiryInterval(seconds) => hello.wants_lasting_session = seconds.val() > 0,
                Property::RequestProblemInformation(wanted) => self.says_reasons = wanted.val() != 0,
                _ => {}
            }
        }
        self.authenticate(connect.user_name(), connect.password(), hello);
    }

    fn authenticate(&mut self, user: Option<&str>, password: Option<&[u8]>, hello: Hello) {
        if !self.options.has_place {
            return self.refuse_connect(ConnectRefusal::NoPlace);
        }
        let Some(user) = user else { return self.refuse_connect(ConnectRefusal::Anonymous) };
        let Some(password) = password else { return self.refuse_connect(ConnectRefusal::BadCredentials) };
        self.outputs.push(Output::Authenticate { user: user.to_owned(), password: password.to_vec() });
        self.phase = Phase::Authenticating(hello);
    }

    pub(super) fn on_authenticated(&mut self, device: Option<DeviceId>, now: Duration) {
        let Phase::Authenticating(hello) = &mut self.phase else { return };
        let hello = std::mem::take(hello);
        let Some(device) = device else {
            return self.refuse_connect(ConnectRefusal::BadCredentials);
        };
        let longest_s = u16::try_from(self.options.max_keep_alive.as_secs()).unwrap_or(u16::MAX);
        let imposed = hello.keep_alive_s == 0 || hello.keep_alive_s > longest_s;
        let welcome = Welcome {
            // Client ids are free; this one says whose connection it is.
            assigned_client_id: hello.client_id_missing.then(|| device.to_string()),
            receive_maximum: self.options.window.max(1),
            max_packet_bytes: u32::try_from(self.options.max_packet_bytes).unwrap_or(u32::MAX),
            session_ends_with_connection: hello.wants_lasting_session,
            keep_alive_s: imposed.then_some(longest_s),
        };
        if let Some((topic, payload)) = hello.will {
            match topic::judge_publish(&device, &topic) {
                Ok(channel) => self.will = Some(Message { channel, payload: payload_of(&payload) }),
                Err(refusal) => {
                    self.outputs.push(Output::Refused(publish::topic_code(refusal)));
                    return self.refuse_connect(ConnectRefusal::WillTopic);
                }
            }
        }
        self.last_heard = now;
        self.outputs.push(Output::Opened(device.clone()));
        self.phase = Phase::Open(device);
        if self.try_send(reply::welcome(self.version(), &welcome)).is_err() {
            // The client's maximum packet size leaves no room for a CONNACK.
            self.close(CloseReason::ProtocolError);
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
            ConnectRefusal::Anonymous
            | ConnectRefusal::BadCredentials
            | ConnectRefusal::BadAuthenticationMethod
            | ConnectRefusal::ClientIdMissing => CloseReason::BadCredentials,
        });
    }
}

fn will(topic: Option<&str>, payload: Option<&[u8]>) -> Option<(String, Vec<u8>)> {
    topic.map(|topic| (topic.to_owned(), payload.unwrap_or_default().to_vec()))
}
