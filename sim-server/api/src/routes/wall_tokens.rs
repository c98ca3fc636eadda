//! View-only tokens for screens on walls.

use crate::{
    ApiError, Context,
    answer::{self, Paged, Paging, created, ok},
    auth::{As, RoleAdmin},
    extract::{Body, Id, Query},
    routes::users::PageQuery,
};
use axum::extract::State;
use records::WallTokenInfo;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWallToken {
    /// Which wall it is for.
    name: String,
}

/// A wall's token; this is the only time it is shown.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WallToken {
    token: String,
    #[serde(flatten)]
    info: WallTokenInfo,
}

/// Create a wall token
///
/// It may look at everything a viewer may, until it is revoked, and can change nothing.
#[utoipa::path(post, path = "/api/v1/wall-tokens", tag = "people", security(("bearer" = ["admin"])),
    request_body = ref("NewWallToken"), responses((status = 201, body = ref("WallToken"))))]
pub(crate) async fn create(
    State(app): Context,
    caller: As<RoleAdmin>,
    Body(new): Body<NewWallToken>,
) -> answer::Result<WallToken> {
    let now = (app.state.clock)();
    let (info, token) = app.state.records.create_wall_token(&new.name, now).await?;
    app.audit(&caller.who.name(), "wall-token.create", &format!("{} {}", info.id, info.name), now).await;
    created(WallToken { token, info })
}

/// List wall tokens, revoked ones too
#[utoipa::path(get, path = "/api/v1/wall-tokens", tag = "people", security(("bearer" = ["admin"])),
    params(PageQuery), responses((status = 200, body = ref("page:WallTokenInfo"))))]
pub(crate) async fn list(
    State(app): Context,
    _: As<RoleAdmin>,
    Query(query): Query<PageQuery>,
) -> answer::Result<Paged<WallTokenInfo>> {
    let paging = Paging::of(query.page, query.size)?;
    ok(paging.cut(app.state.records.wall_tokens().await?, |info| info))
}

/// Revoke a wall token
///
/// Its live streams end at once.
#[utoipa::path(delete, path = "/api/v1/wall-tokens/{id}", tag = "people", security(("bearer" = ["admin"])),
    params(("id" = String, Path)), responses((status = 200, body = ref("Nothing"))))]
pub(crate) async fn revoke(
    State(app): Context,
    caller: As<RoleAdmin>,
    Id(id): Id<String>,
) -> answer::Result<()> {
    let now = (app.state.clock)();
    if !app.state.records.revoke_wall_token(&id, now).await? {
        return Err(ApiError::not_found("wall token", &id));
    }
    app.state.auth.end_wall(&id);
    app.audit(&caller.who.name(), "wall-token.revoke", &id, now).await;
    ok(())
}
