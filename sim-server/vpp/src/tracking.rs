//! Plan against actual: the first steps of past plans are kept as series of their own in the history.

use crate::{EnergyBook, VppError, planner::STEP_MS};
use history::{History, Point, SeriesKey};
use shared::{
    plan::{PlanTracking, PlanView},
    telemetry::{Quality, Reading},
    time::{DAY_MS, Timestamp},
};

/// The device name plans are kept under; no scene device may have it.
const PLAN_DEVICE: &str = "park.plan";
const GRID: &str = "grid";
const STORAGE: &str = "storage";

fn series(measurement: &str) -> Option<SeriesKey> {
    Some(SeriesKey { device: PLAN_DEVICE.parse().ok()?, measurement: measurement.parse().ok()? })
}

/// Keeps what the plan says of the running step; the last plan made in a step is the one compared.
pub(crate) async fn record(history: &History, view: &PlanView) {
    let points = [(GRID, &view.grid_kw), (STORAGE, &view.storage_kw)]
        .into_iter()
        .filter_map(|(name, values)| {
            let reading =
                Reading { value: *values.first()?, timestamp: view.start, quality: Quality::Estimated };
            Some(Point { series: series(name)?, reading })
        })
        .collect::<Vec<_>>();
    if points.is_empty() {
        return;
    }
    if let Err(error) = history.append(points).await {
        tracing::warn!(%error, "the plan was not kept for comparison");
    }
}

/// Planned against measured over the last day in quarter hours, the running one included.
pub(crate) async fn over_last_day(
    history: &History,
    energy: &EnergyBook,
    now: Timestamp,
) -> Result<PlanTracking, VppError> {
    let start = Timestamp(now.floor_to(STEP_MS).0 - DAY_MS + STEP_MS);
    let to = Timestamp(start.0 + DAY_MS);
    let steps = (DAY_MS / STEP_MS) as usize;
    let mut tracking = PlanTracking {
        step_s: (STEP_MS / 1000) as u32,
        start,
        planned_grid_kw: vec![None; steps],
        planned_storage_kw: vec![None; steps],
        ..PlanTracking::default()
    };
    for (name, column) in [(GRID, &mut tracking.planned_grid_kw), (STORAGE, &mut tracking.planned_storage_kw)]
    {
        let Some(key) = series(name) else { continue };
        for reading in history.readings(&key, start, to, steps).await? {
            let index = reading.timestamp.since(start).div_euclid(STEP_MS);
            if let Some(cell) = usize::try_from(index).ok().and_then(|i| column.get_mut(i)) {
                *cell = Some(reading.value);
            }
        }
    }
    let curve = energy.curve(start, to, tracking.step_s, now).await?;
    tracking.measured_grid_kw = curve.grid_kw;
    tracking.measured_storage_kw = curve.storage_kw;
    Ok(tracking)
}
