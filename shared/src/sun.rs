//! Where the sun stands, for the server's physics and the client's light alike.
//!
//! Positions come from the `solar-positioning` crate's SPA (Reda & Andreas, NREL/TP-560-34302).

use crate::time::Timestamp;

/// The sun seen from a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SunPosition {
    /// Degrees above the horizon, refraction included; negative at night.
    pub elevation_deg: f64,
    /// Degrees clockwise from north.
    pub azimuth_deg: f64,
}

impl SunPosition {
    /// Unit vector towards the sun: east, north, up.
    pub fn direction(&self) -> [f64; 3] {
        let (sin_el, cos_el) = self.elevation_deg.to_radians().sin_cos();
        let (sin_az, cos_az) = self.azimuth_deg.to_radians().sin_cos();
        [cos_el * sin_az, cos_el * cos_az, sin_el]
    }
}

/// ΔT = TT − UT1 in seconds around 2026; an error of a second moves the sun by 0.004°.
const DELTA_T_S: f64 = 69.2;

/// Air temperature refraction is counted for, °C: SPA's (and pvlib's) default year mean.
const REFRACTION_TEMPERATURE_C: f64 = 12.0;

/// Mean air pressure at a height above sea level, hPa (US standard atmosphere, the form in pvlib's `alt2pres`).
fn pressure_hpa(elevation_m: f64) -> f64 {
    ((44_331.514 - elevation_m) / 11_880.516).powf(1.0 / 0.190_263_2)
}

/// The sun's position at an instant; `None` for coordinates outside ±90° / ±180° or years SPA does not cover.
pub fn sun_position(
    at: Timestamp,
    latitude_deg: f64,
    longitude_deg: f64,
    elevation_m: f64,
) -> Option<SunPosition> {
    use solar_positioning::{RefractionCorrection, spa, time::JulianDate};
    let utc = at.local(&jiff::tz::TimeZone::UTC);
    let second = f64::from(utc.second()) + f64::from(utc.millisecond()) / 1e3;
    let julian = JulianDate::from_utc(
        utc.year().into(),
        u32::try_from(utc.month()).ok()?,
        u32::try_from(utc.day()).ok()?,
        u32::try_from(utc.hour()).ok()?,
        u32::try_from(utc.minute()).ok()?,
        second,
        DELTA_T_S,
    )
    .ok()?;
    let position = spa::solar_position_from_julian(
        julian,
        latitude_deg,
        longitude_deg,
        elevation_m,
        RefractionCorrection::new(pressure_hpa(elevation_m), REFRACTION_TEMPERATURE_C).ok(),
    )
    .ok()?;
    Some(SunPosition { elevation_deg: position.elevation_angle(), azimuth_deg: position.azimuth() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of the pvlib reference (SPA, refraction-corrected), which stand in `tests/reference/pv`.
    #[test]
    fn agrees_with_solar_noon_in_suzhou_and_night() {
        // Solar noon at 120.6°E on the June solstice is about 11:59:30 local standard time.
        let noon = Timestamp::parse("2026-06-21T04:00:00Z").unwrap();
        let sun = sun_position(noon, 31.1, 120.6, 4.0).unwrap();
        assert!((sun.elevation_deg - (90.0 - 31.1 + 23.43)).abs() < 0.1, "{sun:?}");
        let midnight = Timestamp::parse("2026-06-21T16:00:00Z").unwrap();
        assert!(sun_position(midnight, 31.1, 120.6, 4.0).unwrap().elevation_deg < -30.0);
    }

    #[test]
    fn impossible_places_have_no_sun() {
        assert_eq!(sun_position(Timestamp(0), 91.0, 0.0, 0.0), None);
    }
}
