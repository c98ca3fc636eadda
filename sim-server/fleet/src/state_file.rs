//! What the fleet remembers between two starts: the world as far as the server has acknowledged it.

use crate::world::WorldMemory;
use serde::{Deserialize, Serialize};
use shared::id::ParkId;
use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FleetState {
    version: u32,
    park: ParkId,
    world: WorldMemory,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("cannot read the state file {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write the state file {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("the state file {} is damaged; remove it to start the park afresh", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("the state file {} is of version {found}, this program reads version {VERSION}", path.display())]
    Version { path: PathBuf, found: u32 },
    #[error("the state file {} belongs to park {found}, not to {wanted}", path.display())]
    Park { path: PathBuf, found: ParkId, wanted: ParkId },
}

/// What was remembered of this park; `None` at the first start.
pub(crate) fn load(path: &Path, park: &ParkId) -> Result<Option<WorldMemory>, StateError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(StateError::Read { path: path.to_owned(), source }),
    };
    let state: FleetState =
        serde_json::from_str(&text).map_err(|source| StateError::Parse { path: path.to_owned(), source })?;
    if state.version != VERSION {
        return Err(StateError::Version { path: path.to_owned(), found: state.version });
    }
    if state.park != *park {
        return Err(StateError::Park { path: path.to_owned(), found: state.park, wanted: park.clone() });
    }
    Ok(Some(state.world))
}

/// Replaces the file as a whole: a crash leaves the old or the new one.
pub(crate) fn save(path: &Path, park: &ParkId, world: WorldMemory) -> Result<(), StateError> {
    let at = |source| StateError::Write { path: path.to_owned(), source };
    let state = FleetState { version: VERSION, park: park.clone(), world };
    let text = serde_json::to_vec(&state).map_err(|e| at(io::Error::other(e)))?;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(at)?;
    }
    let beside = path.with_extension("json.new");
    let mut file = fs::File::create(&beside).map_err(at)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(at)?;
    fs::rename(&beside, path).map_err(at)
}
