//! Commands to all clients: the newest state of each that changed, in the order of the changes.
//!
//! One listener hears the twin's changes as they come, whoever of the clients is slow; a client takes on its own tick what it has not
//! seen. Where even the listener fell behind, the states are read again, so that a client hears late of a command, never not at all.

use crate::App;
use parking_lot::Mutex;
use shared::{
    command::{CommandRecord, CommandStatus},
    id::CommandId,
    stream::CommandUpdate,
    time::{MINUTE_MS, Timestamp},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use twin::{TwinChange, TwinError};

/// Commands whose states are kept for clients that are behind: more than are journaled while a slow one is borne.
const KEPT: usize = 16_384;
/// A command may have been journaled so long before it was told of.
const TOLD_WITHIN_MS: i64 = MINUTE_MS;
/// States that cannot be read are asked for again this often.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// The number of the last change a client has seen.
pub(super) type SeenChange = u64;

#[derive(Default)]
pub(crate) struct CommandFeed {
    listens: AtomicBool,
    states: Mutex<States>,
}

#[derive(Default)]
struct States {
    newest: SeenChange,
    /// The newest state of each command, by the number of its change.
    changed: BTreeMap<SeenChange, CommandUpdate>,
    places: HashMap<CommandId, SeenChange>,
    /// Known not to have ended.
    open: BTreeSet<CommandId>,
}

impl CommandFeed {
    /// Begins to listen, unless it does already.
    pub(super) fn begin(&self, app: &Arc<App>) {
        if !self.listens.swap(true, Ordering::AcqRel) {
            let changes = app.state.twin.changes();
            tokio::spawn(listen(Arc::clone(app), changes));
        }
    }

    pub(super) fn newest(&self) -> SeenChange {
        self.states.lock().newest
    }

    /// The states of the commands that changed since `seen`, which is moved on.
    pub(super) fn since(&self, seen: &mut SeenChange) -> Vec<CommandUpdate> {
        let states = self.states.lock();
        let changed = states.changed.range(*seen + 1..).map(|(_, update)| update.clone());
        *seen = states.newest;
        changed.collect()
    }
}

impl States {
    /// Takes a command's state, unless it is known or a newer one is: states that were read again overtake the changes that led to them.
    fn take(&mut self, update: CommandUpdate) {
        let place = self.places.get(&update.command_id);
        if let Some(known) = place.and_then(|place| self.changed.get(place)) {
            let is_older = known.status.is_final() && !update.status.is_final();
            if is_older || *known == update || update.status == CommandStatus::Queued {
                return;
            }
        }
        if update.status.is_final() {
            self.open.remove(&update.command_id);
        } else {
            self.open.insert(update.command_id.clone());
        }
        self.newest += 1;
        if let Some(before) = self.places.insert(update.command_id.clone(), self.newest) {
            self.changed.remove(&before);
        }
        self.changed.insert(self.newest, update);
        if self.changed.len() > KEPT
            && let Some((_, oldest)) = self.changed.pop_first()
        {
            self.places.remove(&oldest.command_id);
        }
    }
}

async fn listen(app: Arc<App>, mut changes: Receiver<TwinChange>) {
    let feed = &app.frames.commands;
    let now = || (app.state.clock)();
    let mut heard = now();
    match app.state.records.open_commands().await {
        // These are no news, but how they end is.
        Ok(open) => feed.states.lock().open.extend(open.into_iter().map(|open| open.request.command_id)),
        Err(error) => tracing::warn!(%error, "which commands are open cannot be read"),
    }
    loop {
        let change = tokio::select! {
            () = app.state.shutdown.cancelled() => return,
            change = changes.recv() => change,
        };
        match change {
            Ok(TwinChange::Command(update)) => feed.states.lock().take(update),
            Ok(TwinChange::Presence(_) | TwinChange::Registry) => {}
            Err(RecvError::Lagged(_)) => {
                // Before the states are read: what changes meanwhile is heard after it.
                changes = changes.resubscribe();
                while let Err(error) = read_again(&app, heard).await {
                    tracing::warn!(%error, "commands' states cannot be read");
                    tokio::select! {
                        () = app.state.shutdown.cancelled() => return,
                        () = tokio::time::sleep(READ_AGAIN) => {}
                    }
                }
            }
            Err(RecvError::Closed) => return,
        }
        heard = now();
    }
}

/// The states of all commands that may have changed since a moment.
async fn read_again(app: &App, since: Timestamp) -> Result<(), TwinError> {
    let App { state, frames, .. } = app;
    let since = Timestamp(since.0.saturating_sub(TOLD_WITHIN_MS));
    let mut ids = frames.commands.states.lock().open.clone();
    let new = state.records.open_commands().await?.into_iter();
    let obeyed = state.records.acknowledged_commands(since).await?;
    ids.extend(new.chain(obeyed).map(|record| record.request.command_id));
    for id in ids {
        match state.twin.command(&id).await? {
            Some(record) => frames.commands.states.lock().take(update_of(record)),
            None => {
                frames.commands.states.lock().open.remove(&id);
            }
        }
    }
    Ok(())
}

fn update_of(record: CommandRecord) -> CommandUpdate {
    CommandUpdate {
        command_id: record.request.command_id,
        device_id: record.request.device_id,
        status: record.status,
        reason: record.reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update(command: usize, status: CommandStatus) -> CommandUpdate {
        CommandUpdate {
            command_id: format!("c-{command}").parse().unwrap(),
            device_id: "bess-1".parse().unwrap(),
            status,
            reason: None,
        }
    }

    fn heard(feed: &CommandFeed, seen: &mut SeenChange) -> Vec<(String, CommandStatus)> {
        let heard = feed.since(seen).into_iter();
        heard.map(|update| (update.command_id.to_string(), update.status)).collect()
    }

    #[test]
    fn whoever_was_behind_hears_each_commands_newest_state_once() {
        let feed = CommandFeed::default();
        let mut seen = feed.newest();
        for (command, status) in
            [(1, CommandStatus::Queued), (2, CommandStatus::Queued), (1, CommandStatus::Sent)]
        {
            feed.states.lock().take(update(command, status));
        }
        let both = [("c-2".to_owned(), CommandStatus::Queued), ("c-1".to_owned(), CommandStatus::Sent)];
        assert_eq!(heard(&feed, &mut seen), both);
        assert_eq!(heard(&feed, &mut seen), []);
        feed.states.lock().take(update(2, CommandStatus::Expired));
        assert_eq!(heard(&feed, &mut seen), [("c-2".to_owned(), CommandStatus::Expired)]);
        assert_eq!(feed.states.lock().open.len(), 1);
    }

    #[test]
    fn a_command_never_goes_back() {
        use CommandStatus::{Queued, Rejected, Sent};
        for (first, then) in [(Sent, Queued), (Rejected, Sent), (Rejected, Queued), (Sent, Sent)] {
            let feed = CommandFeed::default();
            let mut seen = feed.newest();
            feed.states.lock().take(update(1, first));
            feed.states.lock().take(update(1, then));
            assert_eq!(heard(&feed, &mut seen), [("c-1".to_owned(), first)], "{then:?}");
        }
    }

    #[test]
    fn no_more_than_so_many_are_kept() {
        let feed = CommandFeed::default();
        let mut seen = feed.newest();
        for command in 0..=KEPT {
            feed.states.lock().take(update(command, CommandStatus::Acknowledged));
        }
        let heard = heard(&feed, &mut seen);
        assert_eq!((heard.len(), heard[0].0.as_str()), (KEPT, "c-1"));
        assert_eq!(feed.states.lock().places.len(), KEPT);
    }
}
