//! What InfluxDB's clients ask before they write. Nothing here needs a token, as there.

use crate::clock;
use axum::{
    Json,
    http::{HeaderValue, StatusCode},
    response::IntoResponse,
};
use serde::Serialize;
use shared::time::Timestamp;
use utoipa::ToSchema;

const VERSION: &str = concat!("park-twin-", env!("CARGO_PKG_VERSION"));

/// The server's health, as InfluxDB says it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    #[schema(example = "park-twin")]
    name: &'static str,
    message: &'static str,
    /// `pass` or `fail`.
    #[schema(example = "pass")]
    status: &'static str,
    version: &'static str,
}

/// Since when the server takes lines, as InfluxDB says it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Ready {
    #[schema(example = "ready")]
    status: &'static str,
    /// RFC 3339.
    #[schema(example = "2026-01-01T00:00:00Z")]
    started: String,
    #[schema(example = "26h3m4.5s")]
    up: String,
}

/// Whether anybody is there, as InfluxDB's clients ask
#[utoipa::path(
    get, path = "/ping", tag = "device", operation_id = "ping",
    responses((status = 204, description = "Somebody is", headers(("X-Influxdb-Version" = String, description = "The server's own"))))
)]
pub(super) async fn ping() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [("x-influxdb-version", HeaderValue::from_static(VERSION))])
}

/// Whether lines are taken, as InfluxDB's clients ask
#[utoipa::path(
    get, path = "/health", tag = "device", operation_id = "influxHealth",
    responses(
        (status = 200, description = "They are", body = Health),
        (status = 503, description = "The server is stopping", body = Health),
    )
)]
pub(super) fn health(is_stopping: bool) -> impl IntoResponse {
    let (code, status, message) = match is_stopping {
        false => (StatusCode::OK, "pass", "ready for writes"),
        true => (StatusCode::SERVICE_UNAVAILABLE, "fail", "the server is stopping"),
    };
    (code, Json(Health { name: "park-twin", message, status, version: VERSION }))
}

/// Since when lines are taken, as InfluxDB's clients ask
#[utoipa::path(
    get, path = "/ready", tag = "device", operation_id = "influxReady",
    responses((status = 200, description = "Since then", body = Ready))
)]
pub(super) fn ready(started: Timestamp) -> impl IntoResponse {
    let up = in_hours_minutes_seconds(clock::now().since(started));
    Json(Ready { status: "ready", started: started.to_string(), up })
}

/// A span in milliseconds as Go writes it, such as `1h2m3.5s`.
fn in_hours_minutes_seconds(milliseconds: i64) -> String {
    let milliseconds = milliseconds.max(0);
    let (hours, minutes) = (milliseconds / 3_600_000, milliseconds / 60_000 % 60);
    let seconds = (milliseconds % 60_000) as f64 / 1_000.0;
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_as_go_does() {
        for (milliseconds, expected) in [
            (-5, "0s"),
            (0, "0s"),
            (1_500, "1.5s"),
            (60_000, "1m0s"),
            (3_600_001, "1h0m0.001s"),
            (93_784_500, "26h3m4.5s"),
        ] {
            assert_eq!(in_hours_minutes_seconds(milliseconds), expected);
        }
    }
}
