//! What a cloudless sky would give: the ceiling that PV forecasts scale from.

use crate::irradiance::Irradiance;

/// Clear-sky global horizontal irradiance, W/m², by Haurwitz: `1098 · cos z · exp(−0.059 / cos z)`
/// (B. Haurwitz, "Insolation in relation to cloudiness and cloud density", J. Meteorology 2, 1945). 0 below the horizon.
/// The best of the one-parameter models in the comparison of Reno, Hansen & Stein (SAND2012-2389).
pub fn clear_sky_ghi(zenith_deg: f64) -> f64 {
    let cos_zenith = zenith_deg.to_radians().cos();
    if cos_zenith <= 0.0 { 0.0 } else { 1098.0 * cos_zenith * (-0.059 / cos_zenith).exp() }
}

/// Share of clear-sky light that reaches the ground under `cloud_cover` (0 to 1): Kasten & Czeplak, "Solar and terrestrial
/// radiation dependent on the amount and type of cloud", Solar Energy 24, 1980: `1 − 0.75·N^3.4`.
pub fn cloud_transmittance(cloud_cover: f64) -> f64 {
    1.0 - 0.75 * cloud_cover.clamp(0.0, 1.0).powf(3.4)
}

/// Splits global irradiance into beam and diffuse by Erbs' correlation of the clearness index `k_t` (D. G. Erbs,
/// S. A. Klein, J. A. Duffie, "Estimation of the diffuse radiation fraction…", Solar Energy 28, 1982).
pub fn split_global(ghi_w_m2: f64, zenith_deg: f64, extraterrestrial_dni_w_m2: f64) -> Irradiance {
    /// Below 3° of elevation the division by cos z says more about rounding than about light.
    const LEAST_COS_ZENITH: f64 = 0.052;
    let cos_zenith = zenith_deg.to_radians().cos();
    if ghi_w_m2 <= 0.0 || cos_zenith <= LEAST_COS_ZENITH {
        let ghi_w_m2 = ghi_w_m2.max(0.0);
        return Irradiance { ghi_w_m2, dni_w_m2: 0.0, dhi_w_m2: ghi_w_m2 };
    }
    let clearness = (ghi_w_m2 / (extraterrestrial_dni_w_m2 * cos_zenith)).clamp(0.0, 1.0);
    let diffuse_share = if clearness <= 0.22 {
        1.0 - 0.09 * clearness
    } else if clearness <= 0.8 {
        0.9511 - 0.1604 * clearness + 4.388 * clearness.powi(2) - 16.638 * clearness.powi(3)
            + 12.336 * clearness.powi(4)
    } else {
        0.165
    };
    let dhi_w_m2 = diffuse_share * ghi_w_m2;
    Irradiance { ghi_w_m2, dni_w_m2: (ghi_w_m2 - dhi_w_m2) / cos_zenith, dhi_w_m2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clear_sky_gives_a_kilowatt_overhead_and_nothing_at_night() {
        for (zenith_deg, expected) in
            [(0.0, 1035.09), (60.0, 487.89), (80.0, 135.74), (90.0, 0.0), (120.0, 0.0)]
        {
            let got = clear_sky_ghi(zenith_deg);
            assert!((got - expected).abs() < 0.01, "zenith {zenith_deg}: {got}");
        }
    }

    #[test]
    fn beam_and_diffuse_add_up_to_the_global_they_were_split_from() {
        for zenith_deg in [0.0, 30.0, 60.0, 80.0] {
            for ghi in [20.0, 200.0, 600.0, 900.0] {
                let sky = split_global(ghi, zenith_deg, 1361.0);
                let sum = sky.dni_w_m2 * zenith_deg.to_radians().cos() + sky.dhi_w_m2;
                assert!((sum - ghi).abs() < 1e-9, "{zenith_deg} {ghi}: {sky:?}");
                assert!(sky.dni_w_m2 >= 0.0 && sky.dhi_w_m2 >= 0.0);
            }
        }
    }

    #[test]
    fn overcast_lets_a_quarter_through() {
        assert_eq!(cloud_transmittance(0.0), 1.0);
        assert_eq!(cloud_transmittance(1.0), 0.25);
    }
}
