//! The link's life as a state machine: log in, fetch the scene, open the stream, and again from wherever it broke.
//!
//! Synchronous and clock-free: events and this machine's time come in, requests and [`NetEvent`]s go out, so tests drive it
//! with a made-up server. The time must not jump: see [`crate::clock`].
//!
//! Getting new tokens is beside the phases while a stream lives: it goes on and learns the new one
//! ([`ClientMessage::Renew`]).

use super::{
    Asked, NetCommand, NetEvent, Notice,
    requests::{Pending, Requests},
    rest::{Ask, HistoryAnswer, HttpResponse, Me, Tokens, bare_etag},
    session::Session,
    transport::{Transport, WireEvent},
};
use crate::model::{Fault, FaultKind, LinkState, PointTable, SceneIndex};
use shared::{
    plan::PlanView,
    scene::Scene,
    stream::{
        ClientMessage, Denied, Encoding, Hello, PROTOCOL_VERSION, PointInfo, Selector, ServerMessage, Welcome,
    },
    time::{MINUTE_MS, Timestamp},
};
use std::sync::Arc;

/// Silence after which the link counts as lost; the server says something every second.
const SILENCE_MS: i64 = 3_000;
/// How long an opened stream may take to welcome us, and a connection to open.
const HANDSHAKE_MS: i64 = 10_000;
const FIRST_RETRY_MS: i64 = 500;
const LONGEST_RETRY_MS: i64 = 10_000;
/// A refused token or version may become good again: somebody mends it while the screen hangs on its wall.
const REFUSED_RETRY_MS: i64 = MINUTE_MS;
/// So may a refused password, but the server counts wrong ones for a quarter of an hour, and this must not
/// lock out a person who knows the right one.
const WRONG_PASSWORD_RETRY_MS: i64 = 16 * MINUTE_MS;
/// Today's curves and the plan's tracking are fetched again this often.
const CURVES_EVERY_MS: i64 = 60_000;
/// Until a first plan and summary are there, they are asked for this often.
const MISSING_EVERY_MS: i64 = 2_000;
const PING_EVERY_MS: i64 = 5_000;

/// How to log in.
#[derive(Clone, PartialEq, Default)]
pub enum Credentials {
    /// Ask the person.
    #[default]
    None,
    User {
        name: String,
        password: String,
    },
    /// An access or view-only token, used as it is.
    Token(String),
}

#[derive(Clone)]
pub struct LinkConfig {
    /// `http://host:port` or `https://…`, without a trailing slash.
    pub server: String,
    pub credentials: Credentials,
    pub encoding: Encoding,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    NeedsLogin,
    LoggingIn,
    LoadingScene,
    Opening { since: i64 },
    Handshaking { since: i64 },
    Live,
    Waiting { until: i64 },
    Refused { retry_at: Option<i64> },
}

pub struct Link<T: Transport> {
    transport: T,
    server: String,
    encoding: Encoding,
    credentials: Credentials,
    /// They were typed by a person who is there to type them again.
    typed: bool,
    phase: Phase,
    session: Session,
    requests: Requests,
    scene: Option<Arc<SceneIndex>>,
    /// Points of the last subscription: the same ones again are not worked out again.
    points: Option<Arc<PointTable>>,
    stream: u64,
    /// The present stream is open and welcomed us.
    welcomed: bool,
    heard_at: i64,
    retry_ms: i64,
    lost_since: Option<i64>,
    /// A refusal is on show while the link tries again by itself.
    refused: bool,
    /// There were tokens for these credentials.
    was_logged_in: bool,
    curves_at: i64,
    missing_at: i64,
    has_plan: bool,
    has_energy: bool,
    knows_user: bool,
    ping_sent: Option<(u64, i64)>,
    ping_at: i64,
    pings: u64,
}

/// Where the link's events go.
pub type Sink<'a> = &'a mut dyn FnMut(NetEvent);

impl<T: Transport> Link<T> {
    pub fn new(config: LinkConfig, transport: T) -> Self {
        Self {
            transport,
            server: config.server,
            encoding: config.encoding,
            credentials: config.credentials,
            typed: false,
            phase: Phase::NeedsLogin,
            session: Session::default(),
            requests: Requests::default(),
            scene: None,
            points: None,
            stream: 0,
            welcomed: false,
            heard_at: 0,
            retry_ms: FIRST_RETRY_MS,
            lost_since: None,
            refused: false,
            was_logged_in: false,
            curves_at: 0,
            missing_at: 0,
            has_plan: false,
            has_energy: false,
            knows_user: false,
            ping_sent: None,
            ping_at: 0,
            pings: 0,
        }
    }

    /// Begins with whatever credentials there are.
    pub fn start(&mut self, now: Timestamp, out: Sink) {
        self.authenticate(now, out);
    }

    /// Asks for tokens with the best there is to show: a refresh token, then the password. A stream that lives goes on
    /// meanwhile.
    fn authenticate(&mut self, now: Timestamp, out: Sink) {
        let ask = match (self.session.take_refresh_token(), self.credentials.clone()) {
            (Some(refresh_token), _) => Ask::Refresh { refresh_token },
            (None, Credentials::User { name, password }) => Ask::Login { user: name, password },
            (None, Credentials::Token(token)) => {
                self.session.take_given(token);
                return self.load_scene(now, out);
            }
            (None, Credentials::None) => {
                self.hang_up();
                return self.enter(Phase::NeedsLogin, out);
            }
        };
        if !self.welcomed {
            self.hang_up();
            self.enter(Phase::LoggingIn, out);
        }
        self.ask(ask, now);
    }

    /// Gives up until a person logs in, or until `retry_in_ms` from now.
    fn refuse(&mut self, reason: Fault, retry_in_ms: Option<i64>, now: Timestamp, out: Sink) {
        self.hang_up();
        self.session.end();
        self.requests.forget_scene();
        self.lost_since = None;
        (self.refused, self.was_logged_in, self.knows_user) = (true, false, false);
        self.phase = Phase::Refused { retry_at: retry_in_ms.map(|ms| now.0 + ms) };
        for ask in self.requests.take_held() {
            fail(&ask, &reason, out);
        }
        out(NetEvent::User(None));
        out(NetEvent::Link(LinkState::Refused { reason, retry: retry_in_ms.is_some() }));
    }

    fn enter(&mut self, phase: Phase, out: Sink) {
        self.phase = phase;
        // While the link is being mended, "lost since" or the refusal stays on show.
        if !matches!(phase, Phase::Live | Phase::NeedsLogin) && (self.lost_since.is_some() || self.refused) {
            return;
        }
        self.refused = false;
        let state = match phase {
            Phase::NeedsLogin => LinkState::NeedsLogin,
            Phase::LoggingIn => LinkState::LoggingIn,
            Phase::LoadingScene => LinkState::LoadingScene,
            Phase::Opening { .. } | Phase::Handshaking { .. } => LinkState::Connecting,
            Phase::Live => LinkState::Live,
            Phase::Waiting { .. } | Phase::Refused { .. } => return,
        };
        out(NetEvent::Link(state));
    }

    /// Gives the present stream up; what still comes of it is ignored by its number.
    fn hang_up(&mut self) {
        self.transport.close();
        self.stream += 1;
        self.welcomed = false;
    }

    fn load_scene(&mut self, now: Timestamp, out: Sink) {
        self.enter(Phase::LoadingScene, out);
        self.requests.forget_scene();
        self.ask(Ask::Scene, now);
    }

    fn open_stream(&mut self, now: Timestamp, out: Sink) {
        self.enter(Phase::Opening { since: now.0 }, out);
        self.hang_up();
        let url = format!("{}/api/v1/stream", socket_base(&self.server));
        self.transport.open(self.stream, &url, self.encoding);
    }

    fn ask(&mut self, ask: Ask, now: Timestamp) {
        self.send_request(ask, false, now);
    }

    fn send_request(&mut self, ask: Ask, again: bool, now: Timestamp) {
        let etag = self.scene.as_ref().map(|s| s.etag.as_str());
        let request = ask.request(self.session.access_token(), etag);
        let id = self.requests.begin(ask, self.session.generation, again, now);
        self.transport.fetch(id, &self.server, request);
    }

    fn send(&mut self, message: &impl serde::Serialize) {
        // Encoding our own small messages cannot fail; if it ever did, the silence watch would reconnect.
        if let Ok(bytes) = self.encoding.encode(message) {
            self.transport.send(bytes);
        }
    }

    /// Something broke: wait a little longer each time, then start again from the scene.
    fn lose(&mut self, reason: Fault, now: Timestamp, out: Sink) {
        self.hang_up();
        self.requests.forget_scene();
        self.refused = false;
        let since = *self.lost_since.get_or_insert(now.0);
        self.phase = Phase::Waiting { until: now.0 + self.retry_ms };
        self.retry_ms = (self.retry_ms * 2).min(LONGEST_RETRY_MS);
        out(NetEvent::Link(LinkState::Lost { since: Timestamp(since), reason }));
    }

    pub fn command(&mut self, command: NetCommand, now: Timestamp, out: Sink) {
        let ask = match command {
            NetCommand::Login { user, password } => {
                self.forget_user(out);
                self.credentials = Credentials::User { name: user, password };
                self.typed = true;
                return self.authenticate(now, out);
            }
            NetCommand::Logout => {
                let refresh_token = self.session.take_refresh_token();
                self.forget_user(out);
                if let Some(refresh_token) = refresh_token {
                    self.ask(Ask::Logout { refresh_token }, now);
                }
                return self.enter(Phase::NeedsLogin, out);
            }
            NetCommand::Acknowledge(id) => Ask::Acknowledge(id),
            NetCommand::History(point) => Ask::History(point),
            NetCommand::Quality { now } => Ask::Quality { now },
            NetCommand::PlanNow => Ask::PlanNow,
            NetCommand::Command(request) => Ask::Command(request),
        };
        if self.session.access_token().is_some() {
            self.ask(ask, now);
        } else if matches!(self.phase, Phase::NeedsLogin | Phase::Refused { .. }) {
            fail(&ask, &FaultKind::NotLoggedIn.into(), out);
        } else {
            self.hold(ask, now, out);
        }
    }

    /// Nothing of one person's is left for the next: neither tokens nor what was asked and not answered.
    fn forget_user(&mut self, out: Sink) {
        self.credentials = Credentials::None;
        self.session.end();
        self.lost_since = None;
        (self.refused, self.was_logged_in, self.knows_user) = (false, false, false);
        self.hang_up();
        for ask in self.requests.take_all() {
            fail(&ask, &FaultKind::NoAnswer.into(), out);
        }
        out(NetEvent::User(None));
    }

    /// Keeps a request until there is a token.
    fn hold(&mut self, ask: Ask, now: Timestamp, out: Sink) {
        if let Err(ask) = self.requests.hold(ask, now) {
            fail(&ask, &FaultKind::NotLoggedIn.into(), out);
        }
    }

    /// Time passes: retries, silence, deadlines, regular requests.
    pub fn tick(&mut self, now: Timestamp, out: Sink) {
        for ask in self.requests.expire(now) {
            self.unanswered(ask, FaultKind::NoAnswer.into(), now, out);
        }
        match self.phase {
            Phase::Waiting { until } if now.0 >= until => {
                if self.session.access_token().is_some() {
                    self.load_scene(now, out);
                } else if self.requests.is_logging_in() {
                    self.enter(Phase::LoggingIn, out);
                } else {
                    self.authenticate(now, out);
                }
            }
            Phase::Refused { retry_at: Some(at) } if now.0 >= at => self.authenticate(now, out),
            Phase::Opening { since } | Phase::Handshaking { since } if now.0 - since > HANDSHAKE_MS => {
                self.lose(FaultKind::NoAnswer.into(), now, out);
            }
            // The stream may be open while the scene comes anew.
            Phase::Live | Phase::LoadingScene if self.welcomed && now.0 - self.heard_at > SILENCE_MS => {
                self.lose(FaultKind::Silent.into(), now, out);
            }
            Phase::Live => self.keep_fresh(now),
            _ => {}
        }
        if self.welcomed && self.session.is_due(now) && !self.requests.is_logging_in() {
            self.authenticate(now, out);
        }
    }

    fn keep_fresh(&mut self, now: Timestamp) {
        if now.0 - self.curves_at >= CURVES_EVERY_MS {
            self.curves_at = now.0;
            self.ask(Ask::Curve, now);
            self.ask(Ask::Tracking, now);
        }
        if !(self.has_plan && self.has_energy && self.knows_user)
            && now.0 - self.missing_at >= MISSING_EVERY_MS
        {
            self.missing_at = now.0;
            if !self.has_energy {
                self.ask(Ask::Energy, now);
            }
            if !self.has_plan {
                self.ask(Ask::Plan, now);
            }
            if !self.knows_user {
                self.ask(Ask::Me, now);
            }
        }
        if now.0 - self.ping_at >= PING_EVERY_MS {
            self.ping_at = now.0;
            self.pings += 1;
            self.ping_sent = Some((self.pings, now.0));
            let ping = ClientMessage::Ping(self.pings);
            self.send(&ping);
        }
    }

    pub fn handle(&mut self, event: WireEvent, now: Timestamp, out: Sink) {
        match event {
            WireEvent::Opened { stream } if stream == self.stream => {
                self.enter(Phase::Handshaking { since: now.0 }, out);
                let token = self.session.access_token().unwrap_or_default().to_owned();
                self.send(&Hello { version: PROTOCOL_VERSION, token });
            }
            WireEvent::Message { stream, bytes } if stream == self.stream => {
                self.heard_at = now.0;
                if self.welcomed {
                    self.message(&bytes, now, out);
                } else {
                    self.welcome(&bytes, now, out);
                }
            }
            WireEvent::Closed { stream, reason } if stream == self.stream => {
                let kind = if self.welcomed { FaultKind::Closed } else { FaultKind::Unreachable };
                self.lose(kind.with(reason), now, out);
            }
            // Of a stream given up since.
            WireEvent::Opened { .. } | WireEvent::Message { .. } | WireEvent::Closed { .. } => {}
            WireEvent::Response { id, result } => {
                // Nobody waits for a late answer any more.
                let Some(pending) = self.requests.answered(id) else { return };
                match result {
                    Ok(response) => self.answer(pending, &response, now, out),
                    Err(reason) => {
                        self.unanswered(pending.ask, FaultKind::Unreachable.with(reason), now, out);
                    }
                }
            }
        }
    }

    fn welcome(&mut self, bytes: &[u8], now: Timestamp, out: Sink) {
        match self.encoding.decode::<Welcome>(bytes) {
            Ok(Welcome::Accepted { server_time, scene_etag, .. }) => {
                self.welcomed = true;
                out(NetEvent::Clock { server: server_time, local: now });
                if self.scene.as_ref().is_some_and(|s| s.etag == bare_etag(&scene_etag)) {
                    self.go_live(now, out);
                } else {
                    // The park changed between the two requests.
                    self.load_scene(now, out);
                }
            }
            Ok(Welcome::Denied(Denied::Token)) => self.token_is_over(FaultKind::TokenOver.into(), now, out),
            Ok(Welcome::Denied(Denied::Version)) => {
                let reason = FaultKind::Version.with(format!("{PROTOCOL_VERSION}"));
                self.refuse(reason, Some(REFUSED_RETRY_MS), now, out);
            }
            Ok(Welcome::Denied(Denied::Unavailable)) => self.lose(FaultKind::Busy.into(), now, out),
            Err(error) => self.lose(FaultKind::Unreadable.with(error.to_string()), now, out),
        }
    }

    /// The token opens neither scene nor stream: begin again with another, if there may be one.
    fn token_is_over(&mut self, reason: Fault, now: Timestamp, out: Sink) {
        if matches!(self.credentials, Credentials::Token(_)) {
            return self.refuse(reason, Some(REFUSED_RETRY_MS), now, out);
        }
        self.session.access_is_over();
        // After a pause: a server that refuses what it has just given must not be asked in a circle.
        self.lose(reason, now, out);
    }

    fn go_live(&mut self, now: Timestamp, out: Sink) {
        self.retry_ms = FIRST_RETRY_MS;
        self.lost_since = None;
        self.heard_at = now.0;
        (self.curves_at, self.missing_at, self.ping_at) = (i64::MIN / 2, i64::MIN / 2, i64::MIN / 2);
        self.enter(Phase::Live, out);
        self.send(&ClientMessage::Subscribe(Selector::All));
        self.keep_fresh(now);
    }

    fn message(&mut self, bytes: &[u8], now: Timestamp, out: Sink) {
        match self.encoding.decode::<ServerMessage>(bytes) {
            Ok(ServerMessage::Pong(number)) => {
                if let Some((sent, at)) = self.ping_sent
                    && sent == number
                {
                    out(NetEvent::RoundTrip { ms: (now.0 - at).clamp(0, 60_000) as u32 });
                }
            }
            Ok(ServerMessage::Subscribed(infos)) => out(NetEvent::Points(self.find_points(infos))),
            Ok(message) => {
                self.has_plan |= matches!(&message, ServerMessage::Plan(plan) if plan.version > 0);
                self.has_energy |= matches!(message, ServerMessage::Energy(_));
                out(NetEvent::Stream { message, local: now });
            }
            // One unreadable message means the two sides disagree about all of them.
            Err(error) => self.lose(FaultKind::Unreadable.with(error.to_string()), now, out),
        }
    }

    /// Works a subscription's points out, here rather than in a frame.
    fn find_points(&mut self, infos: Vec<PointInfo>) -> Arc<PointTable> {
        let scene = self.scene.as_ref();
        match &self.points {
            Some(known) if known.is_same(&infos, scene) => known.clone(),
            _ => self.points.insert(Arc::new(PointTable::new(infos, scene))).clone(),
        }
    }

    fn answer(&mut self, pending: Pending, response: &HttpResponse, now: Timestamp, out: Sink) {
        if response.status == 401 && !pending.ask.is_login() {
            return self.unauthorized(pending, response, now, out);
        }
        match pending.ask {
            Ask::Login { .. } => match response.data::<Tokens>() {
                Ok(tokens) => self.logged_in(&tokens, now, out),
                Err(reason) => self.login_failed(reason, response, now, out),
            },
            Ask::Refresh { refresh_token } => match response.data::<Tokens>() {
                Ok(tokens) => self.logged_in(&tokens, now, out),
                Err(reason) if matches!(reason.kind, FaultKind::Busy | FaultKind::ServerFault) => {
                    self.session.give_back(refresh_token);
                    self.login_must_wait(reason, now, out);
                }
                // With the password, then.
                Err(_) => self.authenticate(now, out),
            },
            Ask::Logout { .. } => {}
            Ask::Me => {
                if let Ok(me) = response.data::<Me>() {
                    self.knows_user = true;
                    out(NetEvent::User(Some((me.name, me.role))));
                }
            }
            Ask::Scene => self.scene_arrived(response, now, out),
            Ask::Curve => {
                if let Ok(curve) = response.data() {
                    out(NetEvent::Curve(curve));
                }
            }
            Ask::Energy => {
                if let Ok(summary) = response.data() {
                    self.has_energy = true;
                    out(NetEvent::Energy(Box::new(summary)));
                }
            }
            Ask::Plan => {
                if let Ok(plan) = response.data::<PlanView>() {
                    // Version 0 is no plan yet.
                    self.has_plan |= plan.version > 0;
                    out(NetEvent::Plan(Box::new(plan)));
                }
            }
            Ask::Tracking => {
                if let Ok(tracking) = response.data() {
                    out(NetEvent::Tracking(tracking));
                }
            }
            Ask::History(point) => {
                // A step without a value is left out: the chart shows a gap where several are missing.
                let points = |answer: HistoryAnswer| {
                    answer.points.into_iter().filter_map(|(at, value)| Some((at, value?))).collect()
                };
                let result = response.data::<HistoryAnswer>().map(points);
                out(NetEvent::History { point, result });
            }
            Ask::Quality { .. } => out(NetEvent::Quality(Box::new(response.data()))),
            Ask::Acknowledge(_) => notice(Asked::Acknowledge, response, out),
            Ask::PlanNow => {
                if let Ok(plan) = response.data() {
                    out(NetEvent::Plan(Box::new(plan)));
                }
                notice(Asked::PlanNow, response, out);
            }
            Ask::Command(_) => notice(Asked::Command, response, out),
        }
    }

    /// A request met a token that is no good any more.
    fn unauthorized(&mut self, pending: Pending, response: &HttpResponse, now: Timestamp, out: Sink) {
        let Pending { ask, generation, again, .. } = pending;
        if ask == Ask::Scene || matches!(self.credentials, Credentials::Token(_)) {
            return self.token_is_over(response.fault(), now, out);
        }
        if again {
            return fail(&ask, &response.fault(), out);
        }
        if generation != self.session.generation && self.session.access_token().is_some() {
            // It crossed with the new token.
            return self.send_request(ask, true, now);
        }
        self.session.access_is_over();
        self.hold(ask, now, out);
        if self.welcomed && !self.requests.is_logging_in() {
            self.authenticate(now, out);
        }
    }

    fn login_failed(&mut self, reason: Fault, response: &HttpResponse, now: Timestamp, out: Sink) {
        match reason.kind {
            FaultKind::TooManyAttempts if !self.welcomed => {
                let wait = response.retry_after_s.unwrap_or(60).clamp(30, 3_600) * 1_000;
                let wait = (!self.typed).then_some(wait);
                self.login_is_refused(reason, wait, now, out);
            }
            FaultKind::TooManyAttempts | FaultKind::Busy | FaultKind::ServerFault | FaultKind::Unreadable => {
                self.login_must_wait(reason, now, out)
            }
            _ => {
                // Nobody typed anything wrong when a login that was good ends.
                let reason = match reason.kind {
                    FaultKind::WrongPassword if self.was_logged_in => {
                        Fault { kind: FaultKind::SessionOver, ..reason }
                    }
                    _ => reason,
                };
                self.login_is_refused(reason, (!self.typed).then_some(WRONG_PASSWORD_RETRY_MS), now, out);
            }
        }
    }

    fn login_is_refused(&mut self, reason: Fault, retry_in_ms: Option<i64>, now: Timestamp, out: Sink) {
        if self.typed {
            self.credentials = Credentials::None;
        }
        self.refuse(reason, retry_in_ms, now, out);
    }

    /// No tokens just now. A stream that lives goes on with the old one for as long as it is good.
    fn login_must_wait(&mut self, reason: Fault, now: Timestamp, out: Sink) {
        if self.welcomed {
            self.session.postpone(now);
        } else if self.phase == Phase::LoggingIn {
            self.lose(reason, now, out);
        }
    }

    /// A request that nobody answered.
    fn unanswered(&mut self, ask: Ask, reason: Fault, now: Timestamp, out: Sink) {
        match ask {
            Ask::Login { .. } | Ask::Refresh { .. } => self.login_must_wait(reason, now, out),
            Ask::Scene => self.lose(reason, now, out),
            other => fail(&other, &reason, out),
        }
    }

    fn logged_in(&mut self, tokens: &Tokens, now: Timestamp, out: Sink) {
        self.session.take(tokens, now);
        self.was_logged_in = true;
        if let (Some(name), Some(role)) = (&tokens.username, tokens.role) {
            self.knows_user = true;
            out(NetEvent::User(Some((name.clone(), role))));
        }
        for ask in self.requests.take_held() {
            self.send_request(ask, true, now);
        }
        if self.welcomed {
            self.send(&ClientMessage::Renew(tokens.access_token.clone()));
        } else if self.phase == Phase::LoggingIn {
            self.load_scene(now, out);
        }
    }

    fn scene_arrived(&mut self, response: &HttpResponse, now: Timestamp, out: Sink) {
        if response.status != 304 {
            let etag = response.etag.as_deref().map(bare_etag).unwrap_or_default();
            match response.data::<Scene>() {
                Ok(scene) => {
                    let scene = Arc::new(SceneIndex::new(scene, etag));
                    self.scene = Some(scene.clone());
                    out(NetEvent::Scene(scene));
                }
                Err(reason) => return self.lose(reason, now, out),
            }
        }
        // A stream that is open and welcomed only waited for this scene.
        if self.welcomed {
            self.go_live(now, out);
        } else {
            self.open_stream(now, out);
        }
    }
}

fn notice(what: Asked, response: &HttpResponse, out: Sink) {
    let error = (!response.is_success()).then(|| response.fault());
    out(NetEvent::Notice(Notice { what, error }));
}

/// Tells whoever asked that it did not work; what nobody asked for is asked again by itself.
fn fail(ask: &Ask, reason: &Fault, out: Sink) {
    let failed = |what| NetEvent::Notice(Notice { what, error: Some(reason.clone()) });
    match ask {
        Ask::History(point) => {
            out(NetEvent::History { point: point.clone(), result: Err(reason.clone()) });
        }
        Ask::Quality { .. } => out(NetEvent::Quality(Box::new(Err(reason.clone())))),
        Ask::Acknowledge(_) => out(failed(Asked::Acknowledge)),
        Ask::PlanNow => out(failed(Asked::PlanNow)),
        Ask::Command(_) => out(failed(Asked::Command)),
        Ask::Login { .. }
        | Ask::Refresh { .. }
        | Ask::Logout { .. }
        | Ask::Me
        | Ask::Scene
        | Ask::Curve
        | Ask::Energy
        | Ask::Plan
        | Ask::Tracking => {}
    }
}

/// `http` becomes `ws`, `https` becomes `wss`.
fn socket_base(server: &str) -> String {
    match server.split_once("://") {
        Some(("https", rest)) => format!("wss://{rest}"),
        Some((_, rest)) => format!("ws://{rest}"),
        None => format!("ws://{server}"),
    }
}

#[cfg(test)]
mod tests;
