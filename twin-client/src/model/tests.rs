use super::*;
use crate::fixture;
use shared::{
    stream::{PointInfo, PointValue},
    telemetry::{Origin, Provenance, Quality},
};

const T: Timestamp = Timestamp(1_780_000_000_000);

fn point(device: &str, measurement: &str) -> PointInfo {
    let name = PointName { device: device.parse().unwrap(), measurement: measurement.parse().unwrap() };
    PointInfo { name, origin: Origin::Field }
}

fn value(point: u32, at: i64, value: f64) -> PointValue {
    PointValue { point, timestamp: Timestamp(at), value, quality: Quality::Good }
}

fn model() -> ParkModel {
    let mut model = ParkModel::default();
    model.set_scene(fixture::tiny_scene(), "v1".into());
    let points = vec![
        point("bess-1", "power"),
        point("bess-1", "soc"),
        point("load-1", "power"),
        point("pv-1", "power"),
        point("gone", "power"),
    ];
    model.apply(ServerMessage::Subscribed(points), T);
    model
}

#[test]
fn values_are_found_by_device_and_old_ones_do_not_replace_new_ones() {
    let mut model = model();
    model.apply(ServerMessage::Values(vec![value(0, 10, 500.0), value(1, 10, 61.0)]), T);
    model.apply(ServerMessage::Values(vec![value(0, 9, 1.0)]), T);
    let bess = model.scene.as_ref().unwrap().device_index(&"bess-1".parse().unwrap()).unwrap();
    assert_eq!(model.value(bess, "power").unwrap().value, 500.0);
    assert_eq!(model.value(bess, "soc").unwrap().provenance, Provenance::Measured);
    assert_eq!(model.value(bess, "voltage"), None);
    assert_eq!(model.values.changed(), &[bess]);
    model.values.clear_changed();
    assert!(model.values.changed().is_empty());
    model.apply(ServerMessage::Values(vec![value(1, 11, 62.0)]), T);
    assert_eq!(model.values.changed(), &[bess]);
}

#[test]
fn values_of_unknown_points_and_devices_change_nothing() {
    let mut model = model();
    model.apply(ServerMessage::Values(vec![value(99, 10, 1.0), value(4, 10, 1.0)]), T);
    assert!(model.values.changed().is_empty());
    let unknown = Presence { device: "gone".parse().unwrap(), online: true, last_seen: None };
    model.apply(ServerMessage::Presence(vec![unknown]), T);
}

#[test]
fn a_new_scene_keeps_the_values_of_devices_that_stay() {
    let mut model = model();
    model.apply(ServerMessage::Values(vec![value(0, 10, 500.0)]), T);
    let mut scene = fixture::tiny_scene();
    scene.devices.reverse();
    model.set_scene(scene, "v2".into());
    let bess = model.scene.as_ref().unwrap().device_index(&"bess-1".parse().unwrap()).unwrap();
    assert_eq!(bess, 2);
    assert_eq!(model.value(bess, "power").unwrap().value, 500.0);
    assert_eq!(model.scene_version, 2);
}

#[test]
fn the_present_is_the_servers_whatever_this_machines_clock_says() {
    let mut model = ParkModel::default();
    model.set_local_time(Timestamp(500_000));
    assert!(!model.clock_known());
    assert_eq!(model.now, Timestamp(500_000));
    model.apply(ServerMessage::Tick(Timestamp(1_000_000)), Timestamp(500_000));
    model.apply(ServerMessage::Tick(Timestamp(1_001_000)), Timestamp(501_300));
    model.set_local_time(Timestamp(502_000));
    assert!(model.clock_known());
    assert_eq!((model.now, model.local_now), (Timestamp(1_002_000), Timestamp(502_000)));
}

#[test]
fn the_same_points_again_keep_their_values_until_new_ones_come_however_old() {
    let mut model = model();
    let bess = model.scene.as_ref().unwrap().device_index(&"bess-1".parse().unwrap()).unwrap();
    let table = Arc::new(PointTable::new(vec![point("bess-1", "power")], model.scene.as_ref()));
    model.take_points(table.clone());
    model.apply(ServerMessage::Values(vec![value(0, 10, 500.0)]), T);
    model.take_points(table);
    assert_eq!(model.value(bess, "power").unwrap().value, 500.0);
    // The server came back from a backup, so its newest is older.
    model.apply(ServerMessage::Values(vec![value(0, 5, 1.0)]), T);
    assert_eq!(model.value(bess, "power").unwrap().value, 1.0);
    assert_eq!(model.values.known(), 1);
    model.apply(ServerMessage::Subscribed(vec![point("bess-1", "soc")]), T);
    assert_eq!((model.value(bess, "power"), model.values.known()), (None, 0));
}

#[test]
fn a_device_that_comes_or_goes_counts_as_changed_and_is_remembered_in_a_new_scene() {
    let mut model = model();
    let says = |online| {
        let presence = Presence { device: "bess-1".parse().unwrap(), online, last_seen: None };
        ServerMessage::Presence(vec![presence])
    };
    let bess = model.scene.as_ref().unwrap().device_index(&"bess-1".parse().unwrap()).unwrap();
    let before = model.presence_version;
    model.apply(says(false), T);
    assert_eq!((model.presence_version, model.values.changed()), (before + 1, &[bess][..]));
    model.values.clear_changed();
    model.apply(says(false), T);
    assert_eq!((model.presence_version, model.values.changed()), (before + 1, &[][..]), "no news");
    let mut scene = fixture::tiny_scene();
    scene.devices.reverse();
    model.set_scene(scene, "v2".into());
    let bess = model.scene.as_ref().unwrap().device_index(&"bess-1".parse().unwrap()).unwrap();
    assert_eq!(model.connected(bess).online, Some(false));
}

#[test]
fn unacknowledged_alarms_come_first_then_urgent_then_new_ones() {
    let mut model = model();
    let scene = fixture::tiny_scene();
    let mut alarms = fixture::alarms(&scene, T);
    alarms[0].acknowledged_at = Some(T);
    alarms.reverse();
    model.apply(ServerMessage::Alarms(alarms), T);
    let order: Vec<_> = model.alarms.iter().map(|a| a.id.as_str()).collect();
    assert_eq!(order, ["a2", "a3", "a1"]);
}

#[test]
fn line_flows_add_up_below_closed_branches_and_skip_open_ones() {
    let mut model = model();
    model.apply(ServerMessage::Values(vec![value(0, 10, 500.0), value(2, 10, 40.0), value(3, 10, -90.0)]), T);
    let mut tree = flows::FlowTree::new(model.scene.as_ref().unwrap());
    tree.update(&model.values);
    assert_eq!(tree.line_kw, [Some(450.0), None]);
    tree.update(&model.values);
    assert_eq!(tree.line_kw, [Some(450.0), None], "computing again changes nothing");
}

#[test]
fn a_first_picture_waits_for_everything_and_says_for_what() {
    let mut model = ParkModel::default();
    assert_eq!(model.missing().len(), 5);
    let scene = fixture::tiny_scene();
    model.set_scene(scene.clone(), "v1".into());
    for message in fixture::messages(&scene, T) {
        model.apply(message, T);
    }
    assert_eq!(model.missing(), ["today's curves"]);
    model.curve = Some(fixture::curve(T, Timestamp(T.0 - 3_600_000)));
    assert!(model.is_complete());
}
