//! The gas boiler for process heat, and the monitor on its stack.

use super::{Moment, Report, Site};
use physics::boiler::{Boiler, BoilerOutput, to_reference_o2};
use shared::scene::BuildingUse;

#[derive(Debug, Clone)]
pub(crate) struct GasBoiler {
    boiler: Boiler,
    pub(crate) output: BoilerOutput,
}

impl GasBoiler {
    pub(crate) fn new(heat_kw: f64, efficiency: f64) -> Self {
        let boiler = Boiler { heat_kw, efficiency };
        Self { boiler, output: boiler.run(0.0) }
    }

    pub(crate) fn rated_heat_kw(&self) -> f64 {
        self.boiler.heat_kw
    }

    /// Process steam by shifts, plus space heat as the measured heat demand of the season and hour says. Gives the gas burnt in the step,
    /// m³.
    pub(crate) fn step(&mut self, moment: &Moment<'_>, site: &Site) -> f64 {
        let shifts = super::super::occupancy::occupancy(BuildingUse::Factory, moment.conditions.local);
        let season = moment.series.market.at(moment.conditions.local).heat_demand;
        let wander = 1.0 + 0.05 * site.noise.of("steam").at(moment.conditions.at, 420.0);
        let share = (0.12 + 0.33 * shifts + 0.45 * season) * wander;
        // On a quiet night the burner stops rather than cycling at its least fire.
        self.output = self.boiler.run(if share < 0.22 { 0.0 } else { share * self.boiler.heat_kw });
        self.output.gas_m3_h * moment.hours
    }

    pub(crate) fn report(&self, report: &mut Report) {
        let out = &self.output;
        let load = out.heat_kw / self.boiler.heat_kw;
        let running = out.heat_kw > 0.0;
        report.number("heat_power", out.heat_kw);
        report.number("gas_flow", out.gas_m3_h);
        report.number("load_rate", 100.0 * load);
        report.number(
            "efficiency",
            if running { 100.0 * (self.boiler.efficiency + 0.03 * (1.0 - load)) } else { 0.0 },
        );
        report.number("steam_pressure", if running { 0.72 + 0.12 * load } else { 0.3 });
        report.number("steam_flow", out.heat_kw / 660.0);
        report.number("supply_temperature", if running { 162.0 + 8.0 * load } else { 95.0 });
        report.number("return_temperature", if running { 82.0 } else { 60.0 });
        report.number("feed_water_temperature", if running { 96.0 } else { 60.0 });
        report.number("flue_gas_temperature", out.flue_gas_c);
        report.number("o2", out.o2_pct);
        report.number("water_level", 52.0 + 6.0 * (load - 0.5));
        report.state("status", if running { "running" } else { "standby" });
    }
}

/// Cross-section of a stack of 1 m across.
const STACK_AREA_M2: f64 = 0.785;

/// What a stack monitor reads of its boiler's flue gas.
pub(crate) fn report_stack(
    output: &BoilerOutput,
    rated_heat_kw: f64,
    moment_noise: [f64; 4],
    report: &mut Report,
) {
    let emissions = output.emissions(rated_heat_kw);
    let [a, b, c, d] = moment_noise;
    let nox = emissions.nox_mg_m3 * (1.0 + 0.06 * a);
    let so2 = emissions.so2_mg_m3 * (1.0 + 0.15 * b);
    let dust = emissions.dust_mg_m3 * (1.0 + 0.12 * c);
    let flow = output.stack_flow_m3_h * (1.0 + 0.02 * d);
    let converted = |measured: f64| to_reference_o2(measured, output.o2_pct);
    report.number("nox", nox);
    report.number("so2", so2);
    report.number("dust", dust);
    report.number("nox_converted", converted(nox));
    report.number("so2_converted", converted(so2));
    report.number("dust_converted", converted(dust));
    report.number("nox_rate", nox * flow / 1e6);
    report.number("so2_rate", so2 * flow / 1e6);
    report.number("dust_rate", dust * flow / 1e6);
    report.number("o2", output.o2_pct + 0.05 * d);
    report.number("flow", flow);
    report.number("velocity", flow / 3600.0 / STACK_AREA_M2 * (output.flue_gas_c + 273.15) / 273.15);
    report.number("temperature", output.flue_gas_c);
    report.number("pressure", -60.0 - 0.02 * flow);
    report.number("humidity", if output.gas_m3_h > 0.0 { 11.0 + 0.5 * a } else { 3.0 });
    report.state("status", if output.gas_m3_h > 0.0 { "running" } else { "standby" });
}
