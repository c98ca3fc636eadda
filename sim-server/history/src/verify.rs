//! Opening every block and saying which ones are not what they say.

use crate::{
    aggregate::Aggregate,
    block::{Block, MINUTE_MS},
    bucket::Bucket,
    core::Core,
    error::HistoryError,
    pack,
    query::open_block,
    store::MonthTotals,
};
use serde::Serialize;

const BLOCKS_AT_ONCE: i64 = 500;
/// What is derived from other figures may differ by this much of itself.
const ROUNDING: f64 = 1e-9;

/// What [`crate::History::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    pub blocks: u64,
    pub points: u64,
    pub faults: Vec<BlockFault>,
}

/// Something of the store that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockFault {
    /// `2026-07`
    pub month: String,
    /// None when the month as a whole is at fault.
    pub block: Option<i64>,
    /// `device/measurement`
    pub series: Option<String>,
    pub reason: String,
}

pub(crate) async fn verify(core: &Core) -> Result<VerifyReport, HistoryError> {
    let mut report = VerifyReport::default();
    // Nothing is sealed or merged meanwhile: totals and blocks are of one moment.
    let _settled = core.settled().await?;
    for (month, totals) in core.store.months() {
        let fault = |block: Option<&Block>, reason: String| BlockFault {
            month: month.to_string(),
            block: block.map(|b| b.summary.id),
            series: block.map(|b| {
                core.registry
                    .key(b.series)
                    .map_or_else(|| format!("series {}", b.series.0), |k| k.to_string())
            }),
            reason,
        };
        let mut found: Option<MonthTotals> = None;
        let mut after = 0;
        loop {
            let blocks = core.store.page(month, after, BLOCKS_AT_ONCE).await?;
            let Some(last) = blocks.last() else { break };
            after = last.summary.id;
            let page = MonthTotals::of(&blocks);
            found = match (found, page) {
                (Some(found), Some(page)) => Some(found.with(&page)),
                (found, page) => found.or(page),
            };
            let checked = tokio::task::spawn_blocking(move || -> Vec<(Block, String)> {
                blocks
                    .into_iter()
                    .filter_map(|block| check(&block).err().map(|reason| (block, reason)))
                    .collect()
            });
            let bad =
                checked.await.map_err(|e| HistoryError::Inconsistent(format!("verifying stopped: {e}")))?;
            report.faults.extend(bad.into_iter().map(|(block, reason)| fault(Some(&block), reason)));
        }
        let found = found.unwrap_or_default();
        report.blocks += u64::try_from(found.blocks).unwrap_or(0);
        report.points += u64::try_from(found.points).unwrap_or(0);
        let counts = |t: &MonthTotals| (t.blocks, t.points, t.bytes);
        if counts(&found) != counts(&totals) {
            let (found, noted) = (counts(&found), counts(&totals));
            let reason = format!("it holds {found:?} blocks, readings and bytes, and {noted:?} are noted");
            report.faults.push(fault(None, reason));
        }
    }
    Ok(report)
}

fn check(block: &Block) -> Result<(), String> {
    let readings = open_block(block.series, &block.summary, &block.body).map_err(|e| e.to_string())?;
    if !readings.is_sorted_by(|a, b| a.timestamp < b.timestamp) {
        return Err("its readings are not in the order of time".to_owned());
    }
    if Aggregate::of_all(&readings) != Some(block.summary.all) {
        return Err("it says other figures than its readings do".to_owned());
    }
    let Some(minutes) = &block.minutes else { return Ok(()) };
    let packed = pack::unpack(MINUTE_MS, minutes).map_err(|reason| format!("its minutes: {reason}"))?;
    let wanted = Bucket::each(&readings, MINUTE_MS);
    let same = packed.len() == wanted.len() && packed.iter().zip(&wanted).all(|(a, b)| is_same(a, b));
    if same { Ok(()) } else { Err("its minutes say other figures than its readings do".to_owned()) }
}

fn is_same(packed: &Bucket, wanted: &Bucket) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= ROUNDING * b.abs().max(1.0);
    let figures = Aggregate { integral: wanted.all.integral, rise: wanted.all.rise, ..packed.all };
    packed.start == wanted.start
        && figures == wanted.all
        && near(packed.all.integral, wanted.all.integral)
        && near(packed.all.rise, wanted.all.rise)
}
