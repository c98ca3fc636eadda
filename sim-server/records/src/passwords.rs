//! Passwords as Argon2id hashes, computed off the async threads and a few at a time.

use crate::RecordsError;
use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

pub(crate) const PASSWORD_MIN: usize = 8;
pub(crate) const PASSWORD_MAX: usize = 1_024;

/// Each hash takes 19 MiB and tens of milliseconds: a flood of logins queues here instead of filling memory.
pub(crate) struct Hashing {
    permits: Arc<Semaphore>,
}

impl Hashing {
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { permits: Arc::new(Semaphore::new(cores)) }
    }

    /// The password's PHC string.
    pub(crate) async fn hash(&self, password: &str) -> Result<String, RecordsError> {
        let length = password.chars().count();
        if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&length) {
            return Err(RecordsError::Invalid {
                field: "password",
                message: format!("a password has {PASSWORD_MIN} to {PASSWORD_MAX} characters, not {length}"),
            });
        }
        let password = password.to_owned();
        self.run(move || {
            let hash: PasswordHash = Argon2::default()
                .hash_password(password.as_bytes())
                .map_err(|e| RecordsError::Hashing(e.to_string()))?;
            Ok(hash.to_string())
        })
        .await?
    }

    /// Whether the password is the hash's. Without a hash the same work is done for nothing, so that the time taken
    /// does not say whether a user exists.
    pub(crate) async fn verify(&self, password: &str, hash: Option<String>) -> Result<bool, RecordsError> {
        let password = password.chars().take(PASSWORD_MAX).collect::<String>();
        self.run(move || {
            let known = hash.is_some();
            let hash = match hash {
                Some(hash) => hash,
                None => nobodys_hash()?,
            };
            let parsed = PasswordHash::new(&hash).map_err(|e| RecordsError::Hashing(e.to_string()))?;
            let matches = Argon2::default().verify_password(password.as_bytes(), &parsed).is_ok();
            Ok(known && matches)
        })
        .await?
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RecordsError> {
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|e| RecordsError::Hashing(e.to_string()))?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
        .map_err(|e| RecordsError::Hashing(e.to_string()))
    }
}

/// A hash with today's parameters that belongs to nobody.
fn nobodys_hash() -> Result<String, RecordsError> {
    static HASH: OnceLock<String> = OnceLock::new();
    if let Some(hash) = HASH.get() {
        return Ok(hash.clone());
    }
    let hash: PasswordHash = Argon2::default()
        .hash_password(crate::secrets::random_text().as_bytes())
        .map_err(|e| RecordsError::Hashing(e.to_string()))?;
    Ok(HASH.get_or_init(|| hash.to_string()).clone())
}
