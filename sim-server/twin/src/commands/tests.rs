use super::*;
use crate::test_park;
use shared::command::Issuer;

fn t(seconds: i64) -> Timestamp {
    Timestamp(seconds * 1_000)
}

fn id(text: &str) -> CommandId {
    text.parse().unwrap()
}

fn device(text: &str) -> DeviceId {
    text.parse().unwrap()
}

const FIRST: ConnectionId = ConnectionId(1);
const SECOND: ConnectionId = ConnectionId(2);

fn command(command_id: &str, taken_s: i64, expires_s: i64) -> CommandInput {
    CommandInput::Queued(CommandRecord {
        request: test_park::set_power(command_id, 50.0, t(taken_s), Some(t(expires_s))),
        issuer: Issuer::Plan,
        status: CommandStatus::Queued,
        queued_at: t(taken_s),
        sent_at: None,
        attempts: 0,
        ended_at: None,
        reason: None,
        result: None,
        late_ack: None,
    })
}

fn connected(connection: ConnectionId) -> CommandInput {
    CommandInput::Connected { device: device("bess-1"), connection }
}

fn disconnected(connection: ConnectionId) -> CommandInput {
    CommandInput::Disconnected { device: device("bess-1"), connection }
}

fn ack_from(sender: &str, command_id: &str, status: AckStatus, ended: Option<CommandRecord>) -> CommandInput {
    let ack = CommandAck {
        device_id: device(sender),
        command_id: id(command_id),
        status,
        reason: (status == AckStatus::Rejected).then(|| "full".to_owned()),
        result: None,
    };
    CommandInput::Ack { sender: Sender::Device(device(sender)), ack, ended }
}

/// What happened, in a few words each.
fn told(outputs: &[CommandOutput]) -> Vec<String> {
    outputs
        .iter()
        .map(|output| match output {
            CommandOutput::Deliver { connection, delivery, .. } => {
                format!("deliver {} on {}", delivery.command_id, connection.0)
            }
            CommandOutput::Journal(record) => {
                format!("{} {}", record.request.command_id, record.status.as_str())
            }
            CommandOutput::Refused(refusal) => format!("refused {:?} {}", refusal.code, refusal.field),
        })
        .collect()
}

fn journaled(outputs: &[CommandOutput]) -> CommandRecord {
    outputs
        .iter()
        .find_map(|output| match output {
            CommandOutput::Journal(record) => Some(record.as_ref().clone()),
            _ => None,
        })
        .expect("a journal entry")
}

#[test]
fn a_life_from_queued_over_sent_to_acknowledged() {
    let mut queue = CommandQueue::default();
    assert!(queue.handle(command("c1", 0, 300), t(0)).is_empty());
    assert_eq!(told(&queue.handle(connected(FIRST), t(1))), ["deliver c1 on 1"]);
    assert_eq!(queue.get(&id("c1")).unwrap().status, CommandStatus::Queued, "handed over is not received");
    assert_eq!(told(&queue.handle(CommandInput::Sent(id("c1")), t(2))), ["c1 sent"]);
    assert!(queue.handle(CommandInput::Sent(id("c1")), t(2)).is_empty());
    let outputs = queue.handle(ack_from("bess-1", "c1", AckStatus::Done, None), t(3));
    assert_eq!(told(&outputs), ["c1 acknowledged"]);
    let record = journaled(&outputs);
    assert_eq!((record.attempts, record.sent_at, record.ended_at), (1, Some(t(1)), Some(t(3))));
    assert!(queue.is_empty());
    let again = ack_from("bess-1", "c1", AckStatus::Rejected, Some(record));
    assert!(queue.handle(again, t(4)).is_empty(), "the first word counts");
}

#[test]
fn a_silent_device_is_offered_the_command_with_growing_pauses_until_it_expires() {
    let mut queue = CommandQueue::default();
    queue.handle(connected(FIRST), t(0));
    queue.handle(command("c1", 0, 120), t(0));
    let delivered: Vec<i64> = (1..200)
        .filter(|&s| told(&queue.handle(CommandInput::Tick, t(s))).iter().any(|o| o.starts_with("deliver")))
        .collect();
    assert_eq!(delivered, [2, 6, 14, 30, 62]);
    assert!(queue.is_empty());
}

#[test]
fn expiry_says_whether_the_device_ever_had_it() {
    let mut queue = CommandQueue::default();
    queue.handle(command("c1", 0, 10), t(0));
    assert!(queue.handle(CommandInput::Tick, Timestamp(9_999)).is_empty());
    let record = journaled(&queue.handle(CommandInput::Tick, t(10)));
    assert_eq!(record.status, CommandStatus::Expired);
    assert!(record.reason.unwrap().contains("not connected"));
    assert!(queue.handle(connected(FIRST), t(11)).is_empty(), "never delivered after that");
}

#[test]
fn a_command_past_its_expiry_is_not_delivered_even_before_the_tick_that_ends_it() {
    let mut queue = CommandQueue::default();
    queue.handle(command("c1", 0, 10), t(0));
    assert!(queue.handle(connected(FIRST), t(10)).is_empty());
}

#[test]
fn an_acknowledgement_after_expiry_is_kept_and_the_command_stays_expired() {
    let mut queue = CommandQueue::default();
    queue.handle(connected(FIRST), t(0));
    queue.handle(command("c1", 0, 10), t(0));
    // Before the tick that would have ended it …
    let record = journaled(&queue.handle(ack_from("bess-1", "c1", AckStatus::Done, None), t(10)));
    assert_eq!(record.status, CommandStatus::Expired);
    assert!(record.late_ack.is_some());
    // … and long after.
    queue.handle(command("c2", 0, 10), t(0));
    let ended = journaled(&queue.handle(CommandInput::Tick, t(20)));
    let late = journaled(&queue.handle(ack_from("bess-1", "c2", AckStatus::Done, Some(ended)), t(30)));
    assert_eq!(late.status, CommandStatus::Expired);
    let first_word = late.late_ack.clone();
    let again = ack_from("bess-1", "c2", AckStatus::Rejected, Some(late));
    assert!(queue.handle(again, t(31)).is_empty());
    assert!(first_word.is_some());
}

#[test]
fn a_rejection_carries_the_device_s_reason() {
    let mut queue = CommandQueue::default();
    queue.handle(command("c1", 0, 300), t(0));
    let record = journaled(&queue.handle(ack_from("bess-1", "c1", AckStatus::Rejected, None), t(1)));
    assert_eq!((record.status, record.reason.as_deref()), (CommandStatus::Rejected, Some("full")));
}

#[test]
fn an_acknowledgement_from_elsewhere_is_refused_and_changes_nothing() {
    let mut queue = CommandQueue::default();
    queue.handle(command("c1", 0, 300), t(0));
    let foreign = ack_from("pv-1", "c1", AckStatus::Done, None);
    assert_eq!(told(&queue.handle(foreign, t(1))), ["refused NotYourDevice commandId"]);
    let mut pretended = ack_from("bess-1", "c1", AckStatus::Done, None);
    if let CommandInput::Ack { sender, .. } = &mut pretended {
        *sender = Sender::Device(device("pv-1"));
    }
    assert_eq!(told(&queue.handle(pretended, t(1))), ["refused NotYourDevice deviceId"]);
    let unknown = ack_from("bess-1", "c9", AckStatus::Done, None);
    assert_eq!(told(&queue.handle(unknown, t(1))), ["refused UnknownCommand commandId"]);
    assert_eq!(queue.len(), 1);
}

#[test]
fn a_device_that_comes_back_gets_everything_open_in_order() {
    let mut queue = CommandQueue::default();
    queue.handle(connected(FIRST), t(0));
    queue.handle(command("c1", 0, 300), t(0));
    queue.handle(disconnected(FIRST), t(1));
    queue.handle(command("c0", 2, 300), t(2));
    queue.handle(command("c3", 3, 5), t(3));
    let outputs = queue.handle(connected(SECOND), t(6));
    assert_eq!(told(&outputs), ["deliver c1 on 2", "deliver c0 on 2"], "as taken, without what expired");
}

#[test]
fn a_connection_that_took_over_is_not_ended_by_the_old_one_s_end() {
    let mut queue = CommandQueue::default();
    queue.handle(connected(FIRST), t(0));
    queue.handle(connected(SECOND), t(1));
    queue.handle(disconnected(FIRST), t(2));
    assert_eq!(told(&queue.handle(command("c1", 3, 300), t(3))), ["deliver c1 on 2"]);
}

#[test]
fn what_a_connection_cannot_take_waits_and_so_does_what_follows() {
    let mut queue = CommandQueue::default();
    queue.handle(connected(FIRST), t(0));
    queue.handle(command("c1", 0, 300), t(0));
    queue.handle(CommandInput::NotTaken { command: id("c1"), connection: FIRST }, t(0));
    assert!(queue.handle(command("c2", 0, 300), t(0)).is_empty());
    assert_eq!(told(&queue.handle(CommandInput::Tick, t(1))), ["deliver c1 on 1", "deliver c2 on 1"]);
    assert_eq!(queue.get(&id("c1")).unwrap().attempts, 1);
}

#[test]
fn a_restarted_queue_delivers_what_the_journal_holds_open() {
    let mut queue = CommandQueue::default();
    queue.handle(command("c1", 0, 300), t(0));
    queue.handle(connected(FIRST), t(0));
    let sent = journaled(&queue.handle(CommandInput::Sent(id("c1")), t(1)));
    let mut restarted = CommandQueue::new(Backoff::default(), vec![sent]);
    assert_eq!(told(&restarted.handle(connected(FIRST), t(2))), ["deliver c1 on 1"]);
}
