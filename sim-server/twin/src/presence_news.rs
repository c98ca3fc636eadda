//! Devices that come and go, as news for others: kept from one run of the server to the next, so that a restart by itself is
//! none.

use crate::twin::Inner;
use records::RecordsError;
use shared::{id::DeviceId, stream::Presence, time::Timestamp};
use std::{collections::HashMap, time::Duration};
use tokio_util::sync::CancellationToken;

/// What came and went within this is not told.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Which devices were last said to be online; one that is not in it was never said to be.
pub(crate) type Told = HashMap<DeviceId, bool>;

/// As the records have it. An id that is none any more is nobody's.
pub(crate) fn told(stored: Vec<(String, bool)>) -> Told {
    stored.into_iter().filter_map(|(id, online)| Some((id.parse().ok()?, online))).collect()
}

impl Inner {
    pub(crate) async fn keep_presence(&self, shutdown: &CancellationToken) {
        let mut failing = false;
        while shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            match self.write_presence((self.options.clock)()).await {
                Ok(()) => failing = false,
                Err(e) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!("which devices are online cannot be written, trying again: {e}");
                    }
                }
            }
        }
    }

    /// Writes what has become of devices since it was last written.
    pub(crate) async fn write_presence(&self, now: Timestamp) -> Result<(), RecordsError> {
        // One at a time: nothing is told twice.
        let mut told = self.presence_told.lock().await;
        let mut changes = Vec::new();
        for entry in self.registry.all() {
            let was_online = told.get(entry.id()).copied().unwrap_or(false);
            let online = entry.is_online();
            if online == was_online {
                continue;
            }
            // A device that was online before the server stopped gets the time to say that it still is.
            let silent_since = entry.last_seen().map_or(self.opened_at, |at| at.max(self.opened_at));
            if !online && now.since(silent_since) < entry.rules.offline_after_ms {
                continue;
            }
            changes.push(Presence { device: entry.id().clone(), online, last_seen: entry.last_seen() });
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.records.save_presence(&changes, now).await?;
        told.extend(changes.into_iter().map(|change| (change.device, change.online)));
        Ok(())
    }
}
