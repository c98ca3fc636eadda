//! Finds the day of a measured year most like a day of any year.

use jiff::civil::{Date, Weekday};

/// Days of a series by month, weekday and which of that weekday it is in its month.
///
/// The second Tuesday of any March maps to the second Tuesday of the series' March, so weekdays stay weekdays and
/// the season stays the season. Months have four or five of a weekday; a fifth that the series lacks maps to the
/// fourth.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct WeekdayCalendar {
    /// `[month − 1][Monday = 0][occurrence]` → index of the day in the series.
    days: Vec<[[Option<u32>; 5]; 7]>,
}

/// Which of its weekday in its month a date is, from 0.
fn occurrence(date: Date) -> usize {
    (usize::from(date.day().unsigned_abs()) - 1) / 7
}

fn weekday(date: Date) -> usize {
    usize::from(date.weekday().to_monday_zero_offset().unsigned_abs())
}

fn month(date: Date) -> usize {
    usize::from(date.month().unsigned_abs()) - 1
}

impl WeekdayCalendar {
    /// Takes the series' days with their index. Of two days for one place the later wins.
    pub(super) fn new(dates: impl Iterator<Item = (Date, u32)>) -> Self {
        let mut days = vec![[[None; 5]; 7]; 12];
        for (date, index) in dates {
            days[month(date)][weekday(date)][occurrence(date)] = Some(index);
        }
        Self { days }
    }

    /// The index of the day most like `date`: same weekday, same month, same or nearest earlier week of the month;
    /// where the series lacks the month, the same weekday of the nearest month. `None` when the series has no such weekday.
    pub(super) fn find(&self, date: Date) -> Option<usize> {
        let (month, weekday, occurrence) = (month(date), weekday(date), occurrence(date));
        (0..12)
            .find_map(|distance| {
                // 0, then one month back, one ahead, two back …
                let step = usize::div_ceil(distance, 2);
                let at = if distance % 2 == 1 { month + 12 - step } else { month + step } % 12;
                let weeks = &self.days[at][weekday];
                let earlier = weeks[..=occurrence].iter().rev();
                earlier.chain(&weeks[occurrence + 1..]).find_map(|day| *day)
            })
            .map(|index| index as usize)
    }

    /// The weekdays of which the series has no day at all.
    pub(super) fn missing_weekdays(&self) -> Vec<&'static str> {
        Weekday::Monday
            .cycle_forward()
            .take(7)
            .enumerate()
            .filter(|(at, _)| self.days.iter().all(|month| month[*at].iter().all(Option::is_none)))
            .map(|(_, weekday)| name(weekday))
            .collect()
    }
}

fn name(weekday: Weekday) -> &'static str {
    match weekday {
        Weekday::Monday => "Monday",
        Weekday::Tuesday => "Tuesday",
        Weekday::Wednesday => "Wednesday",
        Weekday::Thursday => "Thursday",
        Weekday::Friday => "Friday",
        Weekday::Saturday => "Saturday",
        Weekday::Sunday => "Sunday",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{ToSpan, civil::date};

    fn year(of: i16) -> (WeekdayCalendar, Vec<Date>) {
        let dates: Vec<Date> = date(of, 1, 1).series(1.day()).take_while(|day| day.year() == of).collect();
        let calendar = WeekdayCalendar::new(dates.iter().copied().zip(0..));
        (calendar, dates)
    }

    #[test]
    fn every_day_of_any_year_maps_to_its_month_and_weekday() {
        let (calendar, source) = year(2016);
        for day in date(2024, 1, 1).series(1.day()).take_while(|day| day.year() < 2029) {
            let found = source[calendar.find(day).unwrap()];
            assert_eq!((found.month(), found.weekday()), (day.month(), day.weekday()), "{day}");
            assert!(occurrence(day) - occurrence(found) <= 1, "{day} → {found}");
        }
    }

    #[test]
    fn a_year_maps_to_itself() {
        let (calendar, source) = year(2016);
        for (index, day) in source.iter().enumerate() {
            assert_eq!(calendar.find(*day), Some(index), "{day}");
        }
    }

    #[test]
    fn a_fifth_weekday_the_series_lacks_is_its_fourth() {
        let (calendar, source) = year(2016);
        // 31 March 2026 is a fifth Tuesday; March 2016 has five (1st to 29th), April 2026 has four.
        assert_eq!(source[calendar.find(date(2026, 3, 31)).unwrap()], date(2016, 3, 29));
        // 29 April 2026 is a fifth Wednesday; April 2016 has four.
        assert_eq!(source[calendar.find(date(2026, 4, 29)).unwrap()], date(2016, 4, 27));
    }

    #[test]
    fn a_short_series_serves_the_whole_year_and_lacking_weekdays_are_named() {
        let week = date(2019, 5, 6).series(1.day()).take(7);
        let calendar = WeekdayCalendar::new(week.zip(0..));
        assert_eq!(calendar.find(date(2026, 12, 30)), Some(2));
        assert!(calendar.missing_weekdays().is_empty());
        let monday = WeekdayCalendar::new([(date(2019, 5, 6), 0)].into_iter());
        assert_eq!(monday.missing_weekdays().len(), 6);
    }
}
