//! The alarm book: which conditions hold, since when, and who has seen them. Pure: inputs and `now` in, changes out.
//!
//! One active alarm per (kind, device, detail). A condition that ends clears its alarm by itself; a person acknowledges
//! it, before or after; it leaves the book when both have happened. A person may also end it: if the condition is still
//! there, it is raised anew as soon as it is seen again. A value that wavers makes no storm: a limit clears
//! only beyond its hysteresis, an end must last [`AlarmOptions::clear_hold_ms`], and a condition that comes back within
//! [`AlarmOptions::flap_window_ms`] reopens the alarm nobody has acknowledged yet.

use crate::{alarm_text, model::MeasurementRules};
use indexmap::IndexMap;
use shared::{
    alarm::{Alarm, AlarmKind, Severity},
    id::{AlarmId, DeviceId},
    scene::AlarmRules,
    telemetry::{DeviceEvent, Quality, Reading},
    text::Text,
    time::{MINUTE_MS, SECOND_MS, Timestamp},
};
use std::collections::HashMap;

/// The device an input is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    pub device: &'a DeviceId,
    pub name: &'a Text,
}

/// What the book hears of.
#[derive(Debug, Clone)]
pub enum AlarmInput<'a> {
    /// The newest value of a measurement.
    Value { subject: Subject<'a>, rules: &'a MeasurementRules, reading: Reading },
    /// The device's newest data came this late.
    Late { subject: Subject<'a>, late_ms: i64 },
    /// The device's newest data came on time.
    OnTime { device: &'a DeviceId },
    /// A device that used to report has been silent for too long.
    Silent { subject: Subject<'a>, silent_ms: i64 },
    /// The device is heard again.
    Heard { device: &'a DeviceId },
    /// A device announced something new; `name` is its model's text for that type of event.
    Event { subject: Subject<'a>, name: Option<&'a Text>, event: &'a DeviceEvent },
    /// A condition of the park itself: present with its text and value, or absent.
    Park { kind: AlarmKind, active: Option<(Text, Option<f64>)> },
    /// A person has seen it.
    Acknowledge { id: &'a AlarmId, who: &'a str },
    /// A person says that it is over.
    Clear { id: &'a AlarmId, who: &'a str },
    /// Time passes.
    Tick,
}

/// What changed; the alarm as it now is.
#[derive(Debug, Clone, PartialEq)]
pub enum AlarmChange {
    /// New, or open again.
    Raised(Alarm),
    /// More severe than it was, or with another text.
    Updated(Alarm),
    Cleared(Alarm),
    Acknowledged(Alarm),
    /// Over, never acknowledged, and one too many: it leaves the book as it is.
    Dropped(Alarm),
}

impl AlarmChange {
    pub fn alarm(&self) -> &Alarm {
        match self {
            AlarmChange::Raised(alarm)
            | AlarmChange::Updated(alarm)
            | AlarmChange::Cleared(alarm)
            | AlarmChange::Acknowledged(alarm)
            | AlarmChange::Dropped(alarm) => alarm,
        }
    }

    /// The alarm as a list of open ones takes it: a dropped one no longer asks for anybody's attention.
    pub(crate) fn into_listed(self) -> Alarm {
        match self {
            AlarmChange::Raised(alarm)
            | AlarmChange::Updated(alarm)
            | AlarmChange::Cleared(alarm)
            | AlarmChange::Acknowledged(alarm) => alarm,
            AlarmChange::Dropped(mut alarm) => {
                alarm.acknowledged_at = alarm.acknowledged_at.or(alarm.cleared_at);
                alarm
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlarmOptions {
    /// How long a value must be back inside, or data on time, before the alarm clears.
    pub clear_hold_ms: i64,
    /// A condition that comes back within this time of its clearing is the same alarm, unless somebody acknowledged it.
    pub flap_window_ms: i64,
    /// Cleared alarms nobody has acknowledged: beyond this many the oldest leave the book (the records keep them).
    pub unacknowledged_max: usize,
}

impl Default for AlarmOptions {
    fn default() -> Self {
        Self { clear_hold_ms: 5 * SECOND_MS, flap_window_ms: 10 * MINUTE_MS, unacknowledged_max: 5_000 }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    kind: AlarmKind,
    device: Option<DeviceId>,
    detail: Option<String>,
}

#[derive(Debug)]
struct Open {
    alarm: Alarm,
    /// Since when the condition of an active alarm has been absent.
    absent_since: Option<Timestamp>,
}

/// Something is wrong, this badly. What it says is put into words only when somebody is told: a condition that lasts
/// is reported with every value.
struct Condition<F: FnOnce() -> Text> {
    severity: Severity,
    value: Option<f64>,
    text: F,
}

/// All alarms that need attention.
#[derive(Debug)]
pub struct AlarmBook {
    rules: AlarmRules,
    options: AlarmOptions,
    open: IndexMap<AlarmId, Open>,
    /// The newest open alarm of each key: the active one, or the last to clear.
    newest: HashMap<Key, AlarmId>,
    sequence: u64,
}

impl Key {
    fn new(kind: AlarmKind, device: Option<&DeviceId>, detail: Option<&str>) -> Self {
        Self { kind, device: device.cloned(), detail: detail.map(str::to_owned) }
    }

    fn of(alarm: &Alarm) -> Self {
        Self::new(alarm.kind, alarm.device_id.as_ref(), alarm.detail.as_deref())
    }
}

impl AlarmBook {
    /// A book that goes on with what was open; `open` oldest first.
    pub fn new(rules: AlarmRules, options: AlarmOptions, open: Vec<Alarm>) -> Self {
        let mut book = Self { rules, options, open: IndexMap::new(), newest: HashMap::new(), sequence: 0 };
        for alarm in open {
            let key = Key::of(&alarm);
            let replaces = book
                .newest
                .get(&key)
                .and_then(|id| book.open.get(id))
                .is_none_or(|other| alarm.is_active() || !other.alarm.is_active());
            if replaces {
                book.newest.insert(key, alarm.id.clone());
            }
            book.open.insert(alarm.id.clone(), Open { alarm, absent_since: None });
        }
        book
    }

    /// Alarms that are active or not acknowledged, in no order.
    pub fn open(&self) -> impl Iterator<Item = &Alarm> {
        self.open.values().map(|open| &open.alarm)
    }

    pub fn get(&self, id: &AlarmId) -> Option<&Alarm> {
        self.open.get(id).map(|open| &open.alarm)
    }

    /// What to look at while time passes: active alarms about a measurement's value or a device's delay.
    pub fn watched(&self) -> Vec<(AlarmKind, DeviceId, Option<String>)> {
        use AlarmKind::{DataDelayed, LimitExceeded, OutOfRange};
        self.open()
            .filter(|a| a.is_active() && matches!(a.kind, OutOfRange | LimitExceeded | DataDelayed))
            .filter_map(|a| Some((a.kind, a.device_id.clone()?, a.detail.clone())))
            .collect()
    }

    pub fn handle(&mut self, input: AlarmInput<'_>, now: Timestamp) -> Vec<AlarmChange> {
        let mut changes = Vec::new();
        match input {
            AlarmInput::Value { subject, rules, reading } => {
                self.value(subject, rules, reading, now, &mut changes);
            }
            AlarmInput::Late { subject, late_ms } => {
                let key = Key::new(AlarmKind::DataDelayed, Some(subject.device), None);
                let allowed_ms = i64::from(self.rules.delayed_after_s) * SECOND_MS;
                let condition = Condition {
                    severity: self.rules.delayed_severity,
                    value: Some(late_ms as f64 / 1e3),
                    text: || alarm_text::delayed(subject.name, late_ms, allowed_ms),
                };
                self.present(key, condition, now, &mut changes);
            }
            AlarmInput::OnTime { device } => {
                let key = Key::new(AlarmKind::DataDelayed, Some(device), None);
                self.absent(&key, self.options.clear_hold_ms, now, &mut changes);
            }
            AlarmInput::Silent { subject, silent_ms } => {
                let key = Key::new(AlarmKind::DeviceOffline, Some(subject.device), None);
                let condition = Condition {
                    severity: self.rules.offline_severity,
                    value: None,
                    text: || alarm_text::offline(subject.name, silent_ms),
                };
                self.present(key, condition, now, &mut changes);
            }
            AlarmInput::Heard { device } => {
                let key = Key::new(AlarmKind::DeviceOffline, Some(device), None);
                self.absent(&key, 0, now, &mut changes);
            }
            AlarmInput::Event { subject, name, event } => {
                if event.severity != Severity::Info {
                    let key = Key::new(AlarmKind::DeviceEvent, Some(subject.device), Some(&event.kind));
                    let text = || alarm_text::event(subject.name, name, event);
                    let condition = Condition { severity: event.severity, value: None, text };
                    self.present(key, condition, now, &mut changes);
                }
            }
            AlarmInput::Park { kind, active } => self.park(kind, active, now, &mut changes),
            AlarmInput::Acknowledge { id, who } => self.acknowledge(id, who, now, &mut changes),
            AlarmInput::Clear { id, who } => self.clear_by_hand(id, who, now, &mut changes),
            AlarmInput::Tick => self.tick(now, &mut changes),
        }
        changes
    }

    fn value(
        &mut self,
        subject: Subject<'_>,
        rules: &MeasurementRules,
        reading: Reading,
        now: Timestamp,
        changes: &mut Vec<AlarmChange>,
    ) {
        let measurement = rules.measurement.key.as_str();
        let key = |kind| Key::new(kind, Some(subject.device), Some(measurement));
        let value = Some(reading.value);
        let hold_ms = self.options.clear_hold_ms;
        if reading.quality == Quality::OutOfRange {
            // Implausible, so it says nothing about the limits.
            let text = || alarm_text::out_of_range(subject.name, rules, reading.value);
            let condition = Condition { severity: self.rules.out_of_range_severity, value, text };
            self.present(key(AlarmKind::OutOfRange), condition, now, changes);
            return;
        }
        self.absent(&key(AlarmKind::OutOfRange), hold_ms, now, changes);
        if let Some(limit) = rules.violated(reading.value) {
            let text = || alarm_text::limit_exceeded(subject.name, rules, limit, reading.value);
            let condition = Condition { severity: limit.severity, value, text };
            self.present(key(AlarmKind::LimitExceeded), condition, now, changes);
        } else if rules.is_cleared(reading.value) {
            self.absent(&key(AlarmKind::LimitExceeded), hold_ms, now, changes);
        } else {
            self.undecided(&key(AlarmKind::LimitExceeded));
        }
    }

    fn park(
        &mut self,
        kind: AlarmKind,
        active: Option<(Text, Option<f64>)>,
        now: Timestamp,
        changes: &mut Vec<AlarmChange>,
    ) {
        let key = Key::new(kind, None, None);
        let Some((text, value)) = active else {
            return self.absent(&key, 0, now, changes);
        };
        let severity = match kind {
            AlarmKind::DiskLow => self.rules.disk_severity,
            AlarmKind::PlanInfeasible => self.rules.plan_infeasible_severity,
            _ => Severity::Major,
        };
        // What is wrong with the park changes while it stays wrong: another limit binds, less disk is left.
        if let Some(alarm) = self.active(&key).filter(|alarm| alarm.text != text) {
            (alarm.text, alarm.value) = (text, value);
            changes.push(AlarmChange::Updated(alarm.clone()));
            return;
        }
        self.present(key, Condition { severity, value, text: || text }, now, changes);
    }

    fn active(&mut self, key: &Key) -> Option<&mut Alarm> {
        let open = self.open.get_mut(self.newest.get(key)?)?;
        open.alarm.is_active().then_some(&mut open.alarm)
    }

    fn present(
        &mut self,
        key: Key,
        condition: Condition<impl FnOnce() -> Text>,
        now: Timestamp,
        changes: &mut Vec<AlarmChange>,
    ) {
        let flap_window_ms = self.options.flap_window_ms;
        if let Some(open) = self.newest.get(&key).and_then(|id| self.open.get_mut(id)) {
            open.absent_since = None;
            let alarm = &mut open.alarm;
            match alarm.cleared_at {
                None if condition.severity < alarm.severity => {
                    (alarm.severity, alarm.text, alarm.value) =
                        (condition.severity, (condition.text)(), condition.value);
                    changes.push(AlarmChange::Updated(alarm.clone()));
                    return;
                }
                None => return,
                Some(cleared_at) if now.since(cleared_at) <= flap_window_ms => {
                    (alarm.severity, alarm.text, alarm.value) =
                        (condition.severity, (condition.text)(), condition.value);
                    alarm.cleared_at = None;
                    changes.push(AlarmChange::Raised(alarm.clone()));
                    return;
                }
                Some(_) => {}
            }
        }
        let Some(id) = self.next_id(now) else { return };
        let alarm = Alarm {
            id: id.clone(),
            kind: key.kind,
            detail: key.detail.clone(),
            device_id: key.device.clone(),
            severity: condition.severity,
            text: (condition.text)(),
            value: condition.value,
            raised_at: now,
            cleared_at: None,
            acknowledged_at: None,
            acknowledged_by: None,
        };
        changes.push(AlarmChange::Raised(alarm.clone()));
        self.newest.insert(key, id.clone());
        self.open.insert(id, Open { alarm, absent_since: None });
        self.forget_oldest_cleared(changes);
    }

    /// Ids order like the time they were raised at; the sequence keeps those of one millisecond apart.
    fn next_id(&mut self, now: Timestamp) -> Option<AlarmId> {
        loop {
            self.sequence += 1;
            // `None` cannot be: hexadecimal digits and dashes make an id.
            let id: AlarmId = format!("alarm-{:012x}-{:x}", now.0, self.sequence).parse().ok()?;
            if !self.open.contains_key(&id) {
                return Some(id);
            }
        }
    }

    fn absent(&mut self, key: &Key, hold_ms: i64, now: Timestamp, changes: &mut Vec<AlarmChange>) {
        let Some(id) = self.newest.get(key) else { return };
        let Some(open) = self.open.get_mut(id).filter(|open| open.alarm.is_active()) else { return };
        let since = *open.absent_since.get_or_insert(now);
        if now.since(since) >= hold_ms {
            self.clear(&id.clone(), now, changes);
        }
    }

    /// Neither present nor absent, such as between a limit and its hysteresis: an active alarm stays.
    fn undecided(&mut self, key: &Key) {
        if let Some(open) = self.newest.get(key).and_then(|id| self.open.get_mut(id)) {
            open.absent_since = None;
        }
    }

    fn clear(&mut self, id: &AlarmId, now: Timestamp, changes: &mut Vec<AlarmChange>) {
        let Some(open) = self.open.get_mut(id) else { return };
        open.absent_since = None;
        open.alarm.cleared_at = Some(now);
        let alarm = open.alarm.clone();
        if !alarm.needs_attention() {
            self.forget(id);
        }
        changes.push(AlarmChange::Cleared(alarm));
    }

    fn acknowledge(&mut self, id: &AlarmId, who: &str, now: Timestamp, changes: &mut Vec<AlarmChange>) {
        let Some(open) = self.open.get_mut(id).filter(|open| open.alarm.acknowledged_at.is_none()) else {
            return;
        };
        open.alarm.acknowledged_at = Some(now);
        open.alarm.acknowledged_by = Some(who.to_owned());
        // An event is a moment, not a condition: nothing but a person ends its alarm.
        if open.alarm.kind == AlarmKind::DeviceEvent {
            open.alarm.cleared_at = Some(now);
        }
        let alarm = open.alarm.clone();
        if !alarm.needs_attention() {
            self.forget(id);
        }
        changes.push(AlarmChange::Acknowledged(alarm));
    }

    fn clear_by_hand(&mut self, id: &AlarmId, who: &str, now: Timestamp, changes: &mut Vec<AlarmChange>) {
        let Some(open) = self.open.get_mut(id) else { return };
        let alarm = &mut open.alarm;
        alarm.cleared_at.get_or_insert(now);
        if alarm.acknowledged_at.is_none() {
            (alarm.acknowledged_at, alarm.acknowledged_by) = (Some(now), Some(who.to_owned()));
        }
        changes.push(AlarmChange::Cleared(alarm.clone()));
        self.forget(id);
    }

    fn tick(&mut self, now: Timestamp, changes: &mut Vec<AlarmChange>) {
        let hold_ms = self.options.clear_hold_ms;
        let due: Vec<AlarmId> = self
            .open
            .iter()
            .filter(|(_, open)| open.absent_since.is_some_and(|since| now.since(since) >= hold_ms))
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            self.clear(&id, now, changes);
        }
    }

    fn forget(&mut self, id: &AlarmId) {
        if let Some(open) = self.open.swap_remove(id) {
            let key = Key::of(&open.alarm);
            if self.newest.get(&key) == Some(id) {
                self.newest.remove(&key);
            }
        }
    }

    /// Drops the oldest alarms that are over once too many are open: a tenth at a time, so that a storm costs no look at
    /// all of them for each that is raised.
    fn forget_oldest_cleared(&mut self, changes: &mut Vec<AlarmChange>) {
        let most = self.options.unacknowledged_max;
        if self.open.len() <= most {
            return;
        }
        let mut over: Vec<(Timestamp, AlarmId)> = self
            .open()
            .filter(|alarm| !alarm.is_active())
            .map(|alarm| (alarm.raised_at, alarm.id.clone()))
            .collect();
        over.sort();
        over.truncate(self.open.len() - (most - most / 10));
        for (_, id) in over {
            changes.extend(self.get(&id).cloned().map(AlarmChange::Dropped));
            self.forget(&id);
        }
    }
}

#[cfg(test)]
mod tests;
