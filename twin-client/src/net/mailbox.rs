//! Where the link leaves what arrived until a frame takes it, and what a frame took and has not worked through yet.
//!
//! Bounded by construction, not by a limit that drops what comes next: a newer value replaces the older one of its point,
//! a newer state the older one of its kind. Only outcomes that people are told of (updates of commands, histories,
//! notices) have a number, and only beyond it the oldest of that kind goes.

use super::NetEvent;
use crate::model::COMMANDS_KEPT;
use shared::{
    alarm::Alarm,
    id::DeviceId,
    stream::{PointValue, Presence, ServerMessage},
};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError, TryLockError},
};

/// Histories that may wait, and notices.
const OUTCOMES_KEPT: usize = 64;

/// What arrived since it was last taken.
#[derive(Debug, Default)]
struct Mail {
    events: Vec<NetEvent>,
    values: Newest<u32, PointValue>,
    presence: Newest<DeviceId, Presence>,
}

/// The newest of each key, in a list that is handed over in no time.
#[derive(Debug)]
struct Newest<K, T> {
    list: Vec<T>,
    /// Where a key's newest stands in `list`, if that is of this round. Keys stay: a park has only so many.
    places: HashMap<K, (u32, u32)>,
    round: u32,
}

impl<K, T> Default for Newest<K, T> {
    fn default() -> Self {
        Self { list: Vec::new(), places: HashMap::new(), round: 0 }
    }
}

impl<K: Hash + Eq, T> Newest<K, T> {
    fn put(&mut self, key: K, new: T) {
        let next = (self.round, self.list.len() as u32);
        let place = self.places.entry(key).or_insert(next);
        match self.list.get_mut(place.1 as usize) {
            Some(old) if place.0 == self.round => *old = new,
            _ => {
                *place = next;
                self.list.push(new);
            }
        }
    }

    /// Takes the list in exchange for an empty one.
    fn swap(&mut self, empty: &mut Vec<T>) {
        std::mem::swap(&mut self.list, empty);
        self.round = self.round.wrapping_add(1);
    }

    fn clear(&mut self) {
        self.list.clear();
        self.round = self.round.wrapping_add(1);
    }
}

impl Mail {
    /// Files an event in the place of the one it replaces, if there is one.
    fn put(&mut self, event: NetEvent) {
        match event {
            NetEvent::Stream { message: ServerMessage::Values(values), .. } => {
                for value in values {
                    self.values.put(value.point, value);
                }
            }
            NetEvent::Stream { message: ServerMessage::Presence(list), .. } => {
                for presence in list {
                    self.presence.put(presence.device.clone(), presence);
                }
            }
            event => {
                if matches!(event, NetEvent::Points(_)) {
                    // New numbers for the points: values under the old ones mean nothing any more.
                    self.values.clear();
                }
                self.file(event);
            }
        }
    }

    fn file(&mut self, mut event: NetEvent) {
        self.gather_alarms(&mut event);
        self.events.retain(|old| !replaces(&event, old));
        if let Some(most) = most_kept(&event) {
            let kind = std::mem::discriminant(&event);
            // Of the stream's messages only updates of commands have a number.
            let same = |e: &NetEvent| most_kept(e).is_some() && std::mem::discriminant(e) == kind;
            if self.events.iter().filter(|e| same(e)).count() >= most
                && let Some(oldest) = self.events.iter().position(same)
            {
                self.events.remove(oldest);
            }
        }
        self.events.push(event);
    }
}

impl Mail {
    /// Changes among the alarms that still wait join newer ones, each alarm as it last was.
    fn gather_alarms(&mut self, event: &mut NetEvent) {
        let Some(new) = changed_alarms(event) else { return };
        let Some(old) = self.events.iter_mut().find_map(changed_alarms) else { return };
        let mut all: Vec<Alarm> = std::mem::take(old);
        all.retain(|old| new.iter().all(|new| new.id != old.id));
        all.append(new);
        *new = all;
    }
}

fn changed_alarms(event: &mut NetEvent) -> Option<&mut Vec<Alarm>> {
    match event {
        NetEvent::Stream { message: ServerMessage::AlarmsChanged(changed), .. } => Some(changed),
        _ => None,
    }
}

/// How many of its kind may wait; `None` for those of which there is one at most.
fn most_kept(event: &NetEvent) -> Option<usize> {
    match event {
        NetEvent::Stream { message: ServerMessage::Command(_), .. } => Some(COMMANDS_KEPT),
        NetEvent::History { .. } | NetEvent::Notice(_) => Some(OUTCOMES_KEPT),
        _ => None,
    }
}

/// Whether the older event means nothing after the newer.
fn replaces(newer: &NetEvent, older: &NetEvent) -> bool {
    match (newer, older) {
        (NetEvent::Notice(_), NetEvent::Notice(_)) => false,
        (NetEvent::History { point: new, .. }, NetEvent::History { point: old, .. }) => new == old,
        (NetEvent::Stream { message: new, .. }, NetEvent::Stream { message: old, .. }) => match (new, old) {
            (ServerMessage::Command(new), ServerMessage::Command(old)) => new.command_id == old.command_id,
            // The whole list tells all that changed before.
            (ServerMessage::Alarms(_), ServerMessage::AlarmsChanged(_)) => true,
            _ => std::mem::discriminant(new) == std::mem::discriminant(old),
        },
        _ => std::mem::discriminant(newer) == std::mem::discriminant(older),
    }
}

#[derive(Clone, Default)]
pub struct Mailbox(Arc<Mutex<Mail>>);

impl Mailbox {
    pub fn put(&self, event: NetEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(event);
    }
}

/// What frames took out of the mailbox. Events are worked through in the frame that took them; values and presence, of
/// which there may be very many, in parts.
#[derive(Debug, Default)]
pub struct Inbox {
    pub events: Vec<NetEvent>,
    values: Vec<PointValue>,
    values_done: usize,
    presence: Vec<Presence>,
}

impl Inbox {
    /// Takes what arrived, unless the link is putting something in at this very moment: then the next frame does.
    pub fn refill(&mut self, mailbox: &Mailbox) {
        let mut mail = match mailbox.0.try_lock() {
            Ok(mail) => mail,
            Err(TryLockError::Poisoned(mail)) => mail.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        self.events.append(&mut mail.events);
        if self.events.iter().any(|event| matches!(event, NetEvent::Points(_))) {
            self.values_done = self.values.len();
        }
        if self.values_done == self.values.len() {
            self.values.clear();
            self.values_done = 0;
            mail.values.swap(&mut self.values);
        }
        if self.presence.is_empty() {
            mail.presence.swap(&mut self.presence);
        }
    }

    /// The next values to work through, at most so many.
    pub fn next_values(&mut self, most: usize) -> &[PointValue] {
        let from = self.values_done;
        self.values_done = self.values.len().min(from + most);
        &self.values[from..self.values_done]
    }

    /// The next presences to work through, at most so many.
    pub fn next_presence(&mut self, most: usize) -> impl Iterator<Item = Presence> {
        let left = self.presence.len().saturating_sub(most);
        self.presence.drain(left..)
    }

    /// Whether nothing waits for a further frame.
    pub fn is_done(&self) -> bool {
        self.values_done == self.values.len() && self.presence.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{FaultKind, LinkState, PointTable},
        net::{Asked, Notice},
    };
    use shared::{
        command::CommandStatus,
        stream::{CommandUpdate, PointName},
        telemetry::Quality,
        time::Timestamp,
    };

    fn stream(message: ServerMessage) -> NetEvent {
        NetEvent::Stream { message, local: Timestamp(0) }
    }

    fn values(list: &[(u32, f64)]) -> NetEvent {
        let list = list.iter().map(|&(point, value)| PointValue {
            point,
            value,
            timestamp: Timestamp(0),
            quality: Quality::Good,
        });
        stream(ServerMessage::Values(list.collect()))
    }

    fn points() -> NetEvent {
        NetEvent::Points(Arc::new(PointTable::default()))
    }

    fn presence(device: &str, online: bool) -> NetEvent {
        let presence = Presence { device: device.parse().unwrap(), online, last_seen: None };
        stream(ServerMessage::Presence(vec![presence]))
    }

    fn read(inbox: &mut Inbox, most: usize) -> Vec<(u32, f64)> {
        inbox.next_values(most).iter().map(|v| (v.point, v.value)).collect()
    }

    #[test]
    fn a_client_that_does_not_look_keeps_one_value_a_point() {
        let (mailbox, mut inbox) = (Mailbox::default(), Inbox::default());
        for round in 0..1_000 {
            mailbox.put(values(&[(0, f64::from(round)), (7, 1.0)]));
            mailbox.put(stream(ServerMessage::Tick(Timestamp(i64::from(round)))));
        }
        inbox.refill(&mailbox);
        assert_eq!(read(&mut inbox, 100), [(0, 999.0), (7, 1.0)]);
        assert_eq!(inbox.events.len(), 1);
    }

    #[test]
    fn a_frame_takes_only_so_much_and_the_next_goes_on() {
        let (mailbox, mut inbox) = (Mailbox::default(), Inbox::default());
        mailbox.put(values(&[(0, 1.0), (1, 1.0), (2, 1.0)]));
        for device in ["a", "b", "c"] {
            mailbox.put(presence(device, true));
        }
        inbox.refill(&mailbox);
        assert_eq!(read(&mut inbox, 2), [(0, 1.0), (1, 1.0)]);
        assert_eq!(inbox.next_presence(2).count(), 2);
        assert!(!inbox.is_done());
        mailbox.put(values(&[(0, 2.0)]));
        mailbox.put(values(&[(0, 3.0)]));
        inbox.refill(&mailbox);
        assert_eq!(read(&mut inbox, 2), [(2, 1.0)]);
        assert_eq!(inbox.next_presence(2).count(), 1);
        inbox.refill(&mailbox);
        assert_eq!(read(&mut inbox, 2), [(0, 3.0)]);
        assert!(inbox.is_done());
    }

    #[test]
    fn new_points_drop_values_under_old_numbers_wherever_they_wait() {
        let (mailbox, mut inbox) = (Mailbox::default(), Inbox::default());
        mailbox.put(values(&[(3, 1.0), (4, 1.0)]));
        inbox.refill(&mailbox);
        assert_eq!(read(&mut inbox, 1), [(3, 1.0)]);
        mailbox.put(values(&[(3, 2.0)]));
        mailbox.put(points());
        mailbox.put(values(&[(0, 5.0)]));
        inbox.refill(&mailbox);
        assert_eq!(read(&mut inbox, 100), [(0, 5.0)]);
    }

    #[test]
    fn no_flood_pushes_out_what_the_client_must_know() {
        let (mailbox, mut inbox) = (Mailbox::default(), Inbox::default());
        mailbox.put(points());
        mailbox.put(NetEvent::Link(LinkState::Connecting));
        mailbox.put(NetEvent::User(None));
        mailbox.put(NetEvent::Link(LinkState::Live));
        for number in 0..10_000 {
            let update = CommandUpdate {
                command_id: format!("c{number}").parse().unwrap(),
                device_id: "d".parse().unwrap(),
                status: CommandStatus::Sent,
                reason: None,
            };
            mailbox.put(stream(ServerMessage::Command(update)));
            mailbox.put(NetEvent::Notice(Notice { what: Asked::PlanNow, error: None }));
            let point = PointName {
                device: "d".parse().unwrap(),
                measurement: format!("m{number}").parse().unwrap(),
            };
            mailbox.put(NetEvent::History { point, result: Err(FaultKind::NoAnswer.into()) });
            mailbox.put(presence("d", number % 2 == 1));
        }
        inbox.refill(&mailbox);
        let count = |wanted: fn(&NetEvent) -> bool| inbox.events.iter().filter(|e| wanted(e)).count();
        assert_eq!(count(|e| matches!(e, NetEvent::Points(_) | NetEvent::User(None))), 2);
        assert_eq!(count(|e| matches!(e, NetEvent::Link(LinkState::Live))), 1);
        assert_eq!(count(|e| matches!(e, NetEvent::Stream { .. })), COMMANDS_KEPT);
        assert_eq!(inbox.events.len(), 3 + COMMANDS_KEPT + 2 * OUTCOMES_KEPT);
        assert!(inbox.next_presence(10).map(|p| p.online).eq([true]));
    }
}
