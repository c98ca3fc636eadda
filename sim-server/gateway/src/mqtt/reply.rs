//! What the server says, in the words of MQTT 3.1.1 or 5.

use mqtt_protocol_core::mqtt::{
    Version,
    packet::{
        AssignedClientIdentifier, MaximumPacketSize, Packet, Property, Qos, ReasonString, ReceiveMaximum,
        ServerKeepAlive, SessionExpiryInterval, SharedSubscriptionAvailable, SubscriptionIdentifierAvailable,
        TopicAliasMaximum, v3_1_1, v5_0,
    },
    result_code::{
        ConnectReasonCode, ConnectReturnCode, DisconnectReasonCode, MqttError, PubackReasonCode,
        PubrecReasonCode, SubackReasonCode, SubackReturnCode, UnsubackReasonCode,
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
    BadAuthenticationMethod,
    /// An empty client id may not ask for its session to be kept (MQTT 3.1.1 section 3.1.3.1).
    ClientIdMissing,
    /// The will's topic is not the device's to publish on.
    WillTopic,
    NoPlace,
}

impl ConnectRefusal {
    /// For people, where the protocol can carry it.
    fn reason(self) -> &'static str {
        match self {
            ConnectRefusal::Anonymous => "send the device id as user name and its secret as password",
            ConnectRefusal::BadCredentials => "no such device with this secret",
            ConnectRefusal::BadAuthenticationMethod => "there is no enhanced authentication here",
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
    pub assigned_client_id: Option<String>,
    pub receive_maximum: u16,
    pub max_packet_bytes: u32,
    /// The client asked for its session to outlive the connection: it is told that it does not.
    pub session_ends_with_connection: bool,
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
    SharedNotSupported,
    QuotaExceeded,
}

/// Unwanted protocol version: the only CONNACK every client can read. The library knows no version to send it in.
pub(crate) const CONNACK_UNACCEPTABLE_VERSION: [u8; 4] = [0x20, 2, 0, 1];
/// For a CONNECT too large to be read, and so to be shown to the library: MQTT 5's reason code 0x95, no properties.
pub(crate) const CONNACK_V5_PACKET_TOO_LARGE: [u8; 5] = [0x20, 3, 0, 0x95, 0];

pub(crate) fn welcome(version: Version, welcome: &Welcome) -> Result<Packet, MqttError> {
    if version == Version::V3_1_1 {
        return Ok(v3_1_1::Connack::builder()
            .session_present(false)
            .return_code(ConnectReturnCode::Accepted)
            .build()?
            .into());
    }
    let mut props: Vec<Property> = vec![
        ReceiveMaximum::new(welcome.receive_maximum)?.into(),
        MaximumPacketSize::new(welcome.max_packet_bytes)?.into(),
        TopicAliasMaximum::new(TOPIC_ALIASES)?.into(),
        SharedSubscriptionAvailable::new(0)?.into(),
        SubscriptionIdentifierAvailable::new(0)?.into(),
    ];
    if let Some(id) = &welcome.assigned_client_id {
        props.push(AssignedClientIdentifier::new(id.as_str())?.into());
    }
    if welcome.session_ends_with_connection {
        props.push(SessionExpiryInterval::new(0)?.into());
    }
    if let Some(seconds) = welcome.keep_alive_s {
        props.push(ServerKeepAlive::new(seconds)?.into());
    }
    Ok(v5_0::Connack::builder()
        .session_present(false)
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
            ConnectRefusal::Anonymous | ConnectRefusal::WillTopic => ConnectReturnCode::NotAuthorized,
            ConnectRefusal::BadCredentials | ConnectRefusal::BadAuthenticationMethod => {
                ConnectReturnCode::BadUserNameOrPassword
            }
            ConnectRefusal::ClientIdMissing => ConnectReturnCode::IdentifierRejected,
            ConnectRefusal::NoPlace => ConnectReturnCode::ServerUnavailable,
        };
        return Ok(v3_1_1::Connack::builder().session_present(false).return_code(code).build()?.into());
    }
    let code = match why {
        ConnectRefusal::Anonymous => ConnectReasonCode::NotAuthorized,
        ConnectRefusal::BadCredentials => ConnectReasonCode::BadUserNameOrPassword,
        ConnectRefusal::BadAuthenticationMethod => ConnectReasonCode::BadAuthenticationMethod,
        ConnectRefusal::ClientIdMissing => ConnectReasonCode::ClientIdentifierNotValid,
        ConnectRefusal::WillTopic => ConnectReasonCode::TopicNameInvalid,
        ConnectRefusal::NoPlace => ConnectReasonCode::QuotaExceeded,
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

pub(crate) fn pubcomp(version: Version, packet_id: u16) -> Result<Packet, MqttError> {
    Ok(match version {
        Version::V3_1_1 => v3_1_1::Pubcomp::builder().packet_id(packet_id).build()?.into(),
        _ => v5_0::Pubcomp::builder().packet_id(packet_id).build()?.into(),
    })
}

pub(crate) fn suback(
    version: Version,
    packet_id: u16,
    answers: &[SubscribeAnswer],
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
            SubscribeAnswer::SharedNotSupported => SubackReasonCode::SharedSubscriptionsNotSupported,
            SubscribeAnswer::QuotaExceeded => SubackReasonCode::QuotaExceeded,
        })
        .collect::<Vec<_>>();
    Ok(v5_0::Suback::builder().packet_id(packet_id).reason_codes(codes).build()?.into())
}

/// `existed`: for each filter, whether there was such a subscription.
pub(crate) fn unsuback(version: Version, packet_id: u16, existed: &[bool]) -> Result<Packet, MqttError> {
    if version == Version::V3_1_1 {
        return Ok(v3_1_1::Unsuback::builder().packet_id(packet_id).build()?.into());
    }
    let codes =
        existed
            .iter()
            .map(|&existed| {
                if existed { UnsubackReasonCode::Success } else { UnsubackReasonCode::NoSubscriptionExisted }
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

/// A publish to the device: QoS 1 with a packet id, QoS 0 without.
pub(crate) fn publish(
    version: Version,
    topic: &str,
    packet_id: Option<u16>,
    payload: Vec<u8>,
) -> Result<Packet, MqttError> {
    let qos = if packet_id.is_some() { Qos::AtLeastOnce } else { Qos::AtMostOnce };
    Ok(match version {
        Version::V3_1_1 => {
            let builder = v3_1_1::Publish::builder().topic_name(topic)?.qos(qos).payload(payload);
            match packet_id {
                Some(id) => builder.packet_id(id).build()?.into(),
                None => builder.build()?.into(),
            }
        }
        _ => {
            let builder = v5_0::Publish::builder().topic_name(topic)?.qos(qos).payload(payload);
            match packet_id {
                Some(id) => builder.packet_id(id).build()?.into(),
                None => builder.build()?.into(),
            }
        }
    })
}

/// MQTT 5 only: 3.1.1 servers close without a word. The empty property list could be left out (section 3.14.2.2.1), but there
/// are clients that then miss the whole packet.
pub(crate) fn disconnect(reason: DisconnectReasonCode) -> Result<Packet, MqttError> {
    Ok(v5_0::Disconnect::builder().reason_code(reason).props(Vec::<Property>::new()).build()?.into())
}

/// The library's own DISCONNECT, with its property list.
pub(crate) fn spelled_out(packet: Packet) -> Packet {
    let reason = match &packet {
        Packet::V5_0Disconnect(p) if p.props().is_none() => p.reason_code(),
        _ => None,
    };
    reason.and_then(|reason| disconnect(reason).ok()).unwrap_or(packet)
}
