//! A scene folder's bytes, as `Scene::load` takes them.

use shared::scene::SceneFiles;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Why a scene folder cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {}", path.display())]
pub struct FolderError {
    pub path: PathBuf,
    source: io::Error,
}

/// Reads a park's folder (`*.toml`, `site.geojson`, `series/*.csv`) and the thing models beside it (`*.toml`).
pub fn read_scene_folder(scene: &Path, models: Option<&Path>) -> Result<SceneFiles, FolderError> {
    let beside = scene.parent().unwrap_or(Path::new(".")).join("models");
    let mut files = SceneFiles::new();
    read(scene, "", &["toml", "geojson"], &mut files)?;
    read(&scene.join("series"), "series/", &["csv"], &mut files)?;
    read(models.unwrap_or(&beside), "models/", &["toml"], &mut files)?;
    Ok(files)
}

fn read(folder: &Path, prefix: &str, endings: &[&str], files: &mut SceneFiles) -> Result<(), FolderError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        |source| FolderError { path, source }
    };
    for entry in fs::read_dir(folder).map_err(at(folder))? {
        let path = entry.map_err(at(folder))?.path();
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if let Some(name) = path.file_name().and_then(|n| n.to_str())
            && endings.contains(&ending)
            && path.is_file()
        {
            files.insert(format!("{prefix}{name}"), fs::read(&path).map_err(at(&path))?);
        }
    }
    Ok(())
}
