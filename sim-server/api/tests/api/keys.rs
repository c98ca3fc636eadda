//! API keys: made and taken back by an administrator, used by other systems.

use crate::park::{Park, Reply, now};
use axum::{
    body::Body,
    extract::ConnectInfo,
    http::{Method, Request},
};
use serde_json::{Value, json};
use shared::time::Timestamp;
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicI64, Ordering},
};
use tower::ServiceExt;

const HISTORY: &str = "/api/v1/devices/bess-1/history?measurement=power";

async fn make(park: &Park, admin: &str, mut asked: Value) -> (String, String) {
    for (field, value) in [("name", json!("erp")), ("rights", json!({ "read": true }))] {
        if asked.get(field).is_none() {
            asked[field] = value;
        }
    }
    let made = park.post("/api/v1/keys", admin, asked).await.data();
    (made["id"].as_str().unwrap().to_owned(), made["key"].as_str().unwrap().to_owned())
}

async fn patch(park: &Park, admin: &str, id: &str, change: Value) -> Reply {
    park.call(Method::PATCH, &format!("/api/v1/keys/{id}"), Some(admin), change.to_string()).await
}

async fn revoke(park: &Park, admin: &str, id: &str) -> Reply {
    park.call(Method::DELETE, &format!("/api/v1/keys/{id}"), Some(admin), "").await
}

/// Asks from an address, perhaps through a proxy.
async fn from(park: &Park, key: &str, peer: &str, forwarded: Option<&str>) -> Reply {
    let mut request =
        Request::builder().uri("/api/v1/devices").header("authorization", format!("Bearer {key}"));
    if let Some(forwarded) = forwarded {
        request = request.header("x-forwarded-for", forwarded);
    }
    let mut request = request.body(Body::empty()).unwrap();
    let peer = SocketAddr::new(peer.parse().unwrap(), 40_000);
    request.extensions_mut().insert(ConnectInfo(peer));
    park.request(request).await
}

#[tokio::test]
async fn a_key_is_shown_once_and_reads_until_it_is_revoked() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    park.report("bess-1", now(), json!({ "power": 12.5 })).await;
    let (id, key) = make(&park, &admin, json!({ "purpose": "monthly report" })).await;
    assert!(key.starts_with("ptk_") && key.len() == 47, "{key}");
    assert_eq!(park.get(HISTORY, &key).await.data()["points"][0][1], 12.5);

    let list = park.get("/api/v1/keys", &admin).await;
    assert!(!String::from_utf8_lossy(&list.bytes).contains(&key[4..]), "the key is shown again");
    let shown = &list.data()["items"][0];
    assert_eq!(
        (&shown["id"], &shown["createdBy"], &shown["purpose"]),
        (&json!(id), &json!("admin"), &json!("monthly report"))
    );
    assert!(shown["lastUse"]["at"].as_i64().is_some(), "{shown}");

    assert!(revoke(&park, &admin, &id).await.data()["revokedAt"].as_i64().is_some());
    assert_eq!(park.get(HISTORY, &key).await.fault().1, "TOKEN_REVOKED");
    // For good.
    assert_eq!(patch(&park, &admin, &id, json!({ "name": "again" })).await.fault().1, "KEY_REVOKED");
    assert!(revoke(&park, &admin, &id).await.status.is_success());
    for (key, code) in
        [("ptk_", "INVALID_TOKEN"), ("ptk_x", "INVALID_TOKEN"), (&format!("{key}x"), "INVALID_TOKEN")]
    {
        assert_eq!(park.get(HISTORY, key).await.fault().1, code);
    }
    assert_eq!(revoke(&park, &admin, "none").await.fault().1, "UNKNOWN_API_KEY");
}

#[tokio::test]
async fn what_is_asked_of_a_key_is_checked() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let read = json!({ "read": true });
    for (asked, field) in [
        (json!({ "rights": read }), "name"),
        (json!({ "name": "", "rights": read }), "name"),
        (json!({ "name": "a\nb", "rights": read }), "name"),
        (json!({ "name": "a" }), "rights"),
        (json!({ "name": "a", "rights": {} }), "rights"),
        (json!({ "name": "a", "rights": { "delete": true } }), "rights.delete"),
        (json!({ "name": "a", "rights": read, "expiresAt": 1 }), "expiresAt"),
        (json!({ "name": "a", "rights": read, "sources": ["10.0.0.1/8"] }), "sources[0]"),
        (json!({ "name": "a", "rights": read, "scope": { "device": ["x"] } }), "scope.device"),
        (
            json!({ "name": "a", "rights": read, "limits": { "requestsPerMinute": 0 } }),
            "limits.requestsPerMinute",
        ),
        (json!({ "name": "a", "rights": read, "admin": true }), "admin"),
    ] {
        let fault = park.post("/api/v1/keys", &admin, asked.clone()).await.fault();
        assert_eq!((fault.0, fault.2.as_deref()), (400, Some(field)), "{asked}");
    }
}

#[tokio::test]
async fn a_key_sees_what_is_in_its_scope() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    park.report("bess-1", now(), json!({ "power": 1.0, "soc": 50.0 })).await;
    park.report("grid", now(), json!({ "power": 2.0 })).await;
    let scope = json!({ "types": ["storage"], "measurements": ["power"] });
    let (id, key) = make(&park, &admin, json!({ "scope": scope })).await;
    let list = park.get("/api/v1/devices", &key).await.data();
    assert_eq!((&list["total"], &list["items"][0]["id"]), (&json!(1), &json!("bess-1")));
    let shadow = park.get("/api/v1/devices/bess-1", &key).await.data();
    assert_eq!(shadow["reported"].as_object().unwrap().keys().collect::<Vec<_>>(), ["power"]);
    assert!(park.get(HISTORY, &key).await.status.is_success());
    // What is not there looks like what is not for it.
    for path in [
        "/api/v1/devices/bess-1/history?measurement=soc",
        "/api/v1/devices/grid/history?measurement=power",
        "/api/v1/devices/none/history?measurement=power",
        "/api/v1/devices/grid",
        "/api/v1/devices/none",
    ] {
        assert_eq!(park.get(path, &key).await.fault().1, "OUT_OF_SCOPE", "{path}");
    }
    patch(&park, &admin, &id, json!({ "scope": {} })).await.data();
    assert!(park.get("/api/v1/devices/grid", &key).await.status.is_success());
    assert_eq!(park.get("/api/v1/devices/none", &key).await.fault().1, "UNKNOWN_DEVICE");
    patch(&park, &admin, &id, json!({ "rights": { "write": true } })).await.data();
    assert_eq!(park.get(HISTORY, &key).await.fault().1, "FORBIDDEN");
}

static CLOCK: AtomicI64 = AtomicI64::new(0);

fn set_clock() -> Timestamp {
    Timestamp(CLOCK.load(Ordering::SeqCst))
}

#[tokio::test]
async fn limits_refuse_say_when_and_give_again() {
    CLOCK.store(now().0, Ordering::SeqCst);
    let park = Park::timed(api::Auth::new(&[42; 32]), set_clock).await;
    let admin = park.token("admin").await;
    let day = set_clock().0 + 86_400_000;
    let (id, key) =
        make(&park, &admin, json!({ "limits": { "requestsPerMinute": 2 }, "expiresAt": day })).await;
    for _ in 0..2 {
        assert!(park.get(HISTORY, &key).await.status.is_success());
    }
    let refused = park.get(HISTORY, &key).await;
    assert_eq!(refused.fault().1, "TOO_MANY_REQUESTS");
    assert_eq!((refused.status.as_u16(), &refused.headers["retry-after"]), (429, &"30".parse().unwrap()));
    CLOCK.fetch_add(30_000, Ordering::SeqCst);
    assert!(park.get(HISTORY, &key).await.status.is_success());
    // A clock that is set back by a day starves nobody.
    CLOCK.fetch_sub(86_400_000, Ordering::SeqCst);
    assert_eq!(park.get(HISTORY, &key).await.fault().1, "TOO_MANY_REQUESTS");
    CLOCK.fetch_add(30_000, Ordering::SeqCst);
    assert!(park.get(HISTORY, &key).await.status.is_success());
    // A limit that is raised holds at once.
    let admin = park.token("admin").await;
    patch(&park, &admin, &id, json!({ "limits": { "requestsPerMinute": 6000, "pointsReadPerMinute": 10 } }))
        .await
        .data();
    CLOCK.store(day - 1_000, Ordering::SeqCst);
    let start = now().0 - 60_000;
    for second in 0..30 {
        park.report("bess-1", Timestamp(start + 1_000 * second), json!({ "power": second })).await;
    }
    // An answer is given whole, and what it took too much is waited for.
    let minute = format!("{HISTORY}&from={start}&to={}", start + 60_000);
    assert_eq!(park.get(&minute, &key).await.data()["points"].as_array().unwrap().len(), 30);
    assert_eq!(park.get(HISTORY, &key).await.fault().1, "TOO_MANY_REQUESTS");
    CLOCK.store(day, Ordering::SeqCst);
    assert_eq!(park.get(HISTORY, &key).await.fault().1, "TOKEN_EXPIRED");
    let admin = park.token("admin").await;
    patch(&park, &admin, &id, json!({ "expiresAt": null, "limits": {} })).await.data();
    CLOCK.fetch_add(600_000, Ordering::SeqCst);
    assert!(park.get(HISTORY, &key).await.status.is_success());
}

#[tokio::test]
async fn a_key_is_used_from_where_it_may_and_a_proxy_must_be_named_to_be_believed() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let (_, key) = make(&park, &admin, json!({ "sources": ["10.1.0.0/16", "2001:db8::/32"] })).await;
    for (peer, may) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("2001:db8::1", true),
        ("10.2.0.1", false),
        ("::1", false),
    ] {
        assert_eq!(from(&park, &key, peer, None).await.status.is_success(), may, "{peer}");
    }
    let lied = from(&park, &key, "203.0.113.1", Some("10.1.2.3")).await;
    assert_eq!((lied.status.as_u16(), lied.fault().1.as_str()), (403, "WRONG_SOURCE"));

    let park = Park::behind(vec!["192.168.0.0/24".parse().unwrap()]).await;
    let admin = park.token("admin").await;
    let (_, key) = make(&park, &admin, json!({ "sources": ["10.1.0.0/16"] })).await;
    for (peer, forwarded, may) in [
        ("192.168.0.5", Some("10.1.2.3"), true),
        ("192.168.0.5", Some("6.6.6.6, 10.1.2.3"), true),
        ("192.168.0.5", Some("10.1.2.3, 6.6.6.6"), false),
        ("192.168.0.5", None, false),
        ("203.0.113.1", Some("10.1.2.3"), false),
    ] {
        let reply = from(&park, &key, peer, forwarded).await;
        assert_eq!(reply.status.is_success(), may, "{peer} {forwarded:?}");
    }
}

#[tokio::test]
async fn use_is_counted_by_day() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    for second in 0..3 {
        park.report("bess-1", Timestamp(now().0 - 1_000 * second), json!({ "power": second })).await;
    }
    let (id, key) = make(&park, &admin, json!({ "scope": { "devices": ["bess-1"] } })).await;
    let mut bytes = park.get("/api/v1/devices", &key).await.bytes.len();
    bytes += park.get(HISTORY, &key).await.bytes.len();
    bytes += park.get("/api/v1/devices/grid", &key).await.bytes.len();
    let usage = park.get(&format!("/api/v1/keys/{id}/usage"), &admin).await.data();
    let total = &usage["total"];
    assert_eq!(
        (&total["requests"], &total["refused"], &total["pointsRead"]),
        (&json!(3), &json!(1), &json!(3))
    );
    assert_eq!(total["bytesOut"].as_u64().unwrap(), bytes as u64);
    assert_eq!(usage["days"].as_array().unwrap().len(), 1, "unless midnight passed in Shanghai");
    let past =
        park.get(&format!("/api/v1/keys/{id}/usage?from=2020-01-01&to=2020-01-31"), &admin).await.data();
    assert_eq!((&past["days"], &past["total"]["requests"]), (&json!([]), &json!(0)));
    let wrong = park.get(&format!("/api/v1/keys/{id}/usage?from=2020-02-01&to=2020-01-31"), &admin).await;
    assert_eq!(wrong.fault().2.as_deref(), Some("from"));
    assert_eq!(park.get("/api/v1/keys/none/usage", &admin).await.fault().1, "UNKNOWN_API_KEY");
}

#[tokio::test]
async fn a_revoked_keys_answer_is_cut() {
    use http_body_util::BodyExt;
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let (id, key) = make(&park, &admin, json!({})).await;
    let request = Request::builder().uri("/api/v1/devices").header("authorization", format!("Token {key}"));
    let response = park.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert!(response.status().is_success());
    revoke(&park, &admin, &id).await.data();
    assert!(response.into_body().collect().await.is_err(), "an answer went on after its key was revoked");
}

#[tokio::test]
async fn an_answer_under_way_is_cut_when_its_key_is_narrowed() {
    use http_body_util::BodyExt;
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let expires = now().0 + 86_400_000;
    for (change, goes_on) in [
        (json!({ "scope": { "devices": ["grid"] } }), false),
        (json!({ "scope": { "types": ["storage"], "measurements": ["power"] } }), false),
        (json!({ "sources": ["10.1.0.0/16"] }), false),
        (json!({ "rights": { "write": true } }), false),
        // Of no matter to what is being answered.
        (json!({ "scope": { "types": ["storage"] } }), true),
        (json!({ "sources": ["10.2.0.0/16"], "purpose": "x", "expiresAt": expires }), true),
    ] {
        let (id, key) = make(&park, &admin, json!({ "scope": { "types": ["storage"] } })).await;
        for path in ["/api/v1/devices", "/api/v1/telemetry/query"] {
            patch(
                &park,
                &admin,
                &id,
                json!({ "scope": { "types": ["storage"] }, "sources": [], "rights": { "read": true } }),
            )
            .await
            .data();
            let request = Request::builder().uri(path).header("authorization", format!("Bearer {key}"));
            let mut request = request.body(Body::empty()).unwrap();
            let peer = SocketAddr::new("10.2.0.1".parse().unwrap(), 40_000);
            request.extensions_mut().insert(ConnectInfo(peer));
            let response = park.router.clone().oneshot(request).await.unwrap();
            assert!(response.status().is_success(), "{path}");
            patch(&park, &admin, &id, change.clone()).await.data();
            assert_eq!(response.into_body().collect().await.is_ok(), goes_on, "{path} {change}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoking_holds_for_every_request_that_comes_after_it() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    for _ in 0..5 {
        let (id, key) = make(&park, &admin, json!({ "limits": { "requestsPerMinute": 1_000_000 } })).await;
        let asking = tokio::spawn({
            let (router, key) = (park.router.clone(), key.clone());
            async move {
                // Until the first refusal, which is the end of it; the last answer may be cut.
                loop {
                    let request = Request::builder().uri("/api/v1/devices");
                    let request = request.header("authorization", format!("Bearer {key}"));
                    let response =
                        router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
                    if !response.status().is_success() {
                        return;
                    }
                }
            }
        });
        // Changing goes on beside: it must not bring the key back.
        let (revoked, _) =
            tokio::join!(revoke(&park, &admin, &id), patch(&park, &admin, &id, json!({ "purpose": "x" })));
        revoked.data();
        assert_eq!(park.get("/api/v1/devices", &key).await.fault().1, "TOKEN_REVOKED");
        asking.await.unwrap();
    }
}

#[tokio::test]
async fn a_key_does_not_open_the_live_stream_nor_make_keys() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let (_, key) = make(&park, &admin, json!({ "rights": { "read": true, "write": true } })).await;
    let reply = park.post("/api/v1/keys", &key, json!({ "name": "b", "rights": { "read": true } })).await;
    assert_eq!((reply.status.as_u16(), reply.fault().1.as_str()), (403, "FORBIDDEN"));
    let twice = Request::builder()
        .uri("/api/v1/devices")
        .header("authorization", format!("Bearer {key}"))
        .header("authorization", format!("Bearer {admin}"));
    assert_eq!(park.request(twice.body(Body::empty()).unwrap()).await.fault().1, "UNAUTHENTICATED");
}

#[tokio::test]
async fn questions_of_a_key_are_answered_from_its_scope() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let at = Timestamp(now().0 - 60_000);
    park.report("grid", at, json!({ "power": 9.0 })).await;
    park.report("bess-1", at, json!({ "power": 3.0, "soc": 40.0 })).await;
    let new = json!({ "name": "bi", "rights": { "read": true },
        "scope": { "devices": ["bess-1"], "measurements": ["power"] } });
    let made = park.post("/api/v1/keys", &admin, new).await.data();
    let key = made["key"].as_str().unwrap();
    let all = park.get("/api/v1/telemetry/query?download=true", key).await;
    assert_eq!(all.status, 200);
    let name = all.headers["content-disposition"].to_str().unwrap().to_owned();
    assert!(name.starts_with("attachment; filename=\"telemetry-") && name.ends_with(".json\""), "{name}");
    let series = all.data();
    let series = series["series"].as_array().unwrap();
    assert_eq!(series.len(), 1, "{series:?}");
    assert_eq!(series[0]["points"], json!([[at.0, 3.0]]));
    // What is there and what is not are refused alike.
    let mut told = Vec::new();
    for query in ["device=grid", "device=nowhere"] {
        let reply = park.get(&format!("/api/v1/telemetry/query?{query}"), key).await;
        told.push((reply.status, reply.fault().1));
    }
    assert_eq!(told[0], told[1]);
    let of_park = park.get("/api/v1/telemetry/query?device=grid", &park.token("viewer").await).await;
    assert_eq!(of_park.status, 200);
}
