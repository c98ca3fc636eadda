//! Commands to the device, on its control topic.

use super::{Output, Phase, Session};
use crate::{mqtt::reply, topic};
use mqtt_protocol_core::mqtt::packet::Qos;
use shared::{command::CommandDelivery, id::CommandId};
use std::collections::HashMap;

/// Commands on their way to one device. The queue behind them is the twin's, journaled and expiring.
pub(super) const DELIVERY_WINDOW: usize = 16;

/// QoS 1 publishes the device has not acknowledged, by packet id.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    in_flight: HashMap<u16, CommandId>,
}

impl Deliveries {
    pub(super) fn has_room(&self) -> bool {
        self.in_flight.len() < DELIVERY_WINDOW
    }
}

impl Session {
    pub(super) fn on_delivery(&mut self, delivery: CommandDelivery) {
        let Phase::Open(device) = &self.phase else { return };
        let Some(qos) = self.subscriptions.control() else { return };
        // The twin offers a command again when the device is slow to answer. On one connection QoS 1 has it already
        // (MQTT 5 section 4.4 forbids sending it again); a new connection starts with nothing in flight.
        if self.deliveries.in_flight.values().any(|id| *id == delivery.command_id) {
            return;
        }
        let Ok(payload) = serde_json::to_vec(&delivery) else { return };
        let topic = topic::control(device);
        let id = delivery.command_id;
        if qos == Qos::AtMostOnce {
            if self.try_send(reply::publish(self.version(), &topic, None, payload)).is_ok() {
                self.outputs.push(Output::CommandSent(id));
            }
            return;
        }
        let Ok(packet_id) = self.mqtt.acquire_packet_id() else { return };
        match self.try_send(reply::publish(self.version(), &topic, Some(packet_id), payload)) {
            Ok(()) => {
                self.deliveries.in_flight.insert(packet_id, id);
            }
            Err(error) => {
                tracing::warn!(command = %id, ?error, "command does not fit the client's limits");
                self.mqtt.release_packet_id(packet_id);
            }
        }
    }

    pub(super) fn on_puback(&mut self, packet_id: u16, success: bool) {
        if let Some(id) = self.deliveries.in_flight.remove(&packet_id)
            && success
        {
            self.outputs.push(Output::CommandSent(id));
        }
    }
}
