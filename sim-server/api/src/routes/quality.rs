//! How good the data are, by device and day.

use crate::{
    ApiError, Context,
    answer::{self, ok},
    auth::{As, RoleViewer},
    extract::{Query, Time},
};
use axum::extract::State;
use serde::Deserialize;
use shared::{id::DeviceId, quality::QualityReport, time::Timestamp};
use twin::{QualityError, QualityQuery};
use utoipa::IntoParams;

const LIMIT_DEFAULT: usize = 1_000;
const LIMIT_MAX: usize = 50_000;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// Any instant of the first day, RFC 3339 or Unix milliseconds; the park's today when left out.
    #[param(value_type = Option<String>)]
    from: Option<Time>,
    /// Any instant of the last day; now when left out.
    #[param(value_type = Option<String>)]
    to: Option<Time>,
    /// One device.
    device: Option<String>,
    /// A thing model's id or a role, such as `weather-station` or `sensor`.
    r#type: Option<String>,
    /// Most rows of single devices, 1,000 unless told, at most 50,000. The park's own figures count all of them.
    limit: Option<usize>,
}

/// Data quality
///
/// Completeness, timeliness and validity by park day and device, with what lies behind them: late and back-filled readings, those
/// flagged and why, duplicates, the longest gap, the clock's error; and the park's quantities with several sources, which of them is
/// used and where they differ.
#[utoipa::path(get, path = "/api/v1/quality", tag = "devices", security(("bearer" = ["viewer"])),
    params(Asked), responses((status = 200, body = ref("QualityReport"))))]
pub(crate) async fn report(
    State(app): Context,
    _: As<RoleViewer>,
    Query(asked): Query<Asked>,
) -> answer::Result<QualityReport> {
    let now = (app.state.clock)();
    let to = asked.to.map_or(now, |Time(at)| at).min(now);
    let from = asked.from.map_or(to, |Time(at)| at).max(Timestamp(0));
    if from > to {
        return Err(ApiError::field("INVALID_VALUE", "from", format!("from {from} is after to {to}")));
    }
    let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
    if limit > LIMIT_MAX {
        let message = format!("limit is at most {LIMIT_MAX}, not {limit}");
        return Err(ApiError::field("INVALID_VALUE", "limit", message));
    }
    let device: Option<DeviceId> = match asked.device {
        None => None,
        Some(text) => {
            let id = text.parse().map_err(|e: shared::id::InvalidId| {
                ApiError::field("INVALID_VALUE", "device", e.to_string())
            })?;
            app.require_device(&id)?;
            Some(id)
        }
    };
    let query = QualityQuery { from, to, device, kind: asked.r#type, limit };
    let report = app.state.twin.quality(&query, now).await.map_err(|error| match error {
        QualityError::TooMuch { .. } => ApiError::field("INVALID_VALUE", "from", error.to_string()),
        QualityError::UnknownKind(_) => ApiError::field("INVALID_VALUE", "type", error.to_string()),
        QualityError::Records(error) => error.into(),
    })?;
    ok(report)
}
