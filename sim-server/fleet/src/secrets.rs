//! The devices' secrets, as the server provisioned them.

use shared::id::DeviceId;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

/// Why the devices cannot log in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretsError {
    #[error("cannot read the secrets file {} (the server writes it into its data folder at its first start)", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the secrets file {} is not a JSON object of device id to secret", path.display())]
    Parse { path: PathBuf, source: serde_json::Error },
    #[error("the secrets file {} has no secret for {count} of the scene's devices: {some}", path.display())]
    Missing { path: PathBuf, count: usize, some: String },
}

/// The secret of every wanted device, in the order asked for.
pub(crate) fn read(path: &Path, wanted: &[DeviceId]) -> Result<Vec<String>, SecretsError> {
    let text =
        fs::read_to_string(path).map_err(|source| SecretsError::Read { path: path.to_owned(), source })?;
    let mut known: BTreeMap<String, String> = serde_json::from_str(&text)
        .map_err(|source| SecretsError::Parse { path: path.to_owned(), source })?;
    let missing: Vec<&str> =
        wanted.iter().map(DeviceId::as_str).filter(|id| !known.contains_key(*id)).collect();
    if !missing.is_empty() {
        let mut some = missing.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        if missing.len() > 5 {
            some += ", …";
        }
        return Err(SecretsError::Missing { path: path.to_owned(), count: missing.len(), some });
    }
    Ok(wanted.iter().filter_map(|id| known.remove(id.as_str())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.json");
        let wanted: Vec<DeviceId> = ["a", "b"].iter().map(|id| id.parse().unwrap()).collect();
        assert!(read(&path, &wanted).unwrap_err().to_string().contains("secrets.json"));
        fs::write(&path, r#"{"a":"1"}"#).unwrap();
        let error = read(&path, &wanted).unwrap_err().to_string();
        assert!(error.ends_with("no secret for 1 of the scene's devices: b"), "{error}");
        fs::write(&path, r#"{"b":"2","a":"1","c":"3"}"#).unwrap();
        assert_eq!(read(&path, &wanted).unwrap(), ["1", "2"]);
        fs::write(&path, "[]").unwrap();
        assert!(matches!(read(&path, &wanted), Err(SecretsError::Parse { .. })));
    }
}
