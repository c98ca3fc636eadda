//! Commands to devices.

use crate::{
    ApiError, Context,
    answer::{self, Paged, Paging, ok},
    auth::{As, RoleOperator, RoleViewer},
    extract::{Body, Id, Query, Time},
    routes::users::PageQuery,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use shared::{
    command::{CommandRecord, CommandRequest},
    id::{CommandId, DeviceId},
};

/// What a device is asked to do.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Control {
    device_id: DeviceId,
    /// Chosen by whoever asks: the same id with the same body is the same command, however often it is sent.
    command_id: CommandId,
    /// One of the thing model's commands, such as `setPower`.
    command: String,
    #[serde(default)]
    parameters: Map<String, Value>,
    /// When it was asked for; now when left out.
    #[serde(default)]
    timestamp: Option<Time>,
    /// When it stops being worth doing; five minutes after `timestamp` when left out.
    #[serde(default)]
    expires: Option<Time>,
}

/// Command a device
///
/// Journaled before the answer. Its `status` ends as exactly one of `acknowledged`, `rejected`, `expired`.
/// The same `commandId` with another body is refused with 409.
#[utoipa::path(post, path = "/api/v1/device/control", tag = "commands", security(("bearer" = ["operator"])),
    request_body = ref("Control"), responses((status = 200, body = ref("CommandRecord"))))]
pub(crate) async fn control(
    State(app): Context,
    caller: As<RoleOperator>,
    Body(control): Body<Control>,
) -> answer::Result<CommandRecord> {
    let now = (app.state.clock)();
    let timestamp = match control.timestamp {
        Some(Time(at)) => at,
        // A repeat without a time of its own means the command it repeats, whenever that was asked for.
        None => {
            app.state.twin.command(&control.command_id).await?.map_or(now, |known| known.request.timestamp)
        }
    };
    let request = CommandRequest {
        device_id: control.device_id,
        command_id: control.command_id,
        command: control.command,
        parameters: control.parameters,
        timestamp,
        expires: control.expires.map(|Time(at)| at),
    };
    let what = format!("{} {} {}", request.device_id, request.command, request.command_id);
    let record = app.state.twin.submit(request, caller.who.issuer(), now).await?;
    app.audit(&caller.who.name(), "command", &what, now).await;
    ok(record)
}

/// One command with its state
#[utoipa::path(get, path = "/api/v1/commands/{commandId}", tag = "commands", security(("bearer" = ["viewer"])),
    params(("commandId" = String, Path)), responses((status = 200, body = ref("CommandRecord"))))]
pub(crate) async fn one(
    State(app): Context,
    _: As<RoleViewer>,
    Id(id): Id<CommandId>,
) -> answer::Result<CommandRecord> {
    match app.state.twin.command(&id).await? {
        Some(record) => ok(record),
        None => Err(ApiError::not_found("command", id.as_str())),
    }
}

/// A device's commands, newest first
#[utoipa::path(get, path = "/api/v1/devices/{id}/commands", tag = "commands", security(("bearer" = ["viewer"])),
    params(("id" = String, Path), PageQuery), responses((status = 200, body = ref("page:CommandRecord"))))]
pub(crate) async fn of_device(
    State(app): Context,
    _: As<RoleViewer>,
    Id(id): Id<DeviceId>,
    Query(query): Query<PageQuery>,
) -> answer::Result<Paged<CommandRecord>> {
    let paging = Paging::of(query.page, query.size)?;
    app.require_device(&id)?;
    let page = app.state.records.commands_page(&id, paging.limit(), paging.offset()).await?;
    ok(paging.page(page, |record| record))
}
