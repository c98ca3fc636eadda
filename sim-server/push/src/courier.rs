//! What one webhook is told, one after the other: the next is told only when the one before was taken or given up.

use crate::{
    backoff::wait_ms,
    client::Outcome,
    service::{Inner, TELEMETRY},
    signature::{seconds, signature},
    webhook::Kept,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use records::{Delivery, DeliveryStatus};
use shared::time::Timestamp;
use std::{sync::Arc, time::Duration};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const AGENT: &str = concat!("park-twin/", env!("CARGO_PKG_VERSION"));
/// Between attempts to read or write the queue while the database does not answer.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Courier {
    pub(crate) inner: Arc<Inner>,
    pub(crate) webhook: String,
    pub(crate) wake: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

impl Courier {
    /// Delivers until stopped. An attempt that is cut off is made again the next time.
    pub(crate) async fn run(self) {
        let stop = self.stop.clone();
        stop.run_until_cancelled(self.deliver()).await;
    }

    async fn deliver(self) {
        let mut failing = false;
        // One that was waited for is due, whatever the clock says by then: clocks are set back.
        let mut waited_for = None;
        loop {
            let next = match self.inner.records.next_delivery(&self.webhook).await {
                Ok(next) => {
                    failing = false;
                    next
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(
                            webhook = self.webhook,
                            "deliveries cannot be read, trying again: {error}"
                        );
                    }
                    tokio::time::sleep(DATABASE_PAUSE).await;
                    continue;
                }
            };
            let Some(delivery) = next else {
                self.wake.notified().await;
                continue;
            };
            let options = &self.inner.options;
            let early_ms = delivery.next_at.since((options.clock)()).min(2 * options.longest_wait_ms);
            if early_ms > 0 && waited_for.as_deref() != Some(delivery.id.as_str()) {
                let wait = tokio::time::sleep(Duration::from_millis(early_ms.unsigned_abs()));
                tokio::select! {
                    () = wait => waited_for = Some(delivery.id),
                    () = self.wake.notified() => {}
                }
                continue;
            }
            waited_for = None;
            // Removed or disabled: whoever did so stops this courier.
            let Some(kept) = self.inner.kept(&self.webhook) else { return };
            let outcome = self.attempt(&kept, &delivery).await;
            let gone = matches!(&outcome, Outcome::Failed { gone: true, .. });
            self.settle(delivery, outcome).await;
            if gone {
                // Not awaited: it waits for this courier's end.
                let (inner, webhook) = (Arc::clone(&self.inner), self.webhook.clone());
                tokio::spawn(async move { inner.disable(&webhook, "the receiver answered 410 Gone").await });
                return;
            }
        }
    }

    async fn attempt(&self, kept: &Kept, delivery: &Delivery) -> Outcome {
        let now = (self.inner.options.clock)();
        let body = envelope(delivery);
        let signatures: Vec<String> =
            kept.signing(now).map(|secret| signature(secret, &delivery.id, now, &body)).collect();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
        headers.insert(TIMESTAMP, HeaderValue::from(seconds(now)));
        for (name, value) in [(ID, &delivery.id), (SIGNATURE, &signatures.join(" "))] {
            match HeaderValue::from_str(value) {
                Ok(value) => headers.insert(name, value),
                Err(error) => {
                    tracing::error!(webhook = self.webhook, %name, %error, "a delivery's header cannot be sent");
                    continue;
                }
            };
        }
        self.inner.poster.post(&kept.webhook.url, headers, body).await
    }

    /// Writes how an attempt went, until it is written: what is not would be told once more.
    async fn settle(&self, delivery: Delivery, outcome: Outcome) {
        let settled = settled(delivery, outcome, &self.inner.options, (self.inner.options.clock)());
        if settled.status == DeliveryStatus::Dead {
            let (delivery, outcome) = (&settled.id, settled.outcome.as_deref().unwrap_or_default());
            tracing::warn!(webhook = self.webhook, delivery, outcome, "a delivery is given up");
        }
        while let Err(error) = self.inner.records.settle_delivery(&settled).await {
            tracing::error!(
                webhook = self.webhook,
                "how a delivery went cannot be written, trying again: {error}"
            );
            tokio::time::sleep(DATABASE_PAUSE).await;
        }
        if settled.event == TELEMETRY && settled.status != DeliveryStatus::Waiting {
            self.inner.reports.notify_one();
        }
    }
}

/// The body as it is sent, the same on every attempt.
pub(crate) fn envelope(delivery: &Delivery) -> String {
    let Delivery { id, sequence, event, at, body, .. } = delivery;
    format!(r#"{{"id":"{id}","sequence":{sequence},"type":"{event}","timestamp":{},"data":{body}}}"#, at.0)
}

/// The delivery after an attempt.
fn settled(delivery: Delivery, outcome: Outcome, options: &crate::PushOptions, now: Timestamp) -> Delivery {
    let attempts = delivery.attempts + 1;
    match outcome {
        Outcome::Delivered(status) => Delivery {
            status: DeliveryStatus::Delivered,
            attempts,
            ended_at: Some(now),
            outcome: Some(status),
            ..delivery
        },
        Outcome::Failed { reason, retry_after_ms, gone } => {
            let too_old = now.since(delivery.queued_at) > options.give_up_after_ms;
            if gone || attempts >= options.attempts_max || too_old {
                let outcome = Some(format!("given up after {attempts} attempts; the last: {reason}"));
                return Delivery {
                    status: DeliveryStatus::Dead,
                    attempts,
                    ended_at: Some(now),
                    outcome,
                    ..delivery
                };
            }
            let wait = wait_ms(options.first_wait_ms, options.longest_wait_ms, &delivery.id, attempts);
            let asked = retry_after_ms.unwrap_or(0).min(options.longest_wait_ms);
            let next_at = Timestamp(now.0.saturating_add(wait.max(asked)));
            Delivery { attempts, next_at, outcome: Some(reason), ..delivery }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PushOptions;

    const NOW: Timestamp = Timestamp(1_780_000_000_000);

    fn waiting(attempts: u64) -> Delivery {
        Delivery {
            id: "d-1".into(),
            sequence: 7,
            event: "alarm.raised".into(),
            at: Timestamp(5),
            status: DeliveryStatus::Waiting,
            queued_at: NOW,
            next_at: NOW,
            attempts,
            ended_at: None,
            outcome: None,
            body: r#"{"a":1}"#.into(),
        }
    }

    fn failed(retry_after_ms: Option<i64>, gone: bool) -> Outcome {
        Outcome::Failed { reason: "500 Internal Server Error".into(), retry_after_ms, gone }
    }

    #[test]
    fn a_body_says_what_it_is() {
        let body: serde_json::Value = serde_json::from_str(&envelope(&waiting(0))).unwrap();
        let expected = serde_json::json!({
            "id": "d-1", "sequence": 7, "type": "alarm.raised", "timestamp": 5, "data": { "a": 1 }
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_failed_attempt_is_made_again_until_it_is_given_up() {
        let options = PushOptions::default();
        let again = settled(waiting(0), failed(None, false), &options, NOW);
        assert_eq!((again.status, again.attempts), (DeliveryStatus::Waiting, 1));
        assert!(again.next_at > NOW && again.ended_at.is_none());
        let last = settled(waiting(options.attempts_max - 1), failed(None, false), &options, NOW);
        assert_eq!((last.status, last.ended_at), (DeliveryStatus::Dead, Some(NOW)));
        assert!(last.outcome.unwrap().contains("500 Internal Server Error"));
        let late = Timestamp(NOW.0 + options.give_up_after_ms + 1);
        assert_eq!(settled(waiting(0), failed(None, false), &options, late).status, DeliveryStatus::Dead);
        assert_eq!(settled(waiting(0), failed(None, true), &options, NOW).status, DeliveryStatus::Dead);
    }

    #[test]
    fn a_receiver_may_ask_for_a_pause_but_not_for_any() {
        let options = PushOptions::default();
        let asked = settled(waiting(0), failed(Some(600_000), false), &options, NOW);
        assert_eq!(asked.next_at.since(NOW), 600_000);
        let too_long = settled(waiting(0), failed(Some(i64::MAX), false), &options, NOW);
        assert_eq!(too_long.next_at.since(NOW), options.longest_wait_ms);
    }
}
