//! A real `sim-server` process in a temporary folder.

use crate::{binary, eventually, free_port, repository};
use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

pub const PASSWORD: &str = "correct horse battery staple";

/// A server; stopped when dropped.
pub struct Server {
    process: Child,
    pub data: PathBuf,
    pub http: u16,
    pub mqtt: u16,
    /// From the process's start until it said it was ready.
    pub ready_after: Duration,
    extra: Vec<String>,
    client: reqwest::Client,
    token: String,
}

impl Server {
    /// Starts the demo park, or that of a `--scene` in `extra`, on free ports with its data in `data`, and signs in as
    /// `admin`.
    pub async fn start(data: &Path, extra: &[&str]) -> anyhow::Result<Server> {
        let extra = extra.iter().map(|&arg| arg.to_owned()).collect();
        Self::start_on(data, free_port()?, free_port()?, extra).await
    }

    async fn start_on(data: &Path, http: u16, mqtt: u16, extra: Vec<String>) -> anyhow::Result<Server> {
        let started = Instant::now();
        let process = spawn(data, http, mqtt, &extra)?;
        let mut server = Server {
            process,
            data: data.to_owned(),
            http,
            mqtt,
            ready_after: Duration::ZERO,
            extra,
            client: reqwest::Client::new(),
            token: String::new(),
        };
        server.until_ready().await?;
        server.ready_after = started.elapsed();
        server.sign_in().await?;
        Ok(server)
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let url = self.url("/readyz");
        let (client, data) = (self.client.clone(), self.data.clone());
        let process = &mut self.process;
        eventually("the server is ready", async || {
            if let Some(status) = process.try_wait()? {
                bail!("the server ended with {status}: {}", log_of(&data));
            }
            Ok(client.get(&url).send().await.ok().filter(|r| r.status().is_success()).map(|_| ()))
        })
        .await
    }

    async fn sign_in(&mut self) -> anyhow::Result<()> {
        let body = json!({"username": "admin", "password": PASSWORD});
        let answer: Value =
            self.client.post(self.url("/api/v1/auth/login")).json(&body).send().await?.json().await?;
        self.token = answer["data"]["accessToken"].as_str().context("no access token")?.to_owned();
        Ok(())
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.http)
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// The answer's `data`.
    ///
    /// # Errors
    /// When the status is not a success, with the answer.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let (status, answer) = self.send(reqwest::Method::GET, path, None).await?;
        ensure!(status < 300, "GET {path}: {status} {answer}");
        Ok(answer["data"].clone())
    }

    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let (status, answer) = self.send(reqwest::Method::POST, path, Some(body)).await?;
        ensure!(status < 300, "POST {path}: {status} {answer}");
        Ok(answer["data"].clone())
    }

    /// Status and body, whatever they are.
    pub async fn send(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(u16, Value)> {
        let mut request = self.client.request(method, self.url(path)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status().as_u16();
        let bytes = response.bytes().await?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    /// Registers a device and gives its secret.
    pub async fn register(&self, id: &str, model: &str) -> anyhow::Result<String> {
        let body = json!({"deviceId": id, "model": model, "name": {"zh": id, "en": id}});
        let data = self.post("/api/v1/devices", &body).await?;
        Ok(data["secret"].as_str().context("no secret in the registration")?.to_owned())
    }

    /// All points of a series as (ms, value).
    pub async fn history(&self, device: &str, measurement: &str) -> anyhow::Result<Vec<(i64, f64)>> {
        let (mut from, mut all) = (0, Vec::new());
        loop {
            let path = format!(
                "/api/v1/devices/{device}/history?measurement={measurement}&from={from}&to=4102444800000&limit=100000"
            );
            let data = self.get(&path).await?;
            for point in data["points"].as_array().context("no points in the history")? {
                all.push((point[0].as_i64().context("time")?, point[1].as_f64().context("value")?));
            }
            match data["next"].as_i64() {
                Some(next) => from = next,
                None => return Ok(all),
            }
        }
    }

    /// `kill -9`, then the same server again on the same data and ports.
    pub async fn kill_and_restart(mut self) -> anyhow::Result<Server> {
        self.kill()?;
        self.restart().await
    }

    /// The same server again on the same data and ports, after it ended.
    pub async fn restart(self) -> anyhow::Result<Server> {
        let (data, http, mqtt, extra) = (self.data.clone(), self.http, self.mqtt, self.extra.clone());
        drop(self);
        Self::start_on(&data, http, mqtt, extra).await
    }

    /// Starts it once more and kills it after a while, wherever it has come to by then.
    pub async fn start_and_kill(&self, after: Duration) -> anyhow::Result<()> {
        let mut process = spawn(&self.data, self.http, self.mqtt, &self.extra)?;
        tokio::time::sleep(after).await;
        process.kill()?;
        process.wait()?;
        Ok(())
    }

    /// Kills the process at once, without restarting it.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Asks the server to stop, as Ctrl-C does, and gives its exit status.
    pub async fn stop(&mut self) -> anyhow::Result<std::process::ExitStatus> {
        let status = Command::new("kill").arg("-TERM").arg(self.process.id().to_string()).status()?;
        ensure!(status.success(), "the server was gone already");
        let process = &mut self.process;
        eventually("the server stops", async || Ok(process.try_wait()?)).await
    }

    pub fn log(&self) -> String {
        log_of(&self.data)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts the process without waiting for anything.
pub fn spawn(data: &Path, http: u16, mqtt: u16, extra: &[String]) -> anyhow::Result<Child> {
    std::fs::create_dir_all(data)?;
    let log = File::options().create(true).append(true).open(data.join("server.log"))?;
    let mut command = Command::new(binary("sim-server")?);
    command.arg("serve");
    if !extra.iter().any(|arg| arg == "--scene") {
        command.arg("--scene").arg(repository().join("scenes/wujiang-park"));
    }
    command
        .arg("--data")
        .arg(data)
        .args(["--http", &format!("127.0.0.1:{http}"), "--mqtt", &format!("127.0.0.1:{mqtt}")])
        .args(extra)
        .env("PARK_ADMIN_PASSWORD", PASSWORD)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()
        .context("starting sim-server")
}

fn log_of(data: &Path) -> String {
    std::fs::read_to_string(data.join("server.log")).unwrap_or_default()
}
