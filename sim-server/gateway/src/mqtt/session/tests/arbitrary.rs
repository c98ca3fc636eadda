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
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => bytes().prop_map(Step::Send),
        2 => Just(Step::Read),
        3 => verdicts().prop_map(Step::Judge),
        1 => (0u32..40).prop_map(Step::Wait),
        1 => (0u8..4).prop_map(Step::Offer),
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
    fn a_device_cannot_break_it(v5 in any::<bool>(), steps in steps()) {
        let mut it = Conversation::open(if v5 { Version::V5_0 } else { Version::V3_1_1 });
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
            };
            asked += published(&outputs).len();
            prop_assert!(asked <= usize::from(options().window) || it.session.is_closed());
            prop_assert!(it.session.pending.len() <= usize::from(options().window));
            prop_assert!(it.session.buffers().1.len() <= options().max_outgoing_bytes + 4096);
        }
        it.said();
    }
}
