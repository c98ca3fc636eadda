//! API keys: what other systems sign in with.

use crate::{
    ApiError, App, Context,
    answer::{self, Paged, Paging, created, ok},
    auth::{As, RoleAdmin},
    extract::{Body, Id, Query},
    routes::users::PageQuery,
};
use access::{KeyChange, KeyUsage, KeyView, NewKey};
use axum::extract::State;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

/// Days of usage shown when nothing else is asked for.
const DAYS_SHOWN: i64 = 30;

/// A key as it is made; this is the only time it is shown.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MadeKey {
    /// To be sent as `Authorization: Bearer <key>`, or `Token <key>`.
    key: String,
    #[serde(flatten)]
    info: KeyView,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageQuery {
    /// First day, in the park's time zone, such as `2026-06-01`; 30 days before `to` when left out.
    #[param(value_type = Option<String>)]
    from: Option<jiff::civil::Date>,
    /// Last day, included; today when left out.
    #[param(value_type = Option<String>)]
    to: Option<jiff::civil::Date>,
}

/// Make an API key
///
/// The answer holds the key: only its hash is stored, it cannot be shown again. See `docs/data-service.md`.
#[utoipa::path(post, path = "/api/v1/keys", tag = "other systems", security(("bearer" = ["admin"])),
    request_body = ref("NewKey"), responses((status = 201, body = ref("MadeKey"))))]
pub(crate) async fn create(
    State(app): Context,
    caller: As<RoleAdmin>,
    Body(new): Body<NewKey>,
) -> answer::Result<MadeKey> {
    let now = (app.state.clock)();
    let by = caller.who.name();
    let (info, key) = app.state.keys.create(new, &by, now).await?;
    app.audit(&by, "key.create", &format!("{} {}", info.key.id, info.key.name), now).await;
    created(MadeKey { key, info })
}

/// List API keys, revoked and expired ones too
#[utoipa::path(get, path = "/api/v1/keys", tag = "other systems", security(("bearer" = ["admin"])),
    params(PageQuery), responses((status = 200, body = ref("page:KeyView"))))]
pub(crate) async fn list(
    State(app): Context,
    _: As<RoleAdmin>,
    Query(query): Query<PageQuery>,
) -> answer::Result<Paged<KeyView>> {
    let paging = Paging::of(query.page, query.size)?;
    ok(paging.cut(app.state.keys.all(), |view| view))
}

/// Change an API key
///
/// What is left out stays. Holds from the answer on. What is under way then is cut where the key has another scope now, may not be
/// used from there any more, or lost the right to it.
#[utoipa::path(patch, path = "/api/v1/keys/{id}", tag = "other systems", security(("bearer" = ["admin"])),
    params(("id" = String, Path)), request_body = ref("KeyChange"),
    responses((status = 200, body = ref("KeyView"))))]
pub(crate) async fn change(
    State(app): Context,
    caller: As<RoleAdmin>,
    Id(id): Id<String>,
    Body(change): Body<KeyChange>,
) -> answer::Result<KeyView> {
    let now = (app.state.clock)();
    let view = app.state.keys.change(&id, change, now).await?;
    app.audit(&caller.who.name(), "key.change", &id, now).await;
    ok(view)
}

/// Revoke an API key
///
/// From the answer on it opens nothing; answers it is being given are cut. It stays in the list.
#[utoipa::path(delete, path = "/api/v1/keys/{id}", tag = "other systems", security(("bearer" = ["admin"])),
    params(("id" = String, Path)), responses((status = 200, body = ref("KeyView"))))]
pub(crate) async fn revoke(
    State(app): Context,
    caller: As<RoleAdmin>,
    Id(id): Id<String>,
) -> answer::Result<KeyView> {
    let now = (app.state.clock)();
    let view = app.state.keys.revoke(&id, now).await?;
    app.audit(&caller.who.name(), "key.revoke", &id, now).await;
    ok(view)
}

/// The park's day.
fn today(app: &App) -> jiff::civil::Date {
    let zone = TimeZone::get(&app.state.twin.scene().park.time_zone).unwrap_or(TimeZone::UTC);
    (app.state.clock)().to_jiff().to_zoned(zone).date()
}

/// What an API key did, by day
#[utoipa::path(get, path = "/api/v1/keys/{id}/usage", tag = "other systems", security(("bearer" = ["admin"])),
    params(("id" = String, Path), UsageQuery), responses((status = 200, body = ref("KeyUsage"))))]
pub(crate) async fn usage(
    State(app): Context,
    _: As<RoleAdmin>,
    Id(id): Id<String>,
    Query(query): Query<UsageQuery>,
) -> answer::Result<KeyUsage> {
    let today = today(&app);
    let to = query.to.unwrap_or(today);
    let from = match query.from {
        Some(from) => from,
        None => to.checked_sub(jiff::Span::new().days(DAYS_SHOWN)).unwrap_or(jiff::civil::Date::MIN),
    };
    if from > to {
        return Err(ApiError::field("INVALID_VALUE", "from", format!("from {from} is after to {to}")));
    }
    ok(app.state.keys.usage(&id, &from.to_string(), &to.to_string()).await?)
}
