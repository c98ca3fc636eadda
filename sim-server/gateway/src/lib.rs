//! Protocols in, commands out.
//!
//! Whatever a device speaks ends up as one thing: a payload on a [`Channel`], from a known [`twin::Sender`], handed to the
//! twin. Whatever the twin answers goes back in the device's own protocol, and nothing is acknowledged before the
//! twin says it is on disk:
//!
//! ```text
//! MQTT 3.1.1 / 5   mqtt::session (pure) ─┐
//! external broker  upstream              ├─ ingest::hand_over ─→ twin ─→ Verdict ─→ PUBACK, reason code, errors topic, HTTP status
//! HTTP, WebSocket  http                  ┘
//! commands         twin.connect(device) ─→ deliveries ─→ device/{id}/control, WebSocket
//!
//! NDJSON           bulk::ndjson        ─→ twin.import_target, twin.import: back-fill
//! line protocol    bulk::line_protocol ─→ twin.ingest_items
//! ```
//!
//! - [`serve_mqtt`]: the endpoint devices connect to.
//! - [`run_upstream`]: the same through somebody else's broker.
//! - [`run_relay`], [`run_server`]: the same with several machines, gateways and the server behind them; [`leave_relay`] takes a gateway
//!   out of service.
//! - [`device_router`]: the HTTP routes devices use; [`openapi`] describes them.

mod bulk;
mod clock;
mod desired;
mod ingest;
mod report;
mod topic;

pub mod http;
pub mod mqtt;
pub mod upstream;

pub use http::{Inlets, PersonRefusal, Writers, device_router, openapi};
pub use ingest::Channel;
pub use mqtt::{Line, MqttListeners, MqttOptions, MqttTls, MqttTlsFiles, serve_mqtt};
pub use upstream::{IntakeOptions, UpstreamOptions, leave_relay, run_relay, run_server, run_upstream};

/// Why a gateway could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    #[error("cannot read the MQTT listener's address: {0}")]
    Listener(#[source] std::io::Error),
    #[error("upstream broker URL {url:?}: {reason}")]
    UpstreamUrl { url: String, reason: String },
    #[error("MQTT sessions: {0}")]
    Sessions(#[from] records::RecordsError),
    #[error("ending the gateway's session at the upstream broker: {0}; start it again to end it")]
    UpstreamSession(String),
    #[error("MQTT's TLS: {path}: {reason}", path = path.display())]
    Tls { path: std::path::PathBuf, reason: String },
}
