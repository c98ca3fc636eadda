//! The planning loop on the live park.
//!
//! Every five minutes, and whenever someone asks: read what is known, plan, send the first step's set-points, publish
//! the plan. While the history is too short for a forecast it plans again every few seconds, so that a back-fill is
//! used as soon as it is there.

use crate::{
    EnergyBook, LiveValues, VppError,
    clear_sky::ClearSky,
    groups::Group,
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
            stale_after: Duration::from_secs(120),
        }
    }
}

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
    last_set_points: SetPoints,
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
            last_set_points: SetPoints::new(),
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
        let mut wait = Duration::ZERO;
        loop {
            let answer = tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => None,
                answer = self.requests.recv() => answer,
            };
            let result = self.plan_once(clock()).await;
            wait = match &result {
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
        let options = SolveOptions { time_box_seconds: self.options.solve_limit.as_secs_f64() };
        let (park, sky) = (self.park.clone(), self.sky.clone());
        let started = Instant::now();
        let planned = tokio::task::spawn_blocking(move || {
            planner::make_plan(&park, &sky, &inputs, &options, &|| started.elapsed().as_secs_f64())
        })
        .await
        .map_err(|_| VppError::Stopped)??;
        let Planned { mut view, devices, basis_days, .. } = planned;
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
            Some(devices) => self.last_set_points = set_points::of_step(&self.park, devices, 0),
            None => {
                tracing::warn!(reasons = ?view.infeasible, "no feasible plan; set-points stay as they were")
            }
        }
        for command in set_points::commands(&self.last_set_points, self.version, now) {
            if self.commands.send(command).await.is_err() {
                return Err(VppError::Stopped);
            }
        }
        let view = Arc::new(view);
        tracking::record(&self.history, &view).await;
        match tracking::over_last_day(&self.history, &self.energy, now).await {
            Ok(tracking) => *self.tracking.lock() = tracking,
            Err(error) => tracing::warn!(%error, "plan against actual not refreshed"),
        }
        self.plans.send_replace(Arc::clone(&view));
        Ok((view, basis_days))
    }

    async fn inputs(&self, now: Timestamp) -> Result<PlanInputs, VppError> {
        let days = self.options.history_days;
        self.energy.refresh(now).await?;
        let stale_ms = i64::try_from(self.options.stale_after.as_millis()).unwrap_or(i64::MAX);
        let fresh = |device: &shared::id::DeviceId, key: &str| {
            self.live
                .reading(device, key)
                .filter(|r| self.live.is_online(device) && now.since(r.timestamp) <= stale_ms)
                .map(|r| r.value)
        };
        let storage = self
            .park
            .storage
            .iter()
            .enumerate()
            .filter_map(|(unit, storage)| {
                let percent = fresh(&storage.device, "soc")?;
                Some(StorageState { unit, state_of_charge: percent / 100.0 })
            })
            .collect();
        let cars = self
            .park
            .charging
            .iter()
            .enumerate()
            .filter_map(|(point, charger)| {
                let plugged = fresh(&charger.device, "plugged")? > 0.5;
                let energy_needed_kwh = fresh(&charger.device, "session_energy_needed")?;
                let minutes = fresh(&charger.device, "departure_in")?;
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
            storage,
            cars,
            incurred_peak_kw: self.energy.month_peak_kw(),
        })
    }
}
