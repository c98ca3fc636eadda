//! A chiller: cools what its building asks for, as well as the day's heat lets it.

use super::{Moment, Report, Site, relax};
use physics::cooling::{chiller_cop, cooling_demand_share};
use shared::scene::BuildingUse;

#[derive(Debug, Clone)]
pub(crate) struct Chiller {
    power_kw: f64,
    cop_rated: f64,
    cop: f64,
    drawn_kw: f64,
    cooling_kw: f64,
    demand_kw: f64,
    supply_c: f64,
    outdoor_c: f64,
}

/// Leaving and returning water at full load, °C.
const SUPPLY_C: f64 = 7.0;
const RETURN_RISE_K: f64 = 5.0;

impl Chiller {
    pub(crate) fn new(power_kw: f64, cop_rated: f64) -> Self {
        Self {
            power_kw,
            cop_rated,
            cop: cop_rated,
            drawn_kw: 0.0,
            cooling_kw: 0.0,
            demand_kw: 0.0,
            supply_c: SUPPLY_C,
            outdoor_c: 20.0,
        }
    }

    pub(crate) fn step(&mut self, moment: &Moment<'_>, site: &Site, set_point_kw: Option<f64>) -> f64 {
        let weather = &moment.conditions.weather;
        self.outdoor_c = weather.temperature_c;
        let share = match site.used_as {
            // Servers give off heat day and night; the weather only adds to it.
            Some(BuildingUse::DataHall) => 0.45 + 0.4 * cooling_demand_share(weather.temperature_c, 1.0),
            _ => cooling_demand_share(weather.temperature_c, site.occupancy(moment)),
        };
        let wander = 1.0 + 0.04 * site.noise.of("demand").at(moment.conditions.at, 900.0);
        self.cop = chiller_cop(self.cop_rated, weather.temperature_c);
        self.demand_kw = share * wander * self.power_kw * self.cop_rated * 0.9;
        let limit_kw = set_point_kw.unwrap_or(self.power_kw).clamp(0.0, self.power_kw);
        let wanted_kw = self.demand_kw / self.cop;
        // Below a tenth of its power a compressor is off rather than idling.
        self.drawn_kw = if wanted_kw < 0.08 * self.power_kw { 0.0 } else { wanted_kw.min(limit_kw) };
        self.cooling_kw = self.drawn_kw * self.cop;
        let unmet =
            if self.demand_kw > 0.0 { 1.0 - (self.cooling_kw / self.demand_kw).min(1.0) } else { 0.0 };
        let target = if self.drawn_kw > 0.0 { SUPPLY_C + 6.0 * unmet } else { 14.0 };
        self.supply_c = relax(self.supply_c, target, 0.3, moment.hours);
        self.drawn_kw
    }

    pub(crate) fn cooling_kw(&self) -> f64 {
        self.cooling_kw
    }

    /// The power its demand comes to, without a set-point.
    pub(crate) fn wanted_kw(&self) -> f64 {
        (self.demand_kw / self.cop).min(self.power_kw)
    }

    pub(crate) fn report(&self, report: &mut Report) {
        /// Heat a cubic metre of water carries per kelvin, kWh.
        const WATER_KWH_PER_M3_K: f64 = 1.163;
        let running = self.drawn_kw > 0.0;
        let load = self.drawn_kw / self.power_kw;
        let rise = if running { 2.0 + (RETURN_RISE_K - 2.0) * load } else { 0.3 };
        report.number("cooling_power", self.cooling_kw);
        report.number("cop", if running { self.cop } else { 0.0 });
        report.number("load_rate", 100.0 * load);
        report.number("supply_temperature", self.supply_c);
        report.number("return_temperature", self.supply_c + rise);
        report.number("flow", self.cooling_kw / (WATER_KWH_PER_M3_K * rise));
        report.number("condenser_temperature", self.outdoor_c + if running { 8.0 + 6.0 * load } else { 0.0 });
        report.number("outdoor_temperature", self.outdoor_c);
        report.state("status", if running { "running" } else { "stopped" });
    }
}
