//! Sessions that outlive their connection, and what they are owed when they come back.

use super::*;
use crate::{ingest::Fault, mqtt::session::kept::MOST_NOTICES};
use mqtt_protocol_core::mqtt::packet::{
    SessionExpiryInterval, SubscriptionIdentifier, TopicAliasMaximum, WillDelayInterval,
};
use serde_json::json;

const ERRORS: &str = "device/pv-01/errors";

/// A CONNECT that asks for its session to last.
fn lasting(version: Version, clean_start: bool, props: Vec<Property>) -> Vec<u8> {
    if version == Version::V3_1_1 {
        let builder = v3::Connect::builder().client_id("client").unwrap().clean_session(clean_start);
        let builder = builder.keep_alive(60).user_name("pv-01").unwrap().password("secret").unwrap();
        return builder.build().unwrap().to_continuous_buffer();
    }
    let builder = v5::Connect::builder().client_id("client").unwrap().clean_start(clean_start);
    let builder = builder.keep_alive(60).user_name("pv-01").unwrap().password("secret").unwrap();
    let props = [vec![SessionExpiryInterval::new(3600).unwrap().into()], props].concat();
    builder.props(props).build().unwrap().to_continuous_buffer()
}

/// Connects with what is kept, and gives what was said.
fn come_back(version: Version, kept: Option<Kept>, props: Vec<Property>) -> (Conversation, Vec<String>) {
    let mut it = Conversation::new();
    it.send(&lasting(version, false, props));
    let outputs = it.handle(Input::Authenticated(Some("pv-01".parse().unwrap())));
    let expected = Opening {
        device: "pv-01".parse().unwrap(),
        client_id: "client".to_owned(),
        clean_start: false,
        expiry_s: if version == Version::V5_0 { 3600 } else { 86_400 },
        will: None,
    };
    assert!(matches!(&outputs[..], [Output::Open(opening)] if *opening == expected), "{outputs:?}");
    it.handle(Input::Opened(Ok(kept.map(Box::new))));
    let said = it.said();
    (it, said)
}

/// Subscribes, with the write that a lasting session needs.
fn listen(it: &mut Conversation, version: Version, filters: &[(&str, Qos)]) -> Vec<String> {
    let outputs = it.send(&subscribe(version, 1, filters));
    assert!(matches!(outputs[..], [Output::Keep { answer: true, .. }]), "{outputs:?}");
    assert!(it.said().is_empty(), "no SUBACK before it is on the disk");
    assert!(!it.session.wants_bytes());
    it.handle(Input::Written(true));
    it.said()
}

fn leave(it: &mut Conversation) -> Kept {
    let outputs = it.handle(Input::PeerClosed);
    match outputs.into_iter().last() {
        Some(Output::Close { kept: Some(kept), .. }) => *kept,
        other => panic!("{other:?}"),
    }
}

/// As it is read back after a restart.
fn restarted(kept: &Kept) -> Kept {
    serde_json::from_str(&serde_json::to_string(kept).unwrap()).unwrap()
}

fn command(id: &str) -> CommandDelivery {
    CommandDelivery {
        command_id: id.parse().unwrap(),
        command: "setPower".into(),
        parameters: serde_json::Map::new(),
        timestamp: Timestamp(1),
        expires: Timestamp(90_000),
    }
}

fn refused() -> Verdict {
    let fault = Fault { code: "NOT_FINITE", field: "data.power".to_owned(), message: "because".to_owned() };
    Verdict::Refused { code: shared::telemetry::RefusalCode::NotFinite, faults: vec![fault] }
}

#[test]
fn a_session_that_lasts_keeps_its_subscriptions_and_says_that_it_was_there() {
    for version in [Version::V3_1_1, Version::V5_0] {
        let (mut it, said) = come_back(version, None, vec![]);
        assert_eq!(said, ["CONNACK 0x00"]);
        let said = listen(&mut it, version, &[("device/pv-01/control", Qos::AtLeastOnce)]);
        assert_eq!(said, ["SUBACK 1 [01]"]);
        let kept = leave(&mut it);
        let (it, said) = come_back(version, Some(kept), vec![]);
        assert_eq!(said, ["CONNACK 0x00 resumed"]);
        assert!(it.session.wants_deliveries());
    }
}

#[test]
fn what_was_in_flight_goes_out_again_under_its_packet_id() {
    for version in [Version::V3_1_1, Version::V5_0] {
        let (mut it, _) = come_back(version, None, vec![]);
        listen(&mut it, version, &[("device/pv-01/control", Qos::AtLeastOnce)]);
        for id in ["c1", "c2", "c3"] {
            it.handle(Input::Delivery(command(id)));
        }
        it.said();
        it.send(&puback(2));
        let kept = leave(&mut it);
        let (mut it, _) = come_back(version, Some(restarted(&kept)), vec![]);
        // The twin offers again what is open, and something new.
        for id in ["c1", "c3", "c4"] {
            it.handle(Input::Delivery(command(id)));
        }
        let said = it.said();
        for (said, head) in said.iter().zip(["qos=1 id=1 dup", "qos=1 id=3 dup", "qos=1 id=2 {"]) {
            assert!(said.contains(head), "{said}");
        }
        let outputs = it.send(&puback(3));
        assert!(outputs.iter().any(|o| matches!(o, Output::CommandSent(id) if id.as_str() == "c3")));
    }
}

#[test]
fn a_qos_2_publish_released_on_another_connection_is_taken_once() {
    for version in [Version::V3_1_1, Version::V5_0] {
        let (mut it, _) = come_back(version, None, vec![]);
        it.send(&publish(version, "device/pv-01/data", 2, 7, b"{}"));
        it.judged(kept());
        it.send(&publish(version, "device/pv-01/data", 2, 8, b"{}"));
        // The second was handed over, but nobody told the device that it is durable.
        let kept = leave(&mut it);
        let (mut it, _) = come_back(version, Some(kept), vec![]);
        for _ in 0..2 {
            let repeated = again(publish(version, "device/pv-01/data", 2, 7, b"{}"));
            assert!(published(&it.send(&repeated)).is_empty());
            assert!(it.said()[0].starts_with("PUBREC 7"));
        }
        let repeated = again(publish(version, "device/pv-01/data", 2, 8, b"{}"));
        assert_eq!(published(&it.send(&repeated)).len(), 1);
        it.send(&packet(0x62, &[0, 7]));
        assert_eq!(it.said(), ["PUBCOMP 7"]);
        it.send(&packet(0x62, &[0, 9]));
        let unknown = if version == Version::V5_0 { "PUBCOMP 9 0x92" } else { "PUBCOMP 9" };
        assert_eq!(it.said(), [unknown]);
    }
}

#[test]
fn a_packet_id_released_before_the_server_died_hides_no_new_publish() {
    for version in [Version::V3_1_1, Version::V5_0] {
        let (mut it, _) = come_back(version, None, vec![]);
        it.send(&publish(version, "device/pv-01/data", 2, 7, b"old"));
        it.judged(kept());
        // Written between PUBREC and PUBREL, and not since.
        let outputs = it.send(&subscribe(version, 1, &[("device/pv-01/control", Qos::AtLeastOnce)]));
        let [Output::Keep { kept: on_disk, answer: true }] = &outputs[..] else { panic!("{outputs:?}") };
        it.handle(Input::Written(true));
        it.send(&packet(0x62, &[0, 7]));
        assert_eq!(it.said().last().unwrap(), "PUBCOMP 7");
        // Sent while the server was away, and once more.
        for lost_before in [false, true] {
            let (mut it, said) = come_back(version, Some(restarted(on_disk)), vec![]);
            assert_eq!(said, ["CONNACK 0x00 resumed"]);
            let new = publish(version, "device/pv-01/data", 2, 7, b"new");
            let outputs = it.send(&if lost_before { again(new) } else { new });
            assert_eq!(published(&outputs), [(Channel::Data, "new".to_owned())]);
            assert!(it.said().is_empty(), "not before it is on the disk");
            assert!(it.judged(kept())[0].starts_with("PUBREC 7"));
        }
    }
}

#[test]
fn a_first_attempt_under_a_packet_id_of_an_earlier_connection_is_a_new_publish() {
    for version in [Version::V3_1_1, Version::V5_0] {
        let (mut it, _) = come_back(version, None, vec![]);
        it.send(&publish(version, "device/pv-01/data", 2, 1, b"old"));
        it.judged(kept());
        // The device restarts without its memory.
        let (mut it, _) = come_back(version, Some(leave(&mut it)), vec![]);
        let new = publish(version, "device/pv-01/data", 2, 1, b"new");
        assert_eq!(published(&it.send(&new)), [(Channel::Data, "new".to_owned())]);
        // Not told that it is durable, the device repeats it on the next connection.
        let (mut it, _) = come_back(version, Some(leave(&mut it)), vec![]);
        assert_eq!(published(&it.send(&again(new))).len(), 1);
        assert!(it.judged(kept())[0].starts_with("PUBREC 1"));
    }
}

#[test]
fn reports_wait_for_a_device_that_is_away_and_go_when_it_has_them() {
    let version = Version::V5_0;
    let (mut it, _) = come_back(version, None, vec![]);
    listen(&mut it, version, &[(ERRORS, Qos::AtLeastOnce)]);
    it.send(&publish(version, "device/pv-01/data", 1, 5, b"x"));
    let outputs = it.handle(Input::Judged(refused()));
    assert!(matches!(outputs[..], [Output::Keep { answer: true, .. }]), "{outputs:?}");
    let said = it.said();
    assert!(said.len() == 1 && said[0].starts_with("PUBLISH device/pv-01/errors qos=1 id=1 {"), "{said:?}");
    it.handle(Input::Written(true));
    assert_eq!(it.said(), ["PUBACK 5 0x99"]);
    let kept = leave(&mut it);
    let (mut it, said) = come_back(version, Some(kept), vec![]);
    assert!(said[1].starts_with("PUBLISH device/pv-01/errors qos=1 id=1 dup {"), "{said:?}");
    it.send(&puback(1));
    assert!(leave(&mut it).notices.is_empty());
}

#[test]
fn a_verdict_that_comes_after_the_end_is_a_report_for_later() {
    let version = Version::V3_1_1;
    let (mut it, _) = come_back(version, None, vec![]);
    listen(&mut it, version, &[(ERRORS, Qos::AtLeastOnce)]);
    for id in [5, 6] {
        it.send(&publish(version, "device/pv-01/data", 1, id, b"x"));
    }
    leave(&mut it);
    assert!(it.session.late_report(kept()).is_none());
    let report = it.session.late_report(refused()).unwrap();
    let text = String::from_utf8(report.json(2)).unwrap();
    assert!(text.contains(r#""packetId":6"#) && text.contains(r#""missed":2"#), "{text}");
}

#[test]
fn reports_that_find_no_room_are_counted_and_the_next_says_how_many() {
    let mut kept = Kept { expiry_s: 60, ..Kept::default() };
    let report = |missed: usize| missed.to_string().into_bytes();
    for _ in 0..MOST_NOTICES {
        assert!(kept.add_notice(Timestamp(0), report));
    }
    for _ in 0..3 {
        assert!(!kept.add_notice(Timestamp(0), report));
    }
    kept.notices.pop_front();
    assert!(kept.add_notice(Timestamp(0), report));
    assert_eq!(kept.notices.back().unwrap().payload, "3");
    // A week later nobody wants to know.
    assert!(kept.add_notice(Timestamp(8 * 86_400_000), report));
    assert_eq!(kept.notices.len(), 1);
}

#[test]
fn a_session_that_cannot_be_written_is_not_promised() {
    for (version, code) in [(Version::V3_1_1, "CONNACK 0x03"), (Version::V5_0, "CONNACK 0x88")] {
        let mut it = Conversation::new();
        it.send(&lasting(version, true, vec![]));
        it.handle(Input::Authenticated(Some("pv-01".parse().unwrap())));
        let outputs = it.handle(Input::Opened(Err(())));
        assert_eq!(closes(&outputs), Some(CloseReason::NotStored));
        assert_eq!(it.said(), [code]);

        let (mut it, _) = come_back(version, None, vec![]);
        it.send(&subscribe(version, 1, &[("device/pv-01/control", Qos::AtLeastOnce)]));
        it.handle(Input::Written(false));
        assert_eq!(
            it.said()[0],
            format!("SUBACK 1 [{}]", if version == Version::V5_0 { "83" } else { "80" })
        );
        assert!(!it.session.wants_deliveries());
    }
}

#[test]
fn a_v5_client_may_end_its_session_as_it_leaves_but_not_make_it_last() {
    let (mut it, _) = come_back(Version::V5_0, None, vec![]);
    let expires = |seconds: u8| packet(0xE0, &[0, 5, 17, 0, 0, 0, seconds]);
    let outputs = it.send(&expires(0));
    assert!(matches!(outputs[..], [Output::Close { kept: None, .. }]), "{outputs:?}");
    let mut it = Conversation::open(Version::V5_0);
    let outputs = it.send(&expires(9));
    assert_eq!(closes(&outputs), Some(CloseReason::ProtocolError));
    assert_eq!(it.said(), ["DISCONNECT 0x82"]);
}

#[test]
fn a_will_with_a_delay_waits_with_its_session() {
    let connect = |delay: u32, expiry: u32| {
        v5::Connect::builder()
            .client_id("client")
            .unwrap()
            .clean_start(true)
            .will_message("device/pv-01/event", b"gone", Qos::AtLeastOnce, true)
            .unwrap()
            .will_props(vec![WillDelayInterval::new(delay).unwrap().into()])
            .props(vec![SessionExpiryInterval::new(expiry).unwrap().into()])
            .user_name("pv-01")
            .unwrap()
            .password("secret")
            .unwrap()
            .build()
            .unwrap()
            .to_continuous_buffer()
    };
    for (delay, expiry, due) in
        [(30, 3600, Some(30_000)), (30, 10, Some(10_000)), (0, 60, None), (30, 0, None)]
    {
        let mut it = Conversation::new();
        it.send(&connect(delay, expiry));
        let outputs = it.handle(Input::Authenticated(Some("pv-01".parse().unwrap())));
        let [Output::Open(opening)] = &outputs[..] else { panic!("{outputs:?}") };
        assert!(opening.will.is_some(), "written before the CONNACK where the session lasts");
        it.handle(Input::Opened(Ok(None)));
        let outputs = it.handle(Input::PeerClosed);
        let [Output::Close { will, kept, .. }] = &outputs[..] else { panic!("{outputs:?}") };
        let kept = kept.as_ref().map(|kept| Kept { left_at: Some(Timestamp(0)), ..(**kept).clone() });
        assert_eq!(kept.and_then(|kept| kept.will_due_at()).map(|at| at.0), due, "{delay} {expiry}");
        assert_eq!(will.is_some(), due.is_none());
    }
    for goodbye in [Input::Shutdown, Input::SecretReplaced, Input::Received] {
        let mut it = Conversation::new();
        it.send(&connect(30, 3600));
        it.authenticated(Some("pv-01"));
        it.session.buffers().0.extend_from_slice(&[0xE0, 0]);
        let outputs = it.handle(goodbye);
        let [Output::Close { will: None, kept: Some(kept), .. }] = &outputs[..] else {
            panic!("{outputs:?}")
        };
        assert_eq!(kept.will, None, "the device was not lost");
    }
}

#[test]
fn the_set_points_a_device_follows_are_retained_for_it() {
    let state = |power: f64| json!({ "power": { "value": power } }).as_object().unwrap().clone();
    let asked = |outputs: &[Output]| {
        outputs
            .iter()
            .find_map(|o| if let Output::AskDesired { retained } = o { Some(*retained) } else { None })
    };
    let options = |handling: u8, rap: bool| 1 | (handling << 4) | (u8::from(rap) << 3);
    let filter = b"device/pv-01/desired";
    let subscribe = |options: u8, props: &[u8]| {
        let head =
            [&[0, 1, props.len() as u8][..], props, &[0, filter.len() as u8], filter, &[options]].concat();
        packet(0x82, &head)
    };
    let mut it = Conversation::open(Version::V5_0);
    // Retain handling: always, only when new, never.
    assert_eq!(asked(&it.send(&subscribe(options(1, false), &[]))), Some(true));
    assert_eq!(asked(&it.send(&subscribe(options(1, false), &[]))), None);
    assert_eq!(asked(&it.send(&subscribe(options(2, false), &[]))), None);
    assert_eq!(asked(&it.send(&subscribe(options(0, false), &[]))), Some(true));
    it.said();
    it.handle(Input::Desired { set_points: serde_json::Map::new(), retained: true });
    assert!(it.said().is_empty(), "nothing is retained while nothing is followed");
    it.handle(Input::Desired { set_points: state(5.0), retained: true });
    assert_eq!(
        it.said(),
        [
            r#"PUBLISH device/pv-01/desired qos=1 id=1 retained {"desired":{"power":{"value":5.0}},"deviceId":"pv-01"}"#
        ]
    );
    // Changes come as they are, and the newest only while one is in flight.
    for power in [5.0, 6.0, 7.0] {
        it.handle(Input::Desired { set_points: state(power), retained: false });
    }
    assert!(it.said().is_empty());
    it.send(&puback(1));
    let said = it.said();
    assert!(said.len() == 1 && said[0].contains("qos=1 id=1 {") && said[0].contains("7.0"), "{said:?}");
    it.send(&puback(1));
    // Retain as published.
    it.send(&subscribe(options(2, true), &[]));
    it.said();
    it.handle(Input::Desired { set_points: serde_json::Map::new(), retained: false });
    assert!(it.said()[0].contains(" retained {"), "an end is told");
    // No Local on a shared subscription is a protocol error.
    let shared = b"$share/g/device/pv-01/desired";
    let body = [&[0, 1, 0, 0, shared.len() as u8][..], shared, &[1]].concat();
    assert_eq!(asked(&it.send(&packet(0x82, &body))), None, "a shared subscription gets nothing retained");
    let body = [&[0, 1, 0, 0, shared.len() as u8][..], shared, &[1 | 4]].concat();
    assert_eq!(closes(&it.send(&packet(0x82, &body))), Some(CloseReason::ProtocolError));
}

#[test]
fn a_v5_publish_says_when_it_expires_which_subscriptions_it_answers_and_its_topic_once() {
    let mut it = Conversation::new();
    it.send(&connect_v5("pv-01", "secret", 60, vec![TopicAliasMaximum::new(1).unwrap().into()]));
    it.authenticated(Some("pv-01"));
    for (id, filter) in [(7, "device/pv-01/control"), (300, "device/pv-01/#")] {
        let entries = vec![SubEntry::new(filter, SubOpts::new().set_qos(Qos::AtLeastOnce)).unwrap()];
        let props = vec![SubscriptionIdentifier::new(id).unwrap().into()];
        let packet = v5::Subscribe::builder().packet_id(1).entries(entries).props(props).build().unwrap();
        it.send(&packet.to_continuous_buffer());
    }
    it.said();
    it.wall = Timestamp(80_500);
    for (id, topic) in [("c1", "device/pv-01/control"), ("c2", "")] {
        it.handle(Input::Delivery(command(id)));
        let bytes = it.session.buffers().1.split();
        let length_bytes = bytes[1..].iter().position(|b| b & 0x80 == 0).unwrap() + 1;
        let body = std::sync::Arc::<[u8]>::from(&bytes[1 + length_bytes..]);
        let (publish, _) = v5::Publish::parse(bytes[0] & 15, body).unwrap();
        assert_eq!(publish.topic_name(), topic);
        let said: Vec<String> = publish.props().iter().map(|property| format!("{property:?}")).collect();
        let said = said.join(" ");
        for part in ["MessageExpiryInterval", "TopicAlias", "SubscriptionIdentifier"] {
            assert!(said.contains(part), "{said}");
        }
        let expires = publish.props().iter().find_map(|property| match property {
            Property::MessageExpiryInterval(seconds) => Some(seconds.val()),
            _ => None,
        });
        assert_eq!(expires, Some(10), "a started second counts");
        let matches = publish.props().iter().filter(|p| matches!(p, Property::SubscriptionIdentifier(_)));
        assert_eq!(matches.count(), 2);
    }
    it.wall = Timestamp(90_000);
    it.handle(Input::Delivery(command("c3")));
    assert!(it.said().is_empty(), "expired meanwhile");
}

#[test]
fn a_certificate_spares_the_password_and_an_unknown_one_is_refused() {
    let anonymous = |version| match version {
        Version::V3_1_1 => {
            let builder = v3::Connect::builder().client_id("c").unwrap().clean_session(true);
            builder.build().unwrap().to_continuous_buffer()
        }
        _ => v5::Connect::builder().client_id("c").unwrap().build().unwrap().to_continuous_buffer(),
    };
    for (version, code) in [(Version::V3_1_1, "CONNACK 0x05"), (Version::V5_0, "CONNACK 0x87")] {
        for (device, said) in [(Some("pv-01"), "CONNACK 0x00"), (None, code)] {
            let mut it = Conversation::with(SessionOptions { has_certificate: true, ..options() });
            let outputs = it.send(&anonymous(version));
            assert!(matches!(outputs[..], [Output::Authenticate { user: None, password: None }]));
            assert_eq!(it.authenticated(device), [said]);
        }
    }
}
