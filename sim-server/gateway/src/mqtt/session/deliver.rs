//! What the server publishes to the device: commands, its desired state, and reports of what was refused.
//!
//! At QoS 1 on a session that was resumed, what the device had not acknowledged keeps its packet id and goes out marked as a
//! duplicate (MQTT 5 section 4.4).

use super::{Output, Phase, Session, kept::Sent, subscribe::Terms};
use crate::{
    mqtt::reply::{self, Outgoing},
    topic::{self, Heard},
};
use mqtt_protocol_core::mqtt::result_code::MqttError;
use serde_json::{Map, Value, json};
use shared::{command::CommandDelivery, time::Timestamp};

/// QoS 1 publishes on their way to one device.
pub(super) const DELIVERY_WINDOW: usize = 16;

/// QoS 1 publishes the device has not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    in_flight: Vec<(u16, Sent)>,
    /// Sent on an earlier connection and not on this one yet.
    earlier: Vec<(u16, Sent)>,
    /// A newer desired state than the one in flight, and whether a subscription asked for it.
    desired_waits: Option<(String, bool)>,
    /// Topics the client knows by alias already, by their number.
    aliased: [bool; 3],
}

impl Deliveries {
    pub(super) fn has_room(&self) -> bool {
        self.in_flight.len() < DELIVERY_WINDOW
    }

    fn is_in_flight(&self, sent: &Sent) -> bool {
        self.in_flight.iter().any(|(_, other)| other == sent)
    }

    /// What a later connection has to know.
    pub(super) fn unacknowledged(&self) -> Vec<(u16, Sent)> {
        self.earlier.iter().chain(&self.in_flight).cloned().collect()
    }
}

impl Session {
    /// Takes up the packet ids of the connection before.
    pub(super) fn resume_deliveries(&mut self) {
        for (packet_id, sent) in std::mem::take(&mut self.kept.in_flight) {
            if self.mqtt.register_packet_id(packet_id).is_ok() {
                self.deliveries.earlier.push((packet_id, sent));
            }
        }
    }

    /// Whether one more QoS 1 publish may go out now.
    pub(super) fn may_deliver(&self) -> bool {
        self.deliveries.has_room()
            && self.mqtt.get_receive_maximum_vacancy_for_send() != Some(0)
            && self.outgoing.len() < self.options.max_outgoing_bytes
    }

    pub(super) fn on_delivery(&mut self, delivery: CommandDelivery) {
        let Some(terms) = self.kept.subscriptions.terms(Heard::Control) else { return };
        let id = delivery.command_id.clone();
        let sent = Sent::Command(id.clone());
        // The twin offers a command again when the device is slow to answer. On one connection QoS 1 has it already
        // (MQTT 5 section 4.4 forbids sending it again).
        if delivery.expires <= self.wall || self.deliveries.is_in_flight(&sent) {
            return;
        }
        let Ok(payload) = serde_json::to_vec(&delivery) else { return };
        let was_acknowledged = terms.acknowledged;
        match self.deliver(Heard::Control, &terms, sent, payload, false, Some(delivery.expires)) {
            Ok(()) if was_acknowledged => {}
            Ok(()) => self.outputs.push(Output::CommandSent(id)),
            Err(error) => tracing::warn!(command = %id, ?error, "command does not fit the client's limits"),
        }
    }

    /// The set-points the device follows: as they are when asked for by subscribing or resuming, or because they changed.
    pub(super) fn on_desired(&mut self, set_points: Map<String, Value>, retained: bool) {
        let Phase::Open(device) = &self.phase else { return };
        if set_points.is_empty() && (retained || self.kept.desired.is_none()) {
            return;
        }
        let state = json!({ "deviceId": device, "desired": set_points }).to_string();
        if retained || self.kept.desired.as_ref() != Some(&state) {
            self.send_desired(state, retained);
        }
    }

    fn send_desired(&mut self, state: String, retained: bool) {
        let Some(terms) = self.kept.subscriptions.terms(Heard::Desired) else { return };
        if terms.acknowledged && (self.deliveries.is_in_flight(&Sent::Desired) || !self.may_deliver()) {
            self.deliveries.desired_waits = Some((state, retained));
            return;
        }
        let payload = state.clone().into_bytes();
        let flag = retained || terms.retain_as_published;
        match self.deliver(Heard::Desired, &terms, Sent::Desired, payload, flag, None) {
            Ok(()) => {
                self.kept.desired = Some(state);
                self.is_dirty = true;
            }
            Err(error) => tracing::debug!(?error, "the desired state does not fit the client's limits"),
        }
    }

    /// Sends what waited for room.
    pub(super) fn send_waiting(&mut self) {
        if let Some((state, retained)) = self.deliveries.desired_waits.take() {
            self.send_desired(state, retained);
        }
        if self.kept.notices.is_empty() {
            return;
        }
        let Some(terms) = self.kept.subscriptions.terms(Heard::Errors) else { return };
        let wall = self.wall;
        self.kept.notices.retain(|notice| notice.expires_at() > wall);
        let mut at = 0;
        while self.may_deliver()
            && let Some(notice) = self.kept.notices.get(at)
        {
            let sent = Sent::Notice(notice.number);
            if self.deliveries.is_in_flight(&sent) {
                at += 1;
                continue;
            }
            let (payload, expires) = (notice.payload.clone().into_bytes(), notice.expires_at());
            match self.deliver(Heard::Errors, &terms, sent, payload, false, Some(expires)) {
                Ok(()) if terms.acknowledged => at += 1,
                // Gone at QoS 0, or never to fit.
                Ok(()) | Err(_) => {
                    self.kept.notices.remove(at);
                    self.is_dirty = true;
                }
            }
        }
    }

    pub(super) fn on_puback(&mut self, packet_id: u16, success: bool) {
        let at = self.deliveries.in_flight.iter().position(|(id, _)| *id == packet_id);
        match at.map(|at| self.deliveries.in_flight.remove(at).1) {
            Some(Sent::Command(id)) if success => self.outputs.push(Output::CommandSent(id)),
            Some(Sent::Notice(number)) => {
                self.kept.notices.retain(|notice| notice.number != number);
                self.is_dirty = true;
            }
            Some(Sent::Command(_) | Sent::Desired) | None => {}
        }
    }

    /// Publishes on a topic as its subscription asks: at QoS 1 `sent` is in flight afterwards.
    pub(super) fn deliver(
        &mut self,
        heard: Heard,
        terms: &Terms,
        sent: Sent,
        payload: Vec<u8>,
        retain: bool,
        expires: Option<Timestamp>,
    ) -> Result<(), MqttError> {
        let Phase::Open(device) = &self.phase else { return Err(MqttError::PacketNotAllowedToSend) };
        let number = heard as usize;
        let alias = u16::try_from(number + 1).ok().filter(|alias| *alias <= self.alias_maximum);
        let knows_alias = alias.is_some() && self.deliveries.aliased[number];
        let topic = if knows_alias { String::new() } else { topic::heard(device, heard) };
        let earlier = self.deliveries.earlier.iter().position(|(_, other)| *other == sent);
        let (packet_id, duplicate) = match (terms.acknowledged, earlier) {
            (false, _) => (None, false),
            (true, Some(at)) => (Some(self.deliveries.earlier.remove(at).0), true),
            (true, None) => (Some(self.mqtt.acquire_packet_id()?), false),
        };
        let outgoing = Outgoing {
            topic: &topic,
            alias,
            packet_id,
            duplicate,
            retain,
            expires_in_s: expires.map(|at| seconds_until(at, self.wall)),
            subscription_ids: &terms.ids,
        };
        let result = self.try_send(reply::publish(self.version(), &outgoing, payload));
        match (&result, packet_id) {
            (Ok(()), _) => self.deliveries.aliased[number] |= alias.is_some(),
            (Err(_), None) => {}
            (Err(_), Some(id)) => drop(self.mqtt.release_packet_id(id)),
        }
        if let (Ok(()), Some(id)) = (&result, packet_id) {
            self.deliveries.in_flight.push((id, sent));
        }
        result
    }
}

/// A started second counts: none left would mean to some clients that it never expires.
fn seconds_until(at: Timestamp, now: Timestamp) -> u32 {
    let left_ms = at.0.saturating_sub(now.0).max(1).unsigned_abs();
    u32::try_from(left_ms.div_ceil(1000)).unwrap_or(u32::MAX)
}
