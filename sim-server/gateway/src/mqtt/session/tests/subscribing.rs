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
        ("$share/g/device/other/control", Qos::AtMostOnce),
        ("$share/g/device/pv-01/control", Qos::AtLeastOnce),
    ];
    let mut it = Conversation::open(Version::V5_0);
    let outputs = it.send(&subscribe(Version::V5_0, 5, &filters));
    assert_eq!(it.said()[0], "SUBACK 5 [01, 00, 87, 87, 87, 8f, 87, 01]");
    let counted = ["NOT_YOUR_TOPIC", "NOT_YOUR_TOPIC", "NOT_YOUR_TOPIC", "INVALID_FILTER", "NOT_YOUR_TOPIC"];
    assert_eq!(refused_codes(&outputs), counted);
    let mut it = Conversation::open(Version::V3_1_1);
    it.send(&subscribe(Version::V3_1_1, 5, &filters));
    let said = it.said();
    assert_eq!(said[0], "SUBACK 5 [01, 00, 80, 80, 80, 80, 80, 01]");
    // What a 3.1.1 SUBACK cannot say.
    for (report, (code, (filter, _))) in said[1..].iter().zip(counted.iter().zip(&filters[2..])) {
        assert!(report.contains(&format!(r#"{{"topic":"{filter}","packetId":5"#)), "{report}");
        assert!(report.contains(code), "{report}");
    }
    assert_eq!(said.len(), 6);
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
    let outputs = it.send(&subscribe(Version::V5_0, 1, &filters));
    assert_eq!(refused_codes(&outputs), ["TOO_MANY_FILTERS"; 4]);
    let said = it.said();
    assert!(said[0].ends_with("00, 97, 97, 97, 97]"), "{said:?}");
}
