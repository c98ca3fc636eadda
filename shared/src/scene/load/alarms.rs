//! `alarms.toml`: limits on measurements that exist.

use super::{
    known::Known,
    report::{Document, Report},
};
use crate::scene::LimitRule;

pub(super) fn check(document: &Document, known: &Known, report: &mut Report) {
    for rule in report.items::<LimitRule>(document, "limits") {
        let (path, rule) = (rule.path, rule.value);
        match known.models.get(rule.model.as_str()) {
            None => {
                report.at(
                    document,
                    &format!("{path}.model"),
                    format!("no thing model {:?}", rule.model.as_str()),
                );
            }
            Some(Some(model)) if model.measurement(rule.measurement.as_str()).is_none() => {
                let message = format!("{} has no measurement {:?}", model.id, rule.measurement.as_str());
                report.at(document, &format!("{path}.measurement"), message);
            }
            Some(_) => {}
        }
        match (rule.min, rule.max) {
            (None, None) => report.at(document, &path, "a limit needs min or max"),
            (Some(min), Some(max)) if min >= max => {
                report.at(document, &format!("{path}.min"), format!("{min} is not below max {max}"));
            }
            (Some(min), Some(max)) if rule.hysteresis * 2.0 >= max - min => {
                let message = format!("{} leaves no value at which the alarm clears", rule.hysteresis);
                report.at(document, &format!("{path}.hysteresis"), message);
            }
            _ => {}
        }
    }
}
