//! One server per database: a second one learns who holds it.

use crate::{Records, RecordsError, engine::Engine, error};
use sqlx::{Connection, PgConnection};
use std::{io::Read, io::Seek, io::Write, time::Duration};

/// The database is this process's as long as this value lives; a process that dies lets go by dying.
#[derive(Debug)]
pub struct Claim {
    _held: Held,
}

#[derive(Debug)]
enum Held {
    File { _locked: std::fs::File },
    Session { _connection: Box<PgConnection> },
}

const HOLDER: &str = "claimed_by";
/// PostgreSQL may take a moment to notice that the last holder's connection is gone.
const ATTEMPTS: u32 = 10;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(200);

impl Records {
    /// Claims the database for this server, leaving `holder` (such as `host:pid`) for others to read.
    ///
    /// SQLite: a lock on `<database>.lock`. PostgreSQL: an advisory lock of the schema, held by a session of its own.
    pub async fn claim(&self, holder: &str) -> Result<Claim, RecordsError> {
        match &self.inner.engine {
            Engine::Sqlite(sqlite) => {
                let options = sqlite.writer.connect_options();
                let mut path = options.get_filename().as_os_str().to_owned();
                path.push(".lock");
                claim_file(path.as_ref(), holder)
            }
            Engine::Postgres(postgres) => {
                const DOING: &str = "claiming the database";
                let options = postgres.writer.connect_options();
                let mut connection =
                    PgConnection::connect_with(&options).await.map_err(error::database(DOING))?;
                for attempt in 1..=ATTEMPTS {
                    let ours: bool = sqlx::query_scalar(
                        "SELECT pg_try_advisory_lock(hashtext('park-records'), hashtext(current_schema()))",
                    )
                    .fetch_one(&mut connection)
                    .await
                    .map_err(error::database(DOING))?;
                    if ours {
                        self.put_setting(HOLDER, holder).await?;
                        return Ok(Claim { _held: Held::Session { _connection: Box::new(connection) } });
                    }
                    if attempt < ATTEMPTS {
                        tokio::time::sleep(BETWEEN_ATTEMPTS).await;
                    }
                }
                let holder = self.setting(HOLDER).await?.unwrap_or_else(|| "another server".into());
                Err(RecordsError::Claimed { holder })
            }
        }
    }
}

fn claim_file(path: &std::path::Path, holder: &str) -> Result<Claim, RecordsError> {
    crate::engine::create_private(path)?;
    let mut file = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .map_err(error::file("opening", path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut text = String::new();
            file.read_to_string(&mut text).map_err(error::file("reading", path))?;
            let holder = if text.is_empty() { "another server".into() } else { text };
            return Err(RecordsError::Claimed { holder });
        }
        Err(std::fs::TryLockError::Error(e)) => return Err(error::file("locking", path)(e)),
    }
    file.set_len(0).map_err(error::file("writing", path))?;
    file.rewind().map_err(error::file("writing", path))?;
    file.write_all(holder.as_bytes()).map_err(error::file("writing", path))?;
    Ok(Claim { _held: Held::File { _locked: file } })
}
