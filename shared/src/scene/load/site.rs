//! `site.geojson` to local metres: every outline simple, inside the park, and about something that exists.

use super::{
    known::Known,
    report::{Document, Report},
    tree::Node,
};
use crate::{
    scene::{Area, AreaKind, Building, Park, Point, PvArea, Road, Site, Tree, feature::Properties},
    text::Text,
    thing_model::Role,
};
use geo::{Validation, Winding};
use geojson::{GeometryValue, Position};
use std::collections::BTreeMap;

/// What stands on the ground, as far as it is sound.
pub(super) fn read(document: &Document, park: &Park, known: &Known, report: &mut Report) -> Site {
    let mut site = Site::default();
    let mut ids: BTreeMap<&str, usize> = BTreeMap::new();
    for (index, feature) in document.root.list("features").iter().enumerate() {
        let path = format!("features[{index}]");
        if let Some(id) = feature.get("properties").and_then(|properties| properties.text("id")) {
            let at = format!("{path}.properties.id");
            let line = document.root.line_of(&at);
            if let Some(first) = ids.insert(id, line) {
                report.at(document, &at, format!("{id:?} already stands on line {first}"));
            }
        }
        let properties = properties(document, feature, &path, report);
        let reading = Reading { document, park, path: &path };
        let Some(geometry) = reading.geometry(feature, report) else { continue };
        if let Some(properties) = properties {
            reading.place(properties, geometry, known, &mut site, report);
        }
    }
    site
}

/// A feature's properties, when they are sound.
fn properties(document: &Document, feature: &Node, path: &str, report: &mut Report) -> Option<Properties> {
    report.part(document, feature.get("properties")?, &format!("{path}.properties"))
}

struct Reading<'a> {
    document: &'a Document,
    park: &'a Park,
    path: &'a str,
}

impl Reading<'_> {
    fn problem(&self, message: impl Into<String>, report: &mut Report) {
        report.at(self.document, &format!("{}.geometry", self.path), message);
    }

    fn geometry(&self, feature: &Node, report: &mut Report) -> Option<GeometryValue> {
        let json = feature.get("geometry")?.to_json();
        match serde_json::from_value::<geojson::Geometry>(json) {
            Ok(geometry) => Some(geometry.value),
            Err(error) => {
                self.problem(format!("not a GeoJSON geometry: {error}"), report);
                None
            }
        }
    }

    fn place(
        &self,
        properties: Properties,
        geometry: GeometryValue,
        known: &Known,
        site: &mut Site,
        report: &mut Report,
    ) {
        let area = |kind| move |outline| Area { kind, outline };
        match properties {
            Properties::Building { id, name_zh, name_en, used_as, height_m, floors } => {
                let footprint = self.outline(geometry, report);
                site.buildings.extend(footprint.map(|footprint| Building {
                    id,
                    name: Text::new(name_zh, name_en),
                    used_as,
                    footprint,
                    height_m,
                    floors,
                }));
            }
            Properties::Road { width_m } => {
                let centreline = self.line(geometry, report);
                site.roads.extend(centreline.map(|centreline| Road { centreline, width_m }));
            }
            Properties::Water {} => {
                site.areas.extend(self.outline(geometry, report).map(area(AreaKind::Water)))
            }
            Properties::Green {} => {
                site.areas.extend(self.outline(geometry, report).map(area(AreaKind::Green)))
            }
            Properties::Paved {} => {
                site.areas.extend(self.outline(geometry, report).map(area(AreaKind::Paved)))
            }
            Properties::Parking {} => {
                site.areas.extend(self.outline(geometry, report).map(area(AreaKind::Parking)));
            }
            Properties::Tree { height_m } => {
                let places = self.points(geometry, report);
                site.trees.extend(places.into_iter().map(|position| Tree { position, height_m }));
            }
            Properties::PvArea { device, base_m, tilt_deg, azimuth_deg, carport } => {
                let at = format!("{}.properties.device", self.path);
                match known.devices.get(device.as_str()) {
                    None if known.has_devices => {
                        report.at(self.document, &at, format!("no device {:?}", device.as_str()));
                    }
                    Some(Some(role)) if *role != Role::Pv => {
                        report.at(self.document, &at, format!("{device} is not a PV device"));
                    }
                    _ => {}
                }
                let outline = self.outline(geometry, report);
                site.pv_areas.extend(outline.map(|outline| PvArea {
                    device,
                    outline,
                    base_m,
                    tilt_deg,
                    azimuth_deg,
                    carport,
                }));
            }
        }
    }

    /// A simple polygon without holes, counter-clockwise, the first point not repeated.
    fn outline(&self, geometry: GeometryValue, report: &mut Report) -> Option<Vec<Point>> {
        let GeometryValue::Polygon { coordinates } = geometry else {
            self.problem(format!("expected a Polygon, got a {}", geometry.type_name()), report);
            return None;
        };
        let [ring] = &coordinates[..] else {
            self.problem(format!("expected one ring without holes, got {} rings", coordinates.len()), report);
            return None;
        };
        let points = self.local(ring, report)?;
        if points.first() != points.last() {
            self.problem("the ring is not closed: its last point must repeat its first", report);
            return None;
        }
        let mut polygon = geo::Polygon::new(points.into_iter().map(geo::Coord::from).collect(), Vec::new());
        let faults = polygon.validation_errors();
        for fault in &faults {
            self.problem(fault.to_string(), report);
        }
        if !faults.is_empty() {
            return None;
        }
        polygon.exterior_mut(|ring| ring.make_ccw_winding());
        let mut points: Vec<Point> = polygon.exterior().coords().map(|c| [c.x, c.y]).collect();
        points.pop();
        Some(points)
    }

    fn line(&self, geometry: GeometryValue, report: &mut Report) -> Option<Vec<Point>> {
        let GeometryValue::LineString { coordinates } = geometry else {
            self.problem(format!("expected a LineString, got a {}", geometry.type_name()), report);
            return None;
        };
        if coordinates.len() < 2 {
            self.problem("a line needs two points", report);
            return None;
        }
        self.local(&coordinates, report)
    }

    fn points(&self, geometry: GeometryValue, report: &mut Report) -> Vec<Point> {
        let positions = match geometry {
            GeometryValue::Point { coordinates } => vec![coordinates],
            GeometryValue::MultiPoint { coordinates } => coordinates,
            other => {
                self.problem(format!("expected a Point or MultiPoint, got a {}", other.type_name()), report);
                return Vec::new();
            }
        };
        self.local(&positions, report).unwrap_or_default()
    }

    /// In metres; a place outside the park is a problem.
    fn local(&self, positions: &[Position], report: &mut Report) -> Option<Vec<Point>> {
        let mut points = Vec::with_capacity(positions.len());
        for position in positions {
            let [longitude, latitude] = [position[0], position[1]];
            let [east, north] = self.park.to_local(longitude, latitude);
            let [width, depth] = self.park.extent_m;
            // A centimetre of grace: coordinates are rounded when written.
            if east.abs() > width / 2.0 + 0.01 || north.abs() > depth / 2.0 + 0.01 {
                let message = format!(
                    "{longitude}, {latitude} lies outside the park ({width} m × {depth} m around its origin)"
                );
                self.problem(message, report);
                return None;
            }
            points.push([east, north]);
        }
        Some(points)
    }
}
