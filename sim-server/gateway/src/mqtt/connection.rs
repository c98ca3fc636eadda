//! Drives one session with a socket, the twin and a timer. One task a connection, none a message.

use super::{
    door::Entry,
    endpoint::{Endpoint, Hold},
    session::{CloseReason, Input, Message, Output, Session},
};
use crate::{
    clock,
    ingest::{self, Verdict},
};
use bytes::Buf;
use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesOrdered,
};
use shared::{command::CommandDelivery, id::DeviceId};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use twin::Sender;

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
}

type Jobs = FuturesOrdered<BoxFuture<'static, Done>>;

struct Driver {
    endpoint: Arc<Endpoint>,
    entry: Entry,
    session: Session,
    jobs: Jobs,
    taken_over: CancellationToken,
    known: Option<Known>,
    closed: Option<CloseReason>,
    /// The device has a command, and its answer is what it sends next.
    answer_is_next: bool,
}

/// Who is connected, once authenticated.
struct Known {
    sender: Sender,
    link: twin::Connection,
    link_open: bool,
    /// The loop has not seen it yet.
    is_new: bool,
    _hold: Hold,
}

pub(super) async fn serve(stream: TcpStream, endpoint: Arc<Endpoint>, entry: Entry) {
    // Small acknowledgements are what the other side waits for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY not set");
    }
    let (mut reader, mut writer) = stream.into_split();
    let mut driver = Driver::new(endpoint, entry);
    driver.run(&mut reader, &mut writer).await;
    let Driver { endpoint, entry: _entry, mut session, mut jobs, known, closed, .. } = driver;
    drop(known);
    let why = closed.unwrap_or(CloseReason::PeerClosed);
    metrics::counter!("park_mqtt_closed_total", "reason" => why.as_str()).increment(1);
    if why == CloseReason::CrowdedOut {
        // It has said nothing, there is nothing to answer, and its place is somebody else's already.
        return;
    }
    let goodbye = async {
        let (_, outgoing) = session.buffers();
        let said = tokio::time::timeout(LAST_WRITE, async {
            endpoint.meters.sent_bytes.increment(outgoing.len() as u64);
            writer.write_all_buf(outgoing).await?;
            writer.shutdown().await
        });
        if matches!(said.await, Ok(Ok(()))) && why != CloseReason::PeerClosed {
            linger(&mut reader).await;
        }
    };
    // What was taken before the end still reaches the disk: a device that publishes and leaves is not forgotten.
    let finish = async { while jobs.next().await.is_some() {} };
    tokio::join!(goodbye, finish);
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

async fn linger(reader: &mut OwnedReadHalf) {
    let mut scrap = vec![0; READ_BYTES];
    let discard = async {
        let mut total = 0;
        while total < LINGER_BYTES {
            match reader.read(&mut scrap).await {
                Ok(0) | Err(_) => break,
                Ok(bytes) => total += bytes,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, discard).await;
}

impl Driver {
    fn new(endpoint: Arc<Endpoint>, entry: Entry) -> Self {
        let options = if matches!(entry, Entry::Place(_)) { &endpoint.session } else { &endpoint.lobby };
        let session = Session::new(options.clone(), endpoint.started.elapsed());
        Self {
            endpoint,
            entry,
            session,
            jobs: Jobs::new(),
            taken_over: CancellationToken::new(),
            known: None,
            closed: None,
            answer_is_next: false,
        }
    }

    async fn run(&mut self, reader: &mut OwnedReadHalf, writer: &mut OwnedWriteHalf) {
        let (shutdown, taken_over) = (self.endpoint.shutdown.clone(), self.taken_over.clone());
        let (shutdown, taken_over) = (shutdown.cancelled(), taken_over.cancelled());
        tokio::pin!(shutdown, taken_over);
        let mut crowded_out = OptionFuture::from(match &self.entry {
            Entry::Place(place) => Some(Box::pin(place.crowded_out().cancelled_owned())),
            Entry::Lobby(_) | Entry::Nothing => None,
        });
        // Known with the device.
        let mut hung_up = OptionFuture::from(None);
        let mut timer = Timer::new();
        while self.closed.is_none() {
            // Everything already done is acknowledged in one write.
            while let Some(Some(done)) = self.jobs.next().now_or_never() {
                self.on_done(done);
            }
            if let Err(error) = self.write_now(writer) {
                tracing::trace!(%error, "MQTT connection lost while writing");
                self.handle(Input::PeerClosed);
                continue;
            }
            if self.closed.is_some() {
                break;
            }
            if let Some(known) = self.known.as_mut().filter(|known| known.is_new) {
                known.is_new = false;
                hung_up = OptionFuture::from(Some(Box::pin(known.link.hung_up.clone().cancelled_owned())));
                // A device's place is its own.
                crowded_out = OptionFuture::from(None);
            }
            timer.set(self.session.deadline().map(|deadline| self.endpoint.started + deadline));
            let wants_bytes = self.session.wants_bytes();
            let wants_deliveries = self.session.wants_deliveries();
            let has_outgoing = self.session.has_outgoing();
            let (inbox, outgoing) = self.session.buffers();
            if wants_bytes && inbox.capacity() - inbox.len() < READ_BYTES / 4 {
                inbox.reserve(READ_BYTES);
            }
            let input = tokio::select! {
                () = &mut shutdown => Input::Shutdown,
                () = &mut taken_over => Input::TakenOver,
                Some(()) = &mut crowded_out => Input::CrowdedOut,
                Some(()) = &mut hung_up => Input::SecretReplaced,
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => {
                    self.on_done(done);
                    continue;
                }
                read = reader.read_buf(inbox), if wants_bytes => match read {
                    Ok(0) | Err(_) => Input::PeerClosed,
                    Ok(bytes) => {
                        self.endpoint.meters.received_bytes.increment(bytes as u64);
                        Input::Received
                    }
                },
                written = writer.write(outgoing), if has_outgoing => match written {
                    Ok(0) | Err(_) => Input::PeerClosed,
                    Ok(bytes) => {
                        self.note_written(bytes);
                        Input::Written
                    }
                },
                delivery = next_delivery(&mut self.known), if wants_deliveries => match delivery {
                    Some(delivery) => {
                        self.endpoint.meters.deliveries.increment(1);
                        Input::Delivery(delivery)
                    }
                    None => continue,
                },
                () = timer.fired() => Input::Tick,
            };
            self.handle(input);
            if std::mem::take(&mut self.answer_is_next) {
                acknowledge_bytes_at_once(reader.as_ref());
            }
        }
    }

    fn on_done(&mut self, done: Done) {
        if let Done::Judged(verdict) = done {
            self.handle(Input::Judged(verdict));
        }
    }

    /// Writes as much as the socket takes without waiting.
    fn write_now(&mut self, writer: &OwnedWriteHalf) -> io::Result<()> {
        while self.session.has_outgoing() {
            let (_, outgoing) = self.session.buffers();
            match writer.try_write(outgoing) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(bytes) => {
                    self.note_written(bytes);
                    self.handle(Input::Written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn note_written(&mut self, bytes: usize) {
        let (_, outgoing) = self.session.buffers();
        outgoing.advance(bytes);
        self.endpoint.meters.sent_bytes.increment(bytes as u64);
    }

    fn handle(&mut self, input: Input) {
        let now = self.endpoint.started.elapsed();
        let outputs = self.session.handle(input, now);
        for output in outputs {
            self.act(output);
        }
    }

    fn act(&mut self, output: Output) {
        match output {
            Output::Authenticate { user, password } => {
                let twin = self.endpoint.twin.clone();
                let proves = || twin.authenticate(&user, std::str::from_utf8(&password).ok()?);
                self.handle(Input::Authenticated(proves()));
                // Replaced just now, before there was a line to hang up.
                if self.known.is_some() && proves().is_none() {
                    self.handle(Input::SecretReplaced);
                }
            }
            Output::Opened(device) => self.welcome(&device),
            Output::Publish(message) => self.hand_over(message),
            Output::CommandSent(id) => {
                self.answer_is_next = true;
                let twin = self.endpoint.twin.clone();
                self.jobs.push_back(
                    async move {
                        twin.command_sent(&id, clock::now()).await;
                        Done::Noted
                    }
                    .boxed(),
                );
            }
            Output::Refused(code) => {
                metrics::counter!("park_mqtt_refused_total", "code" => code).increment(1);
            }
            Output::Close { why, will } => {
                if let Some(will) = will {
                    self.hand_over(will);
                }
                self.closed = Some(why);
            }
        }
    }

    fn welcome(&mut self, device: &DeviceId) {
        if let Entry::Place(place) = &mut self.entry
            && !place.is_now_a_devices()
        {
            return self.handle(Input::CrowdedOut);
        }
        let hold = self.endpoint.hold(device, self.taken_over.clone());
        self.known = Some(Known {
            sender: Sender::Device(device.clone()),
            link: self.endpoint.twin.connect(device, clock::now()),
            link_open: true,
            is_new: true,
            _hold: hold,
        });
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
