//! The HTTP routes telemetry comes in by.
//!
//! | route | what |
//! | --- | --- |
//! | `POST /api/v1/device/data/sync`, `POST /api/v1/device/events` | a device's payloads, as on MQTT |
//! | `GET /api/v1/device/stream` | the same over a WebSocket, and commands back ([`stream`]) |
//! | `POST /api/v1/telemetry/import` | runs of readings as back-fill ([`import`]) |
//! | `POST /api/v2/write` | InfluxDB's line protocol ([`influx`]) |
//! | `GET /ping`, `GET /health`, `GET /ready` | what InfluxDB's clients ask before they write ([`influx_probes`]) |
//!
//! Who may import and write line protocol is [`Writers`]' to say. A device sends its secret as `Authorization: Bearer` and is known by the `deviceId` of its payload's first item, or by
//! the header `X-Device-Id`. Nothing is answered 2xx before it is durable. Bodies are read up to
//! [`MAX_BODY_BYTES`]; a busy store answers 503 with `Retry-After`, so the device keeps its data and sends again.

mod answer;
mod data;
mod identify;
mod import;
mod influx;
mod influx_probes;
mod stream;
mod upload;
mod writers;

pub use writers::{PersonCheck, PersonRefusal, Writers};

use axum::{
    Router,
    extract::{FromRef, Request, State},
    routing::{get, post},
};
use futures::StreamExt;
use shared::telemetry::{Refusal, RefusalCode};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use twin::Twin;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

/// Largest body taken, in bytes; what does not fit is sent in several.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// Routes whose bodies may take as long as they come: they watch the clock between chunks themselves.
pub const LONG_UPLOADS: [&str; 2] = ["/api/v1/telemetry/import", "/api/v2/write"];

/// What the routes need.
#[derive(Clone)]
pub struct Inlets {
    pub twin: Twin,
    pub writers: Writers,
    /// Cancelled when the server stops: WebSockets say goodbye.
    pub shutdown: CancellationToken,
}

impl FromRef<Inlets> for Twin {
    fn from_ref(inlets: &Inlets) -> Twin {
        inlets.twin.clone()
    }
}

/// The routes, to be merged beside those people use.
pub fn device_router(inlets: Inlets) -> Router {
    let started = crate::clock::now();
    Router::new()
        .route("/api/v1/device/data/sync", post(data::sync))
        .route("/api/v1/device/events", post(data::events))
        .route("/api/v1/device/stream", get(stream::open))
        .route("/api/v1/telemetry/import", post(import::import))
        .route("/api/v2/write", post(influx::write))
        .route("/ping", get(influx_probes::ping))
        .route(
            "/health",
            get(async |State(inlets): State<Inlets>| influx_probes::health(inlets.shutdown.is_cancelled())),
        )
        .route("/ready", get(async move || influx_probes::ready(started)))
        .with_state(inlets)
}

/// What the routes take and answer, to be merged into the server's description.
pub fn openapi() -> utoipa::openapi::OpenApi {
    DeviceApi::openapi()
}

#[derive(OpenApi)]
#[openapi(
    paths(data::sync, data::events, stream::open, import::import, influx::write, influx_probes::ping, influx_probes::health,
        influx_probes::ready),
    tags((name = "device", description = "What devices send; Authorization: Bearer <device secret>")),
    modifiers(&DeviceSecretScheme)
)]
struct DeviceApi;

struct DeviceSecretScheme;

impl Modify for DeviceSecretScheme {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("The device's own secret, given once when it was registered"))
            .build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("device_secret", SecurityScheme::Http(scheme));
    }
}

/// A batch whose task ended without an answer: whether it was stored is not known, so it is to be sent again.
fn lost(error: &JoinError) -> Refusal {
    tracing::error!(%error, "a batch of telemetry was lost");
    Refusal::new(RefusalCode::StorageFailed, "", "the server failed while storing")
}

/// Reads a body up to the limit, without reading one that announces to be larger.
async fn read_body(request: Request) -> Result<Vec<u8>, answer::Problem> {
    let announced = request
        .headers()
        .get(axum::http::header::CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > MAX_BODY_BYTES) {
        return Err(answer::Problem::too_large());
    }
    let mut body = Vec::with_capacity(announced.unwrap_or(0));
    let mut chunks = request.into_body().into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| answer::Problem::unreadable(&error))?;
        if body.len() + chunk.len() > MAX_BODY_BYTES {
            return Err(answer::Problem::too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
