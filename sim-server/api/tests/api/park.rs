//! A small running park and a way to ask it things.

use api::{ApiOptions, ApiState, Auth, Check};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use history::{History, HistoryOptions};
use records::{DeviceSecret, Records, Role};
use serde_json::{Value, json};
use shared::{id::DeviceId, scene::Scene, telemetry::Origin, telemetry::Reading, time::Timestamp};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use twin::{Sender, Twin, TwinOptions};

pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct Park {
    pub(crate) router: Router,
    pub(crate) twin: Twin,
    pub(crate) records: Records,
    pub(crate) history: History,
    pub(crate) secrets: Vec<(DeviceId, DeviceSecret)>,
    pub(crate) shutdown: CancellationToken,
    _folder: tempfile::TempDir,
}

pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.bytes)))
    }

    /// For answers that may not be JSON.
    pub(crate) fn json_or_null(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// `data` of an answer that worked.
    pub(crate) fn data(&self) -> Value {
        let mut body = self.json();
        assert!(self.status.is_success(), "{} {body}", self.status);
        assert_eq!(body["code"], "SUCCESS", "{body}");
        body["data"].take()
    }

    /// Status, code and field of one that did not.
    pub(crate) fn fault(&self) -> (u16, String, Option<String>) {
        let body = self.json();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        assert!(!body["message"].as_str().unwrap().is_empty(), "{body}");
        assert_eq!(body["traceId"].as_str(), self.headers["x-trace-id"].to_str().ok(), "{body}");
        (self.status.as_u16(), text(&body["code"]).unwrap(), text(&body["details"]["field"]))
    }
}

pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(since_epoch.as_millis()).unwrap())
}

struct Live(Twin);

impl vpp::LiveValues for Live {
    fn hold(&self, device: &DeviceId, now: Timestamp) -> Option<shared::command::Hold> {
        self.0.hold(device, now)
    }
    fn reading(&self, device: &DeviceId, measurement: &str) -> Option<Reading> {
        self.0.reading(device, measurement)
    }
    fn is_online(&self, device: &DeviceId) -> bool {
        self.0.shadow(device.as_str()).is_some_and(|shadow| shadow.online)
    }
    fn devices_online(&self) -> (u32, u32) {
        let devices = self.0.devices();
        (devices.iter().filter(|d| d.online).count() as u32, devices.len() as u32)
    }
    fn is_simulated(&self) -> bool {
        true
    }
}

impl push::Devices for Live {
    fn is_in(&self, device: &DeviceId, scope: &shared::selector::Selector) -> bool {
        self.0.registry().get(device.as_str()).is_some_and(|entry| scope.takes_device(entry.facts()))
    }

    fn series(&self, scope: &shared::selector::Selector) -> Vec<push::MeasuredSeries> {
        let measured = self.0.registry().measured(scope).into_iter();
        measured.map(|(key, unit)| push::MeasuredSeries { key, unit }).collect()
    }
}

impl Park {
    pub(crate) async fn open() -> Park {
        Park::with(ApiOptions::default()).await
    }

    pub(crate) async fn with(options: ApiOptions) -> Park {
        Park::built(options, Router::new(), utoipa::openapi::OpenApi::default()).await
    }

    /// With further routes beside the API's own.
    pub(crate) async fn built(
        options: ApiOptions,
        further: Router,
        description: utoipa::openapi::OpenApi,
    ) -> Park {
        Park::made(options, further, description, Auth::new(&[42; 32]), now, Vec::new()).await
    }

    /// Behind proxies whose word on addresses is taken.
    pub(crate) async fn behind(trusted: Vec<access::Network>) -> Park {
        let (description, auth) = (utoipa::openapi::OpenApi::default(), Auth::new(&[42; 32]));
        Park::made(ApiOptions::default(), Router::new(), description, auth, now, trusted).await
    }

    /// With tokens of its own and a clock that the test sets.
    pub(crate) async fn timed(auth: Auth, clock: fn() -> Timestamp) -> Park {
        Park::timed_with(ApiOptions::default(), auth, clock).await
    }

    pub(crate) async fn timed_with(options: ApiOptions, auth: Auth, clock: fn() -> Timestamp) -> Park {
        let description = utoipa::openapi::OpenApi::default();
        Park::made(options, Router::new(), description, auth, clock, Vec::new()).await
    }

    async fn made(
        options: ApiOptions,
        further: Router,
        description: utoipa::openapi::OpenApi,
        auth: Auth,
        clock: fn() -> Timestamp,
        trusted: Vec<access::Network>,
    ) -> Park {
        let folder = tempfile::tempdir().unwrap();
        let history =
            History::open(HistoryOptions { folder: folder.path().join("history"), ..Default::default() })
                .await
                .unwrap();
        let url = format!("sqlite://{}", folder.path().join("records.db").display());
        let records = Records::open(&url).await.unwrap();
        for (name, role) in [("admin", Role::Admin), ("operator", Role::Operator), ("viewer", Role::Viewer)] {
            records.create_user(name, PASSWORD, role, now()).await.unwrap();
        }
        let scene: Arc<Scene> = Arc::new(scene());
        let twin = Twin::open(scene.clone(), history.clone(), records.clone(), TwinOptions::default(), now())
            .await
            .unwrap();
        let secrets = twin.provision_scene(Origin::Simulated, now()).await.unwrap();
        let live: Arc<dyn vpp::LiveValues> = Arc::new(Live(twin.clone()));
        let context = vpp::ParkContext::new(scene).unwrap();
        let energy = vpp::EnergyBook::new(context, history.clone(), live.clone(), now());
        let (commands, mut set_points) = mpsc::channel(16);
        let (vpp, plan_loop) =
            vpp::Vpp::new(energy.clone(), history.clone(), live, commands, vpp::VppOptions::default(), now());
        let shutdown = CancellationToken::new();
        tokio::spawn(plan_loop.run(now, shutdown.clone()));
        tokio::spawn(async move { while set_points.recv().await.is_some() {} });
        let zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap();
        let keys = access::KeyRing::open(records.clone(), zone, trusted, clock()).await.unwrap();
        let push_options = push::PushOptions {
            // Receivers of tests are on this machine, and failing is waited for.
            networks: vec!["127.0.0.1".parse().unwrap()],
            first_wait_ms: 1,
            longest_wait_ms: 20,
            attempts_max: 3,
            ..Default::default()
        };
        let devices = Arc::new(Live(twin.clone()));
        let push =
            push::Push::open(records.clone(), history.clone(), devices, push_options, shutdown.clone())
                .await
                .unwrap();
        tokio::spawn({
            let push = push.clone();
            async move { push.run().await }
        });
        let state = ApiState {
            twin: twin.clone(),
            history: history.clone(),
            records: records.clone(),
            vpp,
            energy,
            auth,
            keys,
            push: push.clone(),
            metrics: Arc::new(|| "park_up 1\n".to_owned()),
            readiness: Arc::new(|| {
                vec![Check { name: "gateway".into(), ok: true, message: "listens".into() }]
            }),
            clock,
            shutdown: shutdown.clone(),
            options,
        };
        Park {
            router: api::router_described(state, further, description),
            twin,
            records,
            history,
            secrets,
            shutdown,
            _folder: folder,
        }
    }

    pub(crate) async fn request(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        Reply { status: parts.status, headers: parts.headers, bytes }
    }

    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: impl Into<Body>,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        self.request(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Reply {
        self.call(Method::GET, path, Some(token), Body::empty()).await
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: Value) -> Reply {
        self.call(Method::POST, path, Some(token), body.to_string()).await
    }

    pub(crate) async fn login_as(&self, name: &str, password: &str) -> Reply {
        let body = json!({ "username": name, "password": password });
        self.call(Method::POST, "/api/v1/auth/login", None, body.to_string()).await
    }

    /// An access token of one of the three users, who are named like their roles.
    pub(crate) async fn token(&self, name: &str) -> String {
        self.login_as(name, PASSWORD).await.data()["accessToken"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn wall_token(&self) -> (String, String) {
        let (info, token) = self.records.create_wall_token("lobby", now()).await.unwrap();
        (info.id, token)
    }

    /// Has a device report a value.
    pub(crate) async fn report(&self, device: &str, at: Timestamp, data: Value) {
        let payload = json!({ "deviceId": device, "timestamp": at.0, "data": data }).to_string();
        let sender = Sender::Device(device.parse().unwrap());
        for item in self.twin.ingest(&sender, payload.as_bytes(), now()).await.unwrap() {
            item.result.unwrap();
        }
    }
}

fn scene() -> Scene {
    let text = |name: &str| json!({ "zh": format!("{name}（中）"), "en": name });
    let measurement = |key: &str, unit: &str, min: f64, max: f64| json!({ "key": key, "name": text(key), "unit": unit, "min": min, "max": max });
    let set_power = json!({
        "name": "setPower", "text": text("set power"),
        "parameters": [
            { "key": "power", "text": text("power"), "unit": "kW", "required": true, "min": -500.0, "max": 500.0 },
        ],
    });
    let models = json!({
        "battery": {
            "id": "battery", "name": text("battery"), "role": "storage", "period_s": 1, "commands": [set_power],
            "measurements": [
                measurement("power", "kW", -1000.0, 1000.0),
                measurement("soc", "%", 0.0, 100.0),
                measurement("temperature", "°C", -40.0, 120.0),
            ],
            "events": [{ "id": "overheat", "text": text("overheating"), "severity": "major" }],
        },
        // Of which the scene has none: tests that want one register it.
        "submeter": {
            "id": "submeter", "name": text("submeter"), "role": "load",
            "measurements": [
                measurement("power", "kW", -9999.0, 9999.0),
                { "key": "energy_import", "name": text("energy"), "unit": "kWh", "kind": "counter" },
            ],
        },
        // With every step of data quality.
        "probe": {
            "id": "probe", "name": text("probe"), "role": "sensor", "period_s": 1,
            "measurements": [
                measurement("power", "kW", -500.0, 500.0),
                {
                    "key": "level", "name": text("level"), "unit": "%", "min": 0.0, "max": 100.0, "rate_per_s": 5.0,
                },
                {
                    "key": "still", "name": text("still"), "unit": "V", "min": 0.0, "max": 100.0, "stuck_after_s": 5,
                },
            ],
        },
        "meter": {
            "id": "meter", "name": text("meter"), "role": "grid_meter",
            "measurements": [measurement("power", "kW", -9999.0, 9999.0)],
        },
    });
    let device = |id: &str, model: &str, rating: Value| json!({ "id": id, "model": model, "name": text(id), "position": [1.0, 2.0, 0.0], "rating": rating });
    let storage = json!({
        "kind": "storage", "energy_kwh": 1000.0, "charge_kw": 500.0, "discharge_kw": 500.0,
        "charge_efficiency": 0.95, "discharge_efficiency": 0.95, "soc_min": 0.1, "soc_max": 0.9,
        "throughput_cost_per_kwh": 0.02,
    });
    let footprint = json!([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0], [0.0, 10.0]]);
    let scene = json!({
        "park": {
            "id": "test-park", "name": text("test park"), "latitude_deg": 31.1, "longitude_deg": 120.6,
            "time_zone": "Asia/Shanghai", "grid_region": "华东", "province": "江苏", "extent_m": [100.0, 100.0],
            "grid": { "import_limit_kw": 1000.0, "export_limit_kw": 1000.0, "voltage_kv": 10.0 },
            "emission": { "kg_per_kwh": 0.5827, "source": "test", "year": 2023, "status": "R", "basis": "location" },
            "sources": [{
                "id": "power", "name": text("power"), "unit": "kW", "tolerance": 5.0, "stale_after_s": 3600,
                "inputs": [
                    { "priority": 1, "measurement": "power", "devices": ["grid"] },
                    { "priority": 2, "measurement": "power", "devices": ["bess-1"] },
                ],
            }],
        },
        "models": models,
        "devices": [
            device("bess-1", "battery", storage),
            device("grid", "meter", json!({ "kind": "grid_meter", "limit_kw": 1000.0 })),
        ],
        "site": {
            "buildings": [{
                "id": "b-1", "name": text("hall"), "use": "factory", "footprint": footprint, "heightM": 12.0, "floors": 2,
            }],
            "roads": [], "areas": [], "trees": [], "pvAreas": [],
        },
        "network": {
            "grid_bus": "bus-1",
            "buses": [{ "id": "bus-1", "name": text("bus"), "voltage_kv": 10.0, "position": [0.0, 0.0] }],
        },
        "tariff": {
            "name": text("flat"), "example": true, "source": "test", "currency": "CNY",
            "prices": { "critical": 1.0, "peak": 1.0, "flat": 1.0, "valley": 1.0 },
            "seasons": [], "demand_charge_per_kw_month": 0.0, "demand_interval_min": 15,
            "feed_in_price_per_kwh": 0.3, "carbon_price_per_kg": 0.0,
        },
        "alarms": {
            "offline_after_s": 300, "offline_severity": "critical", "delayed_after_s": 30,
            "delayed_severity": "warning", "disk_free_min_mb": 100, "disk_severity": "critical",
            "plan_infeasible_severity": "major", "out_of_range_severity": "major", "limits": [],
        },
    });
    serde_json::from_value(scene).expect("the test park is a scene")
}
