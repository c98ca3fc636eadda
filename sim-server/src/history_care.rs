//! `sim-server history`: looking after stored telemetry while no server runs on it.

use crate::{
    cli::HistoryCommand,
    data_folder::DataFolder,
    serve::{SavedOptions, open_stores},
};
use anyhow::bail;

#[allow(clippy::print_stdout)] // what was asked for
pub(crate) async fn run(command: &HistoryCommand) -> anyhow::Result<()> {
    let (HistoryCommand::Stats(args) | HistoryCommand::Verify(args) | HistoryCommand::Compact(args)) =
        command;
    if !args.data.is_dir() {
        bail!("{} is not a data folder", args.data.display());
    }
    let mut data = DataFolder::hold(&args.data)?;
    let holder = format!("process {} looking after telemetry", std::process::id());
    data.name_holder(&holder)?;
    let saved = SavedOptions::read(&data)?;
    let (history, _records, _claim) = open_stores(&data, saved.database.as_deref(), &holder).await?;
    let faults = match command {
        HistoryCommand::Stats(_) => {
            println!("{}", serde_json::to_string_pretty(&history.stats().await)?);
            0
        }
        HistoryCommand::Verify(_) => {
            let report = history.verify().await?;
            println!("{}", serde_json::to_string_pretty(&report)?);
            report.faults.len()
        }
        HistoryCommand::Compact(_) => {
            let before = history.stats().await;
            history.compact().await?;
            let after = history.stats().await;
            println!(
                "{} blocks of {} bytes, were {} of {}",
                after.blocks, after.block_bytes, before.blocks, before.block_bytes
            );
            0
        }
    };
    history.close().await?;
    if faults > 0 {
        bail!("{faults} faults in stored telemetry");
    }
    Ok(())
}
