//! What people and programs see of the park: REST, the live stream, and who may use them.
//!
//! [`router`] turns the server's parts ([`ApiState`]) into an axum router. Requests come in as JSON, are checked once
//! at this edge, and become calls on the twin, the history, the records and the plan; what comes back goes out in one
//! envelope, failures in one shape. Nothing here decides anything about the park.
//!
//! A handler's `#[utoipa::path]` is the only place its path and method are written: the router mounts what it says
//! and the OpenAPI document shows it ([`routes`], [`openapi`]).

mod answer;
mod auth;
mod docs_page;
mod error;
mod extract;
mod kept;
mod leftover;
mod openapi;
mod routes;
mod scene_copy;
mod serve;
mod stream;
mod telemetry;
mod trace;

pub use auth::{Auth, AuthOptions};
pub use error::ApiError;
pub use serve::{ServeOptions, serve};

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderValue, header},
    middleware,
};
use history::History;
use records::Records;
use schemars::JsonSchema;
use serde::Serialize;
use shared::time::Timestamp;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;
use tower_http::{
    compression::{
        CompressionLayer,
        predicate::{NotForContentType, Predicate, SizeAbove},
    },
    set_header::SetResponseHeaderLayer,
};
use twin::Twin;
use utoipa::openapi::OpenApi;

/// The parts the API speaks for.
#[derive(Clone)]
pub struct ApiState {
    pub twin: Twin,
    pub history: History,
    pub records: Records,
    pub vpp: vpp::Vpp,
    pub energy: vpp::EnergyBook,
    pub auth: Auth,
    /// The metrics as Prometheus text.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// What must hold for the server to be of use, besides the database, which the API asks itself.
    pub readiness: Arc<dyn Fn() -> Vec<Check> + Send + Sync>,
    pub clock: fn() -> Timestamp,
    /// Cancelled when the server stops: live streams say goodbye.
    pub shutdown: CancellationToken,
    pub options: ApiOptions,
}

/// One condition of being ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Check {
    pub name: String,
    pub ok: bool,
    /// What is wrong, or how well it is.
    pub message: String,
}

#[derive(Debug, Clone, Copy)]
pub struct ApiOptions {
    /// Largest body that is read; devices' data have a limit of their own.
    pub body_limit: usize,
    pub request_timeout: Duration,
    /// Whether a reverse proxy of ours writes `X-Forwarded-For`; otherwise anyone could invent an address.
    pub behind_proxy: bool,
    /// Most live streams at once.
    pub stream_clients: usize,
    /// A live client that takes nothing for this long is dropped.
    pub stream_send_within: Duration,
    /// Questions about telemetry that are answered at once; what comes on top waits its turn.
    pub telemetry_answers: usize,
    /// How long one waits for its turn before it hears 503.
    pub telemetry_turn_within: Duration,
    /// A long answer of which nothing is taken for this long is cut off.
    pub telemetry_taken_within: Duration,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            body_limit: 1 << 20,
            request_timeout: Duration::from_secs(60),
            behind_proxy: false,
            stream_clients: 10_000,
            stream_send_within: Duration::from_secs(10),
            telemetry_answers: 32,
            telemetry_turn_within: Duration::from_secs(5),
            telemetry_taken_within: Duration::from_secs(60),
        }
    }
}

/// What handlers share: the parts, and what is computed from them once.
pub(crate) struct App {
    pub(crate) state: ApiState,
    pub(crate) scene: scene_copy::SceneCopy,
    pub(crate) openapi: bytes::Bytes,
    pub(crate) frames: stream::SharedFrames,
    pub(crate) turns: telemetry::Turns,
    /// Answers that many ask for: the energy summary by time slot, the plan by version.
    pub(crate) energy: kept::Kept<i64>,
    pub(crate) plan: kept::Kept<u64>,
}

pub(crate) type Context = State<Arc<App>>;

/// Bodies smaller than this cost more to compress than to send.
const COMPRESS_ABOVE: u16 = 1_024;

/// Everything people and programs use.
pub fn router(state: ApiState) -> Router {
    router_with(state, Router::new())
}

/// The same with further routes behind the same edge: trace ids, metrics, time limit, compression, fallbacks.
///
/// Further handlers find the request's trace id in its `x-request-id` header.
pub fn router_with(state: ApiState, further: Router) -> Router {
    router_described(state, further, OpenApi::default())
}

/// The same with a description of the further routes that joins the OpenAPI document.
pub fn router_described(state: ApiState, further: Router, description: OpenApi) -> Router {
    let limit = state.options.body_limit;
    let (routes, mut document) = routes::all();
    document.join(&description);
    let app = Arc::new(App {
        scene: scene_copy::SceneCopy::of(state.twin.scene()),
        openapi: document.finish(),
        frames: stream::SharedFrames::default(),
        turns: telemetry::Turns::new(&state.options),
        energy: kept::Kept::default(),
        plan: kept::Kept::default(),
        state,
    });
    let worth_compressing = SizeAbove::new(COMPRESS_ABOVE).and(NotForContentType::GRPC);
    routes
        .with_state(Arc::clone(&app))
        .merge(further)
        .fallback(trace::no_such_route)
        .method_not_allowed_fallback(trace::no_such_method)
        .layer(DefaultBodyLimit::max(limit))
        .layer(Extension(extract::BodyLimit(limit)))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ))
        .layer(SetResponseHeaderLayer::if_not_present(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ))
        .layer(CompressionLayer::new().compress_when(worth_compressing))
        .layer(middleware::from_fn_with_state(app, trace::edge))
}
