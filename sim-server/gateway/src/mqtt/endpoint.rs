//! Accepts connections and knows which device holds which.

use super::{
    connection,
    door::{self, Door, Entry},
    session::{CloseReason, SessionOptions},
};
use crate::GatewayError;
use metrics::{Counter, Gauge};
use parking_lot::Mutex;
use shared::id::DeviceId;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use twin::Twin;

const MOST_CONNECTIONS: usize = 20_000;
/// How long a client that is only told there is no place may take to ask for one.
const LOBBY_PATIENCE: Duration = Duration::from_secs(2);
/// Between attempts to accept when the process may open no more.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Limits of the endpoint.
#[derive(Debug, Clone)]
pub struct MqttOptions {
    /// Connections at once. Beyond, silent ones give way to newcomers, and devices are refused with a reason. By default what
    /// the process may open leaves for them.
    pub max_connections: usize,
    /// Largest packet taken; MQTT 5 clients are told.
    pub max_packet_bytes: usize,
    /// Publishes of one connection that may wait for the disk; MQTT 5 clients are told.
    pub receive_maximum: u16,
    /// A connection that has not said who it is by then is closed.
    pub connect_within: Duration,
    /// Longest keep-alive; imposed on clients that ask for none.
    pub max_keep_alive: Duration,
    /// A client that takes no bytes for this long is closed.
    pub write_stalled_after: Duration,
    /// Bytes waiting for one client above which it is not read.
    pub max_outgoing_bytes: usize,
    /// How long shutdown waits for payloads on their way to the disk.
    pub drain_within: Duration,
}

impl Default for MqttOptions {
    fn default() -> Self {
        Self {
            max_connections: MOST_CONNECTIONS
                .min(door::open_files_limit().map_or(usize::MAX, door::affordable)),
            max_packet_bytes: 1024 * 1024,
            receive_maximum: 64,
            connect_within: Duration::from_secs(10),
            max_keep_alive: Duration::from_secs(30 * 60),
            write_stalled_after: Duration::from_secs(20),
            max_outgoing_bytes: 256 * 1024,
            drain_within: Duration::from_secs(10),
        }
    }
}

/// What every connection shares.
pub(super) struct Endpoint {
    pub twin: Twin,
    pub session: SessionOptions,
    /// For clients that find no place.
    pub lobby: SessionOptions,
    pub shutdown: CancellationToken,
    /// Sessions count time from here.
    pub started: Instant,
    pub meters: Meters,
    holders: Mutex<Holders>,
}

#[derive(Default)]
struct Holders {
    by_device: HashMap<DeviceId, Holder>,
    next_number: u64,
}

struct Holder {
    number: u64,
    taken_over: CancellationToken,
}

/// The connection's hold on its device, given up on drop.
pub(super) struct Hold {
    endpoint: Arc<Endpoint>,
    device: DeviceId,
    number: u64,
}

impl Endpoint {
    /// Makes a connection the device's one; the one before it is told through its token.
    pub(super) fn hold(self: &Arc<Self>, device: &DeviceId, taken_over: CancellationToken) -> Hold {
        let mut holders = self.holders.lock();
        holders.next_number += 1;
        let number = holders.next_number;
        if let Some(before) = holders.by_device.insert(device.clone(), Holder { number, taken_over }) {
            before.taken_over.cancel();
        }
        self.meters.connections.set(holders.by_device.len() as f64);
        Hold { endpoint: Arc::clone(self), device: device.clone(), number }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut holders = self.endpoint.holders.lock();
        if holders.by_device.get(&self.device).is_some_and(|holder| holder.number == self.number) {
            holders.by_device.remove(&self.device);
        }
        self.endpoint.meters.connections.set(holders.by_device.len() as f64);
    }
}

/// Metrics touched for every message, looked up once.
pub(super) struct Meters {
    pub connections: Gauge,
    pub messages: Counter,
    pub received_bytes: Counter,
    pub sent_bytes: Counter,
    pub deliveries: Counter,
}

impl Meters {
    fn new() -> Self {
        Self {
            connections: metrics::gauge!("park_mqtt_connections"),
            messages: metrics::counter!("park_mqtt_messages_total"),
            received_bytes: metrics::counter!("park_mqtt_received_bytes_total"),
            sent_bytes: metrics::counter!("park_mqtt_sent_bytes_total"),
            deliveries: metrics::counter!("park_mqtt_deliveries_total"),
        }
    }
}

/// Serves devices until `shutdown`: then MQTT 5 clients are told, payloads already taken reach the disk, and it returns.
pub async fn serve_mqtt(
    listener: TcpListener,
    twin: Twin,
    options: MqttOptions,
    shutdown: CancellationToken,
) -> Result<(), GatewayError> {
    let address = listener.local_addr().map_err(GatewayError::Listener)?;
    tracing::info!(%address, max_connections = options.max_connections, "MQTT endpoint open");
    let session = SessionOptions {
        has_place: true,
        max_packet_bytes: options.max_packet_bytes,
        window: options.receive_maximum.max(1),
        connect_within: options.connect_within,
        max_keep_alive: options.max_keep_alive,
        write_stalled_after: options.write_stalled_after,
        max_outgoing_bytes: options.max_outgoing_bytes,
    };
    let endpoint = Arc::new(Endpoint {
        twin,
        lobby: SessionOptions {
            has_place: false,
            connect_within: LOBBY_PATIENCE.min(options.connect_within),
            ..session.clone()
        },
        session,
        shutdown: shutdown.clone(),
        started: Instant::now(),
        meters: Meters::new(),
        holders: Mutex::default(),
    });
    let door = Door::new(options.max_connections);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: a silent connection gives one back, the others in their time.
                metrics::counter!("park_mqtt_accept_errors_total").increment(1);
                let made_room = door.crowd_out_one();
                tracing::warn!(%error, made_room, "cannot accept an MQTT connection");
                shutdown.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE)).await;
                continue;
            }
        };
        let entry = door.enter();
        if matches!(entry, Entry::Nothing) {
            let reason = CloseReason::TooManyConnections.as_str();
            metrics::counter!("park_mqtt_closed_total", "reason" => reason).increment(1);
            continue;
        }
        connections.spawn(connection::serve(stream, Arc::clone(&endpoint), entry));
    }
    connections.close();
    if tokio::time::timeout(options.drain_within, connections.wait()).await.is_err() {
        tracing::warn!(left = connections.len(), "MQTT connections still busy at shutdown");
    }
    Ok(())
}
