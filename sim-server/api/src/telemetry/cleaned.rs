//! The cleaned view of a series, page by page. Made anew from what is stored each time it is asked for.

use crate::ApiError;
use history::{History, HistoryError, SeriesKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{
    telemetry::Reading,
    thing_model::{Measurement, MeasurementKind, ThingModel},
    time::{SECOND_MS, Timestamp},
};
use twin::{Cleaned, Cleaning, Fill, Hampel, clean};
use utoipa::ToSchema;

/// The widest window of the spike filter.
const WINDOW_MAX: usize = 201;
/// Readings read at once, looking for those just before the first one asked for.
const BEFORE_PAGE: usize = 20_000;
/// So many times further back each time too few were found.
const FURTHER: i64 = 8;

/// How a gap is filled.
#[derive(Debug, Deserialize, Serialize, Clone, Copy, ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Filling {
    None,
    Linear,
    Previous,
    /// Only of steps.
    #[serde(rename = "0")]
    Zero,
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

/// How a measurement is cleaned at `now`: gaps by its own period, spikes in gauges only, since a register or a state has none that a median
/// could stand for.
pub(crate) fn cleaning_of(
    model: &ThingModel,
    measurement: &Measurement,
    filling: Option<Filling>,
    window: Option<usize>,
    k: Option<f64>,
    now: Timestamp,
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
        Some(Filling::Zero) => {
            let message = "the cleaned view is filled with none, linear or previous; 0 is for steps";
            return Err(ApiError::field("INVALID_VALUE", "fill", message));
        }
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
        until: Some(now),
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
    let expected_ms = around as i64 * cleaning.period_ms.unwrap_or(0);
    let margin_ms = cleaning.fill_most_ms.max(expected_ms);
    let until = Timestamp(to.0.saturating_add(margin_ms));
    let asked = history.readings(series, from, until, limit + around).await?;
    let next = asked.get(limit).map(|reading| reading.timestamp).filter(|at| *at < to);
    let end = next.unwrap_or(to);
    let mut readings = newest_before(history, series, from, around, (2 * expected_ms, margin_ms)).await?;
    readings.extend(asked);
    let until = cleaning.until.filter(|_| next.is_none()).map(|now| now.min(to));
    let mut cleaned = clean(&readings, &Cleaning { filled_most: limit, until, ..*cleaning });
    cleaned.points.retain(|point| from <= point.timestamp && point.timestamp < end);
    cleaned.gaps.retain(|gap| gap.from < end && from < gap.to);
    Ok((cleaned, next))
}

/// The newest readings before an instant, oldest first: `count` of them, or as many as there are within a margin. Where there are
/// none, those that end with the newest one, however far back it is. `back_ms`: how far back is looked first, and the margin.
async fn newest_before(
    history: &History,
    series: &SeriesKey,
    before: Timestamp,
    count: usize,
    back_ms: (i64, i64),
) -> Result<Vec<Reading>, HistoryError> {
    let within = within_margin(history, series, before, count, back_ms).await?;
    if !within.is_empty() {
        return Ok(within);
    }
    let farther = Timestamp(before.0.saturating_sub(back_ms.1));
    match history.newest_before(std::slice::from_ref(series), farther).await?.pop().flatten() {
        Some(newest) => {
            let after = Timestamp(newest.last_time.0.saturating_add(1));
            within_margin(history, series, after, count, back_ms).await
        }
        None => Ok(Vec::new()),
    }
}

/// Looks back step by step: of a device that sends often, all of the margin would be much to read.
async fn within_margin(
    history: &History,
    series: &SeriesKey,
    before: Timestamp,
    count: usize,
    (first_ms, margin_ms): (i64, i64),
) -> Result<Vec<Reading>, HistoryError> {
    let mut back_ms = first_ms.max(SECOND_MS).min(margin_ms);
    loop {
        let mut newest: Vec<Reading> = Vec::new();
        let mut from = Timestamp(before.0.saturating_sub(back_ms));
        loop {
            let page = history.readings(series, from, before, BEFORE_PAGE).await?;
            let last = page.last().filter(|_| page.len() == BEFORE_PAGE).map(|reading| reading.timestamp);
            newest.extend(page);
            newest.drain(..newest.len().saturating_sub(count));
            match last {
                Some(last) => from = Timestamp(last.0.saturating_add(1)),
                None => break,
            }
        }
        if newest.len() >= count || back_ms >= margin_ms {
            return Ok(newest);
        }
        back_ms = back_ms.saturating_mul(FURTHER).min(margin_ms);
    }
}
