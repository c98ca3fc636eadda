//! `market.csv`: an hourly power market with its emissions and a heat demand.

use super::{
    SeriesFile,
    calendar::WeekdayCalendar,
    table::{Problems, rows},
};
use crate::scene::Problem;
use jiff::civil::{Date, DateTime};
use std::collections::BTreeMap;

/// One hour of the market.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct MarketSample {
    /// In the currency of the market the series comes from, not the park's.
    pub spot_price_eur_per_mwh: f64,
    /// Of the grid in that hour.
    pub emission_factor_kg_per_kwh: f64,
    /// Heat demand as a share of the year's highest, 0 to 1.
    pub heat_demand: f64,
}

/// An hour as multiples of the year's mean: what a park without hourly records of its own borrows from the series,
/// since another market's level says nothing about its own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarketShape {
    pub price: f64,
    pub emission_factor: f64,
}

/// A year of hours.
///
/// Columns: `time,spot_price_eur_per_mwh,emission_factor_kg_per_kwh,heat_demand`, time as `2019-01-01T00` at the start
/// of the hour. A moment maps to the same weekday of the same week of the same month and the same hour; within the
/// hour the value stays, as market prices do.
#[derive(Debug, Clone, PartialEq)]
pub struct Market {
    calendar: WeekdayCalendar,
    days: Vec<[MarketSample; 24]>,
    mean: MarketSample,
}

const COLUMNS: [&str; 4] = ["time", "spot_price_eur_per_mwh", "emission_factor_kg_per_kwh", "heat_demand"];

impl Market {
    pub fn parse(file: &SeriesFile) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new(file);
        let mut days: BTreeMap<Date, [Option<MarketSample>; 24]> = BTreeMap::new();
        for row in rows(file, &COLUMNS, &mut problems) {
            let Some(time) = row.time::<DateTime>(0, COLUMNS[0], &mut problems) else { continue };
            let mut number = |column: usize, range| {
                row.number(column, COLUMNS[column], range, &mut problems).unwrap_or_default()
            };
            let sample = MarketSample {
                spot_price_eur_per_mwh: number(1, -10_000.0..=10_000.0),
                emission_factor_kg_per_kwh: number(2, 0.0..=5.0),
                heat_demand: number(3, 0.0..=1.0),
            };
            let hour = &mut days.entry(time.date()).or_default()[usize::from(time.hour().unsigned_abs())];
            if hour.replace(sample).is_some() {
                problems.push(Some(row.line), "time", format!("{} stands here a second time", row.cell(0)));
            }
        }
        for (date, hours) in &days {
            if let Some(hour) = hours.iter().position(Option::is_none) {
                problems.push(None, "time", format!("{date} has no hour {hour:02}"));
            }
        }
        let calendar = WeekdayCalendar::new(days.keys().copied().zip(0..));
        let missing = calendar.missing_weekdays();
        if !days.is_empty() && !missing.is_empty() {
            problems.push(None, "time", format!("the series has no {}", missing.join(", ")));
        }
        let days: Vec<[MarketSample; 24]> =
            days.into_values().map(|hours| hours.map(Option::unwrap_or_default)).collect();
        let mean_of = |of: fn(&MarketSample) -> f64| {
            days.iter().flatten().map(of).sum::<f64>() / (days.len() * 24).max(1) as f64
        };
        let mean = MarketSample {
            spot_price_eur_per_mwh: mean_of(|sample| sample.spot_price_eur_per_mwh),
            emission_factor_kg_per_kwh: mean_of(|sample| sample.emission_factor_kg_per_kwh),
            heat_demand: mean_of(|sample| sample.heat_demand),
        };
        problems.finish(Self { calendar, days, mean })
    }

    /// The market's hour most like a local wall-clock time.
    pub fn at(&self, local: DateTime) -> MarketSample {
        // A parsed market has every weekday, so a day is always found.
        let day = self.calendar.find(local.date()).and_then(|index| self.days.get(index));
        day.map_or_else(MarketSample::default, |hours| hours[usize::from(local.hour().unsigned_abs())])
    }

    /// The same hour relative to the year; 1 where the year's mean is nothing.
    pub fn shape_at(&self, local: DateTime) -> MarketShape {
        let relative = |value: f64, mean: f64| if mean > 0.0 { value / mean } else { 1.0 };
        let (hour, year) = (self.at(local), &self.mean);
        MarketShape {
            price: relative(hour.spot_price_eur_per_mwh, year.spot_price_eur_per_mwh),
            emission_factor: relative(hour.emission_factor_kg_per_kwh, year.emission_factor_kg_per_kwh),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::{ToSpan, civil::date};

    fn year() -> String {
        let mut text = COLUMNS.join(",") + "\n";
        for day in date(2019, 1, 1).series(1.day()).take(365) {
            for hour in 0..24 {
                text += &format!("{day}T{hour:02},{}.{hour:02},0.3,0.5\n", day.day());
            }
        }
        text
    }

    fn parse(text: String) -> Result<Market, Vec<String>> {
        Market::parse(&SeriesFile { path: "series/market.csv".to_owned(), text })
            .map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn an_hour_maps_to_the_like_hour_and_holds_through_it() {
        let market = parse(year()).unwrap();
        // Wednesday 8 July 2026, the second, is 10 July 2019.
        for minute in [0, 30, 59] {
            let sample = market.at(date(2026, 7, 8).at(17, minute, 0, 0));
            assert!((sample.spot_price_eur_per_mwh - 10.17).abs() < 1e-9, "{sample:?}");
        }
    }

    #[test]
    fn a_year_of_shapes_averages_to_one() {
        let market = parse(year()).unwrap();
        let hours = date(2019, 1, 1).at(0, 30, 0, 0).series(1.hour()).take(8_760);
        let (price, emission) = hours.fold((0.0, 0.0), |(price, emission), at| {
            let shape = market.shape_at(at);
            (price + shape.price, emission + shape.emission_factor)
        });
        assert!((price / 8_760.0 - 1.0).abs() < 1e-9, "{price}");
        assert!((emission / 8_760.0 - 1.0).abs() < 1e-9, "{emission}");
        assert!(market.shape_at(date(2019, 5, 31).at(0, 0, 0, 0)).price > 1.5);
    }

    #[test]
    fn a_missing_or_repeated_hour_is_a_problem() {
        let hole = year().replace("2019-03-05T07,5.07,0.3,0.5\n", "2019-03-05T06,1,0.3,0.5\n");
        assert_eq!(
            parse(hole).unwrap_err(),
            [
                "series/market.csv:1521: time: 2019-03-05T06 stands here a second time",
                "series/market.csv: time: 2019-03-05 has no hour 07",
            ]
        );
    }
}
