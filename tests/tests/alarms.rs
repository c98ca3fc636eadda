//! Every kind of alarm on a real server, from its cause to its end, with thresholds as data.

use park_tests::{Server, eventually, now_ms, repository};
use serde_json::{Value, json};
use std::{fs, path::Path};

/// The demo park with thresholds that a test can reach, and a grid connection too small for anything.
fn strained_scene(into: &Path) -> anyhow::Result<()> {
    let from = repository().join("scenes/wujiang-park");
    fs::create_dir_all(into.join("series"))?;
    for folder in ["", "series"] {
        for entry in fs::read_dir(from.join(folder))? {
            let path = entry?.path();
            if let (true, Some(name)) = (path.is_file(), path.file_name()) {
                fs::copy(&path, into.join(folder).join(name))?;
            }
        }
    }
    for (file, was, is) in [
        ("alarms.toml", "offline_after_s = 300", "offline_after_s = 3"),
        ("alarms.toml", "disk_free_min_mb = 1024", "disk_free_min_mb = 1000000000000"),
        ("park.toml", "import_limit_kw = 12000", "import_limit_kw = 1"),
    ] {
        let text = fs::read_to_string(into.join(file))?;
        anyhow::ensure!(text.contains(was), "{file} says {was}");
        fs::write(into.join(file), text.replace(was, is))?;
    }
    Ok(())
}

async fn open_alarm(server: &Server, kind: &str, device: Option<&str>) -> anyhow::Result<Option<Value>> {
    let alarms = server.get("/api/v1/alarms?size=1000").await?;
    let mut alarms = alarms["items"].as_array().cloned().unwrap_or_default().into_iter();
    Ok(alarms.find(|alarm| alarm["kind"] == kind && alarm["deviceId"].as_str() == device))
}

async fn raised(server: &Server, kind: &str, device: Option<&str>) -> anyhow::Result<Value> {
    let what = format!("{kind} of {device:?} is raised");
    eventually(&what, async || {
        Ok(open_alarm(server, kind, device).await?.filter(|alarm| alarm["clearedAt"].is_null()))
    })
    .await
}

struct Sender<'a> {
    server: &'a Server,
    client: reqwest::Client,
    secret: String,
    id: &'a str,
}

impl Sender<'_> {
    async fn send(&self, timestamp: i64, data: Value) -> anyhow::Result<()> {
        self.send_all(&json!({ "deviceId": self.id, "timestamp": timestamp, "data": data })).await
    }

    async fn send_all(&self, body: &Value) -> anyhow::Result<()> {
        let url = self.server.url("/api/v1/device/data/sync");
        let answer = self.client.post(url).bearer_auth(&self.secret).json(body).send().await?;
        anyhow::ensure!(answer.status().is_success(), "{}", answer.text().await?);
        Ok(())
    }
}

async fn sender<'a>(server: &'a Server, id: &'a str, model: &str) -> anyhow::Result<Sender<'a>> {
    let secret = server.register(id, model).await?;
    Ok(Sender { server, client: reqwest::Client::new(), secret, id })
}

#[tokio::test]
async fn every_alarm_is_raised_by_its_cause_and_ends_with_it_or_by_a_person() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let scene = folder.path().join("strained-park");
    strained_scene(&scene)?;
    let models = repository().join("scenes/models");
    let paths = [scene.display().to_string(), models.display().to_string()];
    let server =
        Server::start(&folder.path().join("data"), &["--scene", &paths[0], "--models", &paths[1]]).await?;

    let full = raised(&server, "disk_low", None).await?;
    assert_eq!(full["severity"], "major");

    // A device of the field: late, out of range, beyond a limit, then silent.
    let battery = sender(&server, "bess-42", "battery-container").await?;
    for _ in 0..2 {
        battery.send(now_ms() - 60_000, json!({ "power": 1.0 })).await?;
    }
    let late = raised(&server, "data_delayed", Some("bess-42")).await?;
    assert_eq!(late["severity"], "warning");
    battery.send(now_ms(), json!({ "soc": 500.0, "temperature_max": 50.0 })).await?;
    assert_eq!(raised(&server, "out_of_range", Some("bess-42")).await?["detail"], "soc");
    let hot = raised(&server, "limit_exceeded", Some("bess-42")).await?;
    assert_eq!((&hot["severity"], &hot["value"]), (&json!("critical"), &json!(50.0)));
    assert_eq!(raised(&server, "device_offline", Some("bess-42")).await?["severity"], "critical");

    // Back again, in order: what the park sees end ends by itself, and what nobody acknowledged stays in the list.
    battery.send(now_ms(), json!({ "soc": 50.0, "temperature_max": 30.0 })).await?;
    for kind in ["device_offline", "data_delayed", "out_of_range", "limit_exceeded"] {
        eventually(&format!("{kind} is cleared"), async || {
            battery.send(now_ms(), json!({ "soc": 50.0, "temperature_max": 30.0 })).await?;
            Ok(open_alarm(&server, kind, Some("bess-42")).await?.filter(|a| !a["clearedAt"].is_null()))
        })
        .await?;
    }
    let id = hot["id"].as_str().unwrap_or_default();
    let seen = server.post(&format!("/api/v1/alarms/{id}/acknowledge"), &json!({})).await?;
    assert_eq!(seen["acknowledgedBy"], "admin");
    assert_eq!(open_alarm(&server, "limit_exceeded", Some("bess-42")).await?, None);

    // A person ends one whose cause is still there; it stands in the history, and the park raises it anew.
    let id = full["id"].as_str().unwrap_or_default();
    let ended = server.post(&format!("/api/v1/alarms/{id}/clear"), &json!({})).await?;
    assert!(ended["clearedAt"].is_number() && ended["acknowledgedBy"] == "admin", "{ended}");
    let all = server.get("/api/v1/alarms?state=all&size=1000").await?;
    let all = all["items"].as_array().cloned().unwrap_or_default();
    assert!(all.iter().any(|alarm| alarm["id"] == id), "{all:?}");

    // No plan can import more than the connection carries: the alarm names limit and step.
    let load = sender(&server, "ld-f1-line-1", "production-line").await?;
    let hour: Vec<Value> = (0..120)
        .map(|n| {
            json!({ "deviceId": load.id, "timestamp": now_ms() - n * 60_000, "data": { "power": 400.0 } })
        })
        .collect();
    load.send_all(&json!(hour)).await?;
    let plan = eventually("a plan that knows the load", async || {
        let plan = server.post("/api/v1/vpp/plan", &json!({})).await?;
        Ok((plan["status"] == "infeasible").then_some(plan))
    })
    .await?;
    let alarm = raised(&server, "plan_infeasible", None).await?;
    let reason = plan["infeasible"][0]["en"].as_str().unwrap_or_default();
    assert!(reason.contains("import limit 1 kW"), "{reason}");
    assert!(alarm["text"]["en"].as_str().is_some_and(|text| text.contains(reason)), "{alarm}");
    Ok(())
}
