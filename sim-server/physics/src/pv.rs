//! From irradiance to AC power: the PVWatts chain.
//!
//! In: sun, sky, air temperature, wind. Out: cell temperature, DC and AC power (generation, positive). The defaults are
//! those of pvlib's `u0 = 25, u1 = 6.84` Faiman model and of PVWatts v5 (A. P. Dobos, NREL/TP-6A20-62641, 2014).

use crate::irradiance::{Irradiance, Plane};
use shared::sun::SunPosition;

/// A PV array with its inverter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PvArray {
    pub plane: Plane,
    /// DC power at 1,000 W/m² and 25 °C.
    pub peak_kw: f64,
    /// AC limit of the inverter.
    pub inverter_kw: f64,
    /// Power lost per kelvin above 25 °C, as a negative fraction: −0.004 for crystalline silicon.
    pub temperature_coefficient_per_k: f64,
    /// Share of DC power lost to soiling, shading, mismatch, wiring, connections, degradation, rating and availability.
    pub losses: f64,
    pub inverter_efficiency: f64,
}

/// PVWatts' losses multiplied out (2 % soiling, 3 % shading, 2 % mismatch, 2 % wiring, 0.5 % connections, 1.5 % light-induced
/// degradation, 1 % rating, 3 % availability).
pub const PVWATTS_LOSSES: f64 = 0.140_756_6;

/// PVWatts' nominal inverter efficiency.
pub const PVWATTS_INVERTER_EFFICIENCY: f64 = 0.96;

/// What an array does at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PvOutput {
    pub poa_w_m2: f64,
    pub cell_temp_c: f64,
    /// After losses.
    pub dc_kw: f64,
    pub ac_kw: f64,
}

impl PvArray {
    /// An array of ordinary silicon modules with PVWatts' losses.
    pub fn pvwatts(peak_kw: f64, inverter_kw: f64, plane: Plane) -> Self {
        Self {
            plane,
            peak_kw,
            inverter_kw,
            temperature_coefficient_per_k: -0.004,
            losses: PVWATTS_LOSSES,
            inverter_efficiency: PVWATTS_INVERTER_EFFICIENCY,
        }
    }

    /// The whole chain: Hay–Davies, Faiman, PVWatts DC and inverter. `extraterrestrial_dni_w_m2` is
    /// [`crate::irradiance::extraterrestrial_dni_w_m2`] of the day.
    pub fn output(
        &self,
        sun: &SunPosition,
        sky: &Irradiance,
        extraterrestrial_dni_w_m2: f64,
        air_c: f64,
        wind_m_s: f64,
    ) -> PvOutput {
        let poa_w_m2 = self.plane.hay_davies(sun, sky, extraterrestrial_dni_w_m2).total_w_m2();
        let cell_temp_c = faiman_cell_temp_c(poa_w_m2, air_c, wind_m_s);
        let dc_kw = pvwatts_dc_kw(poa_w_m2, cell_temp_c, self.peak_kw, self.temperature_coefficient_per_k)
            * (1.0 - self.losses);
        let ac_kw = pvwatts_inverter_kw(dc_kw, self.inverter_kw, self.inverter_efficiency);
        PvOutput { poa_w_m2, cell_temp_c, dc_kw, ac_kw }
    }
}

/// Module temperature, °C, by D. Faiman ("Assessing the outdoor operating temperature of photovoltaic modules", Progress in
/// Photovoltaics 16, 2008): `T = T_air + G / (u0 + u1·v)`, u0 = 25 W/(m²·K), u1 = 6.84 W·s/(m³·K). PVWatts counts the cell as
/// warm as its module.
pub fn faiman_cell_temp_c(poa_w_m2: f64, air_c: f64, wind_m_s: f64) -> f64 {
    const U0: f64 = 25.0;
    const U1: f64 = 6.84;
    air_c + poa_w_m2 / (U0 + U1 * wind_m_s.max(0.0))
}

/// DC power in kW before losses, PVWatts v5 eq. 8: in proportion to irradiance, corrected for cell temperature. Never negative.
pub fn pvwatts_dc_kw(
    poa_w_m2: f64,
    cell_temp_c: f64,
    peak_kw: f64,
    temperature_coefficient_per_k: f64,
) -> f64 {
    const REFERENCE_W_M2: f64 = 1000.0;
    const REFERENCE_C: f64 = 25.0;
    let warmth = 1.0 + temperature_coefficient_per_k * (cell_temp_c - REFERENCE_C);
    (poa_w_m2 / REFERENCE_W_M2 * peak_kw * warmth).max(0.0)
}

/// AC power in kW, PVWatts v5 eq. 11–14: part-load efficiency around `nominal_efficiency`, clipped at the inverter's limit;
/// 0 where its own consumption exceeds the input.
pub fn pvwatts_inverter_kw(dc_kw: f64, inverter_kw: f64, nominal_efficiency: f64) -> f64 {
    const REFERENCE_EFFICIENCY: f64 = 0.9637;
    let dc_limit_kw = inverter_kw / nominal_efficiency;
    if dc_kw <= 0.0 || dc_limit_kw <= 0.0 {
        return 0.0;
    }
    let load = dc_kw / dc_limit_kw;
    let efficiency = nominal_efficiency / REFERENCE_EFFICIENCY * (-0.0162 * load - 0.0059 / load + 0.9858);
    (efficiency * dc_kw).clamp(0.0, inverter_kw)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::irradiance::DEFAULT_ALBEDO;

    #[test]
    fn a_module_in_the_sun_is_warmer_and_wind_cools_it() {
        for (poa, air, wind, expected) in
            [(0.0, 10.0, 3.0, 10.0), (800.0, 20.0, 0.0, 52.0), (800.0, 20.0, 5.0, 33.513)]
        {
            assert!((faiman_cell_temp_c(poa, air, wind) - expected).abs() < 1e-3, "{poa} {air} {wind}");
        }
    }

    #[test]
    fn dc_power_falls_four_permille_a_kelvin() {
        assert_eq!(pvwatts_dc_kw(1000.0, 25.0, 10.0, -0.004), 10.0);
        assert!((pvwatts_dc_kw(1000.0, 50.0, 10.0, -0.004) - 9.0).abs() < 1e-12);
        assert_eq!(pvwatts_dc_kw(0.0, 25.0, 10.0, -0.004), 0.0);
    }

    #[test]
    fn an_inverter_clips_at_its_limit_and_starts_above_its_own_consumption() {
        let limit = 100.0;
        assert_eq!(pvwatts_inverter_kw(200.0, limit, 0.96), limit);
        assert_eq!(pvwatts_inverter_kw(0.3, limit, 0.96), 0.0);
        assert_eq!(pvwatts_inverter_kw(0.0, limit, 0.96), 0.0);
        let half = pvwatts_inverter_kw(50.0, limit, 0.96);
        assert!(half > 0.95 * 50.0 && half < 0.97 * 50.0, "{half}");
    }

    #[test]
    fn a_night_sky_gives_nothing() {
        let plane = Plane { tilt_deg: 25.0, azimuth_deg: 180.0, albedo: DEFAULT_ALBEDO };
        let night = SunPosition { elevation_deg: -20.0, azimuth_deg: 10.0 };
        let out =
            PvArray::pvwatts(10.0, 8.0, plane).output(&night, &Irradiance::default(), 1361.0, 12.0, 2.0);
        assert_eq!(out, PvOutput { poa_w_m2: 0.0, cell_temp_c: 12.0, dc_kw: 0.0, ac_kw: 0.0 });
    }
}
