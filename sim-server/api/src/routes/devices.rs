//! Devices: registering them, and what the twin knows of each.

use crate::{
    ApiError, App, Context,
    answer::{self, Paged, Paging, created, ok},
    auth::{As, Reader, RoleAdmin, RoleViewer},
    extract::{Body, Id, Query},
    routes::users::PageQuery,
};
use axum::extract::State;
use indexmap::IndexMap;
use records::DeviceRecord;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{
    id::{BuildingId, BusId, DeviceId, MeasurementKey, ModelId},
    scene::Park,
    telemetry::{DeviceEvent, Origin, Reading},
    text::Text,
    thing_model::{Role, ThingModel},
    time::Timestamp,
};
use std::{collections::BTreeMap, sync::Arc};
use twin::{Delta, Desired, DeviceEntry, DeviceSummary, Shadow};
use utoipa::IntoParams;

/// A device to be registered.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Registration {
    /// 1 to 64 characters of `A-Z a-z 0-9 . _ : -`.
    device_id: DeviceId,
    /// The id of a thing model: see `GET /api/v1/models`.
    model: ModelId,
    name: Name,
    #[serde(default)]
    manufacturer: Option<String>,
    /// kW.
    #[serde(default, alias = "capacity")]
    capacity_kw: Option<f64>,
    #[serde(default)]
    location: Option<Location>,
    /// `YYYY-MM-DD`.
    #[serde(default, alias = "installDate")]
    installed_on: Option<String>,
    #[serde(default)]
    building: Option<BuildingId>,
    /// The bus its power flows through.
    #[serde(default)]
    feeder: Option<BusId>,
}

/// One text for both languages, or one each.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text or {\"zh\",\"en\"}")]
enum Name {
    Same(String),
    Each(Text),
}

/// `[east, north, up]` in metres of the park's origin, or geographic.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected [east, north, up] in metres or {\"longitude\",\"latitude\"}")]
enum Location {
    Metres([f64; 3]),
    #[serde(rename_all = "camelCase")]
    Geographic {
        longitude: f64,
        latitude: f64,
        #[serde(default)]
        up_m: f64,
    },
}

/// A device as the park sees it now.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ShadowView {
    device_id: DeviceId,
    role: Role,
    online: bool,
    /// When the server last heard of it.
    last_seen: Option<Timestamp>,
    /// Seconds since the newest reading was taken; absent while it never reported.
    age: Option<f64>,
    /// The newest reading of each measurement that was ever reported.
    #[schemars(with = "BTreeMap<String, Reading>")]
    reported: IndexMap<MeasurementKey, Reading>,
    /// What it is asked for, by parameter.
    desired: BTreeMap<String, Desired>,
    /// Desired values that what is reported does not show.
    delta: BTreeMap<String, Delta>,
    registration: DeviceRecord,
}

impl From<Shadow> for ShadowView {
    fn from(shadow: Shadow) -> Self {
        ShadowView {
            device_id: shadow.registration.id.clone(),
            role: shadow.role,
            online: shadow.online,
            last_seen: shadow.last_seen,
            age: shadow.age_ms.map(|ms| ms as f64 / 1e3),
            reported: shadow.reported,
            desired: shadow.desired,
            delta: shadow.delta,
            registration: shadow.registration,
        }
    }
}

/// A device as registered. The secret is shown this once.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Registered {
    device_id: DeviceId,
    /// The password of the device: over MQTT with its id as user name, over HTTP as `Authorization: Bearer`.
    secret: String,
    device: DeviceRecord,
}

/// A device's new secret, shown this once.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NewSecret {
    device_id: DeviceId,
    secret: String,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeviceQuery {
    /// Only of this thing model.
    model: Option<String>,
    /// Only of this role, such as `storage`.
    #[param(value_type = Option<String>)]
    role: Option<Role>,
    /// Only in this building.
    building: Option<String>,
    /// Only devices that are (`true`) or are not (`false`) online.
    online: Option<bool>,
    /// Only devices with this in their id or name.
    search: Option<String>,
    /// From 1.
    page: Option<u64>,
    /// Items a page, 50 unless told, at most 1,000.
    size: Option<u64>,
}

const TEXT_MAX: usize = 200;

impl Registration {
    fn into_record(self, park: &Park, now: Timestamp) -> Result<DeviceRecord, ApiError> {
        let name = match self.name {
            Name::Same(text) => Text::new(text.clone(), text),
            Name::Each(text) => text,
        };
        for (field, text) in
            [("name", Some(&name.zh)), ("name", Some(&name.en)), ("manufacturer", self.manufacturer.as_ref())]
        {
            let Some(text) = text else { continue };
            if text.is_empty() || text.chars().count() > TEXT_MAX || text.chars().any(char::is_control) {
                let message =
                    format!("{field} has 1 to {TEXT_MAX} characters, none of them control characters");
                return Err(ApiError::field("INVALID_VALUE", field, message));
            }
        }
        if self.capacity_kw.is_some_and(|kw| kw < 0.0) {
            return Err(ApiError::field("INVALID_VALUE", "capacityKw", "a capacity is not negative"));
        }
        if let Some(day) = &self.installed_on
            && day.parse::<jiff::civil::Date>().is_err()
        {
            let message = format!("{day:?} is not a day as YYYY-MM-DD");
            return Err(ApiError::field("INVALID_VALUE", "installedOn", message));
        }
        let location = self.location.map(|location| match location {
            Location::Metres(at) => at,
            Location::Geographic { longitude, latitude, up_m } => {
                let [east, north] = park.to_local(longitude, latitude);
                [east, north, up_m]
            }
        });
        Ok(DeviceRecord {
            id: self.device_id,
            model: self.model,
            name,
            // A device that speaks for itself; the demo's fleet is provisioned, not registered here.
            origin: Origin::Field,
            manufacturer: self.manufacturer,
            capacity_kw: self.capacity_kw,
            location,
            installed_on: self.installed_on,
            building: self.building,
            feeder: self.feeder,
            registered_at: now,
        })
    }
}

impl App {
    /// The device's thing model, or 404.
    pub(crate) fn require_device(&self, id: &DeviceId) -> Result<&ThingModel, ApiError> {
        let unknown = || ApiError::not_found("device", id.as_str());
        let entry = self.state.twin.registry().get(id.as_str()).ok_or_else(unknown)?;
        self.state.twin.scene().models.get(&entry.record.model).ok_or_else(unknown)
    }
}

/// Register a device
///
/// The answer holds the device's secret: it is not stored and cannot be shown again.
#[utoipa::path(post, path = "/api/v1/devices", tag = "devices", security(("bearer" = ["admin"])),
    request_body = ref("Registration"), responses((status = 201, body = ref("Registered"))))]
pub(crate) async fn register(
    State(app): Context,
    caller: As<RoleAdmin>,
    Body(registration): Body<Registration>,
) -> answer::Result<Registered> {
    let now = (app.state.clock)();
    let device = registration.into_record(&app.state.twin.scene().park, now)?;
    let secret = app.state.twin.register(device.clone(), now).await?;
    app.audit(&caller.who.name(), "device.register", device.id.as_str(), now).await;
    created(Registered { device_id: device.id.clone(), secret: secret.to_string(), device })
}

/// Give a device another secret
///
/// The old one is worth nothing from then on.
#[utoipa::path(post, path = "/api/v1/devices/{id}/secret", tag = "devices", security(("bearer" = ["admin"])),
    params(("id" = String, Path)), responses((status = 200, body = ref("NewSecret"))))]
pub(crate) async fn new_secret(
    State(app): Context,
    caller: As<RoleAdmin>,
    Id(device_id): Id<DeviceId>,
) -> answer::Result<NewSecret> {
    let now = (app.state.clock)();
    let secret = app.state.twin.replace_secret(&device_id).await?;
    app.audit(&caller.who.name(), "device.secret", device_id.as_str(), now).await;
    ok(NewSecret { device_id, secret: secret.to_string() })
}

/// List devices
#[utoipa::path(get, path = "/api/v1/devices", tag = "devices", security(("bearer" = ["viewer"]), ("apiKey" = ["read"])),
    params(DeviceQuery), responses((status = 200, body = ref("page:DeviceSummary"))))]
pub(crate) async fn list(
    State(app): Context,
    reader: Reader,
    Query(query): Query<DeviceQuery>,
) -> answer::Result<Paged<DeviceSummary>> {
    let paging = Paging::of(query.page, query.size)?;
    let search = query.search.as_deref().map(str::to_lowercase);
    let wanted = |entry: &Arc<DeviceEntry>| {
        let device = &entry.record;
        reader.sees(entry.facts())
            && query.model.as_deref().is_none_or(|model| device.model.as_str() == model)
            && query.role.is_none_or(|role| entry.rules.model.role == role)
            && query.online.is_none_or(|online| entry.is_online() == online)
            && query
                .building
                .as_deref()
                .is_none_or(|wanted| device.building.as_ref().is_some_and(|b| b.as_str() == wanted))
            && search.as_deref().is_none_or(|text| {
                [device.id.as_str(), &device.name.zh, &device.name.en]
                    .iter()
                    .any(|held| held.to_lowercase().contains(text))
            })
    };
    let devices = app.state.twin.registry().all();
    ok(paging.cut(devices.into_iter().filter(wanted), |entry| DeviceSummary::of(&entry)))
}

/// A device's shadow
///
/// What it reported and when, what it was asked for, where the two differ, and whether it is online.
#[utoipa::path(get, path = "/api/v1/devices/{id}", tag = "devices", security(("bearer" = ["viewer"]), ("apiKey" = ["read"])),
    params(("id" = String, Path)), responses((status = 200, body = ref("ShadowView"))))]
pub(crate) async fn shadow(
    State(app): Context,
    reader: Reader,
    Id(id): Id<DeviceId>,
) -> answer::Result<ShadowView> {
    reader.require(&app, &id, None)?;
    let unknown = || ApiError::not_found("device", id.as_str());
    let entry = app.state.twin.registry().get(id.as_str()).ok_or_else(unknown)?;
    let mut shadow = ShadowView::from(app.state.twin.shadow(id.as_str()).ok_or_else(unknown)?);
    // What is desired is named like what is measured.
    let may = |name: &str| reader.may_read(entry.facts(), name);
    shadow.reported.retain(|key, _| may(key.as_str()));
    shadow.desired.retain(|parameter, _| may(parameter));
    shadow.delta.retain(|parameter, _| may(parameter));
    reader.gave(shadow.reported.len(), (app.state.clock)());
    ok(shadow)
}

/// A device's own events, newest first
#[utoipa::path(get, path = "/api/v1/devices/{id}/events", tag = "devices", security(("bearer" = ["viewer"])),
    params(("id" = String, Path), PageQuery), responses((status = 200, body = ref("page:DeviceEvent"))))]
pub(crate) async fn events(
    State(app): Context,
    _: As<RoleViewer>,
    Id(id): Id<DeviceId>,
    Query(query): Query<PageQuery>,
) -> answer::Result<Paged<DeviceEvent>> {
    let paging = Paging::of(query.page, query.size)?;
    app.require_device(&id)?;
    let page = app.state.records.events_page(&id, paging.limit(), paging.offset()).await?;
    ok(paging.page(page, |event| event))
}
