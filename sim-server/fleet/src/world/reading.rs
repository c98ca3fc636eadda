//! From everything a device can measure to what its thing model says it sends: keys, units, decimals, codes of states.

use super::equipment::{Report, Value};
use shared::{
    telemetry::Sent,
    thing_model::{Measurement, MeasurementKind, ThingModel},
};

/// The values of a model's measurements, in the model's order, rounded as its meters round. Measurements the report lacks are left out;
/// [`lacking`] names them.
pub(crate) fn read(model: &ThingModel, report: &Report) -> Vec<(shared::id::MeasurementKey, Sent)> {
    model
        .measurements
        .iter()
        .filter_map(|measurement| Some((measurement.key.clone(), value_of(measurement, report)?)))
        .collect()
}

/// The measurements of a model nothing in the report stands for.
pub(crate) fn lacking<'a>(model: &'a ThingModel, report: &Report) -> Vec<&'a Measurement> {
    model.measurements.iter().filter(|measurement| value_of(measurement, report).is_none()).collect()
}

fn value_of(measurement: &Measurement, report: &Report) -> Option<Sent> {
    let key = measurement.key.as_str();
    let (_, value) = report.values.iter().find(|(known, _)| *known == key)?;
    match (value, measurement.kind) {
        (Value::State(word), MeasurementKind::State) => state_code(measurement, word).map(Sent::Number),
        (Value::State(_), _) => None,
        (Value::Number(number), _) => {
            let scale = 10f64.powi(i32::from(measurement.decimals));
            let rounded = (in_unit(&measurement.unit, *number) * scale).round() / scale;
            // Adding zero turns −0 into 0.
            Some(Sent::Number(rounded + 0.0))
        }
    }
}

/// Reports are in V, kW, kWh, m³; models may say more.
fn in_unit(unit: &str, value: f64) -> f64 {
    match unit {
        "kV" | "MW" | "MWh" | "MVA" | "Mvar" => value / 1e3,
        _ => value,
    }
}

/// The model's code for a state; a model that lacks the word cannot say the state.
fn state_code(measurement: &Measurement, word: &'static str) -> Option<f64> {
    measurement.states.iter().find(|state| state.word == word).map(|state| f64::from(state.code))
}
