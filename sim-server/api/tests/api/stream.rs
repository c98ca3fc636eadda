//! The live stream over a real socket, in both encodings.

use crate::park::{Park, now};
use api::{Auth, AuthOptions};
use axum::http::{HeaderValue, Method, header};
use futures::{SinkExt, StreamExt};
use history::{Point, SeriesKey};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use shared::{
    command::{AckStatus, CommandAck, CommandRequest, CommandStatus, Issuer},
    id::{CommandId, DeviceId},
    stream::{
        ClientMessage, Denied, Encoding, Hello, Missed, PROTOCOL_VERSION, PointInfo, PointName, PointValue,
        RESUME_MS, RESUME_READINGS, Resume, Selector, ServerMessage, Welcome,
    },
    telemetry::{Quality, Reading},
    time::{SECOND_MS, Timestamp},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, client_async, connect_async,
    tungstenite::{self, Message, client::IntoClientRequest, protocol::CloseFrame},
};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

async fn listen(park: &Park) -> SocketAddr {
    listen_on(park, TcpListener::bind("127.0.0.1:0").await.unwrap())
}

/// What a narrow socket holds: less than what a server has to say to one who does not read.
const NARROW: u32 = 128 << 10;

/// With sockets that hold little, so that the server soon waits for one who does not read.
async fn listen_narrowly(park: &Park) -> SocketAddr {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(NARROW).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    listen_on(park, socket.listen(16).unwrap())
}

/// A park that bears slow clients for longer than a test waits.
async fn patient_park() -> Park {
    Park::with(api::ApiOptions { stream_send_within: 10 * PATIENCE, ..Default::default() }).await
}

fn listen_on(park: &Park, listener: TcpListener) -> SocketAddr {
    let address = listener.local_addr().unwrap();
    let served =
        api::serve(listener, park.router.clone(), api::ServeOptions::default(), park.shutdown.clone());
    tokio::spawn(served);
    address
}

struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    encoding: Encoding,
}

impl Client {
    async fn connect(address: SocketAddr, encoding: Encoding) -> Client {
        Client::connect_by(TcpStream::connect(address).await.unwrap(), encoding).await
    }

    /// By a socket that holds little of what is not read.
    async fn connect_narrowly(address: SocketAddr, encoding: Encoding) -> Client {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(NARROW).unwrap();
        Client::connect_by(socket.connect(address).await.unwrap(), encoding).await
    }

    async fn connect_by(stream: TcpStream, encoding: Encoding) -> Client {
        let address = stream.peer_addr().unwrap();
        let mut request = format!("ws://{address}/api/v1/stream").into_client_request().unwrap();
        let protocol = HeaderValue::from_static(encoding.subprotocol());
        request.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        let (socket, response) = client_async(request, MaybeTlsStream::Plain(stream)).await.unwrap();
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], encoding.subprotocol());
        Client { socket, encoding }
    }

    async fn say<T: Serialize>(&mut self, message: &T) {
        let bytes = self.encoding.encode(message).unwrap();
        let frame = match self.encoding {
            Encoding::Postcard => Message::binary(bytes),
            Encoding::Json => Message::text(String::from_utf8(bytes).unwrap()),
        };
        self.socket.send(frame).await.unwrap();
    }

    async fn frame(&mut self) -> Message {
        loop {
            let frame = tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a message in time");
            match frame.expect("an open socket").unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                other => return other,
            }
        }
    }

    async fn hear<T: DeserializeOwned>(&mut self) -> T {
        let frame = self.frame().await;
        match (&frame, self.encoding) {
            (Message::Binary(_), Encoding::Postcard) | (Message::Text(_), Encoding::Json) => {}
            other => panic!("{other:?}"),
        }
        self.encoding.decode(&frame.into_data()).unwrap()
    }

    async fn hello(&mut self, token: &str) -> Welcome {
        self.say(&Hello { version: PROTOCOL_VERSION, token: token.into() }).await;
        self.hear().await
    }

    /// The first server message that `wanted` picks something from.
    async fn until<T>(&mut self, mut wanted: impl FnMut(ServerMessage) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.hear().await) {
                return found;
            }
        }
    }

    /// The same, unless the server's clock says first that all it had to say by now has been said.
    async fn until_now<T>(&mut self, mut wanted: impl FnMut(ServerMessage) -> Option<T>) -> Option<T> {
        let asked = now();
        self.until(|message| match message {
            ServerMessage::Tick(at) if at.since(asked) > SECOND_MS => Some(None),
            message => wanted(message).map(Some),
        })
        .await
    }

    /// Asks for so much that the answer does not fit into the sockets, and reads none of it but its beginning.
    async fn get_stuck(&mut self, selector: Selector) {
        subscribed(self, selector).await;
    }

    async fn closed(&mut self) -> Option<CloseFrame> {
        loop {
            match tokio::time::timeout(PATIENCE, self.socket.next()).await.expect("a close in time") {
                Some(Ok(Message::Close(frame))) => return frame,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

fn values(message: ServerMessage) -> Option<Vec<PointValue>> {
    match message {
        ServerMessage::Values(values) => Some(values),
        _ => None,
    }
}

async fn subscribed(client: &mut Client, selector: Selector) -> Vec<String> {
    client.say(&ClientMessage::Subscribe(selector)).await;
    let infos = client
        .until(|message| match message {
            ServerMessage::Subscribed(infos) => Some(infos),
            _ => None,
        })
        .await;
    infos.iter().map(|info| format!("{}/{}", info.name.device, info.name.measurement)).collect()
}

#[tokio::test]
async fn a_client_hears_everything_once_and_then_what_changes_in_both_encodings() {
    let park = Park::open().await;
    park.report("bess-1", now(), json!({ "power": 1.5, "soc": 50.0 })).await;
    let token = park.token("viewer").await;
    let address = listen(&park).await;
    for (encoding, before, after) in [(Encoding::Postcard, 50.0, 51.0), (Encoding::Json, 51.0, 52.0)] {
        let mut client = Client::connect(address, encoding).await;
        let Welcome::Accepted { version, server_time, scene_etag } = client.hello(&token).await else {
            panic!("denied")
        };
        assert_eq!(version, PROTOCOL_VERSION);
        assert!(now().since(server_time).abs() < 60_000);
        let scene = park.get("/api/v1/scene", &token).await;
        assert!(scene.headers[header::ETAG].to_str().unwrap().contains(&scene_etag));

        let points = subscribed(&mut client, Selector::All).await;
        assert_eq!(points, ["bess-1/power", "bess-1/soc", "bess-1/temperature", "grid/power"]);
        let snapshot = client.until(values).await;
        let soc = snapshot.iter().find(|v| v.point == 1).unwrap();
        assert_eq!((soc.value, soc.quality), (before, Quality::Good));

        let (mut presence, mut energy, mut plan, mut alarms) = (false, false, false, false);
        while !(presence && energy && plan && alarms) {
            match client.hear::<ServerMessage>().await {
                ServerMessage::Presence(all) => presence = all.len() == 2,
                ServerMessage::Energy(_) => energy = true,
                ServerMessage::Plan(_) => plan = true,
                ServerMessage::Alarms(_) => alarms = true,
                _ => {}
            }
        }

        park.report("bess-1", now(), json!({ "soc": after })).await;
        let changed = client.until(values).await;
        assert_eq!(changed.iter().map(|v| (v.point, v.value)).collect::<Vec<_>>(), [(1, after)]);

        client.say(&ClientMessage::Ping(77)).await;
        client.until(|message| (message == ServerMessage::Pong(77)).then_some(())).await;
        client.until(|message| matches!(message, ServerMessage::Tick(_)).then_some(())).await;
    }
}

#[tokio::test]
async fn a_subscription_can_be_replaced_and_unknown_names_are_left_out() {
    let park = Park::open().await;
    park.report("grid", now(), json!({ "power": 9.0 })).await;
    let token = park.token("viewer").await;
    let mut client = Client::connect(listen(&park).await, Encoding::Json).await;
    client.hello(&token).await;
    let one = Selector::Devices(vec!["grid".parse().unwrap(), "none".parse().unwrap()]);
    assert_eq!(subscribed(&mut client, one).await, ["grid/power"]);
    assert_eq!(client.until(values).await.len(), 1);
    let point = PointName { device: "bess-1".parse().unwrap(), measurement: "soc".parse().unwrap() };
    assert_eq!(subscribed(&mut client, Selector::Points(vec![point])).await, ["bess-1/soc"]);
    assert_eq!(client.until(values).await, []);
    park.report("grid", now(), json!({ "power": 10.0 })).await;
    park.report("bess-1", now(), json!({ "soc": 33.0 })).await;
    let changed = client.until(values).await;
    assert_eq!(changed.iter().map(|v| (v.point, v.value)).collect::<Vec<_>>(), [(0, 33.0)]);
}

#[tokio::test]
async fn points_are_selected_as_in_questions_about_the_past() {
    let park = Park::open().await;
    let token = park.token("viewer").await;
    let mut client = Client::connect(listen(&park).await, Encoding::Postcard).await;
    client.hello(&token).await;
    let storage = Selector::Matching("type=storage;measurement=soc".parse().unwrap());
    assert_eq!(subscribed(&mut client, storage).await, ["bess-1/soc"]);
    let grid = Selector::Matching("group=grid".parse().unwrap());
    assert_eq!(subscribed(&mut client, grid).await, ["grid/power"]);
}

/// What a resumed stream tells of the time away, and which time that is.
async fn resumed(
    client: &mut Client,
    selector: Selector,
    after: Timestamp,
) -> (Vec<Missed>, Timestamp, Timestamp) {
    client.say(&ClientMessage::Resume(Resume { selector, after })).await;
    let mut missed = Vec::new();
    client
        .until(|message| match message {
            ServerMessage::Missed(some) => {
                missed.extend(some);
                None
            }
            ServerMessage::Resumed { from, to } => Some((std::mem::take(&mut missed), from, to)),
            ServerMessage::Values(_) => panic!("live values before what was missed"),
            _ => None,
        })
        .await
}

#[tokio::test]
async fn one_who_was_away_is_told_what_came_meanwhile_and_then_goes_on() {
    let park = Park::open().await;
    let address = listen(&park).await;
    let token = park.token("viewer").await;
    let left = Timestamp(now().0 - 60_000);
    park.report("grid", left, json!({ "power": 1.0 })).await;
    for second in 1..=5_i64 {
        park.report("grid", Timestamp(left.0 + second * 1_000), json!({ "power": second * 10 })).await;
    }
    let mut client = Client::connect(address, Encoding::Json).await;
    client.hello(&token).await;
    let (missed, from, to) = resumed(&mut client, Selector::All, left).await;
    assert_eq!(from, left);
    assert!(to >= Timestamp(left.0 + 60_000), "{to:?}");
    let [grid] = missed.as_slice() else { panic!("{missed:?}") };
    let told: Vec<f64> = grid.readings.iter().map(|reading| reading.value).collect();
    assert_eq!((told, grid.thinned), (vec![10.0, 20.0, 30.0, 40.0, 50.0], false));
    let newest = client.until(values).await;
    assert_eq!(newest.iter().map(|v| (v.point, v.value)).collect::<Vec<_>>(), [(grid.point, 50.0)]);
    park.report("grid", now(), json!({ "power": 7.0 })).await;
    let changed = client.until(values).await;
    assert_eq!(changed.iter().map(|v| (v.point, v.value)).collect::<Vec<_>>(), [(grid.point, 7.0)]);
    assert_eq!(resumed(&mut client, Selector::All, Timestamp(now().0 + 5)).await.0, []);
}

#[tokio::test]
async fn a_long_absence_is_thinned_with_its_peaks_and_a_longer_one_is_cut() {
    let park = Park::open().await;
    let token = park.token("viewer").await;
    let end = now();
    let readings = 3 * RESUME_READINGS as i64;
    for at in 0..readings {
        let value = if at == 1_234 { 9_000.0 } else { (at % 7) as f64 };
        park.report("grid", Timestamp(end.0 - (readings - at) * 1_000), json!({ "power": value })).await;
    }
    let mut client = Client::connect(listen(&park).await, Encoding::Postcard).await;
    client.hello(&token).await;
    let long_ago = Timestamp(end.0 - 30 * RESUME_MS);
    let (missed, from, to) = resumed(&mut client, Selector::All, long_ago).await;
    assert_eq!(to.0 - from.0, RESUME_MS);
    let [grid] = missed.as_slice() else { panic!("{} points", missed.len()) };
    assert!(grid.thinned && grid.readings.len() <= RESUME_READINGS, "{}", grid.readings.len());
    assert!(grid.readings.iter().any(|reading| reading.value == 9_000.0), "the peak is lost");
    assert!(grid.readings.is_sorted_by(|a, b| a.timestamp < b.timestamp));
}

/// Something a device measured, and when that was acknowledged.
struct Said {
    device: DeviceId,
    at: i64,
    acknowledged: Timestamp,
    /// Something later was stored before it.
    is_late: bool,
}

const BATTERY: [&str; 3] = ["power", "soc", "temperature"];

/// Has a device report all its measurements at some instants, in one payload.
async fn say(park: &Park, device: &DeviceId, instants: &[(i64, bool)], said: &mut Vec<Said>) {
    let items: Vec<Value> = instants
        .iter()
        .map(|(at, _)| {
            let data = json!({ "power": 1.0, "soc": 50.0, "temperature": 20.0 });
            json!({ "deviceId": device, "timestamp": at, "data": data })
        })
        .collect();
    let sender = twin::Sender::Device(device.clone());
    for item in park.twin.ingest(&sender, json!(items).to_string().as_bytes(), now()).await.unwrap() {
        item.result.unwrap();
    }
    let acknowledged = now();
    said.extend(instants.iter().map(|&(at, is_late)| Said {
        device: device.clone(),
        at,
        acknowledged,
        is_late,
    }));
}

#[tokio::test]
async fn what_comes_while_the_past_is_told_is_told_too_also_when_it_comes_late() {
    const DEVICES: usize = 66;
    const PAST: i64 = 400;
    let park = Arc::new(patient_park().await);
    let (viewer, admin) = (park.token("viewer").await, park.token("admin").await);
    let mut devices: Vec<DeviceId> = Vec::new();
    for number in 0..DEVICES {
        let id = format!("battery-{number}");
        let registration = json!({ "deviceId": id, "model": "battery", "name": id });
        park.post("/api/v1/devices", &admin, registration).await.data();
        devices.push(id.parse().unwrap());
    }
    let left = Timestamp(now().0 - 2 * PAST * SECOND_MS);
    let past = move |second: i64| left.0 + second * SECOND_MS;
    let mut points = Vec::new();
    for device in &devices {
        for measurement in BATTERY {
            let series = SeriesKey { device: device.clone(), measurement: measurement.parse().unwrap() };
            points.extend((1..=PAST).map(|second| {
                let timestamp = Timestamp(past(second));
                Point {
                    series: series.clone(),
                    reading: Reading { value: 0.5, timestamp, quality: Quality::Good },
                }
            }));
        }
    }
    park.history.append(points).await.unwrap();

    let mut client = Client::connect_narrowly(listen_narrowly(&park).await, Encoding::Json).await;
    client.hello(&viewer).await;
    client.say(&ClientMessage::Resume(Resume { selector: Selector::All, after: left })).await;
    let infos: Vec<PointInfo> = client
        .until(|message| match message {
            ServerMessage::Subscribed(infos) => Some(infos),
            _ => None,
        })
        .await;
    let missed = |message| match message {
        ServerMessage::Missed(missed) => Some(missed),
        _ => None,
    };
    let mut told = client.until(missed).await;
    // More of the past than the sockets hold is still to come, so that the server waits for us while all this is stored.
    let mut said = Vec::new();
    let mut last = now().0;
    for device in &devices {
        last = now().0.max(last + 1);
        let instants = [(last, false), (last + 1, false), (past(PAST / 2) + 1, true), (last + 2, false)];
        say(&park, device, &instants, &mut said).await;
        last += 2;
    }
    let certain = said.len();

    // More comes all the while, until live values do.
    let stop = CancellationToken::new();
    let traffic = tokio::spawn({
        let (park, devices, stop) = (Arc::clone(&park), devices.clone(), stop.clone());
        async move {
            let mut rounds = 0;
            while !stop.is_cancelled() {
                rounds += 1;
                for device in &devices {
                    last = now().0.max(last + 1);
                    let late = past(1 + rounds % (PAST - 1)) + 2 + rounds / PAST;
                    say(&park, device, &[(last, false), (late, true)], &mut said).await;
                }
            }
            said
        }
    });
    let to = client
        .until(|message| match message {
            ServerMessage::Missed(some) => {
                told.extend(some);
                None
            }
            ServerMessage::Resumed { from, to } => {
                assert_eq!(from, left);
                Some(to)
            }
            ServerMessage::Values(_) => panic!("live values before what was missed"),
            _ => None,
        })
        .await;
    let snapshot = client.until(values).await;
    stop.cancel();
    let said = traffic.await.unwrap();

    let mut known: BTreeMap<(&str, &str), BTreeSet<i64>> = BTreeMap::new();
    let name = |point: u32| {
        let PointName { device, measurement } = &infos[point as usize].name;
        (device.as_str(), measurement.as_str())
    };
    for some in &told {
        assert!(!some.thinned);
        known.entry(name(some.point)).or_default().extend(some.readings.iter().map(|r| r.timestamp.0));
    }
    let mut newest: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for value in &snapshot {
        known.entry(name(value.point)).or_default().insert(value.timestamp.0);
        newest.insert(name(value.point), value.timestamp.0);
    }
    for device in &devices {
        for measurement in BATTERY {
            let known = &known[&(device.as_str(), measurement)];
            assert!((1..=PAST).all(|second| known.contains(&past(second))), "{device} {measurement}");
        }
    }
    assert!(
        said[..certain].iter().all(|said| said.acknowledged < to),
        "the past was told before all was stored"
    );
    for Said { device, at, acknowledged, is_late } in &said {
        for measurement in BATTERY {
            let point = (device.as_str(), measurement);
            let is_before_live = *acknowledged < to || (!is_late && *at <= newest[&point]);
            assert!(
                !is_before_live || known[&point].contains(at),
                "{point:?} at {at} is missing, late: {is_late}"
            );
        }
    }
}

#[tokio::test]
async fn one_who_was_away_is_told_what_a_device_with_a_fast_clock_said() {
    let park = Park::open().await;
    let left = now();
    let instants: Vec<i64> = (60..65).map(|second| left.0 + second * SECOND_MS).collect();
    for at in &instants {
        park.report("grid", Timestamp(*at), json!({ "power": 1.0 })).await;
    }
    let token = park.token("viewer").await;
    let mut client = Client::connect(listen(&park).await, Encoding::Postcard).await;
    client.hello(&token).await;
    let (missed, ..) = resumed(&mut client, Selector::All, left).await;
    let [grid] = missed.as_slice() else { panic!("{missed:?}") };
    assert_eq!(grid.readings.iter().map(|reading| reading.timestamp.0).collect::<Vec<_>>(), instants);
}

#[tokio::test]
async fn alarms_commands_presence_and_new_devices_arrive_by_themselves() {
    let park = Park::open().await;
    let operator = park.token("operator").await;
    let mut client = Client::connect(listen(&park).await, Encoding::Postcard).await;
    client.hello(&operator).await;
    assert_eq!(subscribed(&mut client, Selector::All).await.len(), 4);
    // The subscription has been answered in full once the alarms came.
    client.until(|m| matches!(m, ServerMessage::Alarms(all) if all.is_empty()).then_some(())).await;

    let text = shared::text::Text::new("磁盘将满", "disk nearly full");
    park.twin.park_alarm(shared::alarm::AlarmKind::DiskLow, Some((text, None)), now()).await;
    client
        .until(|m| matches!(m, ServerMessage::AlarmsChanged(changed) if changed.len() == 1).then_some(()))
        .await;

    let command = json!({
        "deviceId": "bess-1", "commandId": "c-1", "command": "setPower", "parameters": { "power": 5.0 },
    });
    park.post("/api/v1/device/control", &operator, command).await.data();
    let update = client
        .until(|m| match m {
            ServerMessage::Command(update) => Some(update),
            _ => None,
        })
        .await;
    assert_eq!(update.command_id.as_str(), "c-1");

    park.report("grid", now(), json!({ "power": 1.0 })).await;
    client
        .until(|m| match m {
            ServerMessage::Presence(all) => {
                all.iter().any(|p| p.device.as_str() == "grid" && p.online).then_some(())
            }
            _ => None,
        })
        .await;

    let registration = json!({ "deviceId": "bess-2", "model": "battery", "name": "two" });
    park.post("/api/v1/devices", &park.token("admin").await, registration).await.data();
    client
        .until(|m| match m {
            ServerMessage::Subscribed(infos) => (infos.len() == 7).then_some(()),
            _ => None,
        })
        .await;
    park.report("bess-2", now(), json!({ "soc": 12.0 })).await;
    client.until(|m| values(m)?.iter().any(|v| v.value == 12.0).then_some(())).await;
}

#[tokio::test]
async fn who_may_not_listen_is_told_why() {
    let park = Park::open().await;
    let token = park.token("viewer").await;
    let address = listen(&park).await;
    for (version, token, denied) in
        [(PROTOCOL_VERSION, "forged", Denied::Token), (PROTOCOL_VERSION + 1, token.as_str(), Denied::Version)]
    {
        let mut client = Client::connect(address, Encoding::Json).await;
        client.say(&Hello { version, token: token.into() }).await;
        assert_eq!(client.hear::<Welcome>().await, Welcome::Denied(denied));
        assert_eq!(client.closed().await.unwrap().code, 1008.into());
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_makes_no_wall_token_a_bad_one() {
    let park = Park::open().await;
    let (_, wall) = park.wall_token().await;
    let token = park.token("viewer").await;
    let address = listen(&park).await;
    let mut live = Client::connect(address, Encoding::Postcard).await;
    live.hello(&wall).await;
    park.records.close().await;
    let mut later = Client::connect(address, Encoding::Json).await;
    assert_eq!(later.hello(&wall).await, Welcome::Denied(Denied::Unavailable));
    assert_eq!(later.closed().await.unwrap().code, 1013.into());
    // One that is live stays so, even when it shows its token again; people's tokens need no store.
    live.say(&ClientMessage::Renew(wall)).await;
    live.say(&ClientMessage::Ping(5)).await;
    live.until(|m| (m == ServerMessage::Pong(5)).then_some(())).await;
    let mut person = Client::connect(address, Encoding::Json).await;
    assert!(matches!(person.hello(&token).await, Welcome::Accepted { .. }));
}

/// A clock that tests of tokens move; it stands still otherwise.
static TOKEN_CLOCK: AtomicI64 = AtomicI64::new(1_780_000_000_000);

fn token_clock() -> Timestamp {
    Timestamp(TOKEN_CLOCK.load(Ordering::Relaxed))
}

#[tokio::test]
async fn a_stream_outlives_its_token_when_it_is_shown_the_next() {
    let options = AuthOptions { access_lifetime_ms: 20_000, ..AuthOptions::default() };
    let park = Park::timed(Auth::with_options(&[42; 32], options), token_clock).await;
    let address = listen(&park).await;
    let first = park.token("viewer").await;
    let (mut renewed, mut forgotten) =
        (Client::connect(address, Encoding::Postcard).await, Client::connect(address, Encoding::Json).await);
    for client in [&mut renewed, &mut forgotten] {
        assert!(matches!(client.hello(&first).await, Welcome::Accepted { .. }));
    }
    TOKEN_CLOCK.fetch_add(15_000, Ordering::Relaxed);
    let second = park.token("viewer").await;
    renewed.say(&ClientMessage::Renew(second)).await;
    renewed.say(&ClientMessage::Ping(1)).await;
    renewed.until(|m| (m == ServerMessage::Pong(1)).then_some(())).await;
    TOKEN_CLOCK.fetch_add(10_000, Ordering::Relaxed);
    assert_eq!(forgotten.closed().await.unwrap().code, 4001.into());
    let now = token_clock();
    renewed.until(|m| (m == ServerMessage::Tick(now)).then_some(())).await;
    renewed.say(&ClientMessage::Ping(2)).await;
    renewed.until(|m| (m == ServerMessage::Pong(2)).then_some(())).await;
    // The second one expires too.
    TOKEN_CLOCK.fetch_add(15_000, Ordering::Relaxed);
    assert_eq!(renewed.closed().await.unwrap().code, 4001.into());
}

#[tokio::test]
async fn a_stream_that_shows_a_bad_token_or_someone_elses_ends() {
    let park = Park::open().await;
    let address = listen(&park).await;
    let token = park.token("viewer").await;
    for next in ["forged".to_owned(), park.token("operator").await] {
        let mut client = Client::connect(address, Encoding::Json).await;
        client.hello(&token).await;
        client.say(&ClientMessage::Renew(next)).await;
        assert_eq!(client.closed().await.unwrap().code, 4001.into());
    }
}

#[tokio::test]
async fn nonsense_ends_the_stream_with_a_reason() {
    let park = Park::open().await;
    let token = park.token("viewer").await;
    let address = listen(&park).await;
    let mut before_hello = Client::connect(address, Encoding::Json).await;
    before_hello.socket.send(Message::text("hello?")).await.unwrap();
    assert_eq!(before_hello.closed().await.unwrap().code, 1007.into());
    let mut after = Client::connect(address, Encoding::Postcard).await;
    after.hello(&token).await;
    after.socket.send(Message::binary(vec![0xff; 10])).await.unwrap();
    assert_eq!(after.closed().await.unwrap().code, 1007.into());
    // Others are not harmed.
    let mut other = Client::connect(address, Encoding::Json).await;
    assert!(matches!(other.hello(&token).await, Welcome::Accepted { .. }));
}

#[tokio::test]
async fn a_stream_without_a_sub_protocol_of_ours_is_refused() {
    let park = Park::open().await;
    let address = listen(&park).await;
    let request = format!("ws://{address}/api/v1/stream").into_client_request().unwrap();
    let Err(tungstenite::Error::Http(response)) = connect_async(request).await else { panic!("accepted") };
    assert_eq!(response.status(), 400);
    let body: Value = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
    assert_eq!(body["code"], "UNKNOWN_SUBPROTOCOL");
    assert_eq!(body["traceId"], response.headers()["x-trace-id"].to_str().unwrap());
}

#[tokio::test]
async fn a_user_who_is_changed_loses_the_stream() {
    let park = Park::open().await;
    let token = park.token("viewer").await;
    let admin = park.token("admin").await;
    let mut client = Client::connect(listen(&park).await, Encoding::Json).await;
    client.hello(&token).await;
    subscribed(&mut client, Selector::All).await;
    let gone = park.call(Method::DELETE, "/api/v1/users/viewer", Some(&admin), "").await;
    assert_eq!(gone.status, 200);
    assert_eq!(client.closed().await.unwrap().code, 4001.into());
}

#[tokio::test]
async fn a_stopping_server_says_goodbye() {
    let park = Park::open().await;
    let (_, wall) = park.wall_token().await;
    let mut client = Client::connect(listen(&park).await, Encoding::Json).await;
    assert!(matches!(client.hello(&wall).await, Welcome::Accepted { .. }));
    park.shutdown.cancel();
    assert_eq!(client.closed().await.unwrap().code, 1001.into());
}

/// So often that the values do not fit into narrow sockets.
const OVER_AND_OVER: usize = 40_000;

fn grid_over_and_over() -> Vec<DeviceId> {
    vec!["grid".parse().unwrap(); OVER_AND_OVER]
}

#[tokio::test]
async fn one_who_does_not_read_makes_no_other_wait() {
    let park = patient_park().await;
    park.report("grid", now(), json!({ "power": 0.25 })).await;
    let token = park.token("viewer").await;
    let address = listen_narrowly(&park).await;
    let mut stuck = Client::connect_narrowly(address, Encoding::Json).await;
    stuck.hello(&token).await;
    stuck.get_stuck(Selector::Devices(grid_over_and_over())).await;
    let mut live = Client::connect(address, Encoding::Postcard).await;
    live.hello(&token).await;
    assert_eq!(subscribed(&mut live, Selector::All).await.len(), 4);
    for round in 0..50 {
        let value = f64::from(round) + 0.5;
        park.report("grid", now(), json!({ "power": value })).await;
        live.until(|m| values(m)?.iter().any(|v| v.value == value).then_some(())).await;
    }
    // What was on its way to the other when it stopped reading, and then at once the newest: it was stuck all the while.
    let mut heard = Vec::new();
    while heard.last() != Some(&49.5) {
        let some = stuck.until(values).await;
        assert_eq!(some.len(), OVER_AND_OVER);
        heard.push(some[0].value);
    }
    assert_eq!(heard, [0.25, 49.5]);
}

fn set_power(device: &str, id: &str) -> CommandRequest {
    CommandRequest {
        device_id: device.parse().unwrap(),
        command_id: id.parse().unwrap(),
        command: "setPower".into(),
        parameters: [("power".to_owned(), json!(5.0))].into_iter().collect(),
        timestamp: now(),
        expires: None,
    }
}

/// What a client knows of commands once it has heard all there is to hear by now.
async fn known_commands(client: &mut Client) -> BTreeMap<CommandId, CommandStatus> {
    let mut known = BTreeMap::new();
    client
        .until_now(|message| {
            if let ServerMessage::Command(update) = message {
                known.insert(update.command_id, update.status);
            }
            None::<()>
        })
        .await;
    known
}

#[tokio::test]
async fn one_who_was_stuck_hears_what_became_of_every_command() {
    let park = patient_park().await;
    park.report("grid", now(), json!({ "power": 1.0 })).await;
    let token = park.token("viewer").await;
    let mut client = Client::connect_narrowly(listen_narrowly(&park).await, Encoding::Json).await;
    client.hello(&token).await;
    subscribed(&mut client, Selector::All).await;
    client.until(|m| matches!(m, ServerMessage::Alarms(_)).then_some(())).await;
    client.get_stuck(Selector::Devices(grid_over_and_over())).await;
    // Three changes each: more than are kept for one who does not take them.
    let mut ended = BTreeMap::new();
    for number in 0..400 {
        let request = set_power("bess-1", &format!("c-{number}"));
        let (device_id, command_id) = (request.device_id.clone(), request.command_id.clone());
        let issuer = Issuer::User { name: "operator".into() };
        park.twin.submit(request, issuer, now()).await.unwrap();
        park.twin.command_sent(&command_id, now()).await;
        let status = if number % 2 == 0 { AckStatus::Done } else { AckStatus::Rejected };
        let ack = CommandAck { device_id: device_id.clone(), command_id, status, reason: None, result: None };
        let record = park.twin.acknowledge(&twin::Sender::Device(device_id), ack, now()).await.unwrap();
        ended.insert(record.request.command_id, record.status);
    }
    assert!(ended.values().all(|status| status.is_final()));
    assert_eq!(known_commands(&mut client).await, ended);
}

#[tokio::test]
async fn commands_that_change_faster_than_anyone_listens_are_told_as_they_are() {
    let park = Park::open().await;
    let (viewer, admin) = (park.token("viewer").await, park.token("admin").await);
    let mut client = Client::connect(listen(&park).await, Encoding::Postcard).await;
    client.hello(&viewer).await;
    subscribed(&mut client, Selector::All).await;
    let mut sent = BTreeMap::new();
    for device in 0..12 {
        let device = format!("battery-{device}");
        let registration = json!({ "deviceId": device, "model": "battery", "name": device });
        park.post("/api/v1/devices", &admin, registration).await.data();
        for number in 0..100 {
            let request = set_power(&device, &format!("{device}-{number}"));
            sent.insert(request.command_id.clone(), CommandStatus::Sent);
            park.twin.submit(request, Issuer::User { name: "operator".into() }, now()).await.unwrap();
        }
    }
    // Nothing here is waited for, so nobody has a turn to listen.
    for command in sent.keys() {
        park.twin.command_sent(command, now()).await;
    }
    assert_eq!(known_commands(&mut client).await, sent);
}

#[tokio::test]
async fn what_changes_while_the_first_answer_is_on_its_way_is_told_after_it() {
    let park = patient_park().await;
    park.report("grid", now(), json!({ "power": 1.0 })).await;
    let (viewer, admin) = (park.token("viewer").await, park.token("admin").await);
    let mut client = Client::connect_narrowly(listen_narrowly(&park).await, Encoding::Json).await;
    client.hello(&viewer).await;
    let mut devices = grid_over_and_over();
    devices.push("bess-2".parse().unwrap());
    client.get_stuck(Selector::Devices(devices)).await;
    let registration = json!({ "deviceId": "bess-2", "model": "battery", "name": "two" });
    park.post("/api/v1/devices", &admin, registration).await.data();
    let points = client
        .until_now(|m| match m {
            ServerMessage::Subscribed(infos) => Some(infos.len()),
            _ => None,
        })
        .await;
    assert_eq!(points, Some(OVER_AND_OVER + BATTERY.len()));
}

#[tokio::test]
async fn there_are_no_more_streams_than_are_served() {
    let options = api::ApiOptions { stream_clients: 1, ..api::ApiOptions::default() };
    let park = Park::with(options).await;
    let token = park.token("viewer").await;
    let address = listen(&park).await;
    let mut first = Client::connect(address, Encoding::Json).await;
    first.hello(&token).await;
    let mut request = format!("ws://{address}/api/v1/stream").into_client_request().unwrap();
    request
        .headers_mut()
        .insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(Encoding::Json.subprotocol()));
    let Err(tungstenite::Error::Http(response)) = connect_async(request).await else { panic!("accepted") };
    assert_eq!((response.status().as_u16(), response.headers().contains_key("retry-after")), (503, true));
}

#[tokio::test]
async fn one_who_never_reads_is_dropped() {
    let options = api::ApiOptions { stream_send_within: Duration::from_millis(100), ..Default::default() };
    let park = Park::with(options).await;
    let token = park.token("viewer").await;
    let mut client = Client::connect(listen(&park).await, Encoding::Json).await;
    client.hello(&token).await;
    let subscribe = Encoding::Json.encode(&ClientMessage::Subscribe(Selector::All)).unwrap();
    let subscribe = Message::text(String::from_utf8(subscribe).unwrap());
    // Every one is answered, until the answers fill all buffers between us.
    let flood = async { while client.socket.send(subscribe.clone()).await.is_ok() {} };
    tokio::time::timeout(PATIENCE, flood).await.expect("the server lets go of us");
}

#[tokio::test]
async fn a_revoked_wall_goes_dark() {
    let park = Park::open().await;
    let admin = park.token("admin").await;
    let (id, wall) = park.wall_token().await;
    let mut client = Client::connect(listen(&park).await, Encoding::Postcard).await;
    assert!(matches!(client.hello(&wall).await, Welcome::Accepted { .. }));
    let path = format!("/api/v1/wall-tokens/{id}");
    assert_eq!(park.call(Method::DELETE, &path, Some(&admin), "").await.status, 200);
    assert_eq!(client.closed().await.unwrap().code, 4001.into());
}
