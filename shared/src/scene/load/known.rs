//! What exists in a scene and can be referred to, sound or not: a device whose rating is broken still exists.

use super::{
    Documents,
    report::{Document, Report},
    tree::Node,
};
use crate::thing_model::{Role, ThingModel};
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Known {
    /// By id; `None` where the model has problems.
    pub(super) models: BTreeMap<String, Option<ThingModel>>,
    /// The role by device id; `None` where the model is unknown or broken.
    pub(super) devices: BTreeMap<String, Option<Role>>,
    /// The model's id by device id.
    pub(super) models_of_devices: BTreeMap<String, String>,
    /// The voltage in kV by bus id; `None` where it has problems.
    pub(super) buses: BTreeMap<String, Option<f64>>,
    pub(super) lines: BTreeSet<String>,
    pub(super) buildings: BTreeSet<String>,
    /// `None` when the load shapes cannot be read: then nothing is said about shapes.
    pub(super) shapes: Option<BTreeSet<String>>,
    pub(super) grid_bus: Option<String>,
    /// Whether the file that declares them could be read whole; if not, references to it stay unjudged.
    pub(super) has_network: bool,
    pub(super) has_devices: bool,
    pub(super) has_site: bool,
}

fn is_sound(document: &Option<Document>) -> bool {
    document.as_ref().is_some_and(|document| !document.broken)
}

impl Known {
    pub(super) fn collect(documents: &Documents, shapes: Option<Vec<String>>, report: &mut Report) -> Self {
        let mut models = BTreeMap::new();
        let mut roles = BTreeMap::new();
        let mut files: BTreeMap<&str, &str> = BTreeMap::new();
        for document in &documents.models {
            let Some(id) = document.root.text("id") else { continue };
            if let Some(first) = files.insert(id, &document.file) {
                report.at(document, "id", format!("{id:?} is already the model in {first}"));
            }
            let role = document.root.get("role").and_then(|role| serde_json::from_value(role.to_json()).ok());
            roles.insert(id.to_owned(), role);
            models.insert(id.to_owned(), report.typed::<ThingModel>(document, ""));
        }

        let devices = match &documents.devices {
            Some(document) => {
                let role = |node: &Node| roles.get(node.text("model")?).copied().flatten();
                let devices = report.unique(document, "devices", "id");
                devices.into_iter().map(|(id, node)| (id.to_owned(), role(node))).collect()
            }
            None => BTreeMap::new(),
        };

        let named = documents.devices.iter().flat_map(|document| document.root.list("devices"));
        let models_of_devices =
            named.filter_map(|node| Some((node.text("id")?.to_owned(), node.text("model")?.to_owned())));

        let (mut buses, mut lines, mut grid_bus) = (BTreeMap::new(), BTreeSet::new(), None);
        if let Some(document) = &documents.network {
            let found = report.unique(document, "buses", "id");
            buses = found.into_iter().map(|(id, node)| (id.to_owned(), node.number("voltage_kv"))).collect();
            lines = report.unique(document, "lines", "id").into_keys().map(str::to_owned).collect();
            grid_bus = document.root.text("grid_bus").map(str::to_owned);
        }

        let buildings = documents.site.iter().flat_map(|document| document.root.list("features"));
        let buildings = buildings.filter_map(|feature| {
            let properties = feature.get("properties")?;
            (properties.text("kind") == Some("building")).then(|| properties.text("id")).flatten()
        });

        Self {
            models,
            devices,
            models_of_devices: models_of_devices.collect(),
            buses,
            lines,
            buildings: buildings.map(str::to_owned).collect(),
            shapes: shapes.map(|names| names.into_iter().collect()),
            grid_bus,
            has_network: is_sound(&documents.network),
            has_devices: is_sound(&documents.devices),
            has_site: is_sound(&documents.site),
        }
    }
}
