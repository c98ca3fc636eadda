//! Past telemetry of any points, combined as asked.

use crate::{
    ApiError, Context,
    auth::Reader,
    telemetry::{Ask, Format, TelemetryQuery, answer},
};
use axum::{
    extract::{RawQuery, State},
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};

/// Query telemetry
///
/// Readings as they were sent, or what steps of time come to, of any selection of points: kinds narrow each other, names within a
/// kind widen. Answers of any size are sent as they are made, in JSON, CSV or Arrow's streaming format; what fails on the way
/// cuts the connection. An API key's answer holds what is in its scope and nothing else. See `docs/query.md`.
#[utoipa::path(get, path = "/api/v1/telemetry/query", tag = "devices", security(("bearer" = ["viewer"]), ("apiKey" = ["read"])),
    params(TelemetryQuery, ("q.NAME" = Option<String>, Query,
        description = "With `step`: a selection with a name, for columns side by side and for `expr`: \
            `group=pv;measurement=power;aggregate=twa;across=sum`. What it does not say is as in the plain parameters.")),
    responses((status = 200, body = ref("TelemetryAnswer"))))]
pub(crate) async fn query(
    State(app): Context,
    reader: Reader,
    RawQuery(text): RawQuery,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let (query, named) = TelemetryQuery::parse(text.as_deref().unwrap_or_default())?;
    let format = Format::of(query.format.as_deref(), &headers)?;
    let ask = Ask::of(&query, &named, (app.state.clock)())?;
    let name = format!("telemetry-{}-{}.{}", ask.from.0, ask.to.0, format.extension());
    let mut response = answer(&app, reader, ask, format).await?;
    if query.download == Some(true) {
        let disposition = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, disposition.map_err(|e| ApiError::internal(&e))?);
    }
    Ok(response)
}
