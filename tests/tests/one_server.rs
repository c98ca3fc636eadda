//! One server per data folder and port: a second one says who holds it and what to change.

use park_tests::{Server, free_port, server};

async fn refusal(data: &std::path::Path, http: u16, mqtt: u16) -> anyhow::Result<String> {
    let data = data.to_owned();
    tokio::task::spawn_blocking(move || {
        let mut process = server::spawn(&data, http, mqtt, &[])?;
        let status = process.wait()?;
        anyhow::ensure!(!status.success(), "the second server ran");
        Ok(std::fs::read_to_string(data.join("server.log"))?)
    })
    .await?
}

#[tokio::test]
async fn a_second_server_on_the_same_data_names_the_holder() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let first = Server::start(folder.path(), &[]).await?;
    let log = refusal(folder.path(), free_port()?, free_port()?).await?;
    assert!(log.contains("is held by process"), "{log}");
    assert!(log.contains(&format!("http://127.0.0.1:{}", first.http)), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_port_in_use_is_named_with_its_option() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let first = Server::start(&folder.path().join("first"), &[]).await?;
    for (http, mqtt, option, port) in
        [(first.http, free_port()?, "--http", first.http), (free_port()?, first.mqtt, "--mqtt", first.mqtt)]
    {
        let data = folder.path().join(option);
        let log = refusal(&data, http, mqtt).await?;
        assert!(log.contains(&format!("port {port} is in use")) && log.contains(option), "{log}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_asked_to_stop_stops_cleanly() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = Server::start(folder.path(), &[]).await?;
    let status = server.stop().await?;
    assert!(status.success(), "{status}: {}", server.log());
    Ok(())
}
