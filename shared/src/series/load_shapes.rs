//! `load_shapes.csv`: how a kind of load runs through a year, a quarter of an hour at a time.

use super::{
    SeriesFile,
    calendar::WeekdayCalendar,
    table::{Problems, rows},
};
use crate::scene::Problem;
use jiff::civil::{Date, DateTime};
use std::collections::BTreeMap;

/// Load shapes by name.
///
/// The file has one line a day and shape with 96 values (the form of a 96-point load curve): `date,shape,00:00,00:15,…,23:45`,
/// in thousandths of the load's peak. A moment maps to the same weekday of the same week of the same month of the
/// measured year, and lies on the line between the values of its quarter of an hour and the next.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadShapes {
    shapes: BTreeMap<String, LoadShape>,
}

/// One shape; hold on to it instead of looking its name up for every value.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadShape {
    calendar: WeekdayCalendar,
    days: Vec<[f32; QUARTERS]>,
}

const QUARTERS: usize = 96;

impl LoadShapes {
    pub fn parse(file: &SeriesFile) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new(file);
        let quarters: Vec<String> =
            (0..QUARTERS).map(|q| format!("{:02}:{:02}", q / 4, q % 4 * 15)).collect();
        let columns: Vec<&str> =
            ["date", "shape"].into_iter().chain(quarters.iter().map(String::as_str)).collect();
        let mut days: BTreeMap<&str, BTreeMap<Date, [f32; QUARTERS]>> = BTreeMap::new();
        let rows = rows(file, &columns, &mut problems);
        for row in &rows {
            let Some(date) = row.time::<Date>(0, "date", &mut problems) else { continue };
            let mut values = [0.0; QUARTERS];
            for (quarter, value) in values.iter_mut().enumerate() {
                let column = quarter + 2;
                let read = row.number(column, columns[column], 0.0..=10_000.0, &mut problems);
                *value = (read.unwrap_or_default() / 1_000.0) as f32;
            }
            if days.entry(row.cell(1)).or_default().insert(date, values).is_some() {
                let message = format!("{date} of shape {:?} stands here a second time", row.cell(1));
                problems.push(Some(row.line), "date", message);
            }
        }
        let shapes: BTreeMap<String, LoadShape> = days
            .into_iter()
            .map(|(name, days)| {
                let calendar = WeekdayCalendar::new(days.keys().copied().zip(0..));
                (name.to_owned(), LoadShape { calendar, days: days.into_values().collect() })
            })
            .collect();
        for (name, shape) in &shapes {
            let missing = shape.calendar.missing_weekdays();
            if !missing.is_empty() {
                problems.push(None, name, format!("the shape has no {}", missing.join(", ")));
            }
        }
        problems.finish(Self { shapes })
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.shapes.keys().map(String::as_str)
    }

    pub fn shape(&self, name: &str) -> Option<&LoadShape> {
        self.shapes.get(name)
    }

    /// The share of its peak (0 to about 1) a load of this shape draws at a local wall-clock time; `None` for an
    /// unknown shape.
    pub fn value(&self, name: &str, local: DateTime) -> Option<f64> {
        self.shape(name).map(|shape| shape.at(local))
    }
}

impl LoadShape {
    /// The share of the load's peak at a local wall-clock time.
    pub fn at(&self, local: DateTime) -> f64 {
        let minute = f64::from(local.hour()) * 60.0
            + f64::from(local.minute())
            + f64::from(local.second()) / 60.0
            + f64::from(local.subsec_nanosecond()) / 60e9;
        let quarter = ((minute / 15.0) as usize).min(QUARTERS - 1);
        let fraction = minute / 15.0 - quarter as f64;
        let now = self.quarter(local.date(), quarter);
        let next = match quarter + 1 {
            QUARTERS => self.quarter(local.date().tomorrow().unwrap_or(local.date()), 0),
            next => self.quarter(local.date(), next),
        };
        now + (next - now) * fraction
    }

    fn quarter(&self, date: Date, quarter: usize) -> f64 {
        // A parsed shape has every weekday, so a day is always found.
        let day = self.calendar.find(date).and_then(|index| self.days.get(index));
        day.map_or(0.0, |values| f64::from(values[quarter]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{ToSpan, civil::date};

    fn header() -> String {
        let quarters: Vec<String> =
            (0..QUARTERS).map(|q| format!("{:02}:{:02}", q / 4, q % 4 * 15)).collect();
        format!("date,shape,{}\n", quarters.join(","))
    }

    /// Every value of a day is the day of its month, in thousandths, and the quarter of an hour a hundredth of that on top.
    fn year() -> SeriesFile {
        let mut text = header();
        for day in date(2016, 1, 1).series(1.day()).take(366) {
            let values: Vec<String> = (0..QUARTERS).map(|q| format!("{}.{q:02}", day.day())).collect();
            text += &format!("{day},line,{}\n", values.join(","));
        }
        SeriesFile { path: "series/load_shapes.csv".to_owned(), text }
    }

    fn thousandths(shapes: &LoadShapes, local: DateTime) -> f64 {
        shapes.value("line", local).unwrap() * 1_000.0
    }

    #[test]
    fn a_moment_maps_by_month_weekday_and_quarter_hour() {
        let shapes = LoadShapes::parse(&year()).unwrap();
        // Wednesday 8 July 2026 is the second Wednesday; July 2016's is the 13th.
        let at = date(2026, 7, 8).at(10, 30, 0, 0);
        assert!((thousandths(&shapes, at) - 13.42).abs() < 1e-4);
        // The quarter to midnight leads to the next day's first value (Thursday 9 July → 14 July 2016).
        let late = date(2026, 7, 8).at(23, 52, 30, 0);
        assert!((thousandths(&shapes, late) - (13.95 + 14.0) / 2.0).abs() < 1e-4);
        assert_eq!(shapes.value("none", at), None);
    }

    #[test]
    fn between_quarter_hours_the_value_is_on_the_line() {
        let shapes = LoadShapes::parse(&year()).unwrap();
        let at = date(2016, 5, 20).at(6, 5, 0, 0);
        assert!((thousandths(&shapes, at) - (20.24 + 0.01 / 3.0)).abs() < 1e-4);
    }

    #[test]
    fn problems_name_line_and_quarter_hour() {
        let day = |date: &str, value: &str| format!("{date},a,{}\n", vec![value; QUARTERS].join(","));
        let text = header()
            + &day("2016-13-01", "1")
            + &day("2016-01-02", "1")
            + &day("2016-01-02", "1")
            + &day("2016-01-03", "-1");
        let file = SeriesFile { path: "series/load_shapes.csv".to_owned(), text };
        let problems = LoadShapes::parse(&file).unwrap_err();
        let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(shown[0], "series/load_shapes.csv:2: date: \"2016-13-01\" is not a date or local time");
        assert_eq!(
            shown[1],
            "series/load_shapes.csv:4: date: 2016-01-02 of shape \"a\" stands here a second time"
        );
        assert_eq!(shown[2], "series/load_shapes.csv:5: 00:00: -1 is not within 0…10000");
        assert!(shown.last().unwrap().ends_with("and 79 more problems"), "{shown:?}");
    }
}
