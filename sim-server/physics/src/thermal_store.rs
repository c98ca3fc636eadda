//! A stratification-free water tank: what comes in, what goes out, what leaks.

use shared::scene::Rating;

/// A thermal store; its state is one number, its mean temperature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ThermalStore {
    /// Heat between `min_c` and `max_c`.
    pub energy_kwh: f64,
    pub min_c: f64,
    pub max_c: f64,
    pub loss_kw_per_k: f64,
}

/// What a step of the store did, kW means over the step; the balance closes: ΔE = (in − out − loss)·h.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StoreFlows {
    pub heat_in_kw: f64,
    pub heat_out_kw: f64,
    pub loss_kw: f64,
}

impl ThermalStore {
    /// The store a scene's rating describes; `None` for other kinds of device.
    pub fn from_rating(rating: &Rating) -> Option<Self> {
        match *rating {
            Rating::ThermalStore { energy_kwh, min_c, max_c, loss_kw_per_k } => {
                Some(Self { energy_kwh, min_c, max_c, loss_kw_per_k })
            }
            _ => None,
        }
    }

    pub fn capacity_kwh_per_k(&self) -> f64 {
        self.energy_kwh / (self.max_c - self.min_c)
    }

    /// Usable heat, kWh; negative below the least useful temperature.
    pub fn stored_kwh(&self, temperature_c: f64) -> f64 {
        (temperature_c - self.min_c) * self.capacity_kwh_per_k()
    }

    /// Runs `hours`: takes what fits of `heat_in_kw`, gives what there is of `heat_out_kw`, loses to `ambient_c` (first law, lumped tank:
    /// `C·dT/dt = Q_in − Q_out − U·(T − T_ambient)`, losses at the temperature the step starts from).
    pub fn step(
        &self,
        temperature_c: f64,
        heat_in_kw: f64,
        heat_out_kw: f64,
        ambient_c: f64,
        hours: f64,
    ) -> (f64, StoreFlows) {
        if hours <= 0.0 {
            return (temperature_c, StoreFlows::default());
        }
        let capacity = self.capacity_kwh_per_k();
        // Losses never carry the tank past the ambient temperature within one step.
        let equalising_kw = (temperature_c - ambient_c) * capacity / hours;
        let free_loss_kw = self.loss_kw_per_k * (temperature_c - ambient_c);
        let loss_kw = if equalising_kw >= 0.0 {
            free_loss_kw.min(equalising_kw)
        } else {
            free_loss_kw.max(equalising_kw)
        };
        let after_loss_kwh = self.stored_kwh(temperature_c) - loss_kw * hours;
        let heat_out_kw = heat_out_kw.max(0.0).min((after_loss_kwh / hours + heat_in_kw.max(0.0)).max(0.0));
        let room_kw = (self.energy_kwh - after_loss_kwh) / hours + heat_out_kw;
        let heat_in_kw = heat_in_kw.max(0.0).min(room_kw.max(0.0));
        let after_kwh = after_loss_kwh + (heat_in_kw - heat_out_kw) * hours;
        (self.min_c + after_kwh / capacity, StoreFlows { heat_in_kw, heat_out_kw, loss_kw })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STORE: ThermalStore =
        ThermalStore { energy_kwh: 2000.0, min_c: 40.0, max_c: 60.0, loss_kw_per_k: 0.2 };

    #[test]
    fn a_full_store_takes_only_its_losses_and_an_empty_one_gives_nothing() {
        let (after, flows) = STORE.step(60.0, 500.0, 0.0, 20.0, 1.0);
        assert!((after - 60.0).abs() < 1e-9);
        assert!((flows.heat_in_kw - 8.0).abs() < 1e-9, "{flows:?}");
        let (_, flows) = STORE.step(40.0, 0.0, 300.0, 20.0, 1.0);
        assert_eq!(flows.heat_out_kw, 0.0);
    }

    #[test]
    fn a_forgotten_store_cools_towards_its_surroundings_and_stops_there() {
        let mut temperature = 55.0;
        for _ in 0..100 {
            temperature = STORE.step(temperature, 0.0, 0.0, 20.0, 1000.0).0;
        }
        assert!((temperature - 20.0).abs() < 1e-6);
    }

    proptest! {
        #[test]
        fn the_energy_balance_closes(
            start in 40.0f64..=60.0,
            wishes in proptest::collection::vec((0.0f64..2000.0, 0.0f64..2000.0, 0.001f64..2.0), 1..100),
        ) {
            let mut temperature = start;
            for (heat_in, heat_out, hours) in wishes {
                let (after, flows) = STORE.step(temperature, heat_in, heat_out, 20.0, hours);
                let change = STORE.stored_kwh(after) - STORE.stored_kwh(temperature);
                let balance = (flows.heat_in_kw - flows.heat_out_kw - flows.loss_kw) * hours;
                prop_assert!((change - balance).abs() < 1e-6);
                prop_assert!(after <= 60.0 + 1e-9, "{after}");
                prop_assert!(flows.heat_in_kw <= heat_in + 1e-9 && flows.heat_out_kw <= heat_out + 1e-9);
                temperature = after;
            }
        }
    }
}
