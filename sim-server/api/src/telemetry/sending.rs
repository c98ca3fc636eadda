//! An answer as it goes out: the next bytes are made while the last ones are sent, and no more of them than the client takes.

use super::{
    answer::Source,
    turns::Turn,
    write::{Format, Head, Writer},
};
use crate::{ApiError, trace};
use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use std::{io, time::Duration};
use tokio::{sync::mpsc, time::timeout};

/// Bytes that go out together.
pub(super) const CHUNK: usize = 256 << 10;

/// An answer on its way.
pub(super) struct Sending {
    source: Source,
    writer: Writer,
    /// Hears of points as they are taken.
    counted: Box<dyn Fn(usize) + Send>,
    is_over: bool,
}

impl Sending {
    /// What comes first is written: everything that is said of the answer.
    pub(super) fn new(
        source: Source,
        head: &Head,
        format: Format,
        counted: impl Fn(usize) + Send + 'static,
    ) -> Sending {
        let mut writer = Writer::new(format);
        match &source {
            Source::Table(rows) => writer.table(head, &rows.table.columns),
            Source::Chart(..) | Source::Readings(_) | Source::Cleaned(_) => writer.series(head),
        }
        Sending { source, writer, counted: Box::new(counted), is_over: false }
    }

    /// The next bytes, at least `CHUNK` of them while there is more; none when all are taken.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        while !self.is_over && self.writer.waiting() < CHUNK {
            if !self.source.step(&mut self.writer).await? {
                self.writer.end();
                self.is_over = true;
            }
        }
        let points = self.writer.take_points();
        if points > 0 {
            (self.counted)(points);
        }
        Ok((self.writer.waiting() > 0).then(|| self.writer.take()))
    }
}

/// Sends what fits into the first bytes as a whole; of what is longer, the rest as it is taken, for as long as at least something is
/// taken `within` that time.
pub(super) async fn respond(
    mut sending: Sending,
    format: Format,
    turn: Turn,
    within: Duration,
) -> Result<Response, ApiError> {
    let first = sending.next().await?.unwrap_or_default();
    let body = if sending.is_over { Body::from(first) } else { rest_of(first, sending, turn, within) };
    let media_type = HeaderValue::from_static(format.media_type());
    Ok(([(header::CONTENT_TYPE, media_type)], body).into_response())
}

enum Part {
    Some(Bytes),
    /// That was all: a body without this is not whole.
    End,
}

/// Why an answer has no end.
enum Cut {
    Failed(ApiError),
    NotTaken,
}

/// Makes the rest beside whoever sends it, so that a client that takes nothing holds two parts of it and no more.
fn rest_of(first: Bytes, sending: Sending, turn: Turn, within: Duration) -> Body {
    let (sender, receiver) = mpsc::channel(1);
    let trace_id = trace::current();
    tokio::spawn(async move {
        let cut = tokio::select! {
            // Nobody is there any more.
            () = sender.closed() => None,
            cut = make(sending, &sender, within) => cut.err(),
        };
        drop(turn);
        // The status is long sent: all that is left is to end without an end.
        let reason = match cut {
            None => return,
            Some(Cut::Failed(error)) => {
                tracing::error!(%trace_id, ?error, "an answer was cut off");
                "failed"
            }
            Some(Cut::NotTaken) => {
                tracing::info!(%trace_id, "an answer was cut off, since nobody took it");
                "not_taken"
            }
        };
        metrics::counter!("park_http_answers_cut_total", "reason" => reason).increment(1);
    });
    let rest = stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Part::Some(bytes)) => Some((Ok(bytes), Some(receiver))),
            Some(Part::End) => None,
            None => Some((Err(io::Error::other("the answer could not be completed")), None)),
        }
    });
    Body::from_stream(stream::once(async { Ok(first) }).chain(rest))
}

async fn make(mut sending: Sending, sender: &mpsc::Sender<Part>, within: Duration) -> Result<(), Cut> {
    loop {
        let bytes = sending.next().await.map_err(Cut::Failed)?;
        let is_end = bytes.is_none();
        match timeout(within, sender.send(bytes.map_or(Part::End, Part::Some))).await {
            Ok(Ok(())) if !is_end => {}
            Ok(_) => return Ok(()),
            Err(_) => return Err(Cut::NotTaken),
        }
    }
}
