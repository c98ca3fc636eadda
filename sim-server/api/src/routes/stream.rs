//! The door to the live stream.

use crate::{ApiError, Context, stream};
use axum::{
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::StatusCode,
    response::Response,
};

/// Live values over a WebSocket
///
/// Sub-protocol `park.v1+json` or `park.v1+postcard`. The first message carries the token:
/// `{"version":1,"token":"…"}`; then `{"subscribe":"all"}`, `{"subscribe":{"devices":["…"]}}` or
/// `{"subscribe":{"points":[{"device":"…","measurement":"…"}]}}`. Before the token expires, `{"renew":"…"}` with the next
/// one keeps the stream open.
#[utoipa::path(get, path = "/api/v1/stream", tag = "live",
    responses((status = 101, description = "Switching to the WebSocket")))]
pub(crate) async fn open(
    State(app): Context,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade.map_err(|rejection| {
        ApiError::new(StatusCode::UPGRADE_REQUIRED, "NOT_A_WEBSOCKET", rejection.body_text())
    })?;
    stream::accept(app, upgrade)
}
