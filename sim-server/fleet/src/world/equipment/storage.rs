//! A battery container. Without a set-point it rests; while the past is filled in it follows the tariff instead.

use super::{super::Rule, Moment, Report, Site, relax};
use physics::battery::Battery;
use serde::{Deserialize, Serialize};
use shared::{scene::Rating, tariff::Band};

#[derive(Debug, Clone)]
pub(crate) struct Storage {
    battery: Battery,
    pub(crate) state: StorageState,
    /// Full cycles before the simulation began.
    earlier_cycles: f64,
    spread: f64,
}

/// What a battery remembers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct StorageState {
    /// 0 to 1.
    pub(crate) soc: f64,
    pub(crate) temperature_c: f64,
    /// Energy through the battery in either direction, kWh.
    pub(crate) throughput_kwh: f64,
    /// In the last step; positive when charging.
    pub(crate) power_kw: f64,
}

impl Storage {
    pub(crate) fn new(rating: &Rating, site: &Site) -> Option<Self> {
        let battery = Battery::from_rating(rating)?;
        let start = 0.35 + 0.2 * site.noise.of("soc").constant();
        Some(Self {
            battery,
            state: StorageState {
                soc: start.clamp(battery.soc_min, battery.soc_max),
                temperature_c: 25.0,
                throughput_kwh: 0.0,
                power_kw: 0.0,
            },
            earlier_cycles: 150.0 + 250.0 * site.noise.of("age").constant(),
            spread: 0.5 + site.noise.of("spread").constant(),
        })
    }

    pub(crate) fn battery(&self) -> &Battery {
        &self.battery
    }

    /// Continues from a remembered state, inside today's bounds.
    pub(crate) fn restore(&mut self, state: Option<StorageState>) {
        if let Some(state) = state {
            let soc = state.soc.clamp(self.battery.soc_min, self.battery.soc_max);
            self.state = StorageState { soc, ..state };
        }
    }

    /// What it does of itself. Resting is the safe thing while nobody asks; a park without any history of storage would have nothing
    /// to show, so the past follows the simple rule most sites run: charge slowly through the valley, discharge in the peak as far as
    /// the park itself draws.
    fn own_rule_kw(&self, moment: &Moment<'_>) -> f64 {
        match (moment.rule, moment.band) {
            (Rule::Rest, _) | (Rule::TimeOfUse, Band::Flat) => 0.0,
            (Rule::TimeOfUse, Band::Valley) => 0.4 * self.battery.charge_kw,
            (Rule::TimeOfUse, Band::Peak | Band::Critical) => {
                -(0.5 * self.battery.discharge_kw).min((moment.grid_kw - self.state.power_kw).max(0.0) / 4.0)
            }
        }
    }

    pub(crate) fn step(&mut self, moment: &Moment<'_>, set_point_kw: Option<f64>) -> f64 {
        let wanted_kw = set_point_kw.unwrap_or_else(|| self.own_rule_kw(moment));
        let (soc, drawn_kw) = self.battery.step(self.state.soc, wanted_kw, moment.hours);
        self.state.soc = soc;
        self.state.throughput_kwh += drawn_kw.abs() * moment.hours;
        self.state.power_kw = drawn_kw;
        let load = drawn_kw.abs() / self.battery.charge_kw.max(self.battery.discharge_kw);
        // Liquid cooling holds 25 °C give or take what the day and the load do to it.
        let target = 25.0 + 0.15 * (moment.conditions.weather.temperature_c - 25.0) + 9.0 * load;
        self.state.temperature_c = relax(self.state.temperature_c, target, 1.5, moment.hours);
        drawn_kw
    }

    pub(crate) fn report(&self, report: &mut Report) {
        const NOMINAL_V: f64 = 768.0;
        const CELLS_IN_SERIES: f64 = 240.0;
        let battery = &self.battery;
        let rated = battery.charge_kw.max(battery.discharge_kw);
        let dc_v = NOMINAL_V * Battery::relative_voltage(self.state.soc, self.state.power_kw / rated);
        let cycles = self.earlier_cycles + self.state.throughput_kwh / (2.0 * battery.energy_kwh);
        let soh = 100.0 - 0.003 * cycles;
        let cell_v = dc_v / CELLS_IN_SERIES;
        // Far apart cells are, grows towards both ends of the charge.
        let apart = (0.004 + 0.03 * (self.state.soc - 0.5).powi(4) * 16.0) * self.spread;
        report.number("soc", 100.0 * self.state.soc);
        report.number("soh", soh);
        report.number("stored_energy", self.state.soc * battery.energy_kwh);
        report.number("dc_voltage", dc_v);
        report.number("dc_current", self.state.power_kw * 1e3 / dc_v);
        report.number("temperature", self.state.temperature_c);
        report.number("temperature_max", self.state.temperature_c + 1.5 * self.spread);
        report.number("temperature_min", self.state.temperature_c - 1.2 * self.spread);
        report.number("cell_voltage_max", cell_v + apart);
        report.number("cell_voltage_min", cell_v - apart);
        report.number("cycles", cycles);
        report.number("charge_limit", battery.charge_limit_kw(self.state.soc, 0.25));
        report.number("discharge_limit", battery.discharge_limit_kw(self.state.soc, 0.25));
        report.state(
            "status",
            if self.state.power_kw > 0.05 {
                "charging"
            } else if self.state.power_kw < -0.05 {
                "discharging"
            } else {
                "idle"
            },
        );
    }
}
