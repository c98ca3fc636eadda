//! One client, from its hello to its goodbye.

use super::{
    alarm_feed::SeenStep,
    command_feed::SeenChange,
    link::{Ended, Link, Step, greet},
    resume::Absence,
    wire::payload,
};
use crate::{
    App,
    auth::{Principal, principal},
};
use axum::extract::ws::{Message, WebSocket};
use shared::{
    id::DeviceId,
    plan::PlanView,
    stream::{
        ClientMessage, Encoding, PointInfo, PointName, PointValue, Presence, Resume, Selector, ServerMessage,
    },
    telemetry::Reading,
    time::{MINUTE_MS, SECOND_MS, Timestamp},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::{
        broadcast::{self, error::TryRecvError},
        watch,
    },
    time::{MissedTickBehavior, interval},
};
use twin::TwinChange;

/// Values are conflated over this long: a person sees no difference, a network does.
const TICK: Duration = Duration::from_millis(50);
const PING_EVERY_MS: i64 = 20 * SECOND_MS;
/// A live client answers pings; one that was silent this long is a half-open connection.
const HEARD_WITHIN_MS: i64 = 60 * SECOND_MS;
const WALL_CHECK_EVERY_MS: i64 = MINUTE_MS;

/// Serves a client to the end.
pub(super) async fn serve(app: &Arc<App>, socket: WebSocket, encoding: Encoding) -> Ended {
    let send_within = app.state.options.stream_send_within;
    let mut link = Link::new(socket, encoding, send_within);
    let who = match greet(app, &mut link).await {
        Ok(who) => who,
        Err(ended) => return ended,
    };
    let mut session = Session::new(app, link, who, (app.state.clock)());
    let ended = match session.run().await {
        Ok(never) => match never {},
        Err(ended) => ended,
    };
    session.link.goodbye(ended).await;
    ended
}

enum Never {}

struct Session<'a> {
    app: &'a Arc<App>,
    link: Link,
    who: Principal,
    changes: broadcast::Receiver<TwinChange>,
    plans: watch::Receiver<Arc<PlanView>>,
    subscription: Option<Subscription>,
    pending: Pending,
    alarms_seen: SeenStep,
    commands_seen: SeenChange,
    /// Kept between ticks so that their room is.
    changed: Vec<(usize, Reading)>,
    values: Vec<PointValue>,
    last_second: i64,
    last_heard: Timestamp,
    last_ping: Timestamp,
    last_token_check: Timestamp,
}

struct Subscription {
    selector: Selector,
    points: Vec<u32>,
    /// The live table's version this client has seen.
    seen: u64,
}

/// What changed since the last tick, newest per device.
#[derive(Default)]
struct Pending {
    presence: BTreeMap<DeviceId, Presence>,
    all_presence: bool,
    registry: bool,
}

impl<'a> Session<'a> {
    fn new(app: &'a Arc<App>, link: Link, who: Principal, now: Timestamp) -> Self {
        Session {
            app,
            link,
            who,
            changes: app.state.twin.changes(),
            plans: app.state.vpp.watch(),
            subscription: None,
            pending: Pending::default(),
            alarms_seen: None,
            commands_seen: app.frames.commands.newest(),
            changed: Vec::new(),
            values: Vec::new(),
            last_second: now.0.div_euclid(SECOND_MS),
            last_heard: now,
            last_ping: now,
            last_token_check: now,
        }
    }

    async fn run(&mut self) -> Step<Never> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.app.state.shutdown.cancelled() => return Err(Ended::ServerStopping),
                message = self.link.socket.recv() => self.hear(message).await?,
                _ = ticks.tick() => self.tick().await?,
            }
        }
    }

    async fn hear(&mut self, message: Option<Result<Message, axum::Error>>) -> Step<()> {
        self.last_heard = (self.app.state.clock)();
        let message = match message {
            Some(Ok(Message::Close(_))) | None => return Err(Ended::ClientLeft),
            Some(Err(_)) => return Err(Ended::Lost),
            Some(Ok(message)) => message,
        };
        let Some(bytes) = payload(&message) else { return Ok(()) };
        match self.link.encoding.decode::<ClientMessage>(bytes) {
            Ok(ClientMessage::Subscribe(selector)) => self.subscribe(selector, None).await,
            Ok(ClientMessage::Resume(Resume { selector, after })) => {
                self.subscribe(selector, Some(after)).await
            }
            Ok(ClientMessage::Ping(number)) => {
                self.link.feed(&ServerMessage::Pong(number)).await?;
                self.link.flush().await
            }
            Ok(ClientMessage::Renew(token)) => self.renew(&token).await,
            Err(_) => Err(Ended::BadMessage),
        }
    }

    /// From now on the stream lives as long as this token; it must be of the same caller.
    async fn renew(&mut self, token: &str) -> Step<()> {
        match principal(self.app, token, (self.app.state.clock)()).await {
            Ok(who) if who.name() == self.who.name() => {
                self.who = who;
                Ok(())
            }
            Err(error) if !error.is_unauthenticated() => {
                // It cannot be checked now: the one in use holds as long as it is good.
                Ok(())
            }
            Ok(_) | Err(_) => Err(Ended::TokenOver),
        }
    }

    /// Takes what changed since the last tick.
    fn gather(&mut self) {
        loop {
            match self.changes.try_recv() {
                Ok(TwinChange::Presence(presence)) => {
                    self.pending.presence.insert(presence.device.clone(), presence);
                }
                // They come by the commands' feed, which does not fall behind when this client does.
                Ok(TwinChange::Command(_)) => {}
                Ok(TwinChange::Registry) => self.pending.registry = true,
                // Some were missed: all of it is told again.
                Err(TryRecvError::Lagged(_)) => {
                    self.pending.all_presence = true;
                    self.pending.registry = true;
                }
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// Names the points, tells what was missed `after` a moment, then every known value; the first time also everything about the park.
    async fn subscribe(&mut self, selector: Selector, after: Option<Timestamp>) -> Step<()> {
        let first = self.subscription.is_none();
        if first {
            // Whatever changed until now is in what is sent next; what changes meanwhile may be in it, and is told after it.
            self.changes = self.changes.resubscribe();
            self.commands_seen = self.app.frames.commands.newest();
        }
        self.set_subscription(selector, after).await?;
        if first {
            let now = (self.app.state.clock)();
            let encoding = self.link.encoding;
            self.feed_all_presence().await?;
            let plan = Arc::clone(&self.plans.borrow_and_update());
            let frames = [self.app.energy_frame(encoding, now), self.app.plan_frame(encoding, &plan)];
            let alarms = self.app.alarm_frames(encoding, &mut self.alarms_seen, Instant::now());
            for frame in frames.into_iter().flatten().chain(alarms) {
                self.link.feed_frame(frame).await?;
            }
        }
        self.link.flush().await
    }

    async fn set_subscription(&mut self, selector: Selector, after: Option<Timestamp>) -> Step<()> {
        let (points, infos): (Vec<u32>, Vec<PointInfo>) =
            self.app.state.twin.live().resolve(&selector).into_iter().unzip();
        let message = ServerMessage::Subscribed(infos);
        self.link.feed(&message).await?;
        let seen = match (after, message) {
            (Some(after), ServerMessage::Subscribed(infos)) => {
                let names = infos.into_iter().map(|info| info.name);
                self.feed_missed(&points, names, after).await?
            }
            _ => self.look_at_all(&points),
        };
        self.subscription = Some(Subscription { selector, points, seen });
        self.feed_changed().await
    }

    /// What of the points was measured after a moment. The values of the moment at which the last look began are left in `changed`, and
    /// their version is given: what was stored until then has been told, and live values go on from there. The clock goes on meanwhile.
    async fn feed_missed(
        &mut self,
        points: &[u32],
        names: impl Iterator<Item = PointName>,
        after: Timestamp,
    ) -> Step<u64> {
        let history = self.app.state.history.clone();
        let mut absence = Absence::new(history, names, after, (self.app.state.clock)());
        let mut last_took = Duration::MAX;
        let (seen, to) = loop {
            let began = Instant::now();
            let now = (self.app.state.clock)();
            let seen = self.look_at_all(points);
            // A live value is in the history before it is in the table, so that this look finds it.
            let newest = self.changed.iter().map(|(_, reading)| reading.timestamp).max();
            absence.look(newest.map_or(now, |newest| newest.max(now)));
            self.feed_look(&mut absence).await?;
            let took = began.elapsed();
            // Looks that do not get much shorter would go on for ever: so many points are asked about.
            if took <= TICK || took > last_took / 2 {
                break (seen, now);
            }
            last_took = took;
        };
        // What the client said meanwhile has not been heard yet.
        self.last_heard = (self.app.state.clock)();
        self.link.feed(&ServerMessage::Resumed { from: absence.told_from(to), to }).await?;
        Ok(seen)
    }

    async fn feed_look(&mut self, absence: &mut Absence) -> Step<()> {
        while let Some(missed) = absence.step().await.map_err(|error| {
            tracing::error!(%error, "a stream cannot resume");
            Ended::PastUnreadable
        })? {
            if !missed.is_empty() {
                self.link.feed(&ServerMessage::Missed(missed)).await?;
            }
            self.tick_second((self.app.state.clock)()).await?;
            self.link.flush().await?;
            if self.app.state.shutdown.is_cancelled() {
                return Err(Ended::ServerStopping);
            }
        }
        Ok(())
    }

    async fn tick(&mut self) -> Step<()> {
        let now = (self.app.state.clock)();
        if now.since(self.last_heard) > HEARD_WITHIN_MS {
            return Err(Ended::Silent);
        }
        if self.subscription.is_some() {
            self.gather();
            self.feed_pending().await?;
            self.feed_values().await?;
        }
        self.tick_second(now).await?;
        self.link.flush().await
    }

    /// What is said once a second.
    async fn tick_second(&mut self, now: Timestamp) -> Step<()> {
        let second = now.0.div_euclid(SECOND_MS);
        if second == self.last_second {
            return Ok(());
        }
        self.last_second = second;
        self.check_token(now).await?;
        self.link.feed(&ServerMessage::Tick(now)).await?;
        if self.subscription.is_some()
            && let Some(frame) = self.app.energy_frame(self.link.encoding, now)
        {
            self.link.feed_frame(frame).await?;
        }
        if now.since(self.last_ping) >= PING_EVERY_MS {
            self.last_ping = now;
            self.link.feed_frame(Message::Ping(bytes::Bytes::new())).await?;
        }
        Ok(())
    }

    async fn feed_pending(&mut self) -> Step<()> {
        let pending = std::mem::take(&mut self.pending);
        if pending.registry
            && let Some(subscription) = &self.subscription
        {
            let now_meant = self.app.state.twin.live().resolve(&subscription.selector);
            if now_meant.len() != subscription.points.len() {
                let selector = subscription.selector.clone();
                self.set_subscription(selector, None).await?;
            }
        }
        if pending.all_presence || pending.registry {
            self.feed_all_presence().await?;
        } else if !pending.presence.is_empty() {
            let changed = ServerMessage::Presence(pending.presence.into_values().collect());
            self.link.feed(&changed).await?;
        }
        for update in self.app.frames.commands.since(&mut self.commands_seen) {
            self.link.feed(&ServerMessage::Command(update)).await?;
        }
        let encoding = self.link.encoding;
        for frame in self.app.alarm_frames(encoding, &mut self.alarms_seen, Instant::now()) {
            self.link.feed_frame(frame).await?;
        }
        if self.plans.has_changed().unwrap_or(false) {
            let plan = Arc::clone(&self.plans.borrow_and_update());
            if let Some(frame) = self.app.plan_frame(encoding, &plan) {
                self.link.feed_frame(frame).await?;
            }
        }
        Ok(())
    }

    async fn feed_all_presence(&mut self) -> Step<()> {
        let all = self.app.state.twin.devices().into_iter().map(|device| Presence {
            device: device.id,
            online: device.online,
            last_seen: device.last_seen,
        });
        self.link.feed(&ServerMessage::Presence(all.collect())).await
    }

    /// Leaves every known value of some points in `changed`; gives the live table's version it is of.
    fn look_at_all(&mut self, points: &[u32]) -> u64 {
        self.changed.clear();
        self.app.state.twin.live().changed_since(points, 0, &mut self.changed)
    }

    /// Values that changed since last time; nothing when none did.
    async fn feed_values(&mut self) -> Step<()> {
        let Some(subscription) = &mut self.subscription else { return Ok(()) };
        self.changed.clear();
        let live = self.app.state.twin.live();
        subscription.seen = live.changed_since(&subscription.points, subscription.seen, &mut self.changed);
        if self.changed.is_empty() { Ok(()) } else { self.feed_changed().await }
    }

    async fn feed_changed(&mut self) -> Step<()> {
        self.values.clear();
        self.values.extend(self.changed.iter().map(|(position, reading)| PointValue {
            point: u32::try_from(*position).unwrap_or(u32::MAX),
            timestamp: reading.timestamp,
            value: reading.value,
            quality: reading.quality,
        }));
        let message = ServerMessage::Values(std::mem::take(&mut self.values));
        let fed = self.link.feed(&message).await;
        if let ServerMessage::Values(values) = message {
            self.values = values;
        }
        fed
    }

    async fn check_token(&mut self, now: Timestamp) -> Step<()> {
        let good = match &self.who {
            Principal::User(claims) => self.app.state.auth.still_good(claims, now).is_ok(),
            Principal::Wall { info, .. } if self.app.state.auth.is_wall_ended(&info.id) => false,
            Principal::Wall { token, .. } => {
                // Whatever ended it may have been another process.
                if now.since(self.last_token_check) < WALL_CHECK_EVERY_MS {
                    return Ok(());
                }
                self.last_token_check = now;
                match self.app.state.records.check_wall_token(token).await {
                    Ok(found) => found.is_some(),
                    // A database that does not answer is no reason to darken the walls.
                    Err(error) => {
                        tracing::warn!(%error, "a wall's token could not be checked");
                        true
                    }
                }
            }
        };
        if good { Ok(()) } else { Err(Ended::TokenOver) }
    }
}
