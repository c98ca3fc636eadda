//! What machines ask: alive, ready, metrics, the API's own description.

use crate::{
    Check, Context,
    answer::{self, ok},
    docs_page,
};
use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Serialize, JsonSchema)]
pub(crate) struct Alive {
    version: &'static str,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct Readiness {
    ready: bool,
    checks: Vec<Check>,
}

/// Is the process alive
#[utoipa::path(get, path = "/healthz", tag = "operation", responses((status = 200, body = ref("Alive"))))]
pub(crate) async fn alive() -> answer::Result<Alive> {
    ok(Alive { version: env!("CARGO_PKG_VERSION") })
}

/// Is it of use
///
/// 503 while something it needs is missing; `data.checks` says what.
#[utoipa::path(get, path = "/readyz", tag = "operation", responses((status = 200, body = ref("Readiness"))))]
pub(crate) async fn ready(State(app): Context) -> answer::Result<Readiness> {
    let mut checks = (app.state.readiness)();
    let database = app.state.records.check().await;
    checks.push(Check {
        name: "records".into(),
        ok: database.is_ok(),
        message: database.err().map_or_else(|| "answers".into(), |error| error.to_string()),
    });
    let ready = checks.iter().all(|check| check.ok);
    let answer = ok(Readiness { ready, checks })?;
    Ok(if ready { answer } else { answer.with_status(StatusCode::SERVICE_UNAVAILABLE) })
}

/// Metrics as Prometheus text
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, content_type = "text/plain", body = String)))]
pub(crate) async fn metrics(State(app): Context) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(header::CONTENT_TYPE, kind)], (app.state.metrics)()).into_response()
}

/// This description
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "operation",
    responses((status = 200, content_type = "application/json", body = serde_json::Value)))]
pub(crate) async fn document(State(app): Context) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], app.openapi.clone()).into_response()
}

/// A page to read and try it
#[utoipa::path(get, path = "/api/docs", tag = "operation",
    responses((status = 200, content_type = "text/html", body = String)))]
pub(crate) async fn page() -> Response {
    docs_page::respond()
}
