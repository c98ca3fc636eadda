//! The handle: what a twin is made of, and how it opens.

use crate::{
    alarm_news::AlarmNews,
    alarms::{AlarmBook, AlarmInput, AlarmOptions},
    commands::{Backoff, CommandQueue},
    control::CommandDesk,
    error::TwinError,
    live::LiveTable,
    meters::Meters,
    outbox::Outbox,
    presence_news::{Told, told},
    quality::QualityBook,
    registry::{DeviceEntry, Registry},
};
use history::{History, SeriesKey};
use parking_lot::Mutex;
use records::{DeviceRecord, Records, StoredDevice};
use shared::{
    alarm::Alarm,
    command::CommandRecord,
    id::{AlarmId, CommandId, DeviceId},
    scene::Scene,
    stream::{CommandUpdate, Presence},
    telemetry::Reading,
    time::{DAY_MS, MINUTE_MS, SECOND_MS, Timestamp},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::sync::broadcast;

/// How the twin behaves; the defaults are what a park wants.
#[derive(Debug, Clone)]
pub struct TwinOptions {
    /// Readings older than this are refused: the history would drop them.
    pub retention_ms: i64,
    /// How far ahead of the server's clock a device's may be.
    pub ahead_ms: i64,
    pub alarms: AlarmOptions,
    pub backoff: Backoff,
    /// Deliveries a connection may leave unread before the next one waits.
    pub deliveries_max: usize,
    /// Open commands a device may have before the next one is refused.
    pub open_commands_max: usize,
    /// How far back set-points that devices still follow are looked for at start.
    pub set_points_since_ms: i64,
    /// Changes a slow listener may fall behind before it misses some.
    pub changes_kept: usize,
    /// Read by [`Twin::run`], by views of age and by gateways ([`Twin::now`]), nowhere else.
    pub clock: fn() -> Timestamp,
}

impl Default for TwinOptions {
    fn default() -> Self {
        Self {
            retention_ms: 400 * DAY_MS,
            ahead_ms: 10 * MINUTE_MS,
            alarms: AlarmOptions::default(),
            backoff: Backoff::default(),
            deliveries_max: 64,
            open_commands_max: 100,
            set_points_since_ms: 7 * DAY_MS,
            changes_kept: 1_024,
            clock: system_clock,
        }
    }
}

fn system_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
}

/// Something changed that listeners show.
#[derive(Debug, Clone, PartialEq)]
pub enum TwinChange {
    Presence(Presence),
    Command(CommandUpdate),
    /// A device was registered.
    Registry,
}

/// The twin. Clones are the same twin.
#[derive(Clone)]
pub struct Twin {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) scene: Arc<Scene>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) live: LiveTable,
    pub(crate) history: History,
    pub(crate) records: Records,
    pub(crate) options: TwinOptions,
    pub(crate) alarms: Mutex<AlarmBook>,
    pub(crate) alarm_outbox: Outbox<AlarmId, Alarm>,
    pub(crate) alarm_news: AlarmNews,
    pub(crate) desk: Mutex<CommandDesk>,
    pub(crate) command_outbox: Outbox<CommandId, CommandRecord>,
    pub(crate) changes: broadcast::Sender<TwinChange>,
    pub(crate) meters: Meters,
    pub(crate) quality: QualityBook,
    pub(crate) presence_told: tokio::sync::Mutex<Told>,
    /// Nobody can be blamed for silence before this.
    pub(crate) opened_at: Timestamp,
}

impl Twin {
    /// Loads the registry, the shadows, the open commands and the open alarms. Starts no task: see [`Twin::run`].
    pub async fn open(
        scene: Arc<Scene>,
        history: History,
        records: Records,
        options: TwinOptions,
        now: Timestamp,
    ) -> Result<Twin, TwinError> {
        let stored = records.devices().await?;
        let newest = history.latest().await?;
        let open_commands = records.open_commands().await?;
        let set_points_since = Timestamp(now.0.saturating_sub(options.set_points_since_ms));
        let acknowledged = records.acknowledged_commands(set_points_since).await?;
        let open_alarms = records.open_alarms().await?;
        let presence = records.presence().await?;

        let registry = Arc::new(Registry::new(&scene));
        let queue = CommandQueue::new(options.backoff, open_commands.clone());
        let mut following: Vec<CommandRecord> = acknowledged.into_iter().chain(open_commands).collect();
        following
            .sort_by(|a, b| (a.queued_at, &a.request.command_id).cmp(&(b.queued_at, &b.request.command_id)));
        let inner = Inner {
            live: LiveTable::new(registry.clone()),
            alarms: Mutex::new(AlarmBook::new(scene.alarms.clone(), options.alarms, open_alarms)),
            alarm_outbox: Outbox::new(),
            alarm_news: AlarmNews::default(),
            desk: Mutex::new(CommandDesk::new(queue, &following)),
            command_outbox: Outbox::new(),
            changes: broadcast::channel(options.changes_kept).0,
            meters: Meters::new(),
            quality: QualityBook::new(&scene),
            presence_told: tokio::sync::Mutex::new(told(presence)),
            opened_at: now,
            scene,
            registry,
            history,
            records,
            options,
        };
        inner.restore_devices(stored);
        inner.restore_shadows(newest, now);
        Ok(Twin { inner: Arc::new(inner) })
    }

    /// The time by the twin's clock, which whoever hands something in goes by as well.
    pub fn now(&self) -> Timestamp {
        (self.inner.options.clock)()
    }

    pub fn scene(&self) -> &Arc<Scene> {
        &self.inner.scene
    }

    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// The series whose model keeps them for so many days only.
    pub(crate) fn kept_for_days(&self) -> BTreeMap<u32, Vec<SeriesKey>> {
        let mut kept: BTreeMap<u32, Vec<SeriesKey>> = BTreeMap::new();
        for entry in self.registry().all() {
            for (rules, series) in entry.rules.measurements.iter().zip(&entry.series) {
                if let Some(days) = rules.measurement.keep_days {
                    kept.entry(days).or_default().push(series.clone());
                }
            }
        }
        kept
    }

    pub fn live(&self) -> &LiveTable {
        &self.inner.live
    }

    /// Presence, commands and registrations as they change; alarms are fetched ([`Twin::fetch_alarms`]). A listener that falls behind is told so and should
    /// read the views again.
    pub fn changes(&self) -> broadcast::Receiver<TwinChange> {
        self.inner.changes.subscribe()
    }

    /// The newest value of a measurement, whatever its age.
    pub fn reading(&self, device: &DeviceId, measurement: &str) -> Option<Reading> {
        let entry = self.inner.registry.get(device.as_str())?;
        let index = entry.rules.index_of(measurement, 0)?;
        self.inner.live.reading(entry.first_point + u32::from(index))
    }
}

impl Inner {
    fn restore_devices(&self, stored: Vec<StoredDevice>) {
        for StoredDevice { record, secret_sha256 } in stored {
            let record = self.as_in_scene(record);
            let (id, model) = (record.id.clone(), record.model.clone());
            if self.add_device(record, secret_sha256).is_none() {
                tracing::warn!(device = %id, %model, "left out: the scene has no such thing model");
            }
        }
    }

    /// A scene device is what the scene says it is now; only its origin, secret and dates are the registry's.
    fn as_in_scene(&self, record: DeviceRecord) -> DeviceRecord {
        match self.scene.device(record.id.as_str()) {
            Some(device) => DeviceRecord {
                installed_on: record.installed_on,
                ..crate::registration::scene_record(device, record.origin, record.registered_at)
            },
            None => record,
        }
    }

    pub(crate) fn add_device(
        &self,
        record: DeviceRecord,
        secret_sha256: [u8; 32],
    ) -> Option<Arc<DeviceEntry>> {
        let entry = self.registry.insert(record, secret_sha256, |points| self.live.grow(points))?;
        self.meters.devices.increment(1.0);
        Some(entry)
    }

    fn restore_shadows(&self, newest: Vec<(history::SeriesKey, Reading)>, now: Timestamp) {
        for (series, reading) in newest {
            let Some(entry) = self.registry.get(series.device.as_str()) else { continue };
            let Some(index) = entry.rules.index_of(series.measurement.as_str(), 0) else { continue };
            self.live.apply(entry.first_point, [(index, reading)], |_, _| ());
            entry.presence.reported(reading.timestamp);
            entry.presence.heard_long_ago(reading.timestamp.min(now));
        }
        let mut book = self.alarms.lock();
        for entry in self.registry.all() {
            let Some(last_seen) = entry.presence.last_seen() else { continue };
            if now.since(last_seen) <= entry.rules.offline_after_ms && entry.presence.heard(last_seen) {
                self.meters.online.increment(1.0);
                self.publish_alarms(book.handle(AlarmInput::Heard { device: entry.id() }, now));
            }
        }
        self.meters.open_alarms.set(book.open().count() as f64);
    }

    pub(crate) fn announce(&self, change: TwinChange) {
        // Nobody listening is no fault.
        let _ = self.changes.send(change);
    }

    pub(crate) fn announce_presence(&self, entry: &DeviceEntry) {
        self.announce(TwinChange::Presence(Presence {
            device: entry.id().clone(),
            online: entry.presence.is_online(),
            last_seen: entry.presence.last_seen(),
        }));
    }

    /// How late data may come before they count as delayed.
    pub(crate) fn delayed_after_ms(&self) -> i64 {
        i64::from(self.scene.alarms.delayed_after_s) * SECOND_MS
    }
}

/// Runs to the end even when whoever waits for it goes away: a connection that drops must not leave a durable change
/// unapplied.
pub(crate) async fn to_the_end<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    begun(work).await
}

/// The same, begun before it is waited for.
pub(crate) fn begun<T: Send + 'static, W: Future<Output = T> + Send + 'static>(
    work: W,
) -> impl Future<Output = T> + Send + use<T, W> {
    let task = tokio::spawn(work);
    async move {
        match task.await {
            Ok(done) => done,
            Err(e) => match e.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down, and with it whoever waits.
                Err(_) => std::future::pending().await,
            },
        }
    }
}
