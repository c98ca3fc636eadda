use super::*;

#[test]
fn filters_are_granted_one_by_one() {
    let filters = [
        ("device/pv-01/control", Qos::ExactlyOnce),
        ("device/pv-01/errors", Qos::AtMostOnce),
        ("device/other/control", Qos::AtMostOnce),
        ("device/+/control", Qos::AtMostOnce),
        ("#", Qos::AtMostOnce),
        ("device/pv-01/a#b", Qos::AtMostOnce),
        ("$share/g/device/pv-01/control", Qos::AtMostOnce),
    ];
    let mut it = Conversation::open(Version::V5_0);
    it.send(&subscribe(Version::V5_0, 5, &filters));
    assert_eq!(it.said(), ["SUBACK 5 [01, 00, 87, 87, 87, 8f, 9e]"]);
    let mut it = Conversation::open(Version::V3_1_1);
    it.send(&subscribe(Version::V3_1_1, 5, &filters));
    assert_eq!(it.said(), ["SUBACK 5 [01, 00, 80, 80, 80, 80, 80]"]);
}

#[test]
fn commands_flow_only_while_the_control_topic_is_subscribed() {
    let mut it = Conversation::open(Version::V5_0);
    assert!(!it.session.wants_deliveries());
    it.send(&subscribe(Version::V5_0, 1, &[("device/pv-01/errors", Qos::AtLeastOnce)]));
    assert!(!it.session.wants_deliveries());
    it.send(&subscribe(Version::V5_0, 2, &[("device/pv-01/+", Qos::AtLeastOnce)]));
    assert!(it.session.wants_deliveries());
    it.said();
    let unsubscribe = |filter: &str| {
        let body = [&[0, 3, 0, 0, filter.len() as u8], filter.as_bytes()].concat();
        packet(0xA2, &body)
    };
    it.send(&unsubscribe("device/pv-01/+"));
    assert_eq!(it.said(), ["UNSUBACK 3 [00]"]);
    assert!(!it.session.wants_deliveries());
    it.send(&unsubscribe("device/pv-01/+"));
    assert_eq!(it.said(), ["UNSUBACK 3 [11]"]);
}

#[test]
fn filters_have_a_limit() {
    let mut it = Conversation::open(Version::V5_0);
    let names: Vec<String> = (0..20).map(|n| format!("device/pv-01/{n}/#")).collect();
    let filters: Vec<_> = names.iter().map(|name| (name.as_str(), Qos::AtMostOnce)).collect();
    it.send(&subscribe(Version::V5_0, 1, &filters));
    let said = it.said();
    assert!(said[0].ends_with("00, 97, 97, 97, 97]"), "{said:?}");
}
