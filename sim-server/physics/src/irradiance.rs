//! Sunlight on a tilted plane.
//!
//! In: the sun's position, the three irradiances a weather series gives, the plane. Out: plane-of-array irradiance.

use shared::sun::SunPosition;

/// Horizontal and beam irradiance, W/m².
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Irradiance {
    /// Global horizontal.
    pub ghi_w_m2: f64,
    /// Direct normal.
    pub dni_w_m2: f64,
    /// Diffuse horizontal.
    pub dhi_w_m2: f64,
}

impl Irradiance {
    pub fn scaled(self, factor: f64) -> Self {
        Self {
            ghi_w_m2: self.ghi_w_m2 * factor,
            dni_w_m2: self.dni_w_m2 * factor,
            dhi_w_m2: self.dhi_w_m2 * factor,
        }
    }
}

/// A plane facing the sky.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plane {
    /// 0 lies flat, 90 stands upright.
    pub tilt_deg: f64,
    /// Degrees clockwise from north the plane faces.
    pub azimuth_deg: f64,
    /// Share of global irradiance the ground in front reflects; 0.2 for grass and paving.
    pub albedo: f64,
}

/// Reflectance of ordinary ground, the usual default (pvlib, PVWatts).
pub const DEFAULT_ALBEDO: f64 = 0.2;

/// Irradiance on a plane by origin, W/m².
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PlaneOfArray {
    pub beam_w_m2: f64,
    /// Circumsolar and isotropic sky diffuse.
    pub sky_w_m2: f64,
    pub ground_w_m2: f64,
}

impl PlaneOfArray {
    pub fn total_w_m2(&self) -> f64 {
        self.beam_w_m2 + self.sky_w_m2 + self.ground_w_m2
    }
}

/// Solar constant used with Spencer's series in pvlib, W/m².
const SOLAR_CONSTANT_W_M2: f64 = 1366.1;

/// Extraterrestrial direct normal irradiance, W/m², by Spencer's Fourier series (J. W. Spencer, "Fourier series
/// representation of the position of the Sun", Search 2 (5), 1971): within 0.01 % of the Earth–Sun distance.
///
/// `day_of_year` counts from 1.
pub fn extraterrestrial_dni_w_m2(day_of_year: u16) -> f64 {
    let angle = 2.0 * std::f64::consts::PI * (f64::from(day_of_year) - 1.0) / 365.0;
    let distance_squared_inverse = 1.000_11
        + 0.034_221 * angle.cos()
        + 0.001_28 * angle.sin()
        + 0.000_719 * (2.0 * angle).cos()
        + 7.7e-5 * (2.0 * angle).sin();
    SOLAR_CONSTANT_W_M2 * distance_squared_inverse
}

impl Plane {
    /// Cosine of the angle between the sun's rays and the plane's normal; negative when the sun is behind it
    /// (Duffie & Beckman, Solar Engineering of Thermal Processes, eq. 1.6.3, in zenith and azimuth).
    pub fn cos_incidence(&self, sun: &SunPosition) -> f64 {
        let (sin_tilt, cos_tilt) = self.tilt_deg.to_radians().sin_cos();
        let (sin_zenith, cos_zenith) = (90.0 - sun.elevation_deg).to_radians().sin_cos();
        let relative_azimuth = (sun.azimuth_deg - self.azimuth_deg).to_radians();
        (cos_tilt * cos_zenith + sin_tilt * sin_zenith * relative_azimuth.cos()).clamp(-1.0, 1.0)
    }

    /// Irradiance on the plane by Hay & Davies' model: diffuse light is part circumsolar (in proportion to the beam's
    /// transmittance) and part isotropic (J. E. Hay, J. A. Davies, "Calculations of the solar radiation incident on an
    /// inclined surface", 1980), ground reflection isotropic (Loutzenhiser et al. 2007). The sun's height is the
    /// refracted one, and its cosine is held above that of 89° as in pvlib, so that sunrise does not divide by zero.
    pub fn hay_davies(
        &self,
        sun: &SunPosition,
        sky: &Irradiance,
        extraterrestrial_dni_w_m2: f64,
    ) -> PlaneOfArray {
        const LEAST_COS_ZENITH: f64 = 0.01745;
        let cos_tilt = self.tilt_deg.to_radians().cos();
        let cos_incidence = self.cos_incidence(sun).max(0.0);
        let cos_zenith = (90.0 - sun.elevation_deg).to_radians().cos().max(LEAST_COS_ZENITH);
        let anisotropy = sky.dni_w_m2 / extraterrestrial_dni_w_m2;
        let circumsolar = (sky.dhi_w_m2 * anisotropy * cos_incidence / cos_zenith).max(0.0);
        let isotropic = (sky.dhi_w_m2 * (1.0 - anisotropy) * 0.5 * (1.0 + cos_tilt)).max(0.0);
        PlaneOfArray {
            beam_w_m2: sky.dni_w_m2 * cos_incidence,
            sky_w_m2: circumsolar + isotropic,
            ground_w_m2: sky.ghi_w_m2 * self.albedo * 0.5 * (1.0 - cos_tilt),
        }
    }
}

/// Share of beam light that passes a module's glass at an incidence angle: ASHRAE 93-1977,
/// `1 − b₀·(1/cos θ − 1)`, b₀ = 0.05 for ordinary glass. 0 from grazing incidence on.
pub fn incidence_angle_modifier(cos_incidence: f64) -> f64 {
    const B0: f64 = 0.05;
    if cos_incidence <= 0.0 { 0.0 } else { (1.0 - B0 * (1.0 / cos_incidence - 1.0)).max(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_HIGH: SunPosition = SunPosition { elevation_deg: 60.0, azimuth_deg: 180.0 };

    #[test]
    fn extraterrestrial_light_is_strongest_in_early_january() {
        for (day, expected) in [(3, 1413.98), (185, 1320.54), (94, 1364.0)] {
            let got = extraterrestrial_dni_w_m2(day);
            assert!((got - expected).abs() < 3.0, "day {day}: {got}");
        }
    }

    #[test]
    fn a_plane_facing_the_sun_takes_the_whole_beam_and_a_flat_one_its_sine() {
        for (tilt_deg, expected) in [(30.0, 1.0), (0.0, 60f64.to_radians().sin()), (90.0, 0.5)] {
            let plane = Plane { tilt_deg, azimuth_deg: 180.0, albedo: DEFAULT_ALBEDO };
            assert!((plane.cos_incidence(&NOON_HIGH) - expected).abs() < 1e-12, "tilt {tilt_deg}");
        }
    }

    #[test]
    fn a_flat_plane_sees_exactly_the_global_irradiance() {
        let sky = Irradiance { ghi_w_m2: 0.0, dni_w_m2: 700.0, dhi_w_m2: 120.0 };
        let ghi = 700.0 * 60f64.to_radians().sin() + 120.0;
        let flat = Plane { tilt_deg: 0.0, azimuth_deg: 180.0, albedo: DEFAULT_ALBEDO };
        let poa = flat.hay_davies(&NOON_HIGH, &Irradiance { ghi_w_m2: ghi, ..sky }, 1360.0);
        assert!((poa.total_w_m2() - ghi).abs() < 1e-9);
    }

    #[test]
    fn glass_passes_all_light_head_on_and_none_edge_on() {
        assert_eq!(incidence_angle_modifier(1.0), 1.0);
        assert_eq!(incidence_angle_modifier(0.0), 0.0);
        assert_eq!(incidence_angle_modifier(-0.3), 0.0);
        assert!((incidence_angle_modifier(0.5) - 0.95).abs() < 1e-12);
    }
}
