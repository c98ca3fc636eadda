//! What happened and others may want to hear of: kept from the transaction that makes it so until it is handed on.

use crate::{Records, RecordsError, error::database, page::rows};
use shared::{alarm::Alarm, command::CommandRecord, time::Timestamp};
use uuid::Uuid;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    pub id: String,
    pub at: Timestamp,
    pub what: Happened,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Happened {
    /// New, or open again.
    AlarmRaised(Alarm),
    AlarmEnded(Alarm),
    CommandEnded(Box<CommandRecord>),
}

const ALARM_RAISED: &str = "alarm.raised";
const ALARM_ENDED: &str = "alarm.ended";
const COMMAND_ENDED: &str = "command.ended";

/// A line of news, before it has an id.
pub(crate) struct Line {
    pub(crate) at: Timestamp,
    pub(crate) event: &'static str,
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
    let line = |event, at| Line { at, event, body: body.to_owned() };
    let raised = raised.then(|| line(ALARM_RAISED, alarm.raised_at));
    raised.into_iter().chain(ended.map(|at| line(ALARM_ENDED, at))).collect()
}

pub(crate) fn of_command(record: &CommandRecord, body: &str) -> Line {
    Line { at: record.ended_at.unwrap_or(record.queued_at), event: COMMAND_ENDED, body: body.to_owned() }
}

/// Adds lines to the news within a transaction.
macro_rules! insert_news {
    ($transaction:expr, $lines:expr, $doing:expr) => {
        for line in $lines {
            sqlx::query(
                "INSERT INTO news (id, seq, at, event, body)
                 VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM news), $2, $3, $4)",
            )
            .bind(uuid::Uuid::now_v7().to_string())
            .bind(line.at.0)
            .bind(line.event)
            .bind(&line.body)
            .execute(&mut *$transaction)
            .await
            .map_err($crate::error::database($doing))?;
        }
    };
}
pub(crate) use insert_news;

impl Records {
    /// Resolves when there may be news since the last time; one waits at a time.
    pub async fn news_came(&self) {
        self.inner.news.notified().await;
    }

    /// The oldest news. They stay until [`Records::hand_on`] takes them.
    pub async fn news(&self, most: usize) -> Result<Vec<News>, RecordsError> {
        let lines: Vec<(String, i64, String, String)> = on_reader!(self, pool => {
            sqlx::query_as("SELECT id, at, event, body FROM news ORDER BY seq, id LIMIT $1")
                .bind(rows(most))
                .fetch_all(pool)
                .await
                .map_err(database("reading the news"))?
        });
        lines
            .into_iter()
            .map(|(id, at, event, body)| {
                let what = read(&event, &body).map_err(|message| RecordsError::Corrupt {
                    what: "news",
                    id: id.clone(),
                    message,
                })?;
                Ok(News { id, at: Timestamp(at), what })
            })
            .collect()
    }
}

fn read(event: &str, body: &str) -> Result<Happened, String> {
    let parsed = match event {
        ALARM_RAISED => serde_json::from_str(body).map(Happened::AlarmRaised),
        ALARM_ENDED => serde_json::from_str(body).map(Happened::AlarmEnded),
        COMMAND_ENDED => serde_json::from_str(body).map(Happened::CommandEnded),
        other => return Err(format!("{other:?} is none of our events")),
    };
    parsed.map_err(|error| error.to_string())
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
        let (open, over, later) = (alarm(None), alarm(Some(5)), alarm(Some(9)));
        for (before, now, told) in [
            (None, &open, vec![ALARM_RAISED]),
            (None, &over, vec![ALARM_RAISED, ALARM_ENDED]),
            (Some(&open), &open, vec![]),
            (Some(&open), &over, vec![ALARM_ENDED]),
            (Some(&over), &over, vec![]),
            (Some(&over), &open, vec![ALARM_RAISED]),
            // Open again and over again between two writes.
            (Some(&over), &later, vec![ALARM_ENDED]),
        ] {
            let events: Vec<&str> = of_alarm(before, now, "").iter().map(|line| line.event).collect();
            assert_eq!(events, told, "{before:?} {now:?}");
        }
    }
}
