//! Data and events from a device, one item or many, each judged on its own.

use super::{
    answer::{ErrorBody, Problem, Success, success},
    identify, read_body,
};
use crate::ingest;
use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Serialize;
use shared::telemetry::{Refusal, RefusalCode};
use twin::{Sender, Twin};
use utoipa::ToSchema;

/// One measurement message, as on MQTT.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "the schema of what the twin parses")]
pub(super) struct DataItem {
    #[schema(example = "bess-01")]
    device_id: String,
    /// Unix milliseconds, or RFC 3339.
    #[schema(example = 1_767_225_600_000_i64)]
    timestamp: i64,
    /// Measurement key → number, boolean or a state's word.
    #[schema(value_type = Object, example = json!({"power": -250.0, "soc": 61.5}))]
    data: serde_json::Value,
}

/// One event, as on MQTT. The same `id` again is the same event.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "the schema of what the twin parses")]
pub(super) struct EventItem {
    device_id: String,
    timestamp: i64,
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[schema(example = "warning")]
    severity: String,
    description: String,
}

#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "the schema of what the twin parses")]
pub(super) enum OneOrMany<T: ToSchema> {
    One(T),
    Many(Vec<T>),
}

/// What became of a batch.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BatchResult {
    /// Items kept; they are durable.
    accepted: usize,
    refused: usize,
    /// One per item, in order.
    results: Vec<ItemOutcome>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ItemOutcome {
    index: usize,
    #[schema(example = "accepted")]
    status: &'static str,
    /// Only when refused, like the two below.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Send measurements
///
/// One object or an array. A batch of which at least one item is kept answers 200 with a result per item.
#[utoipa::path(
    post, path = "/api/v1/device/data/sync", tag = "device", operation_id = "syncDeviceData",
    params(("X-Device-Id" = Option<String>, Header, description = "The device, when not the first item's deviceId")),
    request_body(content = OneOrMany<DataItem>, content_type = "application/json"),
    security(("device_secret" = [])),
    responses(
        (status = 200, description = "Kept and durable, at least in part", body = Success<BatchResult>),
        (status = 400, description = "Not JSON, or it names no device", body = ErrorBody),
        (status = 401, description = "No secret, or not this device's", body = ErrorBody),
        (status = 403, description = "Only another device's items", body = ErrorBody),
        (status = 413, description = "Larger than 8 MiB", body = ErrorBody),
        (status = 422, description = "Every item refused; details.results says why", body = ErrorBody),
        (status = 503, description = "The store is busy or failing; nothing was kept, send again", body = ErrorBody),
    )
)]
pub(super) async fn sync(State(twin): State<Twin>, request: Request) -> Response {
    let headers = request.headers().clone();
    take_data(&twin, &headers, request).await.unwrap_or_else(|problem| problem.answer(&headers))
}

async fn take_data(twin: &Twin, headers: &HeaderMap, request: Request) -> Result<Response, Problem> {
    let secret = identify::secret(headers)?;
    let body = read_body(request).await?;
    let device = identify::authenticate(twin, &identify::named_device(headers, &body)?, &secret)?;
    let items = twin.ingest(&Sender::Device(device), &body, twin.now()).await.map_err(Problem::of_payload)?;
    answer_batch(items.into_iter().map(|item| item.result.map(|_| ())).collect())
}

/// Send events
///
/// One object or an array; the same event id again is the same event.
#[utoipa::path(
    post, path = "/api/v1/device/events", tag = "device", operation_id = "sendDeviceEvents",
    params(("X-Device-Id" = Option<String>, Header, description = "The device, when not the first item's deviceId")),
    request_body(content = OneOrMany<EventItem>, content_type = "application/json"),
    security(("device_secret" = [])),
    responses(
        (status = 200, description = "Kept and durable, at least in part", body = Success<BatchResult>),
        (status = 400, description = "Not JSON, or it names no device", body = ErrorBody),
        (status = 401, description = "No secret, or not this device's", body = ErrorBody),
        (status = 403, description = "Only another device's items", body = ErrorBody),
        (status = 413, description = "Larger than 8 MiB", body = ErrorBody),
        (status = 422, description = "Every item refused; details.results says why", body = ErrorBody),
        (status = 503, description = "The store is busy or failing; nothing was kept, send again", body = ErrorBody),
    )
)]
pub(super) async fn events(State(twin): State<Twin>, request: Request) -> Response {
    let headers = request.headers().clone();
    take_events(&twin, &headers, request).await.unwrap_or_else(|problem| problem.answer(&headers))
}

async fn take_events(twin: &Twin, headers: &HeaderMap, request: Request) -> Result<Response, Problem> {
    let secret = identify::secret(headers)?;
    let body = read_body(request).await?;
    let device = identify::authenticate(twin, &identify::named_device(headers, &body)?, &secret)?;
    let items =
        twin.ingest_event(&Sender::Device(device), &body, twin.now()).await.map_err(Problem::of_payload)?;
    answer_batch(items)
}

/// 200 when something was kept; else the first fault decides.
fn answer_batch(items: Vec<Result<(), Refusal>>) -> Result<Response, Problem> {
    let total = items.len();
    let first = items.iter().find_map(|item| item.as_ref().err()).cloned();
    if let Some(fault) =
        items.iter().filter_map(|item| item.as_ref().err()).find(|r| ingest::is_store_fault(r.code))
    {
        return Err(Problem::of_payload(fault.clone()));
    }
    let results: Vec<ItemOutcome> = items.into_iter().enumerate().map(outcome).collect();
    let accepted = results.iter().filter(|r| r.code.is_none()).count();
    let batch = BatchResult { accepted, refused: total - accepted, results };
    match first {
        Some(first) if accepted == 0 => {
            let status = match first.code {
                RefusalCode::NotYourDevice => StatusCode::FORBIDDEN,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            };
            let message = match total {
                1 => first.message,
                _ => format!("none of the {total} items was accepted; the first: {}", first.message),
            };
            let details = serde_json::json!({ "field": first.field, "results": batch.results });
            Err(Problem::new(status, first.code.as_str(), message).with_details(details))
        }
        _ => Ok(success(format!("{accepted} of {total} items accepted"), batch)),
    }
}

fn outcome((index, result): (usize, Result<(), Refusal>)) -> ItemOutcome {
    match result {
        Ok(()) => ItemOutcome { index, status: "accepted", code: None, field: None, message: None },
        Err(refusal) => ItemOutcome {
            index,
            status: "refused",
            code: Some(refusal.code.as_str()),
            field: Some(refusal.field),
            message: Some(refusal.message),
        },
    }
}
