//! `sim-server`: the park's backend in one process. Command line, configuration and wiring; the rules live in the crates.

mod admin;
mod backup;
mod cli;
mod control;
mod data_folder;
mod history_care;
mod live_values;
mod scene_folder;
mod serve;
mod split;
mod study;
mod watchdog;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    init_log(&cli.log);
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The edge: the one place an error is shown to a person.
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: cli::Cli) -> anyhow::Result<()> {
    match cli.command {
        // No runtime for what only reads files.
        cli::Command::Scene { command: cli::SceneCommand::Check(args) } => scene_folder::check(&args),
        cli::Command::Study { command: cli::StudyCommand::Week(args) } => study::week(&args),
        cli::Command::Serve(args) => {
            raise_open_files_limit();
            runtime()?.block_on(async move {
                match args.roles {
                    cli::Roles::Gateway => split::serve_gateway(*args).await,
                    cli::Roles::All | cli::Roles::Server => serve::serve(*args).await,
                }
            })
        }
        cli::Command::Backup(args) => runtime()?.block_on(backup::backup(&args)),
        cli::Command::Restore(args) => runtime()?.block_on(backup::restore(&args)),
        cli::Command::History { command } => runtime()?.block_on(history_care::run(&command)),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Thousands of devices and clients are a descriptor each; the usual soft limit of 1,024 is not for servers.
fn raise_open_files_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(open_files) => tracing::info!(open_files, "limit on open files"),
        Err(error) => tracing::warn!(%error, "the limit on open files cannot be raised"),
    }
}

fn init_log(filter: &str) {
    use tracing_subscriber::{EnvFilter, fmt};
    fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}
