//! The shapes answers come in: `{"code":"SUCCESS","message","data"}` and `{"code","message","details","traceId"}`.

use super::MAX_BODY_BYTES;
use axum::{
    Json,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use serde_json::Value;
use shared::telemetry::{Refusal, RefusalCode};
use utoipa::ToSchema;

/// A request that did what it was asked to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Success<T: ToSchema> {
    #[schema(example = "SUCCESS")]
    pub code: &'static str,
    pub message: String,
    pub data: T,
}

pub(super) fn success<T: Serialize + ToSchema>(message: impl Into<String>, data: T) -> Response {
    Json(Success { code: "SUCCESS", message: message.into(), data }).into_response()
}

/// A request that did not.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ErrorBody {
    /// Stable and counted.
    #[schema(example = "MISSING_FIELD")]
    pub code: String,
    pub message: String,
    /// The field at fault, or a result per item.
    #[schema(value_type = Object)]
    pub details: Value,
    /// Names the request in the server's log.
    pub trace_id: String,
}

/// What went wrong, before it is an answer.
#[derive(Debug)]
pub(super) struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
    pub details: Value,
    pub retry_after_s: Option<u32>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), details: Value::Null, retry_after_s: None }
    }

    pub(super) fn with_details(mut self, details: Value) -> Self {
        self.details = details;
        self
    }

    pub(super) fn unauthenticated(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", message)
    }

    pub(super) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            RefusalCode::TooLarge.as_str(),
            format!(
                "the body is larger than {MAX_BODY_BYTES} bytes ({} MiB): send it in parts",
                MAX_BODY_BYTES >> 20
            ),
        )
    }

    pub(super) fn unreadable(error: &axum::Error) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "UNREADABLE_BODY", format!("the body could not be read: {error}"))
    }

    /// The whole payload was refused.
    pub(super) fn of_payload(refusal: Refusal) -> Self {
        let details = serde_json::json!({ "field": refusal.field });
        let status = match refusal.code {
            RefusalCode::Busy | RefusalCode::StorageFailed => StatusCode::SERVICE_UNAVAILABLE,
            RefusalCode::NotYourDevice => StatusCode::FORBIDDEN,
            RefusalCode::UnknownDevice => StatusCode::NOT_FOUND,
            RefusalCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self {
            retry_after_s: match refusal.code {
                RefusalCode::Busy => Some(1),
                RefusalCode::StorageFailed => Some(5),
                _ => None,
            },
            ..Self::new(status, refusal.code.as_str(), refusal.message).with_details(details)
        }
    }

    /// The answer, and a line in the log under the same id.
    pub(super) fn answer(self, request_headers: &HeaderMap) -> Response {
        let trace_id = trace_id(request_headers);
        metrics::counter!("park_device_http_refused_total", "code" => self.code).increment(1);
        tracing::debug!(%trace_id, code = self.code, status = self.status.as_u16(), self.message, "device request refused");
        let body =
            ErrorBody { code: self.code.to_owned(), message: self.message, details: self.details, trace_id };
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after_s {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The id the request came with (a proxy's or the server's own layer's), or a new one.
fn trace_id(headers: &HeaderMap) -> String {
    headers
        .get("x-request-id")
        .and_then(|id| id.to_str().ok())
        .filter(|id| !id.is_empty() && id.len() <= 128)
        .map_or_else(|| uuid::Uuid::new_v4().simple().to_string(), str::to_owned)
}
