//! Whether a command makes sense for a device's thing model, naming the field that does not.

use crate::error::CommandRefusal;
use serde_json::Value;
use shared::{
    command::CommandRequest,
    thing_model::{ParameterModel, ThingModel},
    time::{DAY_MS, MINUTE_MS, Timestamp},
};

/// How far ahead of our clock an asker's may be.
const ASKED_AHEAD_MS: i64 = 10 * MINUTE_MS;
/// A command may not wait longer than this, nor a set-point last longer.
const LONGEST_MS: i64 = 7 * DAY_MS;
const PRIORITIES: [&str; 3] = ["low", "normal", "high"];

/// Checks a command against its device's model. `priority` and `duration` (s) go with every command.
pub fn validate_command(
    model: &ThingModel,
    request: &CommandRequest,
    now: Timestamp,
) -> Result<(), CommandRefusal> {
    let Some(command) = model.command(&request.command) else {
        let known: Vec<&str> = model.commands.iter().map(|c| c.name.as_str()).collect();
        return Err(CommandRefusal::UnknownCommand {
            device: request.device_id.clone(),
            command: request.command.chars().take(64).collect(),
            known: if known.is_empty() { "none".to_owned() } else { known.join(", ") },
        });
    };
    for (key, value) in &request.parameters {
        let named = command.parameters.iter().find(|p| p.key == *key);
        match (named, key.as_str()) {
            (Some(parameter), _) => check_parameter(parameter, value)?,
            (None, "priority") => check_word(key, &PRIORITIES, value)?,
            (None, "duration") => check_duration(value)?,
            (None, _) => {
                let known: Vec<&str> = command.parameters.iter().map(|p| p.key.as_str()).collect();
                return Err(bad_parameter(
                    &key.chars().take(64).collect::<String>(),
                    format!(
                        "{} has no such parameter; it takes {}",
                        command.name,
                        [known.as_slice(), &["duration", "priority"]].concat().join(", ")
                    ),
                ));
            }
        }
    }
    if let Some(missing) =
        command.parameters.iter().find(|p| p.required && !request.parameters.contains_key(&p.key))
    {
        return Err(bad_parameter(&missing.key, format!("{} needs it", command.name)));
    }
    check_times(request, now)
}

fn bad_parameter(key: &str, message: String) -> CommandRefusal {
    CommandRefusal::BadParameter { field: format!("parameters.{key}"), message }
}

fn check_parameter(parameter: &ParameterModel, value: &Value) -> Result<(), CommandRefusal> {
    if !parameter.words.is_empty() {
        return check_word(&parameter.key, &parameter.words, value);
    }
    let number = match value {
        Value::Number(number) => number.as_f64(),
        // A switch may be told in words.
        Value::Bool(on) if parameter.unit.is_empty() => Some(f64::from(u8::from(*on))),
        _ => None,
    };
    let with_unit = |bound: f64| format!("{bound} {}", parameter.unit).trim_end().to_owned();
    let Some(number) = number else {
        return Err(bad_parameter(&parameter.key, "expected a number".to_owned()));
    };
    if let Some(min) = parameter.min.filter(|min| number < *min) {
        return Err(bad_parameter(&parameter.key, format!("{number} is below {}", with_unit(min))));
    }
    if let Some(max) = parameter.max.filter(|max| number > *max) {
        return Err(bad_parameter(&parameter.key, format!("{number} is above {}", with_unit(max))));
    }
    Ok(())
}

fn check_word(key: &str, words: &[impl AsRef<str>], value: &Value) -> Result<(), CommandRefusal> {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    match value.as_str() {
        Some(word) if words.contains(&word) => Ok(()),
        _ => Err(bad_parameter(key, format!("expected one of {}", words.join(", ")))),
    }
}

fn check_duration(value: &Value) -> Result<(), CommandRefusal> {
    let longest_s = (LONGEST_MS / 1_000) as f64;
    match value.as_f64() {
        Some(seconds) if seconds > 0.0 && seconds <= longest_s => Ok(()),
        _ => Err(bad_parameter("duration", format!("expected seconds, above 0 and up to {longest_s}"))),
    }
}

fn check_times(request: &CommandRequest, now: Timestamp) -> Result<(), CommandRefusal> {
    let bad =
        |field: &str, message: String| Err(CommandRefusal::BadParameter { field: field.to_owned(), message });
    if request.timestamp.since(now) > ASKED_AHEAD_MS {
        return bad("timestamp", format!("{} lies ahead; it is {now}", request.timestamp));
    }
    let expires = request.expires_at();
    if expires <= request.timestamp {
        return bad("expires", format!("{expires} is not after the timestamp {}", request.timestamp));
    }
    if expires.since(now) > LONGEST_MS {
        return bad("expires", format!("{expires} is more than {} days ahead", LONGEST_MS / DAY_MS));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_park;
    use serde_json::json;

    fn refused(change: impl FnOnce(&mut CommandRequest)) -> Option<(String, String)> {
        let registry = test_park::registry();
        let model = registry.get("bess-1").unwrap().rules.model.clone();
        let now = Timestamp(1_780_000_000_000);
        let mut request = test_park::set_power("c1", 50.0, now, None);
        change(&mut request);
        validate_command(&model, &request, now)
            .err()
            .map(|e| (e.field().unwrap_or_default().to_owned(), e.to_string()))
    }

    fn parameter(key: &str, value: Value) -> Option<String> {
        refused(|request| {
            request.parameters.insert(key.to_owned(), value);
        })
        .map(|(field, _)| field)
    }

    #[test]
    fn a_command_that_fits_its_model_passes() {
        assert_eq!(refused(|_| ()), None);
        for (key, value) in [
            ("power", json!(-500)),
            ("power", json!(500.0)),
            ("priority", json!("high")),
            ("duration", json!(3600)),
            ("duration", json!(0.5)),
        ] {
            assert_eq!(parameter(key, value.clone()), None, "{key} {value}");
        }
    }

    #[test]
    fn a_parameter_with_words_takes_one_of_them() {
        for (value, field) in [
            (json!("eco"), None),
            (json!("party"), Some("parameters.mode".to_owned())),
            (json!(1), Some("parameters.mode".to_owned())),
        ] {
            assert_eq!(parameter("mode", value.clone()), field, "{value}");
        }
    }

    #[test]
    fn each_fault_is_named() {
        for (key, value) in [
            ("power", json!("50")),
            ("power", json!(null)),
            ("power", json!(true)),
            ("power", json!(500.1)),
            ("power", json!(-501)),
            ("priority", json!("urgent")),
            ("priority", json!(1)),
            ("duration", json!(0)),
            ("duration", json!(-5)),
            ("duration", json!("1h")),
            ("duration", json!(604_801)),
            ("powr", json!(1)),
        ] {
            assert_eq!(parameter(key, value.clone()), Some(format!("parameters.{key}")), "{value}");
        }
        let (field, message) = refused(|request| request.parameters.clear()).unwrap();
        assert_eq!(
            (field.as_str(), message.as_str()),
            ("parameters.power", "parameters.power: setPower needs it")
        );
        let (field, message) = refused(|request| request.command = "dance".into()).unwrap();
        assert_eq!(field, "command");
        assert!(message.contains("it knows setPower, release"), "{message}");
    }

    #[test]
    fn times_must_make_sense() {
        let at = |ms: i64| Timestamp(1_780_000_000_000 + ms);
        assert_eq!(refused(|r| r.timestamp = at(600_000)), None);
        assert_eq!(refused(|r| r.timestamp = at(600_001)).unwrap().0, "timestamp");
        assert_eq!(refused(|r| r.expires = Some(at(0))).unwrap().0, "expires");
        assert_eq!(refused(|r| r.expires = Some(at(LONGEST_MS))), None);
        assert_eq!(refused(|r| r.expires = Some(at(LONGEST_MS + 1))).unwrap().0, "expires");
    }
}
