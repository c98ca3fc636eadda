//! Real series that drive a park: weather year, load shapes, charging sessions, prices.
//!
//! They were measured in other years and places; looking a moment up maps it by season, weekday and hour.

/// A series file as text, with where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesFile {
    /// Path inside the scene, such as `series/weather.csv`.
    pub path: String,
    pub text: String,
}
