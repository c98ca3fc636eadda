//! Sessions between their connections.
//!
//! A session belongs to a device and a client id, and to one connection at a time: the next one waits until the one before has put
//! it back. What lasts is written behind, the newest state of each session, many in a transaction; what a device is promised (a
//! CONNACK or SUBACK of a session that lasts) waits for that write.

use super::session::{Kept, LateReport, Opening};
use crate::ingest::{self, Channel};
use parking_lot::Mutex;
use records::{MqttSession, Records, RecordsError};
use shared::{id::DeviceId, time::Timestamp};
use std::{collections::HashMap, time::Duration};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use twin::{Outbox, Sender, Twin};

/// Sessions kept for one device. A client that makes up a new id each time leaves them behind.
const MOST_SESSIONS: usize = 4;
/// How often sessions that end and wills that are due are looked for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a connection that was taken over may keep its session.
const PUT_BACK_WITHIN: Duration = Duration::from_secs(5);

type Key = (DeviceId, String);

pub(super) struct Shelf {
    book: Mutex<Book>,
    outbox: Outbox<Key, MqttSession>,
    put_back: Notify,
    clock: Box<dyn Fn() -> Timestamp + Send + Sync>,
    records: Records,
}

/// The rules, without I/O.
#[derive(Debug, Default)]
struct Book {
    devices: HashMap<DeviceId, Vec<Place>>,
    next_holder: u64,
}

#[derive(Debug)]
struct Place {
    client_id: String,
    /// The connection that has it. What stands here meanwhile is its last word.
    holder: Option<u64>,
    kept: Kept,
}

/// A session, taken from the shelf by a connection.
#[derive(Debug)]
pub(super) struct Taken {
    pub key: Key,
    /// `None` where there was none, or a clean start was asked for.
    pub kept: Option<Box<Kept>>,
    holder: u64,
}

/// What taking a session leads to.
#[derive(Debug, Default)]
struct Ended {
    /// Sessions that are no more.
    forgotten: Vec<Key>,
    wills: Vec<(DeviceId, super::session::Message)>,
}

impl Book {
    /// `None` while another connection has it.
    fn take(&mut self, opening: &Opening, now: Timestamp) -> Option<(Taken, Ended)> {
        let mut ended = Ended::default();
        let places = self.devices.entry(opening.device.clone()).or_default();
        let at = places.iter().position(|place| place.client_id == opening.client_id);
        if at.is_some_and(|at| places[at].holder.is_some()) {
            return None;
        }
        let before = at.map(|at| places.remove(at).kept);
        let mut before = before.filter(|kept| kept.is_lasting());
        let has_ended =
            opening.clean_start || before.as_ref().and_then(Kept::ends_at).is_some_and(|at| now >= at);
        let key = (opening.device.clone(), opening.client_id.clone());
        if has_ended && let Some(mut kept) = before.take() {
            ended.forget(key.clone(), &mut kept);
        } else if let Some(kept) = &mut before {
            // Its device is back in time: MQTT 5 section 3.1.3.2.2.
            kept.will = None;
        }
        while opening.expiry_s > 0 && places.len() >= MOST_SESSIONS {
            let oldest = places.iter().enumerate().filter(|(_, place)| place.holder.is_none());
            let Some((at, _)) = oldest.min_by_key(|(_, place)| place.kept.left_at) else { break };
            let mut place = places.remove(at);
            ended.forget((opening.device.clone(), place.client_id), &mut place.kept);
        }
        self.next_holder += 1;
        let holder = self.next_holder;
        let kept = opening.kept(before.as_ref());
        places.push(Place { client_id: opening.client_id.clone(), holder: Some(holder), kept });
        Some((Taken { key, kept: before.map(Box::new), holder }, ended))
    }

    fn place(&mut self, key: &Key) -> Option<&mut Place> {
        self.devices.get_mut(&key.0)?.iter_mut().find(|place| place.client_id == key.1)
    }

    /// The session's newest state; whether it is still the holder's to say.
    fn note(&mut self, key: &Key, holder: u64, kept: &Kept) -> bool {
        match self.place(key).filter(|place| place.holder == Some(holder)) {
            Some(place) => {
                place.kept = kept.clone();
                true
            }
            None => false,
        }
    }

    /// The connection is over; without `kept` the session is as well. The row to write, if it was written before or is to last.
    fn put_back(
        &mut self,
        key: &Key,
        holder: u64,
        kept: Option<Kept>,
        now: Timestamp,
    ) -> Option<Option<Kept>> {
        let places = self.devices.get_mut(&key.0)?;
        let at = places.iter().position(|place| place.client_id == key.1 && place.holder == Some(holder))?;
        match kept {
            Some(kept) => {
                let kept = Kept { left_at: Some(now), ..kept };
                places[at].kept = kept.clone();
                places[at].holder = None;
                Some(Some(kept))
            }
            None => {
                let was_lasting = places.remove(at).kept.is_lasting();
                if places.is_empty() {
                    self.devices.remove(&key.0);
                }
                was_lasting.then_some(None)
            }
        }
    }

    /// What is over at `now`: wills that are due, and sessions nobody came back to.
    fn look(&mut self, now: Timestamp) -> (Ended, Vec<(Key, Kept)>) {
        let (mut ended, mut changed) = (Ended::default(), Vec::new());
        self.devices.retain(|device, places| {
            places.retain_mut(|place| {
                if place.holder.is_some() {
                    return true;
                }
                let key = || (device.clone(), place.client_id.clone());
                if place.kept.ends_at().is_some_and(|at| now >= at) {
                    ended.forget(key(), &mut place.kept);
                    return false;
                }
                if place.kept.will_due_at().is_some_and(|at| now >= at)
                    && let Some(will) = place.kept.will.take()
                {
                    ended.wills.push((device.clone(), will.into_message()));
                    changed.push((key(), place.kept.clone()));
                }
                true
            });
            !places.is_empty()
        });
        (ended, changed)
    }
}

impl Ended {
    /// A will that still waits is due with its session's end.
    fn forget(&mut self, key: Key, kept: &mut Kept) {
        if let Some(will) = kept.will.take() {
            self.wills.push((key.0.clone(), will.into_message()));
        }
        self.forgotten.push(key);
    }
}

impl Shelf {
    /// Takes up what an earlier process left. Its connections ended now at the latest.
    pub(super) async fn open(
        records: Records,
        clock: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Result<Self, RecordsError> {
        let now = clock();
        let mut book = Book::default();
        let outbox = Outbox::new();
        for MqttSession { device_id, client_id, body } in records.mqtt_sessions().await? {
            let kept = body.as_deref().map(serde_json::from_str::<Kept>);
            let (Ok(device), Some(Ok(kept))) = (device_id.parse::<DeviceId>(), kept) else {
                tracing::warn!(
                    device = device_id,
                    client_id,
                    "an MQTT session cannot be read: it starts anew"
                );
                continue;
            };
            let kept = kept.left_behind(now);
            if !kept.is_lasting() {
                continue;
            }
            let place = Place { client_id, holder: None, kept };
            book.devices.entry(device).or_default().push(place);
        }
        Ok(Self { book: Mutex::new(book), outbox, put_back: Notify::new(), records, clock: Box::new(clock) })
    }

    /// Takes a session at once, where nothing must be waited for: `None` when another connection has it or it is to be written.
    pub(super) fn take_now(&self, opening: &Opening) -> Option<Taken> {
        let mut book = self.book.lock();
        let is_new = |places: &Vec<Place>| places.iter().all(|place| place.client_id != opening.client_id);
        let is_simple = opening.expiry_s == 0 && book.devices.get(&opening.device).is_none_or(is_new);
        if !is_simple {
            return None;
        }
        let (taken, ended) = book.take(opening, (self.clock)())?;
        drop(book);
        ended.forgotten.iter().for_each(|key| self.write(key, None));
        Some(taken)
    }

    /// Takes a session and writes what that changes. `Err` when it cannot be written, or another connection does not let go.
    pub(super) async fn take(&self, opening: &Opening, twin: &Twin) -> Result<Taken, ()> {
        let found = async {
            loop {
                // Listens first, so that nothing is put back unheard.
                let put_back = self.put_back.notified();
                tokio::pin!(put_back);
                put_back.as_mut().enable();
                if let Some(found) = self.book.lock().take(opening, (self.clock)()) {
                    return found;
                }
                put_back.await;
            }
        };
        let (taken, ended) = tokio::time::timeout(PUT_BACK_WITHIN, found).await.map_err(|_| ())?;
        if opening.expiry_s == 0 && taken.kept.is_none() && ended.forgotten.is_empty() {
            return Ok(taken);
        }
        ended.forgotten.iter().for_each(|key| self.write(key, None));
        if opening.expiry_s > 0 {
            self.write(&taken.key, Some(&opening.kept(taken.kept.as_deref())));
        } else if taken.kept.is_some() {
            // It lasts no longer than this connection.
            self.write(&taken.key, None);
        }
        let written = self.written().await;
        hand_over(twin, ended.wills).await;
        if written {
            return Ok(taken);
        }
        self.put_back(&taken, taken.kept.as_deref().cloned());
        Err(())
    }

    /// The newest state of a session that is taken; on the disk soon.
    pub(super) fn note(&self, taken: &Taken, kept: &Kept) {
        if self.book.lock().note(&taken.key, taken.holder, kept) {
            self.write(&taken.key, Some(kept));
        }
    }

    /// Whether everything noted so far is on the disk; one write serves all who ask meanwhile.
    pub(super) async fn written(&self) -> bool {
        let write = async |rows: Vec<MqttSession>| self.records.put_mqtt_sessions(&rows).await;
        match self.outbox.flush(write).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "MQTT sessions cannot be written");
                false
            }
        }
    }

    pub(super) fn put_back(&self, taken: &Taken, kept: Option<Kept>) {
        let row = self.book.lock().put_back(&taken.key, taken.holder, kept, (self.clock)());
        if let Some(kept) = row {
            self.write(&taken.key, kept.as_ref());
        }
        self.put_back.notify_waiters();
    }

    /// A report for a device that left before its verdict. Who is back already, with whatever it hears, has missed it.
    pub(super) fn add_report(&self, key: &Key, report: &LateReport) {
        let mut book = self.book.lock();
        let kept = book.place(key).filter(|place| place.holder.is_none()).map(|place| {
            let is_kept = place.kept.add_notice((self.clock)(), |missed| report.json(missed));
            (is_kept, place.kept.clone())
        });
        drop(book);
        match kept {
            Some((true, kept)) => self.write(key, Some(&kept)),
            _ => metrics::counter!("park_mqtt_refused_total", "code" => "NOTICES_FULL").increment(1),
        }
    }

    fn write(&self, key: &Key, kept: Option<&Kept>) {
        // Strings and integers always serialise.
        let body = kept.map(|kept| serde_json::to_string(kept).unwrap_or_default());
        let row = MqttSession { device_id: key.0.to_string(), client_id: key.1.clone(), body };
        self.outbox.put(key.clone(), row);
    }

    /// Writes behind, ends sessions and hands over wills until `shutdown`; then writes what is left.
    pub(super) async fn run(&self, twin: &Twin, shutdown: &CancellationToken) {
        let mut interval = tokio::time::interval(LOOK_EVERY);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let is_over = tokio::select! {
                biased;
                () = shutdown.cancelled() => true,
                _ = interval.tick() => false,
                () = self.outbox.changed() => false,
            };
            if is_over {
                return;
            }
            let (ended, changed) = self.book.lock().look((self.clock)());
            // Before it is forgotten that they are due: rather twice than never.
            hand_over(twin, ended.wills).await;
            ended.forgotten.iter().for_each(|key| self.write(key, None));
            changed.iter().for_each(|(key, kept)| self.write(key, Some(kept)));
            if !self.written().await {
                shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await;
            }
        }
    }
}

async fn hand_over(twin: &Twin, wills: Vec<(DeviceId, super::session::Message)>) {
    for (device, will) in wills {
        let channel: Channel = will.channel;
        ingest::hand_over(twin, &Sender::Device(device), channel, will.payload.as_slice()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(seconds * 1000)
    }

    fn opening(client_id: &str, clean_start: bool, expiry_s: u32) -> Opening {
        let (device, client_id) = ("pv-01".parse().unwrap(), client_id.to_owned());
        Opening { device, client_id, clean_start, expiry_s, will: None }
    }

    fn with_will(delay_s: u32, expiry_s: u32) -> Kept {
        let will = json!({ "channel": "event", "payload": "gone", "delayS": delay_s });
        serde_json::from_value(json!({ "expiryS": expiry_s, "will": will })).unwrap()
    }

    #[test]
    fn a_session_is_one_connections_at_a_time_and_ends_when_nobody_comes_back() {
        let mut book = Book::default();
        let (first, _) = book.take(&opening("a", false, 60), at(0)).unwrap();
        assert!(first.kept.is_none());
        assert!(book.take(&opening("a", false, 60), at(1)).is_none(), "the first has it");
        let kept = Kept { expiry_s: 60, next_notice: 7, ..Kept::default() };
        assert!(book.note(&first.key, first.holder, &kept));
        book.put_back(&first.key, first.holder, Some(kept), at(10));
        let (second, _) = book.take(&opening("a", false, 60), at(69)).unwrap();
        assert_eq!(second.kept.as_ref().unwrap().next_notice, 7);
        assert!(!book.note(&first.key, first.holder, &Kept::default()), "it is no longer the first's");
        assert_eq!(book.put_back(&first.key, first.holder, None, at(70)), None);
        book.put_back(&second.key, second.holder, second.kept.map(|kept| *kept), at(70));
        let (third, ended) = book.take(&opening("a", false, 60), at(130)).unwrap();
        assert!(third.kept.is_none(), "a second too late");
        assert_eq!(ended.forgotten.len(), 1);
        assert_eq!(book.put_back(&third.key, third.holder, None, at(131)), Some(None), "its row goes");
        assert!(book.devices.is_empty());
    }

    #[test]
    fn a_late_will_goes_when_it_is_due_and_not_when_its_device_is_back() {
        for (delay, expiry, clean_start, back_at, wills) in [
            (30, 60, false, 20, 0),
            // The session ends with a clean start, and the will with it.
            (30, 60, true, 20, 1),
            (30, 60, false, 31, 1),
            (30, 10, false, 11, 1),
        ] {
            let mut book = Book::default();
            let (taken, _) = book.take(&opening("a", false, expiry), at(0)).unwrap();
            book.put_back(&taken.key, taken.holder, Some(with_will(delay, expiry)), at(0));
            let (ended, _) = book.look(at(back_at));
            let (_, on_return) = book.take(&opening("a", clean_start, expiry), at(back_at)).unwrap();
            let all = ended.wills.len() + on_return.wills.len();
            assert_eq!(all, wills, "{delay} {expiry} {clean_start} {back_at}");
        }
    }

    #[test]
    fn a_will_is_kept_from_connect_on_and_after_a_crash_waits_for_its_device_to_come_back() {
        let will = with_will(30, 600).will;
        let mut book = Book::default();
        let (taken, _) = book.take(&Opening { will, ..opening("a", false, 600) }, at(0)).unwrap();
        let held = book.place(&taken.key).unwrap().kept.clone();
        assert_eq!(held.left_at, None);
        assert!(book.look(at(900)).0.wills.is_empty(), "its device is there");
        for (kept, due) in [
            // The server died at 900 seconds at the latest.
            (held.clone(), Some(900 + 120)),
            (Kept { expiry_s: 60, ..held.clone() }, Some(900 + 60)),
            // The device had gone before.
            (Kept { left_at: Some(at(890)), ..held.clone() }, Some(890 + 30)),
            (Kept { will: None, ..held }, None),
        ] {
            let kept: Kept = serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
            assert_eq!(kept.left_behind(at(900)).will_due_at(), due.map(at));
        }
    }

    #[test]
    fn a_client_that_makes_up_ids_leaves_a_few_sessions_behind() {
        let mut book = Book::default();
        for n in 0..10 {
            let (taken, ended) = book.take(&opening(&n.to_string(), true, 60), at(n)).unwrap();
            let kept = Kept { expiry_s: 60, ..Kept::default() };
            book.put_back(&taken.key, taken.holder, Some(kept), at(n));
            let forgotten: Vec<i64> = ended.forgotten.iter().map(|(_, id)| id.parse().unwrap()).collect();
            assert_eq!(forgotten, if n < 4 { vec![] } else { vec![n - 4] }, "the one unused longest");
        }
        // A connection that keeps nothing pushes nobody out.
        let (_, ended) = book.take(&opening("passing", true, 0), at(20)).unwrap();
        assert!(ended.forgotten.is_empty());
    }
}
