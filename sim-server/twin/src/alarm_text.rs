//! What an alarm says, in both languages: the device, the measurement, the value, the limit.

use crate::model::{Limit, MeasurementRules};
use shared::{telemetry::DeviceEvent, text::Text};

fn with_unit(number: String, unit: &str) -> String {
    if unit.is_empty() { number } else { format!("{number} {unit}") }
}

/// A measured value, rounded as it is shown everywhere.
fn measured(value: f64, rules: &MeasurementRules) -> String {
    // Adding zero turns a rounded −0 into 0.
    let shown = format!("{:.*}", usize::from(rules.measurement.decimals), value + 0.0);
    with_unit(shown, &rules.measurement.unit)
}

/// A limit as it was written.
fn bound(value: f64, rules: &MeasurementRules) -> String {
    with_unit(value.to_string(), &rules.measurement.unit)
}

/// The side of a band a value lies outside of.
fn crossed(value: f64, min: Option<f64>, max: Option<f64>, rules: &MeasurementRules) -> Text {
    match (min, max) {
        (Some(min), _) if value < min => {
            Text::new(format!("低于 {}", bound(min, rules)), format!("below {}", bound(min, rules)))
        }
        (_, Some(max)) => {
            Text::new(format!("高于 {}", bound(max, rules)), format!("above {}", bound(max, rules)))
        }
        (Some(min), None) => {
            Text::new(format!("低于 {}", bound(min, rules)), format!("below {}", bound(min, rules)))
        }
        (None, None) => Text::new("", ""),
    }
}

pub(crate) fn out_of_range(device: &Text, rules: &MeasurementRules, value: f64) -> Text {
    let m = &rules.measurement;
    let side = crossed(value, m.min, m.max, rules);
    let shown = measured(value, rules);
    Text::new(
        format!("{}：{} {shown} 超出量程（{}）", device.zh, m.name.zh, side.zh),
        format!("{}: {} {shown} is out of range ({})", device.en, m.name.en, side.en),
    )
}

pub(crate) fn limit_exceeded(device: &Text, rules: &MeasurementRules, limit: &Limit, value: f64) -> Text {
    let m = &rules.measurement;
    let side = crossed(value, limit.min, limit.max, rules);
    let shown = measured(value, rules);
    Text::new(
        format!("{}：{}，{} {shown}（{}）", device.zh, limit.text.zh, m.name.zh, side.zh),
        format!("{}: {}, {} {shown} ({})", device.en, limit.text.en, m.name.en, side.en),
    )
}

pub(crate) fn offline(device: &Text, silent_ms: i64) -> Text {
    let (zh, en) = duration(silent_ms);
    Text::new(
        format!("{}：离线，已 {zh} 没有数据", device.zh),
        format!("{}: offline, nothing heard for {en}", device.en),
    )
}

pub(crate) fn delayed(device: &Text, late_ms: i64, allowed_ms: i64) -> Text {
    let ((late_zh, late_en), (allowed_zh, allowed_en)) = (duration(late_ms), duration(allowed_ms));
    Text::new(
        format!("{}：数据延迟 {late_zh}（允许 {allowed_zh}）", device.zh),
        format!("{}: data arrive {late_en} late ({allowed_en} allowed)", device.en),
    )
}

/// `name` is the thing model's text for this type of event, where it has one.
pub(crate) fn event(device: &Text, name: Option<&Text>, event: &DeviceEvent) -> Text {
    let line = |device: &str, colon: &str, name: Option<&str>| {
        let name = name.unwrap_or(&event.kind);
        if event.description.is_empty() {
            format!("{device}{colon}{name}")
        } else {
            format!("{device}{colon}{name}{colon}{}", event.description)
        }
    };
    Text::new(
        line(&device.zh, "：", name.map(|n| n.zh.as_str())),
        line(&device.en, ": ", name.map(|n| n.en.as_str())),
    )
}

/// A span as people say it: seconds below two minutes, minutes below two hours, hours above.
fn duration(ms: i64) -> (String, String) {
    let s = ms / 1_000;
    match s {
        ..120 => (format!("{s} 秒"), format!("{s} s")),
        120..7_200 => (format!("{} 分钟", s / 60), format!("{} min", s / 60)),
        _ => (format!("{} 小时", s / 3_600), format!("{} h", s / 3_600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_park;

    #[test]
    fn an_alarm_names_device_measurement_value_unit_and_limit_in_both_languages() {
        let registry = test_park::registry();
        let entry = registry.get("bess-1").unwrap();
        let name = &entry.record.name;
        let temperature = &entry.rules.measurements[2];
        let limit = temperature.violated(57.26).unwrap();
        let text = limit_exceeded(name, temperature, limit, 57.26);
        assert_eq!(text.en, "No. bess-1: battery too hot, temperature 57.3 °C (above 55 °C)");
        assert_eq!(text.zh, "bess-1号：battery too hot（中），temperature（中） 57.3 °C（高于 55 °C）");
        let text = out_of_range(name, temperature, -41.5);
        assert_eq!(text.en, "No. bess-1: temperature -41.5 °C is out of range (below -40 °C)");
        assert_eq!(offline(name, 300_000).zh, "bess-1号：离线，已 5 分钟 没有数据");
        assert_eq!(delayed(name, 45_900, 30_000).en, "No. bess-1: data arrive 45 s late (30 s allowed)");
    }
}
