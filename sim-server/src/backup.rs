//! Backup and restore: a consistent copy of telemetry and records with the keys beside them.

use crate::{
    cli::{BackupArgs, RestoreArgs},
    control::{BACKUP_PATH, BackupRequest, TOKEN_FILE},
    data_folder::DataFolder,
    serve::{self, HISTORY_FOLDER, KEY_FILES, RECORDS_FILE},
};
use anyhow::{Context, bail};
use history::History;
use records::Records;
use std::path::{Path, PathBuf};

const RECORDS_COPY: &str = "records";
const HISTORY_COPY: &str = "history";
/// Written last: a copy without it was cut short.
const COMPLETE: &str = "complete";

/// Asks the running server for a copy, or makes one itself when none runs.
pub(crate) async fn backup(args: &BackupArgs) -> anyhow::Result<()> {
    let into = std::path::absolute(&args.into)?;
    if into.exists() && std::fs::read_dir(&into)?.next().is_some() {
        bail!("{} is not empty", into.display());
    }
    std::fs::create_dir_all(&into).with_context(|| format!("creating {}", into.display()))?;
    if !args.data.is_dir() {
        bail!("{} is not a data folder", args.data.display());
    }
    match DataFolder::hold(&args.data) {
        Ok(data) => {
            let saved = serve::SavedOptions::read(&data)?;
            let holder = format!("process {} making a backup", std::process::id());
            let (history, records, _claim) =
                serve::open_stores(&data, saved.database.as_deref(), &holder).await?;
            copy_stores(&history, &records, &into).await?;
            history.close().await?;
        }
        Err(_) => ask_server(&args.data, &into).await?,
    }
    for name in KEY_FILES {
        let from = args.data.join(name);
        if from.exists() {
            std::fs::copy(&from, into.join(name)).with_context(|| format!("copying {name}"))?;
        }
    }
    std::fs::write(into.join(COMPLETE), b"")?;
    tracing::info!(into = %into.display(), "backup complete");
    Ok(())
}

async fn ask_server(data: &Path, into: &Path) -> anyhow::Result<()> {
    let holder = std::fs::read_to_string(data.join("holder"))?;
    let address = holder
        .split_whitespace()
        .find(|word| word.starts_with("http://"))
        .with_context(|| format!("the data folder is held by {}, which gives no address", holder.trim()))?;
    let token = std::fs::read_to_string(data.join(TOKEN_FILE)).context("reading the control token")?;
    let response = reqwest::Client::new()
        .post(format!("{address}{BACKUP_PATH}"))
        .bearer_auth(token.trim())
        .json(&BackupRequest { into: into.to_owned() })
        .send()
        .await
        .with_context(|| format!("asking the server at {address}"))?;
    if !response.status().is_success() {
        bail!("the server at {address} answered: {}", response.text().await?);
    }
    Ok(())
}

/// Copies both stores while they are in use.
pub(crate) async fn copy_stores(history: &History, records: &Records, into: &Path) -> anyhow::Result<()> {
    // Telemetry first: a command in the records may then miss its effect, never the other way round.
    let (history_copy, records_copy) = (into.join(HISTORY_COPY), into.join(RECORDS_COPY));
    std::fs::create_dir_all(&history_copy)?;
    std::fs::create_dir_all(&records_copy)?;
    history.backup(&history_copy).await.context("copying the telemetry")?;
    records.backup(&records_copy).await.context("copying the records")?;
    Ok(())
}

/// Fills an empty data folder (and database) from a copy.
pub(crate) async fn restore(args: &RestoreArgs) -> anyhow::Result<()> {
    if !args.from.join(COMPLETE).exists() {
        bail!("{} is not a complete backup", args.from.display());
    }
    let data = DataFolder::hold(&args.data)?;
    for name in [RECORDS_FILE, HISTORY_FOLDER] {
        if data.path(name).exists() {
            bail!("{} already holds a park; restore into an empty folder", args.data.display());
        }
    }
    let url = serve::records_url(&data, args.database.as_deref());
    Records::restore(&url, &args.from.join(RECORDS_COPY)).await.context("restoring the records")?;
    let options = serve::history_options(&data, args.database.as_deref());
    History::restore(&options, &args.from.join(HISTORY_COPY)).await.context("restoring the telemetry")?;
    for name in KEY_FILES {
        let from: PathBuf = args.from.join(name);
        if from.exists() {
            crate::data_folder::write_private(&data.path(name), &std::fs::read(from)?)?;
        }
    }
    serve::SavedOptions { database: args.database.clone() }.write(&data)?;
    tracing::info!(data = %args.data.display(), "restored");
    Ok(())
}
