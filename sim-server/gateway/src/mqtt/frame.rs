//! Packets cut out of the byte stream: fixed header, remaining length, size limit.
//!
//! Cutting them here rather than in the protocol library lets the session stop between two packets (a full window) and
//! hold a stranger's first packet to a smaller size than a device's.

use mqtt_protocol_core::mqtt::packet::{Property, v5_0};

/// The first whole packet of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub total_bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameFault {
    /// A length that is none, or flags the packet type must not have.
    Malformed,
    TooLarge {
        bytes: usize,
    },
}

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;

/// Looks at the buffer's first packet: `Ok(None)` when more bytes are needed. A packet larger than `max_bytes` is refused
/// as soon as its length is known.
pub(crate) fn first(buffer: &[u8], max_bytes: usize) -> Result<Option<Frame>, FrameFault> {
    let Some(&header) = buffer.first() else { return Ok(None) };
    if !flags_are_legal(header) {
        return Err(FrameFault::Malformed);
    }
    let mut remaining = 0usize;
    for index in 0..4 {
        let Some(&byte) = buffer.get(1 + index) else { return Ok(None) };
        remaining |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let total_bytes = 2 + index + remaining;
            if total_bytes > max_bytes {
                return Err(FrameFault::TooLarge { bytes: total_bytes });
            }
            return Ok((buffer.len() >= total_bytes).then_some(Frame { total_bytes }));
        }
    }
    Err(FrameFault::Malformed)
}

/// MQTT 5 table 2-2: SUBSCRIBE, UNSUBSCRIBE and PUBREL carry 0010, PUBLISH its own flags, all others none.
fn flags_are_legal(header: u8) -> bool {
    let flags = header & 0x0F;
    match header >> 4 {
        0 => false,
        PUBLISH => flags & 0b0110 != 0b0110,
        6 | 8 | 10 => flags == 0b0010,
        _ => flags == 0,
    }
}

/// Checks a CONNECT packet's flag byte, which the protocol library takes as it comes (MQTT 5 section 3.1.2.3).
pub(crate) fn connect_flags_are_legal(body: &[u8]) -> bool {
    let (Some(4 | 5), Some(&flags)) = (body.get(6), body.get(7)) else {
        // Of another version, or too short: the library says so.
        return true;
    };
    let reserved = flags & 1;
    let (will, will_qos, will_retain) = (flags & 0b100 != 0, (flags >> 3) & 0b11, flags & 0b10_0000 != 0);
    reserved == 0 && will_qos != 3 && (will || (will_qos == 0 && !will_retain))
}

/// What the beginning of a packet says about how its sender can be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Announced {
    NotYet,
    /// A CONNECT of MQTT 5.
    V5,
    /// Of another version, or no CONNECT.
    Other,
}

/// The protocol version that the buffer's first packet announces, which need not be whole.
pub(crate) fn announced_version(buffer: &[u8]) -> Announced {
    const BEFORE_VERSION: &[u8] = b"\0\x04MQTT";
    let Some(start) = connect_body(buffer) else {
        let may_become_one = buffer.len() < 5 && buffer.first().is_none_or(|header| header >> 4 == CONNECT);
        return if may_become_one { Announced::NotYet } else { Announced::Other };
    };
    let body = &buffer[start..];
    match body.get(BEFORE_VERSION.len()) {
        Some(5) if body.starts_with(BEFORE_VERSION) => Announced::V5,
        None if BEFORE_VERSION.starts_with(body) => Announced::NotYet,
        _ => Announced::Other,
    }
}

/// Whether a whole packet is a CONNECT, and where its body starts.
pub(crate) fn connect_body(packet: &[u8]) -> Option<usize> {
    (packet.first()? >> 4 == CONNECT).then_some(())?;
    let length_bytes = packet[1..].iter().position(|b| b & 0x80 == 0)? + 1;
    Some(1 + length_bytes)
}

/// A CONNECT of MQTT 5 may say that its client takes no topic aliases (maximum 0), as some clients do in so many words;
/// the protocol library's alias table asserts at least one. No alias is ever sent from here, so a maximum of 1 in its
/// stead changes nothing. Returns where the property's low byte is, when it must be rewritten.
pub(crate) fn zero_topic_alias_maximum(body: &[u8]) -> Option<usize> {
    const PROPERTIES_AT: usize = 10;
    if body.get(6) != Some(&5) {
        return None;
    }
    let (connect, _) = v5_0::Connect::parse(body).ok()?;
    let length_bytes = body.get(PROPERTIES_AT..)?.iter().position(|b| b & 0x80 == 0)? + 1;
    let mut at = PROPERTIES_AT + length_bytes;
    for property in connect.props() {
        let size = property.size();
        if matches!(property, Property::TopicAliasMaximum(max) if max.val() == 0) {
            return Some(at + size - 1);
        }
        at += size;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_cut_when_whole_and_refused_by_its_length_alone() {
        use FrameFault::*;
        for (bytes, expected) in [
            (&[][..], Ok(None)),
            (&[0x30], Ok(None)),
            (&[0x30, 2, 0], Ok(None)),
            (&[0x30, 2, 0, 0, 9, 9], Ok(Some(4))),
            (&[0xC0, 0], Ok(Some(2))),
            (&[0x30, 0x80], Ok(None)),
            (&[0x30, 0x80, 0x01], Err(TooLarge { bytes: 131 })),
            (&[0x30, 0xFF, 0xFF, 0xFF, 0x7F], Err(TooLarge { bytes: 268_435_460 })),
            (&[0x30, 0xFF, 0xFF, 0xFF, 0xFF], Err(Malformed)),
            (&[0x36, 2, 0, 0], Err(Malformed)),
            (b"GET / HTTP/1.1", Err(Malformed)),
        ] {
            assert_eq!(first(bytes, 100).map(|f| f.map(|f| f.total_bytes)), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn the_first_bytes_of_a_connect_say_its_version() {
        use Announced::*;
        for (bytes, expected) in [
            (&b""[..], NotYet),
            (b"\x10", NotYet),
            (b"\x10\xFF\xFF", NotYet),
            (b"\x10\xFF\xFF\x03", NotYet),
            (b"\x10\xFF\xFF\x03\0\x04MQTT", NotYet),
            (b"\x10\xFF\xFF\x03\0\x04MQTT\x05", V5),
            (b"\x10\xFF\xFF\x03\0\x04MQTT\x05\xC2", V5),
            (b"\x10\xFF\xFF\x03\0\x04MQTT\x04", Other),
            (b"\x10\xFF\xFF\x03\0\x06MQIsdp\x03", Other),
            (b"\x30\xFF\xFF\x03", Other),
            (b"\x10\xFF\xFF\xFF\xFF\xFF", Other),
        ] {
            assert_eq!(announced_version(bytes), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn an_explicit_topic_alias_maximum_of_zero_is_found() {
        let packet = mqtt_protocol_core::mqtt::packet::v5_0::Connect::builder()
            .client_id("c")
            .unwrap()
            .props(vec![
                mqtt_protocol_core::mqtt::packet::UserProperty::new("key", "value").unwrap().into(),
                mqtt_protocol_core::mqtt::packet::TopicAliasMaximum::new(0).unwrap().into(),
                mqtt_protocol_core::mqtt::packet::ReceiveMaximum::new(7).unwrap().into(),
            ])
            .build()
            .unwrap()
            .to_continuous_buffer();
        let start = connect_body(&packet).unwrap();
        let at = start + zero_topic_alias_maximum(&packet[start..]).unwrap();
        assert_eq!(packet[at - 2..=at], [34, 0, 0]);
        assert_eq!(connect_body(&[0x30, 0]), None);
    }
}
