//! Who may read telemetry: a person with at least the role viewer, a wall, or an API key within its scope.

use super::{As, RoleViewer, caller::peer};
use crate::{ApiError, App};
use access::{Credential, Pass, Right, credential};
use axum::{
    extract::FromRequestParts,
    http::{StatusCode, request::Parts},
};
use parking_lot::Mutex;
use shared::{id::DeviceId, selector::DeviceFacts, time::Timestamp};
use std::sync::Arc;

/// A caller that may read. A handler that takes it is open for API keys, and says so in its documentation:
/// `security(("bearer" = ["viewer"]), ("apiKey" = ["read"]))`.
pub(crate) enum Reader {
    Person,
    Key(Pass),
}

/// Where [`Reader`] leaves a request's pass for whoever sends the answer.
#[derive(Clone, Default)]
pub(crate) struct PassSlot(Arc<Mutex<Option<Pass>>>);

impl PassSlot {
    pub(crate) fn pass(&self) -> Option<Pass> {
        self.0.lock().clone()
    }
}

impl FromRequestParts<Arc<App>> for Reader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        if !matches!(credential(&parts.headers), Ok(Credential::Key(_))) {
            As::<RoleViewer>::from_request_parts(parts, app).await?;
            return Ok(Reader::Person);
        }
        let now = (app.state.clock)();
        let pass = app.state.keys.admit_request(&parts.headers, peer(parts), Right::Read, now)?;
        if let Some(slot) = parts.extensions.get::<PassSlot>() {
            *slot.0.lock() = Some(pass.clone());
        }
        Ok(Reader::Key(pass))
    }
}

impl Reader {
    /// Whether it may see that a device is there.
    pub(crate) fn sees(&self, device: DeviceFacts<'_>) -> bool {
        match self {
            Reader::Person => true,
            Reader::Key(pass) => pass.may_see(device),
        }
    }

    /// Whether it may read a device's measurement.
    pub(crate) fn may_read(&self, device: DeviceFacts<'_>, measurement: &str) -> bool {
        match self {
            Reader::Person => true,
            Reader::Key(pass) => pass.may(device, measurement),
        }
    }

    /// Refuses what is not in a key's scope, in one way whether the device is there or not: ids are not for guessing.
    /// Without a measurement any will do.
    pub(crate) fn require(
        &self,
        app: &App,
        device: &DeviceId,
        measurement: Option<&str>,
    ) -> Result<(), ApiError> {
        let Reader::Key(pass) = self else { return Ok(()) };
        let entry = app.state.twin.registry().get(device.as_str());
        let is_meant = match &entry {
            Some(entry) => match measurement {
                Some(measurement) => pass.may(entry.facts(), measurement),
                None => pass.may_see(entry.facts()),
            },
            // A key of the whole park may be told that there is no such thing.
            None => pass.key().scope.is_everything(),
        };
        if is_meant {
            return Ok(());
        }
        pass.refused((app.state.clock)());
        let what = measurement
            .map_or_else(String::new, |key| format!(" {:?}", key.chars().take(64).collect::<String>()));
        let message = format!("{device}{what} is not in the scope of this key: {}", pass.key().scope);
        Err(ApiError::new(StatusCode::FORBIDDEN, "OUT_OF_SCOPE", message))
    }

    /// The answer holds so many points.
    pub(crate) fn gave(&self, points: usize, now: Timestamp) {
        if let Reader::Key(pass) = self {
            pass.read(u64::try_from(points).unwrap_or(u64::MAX), now);
        }
    }
}
