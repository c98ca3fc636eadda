//! The socket of one client: its handshake, its deadlines, its goodbye.

use super::wire::{Writer, payload};
use crate::{
    App,
    auth::{Principal, principal},
};
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures::SinkExt;
use shared::stream::{Denied, Encoding, Hello, PROTOCOL_VERSION, Welcome};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// WebSocket close codes (RFC 6455 section 7.4); 4000 and up are the application's.
mod close {
    pub(super) const GOING_AWAY: u16 = 1001;
    pub(super) const BAD_MESSAGE: u16 = 1007;
    pub(super) const POLICY: u16 = 1008;
    pub(super) const TRY_AGAIN_LATER: u16 = 1013;
    pub(super) const TOKEN_OVER: u16 = 4001;
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    ClientLeft,
    NoHello,
    Denied,
    Unavailable,
    BadMessage,
    TokenOver,
    TooSlow,
    Silent,
    Lost,
    /// What a client missed cannot be read.
    PastUnreadable,
    ServerStopping,
    Internal,
}

impl Ended {
    pub(super) fn label(self) -> &'static str {
        match self {
            Ended::ClientLeft => "client_left",
            Ended::NoHello => "no_hello",
            Ended::Denied => "denied",
            Ended::Unavailable => "unavailable",
            Ended::BadMessage => "bad_message",
            Ended::TokenOver => "token_over",
            Ended::TooSlow => "too_slow",
            Ended::Silent => "silent",
            Ended::Lost => "lost",
            Ended::PastUnreadable => "past_unreadable",
            Ended::ServerStopping => "server_stopping",
            Ended::Internal => "internal",
        }
    }
}

pub(super) type Step<T> = Result<T, Ended>;

/// The socket with its encoding. Everything written goes out under one deadline.
pub(super) struct Link {
    pub(super) socket: WebSocket,
    writer: Writer,
    pub(super) encoding: Encoding,
    send_within: Duration,
}

impl Link {
    pub(super) fn new(socket: WebSocket, encoding: Encoding, send_within: Duration) -> Link {
        Link { socket, writer: Writer::new(encoding), encoding, send_within }
    }

    /// Puts a message into the socket's buffer.
    pub(super) async fn feed<T: serde::Serialize>(&mut self, message: &T) -> Step<()> {
        let frame = self.writer.frame(message).map_err(|error| {
            tracing::error!(%error, "a message cannot be written");
            Ended::Internal
        })?;
        self.feed_frame(frame).await
    }

    pub(super) async fn feed_frame(&mut self, frame: Message) -> Step<()> {
        match timeout(self.send_within, self.socket.feed(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Lost),
            Err(_) => Err(Ended::TooSlow),
        }
    }

    pub(super) async fn flush(&mut self) -> Step<()> {
        match timeout(self.send_within, self.socket.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Ended::Lost),
            Err(_) => Err(Ended::TooSlow),
        }
    }

    /// Says why, where the client can still hear it.
    pub(super) async fn goodbye(&mut self, ended: Ended) {
        let (code, reason) = match ended {
            Ended::Denied => (close::POLICY, "denied"),
            Ended::Unavailable => (close::TRY_AGAIN_LATER, "who you are cannot be said just now"),
            Ended::NoHello => (close::POLICY, "no hello within 10 s"),
            Ended::BadMessage => (close::BAD_MESSAGE, "not a message of this protocol"),
            Ended::TokenOver => (close::TOKEN_OVER, "the token is no longer good"),
            Ended::PastUnreadable => (close::TRY_AGAIN_LATER, "what you missed cannot be read just now"),
            Ended::ServerStopping => (close::GOING_AWAY, "the server is stopping"),
            Ended::ClientLeft | Ended::TooSlow | Ended::Silent | Ended::Lost | Ended::Internal => return,
        };
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = timeout(Duration::from_secs(1), self.socket.send(Message::Close(Some(frame)))).await;
    }
}

/// Hears the hello and answers it.
pub(super) async fn greet(app: &Arc<App>, link: &mut Link) -> Step<Principal> {
    let hello = timeout(HELLO_WITHIN, async {
        loop {
            match link.socket.recv().await {
                Some(Ok(message)) => match payload(&message) {
                    Some(bytes) => {
                        return link.encoding.decode::<Hello>(bytes).map_err(|_| Ended::BadMessage);
                    }
                    None if matches!(message, Message::Close(_)) => return Err(Ended::ClientLeft),
                    None => {}
                },
                _ => return Err(Ended::ClientLeft),
            }
        }
    })
    .await
    .unwrap_or(Err(Ended::NoHello));
    let hello = match hello {
        Ok(hello) => hello,
        Err(ended) => {
            link.goodbye(ended).await;
            return Err(ended);
        }
    };
    let now = (app.state.clock)();
    let granted = if hello.version == PROTOCOL_VERSION {
        principal(app, &hello.token, now).await.map_err(|error| match error.is_unauthenticated() {
            true => Denied::Token,
            // A database that does not answer makes no token a bad one.
            false => Denied::Unavailable,
        })
    } else {
        Err(Denied::Version)
    };
    let welcome = match &granted {
        Ok(_) => Welcome::Accepted {
            version: PROTOCOL_VERSION,
            server_time: now,
            scene_etag: app.scene.etag().to_owned(),
        },
        Err(denied) => Welcome::Denied(*denied),
    };
    link.feed(&welcome).await?;
    link.flush().await?;
    match granted {
        Ok(who) => Ok(who),
        Err(denied) => {
            let ended = match denied {
                Denied::Version | Denied::Token => Ended::Denied,
                Denied::Unavailable => Ended::Unavailable,
            };
            link.goodbye(ended).await;
            Err(ended)
        }
    }
}
