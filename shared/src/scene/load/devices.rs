//! `devices.toml`: references that resolve and ratings that fit.

use super::{
    known::Known,
    report::{Document, Report},
    tree::Node,
};
use crate::{
    scene::{Device, Park, Rating},
    thing_model::Role,
};

pub(super) fn check(document: &Document, known: &Known, park: Option<&Park>, report: &mut Report) {
    // References are judged on every device, sound or not.
    for (index, node) in document.root.list("devices").iter().enumerate() {
        references(document, node, &format!("devices[{index}]"), known, report);
    }
    let mut grid_meters = Vec::new();
    for device in report.items::<Device>(document, "devices") {
        let (path, device) = (device.path, device.value);
        let role = known.devices.get(device.id.as_str()).copied().flatten();
        if let Some(role) = role.filter(|role| *role != device.rating.role()) {
            let message = format!(
                "a {} rating does not fit model {}, whose role is {}",
                word(device.rating.role()),
                device.model,
                word(role)
            );
            report.at(document, &format!("{path}.rating.kind"), message);
        }
        figures(document, &path, &device.rating, report);
        if device.bus.is_none()
            && (device.rating.role().is_balance_term() || device.rating.role() == Role::FeederMeter)
        {
            report.at(document, &format!("{path}.bus"), "is missing: its power flows through some bus");
        }
        if let Some(park) = park {
            let [east, north, _] = device.position;
            let outside = east.abs() * 2.0 > park.extent_m[0] || north.abs() * 2.0 > park.extent_m[1];
            if outside {
                let message = format!(
                    "{east}, {north} lies outside the park ({} m × {} m around the origin)",
                    park.extent_m[0], park.extent_m[1]
                );
                report.at(document, &format!("{path}.position"), message);
            }
        }
        if matches!(device.rating, Rating::GridMeter { .. }) {
            let bus = device.bus.as_ref().map(|bus| bus.as_str().to_owned());
            if let Some(grid) =
                known.grid_bus.as_ref().filter(|grid| known.has_network && bus.as_ref() != Some(*grid))
            {
                report.at(
                    document,
                    &format!("{path}.bus"),
                    format!("the grid meter stands at the grid bus {grid:?}"),
                );
            }
            grid_meters.push(path);
        }
    }
    let declared = known.devices.values().filter(|role| **role == Some(Role::GridMeter)).count();
    if declared == 0 && known.devices.values().all(Option::is_some) {
        report.at(document, "devices", "no device is the grid meter (role grid_meter)");
    }
    for extra in grid_meters.iter().skip(1) {
        report.at(document, extra, "a second grid meter: the park has one grid connection");
    }
}

fn references(document: &Document, node: &Node, path: &str, known: &Known, report: &mut Report) {
    if let Some(model) = node.text("model")
        && !known.models.contains_key(model)
    {
        report.at(document, &format!("{path}.model"), format!("no thing model {model:?}"));
    }
    if let Some(building) = node.text("building")
        && known.has_site
        && !known.buildings.contains(building)
    {
        report.at(document, &format!("{path}.building"), format!("no building {building:?} in site.geojson"));
    }
    if let Some(bus) = node.text("bus")
        && known.has_network
        && !known.buses.contains_key(bus)
    {
        report.at(document, &format!("{path}.bus"), format!("no bus {bus:?} in network.toml"));
    }
    let Some(rating) = node.get("rating") else { return };
    for (field, role) in [("store", Role::ThermalStore), ("boiler", Role::Boiler)] {
        let Some(id) = rating.text(field) else { continue };
        let at = format!("{path}.rating.{field}");
        match known.devices.get(id) {
            None => report.at(document, &at, format!("no device {id:?}")),
            Some(Some(found)) if *found != role => {
                report.at(document, &at, format!("{id} is a {}, not a {}", word(*found), word(role)));
            }
            Some(_) => {}
        }
    }
    if let (Some(shape), Some(shapes)) = (rating.text("shape"), &known.shapes)
        && !shapes.contains(shape)
    {
        let names: Vec<&str> = shapes.iter().map(String::as_str).collect();
        let message = format!("no load shape {shape:?}; series/load_shapes.csv has {}", names.join(", "));
        report.at(document, &format!("{path}.rating.shape"), message);
    }
}

/// Figures that are possible each for itself but not together.
fn figures(document: &Document, path: &str, rating: &Rating, report: &mut Report) {
    let mut below = |low: &str, low_value: f64, high: &str, high_value: f64, strictly: bool| {
        if low_value > high_value || (strictly && low_value == high_value) {
            let than = if strictly { "below" } else { "at most" };
            let message = format!("{low_value} must be {than} {high} = {high_value}");
            report.at(document, &format!("{path}.rating.{low}"), message);
        }
    };
    match rating {
        Rating::Storage { soc_min, soc_max, .. } => below("soc_min", *soc_min, "soc_max", *soc_max, true),
        Rating::ThermalStore { min_c, max_c, .. } => below("min_c", *min_c, "max_c", *max_c, true),
        Rating::Charger { min_kw, power_kw, .. } => below("min_kw", *min_kw, "power_kw", *power_kw, false),
        Rating::Wind { rotor_diameter_m, hub_height_m, .. } => {
            below("rotor_diameter_m", *rotor_diameter_m, "twice hub_height_m", hub_height_m * 2.0, true);
        }
        _ => {}
    }
}

/// A role as files write it.
fn word(role: Role) -> String {
    match serde_json::to_value(role) {
        Ok(serde_json::Value::String(word)) => word,
        _ => format!("{role:?}"),
    }
}
