//! A frame as bytes: one for the format, then the payloads in postcard.

use serde::{Deserialize, Serialize};

/// A publish as it came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    pub topic: String,
    /// When the gateway read it, Unix milliseconds by its own clock.
    pub received_ms: i64,
    pub bytes: Vec<u8>,
}

const FORMAT: u8 = 1;

pub(crate) fn encode(payloads: &[Payload]) -> Result<Vec<u8>, postcard::Error> {
    let room = payloads.iter().map(|p| p.topic.len() + p.bytes.len() + 16).sum();
    let mut bytes = Vec::with_capacity(room);
    bytes.push(FORMAT);
    postcard::to_extend(payloads, bytes)
}

/// The reason names what is wrong; the caller knows where.
pub(crate) fn decode(bytes: &[u8]) -> Result<Vec<Payload>, String> {
    match bytes.split_first() {
        Some((&FORMAT, rest)) => match postcard::take_from_bytes(rest) {
            Ok((payloads, [])) => Ok(payloads),
            Ok((_, left)) => Err(format!("{} bytes follow the last payload", left.len())),
            Err(e) => Err(e.to_string()),
        },
        Some((other, _)) => Err(format!("it is of format {other}, this version knows {FORMAT}")),
        None => Err("it is empty".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn payloads() -> impl Strategy<Value = Vec<Payload>> {
        let one = (".{0,40}", any::<i64>(), proptest::collection::vec(any::<u8>(), 0..200))
            .prop_map(|(topic, received_ms, bytes)| Payload { topic, received_ms, bytes });
        proptest::collection::vec(one, 0..20)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(payloads in payloads()) {
            prop_assert_eq!(decode(&encode(&payloads).unwrap()).unwrap(), payloads);
        }

        #[test]
        fn a_frame_cut_anywhere_is_refused(payloads in payloads(), at in any::<prop::sample::Index>()) {
            let bytes = encode(&payloads).unwrap();
            prop_assert!(decode(&bytes[..at.index(bytes.len())]).is_err());
        }

        #[test]
        fn any_bytes_are_a_frame_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(payloads) = decode(&bytes) {
                prop_assert_eq!(decode(&encode(&payloads).unwrap()).unwrap(), payloads);
            }
        }
    }

    #[test]
    fn another_format_is_named() {
        assert!(decode(&[9, 0]).unwrap_err().contains("format 9"));
        assert!(decode(&[]).unwrap_err().contains("empty"));
    }
}
