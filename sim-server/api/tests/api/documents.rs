//! What is served as a whole: the scene, the API's description, its page, health, metrics.

use crate::park::Park;
use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

async fn openapi(park: &Park) -> Value {
    park.call(Method::GET, "/api/v1/openapi.json", None, "").await.json()
}

fn refs(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match (key.as_str(), value) {
                    ("$ref", Value::String(target)) => {
                        found.insert(target.clone());
                    }
                    _ => refs(value, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| refs(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn every_reference_in_the_description_resolves() {
    let park = Park::open().await;
    let document = openapi(&park).await;
    let mut found = BTreeSet::new();
    refs(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for target in found {
        let pointer = target.strip_prefix('#').unwrap_or_else(|| panic!("{target} leads outside"));
        assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
    }
}

#[tokio::test]
async fn every_operation_is_described_and_mounted() {
    let park = Park::open().await;
    let document = openapi(&park).await;
    let mut ids = BTreeSet::new();
    let mut described = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let here = format!("{} {path}", method.to_uppercase());
            assert!(operation["summary"].as_str().is_some_and(|s| !s.is_empty()), "{here} has no summary");
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{here} shares its id"
            );
            assert!(operation["tags"][0].is_string(), "{here} is in no group");
            let asked = path.replace(['{', '}'], "");
            let reply = park.call(method.to_uppercase().parse().unwrap(), &asked, None, "").await;
            let code = reply.json_or_null()["code"].clone();
            assert!(code != "NOT_FOUND" && code != "METHOD_NOT_ALLOWED", "{here} is not mounted");
            described.insert(here);
        }
    }
    for wanted in [
        "POST /api/v1/device/control",
        "GET /api/v1/commands/{commandId}",
        "POST /api/v1/devices",
        "GET /api/v1/devices",
        "GET /api/v1/devices/{id}",
        "GET /api/v1/devices/{id}/history",
        "GET /api/v1/devices/{id}/events",
        "GET /api/v1/vpp/plan",
        "POST /api/v1/vpp/plan",
        "GET /api/v1/energy/summary",
        "POST /api/v1/auth/login",
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
        "GET /api/v1/openapi.json",
        "GET /api/docs",
    ] {
        assert!(described.contains(wanted), "{wanted} is missing");
    }
}

#[tokio::test]
async fn bodies_are_described_as_they_are() {
    let park = Park::open().await;
    let document = openapi(&park).await;
    let control = &document["components"]["schemas"]["Control"];
    assert_eq!(control["required"], json!(["deviceId", "commandId", "command"]));
    let data = document
        .pointer(
            "/paths/~1api~1v1~1devices/get/responses/200/content/application~1json/schema/properties/data",
        )
        .unwrap();
    assert_eq!(data["properties"]["items"]["items"]["$ref"], "#/components/schemas/DeviceSummary");
    let names: Vec<&str> = document
        .pointer("/paths/~1api~1v1~1devices~1{id}~1history/get/parameters")
        .unwrap()
        .as_array()
        .unwrap()
        .iter()
        .map(|p| p["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["id", "measurement", "from", "to", "step", "aggregate", "limit", "cleaned", "fill", "window", "k"]
    );
}

#[tokio::test]
async fn the_scene_is_sent_once_and_named_by_its_tag() {
    let park = Park::open().await;
    let viewer = park.token("viewer").await;
    let plain = park.get("/api/v1/scene", &viewer).await;
    let tag = plain.headers[header::ETAG].to_str().unwrap().to_owned();
    let scene: shared::scene::Scene = serde_json::from_value(plain.data()).unwrap();
    assert_eq!(&scene, park.twin.scene().as_ref());

    let asked = |name: header::HeaderName, value: &str| {
        let request =
            Request::builder().uri("/api/v1/scene").header(header::AUTHORIZATION, format!("Bearer {viewer}"));
        request.header(name, value).body(Body::empty()).unwrap()
    };
    for known in [tag.as_str(), tag.trim_start_matches("W/"), "\"other\", *"] {
        let reply = park.request(asked(header::IF_NONE_MATCH, known)).await;
        assert_eq!((reply.status, reply.bytes.len()), (StatusCode::NOT_MODIFIED, 0), "{known}");
        assert_eq!(reply.headers[header::ETAG], tag.as_str());
    }
    let other = park.request(asked(header::IF_NONE_MATCH, "\"other\"")).await;
    assert_eq!(other.status, 200);
    for coding in ["gzip", "br"] {
        let reply = park.request(asked(header::ACCEPT_ENCODING, coding)).await;
        assert_eq!(reply.headers[header::CONTENT_ENCODING], coding);
        assert!(
            !reply.bytes.is_empty() && reply.bytes.len() < plain.bytes.len() / 2,
            "{coding}: {}",
            reply.bytes.len()
        );
        let again = park.request(asked(header::ACCEPT_ENCODING, coding)).await;
        assert_eq!(again.bytes, reply.bytes);
    }
}

#[tokio::test]
async fn the_models_say_what_devices_measure() {
    let park = Park::open().await;
    let models = park.get("/api/v1/models", &park.token("viewer").await).await.data();
    assert_eq!(models[0]["id"], "battery");
    assert_eq!(models[0]["measurements"][0]["unit"], "kW");
}

#[tokio::test]
async fn machines_can_ask_how_it_is() {
    let park = Park::open().await;
    let call = async |path: &str| park.call(Method::GET, path, None, "").await;
    assert_eq!(call("/healthz").await.status, 200);
    let ready = call("/readyz").await.data();
    assert_eq!(ready["ready"], true);
    assert_eq!(call("/metrics").await.bytes, "park_up 1\n");
    let page = call("/api/docs").await;
    assert!(page.headers[header::CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
    park.records.close().await;
    let unready = call("/readyz").await;
    assert_eq!(unready.status, 503);
    let checks = unready.json()["data"]["checks"].take();
    let failed = checks.as_array().unwrap().iter().find(|check| check["ok"] == false).unwrap();
    assert_eq!(failed["name"], "records");
}

#[tokio::test]
async fn energy_is_told_with_its_factors_source() {
    let park = Park::open().await;
    let viewer = park.token("viewer").await;
    let summary = park.get("/api/v1/energy/summary", &viewer).await.data();
    assert_eq!(summary["emissionFactor"]["kgPerKwh"], 0.5827);
    assert_eq!(summary["emissionFactor"]["source"], "test");
    let curve = park.get("/api/v1/energy/curve", &viewer).await.data();
    assert_eq!(curve["stepS"], 900);
}

#[tokio::test]
async fn further_routes_share_the_edge_and_the_description() {
    #[utoipa::path(post, path = "/api/v1/device/echo", responses((status = 200, body = String)))]
    async fn echo(headers: axum::http::HeaderMap) -> String {
        headers["x-request-id"].to_str().unwrap().to_owned()
    }
    #[derive(utoipa::OpenApi)]
    #[openapi(paths(echo))]
    struct Further;
    let further = axum::Router::new().route("/api/v1/device/echo", axum::routing::post(echo));
    let park =
        Park::built(api::ApiOptions::default(), further, <Further as utoipa::OpenApi>::openapi()).await;
    let reply = park.call(Method::POST, "/api/v1/device/echo", None, "").await;
    assert_eq!(reply.headers["x-trace-id"], std::str::from_utf8(&reply.bytes).unwrap());
    let document = openapi(&park).await;
    assert!(document["paths"]["/api/v1/device/echo"]["post"].is_object());
    assert!(document["paths"]["/api/v1/devices"]["post"].is_object());
}
