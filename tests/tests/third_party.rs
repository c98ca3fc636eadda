//! Clients nobody here wrote: Mosquitto's tools and Python's paho register, publish, are commanded and answer.

use anyhow::Context;
use park_tests::{Server, eventually, now_ms, paho, repository, tool};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

/// Starts a program and gives its lines.
fn lines_of(mut command: Command) -> anyhow::Result<(Child, Lines<BufReader<ChildStdout>>)> {
    let mut process = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()?;
    let output = process.stdout.take().ok_or_else(|| anyhow::anyhow!("no output"))?;
    Ok((process, BufReader::new(output).lines()))
}

/// Registers a device with `curl`, as docs/devices.md shows it, and gives its secret.
async fn register_with_curl(server: &Server, device: &str) -> anyhow::Result<String> {
    let (status, answer) = curl_registration(server, device, server.token()).await?;
    anyhow::ensure!(status == 201, "the registration was answered with {status}: {answer}");
    let secret = answer["data"]["secret"].as_str().context("no secret in the answer")?;
    Ok(secret.to_owned())
}

async fn curl_registration(server: &Server, device: &str, token: &str) -> anyhow::Result<(u16, Value)> {
    let body = json!({"deviceId": device, "model": "battery-container", "name": device}).to_string();
    let output = Command::new(tool("curl")?)
        .args(["-s", "--noproxy", "*", "-w", "\n%{http_code}", "-X", "POST", &server.url("/api/v1/devices")])
        .args(["-H", &format!("Authorization: Bearer {token}"), "-H", "content-type: application/json"])
        .args(["-d", &body])
        .output()
        .await?;
    anyhow::ensure!(output.status.success(), "curl: {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    let (answer, status) = text.rsplit_once('\n').context("curl printed no status")?;
    Ok((status.parse()?, serde_json::from_str(answer)?))
}

/// Whether the park knows the device.
async fn is_registered(server: &Server, device: &str) -> anyhow::Result<bool> {
    match server.send(reqwest::Method::GET, &format!("/api/v1/devices/{device}"), None).await? {
        (200, answer) => {
            let registration = &answer["data"]["registration"];
            anyhow::ensure!(registration["model"] == "battery-container", "{registration}");
            anyhow::ensure!(!answer.to_string().contains("secret"), "the secret is shown again: {answer}");
            Ok(true)
        }
        (404, _) => Ok(false),
        (status, answer) => anyhow::bail!("{status}: {answer}"),
    }
}

async fn command(server: &Server, device: &str, id: &str) -> anyhow::Result<()> {
    let body = json!({
        "deviceId": device, "commandId": id, "command": "setPower", "timestamp": now_ms(),
        "parameters": {"power": 50.0, "duration": 3600, "priority": "high"},
    });
    server.post("/api/v1/device/control", &body).await?;
    Ok(())
}

async fn until_acknowledged(server: &Server, id: &str) -> anyhow::Result<Value> {
    eventually("the command is acknowledged", async || {
        let record = server.get(&format!("/api/v1/commands/{id}")).await?;
        Ok((record["status"] == "acknowledged").then_some(record))
    })
    .await
}

#[tokio::test]
async fn mosquittos_tools_register_with_curl_publish_are_commanded_and_answer() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    for version in ["mqttv311", "mqttv5"] {
        let device = format!("mosquitto-{version}");
        assert!(!is_registered(&server, &device).await?);
        let (status, answer) = curl_registration(&server, &device, "not-a-token").await?;
        assert_eq!(status, 401, "{version}: {answer}");
        assert!(!is_registered(&server, &device).await?, "{version}: registered without an administrator");
        let secret = register_with_curl(&server, &device).await?;
        assert!(is_registered(&server, &device).await?);
        let (status, answer) = curl_registration(&server, &device, server.token()).await?;
        assert_eq!(status, 409, "{version}: a second registration gave {answer}");
        assert!(answer["data"]["secret"].is_null(), "{version}: {answer}");
        let with_identity = |program: &str| -> anyhow::Result<Command> {
            let mut command = Command::new(tool(program)?);
            command.args(["-h", "127.0.0.1", "-p", &server.mqtt.to_string(), "-V", version, "-q", "1"]);
            command.args(["-u", &device, "-P", &secret]);
            Ok(command)
        };

        let body = json!({"deviceId": device, "timestamp": now_ms(), "data": {"power": 12.5, "soc": 55.0}});
        let mut publish = with_identity("mosquitto_pub")?;
        publish.args(["-t", &format!("device/{device}/data"), "-m", &body.to_string()]);
        assert!(publish.status().await?.success(), "{version}: the publish failed");
        // The tool ended with success, so the PUBACK came: the value is there.
        let shadow = server.get(&format!("/api/v1/devices/{device}")).await?;
        assert_eq!(shadow["reported"]["power"]["value"], 12.5, "{version}: {shadow}");

        let mut subscribe = with_identity("mosquitto_sub")?;
        subscribe.args([
            "-t",
            &format!("device/{device}/control"),
            "-C",
            "1",
            "-i",
            &format!("{device}-ear"),
        ]);
        let (mut process, mut lines) = lines_of(subscribe)?;
        let id = format!("c-{version}");
        command(&server, &device, &id).await?;
        let line = lines.next_line().await?.ok_or_else(|| anyhow::anyhow!("no command came"))?;
        let delivery: Value = serde_json::from_str(&line)?;
        assert_eq!(delivery["commandId"], id.as_str());
        process.wait().await?;

        let answer =
            json!({"deviceId": device, "commandId": id, "status": "done", "reason": null, "result": null});
        let mut publish = with_identity("mosquitto_pub")?;
        publish.args(["-t", &format!("device/{device}/control/ack"), "-m", &answer.to_string()]);
        assert!(publish.status().await?.success(), "{version}: the answer failed");
        until_acknowledged(&server, &id).await?;

        // A wrong secret and another device's topic do not get through.
        let mut wrong = Command::new(tool("mosquitto_pub")?);
        wrong.args(["-h", "127.0.0.1", "-p", &server.mqtt.to_string(), "-V", version, "-q", "1"]);
        wrong.args(["-u", &device, "-P", "not-it", "-t", &format!("device/{device}/data"), "-m", "{}"]);
        assert!(
            !wrong.stderr(Stdio::null()).status().await?.success(),
            "{version}: a wrong secret connected"
        );
    }
    Ok(())
}

#[tokio::test]
async fn paho_registers_publishes_is_commanded_and_answers() -> anyhow::Result<()> {
    let Some(python) = paho::python()? else {
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    for version in ["3", "5"] {
        let device = format!("paho-{version}");
        assert!(!is_registered(&server, &device).await?);
        let mut script = Command::new(&python);
        script.arg(repository().join("tests/paho/device.py")).env("PARK_TOKEN", server.token());
        script.args([&server.http.to_string(), &server.mqtt.to_string(), &device, version]);
        let (mut process, mut lines) = lines_of(script)?;
        let mut event = async |expected: &str| -> anyhow::Result<Value> {
            let line =
                lines.next_line().await?.ok_or_else(|| anyhow::anyhow!("paho ended before {expected}"))?;
            let event: Value = serde_json::from_str(&line)?;
            anyhow::ensure!(event["event"] == expected, "expected {expected}, got {event}");
            Ok(event)
        };
        let registered = event("registered").await?;
        assert_eq!(registered["status"], 201, "{registered}");
        assert!(is_registered(&server, &device).await?, "version {version}: {registered}");
        assert_eq!(event("connected").await?["reason"], "Success");
        event("published").await?;
        let shadow = server.get(&format!("/api/v1/devices/{device}")).await?;
        assert_eq!(shadow["reported"]["soc"]["value"], 55.0, "version {version}: {shadow}");
        let id = format!("c-paho-{version}");
        command(&server, &device, &id).await?;
        assert_eq!(event("command").await?["commandId"], id.as_str());
        let record = until_acknowledged(&server, &id).await?;
        assert_eq!(record["result"]["power"], 50.0);
        assert!(process.wait().await?.success());
    }
    Ok(())
}
