//! Questions about past telemetry, of one series or of all: which points, which time, in which steps, combined how, written as what.
//!
//! ```text
//! parameters → Ask (checked) → points of the registry → columns → readings or steps, window by window → bytes
//! ```
//!
//! Nothing is gathered as a whole: a window of time, or a page of some series, is read when the client has taken what came before.
//! So an answer of any size needs the memory of a window, so many answers are made at once, a client that goes away stops the work,
//! one that is slow slows it down, and one that takes nothing ends it. What fails before the first bytes is an error like any
//! other; what fails later cuts the connection, and no format's end is written: half an answer is never taken for a whole one.

mod answer;
mod ask;
mod cleaned;
mod columns;
mod expression;
mod figure;
mod fill;
mod plan;
mod points;
mod readings;
mod rows;
mod sending;
mod step;
mod turns;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use answer::{TelemetryAnswer, answer};
pub(crate) use ask::{Ask, TelemetryQuery, range_of};
pub(crate) use cleaned::{Filling, cleaning_of, read_cleaned, refuse_without_cleaning};
pub(crate) use figure::Figure;
pub(crate) use turns::Turns;
pub(crate) use write::Format;
