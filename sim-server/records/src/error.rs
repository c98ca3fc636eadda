//! What can go wrong, naming what was being done and to what.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    #[error("database address {address:?}: {message}")]
    Address { address: String, message: String },
    #[error("{doing}: {source}")]
    Database { doing: &'static str, source: sqlx::Error },
    #[error("bringing the database's tables up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    #[error("{what} {id:?} exists already")]
    AlreadyExists { what: &'static str, id: String },
    #[error("there is no {what} {id:?}")]
    NotFound { what: &'static str, id: String },
    #[error("{field}: {message}")]
    Invalid { field: &'static str, message: String },
    #[error("{name:?} is the only administrator left")]
    LastAdministrator { name: String },
    #[error("{what} {id:?} in the database cannot be read: {message}")]
    Corrupt { what: &'static str, id: String, message: String },
    #[error("{what} cannot be written: {source}")]
    Encoding { what: &'static str, source: serde_json::Error },
    #[error("hashing a password: {0}")]
    Hashing(String),
    #[error("{doing} {}: {source}", path.display())]
    File { doing: &'static str, path: PathBuf, source: std::io::Error },
    #[error("backup {}: {message}", path.display())]
    Backup { path: PathBuf, message: String },
    #[error("the database is not empty ({table} has rows): restore into a fresh one")]
    NotEmpty { table: &'static str },
    #[error("the database is in use by {holder}")]
    Claimed { holder: String },
}

/// For `map_err`: says what was being done.
pub(crate) fn database(doing: &'static str) -> impl Fn(sqlx::Error) -> RecordsError {
    move |source| RecordsError::Database { doing, source }
}

pub(crate) fn file<'a>(
    doing: &'static str,
    path: &'a std::path::Path,
) -> impl Fn(std::io::Error) -> RecordsError + 'a {
    move |source| RecordsError::File { doing, path: path.to_owned(), source }
}

/// A uniqueness violation as [`RecordsError::AlreadyExists`].
pub(crate) fn unique(
    doing: &'static str,
    what: &'static str,
    id: &str,
) -> impl Fn(sqlx::Error) -> RecordsError {
    let id = id.to_owned();
    move |source| match &source {
        sqlx::Error::Database(e) if e.is_unique_violation() => {
            RecordsError::AlreadyExists { what, id: id.clone() }
        }
        _ => RecordsError::Database { doing, source },
    }
}

/// A record's JSON for its `body` column.
pub(crate) fn encode<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, RecordsError> {
    serde_json::to_string(value).map_err(|source| RecordsError::Encoding { what, source })
}

pub(crate) fn decode<T: serde::de::DeserializeOwned>(
    what: &'static str,
    id: &str,
    body: &str,
) -> Result<T, RecordsError> {
    serde_json::from_str(body).map_err(|e| RecordsError::Corrupt {
        what,
        id: id.to_owned(),
        message: e.to_string(),
    })
}
