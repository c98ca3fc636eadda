//! Where others want to be told, and the queue of what each is told: it survives a restart, and its order is kept.

use crate::{
    Page, Records, RecordsError,
    error::{database, unique},
    news::{News, new_id},
    page::rows,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::time::Timestamp;

/// A webhook as it is kept. What it wants to hear is the `push` crate's affair.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredWebhook {
    pub id: String,
    pub created_at: Timestamp,
    /// JSON; it holds the secrets that sign.
    pub body: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// To be delivered, perhaps again.
    Waiting,
    Delivered,
    /// Given up; the outcome says why.
    Dead,
}

impl DeliveryStatus {
    fn as_str(self) -> &'static str {
        match self {
            DeliveryStatus::Waiting => "waiting",
            DeliveryStatus::Delivered => "delivered",
            DeliveryStatus::Dead => "dead",
        }
    }

    fn parse(text: &str) -> Option<DeliveryStatus> {
        [Self::Waiting, Self::Delivered, Self::Dead].into_iter().find(|status| status.as_str() == text)
    }
}

/// Something to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDelivery {
    /// Also told to whoever receives it, so that it can tell a repetition.
    pub id: String,
    pub webhook: String,
    /// Such as `alarm.raised`.
    pub event: &'static str,
    /// When it happened.
    pub at: Timestamp,
    /// What happened: JSON.
    pub body: String,
}

impl NewDelivery {
    pub fn new(webhook: &str, event: &'static str, at: Timestamp, body: String) -> NewDelivery {
        NewDelivery { id: new_id(), webhook: webhook.to_owned(), event, at, body }
    }
}

/// A delivery and how it went so far.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    pub id: String,
    /// Its place among the webhook's deliveries, from 1 and without gaps.
    pub sequence: u64,
    #[serde(rename = "type")]
    pub event: String,
    /// When it happened.
    pub at: Timestamp,
    pub status: DeliveryStatus,
    /// When it was queued, or queued anew.
    pub queued_at: Timestamp,
    /// When it is due, while it waits.
    pub next_at: Timestamp,
    /// Attempts that failed since it was queued.
    pub attempts: u64,
    pub ended_at: Option<Timestamp>,
    /// What the receiver last answered, or why there was no answer.
    pub outcome: Option<String>,
    /// What happened: JSON.
    #[serde(skip)]
    pub body: String,
}

/// How many of a webhook's deliveries there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryCounts {
    pub waiting: u64,
    pub delivered: u64,
    pub dead: u64,
}

type DeliveryRow = (String, i64, String, i64, String, i64, i64, i64, Option<i64>, Option<String>, String);

const COLUMNS: &str = "id, seq, event, at, status, queued_at, next_at, attempts, ended_at, outcome, body";

fn delivery(row: DeliveryRow) -> Result<Delivery, RecordsError> {
    let (id, seq, event, at, status, queued_at, next_at, attempts, ended_at, outcome, body) = row;
    let Some(status) = DeliveryStatus::parse(&status) else {
        let message = format!("status {status:?} is none of ours");
        return Err(RecordsError::Corrupt { what: "delivery", id, message });
    };
    Ok(Delivery {
        id,
        sequence: seq.unsigned_abs(),
        event,
        at: Timestamp(at),
        status,
        queued_at: Timestamp(queued_at),
        next_at: Timestamp(next_at),
        attempts: attempts.unsigned_abs(),
        ended_at: ended_at.map(Timestamp),
        outcome,
        body,
    })
}

macro_rules! insert_deliveries {
    ($transaction:expr, $deliveries:expr, $now:expr) => {
        for delivery in $deliveries {
            // A webhook that was removed meanwhile is told nothing.
            let seq: Option<i64> = sqlx::query_scalar(
                "UPDATE webhooks SET last_seq = last_seq + 1 WHERE id = $1 RETURNING last_seq",
            )
            .bind(&delivery.webhook)
            .fetch_optional(&mut *$transaction)
            .await
            .map_err(database("numbering a delivery"))?;
            let Some(seq) = seq else { continue };
            sqlx::query(
                "INSERT INTO webhook_deliveries
                 (id, webhook_id, seq, event, at, body, status, queued_at, next_at, attempts)
                 VALUES ($1, $2, $3, $4, $5, $6, 'waiting', $7, $7, 0)",
            )
            .bind(&delivery.id)
            .bind(&delivery.webhook)
            .bind(seq)
            .bind(delivery.event)
            .bind(delivery.at.0)
            .bind(&delivery.body)
            .bind($now.0)
            .execute(&mut *$transaction)
            .await
            .map_err(database("queueing deliveries"))?;
        }
    };
}

impl Records {
    pub async fn insert_webhook(&self, webhook: &StoredWebhook) -> Result<(), RecordsError> {
        on_writer!(self, pool => {
            sqlx::query("INSERT INTO webhooks (id, created_at, last_seq, body) VALUES ($1, $2, 0, $3)")
                .bind(&webhook.id)
                .bind(webhook.created_at.0)
                .bind(&webhook.body)
                .execute(pool)
                .await
                .map_err(unique("creating a webhook", "webhook", &webhook.id))?;
        });
        Ok(())
    }

    /// `forget_told`: told telemetry again some day, it begins anew.
    pub async fn update_webhook(&self, id: &str, body: &str, forget_told: bool) -> Result<(), RecordsError> {
        const CHANGE: &str = "UPDATE webhooks SET body = $1 WHERE id = $2";
        const CHANGE_AND_FORGET: &str = "UPDATE webhooks SET body = $1, told_through = NULL WHERE id = $2";
        let changed = on_writer!(self, pool => {
            sqlx::query(if forget_told { CHANGE_AND_FORGET } else { CHANGE })
                .bind(body)
                .bind(id)
                .execute(pool)
                .await
                .map_err(database("changing a webhook"))?
                .rows_affected()
        });
        found(changed, id)
    }

    /// Removes it with all its deliveries.
    pub async fn delete_webhook(&self, id: &str) -> Result<(), RecordsError> {
        const DOING: &str = "removing a webhook";
        let changed = on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            sqlx::query("DELETE FROM webhook_deliveries WHERE webhook_id = $1")
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(database(DOING))?;
            let changed = sqlx::query("DELETE FROM webhooks WHERE id = $1")
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(database(DOING))?
                .rows_affected();
            transaction.commit().await.map_err(database(DOING))?;
            changed
        });
        found(changed, id)
    }

    /// Oldest first.
    pub async fn webhooks(&self) -> Result<Vec<StoredWebhook>, RecordsError> {
        let rows: Vec<(String, i64, String)> = on_reader!(self, pool => {
            sqlx::query_as("SELECT id, created_at, body FROM webhooks ORDER BY created_at, id")
                .fetch_all(pool)
                .await
                .map_err(database("reading the webhooks"))?
        });
        let stored = |(id, created_at, body): (String, i64, String)| StoredWebhook {
            id,
            created_at: Timestamp(created_at),
            body,
        };
        Ok(rows.into_iter().map(stored).collect())
    }

    /// Queues deliveries and takes the news they were made of: all of it or nothing.
    pub async fn hand_on(
        &self,
        news: &[News],
        deliveries: &[NewDelivery],
        now: Timestamp,
    ) -> Result<(), RecordsError> {
        const DOING: &str = "handing on the news";
        on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            insert_deliveries!(transaction, deliveries, now);
            for line in news {
                sqlx::query("DELETE FROM news WHERE id = $1")
                    .bind(&line.id)
                    .execute(&mut *transaction)
                    .await
                    .map_err(database(DOING))?;
            }
            transaction.commit().await.map_err(database(DOING))?;
        });
        Ok(())
    }

    /// Up to when a webhook was told what devices measure; none where it was told nothing yet.
    pub async fn told_through(&self, webhook: &str) -> Result<Option<Timestamp>, RecordsError> {
        let told: Option<Option<i64>> = on_reader!(self, pool => {
            sqlx::query_scalar("SELECT told_through FROM webhooks WHERE id = $1")
                .bind(webhook)
                .fetch_optional(pool)
                .await
                .map_err(database("reading how far a webhook was told"))?
        });
        Ok(told.flatten().map(Timestamp))
    }

    pub async fn set_told_through(&self, webhook: &str, told: Timestamp) -> Result<(), RecordsError> {
        on_writer!(self, pool => {
            sqlx::query("UPDATE webhooks SET told_through = $1 WHERE id = $2")
                .bind(told.0)
                .bind(webhook)
                .execute(pool)
                .await
                .map_err(database("writing how far a webhook is told"))?;
        });
        Ok(())
    }

    /// Whether deliveries of this type wait for a webhook.
    pub async fn has_waiting(&self, webhook: &str, event: &str) -> Result<bool, RecordsError> {
        let waiting: i64 = on_reader!(self, pool => {
            sqlx::query_scalar(
                "SELECT COUNT(*) FROM webhook_deliveries WHERE webhook_id = $1 AND status = 'waiting' AND event = $2",
            )
            .bind(webhook)
            .bind(event)
            .fetch_one(pool)
            .await
            .map_err(database("looking for deliveries that wait"))?
        });
        Ok(waiting > 0)
    }

    /// Queues what devices measured since a webhook was last told, if that is still `from`, and notes that it is told up to `to`; says
    /// whether it was. Of deliveries of this type that have ended, `kept` stay.
    pub async fn report(
        &self,
        webhook: &str,
        (from, to): (Timestamp, Timestamp),
        deliveries: &[NewDelivery],
        kept: usize,
        now: Timestamp,
    ) -> Result<bool, RecordsError> {
        const DOING: &str = "queueing telemetry for a webhook";
        Ok(on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            let moved = sqlx::query("UPDATE webhooks SET told_through = $1 WHERE id = $2 AND told_through = $3")
                .bind(to.0)
                .bind(webhook)
                .bind(from.0)
                .execute(&mut *transaction)
                .await
                .map_err(database(DOING))?
                .rows_affected();
            if moved > 0 {
                insert_deliveries!(transaction, deliveries, now);
                if let Some(delivery) = deliveries.first() {
                    sqlx::query(
                        "DELETE FROM webhook_deliveries WHERE webhook_id = $1 AND status <> 'waiting' AND event = $2
                         AND seq <= (SELECT d.seq FROM webhook_deliveries d WHERE d.webhook_id = $1 AND d.status <> 'waiting'
                                     AND d.event = $2 ORDER BY d.seq DESC LIMIT 1 OFFSET $3)",
                    )
                    .bind(webhook)
                    .bind(delivery.event)
                    .bind(rows(kept))
                    .execute(&mut *transaction)
                    .await
                    .map_err(database(DOING))?;
                }
            }
            transaction.commit().await.map_err(database(DOING))?;
            moved > 0
        }))
    }

    /// The delivery that comes next: the oldest that waits, due or not.
    pub async fn next_delivery(&self, webhook: &str) -> Result<Option<Delivery>, RecordsError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM webhook_deliveries WHERE webhook_id = $1 AND status = 'waiting'
             ORDER BY seq LIMIT 1"
        );
        let row: Option<DeliveryRow> = on_reader!(self, pool => {
            sqlx::query_as(sqlx::AssertSqlSafe(sql))
                .bind(webhook)
                .fetch_optional(pool)
                .await
                .map_err(database("reading the next delivery"))?
        });
        row.map(delivery).transpose()
    }

    /// Writes how an attempt went, unless the delivery was queued anew meanwhile.
    pub async fn settle_delivery(&self, delivery: &Delivery) -> Result<(), RecordsError> {
        on_writer!(self, pool => {
            sqlx::query(
                "UPDATE webhook_deliveries SET status = $1, next_at = $2, attempts = $3, ended_at = $4, outcome = $5
                 WHERE id = $6 AND queued_at = $7",
            )
            .bind(delivery.status.as_str())
            .bind(delivery.next_at.0)
            .bind(i64::try_from(delivery.attempts).unwrap_or(i64::MAX))
            .bind(delivery.ended_at.map(|at| at.0))
            .bind(&delivery.outcome)
            .bind(&delivery.id)
            .bind(delivery.queued_at.0)
            .execute(pool)
            .await
            .map_err(database("writing how a delivery went"))?;
        });
        Ok(())
    }

    /// Queues a delivery that has ended once more, under its id and in its place; one that waits becomes due.
    pub async fn replay_delivery(&self, webhook: &str, id: &str, now: Timestamp) -> Result<(), RecordsError> {
        let changed = on_writer!(self, pool => {
            sqlx::query(
                "UPDATE webhook_deliveries SET status = 'waiting', queued_at = $1, next_at = $1, attempts = 0, ended_at = NULL
                 WHERE webhook_id = $2 AND id = $3",
            )
            .bind(now.0)
            .bind(webhook)
            .bind(id)
            .execute(pool)
            .await
            .map_err(database("queueing a delivery anew"))?
            .rows_affected()
        });
        match changed {
            0 => Err(RecordsError::NotFound { what: "delivery", id: id.to_owned() }),
            _ => Ok(()),
        }
    }

    /// Queues all that were given up once more and makes all that wait due; says how many wait now.
    pub async fn replay_dead_deliveries(&self, webhook: &str, now: Timestamp) -> Result<u64, RecordsError> {
        Ok(on_writer!(self, pool => {
            sqlx::query(
                "UPDATE webhook_deliveries SET status = 'waiting', queued_at = $1, next_at = $1, attempts = 0, ended_at = NULL
                 WHERE webhook_id = $2 AND status <> 'delivered'",
            )
            .bind(now.0)
            .bind(webhook)
            .execute(pool)
            .await
            .map_err(database("queueing deliveries anew"))?
            .rows_affected()
        }))
    }

    /// Keeps the newest `waiting` of those that wait, giving the others up, and the newest `ended` of those that have ended.
    /// Says how many were given up.
    pub async fn bound_deliveries(
        &self,
        webhook: &str,
        (waiting, ended): (usize, usize),
        why: &str,
        now: Timestamp,
    ) -> Result<u64, RecordsError> {
        const DOING: &str = "bounding a webhook's queue";
        Ok(on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            let given_up = sqlx::query(
                "UPDATE webhook_deliveries SET status = 'dead', ended_at = $1, outcome = $2
                 WHERE webhook_id = $3 AND status = 'waiting'
                 AND seq <= (SELECT d.seq FROM webhook_deliveries d WHERE d.webhook_id = $3 AND d.status = 'waiting'
                             ORDER BY d.seq DESC LIMIT 1 OFFSET $4)",
            )
            .bind(now.0)
            .bind(why)
            .bind(webhook)
            .bind(rows(waiting))
            .execute(&mut *transaction)
            .await
            .map_err(database(DOING))?
            .rows_affected();
            sqlx::query(
                "DELETE FROM webhook_deliveries WHERE webhook_id = $1 AND status <> 'waiting'
                 AND seq <= (SELECT d.seq FROM webhook_deliveries d WHERE d.webhook_id = $1 AND d.status <> 'waiting'
                             ORDER BY d.seq DESC LIMIT 1 OFFSET $2)",
            )
            .bind(webhook)
            .bind(rows(ended))
            .execute(&mut *transaction)
            .await
            .map_err(database(DOING))?;
            transaction.commit().await.map_err(database(DOING))?;
            given_up
        }))
    }

    /// How many of a webhook's deliveries wait and have ended.
    pub async fn delivery_counts(&self, webhook: &str) -> Result<DeliveryCounts, RecordsError> {
        let counted: Vec<(String, i64)> = on_reader!(self, pool => {
            sqlx::query_as("SELECT status, COUNT(*) FROM webhook_deliveries WHERE webhook_id = $1 GROUP BY status")
                .bind(webhook)
                .fetch_all(pool)
                .await
                .map_err(database("counting deliveries"))?
        });
        let of = |status: DeliveryStatus| {
            let found = counted.iter().find(|(name, _)| name == status.as_str());
            found.map_or(0, |(_, count)| count.unsigned_abs())
        };
        Ok(DeliveryCounts {
            waiting: of(DeliveryStatus::Waiting),
            delivered: of(DeliveryStatus::Delivered),
            dead: of(DeliveryStatus::Dead),
        })
    }

    /// A page of a webhook's deliveries, newest first, all or those of one status.
    pub async fn deliveries(
        &self,
        webhook: &str,
        status: Option<DeliveryStatus>,
        limit: usize,
        offset: usize,
    ) -> Result<Page<Delivery>, RecordsError> {
        const DOING: &str = "reading deliveries";
        const WHICH: &str = "WHERE webhook_id = $1 AND ($2 = '' OR status = $2)";
        let status = status.map_or("", DeliveryStatus::as_str);
        let count = format!("SELECT COUNT(*) FROM webhook_deliveries {WHICH}");
        let sql =
            format!("SELECT {COLUMNS} FROM webhook_deliveries {WHICH} ORDER BY seq DESC LIMIT $3 OFFSET $4");
        let (total, rows): (i64, Vec<DeliveryRow>) = on_reader!(self, pool => {
            let total = sqlx::query_scalar(sqlx::AssertSqlSafe(count))
                .bind(webhook)
                .bind(status)
                .fetch_one(pool)
                .await
                .map_err(database(DOING))?;
            let rows = sqlx::query_as(sqlx::AssertSqlSafe(sql))
                .bind(webhook)
                .bind(status)
                .bind(rows(limit))
                .bind(rows(offset))
                .fetch_all(pool)
                .await
                .map_err(database(DOING))?;
            (total, rows)
        });
        let items = rows.into_iter().map(delivery).collect::<Result<_, _>>()?;
        Ok(Page { items, total: total.unsigned_abs() })
    }
}

fn found(changed: u64, id: &str) -> Result<(), RecordsError> {
    match changed {
        0 => Err(RecordsError::NotFound { what: "webhook", id: id.to_owned() }),
        _ => Ok(()),
    }
}
