//! Every route, mounted where its own documentation says.

mod alarms;
mod audit;
mod commands;
mod devices;
mod energy;
mod history;
mod plan;
mod quality;
mod scene;
mod sessions;
mod status;
mod stream;
mod telemetry;
mod users;
mod wall_tokens;

use crate::{App, openapi::Document};
use axum::{
    Router,
    handler::Handler,
    routing::{MethodFilter, on},
};
use schemars::SchemaGenerator;
use std::sync::Arc;
use utoipa::openapi::path::HttpMethod;

struct Mounting {
    router: Router<Arc<App>>,
    document: Document,
}

impl Mounting {
    /// Mounts `handler` at the path and method of its documentation.
    fn add<P, H, T>(mut self, _documentation: P, handler: H) -> Self
    where
        P: utoipa::Path + for<'t> utoipa::__dev::Tags<'t>,
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let path = P::path();
        for method in P::methods() {
            self.router = self.router.route(&path, on(filter(&method), handler.clone()));
            self.document.add(&path, method, P::tags(), P::operation());
        }
        self
    }
}

fn filter(method: &HttpMethod) -> MethodFilter {
    match method {
        HttpMethod::Post => MethodFilter::POST,
        HttpMethod::Put => MethodFilter::PUT,
        HttpMethod::Patch => MethodFilter::PATCH,
        HttpMethod::Delete => MethodFilter::DELETE,
        HttpMethod::Head => MethodFilter::HEAD,
        HttpMethod::Options => MethodFilter::OPTIONS,
        HttpMethod::Trace => MethodFilter::TRACE,
        _ => MethodFilter::GET,
    }
}

/// The router, and the description of just what is in it.
pub(crate) fn all() -> (Router<Arc<App>>, Document) {
    let mounted = Mounting { router: Router::new(), document: Document::new() }
        .add(sessions::__path_login, sessions::login)
        .add(sessions::__path_refresh, sessions::refresh)
        .add(sessions::__path_logout, sessions::logout)
        .add(users::__path_create, users::create)
        .add(users::__path_list, users::list)
        .add(users::__path_change, users::change)
        .add(users::__path_remove, users::remove)
        .add(users::__path_me, users::me)
        .add(wall_tokens::__path_create, wall_tokens::create)
        .add(wall_tokens::__path_list, wall_tokens::list)
        .add(wall_tokens::__path_revoke, wall_tokens::revoke)
        .add(devices::__path_register, devices::register)
        .add(devices::__path_new_secret, devices::new_secret)
        .add(devices::__path_list, devices::list)
        .add(devices::__path_shadow, devices::shadow)
        .add(history::__path_of_device, history::of_device)
        .add(telemetry::__path_query, telemetry::query)
        .add(devices::__path_events, devices::events)
        .add(commands::__path_control, commands::control)
        .add(commands::__path_one, commands::one)
        .add(commands::__path_of_device, commands::of_device)
        .add(plan::__path_current, plan::current)
        .add(plan::__path_plan_now, plan::plan_now)
        .add(plan::__path_tracking, plan::tracking)
        .add(energy::__path_summary, energy::summary)
        .add(energy::__path_curve, energy::curve)
        .add(quality::__path_report, quality::report)
        .add(alarms::__path_list, alarms::list)
        .add(alarms::__path_acknowledge, alarms::acknowledge)
        .add(alarms::__path_clear, alarms::clear)
        .add(audit::__path_log, audit::log)
        .add(scene::__path_scene, scene::scene)
        .add(scene::__path_models, scene::models)
        .add(stream::__path_open, stream::open)
        .add(status::__path_alive, status::alive)
        .add(status::__path_ready, status::ready)
        .add(status::__path_metrics, status::metrics)
        .add(status::__path_document, status::document)
        .add(status::__path_page, status::page);
    (mounted.router, mounted.document)
}

/// The types that answers hold, under the names handlers use for them.
pub(crate) fn describe_answers(generator: &mut SchemaGenerator) {
    macro_rules! describe {
        ($($type:ty),* $(,)?) => { $(generator.subschema_for::<$type>();)* };
    }
    describe!(
        sessions::Session,
        users::Me,
        records::User,
        wall_tokens::WallToken,
        records::WallTokenInfo,
        records::AuditEntry,
        devices::Registered,
        devices::NewSecret,
        devices::ShadowView,
        twin::DeviceSummary,
        shared::telemetry::DeviceEvent,
        history::DeviceHistory,
        crate::telemetry::TelemetryAnswer,
        shared::command::CommandRecord,
        shared::plan::PlanView,
        shared::plan::PlanTracking,
        shared::energy::EnergySummary,
        shared::energy::EnergyCurve,
        shared::quality::QualityReport,
        shared::alarm::Alarm,
        shared::thing_model::ThingModel,
        status::Alive,
        status::Readiness,
    );
}

/// The types that requests hold.
pub(crate) fn describe_requests(generator: &mut SchemaGenerator) {
    macro_rules! describe {
        ($($type:ty),* $(,)?) => { $(generator.subschema_for::<$type>();)* };
    }
    describe!(
        sessions::Login,
        sessions::RefreshToken,
        users::NewUser,
        users::UserChange,
        wall_tokens::NewWallToken,
        devices::Registration,
        commands::Control,
    );
}
