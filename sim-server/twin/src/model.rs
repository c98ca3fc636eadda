//! A thing model made ready for fast checks: measurements by index, states by word, limits beside their measurement.

use crate::quality::Steps;
use shared::{
    alarm::Severity,
    id::MeasurementKey,
    scene::{AlarmRules, LimitRule},
    text::Text,
    thing_model::{Measurement, MeasurementKind, ThingModel},
};
use std::{collections::HashMap, sync::Arc};

/// What is checked of one measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasurementRules {
    pub measurement: Measurement,
    /// The park's alarm limits on it, most severe first.
    pub limits: Vec<Limit>,
    /// The steps of data quality declared for it.
    pub(crate) steps: Option<Steps>,
}

/// One rule of the park's alarm file on a measurement.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub hysteresis: f64,
    pub severity: Severity,
    pub text: Text,
}

/// A thing model with its measurements indexed; the index is the measurement's place in the model.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelRules {
    pub model: ThingModel,
    pub measurements: Vec<MeasurementRules>,
    /// Silence after which a device of this model is offline.
    pub offline_after_ms: i64,
    by_key: HashMap<MeasurementKey, u16>,
}

impl Limit {
    fn from_rule(rule: &LimitRule) -> Self {
        Self {
            min: rule.min,
            max: rule.max,
            hysteresis: rule.hysteresis.max(0.0),
            severity: rule.severity,
            text: rule.text.clone(),
        }
    }

    pub(crate) fn is_violated(&self, value: f64) -> bool {
        self.min.is_some_and(|min| value < min) || self.max.is_some_and(|max| value > max)
    }

    /// Whether the value is back inside by the hysteresis. A band narrower than twice the hysteresis would never clear,
    /// so there the middle of the band is inside.
    pub(crate) fn is_cleared(&self, value: f64) -> bool {
        let hysteresis = match (self.min, self.max) {
            (Some(min), Some(max)) => self.hysteresis.min((max - min) / 2.0),
            _ => self.hysteresis,
        };
        self.min.is_none_or(|min| value >= min + hysteresis)
            && self.max.is_none_or(|max| value <= max - hysteresis)
    }
}

impl MeasurementRules {
    /// The most severe limit the value violates.
    pub fn violated(&self, value: f64) -> Option<&Limit> {
        self.limits.iter().find(|limit| limit.is_violated(value))
    }

    /// Whether the value is inside every limit by its hysteresis.
    pub fn is_cleared(&self, value: f64) -> bool {
        self.limits.iter().all(|limit| limit.is_cleared(value))
    }

    /// The code of a state's word.
    pub fn state_code(&self, word: &str) -> Option<i32> {
        self.measurement.states.iter().find(|s| s.word == word).map(|s| s.code)
    }

    /// Whether a number may stand for this measurement: any number, but for a state only one of its codes.
    pub fn takes_number(&self, value: f64) -> bool {
        self.measurement.kind != MeasurementKind::State
            || self.measurement.states.is_empty()
            || self.measurement.states.iter().any(|s| f64::from(s.code) == value)
    }
}

impl ModelRules {
    pub fn new(model: ThingModel, alarms: &AlarmRules) -> Arc<Self> {
        let mut with_steps = 0;
        let measurements: Vec<MeasurementRules> = model
            .measurements
            .iter()
            .map(|measurement| {
                let mut limits: Vec<Limit> = alarms
                    .limits
                    .iter()
                    .filter(|rule| rule.model == model.id && rule.measurement == measurement.key)
                    .map(Limit::from_rule)
                    .collect();
                limits.sort_by_key(|limit| limit.severity);
                let steps = Steps::of(measurement, with_steps);
                with_steps += usize::from(steps.is_some());
                MeasurementRules { measurement: measurement.clone(), limits, steps }
            })
            .collect();
        let by_key = model.measurements.iter().enumerate().map(|(i, m)| (m.key.clone(), i as u16)).collect();
        let offline_after_s = model.offline_after_s.unwrap_or(alarms.offline_after_s);
        Arc::new(Self { offline_after_ms: i64::from(offline_after_s) * 1_000, model, measurements, by_key })
    }

    /// The index of a measurement. `hint` is where it probably is: devices send in the same order every time, so the
    /// hash is hardly ever computed.
    pub fn index_of(&self, key: &str, hint: usize) -> Option<u16> {
        match self.measurements.get(hint) {
            Some(rules) if rules.measurement.key.as_str() == key => Some(hint as u16),
            _ => self.by_key.get(key).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(min: Option<f64>, max: Option<f64>, hysteresis: f64) -> Limit {
        Limit { min, max, hysteresis, severity: Severity::Major, text: Text::new("", "") }
    }

    #[test]
    fn a_limit_clears_only_beyond_its_hysteresis() {
        let upper = limit(None, Some(50.0), 2.0);
        for (value, violated, cleared) in
            [(50.1, true, false), (50.0, false, false), (48.1, false, false), (48.0, false, true)]
        {
            assert_eq!((upper.is_violated(value), upper.is_cleared(value)), (violated, cleared), "{value}");
        }
    }

    #[test]
    fn a_band_narrower_than_its_hysteresis_clears_in_its_middle() {
        let narrow = limit(Some(0.0), Some(2.0), 5.0);
        assert!(narrow.is_cleared(1.0));
        assert!(!narrow.is_cleared(0.5));
    }
}
