//! Bulk import and line protocol with a real twin behind them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod support;

use axum::{body::Body, http::Request};
use serde_json::{Value, json};
use std::io::Write;
use support::{Park, now};
use tower::ServiceExt;

const IMPORT: &str = "/api/v1/telemetry/import";
const WRITE: &str = "/api/v2/write";

struct Answer {
    status: u16,
    headers: axum::http::HeaderMap,
    body: Value,
}

async fn post(park: &Park, path: &str, authorization: &str, gzip: bool, body: impl Into<Body>) -> Answer {
    let mut request = Request::post(path).header("authorization", authorization);
    if gzip {
        request = request.header("content-encoding", "gzip");
    }
    let response = gateway::device_router(park.inlets().await)
        .oneshot(request.body(body.into()).unwrap())
        .await
        .unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    Answer { status, headers, body }
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
    // Everything a line can be: without device it is the writer's, `host` names it too, `device` comes before `host`.
    let good = format!(
        "# a comment\r\n\r\npower value=1.5 {t}\npower,host=bess-0 value=2i {}\nbattery,host=x,device=bess-0 \
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
        "line 6: data.soc: ",
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
    assert_eq!(
        post(&park, WRITE, "Token operator", false, "soc value=1").await.status,
        400,
        "no device is named"
    );
    assert_eq!(post(&park, WRITE, &own, false, "").await.status, 204);
    assert_eq!(post(&park, WRITE, &own, false, "soc value=62.5").await.status, 204);
    let (at, value) = stored(&park, "bess-0", "soc").await.pop().unwrap();
    assert!(value == 62.5 && (now().0 - at).abs() < 60_000, "without a timestamp it is now");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_key_writes_within_its_scope_and_its_use_is_counted() {
    let park = Park::open().await;
    let keys = park.keys().await;
    let made = |rights: Value| {
        let keys = keys.clone();
        async move {
            let new = json!({ "name": "erp", "rights": rights,
                "scope": { "devices": ["bess-0"], "measurements": ["power"] } });
            keys.create(serde_json::from_value(new).unwrap(), "admin", now()).await.unwrap()
        }
    };
    let (view, key) = made(json!({ "write": true })).await;
    let t = now().0 - 3_600_000;
    let lines = [
        run("bess-0", "power", json!([1.0, 2.0]), &[t, t + 1_000]),
        run("bess-0", "soc", json!([50.0]), &[t]),
        run("bess-1", "power", json!([3.0]), &[t]),
        run("nowhere", "power", json!([3.0]), &[t]),
    ]
    .join("\n");
    let answer = post(&park, IMPORT, &format!("Bearer {key}"), false, lines).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let errors = answer.body["data"]["errors"].as_array().unwrap();
    let told: Vec<_> = errors.iter().map(|e| (e["line"].as_u64(), e["code"].as_str())).collect();
    let refused = Some("NOT_YOUR_DEVICE");
    assert_eq!(told, [(Some(2), refused), (Some(3), refused), (Some(4), refused)]);
    assert_eq!(stored(&park, "bess-0", "power").await, [(t, 1.0), (t + 1_000, 2.0)]);

    let line = format!("power,device=bess-0 value=4 {}", (t + 2_000) * 1_000_000);
    assert_eq!(post(&park, WRITE, &format!("Token {key}"), false, line.clone()).await.status, 204);
    let line = format!("power,device=bess-1 value=4 {}", (t + 2_000) * 1_000_000);
    let answer = post(&park, WRITE, &format!("Token {key}"), false, line.clone()).await;
    assert!(
        answer.status == 400 && answer.body["message"].as_str().unwrap().contains("scope"),
        "{}",
        answer.body
    );
    assert!(stored(&park, "bess-1", "power").await.is_empty());

    let (_, reader) = made(json!({ "read": true })).await;
    let answer = post(&park, WRITE, &format!("Token {reader}"), false, line.clone()).await;
    assert_eq!((answer.status, answer.body["code"].as_str()), (403, Some("forbidden")));
    let answer = post(&park, WRITE, "Token ptk_unknown", false, line).await;
    assert_eq!(answer.status, 401);
    drop(view);
}
