//! What comes in bulk, as text: bytes inflated, lines cut out of a body's chunks, and what a line says. Pure.
//!
//! A body is never held whole: [`lines::Lines`] keeps at most one line that lies across chunks, and the parsers fill buffers that are
//! used again for the next line or point into the line itself.

pub(crate) mod inflate;
pub(crate) mod line_protocol;
pub(crate) mod lines;
pub(crate) mod ndjson;

#[cfg(test)]
mod fuzzing;
