//! What a connection to the broker is there for: all of it, or a gateway's or the server's part where several machines share the work.

use crate::{
    clock,
    ingest::{self, Channel, Fault, Verdict},
    topic,
};
use frames::{FrameWriter, Payload};
use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use rumqttc::Publish;
use shared::id::DeviceId;
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::mpsc;
use twin::{Sender, Twin};

const TOPICS: [&str; 3] = ["device/+/data", "device/+/event", "device/+/control/ack"];

pub(super) enum Duty {
    /// Payloads go to the twin, commands to the broker.
    Alone { twin: Twin },
    /// Payloads become frames for the park's server; the broker shares them out among all gateways of the group.
    Relay { frames: FrameWriter, group: String },
    /// Commands, and what was wrong with payloads, to the broker; payloads come as frames.
    Server { twin: Twin, reports: mpsc::Receiver<Report> },
}

/// What was wrong with a payload published on `topic`.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) topic: String,
    pub(super) faults: Vec<Fault>,
}

/// What became of something that was under way.
pub(super) enum Done {
    Judged {
        publish: Publish,
        device: DeviceId,
        verdict: Verdict,
    },
    /// A gateway's: committed for the server.
    Kept {
        publish: Publish,
    },
    NotKept {
        why: String,
    },
    /// Not for us: acknowledged so that the broker forgets it.
    Foreign {
        publish: Publish,
    },
    Noted,
}

/// Devices heard through the broker since the server started.
#[derive(Debug, Clone, Default)]
pub(super) struct Heard(Arc<Mutex<BTreeSet<DeviceId>>>);

impl Heard {
    pub(super) fn has(&self, device: &DeviceId) -> bool {
        self.0.lock().contains(device)
    }

    /// Whether it is new.
    pub(super) fn note(&self, device: &DeviceId) -> bool {
        let mut heard = self.0.lock();
        !heard.contains(device) && heard.insert(device.clone())
    }
}

impl Duty {
    pub(super) fn twin(&self) -> Option<&Twin> {
        match self {
            Duty::Alone { twin } | Duty::Server { twin, .. } => Some(twin),
            Duty::Relay { .. } => None,
        }
    }

    pub(super) fn topics(&self) -> Vec<String> {
        match self {
            Duty::Alone { .. } => TOPICS.map(str::to_owned).to_vec(),
            Duty::Relay { group, .. } => TOPICS.map(|topic| format!("$share/{group}/{topic}")).to_vec(),
            Duty::Server { .. } => Vec::new(),
        }
    }

    /// Waits for ever where there are none to come.
    pub(super) async fn next_report(&mut self) -> Option<Report> {
        match self {
            Duty::Server { reports, .. } => reports.recv().await,
            Duty::Alone { .. } | Duty::Relay { .. } => std::future::pending().await,
        }
    }

    pub(super) fn take(&self, publish: Publish) -> BoxFuture<'static, Done> {
        let Some((device, channel)) = sender_of(&publish.topic) else {
            metrics::counter!("park_upstream_refused_total", "code" => "UNKNOWN_TOPIC").increment(1);
            return std::future::ready(Done::Foreign { publish }).boxed();
        };
        match self {
            Duty::Alone { twin } => judged(twin.clone(), device, channel, publish).boxed(),
            Duty::Relay { frames, .. } => kept(frames.clone(), publish).boxed(),
            Duty::Server { .. } => std::future::ready(Done::Foreign { publish }).boxed(),
        }
    }
}

/// The broker guards its topics, so the device a topic names is believed.
pub(super) fn sender_of(topic: &str) -> Option<(DeviceId, Channel)> {
    let (id, channel) = topic::parse_published(topic)?;
    Some((id.parse().ok()?, channel))
}

async fn judged(twin: Twin, device: DeviceId, channel: Channel, publish: Publish) -> Done {
    let sender = Sender::Device(device.clone());
    let verdict = ingest::hand_over(&twin, &sender, channel, &publish.payload).await;
    Done::Judged { publish, device, verdict }
}

async fn kept(frames: FrameWriter, publish: Publish) -> Done {
    let payload = Payload {
        topic: publish.topic.clone(),
        received_ms: clock::now().0,
        bytes: publish.payload.to_vec(),
    };
    match frames.keep(payload).await {
        Ok(()) => Done::Kept { publish },
        Err(e) => Done::NotKept { why: e.to_string() },
    }
}
