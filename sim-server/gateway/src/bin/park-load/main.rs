//! A load of devices: many MQTT 5 connections publishing at QoS 1, measured by what the server acknowledged.
//!
//! ```text
//! park-load --secrets bench.json --measurements power,voltage --connections 1000 --points 10 --seconds 20
//! ```
//!
//! ```text
//! park-load --secrets bench.json --idle --connections 10000 --seconds 60 --server-pid 4711
//! ```
//!
//! holds silent connections instead, and says what the server's memory is with them. Otherwise it
//! prints one line of JSON: acknowledged points a second, and the time from publish to PUBACK. The packets are written by
//! hand, because on a small machine the generator's own work would be measured instead of the server's.

mod connection;
mod idle;
mod packet;
mod result;

use anyhow::{Context, bail};
use clap::Parser;
use connection::{Connection, Plan};
use result::Tally;
use std::{
    collections::BTreeMap,
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{sync::Barrier, task::JoinSet};

#[derive(Parser)]
#[command(about = "Publishes telemetry as many devices would and measures the acknowledgements")]
struct Arguments {
    /// The MQTT endpoint.
    #[arg(long, default_value = "127.0.0.1:1883")]
    address: String,
    /// JSON file of device id → secret.
    #[arg(long)]
    secrets: PathBuf,
    /// Measurements every one of these devices has: `key`, with values from 0 to 100, or `key=low..high`.
    #[arg(long, value_delimiter = ',', required_unless_present = "idle")]
    measurements: Vec<packet::Measurement>,
    /// Connections, one a device; all devices of the file when left out.
    #[arg(long)]
    connections: Option<usize>,
    /// Points in a payload; more than there are measurements make an array of items.
    #[arg(long, default_value_t = 10)]
    points: usize,
    /// Payloads a connection sends ahead of their acknowledgement.
    #[arg(long, default_value_t = 8)]
    window: usize,
    /// Points a second in all, evenly spread; as many as are acknowledged when left out.
    #[arg(long)]
    rate: Option<f64>,
    /// Seconds measured.
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Seconds before the measurement starts.
    #[arg(long, default_value_t = 3.0)]
    warm_up: f64,
    /// Publishes nothing: holds the connections for `--seconds`.
    #[arg(long)]
    idle: bool,
    /// The server's process, whose memory is looked at with `--idle`.
    #[arg(long, requires = "idle")]
    server_pid: Option<u32>,
    /// Threads of the generator.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads.max(1))
        .enable_all()
        .build()?;
    let line = runtime.block_on(run(arguments))?;
    #[allow(clippy::print_stdout, reason = "the result")]
    {
        println!("{line}");
    }
    Ok(())
}

async fn run(arguments: Arguments) -> anyhow::Result<serde_json::Value> {
    let file = std::fs::read(&arguments.secrets)
        .with_context(|| format!("cannot read {}", arguments.secrets.display()))?;
    let secrets: BTreeMap<String, String> = serde_json::from_slice(&file)
        .with_context(|| format!("{} is not a JSON object of id: secret", arguments.secrets.display()))?;
    let wanted = arguments.connections.unwrap_or(secrets.len());
    if wanted == 0 || wanted > secrets.len() {
        bail!(
            "{wanted} connections need as many devices; {} names {}",
            arguments.secrets.display(),
            secrets.len()
        );
    }
    let address: SocketAddr = arguments
        .address
        .to_socket_addrs()
        .with_context(|| format!("--address {}", arguments.address))?
        .next()
        .with_context(|| format!("--address {} leads nowhere", arguments.address))?;
    if arguments.idle {
        let held = Duration::from_secs_f64(arguments.seconds);
        let secrets = secrets.into_iter().take(wanted).collect();
        return idle::hold(address, secrets, held, arguments.server_pid).await;
    }
    let plan = Arc::new(Plan {
        measurements: arguments.measurements.clone(),
        points: arguments.points.max(1),
        window: arguments.window.clamp(1, 60_000),
        interval: arguments
            .rate
            .map(|rate| Duration::from_secs_f64(arguments.points as f64 * wanted as f64 / rate.max(1e-3))),
        warm_up: Duration::from_secs_f64(arguments.warm_up),
        measured: Duration::from_secs_f64(arguments.seconds),
    });
    // All publish together once the last is connected.
    let start = Arc::new(Barrier::new(wanted));
    let mut running = JoinSet::new();
    for (index, (device, secret)) in secrets.into_iter().take(wanted).enumerate() {
        let (plan, start) = (Arc::clone(&plan), Arc::clone(&start));
        running.spawn(async move {
            let connected = Connection::open(address, &device, &secret).await;
            start.wait().await;
            let began = Instant::now();
            // Spread over one interval, as meters are.
            let offset = plan.interval.unwrap_or_default().mul_f64(index as f64 / wanted as f64);
            connected?.publish(&plan, began, offset).await.with_context(|| format!("device {device}"))
        });
    }
    let mut tally = Tally::default();
    while let Some(ended) = running.join_next().await {
        tally.add(ended??);
    }
    Ok(tally.into_json(wanted, &plan))
}
