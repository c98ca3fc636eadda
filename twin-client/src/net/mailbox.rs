//! Where the link leaves what arrived until the next frame takes it: bounded, because newer values replace older ones.

use super::NetEvent;
use shared::stream::{PointValue, ServerMessage};
use std::sync::{Arc, Mutex, PoisonError};

/// Notices, histories and command updates that may wait; beyond it the oldest goes.
const EVENTS_KEPT: usize = 4_096;

/// What arrived, in order, with values apart.
#[derive(Debug, Default)]
pub struct Mail {
    pub events: Vec<NetEvent>,
    /// Newest value of each point that changed.
    pub values: Vec<PointValue>,
    /// Position in `values` plus one, by point.
    slots: Vec<u32>,
}

impl Mail {
    pub fn clear(&mut self) {
        self.events.clear();
        self.forget_values();
    }

    fn forget_values(&mut self) {
        for value in self.values.drain(..) {
            if let Some(slot) = self.slots.get_mut(value.point as usize) {
                *slot = 0;
            }
        }
    }

    fn put_values(&mut self, values: &[PointValue]) {
        for value in values {
            let point = value.point as usize;
            if point >= self.slots.len() {
                self.slots.resize(point + 1, 0);
            }
            match self.slots[point] {
                0 => {
                    self.values.push(*value);
                    self.slots[point] = self.values.len() as u32;
                }
                taken => self.values[taken as usize - 1] = *value,
            }
        }
    }

    /// Files an event; of kinds that replace each other only the newest stays.
    pub fn put(&mut self, event: NetEvent) {
        match &event {
            NetEvent::Stream { message: ServerMessage::Values(values), .. } => {
                self.put_values(values);
                return;
            }
            // New numbers for the points: values under the old ones mean nothing any more.
            NetEvent::Stream { message: ServerMessage::Subscribed(_), .. } => self.forget_values(),
            _ => {}
        }
        if let Some(kind) = replaceable(&event) {
            self.events.retain(|old| replaceable(old) != Some(kind));
        }
        if self.events.len() >= EVENTS_KEPT {
            self.events.remove(0);
        }
        self.events.push(event);
    }
}

/// The kind of an event of which only the newest matters.
fn replaceable(event: &NetEvent) -> Option<u8> {
    Some(match event {
        NetEvent::Scene { .. } => 0,
        NetEvent::Clock { .. } => 1,
        NetEvent::Curve(_) => 2,
        NetEvent::Energy(_) => 3,
        NetEvent::Plan(_) => 4,
        NetEvent::Tracking(_) => 5,
        NetEvent::RoundTrip { .. } => 6,
        NetEvent::Stream { message, .. } => match message {
            ServerMessage::Energy(_) => 7,
            ServerMessage::Plan(_) => 8,
            ServerMessage::Alarms(_) => 9,
            ServerMessage::Tick(_) => 10,
            ServerMessage::Pong(_) => 11,
            ServerMessage::Subscribed(_) => 12,
            ServerMessage::Values(_)
            | ServerMessage::Presence(_)
            | ServerMessage::AlarmsChanged(_)
            | ServerMessage::Command(_) => return None,
        },
        NetEvent::Link(_) | NetEvent::History { .. } | NetEvent::Notice(_) => return None,
    })
}

#[derive(Clone, Default)]
pub struct Mailbox(Arc<Mutex<Mail>>);

impl Mailbox {
    pub fn put(&self, event: NetEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).put(event);
    }

    /// Exchanges the filled mail for an empty one.
    pub fn swap(&self, empty: &mut Mail) {
        std::mem::swap(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), empty);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::{telemetry::Quality, time::Timestamp};

    fn values(list: &[(u32, f64)]) -> NetEvent {
        let list = list
            .iter()
            .map(|&(point, value)| PointValue {
                point,
                value,
                timestamp: Timestamp(0),
                quality: Quality::Good,
            })
            .collect();
        NetEvent::Stream { message: ServerMessage::Values(list), local: Timestamp(0) }
    }

    #[test]
    fn a_client_that_does_not_look_keeps_one_value_a_point() {
        let mailbox = Mailbox::default();
        for round in 0..1_000 {
            mailbox.put(values(&[(0, f64::from(round)), (7, 1.0)]));
            let tick = ServerMessage::Tick(Timestamp(i64::from(round)));
            mailbox.put(NetEvent::Stream { message: tick, local: Timestamp(0) });
        }
        let mut mail = Mail::default();
        mailbox.swap(&mut mail);
        assert_eq!(
            mail.values.iter().map(|v| (v.point, v.value)).collect::<Vec<_>>(),
            [(0, 999.0), (7, 1.0)]
        );
        assert_eq!(mail.events.len(), 1);
    }

    #[test]
    fn a_cleared_mail_takes_values_again() {
        let mut mail = Mail::default();
        mail.put(values(&[(3, 1.0)]));
        mail.clear();
        mail.put(values(&[(3, 2.0)]));
        assert_eq!(mail.values.len(), 1);
        assert_eq!(mail.values[0].value, 2.0);
    }

    #[test]
    fn a_new_subscription_drops_values_under_old_numbers() {
        let mut mail = Mail::default();
        mail.put(values(&[(3, 1.0)]));
        mail.put(NetEvent::Stream { message: ServerMessage::Subscribed(Vec::new()), local: Timestamp(0) });
        assert!(mail.values.is_empty());
    }
}
