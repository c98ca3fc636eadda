//! The park's energy: now, today, and as curves.

use crate::{
    ApiError, Context,
    answer::{self, Prepared, ok},
    auth::{As, RoleViewer},
    extract::{Query, Time},
};
use axum::extract::State;
use jiff::tz::TimeZone;
use serde::Deserialize;
use shared::energy::EnergyCurve;
use utoipa::IntoParams;

const STEP_DEFAULT_S: u32 = 900;
/// Dashboards ask together; nobody sees a tenth of a second.
const SUMMARY_KEPT_MS: i64 = 100;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CurveQuery {
    /// RFC 3339 or Unix milliseconds; the park's midnight when left out.
    #[param(value_type = Option<String>)]
    from: Option<Time>,
    /// Now when left out.
    #[param(value_type = Option<String>)]
    to: Option<Time>,
    /// Seconds; 900 when left out.
    step: Option<u32>,
}

/// Now and today
///
/// Import, export, PV, load, storage, cost, kgCO₂e with its factor's source, self-sufficiency.
#[utoipa::path(get, path = "/api/v1/energy/summary", tag = "energy", security(("bearer" = ["viewer"])),
    responses((status = 200, body = ref("EnergySummary"))))]
pub(crate) async fn summary(State(app): Context, _: As<RoleViewer>) -> Result<Prepared, ApiError> {
    let now = (app.state.clock)();
    let slot = now.0.div_euclid(SUMMARY_KEPT_MS);
    let kept = app.energy.get_or(
        |kept| *kept == slot,
        || answer::envelope(&app.state.energy.summary(now)).map(|bytes| (slot, bytes)),
    );
    kept.map(Prepared).map_err(|error| ApiError::internal(&error))
}

/// Curves of the park's balance
#[utoipa::path(get, path = "/api/v1/energy/curve", tag = "energy", security(("bearer" = ["viewer"])),
    params(CurveQuery), responses((status = 200, body = ref("EnergyCurve"))))]
pub(crate) async fn curve(
    State(app): Context,
    _: As<RoleViewer>,
    Query(query): Query<CurveQuery>,
) -> answer::Result<EnergyCurve> {
    let now = (app.state.clock)();
    let to = query.to.map_or(now, |Time(at)| at);
    let from = match query.from {
        Some(Time(at)) => at,
        None => {
            let zone = TimeZone::get(&app.state.twin.scene().park.time_zone).unwrap_or(TimeZone::UTC);
            to.start_of_day(&zone)
        }
    };
    if from > to {
        return Err(ApiError::field("INVALID_VALUE", "from", "from is after to"));
    }
    ok(app.state.energy.curve(from, to, query.step.unwrap_or(STEP_DEFAULT_S), now).await?)
}
