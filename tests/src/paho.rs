//! Python's paho as a client that is told what to do: see `tests/paho/remote.py`.

use crate::{LIMIT, given, repository};
use anyhow::{Context, bail};
use serde_json::{Value, json};
use std::{collections::VecDeque, path::PathBuf, process::Stdio};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

/// The Python with paho that scripts/test names; `None` where there is none and none is required.
pub fn python() -> anyhow::Result<Option<PathBuf>> {
    Ok(given("PARK_TEST_PAHO")?.map(PathBuf::from))
}

/// A client process; killed when dropped.
pub struct Paho {
    process: Child,
    orders: ChildStdin,
    events: Lines<BufReader<ChildStdout>>,
    /// Heard, and not asked for yet.
    waiting: VecDeque<Value>,
}

impl Paho {
    /// `version` is `3` or `5`.
    pub fn start(python: &PathBuf, port: u16, version: &str) -> anyhow::Result<Self> {
        let mut process = Command::new(python)
            .arg(repository().join("tests/paho/remote.py"))
            .args(["127.0.0.1", &port.to_string(), version])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        let orders = process.stdin.take().context("no input")?;
        let events = BufReader::new(process.stdout.take().context("no output")?).lines();
        Ok(Self { process, orders, events, waiting: VecDeque::new() })
    }

    pub async fn tell(&mut self, order: Value) -> anyhow::Result<()> {
        self.orders.write_all(format!("{order}\n").as_bytes()).await?;
        Ok(self.orders.flush().await?)
    }

    /// The next event of this kind; others are kept for those who ask for them.
    pub async fn event(&mut self, kind: &str) -> anyhow::Result<Value> {
        if let Some(at) = self.waiting.iter().position(|event| event["event"] == kind) {
            return self.waiting.remove(at).context("it was there");
        }
        let next = async {
            loop {
                let Some(line) = self.events.next_line().await? else { bail!("paho ended before {kind}") };
                let event: Value = serde_json::from_str(&line)?;
                if event["event"] == kind {
                    return Ok(event);
                }
                self.waiting.push_back(event);
            }
        };
        tokio::time::timeout(LIMIT, next).await.with_context(|| format!("paho never told of {kind}"))?
    }

    /// Whether an event of this kind was heard and not asked for.
    pub fn has_heard(&self, kind: &str) -> bool {
        self.waiting.iter().any(|event| event["event"] == kind)
    }

    /// Connects and gives the CONNACK.
    pub async fn connect(&mut self, order: Value) -> anyhow::Result<Value> {
        let mut order = order;
        order["do"] = json!("connect");
        self.tell(order).await?;
        self.event("connected").await
    }

    /// Subscribes at QoS 1 and gives the reason code.
    pub async fn subscribe(&mut self, topic: &str, options: Value) -> anyhow::Result<u64> {
        self.tell(json!({"do": "subscribe", "topic": topic, "qos": 1, "options": options})).await?;
        self.event("subscribed").await?["reasons"][0].as_u64().context("no reason code")
    }

    /// Publishes and gives the acknowledgement.
    pub async fn publish(&mut self, topic: &str, qos: u8, payload: &Value) -> anyhow::Result<Value> {
        let order = json!({"do": "publish", "topic": topic, "qos": qos, "payload": payload.to_string()});
        self.tell(order).await?;
        self.event("published").await
    }

    pub async fn disconnect(&mut self) -> anyhow::Result<()> {
        self.tell(json!({"do": "disconnect"})).await?;
        self.event("disconnected").await.map(drop)
    }

    /// Ends without a DISCONNECT.
    pub async fn die(mut self) -> anyhow::Result<()> {
        self.tell(json!({"do": "die"})).await?;
        self.process.wait().await?;
        Ok(())
    }
}
