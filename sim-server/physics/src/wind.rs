//! Wind turbines: from the wind a weather station feels to electrical power.
//!
//! Power here is generation, positive.

/// Standard air density at 15 °C and sea level, kg/m³ (ISO 2533).
pub const STANDARD_AIR_DENSITY_KG_M3: f64 = 1.225;

/// A turbine by its nameplate; the power curve follows from it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turbine {
    pub rated_kw: f64,
    pub hub_height_m: f64,
    pub rotor_diameter_m: f64,
    pub cut_in_m_s: f64,
    pub rated_m_s: f64,
    pub cut_out_m_s: f64,
}

impl Turbine {
    /// A turbine of which only the nameplate is known: cut-in 3 m/s, cut-out 25 m/s, and the rated wind speed at which a
    /// rotor of that size with a power coefficient of 0.40 gives its rated power, `v = (P / (½·ρ·A·c_p))^⅓`, held in 8…16 m/s.
    pub fn from_nameplate(rated_kw: f64, hub_height_m: f64, rotor_diameter_m: f64) -> Self {
        const POWER_COEFFICIENT: f64 = 0.40;
        let area_m2 = std::f64::consts::PI * (rotor_diameter_m / 2.0).powi(2);
        let rated_m_s =
            (rated_kw * 1e3 / (0.5 * STANDARD_AIR_DENSITY_KG_M3 * area_m2 * POWER_COEFFICIENT)).cbrt();
        Self {
            rated_kw,
            hub_height_m,
            rotor_diameter_m,
            cut_in_m_s: 3.0,
            rated_m_s: rated_m_s.clamp(8.0, 16.0),
            cut_out_m_s: 25.0,
        }
    }

    /// Power in kW at a wind speed at hub height: `P_r·(v³ − v_in³)/(v_r³ − v_in³)` between cut-in and rated (the cubic curve of
    /// Manwell, McGowan & Rogers, Wind Energy Explained, ch. 7), rated up to cut-out, nothing outside.
    pub fn power_kw(&self, hub_wind_m_s: f64) -> f64 {
        if hub_wind_m_s < self.cut_in_m_s || hub_wind_m_s >= self.cut_out_m_s {
            return 0.0;
        }
        if hub_wind_m_s >= self.rated_m_s {
            return self.rated_kw;
        }
        let cube = |v: f64| v.powi(3);
        self.rated_kw * (cube(hub_wind_m_s) - cube(self.cut_in_m_s))
            / (cube(self.rated_m_s) - cube(self.cut_in_m_s))
    }

    /// The same in air of another density: the wind speed is scaled by `(ρ/ρ₀)^⅓` (IEC 61400-12-1, for pitch-controlled turbines).
    pub fn power_in_air_kw(&self, hub_wind_m_s: f64, air_density_kg_m3: f64) -> f64 {
        let scaled = hub_wind_m_s * (air_density_kg_m3 / STANDARD_AIR_DENSITY_KG_M3).cbrt();
        // Cut-out is a matter of the wind itself, not of its energy.
        if hub_wind_m_s >= self.cut_out_m_s {
            0.0
        } else {
            self.power_kw(scaled.min(self.cut_out_m_s - 1e-9))
        }
    }

    /// Rotor speed, revolutions a minute: optimal tip-speed ratio 7 up to rated wind, constant above, standing still outside.
    pub fn rotor_rpm(&self, hub_wind_m_s: f64) -> f64 {
        const TIP_SPEED_RATIO: f64 = 7.0;
        if hub_wind_m_s < self.cut_in_m_s || hub_wind_m_s >= self.cut_out_m_s {
            return 0.0;
        }
        let tip_m_s = TIP_SPEED_RATIO * hub_wind_m_s.min(self.rated_m_s);
        tip_m_s / (std::f64::consts::PI * self.rotor_diameter_m) * 60.0
    }
}

/// Density of dry air at sea-level pressure, kg/m³ (ideal gas, 101,325 Pa, R = 287.05 J/(kg·K)), thinner with height by
/// the barometric scale height of 8,434 m.
pub fn air_density_kg_m3(air_c: f64, elevation_m: f64) -> f64 {
    101_325.0 * (-elevation_m / 8_434.0).exp() / (287.05 * (air_c + 273.15))
}

/// Wind at another height by the logarithmic profile over ground of `roughness_m` (0.03 open field, 0.4 an industrial park;
/// Stull, An Introduction to Boundary Layer Meteorology, ch. 9). Heights must lie above the roughness.
pub fn wind_at_height_log(wind_m_s: f64, measured_at_m: f64, wanted_at_m: f64, roughness_m: f64) -> f64 {
    wind_m_s * (wanted_at_m / roughness_m).ln() / (measured_at_m / roughness_m).ln()
}

/// Wind at another height by the power law `(h/h₀)^α` (IEC 61400-1: α = 0.2 for ordinary terrain).
pub fn wind_at_height_power(wind_m_s: f64, measured_at_m: f64, wanted_at_m: f64, exponent: f64) -> f64 {
    wind_m_s * (wanted_at_m / measured_at_m).powf(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURBINE: Turbine = Turbine {
        rated_kw: 1000.0,
        hub_height_m: 80.0,
        rotor_diameter_m: 70.0,
        cut_in_m_s: 3.0,
        rated_m_s: 12.0,
        cut_out_m_s: 25.0,
    };

    #[test]
    fn the_power_curve_rises_by_the_cube_between_cut_in_and_rated() {
        for (wind, expected) in [
            (0.0, 0.0),
            (2.99, 0.0),
            (3.0, 0.0),
            (6.0, 1000.0 * (216.0 - 27.0) / (1728.0 - 27.0)),
            (12.0, 1000.0),
            (24.9, 1000.0),
            (25.0, 0.0),
        ] {
            assert!((TURBINE.power_kw(wind) - expected).abs() < 1e-9, "{wind} m/s");
        }
    }

    #[test]
    fn cold_air_carries_more_and_a_storm_still_stops_the_rotor() {
        let cold = air_density_kg_m3(-10.0, 0.0);
        assert!(cold > STANDARD_AIR_DENSITY_KG_M3);
        assert!(TURBINE.power_in_air_kw(8.0, cold) > TURBINE.power_kw(8.0));
        assert_eq!(TURBINE.power_in_air_kw(26.0, cold), 0.0);
        assert_eq!(TURBINE.power_in_air_kw(24.9, cold), 1000.0);
        assert!((air_density_kg_m3(15.0, 0.0) - STANDARD_AIR_DENSITY_KG_M3).abs() < 1e-3);
    }

    #[test]
    fn wind_grows_with_height_by_either_law() {
        assert!((wind_at_height_log(5.0, 10.0, 80.0, 0.1) - 5.0 * 800f64.ln() / 100f64.ln()).abs() < 1e-12);
        assert!((wind_at_height_power(5.0, 10.0, 80.0, 0.2) - 5.0 * 8f64.powf(0.2)).abs() < 1e-12);
        assert_eq!(wind_at_height_log(5.0, 10.0, 10.0, 0.1), 5.0);
    }

    #[test]
    fn a_nameplate_gives_a_believable_rated_wind_and_rotor_speed() {
        let turbine = Turbine::from_nameplate(2000.0, 90.0, 110.0);
        assert!((9.0..12.0).contains(&turbine.rated_m_s), "{}", turbine.rated_m_s);
        let rpm = turbine.rotor_rpm(12.0);
        assert!((8.0..18.0).contains(&rpm), "{rpm}");
        assert_eq!(turbine.rotor_rpm(1.0), 0.0);
    }
}
