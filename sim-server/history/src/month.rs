//! A calendar month (UTC): the unit of storage that retention drops as a whole. A block lies in the month of its points.

use shared::time::Timestamp;
use std::{fmt, str::FromStr};

/// Months since January of year 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Month(pub i32);

impl Month {
    pub(crate) fn of(t: Timestamp) -> Month {
        let date = t.to_jiff().to_zoned(jiff::tz::TimeZone::UTC).date();
        Month(i32::from(date.year()) * 12 + i32::from(date.month()) - 1)
    }

    pub(crate) fn start(self) -> Timestamp {
        let (year, month) = (self.0.div_euclid(12), self.0.rem_euclid(12) + 1);
        let date = i16::try_from(year)
            .ok()
            .zip(i8::try_from(month).ok())
            .and_then(|(year, month)| jiff::civil::Date::new(year, month, 1).ok())
            .unwrap_or(if year < 0 { jiff::civil::Date::MIN } else { jiff::civil::Date::MAX });
        date.to_zoned(jiff::tz::TimeZone::UTC)
            .map_or(Timestamp(i64::MAX), |z| Timestamp(z.timestamp().as_millisecond()))
    }

    /// The first instant after it.
    pub(crate) fn end(self) -> Timestamp {
        Month(self.0 + 1).start()
    }
}

/// `2026-07`
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.0.div_euclid(12), self.0.rem_euclid(12) + 1)
    }
}

impl FromStr for Month {
    type Err = ();
    fn from_str(text: &str) -> Result<Month, ()> {
        let (year, month) = text.split_once('-').ok_or(())?;
        let (year, month): (i32, i32) = (year.parse().map_err(|_| ())?, month.parse().map_err(|_| ())?);
        let parsed = Month(year * 12 + month - 1);
        if parsed.to_string() == text { Ok(parsed) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_holds_its_instants_and_round_trips() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2024-02-29T23:59:59.999Z",
            "2026-12-31T23:59:59Z",
            "2027-01-01T00:00:00Z",
        ] {
            let t = Timestamp::parse(text).unwrap();
            let month = Month::of(t);
            assert!(month.start() <= t && t < month.end(), "{text}");
            assert_eq!(month.to_string(), text[..7]);
            assert_eq!(month.to_string().parse(), Ok(month));
        }
        for bad in ["2026-13", "2026-00", "2026-7", "26-07", "2026-07.db"] {
            assert_eq!(bad.parse::<Month>(), Err(()), "{bad}");
        }
    }
}
