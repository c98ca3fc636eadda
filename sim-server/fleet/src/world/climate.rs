//! The park's weather at a moment and a place in it.
//!
//! The measured year gives hourly means; clouds passing and gusts between them are added here, so that arrays see the same cloud one
//! after the other and the means stay what was measured.

use crate::noise::Noise;
use jiff::{civil::DateTime, tz::TimeZone};
use physics::{
    clear_sky::clear_sky_ghi,
    irradiance::{Irradiance, extraterrestrial_dni_w_m2},
};
use shared::{
    scene::Park,
    series::{WeatherSample, WeatherYear},
    sun::{SunPosition, sun_position},
    time::Timestamp,
};

/// The sun and the sky over the park as a whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conditions {
    pub(crate) at: Timestamp,
    pub(crate) local: DateTime,
    pub(crate) sun: SunPosition,
    pub(crate) extraterrestrial_dni_w_m2: f64,
    /// Irradiance is zero while the sun is down.
    pub(crate) weather: WeatherSample,
    /// 0 under a clear or a closed sky, 1 where sun and cloud alternate.
    pub(crate) broken_sky: f64,
}

#[derive(Debug, Clone)]
pub(crate) struct Climate {
    year: WeatherYear,
    zone: TimeZone,
    latitude_deg: f64,
    longitude_deg: f64,
    elevation_m: f64,
    clouds: Noise,
    gusts: Noise,
}

/// How fast clouds cross the park, m/s.
const CLOUD_SPEED_M_S: f64 = 8.0;

/// Elevation below which the interpolated hourly means say more about the neighbouring hour than about this moment.
const FULL_SUN_ELEVATION_DEG: f64 = 4.0;

impl Climate {
    pub(crate) fn new(park: &Park, zone: TimeZone, year: WeatherYear, seed: u64) -> Self {
        Self {
            year,
            zone,
            latitude_deg: park.latitude_deg,
            longitude_deg: park.longitude_deg,
            elevation_m: park.elevation_m,
            clouds: Noise::new(seed, "clouds"),
            gusts: Noise::new(seed, "gusts"),
        }
    }

    pub(crate) fn elevation_m(&self) -> f64 {
        self.elevation_m
    }

    pub(crate) fn at(&self, at: Timestamp) -> Conditions {
        let local = at.local(&self.zone);
        let mut weather = self.year.at(local);
        let night = SunPosition { elevation_deg: -90.0, azimuth_deg: 0.0 };
        let sun = sun_position(at, self.latitude_deg, self.longitude_deg, self.elevation_m).unwrap_or(night);
        let up = (sun.elevation_deg / FULL_SUN_ELEVATION_DEG).clamp(0.0, 1.0);
        weather.ghi_w_m2 *= up;
        weather.dni_w_m2 *= up;
        weather.dhi_w_m2 *= up;
        let clear = clear_sky_ghi(90.0 - sun.elevation_deg);
        let clearness = if clear > 20.0 { (weather.ghi_w_m2 / clear).clamp(0.0, 1.0) } else { 0.0 };
        // Gusts: turbulence intensity of about 12 % (IEC 61400-1 class B is 14 % at 15 m/s).
        let gust = 1.0 + 0.10 * self.gusts.at(at, 600.0) + 0.07 * self.gusts.of("fast").at(at, 20.0);
        weather.wind_m_s *= gust.max(0.0);
        Conditions {
            at,
            local,
            sun,
            extraterrestrial_dni_w_m2: extraterrestrial_dni_w_m2(local.date().day_of_year().unsigned_abs()),
            weather,
            broken_sky: 4.0 * clearness * (1.0 - clearness),
        }
    }

    /// The sky over a place, metres east and north: clouds drift eastwards over the park.
    pub(crate) fn sky_over(&self, conditions: &Conditions, position: [f64; 3]) -> Irradiance {
        let WeatherSample { ghi_w_m2, dni_w_m2, dhi_w_m2, .. } = conditions.weather;
        if ghi_w_m2 <= 0.0 {
            return Irradiance::default();
        }
        let lag_ms = (position[0] + 0.3 * position[1]) / CLOUD_SPEED_M_S * 1e3;
        let seen = Timestamp(conditions.at.millis() - lag_ms as i64);
        let wander = 0.7 * self.clouds.at(seen, 240.0) + 0.3 * self.clouds.of("small").at(seen, 45.0);
        let factor = 1.0 + 0.45 * conditions.broken_sky * wander;
        // What the beam loses behind a cloud comes back from the bright sky in part.
        let dni = dni_w_m2 * factor;
        let dhi = dhi_w_m2 * (1.0 + 0.3 * (1.0 - factor));
        let cos_zenith = conditions.sun.elevation_deg.to_radians().sin().max(0.0);
        let ghi = (ghi_w_m2 + (dni - dni_w_m2) * cos_zenith + (dhi - dhi_w_m2)).max(0.0);
        Irradiance { ghi_w_m2: ghi, dni_w_m2: dni, dhi_w_m2: dhi }
    }
}
