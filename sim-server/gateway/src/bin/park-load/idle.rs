//! Connections that say nothing: what each costs the server in memory.

use crate::connection::Connection;
use anyhow::Context;
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinSet};

/// Connections being opened at once: more would find the listener's queue full.
const OPENING: usize = 200;

/// Opens the connections, subscribed to their commands, keeps them for a while, and compares the server's memory.
pub(crate) async fn hold(
    address: SocketAddr,
    secrets: BTreeMap<String, String>,
    held: Duration,
    server: Option<u32>,
) -> anyhow::Result<Value> {
    let before = server.map(resident_kib).transpose()?;
    let opening = Arc::new(Semaphore::new(OPENING));
    let mut connecting = JoinSet::new();
    for (device, secret) in secrets {
        let opening = Arc::clone(&opening);
        connecting.spawn(async move {
            let _turn = opening.acquire().await?;
            let mut connection = Connection::open(address, &device, &secret).await?;
            connection.subscribe().await?;
            anyhow::Ok(connection)
        });
    }
    let mut connections = Vec::with_capacity(connecting.len());
    while let Some(connected) = connecting.join_next().await {
        connections.push(connected??);
    }
    tokio::time::sleep(held).await;
    for connection in &mut connections {
        connection.ping().await?;
    }
    let after = server.map(resident_kib).transpose()?;
    let each = before
        .zip(after)
        .map(|(before, after)| (after.saturating_sub(before)) as f64 / connections.len().max(1) as f64);
    let mebibytes = |kib: Option<u64>| kib.map(|kib| (kib as f64 / 1024.0 * 10.0).round() / 10.0);
    Ok(json!({
        "idleConnections": connections.len(),
        "serverMibBefore": mebibytes(before),
        "serverMib": mebibytes(after),
        "kibPerConnection": each.map(|kib| (kib * 10.0).round() / 10.0),
    }))
}

/// Memory a process has in RAM, as Linux tells it.
fn resident_kib(process: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{process}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("--server-pid {process}: {path}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).context("VmRSS is no number")
}
