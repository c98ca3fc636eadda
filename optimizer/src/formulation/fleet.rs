//! Vehicles: energy until departure, or a priced shortfall.
//!
//! ```text
//! Σ_t h · efficiency · power_t + shortfall = energy_needed        every session
//! ```
//!
//! Stated one by one, vehicles are most of the program: 500 of them are 14,000 columns. But the balance sees only their
//! sum, and vehicles to whom missing a kilowatt for a step costs the same can be one fleet. Its power `fleet_t` can be
//! shared among its vehicles exactly if, for every set S of steps, they can take that much in them (max-flow min-cut;
//! Gale 1957, Hoffman 1960):
//!
//! ```text
//! Σ_{t∈S} fleet_t ≤ Σ_vehicles min(need, limit · |S ∩ stay|)
//! ```
//!
//! There are too many sets to list them, but few matter. A plan is solved for, the sets it breaks are found and added,
//! until it can be shared out: the optimum is the same as with every vehicle by itself, which is a fleet of one and
//! needs no such rows.

use std::collections::{BTreeMap, BTreeSet};

use super::{Statement, Vehicles, settled};
use crate::flow::{Stay, Stays};
use crate::plan::EvPlan;
use crate::problem::{DispatchProblem, EvSession};
use crate::program::{Column, Point, Row, Term};

pub(super) struct Fleet {
    /// The sessions' positions in the problem.
    sessions: Vec<usize>,
    stays: Stays,
    /// In each step with somebody there.
    power: Vec<Option<Column>>,
    /// The sets of steps that rows have been added for.
    known: BTreeSet<Vec<usize>>,
}

/// A row that a point breaks: Σ terms ≤ `right`.
pub(crate) struct Cut {
    pub(crate) terms: Vec<Term>,
    pub(crate) right: f64,
}

/// Excess of a set of steps that is worth a row, kW.
const LEAST_EXCESS_KW: f64 = 1e-6;

pub(super) fn state(problem: &DispatchProblem, vehicles: Vehicles, statement: &mut Statement) -> Vec<Fleet> {
    let sessions = 0..problem.ev_sessions.len();
    let groups: Vec<Vec<usize>> = match vehicles {
        Vehicles::Each => sessions.map(|index| vec![index]).collect(),
        Vehicles::Together => {
            let mut groups: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
            for index in sessions {
                let price = price_per_kw(&problem.ev_sessions[index], statement.hours);
                groups.entry(price.to_bits()).or_default().push(index);
            }
            groups.into_values().collect()
        }
    };
    groups.into_iter().map(|sessions| Fleet::state(problem, sessions, statement)).collect()
}

/// What missing a kilowatt for a step costs.
fn price_per_kw(session: &EvSession, hours: f64) -> f64 {
    hours * session.efficiency * session.shortfall_penalty_per_kwh
}

impl Fleet {
    /// A fleet of sessions with the same price.
    fn state(problem: &DispatchProblem, sessions: Vec<usize>, statement: &mut Statement) -> Self {
        let price =
            sessions.first().map_or(0.0, |&first| price_per_kw(&problem.ev_sessions[first], statement.hours));
        let stay = |&index: &usize| {
            let session = &problem.ev_sessions[index];
            Stay {
                arrival: session.arrival_step,
                departure: session.departure_step,
                limit_kw: session.charge_limit_kw,
                need_kw: session.energy_needed_kwh / (statement.hours * session.efficiency),
            }
        };
        let stays = Stays::new(sessions.iter().map(stay).collect(), problem.steps);
        let need_kw: f64 = stays.stays.iter().map(|stay| stay.need_kw).sum();
        let mut total = Vec::new();
        let mut power = vec![None; problem.steps];
        for (step, power) in power.iter_mut().enumerate() {
            let limit_kw = stays.limit_kw(step);
            if limit_kw > 0.0 {
                let column = statement.column(0.0, limit_kw, 0.0);
                statement.balance[step].push((-1.0, column));
                statement.most_drawn_kw[step] += limit_kw;
                total.push((1.0, column));
                *power = Some(column);
            }
        }
        let shortfall = statement.column(0.0, need_kw, price);
        total.push((1.0, shortfall));
        statement.program.equal(&total, need_kw);
        Self { sessions, stays, power, known: BTreeSet::new() }
    }

    /// Rows that keep the fleet's power to what its vehicles can share; none if they can share the point's.
    ///
    /// Where power is cheap a plan charges too much at once, so the sets of the cheapest steps are tried, by the price
    /// that `balance` has at the point. The flow has the last word.
    pub(super) fn cuts(&mut self, point: &Point, balance: &[Row]) -> Vec<Cut> {
        if self.sessions.len() < 2 {
            return Vec::new();
        }
        let supply_kw = self.supply_kw(point);
        let mut overfull = self.overfull_cheapest(&supply_kw, |step| point.dual(balance[step]));
        overfull.extend(self.stays.share(&supply_kw).overfull);
        overfull.into_iter().filter_map(|steps| self.cut(steps)).collect()
    }

    /// Of the sets of the cheapest steps, those with more supply than the vehicles can take.
    fn overfull_cheapest(&self, supply_kw: &[f64], price: impl Fn(usize) -> f64) -> Vec<Vec<usize>> {
        let mut order: Vec<usize> = (0..supply_kw.len()).filter(|&step| self.power[step].is_some()).collect();
        order.sort_by(|&left, &right| price(left).total_cmp(&price(right)));
        let mut supplied_kw = 0.0;
        let mut overfull = Vec::new();
        for (position, capacity_kw) in self.stays.capacities_kw(order.iter().copied()).enumerate() {
            supplied_kw += supply_kw[order[position]];
            if supplied_kw > capacity_kw + LEAST_EXCESS_KW {
                overfull.push(order[..=position].to_vec());
            }
        }
        overfull
    }

    fn cut(&mut self, mut steps: Vec<usize>) -> Option<Cut> {
        steps.sort_unstable();
        let right = self.stays.capacities_kw(steps.iter().copied()).last()?;
        let terms = steps.iter().filter_map(|&step| self.power[step]).map(|column| (1.0, column)).collect();
        self.known.insert(steps).then_some(Cut { terms, right })
    }

    fn supply_kw(&self, point: &Point) -> Vec<f64> {
        self.power.iter().map(|column| column.map_or(0.0, |column| settled(point[column]))).collect()
    }

    /// Every session's plan, with its position in the problem.
    pub(super) fn plans(&self, problem: &DispatchProblem, point: &Point) -> Vec<(usize, EvPlan)> {
        let sharing = self.stays.share(&self.supply_kw(point));
        let plan = |(&index, power): (&usize, Vec<f64>)| {
            let session = &problem.ev_sessions[index];
            let mut power_kw = vec![0.0; problem.steps];
            for (slot, power) in power_kw[session.arrival_step..].iter_mut().zip(power) {
                *slot = settled(power);
            }
            let charged_kwh = problem.step_hours() * session.efficiency * power_kw.iter().sum::<f64>();
            let shortfall_kwh = settled((session.energy_needed_kwh - charged_kwh).max(0.0));
            (index, EvPlan { id: session.id.clone(), power_kw, shortfall_kwh })
        };
        self.sessions.iter().zip(sharing.power_kw).map(plan).collect()
    }
}
