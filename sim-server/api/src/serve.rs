//! The loop that accepts connections.
//!
//! As axum's own, with what it leaves out: a client that opens a connection and sends no request is let go, connections
//! have a number they do not exceed, small answers leave at once, and stopping does not wait for ever.

mod seats;

use self::seats::{Answering, Seat, Seats};
use crate::ApiError;
use axum::{
    Router,
    extract::ConnectInfo,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use hyper::{
    body::{Body, Bytes, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;

const MOST_CONNECTIONS: usize = 16_000;
/// Connections that are told at one time that there is no seat, and how long they may take to hear it.
const REFUSED_AT_ONCE: usize = 16;
const REFUSED_WITHIN: Duration = Duration::from_secs(2);
/// Between attempts to accept when the process may open no more.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy)]
pub struct ServeOptions {
    /// Connections at once, live streams included. Beyond, the one idle for longest gives way; where all are being
    /// answered, newcomers hear 503. By default what the process may open leaves for them.
    pub max_connections: usize,
    /// How long a connection may take to send its first request's head.
    pub first_head_within: Duration,
    /// How long it may take to send a further one's, being idle between requests included.
    pub head_within: Duration,
    /// How long requests in progress may go on once the server stops.
    pub goodbye_within: Duration,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            max_connections: MOST_CONNECTIONS
                .min(seats::open_files_limit().map_or(usize::MAX, seats::affordable)),
            first_head_within: Duration::from_secs(15),
            head_within: Duration::from_secs(75),
            goodbye_within: Duration::from_secs(10),
        }
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
    tracing::info!(%address, max_connections = options.max_connections, "HTTP open");
    let seats = Seats::new(options.max_connections);
    let refusals = Arc::new(Semaphore::new(REFUSED_AT_ONCE));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                if let Some(seat) = seats.take() {
                    let connection = converse(stream, peer, seat, router.clone(), options, shutdown.clone());
                    connections.spawn(connection);
                    continue;
                }
                count_closed("too_many_connections");
                if let Ok(permit) = Arc::clone(&refusals).try_acquire_owned() {
                    connections.spawn(async move {
                        refuse(stream).await;
                        drop(permit);
                    });
                }
            }
            // The client gave up while waiting.
            Err(error) if is_the_clients(&error) => {}
            Err(error) => {
                // Out of file descriptors, most likely: an idle connection gives one back, the others in their time.
                metrics::counter!("park_http_accept_errors_total").increment(1);
                let made_room = seats.make_one_give_way();
                tracing::warn!(%error, %address, made_room, "a connection could not be accepted");
                shutdown.run_until_cancelled(sleep(ACCEPT_PAUSE)).await;
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

/// Connections that ended otherwise than by being done.
fn count_closed(reason: &'static str) {
    metrics::counter!("park_http_closed_total", "reason" => reason).increment(1);
}

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    seat: Arc<Seat>,
    router: Router,
    options: ServeOptions,
    shutdown: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, %peer, "a connection keeps its delay");
    }
    let service = service_fn({
        let seat = Arc::clone(&seat);
        move |request| answer(request, peer, seat.answering(), router.clone())
    });
    let stream = Seated { stream, _seat: Arc::clone(&seat) };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.head_within)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let stays_silent = async {
        if timeout(options.first_head_within, seat.asked()).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = seat.gave_way() => return count_closed("gave_way"),
        () = stays_silent => return count_closed("head_timeout"),
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        if error.is_timeout() {
            count_closed("head_timeout");
        } else if error.is_parse() {
            count_closed("malformed");
        }
        tracing::debug!(%error, %peer, "a connection ended");
    }
}

async fn answer(
    mut request: hyper::Request<Incoming>,
    peer: SocketAddr,
    answering: Answering,
    router: Router,
) -> Result<Response<AnswerBody>, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    let response = router.oneshot(request.map(axum::body::Body::new)).await?;
    let answering = if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        answering.for_good();
        None
    } else {
        Some(answering)
    };
    Ok(response.map(|body| AnswerBody { body, _answering: answering }))
}

/// Says that there is no seat.
async fn refuse(stream: TcpStream) {
    let service = service_fn(|_: hyper::Request<Incoming>| async {
        let message = "the server answers as many connections as it can; try again in a moment";
        let error = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "TOO_MANY_CONNECTIONS", message);
        Ok::<_, Infallible>(error.retry_after(1).into_response())
    });
    let conversation =
        http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service);
    // Told or not, it is over.
    let _ = timeout(REFUSED_WITHIN, conversation).await;
}

/// A body that keeps its connection from being idle until it is sent.
struct AnswerBody {
    body: axum::body::Body,
    _answering: Option<Answering>,
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A socket that holds its seat also when it is no longer HTTP: a live stream.
struct Seated {
    stream: TcpStream,
    _seat: Arc<Seat>,
}

impl AsyncRead for Seated {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Seated {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::Notify,
    };

    const PATIENCE: Duration = Duration::from_secs(20);

    /// `/` answers at once, `/slow` says that it was asked and answers when told.
    async fn serving(options: ServeOptions) -> (SocketAddr, Arc<[Notify; 2]>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let signals = Arc::new([Notify::new(), Notify::new()]);
        let slow = Arc::clone(&signals);
        let slow = get(move || {
            let slow = Arc::clone(&slow);
            async move {
                slow[0].notify_one();
                slow[1].notified().await;
                "at last"
            }
        });
        let router = Router::new().route("/", get(|| async { "here" })).route("/slow", slow);
        tokio::spawn(serve(listener, router, options, CancellationToken::new()));
        (address, signals)
    }

    async fn ask(stream: &mut TcpStream, path: &str) {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    }

    async fn status(stream: &mut TcpStream) -> String {
        let mut line = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut line)).await.expect("an answer").unwrap();
        String::from_utf8(line.to_vec()).unwrap()
    }

    async fn is_ended(stream: &mut TcpStream) -> bool {
        timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.is_ok()
    }

    #[tokio::test]
    async fn more_silent_sockets_than_seats_keep_nobody_out() {
        let (address, _) = serving(ServeOptions { max_connections: 3, ..Default::default() }).await;
        let mut silent = Vec::new();
        for sent in ["", "GET / HTTP/1.1\r\nx-slow"].repeat(5) {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(sent.as_bytes()).await.unwrap();
            silent.push(stream);
        }
        let mut asking = TcpStream::connect(address).await.unwrap();
        ask(&mut asking, "/").await;
        assert_eq!(status(&mut asking).await, "HTTP/1.1 200");
        for stream in &mut silent[..8] {
            assert!(is_ended(stream).await);
        }
    }

    #[tokio::test]
    async fn where_all_are_being_answered_a_newcomer_is_told_to_come_again() {
        let (address, signals) = serving(ServeOptions { max_connections: 1, ..Default::default() }).await;
        let [asked, go_on] = &*signals;
        let mut slow = TcpStream::connect(address).await.unwrap();
        ask(&mut slow, "/slow").await;
        timeout(PATIENCE, asked.notified()).await.expect("the handler runs");
        let mut newcomer = TcpStream::connect(address).await.unwrap();
        ask(&mut newcomer, "/").await;
        let mut told = String::new();
        timeout(PATIENCE, newcomer.read_to_string(&mut told)).await.expect("an end").unwrap();
        assert!(told.starts_with("HTTP/1.1 503") && told.contains("retry-after: 1"), "{told}");
        assert!(told.contains("TOO_MANY_CONNECTIONS"), "{told}");
        go_on.notify_one();
        assert_eq!(status(&mut slow).await, "HTTP/1.1 200");
    }

    #[tokio::test]
    async fn who_never_asks_is_let_go_sooner_than_who_has_asked() {
        let options =
            ServeOptions { first_head_within: Duration::from_millis(100), ..ServeOptions::default() };
        let (address, _) = serving(options).await;
        let mut asked = TcpStream::connect(address).await.unwrap();
        ask(&mut asked, "/").await;
        assert_eq!(status(&mut asked).await, "HTTP/1.1 200");
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert!(is_ended(&mut silent).await);
        ask(&mut asked, "/").await;
        // The rest of the first answer, then the second.
        let mut seen = Vec::new();
        while String::from_utf8_lossy(&seen).matches("here").count() < 2 {
            let read = timeout(PATIENCE, asked.read_buf(&mut seen)).await.expect("an answer").unwrap();
            assert!(read > 0, "closed: {}", String::from_utf8_lossy(&seen));
        }
    }
}
