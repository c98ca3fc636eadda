//! What is left of a request's body when its handler has seen enough.
//!
//! A handler that refuses a large body answers before all of it has arrived. Were the connection closed then, the peer,
//! still writing, would often see a reset instead of the answer. So the rest is read and thrown away, within bounds.

use axum::{
    body::{Body, BodyDataStream, Bytes},
    extract::Request,
    http::header::CONTENT_LENGTH,
};
use futures::{Stream, StreamExt};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// Smaller bodies fit into the sockets' buffers: nobody is left writing.
const LARGE_BYTES: u64 = 64 << 10;
/// Whoever sends more than this much too much may see a reset.
const MOST_BYTES: usize = 64 << 20;
const LONGEST: Duration = Duration::from_secs(10);

/// The request with a body whose unread rest is read to its end.
pub(crate) fn read_to_the_end(request: Request) -> Request {
    let declared = request.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    // A body of unknown length has no such header, and neither has a request without a body.
    let small = declared.map_or_else(
        || !request.headers().contains_key(axum::http::header::TRANSFER_ENCODING),
        |bytes| bytes <= LARGE_BYTES,
    );
    if small {
        return request;
    }
    request.map(|body| Body::from_stream(ToTheEnd(Some(body.into_data_stream()))))
}

struct ToTheEnd(Option<BodyDataStream>);

impl Stream for ToTheEnd {
    type Item = Result<Bytes, axum::Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let next = body.poll_next_unpin(context);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        next
    }
}

impl Drop for ToTheEnd {
    fn drop(&mut self) {
        let (Some(mut rest), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        runtime.spawn(tokio::time::timeout(LONGEST, async move {
            let mut left = MOST_BYTES;
            while let Some(Ok(chunk)) = rest.next().await {
                left = left.saturating_sub(chunk.len());
                if left == 0 {
                    break;
                }
            }
        }));
    }
}
