//! Several gateways on one real Mosquitto and one PostgreSQL: whichever process is killed, and even when the server's disk is lost,
//! nothing the broker took is lost, and nothing is there twice.

use anyhow::Context;
use park_tests::{
    Broker, Database, Device, Outcome, Postgres, Server, binary, eventually, free_port, now_ms,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

const DEVICES: usize = 3;
/// `scripts/test --long` kills more often.
const KILLS: usize = 6;
const KILLS_LONG: usize = 60;

/// The database may have served an earlier run.
fn name_of(what: &str) -> String {
    format!("{what}-{}", std::process::id())
}

/// A `--roles gateway` process; killed when dropped.
struct Gateway {
    process: Option<Child>,
    name: String,
    arguments: Vec<String>,
    log: PathBuf,
    http: u16,
}

impl Gateway {
    fn new(folder: &Path, name: &str, broker: &str, database: &str) -> anyhow::Result<Gateway> {
        let http = free_port()?;
        let address = format!("127.0.0.1:{http}");
        let arguments = [
            "serve",
            "--roles",
            "gateway",
            "--name",
            name,
            "--mqtt-upstream",
            broker,
            "--database",
            database,
            "--http",
            &address,
        ];
        let arguments = arguments.map(str::to_owned).to_vec();
        let log = folder.join(format!("{name}.log"));
        Ok(Gateway { process: None, name: name.to_owned(), arguments, log, http })
    }

    async fn start(&mut self) -> anyhow::Result<()> {
        let log = std::fs::File::options().create(true).append(true).open(&self.log)?;
        let process = Command::new(binary("sim-server")?)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        self.process = Some(process);
        let url = format!("http://127.0.0.1:{}/readyz", self.http);
        eventually("the gateway is ready", async || {
            if let Some(process) = &mut self.process
                && let Some(status) = process.try_wait()?
            {
                let log = std::fs::read_to_string(&self.log).unwrap_or_default();
                anyhow::bail!("{} ended with {status}: {log}", self.name);
            }
            Ok(reqwest::get(&url).await.ok().filter(|answer| answer.status().is_success()).map(drop))
        })
        .await
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill()?;
            process.wait()?;
        }
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// A device that publishes through the broker until it is told to stop.
#[derive(Default)]
struct Publisher {
    id: String,
    first_ms: i64,
    acknowledged: AtomicI64,
    stop: AtomicBool,
}

impl Publisher {
    fn value_of(tag: i64) -> f64 {
        ((tag * 7) % 9_973) as f64 / 10.0
    }

    /// Publishes with a window of its own, and ends once the broker has acknowledged everything. Gives how many there were.
    async fn publish(&self, port: u16) -> anyhow::Result<i64> {
        let mut device = Device::new(port, &self.id, "the broker does not ask");
        device.connected().await?;
        let mut sent = 0;
        loop {
            let stopped = self.stop.load(Ordering::Relaxed);
            let acknowledged = self.acknowledged.load(Ordering::Relaxed);
            if stopped && acknowledged == sent {
                return Ok(sent);
            }
            if !stopped && sent - acknowledged < 20 {
                device.publish_power(self.first_ms + sent, Self::value_of(sent), sent).await?;
                sent += 1;
            }
            if let Outcome::Acknowledged(_) = device.poll().await? {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_any_process_loses_nothing_and_repeats_nothing() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let Some(mut postgres) = Postgres::start(folder.path()).await? else { return Ok(()) };
    let database = postgres.url();
    let number = |variable: &str| std::env::var(variable).ok().and_then(|text| text.parse().ok());
    let seed: u64 = number("PARK_TEST_SEED").unwrap_or_else(rand::random);
    eprintln!("seed {seed}: PARK_TEST_SEED={seed} draws the same kills again");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let is_long = std::env::var("PARK_TEST_LONG").is_ok_and(|long| long == "yes");
    let kills = if is_long { KILLS_LONG } else { KILLS };

    let broker = Broker::start(folder.path()).await?;
    let url = broker.url();
    let data = folder.path().join("data");
    let options = ["--roles", "server", "--mqtt-upstream", &url, "--database", &database];
    let mut server = Server::start(&data, &options).await?;
    let mut gateways = Vec::new();
    for name in ["gateway-a", "gateway-b"] {
        let mut gateway = Gateway::new(folder.path(), &name_of(name), &url, &database)?;
        gateway.start().await?;
        gateways.push(gateway);
    }

    let first_ms = now_ms() - 3_600_000;
    let mut publishing = Vec::new();
    for index in 0..DEVICES {
        let id = name_of(&format!("relayed-{index}"));
        server.register(&id, "feeder-meter").await?;
        let publisher = Arc::new(Publisher { id, first_ms, ..Publisher::default() });
        let port = broker.port;
        let task = tokio::spawn({
            let publisher = Arc::clone(&publisher);
            async move { publisher.publish(port).await }
        });
        publishing.push((publisher, task));
    }
    let acknowledged = || publishing.iter().map(|(p, _)| p.acknowledged.load(Ordering::Relaxed)).sum::<i64>();

    for kill in 0..kills {
        let until = acknowledged() + random.random_range(50..1_500);
        eventually("the load goes on", async || Ok((acknowledged() >= until).then_some(()))).await?;
        match random.random_range(0..=gateways.len() + 1) {
            at if at < gateways.len() => {
                let gateway = &mut gateways[at];
                gateway.kill()?;
                gateway.start().await?;
            }
            // The rest goes on without it, or waits.
            at if at == gateways.len() => {
                postgres.kill()?;
                postgres.restart().await?;
            }
            _ => {
                server.kill()?;
                // Now and then its disk is lost too.
                if kill % 2 == 0 {
                    std::fs::remove_dir_all(&data)?;
                }
                server = server.restart().await?;
            }
        }
    }

    for (publisher, task) in publishing {
        publisher.stop.store(true, Ordering::Relaxed);
        let sent = task.await?.context("publishing through the broker")?;
        assert!(sent > 0);
        let expected: Vec<(i64, f64)> =
            (0..sent).map(|tag| (first_ms + tag, Publisher::value_of(tag))).collect();
        eventually("everything the broker took is in the history", async || {
            let stored = server.history(&publisher.id, "power").await?;
            assert!(stored.len() <= expected.len(), "readings nobody sent");
            Ok((stored.len() == expected.len()).then_some(()))
        })
        .await?;
        assert_eq!(server.history(&publisher.id, "power").await?, expected);
    }
    Ok(())
}

/// What the broker kept for it comes to the server, nothing new does, and the broker forgets it.
#[tokio::test]
async fn a_gateway_that_leaves_takes_what_is_its_own_and_no_more() -> anyhow::Result<()> {
    const EARLIER: i64 = 3_000;
    let Some(own) = Database::fresh()? else { return Ok(()) };
    let database = own.url();
    let folder = tempfile::tempdir()?;
    let broker = Broker::start(folder.path()).await?;
    let url = broker.url();
    let options = ["--roles", "server", "--mqtt-upstream", &url, "--database", &database];
    let server = Server::start(&folder.path().join("data"), &options).await?;
    let mut gateway = Gateway::new(folder.path(), &name_of("gateway-e"), &url, &database)?;
    gateway.start().await?;
    let id = name_of("relayed-left");
    server.register(&id, "feeder-meter").await?;
    let publish = async |first_ms: i64, count: i64| {
        let publisher = Publisher { id: id.clone(), first_ms, ..Publisher::default() };
        let stop = async {
            let acknowledged = || publisher.acknowledged.load(Ordering::Relaxed);
            eventually("the load goes on", async || Ok((acknowledged() >= count).then_some(()))).await?;
            publisher.stop.store(true, Ordering::Relaxed);
            anyhow::Ok(())
        };
        tokio::try_join!(publisher.publish(broker.port), stop).map(|(sent, ())| sent)
    };
    let stored = async || anyhow::Ok(server.history(&id, "power").await?.len() as i64);
    let first_ms = now_ms() - 3_600_000;
    let mut sent = publish(first_ms, 100).await?;
    eventually("the gateway reads", async || Ok((stored().await? == sent).then_some(()))).await?;

    gateway.kill()?;
    sent += publish(first_ms + sent, EARLIER).await?;
    gateway.arguments.push("--leave".to_owned());
    let left = Command::new(binary("sim-server")?).args(&gateway.arguments).output()?;
    let said = String::from_utf8_lossy(&left.stdout);
    assert!(left.status.success(), "{said}{}", String::from_utf8_lossy(&left.stderr));
    // What comes now is no gateway's.
    publish(first_ms + sent, 100).await?;
    eventually("all that was its own has come", async || Ok((stored().await? == sent).then_some(()))).await?;
    gateway.arguments.pop();
    gateway.start().await?;
    let again = publish(first_ms + 3_000_000, 100).await?;
    eventually("it reads as a new one", async || Ok((stored().await? == sent + again).then_some(()))).await
}

#[tokio::test]
async fn a_command_goes_out_by_the_server_and_its_answer_comes_by_a_gateway() -> anyhow::Result<()> {
    let Some(own) = Database::fresh()? else { return Ok(()) };
    let database = own.url();
    let folder = tempfile::tempdir()?;
    let broker = Broker::start(folder.path()).await?;
    let url = broker.url();
    let options = ["--roles", "server", "--mqtt-upstream", &url, "--database", &database];
    let server = Server::start(&folder.path().join("data"), &options).await?;
    let mut gateway = Gateway::new(folder.path(), &name_of("gateway-c"), &url, &database)?;
    gateway.start().await?;

    let id = name_of("relayed-commanded");
    server.register(&id, "battery-container").await?;
    let mut device = Device::new(broker.port, &id, "the broker does not ask");
    device.connected().await?;
    device.subscribe(&format!("device/{id}/control")).await?;
    device.subscribe(&format!("device/{id}/errors")).await?;
    device.publish_power(now_ms(), 12.5, 1).await?;
    let arrived = eventually("the value came by the gateway", async || {
        let shadow = server.get(&format!("/api/v1/devices/{id}")).await?;
        Ok((shadow["reported"]["power"]["value"] == 12.5 && shadow["online"] == true).then_some(()))
    });
    tokio::select! {
        result = arrived => result?,
        error = async { loop { if let Err(error) = device.poll().await { break error } } } => return Err(error),
    }

    let command = name_of("c-relayed");
    let body = json!({
        "deviceId": id, "commandId": command, "command": "setPower", "timestamp": now_ms(),
        "parameters": {"power": 20.0, "duration": 600},
    });
    server.post("/api/v1/device/control", &body).await?;
    let (topic, delivery) = device.message().await?;
    assert_eq!(
        (topic, delivery["commandId"].as_str()),
        (format!("device/{id}/control"), Some(command.as_str()))
    );
    let answer =
        json!({"deviceId": id, "commandId": command, "status": "done", "reason": null, "result": null});
    let qos = rumqttc::QoS::AtLeastOnce;
    device.client.publish(format!("device/{id}/control/ack"), qos, false, answer.to_string()).await?;
    // What the server finds wrong comes back through the broker.
    device.client.publish(format!("device/{id}/data"), qos, false, "{").await?;
    let (topic, report) = device.message().await?;
    assert_eq!(topic, format!("device/{id}/errors"));
    assert!(report.to_string().contains("MALFORMED_JSON"), "{report}");
    eventually("the command is acknowledged", async || {
        let record = server.get(&format!("/api/v1/commands/{command}")).await?;
        Ok((record["status"] == "acknowledged").then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_gateway_says_what_it_lacks() -> anyhow::Result<()> {
    for (arguments, part) in [
        (vec!["--roles", "gateway", "--name", "a", "--mqtt-upstream", "mqtt://127.0.0.1:1"], "--database"),
        (
            vec!["--roles", "gateway", "--name", "a", "--database", "postgres://127.0.0.1:1/x"],
            "--mqtt-upstream",
        ),
        (
            vec![
                "--roles",
                "gateway",
                "--mqtt-upstream",
                "mqtt://127.0.0.1:1",
                "--database",
                "postgres://127.0.0.1:1/x",
            ],
            "--name",
        ),
        (
            vec![
                "--roles",
                "gateway",
                "--name",
                "a",
                "--http",
                "127.0.0.1:0",
                "--mqtt-upstream",
                "mqtt://127.0.0.1:1",
                "--database",
                "sqlite://park.db",
            ],
            "postgres://",
        ),
        (vec!["--roles", "all"], "--scene"),
    ] {
        let output = Command::new(binary("sim-server")?).arg("serve").args(&arguments).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(part), "{arguments:?}: {said}");
    }
    Ok(())
}
