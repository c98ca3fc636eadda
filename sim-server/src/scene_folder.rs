//! Loads the scene a command names.

use shared::scene::Scene;
use std::path::Path;

/// Loads the scene in `folder`, with the thing models in `models` (the `models` folder beside it by default).
///
/// # Errors
/// Every problem of the scene, with file, line and field.
pub(crate) fn load(folder: &Path, models: Option<&Path>) -> anyhow::Result<Scene> {
    let files = fleet::read_scene_folder(folder, models)?;
    Ok(Scene::load(&files)?)
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
