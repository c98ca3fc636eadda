//! Load by the same type of day: what the park drew at this time of day on days like this one.

use crate::{Forecast, Series};
use jiff::{civil::Weekday, tz::TimeZone};
use shared::time::{DAY_MS, HOUR_MS, Timestamp};

/// Days that load alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DayType {
    Workday,
    Saturday,
    Sunday,
}

impl DayType {
    pub fn of(at: Timestamp, zone: &TimeZone) -> Self {
        match at.local(zone).weekday() {
            Weekday::Saturday => DayType::Saturday,
            Weekday::Sunday => DayType::Sunday,
            _ => DayType::Workday,
        }
    }
}

/// How long the present deviation from the profile is believed to last: it halves every two hours.
const DEVIATION_HALF_LIFE_MS: f64 = 2.0 * HOUR_MS as f64;
/// How much less a day counts per week of age.
const WEEKLY_WEIGHT: f64 = 0.7;

/// Forecasts `steps` steps from `start`: the weighted mean of the same time of day on past days of the same type
/// (any type when there is none), plus the present deviation fading out. All zero without history.
pub fn load_profile(past: &Series, start: Timestamp, steps: usize, zone: &TimeZone) -> Forecast {
    let profile: Vec<f64> = (0..steps)
        .map(|step| profile_at(past, Timestamp(start.0 + step as i64 * past.step_ms), zone))
        .map(Option::unwrap_or_default)
        .collect();
    let deviation = past
        .measured()
        .rev()
        .take(2)
        .filter(|(t, _)| start.since(*t) <= HOUR_MS)
        .filter_map(|(t, v)| profile_at(past, t, zone).map(|p| v - p))
        .fold((0.0, 0.0), |(sum, count), d| (sum + d, count + 1.0));
    let deviation = if deviation.1 > 0.0 { deviation.0 / deviation.1 } else { 0.0 };
    let mean = profile
        .iter()
        .enumerate()
        .map(|(step, p)| {
            let age = step as f64 * past.step_ms as f64;
            (p + deviation * 0.5f64.powf(age / DEVIATION_HALF_LIFE_MS)).max(0.0)
        })
        .collect();
    let errors = past
        .measured()
        .filter(|(t, _)| start.since(*t) <= 2 * DAY_MS)
        .filter_map(|(t, v)| profile_at(past, t, zone).filter(|p| *p > 0.0).map(|p| (v - p) / p))
        .collect();
    let span = past.measured().next().map_or(0, |(first, _)| start.since(first).max(0) / DAY_MS);
    Forecast::with_errors(mean, errors, usize::try_from(span).unwrap_or(0))
}

/// The weighted mean at this time of day on earlier days of the same type, else of any type.
fn profile_at(past: &Series, at: Timestamp, zone: &TimeZone) -> Option<f64> {
    let wanted = DayType::of(at, zone);
    let days = (past.values.len() as i64 * past.step_ms / DAY_MS + 2).max(1);
    let weighted = |same_type: bool| {
        let (mut sum, mut weight) = (0.0, 0.0);
        for day in 1..=days {
            let earlier = Timestamp(at.0 - day * DAY_MS);
            if same_type && DayType::of(earlier, zone) != wanted {
                continue;
            }
            if let Some(value) = past.at(earlier) {
                let w = WEEKLY_WEIGHT.powf(day as f64 / 7.0);
                sum += w * value;
                weight += w;
            }
        }
        (weight > 0.0).then(|| sum / weight)
    };
    weighted(true).or_else(|| weighted(false)).or_else(|| past.measured().next_back().map(|(_, v)| v))
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::time::MINUTE_MS;

    const STEP: i64 = 15 * MINUTE_MS;

    fn zone() -> TimeZone {
        TimeZone::get("Asia/Shanghai").unwrap()
    }

    /// Two weeks from a Monday's local midnight: 100 kW on workdays, 40 at weekends, doubled from 08:00 to 18:00.
    fn two_weeks() -> Series {
        let start = Timestamp::parse("2026-06-01T00:00:00+08:00").unwrap();
        let values = (0..14 * 96)
            .map(|i| {
                let t = Timestamp(start.0 + i * STEP);
                let base = if DayType::of(t, &zone()) == DayType::Workday { 100.0 } else { 40.0 };
                let hour = t.local(&zone()).hour();
                Some(if (8..18).contains(&hour) { 2.0 * base } else { base })
            })
            .collect();
        Series { start, step_ms: STEP, values }
    }

    #[test]
    fn a_repeating_pattern_is_forecast_exactly_by_day_type() {
        let past = two_weeks();
        let monday = Timestamp::parse("2026-06-15T00:00:00+08:00").unwrap();
        let forecast = load_profile(&past, monday, 96, &zone());
        assert!(
            (forecast.mean[0] - 100.0).abs() < 61.0,
            "the weekend's deviation fades: {}",
            forecast.mean[0]
        );
        assert!((forecast.mean[40] - 200.0).abs() < 3.0, "{}", forecast.mean[40]);
        assert_eq!(forecast.basis_days, 14);
        let saturday = Timestamp::parse("2026-06-13T00:00:00+08:00").unwrap();
        let until_friday = Series { values: past.values[..12 * 96].to_vec(), ..past };
        let forecast = load_profile(&until_friday, saturday, 96, &zone());
        assert!((forecast.mean[50] - 80.0).abs() < 3.0, "{}", forecast.mean[50]);
    }

    #[test]
    fn what_is_measured_now_moves_the_next_hours_only() {
        let mut past = two_weeks();
        let n = past.values.len();
        past.values[n - 1] = Some(140.0);
        past.values[n - 2] = Some(140.0);
        let start = past.time(n);
        let forecast = load_profile(&past, start, 96, &zone());
        let plain = load_profile(&two_weeks(), start, 96, &zone());
        assert!(forecast.mean[0] - plain.mean[0] > 80.0);
        assert!((forecast.mean[95] - plain.mean[95]).abs() < 2.0);
        assert!(forecast.low[50] <= forecast.mean[50] && forecast.mean[50] <= forecast.high[50]);
    }

    #[test]
    fn without_history_it_says_so() {
        let empty = Series { start: Timestamp(0), step_ms: STEP, values: vec![None; 4] };
        let forecast = load_profile(&empty, Timestamp(4 * STEP), 8, &zone());
        assert_eq!((forecast.mean, forecast.basis_days), (vec![0.0; 8], 0));
    }
}
