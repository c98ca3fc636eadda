//! Units devices send and the thing model's own: what turns one into the other.
//!
//! Every unit is a multiple of its dimension's base, temperatures with an offset besides. The factors are exact by definition: the
//! SI prefixes; mph, knots and the foot by the international yard and nautical mile; psi by the pound and standard gravity;
//! degrees Fahrenheit by 5/9. What is not listed is not guessed: two units of different dimensions, or an unknown one,
//! convert to nothing. ppm and mg/m³ differ by the gas, so they are different dimensions.

/// `base = value · factor + offset`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unit {
    dimension: &'static str,
    factor: f64,
    offset: f64,
}

/// From a value in one unit to the same in another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conversion {
    from: Unit,
    to: Unit,
}

impl Conversion {
    /// How values in `from` become values in `to`; `None` when they do not.
    pub fn between(from: &str, to: &str) -> Option<Conversion> {
        let (from, to) = (unit(from.trim())?, unit(to)?);
        (from.dimension == to.dimension).then_some(Conversion { from, to })
    }

    pub fn apply(&self, value: f64) -> f64 {
        if self.from == self.to {
            return value;
        }
        let (from, to) = (self.from, self.to);
        if from.offset == to.offset {
            return value * (from.factor / to.factor);
        }
        ((value * from.factor) + (from.offset - to.offset)) / to.factor
    }
}

/// The units that turn into `to`, as a message names them.
pub fn convertible_to(to: &str) -> Vec<&'static str> {
    let Some(to) = unit(to) else { return Vec::new() };
    TABLE.iter().filter(|(dimension, ..)| *dimension == to.dimension).map(|(_, name, ..)| *name).collect()
}

fn unit(text: &str) -> Option<Unit> {
    let name = ALIASES.iter().find(|(alias, _)| *alias == text).map_or(text, |(_, name)| name);
    let (dimension, _, factor, offset) = *TABLE.iter().find(|(_, known, ..)| *known == name)?;
    Some(Unit { dimension, factor, offset })
}

/// Other spellings.
const ALIASES: [(&str, &str); 27] = [
    ("℃", "°C"),
    ("C", "°C"),
    ("degC", "°C"),
    ("℉", "°F"),
    ("F", "°F"),
    ("degF", "°F"),
    ("m3", "m³"),
    ("m3/h", "m³/h"),
    ("m3/s", "m³/s"),
    ("l", "L"),
    ("l/s", "L/s"),
    ("l/min", "L/min"),
    ("l/h", "L/h"),
    ("kvar", "kvar"),
    ("kVar", "kvar"),
    ("kVA", "kVA"),
    ("W/m2", "W/m²"),
    ("kW/m2", "kW/m²"),
    ("ug/m3", "µg/m³"),
    // The Greek letter beside the micro sign.
    ("μg/m³", "µg/m³"),
    ("ug/m³", "µg/m³"),
    ("mg/m3", "mg/m³"),
    ("kn", "kt"),
    ("deg", "°"),
    ("mbar", "hPa"),
    ("Lx", "lx"),
    ("lux", "lx"),
];

#[rustfmt::skip]
const TABLE: [(&str, &str, f64, f64); 66] = [
    ("power", "W", 1e-3, 0.0), ("power", "kW", 1.0, 0.0), ("power", "MW", 1e3, 0.0), ("power", "GW", 1e6, 0.0),
    ("energy", "Wh", 1e-3, 0.0), ("energy", "kWh", 1.0, 0.0), ("energy", "MWh", 1e3, 0.0), ("energy", "GWh", 1e6, 0.0),
    ("energy", "kJ", 1.0 / 3_600.0, 0.0), ("energy", "MJ", 1.0 / 3.6, 0.0), ("energy", "GJ", 1e3 / 3.6, 0.0),
    ("reactive power", "var", 1e-3, 0.0), ("reactive power", "kvar", 1.0, 0.0), ("reactive power", "Mvar", 1e3, 0.0),
    ("reactive energy", "varh", 1e-3, 0.0), ("reactive energy", "kvarh", 1.0, 0.0),
    ("apparent power", "VA", 1e-3, 0.0), ("apparent power", "kVA", 1.0, 0.0), ("apparent power", "MVA", 1e3, 0.0),
    ("voltage", "mV", 1e-3, 0.0), ("voltage", "V", 1.0, 0.0), ("voltage", "kV", 1e3, 0.0),
    ("current", "mA", 1e-3, 0.0), ("current", "A", 1.0, 0.0), ("current", "kA", 1e3, 0.0),
    ("frequency", "mHz", 1e-3, 0.0), ("frequency", "Hz", 1.0, 0.0), ("frequency", "kHz", 1e3, 0.0),
    ("temperature", "°C", 1.0, 273.15), ("temperature", "K", 1.0, 0.0), ("temperature", "°F", 5.0 / 9.0, 459.67 * 5.0 / 9.0),
    ("pressure", "Pa", 1.0, 0.0), ("pressure", "hPa", 100.0, 0.0), ("pressure", "kPa", 1e3, 0.0), ("pressure", "MPa", 1e6, 0.0),
    ("pressure", "bar", 1e5, 0.0), ("pressure", "psi", 6_894.757_293_168_361, 0.0),
    ("volume", "L", 1e-3, 0.0), ("volume", "m³", 1.0, 0.0),
    ("flow", "L/h", 1e-3, 0.0), ("flow", "L/min", 0.06, 0.0), ("flow", "L/s", 3.6, 0.0), ("flow", "m³/h", 1.0, 0.0), ("flow", "m³/s", 3_600.0, 0.0),
    ("speed", "m/s", 1.0, 0.0), ("speed", "km/h", 1.0 / 3.6, 0.0), ("speed", "mph", 0.447_04, 0.0), ("speed", "kt", 1_852.0 / 3_600.0, 0.0),
    ("irradiance", "W/m²", 1.0, 0.0), ("irradiance", "kW/m²", 1e3, 0.0),
    ("mass concentration", "µg/m³", 1e-3, 0.0), ("mass concentration", "mg/m³", 1.0, 0.0), ("mass concentration", "g/m³", 1e3, 0.0),
    ("share of volume", "ppb", 1e-3, 0.0), ("share of volume", "ppm", 1.0, 0.0),
    ("illuminance", "lx", 1.0, 0.0), ("illuminance", "klx", 1e3, 0.0),
    ("share", "%", 1.0, 0.0), ("share", "pu", 100.0, 0.0),
    ("time", "s", 1.0 / 3_600.0, 0.0), ("time", "min", 1.0 / 60.0, 0.0), ("time", "h", 1.0, 0.0),
    ("rain", "mm/h", 1.0, 0.0), ("angle", "°", 1.0, 0.0), ("sound", "dB", 1.0, 0.0), ("rotation", "rpm", 1.0, 0.0),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn convert(value: f64, from: &str, to: &str) -> Option<f64> {
        Conversion::between(from, to).map(|c| c.apply(value))
    }

    #[test]
    fn values_keep_their_meaning_and_nothing_is_guessed() {
        for (value, from, to, expected) in [
            (81_500.0, "W", "kW", 81.5),
            (1.5, "MW", "kW", 1_500.0),
            (0.1, "kW", "kW", 0.1),
            (3.6, "MJ", "kWh", 1.0),
            (32.0, "°F", "°C", 0.0),
            (212.0, "degF", "°C", 100.0),
            (0.0, "K", "°C", -273.15),
            (25.0, "℃", "°C", 25.0),
            (1_013.25, "mbar", "hPa", 1_013.25),
            (14.695_948_775_5, "psi", "kPa", 101.325),
            (60.0, "L/min", "m³/h", 3.6),
            (36.0, "km/h", "m/s", 10.0),
            (10.0, "kV", "V", 10_000.0),
            (0.5, "pu", "%", 50.0),
            (250.0, "μg/m³", "mg/m³", 0.25),
        ] {
            let got = convert(value, from, to).unwrap_or_else(|| panic!("{from} → {to}"));
            assert!((got - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{value} {from} → {got} {to}");
        }
        for (from, to) in
            [("W", "kWh"), ("ppm", "mg/m³"), ("kW", ""), ("", "kW"), ("furlong", "m/s"), ("w", "kW")]
        {
            assert_eq!(convert(1.0, from, to), None, "{from} → {to}");
        }
    }

    #[test]
    fn there_and_back_is_the_same() {
        for (dimension, from, ..) in TABLE {
            for (_, to, ..) in TABLE.iter().filter(|(other, ..)| *other == dimension) {
                let there = convert(123.456, from, to).unwrap();
                let back = convert(there, to, from).unwrap();
                assert!((back - 123.456).abs() < 1e-9, "{from} → {to} → {back}");
            }
        }
    }

    #[test]
    fn every_spelling_means_a_unit_that_is_known() {
        for (alias, name) in ALIASES {
            assert!(TABLE.iter().any(|(_, known, ..)| *known == name), "{alias}");
        }
    }
}
