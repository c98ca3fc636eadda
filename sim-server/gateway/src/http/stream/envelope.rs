//! What stands around the payloads. Pure.

use super::MESSAGE_MAX;
use crate::ingest::{Channel, Fault, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use shared::{
    command::CommandDelivery,
    id::CommandId,
    telemetry::{Refusal, RefusalCode},
};
use std::borrow::Cow;

/// The longest id of a message, in bytes of its JSON.
const ID_MAX: usize = 128;
/// Faults told of one message; the rest are counted.
const MOST_LISTED: usize = 50;

/// A client's own name for a message, a text or a number, as it was written.
pub(super) type MessageId = Box<RawValue>;

/// What a device says.
#[derive(Debug)]
pub(super) enum Said {
    /// For the twin, to be answered when it is durable.
    Payload { id: Option<MessageId>, channel: Channel, payload: Box<RawValue> },
    /// It has a command.
    Received { id: Option<MessageId>, command: CommandId },
    /// It asks what it said it follows.
    AskDesired { id: Option<MessageId> },
}

/// Why a message says nothing, and which one it was as far as that can be told.
#[derive(Debug)]
pub(super) struct Unclear {
    pub id: Option<MessageId>,
    pub refusal: Refusal,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, rename = "type", default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Received {
    command_id: CommandId,
}

/// Reads a message.
pub(super) fn parse(message: &[u8]) -> Result<Said, Unclear> {
    let unclear =
        |id, code, field: &str, text: String| Unclear { id, refusal: Refusal::new(code, field, text) };
    if message.len() > MESSAGE_MAX {
        let text = format!("{} bytes; a message may have {MESSAGE_MAX}: send it in parts", message.len());
        return Err(unclear(None, RefusalCode::TooLarge, "", text));
    }
    let envelope: Envelope<'_> = serde_json::from_slice(message).map_err(|error| {
        let code = if error.is_data() { RefusalCode::WrongType } else { RefusalCode::MalformedJson };
        let at = format!("line {} column {}", error.line(), error.column());
        unclear(None, code, &at, error.to_string())
    })?;
    let id = match envelope.id {
        Some(id) if !is_id(id) => {
            let text = format!("an id is a text or a number of at most {ID_MAX} bytes");
            return Err(unclear(None, RefusalCode::WrongType, "id", text));
        }
        id => id.map(ToOwned::to_owned),
    };
    let kind = envelope.kind.map(|kind| serde_json::from_str::<Cow<'_, str>>(kind.get()));
    let channel = match kind {
        None => return Err(unclear(id, RefusalCode::MissingField, "type", "no type".to_owned())),
        Some(Ok(kind)) => match &*kind {
            "data" => Channel::Data,
            "event" => Channel::Event,
            "ack" => Channel::Ack,
            "desired" => return Ok(Said::AskDesired { id }),
            "received" => {
                let received = envelope.payload.map_or("null", RawValue::get);
                return match serde_json::from_str::<Received>(received) {
                    Ok(received) => Ok(Said::Received { id, command: received.command_id }),
                    Err(error) => {
                        Err(unclear(id, RefusalCode::WrongType, "payload.commandId", error.to_string()))
                    }
                };
            }
            other => {
                let shown: String = other.chars().take(64).collect();
                let text = format!("{shown:?} is none of data, event, ack, received, desired");
                return Err(unclear(id, RefusalCode::WrongType, "type", text));
            }
        },
        Some(Err(error)) => return Err(unclear(id, RefusalCode::WrongType, "type", error.to_string())),
    };
    match envelope.payload {
        Some(payload) => Ok(Said::Payload { id, channel, payload: payload.to_owned() }),
        None => Err(unclear(id, RefusalCode::MissingField, "payload", "no payload".to_owned())),
    }
}

fn is_id(id: &RawValue) -> bool {
    id.get().len() <= ID_MAX
        && id.get().starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit())
}

/// What the server says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase", tag = "type")]
pub(super) enum Says<'a> {
    /// All that was worth keeping is durable; `errors` names items that were not.
    Stored {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        #[serde(skip_serializing_if = "<[Fault]>::is_empty")]
        errors: &'a [Fault],
        #[serde(skip_serializing_if = "Option::is_none")]
        omitted: Option<usize>,
    },
    /// Nothing was kept.
    Refused {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        /// Whether sending it again may help.
        again: bool,
        errors: &'a [Fault],
        #[serde(skip_serializing_if = "Option::is_none")]
        omitted: Option<usize>,
    },
    Command {
        payload: &'a CommandDelivery,
    },
    Desired {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'a RawValue>,
        payload: &'a Value,
    },
}

impl Says<'_> {
    pub(super) fn text(&self) -> String {
        // Texts, numbers and maps of texts always serialise.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The answer to a payload.
pub(super) fn verdict(id: Option<&RawValue>, verdict: Verdict) -> String {
    let (again, faults) = match verdict {
        Verdict::Kept { faults } => {
            let (errors, omitted) = listed(&faults);
            return Says::Stored { id, errors, omitted }.text();
        }
        Verdict::Refused { faults, .. } => (false, faults),
        Verdict::NotStored(refusal) => (true, vec![Fault::from(refusal)]),
    };
    let (errors, omitted) = listed(&faults);
    Says::Refused { id, again, errors, omitted }.text()
}

fn listed(faults: &[Fault]) -> (&[Fault], Option<usize>) {
    let listed = &faults[..faults.len().min(MOST_LISTED)];
    (listed, Some(faults.len() - listed.len()).filter(|&more| more > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_kind_of_message_is_read() {
        let payload = |text: &str| match parse(text.as_bytes()) {
            Ok(Said::Payload { id, channel, payload }) => {
                (id.map(|id| id.get().to_owned()), channel, payload.get().to_owned())
            }
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(
            payload(r#"{"id":"a\"b","type":"data","payload":{"power":0.1e1}}"#),
            (Some(r#""a\"b""#.to_owned()), Channel::Data, r#"{"power":0.1e1}"#.to_owned())
        );
        assert_eq!(
            payload(r#"{"payload":[],"id":-7,"type":"event"}"#),
            (Some("-7".to_owned()), Channel::Event, "[]".to_owned())
        );
        assert_eq!(
            payload(r#"{"type":"\u0061ck","payload":{},"more":1}"#),
            (None, Channel::Ack, "{}".to_owned())
        );
        let received = parse(br#"{"type":"received","payload":{"commandId":"c-1"}}"#);
        assert!(matches!(received, Ok(Said::Received { command, .. }) if command.as_str() == "c-1"));
        assert!(matches!(parse(br#"{"type":"desired","id":1}"#), Ok(Said::AskDesired { id: Some(_) })));
    }

    #[test]
    fn each_fault_is_named_under_the_messages_id() {
        use RefusalCode::*;
        for (text, id, code, field) in [
            ("{", None, MalformedJson, "line 1 column 1"),
            ("\u{1}", None, MalformedJson, "line 1 column 1"),
            ("7", None, WrongType, "line 1 column 1"),
            (r#"{"id":7}"#, Some("7"), MissingField, "type"),
            (r#"{"id":{},"type":"data"}"#, None, WrongType, "id"),
            (r#"{"id":null,"type":"data"}"#, None, MissingField, "payload"),
            (r#"{"id":"a","type":"data"}"#, Some("\"a\""), MissingField, "payload"),
            (r#"{"id":"a","type":7,"payload":{}}"#, Some("\"a\""), WrongType, "type"),
            (r#"{"id":"a","type":"dance","payload":{}}"#, Some("\"a\""), WrongType, "type"),
            (r#"{"id":"a","type":"received"}"#, Some("\"a\""), WrongType, "payload.commandId"),
            (
                r#"{"id":"a","type":"received","payload":{"commandId":"/"}}"#,
                Some("\"a\""),
                WrongType,
                "payload.commandId",
            ),
        ] {
            let unclear = match parse(text.as_bytes()) {
                Err(unclear) => unclear,
                Ok(said) => panic!("{text}: {said:?}"),
            };
            let told = (
                unclear.id.as_deref().map(RawValue::get),
                unclear.refusal.code,
                unclear.refusal.field.as_str(),
            );
            assert_eq!(told, (id, code, field), "{text}");
        }
        let long = format!(r#"{{"id":"{}","type":"data","payload":{{}}}}"#, "x".repeat(ID_MAX));
        assert!(matches!(parse(long.as_bytes()), Err(Unclear { refusal, .. }) if refusal.field == "id"));
        let large = vec![b' '; MESSAGE_MAX + 1];
        assert!(matches!(parse(&large), Err(Unclear { refusal, .. }) if refusal.code == TooLarge));
    }

    #[test]
    fn answers_carry_the_id_as_it_was_written() {
        let id = serde_json::value::to_raw_value("17").unwrap();
        let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        assert_eq!(
            read(verdict(Some(&id), Verdict::Kept { faults: vec![] })),
            json!({"type": "stored", "id": "17"})
        );
        let fault = || Fault { code: "EMPTY_DATA", field: "data".into(), message: "nothing".into() };
        let errors = json!([{"code": "EMPTY_DATA", "field": "data", "message": "nothing"}]);
        let refused = Verdict::Refused { code: RefusalCode::EmptyData, faults: vec![fault()] };
        assert_eq!(
            read(verdict(None, refused)),
            json!({"type": "refused", "again": false, "errors": errors})
        );
        let busy = Verdict::NotStored(Refusal::new(RefusalCode::Busy, "", "later"));
        assert_eq!(read(verdict(Some(&id), busy))["again"], true);
        let many = Verdict::Kept { faults: (0..60).map(|_| fault()).collect() };
        assert_eq!(read(verdict(Some(&id), many))["omitted"], 10);
    }
}
