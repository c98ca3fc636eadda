//! From the command line to a running fleet, and to its clean end.

use crate::{
    clock::{Clock, Reporter, SharedWorld, lock, wall_clock},
    events::EventSource,
    faults::{Faults, FaultyDevice},
    folder::read_scene_folder,
    link::{Link, LinkOptions, OUTBOX},
    noise::Noise,
    options::Options,
    secrets, state_file,
    status::Status,
    world::World,
};
use anyhow::{Context, bail};
use shared::{
    command::{CommandAck, CommandDelivery},
    id::{DeviceId, MeasurementKey},
    scene::Scene,
    thing_model::MeasurementKind,
    time::{DAY_MS, Timestamp},
};
use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

/// How long the fleet waits for the server, and for all its devices to be let in.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a long wait is told.
const TELL_EVERY: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Simulates the scene's devices until `stop` is cancelled or the time asked for is over. `say` gets the lines people read.
pub async fn run(
    options: Options,
    stop: CancellationToken,
    say: impl Fn(&str) + Send + Sync,
) -> anyhow::Result<()> {
    if let Some(seconds) = options.for_seconds {
        let stop = stop.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            stop.cancel();
        });
    }
    let (host, port) = host_and_port(&options.mqtt)?;
    let files = read_scene_folder(&options.scene, options.models.as_deref())?;
    let scene = Scene::load(&files).with_context(|| format!("scene {}", options.scene.display()))?;

    let now = wall_clock();
    let step_ms = i64::from(options.backfill_step) * 1_000;
    let earliest = Timestamp(now.millis() - i64::from(options.backfill) * DAY_MS).floor_to(step_ms);
    let remembered = state_file::load(&options.state, &scene.park.id)?;
    let start = remembered.as_ref().map_or(earliest, |memory| memory.at.max(earliest)).min(now);
    let mut world = World::new(&scene, options.seed, start)?;
    if let Some(memory) = remembered {
        world.restore(memory);
        world.skip_to(start);
    }
    tell_unproduced(&world);

    if let Some(http) = &options.http
        && !wait_until_ready(http, &stop).await?
    {
        return Ok(());
    }
    let ids: Vec<DeviceId> = (0..world.device_count()).map(|at| world.device_id(at).clone()).collect();
    let secrets = secrets::read(&options.secrets, &ids)?;

    let faults = Faults {
        drop_outs: options.drop_outs,
        stuck: options.stuck,
        spikes: options.spikes,
        clock_skew_s: options.clock_skew,
        seed: options.seed,
    };
    let rate_ms = (options.rate * 1e3).round() as i64;
    let status = Arc::new(Status::default());
    let (storm, stormed) = watch::channel(0u64);
    // Links outlive the clock: they take its last reports along.
    let links_stop = CancellationToken::new();
    let mut links = JoinSet::new();
    let mut reporters = Vec::with_capacity(ids.len());
    let roles: Vec<_> = (0..ids.len()).map(|at| world.role(at)).collect();
    let gauges: Vec<_> = (0..ids.len()).map(|at| gauges_of(&world, at)).collect();
    let world: SharedWorld = Arc::new(Mutex::new(world));
    for (at, ((device, secret), gauges)) in ids.iter().zip(secrets).zip(gauges).enumerate() {
        let (outbox, inbox) = mpsc::channel(OUTBOX);
        let fault = FaultyDevice::new(faults, device.as_str(), gauges);
        reporters.push(Reporter::new(outbox, fault, roles[at], rate_ms, at));
        let link_options = LinkOptions {
            device: device.clone(),
            secret,
            host: host.clone(),
            port,
            jitter: Noise::new(options.seed, device.as_str()).of("retry").constant(),
        };
        let world = world.clone();
        let obey = move |delivery: CommandDelivery| -> CommandAck {
            lock(&world).command(at, &delivery, wall_clock())
        };
        let link = Link::new(link_options, inbox, obey, status.clone(), links_stop.clone(), stormed.clone());
        links.spawn(link.run());
    }
    drop(stormed);

    let mut clock = Clock {
        world,
        reporters,
        events: EventSource::new(options.seed, options.events_per_hour, ids.len()),
        status: status.clone(),
        state_path: options.state.clone(),
        park: scene.park.id.clone(),
        rate_ms,
        stop: stop.clone(),
    };
    let outcome = live(&options, &mut clock, ids.len(), storm, &say).await;

    links_stop.cancel();
    while links.join_next().await.is_some() {}
    if outcome.is_ok() {
        if status.everything_is_acknowledged() {
            clock.remember().await;
        }
        say(&summary(&status));
    }
    outcome
}

/// Connects, fills the past, reports until stopped.
async fn live(
    options: &Options,
    clock: &mut Clock,
    devices: usize,
    storm: watch::Sender<u64>,
    say: &(impl Fn(&str) + Send + Sync),
) -> anyhow::Result<()> {
    if !wait_for_connections(&clock.status, devices, &options.mqtt, &clock.stop).await? {
        return Ok(());
    }
    if options.backfill > 0 {
        let began = Instant::now();
        let sent = clock.backfill(options.backfill_step, &|line| say(&format!("fleet: {line}"))).await;
        if sent > 0 {
            say(&format!(
                "fleet: history complete, {sent} reports in {:.0} s",
                began.elapsed().as_secs_f64()
            ));
        }
    } else {
        lock(&clock.world).skip_to(wall_clock());
    }
    if clock.stop.is_cancelled() {
        return Ok(());
    }
    say(&format!("fleet: {devices} devices connected"));
    if let Some(every) = options.reconnect_storm {
        let stop = clock.stop.clone();
        tokio::spawn(async move {
            while !stop.is_cancelled() {
                tokio::time::sleep(Duration::from_secs_f64(every)).await;
                storm.send_modify(|count| *count += 1);
            }
        });
        clock.run().await;
    } else {
        let _quiet = storm;
        clock.run().await;
    }
    Ok(())
}

fn gauges_of(world: &World, at: usize) -> Vec<MeasurementKey> {
    let measurements = world.model(at).map_or(&[][..], |model| &model.measurements);
    measurements.iter().filter(|m| m.kind == MeasurementKind::Gauge).map(|m| m.key.clone()).collect()
}

fn tell_unproduced(world: &World) {
    for (device, measurement) in world.unproduced() {
        tracing::warn!(%device, %measurement, "the simulation does not produce this measurement");
    }
}

fn host_and_port(text: &str) -> anyhow::Result<(String, u16)> {
    let bare = text.strip_prefix("mqtt://").unwrap_or(text);
    let (host, port) = bare.rsplit_once(':').with_context(|| format!("--mqtt {text:?} is not HOST:PORT"))?;
    let port = port.parse().with_context(|| format!("--mqtt {text:?}: {port:?} is not a port"))?;
    Ok((host.to_owned(), port))
}

/// Waits for the server's readiness; false when told to stop meanwhile.
async fn wait_until_ready(http: &str, stop: &CancellationToken) -> anyhow::Result<bool> {
    let url = format!("{}/readyz", http.trim_end_matches('/'));
    let client = reqwest::Client::builder().timeout(Duration::from_secs(5)).build()?;
    let began = Instant::now();
    loop {
        let answer = match client.get(&url).send().await {
            Ok(response) if response.status().is_success() => return Ok(true),
            Ok(response) => format!("it answers {}", response.status()),
            Err(error) => error.to_string(),
        };
        if began.elapsed() > PATIENCE {
            bail!("the server at {http} is not ready after {} s: {answer}", PATIENCE.as_secs());
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = stop.cancelled() => return Ok(false),
        }
    }
}

/// Waits until every device is let in; false when told to stop meanwhile.
async fn wait_for_connections(
    status: &Status,
    devices: usize,
    mqtt: &str,
    stop: &CancellationToken,
) -> anyhow::Result<bool> {
    let began = Instant::now();
    let mut told = Instant::now();
    while status.connected.load(Ordering::Acquire) < devices {
        if told.elapsed() > TELL_EVERY {
            told = Instant::now();
            let connected = status.connected.load(Ordering::Acquire);
            let last = status.last_error().unwrap_or_else(|| "no answer".to_owned());
            tracing::warn!(connected, devices, %last, "waiting for {mqtt}");
        }
        if began.elapsed() > PATIENCE {
            let connected = status.connected.load(Ordering::Acquire);
            let last = status.last_error().unwrap_or_else(|| "no answer".to_owned());
            bail!(
                "{connected} of {devices} devices are connected to {mqtt} after {} s; last error: {last}",
                PATIENCE.as_secs()
            );
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = stop.cancelled() => return Ok(false),
        }
    }
    Ok(true)
}

fn summary(status: &Status) -> String {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    format!(
        "fleet: stopped; {} reports acknowledged, {} refused, {} lost, {} commands done, {} rejected, {} reconnections",
        count(&status.acknowledged),
        count(&status.refused),
        count(&status.lost),
        count(&status.commands_done),
        count(&status.commands_rejected),
        count(&status.reconnects),
    )
}
