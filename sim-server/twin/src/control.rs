//! Commands in the live twin: journaled before anybody hears of them, handed to the device's connection, journaled again
//! before an acknowledgement is taken.

use crate::{
    check::Sender,
    commands::{CommandInput, CommandOutput, CommandQueue, ConnectionId},
    error::{CommandRefusal, TwinError},
    setpoint::{Desired, SetPoints},
    twin::{Inner, Twin, TwinChange, to_the_end},
    validate::validate_command,
};
use records::{Inserted, RecordsError};
use serde_json::Value;
use shared::{
    command::{CommandAck, CommandDelivery, CommandRecord, CommandRequest, CommandStatus, Hold, Issuer},
    id::{CommandId, DeviceId},
    stream::CommandUpdate,
    telemetry::{Refusal, RefusalCode},
    time::Timestamp,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A device's line to the twin while it is connected; dropping it is hanging up.
pub struct Connection {
    /// Commands for the device, in order. Each is at least worth delivering when it is put here; it says when it expires.
    pub deliveries: mpsc::Receiver<CommandDelivery>,
    /// Cancelled when the device must prove anew who it is: see [`Twin::hang_up`].
    pub hung_up: CancellationToken,
    /// Cancelled when another connection of the device took over: commands come there now.
    pub replaced: CancellationToken,
    device: DeviceId,
    id: ConnectionId,
    inner: Arc<Inner>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut desk = self.inner.desk.lock();
        if desk.lines.get(&self.device).is_some_and(|line| line.id == self.id) {
            desk.lines.remove(&self.device);
        }
        let input = CommandInput::Disconnected { device: self.device.clone(), connection: self.id };
        // Hanging up happens at no particular instant: nothing is sent or ended by it.
        desk.queue.handle(input, Timestamp(0));
    }
}

/// The queue with the lines to the devices that are connected, behind one lock.
pub(crate) struct CommandDesk {
    pub(crate) queue: CommandQueue,
    pub(crate) set_points: SetPoints,
    lines: HashMap<DeviceId, Line>,
    connections: u64,
}

struct Line {
    id: ConnectionId,
    hung_up: CancellationToken,
    replaced: CancellationToken,
    deliveries: mpsc::Sender<CommandDelivery>,
}

/// What is left to do once the queue has been asked.
#[derive(Default)]
struct Told {
    journal: Vec<CommandRecord>,
    refused: Option<Refusal>,
}

impl CommandDesk {
    /// `known` are the commands whose set-points devices may still follow, in the order they were taken.
    pub(crate) fn new(queue: CommandQueue, known: &[CommandRecord]) -> Self {
        let mut set_points = SetPoints::default();
        for record in known {
            set_points.note(record);
        }
        Self { queue, set_points, lines: HashMap::new(), connections: 0 }
    }

    /// Asks the queue and makes its deliveries. A line that is full takes nothing more of this batch: order is kept.
    fn handle(&mut self, input: CommandInput, now: Timestamp) -> Told {
        let mut told = Told::default();
        let mut full: Option<ConnectionId> = None;
        for output in self.queue.handle(input, now) {
            match output {
                CommandOutput::Deliver { device, connection, delivery } => {
                    let command = delivery.command_id.clone();
                    let taken = full != Some(connection)
                        && self
                            .lines
                            .get(&device)
                            .filter(|line| line.id == connection)
                            .is_some_and(|line| line.deliveries.try_send(delivery).is_ok());
                    if !taken {
                        full = Some(connection);
                        self.queue.handle(CommandInput::NotTaken { command, connection }, now);
                    }
                }
                CommandOutput::Journal(record) => {
                    self.set_points.note(&record);
                    told.journal.push(*record);
                }
                CommandOutput::Refused(refusal) => told.refused = Some(refusal),
            }
        }
        told
    }
}

impl Twin {
    /// A device is there: what is open for it is delivered at once. A later connection takes over from an earlier one.
    pub fn connect(&self, device: &DeviceId, now: Timestamp) -> Connection {
        let inner = &self.inner;
        if let Some(entry) = inner.registry.get(device.as_str()) {
            inner.heard(&entry, now, now);
        }
        self.open_line(&mut inner.desk.lock(), device, now)
    }

    /// A line for a device that holds none itself, such as one behind somebody else's broker: what is open for it is
    /// delivered. Says nothing of whether the device is there, and gives way to a connection of its own.
    pub fn stand_in(&self, device: &DeviceId, now: Timestamp) -> Option<Connection> {
        let mut desk = self.inner.desk.lock();
        (!desk.lines.contains_key(device)).then(|| self.open_line(&mut desk, device, now))
    }

    /// Ends the device's own connection, wherever it is held: it must prove anew who it is.
    pub fn hang_up(&self, device: &DeviceId) {
        if let Some(line) = self.inner.desk.lock().lines.get(device) {
            line.hung_up.cancel();
        }
    }

    fn open_line(&self, desk: &mut CommandDesk, device: &DeviceId, now: Timestamp) -> Connection {
        let inner = &self.inner;
        let (sender, deliveries) = mpsc::channel(inner.options.deliveries_max);
        desk.connections += 1;
        let id = ConnectionId(desk.connections);
        let (hung_up, replaced) = (CancellationToken::new(), CancellationToken::new());
        let line = Line { id, hung_up: hung_up.clone(), replaced: replaced.clone(), deliveries: sender };
        if let Some(before) = desk.lines.insert(device.clone(), line) {
            before.replaced.cancel();
        }
        inner.tell(desk, CommandInput::Connected { device: device.clone(), connection: id }, now);
        Connection { deliveries, hung_up, replaced, device: device.clone(), id, inner: inner.clone() }
    }

    /// Takes a command: journaled when this returns `Ok`. The same command again gives what became of it.
    pub async fn submit(
        &self,
        request: CommandRequest,
        issuer: Issuer,
        now: Timestamp,
    ) -> Result<CommandRecord, CommandRefusal> {
        let inner = self.inner.clone();
        to_the_end(async move { inner.submit(request, issuer, now).await }).await
    }

    /// The device has it: its PUBACK of a delivery, or it was written at QoS 0.
    pub async fn command_sent(&self, id: &CommandId, now: Timestamp) {
        let mut desk = self.inner.desk.lock();
        self.inner.tell(&mut desk, CommandInput::Sent(id.clone()), now);
    }

    /// The device's answer; journaled when this returns `Ok`. The same answer again gives what became of the command.
    pub async fn acknowledge(
        &self,
        sender: &Sender,
        ack: CommandAck,
        now: Timestamp,
    ) -> Result<CommandRecord, Refusal> {
        let inner = self.inner.clone();
        let sender = sender.clone();
        let result = to_the_end(async move { inner.acknowledge(sender, ack, now).await }).await;
        result.inspect_err(|refusal| self.inner.meters.refused(refusal.code))
    }

    /// The power a person has asked of a device, which keeps the plan off it.
    pub fn hold(&self, device: &DeviceId, now: Timestamp) -> Option<Hold> {
        self.inner.desk.lock().set_points.hold(device, now)
    }

    /// The set-points a device said it follows, by parameter, until their durations are over.
    pub fn followed(&self, device: &DeviceId, now: Timestamp) -> BTreeMap<String, Desired> {
        self.inner.desk.lock().set_points.followed(device, now)
    }

    /// A command with all that is known of it. An end is known once it is journaled.
    pub async fn command(&self, id: &CommandId) -> Result<Option<CommandRecord>, TwinError> {
        Ok(self.inner.command(id).await?)
    }
}

impl Inner {
    async fn command(&self, id: &CommandId) -> Result<Option<CommandRecord>, RecordsError> {
        if let Some(open) = self.desk.lock().queue.get(id) {
            return Ok(Some(open.clone()));
        }
        self.records.command(id).await
    }

    async fn submit(
        &self,
        request: CommandRequest,
        issuer: Issuer,
        now: Timestamp,
    ) -> Result<CommandRecord, CommandRefusal> {
        if let Some(known) = self.command(&request.command_id).await? {
            return same_or_conflict(known, &request);
        }
        let entry = self
            .registry
            .get(request.device_id.as_str())
            .ok_or_else(|| CommandRefusal::UnknownDevice(request.device_id.clone()))?;
        validate_command(&entry.rules.model, &request, now)?;
        let expired_at = request.expires_at();
        if now >= expired_at {
            return Err(CommandRefusal::Expired { command: request.command_id, expired_at });
        }
        let (open, hold) = {
            let desk = self.desk.lock();
            (desk.queue.open_of(entry.id()), desk.set_points.hold(entry.id(), now))
        };
        if let (Issuer::Plan, Some(hold)) = (&issuer, hold) {
            return Err(CommandRefusal::Held { device: entry.id().clone(), by: hold.by });
        }
        if open >= self.options.open_commands_max {
            return Err(CommandRefusal::Busy { device: entry.id().clone(), open });
        }
        let record = CommandRecord {
            request,
            issuer,
            status: CommandStatus::Queued,
            queued_at: now,
            sent_at: None,
            attempts: 0,
            ended_at: None,
            reason: None,
            result: None,
            late_ack: None,
        };
        if let Inserted::Existing(known) = self.records.insert_command(&record).await? {
            return same_or_conflict(known, &record.request);
        }
        self.meters.command(CommandStatus::Queued);
        self.announce_command(&record);
        let mut desk = self.desk.lock();
        desk.set_points.note(&record);
        self.tell(&mut desk, CommandInput::Queued(record.clone()), now);
        Ok(desk.queue.get(&record.request.command_id).cloned().unwrap_or(record))
    }

    async fn acknowledge(
        &self,
        sender: Sender,
        ack: CommandAck,
        now: Timestamp,
    ) -> Result<CommandRecord, Refusal> {
        let failed = |e: RecordsError| {
            tracing::error!("an acknowledgement could not be journaled: {e}");
            Refusal::new(RefusalCode::StorageFailed, "", "the command journal could not be written")
        };
        if let Sender::Device(own) = &sender
            && let Some(entry) = self.registry.get(own.as_str())
        {
            self.heard(&entry, now, now);
        }
        let id = ack.command_id.clone();
        let is_open = self.desk.lock().queue.get(&id).is_some();
        let ended = match self.command_outbox.get(&id).filter(|record| record.status.is_final()) {
            _ if is_open => None,
            Some(unwritten) => Some(unwritten),
            None => self.records.command(&id).await.map_err(failed)?,
        };
        let record = {
            let mut desk = self.desk.lock();
            let told = self.tell(&mut desk, CommandInput::Ack { sender, ack, ended: ended.clone() }, now);
            match (told.refused, told.journal.into_iter().next().or(ended)) {
                (Some(refusal), _) => return Err(refusal),
                (None, Some(record)) => record,
                // Cannot be: the queue refuses an answer to a command it does not know.
                (None, None) => {
                    return Err(Refusal::new(RefusalCode::UnknownCommand, "commandId", "no such command"));
                }
            }
        };
        // Also when it is no news: what was said first may still be on its way to the disk.
        self.flush_commands().await.map_err(failed)?;
        Ok(record)
    }

    /// Asks the queue and puts what it journals in the outbox, while the desk is locked, so that the newest state is the
    /// one that is written. An end is announced once it is written, everything else at once.
    fn tell(&self, desk: &mut CommandDesk, input: CommandInput, now: Timestamp) -> Told {
        let had_ended = matches!(&input, CommandInput::Ack { ended: Some(_), .. });
        let told = desk.handle(input, now);
        for record in &told.journal {
            self.command_outbox.put(record.request.command_id.clone(), record.clone());
            if !had_ended {
                self.meters.command(record.status);
            }
            if !record.status.is_final() {
                self.announce_command(record);
            }
        }
        told
    }

    /// Retries and expiries.
    pub(crate) fn tick_commands(&self, now: Timestamp) {
        let mut desk = self.desk.lock();
        self.tell(&mut desk, CommandInput::Tick, now);
        self.meters.open_commands.set(desk.queue.len() as f64);
    }

    fn announce_command(&self, record: &CommandRecord) {
        self.announce(TwinChange::Command(CommandUpdate {
            command_id: record.request.command_id.clone(),
            device_id: record.request.device_id.clone(),
            status: record.status,
            reason: record.reason.clone(),
        }));
    }

    pub(crate) async fn flush_commands(&self) -> Result<(), RecordsError> {
        let write = async |commands: Vec<CommandRecord>| {
            self.records.update_commands(&commands).await?;
            commands.iter().filter(|record| record.status.is_final()).for_each(|r| self.announce_command(r));
            Ok(())
        };
        self.command_outbox.flush(write).await
    }
}

fn same_or_conflict(known: CommandRecord, request: &CommandRequest) -> Result<CommandRecord, CommandRefusal> {
    if is_same(&known.request, request) {
        Ok(known)
    } else {
        Err(CommandRefusal::Conflict(request.command_id.clone()))
    }
}

fn is_same(a: &CommandRequest, b: &CommandRequest) -> bool {
    a.device_id == b.device_id
        && a.command == b.command
        && a.timestamp == b.timestamp
        && a.expires_at() == b.expires_at()
        && a.parameters.len() == b.parameters.len()
        && a.parameters
            .iter()
            .all(|(key, value)| b.parameters.get(key).is_some_and(|v| is_same_value(value, v)))
}

/// 50 and 50.0 are one number, however a client writes it.
fn is_same_value(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_park;
    use serde_json::json;

    #[test]
    fn the_same_body_may_be_written_differently() {
        let a = test_park::set_power("c1", 50.0, Timestamp(0), None);
        let mut b = a.clone();
        b.parameters.insert("power".into(), json!(50));
        b.expires = Some(a.expires_at());
        assert!(is_same(&a, &b));
        b.parameters.insert("duration".into(), json!(50));
        assert!(!is_same(&a, &b));
    }
}
