//! Devices over WebSocket, with a real twin behind them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod support;

use futures::{SinkExt, StreamExt};
use gateway::MqttOptions;
use serde_json::{Value, json};
use shared::command::CommandStatus;
use std::net::SocketAddr;
use support::{PATIENCE, Park, data, eventually, now};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::CloseFrame},
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn serve(park: &Park) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = gateway::device_router(park.inlets().await);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

async fn open(address: SocketAddr, authorization: &str, device: Option<&str>) -> Result<Socket, Box<Error>> {
    let mut request = format!("ws://{address}/api/v1/device/stream").into_client_request().unwrap();
    request.headers_mut().insert("authorization", authorization.parse().unwrap());
    if let Some(device) = device {
        request.headers_mut().insert("x-device-id", device.parse().unwrap());
    }
    Ok(connect_async(request).await.map_err(Box::new)?.0)
}

async fn connect(park: &Park, address: SocketAddr, device: &str) -> Socket {
    open(address, &format!("Bearer {device}:{}", park.secret(device)), None).await.unwrap()
}

async fn say(socket: &mut Socket, message: &Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// The next message that is not the protocol's own.
async fn hear(socket: &mut Socket) -> Value {
    let heard = async {
        loop {
            if let Message::Text(text) = socket.next().await.expect("a message").expect("readable") {
                return serde_json::from_str(&text).unwrap();
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("in time")
}

async fn hear_close(socket: &mut Socket) -> CloseFrame {
    let heard = async {
        loop {
            if let Message::Close(frame) = socket.next().await.expect("a message").expect("readable") {
                return frame.expect("a reason");
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("in time")
}

fn message(id: impl Into<Value>, kind: &str, payload: &str) -> Value {
    json!({ "id": id.into(), "type": kind, "payload": serde_json::from_str::<Value>(payload).unwrap() })
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_acknowledged_in_order_once_durable() {
    let park = Park::open().await;
    let address = serve(&park).await;
    let mut socket = connect(&park, address, "bess-0").await;
    let at = now();
    for n in 0..300i64 {
        let later = shared::time::Timestamp(at.0 + n);
        say(&mut socket, &message(n, "data", &data("bess-0", later, json!({ "power": n as f64 / 10.0 }))))
            .await;
    }
    for n in 0..300 {
        assert_eq!(hear(&mut socket).await, json!({ "type": "stored", "id": n }));
    }
    let readings = park.readings("bess-0", "power").await;
    assert_eq!((readings.len(), readings[299].value), (300, 29.9));
    let event = json!({
        "deviceId": "bess-0", "timestamp": at.0, "id": "e1", "type": "overheat", "severity": "major", "description": "cell 7",
    });
    say(&mut socket, &message("event", "event", &event.to_string())).await;
    assert_eq!(hear(&mut socket).await, json!({ "type": "stored", "id": "event" }));
    assert_eq!(park.twin.open_alarms().len(), 1);
    // As bytes it is the same.
    let bytes = message("b", "data", &data("bess-0", at, json!({ "soc": 5 }))).to_string().into_bytes();
    socket.send(Message::binary(bytes)).await.unwrap();
    assert_eq!(hear(&mut socket).await["id"], "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_and_the_connection_stays() {
    let park = Park::open().await;
    let address = serve(&park).await;
    let mut socket = connect(&park, address, "bess-0").await;
    let good = data("bess-0", now(), json!({ "power": 1 }));
    let two = format!("[{good},{}]", data("bess-0", now(), json!({ "powr": 1 })));
    for (text, kind, id, code, field) in [
        ("{".to_owned(), "refused", Value::Null, "MALFORMED_JSON", "line 1 column 1"),
        (r#"{"id":1}"#.to_owned(), "refused", json!(1), "MISSING_FIELD", "type"),
        (r#"{"id":"a","type":"data"}"#.to_owned(), "refused", json!("a"), "MISSING_FIELD", "payload"),
        (message("x", "data", "{}").to_string(), "refused", json!("x"), "MISSING_FIELD", "deviceId"),
        (
            message("y", "data", &data("bess-1", now(), json!({ "power": 1 }))).to_string(),
            "refused",
            json!("y"),
            "NOT_YOUR_DEVICE",
            "deviceId",
        ),
        (
            message("z", "data", &two).to_string(),
            "stored",
            json!("z"),
            "UNKNOWN_MEASUREMENT",
            "[1].data.powr",
        ),
        (
            json!({ "type": "received", "payload": { "commandId": "none" } }).to_string(),
            "refused",
            Value::Null,
            "UNKNOWN_COMMAND",
            "payload.commandId",
        ),
        (" ".repeat(2 << 20), "refused", Value::Null, "TOO_LARGE", ""),
    ] {
        let shown: String = text.chars().take(80).collect();
        socket.send(Message::text(text)).await.unwrap();
        let heard = hear(&mut socket).await;
        assert_eq!((&heard["type"], &heard["id"]), (&json!(kind), &id), "{shown}: {heard}");
        assert_eq!(
            (&heard["errors"][0]["code"], &heard["errors"][0]["field"]),
            (&json!(code), &json!(field)),
            "{shown}: {heard}"
        );
    }
    socket.send(Message::Ping("are you there".into())).await.unwrap();
    let pong = loop {
        if let Message::Pong(said) = socket.next().await.unwrap().unwrap() {
            break said;
        }
    };
    assert_eq!(pong, "are you there");
    // Without an id nothing is answered: the next answer is the next message's.
    say(&mut socket, &json!({ "type": "data", "payload": serde_json::from_str::<Value>(&good).unwrap() }))
        .await;
    say(&mut socket, &message("last", "data", &good)).await;
    assert_eq!(hear(&mut socket).await, json!({ "type": "stored", "id": "last" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_come_are_confirmed_and_answered() {
    let park = Park::open().await;
    let address = serve(&park).await;
    park.submit("bess-0", "c-1", 50.0).await;
    let mut socket = connect(&park, address, "bess-0").await;
    let command = hear(&mut socket).await;
    assert_eq!((&command["type"], &command["payload"]["commandId"]), (&json!("command"), &json!("c-1")));
    assert_eq!(command["payload"]["parameters"]["power"], 50.0);
    say(&mut socket, &json!({ "id": 1, "type": "received", "payload": { "commandId": "c-1" } })).await;
    assert_eq!(hear(&mut socket).await, json!({ "type": "stored", "id": 1 }));
    assert_eq!(park.command_status("c-1").await, CommandStatus::Sent);
    let done = json!({ "deviceId": "bess-0", "commandId": "c-1", "status": "done", "reason": null, "result": { "power": 50.0 } });
    say(&mut socket, &message(2, "ack", &done.to_string())).await;
    assert_eq!(hear(&mut socket).await, json!({ "type": "stored", "id": 2 }));
    assert_eq!(park.command_status("c-1").await, CommandStatus::Acknowledged);
    say(&mut socket, &json!({ "id": 3, "type": "desired" })).await;
    let desired = hear(&mut socket).await;
    assert_eq!((&desired["type"], &desired["id"]), (&json!("desired"), &json!(3)));
    assert_eq!(desired["payload"]["desired"]["power"]["value"], 50.0);
    park.submit("bess-0", "c-2", -20.0).await;
    assert_eq!(hear(&mut socket).await["payload"]["commandId"], "c-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_not_the_device_is_not_let_in() {
    let park = Park::open().await;
    let address = serve(&park).await;
    let secret = park.secret("bess-0");
    for (authorization, device) in [
        ("Bearer operator".to_owned(), None),
        ("Bearer bess-0:wrong".to_owned(), None),
        (format!("Bearer bess-1:{secret}"), None),
        (format!("Bearer {secret}"), Some("bess-1")),
    ] {
        match open(address, &authorization, device).await {
            Err(error) => match *error {
                Error::Http(response) => assert_eq!(response.status(), 401, "{authorization}"),
                other => panic!("{authorization}: {other}"),
            },
            Ok(_) => panic!("{authorization} was let in"),
        }
    }
    open(address, &format!("Bearer {secret}"), Some("bess-0")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_connection_takes_over_whatever_it_speaks() {
    let park = Park::open().await;
    let address = serve(&park).await;
    let (mqtt, _served) = park.serve(MqttOptions::default()).await;
    let mut first = connect(&park, address, "bess-0").await;
    // Which came first is known once it is served.
    say(&mut first, &message(1, "data", &data("bess-0", now(), json!({ "power": 1 })))).await;
    assert_eq!(hear(&mut first).await["type"], "stored");
    let mut second = connect(&park, address, "bess-0").await;
    let told = hear_close(&mut first).await;
    assert_eq!(u16::from(told.code), 4000, "{told:?}");

    let mut options = rumqttc::MqttOptions::new("over-mqtt", mqtt.ip().to_string(), mqtt.port());
    options.set_credentials("bess-0", park.secret("bess-0"));
    let (_client, mut protocol) = rumqttc::AsyncClient::new(options, 8);
    protocol.poll().await.expect("a CONNACK");
    assert_eq!(u16::from(hear_close(&mut second).await.code), 4000);

    let mut third = connect(&park, address, "bess-0").await;
    let ended = async { while protocol.poll().await.is_ok() {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("the MQTT connection ends");
    say(&mut third, &message(1, "data", &data("bess-0", now(), json!({ "power": 1 })))).await;
    assert_eq!(hear(&mut third).await["type"], "stored");

    park.twin.hang_up(&"bess-0".parse().unwrap());
    assert_eq!(u16::from(hear_close(&mut third).await.code), 4001);
    let mut fourth = connect(&park, address, "bess-1").await;
    // Heard once it is served.
    say(&mut fourth, &message(1, "data", &data("bess-1", now(), json!({ "power": 1 })))).await;
    assert_eq!(hear(&mut fourth).await["type"], "stored");
    park.shutdown.cancel();
    assert_eq!(u16::from(hear_close(&mut fourth).await.code), 1001);
    eventually("its last payload is there", async || park.readings("bess-1", "power").await.len() == 1).await;
}
