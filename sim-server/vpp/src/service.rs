//! The planning loop on the live park.
//!
//! Every five minutes, and whenever someone asks: read what is known, plan, send the first step's set-points, publish
//! the plan. Between plans storage is held back where more is drawn than foreseen ([`crate::guard`]). While the history is too short for a forecast it plans again every few seconds, so that a back-fill is
//! used as soon as it is there.

use crate::{
    EnergyBook, LiveValues, VppError,
    clear_sky::ClearSky,
    groups::Group,
    guard::{Measured, guarded},
    park::ParkContext,
    planner::{self, CarState, PlanInputs, Planned, STEP_MS, StorageState},
    set_points::{self, SetPoints},
    tracking,
};
use history::History;
use optimizer::SolveOptions;
use parking_lot::Mutex;
use shared::{
    command::CommandRequest,
    id::DeviceId,
    plan::{PlanTracking, PlanView},
    time::{MINUTE_MS, Timestamp},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// How the loop runs.
#[derive(Debug, Clone)]
pub struct VppOptions {
    pub plan_every: Duration,
    /// How soon to plan again while there is no day of history yet.
    pub retry_without_history: Duration,
    /// Longest a solve may take; the best plan found by then is used, with its gap.
    pub solve_limit: Duration,
    /// Days of history forecasts look at.
    pub history_days: i64,
    /// How often storage is held back, or let go again, by what is measured.
    pub guard_every: Duration,
    /// Values of steered devices older than this count as unknown: the device is left to its own rule.
    pub stale_after: Duration,
}

impl Default for VppOptions {
    fn default() -> Self {
        Self {
            plan_every: Duration::from_secs(300),
            retry_without_history: Duration::from_secs(10),
            solve_limit: Duration::from_secs(20),
            history_days: 14,
            guard_every: Duration::from_secs(5),
            stale_after: Duration::from_secs(120),
        }
    }
}

/// Smaller corrections are not worth a command.
const LEAST_CORRECTION_KW: f64 = 20.0;

type Answer = oneshot::Sender<Result<Arc<PlanView>, VppError>>;

/// A handle on the planning loop.
#[derive(Clone)]
pub struct Vpp {
    plans: watch::Receiver<Arc<PlanView>>,
    requests: mpsc::Sender<Answer>,
    tracking: Arc<Mutex<PlanTracking>>,
}

/// The loop itself, to be run by the binary.
pub struct PlanLoop {
    park: ParkContext,
    sky: ClearSky,
    energy: EnergyBook,
    history: History,
    live: Arc<dyn LiveValues>,
    commands: mpsc::Sender<CommandRequest>,
    options: VppOptions,
    plans: watch::Sender<Arc<PlanView>>,
    requests: mpsc::Receiver<Answer>,
    tracking: Arc<Mutex<PlanTracking>>,
    /// What the plan asks for in its running step.
    planned: SetPoints,
    /// What was last sent: the plan's, or held back by the guard.
    sent: SetPoints,
    ceiling_kw: f64,
    /// Storage units the last plan could use: when that changes, the plan is out of date.
    units_planned: usize,
    version: u64,
}

impl Vpp {
    /// A handle and its loop. `commands` takes the set-points; when it is full the loop waits.
    pub fn new(
        energy: EnergyBook,
        history: History,
        live: Arc<dyn LiveValues>,
        commands: mpsc::Sender<CommandRequest>,
        options: VppOptions,
        now: Timestamp,
    ) -> (Vpp, PlanLoop) {
        let (plans_out, plans) = watch::channel(Arc::new(no_plan(now)));
        let (requests, requests_in) = mpsc::channel(16);
        let tracking = Arc::new(Mutex::new(PlanTracking::default()));
        let park = energy.park().clone();
        let plan_loop = PlanLoop {
            sky: ClearSky::of(&park.scene),
            park,
            energy,
            history,
            live,
            commands,
            options,
            plans: plans_out,
            requests: requests_in,
            tracking: Arc::clone(&tracking),
            planned: SetPoints::new(),
            sent: SetPoints::new(),
            ceiling_kw: f64::INFINITY,
            units_planned: 0,
            version: 0,
        };
        (Vpp { plans, requests, tracking }, plan_loop)
    }

    /// The plan in force; version 0 before the first.
    pub fn plan(&self) -> Arc<PlanView> {
        self.plans.borrow().clone()
    }

    /// Tells of every new plan.
    pub fn watch(&self) -> watch::Receiver<Arc<PlanView>> {
        self.plans.clone()
    }

    /// Plans at once and gives the new plan.
    pub async fn plan_now(&self) -> Result<Arc<PlanView>, VppError> {
        let (answer, result) = oneshot::channel();
        self.requests.send(answer).await.map_err(|_| VppError::Stopped)?;
        result.await.map_err(|_| VppError::Stopped)?
    }

    /// Planned against measured over the last day.
    pub fn tracking(&self) -> PlanTracking {
        self.tracking.lock().clone()
    }
}

fn no_plan(now: Timestamp) -> PlanView {
    PlanView {
        version: 0,
        made_at: now,
        start: now.floor_to(STEP_MS),
        step_s: (STEP_MS / 1000) as u32,
        status: shared::plan::PlanStatus::Infeasible,
        objective_yuan: None,
        baseline_yuan: None,
        gap: None,
        solve_ms: 0.0,
        grid_kw: Vec::new(),
        load_kw: Vec::new(),
        renewable_available_kw: Vec::new(),
        renewable_kw: Vec::new(),
        storage_kw: Vec::new(),
        charging_kw: Vec::new(),
        stored_kwh: Vec::new(),
        import_price_per_kwh: Vec::new(),
        emission_factor_kg_per_kwh: Vec::new(),
        devices: Vec::new(),
        infeasible: Vec::new(),
    }
}

impl PlanLoop {
    pub async fn run(mut self, clock: impl Fn() -> Timestamp, shutdown: CancellationToken) {
        let mut next_plan = tokio::time::Instant::now();
        let mut guard = tokio::time::interval(self.options.guard_every);
        guard.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let answer = tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep_until(next_plan) => None,
                answer = self.requests.recv() => answer,
                _ = guard.tick() => {
                    let now = clock();
                    if self.guard(now).await.is_err() {
                        return;
                    }
                    if self.storage(now).len() == self.units_planned {
                        continue;
                    }
                    None
                }
            };
            let result = self.plan_once(clock()).await;
            next_plan = tokio::time::Instant::now()
                + match &result {
                    Ok((_, basis_days)) if *basis_days > 0 => self.options.plan_every,
                    _ => self.options.retry_without_history,
                };
            if let Err(error) = &result {
                tracing::error!(%error, "no plan made");
            }
            if let Some(answer) = answer {
                // Whoever asked may have gone; the plan stands all the same.
                let _ = answer.send(result.map(|(view, _)| view));
            }
        }
    }

    async fn plan_once(&mut self, now: Timestamp) -> Result<(Arc<PlanView>, usize), VppError> {
        let inputs = self.inputs(now).await?;
        self.units_planned = inputs.storage.len();
        let options = SolveOptions { time_box_seconds: self.options.solve_limit.as_secs_f64() };
        let (park, sky) = (self.park.clone(), self.sky.clone());
        let started = Instant::now();
        let planned = tokio::task::spawn_blocking(move || {
            planner::make_plan(&park, &sky, &inputs, &options, &|| started.elapsed().as_secs_f64())
        })
        .await
        .map_err(|_| VppError::Stopped)??;
        let Planned { mut view, devices, ceiling_kw, basis_days, .. } = planned;
        self.version += 1;
        view.version = self.version;
        view.solve_ms = started.elapsed().as_secs_f64() * 1e3;
        tracing::info!(
            version = view.version,
            status = ?view.status,
            objective_yuan = view.objective_yuan,
            baseline_yuan = view.baseline_yuan,
            solve_ms = view.solve_ms,
            basis_days,
            "planned"
        );
        match &devices {
            Some(devices) => {
                self.planned = set_points::of_step(&self.park, devices, 0);
                self.ceiling_kw = ceiling_kw;
            }
            None => {
                tracing::warn!(reasons = ?view.infeasible, "no feasible plan; set-points stay as they were");
            }
        }
        let set_points = self.held_back(now);
        self.send(&set_points, now).await?;
        self.sent = set_points;
        let view = Arc::new(view);
        tracking::record(&self.history, &view).await;
        match tracking::over_last_day(&self.history, &self.energy, now).await {
            Ok(tracking) => *self.tracking.lock() = tracking,
            Err(error) => tracing::warn!(%error, "plan against actual not refreshed"),
        }
        self.plans.send_replace(Arc::clone(&view));
        Ok((view, basis_days))
    }

    async fn send(&self, set_points: &SetPoints, now: Timestamp) -> Result<(), VppError> {
        for command in set_points::commands(set_points, self.version, now) {
            self.commands.send(command).await.map_err(|_| VppError::Stopped)?;
        }
        Ok(())
    }

    /// Corrects storage where what is measured asks for it.
    async fn guard(&mut self, now: Timestamp) -> Result<(), VppError> {
        let wanted = self.held_back(now);
        let changed: SetPoints = wanted
            .iter()
            .filter(|(device, kw)| {
                self.sent.get(*device).is_none_or(|sent| (sent - **kw).abs() > LEAST_CORRECTION_KW)
            })
            .map(|(device, kw)| (device.clone(), *kw))
            .collect();
        self.send(&changed, now).await?;
        self.sent.extend(changed);
        Ok(())
    }

    /// The plan's set-points, held back by what is measured now; as planned while nothing is measured.
    fn held_back(&self, now: Timestamp) -> SetPoints {
        let meters = self.park.groups.members(Group::Grid);
        let grid: Option<f64> = meters.iter().map(|meter| self.fresh(meter, "power", now)).sum();
        let storage = self.storage(now);
        let storage_kw: Option<f64> =
            storage.iter().map(|state| self.fresh(&self.park.storage[state.unit].device, "power", now)).sum();
        match (grid, storage_kw) {
            (Some(grid_kw), Some(storage_kw)) if !meters.is_empty() => {
                let measured = Measured { grid_kw, storage_kw };
                guarded(&self.park, &self.planned, &storage, measured, self.ceiling_kw)
            }
            _ => self.planned.clone(),
        }
    }

    /// A value of a device that is there and spoke lately.
    fn fresh(&self, device: &DeviceId, measurement: &str, now: Timestamp) -> Option<f64> {
        let stale_ms = i64::try_from(self.options.stale_after.as_millis()).unwrap_or(i64::MAX);
        self.live
            .reading(device, measurement)
            .filter(|r| self.live.is_online(device) && now.since(r.timestamp) <= stale_ms)
            .map(|r| r.value)
    }

    fn storage(&self, now: Timestamp) -> Vec<StorageState> {
        let units = self.park.storage.iter().enumerate();
        units
            .filter_map(|(unit, storage)| {
                let percent = self.fresh(&storage.device, "soc", now)?;
                Some(StorageState { unit, state_of_charge: percent / 100.0 })
            })
            .collect()
    }

    async fn inputs(&self, now: Timestamp) -> Result<PlanInputs, VppError> {
        let days = self.options.history_days;
        self.energy.refresh(now).await?;
        let cars = self
            .park
            .charging
            .iter()
            .enumerate()
            .filter_map(|(point, charger)| {
                let plugged = self.fresh(&charger.device, "plugged", now)? > 0.5;
                let energy_needed_kwh = self.fresh(&charger.device, "session_energy_needed", now)?;
                let minutes = self.fresh(&charger.device, "departure_in", now)?;
                let departure = Timestamp(now.0 + (minutes * MINUTE_MS as f64) as i64);
                plugged.then_some(CarState { point, energy_needed_kwh, departure })
            })
            .collect();
        Ok(PlanInputs {
            now,
            past_load: self.energy.past(Group::Load, days, now).await?,
            past_charging: self.energy.past(Group::Charging, days, now).await?,
            past_pv: self.energy.past(Group::Pv, days, now).await?,
            past_wind: self.energy.past(Group::Wind, days, now).await?,
            storage: self.storage(now),
            cars,
            incurred_peak_kw: self.energy.month_peak_kw(),
        })
    }
}
