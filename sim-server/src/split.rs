//! Several processes for one park: gateways that take payloads from a broker, and the server behind them.

use crate::{
    cli::{Roles, ServeArgs},
    serve::{GRACE, listen, stop_signal},
};
use anyhow::{Context, bail, ensure};
use axum::{Router, routing::get};
use frames::{FrameReader, FrameWriter, WriterOptions};
use gateway::{IntakeOptions, UpstreamOptions};
use history::History;
use tokio_util::sync::CancellationToken;
use twin::Twin;

/// Gateways of one park share what its broker has under this name.
const GROUP: &str = "park-twin";

/// What both sides have in common.
struct Ways {
    database: String,
    broker: String,
}

impl Ways {
    fn of(args: &ServeArgs, role: &str) -> anyhow::Result<Ways> {
        let database = args.database.clone();
        let database = database.with_context(|| format!("--roles {role} needs --database postgres://…"))?;
        let broker = args.mqtt_upstream.clone();
        let broker = broker.with_context(|| format!("--roles {role} needs --mqtt-upstream mqtt://…"))?;
        Ok(Ways { database, broker })
    }
}

/// The server's view of its gateways.
pub(crate) struct Gateways(Ways);

impl Gateways {
    /// `None` where one process does everything.
    pub(crate) fn of(args: &ServeArgs) -> anyhow::Result<Option<Gateways>> {
        match args.roles {
            Roles::All => Ok(None),
            Roles::Server => Ok(Some(Gateways(Ways::of(args, "server")?))),
            Roles::Gateway => bail!("a gateway serves no park"),
        }
    }

    pub(crate) async fn open(&self) -> anyhow::Result<FrameReader> {
        FrameReader::open(&self.0.database).await.context("opening what gateways keep")
    }

    pub(crate) async fn run(
        self,
        frames: FrameReader,
        twin: Twin,
        history: History,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let intake = IntakeOptions::default();
        let upstream = UpstreamOptions { client_id: format!("{GROUP}-server"), ..UpstreamOptions::default() };
        Ok(gateway::run_server(&self.0.broker, frames, twin, history, intake, upstream, stop).await?)
    }
}

/// `sim-server serve --roles gateway`: runs until SIGINT or SIGTERM.
pub(crate) async fn serve_gateway(args: ServeArgs) -> anyhow::Result<()> {
    let ways = Ways::of(&args, "gateway")?;
    let name =
        args.name.context("--roles gateway needs --name: the broker keeps what is under way under it")?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    ensure!(
        !name.is_empty() && name.len() <= 64 && name.chars().all(is_plain),
        "--name {name:?}: letters, digits, -, _ and . only, at most 64"
    );
    let http = listen(args.http, "--http").await?;
    let address = http.local_addr()?;
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
    let (frames, writing) =
        FrameWriter::open(&ways.database, WriterOptions::default()).await.context("opening PostgreSQL")?;
    let writer = frames.number();
    let shutdown = CancellationToken::new();
    let router = Router::new()
        .route("/healthz", get(async || "alive\n"))
        // What it needs is open; a broker or database that goes away is waited for, with nothing acknowledged meanwhile.
        .route("/readyz", get(async || "ready\n"))
        .route("/metrics", get(async move || metrics.render()));
    let watched = tokio::spawn({
        let stop = shutdown.clone();
        async move { axum::serve(http, router).with_graceful_shutdown(stop.cancelled_owned()).await }
    });
    let options = UpstreamOptions { client_id: format!("{GROUP}-{name}"), ..UpstreamOptions::default() };
    let relay = tokio::spawn({
        let stop = shutdown.clone();
        let leave = args.leave;
        async move {
            if leave {
                gateway::leave_relay(&ways.broker, frames, GROUP, options, stop).await
            } else {
                gateway::run_relay(&ways.broker, frames, GROUP, options, stop).await
            }
        }
    });
    tracing::info!(name, writer, http = %address, "ready");
    let mut relay = relay;
    let ended = tokio::select! {
        signal = stop_signal() => signal.map(|()| None)?,
        ended = &mut relay => Some(ended),
    };
    tracing::info!("stopping");
    shutdown.cancel();
    let finished = async {
        if ended.is_none() {
            let _ = (&mut relay).await;
        }
        let _ = writing.await;
        let _ = watched.await;
    };
    if tokio::time::timeout(GRACE, finished).await.is_err() {
        tracing::warn!("what was under way was not acknowledged; the broker keeps it");
    }
    match ended {
        None => Ok(()),
        Some(ended) => ended?.context("reading the broker"),
    }
}
