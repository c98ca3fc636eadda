//! Where series have anything at all, told without reading it.

use crate::{
    History,
    error::HistoryError,
    hours::{day_of, start_of_hour},
    series::{SeriesId, SeriesKey},
};
use shared::time::Timestamp;
use std::collections::HashSet;

impl History {
    /// An instant of `[from, to]` before which none of the series has a reading in `[from, to)`, as late as is known without opening
    /// a block. `to` where they have none.
    pub async fn silent_until(
        &self,
        series: &[SeriesKey],
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Timestamp, HistoryError> {
        let core = &self.0.core;
        if core.is_closed() {
            return Err(HistoryError::Closed);
        }
        let ids: Vec<SeriesId> = series.iter().filter_map(|key| core.registry.find(key)).collect();
        // Memory, then what is loose, then hours: what moves on meanwhile is seen twice, never missed.
        let mut until = to;
        {
            let heads = core.heads.read();
            let times = ids.iter().flat_map(|id| heads.times(*id));
            until = times.filter(|at| *at >= from).fold(until, Timestamp::min);
        }
        {
            let loose = core.loose.read();
            for id in &ids {
                if until <= from {
                    return Ok(from.min(to));
                }
                let first = loose.of_series(*id, from, until).map(|l| l.all.first_time.max(from));
                until = first.fold(until, Timestamp::min);
            }
        }
        let wanted: HashSet<SeriesId> = ids.iter().copied().collect();
        let days_at_once = (core.options.read_hours / 24 / ids.len().max(1)).max(1) as i64;
        for (month, totals) in core.store.months() {
            let first = from.max(month.start()).max(totals.oldest);
            let last = Timestamp(until.min(month.end()).0.saturating_sub(1)).min(totals.newest);
            let mut day = day_of(first);
            while first <= last && day <= day_of(last) && start_of_hour(day * 24) < until {
                let through = (day + days_at_once - 1).min(day_of(last));
                for kept in core.store.hours(month, Some(&ids), (day, through)).await? {
                    if !wanted.contains(&kept.series) {
                        continue;
                    }
                    let hours = kept.open().inspect_err(|error| core.note_damage(error))?;
                    for hour in hours.iter().filter(|hour| hour.all.last_time >= from) {
                        until = until.min(hour.all.first_time.max(from));
                    }
                }
                day = through + 1;
            }
        }
        Ok(until)
    }
}
