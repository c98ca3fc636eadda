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

mod link;

use crate::GatewayError;
use link::{Ended, Link};
use rumqttc::{MqttOptions as ClientOptions, OptionError};
use shared::id::DeviceId;
use std::{collections::BTreeSet, time::Duration};
use tokio_util::sync::CancellationToken;
use twin::Twin;

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
    let client = client_options(url, &options)?;
    let (host, port) = client.broker_address();
    let mut heard: BTreeSet<DeviceId> = BTreeSet::new();
    let mut pause = options.first_pause;
    let connected = metrics::gauge!("park_upstream_connected");
    loop {
        let link = Link::new(client.clone(), &twin, &options);
        let ended = link.run(&mut heard, &connected, &shutdown).await;
        connected.set(0.0);
        match ended {
            Ended::Shutdown => return Ok(()),
            Ended::Lost { why, was_connected } => {
                if was_connected {
                    pause = options.first_pause;
                }
                tracing::warn!(host, port, why, retry_in = ?pause, "upstream broker lost");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return Ok(()),
        }
        pause = (pause * 2).min(options.longest_pause);
    }
}

fn client_options(url: &str, options: &UpstreamOptions) -> Result<ClientOptions, GatewayError> {
    let bad = |reason: String| GatewayError::UpstreamUrl { url: without_password(url), reason };
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

/// A URL as it may be shown. A password may hold anything, also `@`, `/` and `://`, and the URL need not be a good one, so nothing
/// before the last `@` is shown but a scheme that is one.
fn without_password(url: &str) -> String {
    let Some((before, host)) = url.rsplit_once('@') else { return url.to_owned() };
    match before.split_once("://") {
        Some((scheme, _)) if scheme.bytes().all(|b| b.is_ascii_lowercase()) => format!("{scheme}://…@{host}"),
        _ => format!("…@{host}"),
    }
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

    #[test]
    fn no_part_of_a_password_is_shown() {
        for (url, shown) in [
            ("mqtt://u:hunter2@broker:1884", "mqtt://…@broker:1884"),
            ("mqtt://u:hun@ter2@broker", "mqtt://…@broker"),
            ("mqtts://u:hun/ter?2#@broker/x", "mqtts://…@broker/x"),
            ("u:hun://ter2@broker", "…@broker"),
            ("u:hunter2@broker:1883", "…@broker:1883"),
            ("mqtt://broker?client_id=a@b", "mqtt://…@b"),
            ("mqtt://broker", "mqtt://broker"),
        ] {
            assert_eq!(without_password(url), shown, "{url}");
        }
    }
}
