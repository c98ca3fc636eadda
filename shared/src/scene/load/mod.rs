//! Reads a scene folder's bytes and checks everything that can be checked.
//!
//! Each file becomes a tree whose values know their lines; the tree is held against the JSON Schema of the type it is
//! to become, element by element, so that a broken device hides neither its own second fault nor the next device's.
//! Then references, figures that belong together and shapes on the ground are checked over whatever is sound.

mod alarms;
mod conform;
mod devices;
mod json;
mod known;
mod models;
mod network;
mod park;
mod report;
mod site;
mod sources;
mod tariff;
mod toml;
mod tree;

#[cfg(test)]
mod broken_scenes;
#[cfg(test)]
mod sound_scene;

#[cfg(test)]
pub(crate) use conform::schema_of;

use super::{AlarmRules, Device, Network, Park, Scene, SceneError, feature::SiteFile};
use crate::{
    series::{self, SeriesFile},
    tariff::Tariff,
    thing_model::ThingModel,
};
use known::Known;
use report::{Document, Report};
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// The bytes of a scene folder, keyed by path inside it (`park.toml`, `series/weather.csv`), with the thing
/// models beside it keyed `models/<file>.toml`.
pub type SceneFiles = BTreeMap<String, Vec<u8>>;

/// `devices.toml`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DevicesFile {
    pub(crate) devices: Vec<Device>,
}

/// A file that was read whole.
fn sound(document: &Option<Document>) -> Option<&Document> {
    document.as_ref().filter(|document| !document.broken)
}

/// The files of a scene that are trees. `None`: missing or unreadable, which is reported.
struct Documents {
    park: Option<Document>,
    devices: Option<Document>,
    network: Option<Document>,
    tariff: Option<Document>,
    alarms: Option<Document>,
    site: Option<Document>,
    models: Vec<Document>,
}

impl Scene {
    /// Reads and checks a scene: either every reference in it resolves, or all problems are given at once.
    pub fn load(files: &SceneFiles) -> Result<Scene, SceneError> {
        let mut report = Report::default();
        let documents = Documents::read(files, &mut report);
        let series = series_files(files, &mut report);
        let shapes = check_series(sound(&documents.park), &series, &mut report);
        let known = Known::collect(&documents, shapes, &mut report);

        for model in documents.models.iter().filter(|document| !document.broken) {
            models::check(model, &mut report);
        }
        let park = sound(&documents.park).and_then(|document| park::check(document, &mut report));
        if let Some(document) = sound(&documents.park) {
            sources::check(document, &known, &mut report);
        }
        if let Some(document) = sound(&documents.network) {
            network::check(document, &known, park.as_ref(), &mut report);
        }
        if let Some(document) = sound(&documents.devices) {
            devices::check(document, &known, park.as_ref(), &mut report);
        }
        if let Some(document) = sound(&documents.tariff) {
            tariff::check(document, &mut report);
        }
        if let Some(document) = sound(&documents.alarms) {
            alarms::check(document, &known, &mut report);
        }
        let site = match (&documents.site, &park) {
            (Some(document), Some(park)) => site::read(document, park, &known, &mut report),
            _ => Default::default(),
        };

        let whole = documents.whole(&mut report);
        let problems = report.into_problems();
        match whole {
            Some((park, models, devices, network, tariff, alarms)) if problems.is_empty() => {
                Ok(Scene { park, models, devices, site, network, tariff, alarms, series })
            }
            _ => Err(SceneError { problems }),
        }
    }
}

type Whole = (Park, BTreeMap<crate::id::ModelId, ThingModel>, Vec<Device>, Network, Tariff, AlarmRules);

impl Documents {
    fn read(files: &SceneFiles, report: &mut Report) -> Self {
        let models = files.keys().filter(|file| file.starts_with("models/") && file.ends_with(".toml"));
        let documents = Self {
            park: report.toml::<Park>(files, "park.toml"),
            devices: report.toml::<DevicesFile>(files, "devices.toml"),
            network: report.toml::<Network>(files, "network.toml"),
            tariff: report.toml::<Tariff>(files, "tariffs.toml"),
            alarms: report.toml::<AlarmRules>(files, "alarms.toml"),
            site: report.json::<SiteFile>(files, "site.geojson"),
            models: models.filter_map(|file| report.toml::<ThingModel>(files, file)).collect(),
        };
        const KNOWN: [&str; 5] = ["park.toml", "devices.toml", "network.toml", "tariffs.toml", "alarms.toml"];
        for file in files.keys().filter(|file| file.ends_with(".toml") && !file.contains('/')) {
            if !KNOWN.contains(&file.as_str()) {
                report.push(file, None, "", format!("no file of a scene; known are {}", KNOWN.join(", ")));
            }
        }
        documents
    }

    /// The scene's parts when every file is sound.
    fn whole(&self, report: &mut Report) -> Option<Whole> {
        let mut models = BTreeMap::new();
        for document in &self.models {
            let model = whole::<ThingModel>(document, report)?;
            models.insert(model.id.clone(), model);
        }
        Some((
            whole(self.park.as_ref()?, report)?,
            models,
            whole::<DevicesFile>(self.devices.as_ref()?, report)?.devices,
            whole(self.network.as_ref()?, report)?,
            whole(self.tariff.as_ref()?, report)?,
            whole(self.alarms.as_ref()?, report)?,
        ))
    }
}

fn whole<T: DeserializeOwned>(document: &Document, report: &mut Report) -> Option<T> {
    report.typed(document, "")
}

/// The text of `series/*.csv` by name.
fn series_files(files: &SceneFiles, report: &mut Report) -> BTreeMap<String, SeriesFile> {
    let mut series = BTreeMap::new();
    for (path, bytes) in files {
        let Some(name) = path.strip_prefix("series/").and_then(|file| file.strip_suffix(".csv")) else {
            continue;
        };
        match String::from_utf8(bytes.clone()) {
            Ok(text) => {
                series.insert(name.to_owned(), SeriesFile { path: path.clone(), text });
            }
            Err(_) => report.push(path, None, "", "the file is not UTF-8"),
        }
    }
    series
}

/// Checks that each series is there, read by something, and says where it comes from; gives the names of the load
/// shapes, or `None` when they cannot be read.
fn check_series(
    park: Option<&Document>,
    files: &BTreeMap<String, SeriesFile>,
    report: &mut Report,
) -> Option<Vec<String>> {
    if let Some(park) = park {
        let sources = report.unique(park, "series", "name");
        for name in series::NAMES {
            if !sources.contains_key(name) {
                report.at(park, "series", format!("the source and licence of {name} are missing"));
            }
        }
        for (index, source) in park.root.list("series").iter().enumerate() {
            let path = format!("series[{index}].name");
            if let Some(name) = source.text("name").filter(|name| !series::NAMES.contains(name)) {
                let known = series::NAMES.join(", ");
                report.at(park, &path, format!("no series is called {name:?}; known are {known}"));
            }
        }
    }
    for file in files.iter().filter(|(name, _)| !series::NAMES.contains(&name.as_str())).map(|(_, file)| file)
    {
        let known = series::NAMES.join(", ");
        report.push(&file.path, None, "", format!("nothing reads this series; known are {known}"));
    }
    match series::Series::parse(files) {
        Ok(series) => Some(series.load_shapes.names().map(str::to_owned).collect()),
        Err(problems) => {
            report.extend(problems);
            let shapes = files.get(series::LOAD_SHAPES)?;
            let shapes = series::LoadShapes::parse(shapes).ok()?;
            Some(shapes.names().map(str::to_owned).collect())
        }
    }
}
