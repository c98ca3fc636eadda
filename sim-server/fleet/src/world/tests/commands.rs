use super::park::{QUARTER_MS, device, monday, number, word, world_at};
use crate::world::{Rule, World};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use shared::{
    command::{AckStatus, CommandAck, CommandDelivery},
    time::{HOUR_MS, MINUTE_MS, SECOND_MS, Timestamp},
};

/// Half past ten in the morning: sun, cars and production.
fn morning() -> Timestamp {
    Timestamp(monday().millis() + 10 * HOUR_MS + 30 * MINUTE_MS)
}

fn live_world() -> World {
    let mut world = world_at(Timestamp(morning().millis() - 2 * HOUR_MS));
    for minute in 1..=120 {
        world.step(Timestamp(morning().millis() + (minute - 120) * MINUTE_MS), Rule::Rest);
    }
    world
}

fn delivery(id: &str, command: &str, parameters: Value) -> CommandDelivery {
    let Value::Object(parameters) = parameters else { panic!("parameters are an object") };
    CommandDelivery {
        command_id: id.parse().unwrap(),
        command: command.into(),
        parameters,
        timestamp: morning(),
        expires: Timestamp(morning().millis() + 5 * MINUTE_MS),
    }
}

fn ask(world: &mut World, id: &str, parameters: Value) -> CommandAck {
    let (at, now) = (device(world, id), world.now());
    let number = world.now().millis();
    world.command(at, &delivery(&format!("c-{number}"), "setPower", parameters), now)
}

fn step(world: &mut World, ms: i64) {
    world.step(Timestamp(world.now().millis() + ms), Rule::Rest);
}

#[test]
fn possible_set_points_are_obeyed_and_impossible_ones_refused_with_a_reason() {
    let set_soc = |world: &mut World, soc: f64| {
        let battery = device(world, "battery-container");
        world.devices[battery].set_soc(soc);
    };
    let full = |world: &mut World| set_soc(world, 0.9);
    let empty = |world: &mut World| set_soc(world, 0.1);
    let unplug = |world: &mut World| {
        let night = Timestamp(world.now().millis() + 12 * HOUR_MS);
        world.step(night, Rule::Rest);
    };
    let nothing = |_: &mut World| {};
    type Prepare<'a> = &'a dyn Fn(&mut World);
    let cases: &[(&str, Prepare<'_>, Value, Result<f64, &str>)] = &[
        ("battery-container", &nothing, json!({"power": 400.0}), Ok(400.0)),
        (
            "battery-container",
            &nothing,
            json!({"power": -400.0, "duration": 900, "priority": "high"}),
            Ok(-400.0),
        ),
        ("battery-container", &nothing, json!({"power": 0}), Ok(0.0)),
        (
            "battery-container",
            &nothing,
            json!({"power": 5000}),
            Err("5000 kW is beyond the charging limit of 1000 kW"),
        ),
        (
            "battery-container",
            &nothing,
            json!({"power": -1001}),
            Err("-1001 kW is beyond the discharging limit of 1000 kW"),
        ),
        ("battery-container", &full, json!({"power": 10}), Err("full: state of charge 90.0 %, limit 90 %")),
        (
            "battery-container",
            &empty,
            json!({"power": -10}),
            Err("empty: state of charge 10.0 %, limit 10 %"),
        ),
        ("battery-container", &full, json!({"power": -10}), Ok(-10.0)),
        ("battery-container", &empty, json!({"power": 10}), Ok(10.0)),
        ("battery-container", &nothing, json!({}), Err("parameter power is missing")),
        ("battery-container", &nothing, json!({"power": "a lot"}), Err("parameter power is not a number")),
        (
            "battery-container",
            &nothing,
            json!({"power": 1, "duration": 0}),
            Err("parameter duration must be more than 0 s"),
        ),
        ("pv-inverter", &nothing, json!({"power": -50}), Ok(-50.0)),
        ("pv-inverter", &nothing, json!({"power": 0}), Ok(0.0)),
        ("pv-inverter", &nothing, json!({"power": 20}), Err("PV cannot draw power (20 kW asked)")),
        (
            "pv-inverter",
            &nothing,
            json!({"power": -400}),
            Err("-400 kW is beyond the inverter's rating of 330 kW"),
        ),
        ("wind-turbine", &nothing, json!({"power": 5}), Err("a wind turbine cannot draw power (5 kW asked)")),
        ("charger-dc", &nothing, json!({"power": -5}), Err("a charger cannot feed in (-5 kW asked)")),
        (
            "charger-dc",
            &nothing,
            json!({"power": 200}),
            Err("200 kW is beyond the charger's rating of 120 kW"),
        ),
        ("charger-ac", &nothing, json!({"power": 3.5}), Ok(3.5)),
        ("charger-ac", &nothing, json!({"power": 1.0}), Ok(0.0)),
        ("charger-ac", &unplug, json!({"power": 3.5}), Err("expired at 2026-07-06T02:35:00Z")),
        ("chiller", &nothing, json!({"power": -1}), Err("a chiller cannot feed in (-1 kW asked)")),
        ("heat-pump", &nothing, json!({"power": 100}), Ok(100.0)),
        ("heat-pump", &nothing, json!({"power": 300}), Err("300 kW is beyond the rated power of 250 kW")),
        (
            "production-line",
            &nothing,
            json!({"power": 10}),
            Err("unknown command \"setPower\": this device takes none"),
        ),
        (
            "weather-station",
            &nothing,
            json!({"power": 10}),
            Err("unknown command \"setPower\": this device takes none"),
        ),
    ];
    for (id, prepare, parameters, expected) in cases {
        let mut world = live_world();
        prepare(&mut world);
        let ack = ask(&mut world, id, parameters.clone());
        match expected {
            Ok(power) => {
                assert_eq!(ack.status, AckStatus::Done, "{id} {parameters}: {ack:?}");
                let applied = ack.result.unwrap()["power"].as_f64().unwrap();
                assert!((applied - power).abs() < 1e-6, "{id} {parameters}: {applied}");
            }
            Err(reason) => {
                assert_eq!(ack.status, AckStatus::Rejected, "{id} {parameters}");
                assert_eq!(ack.reason.as_deref(), Some(*reason), "{id} {parameters}");
            }
        }
    }
}

#[test]
fn a_charger_without_a_car_says_so() {
    let mut world = world_at(monday());
    step(&mut world, MINUTE_MS);
    let ack = ask(&mut world, "charger-ac", json!({"power": 3.5}));
    assert_eq!(ack.reason.as_deref(), Some("no car is plugged"));
    assert_eq!(ask(&mut world, "charger-dc", json!({"power": 0})).status, AckStatus::Done);
}

#[test]
fn an_unknown_command_names_those_there_are() {
    let mut world = live_world();
    let (at, now) = (device(&world, "battery-container"), world.now());
    let ack = world.command(at, &delivery("x", "selfDestruct", json!({})), now);
    assert_eq!(
        ack.reason.as_deref(),
        Some("unknown command \"selfDestruct\": this device takes setPower, release")
    );
}

#[test]
fn the_same_command_is_answered_the_same_and_done_once() {
    let mut world = live_world();
    let (at, now) = (device(&world, "battery-container"), world.now());
    let first = delivery("once", "setPower", json!({"power": 300}));
    let answered = world.command(at, &first, now);
    let other = delivery("other", "setPower", json!({"power": -100}));
    world.command(at, &other, now);
    assert_eq!(world.command(at, &first, now), answered);
    step(&mut world, SECOND_MS);
    assert!((number(&world, "battery-container", "power") + 100.0).abs() < 0.01);
}

#[test]
fn a_set_point_holds_for_its_duration_and_then_the_device_is_its_own_again() {
    let mut world = live_world();
    let free = number(&world, "pv-inverter", "power");
    assert!(free < -60.0, "{free}");
    ask(&mut world, "pv-inverter", json!({"power": -50, "duration": 60}));
    for second in 1..=60 {
        step(&mut world, SECOND_MS);
        assert_eq!(number(&world, "pv-inverter", "power"), -50.0, "second {second}");
        assert_eq!(word(&world, "pv-inverter", "status"), "curtailed");
    }
    step(&mut world, SECOND_MS);
    assert!(number(&world, "pv-inverter", "power") < -60.0);
    assert_eq!(word(&world, "pv-inverter", "status"), "running");
}

#[test]
fn release_ends_a_set_point_at_once() {
    let mut world = live_world();
    ask(&mut world, "battery-container", json!({"power": 200}));
    step(&mut world, SECOND_MS);
    assert_eq!(number(&world, "battery-container", "power"), 200.0);
    let (at, now) = (device(&world, "battery-container"), world.now());
    assert_eq!(world.command(at, &delivery("r", "release", json!({})), now).status, AckStatus::Done);
    step(&mut world, SECOND_MS);
    assert_eq!(number(&world, "battery-container", "power"), 0.0);
}

#[test]
fn set_points_and_answers_survive_a_restart() {
    let mut world = live_world();
    let (at, now) = (device(&world, "battery-container"), world.now());
    let command = delivery("kept", "setPower", json!({"power": 250}));
    let answer = world.command(at, &command, now);
    let memory = world.memory();
    let mut later = world_at(now);
    later.restore(serde_json::from_str(&serde_json::to_string(&memory).unwrap()).unwrap());
    assert_eq!(later.command(at, &command, Timestamp(now.millis() + HOUR_MS)), answer);
    step(&mut later, SECOND_MS);
    assert_eq!(number(&later, "battery-container", "power"), 250.0);
}

#[test]
fn a_command_that_comes_while_the_past_is_filled_leaves_the_past_alone() {
    let mut world = world_at(monday());
    let at = device(&world, "battery-container");
    world.command(at, &delivery("early", "setPower", json!({"power": 123})), morning());
    world.step(Timestamp(monday().millis() + QUARTER_MS), Rule::Rest);
    assert_eq!(number(&world, "battery-container", "power"), 0.0);
    world.skip_to(morning());
    step(&mut world, SECOND_MS);
    assert_eq!(number(&world, "battery-container", "power"), 123.0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_state_of_charge_stays_in_bounds_whatever_is_commanded(
        asked in proptest::collection::vec((-1500.0f64..1500.0, 1i64..3600, prop::bool::ANY), 1..60),
    ) {
        let mut world = world_at(monday());
        for (count, (power, seconds, ends)) in asked.into_iter().enumerate() {
            let mut parameters = Map::from_iter([("power".to_owned(), json!(power))]);
            if ends {
                parameters.insert("duration".to_owned(), json!(seconds / 2 + 1));
            }
            let (at, now) = (device(&world, "battery-container"), world.now());
            let command = CommandDelivery {
                command_id: format!("p{count}").parse().unwrap(),
                command: "setPower".into(),
                parameters,
                timestamp: now,
                expires: Timestamp(now.millis() + MINUTE_MS),
            };
            let ack = world.command(at, &command, now);
            prop_assert_eq!(ack.status == AckStatus::Rejected, ack.reason.is_some());
            step(&mut world, seconds * SECOND_MS);
            let soc = number(&world, "battery-container", "soc");
            prop_assert!((10.0..=90.0).contains(&soc), "{}", soc);
            prop_assert!(number(&world, "battery-container", "power").abs() <= 1000.0);
        }
    }
}
