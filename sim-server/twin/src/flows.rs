//! The twin with a real history and real records in a temporary folder: what must hold across the disk and restarts.

use crate::{CommandRefusal, Sender, Twin, TwinChange, TwinError, TwinOptions, test_park};
use history::{History, HistoryOptions};
use records::Records;
use serde_json::json;
use shared::{
    alarm::AlarmKind,
    command::{AckStatus, CommandAck, CommandRecord, CommandStatus, Issuer},
    id::DeviceId,
    stream::Selector,
    telemetry::{Origin, Quality, RefusalCode},
    text::Text,
    time::{DAY_MS, Timestamp},
};
use std::{collections::HashMap, path::Path, sync::Arc};
use tempfile::TempDir;

const NOW: i64 = 1_780_000_000_000;

fn t(seconds: i64) -> Timestamp {
    Timestamp(NOW + seconds * 1_000)
}

/// A park on disk that can be stopped and started again.
struct Park {
    folder: TempDir,
    twin: Twin,
    secrets: HashMap<DeviceId, String>,
}

async fn open(folder: &Path, at: Timestamp) -> Twin {
    let history = HistoryOptions { folder: folder.join("history"), ..HistoryOptions::default() };
    let records = format!("sqlite://{}", folder.join("records.db").display());
    let options = TwinOptions { clock: || Timestamp(NOW), ..TwinOptions::default() };
    let scene = Arc::new(test_park::scene());
    let history = History::open(history).await.unwrap();
    Twin::open(scene, history, Records::open(&records).await.unwrap(), options, at).await.unwrap()
}

impl Park {
    async fn start() -> Park {
        let folder = tempfile::tempdir().unwrap();
        let twin = open(folder.path(), t(0)).await;
        let secrets = twin.provision_scene(Origin::Simulated, t(0)).await.unwrap();
        let secrets = secrets.into_iter().map(|(id, secret)| (id, secret.to_string())).collect();
        Park { folder, twin, secrets }
    }

    /// Stops without any farewell but the release of the files, and starts again.
    async fn restart(mut self, at: Timestamp) -> Park {
        self.twin.inner.history.clone().close().await.unwrap();
        self.twin.inner.records.close().await;
        self.twin = open(self.folder.path(), at).await;
        self
    }

    async fn send(&self, device: &str, at: Timestamp, data: serde_json::Value, now: Timestamp) {
        let payload = json!({ "deviceId": device, "timestamp": at, "data": data }).to_string();
        let results = self.twin.ingest(&own(device), payload.as_bytes(), now).await.unwrap();
        assert!(results[0].result.is_ok(), "{results:?}");
    }

    async fn command(&self, id: &str) -> CommandRecord {
        self.twin.command(&id.parse().unwrap()).await.unwrap().expect("a known command")
    }

    fn alarms(&self) -> Vec<(AlarmKind, bool)> {
        self.twin.open_alarms().iter().map(|alarm| (alarm.kind, alarm.is_active())).collect()
    }
}

fn own(device: &str) -> Sender {
    Sender::Device(device.parse().unwrap())
}

fn done(id: &str) -> CommandAck {
    CommandAck {
        device_id: "bess-1".parse().unwrap(),
        command_id: id.parse().unwrap(),
        status: AckStatus::Done,
        reason: None,
        result: None,
    }
}

fn set_power(id: &str, expires: Timestamp) -> shared::command::CommandRequest {
    test_park::set_power(id, 50.0, t(0), Some(expires))
}

#[tokio::test]
async fn what_was_acknowledged_is_in_the_history_and_in_the_shadow() {
    let park = Park::start().await;
    let payload = json!([
        { "deviceId": "bess-1", "timestamp": t(0), "data": { "power": -20.5, "soc": 140, "status": "charging" } },
        { "deviceId": "bess-1", "timestamp": t(0), "data": { "sock": 1 } },
        { "deviceId": "pv-1", "timestamp": t(0), "data": { "power": -5 } },
        { "deviceId": "ghost", "timestamp": t(0), "data": { "power": 1 } },
    ])
    .to_string();
    let results = park.twin.ingest(&own("bess-1"), payload.as_bytes(), t(1)).await.unwrap();
    let codes: Vec<_> =
        results.iter().map(|r| r.result.as_ref().map_err(|e| (e.code, e.field.as_str()))).collect();
    assert_eq!(codes[0].map(|a| (a.points, a.out_of_range)), Ok((3, 1)));
    assert_eq!(codes[1], Err((RefusalCode::UnknownMeasurement, "[1].data.sock")));
    assert_eq!(codes[2], Err((RefusalCode::NotYourDevice, "[2].deviceId")));
    assert_eq!(codes[3], Err((RefusalCode::NotYourDevice, "[3].deviceId")));

    let shadow = park.twin.shadow_at("bess-1", t(5)).unwrap();
    assert_eq!((shadow.online, shadow.age_ms, shadow.last_seen), (true, Some(5_000), Some(t(1))));
    assert_eq!(shadow.reported.len(), 3);
    assert_eq!(shadow.reported["soc"].quality, Quality::OutOfRange);
    let as_json = serde_json::to_value(&shadow).unwrap();
    assert_eq!(as_json["reported"]["power"], json!({ "value": -20.5, "timestamp": t(0), "quality": "good" }));
    assert_eq!(as_json["origin"], "simulated");

    let entry = park.twin.registry().get("bess-1").unwrap();
    let stored = park.twin.inner.history.readings(&entry.series[0], t(-1), t(1), 10).await.unwrap();
    assert_eq!(stored, [shadow.reported["power"]]);
    assert_eq!(park.twin.reading(entry.id(), "power"), Some(shadow.reported["power"]));
    assert!(park.twin.shadow("ghost").is_none());
}

#[tokio::test]
async fn nothing_is_applied_that_the_store_did_not_take() {
    let park = Park::start().await;
    park.send("bess-1", t(0), json!({ "power": 1.0 }), t(0)).await;
    park.twin.inner.history.clone().close().await.unwrap();
    let version = park.twin.live().version();
    let payload =
        json!({ "deviceId": "bess-1", "timestamp": t(1), "data": { "power": 999_999 } }).to_string();
    let refusal = park.twin.ingest(&own("bess-1"), payload.as_bytes(), t(1)).await.unwrap_err();
    assert_eq!(refusal.code, RefusalCode::StorageFailed);
    assert_eq!(park.twin.live().version(), version);
    assert_eq!(park.twin.shadow("bess-1").unwrap().reported["power"].value, 1.0);
    assert!(park.alarms().is_empty());
}

#[tokio::test]
async fn a_sender_that_goes_away_half_way_leaves_nothing_half_done() {
    let park = Park::start().await;
    let payload = json!({ "deviceId": "bess-1", "timestamp": t(0), "data": { "power": 7 } }).to_string();
    {
        let sender = own("bess-1");
        let ingest = park.twin.ingest(&sender, payload.as_bytes(), t(0));
        // Polled once, so that it is under way, and dropped.
        futures::pin_mut!(ingest);
        let _ = futures::poll!(ingest.as_mut());
    }
    let power = || park.twin.reading(&"bess-1".parse().unwrap(), "power");
    while power().is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(power().unwrap().value, 7.0);
}

#[tokio::test]
async fn many_payloads_are_under_way_at_once_and_the_newest_counts() {
    let park = Park::start().await;
    let payloads: Vec<String> = (0..500)
        .map(|i| {
            json!({ "deviceId": "grid", "timestamp": NOW + i, "data": { "m0": i, "m1": i } }).to_string()
        })
        .collect();
    let sender = own("grid");
    let all = payloads.iter().map(|payload| park.twin.ingest(&sender, payload.as_bytes(), t(1)));
    for result in futures::future::join_all(all).await {
        assert!(result.unwrap()[0].result.is_ok());
    }
    assert_eq!(park.twin.reading(&"grid".parse().unwrap(), "m1").unwrap().value, 499.0);
}

#[tokio::test]
async fn only_the_right_secret_opens_the_door_also_after_a_restart() {
    let park = Park::start().await.restart(t(1)).await;
    let secret = park.secrets["bess-1"].clone();
    assert_eq!(park.twin.authenticate("bess-1", &secret).unwrap().as_str(), "bess-1");
    for (id, secret) in
        [("bess-1", ""), ("bess-1", "x"), ("pv-1", &secret), ("ghost", &secret), ("ghost", "")]
    {
        assert!(park.twin.authenticate(id, secret).is_none(), "{id}");
    }
    assert!(park.twin.provision_scene(Origin::Simulated, t(2)).await.unwrap().is_empty());
    let new = park.twin.replace_secret(&"bess-1".parse().unwrap()).await.unwrap();
    assert!(park.twin.authenticate("bess-1", &secret).is_none());
    assert!(park.twin.authenticate("bess-1", &new.to_string()).is_some());
}

#[tokio::test]
async fn a_device_registered_by_a_person_is_of_the_field_and_must_fit_the_scene() {
    let park = Park::start().await;
    let mut changes = park.twin.changes();
    let record = |id: &str| crate::DeviceRecord {
        id: id.parse().unwrap(),
        origin: Origin::Simulated,
        ..test_park::record("pv-1")
    };
    let secret = park.twin.register(record("roof-9"), t(1)).await.unwrap();
    assert_eq!(changes.recv().await.unwrap(), TwinChange::Registry);
    assert!(park.twin.authenticate("roof-9", &secret.to_string()).is_some());
    let summary = park.twin.devices().pop().unwrap();
    assert_eq!((summary.id.as_str(), summary.origin, summary.online), ("roof-9", Origin::Field, false));
    assert_eq!(park.twin.live().resolve(&Selector::Devices(vec!["roof-9".parse().unwrap()])).len(), 3);
    park.send("roof-9", t(1), json!({ "power": -3 }), t(1)).await;

    let again = park.twin.register(record("roof-9"), t(2)).await.unwrap_err();
    assert!(matches!(again, TwinError::AlreadyRegistered(_)));
    let mut other = record("roof-10");
    other.model = "toaster".parse().unwrap();
    let refused = park.twin.register(other, t(2)).await.unwrap_err();
    assert!(refused.to_string().contains("battery, inverter, meter"), "{refused}");
    let mut other = record("roof-11");
    other.building = Some("nowhere".parse().unwrap());
    assert!(matches!(park.twin.register(other, t(2)).await, Err(TwinError::UnknownBuilding { .. })));

    let park = park.restart(t(3)).await;
    assert_eq!(park.twin.reading(&"roof-9".parse().unwrap(), "power").unwrap().value, -3.0);
}

#[tokio::test]
async fn a_command_is_delivered_acknowledged_and_remembered() {
    let park = Park::start().await;
    let mut changes = park.twin.changes();
    let request = set_power("c1", t(60));
    let record = park.twin.submit(request.clone(), Issuer::Plan, t(0)).await.unwrap();
    assert_eq!(record.status, CommandStatus::Queued);
    let mut connection = park.twin.connect(&"bess-1".parse().unwrap(), t(1));
    let delivery = connection.deliveries.recv().await.unwrap();
    assert_eq!((delivery.command.as_str(), delivery.expires), ("setPower", t(60)));
    park.twin.command_sent(&delivery.command_id, t(1)).await;
    assert_eq!(park.command("c1").await.status, CommandStatus::Sent);
    assert_eq!(park.twin.shadow_at("bess-1", t(2)).unwrap().delta["power"].desired, json!(50.0));

    let ended = park.twin.acknowledge(&own("bess-1"), done("c1"), t(2)).await.unwrap();
    assert_eq!((ended.status, ended.ended_at), (CommandStatus::Acknowledged, Some(t(2))));
    assert_eq!(park.command("c1").await, ended);
    assert_eq!(park.twin.acknowledge(&own("bess-1"), done("c1"), t(3)).await.unwrap(), ended, "said twice");
    assert_eq!(park.twin.submit(request.clone(), Issuer::Plan, t(4)).await.unwrap(), ended, "asked twice");
    let mut other = request;
    other.parameters.insert("power".into(), json!(51));
    let conflict = park.twin.submit(other, Issuer::Plan, t(4)).await.unwrap_err();
    assert!(matches!(conflict, CommandRefusal::Conflict(_)));

    park.send("bess-1", t(5), json!({ "power": 50.04 }), t(5)).await;
    let shadow = park.twin.shadow_at("bess-1", t(6)).unwrap();
    assert_eq!(shadow.desired["power"].status, CommandStatus::Acknowledged);
    assert!(shadow.delta.is_empty(), "equal as shown: {:?}", shadow.delta);

    let statuses: Vec<CommandStatus> = std::iter::from_fn(|| changes.try_recv().ok())
        .filter_map(|change| match change {
            TwinChange::Command(update) => Some(update.status),
            _ => None,
        })
        .collect();
    use CommandStatus::*;
    assert_eq!(statuses, [Queued, Sent, Acknowledged]);
}

#[tokio::test]
async fn commands_survive_a_restart_and_end_once() {
    let park = Park::start().await;
    for (id, expires) in [("c1", t(60)), ("c2", t(5)), ("c3", t(60))] {
        park.twin.submit(set_power(id, expires), Issuer::Plan, t(0)).await.unwrap();
    }
    let mut connection = park.twin.connect(&"bess-1".parse().unwrap(), t(1));
    for id in ["c1", "c2", "c3"] {
        assert_eq!(connection.deliveries.recv().await.unwrap().command_id.as_str(), id);
    }
    park.twin.acknowledge(&own("bess-1"), done("c3"), t(1)).await.unwrap();
    drop(connection);

    let park = park.restart(t(10)).await;
    let mut connection = park.twin.connect(&"bess-1".parse().unwrap(), t(10));
    assert_eq!(connection.deliveries.recv().await.unwrap().command_id.as_str(), "c1");
    assert!(connection.deliveries.try_recv().is_err(), "c2 has expired, c3 has ended");
    park.twin.tick(t(10)).await.unwrap();
    assert_eq!(park.command("c2").await.status, CommandStatus::Expired);
    let late = park.twin.acknowledge(&own("bess-1"), done("c2"), t(11)).await.unwrap();
    assert_eq!(late.status, CommandStatus::Expired);
    assert_eq!(park.command("c2").await.late_ack, Some(done("c2")));
    assert_eq!(park.command("c3").await.status, CommandStatus::Acknowledged);
    assert_eq!(park.twin.shadow_at("bess-1", t(11)).unwrap().desired["power"].command_id.as_str(), "c3");
}

#[tokio::test]
async fn a_line_that_is_not_read_holds_up_only_itself() {
    let park = Park::start().await;
    let mut connection = park.twin.connect(&"bess-1".parse().unwrap(), t(0));
    let ids: Vec<String> = (0..100).map(|i| format!("c{i:03}")).collect();
    for id in &ids {
        park.twin.submit(set_power(id, t(3_600)), Issuer::Plan, t(0)).await.unwrap();
    }
    let full = park.twin.submit(set_power("one-more", t(3_600)), Issuer::Plan, t(0)).await.unwrap_err();
    assert!(matches!(full, CommandRefusal::Busy { open: 100, .. }));
    let mut read = Vec::new();
    while let Ok(delivery) = connection.deliveries.try_recv() {
        read.push(delivery.command_id.to_string());
    }
    assert_eq!(read, ids[..64], "as many as a line holds, in order");
    // Within the first pause, so that nothing is offered again yet.
    park.twin.tick(t(1)).await.unwrap();
    while let Ok(delivery) = connection.deliveries.try_recv() {
        read.push(delivery.command_id.to_string());
    }
    assert_eq!(read, ids, "and the rest with the next tick");
}

#[tokio::test]
async fn acknowledgements_of_strangers_and_of_nothing_are_refused() {
    let park = Park::start().await;
    park.twin.submit(set_power("c1", t(60)), Issuer::Plan, t(0)).await.unwrap();
    let foreign = park.twin.acknowledge(&own("pv-1"), done("c1"), t(1)).await.unwrap_err();
    assert_eq!(foreign.code, RefusalCode::NotYourDevice);
    let unknown = park.twin.acknowledge(&own("bess-1"), done("c9"), t(1)).await.unwrap_err();
    assert_eq!((unknown.code, unknown.field.as_str()), (RefusalCode::UnknownCommand, "commandId"));
    assert_eq!(park.command("c1").await.status, CommandStatus::Queued);
}

#[tokio::test]
async fn a_silent_device_goes_offline_and_comes_back_and_is_told_so() {
    let park = Park::start().await;
    let mut changes = park.twin.changes();
    park.send("pv-1", t(0), json!({ "power": -1 }), t(0)).await;
    let _connection = park.twin.connect(&"pv-2".parse().unwrap(), t(0));
    park.twin.tick(t(59)).await.unwrap();
    assert!(park.twin.shadow("pv-1").unwrap().online);
    park.twin.tick(t(60)).await.unwrap();
    assert!(!park.twin.shadow("pv-1").unwrap().online);
    assert!(!park.twin.shadow("pv-2").unwrap().online);
    // pv-2 never reported: that is not an alarm but a device not in use yet.
    assert_eq!(park.alarms(), [(AlarmKind::DeviceOffline, true)]);
    let presence: Vec<(String, bool)> = std::iter::from_fn(|| changes.try_recv().ok())
        .filter_map(|change| match change {
            TwinChange::Presence(p) => Some((p.device.to_string(), p.online)),
            _ => None,
        })
        .collect();
    let said = |device: &str, online| (device.to_owned(), online);
    assert_eq!(presence, [said("pv-1", true), said("pv-2", true), said("pv-1", false), said("pv-2", false)]);
    park.send("pv-1", t(61), json!({ "power": -1 }), t(61)).await;
    assert_eq!(park.alarms(), [(AlarmKind::DeviceOffline, false)]);
}

#[tokio::test]
async fn coming_and_going_is_news_and_a_restart_is_none() {
    async fn told(park: &Park) -> Vec<String> {
        let records = &park.twin.inner.records;
        let news = records.news(100).await.unwrap();
        records.hand_on(&news, &[], t(0)).await.unwrap();
        let shown =
            |line: &records::News| format!("{} {}", line.device.as_ref().unwrap(), line.event.as_str());
        news.iter().filter(|line| line.event.as_str().starts_with("device.")).map(shown).collect()
    }
    let park = Park::start().await;
    park.send("pv-1", t(0), json!({ "power": -1 }), t(0)).await;
    park.twin.tick(t(1)).await.unwrap();
    park.twin.tick(t(2)).await.unwrap();
    assert_eq!(told(&park).await, ["pv-1 device.online"]);
    // Silent while the server was down; it gets its time to speak.
    let park = park.restart(t(1_000)).await;
    park.twin.tick(t(1_059)).await.unwrap();
    assert_eq!(told(&park).await, Vec::<String>::new());
    park.twin.tick(t(1_060)).await.unwrap();
    assert_eq!(told(&park).await, ["pv-1 device.offline"]);
    park.send("pv-1", t(1_061), json!({ "power": -1 }), t(1_061)).await;
    park.twin.tick(t(1_062)).await.unwrap();
    assert_eq!(told(&park).await, ["pv-1 device.online"]);
    // One that speaks again in time was never away.
    let park = park.restart(t(1_070)).await;
    park.send("pv-1", t(1_080), json!({ "power": -1 }), t(1_080)).await;
    park.twin.tick(t(1_081)).await.unwrap();
    assert_eq!(told(&park).await, Vec::<String>::new());
}

#[tokio::test]
async fn alarms_survive_a_restart_and_a_restart_raises_none() {
    let park = Park::start().await;
    park.send("bess-1", t(0), json!({ "temperature": 50 }), t(0)).await;
    park.send("pv-1", t(0), json!({ "power": -1 }), t(0)).await;
    park.twin.tick(t(1)).await.unwrap();
    let park = park.restart(t(1_000)).await;
    park.twin.tick(t(1_001)).await.unwrap();
    assert_eq!(
        park.alarms(),
        [(AlarmKind::LimitExceeded, true)],
        "nobody was silent while the server was down"
    );
    let alarm = park.twin.open_alarms().remove(0);
    assert_eq!(alarm.text.en, "bess-1: battery too hot, temperature 50.0 °C (above 45 °C)");
    let acknowledged = park.twin.acknowledge_alarm(&alarm.id, "ling", t(1_002)).await.unwrap();
    assert_eq!(acknowledged.acknowledged_by.as_deref(), Some("ling"));

    let park = park.restart(t(1_003)).await;
    assert_eq!(park.twin.open_alarms()[0].acknowledged_by.as_deref(), Some("ling"));
    park.send("bess-1", t(1_004), json!({ "temperature": 20 }), t(1_004)).await;
    park.twin.tick(t(1_004)).await.unwrap();
    park.twin.tick(t(1_009)).await.unwrap();
    assert!(park.alarms().is_empty());
    assert!(park.twin.inner.records.open_alarms().await.unwrap().is_empty());
    let gone = park.twin.acknowledge_alarm(&alarm.id, "ling", t(1_010)).await.unwrap_err();
    assert!(matches!(gone, TwinError::UnknownAlarm(_)));
}

#[tokio::test]
async fn back_fill_raises_nothing_and_late_data_of_a_punctual_device_do() {
    let park = Park::start().await;
    for day in (1..=14).rev() {
        let at = Timestamp(NOW - day * DAY_MS);
        park.send("bess-1", at, json!({ "power": 1, "temperature": 50, "soc": 500 }), t(0)).await;
    }
    assert!(park.alarms().is_empty());
    park.send("bess-1", t(0), json!({ "temperature": 20 }), t(1)).await;
    park.send("bess-1", t(10), json!({ "temperature": 20 }), t(40)).await;
    assert!(park.alarms().is_empty(), "30 s late is allowed");
    park.send("bess-1", t(15), json!({ "temperature": 20 }), t(46)).await;
    assert_eq!(park.alarms(), [(AlarmKind::DataDelayed, true)]);
    park.send("bess-1", t(50), json!({ "temperature": 20 }), t(50)).await;
    park.twin.tick(t(51)).await.unwrap();
    park.twin.tick(t(56)).await.unwrap();
    assert_eq!(park.alarms(), [(AlarmKind::DataDelayed, false)]);
}

#[tokio::test]
async fn a_device_that_is_always_late_is_told_of_and_its_stored_data_are_not() {
    let park = Park::start().await;
    let stored: Vec<_> = (0..10)
        .map(|n| json!({ "deviceId": "bess-1", "timestamp": t(n * 60), "data": { "temperature": 20 } }))
        .collect();
    let stored = json!(stored).to_string();
    let results = park.twin.ingest(&own("bess-1"), stored.as_bytes(), t(660)).await.unwrap();
    assert!(results.iter().all(|item| item.result.is_ok()));
    assert!(park.alarms().is_empty(), "an array up to two minutes ago is what was stored");
    park.send("bess-1", t(610), json!({ "temperature": 20 }), t(670)).await;
    assert!(park.alarms().is_empty(), "this may be the last of it");
    park.send("bess-1", t(611), json!({ "temperature": 20 }), t(671)).await;
    assert_eq!(park.alarms(), [(AlarmKind::DataDelayed, true)]);
}

#[tokio::test]
async fn an_import_of_old_data_says_nothing_about_now() {
    let park = Park::start().await;
    park.send("bess-1", t(0), json!({ "power": 1 }), t(0)).await;
    park.twin.tick(t(400)).await.unwrap();
    assert_eq!(park.alarms(), [(AlarmKind::DeviceOffline, true)]);
    let old =
        json!({ "deviceId": "bess-1", "timestamp": t(-5_000), "data": { "power": 2, "temperature": 99 } });
    let results = park.twin.ingest(&Sender::Trusted, old.to_string().as_bytes(), t(401)).await.unwrap();
    assert!(results[0].result.is_ok());
    assert_eq!(park.alarms(), [(AlarmKind::DeviceOffline, true)]);
    let shadow = park.twin.shadow("bess-1").unwrap();
    assert_eq!((shadow.online, shadow.reported["power"].value), (false, 1.0));
}

#[tokio::test]
async fn an_event_is_kept_once_and_its_alarm_waits_for_a_person() {
    let park = Park::start().await;
    let event = |id: &str, severity: &str, at: Timestamp| {
        let event = json!({
            "deviceId": "bess-1", "timestamp": at, "id": id, "type": "overheat", "severity": severity,
            "description": "cell 7",
        });
        event.to_string()
    };
    for _ in 0..2 {
        let payload = event("e1", "major", t(0));
        let results = park.twin.ingest_event(&own("bess-1"), payload.as_bytes(), t(0)).await.unwrap();
        assert_eq!(results, [Ok(())]);
    }
    let alarm = park.twin.open_alarms().remove(0);
    assert_eq!(alarm.text.en, "bess-1: overheating: cell 7");
    assert_eq!(park.twin.inner.records.events(&"bess-1".parse().unwrap(), 10).await.unwrap().len(), 1);
    park.twin.acknowledge_alarm(&alarm.id, "ling", t(1)).await.unwrap();
    assert!(park.alarms().is_empty());

    park.twin.ingest_event(&own("bess-1"), event("e2", "info", t(0)).as_bytes(), t(0)).await.unwrap();
    assert!(park.alarms().is_empty(), "information is no alarm");
    let payload = format!("[{},{}]", event("e3", "major", t(-500 * 86_400)), event("e4", "major", t(0)));
    let results = park.twin.ingest_event(&own("pv-1"), payload.as_bytes(), t(0)).await.unwrap();
    assert_eq!(results[1].as_ref().unwrap_err().code, RefusalCode::NotYourDevice);
    let results = park.twin.ingest_event(&Sender::Trusted, payload.as_bytes(), t(0)).await.unwrap();
    assert_eq!(results[0].as_ref().unwrap_err().field, "[0].timestamp");
    assert!(results[1].is_ok());
}

#[tokio::test]
async fn a_park_alarm_is_raised_and_cleared_by_who_knows() {
    let park = Park::start().await;
    let text = Text::new("磁盘空间不足", "disk space is low");
    park.twin.park_alarm(AlarmKind::DiskLow, Some((text, Some(42.0))), t(0)).await;
    park.twin.tick(t(0)).await.unwrap();
    assert_eq!(park.twin.inner.records.open_alarms().await.unwrap(), park.twin.open_alarms());
    park.twin.park_alarm(AlarmKind::DiskLow, None, t(1)).await;
    assert_eq!(park.alarms(), [(AlarmKind::DiskLow, false)]);
}

#[tokio::test]
async fn while_it_runs_what_changed_is_written_and_it_stops_when_told() {
    let park = Park::start().await;
    let shutdown = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn({
        let (twin, shutdown) = (park.twin.clone(), shutdown.clone());
        async move { twin.run(shutdown).await }
    });
    let text = Text::new("无可行计划", "no feasible plan");
    park.twin.park_alarm(AlarmKind::PlanInfeasible, Some((text, None)), t(0)).await;
    while park.twin.inner.records.open_alarms().await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn counts_of_data_quality_outlive_a_restart_and_a_resent_item_is_no_second_one() {
    let park = Park::start().await;
    let query = crate::QualityQuery { from: t(0), to: t(0), device: None, kind: None, limit: 100 };
    let figures = async |park: &Park| park.twin.quality(&query, t(700)).await.unwrap().totals;
    park.send("bess-1", t(0), json!({ "power": 1.0, "soc": 140.0 }), t(0)).await;
    let before = figures(&park).await;
    assert_eq!((before.received, before.out_of_range), (2, 1));
    park.twin.write_quality().await.unwrap();
    assert_eq!(figures(&park).await, before, "what is written and what is not add up");
    park.send("bess-1", t(1), json!({ "power": 2.0 }), t(1)).await;
    park.send("bess-1", t(1), json!({ "power": 2.0 }), t(2)).await;
    park.twin.write_quality().await.unwrap();
    let park = park.restart(t(3)).await;
    let after = figures(&park).await;
    assert_eq!((after.received, after.duplicates, after.out_of_range), (3, 1, 1));
    // What the store refused was never there: sent again it is no duplicate.
    park.twin.inner.history.clone().close().await.unwrap();
    let payload = json!({ "deviceId": "bess-1", "timestamp": t(5), "data": { "power": 3.0 } }).to_string();
    for _ in 0..2 {
        park.twin.ingest(&own("bess-1"), payload.as_bytes(), t(5)).await.unwrap_err();
    }
    let refused = figures(&park).await;
    assert_eq!((refused.received, refused.duplicates), (3, 1));
}
