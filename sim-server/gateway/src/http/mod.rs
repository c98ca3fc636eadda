//! The HTTP routes devices use: `POST /api/v1/device/data/sync` and `POST /api/v1/device/events`.
//!
//! A device sends its secret as `Authorization: Bearer` and is known by the `deviceId` of its payload's first item, or by
//! the header `X-Device-Id`. Nothing is answered 2xx before it is durable. Bodies are read up to
//! [`MAX_BODY_BYTES`]; a busy store answers 503 with `Retry-After`, so the device keeps its data and sends again.

mod answer;
mod data;
mod identify;

use axum::{Router, extract::Request, routing::post};
use futures::StreamExt;
use twin::Twin;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};

/// Largest body taken, in bytes; what does not fit is sent in several.
pub const MAX_BODY_BYTES: usize = 8 * 1024 * 1024;

/// The routes, to be merged beside those people use.
pub fn device_router(twin: Twin) -> Router {
    Router::new()
        .route("/api/v1/device/data/sync", post(data::sync))
        .route("/api/v1/device/events", post(data::events))
        .with_state(twin)
}

/// What the routes take and answer, to be merged into the server's description.
pub fn openapi() -> utoipa::openapi::OpenApi {
    DeviceApi::openapi()
}

#[derive(OpenApi)]
#[openapi(
    paths(data::sync, data::events),
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
