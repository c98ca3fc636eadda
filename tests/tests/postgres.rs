//! The same server on PostgreSQL: records and telemetry live there, and a second server on it is refused.

use park_tests::{Database, Device, Outcome, Server, free_port, now_ms, server};

#[tokio::test]
async fn a_park_runs_on_postgresql() -> anyhow::Result<()> {
    let Some(own) = Database::fresh()? else { return Ok(()) };
    let url = own.url();
    let folder = tempfile::tempdir()?;
    let id = "pg-test".to_owned();
    let data = folder.path().join("data");
    let server = Server::start(&data, &["--database", &url]).await?;
    let secret = server.register(&id, "feeder-meter").await?;
    let mut device = Device::new(server.mqtt, &id, &secret);
    device.connected().await?;
    let now = now_ms();
    for tag in 0..100 {
        device.publish_power(now - 100 + tag, tag as f64, tag).await?;
        while !matches!(device.poll().await?, Outcome::Acknowledged(seen) if seen == tag) {}
    }
    let other = folder.path().join("other");
    let (http, mqtt, options) = (free_port()?, free_port()?, vec!["--database".to_owned(), url.clone()]);
    let log = tokio::task::spawn_blocking(move || {
        let status = server::spawn(&other, http, mqtt, &options)?.wait()?;
        anyhow::ensure!(!status.success(), "a second server ran on the same database");
        Ok(std::fs::read_to_string(other.join("server.log"))?)
    })
    .await??;
    assert!(log.contains(&format!("http://127.0.0.1:{}", server.http)), "the holder is not named: {log}");
    let server = server.kill_and_restart().await?;
    assert_eq!(server.history(&id, "power").await?.len(), 100);
    Ok(())
}
