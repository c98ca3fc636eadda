//! What load, sun and wind will do: simple baselines that say how sure they are.
//!
//! Past values come in as a [`Series`] of equal steps with holes; a forecast goes out as means with a band from the
//! method's own past errors. Nothing here reads a clock or a file.
//!
//! - [`load_profile`]: the mean of the same time of day on days of the same type, pulled towards what is measured now.
//! - [`clear_sky_persistence`]: how clear it is now and was lately, times what a clear sky would give.
//! - [`decaying_persistence`]: the present value easing back to the recent mean, for wind.

mod band;
mod load;
mod persistence;
mod series;
mod sky;

pub use band::Forecast;
pub use load::{DayType, load_profile};
pub use persistence::decaying_persistence;
pub use series::Series;
pub use sky::clear_sky_persistence;
