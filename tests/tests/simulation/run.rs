//! A seed's whole story: lives of the server that end badly, and a last one in which everything must come right.

use crate::{
    clock::{self, START_MS},
    device::{self, Device},
    life::Life,
    network::Network,
    oracle::{self, Oracle, values},
    park::{self, Beginning},
    trace::{Trace, note},
    turns::{self, Turns},
    weather,
};
use anyhow::{Context, bail, ensure};
use gateway::{MqttListeners, MqttOptions};
use history::{Damage, FaultDisk, History, HistoryOptions, SeriesKey, Unsynced};
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use records::Records;
use shared::{
    scene::Scene,
    time::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp},
};
use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use twin::{Twin, TwinOptions};
use work::Work;

/// 2026-04-01 in Shanghai, before anything that devices say.
const FIRST_MIDNIGHT_MS: i64 = 1_774_972_800_000;
/// In the end all must be quiet within this.
const CALM_WITHIN: Duration = Duration::from_secs(900);

/// What a story came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The trace's number and how many events it has.
    pub(crate) trace: (u64, u64),
    pub(crate) lives: usize,
    pub(crate) readings: usize,
    pub(crate) commands: usize,
    pub(crate) answered: usize,
}

struct Story {
    rng: ChaCha8Rng,
    folder: TempDir,
    scene: Arc<Scene>,
    disk: FaultDisk,
    disk_lies: bool,
    /// Just before this life.
    lost_power: bool,
    queue_points: usize,
    memory_bytes: usize,
    at_ms: i64,
    trace: Arc<Trace>,
    oracle: Arc<Mutex<Oracle>>,
    devices: Vec<Arc<Mutex<Device>>>,
}

/// How a life ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// `kill -9`: what was written is written.
    Killed,
    /// What was not synced is drawn.
    PowerLoss(u64),
    /// As asked: everything is finished first.
    Stopped,
}

/// A server that runs.
struct Server {
    twin: Twin,
    history: History,
    records: Records,
    network: Arc<Network>,
    shutdown: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// What the judge knows of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judge {
    /// Whether it lies, which it does for some seeds.
    Knows,
    /// Nothing: it lies, and that must come out.
    IsDeceived,
}

/// Runs a seed. An error says what must not have happened, and the last events.
pub(crate) fn run(seed: u64, judge: Judge, with_all_events: bool) -> anyhow::Result<Outcome> {
    let trace = Arc::new(Trace::new(with_all_events));
    let mut story = Story::new(seed, judge, trace.clone())?;
    let outcome = story.tell();
    outcome.with_context(|| format!("seed {seed}, after these events:\n{}", trace.tail()))
}

impl Story {
    fn new(seed: u64, judge: Judge, trace: Arc<Trace>) -> anyhow::Result<Story> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let beginning = Beginning::get()?;
        let folder = park::temporary_folder()?;
        beginning.copy_to(folder.path())?;
        let disk_lies = rng.random_range(0..8) == 0 || judge == Judge::IsDeceived;
        let oracle = Arc::new(Mutex::new(Oracle::new(disk_lies && judge == Judge::Knows)));
        let devices = beginning.secrets.iter().enumerate().map(|(index, secret)| {
            let rng = ChaCha8Rng::seed_from_u64(rng.random());
            Arc::new(Mutex::new(Device::new(
                index,
                park::device_name(index),
                secret.clone(),
                rng,
                oracle.clone(),
            )))
        });
        let devices = devices.collect();
        Ok(Story {
            folder,
            scene: Arc::new(park::scene()?),
            disk: FaultDisk::default(),
            disk_lies,
            lost_power: false,
            queue_points: if rng.random_range(0..3) == 0 { 8 } else { 500_000 },
            memory_bytes: if rng.random_range(0..3) == 0 { 30_000 } else { 64 << 20 },
            at_ms: START_MS,
            trace,
            oracle,
            devices,
            rng,
        })
    }

    fn draw_rng(&mut self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.rng.random())
    }

    fn tell(&mut self) -> anyhow::Result<Outcome> {
        let lives = self.rng.random_range(2..6);
        for life in 0..lives {
            self.live(life, false).with_context(|| format!("life {life} of {lives}"))?;
        }
        self.live(lives, true).context("the calm at the end")?;
        self.live(lives + 1, true).context("after the calm")?;
        let oracle = self.oracle.lock();
        Ok(Outcome {
            trace: self.trace.sum(),
            lives: lives + 2,
            readings: oracle.readings(),
            commands: oracle.commands(),
            answered: oracle.answered(),
        })
    }

    fn live(&mut self, number: usize, is_calm: bool) -> anyhow::Result<()> {
        // The machine was away for a while.
        self.at_ms += self.rng.random_range(10..20_000);
        let end = match self.rng.random_range(0..7) {
            _ if is_calm => End::Stopped,
            0..3 => End::Killed,
            3..6 => End::PowerLoss(self.rng.random()),
            _ => End::Stopped,
        };
        let dies_at_step = (end != End::Stopped && self.rng.random_range(0..2) == 0).then(|| {
            let most = if self.rng.random_range(0..3) == 0 { 60 } else { 1_500 };
            self.rng.random_range(0..most)
        });
        if matches!(end, End::PowerLoss(_)) && self.rng.random_range(0..3) == 0 {
            self.disk.power_off_at_byte(self.disk.written() + self.rng.random_range(0..20_000));
        }
        self.disk.lie_about_syncs(self.disk_lies && !is_calm);
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let life = Life::new(self.trace.clone(), self.disk.clone(), dies_at_step);
        let lasted = runtime.block_on(async {
            clock::start(self.at_ms);
            note!(self.trace, "life {number} begins, to end with {end:?}");
            let began = tokio::time::Instant::now();
            let lived = tokio::select! {
                biased;
                () = life.ended() => Ok(()),
                lived = self.life(number, &life, end, is_calm) => lived,
            };
            life.kill("over");
            lived.map(|()| began.elapsed())
        });
        // What is dropped with it may hold connections to databases.
        let theirs = turns::databases().enter();
        drop(runtime);
        drop(theirs);
        self.at_ms += i64::try_from(lasted?.as_millis())?;
        if let Some(violation) = self.oracle.lock().violation() {
            bail!(violation);
        }
        self.lost_power = matches!(end, End::PowerLoss(_));
        if let End::PowerLoss(seed) = end {
            self.disk = self.disk.after_power_loss(Unsynced::Drawn(seed));
        }
        self.disk.fail_syncs(0);
        self.disk.set_free_bytes(None);
        self.disk.limit_writes(None);
        self.disk.refuse_changes(false);
        Ok(())
    }

    async fn life(&mut self, number: usize, life: &Arc<Life>, end: End, is_calm: bool) -> anyhow::Result<()> {
        let work = Work::by(Turns::new(life.clone(), self.draw_rng()));
        let server = self.start(life, work).await?;
        self.check(&server, false).await.context("as it was found")?;
        let mut tasks = Vec::new();
        for device in &self.devices {
            device.lock().measures = !is_calm;
            tasks.push(tokio::spawn(device::run(device.clone(), server.network.clone())));
        }
        if is_calm {
            self.wait_for_calm(&server).await?;
        } else {
            let (network, disk) = (server.network.clone(), self.disk.clone());
            tasks.push(tokio::spawn(weather::of_network(network.clone(), self.draw_rng())));
            tasks.push(tokio::spawn(weather::of_disk(disk, network, self.draw_rng())));
            let rng = self.draw_rng();
            tasks.push(tokio::spawn(weather::of_people(
                server.twin.clone(),
                self.oracle.clone(),
                number,
                rng,
            )));
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(500..90_000))).await;
        }
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        if end != End::Stopped {
            return Ok(());
        }
        if is_calm {
            server.history.compact().await?;
            let report = server.history.verify().await?;
            ensure!(report.faults.is_empty(), "{:?}", report.faults);
            self.check(&server, true).await.context("when all was quiet")?;
        }
        self.stop(server).await
    }

    async fn start(&mut self, life: &Arc<Life>, work: Work) -> anyhow::Result<Server> {
        let records = Records::open_with(&park::records_url(self.folder.path()), work.clone()).await?;
        let options = HistoryOptions {
            seal_points: 16,
            merge_points: 40,
            segment_bytes: 2_000,
            wal_budget_bytes: 16_000,
            seal_interval: Duration::from_secs(2),
            queue_points: self.queue_points,
            memory_bytes: self.memory_bytes,
            day_zone: Some(TimeZone::get(&self.scene.park.time_zone)?),
            ..HistoryOptions { folder: self.history_folder(), ..HistoryOptions::default() }
        };
        let history = History::open_with(options, Arc::new(self.disk.clone()), work).await?;
        let report = history.stats().await.open_report;
        note!(self.trace, "opened: {} damages, torn {:?}", report.damage.len(), report.torn_tail);
        // Of what was written last and never synced some sectors may be there and others not: that is damage by the look of it, and
        // costs nothing that was acknowledged. Anywhere else there is none.
        let last = self.disk.names().pop();
        let is_elsewhere = |damage: &Damage| !self.lost_power || Some(&damage.file) != last.as_ref();
        let elsewhere = report.damage.iter().find(|damage| is_elsewhere(damage));
        ensure!(self.disk_lies || elsewhere.is_none(), "an honest disk is damaged: {elsewhere:?}");
        let options = TwinOptions { clock: clock::now, ..TwinOptions::default() };
        let twin =
            Twin::open(self.scene.clone(), history.clone(), records.clone(), options, clock::now()).await?;
        let (door, lines) = mpsc::channel(64);
        let network = Network::new(life.clone(), door, park::DEVICES, self.draw_rng());
        let shutdown = CancellationToken::new();
        let served = gateway::serve_mqtt(
            MqttListeners::Lines(lines),
            twin.clone(),
            records.clone(),
            MqttOptions { max_connections: 100, ..MqttOptions::default() },
            shutdown.clone(),
        );
        let running = {
            let (twin, shutdown) = (twin.clone(), shutdown.clone());
            async move { twin.run(shutdown).await }
        };
        let oracle = self.oracle.clone();
        let serving = async move {
            if let Err(error) = served.await {
                oracle.lock().violated(format!("the endpoint ended: {error}"));
            }
        };
        let tasks = vec![tokio::spawn(running), tokio::spawn(serving)];
        Ok(Server { twin, history, records, network, shutdown, tasks })
    }

    fn history_folder(&self) -> PathBuf {
        self.folder.path().join("history")
    }

    async fn stop(&self, server: Server) -> anyhow::Result<()> {
        let Server { twin, history, records, network, shutdown, tasks } = server;
        shutdown.cancel();
        for task in tasks {
            task.await?;
        }
        drop((twin, network));
        history.close().await?;
        records.close().await;
        Ok(())
    }

    /// Everything devices have is acknowledged, and commands have had their time.
    async fn wait_for_calm(&self, server: &Server) -> anyhow::Result<()> {
        let until = tokio::time::Instant::now() + CALM_WITHIN;
        // Commands last ninety seconds at most.
        tokio::time::sleep(Duration::from_secs(100)).await;
        loop {
            let waiting: usize = self.devices.iter().map(|device| device.lock().waiting()).sum();
            if waiting == 0 {
                break;
            }
            ensure!(tokio::time::Instant::now() < until, "{waiting} messages are never acknowledged");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        server.twin.tick(clock::now()).await?;
        Ok(())
    }

    /// Compares what is stored and shown with what was said.
    async fn check(&self, server: &Server, all_over: bool) -> anyhow::Result<()> {
        let mut stored = 0;
        let alarms = server.records.alarms(Timestamp(0), Timestamp(i64::MAX), 100_000, 0).await?.items;
        let raised: BTreeSet<String> = alarms.into_iter().filter_map(|alarm| alarm.detail).collect();
        for device in 0..park::DEVICES {
            let events = server.records.events(&park::device_name(device).parse()?, 100_000).await?;
            let events: Vec<String> = events.into_iter().map(|event| event.id).collect();
            self.oracle.lock().check_events(device, &events, &raised)?;
            for (measurement, (key, _)) in values(0).into_iter().enumerate() {
                let id = park::device_name(device).parse()?;
                let series = SeriesKey { device: id, measurement: key.parse()? };
                let (from, to) = (Timestamp(0), Timestamp(i64::MAX));
                let readings = server.history.readings(&series, from, to, usize::MAX).await?;
                stored += readings.len() as u64;
                let checked = self.oracle.lock().check_series(device, measurement, &readings);
                checked.with_context(|| series.to_string())?;
                for step_ms in [MINUTE_MS, HOUR_MS, DAY_MS] {
                    // Where the park's days begin, minutes and hours do too.
                    let (from, to) = (Timestamp(FIRST_MIDNIGHT_MS), Timestamp(START_MS + 2 * DAY_MS));
                    let buckets = server.history.buckets(&series, from, to, step_ms).await?;
                    let checked = oracle::check_buckets(step_ms, from, &readings, &buckets);
                    checked.with_context(|| format!("{series} by {step_ms} ms"))?;
                }
                let shown = server.twin.reading(&series.device, key);
                let newest = readings.last().copied();
                ensure!(shown == newest, "{series} shows {shown:?}, its newest is {newest:?}");
            }
        }
        if all_over {
            let counted = server.history.stats().await.points;
            // A reading written again counts again until its hour is merged.
            ensure!(counted >= stored, "{counted} readings are counted, {stored} are stored");
        }
        Oracle::check_commands(&self.oracle, &server.records, all_over).await
    }
}
