//! Chillers and heat pumps: how much heat a kilowatt-hour moves at the day's temperatures.
//!
//! Both reach a fixed share of Carnot's efficiency; the share is fitted to the nameplate at its rating conditions, so
//! that only the nameplate is needed.

/// Absolute zero, °C.
const KELVIN: f64 = 273.15;

/// Temperature difference over each heat exchanger, K: what the refrigerant is beyond air and water.
const APPROACH_K: f64 = 8.0;

/// An air-cooled chiller: COP `cop_rated` at 35 °C outside (GB/T 18430.1), water leaving at 7 °C.
///
/// `COP(T) = cop_rated · Carnot(T) / Carnot(35)`, condenser 8 K above the outside air, which is counted as at least 15 °C: condensing
/// pressure is held up on cool days.
pub fn chiller_cop(cop_rated: f64, outdoor_c: f64) -> f64 {
    const LEAVING_C: f64 = 7.0;
    const RATED_OUTDOOR_C: f64 = 35.0;
    const LEAST_OUTDOOR_C: f64 = 15.0;
    let carnot = |outdoor: f64| {
        let evaporator = LEAVING_C + KELVIN;
        evaporator / (outdoor + APPROACH_K - LEAVING_C)
    };
    cop_rated * carnot(outdoor_c.max(LEAST_OUTDOOR_C)) / carnot(RATED_OUTDOOR_C)
}

/// An air-source heat pump: COP `cop_rated` at 7 °C outside and 45 °C supply (GB/T 25127.1).
///
/// `COP = cop_rated · Carnot(T_out, T_supply) / Carnot(7, 45)`, evaporator 8 K below the air, condenser 8 K above the supply; never
/// below 1: it is then a resistance heater.
pub fn heat_pump_cop(cop_rated: f64, outdoor_c: f64, supply_c: f64) -> f64 {
    const RATED_OUTDOOR_C: f64 = 7.0;
    const RATED_SUPPLY_C: f64 = 45.0;
    const LEAST_LIFT_K: f64 = 15.0;
    let carnot = |outdoor: f64, supply: f64| {
        let lift = (supply - outdoor + 2.0 * APPROACH_K).max(LEAST_LIFT_K);
        (supply + APPROACH_K + KELVIN) / lift
    };
    (cop_rated * carnot(outdoor_c, supply_c) / carnot(RATED_OUTDOOR_C, RATED_SUPPLY_C)).max(1.0)
}

/// Share of full cooling a building asks for: sun and people inside, the air outside. 0 below 18 °C outside when empty, 1 at
/// 36 °C when fully occupied (a cooling-degree line as in ASHRAE Fundamentals, ch. 19, fitted to a subtropical office).
pub fn cooling_demand_share(outdoor_c: f64, occupancy: f64) -> f64 {
    const BALANCE_EMPTY_C: f64 = 26.0;
    const BALANCE_OCCUPIED_C: f64 = 18.0;
    const DESIGN_C: f64 = 36.0;
    let occupancy = occupancy.clamp(0.0, 1.0);
    let balance = BALANCE_EMPTY_C + (BALANCE_OCCUPIED_C - BALANCE_EMPTY_C) * occupancy;
    ((outdoor_c - balance) / (DESIGN_C - BALANCE_OCCUPIED_C)).clamp(0.0, 1.0)
}

/// Share of full heating a building asks for: 0 above 16 °C outside, 1 at −5 °C; an empty building is kept at 60 % of it.
pub fn heating_demand_share(outdoor_c: f64, occupancy: f64) -> f64 {
    const BALANCE_C: f64 = 16.0;
    const DESIGN_C: f64 = -5.0;
    let setback = 0.6 + 0.4 * occupancy.clamp(0.0, 1.0);
    (setback * (BALANCE_C - outdoor_c) / (BALANCE_C - DESIGN_C)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nameplate_holds_at_its_rating_conditions() {
        assert!((chiller_cop(5.0, 35.0) - 5.0).abs() < 1e-12);
        assert!((heat_pump_cop(3.5, 7.0, 45.0) - 3.5).abs() < 1e-12);
    }

    #[test]
    fn a_hot_day_is_hard_on_chillers_and_a_cold_one_on_heat_pumps() {
        assert!(chiller_cop(5.0, 25.0) > 5.0 && chiller_cop(5.0, 40.0) < 5.0);
        assert_eq!(chiller_cop(5.0, 0.0), chiller_cop(5.0, 15.0));
        assert!(heat_pump_cop(3.5, 15.0, 45.0) > 3.5 && heat_pump_cop(3.5, -10.0, 45.0) < 3.5);
        assert!(heat_pump_cop(3.5, 7.0, 60.0) < 3.5);
        assert_eq!(heat_pump_cop(1.0, -40.0, 80.0), 1.0);
    }

    #[test]
    fn demand_follows_the_weather_and_the_people() {
        assert_eq!(cooling_demand_share(10.0, 1.0), 0.0);
        assert_eq!(cooling_demand_share(36.0, 1.0), 1.0);
        assert!(cooling_demand_share(30.0, 1.0) > cooling_demand_share(30.0, 0.0));
        assert_eq!(heating_demand_share(20.0, 1.0), 0.0);
        assert_eq!(heating_demand_share(-5.0, 1.0), 1.0);
        assert!(heating_demand_share(5.0, 1.0) > heating_demand_share(5.0, 0.0));
    }
}
