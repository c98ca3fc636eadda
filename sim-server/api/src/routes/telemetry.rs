//! Past telemetry of any points, combined as asked.

use crate::{
    ApiError, Context,
    auth::{As, RoleViewer},
    telemetry::{Ask, Format, TelemetryQuery, answer},
};
use axum::{
    extract::{RawQuery, State},
    http::HeaderMap,
    response::Response,
};

/// Query telemetry
///
/// Readings as they were sent, or what steps of time come to, of any selection of points: kinds narrow each other, names within a
/// kind widen. Answers of any size are sent as they are made, in JSON, CSV or Arrow's streaming format; what fails on the way
/// cuts the connection. See `docs/query.md`.
#[utoipa::path(get, path = "/api/v1/telemetry/query", tag = "devices", security(("bearer" = ["viewer"])),
    params(TelemetryQuery, ("q.NAME" = Option<String>, Query,
        description = "With `step`: a selection with a name, for columns side by side and for `expr`: \
            `group=pv;measurement=power;aggregate=twa;across=sum`. What it does not say is as in the plain parameters.")),
    responses((status = 200, body = ref("TelemetryAnswer"))))]
pub(crate) async fn query(
    State(app): Context,
    _: As<RoleViewer>,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (query, named) = TelemetryQuery::parse(text.as_deref().unwrap_or_default())?;
    let format = Format::of(query.format.as_deref(), &headers)?;
    let ask = Ask::of(&query, &named, (app.state.clock)())?;
    answer(&app, ask, format).await
}
