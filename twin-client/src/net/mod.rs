//! The link to the server: one thread that logs in, fetches, streams and reconnects, and a mailbox the ECS empties.
//!
//! ```text
//! panels → NetCommand → (bounded) → Link (state machine, own thread) ⇄ Transport (WebSocket, HTTP)
//! ECS    ← Inbox      ← Mailbox (newest value a point, newest of each kind) ← NetEvent
//! ```
//!
//! Frames never wait for the network: a frame takes what arrived if the mailbox is free at that moment and works through a
//! bounded part of it; what is expensive to work out (a scene's look-ups, a subscription's points) is worked out on the
//! link's thread; a full command queue refuses instead of blocking.

pub mod link;
pub mod mailbox;
mod requests;
pub mod rest;
mod session;
pub mod transport;
#[cfg(not(target_arch = "wasm32"))]
mod worker;

pub use link::{Credentials, LinkConfig};
pub use mailbox::{Inbox, Mailbox};

use crate::model::{Fault, LinkState, PointTable, Role, SceneIndex};
use bevy::prelude::Resource;
use shared::{
    command::CommandRequest,
    energy::{EnergyCurve, EnergySummary},
    id::AlarmId,
    plan::{PlanTracking, PlanView},
    quality::QualityReport,
    stream::{PointName, ServerMessage},
    time::Timestamp,
};
use std::sync::Arc;

/// What the link tells the client.
#[derive(Debug)]
pub enum NetEvent {
    Link(LinkState),
    /// Who is logged in and what they may do; `None` when nobody is.
    User(Option<(String, Role)>),
    Scene(Arc<SceneIndex>),
    /// A subscription's points: new numbers for all values after it.
    Points(Arc<PointTable>),
    /// The server's clock and this machine's when it was heard.
    Clock {
        server: Timestamp,
        local: Timestamp,
    },
    /// Anything else the stream says.
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
        result: Result<Vec<(i64, f64)>, Fault>,
    },
    Quality(Box<Result<QualityReport, Fault>>),
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
    /// Why it did not work.
    pub error: Option<Fault>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Acknowledge,
    PlanNow,
    Command,
}

/// What the client asks of the link.
#[derive(Debug, Clone)]
pub enum NetCommand {
    Login {
        user: String,
        password: String,
    },
    Logout,
    Acknowledge(AlarmId),
    History(PointName),
    /// The quality of the last days' data, up to this moment on the server's clock.
    Quality {
        now: Timestamp,
    },
    PlanNow,
    Command(Box<CommandRequest>),
}

/// The ECS side of the link.
#[derive(Resource)]
pub struct Net {
    commands: crossbeam_channel::Sender<NetCommand>,
    mailbox: Mailbox,
    inbox: Inbox,
}

impl Net {
    /// Starts the link on its own thread.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn start(config: LinkConfig) -> std::io::Result<Self> {
        let (commands, asked) = crossbeam_channel::bounded(64);
        let mailbox = Mailbox::default();
        worker::spawn(config, asked, mailbox.clone())?;
        Ok(Self { commands, mailbox, inbox: Inbox::default() })
    }

    /// Hands a wish to the link; `false` when its queue is full or it is gone.
    pub fn ask(&self, command: NetCommand) -> bool {
        self.commands.try_send(command).is_ok()
    }

    /// What arrived and was not worked through yet, newest values only. The buffers are reused.
    pub fn collect(&mut self) -> &mut Inbox {
        self.inbox.refill(&self.mailbox);
        &mut self.inbox
    }
}
