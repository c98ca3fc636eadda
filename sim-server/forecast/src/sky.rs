//! PV by clear-sky-scaled persistence: how clear it is now, easing to how clear the last days were.

use crate::{Forecast, Series};
use shared::time::{DAY_MS, HOUR_MS, Timestamp};

/// Below this share of the clear-sky peak the sun is too low for a ratio to mean anything.
const LEAST_SHARE_OF_PEAK: f64 = 0.05;
/// The present clearness halves its distance to the recent days' every three hours.
const HALF_LIFE_MS: f64 = 3.0 * HOUR_MS as f64;

/// Forecasts PV in kW (positive when producing) from `start`.
///
/// `past_kw` is what was produced, `past_clear_kw` what a clear sky would have given in the same steps, and
/// `clear_kw` what it would give in the steps ahead. Without any daylight in the past the sky counts as half clear.
pub fn clear_sky_persistence(
    past_kw: &Series,
    past_clear_kw: &[f64],
    clear_kw: &[f64],
    start: Timestamp,
) -> Forecast {
    let peak = past_clear_kw.iter().chain(clear_kw).fold(0.0f64, |a, &b| a.max(b));
    let ratios: Vec<(Timestamp, f64)> = past_kw
        .values
        .iter()
        .zip(past_clear_kw)
        .enumerate()
        .filter(|(_, (_, clear))| **clear > LEAST_SHARE_OF_PEAK * peak && peak > 0.0)
        .filter_map(|(i, (kw, clear))| kw.map(|kw| (past_kw.time(i), (kw / clear).clamp(0.0, 1.3))))
        .collect();
    let mean_since = |age_ms: i64| {
        let recent: Vec<f64> =
            ratios.iter().filter(|(t, _)| start.since(*t) <= age_ms).map(|(_, r)| *r).collect();
        (!recent.is_empty()).then(|| recent.iter().sum::<f64>() / recent.len() as f64)
    };
    let days = mean_since(3 * DAY_MS).unwrap_or(0.5);
    let now = mean_since(HOUR_MS);
    let mean = clear_kw
        .iter()
        .enumerate()
        .map(|(step, clear)| {
            let fade = 0.5f64.powf(step as f64 * past_kw.step_ms as f64 / HALF_LIFE_MS);
            clear * (days + (now.unwrap_or(days) - days) * fade)
        })
        .collect();
    let errors = ratios
        .iter()
        .filter(|(t, _)| start.since(*t) <= 3 * DAY_MS && days > 0.0)
        .map(|(_, r)| (r - days) / days)
        .collect();
    let span = past_kw.measured().next().map_or(0, |(first, _)| start.since(first).max(0) / DAY_MS);
    Forecast::with_errors(mean, errors, usize::try_from(span).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloudy_hour_after_clear_days_clears_up_in_the_forecast() {
        let step = HOUR_MS / 4;
        let clear =
            |i: usize| (((i % 96) as f64 - 24.0) / 48.0 * std::f64::consts::PI).sin().max(0.0) * 1000.0;
        let noon = 3 * 96 + 48;
        let past_clear: Vec<f64> = (0..noon).map(clear).collect();
        let mut values: Vec<Option<f64>> = past_clear.iter().map(|c| Some(c * 0.9)).collect();
        for value in values.iter_mut().rev().take(4) {
            *value = value.map(|v| v / 3.0);
        }
        let past = Series { start: Timestamp(0), step_ms: step, values };
        let ahead: Vec<f64> = (noon..noon + 96).map(clear).collect();
        let forecast = clear_sky_persistence(&past, &past_clear, &ahead, past.time(noon));
        assert!(forecast.mean[0] < 0.4 * ahead[0], "still cloudy: {} of {}", forecast.mean[0], ahead[0]);
        assert!(forecast.mean[90] > 0.8 * ahead[90], "clear tomorrow");
        assert!(forecast.mean[48].abs() < 1e-9, "night");
    }
}
