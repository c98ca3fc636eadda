//! Whatever happens in whatever order, with crashes in between: the promises of the queue hold.

use super::*;
use crate::test_park;
use proptest::prelude::*;
use shared::command::Issuer;
use std::collections::BTreeMap;

const DEVICES: [&str; 2] = ["bess-1", "bess-2"];

#[derive(Debug, Clone)]
enum Step {
    Submit {
        device: usize,
        lifetime_s: i64,
    },
    Connect {
        device: usize,
    },
    Disconnect {
        device: usize,
    },
    Sent {
        nth: usize,
    },
    NotTaken {
        nth: usize,
    },
    Ack {
        nth: usize,
        by: usize,
        status: AckStatus,
    },
    Pass {
        seconds: i64,
    },
    Tick,
    /// The process dies. `unwritten`: what the step before wanted journaled was not yet.
    Crash {
        unwritten: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let status = prop_oneof![Just(AckStatus::Done), Just(AckStatus::Rejected)];
    let step = prop_oneof![
        4 => (0..2usize, 1..40i64).prop_map(|(device, lifetime_s)| Step::Submit { device, lifetime_s }),
        3 => (0..2usize).prop_map(|device| Step::Connect { device }),
        2 => (0..2usize).prop_map(|device| Step::Disconnect { device }),
        3 => any::<usize>().prop_map(|nth| Step::Sent { nth }),
        1 => any::<usize>().prop_map(|nth| Step::NotTaken { nth }),
        4 => (any::<usize>(), 0..2usize, status).prop_map(|(nth, by, status)| Step::Ack { nth, by, status }),
        4 => (0..15i64).prop_map(|seconds| Step::Pass { seconds }),
        4 => Just(Step::Tick),
        1 => any::<bool>().prop_map(|unwritten| Step::Crash { unwritten }),
    ];
    proptest::collection::vec(step, 1..120)
}

/// The queue with a journal, and a watcher that knows the promises.
struct World {
    queue: CommandQueue,
    now: Timestamp,
    journal: BTreeMap<CommandId, CommandRecord>,
    before_last_step: BTreeMap<CommandId, CommandRecord>,
    order: Vec<CommandId>,
    connections: [Option<ConnectionId>; 2],
    next_connection: u64,
    /// First deliveries on each connection, in order.
    first_deliveries: BTreeMap<ConnectionId, Vec<CommandId>>,
}

impl World {
    fn new() -> Self {
        Self {
            queue: CommandQueue::default(),
            now: Timestamp(1_000_000),
            journal: BTreeMap::new(),
            before_last_step: BTreeMap::new(),
            order: Vec::new(),
            connections: [None; 2],
            next_connection: 0,
            first_deliveries: BTreeMap::new(),
        }
    }

    fn nth(&self, nth: usize) -> Option<CommandId> {
        (!self.order.is_empty()).then(|| self.order[nth % self.order.len()].clone())
    }

    fn input(&mut self, input: CommandInput) {
        self.before_last_step = self.journal.clone();
        for output in self.queue.handle(input, self.now) {
            match output {
                CommandOutput::Deliver { device, connection, delivery } => {
                    self.check_delivery(&device, connection, delivery)
                }
                CommandOutput::Journal(record) => self.write(*record),
                CommandOutput::Refused(_) => {}
            }
        }
    }

    fn check_delivery(&mut self, device: &DeviceId, connection: ConnectionId, delivery: CommandDelivery) {
        assert!(self.now < delivery.expires, "delivered after its expiry");
        let at = DEVICES.iter().position(|d| *d == device.as_str()).unwrap();
        assert_eq!(self.connections[at], Some(connection), "delivered to a connection that is gone");
        let record = &self.journal[&delivery.command_id];
        assert!(!record.status.is_final(), "delivered after its end");
        assert_eq!(&record.request.device_id, device);
        let seen = self.first_deliveries.entry(connection).or_default();
        if !seen.contains(&delivery.command_id) {
            seen.push(delivery.command_id);
        }
    }

    fn write(&mut self, record: CommandRecord) {
        let known = self.journal.get_mut(&record.request.command_id).expect("journaled before it entered");
        if known.status.is_final() {
            assert_eq!(known.status, record.status, "a final status changed");
            assert_eq!(known.ended_at, record.ended_at);
            assert_eq!(record.status, CommandStatus::Expired, "only an expired command is written again");
        }
        *known = record;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Submit { device, lifetime_s } => {
                let command_id = format!("c{}", self.order.len());
                let expires = Timestamp(self.now.0 + lifetime_s * 1_000);
                let mut request = test_park::set_power(&command_id, 1.0, self.now, Some(expires));
                request.device_id = DEVICES[device].parse().unwrap();
                let record = CommandRecord {
                    request,
                    issuer: Issuer::Plan,
                    status: CommandStatus::Queued,
                    queued_at: self.now,
                    sent_at: None,
                    attempts: 0,
                    ended_at: None,
                    reason: None,
                    result: None,
                    late_ack: None,
                };
                self.order.push(record.request.command_id.clone());
                self.journal.insert(record.request.command_id.clone(), record.clone());
                self.input(CommandInput::Queued(record));
            }
            Step::Connect { device } => {
                self.next_connection += 1;
                let connection = ConnectionId(self.next_connection);
                self.connections[device] = Some(connection);
                self.input(CommandInput::Connected { device: DEVICES[device].parse().unwrap(), connection });
                let missing: Vec<&CommandId> = self
                    .order
                    .iter()
                    .filter(|id| {
                        let record = &self.journal[*id];
                        record.request.device_id.as_str() == DEVICES[device]
                            && !record.status.is_final()
                            && self.now < record.request.expires_at()
                    })
                    .collect();
                let delivered = self.first_deliveries.get(&connection).cloned().unwrap_or_default();
                assert_eq!(
                    delivered.iter().collect::<Vec<_>>(),
                    missing,
                    "all that is open, in order, on connecting"
                );
            }
            Step::Disconnect { device } => {
                if let Some(connection) = self.connections[device].take() {
                    let device = DEVICES[device].parse().unwrap();
                    self.input(CommandInput::Disconnected { device, connection });
                }
            }
            Step::Sent { nth } => {
                if let Some(id) = self.nth(nth) {
                    self.input(CommandInput::Sent(id));
                }
            }
            Step::NotTaken { nth } => {
                if let Some(command) = self.nth(nth)
                    && let Some(connection) = self.connections[0]
                {
                    self.input(CommandInput::NotTaken { command, connection });
                }
            }
            Step::Ack { nth, by, status } => {
                if let Some(command_id) = self.nth(nth) {
                    let device_id: DeviceId = DEVICES[by].parse().unwrap();
                    let sender = Sender::Device(device_id.clone());
                    let ack = CommandAck { device_id, command_id, status, reason: None, result: None };
                    let ended =
                        self.journal.get(&ack.command_id).filter(|record| record.status.is_final()).cloned();
                    self.input(CommandInput::Ack { sender, ack, ended });
                }
            }
            Step::Pass { seconds } => self.now = Timestamp(self.now.0 + seconds * 1_000),
            Step::Tick => self.input(CommandInput::Tick),
            Step::Crash { unwritten } => {
                if unwritten {
                    // A command enters the queue only once it is journaled: that much survives in any case.
                    let mut journal = std::mem::take(&mut self.before_last_step);
                    for (id, record) in &self.journal {
                        journal.entry(id.clone()).or_insert_with(|| record.clone());
                    }
                    self.journal = journal;
                }
                self.connections = [None; 2];
                let open: Vec<CommandRecord> = self
                    .order
                    .iter()
                    .map(|id| self.journal[id].clone())
                    .filter(|record| !record.status.is_final())
                    .collect();
                self.queue = CommandQueue::new(Backoff::default(), open);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_keeps_its_promises(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.now = Timestamp(world.now.0 + 3_600_000);
        world.input(CommandInput::Tick);
        prop_assert!(world.queue.is_empty());
        for record in world.journal.values() {
            prop_assert!(record.status.is_final(), "{} never ended", record.request.command_id);
            prop_assert!(record.ended_at.is_some());
        }
    }
}
