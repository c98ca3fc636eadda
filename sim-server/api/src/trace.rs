//! The edge of every request: a trace id, a time limit, a shield against panics, a line in the metrics.

use crate::{ApiError, Context};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures::FutureExt;
use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};
use tracing::Instrument;
use uuid::Uuid;

pub(crate) const TRACE_ID: HeaderName = HeaderName::from_static("x-trace-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT: Arc<str>;
}

/// The id of the request being answered; `-` outside of one.
pub(crate) fn current() -> Arc<str> {
    CURRENT.try_with(Arc::clone).unwrap_or_else(|_| Arc::from("-"))
}

/// Wraps every route and the fallbacks.
pub(crate) async fn edge(State(app): Context, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = id_of(&request);
    if let Ok(value) = HeaderValue::from_str(&id) {
        request.headers_mut().insert(REQUEST_ID, value);
    }
    let method = request.method().clone();
    let route: Arc<str> = match request.extensions().get::<MatchedPath>() {
        Some(path) => Arc::from(path.as_str()),
        // One label for all paths that lead nowhere: strangers must not grow the metrics.
        None => Arc::from("none"),
    };
    let span = tracing::debug_span!("request", trace_id = %id, %method, path = %request.uri().path());
    let options = &app.state.options;
    let limit = if options.long_uploads.contains(&&*route) { Duration::MAX } else { options.request_timeout };
    let request = crate::leftover::read_to_the_end(request);
    let answer = async move {
        match tokio::time::timeout(limit, AssertUnwindSafe(next.run(request)).catch_unwind()).await {
            Ok(Ok(response)) => response,
            Ok(Err(panic)) => ApiError::internal(&panic_text(panic.as_ref())).into_response(),
            Err(_) => {
                let message = format!("no answer within {} s", limit.as_secs());
                ApiError::new(StatusCode::GATEWAY_TIMEOUT, "TIMEOUT", message).into_response()
            }
        }
    };
    let mut response = CURRENT.scope(Arc::clone(&id), answer.instrument(span)).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(TRACE_ID, value);
    }
    let method = method.as_str().to_owned();
    let seconds = started.elapsed().as_secs_f64();
    metrics::counter!("park_http_requests_total", "method" => method, "route" => route.to_string(),
        "status" => response.status().as_str().to_owned())
    .increment(1);
    metrics::histogram!("park_http_request_seconds", "route" => route.to_string()).record(seconds);
    response
}

/// The caller's own id where it sent a plain one, so that logs on both sides match.
fn id_of(request: &Request) -> Arc<str> {
    let sent = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    match sent {
        Some(id) if is_plain(id) => Arc::from(id),
        _ => Arc::from(Uuid::now_v7().simple().to_string().as_str()),
    }
}

fn is_plain(id: &str) -> bool {
    (8..=64).contains(&id.len())
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    format!("a handler panicked: {}", text.unwrap_or_default())
}

pub(crate) async fn no_such_route(request: Request) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "NOT_FOUND", format!("there is nothing at {}", request.uri().path()))
}

pub(crate) async fn no_such_method(request: Request) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        format!("{} does not take {}", request.uri().path(), request.method()),
    )
}
