//! The live flow: a payload comes in, is judged, becomes durable, and only then changes what the twin shows.
//!
//! Many payloads are under way at once; each waits for the disk alone. Nothing is applied before it is durable.

use crate::{
    alarms::{AlarmInput, Subject},
    check::{ItemResult, Sender, TimeWindow, check},
    quality::{StepStates, Verdict},
    registry::DeviceEntry,
    twin::{Inner, Twin, begun, to_the_end},
};
use history::{AppendError, PointBatch};
use shared::{
    telemetry::{
        DataItem, DeviceEvent, Quality, Reading, Refusal, RefusalCode, parse_data_items, parse_events,
    },
    time::Timestamp,
};
use std::{collections::HashMap, ops::Range, sync::Arc};

/// A reading that comes by itself, and not later than this many times what counts as delayed, is meant to be live: older
/// ones are what a device had stored.
pub(crate) const LIVE_WITHIN_DELAYS: i64 = 10;

/// What is on its way to the disk, and then to the live table.
struct Batch {
    kept: Vec<Kept>,
    readings: Vec<(u16, Reading)>,
    refused: Vec<Refused>,
    /// Handed in by the device itself, just now.
    first_hand: bool,
    /// One item that came by itself rather than in an array.
    alone: bool,
}

/// An item on its way: its device, and where its readings lie in the batch.
struct Kept {
    entry: Arc<DeviceEntry>,
    timestamp: Timestamp,
    readings: Range<usize>,
    verdict: Verdict,
    /// What the steps knew before it; none where the item before it is of the same device.
    before: Option<StepStates>,
}

/// An item that is not kept. It counts once the rest of its payload is stored: what is not stored comes again as a whole.
struct Refused {
    code: RefusalCode,
    entry: Option<Arc<DeviceEntry>>,
}

impl Batch {
    /// It was not stored.
    fn forget(&self) {
        for Kept { entry, timestamp, readings, verdict, before } in self.kept.iter().rev() {
            let readings = &self.readings[readings.clone()];
            entry.quality.lock().forget(verdict, *timestamp, readings, before.as_ref());
        }
    }
}

impl Twin {
    /// Takes a data payload. `Ok` has a result per item, in order, and every accepted point is durable.
    ///
    /// `Err` is a payload that is no JSON object or array, or a store that cannot take it
    /// ([`RefusalCode::Busy`], [`RefusalCode::StorageFailed`]): then nothing of it was kept, and it may be sent again.
    pub async fn ingest(
        &self,
        sender: &Sender,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<Vec<ItemResult>, Refusal> {
        self.begin_ingest(sender, payload, now)?.await
    }

    /// The same in two steps, for whoever hands in several payloads at once: when this returns `Ok` the payload's place in the order of
    /// writing is taken, and what it gives resolves when it is durable.
    pub fn begin_ingest(
        &self,
        sender: &Sender,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<impl Future<Output = Result<Vec<ItemResult>, Refusal>> + Send + use<>, Refusal> {
        let items = parse_data_items(payload).map_err(|refusal| self.inner.count(refusal))?;
        self.begin_items(sender, items, is_alone(payload), now)
    }

    /// Takes items that came in another form. `alone` says that one came by itself as it was measured, rather than
    /// among others that may have been stored meanwhile.
    pub async fn ingest_items(
        &self,
        sender: &Sender,
        items: Vec<Result<DataItem<'_>, Refusal>>,
        alone: bool,
        now: Timestamp,
    ) -> Result<Vec<ItemResult>, Refusal> {
        self.begin_items(sender, items, alone, now)?.await
    }

    fn begin_items(
        &self,
        sender: &Sender,
        items: Vec<Result<DataItem<'_>, Refusal>>,
        alone: bool,
        now: Timestamp,
    ) -> Result<impl Future<Output = Result<Vec<ItemResult>, Refusal>> + Send + use<>, Refusal> {
        let inner = &self.inner;
        let window = inner.window(now);
        let mut batch = Batch {
            kept: Vec::with_capacity(items.len()),
            readings: Vec::new(),
            refused: Vec::new(),
            first_hand: matches!(sender, Sender::Device(_)),
            alone,
        };
        let results: Vec<ItemResult> =
            items.into_iter().map(|item| inner.judge(item, sender, &window, &mut batch, now)).collect();
        let stored = match batch.kept.is_empty() {
            true => {
                inner.count_refused(&batch.refused, now);
                None
            }
            false => Some(inner.begin_store(batch, now)?),
        };
        Ok(async move {
            if let Some(stored) = stored {
                stored.await?;
            }
            Ok(results)
        })
    }

    /// Takes a payload of device events, each kept once by its id. One that is not mere information raises an alarm.
    pub async fn ingest_event(
        &self,
        sender: &Sender,
        payload: &[u8],
        now: Timestamp,
    ) -> Result<Vec<Result<(), Refusal>>, Refusal> {
        let items = parse_events(payload).map_err(|refusal| self.inner.count(refusal))?;
        let alone = is_alone(payload);
        let mut results = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let field = |name: &str| if alone { name.to_owned() } else { format!("[{index}].{name}") };
            let result = match item.and_then(|event| self.inner.judge_event(event, sender, now, field)) {
                Ok((entry, event)) => {
                    let inner = self.inner.clone();
                    to_the_end(async move { inner.keep_event(&entry, &event, now).await }).await
                }
                Err(refusal) => Err(refusal),
            };
            results.push(result.map_err(|refusal| self.inner.count(refusal)));
        }
        Ok(results)
    }
}

/// Whether a payload is one object rather than an array of them.
fn is_alone(payload: &[u8]) -> bool {
    !payload.trim_ascii_start().starts_with(b"[")
}

impl Inner {
    fn count(&self, refusal: Refusal) -> Refusal {
        self.meters.refused(refusal.code);
        refusal
    }

    pub(crate) fn window(&self, now: Timestamp) -> TimeWindow {
        TimeWindow {
            oldest: Timestamp(now.0.saturating_sub(self.options.retention_ms).max(0)),
            newest: Timestamp(now.0.saturating_add(self.options.ahead_ms)),
        }
    }

    fn judge(
        &self,
        item: Result<DataItem<'_>, Refusal>,
        sender: &Sender,
        window: &TimeWindow,
        batch: &mut Batch,
        now: Timestamp,
    ) -> ItemResult {
        let item = match item {
            Ok(item) => item,
            Err(refusal) => {
                batch.refused.push(Refused { code: refusal.code, entry: None });
                return ItemResult { device: None, result: Err(refusal) };
            }
        };
        let start = batch.readings.len();
        match check(&item, sender, &self.registry, window, &mut batch.readings) {
            Ok((entry, accepted)) => {
                let device = Some(entry.id().clone());
                let readings = start..batch.readings.len();
                let of_item = &mut batch.readings[readings.clone()];
                let (rules, limits) = (&entry.rules, &self.quality.limits);
                let is_next = batch.kept.last().is_some_and(|kept| Arc::ptr_eq(&kept.entry, &entry));
                let newest = |measurement| self.live.reading(entry.first_point + u32::from(measurement));
                let (before, mut verdict) = {
                    let mut quality = entry.quality.lock();
                    let before = (!is_next).then(|| quality.states(rules));
                    (before, quality.judge(rules, limits, item.timestamp, of_item, now, newest))
                };
                verdict.converted = accepted.converted as u32;
                batch.kept.push(Kept { entry, timestamp: item.timestamp, readings, verdict, before });
                ItemResult { device, result: Ok(accepted) }
            }
            Err(refusal) => {
                let entry = self.registry.get(&item.device_id);
                let device = entry.as_ref().map(|entry| entry.id().clone());
                let entry = entry.filter(|_| refusal.code != RefusalCode::NotYourDevice);
                batch.refused.push(Refused { code: refusal.code, entry });
                ItemResult { device, result: Err(refusal) }
            }
        }
    }

    fn count_refused(&self, refused: &[Refused], now: Timestamp) {
        for Refused { code, entry } in refused {
            self.meters.refused(*code);
            if let Some(entry) = entry {
                entry.quality.lock().count_refused(now, &self.quality.zone);
            }
        }
    }

    /// Enqueues the batch at once; what it gives is to be waited for, and goes on when it is not.
    fn begin_store(
        self: &Arc<Self>,
        batch: Batch,
        now: Timestamp,
    ) -> Result<impl Future<Output = Result<(), Refusal>> + Send + use<>, Refusal> {
        let synced = self.enqueue(&batch).inspect_err(|_| batch.forget())?;
        let inner = self.clone();
        Ok(begun(async move {
            match synced.await {
                Ok(()) => {
                    inner.apply(&batch, now);
                    Ok(())
                }
                Err(e) => {
                    batch.forget();
                    Err(inner.count(not_stored(&e)))
                }
            }
        }))
    }

    fn enqueue(
        &self,
        batch: &Batch,
    ) -> Result<impl Future<Output = Result<(), AppendError>> + Send + use<>, Refusal> {
        let mut points = PointBatch::with_capacity(batch.readings.len());
        for kept in &batch.kept {
            let ids = kept.entry.series_ids(&self.history);
            for (measurement, reading) in &batch.readings[kept.readings.clone()] {
                // Checked values and instants; a store that thinks otherwise has the last word.
                let pushed = points.push(ids[usize::from(*measurement)], *reading);
                pushed.map_err(|e| self.count(not_stored(&e.into())))?;
            }
        }
        self.history.enqueue(points).map_err(|e| self.count(not_stored(&e)))
    }

    /// The batch is durable: now it may be seen.
    fn apply(&self, batch: &Batch, now: Timestamp) {
        let out_of_range = batch.readings.iter().filter(|(_, r)| r.quality == Quality::OutOfRange).count();
        self.meters.points.increment(batch.readings.len() as u64);
        if out_of_range > 0 {
            self.meters.out_of_range.increment(out_of_range as u64);
        }
        self.count_quality(batch, now);
        self.count_refused(&batch.refused, now);
        let mut at_fault: Vec<(&DeviceEntry, u16, Reading)> = Vec::new();
        // Alone in its payload is the common case and needs no map.
        let mut newest: HashMap<u32, (&DeviceEntry, Timestamp)> = HashMap::new();
        for kept in &batch.kept {
            let entry = kept.entry.as_ref();
            let fresh = self.is_fresh(entry, kept.timestamp, now);
            self.live.apply(
                entry.first_point,
                batch.readings[kept.readings.clone()].iter().copied(),
                |measurement, reading| {
                    let rules = &entry.rules.measurements[usize::from(measurement)];
                    let is_fault =
                        reading.quality == Quality::OutOfRange || rules.violated(reading.value).is_some();
                    if fresh && is_fault {
                        at_fault.push((entry, measurement, reading));
                    }
                },
            );
            if batch.kept.len() == 1 {
                self.seen(entry, kept.timestamp, batch, now);
            } else {
                let (_, known) = newest.entry(entry.first_point).or_insert((entry, kept.timestamp));
                *known = kept.timestamp.max(*known);
            }
        }
        for (entry, newest) in newest.into_values() {
            self.seen(entry, newest, batch, now);
        }
        if !at_fault.is_empty() {
            let mut book = self.alarms.lock();
            for (entry, measurement, reading) in at_fault {
                let rules = &entry.rules.measurements[usize::from(measurement)];
                let input = AlarmInput::Value { subject: entry.subject(), rules, reading };
                self.publish_alarms(book.handle(input, now));
            }
        }
    }

    /// Before the devices are seen: what was on time before this batch is judged by what came before it.
    fn count_quality(&self, batch: &Batch, now: Timestamp) {
        let (mut sum, mut duplicates, mut skewed) = (Verdict::default(), 0, 0);
        for Kept { entry, timestamp, verdict, .. } in &batch.kept {
            let was_on_time = entry.presence.was_ever_on_time();
            let (limits, zone) = (&self.quality.limits, &self.quality.zone);
            entry.quality.lock().count(verdict, limits, *timestamp, now, was_on_time, zone);
            duplicates += if verdict.is_duplicate { verdict.readings } else { 0 };
            skewed += if verdict.is_skewed { verdict.readings } else { 0 };
            sum.out_of_range += verdict.out_of_range;
            sum.jumps += verdict.jumps;
            sum.stuck += verdict.stuck;
            sum.converted += verdict.converted;
        }
        let meters = &self.meters.quality;
        for (counter, count) in [
            (&meters.range, sum.out_of_range),
            (&meters.rate, sum.jumps),
            (&meters.stuck, sum.stuck),
            (&meters.unit, sum.converted),
            (&meters.duplicate, duplicates),
            (&meters.skew, skewed),
        ] {
            if count > 0 {
                counter.increment(u64::from(count));
            }
        }
    }

    /// A value too old to say anything about now is history: it raises no alarm.
    pub(crate) fn is_fresh(&self, entry: &DeviceEntry, timestamp: Timestamp, now: Timestamp) -> bool {
        now.since(timestamp) <= entry.rules.offline_after_ms.max(self.delayed_after_ms())
    }

    /// What a device's data say about the device: it is there, and on time or not. `newest` is the instant of the
    /// newest of them.
    fn seen(&self, entry: &DeviceEntry, newest: Timestamp, batch: &Batch, now: Timestamp) {
        let is_news = entry.presence.reported(newest);
        // What a third party hands in says the device was there when it measured.
        let alive_at = if batch.first_hand { now } else { newest.min(now) };
        if now.since(alive_at) <= entry.rules.offline_after_ms {
            self.heard(entry, alive_at, now);
        } else {
            entry.presence.heard_long_ago(alive_at);
        }
        let late_ms = now.since(newest);
        let meant_live = batch.alone && late_ms <= self.delayed_after_ms() * LIVE_WITHIN_DELAYS;
        if late_ms <= self.delayed_after_ms() {
            entry.presence.was_on_time(now);
        } else if (batch.first_hand || is_news) && entry.presence.was_late(meant_live, now) {
            let input = AlarmInput::Late { subject: entry.subject(), late_ms };
            self.publish_alarms(self.alarms.lock().handle(input, now));
        }
    }

    /// The device was alive at `at`: it is online, and an alarm about its silence is over.
    pub(crate) fn heard(&self, entry: &DeviceEntry, at: Timestamp, now: Timestamp) {
        if entry.presence.heard(at) {
            self.meters.online.increment(1.0);
            self.publish_alarms(self.alarms.lock().handle(AlarmInput::Heard { device: entry.id() }, now));
            self.announce_presence(entry);
        }
    }

    fn judge_event(
        &self,
        event: DeviceEvent,
        sender: &Sender,
        now: Timestamp,
        field: impl Fn(&str) -> String,
    ) -> Result<(Arc<DeviceEntry>, DeviceEvent), Refusal> {
        let entry = sender.may_speak_for(&self.registry, event.device_id.as_str(), || field("deviceId"))?;
        self.window(now).check(event.timestamp, || field("timestamp"))?;
        if matches!(sender, Sender::Device(_)) {
            self.heard(&entry, now, now);
        }
        Ok((entry, event))
    }

    async fn keep_event(
        &self,
        entry: &DeviceEntry,
        event: &DeviceEvent,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let failed = |e: records::RecordsError| {
            tracing::error!(device = %entry.id(), "an event could not be kept: {e}");
            Refusal::new(RefusalCode::StorageFailed, "", "the records could not be written")
        };
        if self.records.has_event(entry.id(), &event.id).await.map_err(failed)? {
            return Ok(());
        }
        // The alarm first: an event that is kept is never judged again, also not after a crash between the two.
        let name = entry.rules.model.events.iter().find(|e| e.id == event.kind).map(|e| &e.text);
        let input = AlarmInput::Event { subject: entry.subject(), name, event };
        self.publish_alarms(self.alarms.lock().handle(input, now));
        self.flush_alarms().await.map_err(failed)?;
        if self.records.insert_event(event, now).await.map_err(failed)? {
            self.meters.events.increment(1);
        }
        Ok(())
    }
}

impl DeviceEntry {
    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject { device: self.id(), name: &self.record.name }
    }
}

pub(crate) fn not_stored(e: &AppendError) -> Refusal {
    match e {
        AppendError::Busy => {
            Refusal::new(RefusalCode::Busy, "", "too much is waiting for the disk; send again")
        }
        other => Refusal::new(RefusalCode::StorageFailed, "", other.to_string()),
    }
}
