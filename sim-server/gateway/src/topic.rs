//! The topics of the wire: which one says what, and who may use it.
//!
//! A device publishes on `device/{id}/data`, `device/{id}/event` and `device/{id}/control/ack`, and hears
//! `device/{id}/control` and `device/{id}/errors`; all under its own id only.

use crate::ingest::Channel;
use shared::id::DeviceId;

/// Why a publish is refused by its topic alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TopicRefusal {
    /// A topic of another device, or one only the server writes to.
    NotYours,
    /// No topic of this server.
    Unknown,
}

/// What a subscription's filter would let the device hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilterVerdict {
    Hears {
        control: bool,
        errors: bool,
    },
    NotYours,
    /// Not a filter at all, such as `a/b#`.
    Invalid,
    /// `$share/…`: a device's own topics have one reader.
    Shared,
}

pub(crate) fn control(device: &DeviceId) -> String {
    format!("device/{device}/control")
}

pub(crate) fn errors(device: &DeviceId) -> String {
    format!("device/{device}/errors")
}

/// Splits `device/{id}/{channel}`; `None` when it is no topic devices publish on.
pub(crate) fn parse_published(topic: &str) -> Option<(&str, Channel)> {
    let (id, rest) = topic.strip_prefix("device/")?.split_once('/')?;
    let channel = match rest {
        "data" => Channel::Data,
        "event" => Channel::Event,
        "control/ack" => Channel::Ack,
        _ => return None,
    };
    Some((id, channel))
}

/// What `device` says by publishing on `topic`.
pub(crate) fn judge_publish(device: &DeviceId, topic: &str) -> Result<Channel, TopicRefusal> {
    match parse_published(topic) {
        Some((id, channel)) if id == device.as_str() => Ok(channel),
        _ if topic.starts_with("device/") && !topic.contains(['+', '#', '\0']) => Err(TopicRefusal::NotYours),
        _ => Err(TopicRefusal::Unknown),
    }
}

/// What `device` would hear by subscribing to `filter`.
pub(crate) fn judge_filter(device: &DeviceId, filter: &str) -> FilterVerdict {
    if filter.starts_with("$share/") {
        return FilterVerdict::Shared;
    }
    if !is_filter(filter) {
        return FilterVerdict::Invalid;
    }
    let mut levels = filter.split('/');
    if levels.next() != Some("device") || levels.next() != Some(device.as_str()) {
        return FilterVerdict::NotYours;
    }
    let rest: Vec<&str> = levels.collect();
    let control = matches(&rest, &["control"]);
    let errors = matches(&rest, &["errors"]);
    let wildcard = filter.contains(['+', '#']);
    if control || errors || wildcard {
        FilterVerdict::Hears { control, errors }
    } else {
        FilterVerdict::NotYours
    }
}

/// A topic filter as MQTT 5 section 4.7.1 has it: `#` alone and last, `+` alone in its level.
fn is_filter(filter: &str) -> bool {
    let levels: Vec<&str> = filter.split('/').collect();
    !filter.is_empty()
        && !filter.contains('\0')
        && levels.iter().enumerate().all(|(index, level)| match *level {
            "#" => index + 1 == levels.len(),
            "+" => true,
            other => !other.contains(['+', '#']),
        })
}

fn matches(filter: &[&str], topic: &[&str]) -> bool {
    match (filter.first(), topic.first()) {
        (Some(&"#"), _) => true,
        (Some(&"+"), Some(_)) => matches(&filter[1..], &topic[1..]),
        (Some(f), Some(t)) if f == t => matches(&filter[1..], &topic[1..]),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device() -> DeviceId {
        "pv-01".parse().unwrap()
    }

    #[test]
    fn a_device_publishes_only_as_itself() {
        use TopicRefusal::*;
        for (topic, expected) in [
            ("device/pv-01/data", Ok(Channel::Data)),
            ("device/pv-01/event", Ok(Channel::Event)),
            ("device/pv-01/control/ack", Ok(Channel::Ack)),
            ("device/pv-02/data", Err(NotYours)),
            ("device/pv-01/control", Err(NotYours)),
            ("device/pv-01/errors", Err(NotYours)),
            ("device/pv-01/data/more", Err(NotYours)),
            ("device/+/data", Err(Unknown)),
            ("device/", Err(NotYours)),
            ("", Err(Unknown)),
            ("$SYS/broker", Err(Unknown)),
            ("sensors/pv-01", Err(Unknown)),
        ] {
            assert_eq!(judge_publish(&device(), topic), expected, "{topic}");
        }
    }

    #[test]
    fn a_device_hears_only_its_own_topics() {
        use FilterVerdict::*;
        for (filter, expected) in [
            ("device/pv-01/control", Hears { control: true, errors: false }),
            ("device/pv-01/errors", Hears { control: false, errors: true }),
            ("device/pv-01/+", Hears { control: true, errors: true }),
            ("device/pv-01/#", Hears { control: true, errors: true }),
            ("device/pv-01/control/#", Hears { control: true, errors: false }),
            ("device/pv-01/control/+", Hears { control: false, errors: false }),
            ("device/pv-01/data", NotYours),
            ("device/pv-01", NotYours),
            ("device/pv-02/control", NotYours),
            ("device/+/control", NotYours),
            ("device/#", NotYours),
            ("#", NotYours),
            ("+/pv-01/control", NotYours),
            ("$share/g/device/pv-01/control", Shared),
            ("device/pv-01/cont#", Invalid),
            ("device/pv-01/#/control", Invalid),
            ("", Invalid),
        ] {
            assert_eq!(judge_filter(&device(), filter), expected, "{filter}");
        }
    }
}
