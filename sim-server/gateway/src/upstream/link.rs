//! One connection to the broker, from CONNECT to its loss.

use super::{
    UpstreamOptions,
    duty::{Done, Duty, Heard, Report},
};
use crate::{clock, ingest::Verdict, report, topic};
use futures::{
    FutureExt, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream, FuturesOrdered, SelectAll},
};
use metrics::Gauge;
use rumqttc::{
    AsyncClient, ClientError, ConnectionError, Event, EventLoop, MqttOptions as ClientOptions,
    NetworkOptions, Outgoing, Packet, PubAck, QoS, StateError, SubscribeFilter, SubscribeReasonCode,
};
use shared::{
    command::CommandDelivery,
    id::{CommandId, DeviceId},
};
use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Duration,
};
use tokio::{sync::mpsc, time::MissedTickBehavior};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
/// Events between the protocol's task and ours.
const EVENTS: usize = 256;
/// Commands and reports that the protocol's task has not taken.
const REQUESTS: usize = 1024;
/// How long a device without a connection of its own may wait until the broker stands in for it.
const LINES_EVERY: Duration = Duration::from_secs(1);
/// Commands the broker has not acknowledged.
const COMMANDS_IN_FLIGHT: usize = 64;
/// Payloads already taken may still reach the disk this long after shutdown.
const LAST_JOBS: Duration = Duration::from_secs(10);

/// Why a link ended.
pub(super) enum Ended {
    Shutdown,
    /// The broker has nothing left for us, and will have nothing any more.
    Left,
    Lost {
        why: String,
        was_connected: bool,
    },
}

/// Why a step failed.
enum Failure {
    Said(String),
    /// The protocol takes nothing any more; what happened to it is among its events.
    Protocol,
}

impl From<ClientError> for Failure {
    fn from(_: ClientError) -> Self {
        Failure::Protocol
    }
}

pub(super) struct Link<'a> {
    duty: &'a mut Duty,
    window: usize,
    client: AsyncClient,
    /// Packet ids to acknowledge.
    acks: mpsc::UnboundedSender<u16>,
    events: mpsc::Receiver<Result<Event, ConnectionError>>,
    _protocol: AbortOnDropHandle<()>,
    jobs: FuturesOrdered<BoxFuture<'static, Done>>,
    /// Devices this link stands in for.
    lines: BTreeSet<DeviceId>,
    /// `None` once a connection of the device's own took over.
    commands: SelectAll<BoxStream<'static, (DeviceId, Option<CommandDelivery>)>>,
    /// Commands handed to the client, until it says under which packet id they left.
    requested: VecDeque<(DeviceId, CommandId)>,
    in_flight: HashMap<u16, (DeviceId, CommandId)>,
    was_connected: bool,
    /// When this is to be the last one.
    leaving: Option<Leaving>,
}

/// The subscriptions are ended, and what the broker kept under them is taken. It answers in order and sends what it has room for: when it
/// says several times in a row that they are ended, and sent nothing between, while all it sent before is acknowledged, nothing is left.
#[derive(Debug, Default)]
struct Leaving {
    /// Ends of subscriptions that are not confirmed.
    asked: usize,
    /// Whether something came since they were asked for.
    came: bool,
    /// Times they were all confirmed and nothing came.
    quiet: usize,
}

/// So many times in a row.
const QUIET_ROUNDS: usize = 3;

impl<'a> Link<'a> {
    /// `is_last`: takes what the broker still keeps for us and no more.
    pub(super) fn new(
        client: ClientOptions,
        duty: &'a mut Duty,
        options: &UpstreamOptions,
        is_last: bool,
    ) -> Self {
        let (client, mut protocol) = AsyncClient::new(client, REQUESTS);
        // A command must not wait for the broker to acknowledge the bytes before it.
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        protocol.set_network_options(network);
        let (events_in, events) = mpsc::channel(EVENTS);
        let (acks, acks_out) = mpsc::unbounded_channel();
        Self {
            duty,
            window: options.window.max(1),
            client,
            acks,
            events,
            _protocol: AbortOnDropHandle::new(tokio::spawn(run_protocol(protocol, acks_out, events_in))),
            jobs: FuturesOrdered::new(),
            lines: BTreeSet::new(),
            commands: SelectAll::new(),
            requested: VecDeque::new(),
            in_flight: HashMap::new(),
            was_connected: false,
            leaving: is_last.then(Leaving::default),
        }
    }

    /// `heard` are the devices heard through this broker since the server started, and gains more.
    pub(super) async fn run(
        mut self,
        heard: &Heard,
        connected: &Gauge,
        shutdown: &CancellationToken,
    ) -> Ended {
        let mut look_for_lines = tokio::time::interval(LINES_EVERY);
        look_for_lines.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let takes_events = self.jobs.len() < self.window;
            let takes_commands =
                !self.commands.is_empty() && self.requested.len() + self.in_flight.len() < COMMANDS_IN_FLIGHT;
            let step = tokio::select! {
                () = shutdown.cancelled() => {
                    self.finish(heard).await;
                    return Ended::Shutdown;
                }
                Some(done) = self.jobs.next(), if !self.jobs.is_empty() => self.on_done(done, heard),
                event = self.events.recv(), if takes_events => match event {
                    Some(Ok(event)) => self.on_event(event, heard, connected),
                    Some(Err(error)) => Err(Failure::Said(error.to_string())),
                    None => Err(Failure::Protocol),
                },
                Some((device, delivery)) = self.commands.next(), if takes_commands => match delivery {
                    Some(delivery) => self.deliver(&device, &delivery),
                    None => {
                        self.lines.remove(&device);
                        Ok(())
                    }
                },
                Some(report) = self.duty.next_report() => {
                    self.report(&report);
                    Ok(())
                }
                _ = look_for_lines.tick(), if self.was_connected => {
                    self.stand_in_for_the_unconnected();
                    Ok(())
                }
            };
            if let Err(failure) = step {
                let why = match failure {
                    Failure::Said(why) => why,
                    Failure::Protocol => self.end_of_protocol().await,
                };
                return Ended::Lost { why, was_connected: self.was_connected };
            }
            if self.leaving.as_ref().is_some_and(|leaving| leaving.quiet >= QUIET_ROUNDS) {
                self.finish(heard).await;
                return Ended::Left;
            }
        }
    }

    /// Ends the subscriptions, however often; does nothing while that is asked for, or while payloads are under way.
    fn ask_to_leave(&mut self) -> Result<(), Failure> {
        let Some(leaving) = &mut self.leaving else { return Ok(()) };
        if leaving.asked > 0 || !self.jobs.is_empty() {
            return Ok(());
        }
        leaving.came = false;
        for topic in self.duty.topics() {
            self.client.try_unsubscribe(topic)?;
            leaving.asked += 1;
        }
        Ok(())
    }

    fn on_unsubscribed(&mut self) -> Result<(), Failure> {
        let Some(leaving) = &mut self.leaving else { return Ok(()) };
        leaving.asked = leaving.asked.saturating_sub(1);
        if leaving.asked > 0 {
            return Ok(());
        }
        leaving.quiet = if leaving.came { 0 } else { leaving.quiet + 1 };
        self.ask_to_leave()
    }

    /// What the protocol ended with.
    async fn end_of_protocol(&mut self) -> String {
        self.events.close();
        while let Some(event) = self.events.recv().await {
            if let Err(error) = event {
                return error.to_string();
            }
        }
        "the protocol takes no more requests".to_owned()
    }

    fn on_event(&mut self, event: Event, heard: &Heard, connected: &Gauge) -> Result<(), Failure> {
        match event {
            Event::Incoming(Packet::ConnAck(_)) if self.leaving.is_some() => {
                self.was_connected = true;
                connected.set(1.0);
                self.ask_to_leave()
            }
            Event::Incoming(Packet::UnsubAck(_)) => self.on_unsubscribed(),
            Event::Incoming(Packet::ConnAck(_)) => {
                let topics = self.duty.topics();
                if topics.is_empty() {
                    self.is_ready(connected);
                    return Ok(());
                }
                let filters = topics.into_iter().map(|t| SubscribeFilter::new(t, QoS::AtLeastOnce));
                Ok(self.client.try_subscribe_many(filters)?)
            }
            Event::Incoming(Packet::SubAck(answer)) => {
                let refused = |code: &SubscribeReasonCode| matches!(code, SubscribeReasonCode::Failure);
                if let Some(at) = answer.return_codes.iter().position(refused) {
                    let topics = self.duty.topics();
                    let topic = topics.get(at).map_or("a topic", String::as_str);
                    return Err(Failure::Said(format!("the broker refuses the subscription to {topic}")));
                }
                self.is_ready(connected);
                Ok(())
            }
            Event::Incoming(Packet::Publish(publish)) => {
                metrics::counter!("park_upstream_messages_total").increment(1);
                self.jobs.push_back(self.duty.take(publish));
                if let Some(leaving) = &mut self.leaving {
                    (leaving.came, leaving.quiet) = (true, 0);
                }
                Ok(())
            }
            Event::Outgoing(Outgoing::Publish(packet_id)) if packet_id != 0 => {
                if let Some(command) = self.requested.pop_front() {
                    self.in_flight.insert(packet_id, command);
                }
                Ok(())
            }
            Event::Incoming(Packet::PubAck(ack)) => {
                // A broker takes a command whether anybody listens or not; that says something only of a device of its own.
                if let Some((device, id)) = self.in_flight.remove(&ack.pkid)
                    && heard.has(&device)
                    && let Some(twin) = self.duty.twin().cloned()
                {
                    let noted = async move {
                        twin.command_sent(&id, clock::now()).await;
                        Done::Noted
                    };
                    self.jobs.push_back(noted.boxed());
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn is_ready(&mut self, connected: &Gauge) {
        tracing::info!("upstream broker connected");
        self.was_connected = true;
        connected.set(1.0);
        self.stand_in_for_the_unconnected();
    }

    fn on_done(&mut self, done: Done, heard: &Heard) -> Result<(), Failure> {
        let (publish, faults) = match done {
            Done::Noted => return Ok(()),
            Done::Kept { publish } | Done::Foreign { publish } => (publish, Vec::new()),
            Done::NotKept { why } => return Err(Failure::Said(why)),
            // Not acknowledged: the broker sends it again on the next connection.
            Done::Judged { verdict: Verdict::NotStored(refusal), .. } => {
                return Err(Failure::Said(format!("not stored: {}", refusal.message)));
            }
            Done::Judged { publish, device, verdict: Verdict::Kept { faults } } => {
                if heard.note(&device) {
                    self.stand_in_for(&device);
                }
                (publish, faults)
            }
            Done::Judged { publish, verdict: Verdict::Refused { faults, .. }, .. } => (publish, faults),
        };
        self.report(&Report { topic: publish.topic.clone(), faults });
        // Of what came at most once there is nothing to acknowledge.
        if publish.qos != QoS::AtMostOnce {
            self.acks.send(publish.pkid).map_err(|_| Failure::Protocol)?;
        }
        self.ask_to_leave()
    }

    /// Tells a device what was wrong with what it sent, if anything was.
    fn report(&self, report: &Report) {
        if !report.faults.is_empty()
            && let Some((id, _)) = topic::parse_published(&report.topic)
            && let Ok(device) = id.parse()
        {
            let payload = report::errors_json(&report.topic, None, &report.faults, 0);
            let sent = self.client.try_publish(
                topic::heard(&device, topic::Heard::Errors),
                QoS::AtMostOnce,
                false,
                payload,
            );
            if let Err(error) = sent {
                tracing::debug!(%error, "error report not sent upstream");
            }
        }
    }

    /// Any registered device without a connection of its own may be behind this broker. Which are is not known before they
    /// speak, and a command may be what a device waits for.
    fn stand_in_for_the_unconnected(&mut self) {
        let Some(twin) = self.duty.twin().cloned() else { return };
        for entry in twin.registry().all() {
            self.stand_in_for(entry.id());
        }
    }

    fn stand_in_for(&mut self, device: &DeviceId) {
        if self.lines.contains(device) {
            return;
        }
        let Some(link) = self.duty.twin().and_then(|twin| twin.stand_in(device, clock::now())) else {
            return;
        };
        self.lines.insert(device.clone());
        let commands = stream::unfold((device.clone(), Some(link)), |(device, link)| async move {
            let mut link = link?;
            let delivery = link.deliveries.recv().await;
            let link = delivery.is_some().then_some(link);
            Some(((device.clone(), delivery), (device, link)))
        });
        self.commands.push(commands.boxed());
    }

    fn deliver(&mut self, device: &DeviceId, delivery: &CommandDelivery) -> Result<(), Failure> {
        let id = &delivery.command_id;
        if self.requested.iter().chain(self.in_flight.values()).any(|(_, known)| known == id) {
            return Ok(());
        }
        let payload = serde_json::to_vec(delivery).map_err(|e| Failure::Said(e.to_string()))?;
        let topic = topic::heard(device, topic::Heard::Control);
        self.client.try_publish(topic, QoS::AtLeastOnce, false, payload)?;
        self.requested.push_back((device.clone(), id.clone()));
        Ok(())
    }

    /// Lets what was taken reach the disk and acknowledges it, then says goodbye.
    async fn finish(&mut self, heard: &Heard) {
        let drained = tokio::time::timeout(LAST_JOBS, async {
            while let Some(done) = self.jobs.next().await {
                match self.on_done(done, heard) {
                    Ok(()) => {}
                    Err(Failure::Said(why)) => {
                        tracing::warn!(why, "left unacknowledged upstream at shutdown")
                    }
                    Err(Failure::Protocol) => tracing::warn!("left unacknowledged upstream at shutdown"),
                }
            }
            let _ = self.client.disconnect().await;
            // The protocol's task ends with an error once the broker has closed.
            while let Some(Ok(_)) = self.events.recv().await {}
        });
        if drained.await.is_err() {
            tracing::warn!(left = self.jobs.len(), "upstream payloads still busy at shutdown");
        }
    }
}

/// The protocol's loop waits when we do. Acknowledgements go before everything else, many at once: left among the client's requests
/// they would go one at a time, each after some packets were read, and of a broker that sends all it has kept at once we would never
/// have acknowledged enough.
async fn run_protocol(
    mut protocol: EventLoop,
    mut acks: mpsc::UnboundedReceiver<u16>,
    events: mpsc::Sender<Result<Event, ConnectionError>>,
) {
    loop {
        // Once connected, a poll that is dropped has left what it did in the event loop.
        let is_connected = protocol.network.is_some();
        let event = tokio::select! {
            biased;
            Some(first) = acks.recv(), if is_connected => match acknowledge(&mut protocol, first, &mut acks).await {
                Ok(()) => continue,
                Err(error) => Err(error.into()),
            },
            event = protocol.poll() => event,
        };
        let failed = event.is_err();
        if events.send(event).await.is_err() || failed {
            return;
        }
    }
}

/// Acknowledges the first and all that wait behind it, in their order.
async fn acknowledge(
    protocol: &mut EventLoop,
    first: u16,
    waiting: &mut mpsc::UnboundedReceiver<u16>,
) -> Result<(), StateError> {
    let network = protocol.network.as_mut().ok_or(StateError::ConnectionAborted)?;
    network.write(Packet::PubAck(PubAck::new(first))).await?;
    while let Ok(next) = waiting.try_recv() {
        network.write(Packet::PubAck(PubAck::new(next))).await?;
    }
    network.flush().await
}
