//! Readings that their thing model keeps for less long than the park keeps telemetry.

use crate::twin::Twin;
use history::{HistoryError, SeriesKey};
use shared::time::{DAY_MS, Timestamp};
use std::collections::BTreeMap;

/// What became of the readings that are kept for so many days.
#[derive(Debug)]
pub struct Expired {
    pub days: u32,
    /// How many went.
    pub deleted: Result<u64, HistoryError>,
}

impl Twin {
    /// Deletes what has had its time by `now`. What cannot be deleted keeps nothing else.
    pub async fn delete_expired(&self, now: Timestamp) -> Vec<Expired> {
        let history = &self.inner.history;
        let delete = |series: Vec<SeriesKey>, cutoff| async move {
            history.delete_series_before(&series, cutoff).await
        };
        expire(self.kept_for_days(), now, delete).await
    }
}

async fn expire<D: Future<Output = Result<u64, HistoryError>>>(
    kept: BTreeMap<u32, Vec<SeriesKey>>,
    now: Timestamp,
    delete: impl Fn(Vec<SeriesKey>, Timestamp) -> D,
) -> Vec<Expired> {
    let mut expired = Vec::with_capacity(kept.len());
    for (days, series) in kept {
        let cutoff = Timestamp(now.0.saturating_sub(i64::from(days) * DAY_MS));
        expired.push(Expired { days, deleted: delete(series, cutoff).await });
    }
    expired
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_group_that_cannot_be_deleted_keeps_no_other() {
        let series = |name: &str| {
            vec![SeriesKey { device: "bess-1".parse().unwrap(), measurement: name.parse().unwrap() }]
        };
        let kept = BTreeMap::from([(7, series("power")), (30, series("soc")), (90, series("temperature"))]);
        let now = Timestamp(100 * DAY_MS);
        let delete = |series: Vec<SeriesKey>, cutoff: Timestamp| async move {
            match series[0].measurement.as_str() {
                "power" => Err(HistoryError::Closed),
                _ => Ok(now.since(cutoff) as u64),
            }
        };
        let expired = expire(kept, now, delete).await;
        let told: Vec<_> = expired.iter().map(|e| (e.days, e.deleted.as_ref().ok().copied())).collect();
        let day = DAY_MS as u64;
        assert_eq!(told, [(7, None), (30, Some(30 * day)), (90, Some(90 * day))]);
    }
}
