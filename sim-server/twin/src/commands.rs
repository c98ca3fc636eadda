//! The command queue: every command taken is delivered in order until it expires, and ends in exactly one way. Pure:
//! inputs and `now` in, deliveries and journal entries out.
//!
//! A command enters once it is journaled. While its device is connected it is handed over at once, and again with
//! growing pauses until the device acknowledges; while the device is away it waits for it to come back. Delivery is at
//! least once: the device recognises a command by its id. Nothing is handed over at or after its expiry, and a newer
//! command does not replace an older one: both are delivered, in the order they were taken.

use crate::check::Sender;
use shared::{
    command::{AckStatus, CommandAck, CommandDelivery, CommandRecord, CommandStatus},
    id::{CommandId, DeviceId},
    telemetry::{Refusal, RefusalCode},
    time::{MINUTE_MS, SECOND_MS, Timestamp},
};
use std::collections::HashMap;

/// One connection of a device; a later one takes over from an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// What the queue hears of.
#[derive(Debug, Clone)]
pub enum CommandInput {
    /// A command was validated and journaled.
    Queued(CommandRecord),
    Connected {
        device: DeviceId,
        connection: ConnectionId,
    },
    Disconnected {
        device: DeviceId,
        connection: ConnectionId,
    },
    /// The device has it: its PUBACK, or it was written at QoS 0.
    Sent(CommandId),
    /// The connection could not take a delivery just now; it and what follows is offered again later.
    NotTaken {
        command: CommandId,
        connection: ConnectionId,
    },
    /// The device answered. `ended` is the journal's record of a command the queue no longer holds.
    Ack {
        sender: Sender,
        ack: CommandAck,
        ended: Option<CommandRecord>,
    },
    /// Time passes: retries and expiries are due.
    Tick,
}

/// What must happen, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum CommandOutput {
    Deliver {
        device: DeviceId,
        connection: ConnectionId,
        delivery: CommandDelivery,
    },
    /// Write the command's new state.
    Journal(Box<CommandRecord>),
    /// The acknowledgement means nothing here.
    Refused(Refusal),
}

/// Pauses between deliveries to a connected device that does not answer: doubling from `first_ms` to `longest_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub first_ms: i64,
    pub longest_ms: i64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first_ms: 2 * SECOND_MS, longest_ms: MINUTE_MS }
    }
}

impl Backoff {
    /// The pause after the `attempts`-th delivery.
    fn after(self, attempts: u32) -> i64 {
        let doubled = self.first_ms.saturating_mul(1_i64 << attempts.saturating_sub(1).min(30));
        doubled.min(self.longest_ms)
    }
}

#[derive(Debug)]
struct Open {
    record: CommandRecord,
    /// The connection it was handed to, and when it is due there again.
    handed: Option<(ConnectionId, Timestamp)>,
}

#[derive(Debug, Default)]
struct DeviceQueue {
    connection: Option<ConnectionId>,
    /// In the order they were taken.
    commands: Vec<CommandId>,
    /// The connection refused a delivery: nothing more until the next tick, so that order is kept.
    stalled: bool,
}

/// All commands that have not ended.
#[derive(Debug, Default)]
pub struct CommandQueue {
    backoff: Backoff,
    open: HashMap<CommandId, Open>,
    devices: HashMap<DeviceId, DeviceQueue>,
}

impl CommandQueue {
    /// A queue that goes on with the journal's open commands, oldest first.
    pub fn new(backoff: Backoff, journal: Vec<CommandRecord>) -> Self {
        let mut queue = Self { backoff, ..Self::default() };
        for record in journal.into_iter().filter(|record| !record.status.is_final()) {
            queue.insert(record);
        }
        queue
    }

    pub fn get(&self, id: &CommandId) -> Option<&CommandRecord> {
        self.open.get(id).map(|open| &open.record)
    }

    /// How many commands of a device have not ended.
    pub fn open_of(&self, device: &DeviceId) -> usize {
        self.devices.get(device).map_or(0, |queue| queue.commands.len())
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub fn handle(&mut self, input: CommandInput, now: Timestamp) -> Vec<CommandOutput> {
        let mut out = Vec::new();
        match input {
            CommandInput::Queued(record) => {
                let device = record.request.device_id.clone();
                if !self.open.contains_key(&record.request.command_id) {
                    self.insert(record);
                    self.deliver_due(&device, now, &mut out);
                }
            }
            CommandInput::Connected { device, connection } => {
                let queue = self.devices.entry(device.clone()).or_default();
                (queue.connection, queue.stalled) = (Some(connection), false);
                self.deliver_due(&device, now, &mut out);
            }
            CommandInput::Disconnected { device, connection } => {
                if let Some(queue) = self.devices.get_mut(&device)
                    && queue.connection == Some(connection)
                {
                    queue.connection = None;
                    if queue.commands.is_empty() {
                        self.devices.remove(&device);
                    }
                }
            }
            CommandInput::Sent(id) => {
                if let Some(open) = self.open.get_mut(&id)
                    && open.record.status == CommandStatus::Queued
                {
                    open.record.status = CommandStatus::Sent;
                    out.push(CommandOutput::Journal(Box::new(open.record.clone())));
                }
            }
            CommandInput::NotTaken { command, connection } => self.not_taken(&command, connection),
            CommandInput::Ack { sender, ack, ended } => self.acknowledge(&sender, ack, ended, now, &mut out),
            CommandInput::Tick => self.tick(now, &mut out),
        }
        out
    }

    fn insert(&mut self, record: CommandRecord) {
        let id = record.request.command_id.clone();
        self.devices.entry(record.request.device_id.clone()).or_default().commands.push(id.clone());
        self.open.insert(id, Open { record, handed: None });
    }

    /// Hands over, in order, what this connection has not had yet or is due again.
    fn deliver_due(&mut self, device: &DeviceId, now: Timestamp, out: &mut Vec<CommandOutput>) {
        let Some(queue) = self.devices.get(device) else { return };
        let Some(connection) = queue.connection.filter(|_| !queue.stalled) else { return };
        for id in &queue.commands {
            let Some(open) = self.open.get_mut(id) else { continue };
            let due = open.handed.is_none_or(|(to, again_at)| to != connection || now >= again_at);
            let expires = open.record.request.expires_at();
            if !due || now >= expires {
                continue;
            }
            open.record.attempts = open.record.attempts.saturating_add(1);
            open.record.sent_at = Some(now);
            let pause_ms = self.backoff.after(open.record.attempts);
            open.handed = Some((connection, Timestamp(now.0.saturating_add(pause_ms))));
            let request = &open.record.request;
            out.push(CommandOutput::Deliver {
                device: device.clone(),
                connection,
                delivery: CommandDelivery {
                    command_id: id.clone(),
                    command: request.command.clone(),
                    parameters: request.parameters.clone(),
                    timestamp: request.timestamp,
                    expires,
                },
            });
        }
    }

    fn not_taken(&mut self, id: &CommandId, connection: ConnectionId) {
        let Some(open) = self.open.get_mut(id) else { return };
        let Some(queue) = self.devices.get_mut(&open.record.request.device_id) else { return };
        if open.handed.is_some_and(|(to, _)| to == connection) {
            open.handed = None;
            open.record.attempts = open.record.attempts.saturating_sub(1);
        }
        if queue.connection == Some(connection) {
            queue.stalled = true;
        }
    }

    fn acknowledge(
        &mut self,
        sender: &Sender,
        ack: CommandAck,
        ended: Option<CommandRecord>,
        now: Timestamp,
        out: &mut Vec<CommandOutput>,
    ) {
        if let Some(own) = sender.own()
            && *own != ack.device_id
        {
            let message = format!("{own} may not speak for {}", ack.device_id);
            out.push(CommandOutput::Refused(Refusal::new(RefusalCode::NotYourDevice, "deviceId", message)));
            return;
        }
        let id = ack.command_id.clone();
        let known = self.open.get(&id).map(|open| &open.record).or(ended.as_ref());
        let Some(record) = known else {
            let message = format!("no command {id} was given");
            out.push(CommandOutput::Refused(Refusal::new(RefusalCode::UnknownCommand, "commandId", message)));
            return;
        };
        if record.request.device_id != ack.device_id {
            let message = format!("command {id} is not {}'s", ack.device_id);
            out.push(CommandOutput::Refused(Refusal::new(RefusalCode::NotYourDevice, "commandId", message)));
            return;
        }
        match self.remove(&id) {
            Some(mut record) => {
                if now >= record.request.expires_at() {
                    expire(&mut record, now);
                    record.late_ack = Some(ack);
                } else {
                    end(&mut record, ack, now);
                }
                out.push(CommandOutput::Journal(Box::new(record)));
            }
            // It has ended before. Saying the same again changes nothing; a first word after expiry is kept.
            None => {
                if let Some(mut record) = ended
                    && record.status == CommandStatus::Expired
                    && record.late_ack.is_none()
                {
                    record.late_ack = Some(ack);
                    out.push(CommandOutput::Journal(Box::new(record)));
                }
            }
        }
    }

    fn tick(&mut self, now: Timestamp, out: &mut Vec<CommandOutput>) {
        let mut expired: Vec<CommandId> = self
            .open
            .iter()
            .filter(|(_, open)| now >= open.record.request.expires_at())
            .map(|(id, _)| id.clone())
            .collect();
        expired.sort();
        for id in expired {
            if let Some(mut record) = self.remove(&id) {
                expire(&mut record, now);
                out.push(CommandOutput::Journal(Box::new(record)));
            }
        }
        let mut waiting: Vec<DeviceId> = Vec::new();
        for (device, queue) in &mut self.devices {
            queue.stalled = false;
            if queue.connection.is_some() && !queue.commands.is_empty() {
                waiting.push(device.clone());
            }
        }
        waiting.sort();
        for device in waiting {
            self.deliver_due(&device, now, out);
        }
    }

    fn remove(&mut self, id: &CommandId) -> Option<CommandRecord> {
        let record = self.open.remove(id)?.record;
        if let Some(queue) = self.devices.get_mut(&record.request.device_id) {
            queue.commands.retain(|other| other != id);
            if queue.commands.is_empty() && queue.connection.is_none() {
                self.devices.remove(&record.request.device_id);
            }
        }
        Some(record)
    }
}

fn end(record: &mut CommandRecord, ack: CommandAck, now: Timestamp) {
    (record.status, record.reason) = match ack.status {
        AckStatus::Done => (CommandStatus::Acknowledged, ack.reason),
        AckStatus::Rejected => (
            CommandStatus::Rejected,
            Some(ack.reason.unwrap_or_else(|| "the device gave no reason".to_owned())),
        ),
    };
    record.result = ack.result;
    record.ended_at = Some(now);
}

fn expire(record: &mut CommandRecord, now: Timestamp) {
    record.status = CommandStatus::Expired;
    record.ended_at = Some(now);
    record.reason = Some(match record.attempts {
        0 => "the device was not connected before it expired".to_owned(),
        1 => "delivered once, never acknowledged".to_owned(),
        n => format!("delivered {n} times, never acknowledged"),
    });
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
