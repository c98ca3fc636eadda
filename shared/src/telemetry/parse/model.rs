//! The parser against a naive model of it over whole JSON values, on payloads that are nearly right.

use super::*;
use proptest::prelude::*;
use serde_json::{Map, Number, Value as Json, json};

/// What the parser should say of one item: the message, or the codes and fields one of which it may name.
fn expected(item: &Json, at: Option<usize>) -> Result<DataMessage, Vec<(RefusalCode, String)>> {
    let fault = |code, name: &str| Err(vec![(code, field_at(at, name))]);
    let Json::Object(object) = item else { return fault(RefusalCode::WrongType, "") };
    let device_id = match object.get("deviceId") {
        None => return fault(RefusalCode::MissingField, "deviceId"),
        Some(id) => match id.as_str().and_then(|text| text.parse().ok()) {
            Some(id) => id,
            None => return fault(RefusalCode::WrongType, "deviceId"),
        },
    };
    let timestamp = match object.get("timestamp") {
        None => return fault(RefusalCode::MissingField, "timestamp"),
        Some(Json::String(text)) => Timestamp::parse(text).ok(),
        Some(other) => other.as_i64().map(Timestamp),
    };
    let Some(timestamp) = timestamp else { return fault(RefusalCode::WrongType, "timestamp") };
    let values = match object.get("data") {
        None => return fault(RefusalCode::MissingField, "data"),
        Some(Json::Object(values)) if values.is_empty() => return fault(RefusalCode::EmptyData, "data"),
        Some(Json::Object(values)) => values,
        Some(_) => return fault(RefusalCode::WrongType, "data"),
    };
    let mut faults = Vec::new();
    let mut data = Vec::new();
    for (key, value) in values {
        let sent = match value {
            Json::Object(measure) => match (measure.get("value"), measure.get("unit")) {
                (Some(Json::Number(n)), Some(Json::String(unit))) => {
                    Ok(Sent::InUnit { value: n.as_f64().unwrap(), unit: unit.clone() })
                }
                (Some(Json::Number(n)), None) => Ok(Sent::Number(n.as_f64().unwrap())),
                _ => Err(RefusalCode::WrongType),
            },
            Json::Number(n) => n.as_f64().map(Sent::Number).ok_or(RefusalCode::NotFinite),
            Json::Bool(on) => Ok(Sent::Number(f64::from(u8::from(*on)))),
            Json::String(word) if ["NaN", "Infinity", "-Infinity"].contains(&word.as_str()) => {
                Err(RefusalCode::NotFinite)
            }
            Json::String(word) => Ok(Sent::Word(word.clone())),
            _ => Err(RefusalCode::WrongType),
        };
        match (sent, key.parse()) {
            (Ok(sent), Ok(key)) => data.push((key, sent)),
            (Err(code), _) => faults.push((code, field_at(at, &format!("data.{key}")))),
            (Ok(_), Err(_)) => {
                faults.push((RefusalCode::UnknownMeasurement, field_at(at, &format!("data.{key}"))));
            }
        }
    }
    if faults.is_empty() { Ok(DataMessage { device_id, timestamp, data }) } else { Err(faults) }
}

fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(|n| json!(n)),
        any::<u64>().prop_map(|n| json!(n)),
        any::<f64>().prop_map(|n| Number::from_f64(n).map_or(Json::Null, Json::Number)),
        "NaN|-Infinity|on|1780000000000|2026-06-01T00:00:00Z|\\PC{0,6}".prop_map(Json::String),
        Just(json!([1, [2], { "a": 3 }])),
        Just(json!({ "a": { "b": [] } })),
        any::<i32>().prop_map(|n| json!({ "value": n, "unit": "W", "more": [n] })),
        any::<i32>().prop_map(|n| json!({ "value": n })),
        any::<i32>().prop_map(|n| json!({ "value": { "value": n }, "unit": n })),
    ]
}

fn object(
    key: &'static str,
    value: impl Strategy<Value = Json>,
    size: std::ops::Range<usize>,
) -> impl Strategy<Value = Json> {
    proptest::collection::btree_map(key, value, size)
        .prop_map(|fields| Json::Object(fields.into_iter().collect::<Map<_, _>>()))
}

fn item() -> impl Strategy<Value = Json> {
    let number = any::<f64>().prop_map(|n| Number::from_f64(n).map_or(json!(1), Json::Number));
    let data = prop_oneof![
        4 => object("[a-z]{1,3}", number, 1..30),
        2 => object("[a-z \\\\\"é]{0,3}", scalar(), 0..6),
        1 => scalar(),
    ];
    let id = prop_oneof![6 => "[a-z0-9._:-]{1,10}".prop_map(Json::String), 1 => scalar()];
    let time = prop_oneof![6 => any::<i64>().prop_map(|n| json!(n)), 1 => scalar()];
    let sound = (id, time, data).prop_map(|(id, time, data)| {
        json!({ "deviceId": id, "timestamp": time, "data": data, "more": [{ "data": {} }] })
    });
    prop_oneof![
        8 => sound.clone(),
        2 => (sound, "deviceId|timestamp|data").prop_map(|(mut item, without)| {
            item.as_object_mut().unwrap().remove(&without);
            item
        }),
        1 => scalar(),
    ]
}

fn check(got: Result<DataMessage, Refusal>, item: &Json, at: Option<usize>) -> Result<(), TestCaseError> {
    match (got, expected(item, at)) {
        (Ok(mut got), Ok(mut expected)) => {
            got.data.sort_by(|a, b| a.0.cmp(&b.0));
            expected.data.sort_by(|a, b| a.0.cmp(&b.0));
            prop_assert_eq!(got, expected);
        }
        (Err(refusal), Err(faults)) => {
            prop_assert!(faults.contains(&(refusal.code, refusal.field.clone())), "{refusal:?} {faults:?}");
        }
        (got, expected) => prop_assert!(false, "{got:?} instead of {expected:?}"),
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_lone_item_is_judged_as_the_model_judges_it(item in item(), pretty in any::<bool>()) {
        let text = if pretty { serde_json::to_string_pretty(&item) } else { serde_json::to_string(&item) }.unwrap();
        // As read, for reading a number may cost its last bit.
        let item: Json = serde_json::from_str(&text).unwrap();
        match (parse_data(text.as_bytes()), &item) {
            (Ok(mut got), Json::Object(_)) => check(got.remove(0), &item, None)?,
            (Ok(got), Json::Array(items)) => prop_assert_eq!(got.len(), items.len()),
            (Err(refusal), _) => prop_assert_eq!(refusal.code, RefusalCode::WrongType),
            (Ok(_), other) => prop_assert!(false, "{other} is no item"),
        }
    }

    #[test]
    fn every_item_of_an_array_is_judged_as_the_model_judges_it(items in proptest::collection::vec(item(), 0..6)) {
        let text = serde_json::to_string(&items).unwrap();
        let items: Vec<Json> = serde_json::from_str(&text).unwrap();
        let got = parse_data(text.as_bytes()).unwrap();
        prop_assert_eq!(got.len(), items.len());
        for (i, (got, item)) in got.into_iter().zip(&items).enumerate() {
            check(got, item, Some(i))?;
        }
    }

    #[test]
    fn damaged_payloads_are_refused_and_never_panic(item in item(), cuts in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..4)) {
        let mut bytes = serde_json::to_vec(&item).unwrap();
        for (at, byte) in cuts {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let _ = parse_data(&bytes);
        let _ = parse_events(&bytes);
        let whole = serde_json::from_slice::<Json>(&bytes).is_ok();
        if !whole && std::str::from_utf8(&bytes).is_ok() {
            prop_assert!(parse_data(&bytes).is_err());
        }
    }
}

/// Any bytes at all: what is JSON is judged as the model judges it, the rest is refused.
#[test]
fn fuzzed_payloads_are_judged_as_the_model_judges_them() {
    let seeds = [
        r#"{"deviceId":"pv-01","timestamp":1780000000000,"data":{"power":-81.5,"status":"on","ok":true}}"#,
        r#"[{"deviceId":"a","timestamp":"2026-06-01T00:00:00+08:00","data":{"p":1}},{"data":{"p":[{}]}},7,null]"#,
        r#"{"deviceId":"a","timestamp":1,"id":"e1","type":"overheat","severity":"major","description":"\u70ed"}"#,
    ];
    let seeds = seeds.map(|text| text.as_bytes().to_vec());
    park_fuzz::target("telemetry-json", seeds, |bytes| {
        let got = parse_data(bytes);
        if let Ok(json) = serde_json::from_slice::<Json>(bytes) {
            let items = match &json {
                Json::Array(items) => items.iter().enumerate().map(|(i, item)| (item, Some(i))).collect(),
                item => vec![(item, None)],
            };
            match &got {
                Ok(got) => {
                    assert_eq!(got.len(), items.len());
                    for (got, (item, at)) in got.iter().zip(items) {
                        if let Err(difference) = check(got.clone(), item, at) {
                            panic!("{difference}");
                        }
                    }
                }
                Err(refusal) => {
                    assert!(!json.is_object() && !json.is_array(), "{refusal}");
                    assert_eq!(refusal.code, RefusalCode::WrongType);
                }
            }
        }
        // What kind of payload it is: how each item was judged, whatever it is called.
        let kind = |result: Result<usize, &Refusal>| match result {
            Ok(values) => (values.min(3), None, 0),
            Err(refusal) => (0, Some(refusal.code), refusal.field.len().min(20)),
        };
        let kinds = |judged: Result<Vec<Result<usize, &Refusal>>, &Refusal>| match judged {
            Ok(items) => items.into_iter().take(3).map(kind).collect(),
            Err(refusal) => vec![kind(Err(refusal))],
        };
        let events = parse_events(bytes);
        (
            kinds(got.as_ref().map(|i| i.iter().map(|i| i.as_ref().map(|m| m.data.len())).collect())),
            kinds(events.as_ref().map(|i| i.iter().map(|i| i.as_ref().map(|e| e.kind.len())).collect())),
        )
    });
}
