//! Drives one session with a socket, the twin and a timer. One task a connection, none a message.

use super::{
    door::Entry,
    endpoint::{Accepted, Endpoint, Hold},
    session::{CloseReason, Input, Kept, Message, Opening, Output, Session, SessionOptions},
    shelf::Taken,
    wire::{Moved, Wire},
};
use crate::{
    desired,
    ingest::{self, Verdict},
};
use bytes::{Buf, BytesMut};
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesOrdered,
};
use shared::{command::CommandDelivery, id::DeviceId};
use std::{sync::Arc, time::Duration};
use tokio::{net::TcpStream, sync::Notify, time::Instant};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use twin::{Sender, Twin};

const READ_BYTES: usize = 8 * 1024;
/// How long a closed connection may still take to swallow its last bytes.
const LAST_WRITE: Duration = Duration::from_secs(5);
/// A client in the middle of sending would get a reset instead of our reason if we stopped reading at once.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 16 * 1024 * 1024;

/// Something the twin was asked to do, done.
enum Done {
    Judged(Verdict),
    Noted,
    Taken(Result<Taken, ()>),
    /// What is kept of the session is on the disk, or not.
    Written(bool),
}

type Jobs = FuturesOrdered<BoxFuture<'static, Done>>;

struct Driver {
    endpoint: Arc<Endpoint>,
    entry: Entry,
    session: Session,
    /// Whom the client's certificate names.
    certified: Option<Vec<String>>,
    jobs: Jobs,
    taken_over: CancellationToken,
    desired_changed: Arc<Notify>,
    hold: Option<Hold>,
    /// What the client proved itself with, until the twin can hang up on it.
    proof: Option<(String, String)>,
    known: Option<Known>,
    closed: Option<CloseReason>,
    /// What is left of the session then.
    kept: Option<Kept>,
    /// The device has a command, and its answer is what it sends next.
    answer_is_next: bool,
}

/// Who is connected, once authenticated.
struct Known {
    sender: Sender,
    link: twin::Connection,
    link_open: bool,
    session: Taken,
    /// The loop has not seen it yet.
    is_new: bool,
}

/// Serves one connection to its end, under TLS where there is an acceptor.
pub(super) async fn serve(accepted: Accepted, endpoint: Arc<Endpoint>, entry: Entry) {
    let count = |why: CloseReason| {
        metrics::counter!("park_mqtt_closed_total", "reason" => why.as_str()).increment(1);
    };
    let (mut wire, certified) = match accepted {
        Accepted::Plain(stream) => (Wire::plain(at_once(stream)), None),
        Accepted::ToSecure(stream, acceptor) => {
            match shake_hands(at_once(stream), acceptor, &endpoint, &entry).await {
                Ok(secured) => secured,
                Err(why) => return count(why),
            }
        }
        Accepted::Line(line) => (Wire::line(line), None),
    };
    let mut driver = Driver::new(endpoint, entry, certified);
    driver.run(&mut wire).await;
    let Driver { endpoint, entry: _entry, mut session, mut jobs, known, closed, kept, hold, .. } = driver;
    let key = known.map(|known| {
        endpoint.shelf.put_back(&known.session, kept);
        known.session.key
    });
    drop(hold);
    let why = closed.unwrap_or(CloseReason::PeerClosed);
    count(why);
    if why == CloseReason::CrowdedOut {
        // It has said nothing, there is nothing to answer, and its place is somebody else's already.
        return;
    }
    let goodbye = async {
        let (_, outgoing) = session.buffers();
        endpoint.meters.sent_bytes.increment(outgoing.len() as u64);
        let said = tokio::time::timeout(LAST_WRITE, wire.finish(outgoing)).await;
        if matches!(said, Ok(Ok(()))) && why != CloseReason::PeerClosed {
            linger(&mut wire).await;
        }
    };
    // What was taken before the end still reaches the disk: a device that publishes and leaves is not forgotten.
    let finish = async {
        let mut late = Vec::new();
        while let Some(done) = jobs.next().await {
            match done {
                Done::Judged(verdict) => late.push(verdict),
                Done::Taken(Ok(taken)) => endpoint.shelf.put_back(&taken, taken.kept.as_deref().cloned()),
                Done::Taken(Err(())) | Done::Noted | Done::Written(_) => {}
            }
        }
        late
    };
    let ((), late) = tokio::join!(goodbye, finish);
    let Some(key) = key else { return };
    for report in late.into_iter().filter_map(|verdict| session.late_report(verdict)) {
        endpoint.shelf.add_report(&key, &report);
    }
}

/// Small acknowledgements are what the other side waits for.
fn at_once(stream: TcpStream) -> TcpStream {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY not set");
    }
    stream
}

/// TLS before MQTT, within the time a stranger has to say who it is.
async fn shake_hands(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    endpoint: &Endpoint,
    entry: &Entry,
) -> Result<(Wire, Option<Vec<String>>), CloseReason> {
    let peer = stream.peer_addr().ok();
    let crowded_out = OptionFuture::from(match entry {
        Entry::Place(place) => Some(Box::pin(place.crowded_out().cancelled_owned())),
        Entry::Lobby(_) | Entry::Nothing => None,
    });
    tokio::select! {
        shaken = Wire::secured(stream, acceptor) => shaken.map_err(|error| {
            tracing::info!(?peer, %error, "TLS with an MQTT client failed");
            CloseReason::TlsFailed
        }),
        Some(()) = crowded_out => Err(CloseReason::CrowdedOut),
        () = endpoint.shutdown.cancelled() => Err(CloseReason::Shutdown),
        () = tokio::time::sleep(endpoint.session.connect_within) => Err(CloseReason::ConnectTimeout),
    }
}

/// Most device clients write a PUBACK and then the answer to the command with Nagle's algorithm on: the answer stays on the
/// device until the PUBACK's bytes are acknowledged, which this side would put off for 40 ms.
fn acknowledge_bytes_at_once(stream: &TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = stream.set_quickack(true) {
        tracing::debug!(%error, "TCP_QUICKACK not set");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = stream;
}

async fn linger(wire: &mut Wire) {
    let mut scrap = BytesMut::with_capacity(READ_BYTES);
    let discard = async {
        let mut total = 0;
        while total < LINGER_BYTES {
            match wire.moved(Some(&mut scrap), &[]).await {
                Moved::In(bytes) => total += bytes,
                Moved::Out(_) | Moved::Closed => break,
            }
            scrap.clear();
        }
    };
    let _ = tokio::time::timeout(LINGER, discard).await;
}

impl Driver {
    fn new(endpoint: Arc<Endpoint>, entry: Entry, certified: Option<Vec<String>>) -> Self {
        let options = if matches!(entry, Entry::Place(_)) { &endpoint.session } else { &endpoint.lobby };
        let options = SessionOptions { has_certificate: certified.is_some(), ..options.clone() };
        let session = Session::new(options, endpoint.started.elapsed());
        Self {
            endpoint,
            entry,
            session,
            certified,
            jobs: Jobs::new(),
            taken_over: CancellationToken::new(),
            desired_changed: Arc::default(),
            hold: None,
            proof: None,
            known: None,
            closed: None,
            kept: None,
            answer_is_next: false,
        }
    }

    async fn run(&mut self, wire: &mut Wire) {
        let (shutdown, taken_over) = (self.endpoint.shutdown.clone(), self.taken_over.clone());
        let desired_changed = Arc::clone(&self.desired_changed);
        let (shutdown, taken_over) = (shutdown.cancelled(), taken_over.cancelled());
        tokio::pin!(shutdown, taken_over);
        let mut crowded_out = OptionFuture::from(match &self.entry {
            Entry::Place(place) => Some(Box::pin(place.crowded_out().cancelled_owned())),
            Entry::Lobby(_) | Entry::Nothing => None,
        });
        // Known with the device.
        let mut hung_up = OptionFuture::from(None);
        let mut replaced = OptionFuture::from(None);
        let mut timer = Timer::new();
        while self.closed.is_none() {
            // Everything already done is acknowledged in one write.
            while let Some(Some(done)) = self.jobs.next().now_or_never() {
                self.on_done(done);
            }
            self.write_now(wire);
            if self.closed.is_some() {
                break;
            }
            if let Some(known) = self.known.as_mut().filter(|known| known.is_new) {
                known.is_new = false;
                hung_up = OptionFuture::from(Some(Box::pin(known.link.hung_up.clone().cancelled_owned())));
                replaced = OptionFuture::from(Some(Box::pin(known.link.replaced.clone().cancelled_owned())));
                // A device's place is its own.
                crowded_out = OptionFuture::from(None);
            }
            timer.set(self.session.deadline().map(|deadline| self.endpoint.started + deadline));
            let wants_bytes = self.session.wants_bytes();
            let wants_deliveries = self.session.wants_deliveries();
            let hears_desired = self.session.hears_desired();
            let (inbox, outgoing) = self.session.buffers();
            if wants_bytes && inbox.capacity() - inbox.len() < READ_BYTES / 4 {
                inbox.reserve(READ_BYTES);
            }
            // In this order: what ends the connection, what is done, what comes by itself and is bounded, and only then bytes, of
            // which there may always be more.
            let input = tokio::select! {
                biased;
                () = &mut shutdown => Input::Shutdown,
                () = &mut taken_over => Input::TakenOver,
                Some(()) = &mut crowded_out => Input::CrowdedOut,
                Some(()) = &mut hung_up => Input::SecretReplaced,
                // Over another protocol: two MQTT connections settle it between them.
                Some(()) = &mut replaced => Input::TakenOver,
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => {
                    self.on_done(done);
                    continue;
                }
                delivery = next_delivery(&mut self.known), if wants_deliveries => match delivery {
                    Some(delivery) => {
                        self.endpoint.meters.deliveries.increment(1);
                        Input::Delivery(delivery)
                    }
                    None => continue,
                },
                () = desired_changed.notified(), if hears_desired => self.desired(false),
                () = timer.fired() => Input::Tick,
                moved = wire.moved(wants_bytes.then_some(inbox), outgoing) => match moved {
                    Moved::In(bytes) => {
                        self.endpoint.meters.received_bytes.increment(bytes as u64);
                        Input::Received
                    }
                    Moved::Out(bytes) => {
                        self.note_written(bytes);
                        Input::Sent
                    }
                    Moved::Closed => Input::PeerClosed,
                },
            };
            self.handle(input);
            if std::mem::take(&mut self.answer_is_next)
                && let Some(stream) = wire.tcp()
            {
                acknowledge_bytes_at_once(stream);
            }
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Judged(verdict) => self.handle(Input::Judged(verdict)),
            Done::Written(is_written) => self.handle(Input::Written(is_written)),
            Done::Taken(Ok(taken)) => self.open(taken),
            Done::Taken(Err(())) => self.handle(Input::Opened(Err(()))),
            Done::Noted => {}
        }
    }

    /// Writes as much as the socket takes without waiting.
    fn write_now(&mut self, wire: &mut Wire) {
        while self.session.has_outgoing() {
            let (_, outgoing) = self.session.buffers();
            match wire.write_now(outgoing) {
                Some(Moved::Out(bytes)) => {
                    self.note_written(bytes);
                    self.handle(Input::Sent);
                }
                Some(_) => return self.handle(Input::PeerClosed),
                None => break,
            }
        }
        wire.flush_now();
    }

    fn note_written(&mut self, bytes: usize) {
        let (_, outgoing) = self.session.buffers();
        outgoing.advance(bytes);
        self.endpoint.meters.sent_bytes.increment(bytes as u64);
    }

    fn handle(&mut self, input: Input) {
        let now = self.endpoint.started.elapsed();
        let outputs = self.session.handle(input, now, self.endpoint.twin.now());
        for output in outputs {
            self.act(output);
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Authenticate { user, password } => {
                let twin = &self.endpoint.twin;
                let device = match &self.certified {
                    Some(names) => certified_device(twin, names, user.as_deref()),
                    None => user.zip(password.and_then(|bytes| String::from_utf8(bytes).ok())).and_then(
                        |(user, secret)| {
                            let device = twin.authenticate(&user, &secret);
                            self.proof = Some((user, secret));
                            device
                        },
                    ),
                };
                self.handle(Input::Authenticated(device));
            }
            Output::Open(opening) => self.welcome(opening),
            Output::Keep { kept, answer } => self.keep(&kept, answer),
            Output::AskDesired { retained } => {
                let desired = self.desired(retained);
                self.handle(desired);
            }
            Output::Publish(message) => self.hand_over(message),
            Output::CommandSent(id) => {
                self.answer_is_next = true;
                let twin = self.endpoint.twin.clone();
                self.jobs.push_back(
                    async move {
                        twin.command_sent(&id, twin.now()).await;
                        Done::Noted
                    }
                    .boxed(),
                );
            }
            Output::Refused(code) => {
                metrics::counter!("park_mqtt_refused_total", "code" => code).increment(1);
            }
            Output::Close { why, will, kept } => {
                self.kept = kept.map(|kept| *kept);
                if let Some(will) = will {
                    self.hand_over(will);
                }
                self.closed = Some(why);
            }
        }
    }

    /// The device's other connection is told to go; then its session is taken from the shelf.
    fn welcome(&mut self, opening: Opening) {
        if let Entry::Place(place) = &mut self.entry
            && !place.is_now_a_devices()
        {
            return self.handle(Input::CrowdedOut);
        }
        let (taken_over, desired_changed) = (self.taken_over.clone(), Arc::clone(&self.desired_changed));
        self.hold = Some(self.endpoint.hold(&opening.device, taken_over, desired_changed));
        if let Some(taken) = self.endpoint.shelf.take_now(&opening) {
            return self.open(taken);
        }
        let endpoint = Arc::clone(&self.endpoint);
        self.jobs.push_back(
            async move { Done::Taken(endpoint.shelf.take(&opening, &endpoint.twin).await) }.boxed(),
        );
    }

    fn open(&mut self, mut taken: Taken) {
        let device = taken.key.0.clone();
        let kept = taken.kept.take();
        self.known = Some(Known {
            sender: Sender::Device(device.clone()),
            link: self.endpoint.twin.connect(&device, self.endpoint.twin.now()),
            link_open: true,
            session: taken,
            is_new: true,
        });
        self.handle(Input::Opened(Ok(kept)));
        // Replaced just now, before there was a line to hang up.
        if let Some((user, secret)) = self.proof.take()
            && self.endpoint.twin.authenticate(&user, &secret).is_none()
        {
            self.handle(Input::SecretReplaced);
        }
    }

    fn keep(&mut self, kept: &Kept, answer: bool) {
        let Some(known) = &self.known else { return };
        self.endpoint.shelf.note(&known.session, kept);
        if answer {
            let endpoint = Arc::clone(&self.endpoint);
            self.jobs.push_back(async move { Done::Written(endpoint.shelf.written().await) }.boxed());
        }
    }

    fn desired(&self, retained: bool) -> Input {
        let twin = &self.endpoint.twin;
        let set_points =
            self.known.as_ref().map(|known| desired::followed(twin, &known.session.key.0, twin.now()));
        Input::Desired { set_points: set_points.unwrap_or_default(), retained }
    }

    fn hand_over(&mut self, message: Message) {
        let Some(known) = &self.known else { return };
        self.endpoint.meters.messages.increment(1);
        let (twin, sender) = (self.endpoint.twin.clone(), known.sender.clone());
        self.jobs.push_back(
            async move {
                let payload = message.payload.as_slice();
                Done::Judged(ingest::hand_over(&twin, &sender, message.channel, payload).await)
            }
            .boxed(),
        );
    }
}

/// The registered device that a certificate speaks for: the one the client says it is, or the first.
fn certified_device(twin: &Twin, names: &[String], claimed: Option<&str>) -> Option<DeviceId> {
    let mut own = names.iter().filter(|name| claimed.is_none_or(|claimed| claimed == *name));
    let device = own.find_map(|name| twin.registry().get(name)).map(|entry| entry.id().clone());
    if device.is_none() {
        let names = names.join(", ");
        tracing::warn!(%names, claimed, "a client certificate was refused: it names no such device");
    }
    device
}

async fn next_delivery(known: &mut Option<Known>) -> Option<CommandDelivery> {
    match known {
        Some(known) if known.link_open => {
            let delivery = known.link.deliveries.recv().await;
            known.link_open = delivery.is_some();
            delivery
        }
        _ => std::future::pending().await,
    }
}

/// A timer moved only when it must fire earlier than set: a deadline that recedes with every packet costs nothing.
struct Timer {
    sleep: std::pin::Pin<Box<tokio::time::Sleep>>,
    set_for: Option<Instant>,
}

impl Timer {
    fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(Duration::MAX)), set_for: None }
    }

    fn set(&mut self, deadline: Option<Instant>) {
        if let Some(deadline) = deadline
            && self.set_for.is_none_or(|set_for| deadline < set_for)
        {
            self.sleep.as_mut().reset(deadline);
            self.set_for = Some(deadline);
        }
    }

    async fn fired(&mut self) {
        if self.set_for.is_none() {
            return std::future::pending().await;
        }
        self.sleep.as_mut().await;
        self.set_for = None;
    }
}
