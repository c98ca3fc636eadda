//! A backup made while the server runs and takes data in, restored elsewhere, holds what was acknowledged before it.

use park_tests::{Device, Outcome, Server, binary, now_ms};
use std::{path::Path, process::Command};

fn run(args: &[&str], folder: (&str, &Path), second: (&str, &Path)) -> anyhow::Result<()> {
    let output = Command::new(binary("sim-server")?)
        .args(args)
        .arg(folder.0)
        .arg(folder.1)
        .arg(second.0)
        .arg(second.1)
        .output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[tokio::test]
async fn a_backup_of_a_running_server_restores() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (data, copy, again) =
        (folder.path().join("data"), folder.path().join("copy"), folder.path().join("again"));
    let server = Server::start(&data, &[]).await?;
    let secret = server.register("backup-test", "feeder-meter").await?;
    let mut device = Device::new(server.mqtt, "backup-test", &secret);
    device.connected().await?;
    let now = now_ms();
    for tag in 0..500 {
        device.publish_power(now - 1000 + tag, tag as f64, tag).await?;
        while !matches!(device.poll().await?, Outcome::Acknowledged(seen) if seen == tag) {}
    }
    let (from, into) = (data.clone(), copy.clone());
    tokio::task::spawn_blocking(move || run(&["backup"], ("--data", &from), ("--into", &into))).await??;
    drop(server);
    let into = again.clone();
    tokio::task::spawn_blocking(move || run(&["restore"], ("--data", &into), ("--from", &copy))).await??;
    let restored = Server::start(&again, &[]).await?;
    let points = restored.history("backup-test", "power").await?;
    assert_eq!(points.len(), 500);
    assert_eq!(points.last().map(|p| p.1), Some(499.0));
    // The device's secret came along: it connects to the restored park.
    let mut device = Device::new(restored.mqtt, "backup-test", &secret);
    device.connected().await
}
