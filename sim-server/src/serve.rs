//! `sim-server serve`: opens the stores, wires the crates, listens, and stops in order.

use crate::{
    admin,
    cli::ServeArgs,
    control,
    data_folder::{DataFolder, random_key, write_private},
    live_values::TwinValues,
    scene_folder, split, watchdog,
};
use access::KeyRing;
use anyhow::{Context, bail};
use history::{History, HistoryOptions};
use jiff::tz::TimeZone;
use push::{Push, PushOptions};
use records::{Claim, Records, Role};
use serde::{Deserialize, Serialize};
use shared::{
    command::Issuer,
    telemetry::Origin,
    time::{DAY_MS, Timestamp},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpListener, sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;
use twin::{CommandRefusal, Twin, TwinOptions};
use vpp::{EnergyBook, ParkContext, Vpp, VppOptions};

pub(crate) const RECORDS_FILE: &str = "records.db";
pub(crate) const HISTORY_FOLDER: &str = "history";
const TOKEN_KEY_FILE: &str = "token.key";
const FLEET_SECRETS_FILE: &str = "fleet-secrets.json";
const SAVED_OPTIONS_FILE: &str = "options.json";
/// What a copy needs besides the stores, where it is there.
pub(crate) const KEY_FILES: [&str; 5] =
    [TOKEN_KEY_FILE, admin::PASSWORD_FILE, FLEET_SECRETS_FILE, FLEET_STATE_FILE, SAVED_OPTIONS_FILE];
/// How far the simulated devices have come, kept by `park-fleet --state`: without it they would fill a history that is there.
pub(crate) const FLEET_STATE_FILE: &str = "fleet-state.json";
/// Set-points waiting for the command queue; a plan has fewer.
const WAITING_SET_POINTS: usize = 4096;
/// How long connections get to finish when stopping.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// The wall clock; everything below takes the time as an argument.
pub(crate) fn clock() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// What `backup` and `history` must know of how the server was started.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct SavedOptions {
    pub(crate) database: Option<String>,
    pub(crate) scene: Option<PathBuf>,
    pub(crate) models: Option<PathBuf>,
}

impl SavedOptions {
    pub(crate) fn read(data: &DataFolder) -> anyhow::Result<Self> {
        match std::fs::read(data.path(SAVED_OPTIONS_FILE)) {
            Ok(bytes) => serde_json::from_slice(&bytes).context("reading the saved options"),
            Err(_) => Ok(Self::default()),
        }
    }

    /// Private: a database URL may hold a password.
    pub(crate) fn write(&self, data: &DataFolder) -> anyhow::Result<()> {
        write_private(&data.path(SAVED_OPTIONS_FILE), &serde_json::to_vec(self)?)
    }
}

pub(crate) fn records_url(data: &DataFolder, database: Option<&str>) -> String {
    database.map_or_else(|| format!("sqlite://{}", data.path(RECORDS_FILE).display()), str::to_owned)
}

pub(crate) fn history_options(data: &DataFolder, database: Option<&str>) -> HistoryOptions {
    HistoryOptions {
        folder: data.path(HISTORY_FOLDER),
        database_url: database.map(str::to_owned),
        ..HistoryOptions::default()
    }
}

/// Opens both stores for this process alone: the claim comes first, since it names the holder best. Who knows the park's clock
/// keeps telemetry by its days.
pub(crate) async fn open_stores(
    data: &DataFolder,
    database: Option<&str>,
    holder: &str,
    zone: Option<TimeZone>,
) -> anyhow::Result<(History, Records, Claim)> {
    let records = Records::open(&records_url(data, database)).await.context("opening the records")?;
    let claim = records.claim(holder).await?;
    let options = HistoryOptions { day_zone: zone, ..history_options(data, database) };
    let history = History::open(options).await.context("opening the telemetry")?;
    Ok((history, records, claim))
}

/// Binds a port, naming the option that changes it when it is taken.
pub(crate) async fn listen(address: SocketAddr, option: &str) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => bail!(
            "port {} is in use: stop what listens there, or choose another with {option}",
            address.port()
        ),
        Err(error) => Err(error).with_context(|| format!("listening on {address} ({option})")),
    }
}

/// The listener for MQTT under TLS, with what secures it, when one is asked for.
async fn listen_secured(args: &ServeArgs) -> anyhow::Result<Option<(TcpListener, gateway::MqttTls)>> {
    let (Some(address), Some(certificate), Some(key)) = (args.mqtts, &args.tls_cert, &args.tls_key) else {
        return Ok(None);
    };
    let tls = gateway::MqttTls::open(gateway::MqttTlsFiles {
        certificate: certificate.clone(),
        key: key.clone(),
        client_authority: args.tls_client_ca.clone(),
        revoked: args.tls_client_crl.clone(),
    })?;
    Ok(Some((listen(address, "--mqtts").await?, tls)))
}

/// Runs until SIGINT or SIGTERM.
pub(crate) async fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let now = clock();
    let Some(scene_folder) = &args.scene else { bail!("--scene names the park to serve") };
    let gateways = split::Gateways::of(&args)?;
    let scene = Arc::new(scene_folder::load(scene_folder, args.models.as_deref())?);
    let mut data = DataFolder::hold(&args.data)?;
    // Before anything is opened: a port in use should cost nothing.
    let http = listen(args.http, "--http").await?;
    let mqtt = listen(args.mqtt, "--mqtt").await?;
    let mqtts = listen_secured(&args).await?;
    let (http_address, mqtt_address) = (http.local_addr()?, mqtt.local_addr()?);
    let holder = format!("process {} serving http://{http_address}", std::process::id());
    data.name_holder(&holder)?;
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;

    let zone = TimeZone::get(&scene.park.time_zone)?;
    let (history, records, _claim) =
        open_stores(&data, args.database.as_deref(), &holder, Some(zone.clone())).await?;
    let models = args.models.as_deref().map(std::path::absolute).transpose()?;
    let saved_scene = Some(std::path::absolute(scene_folder)?);
    SavedOptions { database: args.database.clone(), scene: saved_scene, models }.write(&data)?;
    admin::ensure_admin(&records, &data, args.admin_password.as_deref(), now).await?;

    let twin_options =
        TwinOptions { retention_ms: i64::from(args.retention_days) * DAY_MS, ..TwinOptions::default() };
    let twin = Twin::open(Arc::clone(&scene), history.clone(), records.clone(), twin_options, now)
        .await
        .context("opening the twin")?;
    if args.simulated_fleet {
        provision_fleet(&twin, &data, now).await?;
    }

    let park = ParkContext::new(scene)?;
    let live = Arc::new(TwinValues(twin.clone()));
    let energy = EnergyBook::new(park, history.clone(), live.clone(), now);
    let (set_points, mut set_points_out) = mpsc::channel(WAITING_SET_POINTS);
    let options = VppOptions { plan_every: Duration::from_secs(args.plan_every), ..VppOptions::default() };
    let (vpp, plan_loop) = Vpp::new(energy.clone(), history.clone(), live, set_points, options, now);

    let shutdown = CancellationToken::new();
    let keys = KeyRing::open(records.clone(), zone, args.trusted_proxy.clone(), now)
        .await
        .context("opening the API keys")?;
    let push_options =
        PushOptions { networks: args.webhook_network.clone(), clock, ..PushOptions::default() };
    let devices = Arc::new(TwinValues(twin.clone()));
    let push = Push::open(records.clone(), history.clone(), devices, push_options, shutdown.clone())
        .await
        .context("opening the webhooks")?;
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let control_token = data_encoding::HEXLOWER.encode(&random_key()?);
    write_private(&data.path(control::TOKEN_FILE), control_token.as_bytes())?;

    let state = api::ApiState {
        twin: twin.clone(),
        history: history.clone(),
        records: records.clone(),
        vpp: vpp.clone(),
        energy: energy.clone(),
        auth: api::Auth::new(&data.key(TOKEN_KEY_FILE)?),
        keys: keys.clone(),
        push: push.clone(),
        metrics: Arc::new(move || metrics.render()),
        // What is served is already open: the stores, the listeners and the twin; the API asks the database itself.
        readiness: Arc::new(Vec::new),
        clock,
        shutdown: shutdown.clone(),
        options: api::ApiOptions { long_uploads: &gateway::http::LONG_UPLOADS, ..api::ApiOptions::default() },
    };
    let inlets = gateway::Inlets {
        twin: twin.clone(),
        writers: gateway::Writers::new(twin.clone(), keys.clone(), people_who_write(state.auth.clone())),
        shutdown: shutdown.clone(),
    };
    let further = gateway::device_router(inlets).merge(control::router(
        control_token,
        history.clone(),
        records.clone(),
        Arc::clone(twin.scene()),
    ));
    let router = api::router_described(state, further, gateway::openapi());
    spawn(&mut tasks, {
        let stop = shutdown.clone();
        async move { Ok(api::serve(http, router, api::ServeOptions::default(), stop).await?) }
    });
    spawn(&mut tasks, {
        let (stop, twin, records) = (shutdown.clone(), twin.clone(), records.clone());
        let listeners = gateway::MqttListeners::Sockets { plain: mqtt, secured: mqtts };
        let options = gateway::MqttOptions::default();
        async move { Ok(gateway::serve_mqtt(listeners, twin, records, options, stop).await?) }
    });
    spawn(&mut tasks, {
        let (stop, twin) = (shutdown.clone(), twin.clone());
        async move {
            twin.run(stop).await;
            Ok(())
        }
    });
    spawn(&mut tasks, {
        let stop = shutdown.clone();
        async move {
            energy.run(clock, stop).await;
            Ok(())
        }
    });
    spawn(&mut tasks, {
        let (stop, trouble, twin) = (shutdown.clone(), vpp.watch_trouble(), twin.clone());
        async move {
            tokio::join!(
                plan_loop.run(clock, stop.clone()),
                watchdog::watch_plans(twin, trouble, clock, stop)
            );
            Ok(())
        }
    });
    spawn(&mut tasks, {
        let (stop, twin, folder) = (shutdown.clone(), twin.clone(), args.data.clone());
        async move {
            watchdog::watch_disk(twin, folder, clock, stop).await;
            Ok(())
        }
    });
    spawn(&mut tasks, {
        let (stop, records) = (shutdown.clone(), records.clone());
        let keep_ms = i64::from(args.retention_days) * DAY_MS;
        async move {
            watchdog::prune_records(records, keep_ms, clock, stop).await;
            Ok(())
        }
    });
    spawn(&mut tasks, {
        let (stop, history) = (shutdown.clone(), history.clone());
        async move {
            watchdog::measure_history(history, stop).await;
            Ok(())
        }
    });
    spawn(&mut tasks, {
        let (stop, history, twin) = (shutdown.clone(), history.clone(), twin.clone());
        let keep_ms = i64::from(args.retention_days) * DAY_MS;
        async move {
            watchdog::prune_telemetry(history, twin, keep_ms, clock, stop).await;
            Ok(())
        }
    });
    spawn(&mut tasks, {
        let (stop, keys) = (shutdown.clone(), keys.clone());
        async move {
            tokio::join!(keys.run(stop), push.run());
            Ok(())
        }
    });
    if let Some(gateways) = gateways {
        let (stop, twin, history) = (shutdown.clone(), twin.clone(), history.clone());
        let frames = gateways.open().await?;
        spawn(&mut tasks, gateways.run(frames, twin, history, stop));
    } else if let Some(url) = args.mqtt_upstream.clone() {
        let (stop, twin) = (shutdown.clone(), twin.clone());
        spawn(&mut tasks, async move {
            Ok(gateway::run_upstream(&url, twin, gateway::UpstreamOptions::default(), stop).await?)
        });
    }
    let sender = twin.clone();
    let forward = tokio::spawn(async move {
        while let Some(command) = set_points_out.recv().await {
            let device = command.device_id.clone();
            match sender.submit(command, Issuer::Plan, clock()).await {
                Ok(_) => {}
                Err(refusal @ CommandRefusal::Held { .. }) => tracing::debug!(%refusal, "the plan keeps off"),
                Err(refusal) => tracing::warn!(%device, %refusal, "a set-point was refused"),
            }
        }
    });

    tracing::info!(http = %http_address, mqtt = %mqtt_address, "ready");
    let ended = tokio::select! {
        signal = stop_signal() => signal.map(|()| None),
        task = tasks.join_next() => Ok(task),
    }?;
    tracing::info!("stopping");
    shutdown.cancel();
    let drained = tokio::time::timeout(GRACE, async { while tasks.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tasks.shutdown().await;
    }
    forward.abort();
    // Connections are over: what they brought last is counted too.
    if let Err(error) = twin.write_quality().await {
        tracing::error!("the last counts of data quality could not be written: {error}");
    }
    if let Err(error) = keys.write_counts().await {
        tracing::error!("the last use of API keys could not be written: {error}");
    }
    history.close().await?;
    match ended {
        None => Ok(()),
        Some(Ok(Ok(()))) => bail!("a part of the server ended by itself"),
        Some(Ok(Err(error))) => Err(error),
        Some(Err(error)) => Err(error.into()),
    }
}

fn spawn(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) {
    tasks.spawn(task);
}

/// People who may hand in telemetry in bulk: who may command devices may also say what they measured.
fn people_who_write(auth: api::Auth) -> gateway::http::PersonCheck {
    use gateway::PersonRefusal::{Forbidden, Unauthenticated};
    Arc::new(move |token| match auth.holder(token, clock()) {
        Ok((name, role)) if role >= Role::Operator => Ok(name),
        Ok((_, role)) => Err(Forbidden(format!("this needs the role operator, you are {}", role.as_str()))),
        Err(fault) => Err(Unauthenticated(fault.to_string())),
    })
}

/// Registers the scene's devices that are not yet and adds their secrets to the file the fleet reads.
async fn provision_fleet(twin: &Twin, data: &DataFolder, now: Timestamp) -> anyhow::Result<()> {
    let path = data.path(FLEET_SECRETS_FILE);
    let mut secrets: BTreeMap<String, String> = match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(|| format!("{} is not a JSON object of device: secret", path.display()))?,
        Err(_) => BTreeMap::new(),
    };
    let new = twin.provision_scene(Origin::Simulated, now).await?;
    if new.is_empty() && path.exists() {
        return Ok(());
    }
    secrets.extend(new.into_iter().map(|(device, secret)| (device.to_string(), secret.to_string())));
    write_private(&path, &serde_json::to_vec_pretty(&secrets)?)
}

pub(crate) async fn stop_signal() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        _ = terminate.recv() => {}
    }
    Ok(())
}
