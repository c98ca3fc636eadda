//! The loop that accepts connections.
//!
//! As axum's own, with what it leaves out: a client that opens a connection and sends no request is let go, small
//! answers leave at once, and stopping does not wait for ever.

use axum::{Router, extract::ConnectInfo};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{io, net::SocketAddr, pin::pin, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// How long a connection may take to send a request's head, and how long it may be idle between requests.
    pub head_within: Duration,
    /// How long requests in progress may go on once the server stops.
    pub goodbye_within: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self { head_within: Duration::from_secs(75), goodbye_within: Duration::from_secs(10) }
    }
}

/// Serves HTTP until told to stop. Handlers find the peer's address in `ConnectInfo<SocketAddr>`.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: ServeOptions,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection = converse(stream, peer, router.clone(), options, shutdown.clone());
                connections.spawn(connection);
            }
            // The client gave up while waiting.
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                // Most likely out of file descriptors: others must end before one can be accepted.
                tracing::warn!(%error, %address, "a connection could not be accepted");
                sleep(Duration::from_millis(200)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if timeout(options.goodbye_within, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections were cut off when the server stopped");
    }
    Ok(())
}

fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    options: ServeOptions,
    shutdown: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "a connection keeps its delay");
    }
    let service = router.map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.map(axum::body::Body::new)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.head_within)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .with_upgrades();
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, %peer, "a connection ended");
    }
}
