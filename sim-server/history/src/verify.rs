//! Opening every block and saying which ones are not what they say.

use crate::{
    aggregate::Aggregate,
    block::{Block, MINUTE_MS},
    bucket::Bucket,
    core::Core,
    error::HistoryError,
    hours::{DayOfHours, day_of, start_of_hour},
    month::Month,
    pack,
    query::open_block,
    series::SeriesId,
    store::{Detail, MonthTotals, Row, Wanted},
};
use serde::Serialize;
use shared::{
    telemetry::Reading,
    time::{DAY_MS, HOUR_MS, Timestamp},
};
use std::collections::HashMap;

const BLOCKS_AT_ONCE: i64 = 500;
const SERIES_AT_ONCE: usize = 64;
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
            let checked = core.work.blocking(move || -> Vec<(Block, String)> {
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
        for (series, reason) in hours_at_fault(core, month).await? {
            let series = core.registry.key(series).map(|key| key.to_string());
            report.faults.push(BlockFault { month: month.to_string(), block: None, series, reason });
        }
    }
    Ok(report)
}

/// Compares the hours of each day with the merged blocks'. What is damaged of these is named already.
async fn hours_at_fault(core: &Core, month: Month) -> Result<Vec<(SeriesId, String)>, HistoryError> {
    let series: Vec<SeriesId> = core.registry.from(0).into_iter().map(|(id, _)| id).collect();
    let mut faults = Vec::new();
    for day in day_of(month.start())..day_of(month.end()) {
        let (from, to) = (start_of_hour(day * 24), start_of_hour(day * 24 + 24));
        for some in series.chunks(SERIES_AT_ONCE) {
            let span_ms = {
                let heads = core.heads.read();
                some.iter().map(|id| heads.state(*id).span_ms).max().unwrap_or(0)
            };
            let wanted = Wanted { series: some, from, to, span_ms, detail: Detail::Readings };
            let rows = core.store.rows(month, wanted).await?;
            let noted = core.store.hours(month, Some(some), (day, day)).await?;
            let compared = core.work.blocking(move || compare(day, rows, noted));
            let compared =
                compared.await.map_err(|e| HistoryError::Inconsistent(format!("verifying stopped: {e}")))?;
            faults.extend(compared);
        }
    }
    Ok(faults)
}

fn compare(day: i64, rows: Vec<(SeriesId, Row)>, noted: Vec<DayOfHours>) -> Vec<(SeriesId, String)> {
    let mut noted: HashMap<SeriesId, DayOfHours> = noted.into_iter().map(|d| (d.series, d)).collect();
    let mut faults = Vec::new();
    let mut all: Vec<(SeriesId, Vec<Bucket>)> = Vec::new();
    for of_series in rows.chunk_by(|a, b| a.0 == b.0) {
        let series = of_series[0].0;
        let merged = of_series.iter().filter(|(_, row)| row.merged);
        let opened: Result<Vec<Vec<Reading>>, HistoryError> = merged
            .map(|(_, row)| open_block(series, &row.summary, row.body.as_deref().unwrap_or_default()))
            .collect();
        let Ok(readings) = opened else {
            noted.remove(&series);
            continue;
        };
        let mut hours = Bucket::each(&readings.concat(), HOUR_MS);
        hours.retain(|bucket| day_of(bucket.start) == day);
        all.push((series, hours));
    }
    let date = Timestamp(day.saturating_mul(DAY_MS));
    for (series, hours) in all {
        let said = noted.remove(&series).map_or_else(|| Ok(Vec::new()), |day| day.open());
        match said {
            Err(error) => faults.push((series, error.to_string())),
            Ok(said) if said.len() != hours.len() || !said.iter().zip(&hours).all(|(a, b)| is_same(a, b)) => {
                let reason =
                    format!("the hours of the day from {date} say other figures than its readings do");
                faults.push((series, reason));
            }
            Ok(_) => {}
        }
    }
    let left =
        noted.into_keys().map(|id| (id, format!("there are hours of the day from {date}, and no readings")));
    faults.extend(left);
    faults
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
