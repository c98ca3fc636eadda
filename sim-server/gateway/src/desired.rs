//! What a device said it follows, as every protocol tells it.

use serde_json::{Map, Value, json};
use shared::{id::DeviceId, time::Timestamp};
use twin::Twin;

/// The set-points a device follows, by parameter: `{"power":{"value","commandId","since","until"}}`.
pub(crate) fn followed(twin: &Twin, device: &DeviceId, now: Timestamp) -> Map<String, Value> {
    let set_points = twin.followed(device, now).into_iter().map(|(name, desired)| {
        let set_point = json!({
            "value": desired.value, "commandId": desired.command_id, "since": desired.since,
            "until": desired.until,
        });
        (name, set_point)
    });
    set_points.collect()
}
