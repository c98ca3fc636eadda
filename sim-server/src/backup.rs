//! Backup and restore: a consistent copy of telemetry and records with the keys beside them.

use crate::{
    cli::{BackupArgs, RestoreArgs},
    control::{BACKUP_PATH, BackupRequest, ask_server, is_held},
    data_folder::DataFolder,
    serve::{self, FLEET_STATE_FILE, HISTORY_FOLDER, KEY_FILES, RECORDS_FILE},
};
use anyhow::{Context, bail};
use history::History;
use records::Records;
use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

const RECORDS_COPY: &str = "records";
const HISTORY_COPY: &str = "history";
/// Written last: a copy without it was cut short.
const COMPLETE: &str = "complete";

/// Asks the running server for a copy, or makes one itself when none runs.
pub(crate) async fn backup(args: &BackupArgs) -> anyhow::Result<()> {
    if !args.data.is_dir() {
        bail!("{} is not a data folder", args.data.display());
    }
    let into = std::path::absolute(&args.into)?;
    if into.exists() && std::fs::read_dir(&into)?.next().is_some() {
        bail!("{} is not empty", into.display());
    }
    std::fs::create_dir_all(&into).with_context(|| format!("creating {}", into.display()))?;
    // Before the stores: devices that went on a little too early send again what is there, others would leave a gap.
    copy_file(FLEET_STATE_FILE, &args.data, &into)?;
    match DataFolder::hold(&args.data) {
        Ok(mut data) => {
            let holder = format!("process {} making a backup", std::process::id());
            // A second backup must not believe what the last server left there.
            data.name_holder(&holder)?;
            let saved = serve::SavedOptions::read(&data)?;
            let (history, records, _claim) =
                serve::open_stores(&data, saved.database.as_deref(), &holder, None).await?;
            copy_stores(&history, &records, &into).await?;
            history.close().await?;
        }
        Err(error) => {
            if !is_held(&args.data) {
                return Err(error);
            }
            ask_server(&args.data, BACKUP_PATH, &BackupRequest { into: into.clone() }).await?;
        }
    }
    for name in KEY_FILES.into_iter().filter(|name| *name != FLEET_STATE_FILE) {
        copy_file(name, &args.data, &into)?;
    }
    std::fs::write(into.join(COMPLETE), b"")?;
    tracing::info!(into = %into.display(), "backup complete");
    Ok(())
}

/// Copies a file of the data folder where it is there.
fn copy_file(name: &str, data: &Path, into: &Path) -> anyhow::Result<()> {
    match std::fs::copy(data.join(name), into.join(name)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("copying {name}"))
        }
        _ => Ok(()),
    }
}

/// Copies both stores while they are in use.
pub(crate) async fn copy_stores(history: &History, records: &Records, into: &Path) -> anyhow::Result<()> {
    // Telemetry first: a command in the records may then miss its effect, never the other way round.
    let (history_copy, records_copy) = (into.join(HISTORY_COPY), into.join(RECORDS_COPY));
    std::fs::create_dir_all(&history_copy)?;
    std::fs::create_dir_all(&records_copy)?;
    history.backup(&history_copy).await.context("copying the telemetry")?;
    records.backup(&records_copy).await.context("copying the records")?;
    Ok(())
}

/// Fills an empty data folder (and database) from a copy.
pub(crate) async fn restore(args: &RestoreArgs) -> anyhow::Result<()> {
    if !args.from.join(COMPLETE).exists() {
        bail!("{} is not a complete backup", args.from.display());
    }
    let data = DataFolder::hold(&args.data)?;
    for name in [RECORDS_FILE, HISTORY_FOLDER] {
        if data.path(name).exists() {
            bail!("{} already holds a park; restore into an empty folder", args.data.display());
        }
    }
    let url = serve::records_url(&data, args.database.as_deref());
    Records::restore(&url, &args.from.join(RECORDS_COPY)).await.context("restoring the records")?;
    let options = serve::history_options(&data, args.database.as_deref());
    History::restore(&options, &args.from.join(HISTORY_COPY)).await.context("restoring the telemetry")?;
    for name in KEY_FILES {
        let from: PathBuf = args.from.join(name);
        if from.exists() {
            crate::data_folder::write_private(&data.path(name), &std::fs::read(from)?)?;
        }
    }
    serve::SavedOptions { database: args.database.clone(), ..Default::default() }.write(&data)?;
    tracing::info!(data = %args.data.display(), "restored");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{HOLDER_FILE, TOKEN_FILE};
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    fn arguments(data: &Path, into: &Path) -> BackupArgs {
        BackupArgs { data: data.to_owned(), into: into.to_owned() }
    }

    /// What a server leaves behind that was killed: its address in `holder`, and here somebody else's service at it.
    fn killed_server(data: &Path) -> TcpListener {
        let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = stranger.local_addr().unwrap();
        std::fs::create_dir_all(data).unwrap();
        std::fs::write(data.join(HOLDER_FILE), format!("process 42 serving http://{address}")).unwrap();
        std::fs::write(data.join(TOKEN_FILE), "the token").unwrap();
        stranger
    }

    fn was_asked(stranger: &TcpListener) -> bool {
        stranger.set_nonblocking(true).unwrap();
        stranger.accept().is_ok()
    }

    #[tokio::test]
    async fn the_simulated_devices_go_on_in_a_restored_park_where_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let stranger = killed_server(&at("data"));
        std::fs::write(at("data").join(FLEET_STATE_FILE), "how far they are").unwrap();
        backup(&arguments(&at("data"), &at("copy"))).await.unwrap();
        assert!(!was_asked(&stranger), "nobody holds the folder, so there was nobody to ask");
        let args = RestoreArgs { from: at("copy"), data: at("again"), database: None };
        restore(&args).await.unwrap();
        assert_eq!(std::fs::read_to_string(at("again").join(FLEET_STATE_FILE)).unwrap(), "how far they are");
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_locked_says_why_and_nobody_gets_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let stranger = killed_server(&data);
        std::fs::remove_file(data.join(HOLDER_FILE)).unwrap();
        std::fs::create_dir(data.join(HOLDER_FILE)).unwrap();
        let error = backup(&arguments(&data, &folder.path().join("copy"))).await.unwrap_err();
        assert!(format!("{error:#}").contains("opening"), "{error:#}");
        assert!(!was_asked(&stranger));
    }

    #[tokio::test]
    async fn a_held_folder_is_copied_by_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let server = killed_server(&data);
        let address = server.local_addr().unwrap();
        let mut held = DataFolder::hold(&data).unwrap();
        held.name_holder(&format!("process 42 serving http://{address}")).unwrap();
        let answering = std::thread::spawn(move || {
            let (mut connection, _) = server.accept().unwrap();
            let (mut request, mut part) = (String::new(), [0u8; 4096]);
            while !request.contains("copy\"}") {
                let read = connection.read(&mut part).unwrap();
                request.push_str(std::str::from_utf8(&part[..read]).unwrap());
            }
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            request
        });
        backup(&arguments(&data, &folder.path().join("copy"))).await.unwrap();
        let request = answering.join().unwrap();
        assert!(request.starts_with("POST /internal/backup"), "{request}");
        assert!(request.contains("Bearer the token"), "{request}");

        held.name_holder("process 42 making a backup").unwrap();
        let error = backup(&arguments(&data, &folder.path().join("second"))).await.unwrap_err();
        assert!(format!("{error:#}").contains("held by process 42 making a backup"), "{error:#}");
    }
}
