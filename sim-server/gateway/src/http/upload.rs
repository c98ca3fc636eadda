//! A body of lines, read as it comes: inflated where it is compressed, never held whole.

use super::answer::Problem;
use crate::bulk::{
    inflate::Inflate,
    lines::{Line, LineEnds, Lines},
};
use axum::{
    body::{BodyDataStream, Bytes},
    extract::Request,
    http::{HeaderMap, StatusCode, header},
};
use futures::StreamExt;
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A sender that says nothing for so long is given up.
const SILENT_AT_MOST: Duration = Duration::from_secs(60);
/// Uploads under way at once: each holds a few lines and a few batches in memory.
const MOST_AT_ONCE: usize = 32;

static SEATS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(MOST_AT_ONCE)));

pub(super) struct Upload {
    body: BodyDataStream,
    inflate: Option<Inflate>,
    /// Not inflated yet.
    compressed: Bytes,
    lines: Lines,
    is_over: bool,
    /// As they came, compressed or not.
    received: u64,
    _seat: OwnedSemaphorePermit,
}

/// Why no more of a body can be read. What came before stands.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadFault {
    #[error("the body could not be read: {0}")]
    Unreadable(#[from] axum::Error),
    #[error("nothing came for {} s", SILENT_AT_MOST.as_secs())]
    Silent,
    #[error("the body is not the gzip it says it is: {0}")]
    Gzip(#[from] std::io::Error),
}

impl Upload {
    /// Nothing is read yet. Lines of up to `longest` bytes are given.
    pub(super) fn open(request: Request, ends: LineEnds, longest: usize) -> Result<Self, Problem> {
        let inflate = is_gzip(request.headers())?.then(Inflate::new);
        let seat = Arc::clone(&SEATS).try_acquire_owned().map_err(|_| {
            let message = format!("{MOST_AT_ONCE} uploads are under way; try again");
            let busy = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", message);
            Problem { retry_after_s: Some(1), ..busy }
        })?;
        Ok(Self {
            body: request.into_body().into_data_stream(),
            inflate,
            compressed: Bytes::new(),
            lines: Lines::new(ends, longest),
            is_over: false,
            received: 0,
            _seat: seat,
        })
    }

    /// The next line of what was read, and its number from 1; `None`: [`Upload::more`] is to be read first.
    pub(super) fn next(&mut self) -> Option<(u64, Line<'_>)> {
        if self.is_over { self.lines.finish() } else { self.lines.next() }
    }

    /// Bytes of the body since last asked.
    pub(super) fn take_received(&mut self) -> u64 {
        std::mem::take(&mut self.received)
    }

    /// Reads on; `false` when there is nothing more.
    pub(super) async fn more(&mut self) -> Result<bool, UploadFault> {
        if self.is_over {
            return Ok(false);
        }
        while self.compressed.is_empty() {
            let chunk = tokio::time::timeout(SILENT_AT_MOST, self.body.next()).await;
            let chunk = chunk.map_err(|_| UploadFault::Silent)?.transpose()?;
            self.received += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
            match (chunk, &mut self.inflate) {
                (Some(chunk), Some(_)) => self.compressed = chunk,
                (Some(chunk), None) => {
                    self.lines.feed(chunk);
                    return Ok(true);
                }
                (None, Some(_)) => {
                    let rest = self.inflate.take().map(|mut inflate| inflate.finish()).transpose()?;
                    self.lines.feed(rest.unwrap_or_default());
                    return Ok(true);
                }
                // The last line may have no end.
                (None, None) => {
                    self.is_over = true;
                    return Ok(true);
                }
            }
        }
        if let Some(inflate) = &mut self.inflate {
            self.lines.feed(inflate.take(&mut self.compressed)?);
        }
        Ok(true)
    }
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, Problem> {
    let Some(coding) = headers.get(header::CONTENT_ENCODING) else { return Ok(false) };
    match coding.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "gzip" | "x-gzip" => Ok(true),
        "identity" | "" => Ok(false),
        other => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_ENCODING",
            format!("a body may come plain or as gzip, not as {other:?}"),
        )),
    }
}
