//! The park as data.

use crate::{
    Context,
    answer::{self, ok},
    auth::{As, RoleViewer},
};
use axum::{body::Body, extract::State, http::HeaderMap, response::Response};
use shared::thing_model::ThingModel;

/// The scene: buildings, devices, network, tariff
///
/// Carries an `ETag`; with `If-None-Match` an unchanged scene is a 304 without a body.
#[utoipa::path(get, path = "/api/v1/scene", tag = "park", security(("bearer" = ["viewer"])),
    responses((status = 200, body = ref("Scene"))))]
pub(crate) async fn scene(State(app): Context, _: As<RoleViewer>, headers: HeaderMap) -> Response<Body> {
    app.scene.respond(&headers).await
}

/// The thing models: what each kind of device measures and obeys
#[utoipa::path(get, path = "/api/v1/models", tag = "park", security(("bearer" = ["viewer"])),
    responses((status = 200, body = ref("list:ThingModel"))))]
pub(crate) async fn models(State(app): Context, _: As<RoleViewer>) -> answer::Result<Vec<ThingModel>> {
    ok(app.state.twin.scene().models.values().cloned().collect())
}
