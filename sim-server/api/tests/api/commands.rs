//! Commands over HTTP.

use crate::park::{Park, now};
use serde_json::{Value, json};

fn control(id: &str, power: f64) -> Value {
    json!({
        "deviceId": "bess-1", "commandId": id, "command": "setPower",
        "parameters": { "power": power, "duration": 3600, "priority": "high" }, "timestamp": now().0,
    })
}

#[tokio::test]
async fn the_same_command_twice_is_one_and_another_body_is_a_conflict() {
    let park = Park::open().await;
    let operator = park.token("operator").await;
    let body = control("c-1", 50.1);
    let first = park.post("/api/v1/device/control", &operator, body.clone()).await.data();
    assert_eq!(
        (&first["status"], &first["issuer"]),
        (&json!("queued"), &json!({ "kind": "user", "name": "operator" }))
    );
    let again = park.post("/api/v1/device/control", &operator, body.clone()).await.data();
    assert_eq!(first, again);
    let mut other = body;
    other["parameters"]["power"] = json!(51.0);
    let refused = park.post("/api/v1/device/control", &operator, other).await;
    assert_eq!(refused.fault(), (409, "CONFLICT".into(), Some("commandId".into())));
    let one = park.get("/api/v1/commands/c-1", &operator).await.data();
    assert_eq!(one["parameters"]["power"], 50.1);
    let all = park.get("/api/v1/devices/bess-1/commands", &operator).await.data();
    assert_eq!((&all["total"], &all["items"][0]["commandId"]), (&json!(1), &json!("c-1")));
}

#[tokio::test]
async fn a_command_without_a_time_is_of_now_and_repeats_as_the_same() {
    let park = Park::open().await;
    let operator = park.token("operator").await;
    let mut body = control("c-2", 10.0);
    body.as_object_mut().unwrap().remove("timestamp");
    let before = now().0;
    let first = park.post("/api/v1/device/control", &operator, body.clone()).await.data();
    assert!(first["timestamp"].as_i64().unwrap() >= before);
    assert_eq!(park.post("/api/v1/device/control", &operator, body).await.data(), first);
}

#[tokio::test]
async fn a_command_that_expired_before_it_came_is_refused() {
    let park = Park::open().await;
    let operator = park.token("operator").await;
    let mut body = control("c-3", 10.0);
    body["expires"] = json!("2020-01-01T00:00:00Z");
    body["timestamp"] = json!("2019-12-31T23:00:00+00:00");
    let refused = park.post("/api/v1/device/control", &operator, body).await;
    assert_eq!(refused.fault(), (400, "EXPIRED".into(), Some("expires".into())));
}

#[tokio::test]
async fn a_set_point_shows_in_the_shadow() {
    let park = Park::open().await;
    let operator = park.token("operator").await;
    park.report("bess-1", now(), json!({ "power": 0.0 })).await;
    park.post("/api/v1/device/control", &operator, control("c-4", 50.0)).await.data();
    let shadow = park.get("/api/v1/devices/bess-1", &operator).await.data();
    assert_eq!(shadow["desired"]["power"]["value"], 50.0);
    assert_eq!(shadow["delta"]["power"]["difference"], 50.0);
}

#[tokio::test]
async fn what_people_do_is_in_the_audit_trail() {
    let park = Park::open().await;
    park.post("/api/v1/device/control", &park.token("operator").await, control("c-5", 5.0)).await.data();
    let log = park.get("/api/v1/audit?size=1", &park.token("admin").await).await.data();
    let second = park.get("/api/v1/audit?size=1&page=2", &park.token("admin").await).await.data();
    assert_eq!(log["items"][0]["action"], "login");
    assert_eq!(second["size"], 1);
    let all = park.get("/api/v1/audit", &park.token("admin").await).await.data();
    let what =
        all["items"].as_array().unwrap().iter().find(|e| e["action"] == "command").unwrap()["what"].clone();
    assert_eq!(what, "bess-1 setPower c-5");
}

#[tokio::test]
async fn planning_now_gives_a_newer_plan() {
    let park = Park::open().await;
    let operator = park.token("operator").await;
    let planned = park.post("/api/v1/vpp/plan", &operator, json!({})).await.data();
    assert!(planned["version"].as_u64().unwrap() >= 1);
    let current = park.get("/api/v1/vpp/plan", &operator).await.data();
    assert!(current["version"].as_u64() >= planned["version"].as_u64());
    assert!(park.get("/api/v1/vpp/tracking", &operator).await.data().is_object());
}
