//! What strangers and clients say over the live stream, and selectors, of any bytes: refused or read, never a panic, and what is read is
//! said the same again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde::{Serialize, de::DeserializeOwned};
use shared::{
    selector,
    stream::{ClientMessage, Encoding, Hello, PointName, Resume, Selector},
    time::Timestamp,
};
use std::fmt::Debug;

/// The kind of an outcome: which message, or why none, numbers and names aside.
fn kind<T: DeserializeOwned + Serialize + PartialEq + Debug>(encoding: Encoding, bytes: &[u8]) -> String {
    match encoding.decode::<T>(bytes) {
        Err(error) => {
            let text = error.to_string();
            let unquoted = text.split(['`', '"']).step_by(2);
            unquoted.flat_map(str::chars).filter(|c| !c.is_ascii_digit()).collect()
        }
        Ok(message) => {
            let again = encoding.encode(&message).unwrap();
            assert_eq!(encoding.decode::<T>(&again).unwrap(), message);
            let shown = format!("{message:?}");
            shown.chars().filter(|c| !c.is_ascii_digit()).take(24).collect()
        }
    }
}

fn messages() -> Vec<ClientMessage> {
    let point = PointName { device: "bess-01".parse().unwrap(), measurement: "soc".parse().unwrap() };
    let matching = Selector::Matching("type=pv-inverter;measurement=power,soc".parse().unwrap());
    vec![
        ClientMessage::Subscribe(Selector::All),
        ClientMessage::Subscribe(Selector::Devices(vec![point.device.clone()])),
        ClientMessage::Ping(7),
        ClientMessage::Renew("a.b.c".to_owned()),
        ClientMessage::Subscribe(Selector::Points(vec![point])),
        ClientMessage::Resume(Resume { selector: matching, after: Timestamp(1_780_000_000_000) }),
    ]
}

/// The first byte says what is tried: the first message or a later one, in either encoding.
#[test]
fn fuzzed_messages_of_clients_are_refused_or_read() {
    let hello = Hello { version: 1, token: "eyJhbGciOi.J9".to_owned() };
    let encodings = [Encoding::Postcard, Encoding::Json];
    let seeds = encodings.into_iter().enumerate().flat_map(|(at, encoding)| {
        let later = messages().into_iter().map(move |m| (at as u8 + 2, encoding.encode(&m).unwrap()));
        [(at as u8, encoding.encode(&hello).unwrap())].into_iter().chain(later)
    });
    let seeds: Vec<Vec<u8>> = seeds.map(|(what, bytes)| [&[what][..], &bytes].concat()).collect();
    park_fuzz::target("stream-messages", seeds, |bytes| {
        let Some((what, bytes)) = bytes.split_first() else { return (0, String::new()) };
        let encoding = encodings[usize::from(*what) % 2];
        let kind = match what / 2 % 2 {
            0 => kind::<Hello>(encoding, bytes),
            _ => kind::<ClientMessage>(encoding, bytes),
        };
        (what % 4, kind)
    });
}

#[test]
fn fuzzed_selectors_are_refused_or_read() {
    let seeds =
        ["", "device=pv-01", "type=pv-inverter,wind-turbine;measurement=power", "group=pv;building=b1"];
    park_fuzz::target("selectors", seeds.map(|s| s.as_bytes().to_vec()), |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else { return "no text".to_owned() };
        match text.parse::<selector::Selector>() {
            Err(error) => {
                let text = error.to_string();
                text.split(['`', '"']).step_by(2).collect::<String>()
            }
            Ok(selector) => {
                assert_eq!(selector.to_string().parse::<selector::Selector>().unwrap(), selector);
                format!("read {}", text.matches(';').count().min(3))
            }
        }
    });
}
