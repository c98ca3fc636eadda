//! Whether an item of a payload may be kept, and as what: a pure judgement over registry, sender and time.

use crate::registry::{DeviceEntry, Registry};
use shared::{
    id::DeviceId,
    telemetry::{DataItem, Quality, Reading, Refusal, RefusalCode, SentRef},
    thing_model::{Measurement, MeasurementKind},
    time::Timestamp,
    unit_conversion::{Conversion, convertible_to},
};
use std::sync::Arc;

/// Who hands a payload in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// A device that proved to be this one; it may speak for itself only.
    Device(DeviceId),
    /// Said by this device a while ago and handed on only now: for itself only, and no sign that it is there.
    Earlier(DeviceId),
    /// An upstream broker or an operator's batch import: may speak for every device.
    Trusted,
}

/// What became of one item of a payload.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemResult {
    /// The registered device it is about, when that much was clear.
    pub device: Option<DeviceId>,
    pub result: Result<Accepted, Refusal>,
}

/// An item that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepted {
    pub points: usize,
    /// How many of them lie outside their plausible range: kept and flagged.
    pub out_of_range: usize,
    /// How many came in another unit and were turned into the measurement's.
    pub converted: usize,
}

/// The instants that are taken, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeWindow {
    /// Older than the retention would be deleted at once.
    pub oldest: Timestamp,
    /// A little ahead: clocks differ.
    pub newest: Timestamp,
}

impl TimeWindow {
    pub(crate) fn check(&self, timestamp: Timestamp, field: impl FnOnce() -> String) -> Result<(), Refusal> {
        if timestamp < self.oldest {
            let message = format!("{timestamp} is older than what is kept, which starts at {}", self.oldest);
            return Err(Refusal::new(RefusalCode::TimestampTooOld, field(), message));
        }
        if timestamp > self.newest {
            let message = format!("{timestamp} lies ahead; at most {} is taken", self.newest);
            return Err(Refusal::new(RefusalCode::TimestampTooFarAhead, field(), message));
        }
        Ok(())
    }
}

impl Sender {
    /// The one device it may speak for; any when `None`.
    pub fn own(&self) -> Option<&DeviceId> {
        match self {
            Sender::Device(own) | Sender::Earlier(own) => Some(own),
            Sender::Trusted => None,
        }
    }

    /// The device an item is about, when this sender may speak for it.
    pub(crate) fn may_speak_for(
        &self,
        registry: &Registry,
        device: &str,
        field: impl FnOnce() -> String,
    ) -> Result<Arc<DeviceEntry>, Refusal> {
        match self.own() {
            Some(own) if own.as_str() != device => {
                let message = format!("{own} may not speak for {device}");
                Err(Refusal::new(RefusalCode::NotYourDevice, field(), message))
            }
            _ => registry.get(device).ok_or_else(|| {
                let message = format!("no device {device} is registered");
                Refusal::new(RefusalCode::UnknownDevice, field(), message)
            }),
        }
    }
}

/// Judges an item: gives its device and adds its readings to `out`, by measurement index; adds nothing when it refuses.
pub fn check(
    item: &DataItem<'_>,
    sender: &Sender,
    registry: &Registry,
    window: &TimeWindow,
    out: &mut Vec<(u16, Reading)>,
) -> Result<(Arc<DeviceEntry>, Accepted), Refusal> {
    let entry = sender.may_speak_for(registry, &item.device_id, || item.field("deviceId"))?;
    window.check(item.timestamp, || item.field("timestamp"))?;
    let start = out.len();
    let mut accepted = Accepted::default();
    for (hint, (key, sent)) in item.data.iter().enumerate() {
        match check_value(&entry, key, hint, sent, item.timestamp) {
            Ok((measurement, reading)) => {
                accepted.points += 1;
                accepted.out_of_range += usize::from(reading.quality == Quality::OutOfRange);
                accepted.converted += usize::from(matches!(sent, SentRef::InUnit { .. }));
                out.push((measurement, reading));
            }
            Err((code, message)) => {
                out.truncate(start);
                return Err(Refusal::new(code, item.field(&format!("data.{key}")), message));
            }
        }
    }
    Ok((entry, accepted))
}

fn check_value(
    entry: &DeviceEntry,
    key: &str,
    hint: usize,
    sent: &SentRef<'_>,
    timestamp: Timestamp,
) -> Result<(u16, Reading), (RefusalCode, String)> {
    let model = &entry.rules.model;
    let Some(index) = entry.rules.index_of(key, hint) else {
        let message = format!("model {} has no measurement {}", model.id, short(key));
        return Err((RefusalCode::UnknownMeasurement, message));
    };
    let rules = &entry.rules.measurements[index as usize];
    let states = || {
        let words: Vec<&str> = rules.measurement.states.iter().map(|s| s.word.as_str()).collect();
        words.join(", ")
    };
    let value = match sent {
        SentRef::Number(value) if rules.takes_number(*value) => *value,
        SentRef::Number(value) => {
            let message = format!("{value} is no code of {key}; its states are {}", states());
            return Err((RefusalCode::UnknownState, message));
        }
        SentRef::InUnit { value, unit } => in_own_unit(&rules.measurement, *value, unit)?,
        SentRef::Word(word) => match rules.state_code(word) {
            Some(code) => f64::from(code),
            None if rules.measurement.states.is_empty() => {
                return Err((RefusalCode::WrongType, format!("{key} takes a number, got {}", short(word))));
            }
            None => {
                let message = format!("{key} knows no state {}; its states are {}", short(word), states());
                return Err((RefusalCode::UnknownState, message));
            }
        },
    };
    let quality = if rules.measurement.in_range(value) { Quality::Good } else { Quality::OutOfRange };
    Ok((index, Reading { value, timestamp, quality }))
}

/// A value as the measurement's own unit has it.
fn in_own_unit(measurement: &Measurement, value: f64, unit: &str) -> Result<f64, (RefusalCode, String)> {
    let key = &measurement.key;
    if measurement.kind == MeasurementKind::State {
        return Err((
            RefusalCode::UnknownUnit,
            format!("{key} is a state and has no unit, got {}", short(unit)),
        ));
    }
    let own = &measurement.unit;
    if unit == own {
        return Ok(value);
    }
    let Some(conversion) = Conversion::between(unit, own) else {
        let known = convertible_to(own);
        let known = if known.is_empty() { short(own) } else { known.join(", ") };
        let message = format!("{key} is in {}; a value may come in {known}, got {}", short(own), short(unit));
        return Err((RefusalCode::UnknownUnit, message));
    };
    let converted = conversion.apply(value);
    if converted.is_finite() {
        Ok(converted)
    } else {
        Err((RefusalCode::NotFinite, format!("{value} {} is no finite number of {own}", short(unit))))
    }
}

/// A name as shown in a message: quoted, and cut where somebody sends a novel.
fn short(text: &str) -> String {
    format!("{:?}", text.chars().take(64).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_park;
    use shared::telemetry::parse_data_items;

    const NOW: i64 = 1_780_000_000_000;

    type Judged = Result<(Accepted, Vec<(u16, Reading)>), (RefusalCode, String)>;

    fn judge(sender: &Sender, payload: &str) -> Judged {
        let registry = test_park::registry();
        let window = TimeWindow { oldest: Timestamp(NOW - 1_000_000), newest: Timestamp(NOW + 600_000) };
        let item = parse_data_items(payload.as_bytes()).unwrap().remove(0).unwrap();
        let mut out = vec![(99, test_park::reading(0.0, 0))];
        let result = check(&item, sender, &registry, &window, &mut out);
        let added = out.split_off(1);
        match result {
            Ok((_, accepted)) => Ok((accepted, added)),
            Err(refusal) => {
                assert!(added.is_empty(), "a refused item leaves nothing behind");
                assert!(!refusal.message.is_empty());
                Err((refusal.code, refusal.field))
            }
        }
    }

    fn payload(device: &str, at: i64, data: &str) -> String {
        format!(r#"{{"deviceId":"{device}","timestamp":{at},"data":{{{data}}}}}"#)
    }

    #[test]
    fn each_fault_is_named_with_its_code_and_field() {
        use RefusalCode::*;
        let own = Sender::Device("bess-1".parse().unwrap());
        for (device, at, data, code, field) in [
            ("pv-1", NOW, r#""power":1"#, NotYourDevice, "deviceId"),
            ("bess-1", NOW - 1_000_001, r#""power":1"#, TimestampTooOld, "timestamp"),
            ("bess-1", NOW + 600_001, r#""power":1"#, TimestampTooFarAhead, "timestamp"),
            ("bess-1", NOW, r#""power":1,"sock":5"#, UnknownMeasurement, "data.sock"),
            ("bess-1", NOW, r#""power":"high""#, WrongType, "data.power"),
            ("bess-1", NOW, r#""status":"dancing""#, UnknownState, "data.status"),
            ("bess-1", NOW, r#""status":17"#, UnknownState, "data.status"),
            ("bess-1", NOW, r#""status":0.5"#, UnknownState, "data.status"),
            ("bess-1", NOW, r#""power":{"value":5,"unit":"kWh"}"#, UnknownUnit, "data.power"),
            ("bess-1", NOW, r#""power":{"value":5,"unit":""}"#, UnknownUnit, "data.power"),
            ("bess-1", NOW, r#""status":{"value":1,"unit":"V"}"#, UnknownUnit, "data.status"),
        ] {
            let refused = judge(&own, &payload(device, at, data)).unwrap_err();
            assert_eq!(refused, (code, field.to_owned()), "{data}");
        }
        let unknown = judge(&Sender::Trusted, &payload("ghost", NOW, r#""power":1"#)).unwrap_err();
        assert_eq!(unknown, (UnknownDevice, "deviceId".to_owned()));
        let in_array = judge(&own, &format!("[{}]", payload("bess-1", NOW, r#""p":1"#))).unwrap_err();
        assert_eq!(in_array.1, "[0].data.p");
    }

    #[test]
    fn values_become_readings_by_index_whatever_their_order() {
        let own = Sender::Device("bess-1".parse().unwrap());
        let (accepted, readings) =
            judge(&own, &payload("bess-1", NOW, r#""status":"charging","soc":140,"power":-20.5"#)).unwrap();
        assert_eq!(accepted, Accepted { points: 3, out_of_range: 1, converted: 0 });
        let registry = test_park::registry();
        let entry = registry.get("bess-1").unwrap();
        let by_key: Vec<(&str, f64, Quality)> = readings
            .iter()
            .map(|(i, r)| (entry.series[*i as usize].measurement.as_str(), r.value, r.quality))
            .collect();
        assert_eq!(
            by_key,
            [
                ("status", 1.0, Quality::Good),
                ("soc", 140.0, Quality::OutOfRange),
                ("power", -20.5, Quality::Good)
            ]
        );
        assert!(readings.iter().all(|(_, r)| r.timestamp == Timestamp(NOW)));
    }

    #[test]
    fn a_value_in_another_unit_becomes_the_measurements_own() {
        let own = Sender::Device("bess-1".parse().unwrap());
        let data = r#""power":{"value":-81500,"unit":"W"},"temperature":{"value":212,"unit":"°F"},"soc":{"value":7}"#;
        let (accepted, readings) = judge(&own, &payload("bess-1", NOW, data)).unwrap();
        let values: Vec<f64> = readings.iter().map(|(_, r)| r.value).collect();
        assert_eq!((values[0], values[1].round(), values[2]), (-81.5, 100.0, 7.0));
        assert_eq!(accepted, Accepted { points: 3, out_of_range: 0, converted: 2 });
    }

    #[test]
    fn a_trusted_sender_speaks_for_every_device_and_a_state_takes_its_code() {
        let (accepted, readings) =
            judge(&Sender::Trusted, &payload("bess-1", NOW - 1_000_000, r#""status":2"#)).unwrap();
        assert_eq!(accepted.points, 1);
        assert_eq!(readings[0].1.value, 2.0);
    }
}
