//! Where an archive lies: a folder (`file:///…`) or a bucket of an S3-compatible store (`s3://bucket/prefix`).
//!
//! Both are an `object_store`, so both behave alike: a file appears whole or not at all (a folder writes beside and renames, S3
//! completes a multipart upload), and in a folder it is synced to disk before it counts.

use crate::{connection::Connector, error::ArchiveError, manifest::Manifest};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{
    ObjectStore, ObjectStoreExt, RetryConfig, WriteMultipart, aws::AmazonS3Builder, local::LocalFileSystem,
    path::Path,
};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{Seek, Write},
    sync::Arc,
    time::Duration,
};
use url::Url;

const MANIFEST: &str = "manifest.json";
/// Parts on their way at once.
const PARTS_AT_ONCE: usize = 4;
/// A store that is not there is told of within a minute; what was exported until then stays.
const RETRIES: usize = 5;
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);

/// An open archive. It holds no lock: two exports into one place at once are the callers' to prevent.
#[derive(Debug, Clone)]
pub struct Archive {
    store: Arc<dyn ObjectStore>,
    root: Path,
    /// The place as it was named.
    name: String,
    /// Only this file of it, when one was named.
    only: Option<Path>,
}

/// What a file in an archive is, as far as its place knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// From the archive's root.
    pub path: String,
    pub bytes: u64,
}

/// A SHA-256 as it is written down.
pub(crate) fn hex(hash: Sha256) -> String {
    data_encoding::HEXLOWER.encode(&hash.finalize())
}

impl Archive {
    /// Opens a place to export into: a folder is created.
    pub fn create(url: &str, endpoint: Option<&str>) -> Result<Archive, ArchiveError> {
        Archive::at(url, endpoint, true)
    }

    /// Opens a place to import from, or one `.parquet` file in it.
    pub fn open(url: &str, endpoint: Option<&str>) -> Result<Archive, ArchiveError> {
        Archive::at(url, endpoint, false)
    }

    /// `endpoint` is where an S3-compatible store of one's own answers; credentials and region come from the environment
    /// (`AWS_ACCESS_KEY_ID` and so on) and from nowhere else.
    fn at(url: &str, endpoint: Option<&str>, create: bool) -> Result<Archive, ArchiveError> {
        let bad = |reason: String| ArchiveError::BadPlace { url: url.to_owned(), reason };
        let parsed = Url::parse(url).map_err(|e| bad(format!("{e}; it begins with file:/// or s3://")))?;
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(bad("credentials come from the environment, not in the URL".to_owned()));
        }
        let (store, root): (Arc<dyn ObjectStore>, Path) = match parsed.scheme() {
            "file" => {
                let mut folder = parsed
                    .to_file_path()
                    .map_err(|()| bad("it names no folder of this machine".to_owned()))?;
                let mut file = Path::default();
                if !create && folder.is_file() {
                    let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default();
                    file = Path::from(name);
                    folder.pop();
                }
                if create {
                    std::fs::create_dir_all(&folder).map_err(|e| bad(e.to_string()))?;
                }
                let store = LocalFileSystem::new_with_prefix(&folder)
                    .map_err(|e| bad(e.to_string()))?
                    .with_fsync(true);
                (Arc::new(store), file)
            }
            "s3" => {
                let mut builder = AmazonS3Builder::from_env()
                    .with_bucket_name(parsed.host_str().ok_or_else(|| bad("it names no bucket".to_owned()))?)
                    .with_http_connector(Connector)
                    .with_retry(RetryConfig {
                        max_retries: RETRIES,
                        retry_timeout: GIVE_UP_AFTER,
                        ..RetryConfig::default()
                    });
                if let Some(endpoint) = endpoint {
                    let is_plain = endpoint.starts_with("http://");
                    builder = builder.with_endpoint(endpoint).with_allow_http(is_plain);
                }
                let store = builder.build().map_err(|e| bad(e.to_string()))?;
                let path = Path::from_url_path(parsed.path()).map_err(|e| bad(e.to_string()))?;
                (Arc::new(store), path)
            }
            other => return Err(bad(format!("{other}: is neither file: nor s3:"))),
        };
        let is_file = root.as_ref().ends_with(".parquet");
        let (root, only) = if is_file && !create {
            let name = root.filename().unwrap_or_default().to_owned();
            let parent = root.as_ref().strip_suffix(&name).unwrap_or_default();
            (Path::from(parent), Some(Path::from(name)))
        } else {
            (root, None)
        };
        Ok(Archive { store, root, name: url.to_owned(), only })
    }

    /// Whether one file was named instead of a place.
    pub(crate) fn is_one_file(&self) -> bool {
        self.only.is_some()
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    fn full(&self, path: &str) -> Path {
        Path::from_iter(self.root.parts().chain(Path::from(path).parts()))
    }

    fn fault<'a>(
        &'a self,
        doing: &'static str,
        path: &'a str,
    ) -> impl Fn(object_store::Error) -> ArchiveError + 'a {
        move |source| ArchiveError::Store {
            doing,
            path: path.to_owned(),
            place: self.name.clone(),
            source: Box::new(source),
        }
    }

    /// What is there, none when nothing was ever exported there.
    pub async fn manifest(&self) -> Result<Option<Manifest>, ArchiveError> {
        let fault = self.fault("reading", MANIFEST);
        let bytes = match self.store.get(&self.full(MANIFEST)).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            other => other.map_err(&fault)?.bytes().await.map_err(&fault)?,
        };
        Manifest::read(&bytes, &self.name).map(Some)
    }

    pub(crate) async fn write_manifest(&self, manifest: &Manifest) -> Result<(), ArchiveError> {
        let bytes = manifest.write();
        self.store
            .put(&self.full(MANIFEST), bytes.into())
            .await
            .map(|_| ())
            .map_err(self.fault("writing", MANIFEST))
    }

    /// The Parquet files that are there, by path.
    pub(crate) async fn files(&self) -> Result<Vec<Listed>, ArchiveError> {
        let from_root = self.root.parts().count();
        let listed = self.store.list(Some(&self.root)).map_err(self.fault("listing", "files"));
        let mut files: Vec<Listed> = listed
            .map_ok(|meta| Listed {
                path: Path::from_iter(meta.location.parts().skip(from_root)).to_string(),
                bytes: meta.size,
            })
            .try_filter(|file| {
                let wanted = self.only.as_ref().is_none_or(|only| only.as_ref() == file.path);
                std::future::ready(wanted && file.path.ends_with(".parquet"))
            })
            .try_collect()
            .await?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// Begins a file that appears at `path` once it is [`Upload::finish`]ed.
    pub(crate) async fn upload(&self, path: &str) -> Result<Upload<'_>, ArchiveError> {
        let upload =
            self.store.put_multipart(&self.full(path)).await.map_err(self.fault("beginning", path))?;
        Ok(Upload {
            archive: self,
            path: path.to_owned(),
            parts: WriteMultipart::new(upload),
            hash: Sha256::new(),
            bytes: 0,
        })
    }

    /// Copies a file to a temporary one, open at its beginning, and gives the SHA-256 of what came.
    pub(crate) async fn download(&self, path: &str) -> Result<(File, String), ArchiveError> {
        let fault = self.fault("reading", path);
        let mut chunks = self.store.get(&self.full(path)).await.map_err(&fault)?.into_stream();
        let mut file = tempfile::tempfile().map_err(ArchiveError::Temporary)?;
        let mut hash = Sha256::new();
        while let Some(chunk) = chunks.next().await {
            let chunk: Bytes = chunk.map_err(&fault)?;
            hash.update(&chunk);
            file.write_all(&chunk).map_err(ArchiveError::Temporary)?;
        }
        file.rewind().map_err(ArchiveError::Temporary)?;
        Ok((file, hex(hash)))
    }
}

/// A file on its way into an archive.
pub(crate) struct Upload<'a> {
    archive: &'a Archive,
    path: String,
    parts: WriteMultipart,
    hash: Sha256,
    bytes: u64,
}

impl Upload<'_> {
    /// Returns when there is room for more, so that a slow store holds the export back and not the memory.
    pub(crate) async fn write(&mut self, bytes: Vec<u8>) -> Result<(), ArchiveError> {
        self.hash.update(&bytes);
        self.bytes += bytes.len() as u64;
        self.parts
            .wait_for_capacity(PARTS_AT_ONCE)
            .await
            .map_err(self.archive.fault("writing", &self.path))?;
        self.parts.put(bytes.into());
        Ok(())
    }

    /// Of all that was written.
    pub(crate) fn sha256(&self) -> String {
        hex(self.hash.clone())
    }

    /// The file is there, in the place of an older one; gives its size and SHA-256.
    pub(crate) async fn finish(self) -> Result<(u64, String), ArchiveError> {
        self.parts.finish().await.map_err(self.archive.fault("finishing", &self.path))?;
        Ok((self.bytes, hex(self.hash)))
    }

    /// Leaves what is there as it is.
    pub(crate) async fn abort(self) {
        // What stays of an upload that cannot even be given up is invisible, and the store's to clear away.
        let _ = self.parts.abort().await;
    }
}
