//! Keys of other systems, the news, and what webhooks are to be told.

use crate::{NOW, Place, alarm, command};
use records::{
    DeliveryStatus, Happened, KeyCounts, KeyIncrement, KeyUse, NewDelivery, Records, RecordsError, StoredKey,
    StoredWebhook,
};
use shared::{alarm::Alarm, command::CommandStatus, stream::Presence, time::Timestamp};

on_both_databases! {
    a_key_is_kept_by_its_hash,
    a_keys_use_adds_up_by_day,
    what_happens_is_news_in_the_transaction_that_makes_it_so,
    news_is_handed_on_all_or_none,
    deliveries_keep_their_order_and_their_numbers,
}

fn key(id: &str, byte: u8) -> StoredKey {
    StoredKey { id: id.into(), sha256: [byte; 32], created_at: NOW, last_use: None, body: "{}".into() }
}

async fn hook(records: &Records, id: &str) {
    let webhook = StoredWebhook { id: id.into(), created_at: NOW, body: "{}".into() };
    records.insert_webhook(&webhook).await.unwrap();
}

fn told(webhook: &str) -> NewDelivery {
    NewDelivery::new(webhook, "test", NOW, "{}".into())
}

async fn a_key_is_kept_by_its_hash(place: &Place) {
    let records = place.fresh().await;
    records.insert_api_key(&key("k-1", 1)).await.unwrap();
    for again in [key("k-1", 2), key("k-2", 1)] {
        let refused = records.insert_api_key(&again).await;
        assert!(matches!(refused, Err(RecordsError::AlreadyExists { .. })), "{refused:?}");
    }
    records.update_api_key("k-1", r#"{"a":1}"#).await.unwrap();
    let missing = records.update_api_key("none", "{}").await;
    assert!(matches!(missing, Err(RecordsError::NotFound { .. })), "{missing:?}");
    assert_eq!(records.api_keys().await.unwrap(), [StoredKey { body: r#"{"a":1}"#.into(), ..key("k-1", 1) }]);
}

async fn a_keys_use_adds_up_by_day(place: &Place) {
    let records = place.fresh().await;
    records.insert_api_key(&key("k-1", 1)).await.unwrap();
    let increment = |day: &str, requests, at| KeyIncrement {
        key: "k-1".into(),
        day: day.into(),
        counts: KeyCounts { requests, points_read: 10, ..KeyCounts::default() },
        last_use: Some(KeyUse { at: Timestamp(at), from: "10.0.0.1".into() }),
    };
    records.add_key_counts(&[increment("2026-06-01", 1, 5), increment("2026-06-02", 2, 6)]).await.unwrap();
    records.add_key_counts(&[increment("2026-06-02", 3, 7)]).await.unwrap();
    let days = records.key_counts("k-1", "2026-06-01", "2026-06-02").await.unwrap();
    let seen: Vec<(&str, u64, u64)> =
        days.iter().map(|(day, counts)| (day.as_str(), counts.requests, counts.points_read)).collect();
    assert_eq!(seen, [("2026-06-01", 1, 10), ("2026-06-02", 5, 20)]);
    assert_eq!(records.key_counts("k-1", "2026-06-02", "2026-06-09").await.unwrap().len(), 1);
    let last = records.api_keys().await.unwrap().remove(0).last_use;
    assert_eq!(last, Some(KeyUse { at: Timestamp(7), from: "10.0.0.1".into() }));
}

async fn what_happens_is_news_in_the_transaction_that_makes_it_so(place: &Place) {
    let records = place.fresh().await;
    let seen = async || -> Vec<(Happened, Option<String>)> {
        let news = records.news(100).await.unwrap();
        records.hand_on(&news, &[], NOW).await.unwrap();
        news.into_iter().map(|line| (line.event, line.device.map(|id| id.to_string()))).collect()
    };
    let bess = Some("bess-01".to_owned());
    records.save_alarms(&[alarm("a-1", NOW.0)]).await.unwrap();
    records.save_alarms(&[alarm("a-1", NOW.0)]).await.unwrap();
    assert_eq!(seen().await, [(Happened::AlarmRaised, bess.clone())]);
    records.save_alarms(&[Alarm { cleared_at: Some(NOW), ..alarm("a-1", NOW.0) }]).await.unwrap();
    assert_eq!(seen().await, [(Happened::AlarmEnded, bess.clone())]);

    let mut sent = command("c-1", "bess-01", NOW.0);
    records.insert_command(&sent).await.unwrap();
    sent.status = CommandStatus::Sent;
    records.update_commands(&[sent.clone()]).await.unwrap();
    assert_eq!(seen().await, []);
    sent.status = CommandStatus::Acknowledged;
    records.update_commands(&[sent.clone()]).await.unwrap();
    // A late acknowledgement does not end it once more.
    records.update_commands(&[sent]).await.unwrap();
    assert_eq!(seen().await, [(Happened::CommandEnded, bess.clone())]);

    let presence = |online| Presence { device: "bess-01".parse().unwrap(), online, last_seen: Some(NOW) };
    records.save_presence(&[presence(true)], NOW).await.unwrap();
    records.save_presence(&[presence(false)], NOW).await.unwrap();
    assert_eq!(seen().await, [(Happened::DeviceOnline, bess.clone()), (Happened::DeviceOffline, bess)]);
    assert_eq!(records.presence().await.unwrap(), [("bess-01".to_owned(), false)]);
}

async fn news_is_handed_on_all_or_none(place: &Place) {
    let records = place.fresh().await;
    hook(&records, "w-1").await;
    records.save_alarms(&[alarm("a-1", NOW.0)]).await.unwrap();
    let news = records.news(100).await.unwrap();
    let (once, gone) = (told("w-1"), told("gone"));
    let twice = records.hand_on(&news, &[once.clone(), once.clone()], NOW).await;
    assert!(twice.is_err(), "one id twice");
    assert_eq!(records.news(100).await.unwrap(), news);
    assert!(records.next_delivery("w-1").await.unwrap().is_none());
    records.hand_on(&news, &[gone, once.clone()], NOW).await.unwrap();
    assert!(records.news(100).await.unwrap().is_empty());
    let next = records.next_delivery("w-1").await.unwrap().unwrap();
    assert_eq!((next.id, next.sequence), (once.id, 1), "a number was lost");
}

async fn deliveries_keep_their_order_and_their_numbers(place: &Place) {
    let records = place.fresh().await;
    hook(&records, "w-1").await;
    let all: Vec<NewDelivery> = (0..5).map(|_| told("w-1")).collect();
    records.hand_on(&[], &all, NOW).await.unwrap();
    let mut first = records.next_delivery("w-1").await.unwrap().unwrap();
    assert_eq!((first.sequence, first.status), (1, DeliveryStatus::Waiting));
    first.status = DeliveryStatus::Dead;
    first.outcome = Some("500".into());
    records.settle_delivery(&first).await.unwrap();
    assert_eq!(records.next_delivery("w-1").await.unwrap().unwrap().sequence, 2);
    let later = Timestamp(NOW.0 + 1);
    records.replay_delivery("w-1", &first.id, later).await.unwrap();
    // An attempt that began before does not end what was queued anew.
    records.settle_delivery(&first).await.unwrap();
    let again = records.next_delivery("w-1").await.unwrap().unwrap();
    assert_eq!((again.sequence, again.attempts, again.queued_at), (1, 0, later));
    assert_eq!(records.bound_deliveries("w-1", (2, 2), "full", NOW).await.unwrap(), 3);
    let seen: Vec<(u64, DeliveryStatus)> = records
        .deliveries("w-1", None, 10, 0)
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|d| (d.sequence, d.status))
        .collect();
    let (waiting, dead) = (DeliveryStatus::Waiting, DeliveryStatus::Dead);
    assert_eq!(seen, [(5, waiting), (4, waiting), (3, dead), (2, dead)]);
    assert_eq!(records.deliveries("w-1", Some(dead), 1, 1).await.unwrap().items[0].sequence, 2);
    assert_eq!(records.replay_dead_deliveries("w-1", later).await.unwrap(), 4);
    // Numbers go on also where nothing is left.
    assert_eq!(records.bound_deliveries("w-1", (0, 0), "full", NOW).await.unwrap(), 4);
    records.hand_on(&[], &[told("w-1")], NOW).await.unwrap();
    assert_eq!(records.next_delivery("w-1").await.unwrap().unwrap().sequence, 6);
    let counts = records.delivery_counts("w-1").await.unwrap();
    assert_eq!((counts.waiting, counts.delivered, counts.dead), (1, 0, 0));
    records.delete_webhook("w-1").await.unwrap();
    assert_eq!(records.deliveries("w-1", None, 10, 0).await.unwrap().total, 0);
    assert!(matches!(records.delete_webhook("w-1").await, Err(RecordsError::NotFound { .. })));
}
