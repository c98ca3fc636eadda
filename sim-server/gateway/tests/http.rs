//! The device routes with a real twin behind them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod support;

use axum::{
    body::Body,
    http::{Request, StatusCode, header},
};
use serde_json::{Value, json};
use support::{Park, data, now};
use tower::ServiceExt;

struct Answer {
    status: StatusCode,
    retry_after: Option<String>,
    body: Value,
}

async fn post(park: &Park, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let router = gateway::device_router(park.inlets().await);
    let response = router.oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let status = response.status();
    let retry_after = response.headers().get(header::RETRY_AFTER).map(|v| v.to_str().unwrap().to_owned());
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    Answer { status, retry_after, body: serde_json::from_slice(&bytes).unwrap() }
}

const SYNC: &str = "/api/v1/device/data/sync";

#[tokio::test(flavor = "multi_thread")]
async fn one_object_or_an_array_is_stored_before_the_answer() {
    let park = Park::open().await;
    let bearer = format!("Bearer {}", park.secret("bess-0"));
    let headers = [("authorization", bearer.as_str())];
    let at = now();
    let answer = post(&park, SYNC, &headers, data("bess-0", at, json!({ "power": 1.5 }))).await;
    assert_eq!((answer.status, &answer.body["code"]), (StatusCode::OK, &json!("SUCCESS")));
    assert_eq!(answer.body["data"]["accepted"], 1);
    assert_eq!(park.readings("bess-0", "power").await[0].value, 1.5);

    let later = shared::time::Timestamp(at.0 + 1);
    let batch = format!(
        "[{},{},{}]",
        data("bess-0", later, json!({ "power": 2.5 })),
        data("bess-0", later, json!({ "power": "NaN" })),
        data("bess-1", later, json!({ "power": 3.5 }))
    );
    let answer = post(&park, SYNC, &headers, batch).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    let data = &answer.body["data"];
    assert_eq!((&data["accepted"], &data["refused"]), (&json!(1), &json!(2)));
    assert_eq!(data["results"][0], json!({ "index": 0, "status": "accepted" }));
    assert_eq!(data["results"][1]["code"], "NOT_FINITE");
    assert_eq!(data["results"][1]["field"], "[1].data.power");
    assert_eq!(data["results"][2]["code"], "NOT_YOUR_DEVICE");
    assert_eq!(park.readings("bess-0", "power").await.len(), 2);
    assert!(park.readings("bess-1", "power").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_has_its_status_and_code() {
    let park = Park::open().await;
    let bearer = format!("Bearer {}", park.secret("bess-0"));
    let wrong = format!("Bearer {}", park.secret("bess-1"));
    let good = data("bess-0", now(), json!({ "power": 1 }));
    let none: &[(&str, &str)] = &[];
    let own: &[(&str, &str)] = &[("authorization", &bearer)];
    let named: &[(&str, &str)] = &[("authorization", &bearer), ("x-device-id", "bess-0")];
    let stolen: &[(&str, &str)] = &[("authorization", &wrong)];
    let huge: String = "x".repeat(gateway::http::MAX_BODY_BYTES + 1);
    for (headers, body, status, code) in [
        (none, good.clone(), 401, "UNAUTHENTICATED"),
        (stolen, good.clone(), 401, "UNAUTHENTICATED"),
        (own, data("nobody", now(), json!({ "power": 1 })), 401, "UNAUTHENTICATED"),
        (own, "{".to_owned(), 400, "MALFORMED_JSON"),
        (named, "{".to_owned(), 400, "MALFORMED_JSON"),
        (own, "7".to_owned(), 400, "MISSING_FIELD"),
        (named, "7".to_owned(), 400, "WRONG_TYPE"),
        (own, "{}".to_owned(), 400, "MISSING_FIELD"),
        (named, data("bess-1", now(), json!({ "power": 1 })), 403, "NOT_YOUR_DEVICE"),
        (own, data("bess-0", now(), json!({})), 422, "EMPTY_DATA"),
        (own, data("bess-0", now(), json!({ "colour": 1 })), 422, "UNKNOWN_MEASUREMENT"),
        (own, huge, 413, "TOO_LARGE"),
    ] {
        let shown: String = body.chars().take(80).collect();
        let answer = post(&park, SYNC, headers, body).await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (status, &json!(code)), "{shown}");
        assert!(answer.body["message"].as_str().is_some_and(|m| !m.is_empty()), "{shown}");
        assert!(answer.body["traceId"].as_str().is_some_and(|id| !id.is_empty()), "{shown}");
        assert!(answer.body.get("details").is_some() && answer.retry_after.is_none());
    }
    let traced = [("x-request-id", "abc")];
    assert_eq!(post(&park, SYNC, &traced, "{}").await.body["traceId"], "abc");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_say_how_long_it_is_has_a_limit_too() {
    let park = Park::open().await;
    let bearer = format!("Bearer {}", park.secret("bess-0"));
    let chunks = (0..200).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]));
    let body = Body::from_stream(futures::stream::iter(chunks));
    let answer = post(&park, SYNC, &[("authorization", &bearer)], body).await;
    assert_eq!((answer.status, &answer.body["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("TOO_LARGE")));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_taken_once() {
    let park = Park::open().await;
    let bearer = format!("Bearer {}", park.secret("bess-0"));
    let event = json!({
        "deviceId": "bess-0", "timestamp": now().0, "id": "e1", "type": "overheat", "severity": "major",
        "description": "cell 7",
    });
    for _ in 0..2 {
        let answer =
            post(&park, "/api/v1/device/events", &[("authorization", &bearer)], event.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
    }
    assert_eq!(park.twin.open_alarms().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_answers_503_so_that_the_device_sends_again() {
    let park = Park::open().await;
    let bearer = format!("Bearer {}", park.secret("bess-0"));
    park.history.clone().close().await.unwrap();
    let answer =
        post(&park, SYNC, &[("authorization", &bearer)], data("bess-0", now(), json!({ "power": 1 }))).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert!(answer.retry_after.is_some());
}

#[test]
fn the_description_names_the_routes_and_their_secret() {
    let openapi = serde_json::to_value(gateway::openapi()).unwrap();
    for path in [SYNC, "/api/v1/device/events"] {
        let post = &openapi["paths"][path]["post"];
        assert_eq!(post["security"][0], json!({ "device_secret": [] }), "{path}");
        for status in ["200", "400", "401", "403", "413", "422", "503"] {
            assert!(post["responses"].get(status).is_some(), "{path} {status}");
        }
    }
    assert_eq!(openapi["components"]["securitySchemes"]["device_secret"]["scheme"], "bearer");
    assert!(openapi["components"]["schemas"].get("DataItem").is_some(), "{openapi}");
}
