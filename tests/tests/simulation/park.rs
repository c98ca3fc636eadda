//! A small park of batteries, and the records every simulation begins with.

use crate::{clock, turns};
use history::{History, HistoryOptions};
use records::Records;
use serde_json::json;
use shared::{scene::Scene, telemetry::Origin};
use std::{
    path::Path,
    sync::{Arc, OnceLock},
};
use tempfile::TempDir;
use twin::{Twin, TwinOptions};

pub(crate) const DEVICES: usize = 6;

pub(crate) fn device_name(index: usize) -> String {
    format!("bess-{index}")
}

/// A temporary folder, in memory where that is offered: the disk that is tested is the simulated one.
pub(crate) fn temporary_folder() -> anyhow::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    Ok(if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? })
}

/// Records with every device registered, and the devices' secrets.
pub(crate) struct Beginning {
    folder: TempDir,
    pub(crate) secrets: Vec<String>,
}

impl Beginning {
    /// Made once: what is written is the same for every seed.
    pub(crate) fn get() -> anyhow::Result<&'static Beginning> {
        static BEGINNING: OnceLock<Result<Beginning, String>> = OnceLock::new();
        let made =
            BEGINNING.get_or_init(|| turns::databases().block_on(make()).map_err(|e| format!("{e:#}")));
        made.as_ref().map_err(|e| anyhow::anyhow!("no records to begin with: {e}"))
    }

    pub(crate) fn copy_to(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::copy(self.folder.path().join("records.db"), folder.join("records.db"))?;
        Ok(())
    }
}

pub(crate) fn records_url(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("records.db").display())
}

async fn make() -> anyhow::Result<Beginning> {
    let folder = temporary_folder()?;
    let records = Records::open(&records_url(folder.path())).await?;
    let options = HistoryOptions { folder: folder.path().join("history"), ..HistoryOptions::default() };
    let history = History::open(options).await?;
    let start = shared::time::Timestamp(clock::START_MS);
    let twin =
        Twin::open(Arc::new(scene()?), history.clone(), records.clone(), TwinOptions::default(), start)
            .await?;
    let mut secrets = vec![String::new(); DEVICES];
    for (id, secret) in twin.provision_scene(Origin::Field, start).await? {
        let at = (0..DEVICES).find(|index| device_name(*index) == id.as_str());
        at.into_iter().for_each(|index| secrets[index] = secret.to_string());
    }
    drop(twin);
    history.close().await?;
    records.close().await;
    Ok(Beginning { folder, secrets })
}

/// Batteries and nothing else.
pub(crate) fn scene() -> anyhow::Result<Scene> {
    let text = |name: &str| json!({ "zh": name, "en": name });
    let measurement =
        |key: &str| json!({ "key": key, "name": text(key), "unit": "kW", "min": -1000.0, "max": 1000.0 });
    let model = json!({
        "id": "battery", "name": text("battery"), "role": "storage",
        "measurements": [measurement("power"), measurement("soc")],
        "commands": [{
            "name": "setPower", "text": text("set power"),
            "parameters": [{ "key": "power", "text": text("power"), "unit": "kW", "required": true }],
        }],
        "events": [],
    });
    let storage = json!({
        "kind": "storage", "energy_kwh": 1000.0, "charge_kw": 500.0, "discharge_kw": 500.0, "charge_efficiency": 0.95,
        "discharge_efficiency": 0.95, "soc_min": 0.1, "soc_max": 0.9, "throughput_cost_per_kwh": 0.02,
    });
    let device = |index: usize| {
        let id = device_name(index);
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
        "devices": (0..DEVICES).map(device).collect::<Vec<_>>(),
        "site": { "buildings": [], "roads": [], "areas": [], "trees": [], "pvAreas": [] },
        "network": { "grid_bus": null },
        "tariff": {
            "name": text("flat"), "example": true, "source": "test", "currency": "CNY",
            "prices": { "critical": 1.0, "peak": 1.0, "flat": 1.0, "valley": 1.0 },
            "seasons": [], "demand_charge_per_kw_month": 0.0, "demand_interval_min": 15, "feed_in_price_per_kwh": 0.3,
            "carbon_price_per_kg": 0.0,
        },
        "alarms": {
            "offline_after_s": 30, "offline_severity": "critical", "delayed_after_s": 30, "delayed_severity": "warning",
            "disk_free_min_mb": 100, "disk_severity": "critical", "plan_infeasible_severity": "major",
            "out_of_range_severity": "major", "limits": [], "clock_skew_s": crate::oracle::SKEW_LIMIT_MS / 1_000,
        },
    });
    Ok(serde_json::from_value(scene)?)
}
