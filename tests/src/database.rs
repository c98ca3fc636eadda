//! A PostgreSQL database of a test's own, on the server that `PARK_TEST_POSTGRES` names.

use crate::{given, tool};
use anyhow::Context;
use std::{
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

/// Empty when made, dropped with whatever still uses it.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// `None`, said aloud, where there is no server to make one on; in CI that is an error.
    pub fn fresh() -> anyhow::Result<Option<Database>> {
        let Some(server) = given("PARK_TEST_POSTGRES")? else { return Ok(None) };
        static MADE: AtomicU32 = AtomicU32::new(0);
        let made = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("park_test_{}_{made}", std::process::id());
        run(&server, &format!("CREATE DATABASE {name}"))?;
        Ok(Some(Database { server, name }))
    }

    pub fn url(&self) -> String {
        match self.server.rsplit_once('/') {
            Some((before, _)) => format!("{before}/{}", self.name),
            None => self.server.clone(),
        }
    }

    /// Executes a statement in it.
    pub fn run(&self, statement: &str) -> anyhow::Result<()> {
        run(&self.url(), statement)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = run(&self.server, &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

fn run(server: &str, statement: &str) -> anyhow::Result<()> {
    let mut command = Command::new(tool("psql")?);
    let output = command.args([server, "-qc", statement]).output().context("running psql")?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(output.status.success(), "{statement}: {said}");
    Ok(())
}
