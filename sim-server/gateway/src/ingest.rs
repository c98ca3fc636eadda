//! From a payload to the twin's verdict, the same for every protocol.

use serde::{Deserialize, Serialize};
use shared::{
    command::CommandAck,
    telemetry::{Refusal, RefusalCode},
};
use std::time::Duration;
use tokio::time::Instant;
use twin::{Sender, Twin};

/// What a payload is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Channel {
    /// `{"deviceId","timestamp","data":{…}}`, one or an array.
    Data,
    /// `{"deviceId","timestamp","id","type","severity","description"}`, one or an array.
    Event,
    /// The device's answer to a command.
    Ack,
}

/// What became of a payload.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// All that was worth keeping is durable; `faults` names the items that were not.
    Kept { faults: Vec<Fault> },
    /// Nothing in it was worth keeping; sending it again would not help.
    Refused { code: RefusalCode, faults: Vec<Fault> },
    /// The store could not take it: not acknowledged, send it again.
    NotStored(Refusal),
}

/// One thing wrong with a payload, as the errors topic and HTTP answers show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Fault {
    pub code: &'static str,
    pub field: String,
    pub message: String,
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        Self { code: refusal.code.as_str(), field: refusal.field, message: refusal.message }
    }
}

/// How long a busy store is asked again before the sender hears of it. While a payload waits, its connection's window
/// fills and its socket is not read: that is the push-back.
const BUSY_PATIENCE: Duration = Duration::from_secs(30);
const BUSY_FIRST_PAUSE: Duration = Duration::from_millis(10);
const BUSY_LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Hands a payload to the twin and waits until what it holds is durable or refused.
///
/// A device's data are written in the order they are handed over: while one waits for a busy store, those behind it wait as well, or a
/// correction could be overtaken by what it corrects.
pub(crate) async fn hand_over(twin: &Twin, sender: &Sender, channel: Channel, payload: &[u8]) -> Verdict {
    let entry = sender.own().and_then(|device| twin.registry().get(device.as_str()));
    match channel {
        Channel::Data => {
            // The device is not late, nor its clock off, by what it waits for the store.
            let (since, now) = (Instant::now(), twin.now());
            let turn = match &entry {
                Some(entry) => Some(entry.turn.lock().await),
                None => None,
            };
            // Whoever waited behind others has waited for the store.
            let mut patience = Patience { waited: since.elapsed(), ..Patience::default() };
            let begun = loop {
                let refusal = match twin.begin_ingest(sender, payload, now) {
                    Ok(begun) => break begun,
                    Err(refusal) => refusal,
                };
                match patience.pause(refusal.code) {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return judge(Err(refusal)),
                }
            };
            drop(turn);
            let results = begun.await;
            judge(results.map(|items| items.into_iter().map(|item| item.result.map(|_| ())).collect()))
        }
        Channel::Event => judge(twin.ingest_event(sender, payload, twin.now()).await),
        Channel::Ack => judge(acknowledge(twin, sender, payload).await),
    }
}

/// Pauses that double while the store is busy, up to a limit in all.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    waited: Duration,
    last: Duration,
}

impl Patience {
    /// How long to wait before asking again; `None` when the refusal stands.
    pub(crate) fn pause(&mut self, code: RefusalCode) -> Option<Duration> {
        if code != RefusalCode::Busy || self.waited >= BUSY_PATIENCE {
            return None;
        }
        self.last = (self.last * 2).clamp(BUSY_FIRST_PAUSE, BUSY_LONGEST_PAUSE);
        self.waited += self.last;
        Some(self.last)
    }
}

async fn acknowledge(
    twin: &Twin,
    sender: &Sender,
    payload: &[u8],
) -> Result<Vec<Result<(), Refusal>>, Refusal> {
    let ack = parse_ack(payload).inspect_err(count)?;
    Ok(vec![twin.acknowledge(sender, ack, twin.now()).await.map(|_| ())])
}

/// As the twin counts what it refuses itself.
fn count(refusal: &Refusal) {
    metrics::counter!("park_ingest_refused_total", "code" => refusal.code.as_str()).increment(1);
}

pub(crate) fn parse_ack(payload: &[u8]) -> Result<CommandAck, Refusal> {
    serde_json::from_slice(payload).map_err(|e| {
        let message = e.to_string();
        let code = if !e.is_data() {
            RefusalCode::MalformedJson
        } else if message.starts_with("missing field") {
            RefusalCode::MissingField
        } else {
            RefusalCode::WrongType
        };
        Refusal::new(code, format!("line {} column {}", e.line(), e.column()), message)
    })
}

fn judge(result: Result<Vec<Result<(), Refusal>>, Refusal>) -> Verdict {
    let items = match result {
        Ok(items) => items,
        Err(refusal) if is_store_fault(refusal.code) => return Verdict::NotStored(refusal),
        Err(refusal) => return Verdict::Refused { code: refusal.code, faults: vec![refusal.into()] },
    };
    let total = items.len();
    let mut refusals: Vec<Refusal> = items.into_iter().filter_map(Result::err).collect();
    if let Some(at) = refusals.iter().position(|r| is_store_fault(r.code)) {
        return Verdict::NotStored(refusals.swap_remove(at));
    }
    match refusals.first().map(|r| r.code) {
        Some(code) if refusals.len() == total => {
            Verdict::Refused { code, faults: refusals.into_iter().map(Fault::from).collect() }
        }
        _ => Verdict::Kept { faults: refusals.into_iter().map(Fault::from).collect() },
    }
}

pub(crate) fn is_store_fault(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::Busy | RefusalCode::StorageFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: RefusalCode) -> Refusal {
        Refusal::new(code, "[0].data", "because")
    }

    #[test]
    fn a_payload_is_refused_only_when_nothing_of_it_was_kept() {
        use RefusalCode::*;
        assert_eq!(judge(Ok(vec![Ok(()), Ok(())])), Verdict::Kept { faults: vec![] });
        assert!(
            matches!(judge(Ok(vec![Ok(()), Err(refusal(EmptyData))])), Verdict::Kept { faults } if faults.len() == 1)
        );
        assert!(
            matches!(judge(Ok(vec![Err(refusal(EmptyData))])), Verdict::Refused { code: EmptyData, faults } if faults.len() == 1)
        );
        assert!(matches!(judge(Err(refusal(MalformedJson))), Verdict::Refused { code: MalformedJson, .. }));
        assert_eq!(judge(Ok(vec![])), Verdict::Kept { faults: vec![] });
    }

    #[test]
    fn what_the_store_could_not_take_is_never_kept() {
        use RefusalCode::*;
        assert!(matches!(judge(Err(refusal(Busy))), Verdict::NotStored(r) if r.code == Busy));
        assert!(matches!(
            judge(Ok(vec![Ok(()), Err(refusal(EmptyData)), Err(refusal(StorageFailed))])),
            Verdict::NotStored(r) if r.code == StorageFailed
        ));
    }

    #[test]
    fn a_busy_store_is_asked_again_for_a_while_and_a_failing_one_is_not() {
        let mut patience = Patience::default();
        let pauses: Vec<Duration> = std::iter::from_fn(|| patience.pause(RefusalCode::Busy)).collect();
        assert_eq!(pauses[..3], [10, 20, 40].map(Duration::from_millis));
        assert_eq!(pauses.last(), Some(&BUSY_LONGEST_PAUSE));
        let all: Duration = pauses.iter().sum();
        assert!((BUSY_PATIENCE..BUSY_PATIENCE + BUSY_LONGEST_PAUSE).contains(&all), "{all:?}");
        assert_eq!(Patience::default().pause(RefusalCode::StorageFailed), None);
    }

    #[test]
    fn an_answer_to_a_command_names_what_is_wrong_with_it() {
        assert_eq!(parse_ack(b"{").unwrap_err().code, RefusalCode::MalformedJson);
        let refusal = parse_ack(br#"{"deviceId":"a","commandId":"c","status":"maybe"}"#).unwrap_err();
        assert_eq!(refusal.code, RefusalCode::WrongType);
        assert!(refusal.message.contains("maybe"), "{}", refusal.message);
    }
}
