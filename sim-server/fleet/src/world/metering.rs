//! What electrical meters read beside power: voltages, currents, registers, demand.

use super::{
    World,
    device::{Device, Equipment, MeterPlace},
    equipment::Report,
};
use jiff::tz::TimeZone;
use physics::electrical::{apparent_kva, line_current_a, power_factor, transformer_oil_c};
use serde::{Deserialize, Serialize};
use shared::{
    scene::Rating,
    time::{MINUTE_MS, Timestamp},
};

/// Demand as tariffs bill it: the mean over each whole interval, and the month's highest.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Demand {
    interval_ms: i64,
    interval_start: Timestamp,
    so_far_kwh: f64,
    so_far_h: f64,
    last_kw: f64,
    month_start: Timestamp,
    month_max_kw: f64,
}

impl Demand {
    pub(crate) fn new(interval_min: u32) -> Self {
        Self {
            interval_ms: i64::from(interval_min.max(1)) * MINUTE_MS,
            interval_start: Timestamp(0),
            so_far_kwh: 0.0,
            so_far_h: 0.0,
            last_kw: 0.0,
            month_start: Timestamp(0),
            month_max_kw: 0.0,
        }
    }

    /// Takes a step of `hours` that ended at `at`.
    pub(crate) fn take(&mut self, at: Timestamp, zone: &TimeZone, power_kw: f64, hours: f64) {
        let began = Timestamp(at.millis() - 1);
        let month = began.start_of_month(zone);
        if month != self.month_start {
            self.month_start = month;
            self.month_max_kw = 0.0;
        }
        let interval = began.floor_to(self.interval_ms);
        if interval != self.interval_start {
            self.interval_start = interval;
            self.so_far_kwh = 0.0;
            self.so_far_h = 0.0;
        }
        self.so_far_kwh += power_kw.max(0.0) * hours;
        self.so_far_h += hours;
        if at.millis() - interval.millis() >= self.interval_ms {
            self.last_kw = self.so_far_kwh / self.so_far_h;
            self.month_max_kw = self.month_max_kw.max(self.last_kw);
        }
    }
}

impl World {
    /// Adds what every electrical device measures of its connection.
    pub(super) fn report_meter(&self, at: usize, report: &mut Report) {
        let device = &self.devices[at];
        let (nominal_v, relative) = self.voltage_of(device);
        // Meters disagree by a few permille, and phases among each other.
        let wobble = |purpose: &str| device.site.noise.of(purpose).at(self.now, 20.0);
        let line_v = nominal_v * relative * (1.0 + 0.001 * wobble("voltage"));
        let apparent = apparent_kva(device.power_kw, device.reactive_kvar);
        // What hangs on one phase reads that phase.
        let (volts, current) = if device.is_single_phase() {
            (line_v / 3f64.sqrt(), apparent * 1e3 / (line_v / 3f64.sqrt()))
        } else {
            (line_v, line_current_a(apparent, line_v))
        };
        report.number("power", device.power_kw);
        report.number("reactive_power", device.reactive_kvar);
        report.number("apparent_power", apparent);
        report.number("power_factor", power_factor(device.power_kw, device.reactive_kvar));
        report.number("voltage", volts);
        for (line, phase, amps, purpose) in [
            ("voltage_ab", "voltage_a", "current_a", "a"),
            ("voltage_bc", "voltage_b", "current_b", "b"),
            ("voltage_ca", "voltage_c", "current_c", "c"),
        ] {
            let apart = 1.0 + 0.003 * wobble(purpose);
            report.number(line, line_v * apart);
            report.number(phase, line_v / 3f64.sqrt() * apart);
            report.number(amps, current * (1.0 + 0.02 * wobble(amps)));
        }
        report.number("current", current);
        report.number("frequency", 50.0 + 0.025 * self.grid_noise.of("frequency").at(self.now, 15.0));
        report.number("energy_import", device.meter.import_kwh);
        report.number("energy_export", device.meter.export_kwh);
        report.number("reactive_energy", device.meter.reactive_kvarh);
        report.number("heat_energy", device.meter.heat_kwh);
        report.number("gas_total", device.meter.gas_m3);
        report.number("running_hours", device.meter.running_h);
        if let Equipment::Meter(place) = device.equipment {
            self.report_feeder(device, place, apparent, report);
        }
    }

    fn report_feeder(&self, device: &Device, place: MeterPlace, apparent_kva: f64, report: &mut Report) {
        let (rated_kva, loss_kw) = match (&device.rating, place) {
            (Rating::FeederMeter { rated_kva }, MeterPlace::Bus(bus)) => {
                (*rated_kva, self.flows.loss_kw[bus])
            }
            (rating, _) => (rating.nameplate_kw(), self.flows.total_loss_kw()),
        };
        let load = apparent_kva / rated_kva;
        report.number("load_rate", 100.0 * load);
        report.number("loss_power", loss_kw);
        let oil = transformer_oil_c(self.conditions.weather.temperature_c, load);
        report.number("temperature", oil);
        report.number("winding_temperature", oil + 14.0 * load);
        report.number("demand", self.demand.last_kw);
        report.number("max_demand", self.demand.month_max_kw);
        report.number("thd", 1.6 + 0.8 * load);
        report.number("unbalance", 0.6 + 0.3 * device.site.noise.of("unbalance").at(self.now, 300.0));
        report.state("status", "running");
        report.state("switch", "closed");
    }

    /// Nominal line voltage and the share of it at the device's bus. The grid holds its connection within a percent or so.
    fn voltage_of(&self, device: &Device) -> (f64, f64) {
        let grid = 1.01 + 0.008 * self.grid_noise.of("voltage").at(self.now, 3_600.0);
        match device.connection {
            Some(connection) => {
                let along = self.flows.voltage.get(connection.bus).copied().unwrap_or(1.0);
                (connection.voltage_kv * 1e3, grid + along - 1.0)
            }
            None => (400.0, grid),
        }
    }
}
