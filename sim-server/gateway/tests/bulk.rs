//! Bulk import and line protocol with a real twin behind them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod support;

use access::KeyRing;
use axum::{Router, body::Body, extract::ConnectInfo, http::Request};
use futures::channel::mpsc;
use gateway::{Inlets, PersonRefusal, Writers};
use history::{FaultDisk, History, HistoryOptions};
use records::{KeyCounts, Records};
use serde_json::{Value, json};
use shared::telemetry::Origin;
use std::{collections::HashMap, io, io::Write, net::SocketAddr, sync::Arc};
use support::{Park, eventually, now, scene};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use twin::{Twin, TwinOptions};

const IMPORT: &str = "/api/v1/telemetry/import";
const WRITE: &str = "/api/v2/write";
/// Readings of an import, and lines of line protocol, that become durable together.
const IMPORT_BATCH: i64 = 65_536;
const WRITE_BATCH: i64 = 5_000;

struct Answer {
    status: u16,
    headers: axum::http::HeaderMap,
    body: Value,
}

async fn send(router: Router, request: Request<Body>) -> Answer {
    let response = router.oneshot(request).await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    Answer { status, headers, body }
}

async fn post(park: &Park, path: &str, authorization: &str, gzip: bool, body: impl Into<Body>) -> Answer {
    let mut request = Request::post(path).header("authorization", authorization);
    if gzip {
        request = request.header("content-encoding", "gzip");
    }
    send(gateway::device_router(park.inlets().await), request.body(body.into()).unwrap()).await
}

/// The routes, with keys that are asked about afterwards.
struct Door {
    keys: KeyRing,
    router: Router,
}

impl Door {
    async fn of(park: &Park) -> Door {
        let keys = park.keys().await;
        let nobody = Arc::new(|_: &str| Err(PersonRefusal::Unauthenticated("a person".into())));
        let writers = Writers::new(park.twin.clone(), keys.clone(), nobody);
        let router = gateway::device_router(Inlets { writers, ..park.inlets().await });
        Door { keys, router }
    }

    /// A key, and what is sent with it.
    async fn key(&self, mut asked: Value) -> (String, String) {
        asked["name"] = "erp".into();
        if asked.get("rights").is_none() {
            asked["rights"] = json!({ "write": true });
        }
        let new = serde_json::from_value(asked).unwrap();
        let (view, key) = self.keys.create(new, "admin", now()).await.unwrap();
        (view.key.id, format!("Token {key}"))
    }

    async fn post(&self, path: &str, authorization: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(path).header("authorization", authorization);
        send(self.router.clone(), request.body(body.into()).unwrap()).await
    }

    async fn usage(&self, id: &str) -> KeyCounts {
        self.keys.usage(id, "2000-01-01", "2100-01-01").await.unwrap().total
    }

    async fn change(&self, id: &str, change: Value) {
        self.keys.change(id, serde_json::from_value(change).unwrap(), now()).await.unwrap();
    }
}

/// An upload that is being sent.
struct Sending {
    body: mpsc::UnboundedSender<io::Result<String>>,
    answer: JoinHandle<Answer>,
}

impl Sending {
    fn begin(door: &Door, path: &str, authorization: &str, first: String) -> Sending {
        let (body, chunks) = mpsc::unbounded();
        body.unbounded_send(Ok(first)).unwrap();
        let request = Request::post(path).header("authorization", authorization);
        let request = request.body(Body::from_stream(chunks)).unwrap();
        Sending { body, answer: tokio::spawn(send(door.router.clone(), request)) }
    }
}

fn own(park: &Park, scheme: &str, device: &str) -> String {
    format!("{scheme} {device}:{}", park.secret(device))
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

/// A line of import.
fn run(device: &str, measurement: &str, values: Value, timestamps: &[i64]) -> String {
    let metric = json!({ "__name__": measurement, "device": device, "job": "test" });
    json!({ "metric": metric, "values": values, "timestamps": timestamps }).to_string()
}

async fn stored(park: &Park, device: &str, measurement: &str) -> Vec<(i64, f64)> {
    let readings = park.readings(device, measurement).await;
    readings.into_iter().map(|reading| (reading.timestamp.0, reading.value)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn good_lines_are_stored_exactly_and_bad_ones_named() {
    let park = Park::open().await;
    let t = now().0 - 86_400_000;
    let body = [
        run("bess-0", "power", json!([0.1, -2.5e-7, 123456.789012345]), &[t, t + 1, t + 2]),
        run("bess-0", "power", json!([1, 2]), &[t + 10]),
        run("bess-1", "status", json!(["charging", 0, null, true]), &[t, t + 1, t + 2, t + 3]),
        run("bess-1", "status", json!(["charging", "dancing"]), &[t + 5, t + 6]),
        String::new(),
        run("bess-1", "soc", json!([50, 51, 140, 52]), &[t, t + 5, t + 6, t]),
        "{\"metric\":".to_owned(),
        run("bess-1", "sock", json!([1]), &[t]),
        run("ghost", "power", json!([1]), &[t]),
        run("not an id", "power", json!([1]), &[t]),
        run("bess-1", "soc", json!([1, 2]), &[t, now().0 + 86_400_000]),
        run("bess-1", "soc", json!([1]), &[12]),
        run("bess-2", "soc", json!(["1"]), &[t]),
    ];
    // The last line has no end, the others have two kinds.
    let answer = post(&park, IMPORT, "Bearer operator", false, body.join("\r\n")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let data = &answer.body["data"];
    let errors: Vec<(u64, &str, &str)> = data["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| (e["line"].as_u64().unwrap(), e["code"].as_str().unwrap(), e["field"].as_str().unwrap()))
        .collect();
    assert_eq!(
        errors,
        [
            (2, "WRONG_TYPE", "timestamps"),
            // A boolean is 1, which is no code of this state.
            (3, "UNKNOWN_STATE", "values[3]"),
            (4, "UNKNOWN_STATE", "values[1]"),
            (7, "MALFORMED_JSON", "metric"),
            (8, "UNKNOWN_MEASUREMENT", "metric.__name__"),
            (9, "UNKNOWN_DEVICE", "metric.device"),
            (10, "UNKNOWN_DEVICE", "metric.device"),
            (11, "TIMESTAMP_TOO_FAR_AHEAD", "timestamps[1]"),
            (12, "TIMESTAMP_TOO_OLD", "timestamps[0]"),
            (13, "WRONG_TYPE", "values[0]"),
        ],
        "{data}"
    );
    assert_eq!(data["lines"], json!({ "accepted": 2, "refused": 10 }));
    assert_eq!(data["points"]["accepted"], 6, "{data}");
    assert_eq!((&data["points"]["duplicates"], &data["points"]["outOfRange"]), (&json!(1), &json!(2)));
    assert_eq!(
        stored(&park, "bess-0", "power").await,
        [(t, 0.1), (t + 1, -2.5e-7), (t + 2, 123_456.789_012_345)]
    );
    assert_eq!(stored(&park, "bess-1", "soc").await, [(t, 52.0), (t + 5, 51.0), (t + 6, 140.0)]);
    assert!(stored(&park, "bess-1", "status").await.is_empty());
    // It is a day old: no alarm for what it holds, nor for when it comes.
    assert!(park.twin.open_alarms().is_empty(), "{:?}", park.twin.open_alarms());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_newer_than_what_is_known_shows_and_the_rest_is_history() {
    let park = Park::open().await;
    let device = "bess-0".parse().unwrap();
    let now = now().0;
    let (minute, day) = (60_000, 86_400_000);
    for (line, shown, alarms) in [
        (run("bess-0", "soc", json!([49, 50]), &[now - 2 * minute, now - minute]), 50.0, 0),
        // Far outside the range, and long ago.
        (run("bess-0", "soc", json!([140, 141]), &[now - day, now - day + 1]), 50.0, 0),
        (run("bess-0", "soc", json!([150, 149]), &[now - 1_000, now - minute - 1]), 150.0, 1),
    ] {
        let answer = post(&park, IMPORT, "Bearer operator", false, line).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(park.twin.reading(&device, "soc").unwrap().value, shown);
        assert_eq!(park.twin.open_alarms().len(), alarms, "{:?}", park.twin.open_alarms());
    }
    assert_eq!(stored(&park, "bess-0", "soc").await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_import_comes_in_as_gzip_in_chunks_and_again_without_harm() {
    let park = Park::open().await;
    let t = now().0 - 10 * 86_400_000;
    let mut body = Vec::new();
    for part in 0..20i64 {
        for device in 0..4 {
            let at: Vec<i64> = (0..2_500).map(|i| t + (part * 2_500 + i) * 1_000).collect();
            let values: Vec<f64> =
                (0..2_500).map(|i| (part * 2_500 + i) as f64 / 10.0 - 100.0 * f64::from(device)).collect();
            body.extend_from_slice(run(&format!("bess-{device}"), "power", json!(values), &at).as_bytes());
            body.push(b'\n');
        }
    }
    let body = gzip(&body);
    for _ in 0..2 {
        let chunks: Vec<_> =
            body.chunks(1_013).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
        let answer =
            post(&park, IMPORT, "Bearer operator", true, Body::from_stream(futures::stream::iter(chunks)))
                .await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body["data"]["points"]["accepted"], 200_000);
        for device in 0..4 {
            let stored = stored(&park, &format!("bess-{device}"), "power").await;
            assert_eq!(stored.len(), 50_000);
            assert_eq!(stored[49_999], (t + 49_999_000, 4_999.9 - 100.0 * f64::from(device)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_to_its_end_keeps_what_came_before() {
    let park = Park::open().await;
    let t = now().0 - 60_000;
    let lines: String = (0..2_000).map(|i| run("bess-0", "power", json!([i]), &[t + i]) + "\n").collect();
    let mut cut = gzip(lines.as_bytes());
    cut.truncate(cut.len() - 100);
    let answer = post(&park, IMPORT, "Bearer operator", true, cut).await;
    assert_eq!((answer.status, &answer.body["code"]), (400, &json!("UNREADABLE_BODY")), "{}", answer.body);
    let kept = answer.body["details"]["points"]["accepted"].as_u64().unwrap();
    assert_eq!(stored(&park, "bess-0", "power").await.len() as u64, kept);
    assert!(kept > 0);
    assert_eq!(post(&park, IMPORT, "Bearer operator", true, "plain").await.status, 400);
    // A hundred megabytes of nothing in a hundred kilobytes, and after it a line.
    let bomb = gzip(
        &[vec![b' '; 100 << 20], b"\n".to_vec(), run("bess-1", "soc", json!([5]), &[t]).into_bytes()]
            .concat(),
    );
    let answer = post(&park, IMPORT, "Bearer operator", true, bomb).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["data"]["errors"][0]["code"], "TOO_LARGE");
    assert_eq!(stored(&park, "bess-1", "soc").await, [(t, 5.0)]);
    let nothing = post(&park, IMPORT, "Bearer operator", false, "").await;
    assert_eq!((nothing.status, &nothing.body["data"]["points"]["accepted"]), (200, &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_writes_and_a_device_only_its_own() {
    let park = Park::open().await;
    let t = now().0 - 60_000;
    let line = run("bess-0", "power", json!([1.5]), &[t]);
    let point = format!("power,device=bess-0 value=2.5 {}000000", t + 1);
    for (authorization, status) in [
        ("Bearer viewer".to_owned(), 403),
        ("Bearer nobody".to_owned(), 401),
        ("Basic YTpi".to_owned(), 401),
        ("Token bess-0:wrong".to_owned(), 401),
        ("Token ghost:wrong".to_owned(), 401),
        (own(&park, "Bearer", "bess-1"), 0),
        (own(&park, "Bearer", "bess-0"), 200),
        (own(&park, "Token", "bess-0"), 200),
        ("Token operator".to_owned(), 200),
    ] {
        let imported = post(&park, IMPORT, &authorization, false, line.clone()).await;
        let written = post(&park, WRITE, &authorization, false, point.clone()).await;
        let expected = match status {
            0 => (403, 400),
            200 => (200, 204),
            other => (other, other),
        };
        assert_eq!(
            (imported.status, written.status),
            expected,
            "{authorization}: {} {}",
            imported.body,
            written.body
        );
        let is_stored = !stored(&park, "bess-0", "power").await.is_empty();
        assert_eq!(is_stored, status == 200, "{authorization}");
        if written.status == 401 {
            assert_eq!(written.body["code"], "unauthorized");
        }
    }
    let bare = Request::post(IMPORT).header("x-device-id", "bess-0");
    let bare = bare
        .header("authorization", format!("Bearer {}", park.secret("bess-0")))
        .body(Body::from(line))
        .unwrap();
    assert_eq!(gateway::device_router(park.inlets().await).oneshot(bare).await.unwrap().status(), 200);
    let odd =
        Request::post(IMPORT).header("authorization", "Bearer operator").header("content-encoding", "br");
    let odd = odd.body(Body::empty()).unwrap();
    assert_eq!(gateway::device_router(park.inlets().await).oneshot(odd).await.unwrap().status(), 415);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_store_says_that_it_can_be_sent_again() {
    let park = Park::open().await;
    park.history.clone().close().await.unwrap();
    let t = now().0 - 60_000;
    let imported =
        post(&park, IMPORT, "Bearer operator", false, run("bess-0", "power", json!([1]), &[t])).await;
    assert_eq!(
        (imported.status, &imported.body["details"]["points"]["accepted"]),
        (503, &json!(0)),
        "{}",
        imported.body
    );
    let written = post(&park, WRITE, "Token operator", false, "power,device=bess-0 value=1").await;
    assert_eq!((written.status, &written.body["code"]), (503, &json!("unavailable")), "{}", written.body);
    assert!(imported.headers.contains_key("retry-after") && written.headers.contains_key("retry-after"));
}

#[tokio::test(flavor = "multi_thread")]
async fn line_protocol_is_stored_and_its_faults_named_by_line() {
    let park = Park::open().await;
    let t = now().0 - 1_000;
    let own = own(&park, "Token", "bess-0");
    // Everything a line can be: without `device` it is the writer's, whatever its machine is called.
    let good = format!(
        "# a comment\r\n\r\npower value=1.5 {t}\npower,host=edge-7 value=2i {}\nbattery,host=x,device=bess-0 \
         soc=55u,status=\"charging\",pack_voltage=true {}\npack,device=bess-0 voltage=700 {}",
        t + 1,
        t + 2,
        t + 3
    );
    for gzipped in [false, true] {
        let body = if gzipped { gzip(good.as_bytes()) } else { good.clone().into_bytes() };
        let path = format!("{WRITE}?org=o&bucket=b&precision=ms");
        let answer = post(&park, &path, &own, gzipped, body).await;
        assert_eq!(answer.status, 204, "{}", answer.body);
    }
    assert_eq!(stored(&park, "bess-0", "power").await, [(t, 1.5), (t + 1, 2.0)]);
    assert_eq!(stored(&park, "bess-0", "soc").await, [(t + 2, 55.0)]);
    assert_eq!(stored(&park, "bess-0", "status").await, [(t + 2, 2.0)]);
    assert_eq!(stored(&park, "bess-0", "pack_voltage").await, [(t + 2, 1.0), (t + 3, 700.0)]);

    let mixed = format!(
        "soc,device=bess-0 value=60 {t}\nsoc,device=bess-0 value=\nsoc,device=bess-1 value=60 {t}\nsoc,device=bess-0 colour=1 {t}\n\
         soc,device=bess-0 value=NaN\nsoc,device=bess-0 value=1,soc=2 {t}\nsoc,device=a\\ b value=1\nsoc,device=bess-0 value=61 {}",
        t + 1
    );
    let answer = post(&park, &format!("{WRITE}?precision=ms"), &own, false, mixed).await;
    assert_eq!(
        (answer.status, &answer.body["code"], &answer.body["line"]),
        (400, &json!("invalid"), &json!(2))
    );
    assert_eq!(answer.headers["x-platform-error-code"], "invalid");
    let message = answer.body["message"].as_str().unwrap();
    for part in [
        "line 2: value: ",
        "line 3: deviceId: ",
        "line 4: data.colour: ",
        "line 5: value: ",
        // What else the line holds is not kept either.
        "line 6: data.soc: is there twice (so none of the line's 2 fields); ",
        "and 1 more; 2 of 8 lines",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(stored(&park, "bess-0", "soc").await, [(t, 60.0), (t + 1, 61.0), (t + 2, 55.0)]);

    for (query, body) in [
        ("?precision=h", "soc value=1".to_owned()),
        ("", format!("soc value=1 {}000000", t + 86_400_000)),
        ("?precision=s", format!("soc value=1 {}", i64::MAX)),
        ("", "soc value=1 1".to_owned()),
        ("", format!("soc,device=bess-0 value=\"{}", "x".repeat(2 << 20))),
        ("", "soc value=\"open\n".to_owned()),
        ("", "\u{0}\u{1}".to_owned()),
    ] {
        let answer = post(&park, &format!("{WRITE}{query}"), &own, false, body).await;
        assert_eq!(
            (answer.status, &answer.body["code"]),
            (400, &json!("invalid")),
            "{query}: {}",
            answer.body
        );
        assert!(answer.body["message"].as_str().unwrap().len() < 1_000);
    }
    assert_eq!(post(&park, WRITE, &own, false, "").await.status, 204);
    assert_eq!(post(&park, WRITE, &own, false, "soc value=62.5").await.status, 204);
    let (at, value) = stored(&park, "bess-0", "soc").await.pop().unwrap();
    assert!(value == 62.5 && (now().0 - at).abs() < 60_000, "without a timestamp it is now");
}

#[tokio::test(flavor = "multi_thread")]
async fn telegraf_writes_whatever_the_machine_is_called_that_it_runs_on() {
    let park = Park::open().await;
    let door = Door::of(&park).await;
    let t = now().0 - 60_000;
    // What Telegraf sends unless told otherwise: its machine's name in every line.
    let line = |tags: &str, n: i64| format!("battery{tags} power=1.5,soc=50 {}", (t + n) * 1_000_000);
    let (_, any) = door.key(json!({})).await;
    let (_, narrow) = door.key(json!({ "scope": { "devices": ["bess-1"] } })).await;
    let device = own(&park, "Token", "bess-0");
    let neither = "neither the tag device nor the tag host says which device";
    let no_device = |host: &str| {
        format!("there is no tag device, and the tag host, {host:?}, names no device you may write")
    };
    for (n, (writer, tags, expected)) in [
        (&device, "", Ok("bess-0")),
        (&device, ",host=edge-7", Ok("bess-0")),
        // Another device of the park is a machine's name like any other.
        (&device, ",host=bess-1", Ok("bess-0")),
        (&device, ",device=bess-0,host=bess-1", Ok("bess-0")),
        (&device, ",host=bess-0,device=bess-1", Err("deviceId: ".to_owned())),
        (&any, ",host=bess-1", Ok("bess-1")),
        (&any, ",host=edge-7,device=bess-1", Ok("bess-1")),
        (&any, ",host=bess-0,device=nowhere", Err("deviceId: ".to_owned())),
        (&any, ",host=edge-7", Err(no_device("edge-7"))),
        (&any, "", Err(neither.to_owned())),
        (&narrow, ",host=bess-1", Ok("bess-1")),
        // Nothing tells whether it is there.
        (&narrow, ",host=bess-0", Err(no_device("bess-0"))),
        (&narrow, ",host=nowhere", Err(no_device("nowhere"))),
    ]
    .into_iter()
    .enumerate()
    {
        let n = n as i64;
        let answer = door.post(WRITE, writer, format!("# {tags}\n{}", line(tags, n))).await;
        match expected {
            Ok(device) => {
                assert_eq!(answer.status, 204, "{tags}: {}", answer.body);
                assert!(stored(&park, device, "power").await.contains(&(t + n, 1.5)), "{tags}");
            }
            Err(why) => {
                assert_eq!((answer.status, &answer.body["line"]), (400, &json!(2)), "{tags}");
                let message = answer.body["message"].as_str().unwrap();
                assert!(message.starts_with("line 2: device") && message.contains(&why), "{tags}: {message}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_not_known_names_its_line_and_what_is_lost_with_it() {
    let park = Park::open().await;
    let own = own(&park, "Token", "bess-0");
    let t = now().0 - 1_000;
    let body = format!("battery soc=50 {t}\nbattery soc=51,power=2,colour=3 {}\nbattery colour=3", t + 1);
    let answer = post(&park, &format!("{WRITE}?precision=ms"), &own, false, body).await;
    assert_eq!((answer.status, &answer.body["line"]), (400, &json!(2)), "{}", answer.body);
    let message = answer.body["message"].as_str().unwrap();
    let faults: Vec<&str> = message.split("; ").collect();
    assert!(faults[0].starts_with("line 2: data.colour: "), "{message}");
    assert!(faults[0].ends_with("(so none of the line's 3 fields)"), "{message}");
    assert!(faults[1].starts_with("line 3: data.colour: ") && !faults[1].contains("fields"), "{message}");
    assert_eq!(faults[2], "1 of 3 lines were written");
    assert_eq!(stored(&park, "bess-0", "soc").await, [(t, 50.0)]);
    assert!(stored(&park, "bess-0", "power").await.is_empty());
}

#[tokio::test]
async fn influxdbs_clients_are_told_that_the_server_is_there() {
    let park = Park::open().await;
    let ask = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        send(gateway::device_router(park.inlets().await), request).await
    };
    let ping = ask("/ping").await;
    assert_eq!(ping.status, 204);
    let health = ask("/health").await;
    assert_eq!((health.status, &health.body["status"]), (200, &json!("pass")), "{}", health.body);
    assert!(health.body["name"].is_string() && health.body["message"].is_string(), "{}", health.body);
    assert_eq!(health.body["version"], ping.headers["x-influxdb-version"].to_str().unwrap());
    let ready = ask("/ready").await;
    assert_eq!((ready.status, &ready.body["status"]), (200, &json!("ready")), "{}", ready.body);
    let started: jiff::Timestamp = ready.body["started"].as_str().unwrap().parse().unwrap();
    assert!((started.as_millisecond() - now().0).abs() < 60_000, "{}", ready.body);
    assert!(ready.body["up"].as_str().unwrap().ends_with('s'), "{}", ready.body);
    park.shutdown.cancel();
    let health = ask("/health").await;
    assert_eq!((health.status, &health.body["status"]), (503, &json!("fail")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_writes_within_its_scope_and_its_use_is_counted() {
    let park = Park::open().await;
    let door = Door::of(&park).await;
    let scope = json!({ "devices": ["bess-0"], "measurements": ["power"] });
    let (id, key) = door.key(json!({ "scope": scope })).await;
    let t = now().0 - 3_600_000;
    let lines = [
        run("bess-0", "power", json!([1.0, 2.0]), &[t, t + 1_000]),
        run("bess-0", "soc", json!([50.0]), &[t]),
        run("bess-1", "power", json!([3.0]), &[t]),
        run("nowhere", "power", json!([3.0]), &[t]),
    ]
    .join("\n");
    let mut bytes = lines.len();
    let answer = door.post(IMPORT, &key, lines).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let errors = answer.body["data"]["errors"].as_array().unwrap();
    let told: Vec<_> = errors.iter().map(|e| (e["line"].as_u64(), e["code"].as_str())).collect();
    let refused = Some("NOT_YOUR_DEVICE");
    assert_eq!(told, [(Some(2), refused), (Some(3), refused), (Some(4), refused)]);
    assert_eq!(stored(&park, "bess-0", "power").await, [(t, 1.0), (t + 1_000, 2.0)]);

    let line = format!("power,device=bess-0 value=4 {}", (t + 2_000) * 1_000_000);
    bytes += line.len();
    assert_eq!(door.post(WRITE, &key, line).await.status, 204);
    let line = format!("power,device=bess-1 value=4 {}", (t + 2_000) * 1_000_000);
    bytes += line.len();
    let answer = door.post(WRITE, &key, line.clone()).await;
    let message = answer.body["message"].as_str().unwrap();
    assert!(answer.status == 400 && message.contains("scope"), "{message}");
    assert!(stored(&park, "bess-1", "power").await.is_empty());
    let written =
        KeyCounts { requests: 3, points_written: 3, bytes_in: bytes as u64, ..KeyCounts::default() };
    assert_eq!(door.usage(&id).await, written);

    let (id, reader) = door.key(json!({ "rights": { "read": true } })).await;
    let answer = door.post(WRITE, &reader, line.clone()).await;
    assert_eq!((answer.status, answer.body["code"].as_str()), (403, Some("forbidden")));
    assert_eq!(door.usage(&id).await, KeyCounts { requests: 1, refused: 1, ..KeyCounts::default() });
    assert_eq!(door.post(WRITE, "Token ptk_unknown", line).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_points_a_key_may_write_hold_over_all_ways_in() {
    let park = Park::open().await;
    let t = now().0 - 3_600_000;
    let at: Vec<i64> = (0..30).map(|i| t + i).collect();
    let imported = run("bess-0", "power", json!(at), &at);
    let written: String =
        at.iter().map(|at| format!("power,device=bess-1 value={at} {at}000000\n")).collect();
    for (first, body, device) in [(IMPORT, &imported, "bess-0"), (WRITE, &written, "bess-1")] {
        let door = Door::of(&park).await;
        let (id, key) = door.key(json!({ "limits": { "pointsWrittenPerMinute": 10 } })).await;
        // What comes at once is taken whole, and what it is too much waited for.
        let answer = door.post(first, &key, body.clone()).await;
        assert!(answer.status < 300, "{first}: {}", answer.body);
        assert_eq!(stored(&park, device, "power").await.len(), 30);
        for (path, body, code) in [
            (IMPORT, run("bess-2", "power", json!([1]), &[t]), "TOO_MANY_REQUESTS"),
            (WRITE, format!("power,device=bess-2 value=1 {t}000000"), "too many requests"),
        ] {
            let answer = door.post(path, &key, body).await;
            assert_eq!((answer.status, &answer.body["code"]), (429, &json!(code)), "{first} {path}");
            let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((100..=130).contains(&wait), "{first} {path}: {wait} s for twenty points and one");
        }
        let usage = door.usage(&id).await;
        assert_eq!((usage.requests, usage.refused, usage.points_written), (3, 2, 30), "{first}");
    }
    assert!(stored(&park, "bess-2", "power").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_writes_from_where_it_may_only_and_never_as_a_device() {
    let park = Park::open().await;
    let door = Door::of(&park).await;
    let (id, key) = door.key(json!({ "sources": ["10.1.0.0/16"] })).await;
    let t = now().0 - 3_600_000;
    let imported = run("bess-0", "power", json!([1]), &[t]);
    let written = format!("power,device=bess-0 value=2 {}000000", t + 1);
    let from = async |path: &str, peer: Option<&str>, body: String| {
        let request = Request::post(path).header("authorization", &key);
        // No proxy is trusted, so this counts for nothing.
        let request = request.header("x-forwarded-for", "10.1.2.3").header("x-device-id", "bess-0");
        let mut request = request.body(Body::from(body)).unwrap();
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 40_000)));
        }
        send(door.router.clone(), request).await
    };
    for (path, body, code) in [(IMPORT, &imported, "WRONG_SOURCE"), (WRITE, &written, "forbidden")] {
        for peer in [Some("10.2.0.1"), Some("::1"), None] {
            let answer = from(path, peer, body.clone()).await;
            assert_eq!((answer.status, &answer.body["code"]), (403, &json!(code)), "{path} {peer:?}");
        }
    }
    assert!(stored(&park, "bess-0", "power").await.is_empty());
    for (path, body) in [(IMPORT, &imported), (WRITE, &written)] {
        let answer = from(path, Some("10.1.2.3"), body.clone()).await;
        assert!(answer.status < 300, "{path}: {}", answer.body);
    }
    assert_eq!(stored(&park, "bess-0", "power").await, [(t, 1.0), (t + 1, 2.0)]);
    let usage = door.usage(&id).await;
    assert_eq!((usage.requests, usage.refused, usage.points_written), (8, 6, 2));

    // These are for devices: a key is a wrong secret there, whatever it may write elsewhere.
    let bearer = key.replace("Token", "Bearer");
    let data = support::data("bess-0", now(), json!({ "power": 3 }));
    for path in ["/api/v1/device/data/sync", "/api/v1/device/events"] {
        let request = Request::post(path).header("authorization", &bearer).header("x-device-id", "bess-0");
        let mut request = request.body(Body::from(data.clone())).unwrap();
        let peer = SocketAddr::new("10.1.2.3".parse().unwrap(), 40_000);
        request.extensions_mut().insert(ConnectInfo(peer));
        assert_eq!(send(door.router.clone(), request).await.status, 401, "{path}");
    }
    assert_eq!(stored(&park, "bess-0", "power").await.len(), 2);
    assert_eq!(door.usage(&id).await.requests, 8);
}

/// A park whose log lies on a disk that can fail.
async fn park_on(disk: &FaultDisk) -> Park {
    let folder = tempfile::tempdir().unwrap();
    let options = HistoryOptions { folder: folder.path().join("history"), ..HistoryOptions::default() };
    let history = History::open_on(options, Arc::new(disk.clone())).await.unwrap();
    let records =
        Records::open(&format!("sqlite://{}", folder.path().join("records.db").display())).await.unwrap();
    let opened =
        Twin::open(Arc::new(scene()), history.clone(), records.clone(), TwinOptions::default(), now());
    let twin = opened.await.unwrap();
    twin.provision_scene(Origin::Simulated, now()).await.unwrap();
    Park { twin, history, records, folder, secrets: HashMap::new(), shutdown: CancellationToken::new() }
}

/// One line of import with so many readings, a few of them at instants that were there before, in this batch and in the next ones.
fn long_run(device: &str, readings: i64, t: i64) -> String {
    let at: Vec<i64> =
        (0..readings).map(|i| if i > 0 && i % 1_000 == 0 { t + i / 2 } else { t + i }).collect();
    run(device, "power", json!(vec![1.5; at.len()]), &at)
}

fn many_lines(device: &str, lines: i64, t: i64) -> String {
    (0..lines).map(|i| format!("battery,device={device} power=1.5,soc=50 {}000000\n", t + i)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failing_disk_did_not_take_is_neither_told_nor_counted() {
    let t = now().0 - 86_400_000;
    for path in [IMPORT, WRITE] {
        let disk = FaultDisk::default();
        let park = park_on(&disk).await;
        let door = Door::of(&park).await;
        let (id, key) = door.key(json!({})).await;
        let body = |device: &str, batches: i64| match path {
            IMPORT => long_run(device, batches * IMPORT_BATCH, t),
            _ => many_lines(device, batches * WRITE_BATCH, t),
        };
        let before = disk.written();
        let one = door.post(path, &key, body("bess-1", 1)).await;
        assert!(one.status < 300, "{}", one.body);
        let a_batch = disk.written() - before;
        let whole = door.post(path, &key, body("bess-2", 3)).await;
        if path == IMPORT {
            let points = &whole.body["data"]["points"];
            let (accepted, duplicates) = (&points["accepted"], &points["duplicates"]);
            assert_eq!(accepted, stored(&park, "bess-2", "power").await.len(), "{points}");
            assert_eq!(accepted.as_i64().unwrap() + duplicates.as_i64().unwrap(), 3 * IMPORT_BATCH);
        }
        let counted = door.usage(&id).await.points_written;
        // Room for one, and half of the next.
        disk.set_free_bytes(Some(a_batch + a_batch / 2));
        let answer = door.post(path, &key, body("bess-0", 3)).await;
        assert_eq!(answer.status, 503, "{path}: {}", answer.body);
        let kept = stored(&park, "bess-0", "power").await.len() as u64;
        let counted = door.usage(&id).await.points_written - counted;
        if path == IMPORT {
            let points = &answer.body["details"]["points"];
            assert_eq!(points["accepted"], kept, "{points}");
            assert_eq!(points["duplicates"], IMPORT_BATCH as u64 - kept, "{points}");
            assert_eq!(counted, kept);
            assert!(kept > 60_000);
        } else {
            let message = answer.body["message"].as_str().unwrap();
            assert!(message.ends_with("; 5000 lines before were written"), "{message}");
            assert_eq!((kept, counted), (5_000, 10_000));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_ends_with_its_key_and_what_is_durable_by_then_is_told_and_counted() {
    let t = now().0 - 86_400_000;
    let revoked = (401, "TOKEN_REVOKED", "unauthorized");
    let changed = (503, "SCOPE_CHANGED", "unavailable");
    for (change, more, expected) in [
        (None, true, revoked),
        // Nothing comes any more but the end: what had come is not stored either.
        (None, false, revoked),
        (Some(json!({ "scope": { "devices": ["bess-1"] } })), true, changed),
        (Some(json!({ "scope": { "devices": ["bess-1"] } })), false, changed),
        (Some(json!({ "sources": ["10.0.0.0/8"] })), true, (403, "WRONG_SOURCE", "forbidden")),
        (Some(json!({ "rights": { "read": true } })), false, (403, "FORBIDDEN", "forbidden")),
    ] {
        for path in [IMPORT, WRITE] {
            let context = format!("{path} {change:?} {more}");
            let park = Park::open().await;
            let door = Door::of(&park).await;
            let (id, key) = door.key(json!({})).await;
            let (first, durable, points) = match path {
                IMPORT => (long_run("bess-0", IMPORT_BATCH + 100, t) + "\n", 65_503, 65_503),
                _ => (many_lines("bess-0", WRITE_BATCH + 100, t), 5_000, 10_000),
            };
            let sending = Sending::begin(&door, path, &key, first);
            eventually("the first batch is there", async || {
                stored(&park, "bess-0", "power").await.len() == durable
                    && door.usage(&id).await.points_written == points
            })
            .await;
            match &change {
                Some(change) => door.change(&id, change.clone()).await,
                None => drop(door.keys.revoke(&id, now()).await.unwrap()),
            }
            if more {
                sending.body.unbounded_send(Ok("\n".to_owned())).unwrap();
            } else {
                drop(sending.body);
            }
            let answer = sending.answer.await.unwrap();
            let (status, code, influx_code) = expected;
            let code = if path == IMPORT { code } else { influx_code };
            assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{context}");
            if path == IMPORT {
                assert_eq!(answer.body["details"]["points"]["accepted"], points, "{context}");
            } else {
                let message = answer.body["message"].as_str().unwrap();
                assert!(message.ends_with("; 5000 lines before were written"), "{context}: {message}");
            }
            assert_eq!(stored(&park, "bess-0", "power").await.len(), durable, "{context}");
            assert_eq!(door.usage(&id).await.points_written, points, "{context}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_became_durable_is_counted_also_when_its_sender_went_away() {
    let t = now().0 - 86_400_000;
    for path in [IMPORT, WRITE] {
        let park = Park::open().await;
        let door = Door::of(&park).await;
        let (id, key) = door.key(json!({})).await;
        let (first, durable, points) = match path {
            IMPORT => (long_run("bess-0", IMPORT_BATCH + 100, t) + "\n", 65_503, 65_503),
            _ => (many_lines("bess-0", WRITE_BATCH + 100, t), 5_000, 10_000),
        };
        let bytes = first.len() as u64;
        let sending = Sending::begin(&door, path, &key, first);
        eventually("the first batch is there", async || {
            stored(&park, "bess-0", "power").await.len() == durable
        })
        .await;
        sending.answer.abort();
        eventually("it is counted", async || {
            let usage = door.usage(&id).await;
            (usage.points_written, usage.bytes_in) == (points, bytes)
        })
        .await;
    }
}
