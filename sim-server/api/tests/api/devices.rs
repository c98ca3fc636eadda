//! Registering devices, their shadows and their past.

use crate::park::{Park, now};
use axum::http::Method;
use serde_json::{Value, json};
use shared::time::Timestamp;

#[tokio::test]
async fn registering_gives_the_secret_once() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let registration = json!({
        "deviceId": "bess-9", "model": "battery", "name": "新储能", "manufacturer": "Maker", "capacityKw": 250.5,
        "location": [10.0, 20.0, 0.0], "installedOn": "2026-01-31", "building": "b-1", "feeder": "bus-1",
    });
    let reply = park.post("/api/v1/devices", &admin, registration.clone()).await;
    assert_eq!(reply.status, 201);
    let data = reply.data();
    let secret = data["secret"].as_str().unwrap();
    assert!(park.twin.authenticate("bess-9", secret).is_some());
    assert!(park.twin.authenticate("bess-1", secret).is_none());

    let shadow = park.get("/api/v1/devices/bess-9", &admin).await;
    let text = String::from_utf8(shadow.bytes.to_vec()).unwrap();
    assert!(!text.contains(secret), "the secret is not shown again");
    let shadow = shadow.data();
    assert_eq!(shadow["registration"]["capacityKw"], 250.5);
    assert_eq!(shadow["registration"]["name"], json!({ "zh": "新储能", "en": "新储能" }));
    assert_eq!(shadow["registration"]["origin"], "field");
    assert_eq!(
        (&shadow["online"], &shadow["age"], &shadow["reported"]),
        (&json!(false), &Value::Null, &json!({}))
    );
    assert_eq!(park.post("/api/v1/devices", &admin, registration).await.fault().1, "ALREADY_EXISTS");
}

#[tokio::test]
async fn a_registration_takes_other_spellings_of_place_and_name() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let registration = json!({
        "deviceId": "bess-8", "model": "battery", "name": { "zh": "储能", "en": "storage" }, "capacity": 100,
        "location": { "longitude": 120.6, "latitude": 31.1 }, "installDate": "2026-02-01",
    });
    let device = park.post("/api/v1/devices", &admin, registration).await.data()["device"].take();
    assert_eq!((&device["capacityKw"], &device["installedOn"]), (&json!(100.0), &json!("2026-02-01")));
    let east = device["location"][0].as_f64().unwrap();
    assert!(east.abs() < 1.0, "the park's own origin: {east}");
}

#[tokio::test]
async fn a_replaced_secret_opens_nothing() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let old = park.secrets.iter().find(|(id, _)| id.as_str() == "bess-1").unwrap().1.to_string();
    let data = park.post("/api/v1/devices/bess-1/secret", &admin, Value::Null).await.data();
    assert!(park.twin.authenticate("bess-1", &old).is_none());
    assert!(park.twin.authenticate("bess-1", data["secret"].as_str().unwrap()).is_some());
}

#[tokio::test]
async fn a_shadow_shows_what_was_reported_with_time_and_quality() {
    let park = Park::open().await;
    let at = Timestamp(now().0 - 2_000);
    park.report("bess-1", at, json!({ "power": 12.5, "soc": 140.0 })).await;
    let shadow = park.get("/api/v1/devices/bess-1", &park.token("viewer").await).await.data();
    assert_eq!(
        shadow["reported"],
        json!({
            "power": { "value": 12.5, "timestamp": at.0, "quality": "good" },
            "soc": { "value": 140.0, "timestamp": at.0, "quality": "out_of_range" },
        })
    );
    assert_eq!(shadow["online"], true);
    assert!((2.0..60.0).contains(&shadow["age"].as_f64().unwrap()), "{}", shadow["age"]);
}

#[tokio::test]
async fn devices_are_listed_by_page_and_by_what_they_are() {
    let park = Park::open().await;
    let viewer = park.token("viewer").await;
    park.report("grid", now(), json!({ "power": 1.0 })).await;
    let ids = async |query: &str| {
        let page = park.get(&format!("/api/v1/devices?{query}"), &viewer).await.data();
        let ids: Vec<String> =
            page["items"].as_array().unwrap().iter().map(|d| d["id"].as_str().unwrap().to_owned()).collect();
        (ids.join(" "), page["total"].as_u64().unwrap())
    };
    assert_eq!(ids("").await, ("bess-1 grid".into(), 2));
    assert_eq!(ids("size=1&page=2").await, ("grid".into(), 2));
    assert_eq!(ids("size=1&page=3").await, (String::new(), 2));
    assert_eq!(ids("role=storage").await, ("bess-1".into(), 1));
    assert_eq!(ids("model=meter").await, ("grid".into(), 1));
    assert_eq!(ids("online=true").await, ("grid".into(), 1));
    assert_eq!(ids("online=false").await, ("bess-1".into(), 1));
    assert_eq!(ids("search=BESS").await, ("bess-1".into(), 1));
    assert_eq!(ids("building=b-1").await, (String::new(), 0));
}

#[tokio::test]
async fn the_past_is_read_raw_page_by_page() {
    let park = Park::open().await;
    let viewer = park.token("viewer").await;
    let start = now().0 / 1_000 * 1_000 - 100_000;
    for second in 0..10 {
        park.report("bess-1", Timestamp(start + second * 1_000), json!({ "power": second })).await;
    }
    let path = format!("/api/v1/devices/bess-1/history?measurement=power&from={start}&to={}", start + 9_000);
    let all = park.get(&path, &viewer).await.data();
    let expected: Vec<Value> = (0..9).map(|s| json!([start + s * 1_000, s as f64])).collect();
    assert_eq!((all["points"].clone(), all["next"].clone()), (json!(expected), Value::Null));
    assert_eq!((&all["unit"], &all["step"]), (&json!("kW"), &Value::Null));

    let first = park.get(&format!("{path}&limit=5"), &viewer).await.data();
    assert_eq!(first["points"], json!(expected[..5]));
    let next = first["next"].as_i64().unwrap();
    let rest =
        format!("/api/v1/devices/bess-1/history?measurement=power&from={next}&to={}&limit=5", start + 9_000);
    let second = park.get(&rest, &viewer).await.data();
    assert_eq!((second["points"].clone(), second["next"].clone()), (json!(expected[5..]), Value::Null));
}

#[tokio::test]
async fn the_past_is_read_in_steps_with_the_figure_asked_for() {
    let park = Park::open().await;
    let viewer = park.token("viewer").await;
    let start = now().0 / 1_000 * 1_000 - 100_000;
    for second in [0, 1, 2, 3, 8, 9] {
        park.report("bess-1", Timestamp(start + second * 1_000), json!({ "power": second })).await;
    }
    let points = async |rest: &str| {
        let to = start + 10_000;
        let path =
            format!("/api/v1/devices/bess-1/history?measurement=power&from={start}&to={to}&step=2{rest}");
        let data = park.get(&path, &viewer).await.data();
        (data["points"].clone(), data["next"].clone())
    };
    let at = |steps: &[(i64, f64)]| {
        json!(steps.iter().map(|(s, v)| json!([start + s * 1_000, v])).collect::<Vec<_>>())
    };
    assert_eq!(points("").await, (at(&[(0, 0.5), (2, 2.5), (8, 8.5)]), Value::Null));
    assert_eq!(points("&aggregate=max").await.0, at(&[(0, 1.0), (2, 3.0), (8, 9.0)]));
    assert_eq!(points("&aggregate=count").await.0, at(&[(0, 2.0), (2, 2.0), (8, 2.0)]));
    // 1 holds for the second second; 3 until 8 comes: no step without a reading is told of.
    assert_eq!(points("&aggregate=twa").await.0, at(&[(0, 0.5), (2, 2.5), (8, 8.5)]));
    assert_eq!(points("&limit=2").await, (at(&[(0, 0.5), (2, 2.5)]), json!(start + 4_000)));
}

#[tokio::test]
async fn a_counter_is_told_by_how_far_it_went_on() {
    let park = Park::open().await;
    let (viewer, admin) = (park.token("viewer").await, park.token("admin").await);
    let body = json!({ "deviceId": "sub-1", "model": "submeter", "name": "sub-1" });
    assert_eq!(park.post("/api/v1/devices", &admin, body).await.status, 201);
    let start = now().0 / 1_000 * 1_000 - 100_000;
    // It begins again after 12.
    for (second, kwh) in [(-1, 9.0), (0, 10.0), (1, 12.0), (2, 0.5), (3, 2.0)] {
        park.report("sub-1", Timestamp(start + second * 1_000), json!({ "energy_import": kwh })).await;
    }
    let path = format!(
        "/api/v1/devices/sub-1/history?measurement=energy_import&from={start}&to={}&step=2&aggregate=delta",
        start + 10_000
    );
    let data = park.get(&path, &viewer).await.data();
    assert_eq!(data["points"], json!([[start, 3.0], [start + 2_000, 2.0]]));
    let gauge = path.replace("energy_import", "power");
    let (status, code, field) = park.get(&gauge, &viewer).await.fault();
    assert_eq!((status, code.as_str(), field.as_deref()), (400, "INVALID_VALUE", Some("aggregate")));
}

#[tokio::test]
async fn times_are_rfc_3339_or_milliseconds() {
    let park = Park::open().await;
    let viewer = park.token("viewer").await;
    let at = Timestamp(now().0 / 1_000 * 1_000 - 10_000);
    park.report("bess-1", at, json!({ "power": 7.0 })).await;
    let text = at.to_string();
    assert!(text.ends_with('Z'), "{text}");
    let path = format!("/api/v1/devices/bess-1/history?measurement=power&from={text}");
    assert_eq!(park.get(&path, &viewer).await.data()["points"], json!([[at.0, 7.0]]));
}

#[tokio::test]
async fn a_devices_events_are_listed() {
    let park = Park::open().await;
    let event = json!({
        "deviceId": "bess-1", "timestamp": now().0, "id": "e-1", "type": "overheat", "severity": "major",
        "description": "过热",
    });
    let sender = twin::Sender::Device("bess-1".parse().unwrap());
    for result in park.twin.ingest_event(&sender, event.to_string().as_bytes(), now()).await.unwrap() {
        result.unwrap();
    }
    let page = park.get("/api/v1/devices/bess-1/events", &park.token("viewer").await).await.data();
    assert_eq!((&page["total"], &page["items"][0]), (&json!(1), &event));
}

#[tokio::test]
async fn alarms_are_listed_acknowledged_and_kept() {
    let park = Park::open().await;
    let operator = park.token("operator").await;
    let text = shared::text::Text::new("磁盘将满", "disk nearly full");
    let kind = shared::alarm::AlarmKind::DiskLow;
    park.twin.park_alarm(kind, Some((text, Some(12.0))), now()).await;
    let open = park.get("/api/v1/alarms", &operator).await.data();
    let id = open["items"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!((&open["total"], &open["items"][0]["kind"]), (&json!(1), &json!("disk_low")));

    let path = format!("/api/v1/alarms/{id}/acknowledge");
    let acknowledged = park.call(Method::POST, &path, Some(&operator), "").await.data();
    assert_eq!(acknowledged["acknowledgedBy"], "operator");
    park.twin.park_alarm(kind, None, now()).await;
    assert_eq!(park.get("/api/v1/alarms?state=open", &operator).await.data()["total"], 0);
    assert_eq!(park.get("/api/v1/alarms?from=2100-01-01T00:00:00Z", &operator).await.data()["total"], 0);
}
