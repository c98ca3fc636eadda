//! The link's life as a state machine: log in, fetch the scene, open the stream, and again from wherever it broke.
//!
//! Synchronous and clock-free: events and this machine's time come in, requests and [`NetEvent`]s go out, so tests drive it
//! with a made-up server.

use super::{
    Asked, NetCommand, NetEvent, Notice,
    rest::{Ask, HistoryAnswer, HttpResponse, Tokens, bare_etag},
    transport::{Transport, WireEvent},
};
use crate::model::{LinkState, history::SPAN_MS};
use shared::{
    plan::PlanView,
    scene::Scene,
    stream::{ClientMessage, Denied, Encoding, Hello, PROTOCOL_VERSION, Selector, ServerMessage, Welcome},
    time::Timestamp,
};
use std::collections::HashMap;

/// Silence after which the link counts as lost; the server says something every second.
const SILENCE_MS: i64 = 3_000;
/// How long an opened stream may take to welcome us, and a connection to open.
const HANDSHAKE_MS: i64 = 10_000;
const FIRST_RETRY_MS: i64 = 500;
const LONGEST_RETRY_MS: i64 = 10_000;
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
    Refused,
}

pub struct Link<T: Transport> {
    transport: T,
    config: LinkConfig,
    phase: Phase,
    access_token: Option<String>,
    refresh_token: Option<String>,
    scene_etag: Option<String>,
    /// Requests under way.
    pending: HashMap<u64, Ask>,
    next_id: u64,
    /// Requests that met an expired token: asked again once there is a new one.
    after_login: Vec<Ask>,
    stream: u64,
    /// The present stream is open and welcomed us.
    welcomed: bool,
    heard_at: i64,
    retry_ms: i64,
    lost_since: Option<i64>,
    curves_at: i64,
    missing_at: i64,
    has_plan: bool,
    has_energy: bool,
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
            config,
            phase: Phase::NeedsLogin,
            access_token: None,
            refresh_token: None,
            scene_etag: None,
            pending: HashMap::new(),
            next_id: 0,
            after_login: Vec::new(),
            stream: 0,
            welcomed: false,
            heard_at: 0,
            retry_ms: FIRST_RETRY_MS,
            lost_since: None,
            curves_at: 0,
            missing_at: 0,
            has_plan: false,
            has_energy: false,
            ping_sent: None,
            ping_at: 0,
            pings: 0,
        }
    }

    /// Begins with whatever credentials there are.
    pub fn start(&mut self, out: Sink) {
        self.authenticate(out);
    }

    fn authenticate(&mut self, out: Sink) {
        if let Some(refresh_token) = self.refresh_token.clone() {
            self.enter(Phase::LoggingIn, out);
            self.ask(Ask::Refresh { refresh_token });
            return;
        }
        match self.config.credentials.clone() {
            Credentials::None => self.enter(Phase::NeedsLogin, out),
            Credentials::User { name, password } => {
                self.enter(Phase::LoggingIn, out);
                self.ask(Ask::Login { user: name, password });
            }
            Credentials::Token(token) if self.access_token.is_none() => {
                self.access_token = Some(token);
                self.load_scene(out);
            }
            Credentials::Token(_) => {
                self.refuse("the server does not accept this token (any more)".into(), out);
            }
        }
    }

    fn refuse(&mut self, reason: String, out: Sink) {
        self.phase = Phase::Refused;
        self.hang_up();
        out(NetEvent::Link(LinkState::Refused { reason }));
    }

    fn enter(&mut self, phase: Phase, out: Sink) {
        self.phase = phase;
        // While the link is being mended, "lost since" stays on show.
        if self.lost_since.is_some() && !matches!(phase, Phase::Live | Phase::NeedsLogin) {
            return;
        }
        let state = match phase {
            Phase::NeedsLogin => LinkState::NeedsLogin,
            Phase::LoggingIn => LinkState::LoggingIn,
            Phase::LoadingScene => LinkState::LoadingScene,
            Phase::Opening { .. } | Phase::Handshaking { .. } => LinkState::Connecting,
            Phase::Live => LinkState::Live,
            Phase::Waiting { .. } | Phase::Refused => return,
        };
        out(NetEvent::Link(state));
    }

    /// Gives the present stream up; what still comes of it is ignored by its number.
    fn hang_up(&mut self) {
        self.transport.close();
        self.stream += 1;
        self.welcomed = false;
    }

    fn load_scene(&mut self, out: Sink) {
        self.enter(Phase::LoadingScene, out);
        self.ask(Ask::Scene);
    }

    fn open_stream(&mut self, now: Timestamp, out: Sink) {
        self.enter(Phase::Opening { since: now.0 }, out);
        self.hang_up();
        let url = format!("{}/api/v1/stream", socket_base(&self.config.server));
        self.transport.open(self.stream, &url, self.config.encoding);
    }

    fn ask(&mut self, ask: Ask) {
        self.next_id += 1;
        let request = ask.request(self.access_token.as_deref(), self.scene_etag.as_deref());
        self.pending.insert(self.next_id, ask);
        self.transport.fetch(self.next_id, &self.config.server, request);
    }

    fn send(&mut self, message: &impl serde::Serialize) {
        // Encoding our own small messages cannot fail; if it ever did, the silence watch would reconnect.
        if let Ok(bytes) = self.config.encoding.encode(message) {
            self.transport.send(bytes);
        }
    }

    /// Something broke: wait a little longer each time, then start again from the scene.
    fn lose(&mut self, reason: String, now: Timestamp, out: Sink) {
        self.hang_up();
        let since = *self.lost_since.get_or_insert(now.0);
        self.phase = Phase::Waiting { until: now.0 + self.retry_ms };
        self.retry_ms = (self.retry_ms * 2).min(LONGEST_RETRY_MS);
        out(NetEvent::Link(LinkState::Lost { since: Timestamp(since), reason }));
    }

    pub fn command(&mut self, command: NetCommand, now: Timestamp, out: Sink) {
        match command {
            NetCommand::Login { user, password } => {
                self.config.credentials = Credentials::User { name: user, password };
                self.refresh_token = None;
                self.access_token = None;
                self.authenticate(out);
            }
            NetCommand::Logout => {
                self.config.credentials = Credentials::None;
                self.refresh_token = None;
                self.access_token = None;
                self.lost_since = None;
                self.hang_up();
                self.enter(Phase::NeedsLogin, out);
            }
            NetCommand::Acknowledge(id) => self.ask(Ask::Acknowledge(id)),
            NetCommand::History(point) => {
                self.ask(Ask::History { point, from: Timestamp(now.0 - SPAN_MS), to: now });
            }
            NetCommand::PlanNow => self.ask(Ask::PlanNow),
            NetCommand::Command(request) => self.ask(Ask::Command(request)),
        }
    }

    /// Time passes: retries, silence, regular requests.
    pub fn tick(&mut self, now: Timestamp, out: Sink) {
        match self.phase {
            Phase::Waiting { until } if now.0 >= until => {
                if self.access_token.is_some() {
                    self.load_scene(out);
                } else {
                    self.authenticate(out);
                }
            }
            Phase::Opening { since } | Phase::Handshaking { since } if now.0 - since > HANDSHAKE_MS => {
                self.lose("the server does not answer".into(), now, out);
            }
            Phase::Live if now.0 - self.heard_at > SILENCE_MS => {
                self.lose(format!("nothing heard for {} s", SILENCE_MS / 1_000), now, out);
            }
            Phase::Live => self.keep_fresh(now),
            _ => {}
        }
    }

    fn keep_fresh(&mut self, now: Timestamp) {
        if now.0 - self.curves_at >= CURVES_EVERY_MS {
            self.curves_at = now.0;
            self.ask(Ask::Curve);
            self.ask(Ask::Tracking);
        }
        if !(self.has_plan && self.has_energy) && now.0 - self.missing_at >= MISSING_EVERY_MS {
            self.missing_at = now.0;
            if !self.has_energy {
                self.ask(Ask::Energy);
            }
            if !self.has_plan {
                self.ask(Ask::Plan);
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
                let hello =
                    Hello { version: PROTOCOL_VERSION, token: self.access_token.clone().unwrap_or_default() };
                self.send(&hello);
            }
            WireEvent::Message { stream, bytes } if stream == self.stream => {
                self.heard_at = now.0;
                match self.phase {
                    Phase::Handshaking { .. } => self.welcome(&bytes, now, out),
                    // The scene may be on its way again while the stream is open.
                    Phase::Live | Phase::LoadingScene => self.message(&bytes, now, out),
                    _ => {}
                }
            }
            WireEvent::Closed { stream, reason } if stream == self.stream => self.lose(reason, now, out),
            // Of a stream given up since.
            WireEvent::Opened { .. } | WireEvent::Message { .. } | WireEvent::Closed { .. } => {}
            WireEvent::Response { id, result } => {
                if let Some(ask) = self.pending.remove(&id) {
                    self.answer(ask, result, now, out);
                }
            }
        }
    }

    fn welcome(&mut self, bytes: &[u8], now: Timestamp, out: Sink) {
        match self.config.encoding.decode::<Welcome>(bytes) {
            Ok(Welcome::Accepted { server_time, scene_etag, .. }) => {
                self.welcomed = true;
                out(NetEvent::Clock { server: server_time, local: now });
                if self.scene_etag.as_deref() == Some(bare_etag(&scene_etag).as_str()) {
                    self.go_live(now, out);
                } else {
                    // The park changed between the two requests.
                    self.load_scene(out);
                }
            }
            Ok(Welcome::Denied(Denied::Token)) => {
                self.hang_up();
                self.renew(None, out);
            }
            Ok(Welcome::Denied(Denied::Version)) => {
                self.refuse(format!("the server speaks another version than {PROTOCOL_VERSION}"), out);
            }
            Err(error) => self.lose(error.to_string(), now, out),
        }
    }

    fn go_live(&mut self, now: Timestamp, out: Sink) {
        self.retry_ms = FIRST_RETRY_MS;
        self.lost_since = None;
        self.heard_at = now.0;
        (self.curves_at, self.missing_at, self.ping_at) = (0, 0, 0);
        self.enter(Phase::Live, out);
        self.send(&ClientMessage::Subscribe(Selector::All));
        self.keep_fresh(now);
    }

    fn message(&mut self, bytes: &[u8], now: Timestamp, out: Sink) {
        match self.config.encoding.decode::<ServerMessage>(bytes) {
            Ok(ServerMessage::Pong(number)) => {
                if let Some((sent, at)) = self.ping_sent
                    && sent == number
                {
                    out(NetEvent::RoundTrip { ms: (now.0 - at).clamp(0, 60_000) as u32 });
                }
            }
            Ok(message) => {
                self.has_plan |= matches!(&message, ServerMessage::Plan(plan) if plan.version > 0);
                self.has_energy |= matches!(message, ServerMessage::Energy(_));
                out(NetEvent::Stream { message, local: now });
            }
            // One unreadable message means the two sides disagree about all of them.
            Err(error) => self.lose(error.to_string(), now, out),
        }
    }

    /// The token is no good: get another by refreshing or logging in, and ask `again` with it.
    fn renew(&mut self, again: Option<Ask>, out: Sink) {
        self.after_login.extend(again);
        if self.phase != Phase::LoggingIn {
            self.authenticate(out);
        }
    }

    fn answer(&mut self, ask: Ask, result: Result<HttpResponse, String>, now: Timestamp, out: Sink) {
        let response = match result {
            Ok(response) => response,
            Err(reason) => return self.unreachable(ask, reason, now, out),
        };
        if response.status == 401 && !matches!(ask, Ask::Login { .. } | Ask::Refresh { .. }) {
            // The scene is asked for again by itself once there is a token.
            let again = (ask != Ask::Scene).then_some(ask);
            return self.renew(again, out);
        }
        match ask {
            Ask::Login { .. } => match response.data::<Tokens>() {
                Ok(tokens) => self.logged_in(tokens, out),
                Err(reason) if response.status >= 500 || response.status == 429 => {
                    self.lose(reason, now, out)
                }
                Err(reason) => {
                    self.config.credentials = Credentials::None;
                    out(NetEvent::Notice(Notice { what: Asked::Login, error: Some(reason.clone()) }));
                    self.refuse(reason, out);
                }
            },
            Ask::Refresh { .. } => match response.data::<Tokens>() {
                Ok(tokens) => self.logged_in(tokens, out),
                Err(_) => {
                    self.refresh_token = None;
                    self.authenticate(out);
                }
            },
            Ask::Scene => self.scene_arrived(&response, now, out),
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
            Ask::History { point, .. } => {
                let result = response.data::<HistoryAnswer>().map(|answer| {
                    answer.points.into_iter().filter_map(|(at, value)| Some((at, value?))).collect()
                });
                out(NetEvent::History { point, result });
            }
            Ask::Acknowledge(_) => notice(Asked::Acknowledge, &response, out),
            Ask::PlanNow => {
                if let Ok(plan) = response.data() {
                    out(NetEvent::Plan(Box::new(plan)));
                }
                notice(Asked::PlanNow, &response, out);
            }
            Ask::Command(_) => notice(Asked::Command, &response, out),
        }
    }

    fn unreachable(&mut self, ask: Ask, reason: String, now: Timestamp, out: Sink) {
        let failed = |what| NetEvent::Notice(Notice { what, error: Some(reason.clone()) });
        match ask {
            Ask::Login { .. } | Ask::Refresh { .. } | Ask::Scene => self.lose(reason, now, out),
            Ask::History { point, .. } => out(NetEvent::History { point, result: Err(reason) }),
            Ask::Acknowledge(_) => out(failed(Asked::Acknowledge)),
            Ask::PlanNow => out(failed(Asked::PlanNow)),
            Ask::Command(_) => out(failed(Asked::Command)),
            // Asked again by themselves.
            Ask::Curve | Ask::Energy | Ask::Plan | Ask::Tracking => {}
        }
    }

    fn logged_in(&mut self, tokens: Tokens, out: Sink) {
        self.access_token = Some(tokens.access_token);
        self.refresh_token = tokens.refresh_token;
        for ask in std::mem::take(&mut self.after_login) {
            self.ask(ask);
        }
        // The stream outlives the token it began with.
        if self.welcomed {
            self.enter(Phase::Live, out);
        } else {
            self.load_scene(out);
        }
    }

    fn scene_arrived(&mut self, response: &HttpResponse, now: Timestamp, out: Sink) {
        if response.status != 304 {
            let etag = response.etag.as_deref().map(bare_etag).unwrap_or_default();
            match response.data::<Scene>() {
                Ok(scene) => {
                    self.scene_etag = Some(etag.clone());
                    out(NetEvent::Scene { scene: Box::new(scene), etag });
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
    let error = (!response.is_success()).then(|| response.failure());
    out(NetEvent::Notice(Notice { what, error }));
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
