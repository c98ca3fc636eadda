//! The reference formulation: a problem in, a linear program out, a plan back.
//!
//! Every kind of device is a file of its own under this module with the same three parts: `state` adds its columns
//! and rows, its entries in the power balance and what it could at most draw or feed; the columns it keeps; and
//! `plan` reads them back. The grid is stated last, because it closes the balance. A new kind of device is a new file
//! and two lines here.
//!
//! ```text
//! import − export + pv + Σ discharge + Σ cut = load + Σ charge + Σ ev        every step
//! ```
//!
//! Two things do not fit into rows that could be listed: the never-both rules are not linear ([`Pair`]), and what
//! vehicles can share takes too many rows ([`Formulation::cuts`]). [`search`](crate::search) enforces both where a
//! plan breaks them.

mod battery;
mod curtailable;
mod fleet;
mod grid;
mod photovoltaics;

use crate::infeasible::Limit;
use crate::plan::{EvPlan, Plan};
use crate::problem::DispatchProblem;
use crate::program::{Column, Point, Program, Term};

pub(crate) use fleet::Cut;

/// How limits that can make a problem infeasible are stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limits {
    /// They hold, and the objective is the plan's cost.
    Hard,
    /// They may be exceeded, and the objective is by how much.
    Elastic,
}

/// How vehicles are stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vehicles {
    /// Each with a column per step.
    Each,
    /// As fleets, whose power is shared among them afterwards.
    Together,
}

/// Vehicles' columns from which fleets are faster. Measured with 10 batteries and a demand charge: 5,200 columns (200
/// vehicles) 60 ms against 85 ms, 13,200 (500) 60 ms against 200 ms, 51,500 (2,000) 150 ms against 1,100 ms; but
/// 1,100 columns 50 ms against 9 ms.
const MANY_COLUMNS: usize = 4_000;

impl Vehicles {
    /// The faster way for a problem.
    pub(crate) fn of(problem: &DispatchProblem) -> Self {
        let stays = problem.ev_sessions.iter().map(|session| session.departure_step - session.arrival_step);
        if stays.sum::<usize>() > MANY_COLUMNS { Self::Together } else { Self::Each }
    }
}

/// Two columns of which one must be zero.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) forward: Direction,
    pub(crate) backward: Direction,
}

/// One side of a [`Pair`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Direction {
    pub(crate) column: Column,
    /// Its upper bound.
    pub(crate) most: f64,
    /// What a unit of it moves, to tell in which direction both together go.
    pub(crate) weight: f64,
}

/// By how much a limit is exceeded in a step.
pub(crate) struct Slack {
    pub(crate) column: Column,
    pub(crate) limit: Limit,
    pub(crate) step: usize,
}

/// What the devices add to while they are stated.
pub(crate) struct Statement {
    pub(crate) program: Program,
    pub(crate) hours: f64,
    pub(crate) limits: Limits,
    /// Supply minus demand of every step, without the inflexible load.
    pub(crate) balance: Vec<Vec<Term>>,
    /// The most that flexible devices can draw in every step, kW.
    pub(crate) most_drawn_kw: Vec<f64>,
    /// The most that devices can feed in every step, kW.
    pub(crate) most_fed_kw: Vec<f64>,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) slacks: Vec<Slack>,
}

/// A stated problem.
pub(crate) struct Formulation {
    pub(crate) pairs: Vec<Pair>,
    pub(crate) slacks: Vec<Slack>,
    columns: Columns,
}

/// Where each device's decisions stand.
struct Columns {
    photovoltaics: photovoltaics::PhotovoltaicColumns,
    batteries: Vec<battery::BatteryColumns>,
    fleets: Vec<fleet::Fleet>,
    curtailable_loads: Vec<curtailable::CurtailableColumns>,
    grid: grid::GridColumns,
}

impl Formulation {
    /// States a valid problem.
    pub(crate) fn new(problem: &DispatchProblem, limits: Limits, vehicles: Vehicles) -> (Self, Program) {
        let mut statement = Statement {
            program: Program::default(),
            hours: problem.step_hours(),
            limits,
            balance: vec![Vec::new(); problem.steps],
            most_drawn_kw: vec![0.0; problem.steps],
            most_fed_kw: vec![0.0; problem.steps],
            pairs: Vec::new(),
            slacks: Vec::new(),
        };
        let columns = Columns {
            photovoltaics: photovoltaics::state(problem, &mut statement),
            batteries: each(&problem.batteries, |battery| battery::state(battery, &mut statement)),
            fleets: fleet::state(problem, vehicles, &mut statement),
            curtailable_loads: each(&problem.curtailable_loads, |load| {
                curtailable::state(load, &mut statement)
            }),
            grid: grid::state(problem, &mut statement),
        };
        let Statement { program, pairs, slacks, .. } = statement;
        (Self { pairs, slacks, columns }, program)
    }

    /// Rows that a point breaks although they were not stated; none if it is a plan, the never-both rules aside.
    pub(crate) fn cuts(&mut self, point: &Point) -> Vec<Cut> {
        let Columns { fleets, grid, .. } = &mut self.columns;
        fleets.iter_mut().flat_map(|fleet| fleet.cuts(point, grid.balance())).collect()
    }

    /// The decisions at a point.
    pub(crate) fn plan(&self, problem: &DispatchProblem, point: &Point) -> Plan {
        let columns = &self.columns;
        let (import_kw, export_kw) = columns.grid.plan(point);
        let incurred = problem.grid.incurred_peak_kw;
        Plan {
            peak_kw: import_kw.iter().copied().fold(incurred, f64::max),
            import_kw,
            export_kw,
            pv_kw: columns.photovoltaics.plan(point),
            batteries: together(&problem.batteries, &columns.batteries, |battery, columns| {
                columns.plan(battery, point)
            }),
            ev_sessions: ev_plans(problem, &columns.fleets, point),
            curtailable_loads: together(
                &problem.curtailable_loads,
                &columns.curtailable_loads,
                |load, columns| columns.plan(load, point),
            ),
        }
    }
}

impl Statement {
    /// A column whose cost counts in the objective only while limits are hard.
    pub(crate) fn column(&mut self, low: f64, high: f64, cost: f64) -> Column {
        let cost = if self.limits == Limits::Hard { cost } else { 0.0 };
        self.program.column(low, high, cost)
    }

    /// A column that also costs a little while limits are elastic, so that nothing moves without need.
    pub(crate) fn reluctant_column(&mut self, high: f64, cost: f64) -> Column {
        let cost = if self.limits == Limits::Hard { cost } else { RELUCTANCE * self.hours };
        self.program.column(0.0, high, cost)
    }

    /// A way around a limit in a step, where limits are elastic.
    pub(crate) fn slack(
        &mut self,
        limit: impl FnOnce() -> Limit,
        step: usize,
        weight: f64,
    ) -> Option<Column> {
        (self.limits == Limits::Elastic).then(|| {
            let column = self.program.column(0.0, f64::INFINITY, weight);
            self.slacks.push(Slack { column, limit: limit(), step });
            column
        })
    }

    pub(crate) fn steps(&self) -> usize {
        self.balance.len()
    }
}

/// Small against the weights of the limits, large against the solver's tolerance.
const RELUCTANCE: f64 = 1e-4;

fn each<T, C>(devices: &[T], state: impl FnMut(&T) -> C) -> Vec<C> {
    devices.iter().map(state).collect()
}

fn together<T, C, P>(devices: &[T], columns: &[C], plan: impl Fn(&T, &C) -> P) -> Vec<P> {
    devices.iter().zip(columns).map(|(device, columns)| plan(device, columns)).collect()
}

fn ev_plans(problem: &DispatchProblem, fleets: &[fleet::Fleet], point: &Point) -> Vec<EvPlan> {
    let mut plans: Vec<(usize, EvPlan)> =
        fleets.iter().flat_map(|fleet| fleet.plans(problem, point)).collect();
    plans.sort_by_key(|(index, _)| *index);
    plans.into_iter().map(|(_, plan)| plan).collect()
}

/// A column's value as a plan states it: the solver's tolerance leaves values like −3·10⁻¹⁷ behind.
fn settled(value: f64) -> f64 {
    if value.abs() < 1e-9 { 0.0 } else { value }
}
