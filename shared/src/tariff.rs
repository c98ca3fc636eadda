//! What electricity costs the park, by time of use.
//!
//! `tariffs.toml` must cover every minute of every day: a hole or an overlap is a loading problem.

use crate::{text::Text, time::Timestamp};
use jiff::{civil::DateTime, tz::TimeZone};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tariff {
    pub name: Text,
    /// Whether the figures are an example rather than a contract: shown wherever money is.
    pub example: bool,
    #[schemars(length(min = 1))]
    pub source: String,
    /// ISO 4217, `CNY`.
    pub currency: String,
    /// Energy price by band.
    pub prices: Prices,
    pub seasons: Vec<Season>,
    /// Charge per kW of the month's highest demand (需量电费).
    #[schemars(range(min = 0))]
    pub demand_charge_per_kw_month: f64,
    /// Minutes over which demand is averaged.
    #[schemars(range(min = 1, max = 1440))]
    pub demand_interval_min: u32,
    /// What exported energy earns, per kWh; the year's mean when it follows the market.
    #[schemars(range(min = 0))]
    pub feed_in_price_per_kwh: f64,
    /// Whether exported energy is sold at market prices: the mean above in the shape of the series `market`, never below
    /// nothing.
    #[serde(default)]
    pub feed_in_follows_market: bool,
    /// Internal price on CO₂e, per kg.
    #[schemars(range(min = 0))]
    pub carbon_price_per_kg: f64,
}

/// Price per kWh in each band.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// 尖
    pub critical: f64,
    /// 峰
    pub peak: f64,
    /// 平
    pub flat: f64,
    /// 谷
    pub valley: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    Critical,
    Peak,
    Flat,
    Valley,
}

/// The daily periods of some months.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Season {
    /// 1 to 12.
    #[schemars(length(min = 1), inner(range(min = 1, max = 12)))]
    pub months: Vec<u8>,
    pub periods: Vec<Period>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Period {
    pub band: Band,
    /// `HH:MM`, local time.
    pub from: String,
    /// `HH:MM`, `24:00` for the day's end; must be after `from`.
    pub to: String,
}

impl Period {
    /// Minutes of the day `[from, to)`, or `None` when a time is not `HH:MM`.
    pub fn minutes(&self) -> Option<(u32, u32)> {
        Some((minute_of_day(&self.from)?, minute_of_day(&self.to)?))
    }
}

fn minute_of_day(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    (minute < 60 && hour * 60 + minute <= 24 * 60).then_some(hour * 60 + minute)
}

impl Tariff {
    /// The band in force at a local wall-clock time; `Flat` outside every period, which loading rules out.
    pub fn band_at(&self, local: DateTime) -> Band {
        let minute = local.hour() as u32 * 60 + local.minute() as u32;
        let month = local.month() as u8;
        self.seasons
            .iter()
            .filter(|season| season.months.contains(&month))
            .flat_map(|season| &season.periods)
            .find(|period| period.minutes().is_some_and(|(from, to)| (from..to).contains(&minute)))
            .map_or(Band::Flat, |period| period.band)
    }

    pub fn price_per_kwh(&self, band: Band) -> f64 {
        match band {
            Band::Critical => self.prices.critical,
            Band::Peak => self.prices.peak,
            Band::Flat => self.prices.flat,
            Band::Valley => self.prices.valley,
        }
    }

    /// Import price per kWh at an instant.
    pub fn import_price_at(&self, at: Timestamp, zone: &TimeZone) -> f64 {
        self.price_per_kwh(self.band_at(at.local(zone)))
    }
}
