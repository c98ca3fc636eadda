//! What goes over the wire: `{"deviceId","timestamp","data":{…}}`, one object or an array.

use serde_json::{Map, Number, Value};
use shared::telemetry::{DataMessage, Sent};

/// An array, also of one: what the fleet catches up with may come one by one, and a reading that comes by itself is meant to
/// be live.
pub(crate) fn encode(messages: &[DataMessage]) -> Vec<u8> {
    Value::Array(messages.iter().map(object).collect()).to_string().into_bytes()
}

fn object(message: &DataMessage) -> Value {
    let data: Map<String, Value> = message
        .data
        .iter()
        .map(|(key, sent)| {
            let value = match sent {
                Sent::Number(value) => number(*value),
                Sent::Word(word) => Value::String(word.clone()),
                Sent::InUnit { value, unit } => serde_json::json!({ "value": value, "unit": unit }),
            };
            (key.as_str().to_owned(), value)
        })
        .collect();
    Value::Object(Map::from_iter([
        ("deviceId".to_owned(), Value::String(message.device_id.as_str().to_owned())),
        ("timestamp".to_owned(), Value::Number(message.timestamp.millis().into())),
        ("data".to_owned(), Value::Object(data)),
    ]))
}

/// Whole numbers without a point, as meters write them.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        Value::Number((value as i64).into())
    } else {
        Number::from_f64(value).map_or(Value::Null, Value::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::time::Timestamp;

    fn message(at: i64) -> DataMessage {
        DataMessage {
            device_id: "bess-01".parse().unwrap(),
            timestamp: Timestamp(at),
            data: vec![
                ("power".parse().unwrap(), Sent::Number(-12.5)),
                ("cycles".parse().unwrap(), Sent::Number(310.0)),
                ("status".parse().unwrap(), Sent::Word("idle".into())),
            ],
        }
    }

    #[test]
    fn messages_are_an_array_also_of_one() {
        let one: Value = serde_json::from_slice(&encode(&[message(5)])).unwrap();
        let expected = serde_json::json!({"deviceId": "bess-01", "timestamp": 5,
            "data": {"power": -12.5, "cycles": 310, "status": "idle"}});
        assert_eq!(one, Value::Array(vec![expected]));
        let two: Value = serde_json::from_slice(&encode(&[message(5), message(6)])).unwrap();
        assert_eq!(two[1]["timestamp"], 6);
    }
}
