//! Questions about past telemetry: known readings, exact answers.

use crate::park::{Park, Reply};
use api::{ApiOptions, Auth};
use arrow_array::{Array, Float64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_ipc::reader::StreamReader;
use axum::{
    body::Body,
    http::{Method, Request, header},
};
use futures::StreamExt;
use history::{Point, SeriesKey};
use serde_json::{Value, json};
use shared::{
    telemetry::{Quality, Reading},
    time::{HOUR_MS, Timestamp},
};
use std::time::Duration;
use twin::Sender;

/// Noon in Shanghai, 29 May 2026.
const NOON: i64 = 1_780_027_200_000;

struct Asked {
    park: Park,
    viewer: String,
}

impl Asked {
    /// A battery, the grid's meter, and two submeters: one in a building.
    async fn park() -> Asked {
        Asked::park_with(ApiOptions::default()).await
    }

    async fn park_with(options: ApiOptions) -> Asked {
        let park = Park::timed_with(options, Auth::new(&[42; 32]), || Timestamp(NOON)).await;
        let admin = park.token("admin").await;
        for (id, building) in [("sub-1", Some("b-1")), ("sub-2", None)] {
            let body = json!({ "deviceId": id, "model": "submeter", "name": id, "building": building });
            assert_eq!(park.post("/api/v1/devices", &admin, body).await.status, 201);
        }
        let viewer = park.token("viewer").await;
        Asked { park, viewer }
    }

    async fn report(&self, device: &str, at: i64, data: Value) {
        let payload = json!({ "deviceId": device, "timestamp": at, "data": data }).to_string();
        let sender = Sender::Device(device.parse().unwrap());
        for item in self.park.twin.ingest(&sender, payload.as_bytes(), Timestamp(NOON)).await.unwrap() {
            item.result.unwrap();
        }
    }

    /// Some readings of the hour before noon: bess-1 every ten minutes, the others now and then.
    async fn with_readings() -> Asked {
        let asked = Asked::park().await;
        for i in 0..6 {
            let data = json!({ "power": 10.0 * f64::from(i), "soc": 50.0 });
            asked.report("bess-1", minutes(i64::from(i) * 10), data).await;
        }
        asked.report("sub-1", minutes(0), json!({ "power": 4.0, "energy_import": 100.0 })).await;
        asked.report("sub-1", minutes(30), json!({ "power": 6.0, "energy_import": 102.5 })).await;
        asked.report("sub-2", minutes(5), json!({ "power": 1.0, "energy_import": 7.0 })).await;
        asked.report("sub-2", minutes(15), json!({ "power": 3.0, "energy_import": 8.0 })).await;
        asked
    }

    async fn reply(&self, query: &str) -> Reply {
        self.park.get(&format!("/api/v1/telemetry/query?{query}"), &self.viewer).await
    }

    async fn data(&self, query: &str) -> Value {
        self.reply(query).await.data()
    }

    /// Column names and rows, whose times are minutes after eleven.
    async fn table(&self, query: &str) -> (Vec<String>, Value) {
        let data = self.data(query).await;
        let name = |column: &Value| column["name"].as_str().unwrap().to_owned();
        let names = data["columns"].as_array().unwrap().iter().map(name).collect();
        let mut rows = data["rows"].clone();
        for row in rows.as_array_mut().unwrap() {
            row[0] = json!((row[0].as_i64().unwrap() - minutes(0)) / 60_000);
        }
        (names, rows)
    }
}

/// So many after eleven o'clock.
fn minutes(minute: i64) -> i64 {
    NOON - HOUR_MS + minute * 60_000
}

#[tokio::test]
async fn readings_of_several_series_come_one_series_after_the_other() {
    let asked = Asked::with_readings().await;
    let data = asked.data("device=sub-2,sub-1&measurement=power").await;
    assert_eq!(
        data,
        json!({
            "from": minutes(0), "to": NOON, "timeZone": "Asia/Shanghai",
            "series": [
                {
                    "name": "sub-2/power", "device": "sub-2", "type": "submeter", "group": "load",
                    "measurement": "power", "unit": "kW", "series": 1,
                    "points": [[minutes(5), 1.0], [minutes(15), 3.0]],
                },
                {
                    "name": "sub-1/power", "device": "sub-1", "type": "submeter", "building": "b-1", "group": "load",
                    "measurement": "power", "unit": "kW", "series": 1,
                    "points": [[minutes(0), 4.0], [minutes(30), 6.0]],
                },
            ],
        })
    );
}

#[tokio::test]
async fn doubtful_readings_say_so() {
    let asked = Asked::park().await;
    asked.report("bess-1", minutes(1), json!({ "soc": 140.0 })).await;
    let data = asked.data("device=bess-1&measurement=soc").await;
    assert_eq!(data["series"][0]["points"], json!([[minutes(1), 140.0, "out_of_range"]]));
}

#[tokio::test]
async fn points_are_selected_by_what_they_are() {
    let asked = Asked::with_readings().await;
    let names = async |query: &str| {
        let data = asked.data(query).await;
        let name = |series: &Value| series["name"].as_str().unwrap().to_owned();
        data["series"].as_array().unwrap().iter().map(name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names("measurement=soc").await, "bess-1/soc");
    assert_eq!(names("type=submeter&measurement=power").await, "sub-1/power sub-2/power");
    assert_eq!(names("type=storage,grid_meter&measurement=power").await, "bess-1/power grid/power");
    assert_eq!(names("building=b-1").await, "sub-1/power sub-1/energy_import");
    assert_eq!(
        names("building=b-1&group=load&measurement=power,energy_import").await,
        names("building=b-1").await
    );
    assert_eq!(names("group=storage,load&measurement=power").await, "bess-1/power sub-1/power sub-2/power");
    assert_eq!(names("").await.split(' ').count(), 8);
}

#[tokio::test]
async fn steps_of_several_series_stand_side_by_side() {
    let asked = Asked::with_readings().await;
    let (names, rows) = asked.table("device=bess-1,sub-2&measurement=power&step=15m").await;
    assert_eq!(names, ["bess-1/power", "sub-2/power"]);
    assert_eq!(rows, json!([[0, 5.0, 1.0], [15, 20.0, 3.0], [30, 35.0, null], [45, 50.0, null]]));
    let (names, rows) = asked.table("device=sub-1&measurement=power&step=30m&aggregate=max,count").await;
    assert_eq!(names, ["sub-1/power/max", "sub-1/power/count"]);
    assert_eq!(rows, json!([[0, 4.0, 1.0], [30, 6.0, 1.0]]));
    let data = asked.data("device=sub-1&step=1h&aggregate=max,count&measurement=power").await;
    assert_eq!((&data["step"], &data["from"]), (&json!("1h"), &json!(minutes(0))));
    let said = |i: usize| (data["columns"][i]["figure"].clone(), data["columns"][i]["unit"].clone());
    assert_eq!((said(0), said(1)), ((json!("max"), json!("kW")), (json!("count"), json!(""))));
}

#[tokio::test]
async fn a_step_is_whole_wherever_the_question_begins() {
    let asked = Asked::with_readings().await;
    let from = minutes(40);
    let (_, rows) = asked.table(&format!("device=bess-1&measurement=power&step=30m&from={from}")).await;
    assert_eq!(rows, json!([[30, 40.0]]));
    // The end cuts: 30 and 40 of the last step's three.
    let to = minutes(50);
    let (_, rows) =
        asked.table(&format!("device=bess-1&measurement=power&step=30m&from={}&to={to}", minutes(0))).await;
    assert_eq!(rows, json!([[0, 10.0], [30, 35.0]]));
}

#[tokio::test]
async fn every_figure_is_what_it_says() {
    let asked = Asked::with_readings().await;
    let query = "device=bess-1&measurement=power&step=30m&aggregate=mean,min,max,first,last,sum,count,twa";
    let (_, rows) = asked.table(query).await;
    assert_eq!(
        rows,
        json!([
            [0, 10.0, 0.0, 20.0, 0.0, 20.0, 30.0, 3.0, 10.0],
            [30, 40.0, 30.0, 50.0, 30.0, 50.0, 120.0, 3.0, 40.0],
        ])
    );
    let (_, rows) = asked.table("device=sub-1&measurement=energy_import&step=30m&aggregate=delta").await;
    assert_eq!(rows, json!([[0, 0.0], [30, 2.5]]));
    // Ten minutes divide a quarter of an hour unevenly: how long a reading holds tells the mean over time from the mean.
    let (_, rows) = asked.table("device=bess-1&measurement=power&step=15m&aggregate=mean,twa").await;
    assert_eq!(
        rows,
        json!([
            [0, 5.0, (0.0 * 10.0 + 10.0 * 5.0) / 15.0],
            [15, 20.0, (10.0 * 5.0 + 20.0 * 10.0) / 15.0],
            [30, 35.0, (30.0 * 10.0 + 40.0 * 5.0) / 15.0],
            [45, 50.0, (40.0 * 5.0 + 50.0 * 10.0) / 15.0],
        ])
    );
    // Nothing is known of sub-2 before 11:05.
    let (_, rows) = asked.table("device=sub-2&measurement=power&step=30m&aggregate=mean,twa").await;
    assert_eq!(rows, json!([[0, 2.0, (1.0 * 10.0 + 3.0 * 15.0) / 25.0]]));
}

#[tokio::test]
async fn what_a_meter_counted_while_it_was_silent_is_in_the_step_it_speaks_again() {
    let asked = Asked::with_readings().await;
    let days_ago = minutes(-3 * 24 * 60);
    asked.report("sub-1", days_ago, json!({ "power": 10.0, "energy_import": 60.0 })).await;
    let base = "device=sub-1&step=30m";
    let rows = async |rest: &str| asked.table(&format!("{base}&{rest}")).await.1;
    let counted = json!([[0, 40.0], [30, 2.5]]);
    assert_eq!(rows("measurement=energy_import&aggregate=delta").await, counted);
    assert_eq!(
        rows(&format!("measurement=energy_import&aggregate=delta&from={}", minutes(-90))).await,
        counted
    );
    // Ten kilowatts until five past.
    asked.report("sub-2", days_ago, json!({ "power": 10.0 })).await;
    let (_, rows) = asked.table("device=sub-2&measurement=power&step=30m&aggregate=twa").await;
    assert_eq!(rows, json!([[0, (10.0 * 5.0 + 1.0 * 10.0 + 3.0 * 15.0) / 30.0]]));
}

#[tokio::test]
async fn steps_without_a_reading_are_filled_where_that_is_asked_for() {
    let asked = Asked::with_readings().await;
    let rows = async |rest: &str| asked.table(&format!("measurement=power&{rest}")).await.1;
    let quarters = "device=sub-2&step=15m";
    for (fill, expected) in [
        ("", json!([[0, 1.0], [15, 3.0]])),
        ("&fill=none", json!([[0, 1.0], [15, 3.0]])),
        ("&fill=0", json!([[0, 1.0], [15, 3.0], [30, 0.0], [45, 0.0]])),
        ("&fill=previous", json!([[0, 1.0], [15, 3.0], [30, 3.0], [45, 3.0]])),
        ("&fill=previous&fill_within=15m", json!([[0, 1.0], [15, 3.0], [30, 3.0]])),
        ("&fill=previous&fill_within=10m", json!([[0, 1.0], [15, 3.0]])),
    ] {
        assert_eq!(rows(&format!("{quarters}{fill}")).await, expected, "{fill}");
    }
    // What stands in comes from before the question, and nothing is said of what is still to come.
    let range = format!("from={}&to={}", minutes(30), minutes(150));
    let held = json!([[30, 3.0], [45, 3.0]]);
    assert_eq!(rows(&format!("{quarters}&fill=previous&fill_within=1d&{range}")).await, held);
    let nothing = json!([[30, 0.0], [45, 0.0]]);
    assert_eq!(rows(&format!("{quarters}&fill=0&{range}")).await, nothing);
    // A sum has no dip, and a difference a value.
    let twa = (1.0 * 10.0 + 3.0 * 15.0) / 25.0;
    let halves = "step=30m&aggregate=twa&type=submeter";
    assert_eq!(rows(&format!("{halves}&across=sum")).await, json!([[0, 4.0 + twa], [30, 6.0]]));
    assert_eq!(rows(&format!("{halves}&across=sum&fill=previous")).await, json!([[0, 4.0 + twa], [30, 9.0]]));
    let difference = format!("{halves}&q.a=device%3Dsub-1&q.b=device%3Dsub-2&expr=a-b");
    assert_eq!(rows(&difference).await, json!([[0, 4.0 - twa], [30, null]]));
    assert_eq!(rows(&format!("{difference}&fill=previous")).await, json!([[0, 4.0 - twa], [30, 3.0]]));
}

#[tokio::test]
async fn what_is_filled_in_says_so() {
    let asked = Asked::with_readings().await;
    let base = "type=submeter&step=30m&fill=previous";
    let (names, rows) = asked.table(&format!("{base}&measurement=power&aggregate=last,filled")).await;
    assert_eq!(names, ["sub-1/power/last", "sub-2/power/last", "sub-1/power/filled", "sub-2/power/filled"]);
    assert_eq!(rows, json!([[0, 4.0, 3.0, 0.0, 0.0], [30, 6.0, 3.0, 0.0, 1.0]]));
    let query = format!("{base}&measurement=energy_import&aggregate=delta,count,filled&group_by=group");
    let data = asked.data(&query).await;
    assert_eq!(data["fill"], "previous");
    assert_eq!(data["columns"][2]["figure"], "sum of filled");
    // Two readings of sub-2, then none while its last one stands in.
    assert_eq!(data["rows"], json!([[minutes(0), 1.0, 3.0, 0.0], [minutes(30), 2.5, 1.0, 1.0]]));
    let arrow = batches(&asked.reply(&format!("{query}&format=arrow")).await);
    assert_eq!(arrow[0].schema().metadata()["fill"], "previous");
    assert_eq!(asked.data("device=grid&step=1h&fill=none").await.get("fill"), None);
}

#[tokio::test]
async fn series_are_combined_by_what_they_share() {
    let asked = Asked::with_readings().await;
    let base = "measurement=power&group=load,storage&step=30m&aggregate=mean";
    let (names, rows) = asked.table(&format!("{base}&group_by=group&across=sum")).await;
    assert_eq!(names, ["storage", "load"]);
    // sub-2 has no reading in the second half hour, and takes no part in it.
    assert_eq!(rows, json!([[0, 10.0, 6.0], [30, 40.0, 6.0]]));
    let (names, rows) = asked.table(&format!("{base}&group_by=group,building")).await;
    assert_eq!(names, ["storage/(none)", "load/b-1", "load/(none)"]);
    assert_eq!(rows, json!([[0, 10.0, 4.0, 2.0], [30, 40.0, 6.0, null]]));
    let (names, rows) = asked.table(&format!("{base}&across=count")).await;
    assert_eq!((names, rows), (vec!["all".to_owned()], json!([[0, 3.0], [30, 2.0]])));
    let data = asked.data(&format!("{base}&group_by=group&across=sum")).await;
    let load = json!({
        "name": "load", "type": "submeter", "group": "load", "measurement": "power", "unit": "kW",
        "figure": "sum of mean", "series": 2,
    });
    assert_eq!(data["columns"][1], load);
    let mixed = asked.data("device=bess-1&measurement=power,soc&step=1h&group_by=device").await;
    assert_eq!(mixed["columns"][0].get("unit"), None, "kW and % have no unit together");
}

#[tokio::test]
async fn selections_with_names_are_reckoned_with() {
    let asked = Asked::with_readings().await;
    let named = "q.bess=device=bess-1&q.loads=type%3Dsubmeter;across%3Dsum&measurement=power&step=30m";
    let (names, rows) = asked.table(named).await;
    assert_eq!(names, ["bess", "loads"]);
    assert_eq!(rows, json!([[0, 10.0, 6.0], [30, 40.0, 6.0]]));
    let difference = asked.data(&format!("{named}&expr=max(bess-loads,5)")).await;
    assert_eq!(difference["rows"], json!([[minutes(0), 5.0], [minutes(30), 34.0]]));
    let column = &difference["columns"][0];
    assert_eq!((&column["unit"], &column["series"]), (&json!("kW"), &json!(3)));
    let product = asked.data(&format!("{named}&expr=bess*loads")).await;
    assert_eq!(product["columns"][0].get("unit"), None);
    // By key: what one side has no value for has none.
    let (names, rows) = asked
        .table("q.a=aggregate%3Dmax&q.b=aggregate%3Dmin&type=submeter&measurement=power&group_by=device&step=30m&expr=a-b")
        .await;
    assert_eq!(names, ["sub-1", "sub-2"]);
    assert_eq!(rows, json!([[0, 0.0, 2.0], [30, 0.0, null]]));
    let (names, rows) =
        asked.table("device=bess-1&measurement=power&step=30m&aggregate=max,min&expr=max-min").await;
    assert_eq!((names, rows), (vec!["bess-1/power".to_owned()], json!([[0, 20.0], [30, 20.0]])));
}

#[tokio::test]
async fn the_greatest_columns_come_first_and_others_not_at_all() {
    let asked = Asked::with_readings().await;
    let top = async |rest: &str| asked.table(&format!("measurement=power&step=30m&{rest}")).await.0.join(" ");
    assert_eq!(top("top=2").await, "bess-1/power sub-1/power");
    assert_eq!(top("top=9").await, "bess-1/power sub-1/power sub-2/power");
    assert_eq!(top("top=2&by=sum&aggregate=count").await, "bess-1/power sub-1/power");
    assert_eq!(top("top=1&by=max&type=submeter&group_by=device").await, "sub-1");
    let (names, rows) =
        asked.table("measurement=power&type=submeter&step=30m&aggregate=max,min&expr=max-min&top=1").await;
    assert_eq!((names, rows), (vec!["sub-2/power".to_owned()], json!([[0, 2.0]])));
}

#[tokio::test]
async fn days_and_months_are_the_parks() {
    let asked = Asked::park().await;
    for (at, kwh) in [
        ("2026-04-30T15:59:00Z", 1.0),
        ("2026-04-30T16:00:00Z", 2.0),
        ("2026-05-01T15:59:59Z", 4.0),
        ("2026-05-01T16:00:00Z", 7.0),
    ] {
        let at = Timestamp::parse(at).unwrap();
        asked.report("sub-1", at.0, json!({ "energy_import": kwh })).await;
    }
    let rows = async |step: &str, aggregate: &str| {
        let query = format!(
            "device=sub-1&measurement=energy_import&from=2026-04-30T12:00:00Z&to=2026-05-02T00:00:00Z&step={step}&aggregate={aggregate}"
        );
        let rows = asked.data(&query).await["rows"].take();
        let row = |row: &Value| format!("{} {}", Timestamp(row[0].as_i64().unwrap()), row[1]);
        rows.as_array().unwrap().iter().map(row).collect::<Vec<_>>()
    };
    assert_eq!(rows("1mo", "count").await, ["2026-03-31T16:00:00Z 1.0", "2026-04-30T16:00:00Z 3.0"]);
    let days = ["2026-04-29T16:00:00Z 0.0", "2026-04-30T16:00:00Z 3.0", "2026-05-01T16:00:00Z 3.0"];
    assert_eq!(rows("1d", "delta").await, days);
}

#[tokio::test]
async fn csv_is_what_spreadsheets_read() {
    let asked = Asked::with_readings().await;
    let reply = asked.reply("device=bess-1,sub-2&measurement=power&step=30m&format=csv").await;
    assert_eq!(reply.headers[header::CONTENT_TYPE], "text/csv; charset=utf-8; header=present");
    let expected = format!(
        "timestamp,bess-1/power [kW],sub-2/power [kW]\r\n{},10.0,2.0\r\n{},40.0,\r\n",
        minutes(0),
        minutes(30)
    );
    assert_eq!(String::from_utf8(reply.bytes.to_vec()).unwrap(), expected);
    let request = Request::get("/api/v1/telemetry/query?device=sub-2&measurement=power")
        .header(header::AUTHORIZATION, format!("Bearer {}", asked.viewer))
        .header(header::ACCEPT, "text/csv");
    let reply = asked.park.request(request.body(Body::empty()).unwrap()).await;
    let expected = format!(
        "series,unit,timestamp,value,quality\r\nsub-2/power,kW,{},1.0,good\r\nsub-2/power,kW,{},3.0,good\r\n",
        minutes(5),
        minutes(15)
    );
    assert_eq!(String::from_utf8(reply.bytes.to_vec()).unwrap(), expected);
}

fn batches(reply: &Reply) -> Vec<RecordBatch> {
    assert_eq!(reply.headers[header::CONTENT_TYPE], "application/vnd.apache.arrow.stream");
    let reader = StreamReader::try_new(&reply.bytes[..], None).unwrap();
    reader.collect::<Result<_, _>>().unwrap()
}

fn numbers<'a>(batch: &'a RecordBatch, name: &str) -> &'a Float64Array {
    batch.column_by_name(name).unwrap().as_any().downcast_ref().unwrap()
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<String> {
    let array: &StringArray = batch.column_by_name(name).unwrap().as_any().downcast_ref().unwrap();
    array.iter().map(|text| text.unwrap_or("-").to_owned()).collect()
}

fn times(batch: &RecordBatch) -> Vec<i64> {
    let array = batch.column_by_name("timestamp").unwrap();
    let array: &TimestampMillisecondArray = array.as_any().downcast_ref().unwrap();
    array.values().to_vec()
}

#[tokio::test]
async fn arrow_is_read_by_its_own_reader() {
    let asked = Asked::with_readings().await;
    let batches_of = async |query: &str| batches(&asked.reply(&format!("{query}&format=arrow")).await);
    let table = batches_of("device=bess-1,sub-2&measurement=power&step=30m").await;
    let [table] = &table[..] else { panic!("{} batches", table.len()) };
    assert_eq!(times(table), [minutes(0), minutes(30)]);
    assert_eq!(numbers(table, "bess-1/power").iter().collect::<Vec<_>>(), [Some(10.0), Some(40.0)]);
    assert_eq!(numbers(table, "sub-2/power").iter().collect::<Vec<_>>(), [Some(2.0), None]);
    let schema = table.schema();
    assert_eq!(schema.metadata()["step"], "30m");
    assert_eq!(schema.field(1).metadata()["unit"], "kW");

    asked.report("bess-1", minutes(59), json!({ "soc": 140.0 })).await;
    let series = batches_of("device=sub-2,bess-1&measurement=power,soc").await;
    let [series] = &series[..] else { panic!("{} batches", series.len()) };
    assert_eq!(series.num_rows(), 2 + 6 + 7);
    assert_eq!(texts(series, "series")[..3], ["sub-2/power", "sub-2/power", "bess-1/power"]);
    assert_eq!(texts(series, "unit")[14], "%");
    assert_eq!(texts(series, "quality")[13..], ["good", "out_of_range"]);
    assert_eq!(numbers(series, "value").value(14), 140.0);
    assert_eq!(times(series)[14], minutes(59));
    assert!(batches_of("device=grid").await.is_empty());
}

impl Asked {
    /// A second's reading each, up to noon, straight into the store.
    async fn with_seconds(&self, count: i64) {
        let series = SeriesKey { device: "grid".parse().unwrap(), measurement: "power".parse().unwrap() };
        let reading = |i: i64| Reading {
            value: if i == 777 { 5_000.0 } else { (i % 100) as f64 },
            timestamp: Timestamp(NOON - (count - i) * 1_000),
            quality: Quality::Good,
        };
        let points = (0..count).map(|i| Point { series: series.clone(), reading: reading(i) }).collect();
        self.park.history.append(points).await.unwrap();
    }
}

#[tokio::test]
async fn a_chart_keeps_its_peak() {
    let asked = Asked::park().await;
    asked.with_seconds(3_000).await;
    let series = asked.data("device=grid&points=50").await["series"][0].take();
    let points = series["points"].as_array().unwrap();
    assert!((40..=50).contains(&points.len()), "{}", points.len());
    assert!(points.contains(&json!([NOON - (3_000 - 777) * 1_000, 5_000.0])));
    assert_eq!((&series["of"], &points[0]), (&json!(3_000), &json!([NOON - 3_000_000, 0.0])));
    let steps = asked.data("device=grid&step=10s&aggregate=max&points=20").await["series"][0].take();
    assert_eq!((&steps["of"], &steps["figure"]), (&json!(300), &json!("max")));
    assert!(steps["points"].as_array().unwrap().len() <= 20);
    let peak = steps["points"].as_array().unwrap().iter().filter(|point| point[1] == 5_000.0).count();
    assert_eq!(peak, 1);
}

#[tokio::test]
async fn the_cleaned_view_of_one_series_is_as_on_its_history() {
    let asked = Asked::park().await;
    for second in 0..40 {
        let value = if second == 20 { 900.0 } else { 5.0 + f64::from(second % 3) };
        asked.report("bess-1", minutes(0) + i64::from(second) * 1_000, json!({ "power": value })).await;
    }
    let range = format!("from={}&to={}", minutes(0), minutes(2));
    let cleaned =
        asked.data(&format!("device=bess-1&measurement=power&cleaned=true&{range}")).await["series"][0]
            .take();
    let path = format!("/api/v1/devices/bess-1/history?measurement=power&cleaned=true&{range}");
    let history = asked.park.get(&path, &asked.viewer).await.data();
    let points = cleaned["points"].as_array().unwrap();
    assert_eq!(points.len(), history["points"].as_array().unwrap().len());
    for ((point, same), flag) in
        points.iter().zip(history["points"].as_array().unwrap()).zip(history["flags"].as_array().unwrap())
    {
        assert_eq!((&point[0], &point[1]), (&same[0], &same[1]));
        assert_eq!(point.get(2).unwrap_or(&json!("good")), flag);
    }
    assert_eq!(points[20][2], "spike");
}

#[tokio::test]
async fn a_long_answer_comes_in_parts_and_whole() {
    let asked = Asked::park().await;
    asked.with_seconds(100_000).await;
    let path = format!("/api/v1/telemetry/query?device=grid&from={}", NOON - 100_000_000);
    let mut body = asked.open(&path).await;
    let mut parts = 0;
    let mut all = Vec::new();
    while let Some(part) = body.next().await {
        all.extend_from_slice(&part.unwrap());
        parts += 1;
    }
    assert!(parts > 2, "{parts} parts");
    let whole: Value = serde_json::from_slice(&all).unwrap();
    let points = whole["data"]["series"][0]["points"].as_array().unwrap();
    assert_eq!(points.len(), 100_000);
    assert_eq!(points[99_999], json!([NOON - 1_000, 99.0]));
    assert!(points.is_sorted_by(|a, b| a[0].as_i64() < b[0].as_i64()));
}

#[tokio::test]
async fn an_answer_that_fails_on_the_way_is_cut_off() {
    for format in ["json", "csv", "arrow"] {
        let asked = Asked::park().await;
        asked.with_seconds(100_000).await;
        let path = format!("/api/v1/telemetry/query?device=grid&format={format}&from={}", NOON - 100_000_000);
        let mut body = asked.open(&path).await;
        let first = body.next().await.unwrap().unwrap();
        assert!(!first.is_empty());
        asked.park.history.clone().close().await.unwrap();
        let mut failed = false;
        while let Some(part) = body.next().await {
            failed |= part.is_err();
        }
        assert!(failed, "{format}: half an answer looks like a whole one");
    }
}

/// Longer than what is sent at once.
const LONG: &str = "device=grid&from=1779927200000";

#[tokio::test]
async fn more_questions_than_are_answered_at_once_wait_or_hear_so() {
    let options = ApiOptions {
        telemetry_answers: 1,
        telemetry_turn_within: Duration::from_millis(10),
        ..Default::default()
    };
    let asked = Asked::park_with(options).await;
    asked.with_seconds(100_000).await;
    let mut long = asked.open(&format!("/api/v1/telemetry/query?{LONG}")).await;
    long.next().await.unwrap().unwrap();
    let busy = asked.reply("device=grid").await;
    assert_eq!(busy.fault(), (503, "BUSY".to_owned(), None));
    assert_eq!(busy.headers[header::RETRY_AFTER], "1");
    drop(long);
    // Who went away makes room.
    while asked.reply("device=grid").await.status != 200 {}
}

#[tokio::test]
async fn who_takes_nothing_is_cut_off_and_makes_room() {
    let options = ApiOptions {
        telemetry_answers: 1,
        telemetry_turn_within: Duration::from_secs(60),
        telemetry_taken_within: Duration::from_millis(50),
        ..Default::default()
    };
    let asked = Asked::park_with(options).await;
    asked.with_seconds(100_000).await;
    let mut long = asked.open(&format!("/api/v1/telemetry/query?{LONG}")).await;
    long.next().await.unwrap().unwrap();
    assert_eq!(asked.reply("device=grid").await.status, 200);
    let parts: Vec<_> = long.collect().await;
    assert!(parts.len() <= 2 && parts.last().unwrap().is_err(), "{} parts", parts.len());
}

#[tokio::test]
async fn all_of_time_is_answered_as_soon_as_an_hour() {
    let asked = Asked::with_readings().await;
    // Older than devices may send.
    let series = SeriesKey { device: "sub-1".parse().unwrap(), measurement: "power".parse().unwrap() };
    let reading = Reading { value: 8.0, timestamp: Timestamp(1_000), quality: Quality::Good };
    asked.park.history.append(vec![Point { series, reading }]).await.unwrap();
    for (range, step, expected) in [
        ("from=-9223372036854775808&to=9223372036854775807", "1s", 3),
        ("from=0&to=253402214400000", "1m", 3),
        ("from=0&to=4102444800000", "7h", 2),
        ("from=0&to=4102444800000", "1d", 2),
        ("from=0&to=4102444800000", "1200mo", 2),
        ("from=4102444800000&to=9223372036854775807", "1s", 0),
        ("from=0&to=0", "1s", 0),
        ("from=9223372036854775807&to=9223372036854775807", "1y", 0),
    ] {
        for aggregate in ["count", "twa", "delta"] {
            let measurement = if aggregate == "delta" { "energy_import" } else { "power" };
            let query =
                format!("device=sub-1&measurement={measurement}&{range}&step={step}&aggregate={aggregate}");
            let rows = asked.data(&query).await["rows"].take();
            let expected = if aggregate == "delta" && expected > 0 { expected - 1 } else { expected };
            assert_eq!(rows.as_array().unwrap().len(), expected, "{query}: {rows}");
        }
        let raw = asked.data(&format!("device=sub-1&{range}")).await;
        assert_eq!(raw["series"].as_array().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn what_comes_to_no_number_is_nothing() {
    let asked = Asked::with_readings().await;
    let base = "device=sub-2&measurement=power&step=30m";
    let rows = async |rest: &str| asked.table(&format!("{base}&{rest}")).await.1;
    for expression in ["mean/(mean-mean)", "(mean-mean)/(mean-mean)", "mean*1e308*1e308", "-mean/0"] {
        let expression = expression.replace('+', "%2B");
        assert_eq!(rows(&format!("expr={expression}")).await, json!([[0, null]]), "{expression}");
    }
    let reply = asked.reply(&format!("{base}&expr=mean/0&format=csv")).await;
    assert_eq!(
        String::from_utf8(reply.bytes.to_vec()).unwrap(),
        format!("timestamp,sub-2/power\r\n{},\r\n", minutes(0))
    );
    // What has no value is none of the greatest.
    let none = asked.data(&format!("{base}&expr=mean/0&top=3")).await;
    assert_eq!((&none["columns"], &none["rows"]), (&json!([]), &json!([])));
    let chart = asked.data(&format!("{base}&expr=mean/0&points=4")).await;
    assert_eq!((&chart["series"][0]["points"], &chart["series"][0]["of"]), (&json!([]), &json!(0)));
}

impl Asked {
    async fn open(&self, path: &str) -> axum::body::BodyDataStream {
        let request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.viewer))
            .body(Body::empty())
            .unwrap();
        let response = tower::ServiceExt::oneshot(self.park.router.clone(), request).await.unwrap();
        assert_eq!(response.status(), 200);
        response.into_body().into_data_stream()
    }
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_by_name() {
    let asked = Asked::with_readings().await;
    for (query, status, code, field, says) in [
        ("device=bess-9", 404, "UNKNOWN_DEVICE", "device", "bess-1, grid, sub-1, sub-2"),
        ("type=engine", 400, "UNKNOWN_TYPE", "type", "battery"),
        ("building=b-9", 400, "UNKNOWN_BUILDING", "building", "b-1"),
        ("group=sun", 400, "INVALID_VALUE", "group", "grid, pv, wind"),
        ("device=grid&measurement=soc", 400, "UNKNOWN_MEASUREMENT", "measurement", "power"),
        ("device=a%20b", 400, "INVALID_VALUE", "device", "a b"),
        ("building=b-1&group=storage", 400, "NOTHING_SELECTED", "device", "building=b-1;group=storage"),
        ("from=soon", 400, "WRONG_TYPE", "from", "soon"),
        ("from=2000&to=1000", 400, "INVALID_VALUE", "from", "after"),
        ("step=1M", 400, "INVALID_VALUE", "step", "1M"),
        ("step=1h&aggregate=median", 400, "INVALID_VALUE", "aggregate", "median"),
        ("step=1h&across=twa", 400, "INVALID_VALUE", "across", "sum, mean, min, max, count"),
        ("step=1h&group_by=colour", 400, "INVALID_VALUE", "group_by", "device, type, building"),
        ("step=1h&aggregate=delta", 400, "INVALID_VALUE", "aggregate", "power of bess-1"),
        ("aggregate=mean", 400, "INVALID_VALUE", "aggregate", "step"),
        ("expr=a", 400, "INVALID_VALUE", "expr", "step"),
        ("step=1h&expr=mean+(", 400, "INVALID_VALUE", "expr", "at character"),
        ("step=1h&expr=power", 400, "INVALID_VALUE", "expr", "there are mean"),
        ("step=1h&top=0", 400, "INVALID_VALUE", "top", "1 to"),
        ("step=1h&by=max", 400, "INVALID_VALUE", "by", "top"),
        ("step=1h&top=1&by=min", 400, "INVALID_VALUE", "by", "sum, max, mean"),
        ("points=3", 400, "INVALID_VALUE", "points", "4 to"),
        ("format=xml", 400, "INVALID_VALUE", "format", "json, csv, arrow"),
        ("cleaned=true", 400, "INVALID_VALUE", "cleaned", "8 are meant"),
        ("cleaned=true&step=1h", 400, "INVALID_VALUE", "step", "cleaned"),
        ("fill=linear", 400, "INVALID_VALUE", "fill", "cleaned"),
        ("step=1h&fill=linear", 400, "INVALID_VALUE", "fill", "previous"),
        ("device=grid&measurement=power&cleaned=true&fill=0", 400, "INVALID_VALUE", "fill", "steps"),
        ("fill_within=1h", 400, "INVALID_VALUE", "fill_within", "step"),
        ("step=1h&fill_within=1h", 400, "INVALID_VALUE", "fill_within", "fill=previous"),
        ("step=1h&fill=previous&fill_within=1M", 400, "INVALID_VALUE", "fill_within", "1M"),
        ("step=1h&fill=previous&fill_within=1mo", 400, "INVALID_VALUE", "fill_within", "days"),
        ("q.a=device%3Dgrid", 400, "INVALID_VALUE", "q.a", "step"),
        ("step=1h&q.a=device%3Dnobody", 404, "UNKNOWN_DEVICE", "q.a", "nobody"),
        ("step=1h&q.a=colour%3Dred", 400, "INVALID_VALUE", "q.a", "colour"),
        ("step=1h&q.1=device%3Dgrid", 400, "INVALID_VALUE", "q.1", "letters"),
        ("step=1h&q.a=device%3Dgrid&q.a=device%3Dgrid", 400, "DUPLICATE_FIELD", "q.a", "twice"),
        ("step=1h&q.a=device%3Dgrid&expr=b", 400, "INVALID_VALUE", "expr", "there are a"),
        ("colour=red", 400, "UNKNOWN_FIELD", "colour", "colour"),
    ] {
        let reply = asked.reply(query).await;
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        let expected = (status, code.to_owned(), Some(field.to_owned()));
        assert_eq!(reply.fault(), expected, "{query}: {message}");
        assert!(message.contains(says), "{query}: {message}");
    }
    let reply = asked.reply(&format!("device=grid{}", ",grid".repeat(7_000))).await;
    assert_eq!(reply.fault(), (414, "TOO_LONG".to_owned(), None));
    let deep = format!("{}mean{}", "(".repeat(400), ")".repeat(400));
    let reply = asked.reply(&format!("step=1h&expr={deep}")).await;
    assert_eq!(reply.fault(), (400, "INVALID_VALUE".to_owned(), Some("expr".to_owned())));
    let reply = asked.park.call(Method::GET, "/api/v1/telemetry/query", None, "").await;
    assert_eq!(reply.fault().0, 401);
}
