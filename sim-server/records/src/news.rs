//! What happened and others may want to hear of: kept from the transaction that makes it so until it is handed on.

use crate::{
    Records, RecordsError,
    error::{database, encode},
    page::rows,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::{alarm::Alarm, command::CommandRecord, id::DeviceId, stream::Presence, time::Timestamp};
use uuid::Uuid;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    pub id: String,
    pub at: Timestamp,
    pub event: Happened,
    /// Absent for what is of the park itself.
    pub device: Option<DeviceId>,
    /// The alarm, the command or the device's presence as it then was: JSON.
    pub body: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Happened {
    /// New, or open again.
    #[serde(rename = "alarm.raised")]
    AlarmRaised,
    #[serde(rename = "alarm.ended")]
    AlarmEnded,
    #[serde(rename = "command.ended")]
    CommandEnded,
    #[serde(rename = "device.online")]
    DeviceOnline,
    #[serde(rename = "device.offline")]
    DeviceOffline,
}

impl Happened {
    pub const ALL: [Happened; 5] = [
        Happened::AlarmRaised,
        Happened::AlarmEnded,
        Happened::CommandEnded,
        Happened::DeviceOnline,
        Happened::DeviceOffline,
    ];

    /// As it is written in requests, in deliveries and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Happened::AlarmRaised => "alarm.raised",
            Happened::AlarmEnded => "alarm.ended",
            Happened::CommandEnded => "command.ended",
            Happened::DeviceOnline => "device.online",
            Happened::DeviceOffline => "device.offline",
        }
    }
}

/// A line of news, before it has an id.
pub(crate) struct Line {
    pub(crate) at: Timestamp,
    pub(crate) event: Happened,
    pub(crate) device: Option<DeviceId>,
    pub(crate) body: String,
}

/// What has happened to an alarm that is written in the place of `before`; it may have been raised and have ended since.
pub(crate) fn of_alarm(before: Option<&Alarm>, alarm: &Alarm, body: &str) -> Vec<Line> {
    let was_active = before.is_some_and(Alarm::is_active);
    let raised = before.is_none() || (!was_active && alarm.is_active());
    let ended = match (before, alarm.cleared_at) {
        (_, None) => None,
        (Some(before), Some(at)) if !was_active && before.cleared_at == Some(at) => None,
        (_, Some(at)) => Some(at),
    };
    let line = |event, at| Line { at, event, device: alarm.device_id.clone(), body: body.to_owned() };
    let raised = raised.then(|| line(Happened::AlarmRaised, alarm.raised_at));
    raised.into_iter().chain(ended.map(|at| line(Happened::AlarmEnded, at))).collect()
}

pub(crate) fn of_command(record: &CommandRecord, body: &str) -> Line {
    Line {
        at: record.ended_at.unwrap_or(record.queued_at),
        event: Happened::CommandEnded,
        device: Some(record.request.device_id.clone()),
        body: body.to_owned(),
    }
}

/// Adds lines to the news within a transaction.
macro_rules! insert_news {
    ($transaction:expr, $lines:expr, $doing:expr) => {
        for line in $lines {
            sqlx::query(
                "INSERT INTO news (id, seq, at, event, device_id, body)
                 VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM news), $2, $3, $4, $5)",
            )
            .bind(uuid::Uuid::now_v7().to_string())
            .bind(line.at.0)
            .bind(line.event.as_str())
            .bind(line.device.as_ref().map(|id| id.as_str()))
            .bind(&line.body)
            .execute(&mut *$transaction)
            .await
            .map_err($crate::error::database($doing))?;
        }
    };
}
pub(crate) use insert_news;

type NewsRow = (String, i64, String, Option<String>, String);

fn news((id, at, event, device, body): NewsRow) -> Result<News, RecordsError> {
    let corrupt = |message| RecordsError::Corrupt { what: "news", id: id.clone(), message };
    let known = Happened::ALL.into_iter().find(|known| known.as_str() == event);
    let event = known.ok_or_else(|| corrupt(format!("{event:?} is none of our events")))?;
    let device = device.map(|id| id.parse::<DeviceId>()).transpose().map_err(|e| corrupt(e.to_string()))?;
    Ok(News { at: Timestamp(at), event, device, body, id })
}

impl Records {
    /// Resolves when there may be news since the last time; one waits at a time.
    pub async fn news_came(&self) {
        self.inner.news.notified().await;
    }

    /// The oldest news. They stay until [`Records::hand_on`] takes them.
    pub async fn news(&self, most: usize) -> Result<Vec<News>, RecordsError> {
        let lines: Vec<NewsRow> = on_reader!(self, pool => {
            sqlx::query_as("SELECT id, at, event, device_id, body FROM news ORDER BY seq, id LIMIT $1")
                .bind(rows(most))
                .fetch_all(pool)
                .await
                .map_err(database("reading the news"))?
        });
        lines.into_iter().map(news).collect()
    }

    /// Which devices were last said to be online or offline.
    pub async fn presence(&self) -> Result<Vec<(String, bool)>, RecordsError> {
        let lines: Vec<(String, i64)> = on_reader!(self, pool => {
            sqlx::query_as("SELECT device_id, online FROM device_presence")
                .fetch_all(pool)
                .await
                .map_err(database("reading which devices were online"))?
        });
        Ok(lines.into_iter().map(|(id, online)| (id, online != 0)).collect())
    }

    /// Keeps what has become of devices, and that it is news: all or none.
    pub async fn save_presence(&self, changes: &[Presence], now: Timestamp) -> Result<(), RecordsError> {
        const DOING: &str = "saving which devices are online";
        on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            for change in changes {
                let event = if change.online { Happened::DeviceOnline } else { Happened::DeviceOffline };
                let body = encode("a device's presence", change)?;
                let line = Line { at: now, event, device: Some(change.device.clone()), body };
                insert_news!(transaction, [line], DOING);
                sqlx::query(
                    "INSERT INTO device_presence (device_id, online) VALUES ($1, $2)
                     ON CONFLICT (device_id) DO UPDATE SET online = excluded.online",
                )
                .bind(change.device.as_str())
                .bind(i64::from(change.online))
                .execute(&mut *transaction)
                .await
                .map_err(database(DOING))?;
            }
            transaction.commit().await.map_err(database(DOING))?;
        });
        self.inner.news.notify_one();
        Ok(())
    }
}

/// A new id; later ones of this process sort after earlier ones.
pub(crate) fn new_id() -> String {
    Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::{
        alarm::{AlarmKind, Severity},
        text::Text,
    };

    fn alarm(cleared_at: Option<i64>) -> Alarm {
        Alarm {
            id: "a-1".parse().unwrap(),
            kind: AlarmKind::OutOfRange,
            detail: None,
            device_id: None,
            severity: Severity::Major,
            text: Text::new("", ""),
            value: None,
            raised_at: Timestamp(1),
            cleared_at: cleared_at.map(Timestamp),
            acknowledged_at: None,
            acknowledged_by: None,
        }
    }

    #[test]
    fn each_turn_of_an_alarm_is_told_once() {
        use Happened::{AlarmEnded, AlarmRaised};
        let (open, over, later) = (alarm(None), alarm(Some(5)), alarm(Some(9)));
        for (before, now, told) in [
            (None, &open, vec![AlarmRaised]),
            (None, &over, vec![AlarmRaised, AlarmEnded]),
            (Some(&open), &open, vec![]),
            (Some(&open), &over, vec![AlarmEnded]),
            (Some(&over), &over, vec![]),
            (Some(&over), &open, vec![AlarmRaised]),
            // Open again and over again between two writes.
            (Some(&over), &later, vec![AlarmEnded]),
        ] {
            let events: Vec<Happened> = of_alarm(before, now, "").iter().map(|line| line.event).collect();
            assert_eq!(events, told, "{before:?} {now:?}");
        }
    }
}
