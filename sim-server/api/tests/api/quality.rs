//! Bad data of each kind, sent as a device sends it, and what the figures and the cleaned view say of them.

use crate::park::{Park, now};
use api::Auth;
use axum::http::Method;
use history::{Point, SeriesKey};
use serde_json::{Value, json};
use shared::{
    telemetry::{Quality, Reading},
    time::{DAY_MS, HOUR_MS, MINUTE_MS, Timestamp},
};
use twin::Sender;

/// Far from any midnight of the park.
const NOON: i64 = 1_780_027_200_000;

async fn at_noon() -> Park {
    let park = Park::timed(Auth::new(&[42; 32]), || Timestamp(NOON)).await;
    with_probe(&park).await;
    park
}

/// A device whose measurements have every step declared.
async fn with_probe(park: &Park) {
    let admin = park.token("admin").await;
    let body = json!({ "deviceId": "probe", "model": "probe", "name": "probe" });
    assert_eq!(park.post("/api/v1/devices", &admin, body).await.status, 201);
}

/// Sends an item and gives what the server said of it.
async fn send(park: &Park, at: i64, data: Value) -> Result<(), String> {
    let payload = json!({ "deviceId": "probe", "timestamp": at, "data": data }).to_string();
    let sender = Sender::Device("probe".parse().unwrap());
    let results = park.twin.ingest(&sender, payload.as_bytes(), Timestamp(NOON)).await.unwrap();
    results.into_iter().next().unwrap().result.map(|_| ()).map_err(|refusal| refusal.message)
}

async fn quality(park: &Park, query: &str) -> Value {
    park.get(&format!("/api/v1/quality?{query}"), &park.token("viewer").await).await.data()
}

#[tokio::test]
async fn bad_data_of_each_kind_are_kept_flagged_and_counted() {
    let park = at_noon().await;
    let start = NOON - 20_000;
    for second in 0..12 {
        let (level, still) = (50.0 + second as f64 * 0.1, 3.0);
        let level = if second == 4 { 90.0 } else { level };
        send(&park, start + second * 1_000, json!({ "level": level, "still": still })).await.unwrap();
    }
    // Again, as after a reconnection; out of range; in watts; in a unit nobody can turn into it.
    send(&park, start + 11_000, json!({ "level": 50.0 + 11.0 * 0.1, "still": 3.0 })).await.unwrap();
    send(&park, start + 12_000, json!({ "level": 51.2, "still": 500.0 })).await.unwrap();
    send(&park, start + 13_000, json!({ "power": { "value": 81_500, "unit": "W" } })).await.unwrap();
    let refused =
        send(&park, start + 13_000, json!({ "power": { "value": 1, "unit": "kWh" } })).await.unwrap_err();
    assert!(refused.contains("kW") && refused.contains("kWh"), "{refused}");
    // From a clock that is a quarter of a minute ahead.
    send(&park, NOON + 15_000, json!({ "power": 1.0 })).await.unwrap();

    let report = quality(&park, "device=probe").await;
    let row = &report["devices"][0];
    let figures = &row["figures"];
    let count = |name: &str| figures[name].as_u64().unwrap_or_else(|| panic!("{name} {row}"));
    for (name, expected) in [
        ("received", 12 * 2 + 2 + 1 + 1),
        ("jumps", 1),
        ("stuck", 3),
        ("outOfRange", 1),
        ("duplicates", 2),
        ("refused", 1),
        ("converted", 1),
        ("skewed", 1),
        ("suspect", 5),
        ("late", 0),
    ] {
        assert_eq!(count(name), expected, "{name} {row}");
    }
    let validity = figures["validity"].as_f64().unwrap();
    assert!((validity - 22.0 / 28.0).abs() < 1e-9, "{validity}");
    assert_eq!((&report["totals"], &report["days"][0]["figures"]), (figures, figures));

    let shadow = park.get("/api/v1/devices/probe", &park.token("viewer").await).await.data();
    assert_eq!(shadow["reported"]["still"]["quality"], "out_of_range");
    assert_eq!(
        shadow["reported"]["power"],
        json!({ "value": 1.0, "timestamp": shadow["reported"]["power"]["timestamp"], "quality": "suspect" })
    );
}

#[tokio::test]
async fn the_cleaned_view_replaces_and_fills_and_says_so_and_raw_stays() {
    let park = at_noon().await;
    let viewer = park.token("viewer").await;
    let start = NOON - 60_000;
    for second in (0..30).filter(|s| !(20..23).contains(s)) {
        let level = if second == 10 { 80.0 } else { 50.0 + second as f64 * 0.1 };
        send(&park, start + second * 1_000, json!({ "level": level })).await.unwrap();
    }
    let path = format!("/api/v1/devices/probe/history?measurement=level&from={start}&to={}", start + 30_000);
    let raw = park.get(&path, &viewer).await.data();
    assert_eq!((raw["points"].as_array().unwrap().len(), &raw["flags"]), (27, &Value::Null));
    assert_eq!(raw["points"][10], json!([start + 10_000, 80.0]));

    let cleaned = park.get(&format!("{path}&cleaned=true"), &viewer).await.data();
    let (points, flags) = (cleaned["points"].as_array().unwrap(), cleaned["flags"].as_array().unwrap());
    assert_eq!((points.len(), flags.len()), (30, 30));
    assert_eq!(flags[10], "spike");
    let replaced = points[10][1].as_f64().unwrap();
    assert!((50.0..53.0).contains(&replaced), "{replaced}");
    for second in 20..23 {
        assert_eq!(flags[second], "estimated");
        let value = points[second][1].as_f64().unwrap();
        assert!((value - 50.0 - second as f64 * 0.1).abs() < 1e-6, "{second} {value}");
    }
    assert_eq!(cleaned["gaps"], json!([{ "from": start + 19_000, "to": start + 23_000, "filled": true }]));

    let open = park.get(&format!("{path}&cleaned=true&fill=none&k=1000"), &viewer).await.data();
    assert_eq!(open["points"], raw["points"], "nothing is changed that nobody asked for");

    // Pages come to the same as the whole.
    let (mut paged, mut from) = (Vec::new(), start);
    loop {
        let page = format!(
            "/api/v1/devices/probe/history?measurement=level&from={from}&to={}&cleaned=true&limit=7",
            start + 30_000
        );
        let page = park.get(&page, &viewer).await.data();
        paged.extend(page["points"].as_array().unwrap().clone());
        match page["next"].as_i64() {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(&paged, points);
}

/// What the cleaned view of a measurement has between two instants: its points and its gaps.
async fn cleaned(park: &Park, measurement: &str, from: i64, to: i64, more: &str) -> (Vec<Value>, Value) {
    let path = format!("/api/v1/devices/probe/history?measurement={measurement}&from={from}&to={to}");
    let mut data = park.get(&format!("{path}&cleaned=true{more}"), &park.token("viewer").await).await.data();
    (data["points"].as_array().unwrap().clone(), data["gaps"].take())
}

#[tokio::test]
async fn a_gap_reaches_from_the_last_reading_however_old_to_the_end_of_the_question_or_to_now() {
    let park = at_noon().await;
    let gap = |from: i64, to: i64| json!({ "from": from, "to": to, "filled": false });
    let (from, to) = (NOON - 2 * HOUR_MS, NOON + HOUR_MS);
    for (measurement, silent_ms) in
        [("level", 2 * HOUR_MS + MINUTE_MS), ("still", 3 * DAY_MS + 1), ("power", 200 * DAY_MS)]
    {
        let last = NOON - silent_ms;
        send(&park, last, json!({ measurement: 7.0 })).await.unwrap();
        for fill in ["linear", "previous", "none"] {
            let fill = format!("&fill={fill}");
            let seen = cleaned(&park, measurement, from, to, &fill).await;
            assert_eq!(seen, (vec![], json!([gap(last, NOON)])), "{measurement}{fill}");
            let seen = cleaned(&park, measurement, from, NOON - HOUR_MS, &fill).await;
            assert_eq!(seen, (vec![], json!([gap(last, NOON - HOUR_MS)])), "{measurement}{fill}");
        }
        let seen = cleaned(&park, measurement, NOON + 1, to, "").await;
        assert_eq!(seen, (vec![], json!([])), "nothing is missing yet");
        let back = NOON - 30 * MINUTE_MS;
        send(&park, back, json!({ measurement: 8.0 })).await.unwrap();
        let (points, gaps) = cleaned(&park, measurement, from, to, "").await;
        assert_eq!((points, gaps), (vec![json!([back, 8.0])], json!([gap(last, back), gap(back, NOON)])));
    }
    let unheard = park.token("admin").await;
    let body = json!({ "deviceId": "new", "model": "probe", "name": "new" });
    assert_eq!(park.post("/api/v1/devices", &unheard, body).await.status, 201);
    let path = format!("/api/v1/devices/new/history?measurement=level&from={from}&to={to}&cleaned=true");
    assert_eq!(park.get(&path, &unheard).await.data()["gaps"], json!([]), "it never was");
}

#[tokio::test]
async fn a_device_that_sends_often_is_looked_at_by_what_it_sent_last() {
    let park = at_noon().await;
    let start = NOON - 60_000;
    let level = SeriesKey { device: "probe".parse().unwrap(), measurement: "level".parse().unwrap() };
    // Ten a second for an hour; a ramp, so that what is far back is far off.
    let points = (0..36_050_i64).map(|n| {
        let value = if n == 36_000 { 99.0 } else { n as f64 / 1_000.0 };
        let timestamp = Timestamp(start + (n - 36_000) * 100);
        Point { series: level.clone(), reading: Reading { value, timestamp, quality: Quality::Good } }
    });
    park.history.append(points.collect()).await.unwrap();
    let (whole, gaps) = cleaned(&park, "level", start - 5_000, start + 5_000, "").await;
    assert_eq!((whole.len(), gaps), (100, json!([])));
    let (points, gaps) = cleaned(&park, "level", start, start + 5_000, "").await;
    assert_eq!((&points[..], gaps), (&whole[50..], json!([])));
    let first = points[0][1].as_f64().unwrap();
    assert!((first - 36.0).abs() < 0.1, "the spike is held against its neighbours: {first}");
}

#[tokio::test]
async fn figures_are_by_day_and_device_and_the_parks_own_count_all() {
    let park = Park::open().await;
    with_probe(&park).await;
    park.report("bess-1", now(), json!({ "power": 1.0, "soc": 50.0, "temperature": 20.0 })).await;
    let all = quality(&park, "").await;
    let ids = |report: &Value| -> Vec<String> {
        let rows = report["devices"].as_array().unwrap().iter();
        rows.map(|row| row["deviceId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&all), ["bess-1", "grid", "probe"]);
    assert_eq!((&all["days"].as_array().unwrap().len(), &all["totals"]["received"]), (&1, &json!(3)));
    assert_eq!(ids(&quality(&park, "type=storage").await), ["bess-1"]);
    assert_eq!(ids(&quality(&park, "type=probe").await), ["probe"]);
    let short = quality(&park, "limit=1").await;
    assert_eq!(
        (ids(&short).len(), &short["leftOut"], &short["totals"]["received"]),
        (1, &json!(2), &json!(3))
    );
    let week = quality(&park, &format!("from={}", now().0 - 6 * 86_400_000)).await;
    assert_eq!(week["days"].as_array().unwrap().len(), 7);
    assert_eq!(week["devices"].as_array().unwrap().len(), 3, "nobody was there before today");
    let reply = park.call(Method::GET, "/api/v1/quality", None, "").await;
    assert_eq!(reply.status, 401);
}

#[tokio::test]
async fn sources_that_differ_are_shown_with_the_one_that_is_used() {
    let park = Park::open().await;
    let source = async || quality(&park, "").await["sources"][0].take();
    assert_eq!(source().await["state"], "missing");
    park.report("grid", now(), json!({ "power": 100.0 })).await;
    assert_eq!(source().await["state"], "alone");
    park.report("bess-1", now(), json!({ "power": 103.0 })).await;
    assert_eq!(source().await["state"], "agreed");
    park.report("bess-1", now(), json!({ "power": 110.0 })).await;
    let conflict = source().await;
    assert_eq!((&conflict["state"], &conflict["value"]), (&json!("conflict"), &json!(100.0)));
    assert_eq!(conflict["inputs"][0]["used"], true);
    assert_eq!(
        (&conflict["inputs"][1]["difference"], &conflict["inputs"][1]["conflicts"]),
        (&json!(10.0), &json!(true))
    );
    // Out of range: the other one is better now.
    park.report("grid", Timestamp(now().0 + 10), json!({ "power": 99_999.0 })).await;
    let other = source().await;
    assert_eq!((&other["value"], &other["inputs"][1]["used"]), (&json!(110.0), &json!(true)));
}
