//! The park's days: from one local midnight to the next.

use jiff::{civil::Date, tz::TimeZone};
use shared::time::{DAY_MS, MINUTE_MS, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Day {
    pub date: Date,
    pub from: Timestamp,
    /// The first instant of the next one.
    pub to: Timestamp,
}

impl Day {
    fn of(date: Date, zone: &TimeZone) -> Option<Day> {
        let from = date.to_zoned(zone.clone()).ok()?;
        let to = date.tomorrow().ok()?.to_zoned(zone.clone()).ok()?;
        let ms = |zoned: &jiff::Zoned| Timestamp(zoned.timestamp().as_millisecond());
        Some(Day { date, from: ms(&from), to: ms(&to) })
    }

    /// Where its file lies, the way tools that know Hive's partitions expect it.
    pub(crate) fn path(&self) -> String {
        let date = self.date;
        let (year, month, day) = (date.year(), date.month(), date.day());
        format!("year={year:04}/month={month:02}/day={day:02}/telemetry.parquet")
    }
}

/// The days that hold instants from `oldest` to `newest`, are over at `now`, and lie between the dates asked for.
pub(crate) fn days(
    zone: &TimeZone,
    (oldest, newest): (Timestamp, Timestamp),
    now: Timestamp,
    (first, last): (Option<Date>, Option<Date>),
) -> Vec<Day> {
    let date_of = |t: Timestamp| t.local(zone).date();
    let begin = first.map_or(date_of(oldest), |d| d.max(date_of(oldest)));
    let end = last.map_or(date_of(newest), |d| d.min(date_of(newest)));
    begin
        .series(jiff::ToSpan::days(1))
        .take_while(|date| *date <= end)
        .filter_map(|date| Day::of(date, zone))
        .take_while(|day| day.to <= now)
        .collect()
}

/// A step that every day is whole multiples of: a day, unless clocks were changed meanwhile.
pub(crate) fn common_step_ms(days: &[Day]) -> i64 {
    let is_even = days.iter().all(|day| day.to.since(day.from) == DAY_MS);
    if is_even { DAY_MS } else { 15 * MINUTE_MS }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_day_is_the_parks_own_and_over_before_it_counts() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let range = (at("2026-11-23T20:00:00Z"), at("2026-11-26T01:00:00Z"));
        let all = days(&zone, range, at("2026-11-25T16:00:00Z"), (None, None));
        let dates: Vec<String> = all.iter().map(|d| d.date.to_string()).collect();
        assert_eq!(dates, ["2026-11-24", "2026-11-25"]);
        assert_eq!((all[0].from, all[0].to), (at("2026-11-23T16:00:00Z"), at("2026-11-24T16:00:00Z")));
        assert_eq!(all[0].path(), "year=2026/month=11/day=24/telemetry.parquet");
        assert_eq!(common_step_ms(&all), DAY_MS);
        let asked = (Some(jiff::civil::date(2026, 11, 25)), Some(jiff::civil::date(2026, 11, 30)));
        assert_eq!(days(&zone, range, at("2026-12-01T00:00:00Z"), asked).len(), 2);
    }

    #[test]
    fn the_days_clocks_are_changed_on_have_23_and_25_hours() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let all = days(
            &zone,
            (at("2026-03-27T12:00:00Z"), at("2026-10-27T12:00:00Z")),
            at("2027-01-01T00:00:00Z"),
            (None, None),
        );
        let hours = |date: &str| {
            let day = all.iter().find(|d| d.date.to_string() == date).unwrap();
            day.to.since(day.from) / shared::time::HOUR_MS
        };
        assert_eq!((hours("2026-03-29"), hours("2026-10-25"), hours("2026-07-01")), (23, 25, 24));
        assert!(all.iter().all(|d| d.to.since(d.from) % common_step_ms(&all) == 0));
        assert!(all.windows(2).all(|w| w[0].to == w[1].from));
    }
}
