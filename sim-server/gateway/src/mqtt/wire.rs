//! A connection's bytes: plain, under TLS, or over a line that is no socket.
//!
//! Under TLS what is written may stay in its buffer while the socket takes no more; `unflushed` remembers that it must be
//! pushed on.

use super::{Line, tls};
use bytes::BytesMut;
use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{either::Either, io::poll_read_buf};

/// Plain bytes TLS keeps for a socket that takes none.
const TLS_BUFFER_BYTES: usize = 16 * 1024;

pub(super) struct Wire {
    stream: Either<TcpStream, Either<Box<TlsStream<TcpStream>>, Box<dyn Line>>>,
    unflushed: bool,
}

/// What happened on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// Bytes were added to the inbox.
    In(usize),
    /// Bytes of the outgoing buffer were taken.
    Out(usize),
    Closed,
}

impl Wire {
    pub(super) fn plain(stream: TcpStream) -> Self {
        Self { stream: Either::Left(stream), unflushed: false }
    }

    pub(super) fn line(line: Box<dyn Line>) -> Self {
        Self { stream: Either::Right(Either::Right(line)), unflushed: false }
    }

    /// Shakes hands; the second value are the names in the client's certificate, when it has one.
    pub(super) async fn secured(
        stream: TcpStream,
        acceptor: TlsAcceptor,
    ) -> io::Result<(Self, Option<Vec<String>>)> {
        let mut stream = acceptor.accept(stream).await?;
        let (_, tls) = stream.get_mut();
        tls.set_buffer_limit(Some(TLS_BUFFER_BYTES));
        let names = tls.peer_certificates().and_then(|chain| chain.first()).map(tls::names_in);
        Ok((Self { stream: Either::Right(Either::Left(Box::new(stream))), unflushed: false }, names))
    }

    /// The socket, where there is one.
    pub(super) fn tcp(&self) -> Option<&TcpStream> {
        match &self.stream {
            Either::Left(stream) => Some(stream),
            Either::Right(Either::Left(stream)) => Some(stream.get_ref().0),
            Either::Right(Either::Right(_)) => None,
        }
    }

    /// Resolves when bytes went out, when there are any, or came in, when there is an inbox. Loses nothing when dropped.
    pub(super) async fn moved(&mut self, mut inbox: Option<&mut BytesMut>, outgoing: &[u8]) -> Moved {
        poll_fn(|context| {
            if !outgoing.is_empty()
                && let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(context, outgoing)
            {
                self.unflushed = true;
                return Poll::Ready(written.map_or(Moved::Closed, Moved::out));
            }
            if self.unflushed
                && let Poll::Ready(flushed) = Pin::new(&mut self.stream).poll_flush(context)
            {
                self.unflushed = false;
                if flushed.is_err() {
                    return Poll::Ready(Moved::Closed);
                }
            }
            let Some(inbox) = inbox.as_deref_mut() else { return Poll::Pending };
            Poll::Ready(match ready!(poll_read_buf(Pin::new(&mut self.stream), context, inbox)) {
                Ok(0) | Err(_) => Moved::Closed,
                Ok(bytes) => Moved::In(bytes),
            })
        })
        .await
    }

    /// Writes what the socket takes without waiting; `None` when it takes nothing now.
    pub(super) fn write_now(&mut self, outgoing: &[u8]) -> Option<Moved> {
        let context = &mut Context::from_waker(Waker::noop());
        let written = match &mut self.stream {
            Either::Left(stream) => stream.try_write(outgoing),
            Either::Right(stream) => match Pin::new(stream).poll_write(context, outgoing) {
                Poll::Ready(written) => {
                    self.unflushed = true;
                    written
                }
                Poll::Pending => return None,
            },
        };
        match written {
            Ok(bytes) => Some(Moved::out(bytes)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                tracing::trace!(%error, "MQTT connection lost while writing");
                Some(Moved::Closed)
            }
        }
    }

    /// Pushes on what TLS still holds, without waiting.
    pub(super) fn flush_now(&mut self) {
        let context = &mut Context::from_waker(Waker::noop());
        if self.unflushed && Pin::new(&mut self.stream).poll_flush(context).is_ready() {
            self.unflushed = false;
        }
    }

    /// Writes the last bytes and says that no more come.
    pub(super) async fn finish(&mut self, outgoing: &mut BytesMut) -> io::Result<()> {
        self.stream.write_all_buf(outgoing).await?;
        self.stream.shutdown().await
    }
}

impl Moved {
    fn out(bytes: usize) -> Self {
        if bytes == 0 { Moved::Closed } else { Moved::Out(bytes) }
    }
}
