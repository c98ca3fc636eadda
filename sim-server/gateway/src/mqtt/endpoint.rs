//! Accepts connections and knows which device holds which.

use super::{
    connection,
    door::{self, Door, Entry},
    session::{CloseReason, SessionOptions},
    shelf::Shelf,
    tls::MqttTls,
};
use crate::GatewayError;
use metrics::{Counter, Gauge};
use parking_lot::Mutex;
use records::Records;
use shared::{command::CommandStatus, id::DeviceId};
use std::{collections::HashMap, io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Notify, broadcast::error::RecvError, mpsc},
    time::Instant,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use twin::{Twin, TwinChange};

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
    /// The longest a session outlives its connection.
    pub longest_session: Duration,
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
            longest_session: Duration::from_secs(30 * 24 * 3600),
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
    pub shelf: Shelf,
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
    desired_changed: Arc<Notify>,
}

/// The connection's hold on its device, given up on drop.
pub(super) struct Hold {
    endpoint: Arc<Endpoint>,
    device: DeviceId,
    number: u64,
}

impl Endpoint {
    /// Makes a connection the device's one; the one before it is told through its token.
    pub(super) fn hold(
        self: &Arc<Self>,
        device: &DeviceId,
        taken_over: CancellationToken,
        desired_changed: Arc<Notify>,
    ) -> Hold {
        let mut holders = self.holders.lock();
        holders.next_number += 1;
        let number = holders.next_number;
        let holder = Holder { number, taken_over, desired_changed };
        if let Some(before) = holders.by_device.insert(device.clone(), holder) {
            before.taken_over.cancel();
        }
        self.meters.connections.set(holders.by_device.len() as f64);
        Hold { endpoint: Arc::clone(self), device: device.clone(), number }
    }

    /// Tells connections when their devices' set-points change.
    async fn watch_desired(&self) {
        let mut changes = self.twin.changes();
        loop {
            match changes.recv().await {
                Ok(TwinChange::Command(update)) if update.status == CommandStatus::Acknowledged => {
                    if let Some(holder) = self.holders.lock().by_device.get(&update.device_id) {
                        holder.desired_changed.notify_one();
                    }
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => {
                    self.holders
                        .lock()
                        .by_device
                        .values()
                        .for_each(|holder| holder.desired_changed.notify_one());
                }
                Err(RecvError::Closed) => return,
            }
        }
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

/// Where devices connect.
#[expect(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum MqttListeners {
    Sockets {
        plain: TcpListener,
        /// The same endpoint under TLS.
        secured: Option<(TcpListener, MqttTls)>,
    },
    /// Connections that come some other way, such as over a network in memory.
    Lines(mpsc::Receiver<Box<dyn Line>>),
}

/// Bytes to and from a device.
pub trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

/// Somebody at the door.
pub(super) enum Accepted {
    Plain(TcpStream),
    ToSecure(TcpStream, TlsAcceptor),
    Line(Box<dyn Line>),
}

impl From<TcpListener> for MqttListeners {
    fn from(plain: TcpListener) -> Self {
        Self::Sockets { plain, secured: None }
    }
}

impl MqttListeners {
    async fn accept(&mut self) -> io::Result<Accepted> {
        let (plain, secured) = match self {
            Self::Sockets { plain, secured } => (plain, secured),
            Self::Lines(lines) => match lines.recv().await {
                Some(line) => return Ok(Accepted::Line(line)),
                // Nobody will connect any more.
                None => return std::future::pending().await,
            },
        };
        let Some((listener, tls)) = secured else {
            return Ok(Accepted::Plain(plain.accept().await?.0));
        };
        tokio::select! {
            accepted = plain.accept() => Ok(Accepted::Plain(accepted?.0)),
            accepted = listener.accept() => Ok(Accepted::ToSecure(accepted?.0, tls.acceptor())),
        }
    }

    /// The plain and the secured address, in words.
    fn addresses(&self) -> io::Result<String> {
        match self {
            Self::Sockets { plain, secured: None } => Ok(plain.local_addr()?.to_string()),
            Self::Sockets { plain, secured: Some((secured, _)) } => {
                Ok(format!("{} and, under TLS, {}", plain.local_addr()?, secured.local_addr()?))
            }
            Self::Lines(_) => Ok("lines".to_owned()),
        }
    }
}

/// Serves devices until `shutdown`: then MQTT 5 clients are told, payloads already taken reach the disk, and it returns.
pub async fn serve_mqtt(
    listeners: impl Into<MqttListeners>,
    twin: Twin,
    records: Records,
    options: MqttOptions,
    shutdown: CancellationToken,
) -> Result<(), GatewayError> {
    let mut listeners = listeners.into();
    let addresses = listeners.addresses().map_err(GatewayError::Listener)?;
    tracing::info!(addresses, max_connections = options.max_connections, "MQTT endpoint open");
    let session = SessionOptions {
        has_place: true,
        has_certificate: false,
        longest_session_s: u32::try_from(options.longest_session.as_secs()).unwrap_or(u32::MAX),
        max_packet_bytes: options.max_packet_bytes,
        window: options.receive_maximum.max(1),
        connect_within: options.connect_within,
        max_keep_alive: options.max_keep_alive,
        write_stalled_after: options.write_stalled_after,
        max_outgoing_bytes: options.max_outgoing_bytes,
    };
    let clock = twin.clone();
    let shelf = Shelf::open(records, move || clock.now()).await?;
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
        shelf,
        holders: Mutex::default(),
    });
    // Connections that end leave something to be written.
    let stopped = CancellationToken::new();
    let behind = tokio::spawn({
        let endpoint = Arc::clone(&endpoint);
        let stopped = stopped.clone();
        async move {
            tokio::select! {
                biased;
                () = endpoint.shelf.run(&endpoint.twin, &stopped) => {}
                () = endpoint.watch_desired() => {}
            }
        }
    });
    let door = Door::new(options.max_connections);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            accepted = listeners.accept() => accepted,
        };
        let accepted = match accepted {
            Ok(accepted) => accepted,
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
        connections.spawn(connection::serve(accepted, Arc::clone(&endpoint), entry));
    }
    connections.close();
    if tokio::time::timeout(options.drain_within, connections.wait()).await.is_err() {
        tracing::warn!(left = connections.len(), "MQTT connections still busy at shutdown");
    }
    stopped.cancel();
    if behind.await.is_err() {
        tracing::error!("what looks after MQTT sessions ended by itself");
    }
    endpoint.shelf.written().await;
    Ok(())
}
