//! The first administrator.

use crate::data_folder::{DataFolder, random_key, write_private};
use anyhow::Context;
use records::{Records, Role};
use shared::time::Timestamp;
use std::io::ErrorKind;

/// Where a generated password is kept, readable by its owner only.
pub(crate) const PASSWORD_FILE: &str = "admin-password";

/// Creates `admin` when there is no user yet. A given password is written nowhere; a generated one is said once and kept in
/// [`PASSWORD_FILE`].
#[allow(clippy::print_stdout)] // the one moment the password is shown
pub(crate) async fn ensure_admin(
    records: &Records,
    data: &DataFolder,
    given: Option<&str>,
    now: Timestamp,
) -> anyhow::Result<()> {
    if !records.users().await?.is_empty() {
        return Ok(());
    }
    let path = data.path(PASSWORD_FILE);
    // An empty variable is what many ways of starting a server make of one that is not set.
    if let Some(password) = given.filter(|password| !password.is_empty()) {
        records.create_user("admin", password, Role::Admin, now).await?;
        // What a start left behind that ended before its user was made would name a password nobody has.
        return match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("removing {}", path.display()))
            }
            _ => Ok(()),
        };
    }
    let password = data_encoding::BASE64URL_NOPAD.encode(&random_key()?[..18]);
    write_private(&path, password.as_bytes())?;
    records.create_user("admin", &password, Role::Admin, now).await?;
    println!("first start: user admin, password {password} (kept in {})", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    async fn first_start(given: Option<&str>) -> (tempfile::TempDir, DataFolder, Records) {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::hold(folder.path()).unwrap();
        // As a start leaves it that was cut short between the file and the user.
        write_private(&data.path(PASSWORD_FILE), b"of a start cut short").unwrap();
        let records = Records::open(&crate::serve::records_url(&data, None)).await.unwrap();
        ensure_admin(&records, &data, given, Timestamp(0)).await.unwrap();
        (folder, data, records)
    }

    #[tokio::test]
    async fn a_given_password_signs_in_and_is_written_nowhere() {
        let (folder, _data, records) = first_start(Some("correct horse battery")).await;
        assert!(records.verify_password("admin", "correct horse battery").await.unwrap().is_some());
        assert!(!folder.path().join(PASSWORD_FILE).exists());
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let path = file.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(21).any(|part| part == b"correct horse battery"), "{}", path.display());
        }
    }

    #[tokio::test]
    async fn without_one_a_password_is_generated_and_kept_for_its_owner() {
        for given in [None, Some("")] {
            let (_folder, data, records) = first_start(given).await;
            let path = data.path(PASSWORD_FILE);
            let kept = std::fs::read_to_string(&path).unwrap();
            assert!(kept.len() >= 24);
            assert!(records.verify_password("admin", &kept).await.unwrap().is_some());
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
}
