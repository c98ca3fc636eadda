use super::*;
use crate::ingest::Fault;
use shared::telemetry::{Refusal, RefusalCode};

const DATA: &str = "device/pv-01/data";

fn refused(code: RefusalCode) -> Verdict {
    let fault = Refusal::new(code, "data.power", "because").into();
    Verdict::Refused { code, faults: vec![fault] }
}

#[test]
fn nothing_is_acknowledged_before_the_verdict() {
    for (version, ack) in [(Version::V3_1_1, "PUBACK 7"), (Version::V5_0, "PUBACK 7 0x00")] {
        let mut it = Conversation::open(version);
        let outputs = it.send(&publish(version, DATA, 1, 7, b"{}"));
        assert_eq!(published(&outputs), [(Channel::Data, "{}".to_owned())]);
        assert!(it.said().is_empty());
        assert_eq!(it.judged(kept()), [ack]);
    }
}

#[test]
fn acknowledgements_leave_in_the_order_the_publishes_came() {
    let mut it = Conversation::open(Version::V5_0);
    it.send(&publish(Version::V5_0, DATA, 1, 3, b"a"));
    it.send(&publish(Version::V5_0, "device/other/data", 1, 1, b"b"));
    it.send(&publish(Version::V5_0, "device/pv-01/event", 2, 2, b"c"));
    assert!(it.said().is_empty(), "the refused one waits for its turn");
    assert_eq!(it.judged(kept()), ["PUBACK 3 0x00", "PUBACK 1 0x87"]);
    assert_eq!(it.judged(kept()), ["PUBREC 2 0x00"]);
    it.send(&packet(0x62, &[0, 2]));
    assert_eq!(it.said(), ["PUBCOMP 2"]);
}

#[test]
fn refusals_carry_a_reason_code_in_v5_and_none_in_v3() {
    use RefusalCode::*;
    for (verdict, code) in [
        (refused(MalformedJson), "0x99"),
        (refused(MissingField), "0x99"),
        (refused(NotFinite), "0x99"),
        (refused(UnknownMeasurement), "0x99"),
        (refused(TimestampTooOld), "0x99"),
        (refused(NotYourDevice), "0x87"),
        (refused(UnknownDevice), "0x87"),
        (refused(TooLarge), "0x97"),
        (Verdict::NotStored(Refusal::new(Busy, "", "busy")), "0x97"),
        (Verdict::NotStored(Refusal::new(StorageFailed, "", "disk")), "0x83"),
        (Verdict::Kept { faults: vec![Refusal::new(NotFinite, "[1].data.power", "NaN").into()] }, "0x00"),
    ] {
        let mut it = Conversation::open(Version::V5_0);
        it.send(&publish(Version::V5_0, DATA, 1, 9, b"x"));
        assert_eq!(it.judged(verdict.clone()), [format!("PUBACK 9 {code}")], "{verdict:?}");
    }
    let mut it = Conversation::open(Version::V3_1_1);
    it.send(&publish(Version::V3_1_1, DATA, 1, 9, b"x"));
    assert_eq!(it.judged(refused(MalformedJson)), ["PUBACK 9"]);
}

#[test]
fn what_was_not_stored_is_not_acknowledged_to_a_v3_client() {
    for qos in [1, 2] {
        let mut it = Conversation::open(Version::V3_1_1);
        it.send(&publish(Version::V3_1_1, DATA, qos, 9, b"x"));
        let verdict = Verdict::NotStored(Refusal::new(RefusalCode::StorageFailed, "", "disk"));
        let outputs = it.handle(Input::Judged(verdict));
        assert_eq!(closes(&outputs), Some(CloseReason::NotStored));
        assert!(it.said().is_empty());
    }
}

#[test]
fn what_was_refused_is_told_on_the_errors_topic() {
    for version in [Version::V3_1_1, Version::V5_0] {
        let mut it = Conversation::open(version);
        it.send(&subscribe(version, 1, &[("device/pv-01/errors", Qos::AtLeastOnce)]));
        it.said();
        it.send(&publish(version, DATA, 1, 9, b"x"));
        let report = &it.judged(refused(RefusalCode::NotFinite))[0];
        assert_eq!(
            report,
            r#"PUBLISH device/pv-01/errors qos=0 {"topic":"device/pv-01/data","packetId":9,"errors":[{"code":"NOT_FINITE","field":"data.power","message":"because"}]}"#
        );
        it.send(&publish(version, DATA, 0, 0, b"x"));
        assert!(!it.judged(refused(RefusalCode::NotFinite))[0].contains("packetId"));
        it.send(&publish(version, "device/other/data", 0, 0, b"x"));
        assert!(it.said()[0].contains(r#""topic":"device/other/data","errors":[{"code":"NOT_YOUR_DEVICE""#));
        it.send(&publish(version, "elsewhere", 0, 0, b"x"));
        assert!(it.said()[0].contains("UNKNOWN_TOPIC"));
    }
}

#[test]
fn a_full_window_stops_reading_until_the_first_verdict() {
    for version in [Version::V3_1_1, Version::V5_0] {
        let mut it = Conversation::open(version);
        let burst: Vec<u8> = (1..=6).flat_map(|id| publish(version, DATA, 1, id, b"{}")).collect();
        assert_eq!(published(&it.send(&burst)).len(), 4);
        assert!(!it.session.wants_bytes());
        assert_eq!(it.session.deadline(), None, "our slowness is not the client's silence");
        it.now = 500 * SECOND;
        let outputs = it.handle(Input::Judged(kept()));
        assert_eq!(published(&outputs).len(), 1, "the next waited in the inbox");
        assert_eq!(it.said().len(), 1);
        for _ in 0..5 {
            it.handle(Input::Judged(kept()));
        }
        assert_eq!(it.said().len(), 5);
        assert!(it.session.wants_bytes());
        assert_eq!(it.session.deadline(), Some(590 * SECOND));
    }
}

#[test]
fn a_v5_client_that_ignores_the_window_is_told() {
    let mut it = Conversation::open(Version::V5_0);
    // QoS 2 publishes count until their PUBCOMP, also when their verdicts are long there.
    for id in 1..=4 {
        it.send(&publish(Version::V5_0, DATA, 2, id, b"{}"));
        it.judged(kept());
    }
    let outputs = it.send(&publish(Version::V5_0, DATA, 2, 5, b"{}"));
    assert_eq!(closes(&outputs), Some(CloseReason::ProtocolError));
    assert_eq!(it.said(), ["DISCONNECT 0x93"]);
}

#[test]
fn a_repeated_qos_2_publish_is_not_acknowledged_before_its_first_copy_is_durable() {
    for version in [Version::V3_1_1, Version::V5_0] {
        let mut it = Conversation::open(version);
        it.send(&publish(version, DATA, 2, 5, b"{}"));
        assert!(published(&it.send(&publish(version, DATA, 2, 5, b"{}"))).is_empty());
        assert!(it.said().is_empty());
        assert_eq!(it.judged(kept()).len(), 1);
        it.send(&publish(version, DATA, 2, 5, b"{}"));
        assert!(it.said()[0].starts_with("PUBREC 5"), "now it may be said again");
    }
}

#[test]
fn broken_packets_end_the_connection_with_their_reason() {
    use CloseReason::*;
    let too_large = [&[0x32, 0x80, 0x20][..], &[0; 100]].concat();
    for (bytes, why, code) in [
        (packet(0x32, &[0, 50, b'x']), Malformed, "0x81"), // topic longer than the packet
        (packet(0x32, &[0, 1, 0xFF, 0, 1, 0]), Malformed, "0x81"), // topic not UTF-8
        (publish(Version::V5_0, DATA, 1, 0, b"{}"), ProtocolError, "0x82"),
        (packet(0x36, &[0, 1, b'x', 0, 1, 0]), Malformed, "0x81"), // QoS 3
        (packet(0x80, &[0, 1, 0]), Malformed, "0x81"),             // SUBSCRIBE without its flag
        (packet(0x82, &[0, 1, 0]), ProtocolError, "0x82"),         // no filter in it
        (packet(0xF0, &[0x18, 0]), ProtocolError, "0x82"),         // AUTH, never agreed on
        (packet(0x20, &[0, 0, 0]), ProtocolError, "0x82"),         // a server's packet
        (packet(0x40, &[0, 99]), ProtocolError, "0x82"),           // acknowledges nothing we sent
        (packet(0x30, &[0, 0, 3, 35, 0, 9]), ProtocolError, "0x94"), // a topic alias never set up
        (connect(Version::V5_0, "pv-01", "secret", 60), ProtocolError, "0x82"),
        (too_large, PacketTooLarge, "0x95"),
    ] {
        let mut it = Conversation::open(Version::V5_0);
        let outputs = it.send(&bytes);
        assert_eq!(closes(&outputs), Some(why), "{bytes:x?}");
        assert_eq!(it.said(), [format!("DISCONNECT {code}")], "{bytes:x?}");
    }
}

#[test]
fn a_packet_too_large_is_told_on_the_errors_topic_too() {
    let mut it = Conversation::open(Version::V3_1_1);
    it.send(&subscribe(Version::V3_1_1, 1, &[("device/pv-01/#", Qos::AtMostOnce)]));
    it.said();
    let outputs = it.send(&[0x32, 0x80, 0x80, 0x80, 0x05]);
    assert_eq!(closes(&outputs), Some(CloseReason::PacketTooLarge));
    let said = it.said();
    assert!(said[0].contains("TOO_LARGE") && said[0].contains("4096"), "{said:?}");
}

#[test]
fn reports_do_not_pile_up_behind_a_client_that_does_not_read() {
    let mut it = Conversation::open(Version::V5_0);
    it.send(&subscribe(Version::V5_0, 1, &[("device/pv-01/errors", Qos::AtMostOnce)]));
    let fault = Fault { code: "NOT_FINITE", field: "x".repeat(3000), message: "m".repeat(3000) };
    for _ in 0..100 {
        it.send(&publish(Version::V5_0, DATA, 0, 0, b"x"));
        it.handle(Input::Judged(Verdict::Refused {
            code: RefusalCode::NotFinite,
            faults: vec![fault.clone()],
        }));
    }
    assert!(it.session.buffers().1.len() < options().max_outgoing_bytes + 8192);
    assert!(!it.session.wants_bytes());
}

#[test]
fn a_client_may_ask_to_be_spared_reasons() {
    use mqtt_protocol_core::mqtt::packet::RequestProblemInformation;
    let spared = vec![RequestProblemInformation::new(0).unwrap().into()];
    for (props, has_reason) in [(vec![], true), (spared, false)] {
        let mut it = Conversation::new();
        it.send(&connect_v5("pv-01", "secret", 60, props));
        it.authenticated(Some("pv-01"));
        it.send(&publish(Version::V5_0, DATA, 1, 9, b"x"));
        it.handle(Input::Judged(refused(RefusalCode::NotFinite)));
        let bytes = it.session.buffers().1.split();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(text.contains("NOT_FINITE at data.power: because"), has_reason, "{text}");
    }
}
