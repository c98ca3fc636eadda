//! The few MQTT 5 packets a load needs, written and read by hand.

use std::io::Write;

/// What a device measures: a key and the span its values lie in, as a meter of the kind would show them.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Measurement {
    pub key: String,
    pub low: i32,
    pub high: i32,
}

impl std::str::FromStr for Measurement {
    type Err = String;

    /// `key` (0 to 100) or `key=low..high`.
    fn from_str(text: &str) -> Result<Self, String> {
        let Some((key, span)) = text.split_once('=') else {
            return Ok(Self { key: text.to_owned(), low: 0, high: 100 });
        };
        let bounds =
            span.split_once("..").and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)));
        match bounds {
            Some((low, high)) if low < high => Ok(Self { key: key.to_owned(), low, high }),
            _ => Err(format!("{span} is no span of whole numbers such as 340..440")),
        }
    }
}

/// CONNECT with a clean start, one minute of keep-alive, user name and password.
pub(crate) fn connect(device: &str, secret: &str) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x05\xC2\0\x3C\0".to_vec();
    for text in [device, device, secret] {
        push_text(&mut body, text);
    }
    let mut packet = vec![0x10];
    push_length(&mut packet, body.len());
    packet.extend_from_slice(&body);
    packet
}

/// SUBSCRIBE to one filter at QoS 1.
pub(crate) fn subscribe(filter: &str) -> Vec<u8> {
    let mut body = vec![0, 1, 0];
    push_text(&mut body, filter);
    body.push(1);
    let mut packet = vec![0x82];
    push_length(&mut packet, body.len());
    packet.extend_from_slice(&body);
    packet
}

/// A QoS 1 publish of `payload` on `topic`, appended to `out`.
pub(crate) fn publish(out: &mut Vec<u8>, topic: &str, packet_id: u16, payload: &[u8]) {
    out.push(0x32);
    push_length(out, 2 + topic.len() + 2 + 1 + payload.len());
    push_text(out, topic);
    out.extend_from_slice(&packet_id.to_be_bytes());
    out.push(0);
    out.extend_from_slice(payload);
}

/// `points` readings of `device` from `timestamp_ms` on: one item, or an array when there are more points than measurements.
pub(crate) fn payload(
    out: &mut Vec<u8>,
    device: &str,
    measurements: &[Measurement],
    points: usize,
    timestamp_ms: i64,
    seed: u64,
) {
    out.clear();
    let items = points.div_ceil(measurements.len());
    let mut left = points;
    // Writing into a Vec cannot fail.
    let mut write = |arguments: std::fmt::Arguments<'_>| {
        let _ = out.write_fmt(arguments);
    };
    if items > 1 {
        write(format_args!("["));
    }
    for item in 0..items {
        let comma = if item > 0 { "," } else { "" };
        let at = timestamp_ms + item as i64;
        write(format_args!(r#"{comma}{{"deviceId":"{device}","timestamp":{at},"data":{{"#));
        for (n, Measurement { key, low, high }) in measurements.iter().take(left).enumerate() {
            let comma = if n > 0 { "," } else { "" };
            // A few digits that change from one reading to the next, as a meter rounds them.
            let span = high.abs_diff(*low);
            let tenths =
                (seed.wrapping_mul(6_364_136_223_846_793_005) >> (20 + n % 32)) % (10 * u64::from(span));
            write(format_args!(r#"{comma}"{key}":{:.1}"#, f64::from(*low) + tenths as f64 / 10.0));
        }
        left = left.saturating_sub(measurements.len());
        write(format_args!("}}}}"));
    }
    if items > 1 {
        write(format_args!("]"));
    }
}

/// How many items, each with a timestamp of its own, a payload has.
pub(crate) fn items(points: usize, measurements: usize) -> i64 {
    points.div_ceil(measurements) as i64
}

/// The first packet of a buffer: its type, its body and its whole length; `None` while incomplete.
pub(crate) fn first(buffer: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (mut length, mut at) = (0usize, 1);
    loop {
        let byte = *buffer.get(at)?;
        length |= usize::from(byte & 0x7F) << (7 * (at - 1));
        at += 1;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let body = buffer.get(at..at + length)?;
    Some((buffer[0] >> 4, body, at + length))
}

fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn push_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 128 {
        out.push((length % 128) as u8 | 0x80);
        length /= 128;
    }
    out.push(length as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_has_as_many_points_as_asked_for() {
        let keys: [Measurement; 3] = ["a", "b=340..440", "c=-5..5"].map(|text| text.parse().unwrap());
        for (points, expected_items) in [(1, 1), (3, 1), (4, 2), (10, 4)] {
            let mut out = Vec::new();
            payload(&mut out, "d", &keys, points, 1_000, 7);
            let parsed = shared::telemetry::parse_data(&out).unwrap();
            assert_eq!(parsed.len(), expected_items, "{points}");
            assert_eq!(items(points, 3), expected_items as i64);
            let total: usize = parsed.iter().map(|item| item.as_ref().unwrap().data.len()).sum();
            assert_eq!(total, points);
            for (key, low, high) in [("\"b\":", 340.0, 440.0), ("\"c\":", -5.0, 5.0)] {
                let text = String::from_utf8_lossy(&out);
                for value in text.split(key).skip(1).filter_map(|rest| rest.split([',', '}']).next()) {
                    let value: f64 = value.parse().unwrap();
                    assert!((low..high).contains(&value), "{key} {value}");
                }
            }
        }
    }

    #[test]
    fn a_span_that_is_none_is_named() {
        assert!("a=5..5".parse::<Measurement>().unwrap_err().contains("5..5"));
        assert!("a=x".parse::<Measurement>().is_err());
    }

    #[test]
    fn packets_are_read_back() {
        let mut bytes = Vec::new();
        publish(&mut bytes, "t", 9, &[b'x'; 300]);
        let (kind, body, total) = first(&bytes).unwrap();
        assert_eq!((kind, total), (3, bytes.len()));
        assert_eq!(&body[..6], &[0, 1, b't', 0, 9, 0]);
        assert_eq!(first(&bytes[..bytes.len() - 1]), None);
    }
}
