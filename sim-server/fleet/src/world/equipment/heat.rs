//! A heat pump and the tank it fills.
//!
//! Without a set-point the pump runs at full power from the moment the tank is low until it is nearly full. The tank feeds warm water and,
//! in winter, the heating.

use super::{Moment, Report, Site};
use physics::{
    cooling::{heat_pump_cop, heating_demand_share},
    thermal_store::{StoreFlows, ThermalStore},
};
use serde::{Deserialize, Serialize};

/// Heat a cubic metre of water carries per kelvin, kWh.
const WATER_KWH_PER_M3_K: f64 = 1.163;

#[derive(Debug, Clone)]
pub(crate) struct HeatPump {
    power_kw: f64,
    cop_rated: f64,
    pub(crate) state: HeatPumpState,
    cop: f64,
    drawn_kw: f64,
    heat_kw: f64,
    supply_c: f64,
    outdoor_c: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeatPumpState {
    pub(crate) filling: bool,
}

impl HeatPump {
    pub(crate) fn new(power_kw: f64, cop_rated: f64) -> Self {
        Self {
            power_kw,
            cop_rated,
            state: HeatPumpState::default(),
            cop: cop_rated,
            drawn_kw: 0.0,
            heat_kw: 0.0,
            supply_c: 45.0,
            outdoor_c: 15.0,
        }
    }

    /// Heat it could give this step, kW, and the electrical power that would take. `store` is the tank it fills, with its
    /// temperature.
    pub(crate) fn wish(
        &mut self,
        moment: &Moment<'_>,
        site: &Site,
        store: Option<(&ThermalStore, f64)>,
        set_point_kw: Option<f64>,
    ) -> f64 {
        let weather = &moment.conditions.weather;
        self.outdoor_c = weather.temperature_c;
        self.supply_c = store.map_or(45.0, |(_, temperature)| temperature + 5.0);
        self.cop = heat_pump_cop(self.cop_rated, weather.temperature_c, self.supply_c);
        let own_kw = match store {
            Some((store, temperature)) => {
                let full = store.stored_kwh(temperature) / store.energy_kwh;
                self.state.filling = if self.state.filling { full < 0.95 } else { full < 0.45 };
                if self.state.filling { self.power_kw } else { 0.0 }
            }
            None => {
                let share = heating_demand_share(weather.temperature_c, site.occupancy(moment));
                (share * self.power_kw * self.cop_rated / self.cop).min(self.power_kw)
            }
        };
        set_point_kw.unwrap_or(own_kw).clamp(0.0, self.power_kw) * self.cop
    }

    /// Settles on the heat that was really taken.
    pub(crate) fn settle(&mut self, heat_kw: f64) -> f64 {
        self.heat_kw = heat_kw;
        self.drawn_kw = heat_kw / self.cop;
        self.drawn_kw
    }

    pub(crate) fn power_kw(&self) -> f64 {
        self.power_kw
    }

    pub(crate) fn report(&self, report: &mut Report) {
        let running = self.drawn_kw > 0.01;
        let rise = 5.0;
        report.number("heat_power", self.heat_kw);
        report.number("cop", if running { self.cop } else { 0.0 });
        report.number("supply_temperature", if running { self.supply_c } else { self.supply_c - 4.0 });
        report.number("return_temperature", if running { self.supply_c - rise } else { self.supply_c - 4.5 });
        report.number("flow", self.heat_kw / (WATER_KWH_PER_M3_K * rise));
        report.number("load_rate", 100.0 * self.drawn_kw / self.power_kw);
        report.number("outdoor_temperature", self.outdoor_c);
        report.number("evaporator_temperature", self.outdoor_c - if running { 8.0 } else { 0.0 });
        report.state("status", if running { "running" } else { "stopped" });
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Tank {
    store: ThermalStore,
    pub(crate) state: TankState,
    flows: StoreFlows,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TankState {
    pub(crate) temperature_c: f64,
}

impl Tank {
    pub(crate) fn new(store: ThermalStore, site: &Site) -> Self {
        let full = 0.5 + 0.3 * site.noise.of("store").constant();
        Self {
            store,
            state: TankState { temperature_c: store.min_c + full * (store.max_c - store.min_c) },
            flows: StoreFlows::default(),
        }
    }

    pub(crate) fn store(&self) -> &ThermalStore {
        &self.store
    }

    pub(crate) fn is_full(&self) -> bool {
        self.store.stored_kwh(self.state.temperature_c) >= 0.99 * self.store.energy_kwh
    }

    /// Takes what fits of the heat offered and feeds the taps and radiators; gives the heat taken. Warm water takes the tank's content in
    /// about two days, heating in the cold the same in five hours.
    pub(crate) fn step(&mut self, moment: &Moment<'_>, site: &Site, offered_kw: f64) -> f64 {
        let hour = f64::from(moment.conditions.local.hour());
        let showers = if (6.0..9.0).contains(&hour) || (18.0..23.0).contains(&hour) { 2.2 } else { 0.5 };
        let warm_water_kw = self.store.energy_kwh / 48.0 * showers;
        let heating_kw = self.store.energy_kwh / 5.0
            * heating_demand_share(moment.conditions.weather.temperature_c, site.occupancy(moment));
        let wander = 1.0 + 0.08 * site.noise.of("draw").at(moment.conditions.at, 600.0);
        let (after, flows) = self.store.step(
            self.state.temperature_c,
            offered_kw,
            (warm_water_kw + heating_kw) * wander,
            moment.conditions.weather.temperature_c,
            moment.hours,
        );
        self.state.temperature_c = after;
        self.flows = flows;
        flows.heat_in_kw
    }

    pub(crate) fn report(&self, report: &mut Report) {
        let store = &self.store;
        let stored_kwh = store.stored_kwh(self.state.temperature_c).max(0.0);
        let temperature = self.state.temperature_c;
        report.number("temperature", temperature);
        report.number("temperature_top", temperature + 2.5);
        report.number("temperature_bottom", temperature - 2.5);
        report.number("stored_energy", stored_kwh);
        report.number("soc", (100.0 * stored_kwh / store.energy_kwh).clamp(0.0, 100.0));
        report.number("heat_in", self.flows.heat_in_kw);
        report.number("heat_out", self.flows.heat_out_kw);
        report.number("heat_loss", self.flows.loss_kw);
        report.number("level", 92.0 + 0.05 * (temperature - store.min_c));
        report.number("pressure", 0.3 + 0.001 * (temperature - store.min_c));
        let net = self.flows.heat_in_kw - self.flows.heat_out_kw;
        report.number("heat_power", net);
        report.state(
            "status",
            if net > 1.0 {
                "charging"
            } else if self.flows.heat_out_kw > 1.0 {
                "discharging"
            } else {
                "idle"
            },
        );
    }
}
