//! One device's WebSocket, from its opening to its end.

use super::envelope::{self, MessageId, Said, Says, Unclear};
use crate::{
    clock, desired,
    http::Inlets,
    ingest::{self, Fault, Verdict},
};
use axum::{
    body::Bytes,
    extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket},
};
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, Ready, ready},
    stream::FuturesOrdered,
};
use serde_json::json;
use shared::{
    command::CommandDelivery,
    id::{CommandId, DeviceId},
    telemetry::{Refusal, RefusalCode},
};
use std::{collections::VecDeque, time::Duration};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use twin::{Connection, Sender, Twin};

/// Messages that may wait for the disk; beyond them the socket is not read.
const WINDOW: usize = 64;
/// Messages a second that are read for long, and how many may come at once.
const RATE_PER_S: u32 = 1_000;
const BURST: u32 = 2_000;
/// Between pings.
const PING_EVERY: Duration = Duration::from_secs(30);
/// A device that sends nothing for so long, not even a pong, is gone.
const SILENT_AT_MOST: Duration = Duration::from_secs(90);
/// A device that takes nothing for so long is gone.
const SEND_WITHIN: Duration = Duration::from_secs(20);
/// How long the end waits for payloads on their way to the disk, and for the device to hear why.
const FINISH_WITHIN: Duration = Duration::from_secs(10);
/// Commands a device may say it has: more than can be open at once.
const COMMANDS_KNOWN: usize = 256;

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    PeerClosed,
    Silent,
    Stalled,
    TakenOver,
    SecretReplaced,
    Shutdown,
}

impl Ended {
    /// Named in the metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Ended::PeerClosed => "peer_closed",
            Ended::Silent => "silent",
            Ended::Stalled => "stalled",
            Ended::TakenOver => "taken_over",
            Ended::SecretReplaced => "secret_replaced",
            Ended::Shutdown => "shutdown",
        }
    }

    /// The close frame's code (RFC 6455 section 7.4; 4000 and up are the application's) and reason.
    fn close_frame(self) -> Option<(u16, &'static str)> {
        match self {
            Ended::PeerClosed | Ended::Stalled => None,
            Ended::Silent => Some((1008, "nothing was heard for too long")),
            Ended::TakenOver => Some((4000, "another connection of this device took over")),
            Ended::SecretReplaced => Some((4001, "the device's secret was replaced")),
            Ended::Shutdown => Some((1001, "the server stops; connect again")),
        }
    }
}

/// An answer that is due, in the order of what it answers; `None` where there is nothing to say.
type Jobs = FuturesOrdered<BoxFuture<'static, Option<String>>>;

struct Session {
    twin: Twin,
    device: DeviceId,
    socket: WebSocket,
    jobs: Jobs,
    /// The commands handed over last: those the device may say it has.
    delivered: VecDeque<CommandId>,
    pace: Pace,
    heard: Instant,
}

/// Serves a device that proved to be this one with this secret.
pub(super) async fn serve(inlets: Inlets, device: DeviceId, secret: String, socket: WebSocket) -> Ended {
    let Inlets { twin, shutdown, .. } = inlets;
    let mut link = twin.connect(&device, clock::now());
    let mut session = Session {
        twin,
        device,
        socket,
        jobs: Jobs::new(),
        delivered: VecDeque::new(),
        pace: Pace::new(Instant::now()),
        heard: Instant::now(),
    };
    // Replaced just now, before there was a line to hang up.
    let is_still_good = session.twin.authenticate(session.device.as_str(), &secret).is_some();
    let ended = if is_still_good { session.run(&mut link, &shutdown).await } else { Ended::SecretReplaced };
    drop(link);
    session.finish(ended).await;
    ended
}

impl Session {
    async fn run(&mut self, link: &mut Connection, shutdown: &CancellationToken) -> Ended {
        let (replaced, hung_up) = (link.replaced.clone(), link.hung_up.clone());
        let (shutdown, replaced, hung_up) = (shutdown.cancelled(), replaced.cancelled(), hung_up.cancelled());
        tokio::pin!(shutdown, replaced, hung_up);
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut commands_come = true;
        loop {
            let has_room = self.jobs.len() < WINDOW;
            let ready_at = self.pace.ready_at();
            let said = tokio::select! {
                () = &mut shutdown => return Ended::Shutdown,
                () = &mut replaced => return Ended::TakenOver,
                () = &mut hung_up => return Ended::SecretReplaced,
                Some(answer) = self.jobs.next(), if !self.jobs.is_empty() => answer.map(Message::text),
                delivery = link.deliveries.recv(), if commands_come => match delivery {
                    Some(delivery) => self.command(&delivery),
                    None => {
                        commands_come = false;
                        None
                    }
                },
                message = next_message(&mut self.socket, ready_at), if has_room => {
                    self.heard = Instant::now();
                    match message {
                        Some(Ok(Message::Text(text))) => self.take(text.as_bytes()),
                        Some(Ok(Message::Binary(bytes))) => self.take(&bytes),
                        // The protocol answers pings by itself.
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return Ended::PeerClosed,
                    }
                    None
                },
                _ = pings.tick() => {
                    // While it is not read, it is not its fault that nothing is heard.
                    if has_room && self.heard.elapsed() > SILENT_AT_MOST {
                        return Ended::Silent;
                    }
                    Some(Message::Ping(Bytes::new()))
                }
            };
            if let Some(message) = said {
                match timeout(SEND_WITHIN, self.socket.send(message)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) => return Ended::PeerClosed,
                    Err(_) => return Ended::Stalled,
                }
            }
        }
    }

    /// Begins what a message asks for; its answer comes in its turn.
    fn take(&mut self, message: &[u8]) {
        self.pace.took_one(Instant::now());
        metrics::counter!("park_device_stream_messages_total").increment(1);
        let twin = self.twin.clone();
        let job = match envelope::parse(message) {
            Ok(Said::Payload { id, channel, payload }) => {
                let sender = Sender::Device(self.device.clone());
                async move {
                    let verdict = ingest::hand_over(&twin, &sender, channel, payload.get().as_bytes()).await;
                    answer(id, verdict)
                }
                .boxed()
            }
            Ok(Said::Received { id, command }) => {
                match self.delivered.iter().position(|known| *known == command) {
                    Some(at) => {
                        self.delivered.remove(at);
                        async move {
                            twin.command_sent(&command, clock::now()).await;
                            id.map(|id| envelope::verdict(Some(&id), Verdict::Kept { faults: Vec::new() }))
                        }
                        .boxed()
                    }
                    None => {
                        let message = format!("no command {command} was sent here");
                        let refusal = Refusal::new(RefusalCode::UnknownCommand, "payload.commandId", message);
                        refused(Unclear { id, refusal }).boxed()
                    }
                }
            }
            Ok(Said::AskDesired { id }) => {
                let desired = desired::followed(&twin, &self.device, clock::now());
                let payload = json!({ "deviceId": self.device, "desired": desired });
                let text = Says::Desired { id: id.as_deref(), payload: &payload }.text();
                ready(Some(text)).boxed()
            }
            Err(unclear) => refused(unclear).boxed(),
        };
        self.jobs.push_back(job);
    }

    fn command(&mut self, delivery: &CommandDelivery) -> Option<Message> {
        if delivery.expires <= clock::now() {
            return None;
        }
        if self.delivered.len() == COMMANDS_KNOWN {
            self.delivered.pop_front();
        }
        self.delivered.push_back(delivery.command_id.clone());
        Some(Message::text(Says::Command { payload: delivery }.text()))
    }

    /// What was taken still reaches the disk, and is answered where somebody listens.
    async fn finish(mut self, ended: Ended) {
        let mut listens = !matches!(ended, Ended::PeerClosed | Ended::Stalled);
        let goodbye = async {
            while let Some(answer) = self.jobs.next().await {
                if let Some(answer) = answer.filter(|_| listens) {
                    listens = self.socket.send(Message::text(answer)).await.is_ok();
                }
            }
            if let Some((code, reason)) = ended.close_frame().filter(|_| listens) {
                let frame = CloseFrame { code, reason: Utf8Bytes::from_static(reason) };
                let _ = self.socket.send(Message::Close(Some(frame))).await;
                // A socket closed with bytes unread resets, and the reason would be lost with it.
                while let Some(Ok(_)) = self.socket.recv().await {}
            }
        };
        let _ = timeout(FINISH_WITHIN, goodbye).await;
    }
}

/// The answer to a payload; nobody waits for one without an id, unless something is wrong with it.
fn answer(id: Option<MessageId>, verdict: Verdict) -> Option<String> {
    let is_worth_saying = id.is_some() || !matches!(&verdict, Verdict::Kept { faults } if faults.is_empty());
    is_worth_saying.then(|| envelope::verdict(id.as_deref(), verdict))
}

fn refused(Unclear { id, refusal }: Unclear) -> Ready<Option<String>> {
    metrics::counter!("park_ingest_refused_total", "code" => refusal.code.as_str()).increment(1);
    let refused = Verdict::Refused { code: refusal.code, faults: vec![Fault::from(refusal)] };
    ready(Some(envelope::verdict(id.as_deref(), refused)))
}

async fn next_message(
    socket: &mut WebSocket,
    ready_at: Option<Instant>,
) -> Option<Result<Message, axum::Error>> {
    if let Some(ready_at) = ready_at {
        sleep_until(ready_at).await;
    }
    socket.recv().await
}

/// How fast messages are read: what comes faster waits in the sockets, and so with its sender.
#[derive(Debug)]
struct Pace {
    /// When everything taken so far is paid for, at [`RATE_PER_S`].
    paid_at: Instant,
    now: Instant,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self { paid_at: now, now }
    }

    fn took_one(&mut self, now: Instant) {
        self.now = now;
        self.paid_at = self.paid_at.max(now) + Duration::from_secs(1) / RATE_PER_S;
    }

    /// When the next one may be read, if not at once.
    fn ready_at(&self) -> Option<Instant> {
        let ahead = Duration::from_secs(1) * BURST / RATE_PER_S;
        (self.paid_at > self.now + ahead).then(|| self.paid_at - ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_read_at_once_and_then_so_many_a_second() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for _ in 0..BURST {
            assert_eq!(pace.ready_at(), None);
            pace.took_one(start);
        }
        pace.took_one(start);
        assert_eq!(pace.ready_at(), Some(start + Duration::from_secs(1) / RATE_PER_S));
        // Whoever pauses has its burst back, and no more than that.
        pace.took_one(start + Duration::from_secs(60));
        assert_eq!(pace.ready_at(), None);
    }
}
