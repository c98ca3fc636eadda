//! Devices behind somebody else's broker (Mosquitto, EMQX …): a client that subscribes to their topics and acknowledges
//! only what is durable.
//!
//! MQTT 3.1.1, because every broker speaks it and the one thing wanted of the session, that the broker keeps what we have
//! not acknowledged while we are away, is there with `clean_session = false` and a fixed client id. The broker
//! authenticates devices and guards their topics, so a topic's device id is believed; a payload naming another
//! device is refused.
//!
//! Commands go to the broker for every registered device that holds no connection of its own here: whoever is behind it is not
//! known before it speaks. Nothing but its payloads says that a device is there.
//!
//! Where several machines share the work, gateways ([`run_relay`]) read the broker through a shared subscription and keep payloads as
//! frames in PostgreSQL; the park's server ([`run_server`]) takes the frames and sends commands through the broker.

mod duty;
mod intake;
mod link;

use crate::GatewayError;
use duty::{Duty, Heard};
use frames::{FrameReader, FrameWriter};
use history::History;
pub use intake::IntakeOptions;
use link::{Ended, Link};
use rumqttc::{AsyncClient, Event, MqttOptions as ClientOptions, OptionError, Packet};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use twin::Twin;

/// Reports of faulty payloads between the intake and the broker.
const REPORTS: usize = 1024;

/// How the broker is used.
#[derive(Debug, Clone)]
pub struct UpstreamOptions {
    /// The broker keeps what we have not acknowledged under this name; `client_id` in the URL overrides it.
    pub client_id: String,
    pub keep_alive: Duration,
    /// Payloads on their way to the disk above which the broker is not read.
    pub window: usize,
    pub max_packet_bytes: usize,
    /// Pauses between attempts to connect double from the first to the longest.
    pub first_pause: Duration,
    pub longest_pause: Duration,
}

impl Default for UpstreamOptions {
    fn default() -> Self {
        Self {
            client_id: "park-twin".to_owned(),
            keep_alive: Duration::from_secs(30),
            window: 1024,
            max_packet_bytes: 16 * 1024 * 1024,
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
        }
    }
}

/// Reads from the broker at `url` (`mqtt://[user[:password]@]host[:port]`) until `shutdown`, connecting again whenever the
/// connection is lost. Only an unusable URL is an error.
pub async fn run_upstream(
    url: &str,
    twin: Twin,
    options: UpstreamOptions,
    shutdown: CancellationToken,
) -> Result<(), GatewayError> {
    keep_linked(url, Duty::Alone { twin }, &Heard::default(), options, shutdown).await
}

/// A gateway: reads its share of what the broker at `url` gives to the group, and acknowledges what is committed as frames.
///
/// The broker keeps a gateway's unacknowledged payloads under `options.client_id`: each gateway has one of its own, the same at
/// every start.
pub async fn run_relay(
    url: &str,
    frames: FrameWriter,
    group: &str,
    options: UpstreamOptions,
    shutdown: CancellationToken,
) -> Result<(), GatewayError> {
    let duty = Duty::Relay { frames, group: group.to_owned() };
    keep_linked(url, duty, &Heard::default(), options, shutdown).await
}

/// A gateway's last service: takes what the broker at `url` still keeps for it, but nothing new, and then ends its session there. On
/// `shutdown` before that the session stays as it is.
pub async fn leave_relay(
    url: &str,
    frames: FrameWriter,
    group: &str,
    options: UpstreamOptions,
    shutdown: CancellationToken,
) -> Result<(), GatewayError> {
    let mut client = client_options(url, &options)?;
    let duty = Duty::Relay { frames, group: group.to_owned() };
    let has_left = link_until_left(url, duty, &Heard::default(), &options, true, &shutdown).await?;
    if !has_left {
        return Ok(());
    }
    client.set_clean_session(true);
    let (client, mut protocol) = AsyncClient::new(client, 1);
    loop {
        match protocol.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => break,
            Ok(_) => {}
            Err(error) => return Err(GatewayError::UpstreamSession(error.to_string())),
        }
    }
    tracing::info!("the broker keeps nothing for this gateway any more");
    let goodbye = client.disconnect().await;
    // It goes out with the next polls, the last of which says that the connection is closed.
    while goodbye.is_ok() && protocol.poll().await.is_ok() {}
    Ok(())
}

/// The server's side of gateways: takes their frames, and speaks to devices through the broker at `url`.
pub async fn run_server(
    url: &str,
    frames: FrameReader,
    twin: Twin,
    history: History,
    intake: IntakeOptions,
    options: UpstreamOptions,
    shutdown: CancellationToken,
) -> Result<(), GatewayError> {
    let heard = Heard::default();
    let (reports_in, reports) = mpsc::channel(REPORTS);
    let duty = Duty::Server { twin: twin.clone(), reports };
    let (linked, ()) = tokio::join!(
        keep_linked(url, duty, &heard, options, shutdown.clone()),
        intake::run(frames, twin, history, &heard, reports_in, intake, shutdown),
    );
    linked
}

async fn keep_linked(
    url: &str,
    duty: Duty,
    heard: &Heard,
    options: UpstreamOptions,
    shutdown: CancellationToken,
) -> Result<(), GatewayError> {
    link_until_left(url, duty, heard, &options, false, &shutdown).await.map(drop)
}

/// Whether it left, and was not shut down before.
async fn link_until_left(
    url: &str,
    mut duty: Duty,
    heard: &Heard,
    options: &UpstreamOptions,
    is_last: bool,
    shutdown: &CancellationToken,
) -> Result<bool, GatewayError> {
    let client = client_options(url, options)?;
    let (host, port) = client.broker_address();
    let mut pause = options.first_pause;
    let connected = metrics::gauge!("park_upstream_connected");
    loop {
        let link = Link::new(client.clone(), &mut duty, options, is_last);
        let ended = link.run(heard, &connected, shutdown).await;
        connected.set(0.0);
        match ended {
            Ended::Shutdown => return Ok(false),
            Ended::Left => return Ok(true),
            Ended::Lost { why, was_connected } => {
                if was_connected {
                    pause = options.first_pause;
                }
                tracing::warn!(host, port, why, retry_in = ?pause, "upstream broker lost");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return Ok(false),
        }
        pause = (pause * 2).min(options.longest_pause);
    }
}

fn client_options(url: &str, options: &UpstreamOptions) -> Result<ClientOptions, GatewayError> {
    let bad = |reason: String| GatewayError::UpstreamUrl { url: shared::url::without_password(url), reason };
    let with_id = if url.contains("client_id=") {
        url.to_owned()
    } else {
        let separator = if url.contains('?') { '&' } else { '?' };
        format!("{url}{separator}client_id={}", options.client_id)
    };
    let mut client = ClientOptions::parse_url(with_id).map_err(|error| {
        bad(match error {
            OptionError::Scheme => {
                "only mqtt:// (or tcp://) is spoken; put a TLS-terminating proxy in front for mqtts://"
                    .to_owned()
            }
            other => other.to_string(),
        })
    })?;
    if client.broker_address().0.is_empty() {
        return Err(bad("it names no host".to_owned()));
    }
    client
        .set_keep_alive(options.keep_alive)
        .set_clean_session(false)
        .set_manual_acks(true)
        .set_max_packet_size(options.max_packet_bytes, options.max_packet_bytes);
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_named_by_url() {
        let options = UpstreamOptions::default();
        let client = client_options("mqtt://reader:secret@broker.example:1884", &options).unwrap();
        assert_eq!(client.broker_address(), ("broker.example".to_owned(), 1884));
        assert_eq!(client.client_id(), "park-twin");
        assert!(client.manual_acks() && !client.clean_session());
        assert_eq!(client.credentials().unwrap().password, "secret");
        let client = client_options("mqtt://broker?client_id=other", &options).unwrap();
        assert_eq!((client.client_id().as_str(), client.broker_address().1), ("other", 1883));
    }

    #[test]
    fn an_unusable_url_says_why_without_showing_the_password() {
        let options = UpstreamOptions::default();
        for (url, part) in [
            ("mqtts://u:hunter2@broker", "mqtt://"),
            ("broker:1883", "mqtt://"),
            ("mqtt://broker?colour=red", "colour"),
            ("mqtt://", "host"),
        ] {
            let message = client_options(url, &options).unwrap_err().to_string();
            assert!(message.contains(part), "{url}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
