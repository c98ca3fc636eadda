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

/// A webhook as it is kept. What it wants to hear is the `access` crate's affair.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredWebhook {
    pub id: String,
    pub created_at: Timestamp,
    /// Deliveries that gave way to newer ones since it was created.
    pub dropped: u64,
    /// JSON; it holds the secret that signs, so that it can.
    pub body: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryStatus {
    /// To be delivered, perhaps again.
    Waiting,
    Delivered,
    /// Tried and not tried again.
    Failed,
}

impl DeliveryStatus {
    fn as_str(self) -> &'static str {
        match self {
            DeliveryStatus::Waiting => "waiting",
            DeliveryStatus::Delivered => "delivered",
            DeliveryStatus::Failed => "failed",
        }
    }

    fn parse(text: &str) -> Option<DeliveryStatus> {
        [Self::Waiting, Self::Delivered, Self::Failed].into_iter().find(|status| status.as_str() == text)
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
    /// As it is sent.
    pub body: String,
}

impl NewDelivery {
    pub fn new(webhook: &str, event: &'static str, body: impl FnOnce(&str) -> String) -> NewDelivery {
        let id = new_id();
        NewDelivery { body: body(&id), id, webhook: webhook.to_owned(), event }
    }
}

/// A delivery and how it went so far.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Delivery {
    pub id: String,
    pub event: String,
    pub status: DeliveryStatus,
    pub created_at: Timestamp,
    /// Since when it has been tried; absent while it has not.
    pub first_tried_at: Option<Timestamp>,
    /// When it is due, while it waits.
    pub next_at: Timestamp,
    pub attempts: u64,
    pub ended_at: Option<Timestamp>,
    /// What came of the last attempt: the status answered, or why there was none.
    pub outcome: Option<String>,
    /// The JSON that is sent.
    pub body: String,
}

type DeliveryRow =
    (String, String, String, i64, Option<i64>, i64, i64, Option<i64>, Option<String>, String);

const COLUMNS: &str =
    "id, event, status, created_at, first_tried_at, next_at, attempts, ended_at, outcome, body";

fn delivery(row: DeliveryRow) -> Result<Delivery, RecordsError> {
    let (id, event, status, created_at, first_tried_at, next_at, attempts, ended_at, outcome, body) = row;
    let Some(status) = DeliveryStatus::parse(&status) else {
        let message = format!("status {status:?} is none of ours");
        return Err(RecordsError::Corrupt { what: "delivery", id, message });
    };
    Ok(Delivery {
        id,
        event,
        status,
        created_at: Timestamp(created_at),
        first_tried_at: first_tried_at.map(Timestamp),
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
            sqlx::query(
                "INSERT INTO webhook_deliveries
                 (id, webhook_id, seq, event, status, created_at, next_at, attempts, body)
                 SELECT $1, w.id, (SELECT COALESCE(MAX(d.seq), 0) + 1 FROM webhook_deliveries d WHERE d.webhook_id = w.id),
                 $2, 'waiting', $3, $3, 0, $4 FROM webhooks w WHERE w.id = $5",
            )
            .bind(&delivery.id)
            .bind(delivery.event)
            .bind($now.0)
            .bind(&delivery.body)
            .bind(&delivery.webhook)
            .execute(&mut *$transaction)
            .await
            .map_err(database("queueing deliveries"))?;
        }
    };
}

impl Records {
    pub async fn insert_webhook(&self, webhook: &StoredWebhook) -> Result<(), RecordsError> {
        on_writer!(self, pool => {
            sqlx::query("INSERT INTO webhooks (id, created_at, dropped, body) VALUES ($1, $2, 0, $3)")
                .bind(&webhook.id)
                .bind(webhook.created_at.0)
                .bind(&webhook.body)
                .execute(pool)
                .await
                .map_err(unique("creating a webhook", "webhook", &webhook.id))?;
        });
        Ok(())
    }

    pub async fn update_webhook(&self, id: &str, body: &str) -> Result<(), RecordsError> {
        let changed = on_writer!(self, pool => {
            sqlx::query("UPDATE webhooks SET body = $1 WHERE id = $2")
                .bind(body)
                .bind(id)
                .execute(pool)
                .await
                .map_err(database("changing a webhook"))?
                .rows_affected()
        });
        found(changed, "webhook", id)
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
        found(changed, "webhook", id)
    }

    /// Oldest first.
    pub async fn webhooks(&self) -> Result<Vec<StoredWebhook>, RecordsError> {
        let rows: Vec<(String, i64, i64, String)> = on_reader!(self, pool => {
            sqlx::query_as("SELECT id, created_at, dropped, body FROM webhooks ORDER BY created_at, id")
                .fetch_all(pool)
                .await
                .map_err(database("reading the webhooks"))?
        });
        let stored = |(id, created_at, dropped, body): (String, i64, i64, String)| StoredWebhook {
            id,
            created_at: Timestamp(created_at),
            dropped: dropped.unsigned_abs(),
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

    /// The delivery that comes next: the oldest that waits, but never one of this event.
    pub async fn next_delivery(&self, webhook: &str, but: &str) -> Result<Option<Delivery>, RecordsError> {
        self.first_waiting(webhook, but, false).await
    }

    /// The oldest delivery of one event that waits.
    pub async fn next_of_event(&self, webhook: &str, event: &str) -> Result<Option<Delivery>, RecordsError> {
        self.first_waiting(webhook, event, true).await
    }

    async fn first_waiting(
        &self,
        webhook: &str,
        event: &str,
        same: bool,
    ) -> Result<Option<Delivery>, RecordsError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM webhook_deliveries WHERE webhook_id = $1 AND status = 'waiting'
             AND event {} $2 ORDER BY seq, id LIMIT 1",
            if same { "=" } else { "<>" }
        );
        let row: Option<DeliveryRow> = on_reader!(self, pool => {
            sqlx::query_as(sqlx::AssertSqlSafe(sql))
                .bind(webhook)
                .bind(event)
                .fetch_optional(pool)
                .await
                .map_err(database("reading the next delivery"))?
        });
        row.map(delivery).transpose()
    }

    /// Writes how an attempt went. The outcome is what the delivery now says of itself.
    pub async fn settle_delivery(&self, delivery: &Delivery) -> Result<(), RecordsError> {
        on_writer!(self, pool => {
            sqlx::query(
                "UPDATE webhook_deliveries SET status = $1, first_tried_at = $2, next_at = $3, attempts = $4,
                 ended_at = $5, outcome = $6 WHERE id = $7",
            )
            .bind(delivery.status.as_str())
            .bind(delivery.first_tried_at.map(|at| at.0))
            .bind(delivery.next_at.0)
            .bind(i64::try_from(delivery.attempts).unwrap_or(i64::MAX))
            .bind(delivery.ended_at.map(|at| at.0))
            .bind(&delivery.outcome)
            .bind(&delivery.id)
            .execute(pool)
            .await
            .map_err(database("writing how a delivery went"))?;
        });
        Ok(())
    }

    /// What waits is due now, as if it had never been tried.
    pub async fn retry_deliveries(&self, webhook: &str, now: Timestamp) -> Result<(), RecordsError> {
        on_writer!(self, pool => {
            sqlx::query(
                "UPDATE webhook_deliveries SET first_tried_at = NULL, next_at = $1
                 WHERE webhook_id = $2 AND status = 'waiting'",
            )
            .bind(now.0)
            .bind(webhook)
            .execute(pool)
            .await
            .map_err(database("making deliveries due again"))?;
        });
        Ok(())
    }

    /// Gives up a delivery that waits; `false` when there is none.
    pub async fn discard_delivery(
        &self,
        webhook: &str,
        id: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<bool, RecordsError> {
        Ok(on_writer!(self, pool => {
            sqlx::query(
                "UPDATE webhook_deliveries SET status = 'failed', ended_at = $1, outcome = $2
                 WHERE webhook_id = $3 AND id = $4 AND status = 'waiting'",
            )
            .bind(now.0)
            .bind(why)
            .bind(webhook)
            .bind(id)
            .execute(pool)
            .await
            .map_err(database("discarding a delivery"))?
            .rows_affected()
        }) == 1)
    }

    /// How many deliveries wait: of this event, and of all others.
    pub async fn waiting_deliveries(&self, webhook: &str, event: &str) -> Result<(u64, u64), RecordsError> {
        let (of_event, all): (i64, i64) = on_reader!(self, pool => {
            sqlx::query_as(
                "SELECT COALESCE(SUM(CASE WHEN event = $2 THEN 1 ELSE 0 END), 0), COUNT(*)
                 FROM webhook_deliveries WHERE webhook_id = $1 AND status = 'waiting'",
            )
            .bind(webhook)
            .bind(event)
            .fetch_one(pool)
            .await
            .map_err(database("counting deliveries"))?
        });
        Ok((of_event.unsigned_abs(), (all - of_event).unsigned_abs()))
    }

    /// Of the deliveries of this event that wait, keeps the newest `keep` and counts the others as dropped; says how many.
    pub async fn drop_deliveries(
        &self,
        webhook: &str,
        event: &str,
        keep: usize,
    ) -> Result<u64, RecordsError> {
        const DOING: &str = "dropping deliveries";
        Ok(on_writer!(self, pool => {
            let mut transaction = pool.begin().await.map_err(database(DOING))?;
            let dropped = sqlx::query(
                "DELETE FROM webhook_deliveries WHERE webhook_id = $1 AND event = $2 AND status = 'waiting'
                 AND seq <= (SELECT d.seq FROM webhook_deliveries d WHERE d.webhook_id = $1 AND d.event = $2
                             AND d.status = 'waiting' ORDER BY d.seq DESC LIMIT 1 OFFSET $3)",
            )
            .bind(webhook)
            .bind(event)
            .bind(rows(keep))
            .execute(&mut *transaction)
            .await
            .map_err(database(DOING))?
            .rows_affected();
            sqlx::query("UPDATE webhooks SET dropped = dropped + $1 WHERE id = $2")
                .bind(i64::try_from(dropped).unwrap_or(i64::MAX))
                .bind(webhook)
                .execute(&mut *transaction)
                .await
                .map_err(database(DOING))?;
            transaction.commit().await.map_err(database(DOING))?;
            dropped
        }))
    }

    /// Keeps the newest `keep` of a webhook's deliveries that have ended.
    pub async fn trim_deliveries(&self, webhook: &str, keep: usize) -> Result<(), RecordsError> {
        on_writer!(self, pool => {
            sqlx::query(
                "DELETE FROM webhook_deliveries WHERE webhook_id = $1 AND status <> 'waiting'
                 AND seq <= (SELECT d.seq FROM webhook_deliveries d WHERE d.webhook_id = $1
                             AND d.status <> 'waiting' ORDER BY d.seq DESC LIMIT 1 OFFSET $2)",
            )
            .bind(webhook)
            .bind(rows(keep))
            .execute(pool)
            .await
            .map_err(database("forgetting old deliveries"))?;
        });
        Ok(())
    }

    /// A page of a webhook's deliveries, newest first.
    pub async fn deliveries(
        &self,
        webhook: &str,
        limit: usize,
        offset: usize,
    ) -> Result<Page<Delivery>, RecordsError> {
        const DOING: &str = "reading deliveries";
        let sql = format!(
            "SELECT {COLUMNS} FROM webhook_deliveries WHERE webhook_id = $1
             ORDER BY seq DESC, id DESC LIMIT $2 OFFSET $3"
        );
        let (total, rows): (i64, Vec<DeliveryRow>) = on_reader!(self, pool => {
            let total = sqlx::query_scalar("SELECT COUNT(*) FROM webhook_deliveries WHERE webhook_id = $1")
                .bind(webhook)
                .fetch_one(pool)
                .await
                .map_err(database(DOING))?;
            let rows = sqlx::query_as(sqlx::AssertSqlSafe(sql))
                .bind(webhook)
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

fn found(changed: u64, what: &'static str, id: &str) -> Result<(), RecordsError> {
    match changed {
        0 => Err(RecordsError::NotFound { what, id: id.to_owned() }),
        _ => Ok(()),
    }
}
