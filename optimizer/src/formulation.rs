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
//! The never-both rules are not linear: [`Pair`]s carry them to [`exclusive`](crate::exclusive).

mod battery;
mod curtailable;
mod ev_session;
mod grid;
mod photovoltaics;

use crate::infeasible::Limit;
use crate::plan::Plan;
use crate::problem::DispatchProblem;
use crate::program::{Column, Point, Program, Term};

/// How limits that can make a problem infeasible are stated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limits {
    /// They hold, and the objective is the plan's cost.
    Hard,
    /// They may be exceeded, and the objective is by how much.
    Elastic,
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
    pub(crate) program: Program,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) slacks: Vec<Slack>,
    columns: Columns,
}

/// Where each device's decisions stand.
struct Columns {
    photovoltaics: photovoltaics::PhotovoltaicColumns,
    batteries: Vec<battery::BatteryColumns>,
    ev_sessions: Vec<ev_session::EvColumns>,
    curtailable_loads: Vec<curtailable::CurtailableColumns>,
    grid: grid::GridColumns,
}

impl Formulation {
    /// States a valid problem.
    pub(crate) fn new(problem: &DispatchProblem, limits: Limits) -> Self {
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
            ev_sessions: each(&problem.ev_sessions, |session| ev_session::state(session, &mut statement)),
            curtailable_loads: each(&problem.curtailable_loads, |load| {
                curtailable::state(load, &mut statement)
            }),
            grid: grid::state(problem, &mut statement),
        };
        let Statement { program, pairs, slacks, .. } = statement;
        Self { program, pairs, slacks, columns }
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
            ev_sessions: together(&problem.ev_sessions, &columns.ev_sessions, |session, columns| {
                columns.plan(session, problem.steps, point)
            }),
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

/// A column's value as a plan states it: the solver's tolerance leaves values like −3·10⁻¹⁷ behind.
fn settled(value: f64) -> f64 {
    if value.abs() < 1e-9 { 0.0 } else { value }
}
