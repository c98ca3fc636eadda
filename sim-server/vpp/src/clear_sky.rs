//! What the park's PV would give under a clear sky: the yardstick the PV forecast scales.

use physics::{
    clear_sky::{clear_sky_ghi, split_global},
    irradiance::{DEFAULT_ALBEDO, Plane, extraterrestrial_dni_w_m2},
    pv::PvArray,
};
use shared::{
    scene::{Rating, Scene},
    sun::sun_position,
    time::Timestamp,
};

/// A mild day: the forecast scales by measured output, so only the shape over the day matters.
const AIR_C: f64 = 20.0;
const WIND_M_S: f64 = 2.0;

/// The scene's arrays, merged where they face the same way, so that a step costs a handful of transpositions.
#[derive(Debug, Clone)]
pub struct ClearSky {
    latitude_deg: f64,
    longitude_deg: f64,
    elevation_m: f64,
    arrays: Vec<PvArray>,
}

impl ClearSky {
    pub fn of(scene: &Scene) -> Self {
        let mut arrays: Vec<PvArray> = Vec::new();
        for device in &scene.devices {
            let Rating::Pv { peak_kw, inverter_kw, tilt_deg, azimuth_deg } = device.rating else { continue };
            let plane = Plane { tilt_deg, azimuth_deg, albedo: DEFAULT_ALBEDO };
            match arrays.iter_mut().find(|a| a.plane == plane) {
                Some(array) => {
                    array.peak_kw += peak_kw;
                    array.inverter_kw += inverter_kw;
                }
                None => arrays.push(PvArray::pvwatts(peak_kw, inverter_kw, plane)),
            }
        }
        Self {
            latitude_deg: scene.park.latitude_deg,
            longitude_deg: scene.park.longitude_deg,
            elevation_m: scene.park.elevation_m,
            arrays,
        }
    }

    /// AC power in kW at an instant, positive.
    pub fn power_kw(&self, at: Timestamp) -> f64 {
        let Some(sun) = sun_position(at, self.latitude_deg, self.longitude_deg, self.elevation_m) else {
            return 0.0;
        };
        if sun.elevation_deg <= 0.0 {
            return 0.0;
        }
        let day = at.local(&jiff::tz::TimeZone::UTC).day_of_year().unsigned_abs();
        let extraterrestrial = extraterrestrial_dni_w_m2(day);
        let zenith_deg = 90.0 - sun.elevation_deg;
        let sky = split_global(clear_sky_ghi(zenith_deg), zenith_deg, extraterrestrial);
        self.arrays.iter().map(|a| a.output(&sun, &sky, extraterrestrial, AIR_C, WIND_M_S).ac_kw).sum()
    }

    /// Power in the middle of each of `steps` steps of `step_ms` from `start`.
    pub fn series_kw(&self, start: Timestamp, step_ms: i64, steps: usize) -> Vec<f64> {
        (0..steps as i64).map(|i| self.power_kw(Timestamp(start.0 + i * step_ms + step_ms / 2))).collect()
    }
}
