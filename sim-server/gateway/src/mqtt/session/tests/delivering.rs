use super::*;
use crate::mqtt::session::deliver::DELIVERY_WINDOW;
use shared::time::Timestamp;

fn delivery(id: &str) -> CommandDelivery {
    CommandDelivery {
        command_id: id.parse().unwrap(),
        command: "setPower".into(),
        parameters: serde_json::Map::new(),
        timestamp: Timestamp(1),
        expires: Timestamp(90_000),
    }
}

fn subscribed(version: Version, qos: Qos) -> Conversation {
    let mut it = Conversation::open(version);
    it.send(&subscribe(version, 1, &[("device/pv-01/control", qos)]));
    it.said();
    it
}

fn sent(outputs: &[Output]) -> Vec<String> {
    let id = |o: &Output| if let Output::CommandSent(id) = o { Some(id.to_string()) } else { None };
    outputs.iter().filter_map(id).collect()
}

#[test]
fn a_command_is_sent_when_the_device_acknowledges_the_publish() {
    for version in [Version::V3_1_1, Version::V5_0] {
        let mut it = subscribed(version, Qos::AtLeastOnce);
        assert!(sent(&it.handle(Input::Delivery(delivery("c1")))).is_empty());
        let said = it.said();
        assert_eq!(
            said,
            [
                r#"PUBLISH device/pv-01/control qos=1 id=1 {"commandId":"c1","command":"setPower","parameters":{},"timestamp":1,"expires":90000}"#
            ]
        );
        assert_eq!(sent(&it.send(&puback(1))), ["c1"]);
    }
}

#[test]
fn at_qos_0_a_command_is_sent_when_it_leaves() {
    let mut it = subscribed(Version::V3_1_1, Qos::AtMostOnce);
    assert_eq!(sent(&it.handle(Input::Delivery(delivery("c1")))), ["c1"]);
    assert!(it.said()[0].starts_with("PUBLISH device/pv-01/control qos=0 "));
}

#[test]
fn a_command_offered_again_is_not_sent_twice_on_one_connection() {
    let mut it = subscribed(Version::V5_0, Qos::AtLeastOnce);
    it.handle(Input::Delivery(delivery("c1")));
    it.handle(Input::Delivery(delivery("c1")));
    assert_eq!(it.said().len(), 1);
    it.send(&puback(1));
    it.handle(Input::Delivery(delivery("c1")));
    assert_eq!(it.said().len(), 1, "acknowledged but not answered: offered again");
}

#[test]
fn a_v5_device_may_refuse_a_command_publish() {
    let mut it = subscribed(Version::V5_0, Qos::AtLeastOnce);
    it.handle(Input::Delivery(delivery("c1")));
    assert!(sent(&it.send(&packet(0x40, &[0, 1, 0x97, 0]))).is_empty());
    assert!(it.session.wants_deliveries());
}

#[test]
fn deliveries_stop_at_the_window_and_at_the_clients_own() {
    let mut it = subscribed(Version::V3_1_1, Qos::AtLeastOnce);
    for n in 0..DELIVERY_WINDOW {
        assert!(it.session.wants_deliveries(), "{n}");
        it.handle(Input::Delivery(delivery(&format!("c{n}"))));
        it.said();
    }
    assert!(!it.session.wants_deliveries());
    it.send(&puback(3));
    assert!(it.session.wants_deliveries());

    use mqtt_protocol_core::mqtt::packet::ReceiveMaximum;
    let mut it = Conversation::new();
    it.send(&connect_v5("pv-01", "secret", 60, vec![ReceiveMaximum::new(1).unwrap().into()]));
    it.authenticated(Some("pv-01"));
    it.send(&subscribe(Version::V5_0, 1, &[("device/pv-01/control", Qos::AtLeastOnce)]));
    it.handle(Input::Delivery(delivery("c1")));
    assert!(!it.session.wants_deliveries());
    it.send(&puback(1));
    assert!(it.session.wants_deliveries());
}

#[test]
fn a_command_larger_than_the_client_takes_leaves_no_trace() {
    use mqtt_protocol_core::mqtt::packet::MaximumPacketSize;
    let mut it = Conversation::new();
    it.send(&connect_v5("pv-01", "secret", 60, vec![MaximumPacketSize::new(90).unwrap().into()]));
    it.authenticated(Some("pv-01"));
    it.send(&subscribe(Version::V5_0, 1, &[("device/pv-01/control", Qos::AtLeastOnce)]));
    it.said();
    let mut large = delivery("c1");
    large.command = "x".repeat(100);
    it.handle(Input::Delivery(large));
    assert!(it.said().is_empty());
    assert!(it.session.wants_deliveries() && !it.session.is_closed());
}
