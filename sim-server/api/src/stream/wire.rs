//! Messages as WebSocket frames.

use axum::extract::ws::{Message, Utf8Bytes};
use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use shared::stream::{Encoding, WireError};

/// Writes messages into one buffer that is cut up and handed out: a message costs no allocation of its own once the
/// buffer has grown to what a tick needs.
pub(super) struct Writer {
    encoding: Encoding,
    buffer: BytesMut,
}

impl Writer {
    pub(super) fn new(encoding: Encoding) -> Self {
        Self { encoding, buffer: BytesMut::new() }
    }

    pub(super) fn frame<T: Serialize>(&mut self, message: &T) -> Result<Message, WireError> {
        match self.encoding {
            Encoding::Postcard => {
                let start = std::mem::take(&mut self.buffer);
                self.buffer = postcard::to_extend(message, start)?;
                Ok(Message::Binary(self.buffer.split().freeze()))
            }
            Encoding::Json => {
                let mut writer = (&mut self.buffer).writer();
                serde_json::to_writer(&mut writer, message)?;
                Ok(text(self.buffer.split().freeze()))
            }
        }
    }
}

/// A frame that is the same for every client of an encoding.
pub(super) fn shared_frame(encoding: Encoding, bytes: Bytes) -> Message {
    match encoding {
        Encoding::Postcard => Message::Binary(bytes),
        Encoding::Json => text(bytes),
    }
}

fn text(bytes: Bytes) -> Message {
    match Utf8Bytes::try_from(bytes) {
        Ok(text) => Message::Text(text),
        // serde_json writes UTF-8.
        Err(_) => Message::Text(Utf8Bytes::from_static("")),
    }
}

/// What a client's frame holds, if it is a message at all.
pub(super) fn payload(message: &Message) -> Option<&[u8]> {
    match message {
        Message::Text(text) => Some(text.as_bytes()),
        Message::Binary(bytes) => Some(bytes),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => None,
    }
}
