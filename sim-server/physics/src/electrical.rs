//! What a three-phase meter reads beside power, and what lines and transformers lose.

/// √3, between phase and line values.
const SQRT_3: f64 = 1.732_050_807_568_877_2;

/// Line current in ampere of a balanced three-phase flow: `S / (√3·U)`.
pub fn line_current_a(apparent_kva: f64, line_voltage_v: f64) -> f64 {
    if line_voltage_v <= 0.0 { 0.0 } else { apparent_kva.abs() * 1e3 / (SQRT_3 * line_voltage_v) }
}

/// Apparent power, kVA.
pub fn apparent_kva(active_kw: f64, reactive_kvar: f64) -> f64 {
    active_kw.hypot(reactive_kvar)
}

/// Reactive power in kvar of an active power at a (lagging) power factor.
pub fn reactive_kvar(active_kw: f64, power_factor: f64) -> f64 {
    let factor = power_factor.abs().clamp(0.01, 1.0);
    active_kw * (1.0 / (factor * factor) - 1.0).sqrt()
}

/// Power factor of a flow, 1 when nothing flows.
pub fn power_factor(active_kw: f64, reactive_kvar: f64) -> f64 {
    let apparent = apparent_kva(active_kw, reactive_kvar);
    if apparent < 1e-9 { 1.0 } else { active_kw.abs() / apparent }
}

/// Heat in kW a balanced three-phase line loses: `3·I²·R = R·S²/U²`, with S in kVA, U in kV, R in Ω.
pub fn line_loss_kw(apparent_kva: f64, line_voltage_kv: f64, resistance_ohm: f64) -> f64 {
    resistance_ohm * (apparent_kva / line_voltage_kv).powi(2) / 1e3
}

/// Voltage lost along a line as a share of nominal: `(R·P + X·Q)/U²` (first-order, power in kW and kvar, U in kV).
pub fn line_voltage_drop(
    active_kw: f64,
    reactive_kvar: f64,
    line_voltage_kv: f64,
    resistance_ohm: f64,
    reactance_ohm: f64,
) -> f64 {
    (resistance_ohm * active_kw + reactance_ohm * reactive_kvar) / (line_voltage_kv * line_voltage_kv * 1e3)
}

/// What a transformer loses, kW: iron, always, plus copper in proportion to the square of its load (IEC 60076-1).
pub fn transformer_loss_kw(apparent_kva: f64, rated_kva: f64, copper_loss_pct: f64) -> f64 {
    let load = apparent_kva / rated_kva;
    rated_kva * (IRON_LOSS_PCT + copper_loss_pct * load * load) / 100.0
}

/// No-load loss of a present-day oil transformer of a few hundred to a few thousand kVA, percent of rating (GB 20052-2020, class 2).
pub const IRON_LOSS_PCT: f64 = 0.10;

/// Temperature of a transformer's oil, °C: ambient plus a rise of 55 K at rated load with 12 K of it from the iron (IEC 60076-7,
/// steady state, oil exponent 0.8).
pub fn transformer_oil_c(ambient_c: f64, load_share: f64) -> f64 {
    ambient_c + 12.0 + 43.0 * load_share.abs().powf(1.6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn current_power_and_power_factor_agree() {
        let q = reactive_kvar(100.0, 0.9);
        assert!((power_factor(100.0, q) - 0.9).abs() < 1e-12);
        assert!((line_current_a(apparent_kva(100.0, q), 400.0) - 160.375).abs() < 0.001);
        assert_eq!(power_factor(0.0, 0.0), 1.0);
        assert_eq!(reactive_kvar(50.0, 1.0), 0.0);
    }

    #[test]
    fn losses_grow_with_the_square_of_the_load() {
        let half = line_loss_kw(500.0, 10.0, 0.4);
        assert!((half - 1.0).abs() < 1e-12);
        assert!((line_loss_kw(1000.0, 10.0, 0.4) - 4.0 * half).abs() < 1e-12);
        assert!((transformer_loss_kw(0.0, 1000.0, 0.9) - 1.0).abs() < 1e-12);
        assert!((transformer_loss_kw(1000.0, 1000.0, 0.9) - 10.0).abs() < 1e-12);
    }

    #[test]
    fn a_loaded_transformer_runs_hot() {
        assert_eq!(transformer_oil_c(20.0, 0.0), 32.0);
        assert_eq!(transformer_oil_c(20.0, 1.0), 75.0);
        assert_eq!(transformer_oil_c(20.0, -1.0), 75.0);
    }
}
