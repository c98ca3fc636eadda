//! Opening every block and saying which ones are not what they say.

use crate::{
    aggregate::Aggregate,
    block::{Block, MINUTE_MS},
    bucket::Bucket,
    core::Core,
    days::{MonthOfDays, days_of},
    error::HistoryError,
    hours::{DayOfHours, day_of, start_of_hour},
    mend::hours_of_merged,
    month::Month,
    pack,
    query::open_block,
    series::SeriesId,
    store::{Detail, Row, Wanted},
};
use serde::Serialize;
use shared::time::{DAY_MS, Timestamp};
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

/// Opens every block, and compares totals, hours and days with them. Sealing and merging go on: what is compared is read at one moment, all
/// else is looked at as it comes.
pub(crate) async fn verify(core: &Core) -> Result<VerifyReport, HistoryError> {
    let mut report = VerifyReport::default();
    let months: Vec<Month> = core.store.months().into_keys().collect();
    for month in months {
        let fault = |series: Option<SeriesId>, block: Option<i64>, reason: String| BlockFault {
            month: month.to_string(),
            block,
            series: series.map(|id| {
                core.registry.key(id).map_or_else(|| format!("series {}", id.0), |key| key.to_string())
            }),
            reason,
        };
        let mut after = 0;
        loop {
            let blocks = core.store.page(month, after, BLOCKS_AT_ONCE).await?;
            let Some(last) = blocks.last() else { break };
            after = last.summary.id;
            let checked = core.work.blocking(move || -> Vec<(SeriesId, i64, String)> {
                let bad = |block: &Block| Some((block.series, block.summary.id, check(block).err()?));
                blocks.iter().filter_map(bad).collect()
            });
            let bad =
                checked.await.map_err(|e| HistoryError::Inconsistent(format!("verifying stopped: {e}")))?;
            report.faults.extend(bad.into_iter().map(|(id, block, why)| fault(Some(id), Some(block), why)));
        }
        let (noted, found) = {
            let _settled = core.settled().await?;
            let noted = core.store.months().get(&month).map_or((0, 0, 0), |t| (t.blocks, t.points, t.bytes));
            (noted, core.store.counted(month).await?)
        };
        report.blocks += u64::try_from(found.0).unwrap_or(0);
        report.points += u64::try_from(found.1).unwrap_or(0);
        if found != noted {
            let reason = format!("it holds {found:?} blocks, readings and bytes, and {noted:?} are noted");
            report.faults.push(fault(None, None, reason));
        }
        let mut faults = hours_at_fault(core, month).await?;
        faults.extend(days_at_fault(core, month).await?);
        report.faults.extend(faults.into_iter().map(|(id, reason)| fault(Some(id), None, reason)));
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
            let (rows, noted) = {
                let _settled = core.settled().await?;
                let rows = core.store.rows(month, wanted).await?;
                (rows, core.store.hours(month, Some(some), (day, day)).await?)
            };
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
        let Ok(hours) = hours_of_merged(day, series, of_series.iter().map(|(_, row)| row)) else {
            noted.remove(&series);
            continue;
        };
        all.push((series, hours));
    }
    let date = Timestamp(day.saturating_mul(DAY_MS));
    for (series, hours) in all {
        let said = noted.remove(&series).map_or_else(|| Ok(Vec::new()), |day| day.open());
        match said {
            Err(error) => faults.push((series, error.to_string())),
            Ok(said) if !are_same(&said, &hours) => {
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

/// Compares the days that are there with the hours. Without a clock to keep days by there is nothing to say of them.
async fn days_at_fault(core: &Core, month: Month) -> Result<Vec<(SeriesId, String)>, HistoryError> {
    let Some(zone) = &core.options.day_zone else { return Ok(Vec::new()) };
    let Some(days) = days_of(month, zone) else { return Ok(Vec::new()) };
    // Those of another clock, or of both, are about to be made anew.
    let made_by = core.store.days_made_by(month).await?;
    if made_by.is_some() && made_by.as_deref() != zone.iana_name() {
        return Ok(Vec::new());
    }
    let series: Vec<SeriesId> = core.registry.from(0).into_iter().map(|(id, _)| id).collect();
    let all = (day_of(month.start()), day_of(month.end()) - 1);
    let mut faults = Vec::new();
    for some in series.chunks(SERIES_AT_ONCE) {
        let (noted, of_month) = {
            let _settled = core.settled().await?;
            let noted = core.store.days(month, some).await?;
            if noted.is_empty() {
                continue;
            }
            (noted, core.store.hours(month, Some(some), all).await?)
        };
        let mut hours: HashMap<SeriesId, Vec<DayOfHours>> = HashMap::new();
        for day in of_month {
            hours.entry(day.series).or_default().push(day);
        }
        for noted in noted {
            let hours = hours.remove(&noted.series).unwrap_or_default();
            // Hours that are damaged are named already.
            let Ok(wanted) = MonthOfDays::of(noted.series, hours, &days) else { continue };
            let reason = match (noted.open(), wanted.open()) {
                (Err(reason), _) => format!("its days: {reason}"),
                (Ok(noted), Ok(wanted)) if !are_same(&noted, &wanted) => {
                    "its days say other figures than its hours do".to_owned()
                }
                _ => continue,
            };
            faults.push((noted.series, reason));
        }
    }
    Ok(faults)
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
    if are_same(&packed, &wanted) {
        Ok(())
    } else {
        Err("its minutes say other figures than its readings do".to_owned())
    }
}

fn are_same(packed: &[Bucket], wanted: &[Bucket]) -> bool {
    packed.len() == wanted.len() && packed.iter().zip(wanted).all(|(a, b)| is_same(a, b))
}

fn is_same(packed: &Bucket, wanted: &Bucket) -> bool {
    let Aggregate { count, min, max, sum, integral, rise, .. } = wanted.all;
    // What is added up is as true as the greatest that went into it.
    let added = min.abs().max(max.abs()) * count as f64;
    let lasting = added * wanted.all.last_time.since(wanted.all.first_time).max(1) as f64;
    let near = |a: f64, b: f64, scale: f64| (a - b).abs() <= ROUNDING * scale.max(1.0);
    packed.start == wanted.start
        && Aggregate { sum, integral, rise, ..packed.all } == wanted.all
        && near(packed.all.sum, sum, added)
        && near(packed.all.rise, rise, added)
        && near(packed.all.integral, integral, lasting)
}
