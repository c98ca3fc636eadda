use super::*;
use mqtt_protocol_core::mqtt::packet::{
    AuthenticationMethod, MaximumPacketSize, SessionExpiryInterval, TopicAliasMaximum,
};

#[test]
fn the_user_name_is_the_device_and_the_password_its_secret() {
    for version in [Version::V3_1_1, Version::V5_0] {
        let mut it = Conversation::new();
        let outputs = it.send(&connect(version, "pv-01", "secret", 60));
        assert!(
            matches!(&outputs[..], [Output::Authenticate { user, password }] if user.as_deref() == Some("pv-01") && password.as_deref() == Some(b"secret"))
        );
        assert!(it.said().is_empty(), "no CONNACK before the answer");
        assert_eq!(it.authenticated(Some("pv-01")), ["CONNACK 0x00"]);
        assert!(it.session.wants_bytes());
    }
}

#[test]
fn a_refused_client_is_told_why_and_closed() {
    let anonymous_v3 = v3::Connect::builder().client_id("c").unwrap().clean_session(true).build().unwrap();
    let anonymous_v5 = v5::Connect::builder().client_id("c").unwrap().build().unwrap();
    let exchange = connect_v5("a", "b", 60, vec![AuthenticationMethod::new("SCRAM").unwrap().into()]);
    // No client id, and the session is to be kept under it.
    let nameless = packet(0x10, b"\0\x04MQTT\x04\xC0\0\x3C\0\0\0\x01a\0\x01b");
    for (bytes, code) in [
        (anonymous_v3.to_continuous_buffer(), "CONNACK 0x05"),
        (anonymous_v5.to_continuous_buffer(), "CONNACK 0x87"),
        (exchange, "CONNACK 0x8c"),
        (nameless, "CONNACK 0x02"),
    ] {
        let mut it = Conversation::new();
        let outputs = it.send(&bytes);
        assert_eq!(it.said(), [code]);
        assert_eq!(closes(&outputs), Some(CloseReason::BadCredentials), "{code}");
    }
    for (version, code) in [(Version::V3_1_1, "CONNACK 0x04"), (Version::V5_0, "CONNACK 0x86")] {
        let mut it = Conversation::new();
        it.send(&connect(version, "pv-01", "guess", 60));
        let outputs = it.handle(Input::Authenticated(None));
        assert_eq!(closes(&outputs), Some(CloseReason::BadCredentials));
        assert_eq!(it.said(), [code]);
        assert!(it.session.is_closed());
    }
}

#[test]
fn an_explicit_topic_alias_maximum_of_zero_is_taken() {
    let mut it = Conversation::new();
    it.send(&connect_v5("pv-01", "secret", 60, vec![TopicAliasMaximum::new(0).unwrap().into()]));
    assert_eq!(it.authenticated(Some("pv-01")), ["CONNACK 0x00"]);
}

#[test]
fn an_accepted_v5_client_learns_the_limits() {
    let mut it = Conversation::new();
    it.send(&connect_v5("pv-01", "secret", 0, vec![SessionExpiryInterval::new(u32::MAX).unwrap().into()]));
    it.handle(Input::Authenticated(Some("pv-01".parse().unwrap())));
    it.handle(Input::Opened(Ok(None)));
    let bytes = it.session.buffers().1.split();
    let (connack, _) = v5::Connack::parse(&bytes[2..]).unwrap();
    let said: Vec<String> = connack.props().iter().map(|p| format!("{p}")).collect();
    let said = said.join(" ");
    for part in [
        "receive_maximum",
        "maximum_packet_size",
        "session_expiry_interval",
        "server_keep_alive",
        "topic_alias",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[test]
fn a_client_with_no_room_for_a_connack_is_closed() {
    let mut it = Conversation::new();
    it.send(&connect_v5("pv-01", "secret", 60, vec![MaximumPacketSize::new(5).unwrap().into()]));
    it.handle(Input::Authenticated(Some("pv-01".parse().unwrap())));
    let outputs = it.handle(Input::Opened(Ok(None)));
    assert_eq!(closes(&outputs), Some(CloseReason::ProtocolError));
}

#[test]
fn what_is_no_connect_is_closed_with_the_reason_there_is() {
    let publish = publish(Version::V3_1_1, "device/pv-01/data", 0, 0, b"{}");
    let mut twice = connect(Version::V5_0, "pv-01", "secret", 60);
    twice[9] |= 1; // connect flags: the reserved bit
    let huge_connect = [&[0x10, 0xFF, 0xFF, 0x03][..], b"\0\x04MQTT\x05"].concat();
    let huge_old_connect = [&[0x10, 0xFF, 0xFF, 0x03][..], b"\0\x04MQTT\x04"].concat();
    use CloseReason::*;
    for (bytes, why, said) in [
        (publish, Malformed, &[][..]),
        (vec![0xC0, 0], Malformed, &[]),
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Malformed, &[]),
        (vec![0x16, 0x03, 0x01, 0x02, 0x00], Malformed, &[]), // a TLS hello
        (vec![0; 64], Malformed, &[]),
        (vec![0x10, 0x80, 0x80, 0x80, 0x80], Malformed, &[]),
        (huge_connect, PacketTooLarge, &["CONNACK 0x95"]),
        (huge_old_connect, PacketTooLarge, &[]),
        (twice, Malformed, &[]),
        (packet(0x10, b"\0\x04MQTT\x06\x02\0\x3C\0\x01c"), UnsupportedVersion, &["CONNACK 0x01"]),
        (packet(0x10, b"\0\x06MQIsdp\x03\x02\0\x3C\0\x01c"), UnsupportedVersion, &["CONNACK 0x01"]),
    ] {
        let mut it = Conversation::new();
        let outputs = it.send(&bytes);
        assert_eq!(closes(&outputs), Some(why), "{bytes:x?}");
        assert_eq!(it.said(), said, "{bytes:x?}");
    }
}

#[test]
fn a_connect_in_pieces_is_a_connect() {
    let bytes = connect(Version::V5_0, "pv-01", "secret", 60);
    let mut it = Conversation::new();
    for byte in &bytes[..bytes.len() - 1] {
        assert!(it.send(&[*byte]).is_empty());
    }
    assert!(matches!(it.send(&bytes[bytes.len() - 1..])[..], [Output::Authenticate { .. }]));
}

#[test]
fn a_connect_too_large_is_read_until_it_says_how_to_answer() {
    let mut it = Conversation::new();
    assert!(it.send(&[0x10, 0xFF, 0xFF, 0x03]).is_empty());
    assert!(it.send(b"\0\x04MQTT").is_empty());
    assert_eq!(closes(&it.send(b"\x05")), Some(CloseReason::PacketTooLarge));
    assert_eq!(it.said(), ["CONNACK 0x95"]);
}

#[test]
fn a_client_without_a_place_is_told_so_before_anything_is_asked_of_it() {
    for (version, code) in [(Version::V3_1_1, "CONNACK 0x03"), (Version::V5_0, "CONNACK 0x97")] {
        let mut it = Conversation::with(SessionOptions { has_place: false, ..options() });
        let outputs = it.send(&connect(version, "pv-01", "secret", 60));
        assert!(!outputs.iter().any(|o| matches!(o, Output::Authenticate { .. })));
        assert_eq!(closes(&outputs), Some(CloseReason::TooManyConnections));
        assert_eq!(it.said(), [code]);
    }
}

#[test]
fn a_refusal_is_in_words_unless_the_client_has_no_room_for_them() {
    for (props, has_words) in [(vec![], true), (vec![MaximumPacketSize::new(10).unwrap().into()], false)] {
        let mut it = Conversation::new();
        it.send(&connect_v5("pv-01", "guess", 60, props));
        it.handle(Input::Authenticated(None));
        let bytes = it.session.buffers().1.split();
        assert_eq!(bytes[3], 0x86);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(text.contains("no such device with this secret"), has_words, "{text}");
    }
}

#[test]
fn who_does_not_say_who_it_is_in_time_is_closed() {
    let mut it = Conversation::new();
    assert_eq!(it.session.deadline(), Some(10 * SECOND));
    it.send(&[0x10]);
    it.now = 9 * SECOND;
    assert!(it.handle(Input::Tick).is_empty());
    it.now = 10 * SECOND;
    assert_eq!(closes(&it.handle(Input::Tick)), Some(CloseReason::ConnectTimeout));
}

#[test]
fn a_silent_client_is_closed_after_one_and_a_half_keep_alives() {
    for (version, said) in [(Version::V3_1_1, &[][..]), (Version::V5_0, &["DISCONNECT 0x8d"])] {
        let mut it = Conversation::open(version);
        it.now = 80 * SECOND;
        it.send(&[0xC0, 0]);
        assert_eq!(it.said(), ["PINGRESP"]);
        assert_eq!(it.session.deadline(), Some(170 * SECOND));
        it.now = 169 * SECOND;
        assert!(it.handle(Input::Tick).is_empty());
        it.now = 170 * SECOND;
        assert_eq!(closes(&it.handle(Input::Tick)), Some(CloseReason::KeepAliveTimeout));
        assert_eq!(it.said(), said);
    }
}

#[test]
fn a_client_that_asks_for_no_keep_alive_gets_the_longest() {
    for version in [Version::V3_1_1, Version::V5_0] {
        for asked in [0, u16::MAX] {
            let mut it = Conversation::new();
            it.send(&connect(version, "pv-01", "secret", asked));
            it.authenticated(Some("pv-01"));
            assert_eq!(it.session.deadline(), Some(900 * SECOND), "{version:?} {asked}");
        }
    }
}

#[test]
fn a_client_that_reads_nothing_is_closed() {
    let mut it = Conversation::open(Version::V5_0);
    it.send(&[0xC0, 0]);
    assert!(it.session.has_outgoing());
    it.now = 15 * SECOND;
    it.send(&[0xC0, 0]);
    assert_eq!(it.session.deadline(), Some(20 * SECOND));
    it.now = 20 * SECOND;
    assert_eq!(closes(&it.handle(Input::Tick)), Some(CloseReason::WriteStalled));
}

#[test]
fn a_connection_taken_over_or_shut_down_is_told_where_the_protocol_can() {
    for (input, why, code) in [
        (Input::TakenOver, CloseReason::TakenOver, "DISCONNECT 0x8e"),
        (Input::SecretReplaced, CloseReason::SecretReplaced, "DISCONNECT 0x98"),
        (Input::Shutdown, CloseReason::Shutdown, "DISCONNECT 0x8b"),
    ] {
        let mut it = Conversation::open(Version::V5_0);
        let outputs = it.handle(input);
        assert_eq!(closes(&outputs), Some(why));
        assert_eq!(it.said(), [code]);
        assert!(it.send(&[0xC0, 0]).is_empty(), "a closed session does nothing");
    }
    let mut it = Conversation::open(Version::V3_1_1);
    it.handle(Input::TakenOver);
    assert!(it.said().is_empty());
}

#[test]
fn a_will_on_the_devices_own_topic_is_published_unless_it_said_goodbye() {
    let with_will = |topic: &str| {
        let mut it = Conversation::new();
        let bytes = v3::Connect::builder()
            .client_id("c")
            .unwrap()
            .clean_session(true)
            .will_message(topic, b"gone", Qos::AtLeastOnce, false)
            .unwrap()
            .user_name("pv-01")
            .unwrap()
            .password(b"secret")
            .unwrap()
            .build()
            .unwrap()
            .to_continuous_buffer();
        it.send(&bytes);
        it.authenticated(Some("pv-01"));
        it
    };
    let will = |outputs: &[Output]| match outputs {
        [Output::Close { will, kept: None, .. }] => will.as_ref().map(|m| m.channel),
        other => panic!("{other:?}"),
    };
    let mut it = with_will("device/pv-01/event");
    assert_eq!(will(&it.handle(Input::PeerClosed)), Some(Channel::Event));
    let mut it = with_will("device/pv-01/event");
    assert_eq!(will(&it.send(&[0xE0, 0])), None);
    let mut it = with_will("device/pv-01/event");
    assert_eq!(will(&it.handle(Input::SecretReplaced)), None, "it may be another's");
}

#[test]
fn a_will_on_any_other_topic_is_refused_with_its_connect() {
    for (topic, counted) in [("device/other/event", "NOT_YOUR_DEVICE"), ("lobby/gone", "UNKNOWN_TOPIC")] {
        let old = v3::Connect::builder().client_id("c").unwrap().clean_session(true);
        let old = old.will_message(topic, b"gone", Qos::AtLeastOnce, false).unwrap();
        let old = old.user_name("pv-01").unwrap().password(b"secret").unwrap().build().unwrap();
        let new = v5::Connect::builder().client_id("c").unwrap().clean_start(true);
        let new = new.will_message(topic, b"gone", Qos::AtLeastOnce, false).unwrap();
        let new = new.user_name("pv-01").unwrap().password(b"secret").unwrap().build().unwrap();
        for (bytes, code) in
            [(old.to_continuous_buffer(), "CONNACK 0x05"), (new.to_continuous_buffer(), "CONNACK 0x90")]
        {
            let mut it = Conversation::new();
            it.send(&bytes);
            let outputs = it.handle(Input::Authenticated(Some("pv-01".parse().unwrap())));
            assert_eq!(refused_codes(&outputs), [counted]);
            assert_eq!(closes(&outputs), Some(CloseReason::BadWill));
            assert!(!outputs.iter().any(|o| matches!(o, Output::Open(_))));
            assert_eq!(it.said(), [code]);
        }
    }
}
