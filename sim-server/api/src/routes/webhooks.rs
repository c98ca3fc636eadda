//! Webhooks: what other systems are told by themselves.

use crate::{
    ApiError, Context,
    answer::{self, Paged, Paging, created, ok},
    auth::{As, RoleAdmin},
    extract::{Body, Id, Ids, Query},
};
use axum::extract::State;
use push::{NewWebhook, Webhook, WebhookChange, WebhookView};
use records::{Delivery, DeliveryStatus};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::time::{DAY_MS, SECOND_MS};
use utoipa::IntoParams;

/// How long an old secret signs along when nothing else is asked for, and at most.
const OVERLAP_DEFAULT_S: i64 = 24 * 3_600;
const OVERLAP_MAX_S: i64 = 30 * DAY_MS / SECOND_MS;

/// A webhook as it is made; this is the only time its secret is shown.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MadeWebhook {
    /// What deliveries are signed with.
    secret: String,
    #[serde(flatten)]
    webhook: Webhook,
}

/// How to change a secret.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct NewWebhookSecret {
    /// Seconds for which the old secret signs along, so that the receiver can change over: a day when left out, at most 30 days;
    /// 0 for a secret that others know.
    #[serde(default)]
    overlap: Option<i64>,
}

/// A webhook's new secret, shown this once.
#[derive(Serialize, JsonSchema)]
pub(crate) struct WebhookSecret {
    secret: String,
}

/// A delivery that was queued.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Queued {
    delivery_id: String,
}

/// How many deliveries wait now.
#[derive(Serialize, JsonSchema)]
pub(crate) struct Waiting {
    waiting: u64,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveryQuery {
    /// Only those that are `waiting`, `delivered` or `dead`.
    #[param(value_type = Option<String>)]
    status: Option<DeliveryStatus>,
    /// From 1.
    page: Option<u64>,
    /// Items a page, 50 unless told, at most 1,000.
    size: Option<u64>,
}

/// Make a webhook
///
/// The answer holds the secret that signs what is sent; it is shown this once. See `docs/data-service.md`.
#[utoipa::path(post, path = "/api/v1/webhooks", tag = "other systems", security(("bearer" = ["admin"])),
    request_body = ref("NewWebhook"), responses((status = 201, body = ref("MadeWebhook"))))]
pub(crate) async fn create(
    State(app): Context,
    caller: As<RoleAdmin>,
    Body(new): Body<NewWebhook>,
) -> answer::Result<MadeWebhook> {
    let now = (app.state.clock)();
    let by = caller.who.name();
    let (webhook, secret) = app.state.push.create(new, &by, now).await?;
    app.audit(&by, "webhook.create", &format!("{} {}", webhook.id, webhook.name), now).await;
    created(MadeWebhook { secret, webhook })
}

/// List webhooks, with how many deliveries wait, went well or were given up
#[utoipa::path(get, path = "/api/v1/webhooks", tag = "other systems", security(("bearer" = ["admin"])),
    responses((status = 200, body = ref("list:WebhookView"))))]
pub(crate) async fn list(State(app): Context, _: As<RoleAdmin>) -> answer::Result<Vec<WebhookView>> {
    ok(app.state.push.all().await?)
}

/// A webhook
#[utoipa::path(get, path = "/api/v1/webhooks/{id}", tag = "other systems", security(("bearer" = ["admin"])),
    params(("id" = String, Path)), responses((status = 200, body = ref("WebhookView"))))]
pub(crate) async fn one(
    State(app): Context,
    _: As<RoleAdmin>,
    Id(id): Id<String>,
) -> answer::Result<WebhookView> {
    ok(app.state.push.one(&id).await?)
}

/// Change, disable or enable a webhook
///
/// What is left out stays. While it is disabled nothing is queued for it; what waits stays.
#[utoipa::path(patch, path = "/api/v1/webhooks/{id}", tag = "other systems", security(("bearer" = ["admin"])),
    params(("id" = String, Path)), request_body = ref("WebhookChange"),
    responses((status = 200, body = ref("Webhook"))))]
pub(crate) async fn change(
    State(app): Context,
    caller: As<RoleAdmin>,
    Id(id): Id<String>,
    Body(change): Body<WebhookChange>,
) -> answer::Result<Webhook> {
    let webhook = app.state.push.change(&id, change).await?;
    app.audit(&caller.who.name(), "webhook.change", &id, (app.state.clock)()).await;
    ok(webhook)
}

/// Remove a webhook with all its deliveries
#[utoipa::path(delete, path = "/api/v1/webhooks/{id}", tag = "other systems", security(("bearer" = ["admin"])),
    params(("id" = String, Path)), responses((status = 200, body = ref("Nothing"))))]
pub(crate) async fn remove(
    State(app): Context,
    caller: As<RoleAdmin>,
    Id(id): Id<String>,
) -> answer::Result<()> {
    app.state.push.remove(&id).await?;
    app.audit(&caller.who.name(), "webhook.remove", &id, (app.state.clock)()).await;
    ok(())
}

/// Give a webhook another secret
///
/// For a while deliveries carry the signatures of both.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/secret", tag = "other systems", security(("bearer" = ["admin"])),
    params(("id" = String, Path)), request_body = ref("NewWebhookSecret"),
    responses((status = 200, body = ref("WebhookSecret"))))]
pub(crate) async fn rotate(
    State(app): Context,
    caller: As<RoleAdmin>,
    Id(id): Id<String>,
    Body(asked): Body<NewWebhookSecret>,
) -> answer::Result<WebhookSecret> {
    let overlap_s = asked.overlap.unwrap_or(OVERLAP_DEFAULT_S);
    if !(0..=OVERLAP_MAX_S).contains(&overlap_s) {
        let message = format!("an overlap is 0 to {OVERLAP_MAX_S} s, not {overlap_s}");
        return Err(ApiError::field("INVALID_VALUE", "overlap", message));
    }
    let now = (app.state.clock)();
    let secret = app.state.push.rotate(&id, overlap_s * SECOND_MS, now).await?;
    app.audit(&caller.who.name(), "webhook.secret", &id, now).await;
    ok(WebhookSecret { secret })
}

/// Try a webhook
///
/// Queues a delivery of the type `test`; how it went is among the deliveries.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/test", tag = "other systems", security(("bearer" = ["admin"])),
    params(("id" = String, Path)), responses((status = 200, body = ref("Queued"))))]
pub(crate) async fn test(
    State(app): Context,
    _: As<RoleAdmin>,
    Id(id): Id<String>,
) -> answer::Result<Queued> {
    ok(Queued { delivery_id: app.state.push.test(&id, (app.state.clock)()).await? })
}

/// A webhook's deliveries, newest first
#[utoipa::path(get, path = "/api/v1/webhooks/{id}/deliveries", tag = "other systems", security(("bearer" = ["admin"])),
    params(("id" = String, Path), DeliveryQuery), responses((status = 200, body = ref("page:Delivery"))))]
pub(crate) async fn deliveries(
    State(app): Context,
    _: As<RoleAdmin>,
    Id(id): Id<String>,
    Query(query): Query<DeliveryQuery>,
) -> answer::Result<Paged<Delivery>> {
    let paging = Paging::of(query.page, query.size)?;
    let page = app.state.push.deliveries(&id, query.status, paging.limit(), paging.offset()).await?;
    ok(paging.page(page, |delivery| delivery))
}

/// Send a delivery once more
///
/// Under its id and in its place before those that wait; one that waits is sent at once.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/deliveries/{deliveryId}/replay", tag = "other systems",
    security(("bearer" = ["admin"])), params(("id" = String, Path), ("deliveryId" = String, Path)),
    responses((status = 200, body = ref("Nothing"))))]
pub(crate) async fn replay(
    State(app): Context,
    caller: As<RoleAdmin>,
    Ids(id, delivery): Ids,
) -> answer::Result<()> {
    let now = (app.state.clock)();
    app.state.push.replay(&id, &delivery, now).await?;
    app.audit(&caller.who.name(), "webhook.replay", &format!("{id} {delivery}"), now).await;
    ok(())
}

/// Send all deliveries once more that were given up
///
/// Those that wait are sent at once.
#[utoipa::path(post, path = "/api/v1/webhooks/{id}/replay", tag = "other systems", security(("bearer" = ["admin"])),
    params(("id" = String, Path)), responses((status = 200, body = ref("Waiting"))))]
pub(crate) async fn replay_dead(
    State(app): Context,
    caller: As<RoleAdmin>,
    Id(id): Id<String>,
) -> answer::Result<Waiting> {
    let now = (app.state.clock)();
    let waiting = app.state.push.replay_dead(&id, now).await?;
    app.audit(&caller.who.name(), "webhook.replay", &id, now).await;
    ok(Waiting { waiting })
}
