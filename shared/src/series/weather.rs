//! `weather.csv`: a typical meteorological year, hour by hour.

use super::{
    SeriesFile,
    table::{Problems, rows},
};
use crate::scene::Problem;
use jiff::civil::DateTime;

/// The weather at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WeatherSample {
    /// Irradiance on a horizontal plane, W/m².
    pub ghi_w_m2: f64,
    /// Direct irradiance on a plane facing the sun, W/m².
    pub dni_w_m2: f64,
    /// Diffuse irradiance on a horizontal plane, W/m².
    pub dhi_w_m2: f64,
    pub temperature_c: f64,
    /// At 10 m above ground.
    pub wind_m_s: f64,
    /// Degrees clockwise from north the wind comes from.
    pub wind_direction_deg: f64,
    pub relative_humidity_pct: f64,
    pub pressure_hpa: f64,
}

/// 8,760 hourly means.
///
/// A row's time `MM-DDTHH` is the start of its hour, local standard time, in a year of 365 days. A moment lies between
/// the middles of two hours and gets the value on the line between their means; the year closes on itself; 29 February
/// is 28 February again. Around sunrise and sunset that line is above zero while the sun is not yet up: who turns
/// irradiance into power multiplies with whether the sun is.
#[derive(Debug, Clone, PartialEq)]
pub struct WeatherYear {
    hours: Vec<WeatherSample>,
}

const HOURS: usize = 8_760;

const COLUMNS: [&str; 9] = [
    "time",
    "ghi_w_m2",
    "dni_w_m2",
    "dhi_w_m2",
    "temperature_c",
    "wind_m_s",
    "wind_direction_deg",
    "relative_humidity_pct",
    "pressure_hpa",
];

impl WeatherYear {
    pub fn parse(file: &SeriesFile) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new(file);
        let mut hours = Vec::with_capacity(HOURS);
        let rows = rows(file, &COLUMNS, &mut problems);
        for (index, row) in rows.iter().enumerate() {
            let expected = hour_label(index);
            if row.cell(0) != expected {
                let message = format!("expected the hour {expected}, got {:?}", row.cell(0));
                problems.push(Some(row.line), "time", message);
                // One shifted row would make every later one a problem.
                return problems.finish(Self { hours });
            }
            let mut number = |column: usize, range| {
                row.number(column, COLUMNS[column], range, &mut problems).unwrap_or_default()
            };
            hours.push(WeatherSample {
                ghi_w_m2: number(1, 0.0..=1_500.0),
                dni_w_m2: number(2, 0.0..=1_500.0),
                dhi_w_m2: number(3, 0.0..=1_500.0),
                temperature_c: number(4, -70.0..=60.0),
                wind_m_s: number(5, 0.0..=80.0),
                wind_direction_deg: number(6, 0.0..=360.0),
                relative_humidity_pct: number(7, 0.0..=100.0),
                pressure_hpa: number(8, 500.0..=1_100.0),
            });
        }
        if !rows.is_empty() && hours.len() != HOURS {
            problems.push(None, "time", format!("{} hours instead of {HOURS}", hours.len()));
        }
        problems.finish(Self { hours })
    }

    /// The weather at a local wall-clock time.
    pub fn at(&self, local: DateTime) -> WeatherSample {
        // None on 29 February.
        let day = local.date().day_of_year_no_leap().unwrap_or(59);
        let minute_of_hour = f64::from(local.minute())
            + f64::from(local.second()) / 60.0
            + f64::from(local.subsec_nanosecond()) / 60e9;
        // From the middle of the year's first hour.
        let hours = f64::from(day - 1) * 24.0 + f64::from(local.hour()) + minute_of_hour / 60.0 - 0.5;
        let fraction = hours - hours.floor();
        let before = (hours.floor() + HOURS as f64) as usize % HOURS;
        let (a, b) = (&self.hours[before], &self.hours[(before + 1) % HOURS]);
        let mix = |a: f64, b: f64| a + (b - a) * fraction;
        // The short way round the compass.
        let turn = (b.wind_direction_deg - a.wind_direction_deg + 540.0).rem_euclid(360.0) - 180.0;
        WeatherSample {
            ghi_w_m2: mix(a.ghi_w_m2, b.ghi_w_m2),
            dni_w_m2: mix(a.dni_w_m2, b.dni_w_m2),
            dhi_w_m2: mix(a.dhi_w_m2, b.dhi_w_m2),
            temperature_c: mix(a.temperature_c, b.temperature_c),
            wind_m_s: mix(a.wind_m_s, b.wind_m_s),
            wind_direction_deg: (a.wind_direction_deg + turn * fraction).rem_euclid(360.0),
            relative_humidity_pct: mix(a.relative_humidity_pct, b.relative_humidity_pct),
            pressure_hpa: mix(a.pressure_hpa, b.pressure_hpa),
        }
    }
}

/// `MM-DDTHH` of the hour `index` of a year of 365 days.
fn hour_label(index: usize) -> String {
    const DAYS: [usize; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let (mut day, hour) = (index / 24, index % 24);
    let mut month = 0;
    while month < 11 && day >= DAYS[month] {
        day -= DAYS[month];
        month += 1;
    }
    format!("{:02}-{:02}T{hour:02}", month + 1, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn file(row: impl Fn(usize) -> String) -> SeriesFile {
        let mut text = format!("# made for a test\n{}\n", COLUMNS.join(","));
        for hour in 0..HOURS {
            text += &row(hour);
            text.push('\n');
        }
        SeriesFile { path: "series/weather.csv".to_owned(), text }
    }

    /// Temperature counts hours of the day; the wind turns through north between hours 5 and 6.
    fn ramp() -> WeatherYear {
        WeatherYear::parse(&file(|hour| {
            let (label, of_day) = (hour_label(hour), hour % 24);
            let direction = if of_day <= 5 { 350 } else { 10 };
            format!("{label},{of_day},0,0,{of_day},2.5,{direction},50,1013")
        }))
        .unwrap()
    }

    #[test]
    fn an_hours_mean_stands_in_the_middle_of_the_hour() {
        let weather = ramp();
        for (hour, minute, expected) in [(10, 30, 10.0), (10, 45, 10.25), (11, 0, 10.5), (10, 0, 9.5)] {
            let sample = weather.at(date(2026, 7, 1).at(hour, minute, 0, 0));
            assert!((sample.temperature_c - expected).abs() < 1e-9, "{hour}:{minute} {sample:?}");
        }
    }

    #[test]
    fn the_year_closes_on_itself() {
        let weather = ramp();
        // Halfway between hour 23 of 31 December and hour 0 of 1 January.
        for midnight in [date(2026, 1, 1).at(0, 0, 0, 0), date(2027, 1, 1).at(0, 0, 0, 0)] {
            assert!((weather.at(midnight).temperature_c - 11.5).abs() < 1e-9);
        }
        assert!((weather.at(date(2026, 12, 31).at(23, 45, 0, 0)).temperature_c - 17.25).abs() < 1e-9);
    }

    #[test]
    fn a_leap_day_is_the_day_before_again() {
        let weather = ramp();
        let (leap, before) = (date(2028, 2, 29), date(2028, 2, 28));
        for hour in 0..24 {
            assert_eq!(weather.at(leap.at(hour, 15, 0, 0)), weather.at(before.at(hour, 15, 0, 0)));
        }
    }

    #[test]
    fn the_wind_turns_the_short_way_through_north() {
        let sample = ramp().at(date(2026, 3, 3).at(6, 0, 0, 0));
        assert!(sample.wind_direction_deg.abs() < 1e-9, "{sample:?}");
    }

    #[test]
    fn problems_name_line_and_column() {
        let broken = file(|hour| {
            let label = hour_label(hour);
            match hour {
                3 => format!("{label},x,0,0,10,2.5,0,50,1013"),
                4 => format!("{label},0,0,0,-120,2.5,0,50,NaN"),
                5 => format!("{label},0,0"),
                _ => format!("{label},0,0,0,10,2.5,0,50,1013"),
            }
        });
        let problems: Vec<String> =
            WeatherYear::parse(&broken).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "series/weather.csv:8: 3 cells under 9 columns",
                "series/weather.csv:6: ghi_w_m2: \"x\" is not a number",
                "series/weather.csv:7: temperature_c: -120 is not within -70…60",
                "series/weather.csv:7: pressure_hpa: NaN is not within 500…1100",
                "series/weather.csv:9: time: expected the hour 01-01T05, got \"01-01T06\"",
            ]
        );
    }
}
