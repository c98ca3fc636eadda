//! The audit trail.

use crate::{
    App, Context,
    answer::{self, Paged, Paging, ok},
    auth::{As, RoleAdmin},
    extract::Query,
    routes::users::PageQuery,
};
use axum::extract::State;
use records::AuditEntry;
use shared::time::Timestamp;

impl App {
    /// Writes down who did what. What was done stays done if the trail cannot be written; the log says so then.
    pub(crate) async fn audit(&self, who: &str, action: &str, what: &str, now: Timestamp) {
        if let Err(error) = self.state.records.audit(who, action, what, now).await {
            tracing::error!(%error, who, action, what, "the audit trail has a hole");
        }
    }
}

/// Who did what, newest first
#[utoipa::path(get, path = "/api/v1/audit", tag = "people", security(("bearer" = ["admin"])),
    params(PageQuery), responses((status = 200, body = ref("page:AuditEntry"))))]
pub(crate) async fn log(
    State(app): Context,
    _: As<RoleAdmin>,
    Query(query): Query<PageQuery>,
) -> answer::Result<Paged<AuditEntry>> {
    let paging = Paging::of(query.page, query.size)?;
    let page = app.state.records.audit_log(paging.limit(), paging.offset()).await?;
    ok(paging.page(page, |entry| entry))
}
