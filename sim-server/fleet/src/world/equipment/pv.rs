//! A PV array: the sky over it, through the PVWatts chain; a set-point curtails it.

use super::{Moment, Report, Site};
use physics::{
    irradiance::{DEFAULT_ALBEDO, Plane},
    pv::{PvArray, PvOutput},
};

#[derive(Debug, Clone)]
pub(crate) struct Pv {
    array: PvArray,
    /// Dirt, mismatch and age of this array, a few percent off the ordinary one.
    condition: f64,
    last: PvOutput,
    available_kw: f64,
    ac_kw: f64,
    air_c: f64,
}

impl Pv {
    pub(crate) fn new(peak_kw: f64, inverter_kw: f64, tilt_deg: f64, azimuth_deg: f64, site: &Site) -> Self {
        Self {
            array: PvArray::pvwatts(
                peak_kw,
                inverter_kw,
                Plane { tilt_deg, azimuth_deg, albedo: DEFAULT_ALBEDO },
            ),
            condition: 0.96 + 0.05 * site.noise.of("soiling").constant(),
            last: PvOutput::default(),
            available_kw: 0.0,
            ac_kw: 0.0,
            air_c: 20.0,
        }
    }

    pub(crate) fn step(&mut self, moment: &Moment<'_>, site: &Site, set_point_kw: Option<f64>) -> f64 {
        let sky = moment.climate.sky_over(moment.conditions, site.position);
        let weather = &moment.conditions.weather;
        self.air_c = weather.temperature_c;
        self.last = self.array.output(
            &moment.conditions.sun,
            &sky,
            moment.conditions.extraterrestrial_dni_w_m2,
            weather.temperature_c,
            weather.wind_m_s,
        );
        self.available_kw = (self.last.ac_kw * self.condition).min(self.array.inverter_kw);
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
        /// Where strings of some twenty modules sit while tracking their maximum power.
        const STRING_V: f64 = 720.0;
        let curtailed = self.ac_kw < self.available_kw - 1e-9;
        let share = if self.available_kw > 0.0 { self.ac_kw / self.available_kw } else { 0.0 };
        let dc_kw = self.last.dc_kw * self.condition * share;
        let dc_v = if self.last.poa_w_m2 > 5.0 {
            STRING_V
                * (1.0 - 0.003 * (self.last.cell_temp_c - 25.0))
                * (1.0 + 0.06 * f64::from(curtailed as u8))
        } else {
            0.0
        };
        report.number("irradiance", self.last.poa_w_m2);
        report.number("module_temperature", self.last.cell_temp_c);
        report.number("temperature", self.air_c + 8.0 + 22.0 * self.ac_kw / self.array.inverter_kw);
        report.number("dc_power", dc_kw);
        report.number("dc_voltage", dc_v);
        report.number("dc_current", if dc_v > 0.0 { dc_kw * 1e3 / dc_v } else { 0.0 });
        report.number("available_power", self.available_kw);
        report.number("efficiency", if dc_kw > 1e-6 { 100.0 * self.ac_kw / dc_kw } else { 0.0 });
        report.number("insulation_resistance", 800.0 + 400.0 * (1.0 - self.condition));
        report.state(
            "status",
            if self.available_kw <= 0.0 {
                "standby"
            } else if curtailed {
                "curtailed"
            } else {
                "running"
            },
        );
    }
}
