//! Acknowledged means durable: kill -9 under load, again and again, loses nothing and invents nothing.
//!
//! The generator knows what it sent and what was acknowledged, on MQTT and over HTTP. After each kill every acknowledged
//! reading must be there as it was sent, and everything that is there must have been sent. Kills come at moments drawn from a
//! seed: after some acknowledgements and a few milliseconds more, and now and then while the server is starting.

use park_tests::{Device, Outcome, Server, eventually, now_ms};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// `scripts/test --long` kills as often as issue 3 asks for.
const KILLS: usize = 5;
const KILLS_LONG: usize = 100;
const MQTT_DEVICES: usize = 3;
const HTTP_DEVICES: usize = 2;
/// Publishes of a device that wait for their acknowledgement.
const WINDOW: usize = 40;
/// Most readings of one HTTP request.
const BATCH: i64 = 50;
/// Acknowledgements to see before a kill: the first few, or enough that heads are sealed meanwhile.
const ACKNOWLEDGED_BEFORE_KILL: std::ops::Range<u64> = 20..3_000;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// What a device sent and what it was told is durable. A reading's tag is its time, in ms after the first.
#[derive(Default)]
struct Sent {
    sent: i64,
    acknowledged: BTreeSet<i64>,
}

struct Generator {
    id: String,
    secret: String,
    number: i64,
    first_ms: i64,
    ledger: Mutex<Sent>,
    /// Acknowledgements of all devices in this life of the server.
    seen: Arc<AtomicU64>,
}

impl Generator {
    fn ledger(&self) -> std::sync::MutexGuard<'_, Sent> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exact in tenths, as a meter rounds, and another one for every device and tag nearby.
    fn value_of(&self, tag: i64) -> f64 {
        ((tag * 7 + self.number * 1_009) % 29_989) as f64 / 10.0
    }

    /// Notes a reading as sent before it is.
    fn next_tag(&self) -> i64 {
        let mut ledger = self.ledger();
        ledger.sent += 1;
        ledger.sent - 1
    }

    fn acknowledge(&self, tags: impl IntoIterator<Item = i64>) {
        let mut ledger = self.ledger();
        for tag in tags {
            ledger.acknowledged.insert(tag);
            self.seen.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Publishes until the connection breaks.
    async fn publish(&self, port: u16) -> anyhow::Result<()> {
        let mut device = Device::new(port, &self.id, &self.secret);
        device.connected().await?;
        let mut in_flight = 0;
        loop {
            while in_flight < WINDOW {
                let tag = self.next_tag();
                device.publish_power(self.first_ms + tag, self.value_of(tag), tag).await?;
                in_flight += 1;
            }
            if let Outcome::Acknowledged(tag) = device.poll().await? {
                self.acknowledge([tag]);
                in_flight -= 1;
            }
        }
    }

    /// Posts batches until the connection breaks.
    async fn post(&self, url: &str, mut random: ChaCha8Rng) -> anyhow::Result<()> {
        let client = reqwest::Client::new();
        loop {
            let tags: Vec<i64> = (0..random.random_range(1..=BATCH)).map(|_| self.next_tag()).collect();
            let item = |tag: &i64| {
                let data = json!({"power": self.value_of(*tag)});
                json!({"deviceId": self.id, "timestamp": self.first_ms + tag, "data": data})
            };
            let body = Value::Array(tags.iter().map(item).collect());
            let answer = client.post(url).bearer_auth(&self.secret).json(&body).send().await?;
            // A busy store keeps nothing and says so.
            if answer.status() == reqwest::StatusCode::SERVICE_UNAVAILABLE {
                continue;
            }
            let answer: Value = answer.error_for_status()?.json().await?;
            let results = answer["data"]["results"].as_array().cloned().unwrap_or_default();
            assert_eq!(results.len(), tags.len(), "{answer}");
            let kept = tags.iter().zip(results).filter(|(_, result)| result["status"] == "accepted");
            self.acknowledge(kept.map(|(tag, _)| *tag));
        }
    }

    /// Both ways: nothing acknowledged is missing, nothing is there that was not sent. Gives how many readings are there.
    async fn check(&self, server: &Server, when: &str) -> anyhow::Result<usize> {
        let stored: BTreeMap<i64, f64> = server.history(&self.id, "power").await?.into_iter().collect();
        let ledger = self.ledger();
        for tag in &ledger.acknowledged {
            let found = stored.get(&(self.first_ms + tag)).copied();
            assert_eq!(found, Some(self.value_of(*tag)), "{when}: {} {tag} was acknowledged", self.id);
        }
        for (time, value) in &stored {
            let tag = time - self.first_ms;
            assert!((0..ledger.sent).contains(&tag), "{when}: {} has {time}, which was never sent", self.id);
            assert_eq!(*value, self.value_of(tag), "{when}: {} {tag} was sent otherwise", self.id);
        }
        Ok(stored.len())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_under_load_loses_nothing_acknowledged_and_invents_nothing() -> anyhow::Result<()> {
    let long = std::env::var("PARK_TEST_LONG").is_ok_and(|long| long == "yes");
    let kills = number("PARK_TEST_KILLS", if long { KILLS_LONG } else { KILLS } as u64);
    let seed = number("PARK_TEST_SEED", 1);
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let folder = tempfile::tempdir()?;
    let mut server = Server::start(folder.path(), &[]).await?;
    let seen = Arc::new(AtomicU64::new(0));
    let mut generators = Vec::new();
    for number in 0..MQTT_DEVICES + HTTP_DEVICES {
        let id = format!("kill-test-{number}");
        let secret = server.register(&id, "feeder-meter").await?;
        let (number, ledger) = (number as i64, Mutex::default());
        // Three hours back, so that none is ahead however many are sent.
        let first_ms = now_ms() - 3 * 3_600_000;
        generators.push(Arc::new(Generator { id, secret, number, first_ms, ledger, seen: seen.clone() }));
    }
    let mut ready = Vec::new();
    for life in 0..kills {
        seen.store(0, Ordering::Relaxed);
        let mut load = tokio::task::JoinSet::new();
        for (number, generator) in generators.iter().cloned().enumerate() {
            let (port, url) = (server.mqtt, server.url("/api/v1/device/data/sync"));
            let random = ChaCha8Rng::seed_from_u64(random.random());
            load.spawn(async move {
                if number < MQTT_DEVICES {
                    generator.publish(port).await
                } else {
                    generator.post(&url, random).await
                }
            });
        }
        let wanted = random.random_range(ACKNOWLEDGED_BEFORE_KILL);
        eventually("enough is acknowledged", async || {
            Ok((seen.load(Ordering::Relaxed) >= wanted).then_some(()))
        })
        .await?;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..50))).await;
        server.kill()?;
        // Each device notices by itself, with what was acknowledged up to then in its ledger.
        while let Some(ended) = load.join_next().await {
            if let Err(fault) = ended {
                std::panic::resume_unwind(fault.into_panic());
            }
        }
        if random.random_range(0..4) == 0 {
            server.start_and_kill(Duration::from_millis(random.random_range(0..400))).await?;
        }
        server = server.restart().await?;
        ready.push(server.ready_after);
        for generator in &generators {
            generator.check(&server, &format!("seed {seed}, after kill {}", life + 1)).await?;
        }
    }
    let (mut sent, mut acknowledged, mut stored) = (0, 0, 0);
    for generator in &generators {
        stored += generator.check(&server, "at the end").await?;
        let ledger = generator.ledger();
        sent += ledger.sent;
        acknowledged += ledger.acknowledged.len();
    }
    ready.sort_unstable();
    println!(
        "{kills} kills: {sent} readings sent, {acknowledged} acknowledged, {stored} stored; ready again after {:?} (median), {:?} (longest)",
        ready[ready.len() / 2],
        ready[ready.len() - 1],
    );
    Ok(())
}

#[tokio::test]
async fn a_restart_brings_shadows_commands_and_alarms_back() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let secret = server.register("restart-test", "feeder-meter").await?;
    let mut device = Device::new(server.mqtt, "restart-test", &secret);
    device.connected().await?;
    device.publish_power(now_ms(), 123.4, 1).await?;
    while !matches!(device.poll().await?, Outcome::Acknowledged(1)) {}
    let server = server.kill_and_restart().await?;
    eventually("the shadow is back", async || {
        let shadow = server.get("/api/v1/devices/restart-test").await?;
        Ok((shadow["reported"]["power"]["value"] == 123.4).then_some(()))
    })
    .await
}
