//! Telemetry for webhooks: once a step is over and had time to come in, what was measured in it is queued.
//!
//! How far each was told is kept with the webhook and written in the transaction that queues, so no step is missed or told twice,
//! whenever the server ends. While one round waits to be delivered no other is queued: the next tells all that has come since, so a
//! receiver that is away costs no more than one round. What is queued is delivered, or given up, as everything else is.

use crate::{
    service::{Inner, TELEMETRY},
    telemetry::{MeasuredSeries, TelemetryPush, bodies},
    webhook::Kept,
};
use history::{HistoryError, SeriesKey, Steps};
use records::{NewDelivery, RecordsError};
use shared::time::{DAY_MS, Timestamp};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

/// Lines of a round: some megabytes.
const LINES: usize = 50_000;
/// Older is not told: whoever was away for longer asks for it.
const FURTHEST_BACK_MS: i64 = 7 * DAY_MS;
/// Between looks at the clock, which may be set meanwhile.
const LOOK: Duration = Duration::from_secs(60);
/// Between attempts while a database does not answer.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("writing what was measured: {0}")]
    Body(#[from] serde_json::Error),
}

/// When a webhook is looked at again.
enum Next {
    At(Timestamp),
    /// When something is delivered or changed.
    Told,
}

/// Queues what is ripe until stopped.
pub(crate) async fn run(inner: Arc<Inner>) {
    let mut failing: BTreeSet<String> = BTreeSet::new();
    while !inner.stop.is_cancelled() {
        let mut wait = LOOK;
        failing.retain(|id| inner.kept(id).is_some());
        for kept in inner.enabled() {
            let Some(telemetry) = kept.webhook.telemetry else { continue };
            if inner.stop.is_cancelled() {
                break;
            }
            let id = &kept.webhook.id;
            let next = match report(&inner, &kept, telemetry).await {
                Ok(next) => {
                    failing.remove(id);
                    next
                }
                Err(error) => {
                    if failing.insert(id.clone()) {
                        tracing::error!(webhook = id, "telemetry cannot be queued, trying again: {error}");
                    }
                    wait = wait.min(PAUSE);
                    continue;
                }
            };
            if let Next::At(at) = next {
                let ms = at.since((inner.options.clock)()).max(0).unsigned_abs();
                wait = wait.min(Duration::from_millis(ms));
            }
        }
        tokio::select! {
            () = inner.stop.cancelled() => {}
            () = inner.reports.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Queues one round for a webhook, if one is ripe.
async fn report(inner: &Inner, kept: &Arc<Kept>, telemetry: TelemetryPush) -> Result<Next, Fault> {
    let id = &kept.webhook.id;
    let now = (inner.options.clock)();
    let Some(told) = inner.records.told_through(id).await? else {
        // The step in progress is the first.
        let from = telemetry.floor(now);
        let _one_at_a_time = inner.changing.lock().await;
        if is_as_it_was(inner, kept) {
            inner.records.set_told_through(id, from).await?;
        }
        return Ok(due(telemetry, from));
    };
    let (from, ripe) = (telemetry.floor(told), telemetry.ripe(now));
    if ripe <= from {
        return Ok(due(telemetry, from));
    }
    if inner.records.has_waiting(id, TELEMETRY).await? {
        return Ok(Next::Told);
    }
    let from = from.max(telemetry.floor(Timestamp(ripe.0 - FURTHEST_BACK_MS)));
    let series = inner.devices.series(&kept.webhook.scope);
    let steps = i64::try_from(LINES / series.len().max(1)).unwrap_or(i64::MAX).max(1);
    let to = ripe.min(Timestamp(from.0.saturating_add(steps.saturating_mul(telemetry.step_ms()))));
    let deliveries = measured(inner, telemetry, (from, to), &series).await?;
    let deliveries: Vec<NewDelivery> =
        deliveries.into_iter().map(|body| NewDelivery::new(id, TELEMETRY, to, body)).collect();
    let most = inner.options.reports_max;
    let _one_at_a_time = inner.changing.lock().await;
    if !is_as_it_was(inner, kept) {
        return Ok(Next::At(now));
    }
    if inner.records.report(id, (told, to), &deliveries, most, now).await? && !deliveries.is_empty() {
        inner.queued(id).await?;
    }
    // More may be ripe, if nothing waits.
    Ok(due(telemetry, to))
}

/// Whether a webhook was not changed since it was looked at.
fn is_as_it_was(inner: &Inner, kept: &Arc<Kept>) -> bool {
    inner.kept(&kept.webhook.id).is_some_and(|now| Arc::ptr_eq(&now, kept))
}

fn due(telemetry: TelemetryPush, told: Timestamp) -> Next {
    Next::At(Timestamp(told.0.saturating_add(telemetry.step_ms() + telemetry.delay * 1_000)))
}

async fn measured(
    inner: &Inner,
    telemetry: TelemetryPush,
    (from, to): (Timestamp, Timestamp),
    series: &[MeasuredSeries],
) -> Result<Vec<String>, Fault> {
    let keys: Vec<SeriesKey> = series.iter().map(|series| series.key.clone()).collect();
    let steps = Steps::even(from, to, telemetry.step_ms())?;
    let buckets = inner.history.buckets_many(&keys, &steps).await?;
    Ok(bodies(telemetry, (from, to), series, &buckets)?)
}
