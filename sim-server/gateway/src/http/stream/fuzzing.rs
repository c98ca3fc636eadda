//! Envelopes of any bytes: refused or read, never a panic.

use super::envelope::{Said, parse};

#[test]
fn fuzzed_envelopes_are_refused_or_read() {
    let seeds = [
        r#"{"id":"17","type":"data","payload":{"deviceId":"pv-01","timestamp":1,"data":{"power":-12.5}}}"#,
        r#"{"type":"received","payload":{"commandId":"plan-8f3a"}}"#,
        r#"{"id":18,"type":"ack","payload":{"deviceId":"pv-01","commandId":"plan-8f3a","status":"done"}}"#,
        r#"{"id":"d\u0065","type":"desired"}"#,
    ];
    park_fuzz::target("device-envelopes", seeds.map(|s| s.as_bytes().to_vec()), |bytes| match parse(bytes) {
        Ok(said) => {
            let (kind, id) = match said {
                Said::Payload { id, channel, payload } => {
                    assert!(bytes.windows(payload.get().len()).any(|part| part == payload.get().as_bytes()));
                    (format!("{channel:?}"), id)
                }
                Said::Received { id, .. } => ("received".to_owned(), id),
                Said::AskDesired { id } => ("desired".to_owned(), id),
            };
            (kind, id.is_some())
        }
        Err(unclear) => {
            let message = &unclear.refusal.message;
            let unquoted = message.split(['`', '"']).step_by(2).flat_map(str::chars);
            (unquoted.filter(|c| !c.is_ascii_digit()).collect(), unclear.id.is_some())
        }
    });
}
