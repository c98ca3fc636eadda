//! Real series that drive a park: weather year, load shapes, charging sessions, prices.
//!
//! In: the text of `series/*.csv`. Out: look-ups by the park's *local wall clock*. The series were measured in
//! other years and often in other places, so a moment is mapped by season, weekday and hour to the moment of the
//! series most like it; each type says how. All look-ups are pure: the same moment always gives the same value.
//!
//! ```
//! use shared::series::{LoadShapes, SeriesFile};
//! let quarter_hours: Vec<String> = (0..96).map(|q| format!("{:02}:{:02}", q / 4, q % 4 * 15)).collect();
//! let mut text = format!("date,shape,{}\n", quarter_hours.join(","));
//! for day in 1..=28 {
//!     text += &format!("2016-02-{day:02},office,{}\n", vec!["500"; 96].join(","));
//! }
//! let file = SeriesFile { path: "series/load_shapes.csv".into(), text };
//! let shapes = LoadShapes::parse(&file).unwrap();
//! let noon = jiff::civil::date(2026, 7, 1).at(12, 0, 0, 0);
//! assert_eq!(shapes.value("office", noon), Some(0.5));
//! ```

mod calendar;
mod ev_sessions;
mod load_shapes;
mod market;
mod table;
mod weather;

pub use ev_sessions::{EvSession, EvSessions};
pub use load_shapes::{LoadShape, LoadShapes};
pub use market::{Market, MarketSample};
pub use weather::{WeatherSample, WeatherYear};

use crate::scene::Problem;
use std::collections::BTreeMap;

/// A series file as text, with where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesFile {
    /// Path inside the scene, such as `series/weather.csv`.
    pub path: String,
    pub text: String,
}

/// `series/weather.csv`, read by [`WeatherYear`].
pub const WEATHER: &str = "weather";
/// `series/load_shapes.csv`, read by [`LoadShapes`].
pub const LOAD_SHAPES: &str = "load_shapes";
/// `series/ev_sessions.csv`, read by [`EvSessions`].
pub const EV_SESSIONS: &str = "ev_sessions";
/// `series/market.csv`, read by [`Market`].
pub const MARKET: &str = "market";

/// The names a scene's series may have.
pub const NAMES: [&str; 4] = [WEATHER, LOAD_SHAPES, EV_SESSIONS, MARKET];

/// All series of a scene, read.
#[derive(Debug, Clone)]
pub struct Series {
    pub weather: WeatherYear,
    pub load_shapes: LoadShapes,
    pub ev_sessions: EvSessions,
    pub market: Market,
}

impl Series {
    /// Reads `Scene::series`; gives every problem of every file, a missing file among them.
    pub fn parse(files: &BTreeMap<String, SeriesFile>) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let weather = read(files, WEATHER, WeatherYear::parse, &mut problems);
        let load_shapes = read(files, LOAD_SHAPES, LoadShapes::parse, &mut problems);
        let ev_sessions = read(files, EV_SESSIONS, EvSessions::parse, &mut problems);
        let market = read(files, MARKET, Market::parse, &mut problems);
        match (weather, load_shapes, ev_sessions, market) {
            (Some(weather), Some(load_shapes), Some(ev_sessions), Some(market)) => {
                Ok(Self { weather, load_shapes, ev_sessions, market })
            }
            _ => Err(problems),
        }
    }
}

fn read<T>(
    files: &BTreeMap<String, SeriesFile>,
    name: &str,
    parse: impl Fn(&SeriesFile) -> Result<T, Vec<Problem>>,
    problems: &mut Vec<Problem>,
) -> Option<T> {
    let Some(file) = files.get(name) else {
        problems.push(Problem {
            file: format!("series/{name}.csv"),
            line: None,
            field: String::new(),
            message: "the series is missing".to_owned(),
        });
        return None;
    };
    parse(file).map_err(|found| problems.extend(found)).ok()
}
