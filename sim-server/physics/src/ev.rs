//! A car at a charger: constant current, then constant voltage.
//!
//! Powers are at the meter (AC); the charger's efficiency lies between meter and battery.

/// The battery of a plugged car.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Car {
    pub capacity_kwh: f64,
    /// 0 to 1.
    pub soc: f64,
    /// Where the driver wants to stop.
    pub target_soc: f64,
}

/// A charging point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChargingPoint {
    pub power_kw: f64,
    /// Least power a car accepts before it pauses (IEC 61851: 6 A).
    pub min_kw: f64,
    pub efficiency: f64,
}

/// State of charge from which a car at `charger_kw` takes less and less: with hours-long charging the constant-voltage phase begins
/// near the top, with fast charging (more than half the capacity an hour) at 80 % (shape: Lee et al., "ACN-Sim", IEEE Trans. Smart
/// Grid 12, 2021, linear two-stage battery).
pub fn taper_start_soc(charger_kw: f64, capacity_kwh: f64) -> f64 {
    if charger_kw > 0.5 * capacity_kwh { 0.8 } else { 0.95 }
}

/// Share of full power a nearly full car still takes.
const SHARE_AT_FULL: f64 = 0.05;

/// How fast the share of full power falls with the state of charge beyond the taper's start.
fn taper_slope(taper_start: f64) -> f64 {
    (1.0 - SHARE_AT_FULL) / (1.0 - taper_start)
}

/// Share of full power a car still takes at a state of charge: 1 below the taper, then falling linearly to 5 % at full.
pub fn taper(soc: f64, taper_start: f64) -> f64 {
    1.0 - taper_slope(taper_start) * (soc.min(1.0) - taper_start).max(0.0)
}

impl Car {
    /// A car that will need `needed_kwh` in its battery to reach `target_soc`: the capacity is an ordinary 60 kWh, or more where the
    /// need says so.
    pub fn needing(needed_kwh: f64) -> Self {
        const ORDINARY_KWH: f64 = 60.0;
        const LEAST_SOC: f64 = 0.05;
        let capacity_kwh = ORDINARY_KWH.max(needed_kwh / (1.0 - LEAST_SOC));
        Self { capacity_kwh, soc: 1.0 - needed_kwh / capacity_kwh, target_soc: 1.0 }
    }

    pub fn needed_kwh(&self) -> f64 {
        ((self.target_soc - self.soc) * self.capacity_kwh).max(0.0)
    }

    pub fn is_full(&self) -> bool {
        self.needed_kwh() < 1e-6
    }
}

impl ChargingPoint {
    /// The most the car takes now, kW at the meter; 0 when full.
    pub fn limit_kw(&self, car: &Car) -> f64 {
        if car.is_full() {
            return 0.0;
        }
        self.power_kw * taper(car.soc, taper_start_soc(self.power_kw, car.capacity_kwh))
    }

    /// Charges for `hours` at no more than `wanted_kw`: gives the car afterwards and the mean power drawn. Less than the least power
    /// is a pause. Exact for any length of step: constant power up to where the taper crosses it, then the taper's exponential
    /// `dy/dt = −m·r·y` of the share `y` of full power still taken, stopping at the target.
    pub fn step(&self, car: Car, wanted_kw: f64, hours: f64) -> (Car, f64) {
        if hours <= 0.0 || wanted_kw.is_nan() || wanted_kw < self.min_kw || car.is_full() {
            return (car, 0.0);
        }
        let start = taper_start_soc(self.power_kw, car.capacity_kwh);
        let slope = taper_slope(start);
        let constant_kw = wanted_kw.min(self.power_kw);
        // State of charge where the taper allows just the constant power.
        let crossing = (start + (1.0 - constant_kw / self.power_kw) / slope).min(car.target_soc);
        let soc_per_kwh = self.efficiency / car.capacity_kwh;

        let mut after = car;
        let mut left_h = hours;
        if after.soc < crossing {
            let constant_h = ((crossing - after.soc) / (constant_kw * soc_per_kwh)).min(left_h);
            after.soc += constant_kw * soc_per_kwh * constant_h;
            left_h -= constant_h;
        }
        if left_h > 0.0 && after.soc < car.target_soc {
            let share = taper(after.soc, start);
            let later = share * (-slope * self.power_kw * soc_per_kwh * left_h).exp();
            after.soc = (after.soc + (share - later) / slope).min(car.target_soc);
        }
        (after, (after.soc - car.soc) / soc_per_kwh / hours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: ChargingPoint = ChargingPoint { power_kw: 7.0, min_kw: 1.4, efficiency: 0.92 };

    #[test]
    fn power_tapers_only_near_full() {
        for (soc, expected) in [(0.2, 1.0), (0.8, 1.0), (0.9, 0.525), (1.0, 0.05)] {
            assert!((taper(soc, 0.8) - expected).abs() < 1e-12, "soc {soc}");
        }
        assert_eq!(taper_start_soc(120.0, 60.0), 0.8);
        assert_eq!(taper_start_soc(7.0, 60.0), 0.95);
    }

    #[test]
    fn a_car_gets_what_it_needs_and_not_more() {
        let mut car = Car::needing(20.0);
        let mut drawn_kwh = 0.0;
        for _ in 0..24 {
            let (after, power) = POINT.step(car, 7.0, 0.5);
            drawn_kwh += power * 0.5;
            car = after;
        }
        assert!(car.is_full());
        assert!((drawn_kwh * 0.92 - 20.0).abs() < 1e-6, "{drawn_kwh}");
        assert_eq!(POINT.step(car, 7.0, 1.0).1, 0.0);
    }

    #[test]
    fn one_long_step_is_as_good_as_many_short_ones() {
        let point = ChargingPoint { power_kw: 120.0, min_kw: 5.0, efficiency: 0.95 };
        let start = Car::needing(45.0);
        let (long, _) = point.step(start, 120.0, 0.5);
        let mut short = start;
        for _ in 0..1800 {
            short = point.step(short, 120.0, 1.0 / 3600.0).0;
        }
        assert!((long.soc - short.soc).abs() < 1e-9, "{} {}", long.soc, short.soc);
    }

    #[test]
    fn less_than_the_least_power_is_a_pause() {
        let car = Car::needing(20.0);
        assert_eq!(POINT.step(car, 1.0, 1.0), (car, 0.0));
        assert_eq!(POINT.step(car, f64::NAN, 1.0), (car, 0.0));
        assert!(POINT.step(car, 1.4, 1.0).1 > 1.39);
    }

    #[test]
    fn a_need_larger_than_an_ordinary_car_means_a_larger_car() {
        let car = Car::needing(90.0);
        assert!((car.needed_kwh() - 90.0).abs() < 1e-9);
        assert!(car.soc >= 0.05 - 1e-12);
    }
}
