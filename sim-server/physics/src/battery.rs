//! A battery between its limits: power, efficiency, state of charge.
//!
//! The equation is the dispatch problem's own, so that a plan and what happens agree:
//! `e_t = a·e_{t−1} + h·η_c·c − h·d/η_d`, `a = (1 − self-discharge)^h`.

use shared::scene::Rating;

/// What a battery can do. Powers are AC, as its meter sees them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Battery {
    pub energy_kwh: f64,
    pub charge_kw: f64,
    pub discharge_kw: f64,
    pub charge_efficiency: f64,
    pub discharge_efficiency: f64,
    /// Bounds its management system keeps, 0 to 1.
    pub soc_min: f64,
    pub soc_max: f64,
    pub self_discharge_per_hour: f64,
}

impl Battery {
    /// The battery a scene's storage rating describes; `None` for other kinds of device.
    pub fn from_rating(rating: &Rating) -> Option<Self> {
        match *rating {
            Rating::Storage {
                energy_kwh,
                charge_kw,
                discharge_kw,
                charge_efficiency,
                discharge_efficiency,
                soc_min,
                soc_max,
                ..
            } => Some(Self {
                energy_kwh,
                charge_kw,
                discharge_kw,
                charge_efficiency,
                discharge_efficiency,
                soc_min,
                soc_max,
                self_discharge_per_hour: 0.0,
            }),
            _ => None,
        }
    }

    /// The most it can draw over the next `hours` at this state of charge, kW ≥ 0.
    pub fn charge_limit_kw(&self, soc: f64, hours: f64) -> f64 {
        let room_kwh = ((self.soc_max - soc * self.kept_share(hours)) * self.energy_kwh).max(0.0);
        self.charge_kw.min(room_kwh / (self.charge_efficiency * hours))
    }

    /// The most it can feed in over the next `hours` at this state of charge, kW ≥ 0.
    pub fn discharge_limit_kw(&self, soc: f64, hours: f64) -> f64 {
        let stored_kwh = ((soc * self.kept_share(hours) - self.soc_min) * self.energy_kwh).max(0.0);
        self.discharge_kw.min(stored_kwh * self.discharge_efficiency / hours)
    }

    /// Runs `hours` at `wanted_kw` (positive charges) as far as power and energy allow: gives the new state of charge and
    /// the power really drawn. A state of charge outside the bounds is brought back by use, never pushed further out.
    pub fn step(&self, soc: f64, wanted_kw: f64, hours: f64) -> (f64, f64) {
        let rested = soc * self.kept_share(hours);
        if hours <= 0.0 || !wanted_kw.is_finite() {
            return (rested, 0.0);
        }
        if wanted_kw >= 0.0 {
            let drawn_kw = wanted_kw.min(self.charge_limit_kw(soc, hours));
            (rested + drawn_kw * self.charge_efficiency * hours / self.energy_kwh, drawn_kw)
        } else {
            let fed_kw = (-wanted_kw).min(self.discharge_limit_kw(soc, hours));
            (rested - fed_kw / self.discharge_efficiency * hours / self.energy_kwh, -fed_kw)
        }
    }

    fn kept_share(&self, hours: f64) -> f64 {
        if self.self_discharge_per_hour == 0.0 {
            1.0
        } else {
            (1.0 - self.self_discharge_per_hour).powf(hours)
        }
    }

    /// Voltage of a lithium iron phosphate string as a share of nominal, by state of charge: a flat plateau with knees at both ends
    /// (shape of Tremblay & Dessaint's model, World Electric Vehicle Journal 3, 2009), plus the drop over an internal resistance of
    /// 3 % at full power. `power_share` is power over rated power, positive charging.
    pub fn relative_voltage(soc: f64, power_share: f64) -> f64 {
        let soc = soc.clamp(0.0, 1.0);
        let open_circuit =
            0.97 + 0.05 * soc + 0.03 * (-(1.0 - soc) * 25.0).exp() - 0.12 * (-soc * 25.0).exp();
        open_circuit + 0.03 * power_share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BATTERY: Battery = Battery {
        energy_kwh: 1000.0,
        charge_kw: 500.0,
        discharge_kw: 400.0,
        charge_efficiency: 0.95,
        discharge_efficiency: 0.94,
        soc_min: 0.1,
        soc_max: 0.9,
        self_discharge_per_hour: 0.0,
    };

    #[test]
    fn power_is_cut_where_rating_or_energy_ends() {
        for (soc, wanted, hours, expected_kw) in [
            (0.5, 100.0, 1.0, 100.0),
            (0.5, 900.0, 0.25, 500.0),
            (0.5, -900.0, 0.25, -400.0),
            (0.9, 100.0, 0.25, 0.0),
            (0.1, -100.0, 0.25, 0.0),
            (0.89, 500.0, 1.0, 10.0 / 0.95),
            (0.11, -400.0, 1.0, -9.4),
            (0.95, 100.0, 1.0, 0.0),
            (0.5, f64::NAN, 1.0, 0.0),
        ] {
            let (_, drawn) = BATTERY.step(soc, wanted, hours);
            assert!((drawn - expected_kw).abs() < 1e-9, "soc {soc} wanted {wanted}: {drawn}");
        }
    }

    #[test]
    fn a_round_trip_loses_both_efficiencies() {
        let (full, drawn) = BATTERY.step(0.5, 200.0, 1.0);
        let mut soc = full;
        let mut returned_kwh = 0.0;
        while soc > 0.5 + 1e-9 {
            let (next, fed) = BATTERY.step(soc, -((soc - 0.5) * 1000.0 * 0.94).min(50.0), 1.0);
            returned_kwh -= fed;
            soc = next;
        }
        assert!((returned_kwh - drawn * 0.95 * 0.94).abs() < 1e-6);
    }

    #[test]
    fn a_battery_left_alone_loses_only_its_self_discharge() {
        let leaky = Battery { self_discharge_per_hour: 0.001, ..BATTERY };
        assert_eq!(BATTERY.step(0.5, 0.0, 10.0), (0.5, 0.0));
        assert!((leaky.step(0.5, 0.0, 10.0).0 - 0.5 * 0.999f64.powi(10)).abs() < 1e-12);
    }

    #[test]
    fn voltage_rises_with_charge_and_with_charging() {
        assert!(Battery::relative_voltage(0.9, 0.0) > Battery::relative_voltage(0.5, 0.0));
        assert!(Battery::relative_voltage(0.5, 0.0) > Battery::relative_voltage(0.02, 0.0));
        assert!(Battery::relative_voltage(0.5, 1.0) > Battery::relative_voltage(0.5, -1.0));
    }

    proptest! {
        #[test]
        fn the_state_of_charge_stays_in_bounds_whatever_is_asked(
            start in 0.1f64..=0.9,
            wishes in proptest::collection::vec((-5000.0f64..5000.0, 0.0001f64..6.0), 1..200),
        ) {
            let mut soc = start;
            for (wanted, hours) in wishes {
                let (next, drawn) = BATTERY.step(soc, wanted, hours);
                prop_assert!((0.1 - 1e-9..=0.9 + 1e-9).contains(&next), "{soc} → {next}");
                prop_assert!(drawn.abs() <= wanted.abs() + 1e-9);
                prop_assert!((-400.0..=500.0).contains(&drawn));
                let stored = if drawn >= 0.0 { drawn * 0.95 } else { drawn / 0.94 } * hours;
                prop_assert!(((next - soc) * 1000.0 - stored).abs() < 1e-6);
                soc = next;
            }
        }
    }
}
