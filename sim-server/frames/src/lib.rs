//! Payloads on their way from several gateways to the one server of a park, kept in PostgreSQL.
//!
//! A gateway has no disk of its own that counts: what it acknowledges is committed here first. A *frame* is what one commit
//! took, many payloads; each gateway process writes under a number of its own, its frames counted from 1, so that
//! repeating a commit whose outcome nobody knows adds nothing, and a reader that has seen a frame has seen all
//! before it.
//!
//! - [`FrameWriter`]: a gateway's side. Many callers wait for one commit.
//! - [`FrameReader`]: the server's side. What it hands out stays until [`FrameReader::forget`].
//!
//! Frames outlive the server's own disk: it forgets them only once what they said is in PostgreSQL as blocks.

mod coding;
mod error;
mod reader;
mod table;
mod writer;

pub use coding::Payload;
pub use error::FrameError;
pub use reader::{Frame, FrameReader, Position};
pub use writer::{FrameWriter, WriterOptions};
