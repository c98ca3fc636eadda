//! Webhooks as receivers meet them: a real HTTP server that takes, refuses, stays silent, goes away and comes back; on both databases.
//!
//! PostgreSQL runs where `PARK_TEST_POSTGRES` holds a URL; each case gets a schema of its own there.

// Helpers of tests are not tests to clippy; a failed step here is a failed test.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod telemetry;

use telemetry::{
    each_step_is_told_once_whatever_happens_meanwhile, telemetry_ends_when_it_is_no_longer_asked_for,
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use history::{History, HistoryOptions, SeriesKey};
use parking_lot::Mutex;
use push::{Devices, MeasuredSeries, NewWebhook, Push, PushError, PushOptions, WebhookChange, signature};
use records::{Delivery, DeliveryStatus, Happened, Records};
use serde_json::{Value, json};
use shared::{
    alarm::{Alarm, AlarmKind, Severity},
    id::DeviceId,
    selector::Selector,
    stream::Presence,
    text::Text,
    time::Timestamp,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// What the receiver does with a delivery.
#[derive(Debug, Clone, Copy)]
enum Does {
    Takes,
    Refuses(u16),
    /// Says 307 and where else to go.
    Redirects,
    /// Never answers.
    Hangs,
}

/// One delivery as it came.
#[derive(Debug, Clone)]
struct Came {
    headers: HeaderMap,
    body: String,
}

impl Came {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
    fn id(&self) -> String {
        self.headers["webhook-id"].to_str().unwrap().to_owned()
    }
}

#[derive(Clone)]
struct Receiver {
    /// What it does with the next ones; afterwards it takes them.
    plan: Arc<Mutex<VecDeque<Does>>>,
    came: watch::Sender<Vec<Came>>,
    address: SocketAddr,
}

impl Receiver {
    async fn listening() -> Receiver {
        Receiver::at("127.0.0.1:0".parse().unwrap()).await.0
    }

    async fn at(address: SocketAddr) -> (Receiver, JoinHandle<()>) {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let receiver = Receiver { plan: Arc::default(), came: watch::channel(Vec::new()).0, address };
        let router = Router::new().route("/hook", post(receive)).with_state(receiver.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (receiver, task)
    }

    fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    fn will(&self, plan: &[Does]) {
        self.plan.lock().extend(plan);
    }

    /// Waits until so many came.
    async fn count(&self, count: usize) -> Vec<Came> {
        let mut came = self.came.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(30), came.wait_for(|came| came.len() >= count));
        match waited.await {
            Ok(Ok(came)) => came.clone(),
            _ => panic!("{} of {count} deliveries came", self.came.borrow().len()),
        }
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> Response {
    // Before anybody hears that it came: what is planned from then on is for the next one.
    let does = receiver.plan.lock().pop_front().unwrap_or(Does::Takes);
    receiver.came.send_modify(|came| came.push(Came { headers, body }));
    match does {
        Does::Takes => StatusCode::NO_CONTENT.into_response(),
        Does::Refuses(status) => (StatusCode::from_u16(status).unwrap(), "not\nnow").into_response(),
        Does::Redirects => {
            (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, receiver.url())]).into_response()
        }
        Does::Hangs => std::future::pending().await,
    }
}

/// Knows batteries by their name.
struct Batteries;

impl Devices for Batteries {
    fn is_in(&self, device: &DeviceId, scope: &Selector) -> bool {
        device.as_str().starts_with("bess") && scope.devices.iter().all(|id| id == device)
    }

    fn series(&self, scope: &Selector) -> Vec<MeasuredSeries> {
        let all = [("bess-1", "power", "kW"), ("bess-1", "soc", "%"), ("bess-2", "power", "kW")];
        let all = all.into_iter().map(|(device, measurement, unit)| MeasuredSeries {
            key: SeriesKey { device: device.parse().unwrap(), measurement: measurement.parse().unwrap() },
            unit: unit.to_owned(),
        });
        let meant = |series: &MeasuredSeries| {
            self.is_in(&series.key.device, scope) && scope.takes_measurement(series.key.measurement.as_str())
        };
        all.filter(meant).collect()
    }
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since_epoch.as_millis()).unwrap())
}

/// Waits of milliseconds, and this machine as a network that may be reached.
fn options() -> PushOptions {
    PushOptions {
        answer_within: Duration::from_secs(5),
        first_wait_ms: 1,
        longest_wait_ms: 20,
        attempts_max: 4,
        networks: vec!["127.0.0.0/8".parse().unwrap()],
        ..PushOptions::default()
    }
}

/// A server's part that pushes.
struct Running {
    push: Push,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// A history that ends with its folder.
async fn history_in(folder: &tempfile::TempDir) -> History {
    History::open(HistoryOptions { folder: folder.path().to_owned(), ..HistoryOptions::default() })
        .await
        .unwrap()
}

impl Running {
    /// Where nothing is measured.
    async fn open(records: &Records, options: PushOptions) -> Running {
        let folder = tempfile::tempdir().unwrap();
        Running::beside(records, &history_in(&folder).await, options).await
    }

    async fn beside(records: &Records, history: &History, options: PushOptions) -> Running {
        let stop = CancellationToken::new();
        let (devices, history) = (Arc::new(Batteries), history.clone());
        let push = Push::open(records.clone(), history, devices, options, stop.clone()).await.unwrap();
        let running = push.clone();
        Running { push, stop, task: tokio::spawn(async move { running.run().await }) }
    }

    async fn close(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    async fn hook(&self, url: String) -> (String, String) {
        let (events, scope) = (vec![], Selector::default());
        let new = NewWebhook { name: "erp".into(), url, events, telemetry: None, scope };
        let (webhook, secret) = self.push.create(new, "admin", now()).await.unwrap();
        (webhook.id, secret)
    }

    /// Waits until the webhook's deliveries are as they should be.
    async fn until(&self, id: &str, what: impl Fn(&[Delivery]) -> bool) -> Vec<Delivery> {
        let started = std::time::Instant::now();
        loop {
            let deliveries = self.push.deliveries(id, None, 1_000, 0).await.unwrap().items;
            if what(&deliveries) {
                return deliveries;
            }
            assert!(started.elapsed() < Duration::from_secs(30), "{deliveries:#?}");
            tokio::task::yield_now().await;
        }
    }
}

fn alarm(id: &str, device: Option<&str>) -> Alarm {
    Alarm {
        id: id.parse().unwrap(),
        kind: AlarmKind::OutOfRange,
        detail: None,
        device_id: device.map(|id| id.parse().unwrap()),
        severity: Severity::Major,
        text: Text::new("越限", "out of range"),
        value: Some(1.5),
        raised_at: now(),
        cleared_at: None,
        acknowledged_at: None,
        acknowledged_by: None,
    }
}

fn status_of(deliveries: &[Delivery]) -> Vec<DeliveryStatus> {
    deliveries.iter().map(|delivery| delivery.status).collect()
}

async fn records_of(url: &str) -> Records {
    Records::open(url).await.unwrap()
}

macro_rules! on_both_databases {
    ($($case:ident,)*) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let folder = tempfile::tempdir().unwrap();
                let url = format!("sqlite://{}", folder.path().join("records.db").display());
                super::$case(super::records_of(&url).await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let Some((schema, url, server)) = super::postgres().await else { return };
                super::$case(super::records_of(&url).await).await;
                super::sql(&server, format!("DROP SCHEMA {schema} CASCADE")).await;
            })*
        }
    };
}

async fn sql(server: &str, statement: String) {
    let mut connection = PgConnection::connect(server).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
}

async fn postgres() -> Option<(String, String, String)> {
    let server = match std::env::var("PARK_TEST_POSTGRES") {
        Ok(server) => server,
        Err(_) if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("PARK_TEST_POSTGRES is not set: nothing may be skipped here")
        }
        Err(_) => {
            println!("skipped: PARK_TEST_POSTGRES is not set");
            return None;
        }
    };
    let schema = format!("test_{}", uuid::Uuid::now_v7().simple());
    sql(&server, format!("CREATE SCHEMA {schema}")).await;
    let separator = if server.contains('?') { '&' } else { '?' };
    let url = format!("{server}{separator}options[search_path]={schema}");
    Some((schema, url, server))
}

on_both_databases! {
    what_happens_is_told_signed_and_in_order,
    a_receiver_that_fails_hears_it_again_under_the_same_id,
    what_is_given_up_says_why_and_can_be_told_again,
    a_restart_in_the_middle_loses_nothing,
    what_happens_while_nobody_pushes_is_told_later,
    a_full_queue_gives_up_the_oldest,
    each_step_is_told_once_whatever_happens_meanwhile,
    telemetry_ends_when_it_is_no_longer_asked_for,
}

async fn what_happens_is_told_signed_and_in_order(records: Records) {
    let (receiver, running) = (Receiver::listening().await, Running::open(&records, options()).await);
    let (id, secret) = running.hook(receiver.url()).await;
    let mut expected = Vec::new();
    for n in 0..20 {
        let alarm_id = format!("a-{n}");
        records.save_alarms(&[alarm(&alarm_id, Some("bess-1"))]).await.unwrap();
        expected.push(("alarm.raised".to_owned(), json!(alarm_id)));
    }
    let presence = Presence { device: "bess-1".parse().unwrap(), online: true, last_seen: None };
    records.save_presence(&[presence], now()).await.unwrap();
    let came = receiver.count(21).await;
    let told: Vec<(String, Value)> = came[..20]
        .iter()
        .map(|came| (came.json()["type"].as_str().unwrap().to_owned(), came.json()["data"]["id"].clone()))
        .collect();
    assert_eq!(told, expected);
    assert_eq!(
        (&came[20].json()["type"], &came[20].json()["data"]["device"]),
        (&json!("device.online"), &json!("bess-1"))
    );
    for (index, came) in came.iter().enumerate() {
        assert_eq!(came.json()["sequence"], index + 1);
        assert_eq!(came.json()["id"], came.id());
        // As a receiver checks it.
        let seconds: i64 = came.headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
        assert!((now().0 / 1_000 - seconds).abs() < 60);
        let secret: push::Secret = serde_json::from_value(json!(secret)).unwrap();
        let made = signature(&secret, &came.id(), Timestamp(seconds * 1_000), &came.body);
        assert_eq!(came.headers["webhook-signature"].to_str().unwrap(), made);
        assert_ne!(signature(&secret, &came.id(), Timestamp(seconds * 1_000), "{}"), made);
    }
    running.until(&id, |all| all.iter().all(|d| d.status == DeliveryStatus::Delivered)).await;
    running.close().await;
}

async fn a_receiver_that_fails_hears_it_again_under_the_same_id(records: Records) {
    let receiver = Receiver::listening().await;
    let quick = PushOptions { answer_within: Duration::from_millis(200), ..options() };
    let running = Running::open(&records, quick).await;
    receiver.will(&[Does::Refuses(500), Does::Hangs, Does::Redirects]);
    let (id, _) = running.hook(receiver.url()).await;
    records.save_alarms(&[alarm("a-1", None), alarm("a-2", None)]).await.unwrap();
    let came = receiver.count(5).await;
    let ids: Vec<String> = came.iter().map(Came::id).collect();
    // Four times the first, the same to the letter, and only then the second.
    assert!(ids[..4].iter().all(|id| *id == ids[0]) && ids[4] != ids[0], "{ids:?}");
    assert!(came[..4].iter().all(|c| c.body == came[0].body));
    let all = running.until(&id, |all| all.iter().all(|d| d.status == DeliveryStatus::Delivered)).await;
    assert_eq!(all.iter().map(|d| d.attempts).collect::<Vec<_>>(), [1, 4]);
    assert_eq!(receiver.came.borrow().len(), 5, "a redirect was followed");
    running.close().await;
}

async fn what_is_given_up_says_why_and_can_be_told_again(records: Records) {
    let (receiver, running) = (Receiver::listening().await, Running::open(&records, options()).await);
    receiver.will(&[Does::Refuses(503); 4]);
    let (id, _) = running.hook(receiver.url()).await;
    records.save_alarms(&[alarm("a-1", None)]).await.unwrap();
    let dead = running.until(&id, |all| status_of(all) == [DeliveryStatus::Dead]).await;
    let outcome = dead[0].outcome.clone().unwrap();
    assert!(
        outcome.contains("4 attempts") && outcome.contains("503 Service Unavailable: not now"),
        "{outcome}"
    );
    // The next one is told all the same.
    records.save_alarms(&[alarm("a-2", None)]).await.unwrap();
    running.until(&id, |all| status_of(all) == [DeliveryStatus::Delivered, DeliveryStatus::Dead]).await;
    running.push.replay(&id, &dead[0].id, now()).await.unwrap();
    running.until(&id, |all| status_of(all) == [DeliveryStatus::Delivered; 2]).await;
    let came = receiver.count(6).await;
    assert_eq!((came[5].id(), &came[5].body), (dead[0].id.clone(), &came[0].body));
    // All that were given up at once; what went well stays.
    receiver.will(&[Does::Refuses(500); 8]);
    records.save_alarms(&[alarm("a-3", None), alarm("a-4", None)]).await.unwrap();
    running.until(&id, |all| status_of(all)[..2] == [DeliveryStatus::Dead; 2]).await;
    assert_eq!(running.push.replay_dead(&id, now()).await.unwrap(), 2);
    running.until(&id, |all| status_of(all) == [DeliveryStatus::Delivered; 4]).await;
    assert_eq!(receiver.count(16).await.len(), 16);
    let unknown = running.push.replay(&id, "none", now()).await;
    assert!(
        matches!(unknown, Err(PushError::Records(records::RecordsError::NotFound { .. }))),
        "{unknown:?}"
    );
    running.close().await;
}

async fn a_restart_in_the_middle_loses_nothing(records: Records) {
    let receiver = Receiver::listening().await;
    let mut running = Running::open(&records, options()).await;
    running.hook(receiver.url()).await;
    for round in 0..5 {
        // The server ends while the receiver has one and does not say so.
        receiver.will(&[Does::Hangs]);
        let before = receiver.came.borrow().len();
        let alarms: Vec<Alarm> = (0..4).map(|n| alarm(&format!("a-{round}-{n}"), None)).collect();
        records.save_alarms(&alarms).await.unwrap();
        receiver.count(before + 1).await;
        running.close().await;
        // What happens while it is down counts too.
        records.save_alarms(&[alarm(&format!("a-{round}-down"), None)]).await.unwrap();
        running = Running::open(&records, options()).await;
        receiver.count(before + 6).await;
    }
    let came = receiver.came.borrow().clone();
    let mut told: Vec<(u64, String)> =
        came.iter().map(|c| (c.json()["sequence"].as_u64().unwrap(), c.id())).collect();
    // Twice only what was cut off, and in order.
    assert!(told.is_sorted_by_key(|(sequence, _)| *sequence), "{told:?}");
    assert_eq!(told.len(), 30);
    told.dedup();
    assert_eq!(told.iter().map(|(sequence, _)| *sequence).collect::<Vec<_>>(), (1..=25).collect::<Vec<_>>());
    running.close().await;
}

async fn what_happens_while_nobody_pushes_is_told_later(records: Records) {
    let (receiver, running) = (Receiver::listening().await, Running::open(&records, options()).await);
    let (id, _) = running.hook(receiver.url()).await;
    running.close().await;
    records.save_alarms(&[alarm("a-1", None)]).await.unwrap();
    let running = Running::open(&records, options()).await;
    assert_eq!(receiver.count(1).await[0].json()["data"]["id"], "a-1");
    // Disabled before it is noted as taken it would come again.
    while records.next_delivery(&id).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
    // While it is disabled nothing is queued for it.
    let enabled = |enabled| WebhookChange { enabled: Some(enabled), ..WebhookChange::default() };
    running.push.change(&id, enabled(false)).await.unwrap();
    assert!(matches!(running.push.test(&id, now()).await, Err(PushError::Disabled { .. })));
    records.save_alarms(&[alarm("a-2", None)]).await.unwrap();
    while !records.news(1).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    running.push.change(&id, enabled(true)).await.unwrap();
    running.push.test(&id, now()).await.unwrap();
    let came = receiver.count(2).await;
    assert_eq!(came[1].json()["type"], "test");
    running.push.remove(&id).await.unwrap();
    assert!(matches!(running.push.one(&id).await, Err(PushError::UnknownWebhook { .. })));
    assert!(records.next_delivery(&id).await.unwrap().is_none());
    running.close().await;
}

async fn a_full_queue_gives_up_the_oldest(records: Records) {
    let receiver = Receiver::listening().await;
    let small =
        PushOptions { waiting_max: 3, ended_max: 4, answer_within: Duration::from_secs(600), ..options() };
    let running = Running::open(&records, small).await;
    let (id, _) = running.hook(receiver.url()).await;
    receiver.will(&[Does::Hangs]);
    for n in 0..10 {
        records.save_alarms(&[alarm(&format!("a-{n}"), None)]).await.unwrap();
    }
    let all = running
        .until(&id, |all| all.first().is_some_and(|newest| newest.sequence == 10) && all.len() == 7)
        .await;
    let waiting: Vec<u64> =
        all.iter().filter(|d| d.status == DeliveryStatus::Waiting).map(|d| d.sequence).collect();
    assert_eq!(waiting, [10, 9, 8]);
    assert!(all[3].outcome.as_ref().unwrap().contains("more than 3 deliveries waited"), "{:?}", all[3]);
    running.close().await;
}

#[tokio::test]
async fn a_receiver_that_comes_back_hears_what_it_missed() {
    let folder = tempfile::tempdir().unwrap();
    let records = records_of(&format!("sqlite://{}", folder.path().join("records.db").display())).await;
    let (gone, task) = Receiver::at("127.0.0.1:0".parse().unwrap()).await;
    task.abort();
    let _ = task.await;
    let running = Running::open(&records, PushOptions { attempts_max: 100_000, ..options() }).await;
    let (id, _) = running.hook(gone.url()).await;
    records.save_alarms(&[alarm("a-1", None)]).await.unwrap();
    let failing = running.until(&id, |all| all.first().is_some_and(|d| d.attempts > 2)).await;
    let outcome = failing[0].outcome.clone().unwrap();
    assert!(outcome.to_lowercase().contains("refused"), "{outcome}");
    let (back, _) = Receiver::at(gone.address).await;
    assert_eq!(back.count(1).await[0].json()["data"]["id"], "a-1");
    running.close().await;
}

#[tokio::test]
async fn a_webhook_is_told_what_it_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let records = records_of(&format!("sqlite://{}", folder.path().join("records.db").display())).await;
    let running = Running::open(&records, options()).await;
    let mut receivers = Vec::new();
    for (events, scope) in [
        (vec![], ""),
        (vec![Happened::AlarmEnded], ""),
        (vec![], "device=bess-1"),
        (vec![Happened::AlarmRaised, Happened::DeviceOffline], "device=bess-1"),
    ] {
        let receiver = Receiver::listening().await;
        let scope = scope.parse().unwrap();
        let new = NewWebhook { name: "n".into(), url: receiver.url(), events, telemetry: None, scope };
        running.push.create(new, "admin", now()).await.unwrap();
        receivers.push(receiver);
    }
    let over = |id: &str, device| Alarm { cleared_at: Some(now()), ..alarm(id, device) };
    records
        .save_alarms(&[alarm("park", None), over("b1", Some("bess-1")), over("pv", Some("pv-1"))])
        .await
        .unwrap();
    let offline = Presence { device: "bess-1".parse().unwrap(), online: false, last_seen: None };
    records.save_presence(&[offline], now()).await.unwrap();
    for (receiver, expected) in receivers.iter().zip([
        vec![
            "alarm.raised park",
            "alarm.raised b1",
            "alarm.ended b1",
            "alarm.raised pv",
            "alarm.ended pv",
            "device.offline bess-1",
        ],
        vec!["alarm.ended b1", "alarm.ended pv"],
        vec!["alarm.raised b1", "alarm.ended b1", "device.offline bess-1"],
        vec!["alarm.raised b1", "device.offline bess-1"],
    ]) {
        let told: Vec<String> = receiver
            .count(expected.len())
            .await
            .iter()
            .map(|came| {
                let body = came.json();
                let who = body["data"]["id"].as_str().or(body["data"]["device"].as_str()).unwrap();
                format!("{} {who}", body["type"].as_str().unwrap())
            })
            .collect();
        assert_eq!(told, expected);
    }
    running.close().await;
}

#[tokio::test]
async fn two_secrets_sign_while_one_replaces_the_other_and_410_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    let records = records_of(&format!("sqlite://{}", folder.path().join("records.db").display())).await;
    let (receiver, running) = (Receiver::listening().await, Running::open(&records, options()).await);
    let (id, old) = running.hook(receiver.url()).await;
    let new = running.push.rotate(&id, 60_000, now()).await.unwrap();
    running.push.test(&id, now()).await.unwrap();
    let came = receiver.count(1).await[0].clone();
    let seconds: i64 = came.headers["webhook-timestamp"].to_str().unwrap().parse().unwrap();
    let made = |secret: &str| {
        let secret: push::Secret = serde_json::from_value(json!(secret)).unwrap();
        signature(&secret, &came.id(), Timestamp(seconds * 1_000), &came.body)
    };
    assert_eq!(came.headers["webhook-signature"].to_str().unwrap(), format!("{} {}", made(&new), made(&old)));
    running.push.rotate(&id, 0, now()).await.unwrap();
    running.push.test(&id, now()).await.unwrap();
    let alone = receiver.count(2).await[1].headers["webhook-signature"].to_str().unwrap().to_owned();
    assert_eq!(alone.split(' ').count(), 1);

    receiver.will(&[Does::Refuses(410)]);
    running.push.test(&id, now()).await.unwrap();
    while running.push.one(&id).await.unwrap().webhook.enabled {
        tokio::task::yield_now().await;
    }
    let view = running.push.one(&id).await.unwrap();
    assert!(view.webhook.disabled_because.unwrap().contains("410"));
    assert_eq!(view.deliveries.dead, 1);
    running.close().await;
}

#[tokio::test]
async fn no_way_leads_into_the_servers_own_network() {
    let folder = tempfile::tempdir().unwrap();
    let records = records_of(&format!("sqlite://{}", folder.path().join("records.db").display())).await;
    let receiver = Receiver::listening().await;
    let running =
        Running::open(&records, PushOptions { networks: vec![], attempts_max: 1, ..options() }).await;
    let port = receiver.address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "0x7f000001",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
        "169.254.169.254",
    ] {
        let (id, _) = running.hook(format!("http://{host}:{port}/hook")).await;
        running.push.test(&id, now()).await.unwrap();
        let dead = running.until(&id, |all| status_of(all) == [DeliveryStatus::Dead]).await;
        let outcome = dead[0].outcome.clone().unwrap();
        assert!(outcome.contains("not a public address"), "{host}: {outcome}");
    }
    assert!(receiver.came.borrow().is_empty());
    running.close().await;
}
