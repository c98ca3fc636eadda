//! What goes out to an API key is counted, and ends when the key does.

use crate::{App, Context, auth::PassSlot};
use access::Pass;
use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
};

/// Wraps every route. Beneath the compression: what is counted does not depend on what a client can unpack.
pub(crate) async fn meter(State(app): Context, mut request: Request, next: Next) -> Response {
    let slot = PassSlot::default();
    request.extensions_mut().insert(slot.clone());
    let response = next.run(request).await;
    match slot.pass() {
        Some(pass) => response.map(|body| Body::new(Metered { body, pass, app })),
        None => response,
    }
}

struct Metered {
    body: Body,
    pass: Pass,
    app: Arc<App>,
}

impl hyper::body::Body for Metered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => frame,
            other => return other,
        };
        let now = (self.app.state.clock)();
        // What is cut short is not taken for a whole answer.
        if let Err(fault) = self.pass.still_good(now) {
            return Poll::Ready(Some(Err(axum::Error::new(io::Error::other(fault)))));
        }
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.pass.sent(u64::try_from(bytes).unwrap_or(u64::MAX), now);
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
