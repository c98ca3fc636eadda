//! The data folder: who holds it, and the secrets kept in it.

use anyhow::{Context, bail};
use fs4::fs_std::FileExt;
use std::{
    fs::{File, OpenOptions},
    io::{Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// An open data folder, held by this process until it is dropped.
#[derive(Debug)]
pub(crate) struct DataFolder {
    root: PathBuf,
    /// Locked for as long as the process lives; the kernel lets go of it even after kill -9.
    lock: File,
}

impl DataFolder {
    /// Creates the folder where it is missing and takes its lock.
    ///
    /// # Errors
    /// Names the holder when another process has it.
    pub(crate) fn hold(root: &Path) -> anyhow::Result<Self> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .with_context(|| format!("creating the data folder {}", root.display()))?;
        let path = root.join("holder");
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("opening {}", path.display()))?;
        if !FileExt::try_lock_exclusive(&lock)? {
            let mut holder = String::new();
            lock.read_to_string(&mut holder)?;
            bail!("the data folder {} is held by {}", root.display(), holder.trim());
        }
        Ok(Self { root: root.to_owned(), lock })
    }

    /// Writes who holds the folder, for the next process that tries.
    pub(crate) fn name_holder(&mut self, holder: &str) -> anyhow::Result<()> {
        self.lock.set_len(0)?;
        self.lock.rewind()?;
        self.lock.write_all(holder.as_bytes())?;
        self.lock.sync_data()?;
        Ok(())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A secret of 32 random bytes kept in a 0600 file, made at first use.
    pub(crate) fn key(&self, name: &str) -> anyhow::Result<[u8; 32]> {
        let path = self.path(name);
        if let Ok(bytes) = std::fs::read(&path) {
            return bytes
                .try_into()
                .map_err(|_| anyhow::anyhow!("{} is not a key of 32 bytes", path.display()));
        }
        let key = random_key()?;
        write_private(&path, &key)?;
        Ok(key)
    }
}

/// 256 random bits.
pub(crate) fn random_key() -> anyhow::Result<[u8; 32]> {
    let mut key = [0u8; 32];
    getrandom::fill(&mut key).map_err(|e| anyhow::anyhow!("no randomness from the system: {e}"))?;
    Ok(key)
}

/// Writes a file only its owner can read, whole or not at all.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let partial = path.with_extension("partial");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .with_context(|| format!("writing {}", partial.display()))?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&partial, path).with_context(|| format!("writing {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_holder_is_refused_and_told_who_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = DataFolder::hold(folder.path()).unwrap();
        first.name_holder("process 42 serving http://127.0.0.1:8080").unwrap();
        let error = DataFolder::hold(folder.path()).unwrap_err().to_string();
        assert!(error.contains("process 42"), "{error}");
        drop(first);
        DataFolder::hold(folder.path()).unwrap();
    }

    #[test]
    fn keys_are_private_and_stay() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::hold(folder.path()).unwrap();
        let key = data.key("token.key").unwrap();
        assert_eq!(data.key("token.key").unwrap(), key);
        let mode = std::fs::metadata(data.path("token.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
