//! Alarms: what a person must act on.

use crate::{
    Context,
    answer::{self, Paged, Paging, ok},
    auth::{As, RoleOperator, RoleViewer},
    extract::{Id, Query, Time},
};
use axum::extract::State;
use serde::Deserialize;
use shared::{alarm::Alarm, id::AlarmId, time::Timestamp};
use utoipa::{IntoParams, ToSchema};

#[derive(Deserialize, Clone, Copy, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AlarmState {
    /// Active, or not acknowledged yet.
    Open,
    /// All that were ever raised.
    All,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AlarmQuery {
    /// `open` (the default): active or not acknowledged. `all`: history too.
    #[param(inline)]
    state: Option<AlarmState>,
    /// Raised at or after: RFC 3339 or Unix milliseconds.
    #[param(value_type = Option<String>)]
    from: Option<Time>,
    /// Raised before.
    #[param(value_type = Option<String>)]
    to: Option<Time>,
    /// From 1.
    page: Option<u64>,
    /// Items a page, 50 unless told, at most 1,000.
    size: Option<u64>,
}

/// List alarms, newest first
#[utoipa::path(get, path = "/api/v1/alarms", tag = "alarms", security(("bearer" = ["viewer"])),
    params(AlarmQuery), responses((status = 200, body = ref("page:Alarm"))))]
pub(crate) async fn list(
    State(app): Context,
    _: As<RoleViewer>,
    Query(query): Query<AlarmQuery>,
) -> answer::Result<Paged<Alarm>> {
    let paging = Paging::of(query.page, query.size)?;
    let from = query.from.map_or(Timestamp(i64::MIN), |Time(at)| at);
    let to = query.to.map_or(Timestamp(i64::MAX), |Time(at)| at);
    match query.state.unwrap_or(AlarmState::Open) {
        AlarmState::Open => {
            let mut open = app.state.twin.open_alarms();
            open.retain(|alarm| (from..to).contains(&alarm.raised_at));
            open.sort_by(|a, b| (b.raised_at, &b.id).cmp(&(a.raised_at, &a.id)));
            ok(paging.cut(open, |alarm| alarm))
        }
        AlarmState::All => {
            let page = app.state.records.alarms(from, to, paging.limit(), paging.offset()).await?;
            ok(paging.page(page, |alarm| alarm))
        }
    }
}

/// Acknowledge an alarm
///
/// Says that someone has seen it; it is cleared by its cause going away, not by this.
#[utoipa::path(post, path = "/api/v1/alarms/{id}/acknowledge", tag = "alarms",
    security(("bearer" = ["operator"])), params(("id" = String, Path)),
    responses((status = 200, body = ref("Alarm"))))]
pub(crate) async fn acknowledge(
    State(app): Context,
    caller: As<RoleOperator>,
    Id(id): Id<AlarmId>,
) -> answer::Result<Alarm> {
    let now = (app.state.clock)();
    let alarm = app.state.twin.acknowledge_alarm(&id, &caller.who.name(), now).await?;
    app.audit(&caller.who.name(), "alarm.acknowledge", id.as_str(), now).await;
    ok(alarm)
}

/// Clear an alarm
///
/// Says that it is over, and acknowledges it. Alarms end by themselves when their cause goes away; this is for causes the
/// park cannot see end. Where the cause is still there, the alarm is raised anew as soon as it is seen again.
#[utoipa::path(post, path = "/api/v1/alarms/{id}/clear", tag = "alarms",
    security(("bearer" = ["operator"])), params(("id" = String, Path)),
    responses((status = 200, body = ref("Alarm"))))]
pub(crate) async fn clear(
    State(app): Context,
    caller: As<RoleOperator>,
    Id(id): Id<AlarmId>,
) -> answer::Result<Alarm> {
    let now = (app.state.clock)();
    let alarm = app.state.twin.clear_alarm(&id, &caller.who.name(), now).await?;
    app.audit(&caller.who.name(), "alarm.clear", id.as_str(), now).await;
    ok(alarm)
}
