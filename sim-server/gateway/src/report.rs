//! What a device reads on its errors topic: `{"topic","packetId"?,"errors":[{"code","field","message"}],"omitted"?,"missed"?}`.

use crate::ingest::Fault;
use serde::Serialize;

/// Faults listed in one report; the rest are counted.
const MAX_LISTED: usize = 50;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    topic: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet_id: Option<u16>,
    errors: &'a [Fault],
    #[serde(skip_serializing_if = "Option::is_none")]
    omitted: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    missed: Option<usize>,
}

/// The report's JSON. `packet_id` is the publish's own, where it had one; `missed` are the reports before it that were not kept.
pub(crate) fn errors_json(topic: &str, packet_id: Option<u16>, faults: &[Fault], missed: usize) -> Vec<u8> {
    let listed = &faults[..faults.len().min(MAX_LISTED)];
    let omitted = Some(faults.len() - listed.len()).filter(|&n| n > 0);
    let missed = Some(missed).filter(|&n| n > 0);
    // Strings and integers always serialise.
    serde_json::to_vec(&Report { topic, packet_id, errors: listed, omitted, missed }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_topic_packet_and_each_fault_up_to_a_limit() {
        let fault = Fault { code: "EMPTY_DATA", field: "[0].data".into(), message: "nothing".into() };
        let one: serde_json::Value =
            serde_json::from_slice(&errors_json("device/a/data", Some(7), std::slice::from_ref(&fault), 0))
                .unwrap();
        assert_eq!(
            one,
            serde_json::json!({"topic": "device/a/data", "packetId": 7,
                "errors": [{"code": "EMPTY_DATA", "field": "[0].data", "message": "nothing"}]})
        );
        let many: serde_json::Value =
            serde_json::from_slice(&errors_json("t", None, &vec![fault; 60], 3)).unwrap();
        assert_eq!((many["errors"].as_array().unwrap().len(), &many["omitted"]), (50, &10.into()));
        assert!(many.get("packetId").is_none());
        assert_eq!(many["missed"], 3);
    }
}
