//! The planning loop on the live park.
//!
//! Every five minutes, and whenever someone asks: read what is known, plan, send the first step's set-points, publish
//! the plan. Between plans storage is held back where more is drawn than foreseen ([`crate::guard`]). A device that a
//! person has taken in hand is left alone until its set-point ends. While the history is too short for a forecast it plans
//! again every few seconds, so that a back-fill is used as soon as it is there.

use crate::{
    EnergyBook, LiveValues, VppError,
    clear_sky::ClearSky,
    groups::Group,
    guard::{Measured, guarded},
    park::ParkContext,
    planner::{self, CarState, HeldPower, PlanInputs, Planned, STEP_MS, STEPS, StorageState},
    set_points::{self, SetPoints},
    tracking,
};
use history::History;
use optimizer::SolveOptions;
use parking_lot::Mutex;
use shared::{
    command::CommandRequest,
    id::DeviceId,
    plan::{PlanStatus, PlanTracking, PlanView},
    text::Text,
    time::{HOUR_MS, MINUTE_MS, Timestamp},
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
    trouble: watch::Receiver<Option<Text>>,
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
    trouble: watch::Sender<Option<Text>>,
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
        let (trouble_out, trouble) = watch::channel(None);
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
            trouble: trouble_out,
            requests: requests_in,
            tracking: Arc::clone(&tracking),
            planned: SetPoints::new(),
            sent: SetPoints::new(),
            ceiling_kw: f64::INFINITY,
            units_planned: 0,
            version: 0,
        };
        (Vpp { plans, trouble, requests, tracking }, plan_loop)
    }

    /// The plan in force; version 0 before the first.
    pub fn plan(&self) -> Arc<PlanView> {
        self.plans.borrow().clone()
    }

    /// Tells of every new plan.
    pub fn watch(&self) -> watch::Receiver<Arc<PlanView>> {
        self.plans.clone()
    }

    /// Why the park has no plan it could follow now; nothing while it has one.
    pub fn watch_trouble(&self) -> watch::Receiver<Option<Text>> {
        self.trouble.clone()
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
        status: PlanStatus::Pending,
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
        emission_factor_before_kg_per_kwh: Vec::new(),
        devices: Vec::new(),
        infeasible: Vec::new(),
    }
}

/// What a person must know of how planning went; nothing when a plan was made.
fn trouble_of(result: &Result<(Arc<PlanView>, usize), VppError>) -> Option<Text> {
    match result {
        Ok((plan, _)) if plan.status == PlanStatus::Infeasible => {
            let reason = plan.infeasible.first().cloned().unwrap_or_else(|| Text::new("未知", "unknown"));
            Some(Text::new(
                format!("调度计划无可行解：{}", reason.zh),
                format!("no feasible dispatch plan: {}", reason.en),
            ))
        }
        Ok(_) => None,
        Err(error) => Some(Text::new(
            format!("未能生成调度计划：{error}"),
            format!("no dispatch plan could be made: {error}"),
        )),
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
            let trouble = trouble_of(&result);
            self.trouble.send_if_modified(|before| std::mem::replace(before, trouble.clone()) != trouble);
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

    /// Asks devices for their set-points, save those that a person has taken in hand.
    async fn send(&self, set_points: &SetPoints, now: Timestamp) -> Result<(), VppError> {
        let mut free = set_points.clone();
        free.retain(|device, _| self.live.hold(device, now).is_none());
        for command in set_points::commands(&free, self.version, self.set_point_duration_s(), now) {
            self.commands.send(command).await.map_err(|_| VppError::Stopped)?;
        }
        Ok(())
    }

    /// A set-point outlasts two failed plans.
    fn set_point_duration_s(&self) -> i64 {
        let until_third_plan = 3 * i64::try_from(self.options.plan_every.as_secs()).unwrap_or(i64::MAX / 3);
        until_third_plan.max(set_points::SET_POINT_DURATION_S)
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

    /// The storage the plan may steer.
    fn storage(&self, now: Timestamp) -> Vec<StorageState> {
        let units = self.park.storage.iter().enumerate();
        units
            .filter(|(_, storage)| self.live.hold(&storage.device, now).is_none())
            .filter_map(|(unit, storage)| {
                let percent = self.fresh(&storage.device, "soc", now)?;
                Some(StorageState { unit, state_of_charge: percent / 100.0 })
            })
            .collect()
    }

    /// What people have taken in hand: what it draws or feeds in, for as long as it lasts.
    fn held(&self, now: Timestamp) -> Vec<HeldPower> {
        let horizon = Timestamp(now.0 + STEPS as i64 * STEP_MS);
        let held = |power_kw: f64, until: Option<Timestamp>, kwh: f64| {
            // There is no longer room or need for it once it has moved this much energy.
            let hours = if power_kw == 0.0 { f64::INFINITY } else { (kwh / power_kw).max(0.0) };
            let spent = Timestamp(now.0.saturating_add((hours * HOUR_MS as f64) as i64));
            HeldPower { power_kw, until: until.unwrap_or(horizon).min(spent) }
        };
        let storage = self.park.storage.iter().filter_map(|unit| {
            let hold = self.live.hold(&unit.device, now)?;
            let stored_kwh = self.fresh(&unit.device, "soc", now)? / 100.0 * unit.energy_kwh;
            let power_kw = hold.power_kw.clamp(-unit.discharge_kw, unit.charge_kw);
            let kwh = if power_kw > 0.0 {
                (unit.soc_max * unit.energy_kwh - stored_kwh) / unit.charge_efficiency
            } else {
                (unit.soc_min * unit.energy_kwh - stored_kwh) * unit.discharge_efficiency
            };
            Some(held(power_kw, hold.until, kwh))
        });
        let charging = self.park.charging.iter().filter_map(|point| {
            let hold = self.live.hold(&point.device, now)?;
            let needed_kwh = self.fresh(&point.device, "session_energy_needed", now)?;
            let power_kw = hold.power_kw.clamp(0.0, point.power_kw);
            Some(held(power_kw, hold.until, needed_kwh / point.efficiency))
        });
        storage.chain(charging).collect()
    }

    async fn inputs(&self, now: Timestamp) -> Result<PlanInputs, VppError> {
        let days = self.options.history_days;
        self.energy.refresh(now).await?;
        let cars = self
            .park
            .charging
            .iter()
            .enumerate()
            .filter(|(_, charger)| self.live.hold(&charger.device, now).is_none())
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
            held: self.held(now),
            incurred_peak_kw: self.energy.month_peak_kw(),
        })
    }
}
