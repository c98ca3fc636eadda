//! `sim-server history`: looking after stored telemetry. The server that has it open does the work when asked; where none runs
//! this process opens it.

use crate::{
    cli::{ExportArgs, HistoryCommand, ImportArgs},
    control::{HISTORY_PATH, ask_server, is_held},
    data_folder::DataFolder,
    scene_folder,
    serve::{SavedOptions, clock, open_stores},
};
use anyhow::{Context, bail};
use archive::{Archive, DayReport, Days, Description, FileReport, ParkName, WhoWins};
use futures::TryStreamExt;
use history::{History, SeriesKey};
use jiff::{civil::Date, tz::TimeZone};
use records::Records;
use serde::{Deserialize, Serialize};
use shared::{
    id::{DeviceId, MeasurementKey, ModelId},
    scene::Scene,
    telemetry::Origin,
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio_util::io::StreamReader;

/// What to do, as it is asked of a running server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(crate) enum Task {
    Stats,
    Verify,
    Compact,
    Export {
        to: String,
        endpoint: Option<String>,
        first_day: Option<Date>,
        last_day: Option<Date>,
        full: bool,
    },
    Import {
        from: String,
        endpoint: Option<String>,
        overwrite: bool,
    },
}

/// What a running server tells of it, a line at a time.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Line {
    Told(String),
    Done(Done),
    Failed(String),
}

/// What it came to.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    /// What was asked for.
    pub(crate) text: String,
    /// What is wrong with what was looked at; then the command fails.
    pub(crate) fault: Option<String>,
}

pub(crate) async fn run(command: &HistoryCommand) -> anyhow::Result<()> {
    let (data, task, scene) = task_of(command)?;
    if !data.is_dir() {
        bail!("{} is not a data folder", data.display());
    }
    let done = match DataFolder::hold(data) {
        Ok(held) => here(held, &task, scene).await?,
        Err(_) if is_held(data) => there(data, &task).await?,
        Err(error) => return Err(error),
    };
    print(&done.text);
    match done.fault {
        Some(fault) => bail!("{fault}"),
        None => Ok(()),
    }
}

#[allow(clippy::print_stdout)] // what was asked for
fn print(text: &str) {
    println!("{text}");
}

/// A scene's folder and that of its thing models.
type SceneFolders = (Option<PathBuf>, Option<PathBuf>);

fn task_of(command: &HistoryCommand) -> anyhow::Result<(&Path, Task, SceneFolders)> {
    Ok(match command {
        HistoryCommand::Stats(args) => (&args.data, Task::Stats, (None, None)),
        HistoryCommand::Verify(args) => (&args.data, Task::Verify, (None, None)),
        HistoryCommand::Compact(args) => (&args.data, Task::Compact, (None, None)),
        HistoryCommand::Export(args) => {
            let ExportArgs { data, to, endpoint, first_day, last_day, full, scene, models } = args;
            let task = Task::Export {
                to: url_of(to)?,
                endpoint: endpoint.clone(),
                first_day: *first_day,
                last_day: *last_day,
                full: *full,
            };
            (data, task, (scene.clone(), models.clone()))
        }
        HistoryCommand::Import(args) => {
            let ImportArgs { data, from, endpoint, overwrite } = args;
            let task =
                Task::Import { from: url_of(from)?, endpoint: endpoint.clone(), overwrite: *overwrite };
            (data, task, (None, None))
        }
    })
}

/// A path is meant from where the caller stands, whoever goes there.
fn url_of(place: &str) -> anyhow::Result<String> {
    if place.contains("://") {
        return Ok(place.to_owned());
    }
    let path = std::path::absolute(place)?;
    let url = url::Url::from_file_path(&path).map_err(|()| anyhow::anyhow!("{place} is no path"))?;
    Ok(url.into())
}

/// By this process, which holds the folder meanwhile.
async fn here(mut data: DataFolder, task: &Task, scene: SceneFolders) -> anyhow::Result<Done> {
    let holder = format!("process {} looking after telemetry", std::process::id());
    data.name_holder(&holder)?;
    let saved = SavedOptions::read(&data)?;
    let scene = match task {
        Task::Export { .. } => {
            let folder = scene.0.or(saved.scene).context(
                "no server was started on this data yet, so its park is not known: name it with --scene",
            )?;
            Some(scene_folder::load(&folder, scene.1.or(saved.models).as_deref())?)
        }
        _ => None,
    };
    let (history, records, _claim) = open_stores(&data, saved.database.as_deref(), &holder, None).await?;
    let work = Work { history: &history, records: &records, scene: scene.as_ref() };
    let done = work.run(task, &mut |line| tracing::info!("{line}")).await;
    history.close().await?;
    done
}

/// By the server that holds the folder.
async fn there(data: &Path, task: &Task) -> anyhow::Result<Done> {
    let response = ask_server(data, HISTORY_PATH, task).await?;
    let body = response.bytes_stream().map_err(std::io::Error::other);
    let mut lines = BufReader::new(StreamReader::new(body)).lines();
    while let Some(line) = lines.next_line().await.context("the server went away")? {
        match serde_json::from_str(&line)? {
            Line::Told(line) => tracing::info!("{line}"),
            Line::Done(done) => return Ok(done),
            Line::Failed(error) => bail!("the server: {error}"),
        }
    }
    bail!("the server stopped before it was done")
}

/// What the work is done on.
pub(crate) struct Work<'a> {
    pub(crate) history: &'a History,
    pub(crate) records: &'a Records,
    /// Needed to export.
    pub(crate) scene: Option<&'a Scene>,
}

impl Work<'_> {
    pub(crate) async fn run(
        &self,
        task: &Task,
        tell: &mut (dyn FnMut(String) + Send),
    ) -> anyhow::Result<Done> {
        let history = self.history;
        let ok = |text: String| Done { text, fault: None };
        Ok(match task {
            Task::Stats => ok(serde_json::to_string_pretty(&history.stats().await)?),
            Task::Verify => {
                let report = history.verify().await?;
                let faults = report.faults.len();
                let fault = (faults > 0).then(|| format!("{faults} faults in stored telemetry"));
                Done { text: serde_json::to_string_pretty(&report)?, fault }
            }
            Task::Compact => {
                let before = history.stats().await;
                history.compact().await?;
                let after = history.stats().await;
                ok(format!(
                    "{} blocks of {} bytes, were {} of {}",
                    after.blocks, after.block_bytes, before.blocks, before.block_bytes
                ))
            }
            Task::Export { to, endpoint, first_day, last_day, full } => {
                let archive = Archive::create(to, endpoint.as_deref())?;
                let days = Days { first: *first_day, last: *last_day, full: *full };
                self.export(&archive, days, tell).await?
            }
            Task::Import { from, endpoint, overwrite } => {
                let archive = Archive::open(from, endpoint.as_deref())?;
                let who_wins = if *overwrite { WhoWins::File } else { WhoWins::Store };
                import(history, &archive, who_wins, tell).await?
            }
        })
    }

    async fn export(
        &self,
        archive: &Archive,
        days: Days,
        tell: &mut (dyn FnMut(String) + Send),
    ) -> anyhow::Result<Done> {
        let scene = self.scene.context("the park is not known")?;
        let zone_name = &scene.park.time_zone;
        let park = ParkName {
            id: scene.park.id.to_string(),
            time_zone: zone_name.clone(),
            zone: TimeZone::get(zone_name).with_context(|| format!("the park's time zone {zone_name}"))?,
        };
        let describe = describer(self.records, scene).await?;
        let mut progress = |day: &DayReport| {
            let DayReport { day, outcome, rows, bytes } = day;
            tell(format!("{day} {}: {rows} rows, {bytes} bytes", word(outcome)));
        };
        let report =
            archive::export(self.history, archive, &park, &describe, days, clock(), &mut progress).await?;
        let fault = (!report.faults.is_empty()).then(|| report.faults.join("; "));
        Ok(Done { text: serde_json::to_string_pretty(&report)?, fault })
    }
}

async fn import(
    history: &History,
    archive: &Archive,
    who_wins: WhoWins,
    tell: &mut (dyn FnMut(String) + Send),
) -> anyhow::Result<Done> {
    let mut progress = |file: &FileReport| {
        let FileReport { path, rows, stored, already, kept, refused, .. } = file;
        tell(format!(
            "{path}: {rows} rows, {stored} stored, {already} there already, {kept} otherwise in the store, {refused} refused"
        ));
    };
    let report = archive::import(history, archive, who_wins, &mut progress).await?;
    let named = |file: &FileReport| {
        let rows = file.bad_rows.iter().map(|bad| format!("row {}: {}", bad.row, bad.reason));
        let reasons: Vec<String> = file.fault.iter().cloned().chain(rows).collect();
        format!("{}: {}", file.path, reasons.join(", "))
    };
    let faults: Vec<String> = report.faulty.iter().map(named).collect();
    let fault = (!faults.is_empty()).then(|| faults.join("; "));
    Ok(Done { text: serde_json::to_string_pretty(&report)?, fault })
}

/// An enum's word as JSON has it.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Knows each series' unit and origin by its device's registration and thing model.
async fn describer(
    records: &Records,
    scene: &Scene,
) -> anyhow::Result<impl Fn(&SeriesKey) -> Description + Sync + use<>> {
    let devices = records.devices().await?.into_iter().map(|d| d.record);
    let devices: HashMap<DeviceId, (ModelId, Origin)> =
        devices.map(|d| (d.id, (d.model, d.origin))).collect();
    let units: HashMap<ModelId, HashMap<MeasurementKey, String>> = scene
        .models
        .values()
        .map(|model| {
            let units = model.measurements.iter().map(|m| (m.key.clone(), m.unit.clone()));
            (model.id.clone(), units.filter(|(_, unit)| !unit.is_empty()).collect())
        })
        .collect();
    Ok(move |key: &SeriesKey| {
        let Some((model, origin)) = devices.get(&key.device) else { return Description::default() };
        let unit = units.get(model).and_then(|units| units.get(&key.measurement)).cloned();
        Description { unit, origin: Some(word(origin)) }
    })
}
