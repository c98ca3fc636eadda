//! What the park watches of itself: alarms of an infeasible plan and a full disk, records that have had their time.

use history::{History, HistoryError};
use metrics::{describe_gauge, gauge};
use records::Records;
use shared::{
    alarm::AlarmKind,
    text::Text,
    time::{DAY_MS, Timestamp},
};
use std::{path::PathBuf, time::Duration};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use twin::Twin;

const DISK_EVERY: Duration = Duration::from_secs(30);
const HISTORY_EVERY: Duration = Duration::from_secs(30);
const PRUNE_EVERY: Duration = Duration::from_secs(24 * 3600);

/// Raises and clears the alarm of a park without a plan it could follow.
pub(crate) async fn watch_plans(
    twin: Twin,
    mut trouble: watch::Receiver<Option<Text>>,
    clock: fn() -> Timestamp,
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = trouble.changed() => if changed.is_err() { return },
        }
        let active = trouble.borrow_and_update().clone().map(|text| (text, None));
        twin.park_alarm(AlarmKind::PlanInfeasible, active, clock()).await;
    }
}

/// Raises and clears the alarm of a disk that is filling up.
pub(crate) async fn watch_disk(
    twin: Twin,
    data: PathBuf,
    clock: fn() -> Timestamp,
    shutdown: CancellationToken,
) {
    let least_mb = twin.scene().alarms.disk_free_min_mb;
    let mut every = tokio::time::interval(DISK_EVERY);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        let free_mb = match fs4::available_space(&data) {
            Ok(bytes) => bytes / 1_000_000,
            Err(error) => {
                tracing::warn!(%error, folder = %data.display(), "free disk space unknown");
                continue;
            }
        };
        let active = (free_mb < least_mb).then(|| {
            let text = Text::new(
                format!("数据盘剩余空间 {free_mb} MB，低于 {least_mb} MB"),
                format!("{free_mb} MB left on the data disk, below {least_mb} MB"),
            );
            (text, Some(free_mb as f64))
        });
        twin.park_alarm(AlarmKind::DiskLow, active, clock()).await;
    }
}

/// Tells how the telemetry store does, for `/metrics`.
pub(crate) async fn measure_history(history: History, shutdown: CancellationToken) {
    describe_gauge!("park_history_log_bytes", "Bytes of the telemetry log that are not in blocks yet");
    describe_gauge!("park_history_bytes", "Bytes of telemetry in the database");
    describe_gauge!("park_history_memory_bytes", "Memory of readings that are not in blocks yet");
    describe_gauge!("park_history_queued_points", "Points that wait to become durable");
    describe_gauge!("park_history_sealing_fails", "1 while telemetry cannot be made blocks, else 0");
    let mut every = tokio::time::interval(HISTORY_EVERY);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        let stats = history.stats().await;
        gauge!("park_history_log_bytes").set(stats.wal_bytes as f64);
        gauge!("park_history_bytes").set(stats.bytes as f64);
        gauge!("park_history_memory_bytes").set(stats.memory_bytes as f64);
        gauge!("park_history_queued_points").set(stats.queued_points as f64);
        gauge!("park_history_sealing_fails").set(f64::from(u8::from(stats.seal_fault.is_some())));
    }
}

/// Deletes telemetry that has had its time, once a day: what the park keeps, and what its model keeps for less long.
pub(crate) async fn prune_telemetry(
    history: History,
    twin: Twin,
    keep_ms: i64,
    clock: fn() -> Timestamp,
    shutdown: CancellationToken,
) {
    let mut every = tokio::time::interval(PRUNE_EVERY);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        let now = clock();
        let note = |pruned: Result<u64, HistoryError>, days: i64| match pruned {
            Ok(0) => {}
            Ok(pruned) => tracing::info!(pruned, days, "readings that had their time are gone"),
            Err(error) => tracing::warn!(%error, days, "old telemetry not deleted"),
        };
        note(history.delete_before(Timestamp(now.0 - keep_ms)).await, keep_ms / DAY_MS);
        for expired in twin.delete_expired(now).await {
            note(expired.deleted, i64::from(expired.days));
        }
    }
}

/// Forgets commands, alarms, events and audit entries that ended longer ago than `keep_ms`, once a day.
pub(crate) async fn prune_records(
    records: Records,
    keep_ms: i64,
    clock: fn() -> Timestamp,
    shutdown: CancellationToken,
) {
    let mut every = tokio::time::interval(PRUNE_EVERY);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        match records.prune_before(Timestamp(clock().0 - keep_ms)).await {
            Ok(0) => {}
            Ok(pruned) => tracing::info!(pruned, "records that ended long ago are gone"),
            Err(error) => tracing::warn!(%error, "old records not pruned"),
        }
    }
}
