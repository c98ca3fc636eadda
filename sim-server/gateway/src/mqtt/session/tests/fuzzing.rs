//! Packets of any bytes, each after a CONNECT that was let in: never a panic, and never more said than may wait.

use super::*;

#[test]
fn fuzzed_packets_are_answered_or_end_the_connection() {
    let both = [Version::V3_1_1, Version::V5_0];
    let seeds = both.into_iter().enumerate().flat_map(|(which, version)| {
        let packets = [
            connect(version, "pv-01", "secret", 60),
            publish(version, "device/pv-01/data", 1, 7, b"{\"deviceId\":\"pv-01\"}"),
            publish(version, "device/pv-01/event", 2, 8, b"{}"),
            publish(version, "device/pv-02/data", 0, 0, b"{}"),
            vec![0xC0, 0],
            vec![0xE0, 0],
            b"\x82\x1a\x00\x01\x00\x14device/pv-01/control\x01".to_vec(),
        ];
        packets.map(|packet| [&[which as u8], &packet[..]].concat())
    });
    park_fuzz::target("mqtt-packets", seeds.collect::<Vec<_>>(), |bytes| {
        let Some((&which, bytes)) = bytes.split_first() else { return (0, Vec::new(), String::new()) };
        let version = if which % 2 == 0 { Version::V3_1_1 } else { Version::V5_0 };
        let mut it = Conversation::open(version);
        let outputs = it.send(bytes);
        assert!(it.session.buffers().1.len() <= options().max_outgoing_bytes + options().max_packet_bytes);
        let closed = closes(&outputs).map_or("", CloseReason::as_str).to_owned();
        let mut kinds: Vec<String> = refused_codes(&outputs).into_iter().map(str::to_owned).collect();
        kinds.extend(published(&outputs).into_iter().map(|(channel, _)| format!("{channel:?}")));
        kinds.dedup();
        (usize::from(which % 2), kinds, closed)
    });
}
