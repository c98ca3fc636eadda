//! What devices are asked to do at the moment: the set-points of commands that have not ended badly, until their
//! duration is over. Pure.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};
use shared::{
    command::{CommandRecord, CommandStatus, Hold, Issuer, PRIORITY_THAT_GIVES_WAY},
    id::{CommandId, DeviceId},
    time::Timestamp,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Parameters of every command that set nothing.
const GENERIC: [&str; 2] = ["priority", "duration"];
/// The parameter that people and the plan both set.
const POWER: &str = "power";
/// The command that sends a device back to its own rule.
const RELEASE: &str = "release";

/// A set-point as the shadow shows it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Desired {
    pub value: Value,
    pub command_id: CommandId,
    /// `queued` or `sent` while the device has not answered, then `acknowledged`.
    pub status: CommandStatus,
    /// When it was asked for.
    pub since: Timestamp,
    /// When the device returns to its own rule; known once the device has taken a command with a `duration`.
    pub until: Option<Timestamp>,
    /// Who asked.
    pub issuer: Issuer,
}

#[derive(Debug)]
struct SetPoint {
    command: CommandId,
    status: CommandStatus,
    since: Timestamp,
    until: Option<Timestamp>,
    values: BTreeMap<String, Value>,
    issuer: Issuer,
    gives_way: bool,
    /// Ends all that came before, once the device has taken it.
    releases: bool,
}

/// The set-points of all devices.
#[derive(Debug, Default)]
pub struct SetPoints {
    by_device: HashMap<DeviceId, Vec<SetPoint>>,
}

impl SetPoints {
    /// Takes note of a command's state; commands of one device come in the order they were taken.
    pub fn note(&mut self, record: &CommandRecord) {
        let device = &record.request.device_id;
        let command = &record.request.command_id;
        if matches!(record.status, CommandStatus::Rejected | CommandStatus::Expired) {
            if let Some(points) = self.by_device.get_mut(device) {
                points.retain(|point| point.command != *command);
                if points.is_empty() {
                    self.by_device.remove(device);
                }
            }
            return;
        }
        let values = settings(&record.request.parameters);
        let releases = record.request.command == RELEASE;
        if values.is_empty() && !releases {
            return;
        }
        let points = self.by_device.entry(device.clone()).or_default();
        let until = ended_at(record);
        match points.iter_mut().find(|point| point.command == *command) {
            Some(point) => (point.status, point.until) = (record.status, until),
            None => points.push(SetPoint {
                command: command.clone(),
                status: record.status,
                since: record.queued_at,
                until,
                values,
                issuer: record.issuer.clone(),
                gives_way: record.request.parameters.get("priority").and_then(Value::as_str)
                    == Some(PRIORITY_THAT_GIVES_WAY),
                releases,
            }),
        }
        forget_superseded(points);
        if points.is_empty() {
            self.by_device.remove(device);
        }
    }

    /// What a device is asked for, by parameter.
    pub fn of(&self, device: &DeviceId, now: Timestamp) -> BTreeMap<String, Desired> {
        self.desired(self.in_force(device, now, |_| true))
    }

    /// What a device said it follows, by parameter: a newer set-point counts once the device has taken it.
    pub fn followed(&self, device: &DeviceId, now: Timestamp) -> BTreeMap<String, Desired> {
        self.desired(self.in_force(device, now, |status| status == CommandStatus::Acknowledged))
    }

    fn desired(&self, in_force: BTreeMap<&str, (&SetPoint, &Value)>) -> BTreeMap<String, Desired> {
        in_force
            .into_iter()
            .map(|(name, (point, value))| {
                let desired = Desired {
                    value: value.clone(),
                    command_id: point.command.clone(),
                    status: point.status,
                    since: point.since,
                    until: point.until,
                    issuer: point.issuer.clone(),
                };
                (name.to_owned(), desired)
            })
            .collect()
    }

    /// The power a person has asked of a device, unless that gives way to the plan.
    pub fn hold(&self, device: &DeviceId, now: Timestamp) -> Option<Hold> {
        let (point, value) = self.in_force(device, now, |_| true).remove(POWER)?;
        match &point.issuer {
            Issuer::User { name } if !point.gives_way => {
                Some(Hold { by: name.clone(), power_kw: value.as_f64()?, until: point.until })
            }
            _ => None,
        }
    }

    /// The newest set-point of each parameter that is in force, with its value, among those that count.
    fn in_force(
        &self,
        device: &DeviceId,
        now: Timestamp,
        counts: impl Fn(CommandStatus) -> bool,
    ) -> BTreeMap<&str, (&SetPoint, &Value)> {
        let mut in_force = BTreeMap::new();
        let points = self.by_device.get(device).into_iter().flatten();
        for point in points.filter(|point| counts(point.status)) {
            if point.releases && point.status == CommandStatus::Acknowledged {
                in_force.clear();
            }
            let over = point.until.is_some_and(|until| now >= until);
            for (name, value) in &point.values {
                // A set-point that is over leaves nothing behind: the device follows its own rule, not an older one.
                if over {
                    in_force.remove(name.as_str());
                } else {
                    in_force.insert(name.as_str(), (point, value));
                }
            }
        }
        in_force
    }
}

fn settings(parameters: &Map<String, Value>) -> BTreeMap<String, Value> {
    parameters
        .iter()
        .filter(|(name, _)| !GENERIC.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// When an acknowledged set-point is over: its duration runs from when the device took it.
fn ended_at(record: &CommandRecord) -> Option<Timestamp> {
    let seconds = record.request.parameters.get("duration")?.as_f64()?;
    let taken_at = record.ended_at.filter(|_| record.status == CommandStatus::Acknowledged)?;
    Some(Timestamp(taken_at.0.saturating_add((seconds * 1e3) as i64)))
}

/// Drops acknowledged set-points of which newer acknowledged ones set every value again, or which were released.
fn forget_superseded(points: &mut Vec<SetPoint>) {
    let first_open = points.iter().position(|point| point.status != CommandStatus::Acknowledged);
    let mut set_later: BTreeSet<String> = BTreeSet::new();
    let mut released = false;
    let mut keep: Vec<bool> = Vec::with_capacity(points.len());
    for (i, point) in points.iter().enumerate().rev() {
        if point.status != CommandStatus::Acknowledged {
            keep.push(true);
            continue;
        }
        let sets = !released && point.values.keys().any(|name| !set_later.contains(name));
        // A release is needed as long as something before it may still be acknowledged.
        let ends_open = point.releases && first_open.is_some_and(|open| open < i);
        keep.push(sets || ends_open);
        set_later.extend(point.values.keys().cloned());
        released |= point.releases;
    }
    points.retain(|_| keep.pop().unwrap_or(true));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_park;
    use serde_json::json;
    use shared::command::Issuer;

    fn t(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1_000)
    }

    fn record(id: &str, power: f64, duration: Option<f64>, queued_s: i64) -> CommandRecord {
        let mut request = test_park::set_power(id, power, t(queued_s), None);
        request.parameters.insert("priority".into(), json!("high"));
        if let Some(duration) = duration {
            request.parameters.insert("duration".into(), json!(duration));
        }
        CommandRecord {
            request,
            issuer: Issuer::Plan,
            status: CommandStatus::Queued,
            queued_at: t(queued_s),
            sent_at: None,
            attempts: 0,
            ended_at: None,
            reason: None,
            result: None,
            late_ack: None,
        }
    }

    fn ended(mut record: CommandRecord, status: CommandStatus, seconds: i64) -> CommandRecord {
        (record.status, record.ended_at) = (status, Some(t(seconds)));
        record
    }

    fn power(points: &SetPoints, seconds: i64) -> Option<(Value, CommandStatus, Option<Timestamp>)> {
        let mut desired = points.of(&"bess-1".parse().unwrap(), t(seconds));
        let power = desired.remove("power");
        assert!(desired.is_empty(), "priority and duration set nothing");
        power.map(|d| (d.value, d.status, d.until))
    }

    #[test]
    fn a_set_point_is_desired_from_being_asked_until_its_duration_is_over() {
        let mut points = SetPoints::default();
        let first = record("c1", 50.0, Some(60.0), 0);
        points.note(&first);
        assert_eq!(power(&points, 1), Some((json!(50.0), CommandStatus::Queued, None)));
        points.note(&ended(first, CommandStatus::Acknowledged, 10));
        assert_eq!(power(&points, 69), Some((json!(50.0), CommandStatus::Acknowledged, Some(t(70)))));
        assert_eq!(power(&points, 70), None);
    }

    #[test]
    fn a_refused_or_expired_one_gives_way_to_the_one_before() {
        for status in [CommandStatus::Rejected, CommandStatus::Expired] {
            let mut points = SetPoints::default();
            points.note(&ended(record("c1", 50.0, None, 0), CommandStatus::Acknowledged, 1));
            let second = record("c2", 80.0, None, 2);
            points.note(&second);
            assert_eq!(power(&points, 3).unwrap().0, json!(80.0));
            points.note(&ended(second, status, 4));
            assert_eq!(power(&points, 5).unwrap().0, json!(50.0));
        }
    }

    #[test]
    fn when_a_newer_one_is_over_an_older_one_does_not_return() {
        let mut points = SetPoints::default();
        points.note(&ended(record("c1", 50.0, None, 0), CommandStatus::Acknowledged, 1));
        points.note(&ended(record("c2", 80.0, Some(10.0), 2), CommandStatus::Acknowledged, 3));
        assert_eq!(power(&points, 12).unwrap().0, json!(80.0));
        assert_eq!(power(&points, 13), None);
    }

    #[test]
    fn a_release_ends_all_set_points_once_the_device_has_taken_it() {
        let mut points = SetPoints::default();
        points.note(&ended(record("c1", 50.0, None, 0), CommandStatus::Acknowledged, 1));
        let mut release = record("c2", 0.0, None, 2);
        release.request.command = RELEASE.to_owned();
        release.request.parameters.clear();
        points.note(&release);
        assert_eq!(power(&points, 3).unwrap().0, json!(50.0));
        points.note(&ended(release, CommandStatus::Acknowledged, 4));
        assert_eq!(power(&points, 4), None);
        points.note(&record("c3", 80.0, None, 5));
        assert_eq!(power(&points, 6).unwrap().0, json!(80.0));
    }

    #[test]
    fn a_person_holds_a_device_until_the_set_point_ends_or_is_released_unless_it_gives_way() {
        let device = "bess-1".parse().unwrap();
        let of_person = |id: &str, priority: &str, queued_s| {
            let mut asked = record(id, 50.0, Some(60.0), queued_s);
            asked.issuer = Issuer::User { name: "li".into() };
            asked.request.parameters.insert("priority".into(), json!(priority));
            asked
        };
        for (priority, holds) in [("high", true), ("normal", true), ("low", false)] {
            let mut points = SetPoints::default();
            points.note(&ended(record("plan", 80.0, None, 0), CommandStatus::Acknowledged, 0));
            assert_eq!(points.hold(&device, t(0)), None, "the plan holds nothing");
            let asked = of_person("c1", priority, 1);
            points.note(&asked);
            assert_eq!(points.hold(&device, t(1)).is_some(), holds, "{priority}: from being asked");
            points.note(&ended(asked, CommandStatus::Acknowledged, 2));
            let hold = Hold { by: "li".into(), power_kw: 50.0, until: Some(t(62)) };
            assert_eq!(points.hold(&device, t(61)), holds.then_some(hold), "{priority}");
            assert_eq!(points.hold(&device, t(62)), None, "{priority}: over");
        }
        let mut points = SetPoints::default();
        points.note(&ended(of_person("c1", "high", 1), CommandStatus::Acknowledged, 2));
        let mut release = record("c2", 0.0, None, 3);
        release.request.command = RELEASE.to_owned();
        release.request.parameters.clear();
        points.note(&ended(release, CommandStatus::Acknowledged, 4));
        assert_eq!(points.hold(&device, t(5)), None, "released");
    }

    #[test]
    fn set_points_do_not_pile_up() {
        let mut points = SetPoints::default();
        for n in 0..100 {
            points.note(&ended(record(&format!("c{n}"), 1.0, None, n), CommandStatus::Acknowledged, n));
        }
        assert_eq!(points.by_device.values().map(Vec::len).sum::<usize>(), 1);
    }
}
