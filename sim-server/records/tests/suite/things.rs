//! Devices, commands, alarms, events, the audit trail.

use crate::{HOUR, NOW, Place, alarm, command, device, event};
use records::{DeviceRecord, DeviceSecret, Inserted, RecordsError, Rotation, is_secret};
use serde_json::json;
use shared::{
    alarm::Alarm,
    command::{AckStatus, CommandAck, CommandStatus},
    time::Timestamp,
};

on_both_databases! {
    a_device_is_registered_once,
    devices_of_a_scene_are_registered_all_or_none,
    a_replaced_secret_is_worth_nothing,
    the_same_command_id_is_one_command,
    racing_inserts_of_one_command_make_one,
    open_commands_are_those_that_have_not_ended,
    a_devices_commands_are_paged_newest_first,
    alarms_stay_open_until_cleared_and_acknowledged,
    alarms_are_paged_by_time,
    an_event_id_counts_once_per_device,
    the_audit_trail_is_newest_first,
    a_setting_is_the_last_one_put,
    hostile_text_is_kept_or_refused_never_a_failure,
    old_ended_records_are_pruned_and_open_ones_stay,
}

async fn a_device_is_registered_once(place: &Place) {
    let records = place.fresh().await;
    let (bess, secret) = (device("bess-01"), DeviceSecret::generate());
    records.insert_device(&bess, &secret).await.unwrap();
    let again = records.insert_device(&bess, &DeviceSecret::generate()).await;
    assert!(matches!(again, Err(RecordsError::AlreadyExists { what: "device", .. })), "{again:?}");
    let stored = records.devices().await.unwrap();
    assert_eq!(stored.len(), 1);
    assert_eq!(stored[0].record, bess);
    assert!(is_secret(&secret.to_string(), &stored[0].secret_sha256));
}

async fn devices_of_a_scene_are_registered_all_or_none(place: &Place) {
    let records = place.fresh().await;
    let many = |ids: &[&str]| -> Vec<(DeviceRecord, DeviceSecret)> {
        ids.iter().map(|id| (device(id), DeviceSecret::generate())).collect()
    };
    let refused = records.insert_devices(&many(&["a", "b", "a"])).await;
    let Err(RecordsError::AlreadyExists { id, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(id, "a");
    assert!(records.devices().await.unwrap().is_empty());
    records.insert_devices(&many(&["b", "a"])).await.unwrap();
    let ids: Vec<_> = records.devices().await.unwrap().into_iter().map(|d| d.record.id.to_string()).collect();
    assert_eq!(ids, ["a", "b"]);
}

async fn a_replaced_secret_is_worth_nothing(place: &Place) {
    let records = place.fresh().await;
    let (old, new) = (DeviceSecret::generate(), DeviceSecret::generate());
    let bess = device("bess-01");
    records.insert_device(&bess, &old).await.unwrap();
    records.replace_device_secret(&bess.id, &new).await.unwrap();
    let stored = &records.devices().await.unwrap()[0];
    assert!(is_secret(&new.to_string(), &stored.secret_sha256));
    assert!(!is_secret(&old.to_string(), &stored.secret_sha256));
    records.delete_device(&bess.id).await.unwrap();
    let gone = |result| matches!(result, Err(RecordsError::NotFound { what: "device", .. }));
    assert!(gone(records.delete_device(&bess.id).await));
    assert!(gone(records.replace_device_secret(&bess.id, &new).await));
}

async fn the_same_command_id_is_one_command(place: &Place) {
    let records = place.fresh().await;
    let first = command("c-1", "bess-01", NOW.0);
    assert_eq!(records.insert_command(&first).await.unwrap(), Inserted::New);
    let mut second = first.clone();
    second.request.command = "stop".into();
    assert_eq!(records.insert_command(&second).await.unwrap(), Inserted::Existing(first.clone()));
    assert_eq!(records.command(&first.request.command_id).await.unwrap(), Some(first));
    assert_eq!(records.command(&"none".parse().unwrap()).await.unwrap(), None);
}

async fn racing_inserts_of_one_command_make_one(place: &Place) {
    let records = place.fresh().await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let records = records.clone();
            tokio::spawn(async move { records.insert_command(&command("c-1", "d", NOW.0)).await.unwrap() })
        })
        .collect();
    let mut new = 0;
    for task in tasks {
        new += usize::from(task.await.unwrap() == Inserted::New);
    }
    assert_eq!(new, 1);
}

async fn open_commands_are_those_that_have_not_ended(place: &Place) {
    let records = place.fresh().await;
    let mut by_status = Vec::new();
    use CommandStatus::*;
    for (index, status) in [Sent, Queued, Acknowledged, Rejected, Expired].into_iter().enumerate() {
        let mut record = command(&format!("c-{index}"), "bess-01", NOW.0 + index as i64);
        records.insert_command(&record).await.unwrap();
        record.status = status;
        record.attempts = 2;
        record.late_ack = Some(CommandAck {
            device_id: record.request.device_id.clone(),
            command_id: record.request.command_id.clone(),
            status: AckStatus::Rejected,
            reason: Some("电池已满".into()),
            result: Some(json!({"soc": 99.9})),
        });
        records.update_command(&record).await.unwrap();
        by_status.push(record);
    }
    assert_eq!(records.open_commands().await.unwrap(), by_status[..2]);
    assert_eq!(records.acknowledged_commands(NOW).await.unwrap(), by_status[2..3]);
    assert_eq!(records.acknowledged_commands(Timestamp(NOW.0 + 3)).await.unwrap(), []);
    let unknown = records.update_command(&command("none", "bess-01", 0)).await;
    assert!(matches!(unknown, Err(RecordsError::NotFound { what: "command", .. })), "{unknown:?}");
}

async fn a_devices_commands_are_paged_newest_first(place: &Place) {
    let records = place.fresh().await;
    for index in 0..5 {
        records.insert_command(&command(&format!("c-{index}"), "bess-01", NOW.0 + index)).await.unwrap();
    }
    records.insert_command(&command("other", "bess-02", NOW.0)).await.unwrap();
    let device = "bess-01".parse().unwrap();
    let page = records.commands_page(&device, 2, 2).await.unwrap();
    let ids: Vec<_> = page.items.iter().map(|c| c.request.command_id.as_str()).collect();
    assert_eq!((ids, page.total), (vec!["c-2", "c-1"], 5));
    assert_eq!(records.commands_of(&device, usize::MAX).await.unwrap().len(), 5);
}

async fn alarms_stay_open_until_cleared_and_acknowledged(place: &Place) {
    let records = place.fresh().await;
    let mut one = alarm("a-1", NOW.0);
    let other = alarm("a-2", NOW.0 + 1);
    records.save_alarms(&[one.clone(), other.clone()]).await.unwrap();
    one.cleared_at = Some(Timestamp(NOW.0 + 5));
    records.save_alarms(std::slice::from_ref(&one)).await.unwrap();
    assert_eq!(records.open_alarms().await.unwrap(), [one.clone(), other.clone()]);
    one.acknowledged_at = Some(Timestamp(NOW.0 + 6));
    one.acknowledged_by = Some("lin".into());
    records.save_alarms(std::slice::from_ref(&one)).await.unwrap();
    assert_eq!(records.open_alarms().await.unwrap(), std::slice::from_ref(&other));
    let all = records.alarms(Timestamp(0), Timestamp(i64::MAX), 10, 0).await.unwrap();
    assert_eq!(all.items, [other, one]);
}

async fn alarms_are_paged_by_time(place: &Place) {
    let records = place.fresh().await;
    let all: Vec<Alarm> = (0..10).map(|i| alarm(&format!("a-{i}"), i * 10)).collect();
    records.save_alarms(&all).await.unwrap();
    let page = records.alarms(Timestamp(20), Timestamp(80), 2, 1).await.unwrap();
    let ids: Vec<_> = page.items.iter().map(|a| a.id.as_str()).collect();
    assert_eq!((ids, page.total), (vec!["a-6", "a-5"], 6));
}

async fn an_event_id_counts_once_per_device(place: &Place) {
    let records = place.fresh().await;
    assert!(records.insert_event(&event("a", "e-1", 10), NOW).await.unwrap());
    assert!(!records.insert_event(&event("a", "e-1", 11), NOW).await.unwrap());
    assert!(records.insert_event(&event("b", "e-1", 12), NOW).await.unwrap());
    assert!(records.insert_event(&event("a", "e-2", 13), NOW).await.unwrap());
    let device = "a".parse().unwrap();
    assert_eq!(records.events(&device, 10).await.unwrap(), [event("a", "e-2", 13), event("a", "e-1", 10)]);
    let page = records.events_page(&device, 1, 1).await.unwrap();
    assert_eq!((page.items, page.total), (vec![event("a", "e-1", 10)], 2));
    for bad in ["", "nul\0", &"x".repeat(201)] {
        let refused = records.insert_event(&event("a", bad, 1), NOW).await;
        assert!(matches!(refused, Err(RecordsError::Invalid { field: "id", .. })), "{refused:?}");
    }
}

async fn the_audit_trail_is_newest_first(place: &Place) {
    let records = place.fresh().await;
    for (index, action) in ["login", "device.register", "command"].into_iter().enumerate() {
        records.audit("lin", action, "it", Timestamp(NOW.0 + (index as i64) / 2)).await.unwrap();
    }
    let page = records.audit_log(2, 0).await.unwrap();
    let actions: Vec<_> = page.items.iter().map(|e| e.action.as_str()).collect();
    assert_eq!((actions, page.total), (vec!["command", "device.register"], 3));
    assert_eq!(records.audit_log(2, 2).await.unwrap().items[0].action, "login");
}

async fn a_setting_is_the_last_one_put(place: &Place) {
    let records = place.fresh().await;
    assert_eq!(records.setting("backfilled").await.unwrap(), None);
    records.put_setting("backfilled", "no").await.unwrap();
    records.put_setting("backfilled", "yes").await.unwrap();
    assert_eq!(records.setting("backfilled").await.unwrap().as_deref(), Some("yes"));
}

async fn hostile_text_is_kept_or_refused_never_a_failure(place: &Place) {
    let records = place.fresh().await;
    let hostile = "'; DROP TABLE users; -- \0 \u{202e} 😀";
    records.audit(hostile, "login.failed", hostile, NOW).await.unwrap();
    assert_eq!(records.verify_password(hostile, hostile).await.unwrap(), None);
    assert_eq!(records.user(hostile).await.unwrap(), None);
    assert_eq!(records.rotate_refresh_token(hostile, NOW, HOUR).await.unwrap(), Rotation::Unknown);
    records.revoke_refresh_token(hostile).await.unwrap();
    assert_eq!(records.check_wall_token(hostile).await.unwrap(), None);
    assert!(!records.revoke_wall_token(hostile, NOW).await.unwrap());
    assert!(records.create_wall_token(hostile, NOW).await.is_err());
    let mut record = command("c-1", "bess-01", NOW.0);
    record.reason = Some(hostile.into());
    records.insert_command(&record).await.unwrap();
    assert_eq!(records.command(&record.request.command_id).await.unwrap(), Some(record));
}

async fn old_ended_records_are_pruned_and_open_ones_stay(place: &Place) {
    let records = place.fresh().await;
    let (mut ended, open) = (command("ended", "bess-01", 10), command("open", "bess-01", 10));
    ended.status = CommandStatus::Acknowledged;
    let mut over = alarm("over", 10);
    over.cleared_at = Some(Timestamp(11));
    over.acknowledged_at = Some(Timestamp(12));
    let recent = command("recent", "bess-01", 100);
    for record in [&ended, &open, &recent] {
        records.insert_command(record).await.unwrap();
    }
    records.save_alarms(&[over, alarm("standing", 10)]).await.unwrap();
    records.insert_event(&event("bess-01", "e-1", 10), Timestamp(10)).await.unwrap();
    records.audit("lin", "login", "", Timestamp(10)).await.unwrap();
    // With three lines of news that nobody took.
    assert_eq!(records.prune_before(Timestamp(50)).await.unwrap(), 4 + 3);
    assert_eq!(records.prune_before(Timestamp(50)).await.unwrap(), 0);
    let left: Vec<_> = records.commands_of(&"bess-01".parse().unwrap(), 9).await.unwrap();
    assert_eq!(left, [recent, open]);
    assert_eq!(records.alarms(Timestamp(0), Timestamp(99), 9, 0).await.unwrap().items.len(), 1);
}
