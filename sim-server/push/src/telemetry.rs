//! What devices measured, step by step, as a receiver is told it.

use access::Invalid;
use history::{Bucket, SeriesKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::time::{HOUR_MS, SECOND_MS, Timestamp};
use std::fmt::Write as _;

const STEP_LEAST_S: i64 = 10;
const STEP_MOST_S: i64 = HOUR_MS / SECOND_MS;
const DELAY_MOST_S: i64 = 24 * STEP_MOST_S;
/// Lines of a delivery, some 60 bytes each: receivers take a body of so many without being told to.
const LINES: usize = 1_000;

/// How a webhook is told what devices measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TelemetryPush {
    /// Seconds that a line sums up, 10 to 3600, a divisor of an hour. Steps begin at multiples of it.
    pub step: i64,
    /// Seconds after a step's end until it is told, for what comes late; at most a day.
    #[serde(default = "usual_delay")]
    pub delay: i64,
}

fn usual_delay() -> i64 {
    30
}

impl TelemetryPush {
    pub(crate) fn check(self) -> Result<(), Invalid> {
        if !(STEP_LEAST_S..=STEP_MOST_S).contains(&self.step) || STEP_MOST_S % self.step != 0 {
            let message =
                format!("a step is {STEP_LEAST_S} to {STEP_MOST_S} s and divides an hour, not {}", self.step);
            return Err(Invalid::new("telemetry.step", message));
        }
        if !(0..=DELAY_MOST_S).contains(&self.delay) {
            let message = format!("a delay is 0 to {DELAY_MOST_S} s, not {}", self.delay);
            return Err(Invalid::new("telemetry.delay", message));
        }
        Ok(())
    }

    pub(crate) fn step_ms(self) -> i64 {
        self.step * SECOND_MS
    }

    /// Where the step begins that holds an instant.
    pub(crate) fn floor(self, at: Timestamp) -> Timestamp {
        Timestamp(at.0 - at.0.rem_euclid(self.step_ms()))
    }

    /// Steps that end by then may be told.
    pub(crate) fn ripe(self, now: Timestamp) -> Timestamp {
        self.floor(Timestamp(now.0 - self.delay * SECOND_MS))
    }
}

/// A series of the park.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredSeries {
    pub key: SeriesKey,
    /// Such as `kW`; empty for what has none.
    pub unit: String,
}

#[derive(Serialize)]
struct Head<'a> {
    device: &'a str,
    measurement: &'a str,
    unit: &'a str,
}

/// The bodies that tell what some series did in `[from, to)`: each of so many lines at most, and none where nothing came.
///
/// ```json
/// {"from":0,"to":60000,"step":60,"part":1,"parts":1,"columns":["start","count","mean","min","max","first","last"],
///  "series":[{"device":"pv-01","measurement":"power","unit":"kW","steps":[[0,60,1.5,1,2,1,2]]}]}
/// ```
pub(crate) fn bodies(
    telemetry: TelemetryPush,
    (from, to): (Timestamp, Timestamp),
    series: &[MeasuredSeries],
    buckets: &[Vec<Bucket>],
) -> Result<Vec<String>, serde_json::Error> {
    let mut parts: Vec<String> = Vec::new();
    let mut lines = LINES;
    for (series, buckets) in series.iter().zip(buckets) {
        let mut left = &buckets[..];
        while !left.is_empty() {
            if lines == LINES {
                parts.push(String::new());
                lines = 0;
            }
            let Some(part) = parts.last_mut() else { break };
            let (now, later) = left.split_at(left.len().min(LINES - lines));
            let head = Head {
                device: series.key.device.as_str(),
                measurement: series.key.measurement.as_str(),
                unit: &series.unit,
            };
            let head = serde_json::to_string(&head)?;
            let comma = if part.is_empty() { "" } else { "," };
            // Within the object, after its last field.
            let _ = write!(part, "{comma}{},\"steps\":[", head.trim_end_matches('}'));
            for (place, bucket) in now.iter().enumerate() {
                let all = &bucket.all;
                let figures = (bucket.start.0, all.count, all.mean(), all.min, all.max, all.first, all.last);
                let comma = if place == 0 { "" } else { "," };
                let _ = write!(part, "{comma}{}", serde_json::to_string(&figures)?);
            }
            part.push_str("]}");
            lines += now.len();
            left = later;
        }
    }
    let count = parts.len();
    let whole = |(place, series): (usize, String)| {
        format!(
            r#"{{"from":{},"to":{},"step":{},"part":{},"parts":{count},"columns":["start","count","mean","min","max","first","last"],"series":[{series}]}}"#,
            from.0,
            to.0,
            telemetry.step,
            place + 1
        )
    };
    Ok(parts.into_iter().enumerate().map(whole).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use history::Aggregate;
    use serde_json::{Value, json};

    const EACH_MINUTE: TelemetryPush = TelemetryPush { step: 60, delay: 30 };

    fn series(device: &str) -> MeasuredSeries {
        let key = SeriesKey { device: device.parse().unwrap(), measurement: "power".parse().unwrap() };
        MeasuredSeries { key, unit: "kW".into() }
    }

    fn minutes(count: i64) -> Vec<Bucket> {
        let minute = |minute: i64| {
            let start = Timestamp(minute * 60_000);
            let all = Aggregate {
                count: 2,
                sum: 3.0,
                min: 1.0,
                max: 2.0,
                first: 1.0,
                last: 2.0,
                first_time: start,
                last_time: Timestamp(start.0 + 30_000),
                integral: 30_000.0,
                rise: 1.0,
            };
            Bucket { start, all }
        };
        (0..count).map(minute).collect()
    }

    #[test]
    fn a_step_divides_an_hour_and_is_ripe_a_while_after_it_ended() {
        for (step, delay, field) in [
            (9, 0, Some("telemetry.step")),
            (7, 0, Some("telemetry.step")),
            (61, 0, Some("telemetry.step")),
            (7_200, 0, Some("telemetry.step")),
            (60, -1, Some("telemetry.delay")),
            (60, 86_401, Some("telemetry.delay")),
            (10, 0, None),
            (3_600, 86_400, None),
        ] {
            assert_eq!(TelemetryPush { step, delay }.check().err().map(|e| e.field), field, "{step} {delay}");
        }
        assert_eq!(EACH_MINUTE.ripe(Timestamp(149_999)), Timestamp(60_000));
        assert_eq!(EACH_MINUTE.ripe(Timestamp(150_000)), Timestamp(120_000));
    }

    #[test]
    fn what_was_measured_is_told_in_parts_that_fit() {
        let (all, range) = ([series("a"), series("b"), series("c")], (Timestamp(0), Timestamp(60_000)));
        let one = bodies(EACH_MINUTE, range, &all, &[minutes(1), vec![], minutes(1)]).unwrap();
        let parsed: Vec<Value> = one.iter().map(|body| serde_json::from_str(body).unwrap()).collect();
        let of = |device: &str| json!({ "device": device, "measurement": "power", "unit": "kW", "steps": [[0, 2, 1.5, 1.0, 2.0, 1.0, 2.0]] });
        let expected = json!({
            "from": 0, "to": 60_000, "step": 60, "part": 1, "parts": 1,
            "columns": ["start", "count", "mean", "min", "max", "first", "last"], "series": [of("a"), of("c")]
        });
        assert_eq!(parsed, [expected]);
        assert!(bodies(EACH_MINUTE, range, &all, &[vec![], vec![], vec![]]).unwrap().is_empty());

        let many = bodies(EACH_MINUTE, range, &all, &[minutes(700), minutes(1_500), minutes(3)]).unwrap();
        let told: Vec<(String, usize)> = many
            .iter()
            .flat_map(|body| {
                let body: Value = serde_json::from_str(body).unwrap();
                assert_eq!(body["parts"], 3);
                let series = body["series"].as_array().unwrap().clone();
                let lines: usize = series.iter().map(|s| s["steps"].as_array().unwrap().len()).sum();
                assert!((1..=LINES).contains(&lines), "{lines}");
                series
                    .into_iter()
                    .map(|s| (s["device"].as_str().unwrap().to_owned(), s["steps"].as_array().unwrap().len()))
            })
            .collect();
        let told: Vec<(&str, usize)> = told.iter().map(|(device, lines)| (device.as_str(), *lines)).collect();
        assert_eq!(told, [("a", 700), ("b", 300), ("b", 1_000), ("b", 200), ("c", 3)]);
    }
}
