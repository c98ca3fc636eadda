//! The MQTT endpoint: 3.1.1 and 5, one device a connection, acknowledged when durable.
//!
//! Built on a protocol library without I/O rather than an embedded broker, because a broker acknowledges from memory and
//! this one must wait for the disk. What it is not: no message goes from device to device. A device publishes and hears its
//! own topics only, so much of what a broker does has one sensible meaning here:
//!
//! - **QoS**: 0, 1 and 2 in; 0 and 1 out. A publish is on the disk before its PUBACK or PUBREC. QoS 2 ids live as long as the
//!   session in this process: after a restart a repeated publish is taken again, and the same reading twice is one reading
//!   (`session::kept` says why losing is worse). A first attempt under an id of an earlier connection is a new message.
//! - **Sessions** (`session::kept`, `shelf`): session expiry and `clean_session = 0`, up to [`MqttOptions::longest_session`], four client ids
//!   a device. Subscriptions and reports are in SQL before they are promised. Commands are not stored again: they are the twin's,
//!   journaled, and offered to whatever connection the device has; a session keeps only their packet ids, so that they are
//!   repeated as duplicates.
//! - **Reports** of what was refused, on `errors`: kept for a lasting session that subscribed at QoS 1, thirty-two of them and a
//!   week long; when it is full newer ones are counted, and the next one says how many. On other sessions they are QoS 0.
//! - **Retained**: `desired`, the set-points the device follows, is the one topic that has a retained message. RETAIN on what a device
//!   publishes is accepted and changes nothing: the newest value of everything is its shadow.
//! - **Message expiry**: commands and reports carry what is left; incoming messages are delivered, to the twin, as they come.
//! - **Wills** on the device's own topics are handed over as if published, after their delay if the session lasts so long; one on
//!   any other topic is refused with its CONNECT. None is sent when the server ends the connection on its own account. A lasting
//!   session's is in SQL before its CONNACK: when the server died meanwhile, it waits two minutes at least for the device to come
//!   back, or until the session ends.
//! - **Shared subscriptions** are granted: of a device's sessions one is connected, so it is the member that is served.
//! - **Topic aliases** both ways; **receive maximum** both ways, `window` in and the client's, or sixteen, out.
//!
//! `session` is the pure core, `connection` drives one with a `wire` (plain or `tls`), `shelf` keeps sessions between connections,
//! `endpoint` accepts and knows who is connected, `door` says how many there may be.

mod connection;
mod door;
mod endpoint;
mod frame;
mod reply;
mod session;
mod shelf;
mod tls;
mod wire;

pub use endpoint::{Line, MqttListeners, MqttOptions, serve_mqtt};
pub use tls::{MqttTls, MqttTlsFiles};
