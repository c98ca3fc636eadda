//! A PostgreSQL of a test's own, to be killed.

use crate::{eventually, free_port, given, tool};
use anyhow::{Context, ensure};
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Its data survives being killed; both go when it is dropped, the folder with the test's.
pub struct Postgres {
    process: Option<Child>,
    programs: PathBuf,
    folder: PathBuf,
    port: u16,
}

impl Postgres {
    /// Makes one in `folder` and starts it. `None`, said aloud, where tests are given none; in CI that is an error.
    pub async fn start(folder: &Path) -> anyhow::Result<Option<Postgres>> {
        if given("PARK_TEST_POSTGRES")?.is_none() {
            return Ok(None);
        }
        let folder = folder.join("postgres");
        std::fs::create_dir_all(&folder)?;
        if is_root()? {
            // It refuses to run as root, and reaches its folder through the test's.
            if let Some(parent) = folder.parent() {
                succeeds(Command::new("chmod").arg("755").arg(parent))?;
            }
            succeeds(Command::new("chown").arg("postgres").arg(&folder))?;
        }
        let mut postgres = Postgres { process: None, programs: programs()?, folder, port: free_port()? };
        let data = postgres.data();
        succeeds(postgres.command("initdb")?.arg("-D").arg(&data).args([
            "-U",
            "park",
            "--auth=trust",
            "--no-sync",
        ]))?;
        postgres.restart().await?;
        let (server, create) = (postgres.url_of("postgres"), "CREATE DATABASE park");
        succeeds(Command::new(tool("psql")?).args([&server, "-qc", create]))?;
        Ok(Some(postgres))
    }

    pub fn url(&self) -> String {
        self.url_of("park")
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://park@127.0.0.1:{}/{database}", self.port)
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn command(&self, program: &str) -> anyhow::Result<Command> {
        let program = self.programs.join(program);
        if !is_root()? {
            return Ok(Command::new(program));
        }
        let mut command = Command::new(tool("runuser")?);
        command.args(["-u", "postgres", "--"]).arg(program);
        Ok(command)
    }

    /// `kill -9` of its first process; the others see that and end.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let note = std::fs::read_to_string(self.data().join("postmaster.pid"))?;
        let pid = note.lines().next().context("postmaster.pid is empty")?;
        succeeds(Command::new("kill").args(["-9", pid]))?;
        if let Some(mut process) = self.process.take() {
            process.wait()?;
        }
        Ok(())
    }

    /// Starts it on what it has, and waits until it answers.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let url = self.url_of("postgres");
        eventually("PostgreSQL answers", async || {
            // While the last one's processes are about to end it refuses to start.
            if !self.process.as_mut().is_some_and(|process| matches!(process.try_wait(), Ok(None))) {
                let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log"))?;
                let mut command = self.command("postgres")?;
                command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
                command.args(["-c", "listen_addresses=127.0.0.1", "-c"]);
                command.arg(format!("unix_socket_directories={}", self.folder.display()));
                let process = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
                self.process = Some(process);
            }
            let asked = Command::new(tool("psql")?).args([&url, "-qc", "SELECT 1"]).output()?;
            Ok(asked.status.success().then_some(()))
        })
        .await
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// The newest that is installed.
fn programs() -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").context("PostgreSQL is not installed")?;
    let programs = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    programs.filter(|folder| folder.join("initdb").is_file()).max().context("PostgreSQL is not installed")
}

fn is_root() -> anyhow::Result<bool> {
    let output = Command::new("id").arg("-u").output()?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn succeeds(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
