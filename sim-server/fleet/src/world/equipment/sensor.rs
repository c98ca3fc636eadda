//! Sensors without power of their own: rooms, outdoor air, water, light, noise.

use super::{Moment, Report, Site};
use physics::building::{Room, co2_ppm, humidity_after_warming};
use serde::{Deserialize, Serialize};
use shared::scene::BuildingUse;

#[derive(Debug, Clone)]
pub(crate) struct Sensor {
    senses: String,
    room: Room,
    pub(crate) state: SensorState,
    occupancy: f64,
    outdoor_c: f64,
    outdoor_humidity_pct: f64,
    ghi_w_m2: f64,
    wind_m_s: f64,
    wander: f64,
    own: f64,
}

/// What a sensor's surroundings remember.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SensorState {
    pub(crate) indoor_c: f64,
    pub(crate) co2_ppm: f64,
    /// Water that has run through, m³.
    pub(crate) water_m3: f64,
    pub(crate) water_m3_h: f64,
}

const OUTDOOR_CO2_PPM: f64 = 425.0;

impl Sensor {
    pub(crate) fn new(senses: String, site: &Site) -> Self {
        let (heat_below_c, cool_above_c, gain) = match site.used_as {
            Some(BuildingUse::DataHall) => (18.0, 23.5, 14.0),
            Some(BuildingUse::Factory | BuildingUse::Warehouse) => (14.0, 28.5, 4.0),
            _ => (20.0, 26.0, 5.0),
        };
        let own = site.noise.of("own").constant();
        Self {
            senses,
            room: Room {
                time_constant_h: 30.0 + 20.0 * own,
                internal_gain_k: gain,
                heat_below_c: heat_below_c + own - 0.5,
                cool_above_c: cool_above_c + own - 0.5,
                conditioning_k_per_h: 3.0,
            },
            state: SensorState {
                indoor_c: 0.5 * (heat_below_c + cool_above_c),
                co2_ppm: 500.0,
                water_m3: 800.0 + 20_000.0 * own,
                water_m3_h: 0.0,
            },
            occupancy: 0.0,
            outdoor_c: 20.0,
            outdoor_humidity_pct: 60.0,
            ghi_w_m2: 0.0,
            wind_m_s: 2.0,
            wander: 0.0,
            own,
        }
    }

    pub(crate) fn step(&mut self, moment: &Moment<'_>, site: &Site) {
        const AIR_CHANGES_PER_H: f64 = 1.6;
        const PEOPLE_PPM_PER_H: f64 = 780.0;
        let weather = &moment.conditions.weather;
        self.occupancy = site.occupancy(moment);
        self.outdoor_c = weather.temperature_c;
        self.outdoor_humidity_pct = weather.relative_humidity_pct;
        self.ghi_w_m2 = moment.climate.sky_over(moment.conditions, site.position).ghi_w_m2;
        self.wind_m_s = weather.wind_m_s;
        self.wander = site.noise.of("wander").at(moment.conditions.at, 300.0);
        self.state.indoor_c =
            self.room.step(self.state.indoor_c, self.outdoor_c, self.occupancy, moment.hours);
        let source = PEOPLE_PPM_PER_H * self.occupancy * (0.8 + 0.4 * self.own);
        self.state.co2_ppm =
            co2_ppm(self.state.co2_ppm, OUTDOOR_CO2_PPM, AIR_CHANGES_PER_H, source, moment.hours);
        self.state.water_m3_h = (0.15 + 3.0 * self.occupancy) * (0.5 + self.own) * (1.0 + 0.3 * self.wander);
        self.state.water_m3 += self.state.water_m3_h * moment.hours;
    }

    pub(crate) fn report(&self, report: &mut Report) {
        let state = &self.state;
        let indoor = self.senses != "outdoor_air";
        let temperature = if indoor { state.indoor_c } else { self.outdoor_c };
        let humidity = if indoor {
            humidity_after_warming(self.outdoor_humidity_pct, self.outdoor_c, state.indoor_c)
        } else {
            self.outdoor_humidity_pct
        };
        report.number("temperature", temperature + 0.1 * self.wander);
        report.number("humidity", (humidity + 0.5 * self.wander).clamp(0.0, 100.0));
        report.number("co2", if indoor { state.co2_ppm } else { OUTDOOR_CO2_PPM } + 4.0 * self.wander);
        // Fine dust is thick in still winter air and thin in wind.
        let dust = (62.0 - 0.9 * self.outdoor_c - 4.0 * self.wind_m_s).max(8.0) * (1.0 + 0.15 * self.wander);
        let inside = if indoor { 0.45 } else { 1.0 };
        report.number("pm25", dust * inside);
        report.number("pm10", dust * inside * 1.6);
        report.number("o3", (30.0 + 0.12 * self.ghi_w_m2) * inside);
        report.number("no2", (34.0 - 3.0 * self.wind_m_s).max(6.0) * inside);
        report.number("so2", (9.0 - 0.5 * self.wind_m_s).max(2.0) * inside);
        report.number("co", (0.7 - 0.05 * self.wind_m_s).max(0.2) * inside);
        report.number("tvoc", 0.08 + 0.25 * self.occupancy * self.own);
        report.number("wind_speed", self.wind_m_s);
        report.number("flow", state.water_m3_h);
        report.number("volume", state.water_m3);
        report.number("pressure", 0.34 - 0.01 * state.water_m3_h.min(8.0) + 0.004 * self.wander);
        report.number("water_temperature", 12.0 + 0.4 * self.outdoor_c.max(0.0));
        // A lux for every hundredth of a watt: 110 lm/W of daylight.
        report.number(
            "illuminance",
            if self.senses == "light" { 110.0 * self.ghi_w_m2 } else { 320.0 * self.occupancy },
        );
        report.number("noise", 38.0 + 17.0 * self.occupancy + 1.2 * self.wind_m_s + 1.5 * self.wander);
        report.number("occupancy", 100.0 * self.occupancy);
        report.number("battery", 100.0 - 30.0 * self.own);
        report.state("status", "running");
    }
}
