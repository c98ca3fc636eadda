//! The present value easing back to the recent mean: all that can honestly be said of wind without a weather model.

use crate::{Forecast, Series};
use shared::time::{DAY_MS, HOUR_MS, Timestamp};

/// Forecasts `steps` steps from `start`: the mean of the last hour, halving its distance to the mean of the last
/// three days every `half_life_ms`.
pub fn decaying_persistence(past: &Series, start: Timestamp, steps: usize, half_life_ms: i64) -> Forecast {
    let recent = past.mean_between(Timestamp(start.0 - 3 * DAY_MS), start);
    let present = past.mean_between(Timestamp(start.0 - HOUR_MS), start).or(recent);
    let (present, recent) = (present.unwrap_or(0.0), recent.unwrap_or(0.0));
    let mean: Vec<f64> = (0..steps)
        .map(|step| {
            let age = step as f64 * past.step_ms as f64;
            recent + (present - recent) * 0.5f64.powf(age / half_life_ms.max(1) as f64)
        })
        .collect();
    let errors = past
        .measured()
        .filter(|(t, _)| start.since(*t) <= 3 * DAY_MS)
        .filter(|_| recent.abs() > 0.0)
        .map(|(_, v)| (v - recent) / recent)
        .collect();
    let span = past.measured().next().map_or(0, |(first, _)| start.since(first).max(0) / DAY_MS);
    Forecast::with_errors(mean, errors, usize::try_from(span).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_at_the_present_and_ends_at_the_mean() {
        let step = HOUR_MS / 4;
        let mut values = vec![Some(100.0); 3 * 96];
        let n = values.len();
        values[n - 4..].fill(Some(400.0));
        let past = Series { start: Timestamp(0), step_ms: step, values };
        let forecast = decaying_persistence(&past, past.time(n), 96, 3 * HOUR_MS);
        let mean = past.mean_between(Timestamp(0), past.time(n)).unwrap();
        assert!((forecast.mean[0] - 400.0).abs() < 1e-9);
        assert!((forecast.mean[95] - mean).abs() < 3.0, "{}", forecast.mean[95]);
    }
}
