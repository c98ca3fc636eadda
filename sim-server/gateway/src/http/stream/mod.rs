//! Devices over a WebSocket: what MQTT's topics carry, in envelopes.
//!
//! A connection is one device's. Each message it sends is answered under the id it chose, once it is durable; commands come
//! by themselves. What is wrong with a message is answered in the stream and ends nothing.
//!
//! ```text
//! → {"id":"17","type":"data","payload":{"deviceId":"pv-01","timestamp":…,"data":{"power":-12.5}}}
//! ← {"type":"stored","id":"17"}
//! ← {"type":"command","payload":{"commandId":"plan-8f3a",…}}
//! → {"type":"received","payload":{"commandId":"plan-8f3a"}}
//! → {"id":"18","type":"ack","payload":{"deviceId":"pv-01","commandId":"plan-8f3a","status":"done"}}
//! ← {"type":"stored","id":"18"}
//! ```

mod envelope;
#[cfg(test)]
mod fuzzing;
mod session;

use super::{
    Inlets,
    answer::{ErrorBody, Problem},
};
use axum::{
    extract::{State, WebSocketUpgrade, ws::rejection::WebSocketUpgradeRejection},
    http::{HeaderMap, StatusCode},
    response::Response,
};
use std::sync::{Arc, LazyLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The largest message that is taken, in bytes, as on MQTT.
const MESSAGE_MAX: usize = 1 << 20;
/// A message up to this size is still read, to be answered that it is too large; a larger one ends the connection.
const READ_MAX: usize = 8 << 20;
/// Connections at once.
const MOST_STREAMS: usize = 10_000;

static SEATS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MOST_STREAMS)));

/// Devices over a WebSocket
///
/// `{"id","type","payload"}` with `type` one of `data`, `event`, `ack` and `payload` as on MQTT; each is answered with
/// `{"type":"stored","id"}` once durable or with `{"type":"refused","id","again","errors":[{"code","field","message"}]}`. Commands
/// come as `{"type":"command","payload"}`. The device's secret is sent as with the other device routes; a second connection of a
/// device, over MQTT or here, takes over.
#[utoipa::path(
    get, path = "/api/v1/device/stream", tag = "device", operation_id = "openDeviceStream",
    params(("X-Device-Id" = Option<String>, Header, description = "The device, when its secret is sent without its id before it")),
    security(("device_secret" = [])),
    responses(
        (status = 101, description = "Switching to the WebSocket"),
        (status = 401, description = "No secret, or not this device's", body = ErrorBody),
        (status = 426, description = "Not a WebSocket's handshake", body = ErrorBody),
        (status = 503, description = "As many devices are connected as the server takes", body = ErrorBody),
    )
)]
pub(super) async fn open(
    State(inlets): State<Inlets>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    accept(inlets, &headers, upgrade).unwrap_or_else(|problem| problem.answer(&headers))
}

fn accept(
    inlets: Inlets,
    headers: &HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let (device, secret) = inlets.writers.device(headers)?;
    let upgrade = upgrade.map_err(|rejection| {
        Problem::new(StatusCode::UPGRADE_REQUIRED, "NOT_A_WEBSOCKET", rejection.body_text())
    })?;
    let seat: OwnedSemaphorePermit = Arc::clone(&SEATS).try_acquire_owned().map_err(|_| {
        let message = "as many devices are connected as the server takes; try again later";
        let busy = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_STREAMS", message);
        Problem { retry_after_s: Some(10), ..busy }
    })?;
    let upgrade = upgrade.max_message_size(READ_MAX).max_frame_size(READ_MAX);
    Ok(upgrade.on_upgrade(move |socket| async move {
        metrics::gauge!("park_device_streams").increment(1.0);
        let why = session::serve(inlets, device, secret, socket).await;
        metrics::gauge!("park_device_streams").decrement(1.0);
        metrics::counter!("park_device_streams_closed_total", "reason" => why.label()).increment(1);
        drop(seat);
    }))
}
