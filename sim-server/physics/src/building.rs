//! A room as one thermal mass and one volume of air.

/// Indoor air that follows outdoors with a time constant and is held by heating and cooling within what they can do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Room {
    /// Hours after which 63 % of an outdoor change has come through (ISO 13790 heavy building: 30 to 60).
    pub time_constant_h: f64,
    /// Warmth of people and machines at full occupancy, K above an empty room in balance.
    pub internal_gain_k: f64,
    pub heat_below_c: f64,
    pub cool_above_c: f64,
    /// How fast heating or cooling moves the air, K/h.
    pub conditioning_k_per_h: f64,
}

impl Room {
    /// Indoor temperature after `hours` (one resistance, one capacity, ISO 13790 simplified: exact solution of
    /// `τ·dT/dt = T_out + gain − T`), then pulled back towards the comfort band while it is occupied or not too far off.
    pub fn step(&self, indoor_c: f64, outdoor_c: f64, occupancy: f64, hours: f64) -> f64 {
        let target = outdoor_c + self.internal_gain_k * occupancy;
        let free = target + (indoor_c - target) * (-hours / self.time_constant_h).exp();
        // Empty rooms may drift 4 K further before anything runs.
        let slack_k = 4.0 * (1.0 - occupancy.clamp(0.0, 1.0));
        let reach_k = self.conditioning_k_per_h * hours;
        if free > self.cool_above_c + slack_k {
            (free - reach_k).max(self.cool_above_c + slack_k)
        } else if free < self.heat_below_c - slack_k {
            (free + reach_k).min(self.heat_below_c - slack_k)
        } else {
            free
        }
    }
}

/// CO₂ after `hours` in a ventilated room, ppm: exact solution of the mass balance `dC/dt = n·(C_out − C) + G` (ISO 16000-26), with
/// `air_changes_per_h` = n and `source_ppm_per_h` = G, what people add.
pub fn co2_ppm(
    before_ppm: f64,
    outdoor_ppm: f64,
    air_changes_per_h: f64,
    source_ppm_per_h: f64,
    hours: f64,
) -> f64 {
    let balance = outdoor_ppm + source_ppm_per_h / air_changes_per_h;
    balance + (before_ppm - balance) * (-air_changes_per_h * hours).exp()
}

/// Relative humidity indoors, percent, of outdoor air warmed or cooled without adding water (Magnus' formula, Alduchov & Eskridge 1996).
pub fn humidity_after_warming(outdoor_pct: f64, outdoor_c: f64, indoor_c: f64) -> f64 {
    let saturation_hpa = |c: f64| 6.1094 * (17.625 * c / (243.04 + c)).exp();
    (outdoor_pct * saturation_hpa(outdoor_c) / saturation_hpa(indoor_c)).clamp(15.0, 95.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room {
        time_constant_h: 40.0,
        internal_gain_k: 6.0,
        heat_below_c: 20.0,
        cool_above_c: 26.0,
        conditioning_k_per_h: 3.0,
    };

    #[test]
    fn an_occupied_room_stays_in_comfort_summer_and_winter() {
        for (outdoor, expected) in [(36.0, 26.0), (-3.0, 20.0)] {
            let mut indoor = 23.0;
            for _ in 0..96 {
                indoor = ROOM.step(indoor, outdoor, 1.0, 0.25);
            }
            assert!((indoor - expected).abs() < 0.2, "outdoor {outdoor}: {indoor}");
        }
    }

    #[test]
    fn step_length_does_not_matter_while_nothing_runs() {
        let long = ROOM.step(22.0, 18.0, 0.0, 1.0);
        let short = (0..3600).fold(22.0, |t, _| ROOM.step(t, 18.0, 0.0, 1.0 / 3600.0));
        assert!((long - short).abs() < 1e-9);
    }

    #[test]
    fn people_raise_carbon_dioxide_to_a_balance() {
        let mut ppm = 420.0;
        for _ in 0..1000 {
            ppm = co2_ppm(ppm, 420.0, 1.5, 600.0, 0.1);
        }
        assert!((ppm - 820.0).abs() < 1e-6);
    }

    #[test]
    fn warming_air_dries_it() {
        assert!((humidity_after_warming(70.0, 20.0, 20.0) - 70.0).abs() < 1e-9);
        assert!(humidity_after_warming(70.0, 5.0, 22.0) < 30.0);
    }
}
