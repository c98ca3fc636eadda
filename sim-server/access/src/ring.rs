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

    /// Whether a request may go on, which it then is counted for: the key as it was judged.
    fn let_in(&self, from: IpAddr, right: Right, now: Timestamp) -> Result<Arc<ApiKey>, KeyFault> {
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
        Ok(key)
    }

    fn count(&self, day: String, counts: &KeyCounts) {
        self.uncounted.lock().count(day, counts);
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
        let admitted = entry.let_in(from, right, now);
        let refused = u64::from(admitted.is_err());
        entry.count(self.day(now), &KeyCounts { requests: 1, refused, ..KeyCounts::default() });
        let admitted = admitted?;
        let used = KeyUse { at: now, from: from.to_string() };
        entry.uncounted.lock().used(now, from);
        *entry.last_use.lock() = Some(used);
        Ok(Pass { ring: self.clone(), entry, admitted, right, from })
    }

    /// The park's day, as usage is counted by it.
    fn day(&self, now: Timestamp) -> String {
        now.to_jiff().to_zoned(self.inner.zone.clone()).date().to_string()
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
    /// The key as it was when the request was let in.
    admitted: Arc<ApiKey>,
    right: Right,
    from: IpAddr,
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
    /// upload. What is under way was chosen by the scope of then: with another one it ends, whichever of the two is wider.
    pub fn still_good(&self, now: Timestamp) -> Result<(), KeyFault> {
        let key = self.entry.key();
        if let Some(fault) = key.is_over(now) {
            return Err(fault);
        }
        if !key.is_welcome_from(self.from) {
            return Err(KeyFault::Elsewhere { from: self.from });
        }
        if !key.rights.include(self.right) {
            return Err(KeyFault::NoRight { right: self.right });
        }
        if !Arc::ptr_eq(&key, &self.admitted) && key.scope != self.admitted.scope {
            return Err(KeyFault::ScopeChanged);
        }
        Ok(())
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
        self.entry.count(self.ring.day(now), &counts);
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use shared::{selector::Selector, thing_model::Role};

    const NOW: Timestamp = Timestamp(1_780_000_000_000);
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    struct Park {
        folder: tempfile::TempDir,
        ring: KeyRing,
    }

    async fn open(folder: &std::path::Path) -> KeyRing {
        let records =
            Records::open(&format!("sqlite://{}", folder.join("records.db").display())).await.unwrap();
        KeyRing::open(records, TimeZone::UTC, Vec::new(), NOW).await.unwrap()
    }

    impl Park {
        async fn start() -> Park {
            let folder = tempfile::tempdir().unwrap();
            let ring = open(folder.path()).await;
            Park { folder, ring }
        }

        /// As after `kill -9`: what is not in the records is lost.
        async fn restart(self) -> Park {
            let ring = open(self.folder.path()).await;
            Park { ring, ..self }
        }

        async fn key(&self, asked: serde_json::Value) -> (String, String) {
            let mut whole = json!({ "name": "erp", "rights": { "read": true, "write": true } });
            whole.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
            let new = serde_json::from_value(whole).unwrap();
            let (view, secret) = self.ring.create(new, "admin", NOW).await.unwrap();
            (view.key.id, secret)
        }

        async fn requests(&self, id: &str) -> (u64, u64) {
            let usage = self.ring.usage(id, "2026-01-01", "2026-12-31").await.unwrap();
            (usage.total.requests, usage.total.refused)
        }
    }

    #[tokio::test]
    async fn keys_and_their_use_outlive_the_server() {
        let park = Park::start().await;
        let (id, key) = park.key(json!({})).await;
        let (gone, revoked) = park.key(json!({})).await;
        park.ring.revoke(&gone, NOW).await.unwrap();
        park.ring.admit(&key, HERE, Right::Read, NOW).unwrap().read(7, NOW);
        park.ring.write_counts().await.unwrap();
        // Not written any more.
        park.ring.admit(&key, HERE, Right::Read, NOW).unwrap();
        let park = park.restart().await;
        assert_eq!(park.requests(&id).await, (1, 0));
        let views = park.ring.all();
        let view = views.iter().find(|view| view.key.id == id).unwrap();
        assert_eq!(view.last_use, Some(KeyUse { at: NOW, from: "10.0.0.1".into() }));
        park.ring.admit(&key, HERE, Right::Write, NOW).unwrap();
        assert_eq!(park.ring.admit(&revoked, HERE, Right::Read, NOW).err(), Some(KeyFault::Revoked));
        assert_eq!(park.requests(&gone).await, (1, 1));
    }

    #[tokio::test]
    async fn a_pass_ends_with_its_key_and_follows_its_changes() {
        let park = Park::start().await;
        let later = Timestamp(NOW.0 + 1_000);
        let (id, key) = park.key(json!({ "expiresAt": later.0 })).await;
        let pass = park.ring.admit(&key, HERE, Right::Write, NOW).unwrap();
        assert_eq!(pass.still_good(NOW), Ok(()));
        assert_eq!(pass.still_good(later), Err(KeyFault::Expired { at: later }));
        let (device, model) = ("pv-1".parse().unwrap(), "inverter".parse().unwrap());
        let facts = DeviceFacts { id: &device, model: &model, role: Role::Pv, building: None };
        assert!(pass.may(facts, "power"));
        let scope: Selector = "group=pv;measurement=energy_export".parse().unwrap();
        let change = KeyChange { scope: Some(scope), ..KeyChange::default() };
        park.ring.change(&id, change, NOW).await.unwrap();
        assert!(pass.may_see(facts) && pass.may(facts, "energy_export") && !pass.may(facts, "power"));
        assert_eq!(pass.still_good(NOW), Err(KeyFault::ScopeChanged));
        let rights = Some(crate::Rights { read: true, write: false });
        park.ring.change(&id, KeyChange { rights, ..KeyChange::default() }, NOW).await.unwrap();
        assert_eq!(pass.still_good(NOW), Err(KeyFault::NoRight { right: Right::Write }));
        park.ring.revoke(&id, NOW).await.unwrap();
        assert_eq!(pass.still_good(NOW), Err(KeyFault::Revoked));
        let again = park.ring.change(&id, KeyChange::default(), NOW).await;
        assert!(matches!(again, Err(AccessError::Revoked { .. })), "{again:?}");
    }

    #[tokio::test]
    async fn what_is_under_way_ends_when_it_reached_further_than_the_key_does_now() {
        let elsewhere = KeyFault::Elsewhere { from: HERE };
        for (change, expected) in [
            (json!({ "scope": { "devices": ["pv-1"] } }), Ok(())),
            (json!({ "scope": { "devices": ["pv-2"] } }), Err(KeyFault::ScopeChanged)),
            (
                json!({ "scope": { "devices": ["pv-1"], "measurements": ["power"] } }),
                Err(KeyFault::ScopeChanged),
            ),
            (json!({ "scope": {} }), Err(KeyFault::ScopeChanged)),
            (json!({ "sources": ["10.0.0.0/24"] }), Ok(())),
            (json!({ "sources": ["10.0.1.0/24"] }), Err(elsewhere)),
            (json!({ "name": "crm", "limits": { "requestsPerMinute": 1 } }), Ok(())),
        ] {
            let park = Park::start().await;
            let (id, key) =
                park.key(json!({ "scope": { "devices": ["pv-1"] }, "sources": ["10.0.0.0/8"] })).await;
            for right in [Right::Read, Right::Write] {
                let pass = park.ring.admit(&key, HERE, right, NOW).unwrap();
                assert_eq!(pass.still_good(NOW), Ok(()));
            }
            let pass = park.ring.admit(&key, HERE, Right::Read, NOW).unwrap();
            let asked = serde_json::from_value(change.clone()).unwrap();
            park.ring.change(&id, asked, NOW).await.unwrap();
            assert_eq!(pass.still_good(NOW), expected, "{change}");
        }
    }

    #[tokio::test]
    async fn a_key_is_nowhere_but_with_its_holder() {
        let park = Park::start().await;
        let (_, key) = park.key(json!({})).await;
        let pass = park.ring.admit(&key, HERE, Right::Read, NOW).unwrap();
        let secret = key.strip_prefix(KEY_PREFIX).unwrap();
        let views = serde_json::to_string(&park.ring.all()).unwrap();
        assert!(!views.contains(secret) && !format!("{pass:?} {:?}", park.ring.all()).contains(secret));
        park.ring.inner.records.close().await;
        for file in std::fs::read_dir(park.folder.path()).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
        }
    }

    #[tokio::test]
    async fn counts_that_cannot_be_written_are_kept() {
        let park = Park::start().await;
        let (_, key) = park.key(json!({})).await;
        park.ring.admit(&key, HERE, Right::Read, NOW).unwrap();
        park.ring.inner.records.close().await;
        assert!(park.ring.write_counts().await.is_err());
        let entry = park.ring.inner.keys.read().by_id.values().next().cloned().unwrap();
        let kept = entry.uncounted.lock().take("k");
        assert_eq!((kept[0].counts.requests, kept[0].last_use.is_some()), (1, true));
    }
}
