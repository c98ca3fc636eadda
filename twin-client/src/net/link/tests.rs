//! The link against a made-up server: every answer is given by hand.

use super::*;
use crate::net::rest::HttpRequest;
use shared::stream::CommandUpdate;
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
        bench.link.start(&mut |e| bench.events.push(e));
        bench
    }

    fn user() -> Self {
        Self::new(Credentials::User { name: "admin".into(), password: "secret".into() })
    }

    fn feed(&mut self, event: WireEvent) {
        self.link.handle(event, Timestamp(self.now), &mut |e| self.events.push(e));
    }

    fn wait(&mut self, ms: i64) {
        self.now += ms;
        self.link.tick(Timestamp(self.now), &mut |e| self.events.push(e));
    }

    /// Answers the oldest unanswered request to `path` and forgets it.
    fn answer(&mut self, path: &str, status: u16, etag: Option<&str>, data: &str) {
        let id = {
            let mut seen = self.fake.0.lock().unwrap();
            let at = seen.requests.iter().position(|(_, r)| r.path.starts_with(path));
            let at = at.unwrap_or_else(|| panic!("nobody asked for {path}: {:?}", seen.requests));
            seen.requests.remove(at).0
        };
        let body = format!(r#"{{"code":"X","message":"said so","data":{data}}}"#).into_bytes();
        let response = HttpResponse { status, etag: etag.map(str::to_owned), body };
        self.feed(WireEvent::Response { id, result: Ok(response) });
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
        self.answer("/api/v1/auth/login", 200, None, r#"{"accessToken":"a1","refreshToken":"r1"}"#);
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
    let mut bench = Bench::user();
    assert_eq!(bench.state(), LinkState::LoggingIn);
    bench.go_live();
    let sent = bench.fake.0.lock().unwrap().sent.clone();
    let hello: Hello = Encoding::Postcard.decode(&sent[0]).unwrap();
    assert_eq!(hello.token, "a1");
    let subscribe: ClientMessage = Encoding::Postcard.decode(&sent[1]).unwrap();
    assert_eq!(subscribe, ClientMessage::Subscribe(Selector::All));
    assert!(bench.asked("/api/v1/energy/curve") && bench.asked("/api/v1/vpp/plan"));
    assert!(bench.events.iter().any(|e| matches!(e, NetEvent::Scene { etag, .. } if etag == "v1")));
}

#[test]
fn without_credentials_it_waits_for_a_person() {
    let mut bench = Bench::new(Credentials::None);
    assert_eq!(bench.state(), LinkState::NeedsLogin);
    let login = NetCommand::Login { user: "u".into(), password: "p".into() };
    bench.link.command(login, Timestamp(bench.now), &mut |e| bench.events.push(e));
    bench.go_live();
}

#[test]
fn a_wrong_password_is_told_and_not_tried_again() {
    let mut bench = Bench::user();
    bench.answer("/api/v1/auth/login", 401, None, "null");
    assert!(matches!(bench.state(), LinkState::Refused { reason } if reason.contains("said so")));
    bench.wait(60_000);
    assert!(!bench.asked("/api/v1/auth/login"));
}

#[test]
fn three_silent_seconds_are_a_lost_link_that_mends_itself() {
    let mut bench = Bench::user();
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
    let id = {
        let mut seen = bench.fake.0.lock().unwrap();
        let at = seen.requests.iter().position(|(_, r)| r.path == "/api/v1/scene").unwrap();
        let (id, request) = seen.requests.remove(at);
        assert_eq!(request.if_none_match.as_deref(), Some("\"v1\""));
        id
    };
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
    let mut bench = Bench::user();
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
    let mut bench = Bench::user();
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
    let mut bench = Bench::user();
    bench.go_live();
    let alarm: shared::id::AlarmId = "al-1".parse().unwrap();
    let now = Timestamp(bench.now);
    bench.link.command(NetCommand::Acknowledge(alarm), now, &mut |e| bench.events.push(e));
    bench.answer("/api/v1/alarms/al-1", 401, None, "null");
    bench.answer("/api/v1/auth/refresh", 200, None, r#"{"accessToken":"a2","refreshToken":"r2"}"#);
    let bearer = {
        let seen = bench.fake.0.lock().unwrap();
        seen.requests.iter().find(|(_, r)| r.path.contains("al-1")).unwrap().1.bearer.clone()
    };
    assert_eq!(bearer.as_deref(), Some("a2"));
    bench.answer("/api/v1/alarms/al-1", 200, None, "null");
    assert!(
        bench
            .events
            .iter()
            .any(|e| matches!(e, NetEvent::Notice(Notice { what: Asked::Acknowledge, error: None })))
    );
    assert_eq!(bench.state(), LinkState::Live);
}

#[test]
fn a_refused_refresh_falls_back_to_the_password() {
    let mut bench = Bench::user();
    bench.go_live();
    let stream = bench.stream();
    bench.feed(WireEvent::Closed { stream, reason: "reset".into() });
    bench.wait(600);
    bench.answer("/api/v1/scene", 401, None, "null");
    bench.answer("/api/v1/auth/refresh", 401, None, "null");
    bench.answer("/api/v1/auth/login", 200, None, r#"{"accessToken":"a3"}"#);
    bench.answer("/api/v1/scene", 304, None, "null");
    bench.welcome("v1");
    assert_eq!(bench.state(), LinkState::Live);
}

#[test]
fn unreadable_bytes_lose_the_link_instead_of_stopping_the_client() {
    let mut bench = Bench::user();
    bench.go_live();
    let stream = bench.stream();
    bench.feed(WireEvent::Message { stream, bytes: vec![0xff; 32] });
    assert!(matches!(bench.state(), LinkState::Lost { .. }));
}

#[test]
fn stream_messages_are_passed_on_and_pongs_measured() {
    let mut bench = Bench::user();
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
