//! What the server says, in the words of MQTT 3.1.1 or 5.

use mqtt_protocol_core::mqtt::{
    Version,
    packet::{
        AssignedClientIdentifier, MaximumPacketSize, MessageExpiryInterval, Packet, Property, Qos,
        ReasonString, ReceiveMaximum, ServerKeepAlive, SessionExpiryInterval, SubscriptionIdentifier,
        TopicAlias, TopicAliasMaximum, v3_1_1, v5_0,
    },
    result_code::{
        ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, PubackReasonCode,
        PubcompReasonCode, PubrecReasonCode, SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
    },
};

/// Topic aliases a client may set up: it has three topics to publish on.
const TOPIC_ALIASES: u16 = 8;
/// Reason strings are for people; longer ones are on the errors topic.
const REASON_CHARS: usize = 200;

/// Why a CONNECT is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectRefusal {
    /// No user name: devices are known by name.
    Anonymous,
    BadCredentials,
    /// A valid client certificate, of no device or of another one than the user name says.
    BadCertificate,
    BadAuthenticationMethod,
    /// An empty client id may not ask for its session to be kept (MQTT 3.1.1 section 3.1.3.1).
    ClientIdMissing,
    /// Nor may it be longer than what is kept.
    ClientIdTooLong,
    /// The will's topic is not the device's to publish on.
    WillTopic,
    NoPlace,
    /// The session could not be written.
    NotStored,
}

impl ConnectRefusal {
    /// For people, where the protocol can carry it.
    fn reason(self) -> &'static str {
        match self {
            ConnectRefusal::Anonymous => "send the device id as user name and its secret as password",
            ConnectRefusal::BadCredentials => "no such device with this secret",
            ConnectRefusal::BadCertificate => "the client certificate names no such device",
            ConnectRefusal::BadAuthenticationMethod => "there is no enhanced authentication here",
            ConnectRefusal::ClientIdTooLong => "sessions are kept under client ids of at most 256 bytes",
            ConnectRefusal::NotStored => {
                "sessions cannot be written now; start without one, or try again later"
            }
            ConnectRefusal::ClientIdMissing => "a session without a client id cannot be kept",
            ConnectRefusal::WillTopic => {
                "a will goes to data, event or control/ack under device/{its own id}/"
            }
            ConnectRefusal::NoPlace => "as many devices are connected as the server takes; try again later",
        }
    }
}

/// What a CONNACK tells an accepted client.
#[derive(Debug, Clone)]
pub(crate) struct Welcome {
    pub session_present: bool,
    pub assigned_client_id: Option<String>,
    pub receive_maximum: u16,
    pub max_packet_bytes: u32,
    /// When the session lasts other than the client asked for, in seconds.
    pub session_expiry_s: Option<u32>,
    /// Imposed when the client's own is none or too long, in seconds.
    pub keep_alive_s: Option<u16>,
}

/// What a PUBACK or PUBREC says about a publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PublishAnswer {
    Success,
    NotAuthorized,
    TopicNameInvalid,
    PayloadFormatInvalid,
    QuotaExceeded,
    StoreFailed,
}

/// What a SUBACK says about one filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubscribeAnswer {
    Granted(Qos),
    NotAuthorized,
    FilterInvalid,
    QuotaExceeded,
    /// A lasting session could not be written.
    NotStored,
}

/// What an UNSUBACK says about one filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnsubscribeAnswer {
    Success,
    NoneExisted,
    NotStored,
}

/// A publish to the device.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    /// Empty where the client knows it by its alias.
    pub topic: &'a str,
    pub alias: Option<u16>,
    /// QoS 1 with one, QoS 0 without.
    pub packet_id: Option<u16>,
    pub duplicate: bool,
    pub retain: bool,
    pub expires_in_s: Option<u32>,
    /// Of the filters that match.
    pub subscription_ids: &'a [u32],
}

/// Unwanted protocol version: the only CONNACK every client can read. The library knows no version to send it in.
pub(crate) const CONNACK_UNACCEPTABLE_VERSION: [u8; 4] = [0x20, 2, 0, 1];
/// For a CONNECT too large to be read, and so to be shown to the library: MQTT 5's reason code 0x95, no properties.
pub(crate) const CONNACK_V5_PACKET_TOO_LARGE: [u8; 5] = [0x20, 3, 0, 0x95, 0];

pub(crate) fn welcome(version: Version, welcome: &Welcome) -> Result<Packet, MqttError> {
    if version == Version::V3_1_1 {
        return Ok(v3_1_1::Connack::builder()
            .session_present(welcome.session_present)
            .return_code(ConnectReturnCode::Accepted)
            .build()?
            .into());
    }
    let mut props: Vec<Property> = vec![
        ReceiveMaximum::new(welcome.receive_maximum)?.into(),
        MaximumPacketSize::new(welcome.max_packet_bytes)?.into(),
        TopicAliasMaximum::new(TOPIC_ALIASES)?.into(),
    ];
    if let Some(id) = &welcome.assigned_client_id {
        props.push(AssignedClientIdentifier::new(id.as_str())?.into());
    }
    if let Some(seconds) = welcome.session_expiry_s {
        props.push(SessionExpiryInterval::new(seconds)?.into());
    }
    if let Some(seconds) = welcome.keep_alive_s {
        props.push(ServerKeepAlive::new(seconds)?.into());
    }
    Ok(v5_0::Connack::builder()
        .session_present(welcome.session_present)
        .reason_code(ConnectReasonCode::Success)
        .props(props)
        .build()?
        .into())
}

/// With the reason in words when asked for and when there is a place for it.
pub(crate) fn refuse_connect(
    version: Version,
    why: ConnectRefusal,
    in_words: bool,
) -> Result<Packet, MqttError> {
    if version == Version::V3_1_1 {
        let code = match why {
            ConnectRefusal::Anonymous | ConnectRefusal::BadCertificate | ConnectRefusal::WillTopic => {
                ConnectReturnCode::NotAuthorized
            }
            ConnectRefusal::BadCredentials | ConnectRefusal::BadAuthenticationMethod => {
                ConnectReturnCode::BadUserNameOrPassword
            }
            ConnectRefusal::ClientIdMissing | ConnectRefusal::ClientIdTooLong => {
                ConnectReturnCode::IdentifierRejected
            }
            ConnectRefusal::NoPlace | ConnectRefusal::NotStored => ConnectReturnCode::ServerUnavailable,
        };
        return Ok(v3_1_1::Connack::builder().session_present(false).return_code(code).build()?.into());
    }
    let code = match why {
        ConnectRefusal::Anonymous | ConnectRefusal::BadCertificate => ConnectReasonCode::NotAuthorized,
        ConnectRefusal::BadCredentials => ConnectReasonCode::BadUserNameOrPassword,
        ConnectRefusal::BadAuthenticationMethod => ConnectReasonCode::BadAuthenticationMethod,
        ConnectRefusal::ClientIdMissing | ConnectRefusal::ClientIdTooLong => {
            ConnectReasonCode::ClientIdentifierNotValid
        }
        ConnectRefusal::WillTopic => ConnectReasonCode::TopicNameInvalid,
        ConnectRefusal::NoPlace => ConnectReasonCode::QuotaExceeded,
        ConnectRefusal::NotStored => ConnectReasonCode::ServerUnavailable,
    };
    let builder = v5_0::Connack::builder().session_present(false).reason_code(code);
    Ok(if in_words {
        builder.props(reason_string(why.reason())?).build()?.into()
    } else {
        builder.build()?.into()
    })
}

/// `reason` is left out of MQTT 3.1.1, which has no place for it.
pub(crate) fn puback(
    version: Version,
    packet_id: u16,
    answer: PublishAnswer,
    reason: Option<&str>,
) -> Result<Packet, MqttError> {
    if version == Version::V3_1_1 {
        return Ok(v3_1_1::Puback::builder().packet_id(packet_id).build()?.into());
    }
    let builder = v5_0::Puback::builder().packet_id(packet_id);
    if answer == PublishAnswer::Success {
        return Ok(builder.build()?.into());
    }
    let builder = builder.reason_code(match answer {
        PublishAnswer::Success => PubackReasonCode::Success,
        PublishAnswer::NotAuthorized => PubackReasonCode::NotAuthorized,
        PublishAnswer::TopicNameInvalid => PubackReasonCode::TopicNameInvalid,
        PublishAnswer::PayloadFormatInvalid => PubackReasonCode::PayloadFormatInvalid,
        PublishAnswer::QuotaExceeded => PubackReasonCode::QuotaExceeded,
        PublishAnswer::StoreFailed => PubackReasonCode::ImplementationSpecificError,
    });
    Ok(match reason {
        Some(reason) => builder.props(reason_string(reason)?).build()?.into(),
        None => builder.build()?.into(),
    })
}

pub(crate) fn pubrec(
    version: Version,
    packet_id: u16,
    answer: PublishAnswer,
    reason: Option<&str>,
) -> Result<Packet, MqttError> {
    if version == Version::V3_1_1 {
        return Ok(v3_1_1::Pubrec::builder().packet_id(packet_id).build()?.into());
    }
    let builder = v5_0::Pubrec::builder().packet_id(packet_id);
    if answer == PublishAnswer::Success {
        return Ok(builder.build()?.into());
    }
    let builder = builder.reason_code(match answer {
        PublishAnswer::Success => PubrecReasonCode::Success,
        PublishAnswer::NotAuthorized => PubrecReasonCode::NotAuthorized,
        PublishAnswer::TopicNameInvalid => PubrecReasonCode::TopicNameInvalid,
        PublishAnswer::PayloadFormatInvalid => PubrecReasonCode::PayloadFormatInvalid,
        PublishAnswer::QuotaExceeded => PubrecReasonCode::QuotaExceeded,
        PublishAnswer::StoreFailed => PubrecReasonCode::ImplementationSpecificError,
    });
    Ok(match reason {
        Some(reason) => builder.props(reason_string(reason)?).build()?.into(),
        None => builder.build()?.into(),
    })
}

fn reason_string(reason: &str) -> Result<Vec<Property>, MqttError> {
    let short: String = reason.chars().filter(|c| !c.is_control()).take(REASON_CHARS).collect();
    Ok(vec![ReasonString::new(short.as_str())?.into()])
}

/// `known`: whether there was such a publish to release.
pub(crate) fn pubcomp(version: Version, packet_id: u16, known: bool) -> Result<Packet, MqttError> {
    if version == Version::V3_1_1 {
        return Ok(v3_1_1::Pubcomp::builder().packet_id(packet_id).build()?.into());
    }
    let builder = v5_0::Pubcomp::builder().packet_id(packet_id);
    Ok(match known {
        true => builder.build()?.into(),
        false => builder.reason_code(PubcompReasonCode::PacketIdentifierNotFound).build()?.into(),
    })
}

/// `reason` says what is wrong with the filters that are not granted.
pub(crate) fn suback(
    version: Version,
    packet_id: u16,
    answers: &[SubscribeAnswer],
    reason: Option<&str>,
) -> Result<Packet, MqttError> {
    if version == Version::V3_1_1 {
        let codes = answers
            .iter()
            .map(|answer| match answer {
                SubscribeAnswer::Granted(Qos::AtMostOnce) => SubackReturnCode::SuccessMaximumQos0,
                SubscribeAnswer::Granted(_) => SubackReturnCode::SuccessMaximumQos1,
                _ => SubackReturnCode::Failure,
            })
            .collect::<Vec<_>>();
        return Ok(v3_1_1::Suback::builder().packet_id(packet_id).return_codes(codes).build()?.into());
    }
    let codes = answers
        .iter()
        .map(|answer| match answer {
            SubscribeAnswer::Granted(Qos::AtMostOnce) => SubackReasonCode::GrantedQos0,
            SubscribeAnswer::Granted(_) => SubackReasonCode::GrantedQos1,
            SubscribeAnswer::NotAuthorized => SubackReasonCode::NotAuthorized,
            SubscribeAnswer::FilterInvalid => SubackReasonCode::TopicFilterInvalid,
            SubscribeAnswer::QuotaExceeded => SubackReasonCode::QuotaExceeded,
            SubscribeAnswer::NotStored => SubackReasonCode::ImplementationSpecificError,
        })
        .collect::<Vec<_>>();
    let builder = v5_0::Suback::builder().packet_id(packet_id).reason_codes(codes);
    Ok(match reason {
        Some(reason) => builder.props(reason_string(reason)?).build()?.into(),
        None => builder.build()?.into(),
    })
}

pub(crate) fn unsuback(
    version: Version,
    packet_id: u16,
    answers: &[UnsubscribeAnswer],
) -> Result<Packet, MqttError> {
    if version == Version::V3_1_1 {
        return Ok(v3_1_1::Unsuback::builder().packet_id(packet_id).build()?.into());
    }
    let codes = answers
        .iter()
        .map(|answer| match answer {
            UnsubscribeAnswer::Success => UnsubackReasonCode::Success,
            UnsubscribeAnswer::NoneExisted => UnsubackReasonCode::NoSubscriptionExisted,
            UnsubscribeAnswer::NotStored => UnsubackReasonCode::ImplementationSpecificError,
        })
        .collect::<Vec<_>>();
    Ok(v5_0::Unsuback::builder().packet_id(packet_id).reason_codes(codes).build()?.into())
}

pub(crate) fn pingresp(version: Version) -> Result<Packet, MqttError> {
    Ok(match version {
        Version::V3_1_1 => v3_1_1::Pingresp::builder().build()?.into(),
        _ => v5_0::Pingresp::builder().build()?.into(),
    })
}

pub(crate) fn publish(
    version: Version,
    outgoing: &Outgoing<'_>,
    payload: Vec<u8>,
) -> Result<Packet, MqttError> {
    let qos = if outgoing.packet_id.is_some() { Qos::AtLeastOnce } else { Qos::AtMostOnce };
    if version == Version::V3_1_1 {
        let builder = v3_1_1::Publish::builder().topic_name(outgoing.topic)?.qos(qos).payload(payload);
        let builder = builder.dup(outgoing.duplicate).retain(outgoing.retain);
        return Ok(match outgoing.packet_id {
            Some(id) => builder.packet_id(id).build()?.into(),
            None => builder.build()?.into(),
        });
    }
    let mut props: Vec<Property> = Vec::new();
    if let Some(seconds) = outgoing.expires_in_s {
        props.push(MessageExpiryInterval::new(seconds)?.into());
    }
    if let Some(alias) = outgoing.alias {
        props.push(TopicAlias::new(alias)?.into());
    }
    for id in outgoing.subscription_ids {
        props.push(SubscriptionIdentifier::new(*id)?.into());
    }
    let builder = v5_0::Publish::builder().topic_name(outgoing.topic)?.qos(qos).payload(payload).props(props);
    let builder = builder.dup(outgoing.duplicate).retain(outgoing.retain);
    Ok(match outgoing.packet_id {
        Some(id) => builder.packet_id(id).build()?.into(),
        None => builder.build()?.into(),
    })
}

/// MQTT 5 only: 3.1.1 servers close without a word. An empty property list could be left out (section 3.14.2.2.1), but there are
/// clients that then miss the whole packet.
pub(crate) fn disconnect(reason: DisconnectReasonCode, in_words: bool) -> Result<Packet, MqttError> {
    let words = match reason {
        _ if !in_words => None,
        DisconnectReasonCode::SessionTakenOver => Some("the device connected anew"),
        DisconnectReasonCode::AdministrativeAction => Some("the device's secret was replaced"),
        DisconnectReasonCode::ServerShuttingDown => Some("the server stops"),
        DisconnectReasonCode::KeepAliveTimeout => Some("nothing was heard for one and a half keep-alives"),
        DisconnectReasonCode::ReceiveMaximumExceeded => {
            Some("more in flight than the receive maximum of the CONNACK")
        }
        _ => None,
    };
    let props = words.map_or_else(|| Ok(Vec::new()), reason_string)?;
    Ok(v5_0::Disconnect::builder().reason_code(reason).props(props).build()?.into())
}

/// The library's own DISCONNECT, with its property list.
pub(crate) fn spelled_out(packet: Packet) -> Packet {
    let reason = match &packet {
        Packet::V5_0Disconnect(p) if p.props().is_none() => p.reason_code(),
        _ => None,
    };
    reason.and_then(|reason| disconnect(reason, false).ok()).unwrap_or(packet)
}
