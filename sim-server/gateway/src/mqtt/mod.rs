//! The MQTT endpoint: 3.1.1 and 5, one device a connection, acknowledged when durable.
//!
//! Built on a protocol library without I/O rather than an embedded broker, because a broker acknowledges from memory and
//! this one must wait for the disk. What it is not: no message goes from device to device, retained messages and
//! sessions that outlive a connection are not kept (the command queue is the twin's, and offers again what was not
//! acknowledged). QoS 0, 1 and 2 in; 0 and 1 out. A will on the device's own topics is handed over as if published,
//! one on any other topic is refused with its CONNECT.
//!
//! `session` is the pure core, `connection` drives one with a socket, `endpoint` accepts and knows who is connected, `door`
//! says how many there may be.

mod connection;
mod door;
mod endpoint;
mod frame;
mod reply;
mod session;

pub use endpoint::{MqttOptions, serve_mqtt};
