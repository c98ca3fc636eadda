//! Webhooks over REST, from an alarm to a receiver.

use crate::park::{Park, now};
use axum::{Router, extract::State, http::Method, http::StatusCode, routing::post};
use serde_json::{Value, json};
use shared::time::Timestamp;
use std::{collections::VecDeque, sync::Arc, sync::Mutex, time::Duration};
use tokio::{net::TcpListener, sync::watch};

#[derive(Clone)]
struct Receiver {
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
    came: watch::Sender<Vec<Value>>,
}

/// Takes what comes, but for the answers it is given to give first.
async fn receiver(answers: &[StatusCode]) -> (Receiver, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answers = Arc::new(Mutex::new(answers.iter().copied().collect()));
    let receiver = Receiver { answers, came: watch::channel(Vec::new()).0 };
    let receive = async |State(receiver): State<Receiver>, body: String| {
        receiver.came.send_modify(|came| came.push(serde_json::from_str(&body).unwrap()));
        receiver.answers.lock().unwrap().pop_front().unwrap_or(StatusCode::OK)
    };
    let router = Router::new().route("/", post(receive)).with_state(receiver.clone());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (receiver, url)
}

impl Receiver {
    async fn count(&self, count: usize) -> Vec<Value> {
        let mut came = self.came.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(30), came.wait_for(|came| came.len() >= count));
        match waited.await {
            Ok(Ok(came)) => came.clone(),
            _ => panic!("{} of {count} deliveries came", self.came.borrow().len()),
        }
    }
}

#[tokio::test]
async fn an_alarm_a_device_and_a_command_are_told_to_whoever_asked() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let (receiver, url) = receiver(&[]).await;
    let made = park.post("/api/v1/webhooks", &admin, json!({ "name": "erp", "url": url })).await.data();
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    let id = made["id"].as_str().unwrap();
    let list = park.get("/api/v1/webhooks", &admin).await;
    assert!(!String::from_utf8_lossy(&list.bytes).contains("whsec_"), "a secret is shown again");
    assert_eq!(list.data()[0]["deliveries"], json!({ "waiting": 0, "delivered": 0, "dead": 0 }));

    // Too hot, twice in a row: an alarm.
    park.report("bess-1", now(), json!({ "temperature": 130.0 })).await;
    park.twin.tick(now()).await.unwrap();
    let came = receiver.count(1).await;
    let types: Vec<&str> = came.iter().map(|came| came["type"].as_str().unwrap()).collect();
    assert!(types.contains(&"device.online") || types.contains(&"alarm.raised"), "{types:?}");
    let all = receiver.count(2).await;
    let mut types: Vec<&str> = all.iter().map(|came| came["type"].as_str().unwrap()).collect();
    types.sort_unstable();
    assert_eq!(types, ["alarm.raised", "device.online"]);
    assert_eq!(all.iter().map(|came| came["sequence"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2]);
    let path = format!("/api/v1/webhooks/{id}/deliveries?status=delivered");
    while park.get(&path, &admin).await.data()["total"] != 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        park.call(Method::DELETE, &format!("/api/v1/webhooks/{id}"), Some(&admin), "").await.status,
        200
    );
    assert_eq!(park.get(&path, &admin).await.fault().1, "UNKNOWN_WEBHOOK");
}

#[tokio::test]
async fn what_was_given_up_is_told_again_on_demand() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let (receiver, url) = receiver(&[StatusCode::BAD_GATEWAY; 3]).await;
    let made = park.post("/api/v1/webhooks", &admin, json!({ "name": "erp", "url": url })).await.data();
    let hook = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
    let queued = park.post(&format!("{hook}/test"), &admin, json!({})).await.data();
    let delivery = queued["deliveryId"].as_str().unwrap();
    let dead = loop {
        let dead = park.get(&format!("{hook}/deliveries?status=dead"), &admin).await.data();
        if dead["total"] == 1 {
            break dead["items"][0].clone();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(
        (&dead["id"], &dead["type"], &dead["attempts"]),
        (&json!(delivery), &json!("test"), &json!(3))
    );
    assert!(dead["outcome"].as_str().unwrap().contains("502 Bad Gateway"), "{dead}");
    let again = park.post(&format!("{hook}/deliveries/{delivery}/replay"), &admin, json!({})).await;
    assert_eq!(again.status, 200);
    let came = receiver.count(4).await;
    assert!(came.iter().all(|came| came["id"] == delivery), "{came:?}");
    assert_eq!(park.post(&format!("{hook}/replay"), &admin, json!({})).await.status, 200);
    let unknown = park.post(&format!("{hook}/deliveries/none/replay"), &admin, json!({})).await;
    assert_eq!(unknown.fault().1, "UNKNOWN_DELIVERY");
}

#[tokio::test]
async fn what_a_device_measures_is_told_step_by_step() {
    const STEP_MS: i64 = 10_000;
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let start = (now().0 / STEP_MS - 6) * STEP_MS;
    for second in 0..20 {
        let at = Timestamp(start + second * 1_000);
        park.report("bess-1", at, json!({ "power": 100.0 + second as f64, "soc": 50.0 })).await;
    }
    let (receiver, url) = receiver(&[]).await;
    let asked = json!({
        "name": "erp", "url": url, "telemetry": { "step": 10, "delay": 0 },
        "scope": { "groups": ["storage"], "measurements": ["power"] },
    });
    let made = park.post("/api/v1/webhooks", &admin, asked).await.data();
    assert_eq!(made["telemetry"], json!({ "step": 10, "delay": 0 }));
    let id = made["id"].as_str().unwrap();
    while park.records.told_through(id).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    // As if it had been made a minute ago.
    park.records.set_told_through(id, Timestamp(start)).await.unwrap();
    let hook = format!("/api/v1/webhooks/{id}");
    park.call(Method::PATCH, &hook, Some(&admin), json!({ "name": "books" }).to_string()).await.data();
    let came = receiver.count(1).await;
    let (kind, told) = (&came[0]["type"], &came[0]["data"]);
    assert_eq!((kind, &told["from"], &told["step"]), (&json!("telemetry"), &json!(start), &json!(10)));
    let steps = json!([
        [start, 10, 104.5, 100.0, 109.0, 100.0, 109.0],
        [start + STEP_MS, 10, 114.5, 110.0, 119.0, 110.0, 119.0],
    ]);
    let series = json!([{ "device": "bess-1", "measurement": "power", "unit": "kW", "steps": steps }]);
    assert_eq!(told["series"], series);
    let off = json!({ "telemetry": null, "scope": {} }).to_string();
    assert_eq!(park.call(Method::PATCH, &hook, Some(&admin), off).await.data()["telemetry"], Value::Null);
}

#[tokio::test]
async fn what_is_asked_of_a_webhook_is_checked() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let url = "https://example.com/";
    for (asked, field) in [
        (json!({ "url": url }), "name"),
        (json!({ "name": "a" }), "url"),
        (json!({ "name": "", "url": url }), "name"),
        (json!({ "name": "a", "url": "ftp://example.com" }), "url"),
        (json!({ "name": "a", "url": "https://u:p@example.com" }), "url"),
        (json!({ "name": "a", "url": url, "events": ["alarm"] }), "events[0]"),
        (json!({ "name": "a", "url": url, "scope": { "measurements": ["power"] } }), "scope"),
        (json!({ "name": "a", "url": url, "secret": "mine" }), "secret"),
        (json!({ "name": "a", "url": url, "telemetry": {} }), "telemetry.step"),
        (json!({ "name": "a", "url": url, "telemetry": { "step": 7 } }), "telemetry.step"),
        (json!({ "name": "a", "url": url, "telemetry": { "step": 60, "delay": -1 } }), "telemetry.delay"),
    ] {
        let fault = park.post("/api/v1/webhooks", &admin, asked.clone()).await.fault();
        assert_eq!((fault.0, fault.2.as_deref()), (400, Some(field)), "{asked}");
    }
    let made = park.post("/api/v1/webhooks", &admin, json!({ "name": "a", "url": url })).await.data();
    let hook = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
    let wrong = park.post(&format!("{hook}/secret"), &admin, json!({ "overlap": -1 })).await;
    assert_eq!(wrong.fault().2.as_deref(), Some("overlap"));
    let secret = park.post(&format!("{hook}/secret"), &admin, json!({})).await.data();
    assert_ne!(secret["secret"], made["secret"]);
    let off = park.call(Method::PATCH, &hook, Some(&admin), json!({ "enabled": false }).to_string()).await;
    assert_eq!(off.data()["enabled"], false);
    assert_eq!(park.post(&format!("{hook}/test"), &admin, json!({})).await.fault().1, "WEBHOOK_DISABLED");
}
