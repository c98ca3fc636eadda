//! What a store holds, in figures.

use crate::{core::Core, wal::OpenReport};
use serde::Serialize;
use shared::time::Timestamp;

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryStats {
    /// Stored readings. One written again counts again until its blocks are merged.
    pub points: u64,
    pub series: u64,
    pub blocks: u64,
    /// Bytes of compressed readings.
    pub block_bytes: u64,
    /// Bytes the database takes.
    pub bytes: u64,
    /// Bytes the log takes.
    pub wal_bytes: u64,
    /// Readings that are durable in the log and not yet in blocks.
    pub unsealed_points: u64,
    /// Bytes these take in memory.
    pub memory_bytes: u64,
    /// Points waiting to become durable.
    pub queued_points: u64,
    pub oldest: Option<Timestamp>,
    pub newest: Option<Timestamp>,
    /// Why sealing does not work just now.
    pub seal_fault: Option<String>,
    /// What opening found in the log.
    pub open_report: OpenReport,
}

pub(crate) async fn stats(core: &Core) -> HistoryStats {
    let months = core.store.months();
    let total = |of: fn(&crate::store::MonthTotals) -> i64| -> u64 {
        months.values().map(|t| u64::try_from(of(t)).unwrap_or(0)).sum()
    };
    let (unsealed, memory_bytes, oldest, newest) = {
        let heads = core.heads.read();
        (heads.points() as u64, heads.bytes() as u64, heads.oldest(), heads.newest())
    };
    HistoryStats {
        points: total(|t| t.points) + unsealed,
        series: core.registry.count() as u64,
        blocks: total(|t| t.blocks),
        block_bytes: total(|t| t.bytes),
        bytes: core.store.bytes().await,
        wal_bytes: core.log.lock().bytes,
        unsealed_points: unsealed,
        memory_bytes,
        queued_points: core.queue.points() as u64,
        oldest: months.values().map(|t| t.oldest).chain(oldest).min(),
        newest,
        seal_fault: core.seal_fault.lock().clone(),
        open_report: core.report.clone(),
    }
}
