//! Steps on the park's own clock: seconds to hours counted anew from each midnight, calendar days, weeks, months and years.
//!
//! A day is what its people call a day: 23 or 25 hours long where the clocks change. Hours and less have the length they say, but
//! for the last one before midnight where they do not fill the day.

use history::{HistoryError, Steps};
use jiff::{ToSpan, Zoned, civil::Date, tz::TimeZone};
use shared::time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Timestamp};
use std::{fmt, ops::Range, str::FromStr};

/// How long a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Milliseconds, at most a day's.
    Time(i64),
    /// Calendar days; of seven each begins on a Monday.
    Days(i32),
    /// Calendar months; of three each begins with a quarter, of twelve with a year.
    Months(i32),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "step {0:?} is no step: write a whole number and s, m, h, d, w, mo or y, such as 30s, 15m, 1h, 1d, 1mo; \
     at most 24h, 3660d, 1200mo"
)]
pub(crate) struct InvalidStep(String);

const DAYS_MAX: i32 = 3_660;
const MONTHS_MAX: i32 = 1_200;

impl FromStr for Step {
    type Err = InvalidStep;

    /// A bare number counts seconds, as elsewhere in the API.
    fn from_str(text: &str) -> Result<Step, InvalidStep> {
        let invalid = || InvalidStep(text.chars().take(64).collect());
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (count, unit) = text.split_at(digits);
        let count: i32 = count.parse().map_err(|_| invalid())?;
        let time = |unit_ms: i64| Step::Time(i64::from(count) * unit_ms);
        let step = match unit {
            "" | "s" => time(SECOND_MS),
            "m" | "min" => time(MINUTE_MS),
            "h" => time(HOUR_MS),
            "d" => Step::Days(count),
            "w" => Step::Days(count.checked_mul(7).ok_or_else(invalid)?),
            "mo" => Step::Months(count),
            "y" => Step::Months(count.checked_mul(12).ok_or_else(invalid)?),
            _ => return Err(invalid()),
        };
        let fits = match step {
            Step::Time(ms) => (1..=DAY_MS).contains(&ms),
            Step::Days(days) => (1..=DAYS_MAX).contains(&days),
            Step::Months(months) => (1..=MONTHS_MAX).contains(&months),
        };
        if fits { Ok(step) } else { Err(invalid()) }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Time(ms) if ms % HOUR_MS == 0 => write!(f, "{}h", ms / HOUR_MS),
            Step::Time(ms) if ms % MINUTE_MS == 0 => write!(f, "{}m", ms / MINUTE_MS),
            Step::Time(ms) => write!(f, "{}s", ms / SECOND_MS),
            Step::Days(days) => write!(f, "{days}d"),
            Step::Months(months) => write!(f, "{months}mo"),
        }
    }
}

impl Step {
    /// The length of the longest.
    pub(crate) fn longest_ms(self) -> i64 {
        match self {
            Step::Time(ms) => ms,
            Step::Days(days) => i64::from(days) * DAY_MS + HOUR_MS,
            Step::Months(months) => i64::from(months) * 31 * DAY_MS + HOUR_MS,
        }
    }
}

/// Says where steps begin.
#[derive(Debug, Clone)]
pub(crate) struct StepClock {
    step: Step,
    zone: TimeZone,
    /// The day looked at last: most questions are about the same one.
    day: Range<Timestamp>,
}

impl StepClock {
    pub(crate) fn new(step: Step, zone: TimeZone) -> StepClock {
        StepClock { step, zone, day: Timestamp(0)..Timestamp(0) }
    }

    /// Where the step begins that holds `t`.
    pub(crate) fn floor(&mut self, t: Timestamp) -> Timestamp {
        match self.step {
            Step::Time(ms) => {
                let day = self.day_of(t).start;
                Timestamp(t.0 - t.since(day).max(0) % ms)
            }
            Step::Days(days) => {
                let date = self.date_of(t);
                let number = days_since_a_monday(date);
                self.midnight(shifted(date, -number.rem_euclid(i64::from(days))))
            }
            Step::Months(months) => {
                let first = self.date_of(t).first_of_month();
                let number = i32::from(first.year()) * 12 + i32::from(first.month()) - 1;
                self.midnight(first.saturating_sub(number.rem_euclid(months).months()))
            }
        }
    }

    /// Where the step after the one that begins at `start` begins.
    pub(crate) fn next(&mut self, start: Timestamp) -> Timestamp {
        let next = match self.step {
            Step::Time(ms) => Timestamp(start.0.saturating_add(ms)).min(self.day_of(start).end),
            Step::Days(days) => {
                let date = self.date_of(start);
                self.midnight(shifted(date, i64::from(days)))
            }
            Step::Months(months) => {
                let first = self.date_of(start).first_of_month();
                self.midnight(first.saturating_add(months.months()))
            }
        };
        // At the end of the calendar nothing is next; time goes on all the same.
        next.max(Timestamp(start.0.saturating_add(1)))
    }

    /// At most `most` steps from the one beginning at `start` on, the last one ending at `to` at the latest: where each begins, and
    /// the end.
    pub(crate) fn edges(&mut self, start: Timestamp, to: Timestamp, most: usize) -> Vec<Timestamp> {
        let mut edges = vec![start];
        let mut at = start;
        while at < to && edges.len() <= most {
            at = self.next(at).min(to);
            edges.push(at);
        }
        edges
    }

    fn date_of(&self, t: Timestamp) -> Date {
        t.local(&self.zone).date()
    }

    fn day_of(&mut self, t: Timestamp) -> Range<Timestamp> {
        if !self.day.contains(&t) {
            let start = t.start_of_day(&self.zone);
            let tomorrow = self.midnight(shifted(self.date_of(t), 1));
            let end = if tomorrow > start { tomorrow } else { Timestamp(start.0.saturating_add(DAY_MS)) };
            self.day = start..end;
        }
        self.day.clone()
    }

    /// The first instant of a day.
    fn midnight(&self, date: Date) -> Timestamp {
        let zoned: Option<Zoned> = date.to_zoned(self.zone.clone()).ok();
        zoned.map_or(Timestamp(i64::MAX), |z| Timestamp(z.timestamp().as_millisecond()))
    }
}

fn shifted(date: Date, days: i64) -> Date {
    date.saturating_add(days.days())
}

/// 5 January 1970 was one.
fn days_since_a_monday(date: Date) -> i64 {
    let since = jiff::civil::date(1970, 1, 5).until(date).map(|span| i64::from(span.get_days()));
    since.unwrap_or(0)
}

/// The steps between edges; told as even ones where they are, which are answered sooner.
pub(crate) fn steps_between(edges: Vec<Timestamp>) -> Result<Steps, HistoryError> {
    if let [first, second, .., last] = edges[..] {
        let step_ms = second.since(first);
        let whole = &edges[..edges.len() - 1];
        let even = whole.windows(2).all(|pair| pair[1].since(pair[0]) == step_ms);
        if even && last.since(whole[whole.len() - 1]) <= step_ms {
            return Steps::even(first, last, step_ms);
        }
    }
    Steps::between(edges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn clock(step: &str, name: &str) -> StepClock {
        StepClock::new(step.parse().unwrap(), zone(name))
    }

    #[test]
    fn steps_are_written_with_their_unit() {
        for (text, step) in [
            ("30s", Step::Time(30_000)),
            ("90", Step::Time(90_000)),
            ("15m", Step::Time(900_000)),
            ("15min", Step::Time(900_000)),
            ("24h", Step::Time(86_400_000)),
            ("1d", Step::Days(1)),
            ("2w", Step::Days(14)),
            ("3mo", Step::Months(3)),
            ("1y", Step::Months(12)),
        ] {
            assert_eq!(text.parse(), Ok(step), "{text}");
            assert_eq!(step.to_string().parse(), Ok(step), "{text}");
        }
        for text in ["", "m", "0m", "-1h", "1.5h", "1M", "25h", "99999999999s", "2000mo", "999999999w", "1 h"]
        {
            assert!(text.parse::<Step>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_shanghai_day_and_month_begin_at_16_00_utc() {
        let t = at("2026-06-15T17:30:00Z");
        for (step, start, next) in [
            ("15m", "2026-06-15T17:30:00Z", "2026-06-15T17:45:00Z"),
            ("7h", "2026-06-15T16:00:00Z", "2026-06-15T23:00:00Z"),
            ("1d", "2026-06-15T16:00:00Z", "2026-06-16T16:00:00Z"),
            ("1w", "2026-06-14T16:00:00Z", "2026-06-21T16:00:00Z"),
            ("1mo", "2026-05-31T16:00:00Z", "2026-06-30T16:00:00Z"),
            ("3mo", "2026-03-31T16:00:00Z", "2026-06-30T16:00:00Z"),
            ("1y", "2025-12-31T16:00:00Z", "2026-12-31T16:00:00Z"),
        ] {
            let mut clock = clock(step, "Asia/Shanghai");
            let floor = clock.floor(t);
            assert_eq!((floor, clock.next(floor)), (at(start), at(next)), "{step}");
        }
    }

    #[test]
    fn days_are_as_long_as_the_clocks_make_them() {
        // 29 March 2026 has 23 hours in Berlin, 25 October has 25.
        let spring =
            clock("1d", "Europe/Berlin").edges(at("2026-03-27T23:00:00Z"), at("2026-03-30T22:00:00Z"), 9);
        let lengths: Vec<i64> = spring.windows(2).map(|w| w[1].since(w[0]) / HOUR_MS).collect();
        assert_eq!(lengths, [24, 23, 24]);
        let mut hours = clock("1h", "Europe/Berlin");
        let autumn = hours.edges(at("2026-10-24T22:00:00Z"), at("2026-10-25T23:00:00Z"), 99);
        assert_eq!(autumn.len() - 1, 25);
        assert!(autumn.windows(2).all(|w| w[1].since(w[0]) == HOUR_MS));
        let mut sixths = clock("6h", "Europe/Berlin");
        let short = sixths.edges(at("2026-03-28T23:00:00Z"), at("2026-03-29T22:00:00Z"), 99);
        let lengths: Vec<i64> = short.windows(2).map(|w| w[1].since(w[0]) / HOUR_MS).collect();
        assert_eq!(lengths, [6, 6, 6, 5]);
        // The clocks of Havana go on at midnight: 8 March 2026 begins at one.
        let day = clock("1d", "America/Havana").floor(at("2026-03-08T12:00:00Z"));
        assert_eq!(day, at("2026-03-08T05:00:00Z"));
    }

    #[test]
    fn months_over_a_change_of_clocks_begin_at_midnight() {
        let edges =
            clock("1mo", "Europe/Berlin").edges(at("2026-02-28T23:00:00Z"), at("2026-05-01T00:00:00Z"), 9);
        let expected =
            ["2026-02-28T23:00:00Z", "2026-03-31T22:00:00Z", "2026-04-30T22:00:00Z", "2026-05-01T00:00:00Z"];
        assert_eq!(edges, expected.map(at));
    }

    #[test]
    fn even_edges_are_told_as_even_steps() {
        let steps = |edges: &[i64]| steps_between(edges.iter().map(|t| Timestamp(*t)).collect()).unwrap();
        assert_eq!(steps(&[0, 10, 20, 25]), Steps::even(Timestamp(0), Timestamp(25), 10).unwrap());
        let uneven = [Timestamp(0), Timestamp(10), Timestamp(19), Timestamp(29)];
        assert_eq!(steps(&[0, 10, 19, 29]), Steps::between(uneven).unwrap());
        let one = [Timestamp(0), Timestamp(10)];
        assert_eq!(steps(&[0, 10]), Steps::between(one).unwrap());
        assert_eq!(
            steps(&[0, 10, 25]),
            Steps::between([Timestamp(0), Timestamp(10), Timestamp(25)]).unwrap()
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn every_instant_lies_in_the_step_it_is_floored_to(
            t in 0i64..4_000_000_000_000,
            step in prop::sample::select(vec!["7s", "1m", "15m", "1h", "7h", "24h", "1d", "10d", "1w", "1mo", "5mo", "1y"]),
            name in prop::sample::select(vec![
                "Asia/Shanghai", "Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Cairo",
            ]),
        ) {
            let mut clock = clock(step, name);
            let start = clock.floor(Timestamp(t));
            let next = clock.next(start);
            prop_assert!(start.0 <= t && t < next.0, "{start} {next}");
            prop_assert_eq!(clock.floor(start), start);
            prop_assert_eq!(clock.floor(next), next);
            prop_assert_eq!(clock.floor(Timestamp(next.0 - 1)), start);
        }
    }
}
