//! The live stream's server side: who may listen, what each hears, and that nobody waits for the slowest.
//!
//! Every client has a task of its own that looks every 50 ms at what changed since it last looked. Nothing is queued
//! for a client, so a slow one misses values in between and never makes another wait; one that takes nothing for
//! seconds is dropped. What all clients hear alike (energy, plan, alarms) is written once per encoding and shared. Between ticks a client's
//! task sleeps: changes of the park wake none of them, only the one listener that keeps commands' states for all.

mod alarm_feed;
mod command_feed;
mod frames;
mod link;
mod resume;
mod session;
mod wire;

pub(crate) use frames::SharedFrames;

use crate::{ApiError, App};
use axum::{
    extract::ws::{WebSocket, WebSocketUpgrade},
    http::StatusCode,
    response::Response,
};
use shared::stream::{Encoding, SUBPROTOCOL_JSON, SUBPROTOCOL_POSTCARD};
use std::sync::{Arc, atomic::Ordering};

/// Longest message a client may send: a subscription that names every point of a large park.
const CLIENT_MESSAGE_MAX: usize = 4 << 20;

/// Answers a WebSocket upgrade.
pub(crate) fn accept(app: Arc<App>, upgrade: WebSocketUpgrade) -> Result<Response, ApiError> {
    let upgrade = upgrade
        .protocols([SUBPROTOCOL_POSTCARD, SUBPROTOCOL_JSON])
        .max_message_size(CLIENT_MESSAGE_MAX)
        .max_frame_size(CLIENT_MESSAGE_MAX);
    let chosen = upgrade.selected_protocol().and_then(|name| name.to_str().ok());
    let Some(encoding) = chosen.and_then(Encoding::from_subprotocol) else {
        let message = format!("ask for the sub-protocol {SUBPROTOCOL_JSON} or {SUBPROTOCOL_POSTCARD}");
        return Err(ApiError::field("UNKNOWN_SUBPROTOCOL", "sec-websocket-protocol", message));
    };
    let Some(seat) = Seat::take(&app) else {
        let message = "as many live streams are open as this server serves";
        let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_STREAMS", message);
        return Err(error.retry_after(10));
    };
    app.frames.commands.begin(&app);
    Ok(upgrade.on_upgrade(move |socket: WebSocket| async move {
        let ended = session::serve(&app, socket, encoding).await;
        metrics::counter!("park_stream_ended_total", "reason" => ended.label()).increment(1);
        tracing::debug!(reason = ended.label(), "a live stream ended");
        drop(seat);
    }))
}

/// A client's place; given back when the stream ends, however it does.
struct Seat(Arc<App>);

impl Seat {
    fn take(app: &Arc<App>) -> Option<Seat> {
        let most = app.state.options.stream_clients;
        let taken = app
            .frames
            .clients
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (now < most).then_some(now + 1));
        let before = taken.ok()?;
        metrics::gauge!("park_stream_clients").set((before + 1) as f64);
        Some(Seat(Arc::clone(app)))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let before = self.0.frames.clients.fetch_sub(1, Ordering::AcqRel);
        metrics::gauge!("park_stream_clients").set(before.saturating_sub(1) as f64);
    }
}
