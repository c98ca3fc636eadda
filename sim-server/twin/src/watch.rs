//! Alarms in the live twin: what changes is shown at once and written soon; what a person does is written first.

use crate::{
    alarm_news::FetchedAlarms,
    alarms::{AlarmChange, AlarmInput},
    error::TwinError,
    twin::{Inner, Twin},
};
use records::RecordsError;
use shared::{
    alarm::{Alarm, AlarmKind},
    id::AlarmId,
    text::Text,
    time::Timestamp,
};

impl Twin {
    /// Alarms that are active or not acknowledged, oldest first.
    pub fn open_alarms(&self) -> Vec<Alarm> {
        let mut open: Vec<Alarm> = self.inner.alarms.lock().open().cloned().collect();
        open.sort_by(|a, b| (a.raised_at, &a.id).cmp(&(b.raised_at, &b.id)));
        open
    }

    /// Grows with every change among the alarms.
    pub fn alarms_version(&self) -> u64 {
        self.inner.alarm_news.version()
    }

    /// The alarms that changed since this was last called, by whoever.
    pub fn fetch_alarms(&self) -> FetchedAlarms {
        self.inner.alarm_news.fetch()
    }

    /// A person has seen an alarm; written before this returns. Acknowledging twice changes nothing.
    pub async fn acknowledge_alarm(
        &self,
        id: &AlarmId,
        who: &str,
        now: Timestamp,
    ) -> Result<Alarm, TwinError> {
        self.attend(id, AlarmInput::Acknowledge { id, who }, now).await
    }

    /// A person says that an alarm is over; written before this returns. Where its condition is still there it is raised
    /// anew as soon as that is seen.
    pub async fn clear_alarm(&self, id: &AlarmId, who: &str, now: Timestamp) -> Result<Alarm, TwinError> {
        self.attend(id, AlarmInput::Clear { id, who }, now).await
    }

    async fn attend(&self, id: &AlarmId, input: AlarmInput<'_>, now: Timestamp) -> Result<Alarm, TwinError> {
        let alarm = {
            let mut book = self.inner.alarms.lock();
            let before = book.get(id).cloned().ok_or_else(|| TwinError::UnknownAlarm(id.clone()))?;
            let changes = book.handle(input, now);
            let alarm = changes.first().map_or(before, |change| change.alarm().clone());
            self.inner.publish_alarms(changes);
            alarm
        };
        self.inner.flush_alarms().await?;
        Ok(alarm)
    }

    /// A condition of the park itself: raised, told again with another text, or (with `None`) cleared.
    pub async fn park_alarm(&self, kind: AlarmKind, active: Option<(Text, Option<f64>)>, now: Timestamp) {
        let mut book = self.inner.alarms.lock();
        let changes = book.handle(AlarmInput::Park { kind, active }, now);
        self.inner.publish_alarms(changes);
    }
}

impl Inner {
    /// Called while the book is locked, so that the newest state is the one that is written.
    pub(crate) fn publish_alarms(&self, changes: Vec<AlarmChange>) {
        if changes.is_empty() {
            return;
        }
        for change in &changes {
            // What is dropped stays in the records as it was.
            if !matches!(change, AlarmChange::Dropped(_)) {
                let alarm = change.alarm();
                self.alarm_outbox.put(alarm.id.clone(), alarm.clone());
            }
        }
        self.alarm_news.put(changes.into_iter().map(AlarmChange::into_listed));
    }

    pub(crate) async fn flush_alarms(&self) -> Result<(), RecordsError> {
        self.alarm_outbox.flush(async |alarms| self.records.save_alarms(&alarms).await).await
    }
}
