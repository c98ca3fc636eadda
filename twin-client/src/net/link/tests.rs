//! The link against a made-up server: every answer is given by hand.

use super::*;
use crate::{model::Role, net::rest::HttpRequest};
use shared::{
    stream::{CommandUpdate, PointName},
    telemetry::Origin,
};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct Seen {
    opened: Vec<u64>,
    sent: Vec<Vec<u8>>,
    requests: Vec<(u64, HttpRequest)>,
    closed: u32,
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Seen>>);

impl Transport for Fake {
    fn open(&mut self, stream: u64, _url: &str, _encoding: Encoding) {
        self.0.lock().unwrap().opened.push(stream);
    }
    fn send(&mut self, bytes: Vec<u8>) {
        self.0.lock().unwrap().sent.push(bytes);
    }
    fn close(&mut self) {
        self.0.lock().unwrap().closed += 1;
    }
    fn fetch(&mut self, id: u64, _base: &str, request: HttpRequest) {
        self.0.lock().unwrap().requests.push((id, request));
    }
}

struct Bench {
    link: Link<Fake>,
    fake: Fake,
    events: Vec<NetEvent>,
    now: i64,
}

impl Bench {
    fn new(credentials: Credentials) -> Self {
        let fake = Fake::default();
        let config = LinkConfig { server: "http://park".into(), credentials, encoding: Encoding::Postcard };
        let mut bench =
            Self { link: Link::new(config, fake.clone()), fake, events: Vec::new(), now: 1_000_000 };
        bench.link.start(Timestamp(bench.now), &mut |e| bench.events.push(e));
        bench
    }

    fn stored() -> Self {
        Self::new(Credentials::User { name: "admin".into(), password: "secret".into() })
    }

    fn wall() -> Self {
        Self::new(Credentials::Token("wall_1".into()))
    }

    fn command(&mut self, command: NetCommand) {
        self.link.command(command, Timestamp(self.now), &mut |e| self.events.push(e));
    }

    fn type_password(&mut self, user: &str) {
        self.command(NetCommand::Login { user: user.into(), password: "p".into() });
    }

    fn acknowledge(&mut self) {
        self.command(NetCommand::Acknowledge("al-1".parse().unwrap()));
    }

    fn feed(&mut self, event: WireEvent) {
        self.link.handle(event, Timestamp(self.now), &mut |e| self.events.push(e));
    }

    fn wait(&mut self, ms: i64) {
        self.now += ms;
        self.link.tick(Timestamp(self.now), &mut |e| self.events.push(e));
    }

    /// So many seconds of a server that says something every one of them.
    fn live_for(&mut self, seconds: i64) {
        for _ in 0..seconds {
            self.say(&ServerMessage::Tick(Timestamp(self.now)));
            self.wait(1_000);
        }
    }

    /// Takes the oldest unanswered request to `path` away.
    fn request(&mut self, path: &str) -> (u64, HttpRequest) {
        let mut seen = self.fake.0.lock().unwrap();
        let at = seen.requests.iter().position(|(_, r)| r.path.starts_with(path));
        let at = at.unwrap_or_else(|| panic!("nobody asked for {path}: {:?}", seen.requests));
        seen.requests.remove(at)
    }

    /// Answers the oldest unanswered request to `path` and forgets it.
    fn answer(&mut self, path: &str, status: u16, etag: Option<&str>, data: &str) {
        let (id, _) = self.request(path);
        self.answer_to(id, status, etag, data);
    }

    fn answer_to(&mut self, id: u64, status: u16, etag: Option<&str>, data: &str) {
        let body = format!(r#"{{"code":"X","message":"said so","data":{data}}}"#).into_bytes();
        let response = HttpResponse { status, etag: etag.map(str::to_owned), retry_after_s: None, body };
        self.feed(WireEvent::Response { id, result: Ok(response) });
    }

    /// The server gives tokens that live a quarter of an hour.
    fn give(&mut self, path: &str, number: u32) {
        let tokens = format!(
            r#"{{"accessToken":"a{number}","refreshToken":"r{number}","expiresIn":900,
                "username":"admin","role":"admin"}}"#
        );
        self.answer(path, 200, None, &tokens);
    }

    fn wrong_password(&mut self) {
        let (id, _) = self.request("/api/v1/auth/login");
        let body = br#"{"code":"INVALID_CREDENTIALS","message":"said so"}"#.to_vec();
        let response = HttpResponse { status: 401, body, ..Default::default() };
        self.feed(WireEvent::Response { id, result: Ok(response) });
    }

    /// What was said on the streams, but for the hellos.
    fn said(&self) -> Vec<ClientMessage> {
        let seen = self.fake.0.lock().unwrap();
        seen.sent.iter().filter_map(|bytes| Encoding::Postcard.decode(bytes).ok()).collect()
    }

    fn notices(&self) -> Vec<(Asked, Option<FaultKind>)> {
        self.events
            .iter()
            .filter_map(|e| match e {
                NetEvent::Notice(n) => Some((n.what, n.error.as_ref().map(|f| f.kind))),
                _ => None,
            })
            .collect()
    }

    fn refused(&self) -> Option<(FaultKind, bool)> {
        match self.state() {
            LinkState::Refused { reason, retry } => Some((reason.kind, retry)),
            _ => None,
        }
    }

    fn is_lost(&self, kind: FaultKind) -> bool {
        matches!(self.state(), LinkState::Lost { reason, .. } if reason.kind == kind)
    }

    fn user(&self) -> Option<(String, Role)> {
        self.events
            .iter()
            .rev()
            .find_map(|e| match e {
                NetEvent::User(who) => Some(who.clone()),
                _ => None,
            })
            .flatten()
    }

    fn asked(&self, path: &str) -> bool {
        self.fake.0.lock().unwrap().requests.iter().any(|(_, r)| r.path.starts_with(path))
    }

    fn stream(&self) -> u64 {
        *self.fake.0.lock().unwrap().opened.last().expect("a stream was opened")
    }

    fn say<M: serde::Serialize>(&mut self, message: &M) {
        let bytes = Encoding::Postcard.encode(message).unwrap();
        let stream = self.stream();
        self.feed(WireEvent::Message { stream, bytes });
    }

    fn welcome(&mut self, etag: &str) {
        let stream = self.stream();
        self.feed(WireEvent::Opened { stream });
        self.say(&Welcome::Accepted {
            version: PROTOCOL_VERSION,
            server_time: Timestamp(self.now + 70),
            scene_etag: etag.into(),
        });
    }

    fn scene(&mut self, etag: &str) {
        let scene = serde_json::to_string(&crate::fixture::tiny_scene()).unwrap();
        self.answer("/api/v1/scene", 200, Some(&format!("\"{etag}\"")), &scene);
    }

    fn go_live(&mut self) {
        self.give("/api/v1/auth/login", 1);
        self.scene("v1");
        self.welcome("v1");
        assert_eq!(self.state(), LinkState::Live);
    }

    fn state(&self) -> LinkState {
        self.events
            .iter()
            .rev()
            .find_map(|e| match e {
                NetEvent::Link(state) => Some(state.clone()),
                _ => None,
            })
            .expect("a state was told")
    }
}

#[test]
fn it_logs_in_fetches_the_scene_and_streams() {
    let mut bench = Bench::stored();
    assert_eq!(bench.state(), LinkState::LoggingIn);
    bench.go_live();
    let sent = bench.fake.0.lock().unwrap().sent.clone();
    let hello: Hello = Encoding::Postcard.decode(&sent[0]).unwrap();
    assert_eq!(hello.token, "a1");
    let subscribe: ClientMessage = Encoding::Postcard.decode(&sent[1]).unwrap();
    assert_eq!(subscribe, ClientMessage::Subscribe(Selector::All));
    assert!(bench.asked("/api/v1/energy/curve") && bench.asked("/api/v1/vpp/plan"));
    assert!(bench.events.iter().any(|e| matches!(e, NetEvent::Scene(scene) if scene.etag == "v1")));
}

#[test]
fn without_credentials_it_waits_for_a_person() {
    let mut bench = Bench::new(Credentials::None);
    assert_eq!(bench.state(), LinkState::NeedsLogin);
    bench.type_password("u");
    bench.go_live();
}

#[test]
fn a_wrong_password_that_was_typed_is_told_and_not_tried_again() {
    let mut bench = Bench::new(Credentials::None);
    bench.type_password("u");
    bench.wrong_password();
    assert_eq!(bench.refused(), Some((FaultKind::WrongPassword, false)));
    bench.wait(3_600_000);
    assert!(!bench.asked("/api/v1/auth/login"));
}

#[test]
fn a_stored_password_is_tried_again_so_seldom_that_nobody_is_locked_out() {
    let mut bench = Bench::stored();
    bench.wrong_password();
    assert_eq!(bench.refused(), Some((FaultKind::WrongPassword, true)));
    bench.wait(15 * 60_000);
    assert!(!bench.asked("/api/v1/auth/login"));
    bench.wait(60_000);
    assert_eq!(bench.refused(), Some((FaultKind::WrongPassword, true)), "on show until it works");
    bench.go_live();
}

#[test]
fn a_walls_refused_token_is_tried_again_every_minute() {
    let mut bench = Bench::wall();
    bench.scene("v1");
    let stream = bench.stream();
    bench.feed(WireEvent::Opened { stream });
    bench.say(&Welcome::Denied(Denied::Token));
    assert_eq!(bench.refused(), Some((FaultKind::TokenOver, true)));
    bench.wait(59_999);
    assert!(!bench.asked("/api/v1/scene"));
    bench.wait(1);
    bench.answer("/api/v1/scene", 401, None, "null");
    assert_eq!(bench.refused(), Some((FaultKind::TokenOver, true)));
    bench.wait(60_000);
    bench.answer("/api/v1/scene", 304, None, "null");
    bench.welcome("v1");
    assert_eq!(bench.state(), LinkState::Live);
}

#[test]
fn a_server_that_cannot_say_who_we_are_just_now_is_asked_again() {
    let mut bench = Bench::wall();
    bench.scene("v1");
    let stream = bench.stream();
    bench.feed(WireEvent::Opened { stream });
    bench.say(&Welcome::Denied(Denied::Unavailable));
    assert!(bench.is_lost(FaultKind::Busy));
    bench.wait(500);
    bench.answer("/api/v1/scene", 304, None, "null");
    bench.welcome("v1");
    assert_eq!(bench.state(), LinkState::Live);
}

#[test]
fn the_token_is_renewed_on_the_living_stream() {
    let mut bench = Bench::stored();
    bench.go_live();
    let told = bench.events.len();
    bench.live_for(674);
    assert!(!bench.asked("/api/v1/auth/refresh"));
    bench.live_for(1);
    // What the stream says meanwhile is heard.
    bench.live_for(2);
    bench.give("/api/v1/auth/refresh", 2);
    assert_eq!(bench.said().last(), Some(&ClientMessage::Renew("a2".into())));
    bench.live_for(675);
    bench.give("/api/v1/auth/refresh", 3);
    assert_eq!(bench.said().last(), Some(&ClientMessage::Renew("a3".into())));
    let ticks = bench.events[told..]
        .iter()
        .filter(|e| matches!(e, NetEvent::Stream { message: ServerMessage::Tick(_), .. }))
        .count();
    assert_eq!(ticks, 674 + 1 + 2 + 675);
    assert!(!bench.events[told..].iter().any(|e| matches!(e, NetEvent::Link(_) | NetEvent::Scene(_))));
    assert_eq!(bench.fake.0.lock().unwrap().opened.len(), 1);
}

#[test]
fn a_refresh_token_is_never_shown_twice() {
    let mut bench = Bench::stored();
    bench.go_live();
    bench.live_for(675);
    let (late, request) = bench.request("/api/v1/auth/refresh");
    assert!(String::from_utf8(request.body).unwrap().contains("r1"));
    bench.live_for(15 + 5);
    assert!(!bench.asked("/api/v1/auth/refresh"), "the server may have taken it");
    bench.give("/api/v1/auth/login", 2);
    assert_eq!(bench.said().last(), Some(&ClientMessage::Renew("a2".into())));
    let said = bench.said().len();
    bench.answer_to(late, 200, None, r#"{"accessToken":"late"}"#);
    assert_eq!(bench.said().len(), said);
    assert_eq!(bench.state(), LinkState::Live);
}

#[test]
fn a_server_too_busy_to_renew_is_asked_again_while_the_stream_lives() {
    let mut bench = Bench::stored();
    bench.go_live();
    bench.live_for(675);
    bench.answer("/api/v1/auth/refresh", 503, None, "null");
    bench.live_for(4);
    assert!(!bench.asked("/api/v1/auth/refresh"));
    bench.live_for(1);
    bench.give("/api/v1/auth/refresh", 2);
    assert_eq!(bench.state(), LinkState::Live);
}

#[test]
fn a_login_that_ends_for_good_goes_to_the_login_panel_with_a_reason() {
    let mut bench = Bench::new(Credentials::None);
    bench.type_password("u");
    bench.go_live();
    bench.live_for(675);
    bench.answer("/api/v1/auth/refresh", 401, None, "null");
    bench.wrong_password();
    assert_eq!(bench.refused(), Some((FaultKind::SessionOver, false)));
    assert_eq!(bench.user(), None);
    bench.wait(3_600_000);
    assert_eq!(bench.refused(), Some((FaultKind::SessionOver, false)));
}

#[test]
fn a_server_that_takes_a_request_and_dies_does_not_hold_the_link() {
    let mut bench = Bench::stored();
    bench.wait(14_999);
    assert_eq!(bench.state(), LinkState::LoggingIn);
    let (late, _) = bench.request("/api/v1/auth/login");
    bench.wait(1);
    assert!(bench.is_lost(FaultKind::NoAnswer));
    bench.answer_to(late, 200, None, r#"{"accessToken":"late"}"#);
    assert!(!bench.asked("/api/v1/scene"), "late answers mean nothing");
    bench.wait(500);
    bench.give("/api/v1/auth/login", 1);
    let (late, _) = bench.request("/api/v1/scene");
    bench.wait(60_000);
    assert!(bench.is_lost(FaultKind::NoAnswer));
    bench.answer_to(late, 304, None, "null");
    assert!(bench.fake.0.lock().unwrap().opened.is_empty());
    bench.wait(1_000);
    bench.scene("v1");
    bench.welcome("v1");
    assert_eq!(bench.state(), LinkState::Live);
}

#[test]
fn what_one_person_asked_is_not_asked_for_the_next() {
    let mut bench = Bench::new(Credentials::None);
    bench.type_password("a");
    bench.go_live();
    bench.acknowledge();
    bench.answer("/api/v1/alarms/al-1", 401, None, "null");
    let (late, _) = bench.request("/api/v1/auth/refresh");
    bench.command(NetCommand::Logout);
    assert_eq!(bench.state(), LinkState::NeedsLogin);
    assert_eq!(bench.notices(), [(Asked::Acknowledge, Some(FaultKind::NoAnswer))]);
    assert_eq!(bench.user(), None);
    bench.type_password("b");
    bench.answer_to(late, 200, None, r#"{"accessToken":"of-a"}"#);
    bench.go_live();
    assert!(!bench.asked("/api/v1/alarms/al-1"));
}

#[test]
fn logging_out_ends_the_login_on_the_server_and_asks_for_no_more() {
    let mut bench = Bench::stored();
    bench.go_live();
    bench.command(NetCommand::Logout);
    let (_, request) = bench.request("/api/v1/auth/logout");
    assert!(String::from_utf8(request.body).unwrap().contains("r1"));
    bench.fake.0.lock().unwrap().requests.clear();
    bench.wait(3_600_000);
    assert_eq!(bench.state(), LinkState::NeedsLogin);
    assert!(bench.fake.0.lock().unwrap().requests.is_empty());
    bench.acknowledge();
    assert_eq!(bench.notices(), [(Asked::Acknowledge, Some(FaultKind::NotLoggedIn))]);
}

#[test]
fn what_is_asked_while_logging_in_waits_for_the_token_but_not_for_ever() {
    let mut bench = Bench::stored();
    bench.acknowledge();
    bench.give("/api/v1/auth/login", 1);
    assert_eq!(bench.request("/api/v1/alarms/al-1").1.bearer.as_deref(), Some("a1"));
    let mut bench = Bench::stored();
    for _ in 0..100 {
        bench.acknowledge();
    }
    assert_eq!(bench.notices().len(), 100 - 64, "more than fit are answered at once");
    bench.wait(30_000);
    assert_eq!(bench.notices().len(), 100);
}

#[test]
fn a_request_that_nobody_answers_is_told() {
    let mut bench = Bench::stored();
    bench.go_live();
    bench.acknowledge();
    bench.live_for(14);
    assert!(bench.notices().is_empty());
    bench.live_for(1);
    assert_eq!(bench.notices(), [(Asked::Acknowledge, Some(FaultKind::NoAnswer))]);
}

#[test]
fn who_is_logged_in_is_told_for_people_and_walls() {
    let mut bench = Bench::stored();
    bench.go_live();
    assert_eq!(bench.user(), Some(("admin".into(), Role::Admin)));
    let mut wall = Bench::wall();
    wall.scene("v1");
    wall.welcome("v1");
    wall.answer("/api/v1/me", 200, None, r#"{"name":"wall:lobby","role":"viewer"}"#);
    assert_eq!(wall.user(), Some(("wall:lobby".into(), Role::Viewer)));
}

#[test]
fn the_same_points_again_are_not_worked_out_again() {
    let mut bench = Bench::stored();
    bench.go_live();
    let name = PointName { device: "bess-1".parse().unwrap(), measurement: "soc".parse().unwrap() };
    let infos = vec![PointInfo { name, origin: Origin::Field }];
    bench.say(&ServerMessage::Subscribed(infos.clone()));
    bench.say(&ServerMessage::Subscribed(infos));
    bench.say(&ServerMessage::Subscribed(Vec::new()));
    let tables: Vec<_> = bench
        .events
        .iter()
        .filter_map(|e| match e {
            NetEvent::Points(table) => Some(table.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(tables.iter().map(|t| t.len()).collect::<Vec<_>>(), [1, 1, 0]);
    assert!(Arc::ptr_eq(&tables[0], &tables[1]));
}

#[test]
fn three_silent_seconds_are_a_lost_link_that_mends_itself() {
    let mut bench = Bench::stored();
    bench.go_live();
    bench.wait(2_900);
    bench.say(&ServerMessage::Tick(Timestamp(bench.now)));
    bench.wait(2_900);
    assert_eq!(bench.state(), LinkState::Live);
    bench.wait(200);
    let lost_at = bench.now;
    assert!(matches!(bench.state(), LinkState::Lost { since, .. } if since.0 == lost_at));
    bench.wait(600);
    // The server is still starting: the next try fails too, and "since" stays.
    let (id, request) = bench.request("/api/v1/scene");
    assert_eq!(request.if_none_match.as_deref(), Some("\"v1\""));
    bench.feed(WireEvent::Response { id, result: Err("connection refused".into()) });
    assert!(matches!(bench.state(), LinkState::Lost { since, .. } if since.0 == lost_at));
    bench.wait(500);
    assert!(!bench.asked("/api/v1/scene"), "the second wait is longer");
    bench.wait(600);
    bench.answer("/api/v1/scene", 304, None, "null");
    bench.welcome("v1");
    assert_eq!(bench.state(), LinkState::Live);
}

#[test]
fn messages_of_a_stream_given_up_are_ignored() {
    let mut bench = Bench::stored();
    bench.go_live();
    let old = bench.stream();
    bench.feed(WireEvent::Closed { stream: old, reason: "reset".into() });
    let before = bench.events.len();
    let bytes = Encoding::Postcard.encode(&ServerMessage::Tick(Timestamp(1))).unwrap();
    bench.feed(WireEvent::Message { stream: old, bytes });
    bench.feed(WireEvent::Closed { stream: old, reason: "again".into() });
    assert_eq!(bench.events.len(), before);
}

#[test]
fn another_scene_on_the_server_is_fetched_before_subscribing() {
    let mut bench = Bench::stored();
    bench.answer("/api/v1/auth/login", 200, None, r#"{"accessToken":"a1"}"#);
    bench.scene("v1");
    bench.welcome("v2");
    assert_ne!(bench.state(), LinkState::Live);
    bench.scene("v2");
    assert_eq!(bench.state(), LinkState::Live);
    assert_eq!(bench.fake.0.lock().unwrap().opened.len(), 1, "the open stream is kept");
}

#[test]
fn an_expired_token_is_renewed_and_the_request_repeated() {
    let mut bench = Bench::stored();
    bench.go_live();
    bench.acknowledge();
    bench.answer("/api/v1/alarms/al-1", 401, None, "null");
    bench.give("/api/v1/auth/refresh", 2);
    let (id, request) = bench.request("/api/v1/alarms/al-1");
    assert_eq!(request.bearer.as_deref(), Some("a2"));
    bench.answer_to(id, 200, None, "null");
    assert_eq!(bench.notices(), [(Asked::Acknowledge, None)]);
    assert_eq!(bench.state(), LinkState::Live);
}

#[test]
fn a_refused_refresh_falls_back_to_the_password() {
    let mut bench = Bench::stored();
    bench.go_live();
    let stream = bench.stream();
    bench.feed(WireEvent::Closed { stream, reason: "reset".into() });
    bench.wait(500);
    bench.answer("/api/v1/scene", 401, None, "null");
    bench.wait(1_000);
    bench.answer("/api/v1/auth/refresh", 401, None, "null");
    bench.give("/api/v1/auth/login", 3);
    bench.answer("/api/v1/scene", 304, None, "null");
    bench.welcome("v1");
    assert_eq!(bench.state(), LinkState::Live);
}

#[test]
fn unreadable_bytes_lose_the_link_instead_of_stopping_the_client() {
    let mut bench = Bench::stored();
    bench.go_live();
    let stream = bench.stream();
    bench.feed(WireEvent::Message { stream, bytes: vec![0xff; 32] });
    assert!(matches!(bench.state(), LinkState::Lost { .. }));
}

#[test]
fn stream_messages_are_passed_on_and_pongs_measured() {
    let mut bench = Bench::stored();
    bench.go_live();
    let update = CommandUpdate {
        command_id: "c1".parse().unwrap(),
        device_id: "d1".parse().unwrap(),
        status: shared::command::CommandStatus::Sent,
        reason: None,
    };
    bench.say(&ServerMessage::Command(update));
    assert!(matches!(bench.events.last(), Some(NetEvent::Stream { message: ServerMessage::Command(_), .. })));
    bench.now += 42;
    bench.say(&ServerMessage::Pong(1));
    assert!(matches!(bench.events.last(), Some(NetEvent::RoundTrip { ms: 42 })));
}
