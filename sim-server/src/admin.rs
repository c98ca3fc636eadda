//! The first administrator.

use crate::data_folder::{DataFolder, random_key, write_private};
use records::{Records, Role};
use shared::time::Timestamp;

/// Creates `admin` when there is no user yet. A generated password is said once and kept in a 0600 file.
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
    let password = match given {
        Some(password) => password.to_owned(),
        None => data_encoding::BASE64URL_NOPAD.encode(&random_key()?[..18]),
    };
    let path = data.path("admin-password");
    write_private(&path, password.as_bytes())?;
    records.create_user("admin", &password, Role::Admin, now).await?;
    if given.is_none() {
        println!("first start: user admin, password {password} (kept in {})", path.display());
    }
    Ok(())
}
