//! All webhooks: made, changed and removed here; the news is queued for them here, and their couriers are kept going.

use crate::{
    Webhook, WebhookChange,
    address::Reach,
    client::Poster,
    courier::Courier,
    reporter,
    telemetry::MeasuredSeries,
    webhook::{Kept, NewWebhook},
};
use access::{Invalid, Network};
use history::History;
use parking_lot::{Mutex, RwLock};
use records::{
    Delivery, DeliveryCounts, DeliveryStatus, NewDelivery, News, Page, Records, RecordsError, StoredWebhook,
};
use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    id::DeviceId,
    selector::Selector,
    time::{DAY_MS, HOUR_MS, SECOND_MS, Timestamp},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{sync::Notify, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// News taken at a time.
const NEWS_AT_ONCE: usize = 200;
/// Between attempts while the database does not answer.
const DATABASE_PAUSE: Duration = Duration::from_secs(1);
/// What a delivery is called that a person asked for to try a webhook.
const TEST: &str = "test";
/// What a delivery is called that tells what was measured.
pub(crate) const TELEMETRY: &str = "telemetry";

/// How webhooks are told; the defaults are what a park wants.
#[derive(Debug, Clone)]
pub struct PushOptions {
    /// An attempt fails when the receiver has not answered by then.
    pub answer_within: Duration,
    pub first_wait_ms: i64,
    pub longest_wait_ms: i64,
    /// A delivery is given up after so many attempts, about 12 hours with the waits as they are …
    pub attempts_max: u64,
    /// … or when it fails and was queued longer ago than this: behind others that failed.
    pub give_up_after_ms: i64,
    /// Deliveries of a webhook that may wait; beyond, the oldest are given up.
    pub waiting_max: usize,
    /// Deliveries of a webhook that are kept after they ended.
    pub ended_max: usize,
    /// Of those, deliveries of telemetry: they are long, and what they told can be asked for.
    pub reports_max: usize,
    pub webhooks_max: usize,
    /// Networks that may be pushed to besides public addresses.
    pub networks: Vec<Network>,
    pub clock: fn() -> Timestamp,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            answer_within: Duration::from_secs(10),
            first_wait_ms: 5 * SECOND_MS,
            longest_wait_ms: HOUR_MS,
            attempts_max: 22,
            give_up_after_ms: 3 * DAY_MS,
            waiting_max: 10_000,
            ended_max: 10_000,
            reports_max: 100,
            webhooks_max: 100,
            networks: Vec::new(),
            clock: system_clock,
        }
    }
}

fn system_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// Who knows the park's devices.
pub trait Devices: Send + Sync + 'static {
    /// Whether a device is in a scope; one that is not known is in none.
    fn is_in(&self, device: &DeviceId, scope: &Selector) -> bool;
    /// What is measured within a scope.
    fn series(&self, scope: &Selector) -> Vec<MeasuredSeries>;
}

/// What can go wrong with webhooks.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error(transparent)]
    Invalid(#[from] Invalid),
    #[error("there is no webhook {id:?}")]
    UnknownWebhook { id: String },
    #[error("the webhook {id:?} is disabled; enable it first")]
    Disabled { id: String },
    #[error("there are {most} webhooks; remove one first")]
    TooManyWebhooks { most: usize },
    #[error(transparent)]
    Records(#[from] RecordsError),
    #[error("making a TLS client: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the work was cut off")]
    CutOff,
}

/// A webhook and how it goes with its deliveries.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookView {
    #[serde(flatten)]
    pub webhook: Webhook,
    pub deliveries: DeliveryCounts,
}

/// All webhooks. Clones are the same.
#[derive(Clone)]
pub struct Push {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) records: Records,
    pub(crate) options: PushOptions,
    pub(crate) poster: Poster,
    pub(crate) history: History,
    pub(crate) devices: Arc<dyn Devices>,
    /// By id, which sort by when they were made.
    webhooks: RwLock<BTreeMap<String, Arc<Kept>>>,
    couriers: Mutex<HashMap<String, Running>>,
    /// Making, changing and removing go one after the other, and so does queueing of telemetry.
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// A delivery of telemetry has ended, or a webhook was changed: there may be something to tell.
    pub(crate) reports: Notify,
    pub(crate) stop: CancellationToken,
}

struct Running {
    wake: Arc<Notify>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Push {
    /// Loads all webhooks and sets their couriers to work until `stop`. News is queued for them by [`Push::run`].
    pub async fn open(
        records: Records,
        history: History,
        devices: Arc<dyn Devices>,
        options: PushOptions,
        stop: CancellationToken,
    ) -> Result<Push, PushError> {
        let mut webhooks = BTreeMap::new();
        for StoredWebhook { id, body, .. } in records.webhooks().await? {
            let kept: Kept = serde_json::from_str(&body).map_err(|e| RecordsError::Corrupt {
                what: "webhook",
                id: id.clone(),
                message: e.to_string(),
            })?;
            webhooks.insert(id, Arc::new(kept));
        }
        let poster = Poster::new(Reach { networks: options.networks.clone() }, options.answer_within)?;
        let inner = Arc::new(Inner {
            records,
            options,
            poster,
            history,
            devices,
            webhooks: RwLock::new(webhooks),
            couriers: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            reports: Notify::new(),
            stop,
        });
        let enabled: Vec<String> = inner.enabled().iter().map(|kept| kept.webhook.id.clone()).collect();
        for id in enabled {
            inner.start(&id);
        }
        Ok(Push { inner })
    }

    /// Makes a webhook; the text beside it is the secret that signs, shown this once.
    pub async fn create(
        &self,
        new: NewWebhook,
        by: &str,
        now: Timestamp,
    ) -> Result<(Webhook, String), PushError> {
        let kept = Kept::new(new, uuid::Uuid::now_v7().to_string(), by, now)?;
        self.to_the_end(move |inner| async move {
            let _one_at_a_time = inner.changing.lock().await;
            let most = inner.options.webhooks_max;
            if inner.webhooks.read().len() >= most {
                return Err(PushError::TooManyWebhooks { most });
            }
            let id = kept.webhook.id.clone();
            let stored = StoredWebhook { id: id.clone(), created_at: now, body: encoded(&kept)? };
            inner.records.insert_webhook(&stored).await?;
            let made = revealed(&kept);
            inner.webhooks.write().insert(id.clone(), Arc::new(kept));
            inner.start(&id);
            inner.reports.notify_one();
            Ok(made)
        })
        .await
    }

    /// All webhooks, oldest first.
    pub async fn all(&self) -> Result<Vec<WebhookView>, PushError> {
        let all: Vec<Arc<Kept>> = self.inner.webhooks.read().values().cloned().collect();
        let mut views = Vec::with_capacity(all.len());
        for kept in all {
            let deliveries = self.inner.records.delivery_counts(&kept.webhook.id).await?;
            views.push(WebhookView { webhook: kept.webhook.clone(), deliveries });
        }
        Ok(views)
    }

    pub async fn one(&self, id: &str) -> Result<WebhookView, PushError> {
        let kept = self.inner.known(id)?;
        let deliveries = self.inner.records.delivery_counts(id).await?;
        Ok(WebhookView { webhook: kept.webhook.clone(), deliveries })
    }

    pub async fn change(&self, id: &str, change: WebhookChange) -> Result<Webhook, PushError> {
        let kept = self.replace(id, move |kept| Ok(kept.changed(change)?)).await?;
        Ok(kept.webhook.clone())
    }

    /// Gives a webhook another secret, which is answered; the old one signs along for `overlap_ms`.
    pub async fn rotate(&self, id: &str, overlap_ms: i64, now: Timestamp) -> Result<String, PushError> {
        let kept = self.replace(id, move |kept| Ok(kept.rotated(overlap_ms, now))).await?;
        Ok(revealed(&kept).1)
    }

    async fn replace(
        &self,
        id: &str,
        made: impl FnOnce(&Kept) -> Result<Kept, PushError> + Send + 'static,
    ) -> Result<Arc<Kept>, PushError> {
        let id = id.to_owned();
        self.to_the_end(move |inner| async move { inner.replace(&id, made).await }).await
    }

    /// Removes a webhook with all its deliveries.
    pub async fn remove(&self, id: &str) -> Result<(), PushError> {
        let id = id.to_owned();
        self.to_the_end(move |inner| async move {
            let _one_at_a_time = inner.changing.lock().await;
            inner.known(&id)?;
            inner.halt(&id).await;
            let removed = inner.records.delete_webhook(&id).await;
            if let Err(error) = removed {
                inner.start(&id);
                return Err(error.into());
            }
            inner.webhooks.write().remove(&id);
            Ok(())
        })
        .await
    }

    /// Queues a delivery of the type `test`; answers its id.
    pub async fn test(&self, id: &str, now: Timestamp) -> Result<String, PushError> {
        let kept = self.inner.known(id)?;
        if !kept.webhook.enabled {
            return Err(PushError::Disabled { id: id.to_owned() });
        }
        let delivery = NewDelivery::new(id, TEST, now, "{}".into());
        self.inner.records.hand_on(&[], std::slice::from_ref(&delivery), now).await?;
        self.inner.wake(id);
        Ok(delivery.id)
    }

    /// A page of a webhook's deliveries, newest first.
    pub async fn deliveries(
        &self,
        id: &str,
        status: Option<DeliveryStatus>,
        limit: usize,
        offset: usize,
    ) -> Result<Page<Delivery>, PushError> {
        self.inner.known(id)?;
        Ok(self.inner.records.deliveries(id, status, limit, offset).await?)
    }

    /// Tells a delivery once more, under its id; one that waits is due at once.
    pub async fn replay(&self, id: &str, delivery: &str, now: Timestamp) -> Result<(), PushError> {
        self.inner.known(id)?;
        // A text that cannot be an id is not for the database, which may not even take it.
        if uuid::Uuid::parse_str(delivery).is_err() {
            let shown = delivery.chars().take(64).collect();
            return Err(RecordsError::NotFound { what: "delivery", id: shown }.into());
        }
        self.inner.records.replay_delivery(id, delivery, now).await?;
        self.inner.wake(id);
        Ok(())
    }

    /// Tells all that was given up once more and makes all that waits due; says how many wait now.
    pub async fn replay_dead(&self, id: &str, now: Timestamp) -> Result<u64, PushError> {
        self.inner.known(id)?;
        let waiting = self.inner.records.replay_dead_deliveries(id, now).await?;
        self.inner.wake(id);
        Ok(waiting)
    }

    /// Queues what happens and what is measured for the webhooks that want it, until stopped; then waits for the couriers to end.
    pub async fn run(&self) {
        let inner = &self.inner;
        tokio::join!(self.tell_news(), reporter::run(Arc::clone(inner)));
        let running: Vec<Running> = inner.couriers.lock().drain().map(|(_, running)| running).collect();
        for courier in running {
            // One that panicked has said so.
            let _ = courier.task.await;
        }
    }

    async fn tell_news(&self) {
        let inner = &self.inner;
        let mut failing = false;
        while !inner.stop.is_cancelled() {
            match inner.distribute().await {
                Ok(true) => {}
                Ok(false) => {
                    failing = false;
                    inner.stop.run_until_cancelled(inner.records.news_came()).await;
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!("the news cannot be queued for webhooks, trying again: {error}");
                    }
                    inner.stop.run_until_cancelled(tokio::time::sleep(DATABASE_PAUSE)).await;
                }
            }
        }
    }

    /// Does it also when whoever asked goes away: what the records say and what holds must not part.
    async fn to_the_end<T, F>(&self, work: impl FnOnce(Arc<Inner>) -> F) -> Result<T, PushError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, PushError>> + Send + 'static,
    {
        tokio::spawn(work(Arc::clone(&self.inner))).await.unwrap_or(Err(PushError::CutOff))
    }
}

impl Inner {
    pub(crate) fn kept(&self, id: &str) -> Option<Arc<Kept>> {
        self.webhooks.read().get(id).cloned()
    }

    fn known(&self, id: &str) -> Result<Arc<Kept>, PushError> {
        self.kept(id).ok_or_else(|| PushError::UnknownWebhook { id: id.to_owned() })
    }

    pub(crate) fn enabled(&self) -> Vec<Arc<Kept>> {
        self.webhooks.read().values().filter(|kept| kept.webhook.enabled).cloned().collect()
    }

    async fn replace(
        self: &Arc<Self>,
        id: &str,
        made: impl FnOnce(&Kept) -> Result<Kept, PushError>,
    ) -> Result<Arc<Kept>, PushError> {
        let _one_at_a_time = self.changing.lock().await;
        let before = self.known(id)?;
        let kept = Arc::new(made(&before)?);
        let ends = before.webhook.telemetry.is_some() && kept.webhook.telemetry.is_none();
        self.records.update_webhook(id, &encoded(&kept)?, ends).await?;
        self.webhooks.write().insert(id.to_owned(), Arc::clone(&kept));
        // Anew, so that not even the attempt in progress goes where it went before.
        self.halt(id).await;
        if kept.webhook.enabled {
            self.start(id);
            self.reports.notify_one();
        }
        Ok(kept)
    }

    /// Ends a webhook's deliveries because of what its receiver said.
    pub(crate) async fn disable(self: &Arc<Self>, id: &str, why: &str) {
        let disabled = self.replace(id, |kept| {
            let webhook =
                Webhook { enabled: false, disabled_because: Some(why.to_owned()), ..kept.webhook.clone() };
            Ok(Kept { webhook, ..kept.clone() })
        });
        match disabled.await {
            Ok(_) => tracing::warn!(webhook = id, why, "a webhook is disabled"),
            Err(error) => tracing::error!(webhook = id, %error, "a webhook could not be disabled"),
        }
    }

    fn start(self: &Arc<Self>, id: &str) {
        let (wake, stop) = (Arc::new(Notify::new()), self.stop.child_token());
        let courier = Courier {
            inner: Arc::clone(self),
            webhook: id.to_owned(),
            wake: Arc::clone(&wake),
            stop: stop.clone(),
        };
        let task = tokio::spawn(courier.run());
        self.couriers.lock().insert(id.to_owned(), Running { wake, stop, task });
    }

    /// Stops a webhook's courier and waits until it has: there is never a second one.
    async fn halt(&self, id: &str) {
        let running = self.couriers.lock().remove(id);
        if let Some(Running { stop, task, .. }) = running {
            stop.cancel();
            let _ = task.await;
        }
    }

    fn wake(&self, id: &str) {
        if let Some(running) = self.couriers.lock().get(id) {
            running.wake.notify_one();
        }
    }

    /// Queues some of the news; whether there may be more.
    async fn distribute(&self) -> Result<bool, RecordsError> {
        let news = self.records.news(NEWS_AT_ONCE).await?;
        if news.is_empty() {
            return Ok(false);
        }
        let now = (self.options.clock)();
        let webhooks = self.enabled();
        let mut deliveries = Vec::new();
        for line in &news {
            for kept in webhooks.iter().filter(|kept| self.wants(&kept.webhook, line)) {
                let event = line.event.as_str();
                deliveries.push(NewDelivery::new(&kept.webhook.id, event, line.at, line.body.clone()));
            }
        }
        self.records.hand_on(&news, &deliveries, now).await?;
        let told: BTreeSet<&str> = deliveries.iter().map(|delivery| delivery.webhook.as_str()).collect();
        for id in told {
            self.queued(id).await?;
        }
        Ok(true)
    }

    /// After something was queued for a webhook: keeps its queue within bounds and its courier going.
    pub(crate) async fn queued(&self, id: &str) -> Result<(), RecordsError> {
        let most = (self.options.waiting_max, self.options.ended_max);
        let why = format!("given up: more than {} deliveries waited", most.0);
        let given_up = self.records.bound_deliveries(id, most, &why, (self.options.clock)()).await?;
        if given_up > 0 {
            tracing::warn!(webhook = id, given_up, "a webhook's queue is full");
        }
        self.wake(id);
        Ok(())
    }

    fn wants(&self, webhook: &Webhook, line: &News) -> bool {
        webhook.is_told(line.event)
            && (webhook.scope.takes_every_device()
                || line.device.as_ref().is_some_and(|device| self.devices.is_in(device, &webhook.scope)))
    }
}

fn revealed(kept: &Kept) -> (Webhook, String) {
    let secret = kept.secrets.first().map_or("", |newest| newest.secret.reveal());
    (kept.webhook.clone(), secret.to_owned())
}

fn encoded(kept: &Kept) -> Result<String, RecordsError> {
    serde_json::to_string(kept).map_err(|source| RecordsError::Encoding { what: "a webhook", source })
}
