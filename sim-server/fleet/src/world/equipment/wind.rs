//! A wind turbine: the park's wind at hub height, through its power curve; a set-point pitches it back.

use super::{Moment, Report, Site};
use physics::wind::{Turbine, air_density_kg_m3, wind_at_height_log};

/// Industrial ground with scattered buildings, m (Stull's table 9.6 between farmland and suburb).
const ROUGHNESS_M: f64 = 0.1;
/// Height at which weather stations measure, m.
const MEASURED_AT_M: f64 = 10.0;

#[derive(Debug, Clone)]
pub(crate) struct WindTurbine {
    turbine: Turbine,
    hub_wind_m_s: f64,
    direction_deg: f64,
    available_kw: f64,
    ac_kw: f64,
    air_c: f64,
}

impl WindTurbine {
    pub(crate) fn new(rated_kw: f64, hub_height_m: f64, rotor_diameter_m: f64) -> Self {
        Self {
            turbine: Turbine::from_nameplate(rated_kw, hub_height_m, rotor_diameter_m),
            hub_wind_m_s: 0.0,
            direction_deg: 0.0,
            available_kw: 0.0,
            ac_kw: 0.0,
            air_c: 15.0,
        }
    }

    pub(crate) fn step(&mut self, moment: &Moment<'_>, site: &Site, set_point_kw: Option<f64>) -> f64 {
        let weather = &moment.conditions.weather;
        let own_gust = 1.0 + 0.05 * site.noise.of("gust").at(moment.conditions.at, 12.0);
        self.hub_wind_m_s =
            wind_at_height_log(weather.wind_m_s, MEASURED_AT_M, self.turbine.hub_height_m, ROUGHNESS_M)
                * own_gust;
        self.direction_deg = weather.wind_direction_deg;
        self.air_c = weather.temperature_c;
        let density = air_density_kg_m3(weather.temperature_c, moment.climate.elevation_m());
        self.available_kw = self.turbine.power_in_air_kw(self.hub_wind_m_s, density);
        self.ac_kw = match set_point_kw {
            Some(set_point) => self.available_kw.min((-set_point).max(0.0)),
            None => self.available_kw,
        };
        -self.ac_kw
    }

    pub(crate) fn available_kw(&self) -> f64 {
        self.available_kw
    }

    pub(crate) fn report(&self, report: &mut Report) {
        let curtailed = self.ac_kw < self.available_kw - 1e-9;
        let load = self.ac_kw / self.turbine.rated_kw;
        let above_rated = (self.hub_wind_m_s - self.turbine.rated_m_s).max(0.0);
        let stopped = self.hub_wind_m_s >= self.turbine.cut_out_m_s;
        report.number("wind_speed", self.hub_wind_m_s);
        report.number("wind_direction", self.direction_deg);
        report.number("yaw", self.direction_deg);
        report.number("rotor_speed", self.turbine.rotor_rpm(self.hub_wind_m_s));
        let pitch =
            if stopped { 88.0 } else { (above_rated * 1.6 + f64::from(curtailed as u8) * 6.0).min(88.0) };
        report.number("pitch", pitch);
        report.number("available_power", self.available_kw);
        report.number("nacelle_temperature", self.air_c + 6.0 + 14.0 * load);
        report.number("gearbox_temperature", self.air_c + 18.0 + 34.0 * load);
        report.number("temperature", self.air_c + 18.0 + 34.0 * load);
        report.state(
            "status",
            if stopped {
                "stopped"
            } else if self.available_kw <= 0.0 {
                "standby"
            } else if curtailed {
                "curtailed"
            } else {
                "running"
            },
        );
    }
}
