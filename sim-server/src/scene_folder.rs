//! Reads a scene folder from disk into the bytes `shared` parses.

use anyhow::{Context, bail};
use shared::scene::{Scene, SceneFiles};
use std::path::{Path, PathBuf};

/// Loads the scene in `folder`, with the thing models in `models` (the `models` folder beside it by default).
///
/// # Errors
/// Every problem of the scene, with file, line and field.
pub(crate) fn load(folder: &Path, models: Option<&Path>) -> anyhow::Result<Scene> {
    let files = read(folder, models)?;
    Ok(Scene::load(&files)?)
}

/// The bytes of a scene folder, keyed by path inside it.
pub(crate) fn read(folder: &Path, models: Option<&Path>) -> anyhow::Result<SceneFiles> {
    let mut files = SceneFiles::new();
    if !folder.is_dir() {
        bail!("the scene {} is not a folder", folder.display());
    }
    add(&mut files, folder, "", &["toml", "geojson"])?;
    let series = folder.join("series");
    if series.is_dir() {
        add(&mut files, &series, "series/", &["csv"])?;
    }
    let models = models.map_or_else(|| beside(folder), Path::to_owned);
    if !models.is_dir() {
        bail!("the thing models {} are not a folder; name it with --models", models.display());
    }
    add(&mut files, &models, "models/", &["toml"])?;
    Ok(files)
}

fn beside(folder: &Path) -> PathBuf {
    folder.parent().unwrap_or(Path::new(".")).join("models")
}

fn add(files: &mut SceneFiles, folder: &Path, prefix: &str, endings: &[&str]) -> anyhow::Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("reading the folder {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else { continue };
        if path.is_file() && endings.contains(&ending) {
            let bytes = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
            files.insert(format!("{prefix}{name}"), bytes);
        }
    }
    Ok(())
}

/// Says what a scene holds, or all that is wrong with it.
#[allow(clippy::print_stdout)] // the answer of a command
pub(crate) fn check(args: &crate::cli::SceneArgs) -> anyhow::Result<()> {
    let scene = load(&args.scene, args.models.as_deref())?;
    let measurements: usize = scene
        .devices
        .iter()
        .filter_map(|device| scene.model_of(device))
        .map(|model| model.measurements.len())
        .sum();
    println!(
        "{} ({}): {} devices, {measurements} measurements, {} thing models, {} buildings, {} buses",
        scene.park.name.zh,
        scene.park.id,
        scene.devices.len(),
        scene.models.len(),
        scene.site.buildings.len(),
        scene.network.buses.len(),
    );
    Ok(())
}
