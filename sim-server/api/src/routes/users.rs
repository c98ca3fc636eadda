//! People who may sign in: managed by administrators.

use crate::{
    ApiError, Context,
    answer::{self, Paged, Paging, created, ok},
    auth::{As, RoleAdmin, RoleViewer},
    extract::{Body, Id, Query},
};
use axum::extract::State;
use records::{Role, User};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewUser {
    /// 1 to 64 characters without white space.
    username: String,
    /// At least 8 characters.
    password: String,
    role: Role,
}

/// What to change; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserChange {
    #[serde(default)]
    role: Option<Role>,
    #[serde(default)]
    password: Option<String>,
}

/// Who the token belongs to.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Me {
    name: String,
    role: Role,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageQuery {
    /// From 1.
    pub(super) page: Option<u64>,
    /// Items a page, 50 unless told, at most 1,000.
    pub(super) size: Option<u64>,
}

/// Create a user
#[utoipa::path(post, path = "/api/v1/users", tag = "people", security(("bearer" = ["admin"])),
    request_body = ref("NewUser"), responses((status = 201, body = ref("User"))))]
pub(crate) async fn create(
    State(app): Context,
    caller: As<RoleAdmin>,
    Body(new): Body<NewUser>,
) -> answer::Result<User> {
    let now = (app.state.clock)();
    app.state.records.create_user(&new.username, &new.password, new.role, now).await?;
    app.audit(&caller.who.name(), "user.create", &format!("{} {}", new.username, new.role.as_str()), now)
        .await;
    created(User { name: new.username, role: new.role, created_at: now })
}

/// List users
#[utoipa::path(get, path = "/api/v1/users", tag = "people", security(("bearer" = ["admin"])),
    params(PageQuery), responses((status = 200, body = ref("page:User"))))]
pub(crate) async fn list(
    State(app): Context,
    _: As<RoleAdmin>,
    Query(query): Query<PageQuery>,
) -> answer::Result<Paged<User>> {
    let paging = Paging::of(query.page, query.size)?;
    ok(paging.cut(app.state.records.users().await?, |user| user))
}

/// Change a user's role or password
///
/// Ends the user's sessions. The last administrator stays one.
#[utoipa::path(patch, path = "/api/v1/users/{name}", tag = "people", security(("bearer" = ["admin"])),
    params(("name" = String, Path)), request_body = ref("UserChange"),
    responses((status = 200, body = ref("User"))))]
pub(crate) async fn change(
    State(app): Context,
    caller: As<RoleAdmin>,
    Id(name): Id<String>,
    Body(change): Body<UserChange>,
) -> answer::Result<User> {
    let now = (app.state.clock)();
    if let Some(password) = &change.password {
        app.state.records.set_password(&name, password).await?;
        app.audit(&caller.who.name(), "user.password", &name, now).await;
    }
    if let Some(role) = change.role {
        app.state.records.set_role(&name, role).await?;
        app.audit(&caller.who.name(), "user.role", &format!("{name} {}", role.as_str()), now).await;
    }
    app.state.auth.end_tokens(&name, now);
    match app.state.records.user(&name).await? {
        Some(user) => ok(user),
        None => Err(ApiError::not_found("user", &name)),
    }
}

/// Delete a user
///
/// Ends the user's sessions. The last administrator stays.
#[utoipa::path(delete, path = "/api/v1/users/{name}", tag = "people", security(("bearer" = ["admin"])),
    params(("name" = String, Path)), responses((status = 200, body = ref("Nothing"))))]
pub(crate) async fn remove(
    State(app): Context,
    caller: As<RoleAdmin>,
    Id(name): Id<String>,
) -> answer::Result<()> {
    let now = (app.state.clock)();
    app.state.records.delete_user(&name).await?;
    app.state.auth.end_tokens(&name, now);
    app.audit(&caller.who.name(), "user.delete", &name, now).await;
    ok(())
}

/// Who am I
#[utoipa::path(get, path = "/api/v1/me", tag = "people", security(("bearer" = ["viewer"])),
    responses((status = 200, body = ref("Me"))))]
pub(crate) async fn me(caller: As<RoleViewer>) -> answer::Result<Me> {
    ok(Me { name: caller.who.name(), role: caller.who.role() })
}
