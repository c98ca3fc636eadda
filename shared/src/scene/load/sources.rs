//! `[[sources]]` of `park.toml`: devices and measurements that exist, in one unit, in an order.

use super::{
    known::Known,
    report::{Document, Report},
    tree::Node,
};
use std::collections::BTreeMap;

pub(super) fn check(document: &Document, known: &Known, report: &mut Report) {
    report.unique(document, "sources", "id");
    for (index, quantity) in document.root.list("sources").iter().enumerate() {
        let unit = quantity.text("unit").unwrap_or_default();
        let mut priorities: BTreeMap<i64, usize> = BTreeMap::new();
        for (at, input) in quantity.list("inputs").iter().enumerate() {
            let path = format!("sources[{index}].inputs[{at}]");
            if let Some(priority) = input.number("priority").map(|p| p as i64)
                && let Some(first) = priorities.insert(priority, at)
            {
                let message = format!("{priority} is inputs[{first}]'s already: which is believed first?");
                report.at(document, &format!("{path}.priority"), message);
            }
            devices(document, input, &path, unit, known, report);
        }
    }
}

fn devices(document: &Document, input: &Node, path: &str, unit: &str, known: &Known, report: &mut Report) {
    let Some(measurement) = input.text("measurement") else { return };
    let mut seen: Vec<&str> = Vec::new();
    for (at, node) in input.list("devices").iter().enumerate() {
        let Some(id) = node.as_text() else { continue };
        let place = format!("{path}.devices[{at}]");
        if seen.contains(&id) {
            report.at(document, &place, format!("{id:?} stands here twice"));
        }
        seen.push(id);
        let Some(model) = known.models_of_devices.get(id) else {
            if known.has_devices {
                report.at(document, &place, format!("no device {id:?}"));
            }
            continue;
        };
        // A broken or unknown model is reported where it stands.
        let Some(Some(model)) = known.models.get(model) else { continue };
        match model.measurement(measurement) {
            None => {
                report.at(document, &place, format!("model {} of {id} has no {measurement:?}", model.id));
            }
            Some(found) if found.unit != unit => {
                let message = format!("{measurement} of {id} is in {:?}, not {unit:?}", found.unit);
                report.at(document, &place, message);
            }
            Some(_) => {}
        }
    }
}
