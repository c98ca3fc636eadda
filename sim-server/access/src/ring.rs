//! All keys, in memory: who holds one is found by its hash, and what becomes of a key holds from that moment.

use crate::{
    AccessError, ApiKey, Bucket, Credential, KEY_PREFIX, KeyChange, KeyFault, KeyUsage, Network, NewKey,
    Right, client_address, credential,
    usage::{KeyDay, Uncounted},
};
use http::HeaderMap;
use jiff::tz::TimeZone;
use parking_lot::{Mutex, RwLock};
use records::{KeyCounts, KeyIncrement, KeyUse, Records, RecordsError, StoredKey, random_text, sha256};
use schemars::JsonSchema;
use serde::Serialize;
use shared::{selector::DeviceFacts, time::Timestamp};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use subtle::ConstantTimeEq;
use tokio_util::sync::CancellationToken;

/// Keys in force at once.
const KEYS_MAX: usize = 10_000;
/// What was counted is written this often: what a killed process loses of it.
const COUNTS_EVERY: Duration = Duration::from_secs(10);

/// All keys. Clones are the same ring.
#[derive(Clone)]
pub struct KeyRing {
    inner: Arc<Inner>,
}

struct Inner {
    records: Records,
    /// Whose days usage is counted by.
    zone: TimeZone,
    /// Proxies whose word on a client's address is taken.
    trusted: Vec<Network>,
    keys: RwLock<Keys>,
    /// Making, changing and revoking go one after the other, so that none works on what another is about to replace.
    changing: tokio::sync::Mutex<()>,
    writing: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Keys {
    by_hash: HashMap<[u8; 32], Arc<Entry>>,
    /// Ids sort by when they were made.
    by_id: BTreeMap<String, Arc<Entry>>,
}

struct Entry {
    sha256: [u8; 32],
    key: RwLock<Arc<ApiKey>>,
    buckets: Mutex<Buckets>,
    uncounted: Mutex<Uncounted>,
    last_use: Mutex<Option<KeyUse>>,
}

#[derive(Debug, Clone, Copy)]
struct Buckets {
    requests: Bucket,
    read: Bucket,
    written: Bucket,
}

/// A key and when it was last used.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyView {
    #[serde(flatten)]
    pub key: ApiKey,
    pub last_use: Option<KeyUse>,
}

impl Entry {
    fn new(key: ApiKey, sha256: [u8; 32], last_use: Option<KeyUse>, now: Timestamp) -> Entry {
        let limits = key.limits;
        let buckets = Buckets {
            requests: Bucket::new(limits.requests_per_minute, now),
            read: Bucket::new(limits.points_read_per_minute, now),
            written: Bucket::new(limits.points_written_per_minute, now),
        };
        Entry {
            sha256,
            key: RwLock::new(Arc::new(key)),
            buckets: Mutex::new(buckets),
            uncounted: Mutex::default(),
            last_use: Mutex::new(last_use),
        }
    }

    fn key(&self) -> Arc<ApiKey> {
        self.key.read().clone()
    }

    fn view(&self) -> KeyView {
        KeyView { key: (*self.key()).clone(), last_use: self.last_use.lock().clone() }
    }

    fn replace(&self, key: ApiKey, now: Timestamp) {
        let limits = key.limits;
        *self.key.write() = Arc::new(key);
        let mut buckets = self.buckets.lock();
        buckets.requests.set_limit(limits.requests_per_minute, now);
        buckets.read.set_limit(limits.points_read_per_minute, now);
        buckets.written.set_limit(limits.points_written_per_minute, now);
    }

    /// Whether a request may go on, which it then is counted for.
    fn let_in(&self, from: IpAddr, right: Right, now: Timestamp) -> Result<(), KeyFault> {
        let key = self.key();
        if let Some(fault) = key.is_over(now) {
            return Err(fault);
        }
        if !key.is_welcome_from(from) {
            return Err(KeyFault::Elsewhere { from });
        }
        if !key.rights.include(right) {
            return Err(KeyFault::NoRight { right });
        }
        let mut buckets = self.buckets.lock();
        let Buckets { requests, read, written } = &mut *buckets;
        let (points, what) = match right {
            Right::Read => (read, "points read"),
            Right::Write => (written, "points written"),
        };
        requests.ready(now).map_err(|wait_ms| KeyFault::TooMany { what: "requests", wait_ms })?;
        points.ready(now).map_err(|wait_ms| KeyFault::TooMany { what, wait_ms })?;
        requests.take(1, now);
        Ok(())
    }
}

impl KeyRing {
    /// Loads all keys. Usage is counted by the days of `zone`; `trusted` are the proxies whose word on where a request comes
    /// from is taken.
    pub async fn open(
        records: Records,
        zone: TimeZone,
        trusted: Vec<Network>,
        now: Timestamp,
    ) -> Result<KeyRing, AccessError> {
        let mut keys = Keys::default();
        for StoredKey { id, sha256, last_use, body, .. } in records.api_keys().await? {
            let key: ApiKey = serde_json::from_str(&body).map_err(|e| {
                AccessError::Records(RecordsError::Corrupt { what: "API key", id, message: e.to_string() })
            })?;
            keys.add(Entry::new(key, sha256, last_use, now));
        }
        let (keys, changing, writing) = (RwLock::new(keys), Default::default(), Default::default());
        Ok(KeyRing { inner: Arc::new(Inner { records, zone, trusted, keys, changing, writing }) })
    }

    /// Makes a key; the text beside it is the only time it is known.
    pub async fn create(
        &self,
        new: NewKey,
        by: &str,
        now: Timestamp,
    ) -> Result<(KeyView, String), AccessError> {
        let secret = format!("{KEY_PREFIX}{}", random_text());
        let key = new.into_key(uuid::Uuid::now_v7().to_string(), by, now)?;
        let sha256 = sha256(&secret);
        let view = self
            .to_the_end(move |ring| async move {
                let _one_at_a_time = ring.changing.lock().await;
                let in_force = |entry: &&Arc<Entry>| entry.key().is_over(now).is_none();
                if ring.keys.read().by_id.values().filter(in_force).count() >= KEYS_MAX {
                    return Err(AccessError::TooManyKeys { most: KEYS_MAX });
                }
                let (id, created_at, body) = (key.id.clone(), key.created_at, encoded(&key)?);
                let stored = StoredKey { id, sha256, created_at, last_use: None, body };
                ring.records.insert_api_key(&stored).await?;
                Ok(ring.keys.write().add(Entry::new(key, sha256, None, now)).view())
            })
            .await?;
        Ok((view, secret))
    }

    /// All keys ever made, oldest first.
    pub fn all(&self) -> Vec<KeyView> {
        self.inner.keys.read().by_id.values().map(|entry| entry.view()).collect()
    }

    pub async fn change(&self, id: &str, change: KeyChange, now: Timestamp) -> Result<KeyView, AccessError> {
        self.replace(id, now, move |key| {
            if key.revoked_at.is_some() {
                return Err(AccessError::Revoked { id: key.id.clone() });
            }
            Ok(key.changed(change)?)
        })
        .await
    }

    /// Takes a key out of force for good: once this returns it opens nothing, and answers it is being given end. Doing so again
    /// changes nothing.
    pub async fn revoke(&self, id: &str, now: Timestamp) -> Result<KeyView, AccessError> {
        self.replace(id, now, move |key| {
            let revoked_at = key.revoked_at.or(Some(now));
            Ok(ApiKey { revoked_at, ..key.clone() })
        })
        .await
    }

    async fn replace(
        &self,
        id: &str,
        now: Timestamp,
        made: impl FnOnce(&ApiKey) -> Result<ApiKey, AccessError> + Send + 'static,
    ) -> Result<KeyView, AccessError> {
        let id = id.to_owned();
        self.to_the_end(move |ring| async move {
            let _one_at_a_time = ring.changing.lock().await;
            let entry = ring.keys.read().by_id.get(&id).cloned();
            let entry = entry.ok_or_else(|| AccessError::UnknownKey { id: id.clone() })?;
            let key = made(&entry.key())?;
            ring.records.update_api_key(&id, &encoded(&key)?).await?;
            entry.replace(key, now);
            Ok(entry.view())
        })
        .await
    }

    /// Does it also when whoever asked goes away: what the records say and what holds must not part.
    async fn to_the_end<T, F>(&self, work: impl FnOnce(Arc<Inner>) -> F) -> Result<T, AccessError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, AccessError>> + Send + 'static,
    {
        tokio::spawn(work(Arc::clone(&self.inner))).await.unwrap_or(Err(AccessError::CutOff))
    }

    /// Lets in a request by its headers and the address of whoever opened the connection.
    pub fn admit_request(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        right: Right,
        now: Timestamp,
    ) -> Result<Pass, KeyFault> {
        match credential(headers)? {
            Credential::Key(key) => self.admit(key, self.address(headers, peer), right, now),
            Credential::Other(_) => Err(KeyFault::Unknown),
        }
    }

    /// Where a request comes from, as far as is trusted.
    pub fn address(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        client_address(headers, peer, &self.inner.trusted)
    }

    /// Lets in a request with a key.
    pub fn admit(&self, key: &str, from: IpAddr, right: Right, now: Timestamp) -> Result<Pass, KeyFault> {
        // Found by the hash of what was sent, which nobody can steer towards another's; so how long finding takes says nothing.
        let hash = sha256(key);
        let found = self.inner.keys.read().by_hash.get(&hash).cloned();
        let entry = found.filter(|entry| bool::from(entry.sha256.ct_eq(&hash))).ok_or(KeyFault::Unknown)?;
        let pass = Pass { ring: self.clone(), entry, right };
        let admitted = pass.entry.let_in(from, right, now);
        let refused = u64::from(admitted.is_err());
        pass.count(now, KeyCounts { requests: 1, refused, ..KeyCounts::default() });
        admitted?;
        let used = KeyUse { at: now, from: from.to_string() };
        pass.entry.uncounted.lock().used(now, from);
        *pass.entry.last_use.lock() = Some(used);
        Ok(pass)
    }

    /// What a key did on the days `first` to `last` (such as `2026-06-01`), both included.
    pub async fn usage(&self, id: &str, first: &str, last: &str) -> Result<KeyUsage, AccessError> {
        let entry = self.inner.keys.read().by_id.get(id).cloned();
        let entry = entry.ok_or_else(|| AccessError::UnknownKey { id: id.to_owned() })?;
        self.write_counts().await?;
        let days = self.inner.records.key_counts(id, first, last).await?;
        let mut total = KeyCounts::default();
        for (_, counts) in &days {
            total.add(counts);
        }
        let days = days.into_iter().map(|(day, counts)| KeyDay { day, counts }).collect();
        let last_use = entry.last_use.lock().clone();
        Ok(KeyUsage { key_id: id.to_owned(), last_use, total, days })
    }

    /// Writes what was counted every few seconds until `shutdown`, and then what is left.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut failing = false;
        loop {
            let stop = shutdown.run_until_cancelled(tokio::time::sleep(COUNTS_EVERY)).await.is_none();
            match self.write_counts().await {
                Ok(()) => failing = false,
                Err(error) => {
                    if !failing {
                        tracing::error!("the use of API keys cannot be written, trying again: {error}");
                    }
                    failing = true;
                }
            }
            if stop {
                return;
            }
        }
    }

    /// Adds what was counted to the records; what cannot be written stays to be written later.
    pub async fn write_counts(&self) -> Result<(), RecordsError> {
        // To the end: what was taken out and neither written nor put back would be lost.
        let inner = Arc::clone(&self.inner);
        let written = tokio::spawn(async move {
            let _one_at_a_time = inner.writing.lock().await;
            let entries: Vec<Arc<Entry>> = inner.keys.read().by_id.values().cloned().collect();
            let taken = entries.iter().flat_map(|entry| entry.uncounted.lock().take(&entry.key().id));
            let increments: Vec<KeyIncrement> = taken.collect();
            if increments.is_empty() {
                return Ok(());
            }
            let written = inner.records.add_key_counts(&increments).await;
            if written.is_err() {
                let keys = inner.keys.read();
                for increment in increments {
                    if let Some(entry) = keys.by_id.get(&increment.key) {
                        entry.uncounted.lock().put_back(increment);
                    }
                }
            }
            written
        });
        written.await.unwrap_or(Ok(()))
    }
}

impl Keys {
    fn add(&mut self, entry: Entry) -> Arc<Entry> {
        let entry = Arc::new(entry);
        self.by_hash.insert(entry.sha256, Arc::clone(&entry));
        self.by_id.insert(entry.key().id.clone(), Arc::clone(&entry));
        entry
    }
}

fn encoded(key: &ApiKey) -> Result<String, RecordsError> {
    serde_json::to_string(key).map_err(|source| RecordsError::Encoding { what: "an API key", source })
}

/// What an admitted request carries: what its key may, as it is at that very moment, and where its use is counted. Clones count as
/// one request.
#[derive(Clone)]
pub struct Pass {
    ring: KeyRing,
    entry: Arc<Entry>,
    right: Right,
}

impl Pass {
    /// The key as it is now.
    pub fn key(&self) -> Arc<ApiKey> {
        self.entry.key()
    }

    /// Whether points of this device may be in its scope.
    pub fn may_see(&self, device: DeviceFacts<'_>) -> bool {
        self.entry.key.read().scope.takes_device(device)
    }

    /// Whether this point is in its scope. What it may do with it was asked when it was admitted.
    pub fn may(&self, device: DeviceFacts<'_>, measurement: &str) -> bool {
        self.entry.key.read().scope.takes(device, measurement)
    }

    /// Whether its key still opens what it opened: asked between the parts of a long answer, and before each batch of a long
    /// upload.
    pub fn still_good(&self, now: Timestamp) -> Result<(), KeyFault> {
        let key = self.entry.key();
        match key.is_over(now) {
            Some(fault) => Err(fault),
            None if key.rights.include(self.right) => Ok(()),
            None => Err(KeyFault::NoRight { right: self.right }),
        }
    }

    /// An answer held so many points.
    pub fn read(&self, points: u64, now: Timestamp) {
        self.entry.buckets.lock().read.take(points, now);
        self.count(now, KeyCounts { points_read: points, ..KeyCounts::default() });
    }

    /// So many points were written.
    pub fn wrote(&self, points: u64, now: Timestamp) {
        self.entry.buckets.lock().written.take(points, now);
        self.count(now, KeyCounts { points_written: points, ..KeyCounts::default() });
    }

    /// So many bytes of a body came in.
    pub fn received(&self, bytes: u64, now: Timestamp) {
        self.count(now, KeyCounts { bytes_in: bytes, ..KeyCounts::default() });
    }

    /// So many bytes of a body went out.
    pub fn sent(&self, bytes: u64, now: Timestamp) {
        self.count(now, KeyCounts { bytes_out: bytes, ..KeyCounts::default() });
    }

    /// The request was let in and then refused: it asked for what is not in its scope.
    pub fn refused(&self, now: Timestamp) {
        self.count(now, KeyCounts { refused: 1, ..KeyCounts::default() });
    }

    fn count(&self, now: Timestamp, counts: KeyCounts) {
        let day = now.to_jiff().to_zoned(self.ring.inner.zone.clone()).date().to_string();
        self.entry.uncounted.lock().count(day, &counts);
    }
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass")
            .field("key", &self.key().id)
            .field("right", &self.right)
            .finish_non_exhaustive()
    }
}
