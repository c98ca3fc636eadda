//! The dispatch plan.

use crate::{
    ApiError, Context,
    answer::{self, Prepared, ok},
    auth::{As, RoleOperator, RoleViewer},
};
use axum::extract::State;
use shared::plan::{PlanTracking, PlanView};
use std::sync::Arc;

/// The plan in force
///
/// Version 0 is no plan yet. An infeasible one names the binding limit and the step.
#[utoipa::path(get, path = "/api/v1/vpp/plan", tag = "dispatch", security(("bearer" = ["viewer"])),
    responses((status = 200, body = ref("PlanView"))))]
pub(crate) async fn current(State(app): Context, _: As<RoleViewer>) -> Result<Prepared, ApiError> {
    let plan = app.state.vpp.plan();
    let kept = app.plan.get_or(
        |version| *version == plan.version,
        || answer::envelope(&plan).map(|bytes| (plan.version, bytes)),
    );
    kept.map(Prepared).map_err(|error| ApiError::internal(&error))
}

/// Plan now
#[utoipa::path(post, path = "/api/v1/vpp/plan", tag = "dispatch", security(("bearer" = ["operator"])),
    responses((status = 200, body = ref("PlanView"))))]
pub(crate) async fn plan_now(State(app): Context, caller: As<RoleOperator>) -> answer::Result<Arc<PlanView>> {
    let now = (app.state.clock)();
    let plan = app.state.vpp.plan_now().await?;
    app.audit(&caller.who.name(), "plan", &format!("version {}", plan.version), now).await;
    ok(plan)
}

/// Plan against actual
#[utoipa::path(get, path = "/api/v1/vpp/tracking", tag = "dispatch", security(("bearer" = ["viewer"])),
    responses((status = 200, body = ref("PlanTracking"))))]
pub(crate) async fn tracking(State(app): Context, _: As<RoleViewer>) -> answer::Result<PlanTracking> {
    ok(app.state.vpp.tracking())
}
