//! One shape for everything that goes wrong: `{"code","message","details","traceId"}` with a fitting status.
//!
//! This is the one place where an internal failure becomes an answer: the answer says what failed without saying how
//! the inside looks; the log has the rest under the same trace id.

use crate::trace;
use access::{AccessError, KeyFault};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use history::HistoryError;
use push::PushError;
use records::RecordsError;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use twin::{CommandRefusal, TwinError};
use vpp::VppError;

/// A refused or failed request.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: Cow<'static, str>,
    message: String,
    details: Option<Value>,
    retry_after_s: Option<u64>,
}

/// What an error looks like on the wire.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Error")]
pub(crate) struct ErrorBody {
    /// Stable and in capitals, for programs.
    code: Cow<'static, str>,
    /// For people.
    message: String,
    /// `field` names the field or parameter at fault, where there is one.
    details: Option<Value>,
    /// The request's entry in the server's log; also in the `x-trace-id` header.
    trace_id: String,
}

impl ApiError {
    pub fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> ApiError {
        ApiError { status, code: code.into(), message: message.into(), details: None, retry_after_s: None }
    }

    /// A 400 that names the field at fault.
    pub fn field(
        code: impl Into<Cow<'static, str>>,
        field: impl Into<String>,
        message: impl Into<String>,
    ) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, code, message).about(field)
    }

    /// Names the field at fault.
    pub(crate) fn about(mut self, field: impl Into<String>) -> ApiError {
        self.details = Some(json!({ "field": field.into() }));
        self
    }

    pub(crate) fn with_status(mut self, status: StatusCode) -> ApiError {
        self.status = status;
        self
    }

    pub(crate) fn retry_after(mut self, seconds: u64) -> ApiError {
        self.retry_after_s = Some(seconds);
        self
    }

    pub(crate) fn not_found(what: &'static str, id: &str) -> ApiError {
        let code = format!("UNKNOWN_{}", what.to_uppercase().replace([' ', '-'], "_"));
        ApiError::new(StatusCode::NOT_FOUND, code, format!("there is no {what} {id:?}"))
    }

    pub(crate) fn unauthenticated(code: &'static str, message: &str) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, code, message)
    }

    /// Whether it says who is asking is not known, rather than that it could not be found out.
    pub(crate) fn is_unauthenticated(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::FORBIDDEN, "FORBIDDEN", message)
    }

    /// Something inside failed: logged in full, answered in short.
    fn failed(
        status: StatusCode,
        code: &'static str,
        message: &str,
        cause: &dyn std::fmt::Display,
    ) -> ApiError {
        tracing::error!(trace_id = %trace::current(), code, %cause, "a request failed");
        let error = ApiError::new(status, code, message);
        if status == StatusCode::SERVICE_UNAVAILABLE { error.retry_after(1) } else { error }
    }

    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> ApiError {
        ApiError::failed(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "the server failed at this request; its log knows more",
            cause,
        )
    }

    fn storage(cause: &dyn std::fmt::Display) -> ApiError {
        ApiError::failed(
            StatusCode::SERVICE_UNAVAILABLE,
            "STORAGE_FAILED",
            "the store cannot answer just now",
            cause,
        )
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody {
            code: self.code,
            message: self.message,
            details: self.details,
            trace_id: trace::current().to_string(),
        };
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

impl From<RecordsError> for ApiError {
    fn from(error: RecordsError) -> ApiError {
        let message = error.to_string();
        match error {
            RecordsError::AlreadyExists { .. } => {
                ApiError::new(StatusCode::CONFLICT, "ALREADY_EXISTS", message)
            }
            RecordsError::NotFound { what, id } => ApiError::not_found(what, &id),
            RecordsError::Invalid { field, .. } => ApiError::field("INVALID_VALUE", field, message),
            RecordsError::LastAdministrator { .. } => {
                ApiError::new(StatusCode::CONFLICT, "LAST_ADMINISTRATOR", message)
            }
            other => ApiError::storage(&other),
        }
    }
}

impl From<TwinError> for ApiError {
    fn from(error: TwinError) -> ApiError {
        let message = error.to_string();
        match error {
            TwinError::UnknownDevice(id) => ApiError::not_found("device", id.as_str()),
            TwinError::UnknownAlarm(id) => ApiError::not_found("alarm", id.as_str()),
            TwinError::UnknownModel { .. } => ApiError::field("UNKNOWN_MODEL", "model", message),
            TwinError::UnknownBuilding { .. } => ApiError::field("UNKNOWN_BUILDING", "building", message),
            TwinError::UnknownFeeder { .. } => ApiError::field("UNKNOWN_FEEDER", "feeder", message),
            TwinError::ModelMismatch { .. } => {
                ApiError::field("MODEL_MISMATCH", "model", message).with_status(StatusCode::CONFLICT)
            }
            TwinError::AlreadyRegistered(_) => {
                ApiError::field("ALREADY_EXISTS", "deviceId", message).with_status(StatusCode::CONFLICT)
            }
            TwinError::Id(_) => ApiError::field("INVALID_VALUE", "id", message),
            TwinError::Records(error) => error.into(),
            TwinError::History(error) => error.into(),
        }
    }
}

impl From<CommandRefusal> for ApiError {
    fn from(refusal: CommandRefusal) -> ApiError {
        let (status, retry) = match &refusal {
            CommandRefusal::UnknownDevice(_) => (StatusCode::NOT_FOUND, None),
            CommandRefusal::UnknownCommand { .. }
            | CommandRefusal::BadParameter { .. }
            | CommandRefusal::Expired { .. } => (StatusCode::BAD_REQUEST, None),
            CommandRefusal::Conflict(_) | CommandRefusal::Held { .. } => (StatusCode::CONFLICT, None),
            CommandRefusal::Busy { .. } => (StatusCode::TOO_MANY_REQUESTS, Some(5)),
            CommandRefusal::Storage(cause) => return ApiError::storage(cause),
        };
        let mut error = ApiError::new(status, refusal.code(), refusal.to_string());
        if let Some(field) = refusal.field() {
            error = error.about(field);
        }
        match retry {
            Some(seconds) => error.retry_after(seconds),
            None => error,
        }
    }
}

impl From<HistoryError> for ApiError {
    fn from(error: HistoryError) -> ApiError {
        ApiError::storage(&error)
    }
}

impl From<KeyFault> for ApiError {
    fn from(fault: KeyFault) -> ApiError {
        let error = ApiError::new(fault.status(), fault.code(), fault.to_string()).about("authorization");
        match fault.retry_after_s() {
            Some(seconds) => error.retry_after(seconds),
            None => error,
        }
    }
}

impl From<AccessError> for ApiError {
    fn from(error: AccessError) -> ApiError {
        let message = error.to_string();
        match error {
            AccessError::Invalid(invalid) => ApiError::field("INVALID_VALUE", invalid.field, message),
            AccessError::UnknownKey { id } => ApiError::not_found("API key", &id),
            AccessError::Revoked { .. } => ApiError::new(StatusCode::CONFLICT, "KEY_REVOKED", message),
            AccessError::TooManyKeys { .. } => ApiError::new(StatusCode::CONFLICT, "TOO_MANY_KEYS", message),
            AccessError::Records(error) => error.into(),
            AccessError::CutOff => ApiError::internal(&message),
        }
    }
}

impl From<PushError> for ApiError {
    fn from(error: PushError) -> ApiError {
        let message = error.to_string();
        match error {
            PushError::Invalid(invalid) => ApiError::field("INVALID_VALUE", invalid.field, message),
            PushError::UnknownWebhook { id } => ApiError::not_found("webhook", &id),
            PushError::Disabled { .. } => ApiError::new(StatusCode::CONFLICT, "WEBHOOK_DISABLED", message),
            PushError::TooManyWebhooks { .. } => {
                ApiError::new(StatusCode::CONFLICT, "TOO_MANY_WEBHOOKS", message)
            }
            PushError::Records(error) => error.into(),
            PushError::Tls(_) | PushError::CutOff => ApiError::internal(&message),
        }
    }
}

impl From<VppError> for ApiError {
    fn from(error: VppError) -> ApiError {
        let message = error.to_string();
        match error {
            VppError::BadStep(_) => ApiError::field("INVALID_VALUE", "step", message),
            VppError::TooManySteps { .. } => ApiError::field("TOO_MANY_STEPS", "step", message),
            VppError::History(error) => error.into(),
            VppError::Stopped => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "STOPPING", message),
            other => ApiError::internal(&other),
        }
    }
}
