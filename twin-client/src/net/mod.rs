//! The link to the server: one thread that logs in, fetches, streams and reconnects, and a mailbox the ECS empties.
//!
//! ```text
//! panels → NetCommand → (bounded) → Link (state machine, own thread) ⇄ Transport (WebSocket, HTTP)
//! ECS    ← Mail       ← Mailbox (newest value a point, newest of each kind) ← NetEvent
//! ```
//!
//! Frames never wait for the network: the ECS swaps the mailbox under a lock held for the swap only, and a full command
//! queue refuses instead of blocking.

pub mod link;
pub mod mailbox;
pub mod rest;
pub mod transport;
#[cfg(not(target_arch = "wasm32"))]
mod worker;

pub use link::{Credentials, LinkConfig};
pub use mailbox::{Mail, Mailbox};

use crate::model::LinkState;
use bevy::prelude::Resource;
use shared::{
    command::CommandRequest,
    energy::{EnergyCurve, EnergySummary},
    id::AlarmId,
    plan::{PlanTracking, PlanView},
    scene::Scene,
    stream::{PointName, ServerMessage},
    time::Timestamp,
};

/// What the link tells the client.
#[derive(Debug)]
pub enum NetEvent {
    Link(LinkState),
    Scene {
        scene: Box<Scene>,
        etag: String,
    },
    /// The server's clock and this machine's when it was heard.
    Clock {
        server: Timestamp,
        local: Timestamp,
    },
    Stream {
        message: ServerMessage,
        local: Timestamp,
    },
    Curve(EnergyCurve),
    Energy(Box<EnergySummary>),
    Plan(Box<PlanView>),
    Tracking(PlanTracking),
    History {
        point: PointName,
        result: Result<Vec<(i64, f64)>, String>,
    },
    RoundTrip {
        ms: u32,
    },
    /// Something a person asked for did or did not work.
    Notice(Notice),
}

/// The outcome of what a person asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    pub what: Asked,
    /// The server's reason when it refused.
    pub error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Login,
    Acknowledge,
    PlanNow,
    Command,
}

/// What the client asks of the link.
#[derive(Debug, Clone)]
pub enum NetCommand {
    Login { user: String, password: String },
    Logout,
    Acknowledge(AlarmId),
    History(PointName),
    PlanNow,
    Command(Box<CommandRequest>),
}

/// The ECS side of the link.
#[derive(Resource)]
pub struct Net {
    commands: crossbeam_channel::Sender<NetCommand>,
    mailbox: Mailbox,
    spare: Mail,
}

impl Net {
    /// Starts the link on its own thread.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn start(config: LinkConfig) -> std::io::Result<Self> {
        let (commands, asked) = crossbeam_channel::bounded(64);
        let mailbox = Mailbox::default();
        worker::spawn(config, asked, mailbox.clone())?;
        Ok(Self { commands, mailbox, spare: Mail::default() })
    }

    /// Hands a wish to the link; `false` when its queue is full or it is gone.
    pub fn ask(&self, command: NetCommand) -> bool {
        self.commands.try_send(command).is_ok()
    }

    /// Everything that arrived since the last call, newest values only. The buffers are reused.
    pub fn collect(&mut self) -> &mut Mail {
        self.spare.clear();
        self.mailbox.swap(&mut self.spare);
        &mut self.spare
    }
}
