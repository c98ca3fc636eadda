//! A real Mosquitto in front of the park.

use crate::{eventually, free_port, tool};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

/// A broker that asks nobody for a password and keeps whatever it cannot deliver; killed when dropped.
pub struct Broker {
    process: Child,
    pub port: u16,
}

impl Broker {
    /// Starts one on a free port with its files in `folder`, and waits until it listens.
    pub async fn start(folder: &Path) -> anyhow::Result<Broker> {
        let port = free_port()?;
        let config = folder.join("mosquitto.conf");
        std::fs::write(
            &config,
            format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {}/\n\
                 autosave_interval 1\nmax_queued_messages 0\nmax_inflight_messages 1000\nuser root\n",
                folder.display()
            ),
        )?;
        let log = std::fs::File::create(folder.join("mosquitto.log"))?;
        let process = Command::new(tool("mosquitto")?)
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let broker = Broker { process, port };
        eventually("the broker listens", async || {
            Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop))
        })
        .await?;
        Ok(broker)
    }

    pub fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
