//! The client's binary: reads the command line, starts the link and shows the park.

use anyhow::{Context, Result, bail};
use bevy::app::AppExit;
use clap::Parser;
use shared::stream::Encoding;
use std::{io::Write, process::ExitCode, sync::Arc, time::Duration};
use twin_client::{
    app::{self, Setup},
    net::{Credentials, LinkConfig, Net},
    options::{Options, Show},
    picture::Task,
    ui::UiState,
};

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(AppExit::Success) => ExitCode::SUCCESS,
        Ok(AppExit::Error(code)) => ExitCode::from(code.get()),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "twin-client: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<AppExit> {
    let config = LinkConfig {
        server: options.server_url()?,
        credentials: options.credentials()?,
        encoding: Encoding::Postcard,
    };
    if options.headless && config.credentials == Credentials::None {
        bail!("--headless needs --user with a password, --token-file, or PARK_TOKEN: nobody can be asked");
    }
    let headless = options.headless.then(|| Task {
        screenshot: options.screenshot.clone(),
        bench_frames: options.bench_frames,
        give_up_after: Duration::from_secs(options.for_s),
        report: Some(Arc::new(report_frames)),
    });
    let mut app = app::build(Setup {
        language: options.lang.into(),
        size: options.size,
        at: options.at,
        wall: options.wall,
        headless,
    });
    if options.show == Some(Show::Quality) {
        app.world_mut().resource_mut::<UiState>().panels.quality_open = true;
    }
    app.insert_resource(Net::start(config).context("cannot start the link's thread")?);
    Ok(app.run())
}

/// Frame times as JSON on standard output, for `scripts/bench`.
fn report_frames(frame_ms: &[f64]) {
    let mut sorted = frame_ms.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at =
        |share: f64| sorted.get(((sorted.len() - 1) as f64 * share).round() as usize).copied().unwrap_or(0.0);
    let report = serde_json::json!({
        "frame_ms_p50": at(0.5),
        "frame_ms_p99": at(0.99),
        "frames": sorted.len(),
    });
    let _ = writeln!(std::io::stdout(), "{report}");
}
