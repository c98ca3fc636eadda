//! Acknowledged means durable: kill -9 under load, again and again, loses nothing and invents nothing.

use park_tests::{Device, Outcome, Server, eventually, now_ms};
use shared::time::Timestamp;
use std::collections::BTreeMap;

const KILLS: usize = 5;
/// Acknowledgements to see before each kill, so that every life of the server does real work.
const ACKNOWLEDGED_PER_LIFE: usize = 400;

#[tokio::test]
async fn kill_9_under_load_loses_nothing_acknowledged() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut server = Server::start(folder.path(), &[]).await?;
    let secret = server.register("kill-test", "feeder-meter").await?;
    // One millisecond apart, so that each sample has a key of its own; an hour back, so that none is ahead.
    let start = Timestamp(now_ms() - 3_600_000).0;
    let mut sent = 0i64;
    let mut acknowledged = BTreeMap::new();
    for life in 0..KILLS {
        let mut device = Device::new(server.mqtt, "kill-test", &secret);
        device.connected().await?;
        let mut seen = 0;
        while seen < ACKNOWLEDGED_PER_LIFE {
            while sent - acknowledged.len() as i64 - lost(&acknowledged, sent) < 40 {
                device.publish_power(start + sent, value_of(sent), sent).await?;
                sent += 1;
                if sent % 10 == 0 {
                    break;
                }
            }
            if let Outcome::Acknowledged(tag) = device.poll().await? {
                acknowledged.insert(tag, value_of(tag));
                seen += 1;
            }
        }
        server = server.kill_and_restart().await?;
        let stored: BTreeMap<i64, f64> = server.history("kill-test", "power").await?.into_iter().collect();
        for (tag, value) in &acknowledged {
            assert_eq!(stored.get(&(start + tag)), Some(value), "life {life}: sample {tag} was acknowledged");
        }
        for (time, value) in &stored {
            let tag = time - start;
            assert!((0..sent).contains(&tag), "life {life}: sample at {time} was never sent");
            assert_eq!(*value, value_of(tag), "life {life}: sample {tag} changed");
        }
    }
    Ok(())
}

/// Samples of earlier lives that were sent and never acknowledged no longer count as in flight.
fn lost(acknowledged: &BTreeMap<i64, f64>, sent: i64) -> i64 {
    let newest = acknowledged.keys().next_back().map_or(0, |tag| tag + 1);
    (newest - acknowledged.len() as i64).clamp(0, sent)
}

/// Distinct and exact in tenths, as a meter rounds.
fn value_of(tag: i64) -> f64 {
    (tag % 10_000) as f64 / 10.0
}

#[tokio::test]
async fn a_restart_brings_shadows_commands_and_alarms_back() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[]).await?;
    let secret = server.register("restart-test", "feeder-meter").await?;
    let mut device = Device::new(server.mqtt, "restart-test", &secret);
    device.connected().await?;
    device.publish_power(now_ms(), 123.4, 1).await?;
    while !matches!(device.poll().await?, Outcome::Acknowledged(1)) {}
    let server = server.kill_and_restart().await?;
    eventually("the shadow is back", async || {
        let shadow = server.get("/api/v1/devices/restart-test").await?;
        Ok((shadow["reported"]["power"]["value"] == 123.4).then_some(()))
    })
    .await
}
