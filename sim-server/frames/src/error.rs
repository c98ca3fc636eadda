//! Why payloads could not be kept or handed on.

#[derive(Debug, Clone, thiserror::Error)]
pub enum FrameError {
    #[error("{address} is no PostgreSQL address for gateways: {reason}")]
    Address { address: String, reason: String },
    #[error("{doing}: {reason}")]
    Database { doing: &'static str, reason: String },
    #[error("frame {seq} of writer {writer} cannot be read: {reason}")]
    Damaged { writer: i64, seq: i64, reason: String },
    /// The writer's task is gone, as when the process stops.
    #[error("the frame writer has stopped")]
    Stopped,
}

pub(crate) fn database(doing: &'static str) -> impl Fn(sqlx::Error) -> FrameError {
    move |e| FrameError::Database { doing, reason: e.to_string() }
}
