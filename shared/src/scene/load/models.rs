//! `models/*.toml`: a thing model that makes sense in itself and can play its role.

use super::report::{Document, Report};
use crate::thing_model::{MeasurementKind, Role, ThingModel};

/// Measurements the park's balance and dispatch read, by role.
fn needed(role: Role) -> &'static [(&'static str, &'static str)] {
    match role {
        Role::Storage => &[("power", "kW"), ("soc", "%")],
        Role::GridMeter
        | Role::FeederMeter
        | Role::Pv
        | Role::Wind
        | Role::Charger
        | Role::Load
        | Role::Chiller
        | Role::HeatPump => &[("power", "kW")],
        Role::ThermalStore | Role::Boiler | Role::StackMonitor | Role::WeatherStation | Role::Sensor => &[],
    }
}

pub(super) fn check(document: &Document, report: &mut Report) {
    for (list, key) in [("measurements", "key"), ("commands", "name"), ("events", "id")] {
        report.unique(document, list, key);
    }
    let Some(model) = report.typed::<ThingModel>(document, "") else { return };

    for (key, unit) in needed(model.role) {
        match model.measurements.iter().position(|m| m.key.as_str() == *key) {
            None => {
                let message = format!("a model of this role measures {key:?} in {unit}");
                report.at(document, "measurements", message);
            }
            Some(index) if model.measurements[index].unit != *unit => {
                let path = format!("measurements[{index}].unit");
                report.at(
                    document,
                    &path,
                    format!("{key:?} is in {unit}, not {:?}", model.measurements[index].unit),
                );
            }
            Some(_) => {}
        }
    }
    for (index, measurement) in model.measurements.iter().enumerate() {
        let path = format!("measurements[{index}]");
        range(document, &path, measurement.min, measurement.max, report);
        match (measurement.kind, measurement.states.is_empty()) {
            (MeasurementKind::State, true) => report.at(document, &path, "a state needs its states"),
            (MeasurementKind::Gauge | MeasurementKind::Counter, false) => {
                report.at(document, &format!("{path}.states"), "only a measurement of kind state has states");
            }
            _ => {}
        }
        if measurement.rate_per_s.is_some() && measurement.kind == MeasurementKind::State {
            report.at(document, &format!("{path}.rate_per_s"), "a state has no rate of change");
        }
        if measurement.stuck_after_s.is_some() && measurement.kind != MeasurementKind::Gauge {
            let message = "only a gauge can be stuck: registers and states may stand still";
            report.at(document, &format!("{path}.stuck_after_s"), message);
        }
        for (at, state) in measurement.states.iter().enumerate() {
            let earlier = &measurement.states[..at];
            if earlier.iter().any(|other| other.code == state.code || other.word == state.word) {
                let message = format!("code {} or word {:?} stands here twice", state.code, state.word);
                report.at(document, &format!("{path}.states[{at}]"), message);
            }
        }
    }
    for (index, command) in model.commands.iter().enumerate() {
        for (at, parameter) in command.parameters.iter().enumerate() {
            let path = format!("commands[{index}].parameters[{at}]");
            range(document, &path, parameter.min, parameter.max, report);
            if command.parameters[..at].iter().any(|other| other.key == parameter.key) {
                report.at(document, &format!("{path}.key"), format!("{:?} stands here twice", parameter.key));
            }
        }
    }
}

fn range(document: &Document, path: &str, min: Option<f64>, max: Option<f64>, report: &mut Report) {
    if let (Some(min), Some(max)) = (min, max)
        && min >= max
    {
        report.at(document, &format!("{path}.min"), format!("{min} is not below max {max}"));
    }
}
