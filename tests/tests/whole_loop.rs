//! The whole loop: the fleet's devices stream in, the planner plans, set-points go out and are obeyed.

use park_tests::{Server, binary, eventually, now_ms, repository};
use serde_json::{Value, json};
use std::{
    fs::File,
    process::{Child, Command, Stdio},
};

struct Fleet(Child);

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_park_runs_by_plan() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &["--simulated-fleet", "--plan-every", "10"]).await?;
    let log = File::create(folder.path().join("fleet.log"))?;
    let fleet = Command::new(binary("park-fleet")?)
        .arg("--scene")
        .arg(repository().join("scenes/wujiang-park"))
        .args(["--mqtt", &format!("127.0.0.1:{}", server.mqtt)])
        .args(["--http", &format!("http://127.0.0.1:{}", server.http)])
        .arg("--secrets")
        .arg(folder.path().join("fleet-secrets.json"))
        .arg("--state")
        .arg(folder.path().join("fleet-state.json"))
        // Three days are enough for a forecast, and a test should not move two million points.
        .args(["--backfill", "3"])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let _fleet = Fleet(fleet);

    let summary = eventually("every device is online", async || {
        let summary = server.get("/api/v1/energy/summary").await?;
        let (online, total) = (summary["devicesOnline"].as_u64(), summary["devicesTotal"].as_u64());
        Ok((online == total && total >= Some(300)).then_some(summary))
    })
    .await?;
    assert_eq!(summary["provenance"], "simulated", "the demo's fleet is never shown as measured");

    let balance = eventually("the balance closes", async || {
        let now = server.get("/api/v1/energy/summary").await?["now"].clone();
        let kw = |key: &str| now[key].as_f64().unwrap_or(f64::NAN);
        let closes = kw("unaccountedKw").abs() < 0.05 * kw("loadKw");
        Ok((kw("loadKw") > 100.0 && closes).then_some(now))
    })
    .await?;
    assert!(balance["gridKw"].is_number());

    let plan = eventually("an optimal plan on days of history", async || {
        let plan = server.get("/api/v1/vpp/plan").await?;
        let load = plan["loadKw"].as_array().and_then(|l| l.first()).and_then(|v| v.as_f64());
        Ok((plan["status"] == "optimal" && load > Some(100.0)).then_some(plan))
    })
    .await?;
    assert_eq!(plan["gridKw"].as_array().map(Vec::len), Some(96));
    assert!(
        plan["objectiveYuan"].as_f64() <= plan["baselineYuan"].as_f64(),
        "a plan is never worse than none: {} against {}",
        plan["objectiveYuan"],
        plan["baselineYuan"]
    );

    // Every storage container got a set-point, answered for it, and follows it.
    for device in plan["devices"].as_array().into_iter().flatten() {
        let id = device["deviceId"].as_str().unwrap_or_default();
        if device["stateOfCharge"].is_null() {
            continue;
        }
        eventually(&format!("{id} follows the plan"), async || {
            let shadow = server.get(&format!("/api/v1/devices/{id}")).await?;
            let reported = shadow["reported"]["power"]["value"].as_f64();
            let desired =
                shadow["desired"]["power"]["value"].as_f64().or(shadow["desired"]["power"].as_f64());
            Ok(match (reported, desired) {
                (Some(reported), Some(desired)) => ((reported - desired).abs() < 5.0).then_some(()),
                _ => None,
            })
        })
        .await?;
    }

    // A person takes a container in hand: it follows the person, plans come and go, and then it is released.
    let ask = |command: &str, parameters: Value| {
        let timestamp = now_ms();
        json!({ "deviceId": "bess-01", "commandId": format!("test-{command}-{timestamp}"), "command": command,
            "parameters": parameters, "timestamp": timestamp })
    };
    let mine = ask("setPower", json!({ "power": 7.0, "duration": 3600, "priority": "high" }));
    server.post("/api/v1/device/control", &mine).await?;
    let version = server.post("/api/v1/vpp/plan", &json!({})).await?["version"].as_u64();
    let plan = eventually("two more plans are made", async || {
        let plan = server.get("/api/v1/vpp/plan").await?;
        Ok((plan["version"].as_u64() > version.map(|v| v + 1)).then_some(plan))
    })
    .await?;
    let planned: Vec<&str> =
        plan["devices"].as_array().into_iter().flatten().filter_map(|d| d["deviceId"].as_str()).collect();
    assert!(planned.contains(&"bess-02") && !planned.contains(&"bess-01"), "{planned:?}");
    let shadow = server.get("/api/v1/devices/bess-01").await?;
    assert_eq!(shadow["desired"]["power"]["commandId"], mine["commandId"], "{}", shadow["desired"]);
    assert_eq!(shadow["reported"]["power"]["value"].as_f64().map(f64::round), Some(7.0));
    server.post("/api/v1/device/control", &ask("release", json!({}))).await?;
    eventually("the plan steers it again", async || {
        let desired = server.get("/api/v1/devices/bess-01").await?["desired"]["power"].clone();
        Ok((desired["issuer"]["kind"] == "plan").then_some(()))
    })
    .await
}
