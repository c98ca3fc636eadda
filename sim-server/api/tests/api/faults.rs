//! Bad input: one shape, a fitting status, the field at fault.

use crate::park::Park;
use api::ApiOptions;
use axum::{
    body::Body,
    http::{Method, Request},
    routing::get,
};
use futures::StreamExt;
use std::time::Duration;

/// Request, body, and the status, code and field of the answer.
const FAULTS: &str = r#"
GET /api/v1/nowhere | | 404 NOT_FOUND
GET / | | 404 NOT_FOUND
DELETE /api/v1/scene | | 405 METHOD_NOT_ALLOWED
GET /api/v1/device/control | | 405 METHOD_NOT_ALLOWED
GET /api/v1/stream | | 426 NOT_A_WEBSOCKET

POST /api/v1/auth/login | | 400 MALFORMED_JSON line 1 column 0
POST /api/v1/auth/login | { | 400 MALFORMED_JSON line 1 column 1
POST /api/v1/auth/login | 7 | 400 WRONG_TYPE
POST /api/v1/auth/login | {} | 400 MISSING_FIELD username
POST /api/v1/auth/login | {"username":1,"password":""} | 400 WRONG_TYPE username

GET /api/v1/devices?pages=2 | | 400 UNKNOWN_FIELD pages
GET /api/v1/devices?page=0 | | 400 INVALID_VALUE page
GET /api/v1/devices?page=1&page=2 | | 400 DUPLICATE_FIELD page
GET /api/v1/devices?size=1001 | | 400 INVALID_VALUE size
GET /api/v1/devices?size=many | | 400 WRONG_TYPE size
GET /api/v1/devices?role=king | | 400 WRONG_TYPE role
GET /api/v1/devices/no%20spaces | | 400 INVALID_VALUE id
GET /api/v1/devices/none | | 404 UNKNOWN_DEVICE
GET /api/v1/devices/none/history?measurement=power | | 404 UNKNOWN_DEVICE
GET /api/v1/devices/none/events | | 404 UNKNOWN_DEVICE
GET /api/v1/devices/none/commands | | 404 UNKNOWN_DEVICE

GET /api/v1/devices/bess-1/history | | 400 MISSING_FIELD measurement
GET /api/v1/devices/bess-1/history?measurement=x | | 400 UNKNOWN_MEASUREMENT measurement
GET /api/v1/devices/bess-1/history?measurement=soc&from=soon | | 400 WRONG_TYPE from
GET /api/v1/devices/bess-1/history?measurement=soc&from=2&to=1 | | 400 INVALID_VALUE from
GET /api/v1/devices/bess-1/history?measurement=soc&step=0 | | 400 INVALID_VALUE step
GET /api/v1/devices/bess-1/history?measurement=soc&step=-5 | | 400 WRONG_TYPE step
GET /api/v1/devices/bess-1/history?measurement=soc&limit=0 | | 400 INVALID_VALUE limit
GET /api/v1/devices/bess-1/history?measurement=soc&aggregate=max | | 400 INVALID_VALUE aggregate
GET /api/v1/devices/bess-1/history?measurement=soc&fill=linear | | 400 INVALID_VALUE fill
GET /api/v1/devices/bess-1/history?measurement=soc&cleaned=true&fill=magic | | 400 WRONG_TYPE fill
GET /api/v1/devices/bess-1/history?measurement=soc&cleaned=true&step=60 | | 400 INVALID_VALUE step
GET /api/v1/devices/bess-1/history?measurement=soc&cleaned=true&window=4 | | 400 INVALID_VALUE window
GET /api/v1/devices/bess-1/history?measurement=soc&cleaned=true&k=-1 | | 400 INVALID_VALUE k
GET /api/v1/devices/bess-1/history?measurement=soc&cleaned=true&k=NaN | | 400 INVALID_VALUE k

GET /api/v1/quality?from=soon | | 400 WRONG_TYPE from
GET /api/v1/quality?from=2000000&to=1000000 | | 400 INVALID_VALUE from
GET /api/v1/quality?device=no%20spaces | | 400 INVALID_VALUE device
GET /api/v1/quality?device=ghost | | 404 UNKNOWN_DEVICE
GET /api/v1/quality?type=toaster | | 400 INVALID_VALUE type
GET /api/v1/quality?limit=50001 | | 400 INVALID_VALUE limit
GET /api/v1/quality?days=7 | | 400 UNKNOWN_FIELD days

POST /api/v1/devices | {} | 400 MISSING_FIELD deviceId
POST /api/v1/devices | {"deviceId":"n","model":"battery"} | 400 MISSING_FIELD name
POST /api/v1/devices | {"deviceId":"n","model":"battery","name":"n","colour":"red"} | 400 UNKNOWN_FIELD colour
POST /api/v1/devices | {"deviceId":"n","model":"battery","name":"n","capacityKw":"big"} | 400 WRONG_TYPE capacityKw
POST /api/v1/devices | {"deviceId":"n","model":"battery","name":"n","capacityKw":-1} | 400 INVALID_VALUE capacityKw
POST /api/v1/devices | {"deviceId":"n","model":"battery","name":"n","installedOn":"today"} | 400 INVALID_VALUE installedOn
POST /api/v1/devices | {"deviceId":"n","model":"battery","name":"n","location":[1]} | 400 WRONG_TYPE location
POST /api/v1/devices | {"deviceId":"n","model":"battery","name":"n","building":"b-9"} | 400 UNKNOWN_BUILDING building
POST /api/v1/devices | {"deviceId":"n","model":"battery","name":"n","feeder":"bus-9"} | 400 UNKNOWN_FEEDER feeder
POST /api/v1/devices | {"deviceId":"n","model":"toaster","name":"n"} | 400 UNKNOWN_MODEL model
POST /api/v1/devices | {"deviceId":"a/b","model":"battery","name":"n"} | 400 WRONG_TYPE deviceId
POST /api/v1/devices | {"deviceId":"bess-1","model":"battery","name":"n"} | 409 ALREADY_EXISTS deviceId
POST /api/v1/devices | {"deviceId":"n","model":"battery","name":""} | 400 INVALID_VALUE name
POST /api/v1/devices | {"deviceId":"n","model":"battery","name":7} | 400 WRONG_TYPE name

POST /api/v1/device/control | {"deviceId":"bess-1","commandId":"c","command":"setPower","parameters":[]} | 400 WRONG_TYPE parameters
POST /api/v1/device/control | {"deviceId":"bess-1","commandId":"c","command":"setPower","parameter":{}} | 400 UNKNOWN_FIELD parameter
POST /api/v1/device/control | {"deviceId":"bess-1","commandId":"c","command":"setPower","timestamp":"soon"} | 400 WRONG_TYPE timestamp
POST /api/v1/device/control | {"deviceId":"none","commandId":"c","command":"setPower"} | 404 UNKNOWN_DEVICE deviceId
POST /api/v1/device/control | {"deviceId":"bess-1","commandId":"c","command":"dance"} | 400 UNKNOWN_COMMAND command
POST /api/v1/device/control | {"deviceId":"bess-1","commandId":"c","command":"setPower","parameters":{"power":9999}} | 400 BAD_PARAMETER parameters.power
GET /api/v1/commands/none | | 404 UNKNOWN_COMMAND

POST /api/v1/alarms/none/acknowledge | | 404 UNKNOWN_ALARM
GET /api/v1/alarms?state=shut | | 400 WRONG_TYPE state
GET /api/v1/energy/curve?step=7 | | 400 INVALID_VALUE step
GET /api/v1/energy/curve?from=9&to=1 | | 400 INVALID_VALUE from
GET /api/v1/energy/curve?from=0&step=60 | | 400 TOO_MANY_STEPS step
DELETE /api/v1/users/nobody | | 404 UNKNOWN_USER
DELETE /api/v1/wall-tokens/none | | 404 UNKNOWN_WALL_TOKEN
"#;

#[tokio::test]
async fn each_fault_has_its_status_code_and_field() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    for line in FAULTS.lines().filter(|line| !line.is_empty()) {
        let [request, body, expected] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (method, path) = request.trim().split_once(' ').unwrap();
        let reply = park.call(method.parse().unwrap(), path, Some(&admin), body.trim().to_owned()).await;
        let (status, code, field) = reply.fault();
        let got = format!("{status} {code} {}", field.unwrap_or_default());
        assert_eq!(got.trim(), expected.trim(), "{line}: {}", reply.json());
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413_and_harms_nobody() {
    let park = Park::with(ApiOptions { body_limit: 10_000, ..ApiOptions::default() }).await;
    let admin = park.token("admin").await;
    let big = format!(r#"{{"name":"{}"}}"#, "x".repeat(10_000));
    let reply = park.call(Method::POST, "/api/v1/wall-tokens", Some(&admin), big).await;
    assert_eq!(reply.fault(), (413, "TOO_LARGE".into(), None));
    assert!(reply.json()["message"].as_str().unwrap().contains("10000 bytes"), "{}", reply.json());
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(4_096))).take(64);
    let reply = park.call(Method::POST, "/api/v1/auth/login", None, Body::from_stream(endless)).await;
    assert_eq!(reply.fault(), (413, "TOO_LARGE".into(), None));
    assert_eq!(park.get("/api/v1/me", &admin).await.status, 200);
}

#[tokio::test]
async fn a_bad_authorization_header_is_401() {
    let park = Park::open().await;
    for value in ["", "Bearer", "Basic YWRtaW46eA==", "Bearer \u{ff}", "token"] {
        let mut request = Request::builder().uri("/api/v1/me");
        request = request.header("authorization", value.as_bytes());
        let reply = park.request(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.fault(), (401, "UNAUTHENTICATED".into(), Some("authorization".into())), "{value:?}");
        assert_eq!(reply.headers["www-authenticate"], "Bearer");
    }
}

#[tokio::test]
async fn every_answer_carries_a_trace_id_and_a_plain_one_of_the_caller_is_kept() {
    let park = Park::open().await;
    let first = park.call(Method::GET, "/healthz", None, "").await.headers["x-trace-id"].clone();
    let second = park.call(Method::GET, "/healthz", None, "").await.headers["x-trace-id"].clone();
    assert_ne!(first, second);
    for (sent, kept) in [("caller-0001", true), ("<script>alert(1)</script>", false), ("short", false)] {
        let request = Request::builder().uri("/healthz").header("x-request-id", sent);
        let reply = park.request(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.headers["x-trace-id"] == sent, kept, "{sent}");
    }
}

#[tokio::test]
async fn a_method_that_is_not_allowed_says_which_are() {
    let park = Park::open().await;
    let reply = park.call(Method::DELETE, "/api/v1/vpp/plan", None, "").await;
    let allowed = reply.headers["allow"].to_str().unwrap();
    assert!(allowed.contains("GET") && allowed.contains("POST"), "{allowed}");
}

#[tokio::test]
async fn a_handler_that_panics_or_hangs_is_answered_for() {
    async fn broken() -> &'static str {
        panic!("a fault of ours")
    }
    let hanging = || std::future::pending::<&'static str>();
    let further = axum::Router::new().route("/broken", get(broken)).route("/hanging", get(hanging));
    let options = ApiOptions { request_timeout: Duration::from_millis(50), ..ApiOptions::default() };
    let park = Park::built(options, further, Default::default()).await;
    let reply = park.call(Method::GET, "/broken", None, "").await;
    assert_eq!(reply.fault(), (500, "INTERNAL".into(), None));
    assert!(!reply.json().to_string().contains("a fault of ours"), "the inside stays inside");
    let reply = park.call(Method::GET, "/hanging", None, "").await;
    assert_eq!(reply.fault(), (504, "TIMEOUT".into(), None));
    assert_eq!(park.call(Method::GET, "/healthz", None, "").await.status, 200);
}
