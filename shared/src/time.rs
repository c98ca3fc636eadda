//! Instants as Unix milliseconds, and the park's local calendar.

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    ops::{Add, Sub},
    time::Duration,
};

/// An instant: Unix milliseconds UTC, on the wire and at rest.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

pub const SECOND_MS: i64 = 1_000;
pub const MINUTE_MS: i64 = 60 * SECOND_MS;
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
pub const DAY_MS: i64 = 24 * HOUR_MS;

impl Timestamp {
    pub fn millis(self) -> i64 {
        self.0
    }

    /// Milliseconds from `earlier` to `self`; negative when `self` is before it.
    pub fn since(self, earlier: Timestamp) -> i64 {
        self.0 - earlier.0
    }

    /// The start of the step of `step_ms` this instant lies in, counted from the Unix epoch.
    pub fn floor_to(self, step_ms: i64) -> Timestamp {
        Timestamp(self.0.div_euclid(step_ms) * step_ms)
    }

    /// Parses RFC 3339 or a whole number of Unix milliseconds.
    pub fn parse(text: &str) -> Result<Timestamp, InvalidTime> {
        if let Ok(ms) = text.parse::<i64>() {
            return Ok(Timestamp(ms));
        }
        text.parse::<jiff::Timestamp>()
            .map(|t| Timestamp(t.as_millisecond()))
            .map_err(|_| InvalidTime(text.chars().take(64).collect()))
    }

    /// The wall clock in `zone`. Instants outside years −9999…9999 saturate.
    pub fn local(self, zone: &TimeZone) -> jiff::civil::DateTime {
        self.to_jiff().to_zoned(zone.clone()).datetime()
    }

    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(if self.0 < 0 {
            jiff::Timestamp::MIN
        } else {
            jiff::Timestamp::MAX
        })
    }

    /// Midnight at the start of this instant's day in `zone`: the day energy totals run over.
    pub fn start_of_day(self, zone: &TimeZone) -> Timestamp {
        let zoned = self.to_jiff().to_zoned(zone.clone());
        zoned.start_of_day().map(|z| Timestamp(z.timestamp().as_millisecond())).unwrap_or(self)
    }

    /// Start of this instant's calendar month in `zone`: demand charges run over it.
    pub fn start_of_month(self, zone: &TimeZone) -> Timestamp {
        let zoned = self.to_jiff().to_zoned(zone.clone());
        zoned
            .first_of_month()
            .and_then(|z| z.start_of_day())
            .map(|z| Timestamp(z.timestamp().as_millisecond()))
            .unwrap_or(self)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Timestamp;
    fn add(self, d: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }
}
impl Sub<Duration> for Timestamp {
    type Output = Timestamp;
    fn sub(self, d: Duration) -> Timestamp {
        Timestamp(self.0.saturating_sub(i64::try_from(d.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_jiff())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither RFC 3339 nor Unix milliseconds")]
pub struct InvalidTime(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shanghai_day_starts_at_16_00_utc() {
        let zone = TimeZone::get("Asia/Shanghai").unwrap();
        let t = Timestamp::parse("2026-06-15T17:30:00Z").unwrap();
        assert_eq!(t.start_of_day(&zone), Timestamp::parse("2026-06-15T16:00:00Z").unwrap());
        assert_eq!(t.start_of_month(&zone), Timestamp::parse("2026-05-31T16:00:00Z").unwrap());
    }

    #[test]
    fn times_are_rfc_3339_or_milliseconds() {
        assert_eq!(Timestamp::parse("1000"), Ok(Timestamp(1000)));
        assert_eq!(Timestamp::parse("1970-01-01T08:00:01+08:00"), Ok(Timestamp(1000)));
        assert!(Timestamp::parse("yesterday").is_err());
    }
}
