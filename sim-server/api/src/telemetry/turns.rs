//! How many answers are made at once: the memory they take does not grow with the number of those who ask.

use crate::{ApiError, ApiOptions};
use axum::http::StatusCode;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

#[derive(Debug)]
pub(crate) struct Turns {
    places: Arc<Semaphore>,
    within: Duration,
}

/// The right to make an answer, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _place: OwnedSemaphorePermit,
}

impl Turns {
    pub(crate) fn new(options: &ApiOptions) -> Turns {
        let places = Arc::new(Semaphore::new(options.telemetry_answers));
        Turns { places, within: options.telemetry_turn_within }
    }

    /// The next turn, in the order of asking.
    pub(crate) async fn take(&self) -> Result<Turn, ApiError> {
        match timeout(self.within, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(Turn { _place: place }),
            _ => {
                let message =
                    "as many questions about telemetry are being answered as can be; try again in a moment";
                Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "BUSY", message).retry_after(1))
            }
        }
    }
}
