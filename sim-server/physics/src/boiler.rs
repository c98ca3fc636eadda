//! A gas boiler and what leaves its stack.
//!
//! In: heat wanted. Out: gas burnt, flue gas, and the concentrations a stack monitor (CEMS) would read.

/// Lower heating value of natural gas, kWh per standard m³: 35.588 MJ/m³ (GB/T 2589, typical pipeline gas 32.2–39.0).
pub const GAS_KWH_PER_M3: f64 = 35.588 / 3.6;

/// Dry flue gas from burning 1 m³ of natural gas with just enough air, m³ (HJ 953, gas boilers: about 8.5 of methane).
const STOICHIOMETRIC_DRY_FLUE_M3: f64 = 8.5;

/// Oxygen content that concentrations are converted to, percent (GB 13271-2014, gas and oil boilers).
pub const REFERENCE_O2_PCT: f64 = 3.5;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Boiler {
    pub heat_kw: f64,
    pub efficiency: f64,
}

/// What a boiler does at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct BoilerOutput {
    pub heat_kw: f64,
    pub gas_m3_h: f64,
    pub flue_gas_c: f64,
    /// Percent, dry.
    pub o2_pct: f64,
    /// Dry, at standard conditions.
    pub stack_flow_m3_h: f64,
}

/// Dry concentrations as measured, mg/m³ at the flue gas's own oxygen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Emissions {
    pub nox_mg_m3: f64,
    pub so2_mg_m3: f64,
    pub dust_mg_m3: f64,
}

/// Percent of oxygen in air.
const AIR_O2_PCT: f64 = 20.9;

impl Boiler {
    /// Burns for `wanted_kw` of heat, held between a burner's turn-down (20 %) and rated; 0 is off. Efficiency falls 3 points at full
    /// load, excess oxygen from 6 % at low fire to 3 % at high fire, and the flue gas from 160 to 110 °C.
    pub fn run(&self, wanted_kw: f64) -> BoilerOutput {
        const TURN_DOWN: f64 = 0.2;
        if wanted_kw <= 0.0 {
            return BoilerOutput { o2_pct: AIR_O2_PCT, flue_gas_c: 40.0, ..Default::default() };
        }
        let load = (wanted_kw / self.heat_kw).clamp(TURN_DOWN, 1.0);
        let heat_kw = load * self.heat_kw;
        let efficiency = self.efficiency + 0.03 * (1.0 - load);
        let gas_m3_h = heat_kw / (efficiency.min(1.0) * GAS_KWH_PER_M3);
        let o2_pct = 3.0 + 3.0 * (1.0 - load) / (1.0 - TURN_DOWN);
        // Excess air dilutes the flue gas by 20.9 / (20.9 − O₂) (GB 13271, the same rule that converts concentrations).
        let stack_flow_m3_h = gas_m3_h * STOICHIOMETRIC_DRY_FLUE_M3 * AIR_O2_PCT / (AIR_O2_PCT - o2_pct);
        BoilerOutput { heat_kw, gas_m3_h, flue_gas_c: 110.0 + 50.0 * load, o2_pct, stack_flow_m3_h }
    }
}

impl BoilerOutput {
    /// Concentrations of a low-NOx burner at this load: NOx rises with the flame's heat (25 → 40 mg/m³ at 3.5 % O₂; Jiangsu's DB32/4385
    /// allows 50), SO₂ from the sulphur in gas and dust are a few mg/m³.
    pub fn emissions(&self, rated_heat_kw: f64) -> Emissions {
        if self.gas_m3_h <= 0.0 {
            return Emissions::default();
        }
        let load = self.heat_kw / rated_heat_kw;
        let measured = |at_reference: f64| from_reference_o2(at_reference, self.o2_pct);
        Emissions {
            nox_mg_m3: measured(25.0 + 15.0 * load * load),
            so2_mg_m3: measured(3.0 + load),
            dust_mg_m3: measured(1.5 + 0.8 * load),
        }
    }
}

/// A concentration as measured at `o2_pct`, from one at the reference oxygen (GB 13271-2014 eq. 1, solved backwards).
pub fn from_reference_o2(reference_mg_m3: f64, o2_pct: f64) -> f64 {
    reference_mg_m3 * (AIR_O2_PCT - o2_pct) / (AIR_O2_PCT - REFERENCE_O2_PCT)
}

/// The converted (折算) concentration a limit is judged by (GB 13271-2014 eq. 1).
pub fn to_reference_o2(measured_mg_m3: f64, o2_pct: f64) -> f64 {
    let dilution = AIR_O2_PCT - o2_pct;
    if dilution <= 0.1 { 0.0 } else { measured_mg_m3 * (AIR_O2_PCT - REFERENCE_O2_PCT) / dilution }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOILER: Boiler = Boiler { heat_kw: 2800.0, efficiency: 0.92 };

    #[test]
    fn gas_carries_the_heat_divided_by_the_efficiency() {
        let full = BOILER.run(2800.0);
        assert!((full.gas_m3_h * GAS_KWH_PER_M3 * 0.92 - 2800.0).abs() < 1e-9);
        assert_eq!(BOILER.run(9999.0), full);
        assert_eq!(BOILER.run(10.0).heat_kw, 560.0);
    }

    #[test]
    fn a_cold_boiler_emits_nothing_and_its_stack_holds_air() {
        let off = BOILER.run(0.0);
        assert_eq!((off.gas_m3_h, off.stack_flow_m3_h, off.o2_pct), (0.0, 0.0, AIR_O2_PCT));
        assert_eq!(off.emissions(2800.0), Emissions::default());
    }

    #[test]
    fn conversion_to_reference_oxygen_is_reversible_and_stays_below_the_limit() {
        for wanted in [600.0, 1500.0, 2800.0] {
            let out = BOILER.run(wanted);
            let nox = out.emissions(2800.0).nox_mg_m3;
            let converted = to_reference_o2(nox, out.o2_pct);
            assert!((from_reference_o2(converted, out.o2_pct) - nox).abs() < 1e-9);
            assert!(converted <= 50.0, "{converted}");
        }
    }

    #[test]
    fn a_flue_gas_flow_is_about_ten_times_the_gas() {
        let full = BOILER.run(2800.0);
        assert!((9.0..11.0).contains(&(full.stack_flow_m3_h / full.gas_m3_h)));
    }
}
