use super::*;
use crate::{registry::DeviceEntry, test_park};
use std::sync::Arc;

/// A book with the test park's rules, one battery, and a clock in seconds.
struct Desk {
    book: AlarmBook,
    battery: Arc<DeviceEntry>,
}

fn t(seconds: i64) -> Timestamp {
    Timestamp(1_780_000_000_000 + seconds * 1_000)
}

impl Desk {
    fn new() -> Self {
        let battery = test_park::registry().get("bess-1").unwrap();
        Self { book: AlarmBook::new(test_park::scene().alarms, AlarmOptions::default(), vec![]), battery }
    }

    fn handle(&mut self, input: AlarmInput<'_>, seconds: i64) -> Vec<String> {
        let changes = self.book.handle(input, t(seconds));
        changes
            .iter()
            .map(|change| {
                let what = match change {
                    AlarmChange::Raised(_) => "raised",
                    AlarmChange::Updated(_) => "updated",
                    AlarmChange::Cleared(_) => "cleared",
                    AlarmChange::Acknowledged(_) => "acknowledged",
                    AlarmChange::Dropped(_) => "dropped",
                };
                format!("{what} {:?} {:?}", change.alarm().kind, change.alarm().severity)
            })
            .collect()
    }

    fn temperature(&mut self, value: f64, seconds: i64) -> Vec<String> {
        let battery = self.battery.clone();
        let rules = &battery.rules.measurements[2];
        let quality = if rules.measurement.in_range(value) { Quality::Good } else { Quality::OutOfRange };
        let reading = Reading { value, timestamp: t(seconds), quality };
        let subject = Subject { device: battery.id(), name: &battery.record.name };
        self.handle(AlarmInput::Value { subject, rules, reading }, seconds)
    }

    fn about_battery<'a>(&self, battery: &'a DeviceEntry) -> Subject<'a> {
        Subject { device: battery.id(), name: &battery.record.name }
    }

    fn acknowledge_all(&mut self, seconds: i64) -> Vec<String> {
        let ids: Vec<AlarmId> = self.book.open().map(|a| a.id.clone()).collect();
        ids.iter().flat_map(|id| self.handle(AlarmInput::Acknowledge { id, who: "ling" }, seconds)).collect()
    }
}

#[test]
fn a_person_ends_an_alarm_and_a_condition_that_is_still_there_raises_another() {
    let mut desk = Desk::new();
    desk.temperature(50.0, 0);
    let id = desk.book.open().next().unwrap().id.clone();
    assert_eq!(desk.handle(AlarmInput::Clear { id: &id, who: "ling" }, 1), ["cleared LimitExceeded Warning"]);
    assert_eq!(desk.book.open().count(), 0);
    assert!(desk.handle(AlarmInput::Clear { id: &id, who: "ling" }, 2).is_empty(), "once");
    assert_eq!(desk.temperature(50.0, 3), ["raised LimitExceeded Warning"]);
    assert_ne!(desk.book.open().next().unwrap().id, id);
}

#[test]
fn a_limit_alarm_rises_escalates_and_clears_beyond_its_hysteresis() {
    let mut desk = Desk::new();
    // Limits: warning above 45 °C, critical above 55 °C, hysteresis 2 °C; an end must hold 5 s.
    for (seconds, value, expected) in [
        (0, 44.0, None),
        (1, 45.1, Some("raised LimitExceeded Warning")),
        (2, 46.0, None),
        (3, 55.5, Some("updated LimitExceeded Critical")),
        (4, 50.0, None),
        (5, 43.5, None), // inside the limit, but not by its hysteresis
        (6, 42.9, None), // inside by the hysteresis: the hold starts
        (8, 44.0, None), // and ends: back between the two
        (9, 42.0, None),
        (13, 42.0, None),
        (14, 42.0, Some("cleared LimitExceeded Critical")),
        (15, 42.0, None),
    ] {
        let changes = desk.temperature(value, seconds);
        assert_eq!(changes, Vec::from_iter(expected), "at {seconds} s: {value}");
    }
}

#[test]
fn a_value_that_comes_back_inside_and_then_falls_silent_clears_as_time_passes() {
    let mut desk = Desk::new();
    desk.temperature(50.0, 0);
    assert!(desk.temperature(20.0, 1).is_empty());
    assert!(desk.handle(AlarmInput::Tick, 5).is_empty());
    assert_eq!(desk.handle(AlarmInput::Tick, 6), ["cleared LimitExceeded Warning"]);
}

#[test]
fn an_implausible_value_raises_out_of_range_and_says_nothing_about_limits() {
    let mut desk = Desk::new();
    assert_eq!(desk.temperature(500.0, 0), ["raised OutOfRange Major"]);
    assert!(desk.temperature(501.0, 1).is_empty(), "one active alarm per kind, device and detail");
    assert!(desk.temperature(20.0, 2).is_empty());
    assert_eq!(desk.temperature(20.0, 7), ["cleared OutOfRange Major"]);
}

#[test]
fn a_flapping_condition_stays_one_alarm_until_somebody_acknowledges_it() {
    let mut desk = Desk::new();
    let mut ids = std::collections::BTreeSet::new();
    for round in 0..20 {
        let at = round * 20;
        assert_eq!(desk.temperature(46.0, at).len(), 1);
        ids.extend(desk.book.open().map(|a| a.id.clone()));
        desk.temperature(20.0, at + 5);
        assert_eq!(desk.temperature(20.0, at + 10).len(), 1);
    }
    assert_eq!(ids.len(), 1);
    let alarm = desk.book.open().next().unwrap();
    assert_eq!(alarm.raised_at, t(0), "it says since when the trouble lasts");
    desk.acknowledge_all(400);
    assert_eq!(desk.book.open().count(), 0);
    desk.temperature(46.0, 401);
    assert!(!ids.contains(&desk.book.open().next().unwrap().id), "acknowledged trouble that returns is news");
}

#[test]
fn trouble_that_returns_long_after_is_another_alarm_and_the_old_one_still_waits() {
    let mut desk = Desk::new();
    desk.temperature(46.0, 0);
    desk.temperature(20.0, 1);
    desk.temperature(20.0, 6);
    desk.temperature(46.0, 3_600);
    let open: Vec<bool> = desk.book.open().map(Alarm::is_active).collect();
    assert_eq!(open, [false, true]);
}

#[test]
fn a_silent_device_is_offline_until_it_is_heard() {
    let mut desk = Desk::new();
    let battery = desk.battery.clone();
    let silent = AlarmInput::Silent { subject: desk.about_battery(&battery), silent_ms: 300_000 };
    assert_eq!(desk.handle(silent.clone(), 0), ["raised DeviceOffline Critical"]);
    assert!(desk.handle(silent, 1).is_empty());
    assert_eq!(
        desk.handle(AlarmInput::Heard { device: battery.id() }, 2),
        ["cleared DeviceOffline Critical"]
    );
    assert!(desk.handle(AlarmInput::Heard { device: battery.id() }, 3).is_empty());
}

#[test]
fn delayed_data_clear_after_being_on_time_for_a_while() {
    let mut desk = Desk::new();
    let battery = desk.battery.clone();
    let late = AlarmInput::Late { subject: desk.about_battery(&battery), late_ms: 45_000 };
    assert_eq!(desk.handle(late.clone(), 0), ["raised DataDelayed Warning"]);
    assert_eq!(desk.book.open().next().unwrap().value, Some(45.0));
    assert!(desk.handle(AlarmInput::OnTime { device: battery.id() }, 1).is_empty());
    assert!(desk.handle(late, 2).is_empty());
    assert!(desk.handle(AlarmInput::OnTime { device: battery.id() }, 3).is_empty());
    assert_eq!(desk.handle(AlarmInput::OnTime { device: battery.id() }, 8), ["cleared DataDelayed Warning"]);
}

#[test]
fn an_event_s_alarm_ends_when_a_person_acknowledges_it() {
    let mut desk = Desk::new();
    let battery = desk.battery.clone();
    let event = |severity| DeviceEvent {
        device_id: battery.id().clone(),
        timestamp: t(0),
        id: "e1".into(),
        kind: "overheat".into(),
        severity,
        description: "cell 7".into(),
    };
    let (info, major) = (event(Severity::Info), event(Severity::Major));
    let subject = desk.about_battery(&battery);
    assert!(desk.handle(AlarmInput::Event { subject, name: None, event: &info }, 0).is_empty());
    let raise = AlarmInput::Event { subject, name: None, event: &major };
    assert_eq!(desk.handle(raise.clone(), 1), ["raised DeviceEvent Major"]);
    assert!(desk.handle(raise, 2).is_empty());
    assert!(desk.handle(AlarmInput::Tick, 1_000).is_empty());
    assert_eq!(desk.acknowledge_all(1_001), ["acknowledged DeviceEvent Major"]);
    assert_eq!(desk.book.open().count(), 0);
}

#[test]
fn a_park_alarm_tells_when_its_reason_changes() {
    let mut desk = Desk::new();
    let infeasible = |text: &str| AlarmInput::Park {
        kind: AlarmKind::PlanInfeasible,
        active: Some((Text::new(text, text), None)),
    };
    assert_eq!(desk.handle(infeasible("grid limit at step 7"), 0), ["raised PlanInfeasible Major"]);
    assert!(desk.handle(infeasible("grid limit at step 7"), 1).is_empty());
    assert_eq!(desk.handle(infeasible("soc at step 3"), 2), ["updated PlanInfeasible Major"]);
    let absent = AlarmInput::Park { kind: AlarmKind::PlanInfeasible, active: None };
    assert_eq!(desk.handle(absent.clone(), 3), ["cleared PlanInfeasible Major"]);
    assert!(desk.handle(absent, 4).is_empty());
}

#[test]
fn an_alarm_leaves_the_book_when_it_is_both_cleared_and_acknowledged() {
    let mut desk = Desk::new();
    desk.temperature(50.0, 0);
    assert_eq!(desk.acknowledge_all(1), ["acknowledged LimitExceeded Warning"]);
    assert!(desk.acknowledge_all(2).is_empty(), "once is enough");
    assert_eq!(desk.book.open().count(), 1);
    desk.temperature(20.0, 3);
    desk.temperature(20.0, 8);
    assert_eq!(desk.book.open().count(), 0);
}

#[test]
fn a_restored_book_goes_on_where_it_stopped() {
    let mut desk = Desk::new();
    desk.temperature(50.0, 0);
    let open: Vec<Alarm> = desk.book.open().cloned().collect();
    desk.book = AlarmBook::new(test_park::scene().alarms, AlarmOptions::default(), open.clone());
    assert!(desk.temperature(50.0, 1).is_empty(), "still the same alarm");
    assert_eq!(desk.book.watched().len(), 1);
    desk.temperature(20.0, 2);
    assert_eq!(desk.temperature(20.0, 7), ["cleared LimitExceeded Warning"]);
    assert_eq!(desk.book.get(&open[0].id).and_then(|a| a.cleared_at), Some(t(7)));
}

#[test]
fn the_book_stays_bounded_when_nobody_ever_acknowledges() {
    let options = AlarmOptions { unacknowledged_max: 3, ..Default::default() };
    let mut desk = Desk::new();
    desk.book = AlarmBook::new(test_park::scene().alarms, options, vec![]);
    for day in 0..50 {
        desk.temperature(50.0, day * 86_400);
        desk.temperature(20.0, day * 86_400 + 1);
        desk.temperature(20.0, day * 86_400 + 6);
    }
    assert_eq!(desk.book.open().count(), 3);
    assert!(desk.book.open().all(|a| a.raised_at >= t(47 * 86_400)));
}
