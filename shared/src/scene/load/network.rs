//! `network.toml`: branches between buses that exist, and every bus reached from the grid.

use super::{
    known::Known,
    report::{Document, Report},
};
use crate::{
    scene::{Bus, Line, Park, Switch, Transformer},
    thing_model::Role,
};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn check(document: &Document, known: &Known, park: Option<&Park>, report: &mut Report) {
    let transformers = report.unique(document, "transformers", "id");
    for id in transformers.keys().filter(|id| known.lines.contains(**id)) {
        report.at(document, "transformers", format!("{id:?} is the id of a line too"));
    }
    report.unique(document, "switches", "id");
    match &known.grid_bus {
        None if !document.has("grid_bus") => report.at(document, "grid_bus", "is missing"),
        Some(bus) if !known.buses.contains_key(bus) => {
            report.at(document, "grid_bus", format!("no bus {bus:?}"));
        }
        _ => {}
    }
    for bus in report.items::<Bus>(document, "buses") {
        let Some(park) = park else { break };
        let [east, north] = bus.value.position;
        if east.abs() * 2.0 > park.extent_m[0] || north.abs() * 2.0 > park.extent_m[1] {
            let path = format!("{}.position", bus.path);
            report.at(document, &path, format!("{east}, {north} lies outside the park"));
        }
    }
    ends(document, "lines", ["from", "to"], known, report);
    ends(document, "transformers", ["high", "low"], known, report);
    for line in report.items::<Line>(document, "lines") {
        if let (Some(from), Some(to)) = (voltage(known, &line.value.from), voltage(known, &line.value.to))
            && from != to
        {
            let message = format!("leads from {from} kV to {to} kV without a transformer");
            report.at(document, &format!("{}.to", line.path), message);
        }
    }
    for transformer in report.items::<Transformer>(document, "transformers") {
        let (path, transformer) = (transformer.path, transformer.value);
        if let (Some(high), Some(low)) = (voltage(known, &transformer.high), voltage(known, &transformer.low))
            && high <= low
        {
            let message = format!("the high side has {high} kV, the low side {low} kV");
            report.at(document, &format!("{path}.high"), message);
        }
        if transformer.copper_loss_pct > transformer.short_circuit_pct {
            let message = format!(
                "{} is more than short_circuit_pct = {}",
                transformer.copper_loss_pct, transformer.short_circuit_pct
            );
            report.at(document, &format!("{path}.copper_loss_pct"), message);
        }
        if let Some(meter) = transformer.meter.as_ref().filter(|_| known.has_devices) {
            match known.devices.get(meter.as_str()) {
                None => {
                    report.at(document, &format!("{path}.meter"), format!("no device {:?}", meter.as_str()))
                }
                Some(Some(role)) if *role != Role::FeederMeter => {
                    report.at(document, &format!("{path}.meter"), format!("{meter} is not a feeder meter"));
                }
                Some(_) => {}
            }
        }
    }
    for switch in report.items::<Switch>(document, "switches") {
        if !known.lines.contains(&switch.value.line) {
            let message = format!("no line {:?}", switch.value.line);
            report.at(document, &format!("{}.line", switch.path), message);
        }
    }
    islands(document, known, report);
}

fn voltage(known: &Known, bus: &crate::id::BusId) -> Option<f64> {
    known.buses.get(bus.as_str()).copied().flatten()
}

/// Both ends of a branch exist and differ; judged on every branch, sound or not.
fn ends(document: &Document, list: &str, fields: [&str; 2], known: &Known, report: &mut Report) {
    for (index, node) in document.root.list(list).iter().enumerate() {
        for field in fields {
            if let Some(bus) = node.text(field).filter(|bus| !known.buses.contains_key(*bus)) {
                report.at(document, &format!("{list}[{index}].{field}"), format!("no bus {bus:?}"));
            }
        }
        let (a, b) = (node.text(fields[0]), node.text(fields[1]));
        if a.is_some() && a == b {
            let message = format!("both ends are {:?}", a.unwrap_or_default());
            report.at(document, &format!("{list}[{index}].{}", fields[1]), message);
        }
    }
}

/// Buses that no closed way connects to the grid.
fn islands(document: &Document, known: &Known, report: &mut Report) {
    let Some(grid) = known.grid_bus.as_deref().filter(|bus| known.buses.contains_key(*bus)) else { return };
    let open: BTreeSet<&str> = document
        .root
        .list("switches")
        .iter()
        .filter(|node| node.get("closed").is_some_and(|closed| closed.to_json() == false))
        .filter_map(|node| node.text("line"))
        .collect();
    let mut neighbours: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (list, [a, b]) in [("lines", ["from", "to"]), ("transformers", ["high", "low"])] {
        for node in document.root.list(list) {
            let is_open = list == "lines" && node.text("id").is_some_and(|id| open.contains(id));
            if let (Some(a), Some(b), false) = (node.text(a), node.text(b), is_open) {
                neighbours.entry(a).or_default().push(b);
                neighbours.entry(b).or_default().push(a);
            }
        }
    }
    let mut reached = BTreeSet::from([grid]);
    let mut next = vec![grid];
    while let Some(bus) = next.pop() {
        for neighbour in neighbours.get(bus).into_iter().flatten() {
            if reached.insert(neighbour) {
                next.push(neighbour);
            }
        }
    }
    for (index, node) in document.root.list("buses").iter().enumerate() {
        if let Some(bus) = node.text("id").filter(|bus| !reached.contains(bus)) {
            let message = format!("no closed line or transformer connects {bus:?} to the grid bus {grid:?}");
            report.at(document, &format!("buses[{index}]"), message);
        }
    }
}
