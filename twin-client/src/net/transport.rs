//! Bytes to and from the server: a trait the link speaks through, and the one implementation for native and browser.

use super::rest::{HttpRequest, HttpResponse};
use crossbeam_channel::Sender;
use shared::stream::Encoding;
use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Requests under way at once. One that is never answered holds a thread natively, whoever gave up waiting for it.
const MOST_REQUESTS: usize = 64;

/// What comes back from the wire.
#[derive(Debug)]
pub enum WireEvent {
    /// The stream numbered `stream` is open.
    Opened {
        stream: u64,
    },
    Message {
        stream: u64,
        bytes: Vec<u8>,
    },
    Closed {
        stream: u64,
        reason: String,
    },
    Response {
        id: u64,
        result: Result<HttpResponse, String>,
    },
}

/// A way to reach the server. Answers come as [`WireEvent`]s on a channel.
pub trait Transport: Send {
    /// Opens a stream under a number the caller chose; its events carry it.
    fn open(&mut self, stream: u64, url: &str, encoding: Encoding);
    fn send(&mut self, bytes: Vec<u8>);
    fn close(&mut self);
    fn fetch(&mut self, id: u64, base_url: &str, request: HttpRequest);
}

/// WebSocket by ewebsock, HTTP by ehttp: threads natively, callbacks in a browser.
pub struct WebTransport {
    events: Sender<WireEvent>,
    socket: Option<ewebsock::WsSender>,
    encoding: Encoding,
    under_way: Arc<AtomicUsize>,
}

impl WebTransport {
    /// Events go to `events`. When that channel is full the socket's thread waits, so the server sees a slow reader and
    /// conflates.
    pub fn new(events: Sender<WireEvent>) -> Self {
        Self { events, socket: None, encoding: Encoding::Postcard, under_way: Arc::default() }
    }
}

impl Transport for WebTransport {
    fn open(&mut self, stream: u64, url: &str, encoding: Encoding) {
        self.close();
        self.encoding = encoding;
        let options = ewebsock::Options {
            subprotocols: vec![encoding.subprotocol().to_owned()],
            ..ewebsock::Options::default()
        };
        let events = self.events.clone();
        let on_event = Box::new(move |event| {
            let event = match event {
                ewebsock::WsEvent::Opened => WireEvent::Opened { stream },
                ewebsock::WsEvent::Message(ewebsock::WsMessage::Binary(bytes)) => {
                    WireEvent::Message { stream, bytes }
                }
                ewebsock::WsEvent::Message(ewebsock::WsMessage::Text(text)) => {
                    WireEvent::Message { stream, bytes: text.into_bytes() }
                }
                ewebsock::WsEvent::Message(_) => return ControlFlow::Continue(()),
                ewebsock::WsEvent::Error(reason) => WireEvent::Closed { stream, reason },
                ewebsock::WsEvent::Closed => {
                    WireEvent::Closed { stream, reason: "closed by the server".into() }
                }
            };
            match events.send(event) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        match ewebsock::ws_connect(url.to_owned(), options, on_event) {
            Ok(socket) => self.socket = Some(socket),
            Err(reason) => {
                // Were the channel full, the link would give up waiting for the stream by itself.
                let _ = self.events.try_send(WireEvent::Closed { stream, reason });
            }
        }
    }

    fn send(&mut self, bytes: Vec<u8>) {
        if let Some(socket) = &mut self.socket {
            socket.send(match self.encoding {
                Encoding::Postcard => ewebsock::WsMessage::Binary(bytes),
                Encoding::Json => ewebsock::WsMessage::Text(String::from_utf8_lossy(&bytes).into_owned()),
            });
        }
    }

    fn close(&mut self) {
        self.socket = None;
    }

    fn fetch(&mut self, id: u64, base_url: &str, request: HttpRequest) {
        let mut headers = ehttp::Headers::new(&[("Accept", "application/json")]);
        if request.post {
            headers.insert("Content-Type", "application/json");
        }
        if let Some(bearer) = &request.bearer {
            headers.insert("Authorization", format!("Bearer {bearer}"));
        }
        if let Some(tag) = &request.if_none_match {
            headers.insert("If-None-Match", tag);
        }
        let method = if request.post { ehttp::Method::POST } else { ehttp::Method::GET };
        let mut outgoing = ehttp::Request::new(method, format!("{base_url}{}", request.path), headers);
        outgoing.body = request.body;
        let events = self.events.clone();
        if self.under_way.load(Ordering::Relaxed) >= MOST_REQUESTS {
            let result = Err(format!("{MOST_REQUESTS} requests are waiting for the server"));
            // The link that calls us reads the channel; were it full, the link gives up waiting by itself.
            let _ = events.try_send(WireEvent::Response { id, result });
            return;
        }
        let under_way = self.under_way.clone();
        under_way.fetch_add(1, Ordering::Relaxed);
        ehttp::fetch(outgoing, move |result| {
            under_way.fetch_sub(1, Ordering::Relaxed);
            let result = result.map(|answer| HttpResponse {
                status: answer.status,
                etag: answer.headers.get("etag").map(str::to_owned),
                retry_after_s: answer.headers.get("retry-after").and_then(|s| s.trim().parse().ok()),
                body: answer.bytes,
            });
            // The link is gone when nobody listens: then nobody wants the answer.
            let _ = events.send(WireEvent::Response { id, result });
        });
    }
}
