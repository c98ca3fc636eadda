//! The few MQTT packets a device writes and reads, in both versions.

use bytes::{Buf, BytesMut};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    V311,
    V5,
}

/// What the server sends.
#[derive(Debug, PartialEq)]
pub(crate) enum Packet {
    Connack {
        code: u8,
    },
    Puback {
        id: u16,
        code: u8,
    },
    Publish {
        topic: String,
        id: Option<u16>,
        payload: Vec<u8>,
    },
    /// SUBACK, PINGRESP.
    Other,
    Disconnect,
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    let mut left = body.len();
    loop {
        let byte = (left % 128) as u8;
        left /= 128;
        out.push(if left > 0 { byte | 0x80 } else { byte });
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}

/// `lasting`: the session is to outlive the connection by ten minutes (5) or for as long as the server likes (3.1.1).
pub(crate) fn connect(version: Version, user: &str, secret: &str, lasting: bool) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, "MQTT");
    body.push(if version == Version::V5 { 5 } else { 4 });
    body.push(0xC0 | if lasting { 0 } else { 2 });
    body.extend_from_slice(&30u16.to_be_bytes());
    if version == Version::V5 {
        if lasting {
            body.extend_from_slice(&[5, 0x11, 0, 0, 2, 88]);
        } else {
            body.push(0);
        }
    }
    text(&mut body, user);
    text(&mut body, user);
    text(&mut body, secret);
    packet(0x10, &body)
}

pub(crate) fn subscribe(version: Version, id: u16, topics: &[String]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if version == Version::V5 {
        body.push(0);
    }
    for topic in topics {
        text(&mut body, topic);
        body.push(1);
    }
    packet(0x82, &body)
}

pub(crate) fn publish(version: Version, topic: &str, id: u16, is_again: bool, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, topic);
    body.extend_from_slice(&id.to_be_bytes());
    if version == Version::V5 {
        body.push(0);
    }
    body.extend_from_slice(payload);
    packet(0x32 | if is_again { 8 } else { 0 }, &body)
}

pub(crate) fn puback(id: u16) -> Vec<u8> {
    packet(0x40, &id.to_be_bytes())
}

pub(crate) fn ping() -> Vec<u8> {
    vec![0xC0, 0]
}

/// Takes the first packet, when it is there whole.
pub(crate) fn take(version: Version, bytes: &mut BytesMut) -> Option<Packet> {
    let (mut len, mut at) = (0usize, 1);
    loop {
        let byte = *bytes.get(at)?;
        len |= usize::from(byte & 0x7F) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    if bytes.len() < at + len {
        return None;
    }
    let first = bytes[0];
    bytes.advance(at);
    let mut body = bytes.split_to(len);
    Some(match first >> 4 {
        2 => Packet::Connack { code: body.get(1).copied().unwrap_or(0xFF) },
        3 => {
            let topic_len = usize::from(body.get_u16());
            let topic = String::from_utf8_lossy(&body.split_to(topic_len)).into_owned();
            let id = (first & 0x06 != 0).then(|| body.get_u16());
            if version == Version::V5 {
                let properties = usize::from(body.get_u8());
                body.advance(properties);
            }
            Packet::Publish { topic, id, payload: body.to_vec() }
        }
        4 => {
            let id = body.get_u16();
            Packet::Puback { id, code: body.first().copied().unwrap_or(0) }
        }
        14 => Packet::Disconnect,
        _ => Packet::Other,
    })
}
