//! The topics of the wire: which one says what, and who may use it.
//!
//! A device publishes on `device/{id}/data`, `device/{id}/event` and `device/{id}/control/ack`, and hears
//! `device/{id}/control`, `device/{id}/desired` and `device/{id}/errors`; all under its own id only.

use crate::ingest::Channel;
use serde::{Deserialize, Serialize};
use shared::id::DeviceId;

/// What a device can hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Heard {
    /// Commands.
    Control,
    /// What was refused.
    Errors,
    /// The set-points it is to follow: the one retained topic.
    Desired,
}

impl Heard {
    const ALL: [Heard; 3] = [Heard::Control, Heard::Errors, Heard::Desired];

    fn level(self) -> &'static str {
        match self {
            Heard::Control => "control",
            Heard::Errors => "errors",
            Heard::Desired => "desired",
        }
    }
}

/// Why a publish is refused by its topic alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TopicRefusal {
    /// A topic of another device, or one only the server writes to.
    NotYours,
    /// No topic of this server.
    Unknown,
}

/// What a subscription's filter would let the device hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FilterVerdict {
    Hears {
        heard: Vec<Heard>,
        /// `$share/{group}/…`: the device's sessions share what is heard. One is connected at a time, so it is that one.
        shared: bool,
    },
    NotYours,
    /// Not a filter at all, such as `a/b#`.
    Invalid,
}

pub(crate) fn heard(device: &DeviceId, heard: Heard) -> String {
    format!("device/{device}/{}", heard.level())
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
    let (filter, shared) = match filter.strip_prefix("$share/") {
        None => (filter, false),
        Some(rest) => match rest.split_once('/') {
            Some((group, filter)) if !group.is_empty() && !group.contains(['+', '#']) => (filter, true),
            _ => return FilterVerdict::Invalid,
        },
    };
    if !is_filter(filter) {
        return FilterVerdict::Invalid;
    }
    let mut levels = filter.split('/');
    if levels.next() != Some("device") || levels.next() != Some(device.as_str()) {
        return FilterVerdict::NotYours;
    }
    let rest: Vec<&str> = levels.collect();
    let heard: Vec<Heard> = Heard::ALL.into_iter().filter(|heard| matches(&rest, &[heard.level()])).collect();
    if heard.is_empty() && !filter.contains(['+', '#']) {
        return FilterVerdict::NotYours;
    }
    FilterVerdict::Hears { heard, shared }
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
        let hears = |heard: &[Heard]| Hears { heard: heard.to_vec(), shared: false };
        let shares = |heard: &[Heard]| Hears { heard: heard.to_vec(), shared: true };
        for (filter, expected) in [
            ("device/pv-01/control", hears(&[Heard::Control])),
            ("device/pv-01/errors", hears(&[Heard::Errors])),
            ("device/pv-01/desired", hears(&[Heard::Desired])),
            ("device/pv-01/+", hears(&Heard::ALL)),
            ("device/pv-01/#", hears(&Heard::ALL)),
            ("device/pv-01/control/#", hears(&[Heard::Control])),
            ("device/pv-01/control/+", hears(&[])),
            ("device/pv-01/data", NotYours),
            ("device/pv-01", NotYours),
            ("device/pv-02/control", NotYours),
            ("device/+/control", NotYours),
            ("device/#", NotYours),
            ("#", NotYours),
            ("+/pv-01/control", NotYours),
            ("$share/g/device/pv-01/control", shares(&[Heard::Control])),
            ("$share/g/device/pv-02/control", NotYours),
            ("$share/g/#", NotYours),
            ("$share/g", Invalid),
            ("$share//device/pv-01/control", Invalid),
            ("$share/+/device/pv-01/control", Invalid),
            ("$share/g/", Invalid),
            ("device/pv-01/cont#", Invalid),
            ("device/pv-01/#/control", Invalid),
            ("", Invalid),
        ] {
            assert_eq!(judge_filter(&device(), filter), expected, "{filter}");
        }
    }
}
