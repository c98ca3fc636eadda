//! The park's energy: curves from the history, totals of today, and the balance now.
//!
//! Curves are sums over the devices of each term of quarter-hour means. Closed quarter hours are kept in memory and
//! read again only after a while, since late data can still change them.

use crate::{LiveValues, VppError, groups::Group, park::ParkContext, planner::STEP_MS};
use forecast::Series;
use futures::{StreamExt, TryStreamExt, stream};
use history::{History, SeriesKey};
use parking_lot::{Mutex, RwLock};
use shared::{
    energy::{EnergyCurve, EnergySummary, EnergyTotals, PowerBalance},
    id::{DeviceId, MeasurementKey},
    telemetry::Provenance,
    time::{DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Timestamp},
    units::{EmissionIntensity, WattHours},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Most steps a curve may have: a year of quarter hours.
const MOST_STEPS: i64 = 366 * 96;
/// How often the totals of today are brought up to date.
const REFRESH_EVERY: Duration = Duration::from_secs(5);
/// Series read at once: enough to hide the database's latency, few enough to leave it to others.
const READS_AT_ONCE: usize = 8;

/// Mean power of each group over a quarter hour, in [`Group`] order.
type Row = [Option<f64>; 6];

#[derive(Clone)]
pub struct EnergyBook {
    inner: Arc<Inner>,
}

struct Inner {
    park: ParkContext,
    history: History,
    live: Arc<dyn LiveValues>,
    opened: Timestamp,
    rows: Mutex<BTreeMap<i64, (Row, Timestamp)>>,
    totals: RwLock<Totals>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    from: Timestamp,
    today: EnergyTotals,
    month_peak_kw: f64,
}

impl EnergyBook {
    pub fn new(park: ParkContext, history: History, live: Arc<dyn LiveValues>, now: Timestamp) -> Self {
        let inner = Inner {
            park,
            history,
            live,
            opened: now,
            rows: Mutex::default(),
            totals: RwLock::new(Totals { from: now, ..Totals::default() }),
        };
        Self { inner: Arc::new(inner) }
    }

    pub fn park(&self) -> &ParkContext {
        &self.inner.park
    }

    /// Keeps the totals up to date until told to stop.
    pub async fn run(&self, clock: impl Fn() -> Timestamp, shutdown: CancellationToken) {
        let mut every = tokio::time::interval(REFRESH_EVERY);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = every.tick() => {
                    if let Err(error) = self.refresh(clock()).await {
                        tracing::warn!(%error, "energy totals not refreshed");
                    }
                }
            }
        }
    }

    /// Reads what is needed for the totals of today and the month's peak.
    pub async fn refresh(&self, now: Timestamp) -> Result<(), VppError> {
        let park = &self.inner.park;
        let midnight = now.start_of_day(&park.zone);
        let month = now.start_of_month(&park.zone).max(Timestamp(now.0 - 31 * DAY_MS));
        let rows = self.rows(month.floor_to(STEP_MS), now, now).await?;
        // Demand counts over closed intervals only: a running one can still fall.
        let month_peak_kw = rows
            .range(..now.floor_to(STEP_MS).0)
            .filter_map(|(_, row)| row[Group::Grid as usize])
            .fold(0.0, f64::max);
        let today = self.total(rows.range(midnight.0..).map(|(start, row)| (Timestamp(*start), *row)), now);
        *self.inner.totals.write() = Totals { from: midnight, today, month_peak_kw };
        Ok(())
    }

    fn total(&self, rows: impl Iterator<Item = (Timestamp, Row)>, now: Timestamp) -> EnergyTotals {
        let park = &self.inner.park;
        let tariff = &park.scene.tariff;
        let intensity = EmissionIntensity::from_kg_per_kwh(park.scene.park.emission.kg_per_kwh);
        let mut totals = EnergyTotals::default();
        let mut emitted = 0i128;
        let mut storage_losses_kwh = 0.0;
        let (charge_efficiency, discharge_efficiency) = park.storage_efficiencies();
        for (start, row) in rows {
            let hours = now.since(start).clamp(0, STEP_MS) as f64 / HOUR_MS as f64;
            let kwh = |group: Group| row[group as usize].unwrap_or(0.0) * hours;
            let (grid, storage) = (kwh(Group::Grid), kwh(Group::Storage));
            let (import, export) = (grid.max(0.0), (-grid).max(0.0));
            let (charge, discharge) = (storage.max(0.0), (-storage).max(0.0));
            totals.import_kwh += import;
            totals.export_kwh += export;
            totals.pv_kwh -= kwh(Group::Pv);
            totals.wind_kwh -= kwh(Group::Wind);
            totals.charge_kwh += charge;
            totals.discharge_kwh += discharge;
            totals.charging_kwh += kwh(Group::Charging);
            totals.load_kwh += kwh(Group::Load);
            totals.cost_yuan +=
                import * tariff.import_price_at(start, &park.zone) - export * park.feed_in_price_at(start);
            emitted += intensity.of(WattHours::from_kwh(import)).0;
            storage_losses_kwh +=
                charge * (1.0 - charge_efficiency) + discharge * (1.0 / discharge_efficiency - 1.0);
        }
        totals.emissions_kg = shared::units::Micrograms(emitted).as_kg();
        totals.self_sufficiency =
            self_sufficiency(totals.import_kwh, totals.load_kwh + totals.charging_kwh + storage_losses_kwh);
        totals
    }

    /// The balance now with the totals as last refreshed.
    pub fn summary(&self, now: Timestamp) -> EnergySummary {
        let park = &self.inner.park;
        let live = &self.inner.live;
        let totals = *self.inner.totals.read();
        let mut oldest = now;
        let mut sum = |group: Group| -> f64 {
            park.groups
                .members(group)
                .iter()
                .filter(|device| live.is_online(device))
                .filter_map(|device| live.reading(device, "power"))
                .map(|reading| {
                    oldest = oldest.min(reading.timestamp);
                    reading.value
                })
                .sum()
        };
        let mut balance = PowerBalance {
            grid_kw: sum(Group::Grid),
            pv_kw: 0.0 - sum(Group::Pv),
            wind_kw: 0.0 - sum(Group::Wind),
            storage_kw: sum(Group::Storage),
            charging_kw: sum(Group::Charging),
            load_kw: sum(Group::Load),
            unaccounted_kw: 0.0,
        };
        balance.unaccounted_kw = balance.grid_kw
            - (balance.load_kw + balance.charging_kw + balance.storage_kw - balance.pv_kw - balance.wind_kw);
        let stored_kwh = park
            .storage
            .iter()
            .filter_map(|unit| Some(live.reading(&unit.device, "soc")?.value / 100.0 * unit.energy_kwh))
            .sum::<f64>();
        let capacity = park.storage_capacity_kwh();
        let scene = &park.scene;
        let band = scene.tariff.band_at(now.local(&park.zone));
        let (devices_online, devices_total) = live.devices_online();
        EnergySummary {
            at: now,
            age_ms: now.since(oldest).max(0),
            provenance: if live.is_simulated() { Provenance::Simulated } else { Provenance::Measured },
            now: balance,
            state_of_charge: (capacity > 0.0).then(|| stored_kwh / capacity),
            stored_kwh,
            storage_capacity_kwh: capacity,
            emission_rate_kg_per_h: balance.grid_kw.max(0.0) * scene.park.emission.kg_per_kwh,
            today: totals.today,
            today_from: totals.from,
            month_peak_kw: totals.month_peak_kw,
            band,
            import_price_per_kwh: scene.tariff.price_per_kwh(band),
            tariff_is_example: scene.tariff.example,
            emission_factor: (&scene.park.emission).into(),
            devices_online,
            devices_total,
        }
    }

    /// Highest demand of this month as last refreshed, kW.
    pub fn month_peak_kw(&self) -> f64 {
        self.inner.totals.read().month_peak_kw
    }

    /// Park curves over `[from, to)`; `from` is moved down to a whole step.
    pub async fn curve(
        &self,
        from: Timestamp,
        to: Timestamp,
        step_s: u32,
        now: Timestamp,
    ) -> Result<EnergyCurve, VppError> {
        let step_ms = i64::from(step_s) * 1000;
        if step_ms < MINUTE_MS || DAY_MS % step_ms != 0 {
            return Err(VppError::BadStep(step_s));
        }
        let start = from.floor_to(step_ms);
        let steps = (to.since(start) + step_ms - 1).div_euclid(step_ms).max(0);
        if steps > MOST_STEPS {
            return Err(VppError::TooManySteps {
                what: "a curve",
                from: from.0,
                to: to.0,
                step_s,
                steps,
                most: MOST_STEPS,
            });
        }
        let end = Timestamp(start.0 + steps * step_ms);
        let mut columns: [Vec<Option<f64>>; 6] = Default::default();
        if step_ms % STEP_MS == 0 {
            let rows = self.rows(start, end.min(now), now).await?;
            for step in 0..steps {
                let at = start.0 + step * step_ms;
                for group in Group::ALL {
                    let known: Vec<f64> =
                        rows.range(at..at + step_ms).filter_map(|(_, row)| row[group as usize]).collect();
                    columns[group as usize]
                        .push((!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64));
                }
            }
        } else {
            let rows = self.read_rows(start, end, step_ms).await?;
            for step in 0..steps {
                let row = rows.get(&(start.0 + step * step_ms)).copied().unwrap_or_default();
                for group in Group::ALL {
                    columns[group as usize].push(row[group as usize]);
                }
            }
        }
        let [grid_kw, pv_kw, wind_kw, storage_kw, charging_kw, load_kw] = columns;
        let positive = |column: Vec<Option<f64>>| column.into_iter().map(|v| v.map(|kw| -kw)).collect();
        Ok(EnergyCurve {
            start,
            step_s,
            grid_kw,
            pv_kw: positive(pv_kw),
            wind_kw: positive(wind_kw),
            storage_kw,
            charging_kw,
            load_kw,
        })
    }

    /// Quarter-hour means of one group over the last `days` up to the running quarter hour, positive in its own sense.
    pub async fn past(&self, group: Group, days: i64, now: Timestamp) -> Result<Series, VppError> {
        let end = now.floor_to(STEP_MS);
        let start = Timestamp(end.0 - days * DAY_MS);
        let rows = self.rows(start, end, now).await?;
        let sign = if matches!(group, Group::Pv | Group::Wind) { -1.0 } else { 1.0 };
        let values = (0..days * DAY_MS / STEP_MS)
            .map(|i| {
                rows.get(&(start.0 + i * STEP_MS)).and_then(|row| row[group as usize]).map(|kw| sign * kw)
            })
            .collect();
        Ok(Series { start, step_ms: STEP_MS, values })
    }

    /// Quarter-hour rows of `[from, to)`, from memory where they are still good.
    async fn rows(
        &self,
        from: Timestamp,
        to: Timestamp,
        now: Timestamp,
    ) -> Result<BTreeMap<i64, Row>, VppError> {
        let from = from.floor_to(STEP_MS);
        let mut known = BTreeMap::new();
        let mut missing: Vec<(i64, i64)> = Vec::new();
        {
            let cache = self.inner.rows.lock();
            let mut start = from.0;
            while start < to.0 {
                match cache.get(&start) {
                    Some((row, read_at)) if self.is_good(start, row, *read_at, now) => {
                        known.insert(start, *row);
                    }
                    _ => match missing.last_mut() {
                        Some((_, end)) if *end == start => *end += STEP_MS,
                        _ => missing.push((start, start + STEP_MS)),
                    },
                }
                start += STEP_MS;
            }
        }
        for (a, b) in missing {
            let read = self.read_rows(Timestamp(a), Timestamp(b), STEP_MS).await?;
            let mut cache = self.inner.rows.lock();
            for start in (a..b).step_by(STEP_MS as usize) {
                let row = read.get(&start).copied().unwrap_or_default();
                if start + STEP_MS <= now.0 {
                    cache.insert(start, (row, now));
                }
                known.insert(start, row);
            }
        }
        // A year of quarter hours in memory is 4 MB; beyond that the oldest are read again when asked for.
        let mut cache = self.inner.rows.lock();
        while cache.len() > MOST_STEPS as usize {
            cache.pop_first();
        }
        Ok(known)
    }

    /// How long a row stays good: the youngest are still being written, an empty one may be about to be back-filled.
    fn is_good(&self, start: i64, row: &Row, read_at: Timestamp, now: Timestamp) -> bool {
        let age = now.since(read_at);
        let freshly_opened = now.since(self.inner.opened) < 15 * MINUTE_MS;
        if freshly_opened && row.iter().all(Option::is_none) {
            age < 5 * SECOND_MS
        } else if freshly_opened || now.0 - start < HOUR_MS {
            age < MINUTE_MS
        } else {
            age < 6 * HOUR_MS
        }
    }

    /// Sums of device means by step, straight from the history.
    async fn read_rows(
        &self,
        from: Timestamp,
        to: Timestamp,
        step_ms: i64,
    ) -> Result<BTreeMap<i64, Row>, VppError> {
        let Ok(power) = "power".parse::<MeasurementKey>() else { return Ok(BTreeMap::new()) };
        let wanted: Vec<(Group, DeviceId)> = Group::ALL
            .into_iter()
            .flat_map(|group| {
                self.inner.park.groups.members(group).iter().map(move |device| (group, device.clone()))
            })
            .collect();
        let buckets = stream::iter(wanted.into_iter().map(|(group, device)| {
            let key = SeriesKey { device, measurement: power.clone() };
            let history = self.inner.history.clone();
            async move { history.buckets(&key, from, to, step_ms).await.map(|b| (group, b)) }
        }))
        .buffer_unordered(READS_AT_ONCE)
        .try_collect::<Vec<_>>()
        .await?;
        let mut rows: BTreeMap<i64, Row> = BTreeMap::new();
        for (group, buckets) in buckets {
            for bucket in buckets {
                let cell = &mut rows.entry(bucket.start.0).or_default()[group as usize];
                *cell = Some(cell.unwrap_or(0.0) + bucket.all.mean());
            }
        }
        Ok(rows)
    }
}

/// 1 − import ÷ use, not below 0; absent while nothing was used.
pub fn self_sufficiency(import_kwh: f64, used_kwh: f64) -> Option<f64> {
    (used_kwh > 0.0).then(|| (1.0 - import_kwh / used_kwh).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_park;
    use history::{HistoryOptions, Point};
    use shared::telemetry::{Quality, Reading};

    struct Fixed;

    impl LiveValues for Fixed {
        fn hold(&self, _: &DeviceId, _: Timestamp) -> Option<shared::command::Hold> {
            None
        }
        fn reading(&self, device: &DeviceId, measurement: &str) -> Option<Reading> {
            let value = match (device.as_str(), measurement) {
                ("grid", "power") => 520.0,
                ("pv", "power") => -200.0,
                ("bess", "power") => 100.0,
                ("bess", "soc") => 40.0,
                ("charger", "power") => 20.0,
                ("load", "power") => 590.0,
                _ => return None,
            };
            Some(Reading { value, timestamp: Timestamp(now().0 - 1500), quality: Quality::Good })
        }
        fn is_online(&self, _: &DeviceId) -> bool {
            true
        }
        fn devices_online(&self) -> (u32, u32) {
            (5, 5)
        }
        fn is_simulated(&self) -> bool {
            true
        }
    }

    fn now() -> Timestamp {
        Timestamp::parse("2026-07-13T10:07:30+08:00").unwrap()
    }

    /// Four samples a quarter hour: 400 kW import, 100 kW PV, storage charging at 50 kW, 450 kW load.
    async fn book(folder: &std::path::Path) -> EnergyBook {
        let options = HistoryOptions { folder: folder.to_owned(), ..HistoryOptions::default() };
        let history = History::open(options).await.unwrap();
        let midnight = Timestamp::parse("2026-07-13T00:00:00+08:00").unwrap();
        let points = [("grid", 400.0), ("pv", -100.0), ("bess", 50.0), ("load", 450.0)]
            .into_iter()
            .flat_map(|(device, value)| {
                (midnight.0..now().0).step_by(225_000).map(move |t| Point {
                    series: SeriesKey {
                        device: device.parse().unwrap(),
                        measurement: "power".parse().unwrap(),
                    },
                    reading: Reading { value, timestamp: Timestamp(t), quality: Quality::Good },
                })
            })
            .collect();
        history.append(points).await.unwrap();
        let park = ParkContext::new(test_park::scene(2000.0)).unwrap();
        EnergyBook::new(park, history, Arc::new(Fixed), now())
    }

    #[tokio::test]
    async fn todays_totals_follow_from_the_curves() {
        let folder = tempfile::tempdir().unwrap();
        let book = book(folder.path()).await;
        book.refresh(now()).await.unwrap();
        let summary = book.summary(now());
        let hours = 10.125;
        let today = summary.today;
        assert!((today.import_kwh - 400.0 * hours).abs() < 1e-6, "{}", today.import_kwh);
        assert!((today.pv_kwh - 100.0 * hours).abs() < 1e-6);
        assert!((today.charge_kwh - 50.0 * hours).abs() < 1e-6);
        assert!((today.emissions_kg - 400.0 * hours * 0.5827).abs() < 1e-3);
        // Eight hours of valley, the rest flat.
        let cost = 400.0 * (8.0 * 0.3 + 2.125 * 0.7);
        assert!((today.cost_yuan - cost).abs() < 1e-6, "{} {cost}", today.cost_yuan);
        let used = (450.0 + 50.0 * 0.05) * hours;
        assert!((today.self_sufficiency.unwrap() - (1.0 - 400.0 * hours / used)).abs() < 1e-9);
        assert_eq!(summary.month_peak_kw, 400.0);
    }

    #[tokio::test]
    async fn the_balance_closes_and_says_how_old_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let summary = book(folder.path()).await.summary(now());
        assert_eq!(summary.now.pv_kw, 200.0);
        assert!((summary.now.unaccounted_kw - (520.0 - (590.0 + 20.0 + 100.0 - 200.0))).abs() < 1e-9);
        assert_eq!(summary.age_ms, 1500);
        assert_eq!(summary.provenance, Provenance::Simulated);
        assert_eq!(summary.state_of_charge, Some(0.4));
    }

    #[tokio::test]
    async fn a_curve_has_holes_where_nothing_was_measured() {
        let folder = tempfile::tempdir().unwrap();
        let book = book(folder.path()).await;
        let from = Timestamp::parse("2026-07-12T23:00:00+08:00").unwrap();
        let curve = book.curve(from, Timestamp(from.0 + 2 * HOUR_MS), 900, now()).await.unwrap();
        assert_eq!(curve.grid_kw[..4], [None; 4]);
        assert_eq!(curve.grid_kw[4..], [Some(400.0); 4]);
        assert_eq!(curve.pv_kw[4], Some(100.0));
        assert!(matches!(book.curve(from, now(), 7, now()).await, Err(VppError::BadStep(7))));
    }
}
