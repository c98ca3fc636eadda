//! Whatever a client sends, the session neither panics nor grows without bound, and what it says is MQTT.

use super::*;
use proptest::prelude::*;

/// Bytes that get past the door: mostly packets, some of them broken.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let version = prop_oneof![Just(Version::V3_1_1), Just(Version::V5_0)];
    let topic = prop_oneof![
        Just("device/pv-01/data".to_owned()),
        Just("device/pv-01/event".to_owned()),
        Just("device/pv-01/control".to_owned()),
        Just("device/pv-01/#".to_owned()),
        Just(String::new()),
        "[a-z/+#$]{0,20}",
    ];
    let body = proptest::collection::vec(any::<u8>(), 0..64);
    prop_oneof![
        1 => proptest::collection::vec(any::<u8>(), 0..64),
        2 => (any::<u8>(), body.clone()).prop_map(|(header, body)| packet(header, &body)),
        4 => (version.clone(), topic.clone(), 0u8..3, any::<u16>(), body.clone())
            .prop_map(|(version, topic, qos, id, body)| publish(version, &topic, qos, id, &body)),
        // SUBSCRIBE, UNSUBSCRIBE and the acknowledgements, with plausible insides.
        2 => (topic, 0u8..4).prop_map(|(topic, options)| {
            let mut body = vec![0, 1, 0, 0, topic.len() as u8];
            body.extend_from_slice(topic.as_bytes());
            body.push(options);
            packet(0x82, &body)
        }),
        1 => (0x4u8..8, any::<u8>()).prop_map(|(kind, id)| {
            packet(kind << 4 | if kind == 6 { 2 } else { 0 }, &[0, id])
        }),
        1 => body.prop_map(|body| {
            let mut connect = b"\0\x04MQTT\x05\xC6\0\x3C".to_vec();
            connect.extend(body);
            packet(0x10, &connect)
        }),
        1 => Just(vec![0xC0, 0]),
    ]
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    use shared::telemetry::{Refusal, RefusalCode};
    prop_oneof![
        4 => Just(kept()),
        2 => Just(Verdict::Refused {
            code: RefusalCode::NotFinite,
            faults: vec![Refusal::new(RefusalCode::NotFinite, "f", "m").into()],
        }),
        1 => Just(Verdict::NotStored(Refusal::new(RefusalCode::StorageFailed, "", "disk"))),
    ]
}

#[derive(Debug, Clone)]
enum Step {
    Send(Vec<u8>),
    /// The client reads what was said.
    Read,
    Judge(Verdict),
    Wait(u32),
    Offer(u8),
    /// The disk has what was to be kept, or not.
    Write(bool),
    /// The set-points changed, or were asked for.
    Desire(u8, bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => bytes().prop_map(Step::Send),
        2 => Just(Step::Read),
        3 => verdicts().prop_map(Step::Judge),
        1 => (0u32..40).prop_map(Step::Wait),
        1 => (0u8..4).prop_map(Step::Offer),
        2 => prop::bool::weighted(0.9).prop_map(Step::Write),
        1 => (0u8..3, any::<bool>()).prop_map(|(power, asked)| Step::Desire(power, asked)),
    ];
    proptest::collection::vec(step, 0..60)
}

fn offered(n: u8) -> CommandDelivery {
    CommandDelivery {
        command_id: format!("c{n}").parse().unwrap(),
        command: "setPower".into(),
        parameters: serde_json::Map::new(),
        timestamp: shared::time::Timestamp(0),
        expires: shared::time::Timestamp(1),
    }
}

/// What a device may say from its first byte on, in either version.
fn script(v5: bool, lasts: bool) -> Vec<u8> {
    let version = if v5 { Version::V5_0 } else { Version::V3_1_1 };
    let mut script = match (v5, lasts) {
        (true, true) => {
            let expiry = mqtt_protocol_core::mqtt::packet::SessionExpiryInterval::new(60).unwrap();
            connect_v5("pv-01", "secret", 60, vec![expiry.into()])
        }
        _ => connect(version, "pv-01", "secret", 60),
    };
    script.extend(subscribe(version, 1, &[("device/pv-01/#", Qos::AtLeastOnce)]));
    for qos in 0..3 {
        script.extend(publish(version, "device/pv-01/data", qos, u16::from(qos) + 1, b"{}"));
    }
    script.extend(packet(0x62, &[0, 3]));
    script.extend(publish(version, "device/other/data", 1, 9, b"{}"));
    script.extend([0xC0, 0]);
    script.extend(packet(0xE0, &[]));
    script
}

/// Answers what a session asks of its shell, and counts its ends.
struct Shell {
    it: Conversation,
    closes: usize,
    deaf: bool,
}

impl Shell {
    fn act(&mut self, outputs: Vec<Output>) {
        for output in outputs {
            let answers = match output {
                Output::Authenticate { .. } => {
                    self.it.handle(Input::Authenticated(Some("pv-01".parse().unwrap())))
                }
                Output::Open(_) => self.it.handle(Input::Opened(Ok(None))),
                Output::Keep { answer: true, .. } => self.it.handle(Input::Written(true)),
                Output::AskDesired { retained } => {
                    self.it.handle(Input::Desired { set_points: power(1), retained })
                }
                Output::Publish(_) if !self.deaf => self.it.handle(Input::Judged(kept())),
                Output::Close { .. } => {
                    self.closes += 1;
                    Vec::new()
                }
                _ => Vec::new(),
            };
            self.act(answers);
        }
    }
}

fn power(value: u8) -> serde_json::Map<String, serde_json::Value> {
    match value {
        0 => serde_json::Map::new(),
        value => serde_json::json!({ "power": { "value": value } }).as_object().unwrap().clone(),
    }
}

#[derive(Debug, Clone)]
enum Mutation {
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Cut(prop::sample::Index, u8),
}

fn mutations() -> impl Strategy<Value = Vec<Mutation>> {
    let at = any::<prop::sample::Index>;
    let mutation = prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, mask)| Mutation::Flip(at, mask)),
        1 => (at(), proptest::collection::vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => (at(), any::<u8>()).prop_map(|(at, count)| Mutation::Cut(at, count)),
    ];
    proptest::collection::vec(mutation, 0..6)
}

fn mutated(mut bytes: Vec<u8>, mutations: Vec<Mutation>) -> Vec<u8> {
    for mutation in mutations {
        if bytes.is_empty() {
            break;
        }
        match mutation {
            Mutation::Flip(at, mask) => {
                let at = at.index(bytes.len());
                bytes[at] ^= mask;
            }
            Mutation::Insert(at, more) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, more);
            }
            Mutation::Cut(at, count) => {
                let at = at.index(bytes.len());
                let end = bytes.len().min(at + usize::from(count));
                bytes.drain(at..end);
            }
        }
    }
    bytes
}

proptest! {
    #[test]
    fn a_stranger_cannot_break_it(chunks in proptest::collection::vec(bytes(), 0..8)) {
        let mut it = Conversation::new();
        for chunk in chunks {
            let outputs = it.send(&chunk);
            prop_assert!(published(&outputs).is_empty(), "nothing is taken from a stranger");
            if outputs.iter().any(|o| matches!(o, Output::Authenticate { .. })) {
                it.authenticated(None);
            }
            it.said();
        }
    }

    #[test]
    fn whatever_is_done_to_a_conversation_it_ends_once(
        v5 in any::<bool>(),
        lasts in any::<bool>(),
        deaf in any::<bool>(),
        mutations in mutations(),
        chunk in 1usize..64,
    ) {
        let bytes = mutated(script(v5, lasts), mutations);
        let mut shell = Shell { it: Conversation::new(), closes: 0, deaf };
        for piece in bytes.chunks(chunk) {
            let outputs = shell.it.send(piece);
            shell.act(outputs);
            shell.it.said();
        }
        prop_assert_eq!(shell.it.session.is_closed(), shell.closes == 1);
        let outputs = shell.it.handle(Input::PeerClosed);
        shell.act(outputs);
        prop_assert_eq!(shell.closes, 1);
        let outputs = shell.it.send(&[0xC0, 0]);
        prop_assert!(outputs.is_empty(), "nothing is done after the end");
    }

    #[test]
    fn a_device_cannot_break_it(v5 in any::<bool>(), lasts in any::<bool>(), steps in steps()) {
        let mut it = Conversation::new();
        let bytes = script(v5, lasts);
        it.send(&bytes[..frame::first(&bytes, usize::MAX).unwrap().unwrap().total_bytes]);
        it.authenticated(Some("pv-01"));
        let mut asked = 0usize;
        for step in steps {
            let outputs = match step {
                Step::Send(bytes) => it.send(&bytes),
                Step::Read => { it.said(); Vec::new() }
                Step::Judge(verdict) if asked > 0 => { asked -= 1; it.handle(Input::Judged(verdict)) }
                Step::Judge(_) => Vec::new(),
                Step::Wait(seconds) => { it.now += SECOND * seconds; it.handle(Input::Tick) }
                Step::Offer(n) if it.session.wants_deliveries() => it.handle(Input::Delivery(offered(n))),
                Step::Offer(_) => Vec::new(),
                Step::Write(is_written) => it.handle(Input::Written(is_written)),
                Step::Desire(value, retained) => it.handle(Input::Desired { set_points: power(value), retained }),
            };
            asked += published(&outputs).len();
            prop_assert!(asked <= usize::from(options().window) || it.session.is_closed());
            prop_assert!(it.session.pending.len() <= usize::from(options().window));
            prop_assert!(it.session.buffers().1.len() <= options().max_outgoing_bytes + 4096);
            prop_assert!(it.session.kept.notices.len() <= crate::mqtt::session::kept::MOST_NOTICES);
            // What is kept can be read again, but for what only this process is to know.
            let snapshot = Kept { taken: Default::default(), ..it.session.snapshot() };
            let read: Kept = serde_json::from_str(&serde_json::to_string(&snapshot).unwrap()).unwrap();
            prop_assert_eq!(read, snapshot);
        }
        it.said();
    }
}
