//! A small park with a real twin, history and records behind a real endpoint, and clients to talk to it.

#![allow(dead_code, reason = "each test file uses its part")]

use access::KeyRing;
use gateway::{Inlets, MqttListeners, MqttOptions, PersonRefusal, Writers, serve_mqtt};
use history::{History, HistoryOptions, SeriesKey};
use records::Records;
use serde_json::{Value, json};
use shared::{
    command::{CommandRequest, CommandStatus, Issuer},
    scene::Scene,
    telemetry::{Origin, Reading},
    time::Timestamp,
};
use std::{
    collections::HashMap,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use twin::{Twin, TwinOptions};

/// Nothing here takes this long; a test that waits for it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Park {
    pub(crate) twin: Twin,
    pub(crate) history: History,
    pub(crate) records: Records,
    pub(crate) folder: TempDir,
    pub(crate) secrets: HashMap<String, String>,
    pub(crate) shutdown: CancellationToken,
}

impl Park {
    pub(crate) async fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let history = open_history(folder.path()).await;
        let url = format!("sqlite://{}", folder.path().join("records.db").display());
        let records = Records::open(&url).await.expect("records");
        let twin =
            Twin::open(Arc::new(scene()), history.clone(), records.clone(), TwinOptions::default(), now())
                .await
                .expect("a twin");
        let secrets = twin.provision_scene(Origin::Simulated, now()).await.expect("secrets");
        let secrets = secrets.into_iter().map(|(id, secret)| (id.to_string(), secret.to_string())).collect();
        Self { twin, history, records, folder, secrets, shutdown: CancellationToken::new() }
    }

    /// Starts the endpoint; it ends, and all its connections with it, when the handle is awaited after `shutdown`.
    pub(crate) async fn serve(&self, options: MqttOptions) -> (SocketAddr, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        self.serve_on(listener, options, self.shutdown.clone()).await
    }

    /// The same on listeners of the caller's choosing.
    pub(crate) async fn serve_on(
        &self,
        listeners: impl Into<MqttListeners>,
        options: MqttOptions,
        shutdown: CancellationToken,
    ) -> (SocketAddr, JoinHandle<()>) {
        let listeners = listeners.into();
        let MqttListeners::Sockets { plain, .. } = &listeners else { panic!("sockets") };
        let address = plain.local_addr().expect("an address");
        let served = serve_mqtt(listeners, self.twin.clone(), self.records.clone(), options, shutdown);
        (address, tokio::spawn(async move { served.await.expect("the endpoint") }))
    }

    /// What the HTTP routes need. `operator` and `viewer` are people's tokens.
    pub(crate) async fn inlets(&self) -> Inlets {
        let people = Arc::new(|token: &str| match token {
            "operator" => Ok("olga".to_owned()),
            "viewer" => Err(PersonRefusal::Forbidden("this needs the role operator, you are viewer".into())),
            _ => Err(PersonRefusal::Unauthenticated("the token is not one of this server's".into())),
        });
        Inlets {
            twin: self.twin.clone(),
            writers: Writers::new(self.twin.clone(), self.keys().await, people),
            shutdown: self.shutdown.clone(),
        }
    }

    /// API keys as the records have them.
    pub(crate) async fn keys(&self) -> KeyRing {
        let zone = jiff::tz::TimeZone::UTC;
        KeyRing::open(self.records.clone(), zone, Vec::new(), now()).await.expect("the keys")
    }

    pub(crate) fn secret(&self, device: &str) -> &str {
        &self.secrets[device]
    }

    pub(crate) async fn readings(&self, device: &str, measurement: &str) -> Vec<Reading> {
        readings(&self.history, device, measurement).await
    }

    pub(crate) async fn submit(&self, device: &str, command_id: &str, power: f64) {
        let request = CommandRequest {
            device_id: device.parse().expect("an id"),
            command_id: command_id.parse().expect("an id"),
            command: "setPower".into(),
            parameters: json!({ "power": power }).as_object().expect("an object").clone(),
            timestamp: now(),
            expires: None,
        };
        self.twin.submit(request, Issuer::Plan, now()).await.expect("taken");
    }

    pub(crate) async fn command_status(&self, command_id: &str) -> CommandStatus {
        let id = command_id.parse().expect("an id");
        self.twin.command(&id).await.expect("readable").expect("known").status
    }
}

pub(crate) async fn open_history(folder: &Path) -> History {
    let options = HistoryOptions { folder: folder.join("history"), ..HistoryOptions::default() };
    History::open(options).await.expect("a history")
}

pub(crate) async fn readings(history: &History, device: &str, measurement: &str) -> Vec<Reading> {
    let series = SeriesKey {
        device: device.parse().expect("an id"),
        measurement: measurement.parse().expect("a key"),
    };
    history.readings(&series, Timestamp(0), Timestamp(i64::MAX), 1_000_000).await.expect("readable")
}

pub(crate) fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as i64)
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// Asks until the answer is yes.
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asked = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("never came true: {what}"));
}

/// The next value a client's events lead to.
pub(crate) async fn next<E, T>(
    events: &mut mpsc::UnboundedReceiver<E>,
    mut want: impl FnMut(E) -> Option<T>,
) -> T {
    let found = async {
        loop {
            let event = events.recv().await.expect("the client ended before that");
            if let Some(found) = want(event) {
                return found;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("in time")
}

pub(crate) fn data(device: &str, timestamp: Timestamp, values: Value) -> String {
    json!({ "deviceId": device, "timestamp": timestamp.0, "data": values }).to_string()
}

/// Forty batteries and nothing else.
pub(crate) fn scene() -> Scene {
    let text = |name: &str| json!({ "zh": name, "en": name });
    let measurement = |key: &str, min: Option<f64>, max: Option<f64>| json!({ "key": key, "name": text(key), "unit": "kW", "min": min, "max": max });
    let model = json!({
        "id": "battery", "name": text("battery"), "role": "storage",
        "measurements": [
            measurement("power", Some(-1000.0), Some(1000.0)),
            measurement("soc", Some(0.0), Some(100.0)),
            measurement("pack_voltage", None, None),
            json!({
                "key": "status", "name": text("status"), "kind": "state", "unit": "",
                "states": [
                    { "code": 0, "word": "idle", "name": text("idle") },
                    { "code": 2, "word": "charging", "name": text("charging") },
                ],
            }),
        ],
        "commands": [{
            "name": "setPower", "text": text("set power"),
            "parameters": [{ "key": "power", "text": text("power"), "unit": "kW", "required": true }],
        }],
        "events": [{ "id": "overheat", "text": text("overheating"), "severity": "major" }],
    });
    let storage = json!({
        "kind": "storage", "energy_kwh": 1000.0, "charge_kw": 500.0, "discharge_kw": 500.0, "charge_efficiency": 0.95,
        "discharge_efficiency": 0.95, "soc_min": 0.1, "soc_max": 0.9, "throughput_cost_per_kwh": 0.02,
    });
    let device = |n: usize| {
        let id = format!("bess-{n}");
        json!({ "id": id, "model": "battery", "name": text(&id), "position": [0.0, 0.0, 0.0], "rating": storage })
    };
    let scene = json!({
        "park": {
            "id": "test-park", "name": text("test park"), "latitude_deg": 31.1, "longitude_deg": 120.6,
            "time_zone": "Asia/Shanghai", "grid_region": "华东", "province": "江苏", "extent_m": [100.0, 100.0],
            "grid": { "import_limit_kw": 1000.0, "export_limit_kw": 1000.0, "voltage_kv": 10.0 },
            "emission": { "kg_per_kwh": 0.5827, "source": "test", "year": 2023, "status": "R", "basis": "location" },
        },
        "models": { "battery": model },
        "devices": (0..40).map(device).collect::<Vec<_>>(),
        "site": { "buildings": [], "roads": [], "areas": [], "trees": [], "pvAreas": [] },
        "network": { "grid_bus": null },
        "tariff": {
            "name": text("flat"), "example": true, "source": "test", "currency": "CNY",
            "prices": { "critical": 1.0, "peak": 1.0, "flat": 1.0, "valley": 1.0 },
            "seasons": [], "demand_charge_per_kw_month": 0.0, "demand_interval_min": 15, "feed_in_price_per_kwh": 0.3,
            "carbon_price_per_kg": 0.0,
        },
        "alarms": {
            "offline_after_s": 300, "offline_severity": "critical", "delayed_after_s": 30, "delayed_severity": "warning",
            "disk_free_min_mb": 100, "disk_severity": "critical", "plan_infeasible_severity": "major",
            "out_of_range_severity": "major", "limits": [],
        },
    });
    serde_json::from_value(scene).expect("a scene")
}
