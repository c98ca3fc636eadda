//! The never-both rules: no battery charges and discharges, and the park does not import and export, in one step.
//!
//! A linear program cannot say so, and rarely has to: doing both wastes energy or money. So it is solved first and
//! its answer is checked. Where it does both, the weaker direction is closed and the program solved again from where
//! it stood; if that costs nothing the plan is proven optimal, since the linear program is a bound. Only where it
//! costs (negative prices, selling dearer than buying) do signs become binaries, and only for the pairs seen broken;
//! the plan found so far is where that search starts and what is left if its time ends.

use std::collections::{BTreeMap, BTreeSet};

use crate::formulation::Pair;
use crate::program::{Column, Point, Program};
use crate::solver::{Budget, Ending, MIP_GAP, Model, SolverFault};

/// Powers below this count as zero, kW.
const OVERLAP_KW: f64 = 1e-9;

/// The direction of a pair that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Forward,
    Backward,
}

/// Relative distance from the bound up to which a plan counts as proven; above the solver's gap by its tolerances.
const PROVEN_GAP: f64 = 1e-7;

/// How a plan was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The linear program kept the never-both rules by itself, or could be made to at no cost.
    Lp,
    /// Signs had to be searched.
    Milp,
    /// The time box ended before the solver had any plan; this one follows the baseline's rules.
    Baseline,
}

/// The best plan found, and how good any plan could be.
pub(crate) struct Optimum {
    pub(crate) point: Point,
    pub(crate) bound: f64,
    pub(crate) proven: bool,
    pub(crate) method: Method,
}

/// What a search came to.
pub(crate) enum Found {
    Plan(Optimum),
    Infeasible,
    /// The time was up before there was a plan.
    Nothing,
}

/// Minimises a program under the never-both rules of `pairs`. `state` states it, anew at every call.
pub(crate) fn optimise(
    pairs: &[Pair],
    state: impl Fn() -> Program,
    budget: &Budget<'_>,
) -> Result<Found, SolverFault> {
    let mut model = state().build()?;
    let (point, mut bound) = match model.run(None, budget)? {
        Ending::Optimal { point, bound } => (point, bound),
        Ending::Infeasible => return Ok(Found::Infeasible),
        Ending::Stopped { .. } => return Ok(Found::Nothing),
    };
    let mut relaxation = Relaxation { model, pairs, closed: BTreeMap::new() };
    let mut best = relaxation.settle(point, BTreeMap::new(), budget)?;
    if let Some(point) = best.take_if(|plan| distance(plan.objective, bound) <= MIP_GAP) {
        return Ok(Found::Plan(Optimum { point, bound, proven: true, method: Method::Lp }));
    }

    let mut signed: BTreeSet<usize> = relaxation.closed.keys().copied().collect();
    loop {
        let mut search = Search::new(pairs, &signed, state())?;
        let ending = search.run(best.as_ref(), budget)?;
        let (point, complete) = match ending {
            Ending::Infeasible => return Ok(Found::Infeasible),
            Ending::Optimal { point, bound: proven } => {
                bound = bound.max(proven);
                (Some(point), true)
            }
            Ending::Stopped { point, bound: proven } => {
                bound = bound.max(proven);
                (point, false)
            }
        };
        let mut broken = Vec::new();
        if let Some(point) = point {
            broken.extend(broken_pairs(pairs, &point).filter(|index| !signed.contains(index)));
            // With the signs held, the linear program puts exact zeros where the search had a tolerance.
            let plan = relaxation.settle(point.clone(), search.sides(&point), budget)?;
            if let Some(plan) = plan
                && best.as_ref().is_none_or(|best| plan.objective < best.objective)
            {
                best = Some(plan);
            }
        }
        if !complete || broken.is_empty() {
            return Ok(best.map_or(Found::Nothing, |point| {
                let proven = complete && distance(point.objective, bound) <= PROVEN_GAP;
                Found::Plan(Optimum { point, bound, proven, method: Method::Milp })
            }));
        }
        signed.extend(broken);
    }
}

/// Distance between a plan's cost and a bound, relative to the cost (at least 1, since costs may vanish).
pub(crate) fn distance(objective: f64, bound: f64) -> f64 {
    ((objective - bound) / objective.abs().max(1.0)).max(0.0)
}

fn broken_pairs<'a>(pairs: &'a [Pair], point: &'a Point) -> impl Iterator<Item = usize> + 'a {
    let both = |pair: &Pair| point[pair.forward.column].min(point[pair.backward.column]) > OVERLAP_KW;
    pairs.iter().enumerate().filter(move |(_, pair)| both(pair)).map(|(index, _)| index)
}

/// The linear program, with some directions closed.
struct Relaxation<'a> {
    model: Model,
    pairs: &'a [Pair],
    /// The side that is still open, of each pair that has a closed one.
    closed: BTreeMap<usize, Side>,
}

impl Relaxation<'_> {
    /// A plan near `point` that keeps all rules: the given sides are held, and wherever the answer still goes both
    /// ways, the weaker way is closed. `None` if that leaves no plan or the time is up.
    fn settle(
        &mut self,
        mut point: Point,
        sides: BTreeMap<usize, Side>,
        budget: &Budget<'_>,
    ) -> Result<Option<Point>, SolverFault> {
        let mut changed = sides != self.closed;
        self.hold(sides);
        loop {
            if changed {
                match self.model.run(None, budget)? {
                    Ending::Optimal { point: settled, .. } => point = settled,
                    Ending::Stopped { .. } | Ending::Infeasible => return Ok(None),
                }
            }
            let broken: Vec<usize> = broken_pairs(self.pairs, &point).collect();
            if broken.is_empty() {
                return Ok(Some(point));
            }
            for index in broken {
                let Pair { forward, backward } = &self.pairs[index];
                let net = forward.weight * point[forward.column] - backward.weight * point[backward.column];
                self.close(index, if net >= 0.0 { Side::Forward } else { Side::Backward });
            }
            changed = true;
        }
    }

    /// Opens everything, then closes all but the given sides.
    fn hold(&mut self, sides: BTreeMap<usize, Side>) {
        for (index, _) in std::mem::take(&mut self.closed) {
            let Pair { forward, backward } = self.pairs[index];
            self.model.set_bounds(forward.column, 0.0, forward.most);
            self.model.set_bounds(backward.column, 0.0, backward.most);
        }
        for (index, side) in sides {
            self.close(index, side);
        }
    }

    fn close(&mut self, index: usize, open: Side) {
        let Pair { forward, backward } = self.pairs[index];
        let shut = if open == Side::Forward { backward } else { forward };
        self.model.set_bounds(shut.column, 0.0, 0.0);
        self.closed.insert(index, open);
    }
}

/// The mixed-integer program, with a sign for some pairs.
struct Search {
    model: Model,
    signs: Vec<Sign>,
}

struct Sign {
    pair_index: usize,
    pair: Pair,
    /// 1 where the forward direction is open, 0 where the backward one is.
    column: Column,
}

impl Search {
    fn new(pairs: &[Pair], signed: &BTreeSet<usize>, mut program: Program) -> Result<Self, SolverFault> {
        let signs = signed.iter().map(|&pair_index| {
            let pair = pairs[pair_index];
            let Pair { forward, backward } = pair;
            let column = program.binary();
            program.at_most(&[(1.0, forward.column), (-forward.most, column)], 0.0);
            program.at_most(&[(1.0, backward.column), (backward.most, column)], backward.most);
            Sign { pair_index, pair, column }
        });
        let signs = signs.collect();
        Ok(Self { model: program.build()?, signs })
    }

    /// Searches from a plan, if there is one.
    fn run(&mut self, from: Option<&Point>, budget: &Budget<'_>) -> Result<Ending, SolverFault> {
        let start = from.map(|point| {
            let open = |sign: &Sign| point[sign.pair.backward.column] <= OVERLAP_KW;
            let signs = self.signs.iter().map(|sign| if open(sign) { 1.0 } else { 0.0 });
            point.values.iter().copied().chain(signs).collect::<Vec<f64>>()
        });
        self.model.run(start.as_deref(), budget)
    }

    /// The directions a point leaves open.
    fn sides(&self, point: &Point) -> BTreeMap<usize, Side> {
        let side = |sign: &Sign| if point[sign.column] > 0.5 { Side::Forward } else { Side::Backward };
        self.signs.iter().map(|sign| (sign.pair_index, side(sign))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{paid_to_waste, planned, sample};
    use crate::{Battery, check};

    #[test]
    fn an_ordinary_day_needs_no_integers() {
        let solution = planned(&sample());
        assert_eq!((solution.method, solution.gap), (Method::Lp, 0.0));
    }

    #[test]
    fn wasting_energy_by_charging_and_discharging_at_once_is_no_plan() {
        let problem = paid_to_waste();
        let solution = planned(&problem);
        assert_eq!(check(&problem, &solution.plan), []);
        assert_eq!(solution.method, Method::Milp);
        assert!(solution.gap < 1e-8, "gap {}", solution.gap);
    }

    #[test]
    fn trading_in_a_circle_is_no_plan_where_selling_is_dearer_than_buying() {
        let mut problem = sample();
        problem.export_price_per_kwh = vec![0.3, 0.9, 0.3, 1.3];
        let solution = planned(&problem);
        assert_eq!(check(&problem, &solution.plan), []);
        assert!(solution.gap < 1e-8, "gap {}", solution.gap);
    }

    #[test]
    fn an_overlap_that_costs_nothing_is_undone_without_integers() {
        // The same price both ways and a lossless battery without wear: any circle is as good as none.
        let mut problem = sample();
        problem.carbon_price_per_kg = 0.0;
        problem.import_price_per_kwh = vec![0.5; 4];
        problem.export_price_per_kwh = vec![0.5; 4];
        problem.grid.demand_charge_per_kw = 0.0;
        let lossless = Battery {
            charge_efficiency: 1.0,
            discharge_efficiency: 1.0,
            throughput_cost_per_kwh: 0.0,
            self_discharge_per_hour: 0.0,
            ..problem.batteries[0].clone()
        };
        problem.batteries = vec![lossless];
        let solution = planned(&problem);
        assert_eq!(check(&problem, &solution.plan), []);
        assert_eq!(solution.method, Method::Lp);
    }

    #[test]
    fn signs_only_where_they_were_broken_give_the_same_optimum_as_signs_everywhere() {
        use crate::formulation::{Formulation, Limits};
        let problem = paid_to_waste();
        let budget = Budget { seconds: 10.0, elapsed_seconds: &|| 0.0 };
        let Formulation { program, pairs, .. } = Formulation::new(&problem, Limits::Hard);
        let mut everywhere = Search::new(&pairs, &(0..pairs.len()).collect(), program).unwrap();
        let Ending::Optimal { point, .. } = everywhere.run(None, &budget).unwrap() else {
            panic!("no optimum");
        };
        let lazily = planned(&problem).objective;
        assert!((point.objective - lazily).abs() < 1e-6, "{} everywhere, {lazily} lazily", point.objective);
    }
}
