//! The cleaned view of a series, page by page. Made anew from what is stored each time it is asked for.

use crate::ApiError;
use history::{History, SeriesKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{
    thing_model::{Measurement, MeasurementKind, ThingModel},
    time::Timestamp,
};
use twin::{Cleaned, Cleaning, Fill, Hampel, clean};
use utoipa::ToSchema;

/// The widest window of the spike filter.
const WINDOW_MAX: usize = 201;
/// Readings looked through for those just before the first one asked for.
const BEFORE_MOST: usize = 20_000;

/// How a gap is filled.
#[derive(Debug, Deserialize, Serialize, Clone, Copy, ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Filling {
    None,
    Linear,
    Previous,
}

/// What says how to clean is refused where nothing is cleaned.
pub(crate) fn refuse_without_cleaning(
    filling: Option<Filling>,
    window: Option<usize>,
    k: Option<f64>,
) -> Result<(), ApiError> {
    for (field, given) in [("fill", filling.is_some()), ("window", window.is_some()), ("k", k.is_some())] {
        if given {
            let message = format!("{field} says how to clean; give cleaned=true too");
            return Err(ApiError::field("INVALID_VALUE", field, message));
        }
    }
    Ok(())
}

/// How a measurement is cleaned: gaps by its own period, spikes in gauges only, since a register or a state has none that a median
/// could stand for.
pub(crate) fn cleaning_of(
    model: &ThingModel,
    measurement: &Measurement,
    filling: Option<Filling>,
    window: Option<usize>,
    k: Option<f64>,
) -> Result<Cleaning, ApiError> {
    let is_state = measurement.kind == MeasurementKind::State;
    let fill = match filling {
        Some(Filling::None) => Fill::None,
        Some(Filling::Linear) if is_state => {
            let message =
                format!("{} is a state: nothing lies on the line between two of them", measurement.key);
            return Err(ApiError::field("INVALID_VALUE", "fill", message));
        }
        Some(Filling::Previous) => Fill::Previous,
        Some(Filling::Linear) => Fill::Linear,
        None if is_state => Fill::Previous,
        None => Fill::Linear,
    };
    let usual = Hampel::default();
    let window = window.unwrap_or(2 * usual.half_window + 1);
    if !(3..=WINDOW_MAX).contains(&window) || window.is_multiple_of(2) {
        let message = format!("window is an odd number of readings, 3 to {WINDOW_MAX}, not {window}");
        return Err(ApiError::field("INVALID_VALUE", "window", message));
    }
    let k = k.unwrap_or(usual.k);
    if !(0.0..=1e6).contains(&k) {
        return Err(ApiError::field("INVALID_VALUE", "k", format!("k is 0 to 1,000,000, not {k}")));
    }
    let hampel = Hampel { half_window: window / 2, k };
    Ok(Cleaning {
        period_ms: model.period_ms(measurement),
        fill,
        hampel: (measurement.kind == MeasurementKind::Gauge).then_some(hampel),
        resolution: 0.1f64.powi(i32::from(measurement.decimals)),
        ..Cleaning::default()
    })
}

/// Cleans `[from, to)`, at most `limit` readings of it and as many filled in between. What lies around is read as well, so that a
/// page shows what the whole would. Also: where the next page begins.
pub(crate) async fn read_cleaned(
    history: &History,
    series: &SeriesKey,
    (from, to): (Timestamp, Timestamp),
    limit: usize,
    cleaning: &Cleaning,
) -> Result<(Cleaned, Option<Timestamp>), ApiError> {
    let around = cleaning.hampel.map_or(1, |hampel| hampel.half_window + 1);
    let margin_ms = cleaning.fill_most_ms.max(around as i64 * cleaning.period_ms.unwrap_or(0));
    let earliest = Timestamp(from.0.saturating_sub(margin_ms));
    let before = history.readings(series, earliest, from, BEFORE_MOST).await?;
    let until = Timestamp(to.0.saturating_add(margin_ms));
    let asked = history.readings(series, from, until, limit + around).await?;
    let next = asked.get(limit).map(|reading| reading.timestamp).filter(|at| *at < to);
    let end = next.unwrap_or(to);
    let mut readings = before[before.len().saturating_sub(around)..].to_vec();
    readings.extend(asked);
    let mut cleaned = clean(&readings, &Cleaning { filled_most: limit, ..*cleaning });
    cleaned.points.retain(|point| from <= point.timestamp && point.timestamp < end);
    cleaned.gaps.retain(|gap| gap.from < end && from < gap.to);
    Ok((cleaned, next))
}
