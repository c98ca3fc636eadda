//! The search for the best plan.
//!
//! The linear program is solved first, and its answer is checked for what was not stated:
//!
//! - What a fleet's vehicles cannot share ([`Formulation::cuts`]) becomes rows, and the program is solved again from
//!   where it stood.
//! - No battery may charge and discharge, and the park not import and export, in one step. A linear program cannot
//!   say so, and rarely has to: doing both wastes energy or money. Where the answer does both, the weaker direction
//!   is closed and the program solved again; if that costs nothing the plan is proven optimal, since the linear
//!   program is a bound. Only where it costs (negative prices, selling dearer than buying) do signs become binaries,
//!   and only for the pairs seen broken; the plan found so far is where that search starts and what is left if its
//!   time ends.

use std::collections::{BTreeMap, BTreeSet};

use crate::formulation::{Formulation, Limits, Pair, Vehicles};
use crate::problem::DispatchProblem;
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

/// The best point found, and how good any could be.
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
    Nothing {
        bound: f64,
    },
}

/// The best plan under the problem's limits, as a point of the formulation that comes with it.
pub(crate) fn optimise(
    problem: &DispatchProblem,
    limits: Limits,
    budget: &Budget<'_>,
) -> Result<(Formulation, Found), SolverFault> {
    let vehicles = Vehicles::of(problem);
    let (formulation, found) = attempt(problem, limits, vehicles, budget)?;
    let open = match &found {
        Found::Plan(optimum) => !optimum.proven,
        Found::Nothing { .. } => true,
        Found::Infeasible => false,
    };
    if vehicles == Vehicles::Each || !open || budget.left() <= 0.0 {
        return Ok((formulation, found));
    }
    // Signs are needed, and with them every new row would start the search anew.
    let (each, second) = attempt(problem, limits, Vehicles::Each, budget)?;
    match (found, second) {
        (Found::Plan(first), Found::Plan(second)) if second.point.objective > first.point.objective => {
            let bound = first.bound.max(second.bound);
            let proven = second.proven && distance(first.point.objective, bound) <= PROVEN_GAP;
            Ok((formulation, Found::Plan(Optimum { bound, proven, ..first })))
        }
        (Found::Plan(first), Found::Nothing { bound }) => {
            let bound = first.bound.max(bound);
            Ok((formulation, Found::Plan(Optimum { bound, ..first })))
        }
        (_, second) => Ok((each, second)),
    }
}

/// The best plan with vehicles stated one way; signs are searched only with each by itself.
fn attempt(
    problem: &DispatchProblem,
    limits: Limits,
    vehicles: Vehicles,
    budget: &Budget<'_>,
) -> Result<(Formulation, Found), SolverFault> {
    let (formulation, program) = Formulation::new(problem, limits, vehicles);
    let trivial_bound = program.trivial_bound();
    let model = program.build()?;
    let mut relaxation = Relaxation { model, formulation, closed: BTreeMap::new() };
    let (point, bound) = match relaxation.run(budget)? {
        Ending::Optimal { point, bound } => (point, bound),
        Ending::Infeasible => return Ok((relaxation.formulation, Found::Infeasible)),
        Ending::Stopped { bound, .. } => {
            return Ok((relaxation.formulation, Found::Nothing { bound: bound.max(trivial_bound) }));
        }
    };
    let best = relaxation.settle(point, budget)?;
    let found = match best {
        Some(point) if distance(point.objective, bound) <= MIP_GAP => {
            Found::Plan(Optimum { point, bound, proven: true, method: Method::Lp })
        }
        best if vehicles == Vehicles::Each => {
            let state = || Formulation::new(problem, limits, vehicles).1;
            search_signs(&mut relaxation, best, bound, state, budget)?
        }
        Some(point) => Found::Plan(Optimum { point, bound, proven: false, method: Method::Lp }),
        None => Found::Nothing { bound },
    };
    Ok((relaxation.formulation, found))
}

/// From a plan, if there is one, to the best that keeps the never-both rules.
fn search_signs(
    relaxation: &mut Relaxation,
    mut best: Option<Point>,
    mut bound: f64,
    state: impl Fn() -> Program,
    budget: &Budget<'_>,
) -> Result<Found, SolverFault> {
    let mut signed: BTreeSet<usize> = relaxation.closed.keys().copied().collect();
    loop {
        let mut signs = Signs::new(&relaxation.formulation.pairs, &signed, state())?;
        // The last tenth is for turning what the search finds into a plan.
        let (point, complete) = match signs.run(best.as_ref(), &budget.but_for(0.1))? {
            Ending::Infeasible if best.is_none() => return Ok(Found::Infeasible),
            // A plan exists: the search was misled by its tolerances.
            Ending::Infeasible => (None, false),
            Ending::Optimal { point, bound: proven } => {
                bound = bound.max(proven);
                (Some(point), true)
            }
            Ending::Stopped { point, bound: proven } => {
                bound = bound.max(proven);
                (point, false)
            }
        };
        let mut unsigned = Vec::new();
        if let Some(point) = point {
            let broken = broken_pairs(&relaxation.formulation.pairs, &point);
            unsigned.extend(broken.filter(|index| !signed.contains(index)));
            // With the signs held, the linear program puts exact zeros where the search had a tolerance.
            relaxation.hold(signs.sides(&point));
            if let Ending::Optimal { point, .. } = relaxation.run(budget)?
                && let Some(plan) = relaxation.settle(point, budget)?
                && best.as_ref().is_none_or(|best| plan.objective < best.objective)
            {
                best = Some(plan);
            }
        }
        if unsigned.is_empty() || !complete {
            return Ok(best.map_or(Found::Nothing { bound }, |point| {
                let proven = complete && distance(point.objective, bound) <= PROVEN_GAP;
                Found::Plan(Optimum { point, bound, proven, method: Method::Milp })
            }));
        }
        signed.extend(unsigned);
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
struct Relaxation {
    model: Model,
    formulation: Formulation,
    /// The side that is still open, of each pair that has a closed one.
    closed: BTreeMap<usize, Side>,
}

impl Relaxation {
    /// Runs until no further rows are broken. A run that is stopped still leaves the bound of the one before.
    fn run(&mut self, budget: &Budget<'_>) -> Result<Ending, SolverFault> {
        let mut reached = f64::NEG_INFINITY;
        loop {
            match self.model.run(None, budget)? {
                Ending::Optimal { point, bound } => {
                    if !self.cut(&point)? {
                        return Ok(Ending::Optimal { point, bound });
                    }
                    reached = bound;
                }
                Ending::Stopped { .. } => return Ok(Ending::Stopped { point: None, bound: reached }),
                Ending::Infeasible => return Ok(Ending::Infeasible),
            }
        }
    }

    /// Adds the rows that a point breaks; false if it breaks none.
    fn cut(&mut self, point: &Point) -> Result<bool, SolverFault> {
        let cuts = self.formulation.cuts(point);
        for cut in &cuts {
            self.model.add_at_most(&cut.terms, cut.right)?;
        }
        Ok(!cuts.is_empty())
    }

    /// A plan near `point`, the last run's: wherever it goes both ways, the weaker way is closed. `None` if that
    /// leaves no plan or the time is up.
    fn settle(&mut self, mut point: Point, budget: &Budget<'_>) -> Result<Option<Point>, SolverFault> {
        loop {
            let broken: Vec<usize> = broken_pairs(&self.formulation.pairs, &point).collect();
            if broken.is_empty() {
                return Ok(Some(point));
            }
            for index in broken {
                let Pair { forward, backward } = self.formulation.pairs[index];
                let net = forward.weight * point[forward.column] - backward.weight * point[backward.column];
                self.close(index, if net >= 0.0 { Side::Forward } else { Side::Backward });
            }
            match self.run(budget)? {
                Ending::Optimal { point: settled, .. } => point = settled,
                Ending::Stopped { .. } | Ending::Infeasible => return Ok(None),
            }
        }
    }

    /// Opens everything, then closes all but the given sides.
    fn hold(&mut self, sides: BTreeMap<usize, Side>) {
        for (index, _) in std::mem::take(&mut self.closed) {
            let Pair { forward, backward } = self.formulation.pairs[index];
            self.model.set_bounds(forward.column, 0.0, forward.most);
            self.model.set_bounds(backward.column, 0.0, backward.most);
        }
        for (index, side) in sides {
            self.close(index, side);
        }
    }

    fn close(&mut self, index: usize, open: Side) {
        let Pair { forward, backward } = self.formulation.pairs[index];
        let shut = if open == Side::Forward { backward } else { forward };
        self.model.set_bounds(shut.column, 0.0, 0.0);
        self.closed.insert(index, open);
    }
}

/// The mixed-integer program, with a sign for some pairs.
struct Signs {
    model: Model,
    signs: Vec<Sign>,
}

struct Sign {
    pair_index: usize,
    pair: Pair,
    /// 1 where the forward direction is open, 0 where the backward one is.
    column: Column,
}

impl Signs {
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
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::sample::{paid_to_waste, planned, sample};
    use crate::{Battery, EvSession, check};

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

    fn objective(problem: &DispatchProblem, vehicles: Vehicles) -> Option<f64> {
        let budget = Budget { seconds: 10.0, elapsed_seconds: &|| 0.0 };
        match attempt(problem, Limits::Hard, vehicles, &budget).unwrap() {
            (formulation, Found::Plan(Optimum { point, proven: true, .. })) => {
                let plan = formulation.plan(problem, &point);
                assert_eq!(check(problem, &plan), []);
                Some(plan.cost(problem).total())
            }
            (_, Found::Infeasible) => None,
            _ => panic!("no proof"),
        }
    }

    fn sessions() -> impl Strategy<Value = Vec<EvSession>> {
        let session = (0usize..4, 1usize..=4, 0.0..40.0, 0.0..22.0, prop_oneof![Just(5.0), Just(0.6)])
            .prop_map(
                |(arrival_step, stay, energy_needed_kwh, charge_limit_kw, shortfall_penalty_per_kwh)| {
                    EvSession {
                        id: String::new(),
                        arrival_step,
                        departure_step: (arrival_step + stay).min(4),
                        energy_needed_kwh,
                        charge_limit_kw,
                        efficiency: 0.92,
                        shortfall_penalty_per_kwh,
                    }
                },
            );
        vec(session, 1..12).prop_map(|mut sessions| {
            for (index, session) in sessions.iter_mut().enumerate() {
                session.id = format!("ev-{index}");
            }
            sessions
        })
    }

    proptest! {
        #[test]
        fn vehicles_together_have_the_same_optimum_as_each_by_itself(
            ev_sessions in sessions(),
            import_limit_kw in 120.0..300.0,
        ) {
            let mut problem = sample();
            problem.ev_sessions = ev_sessions;
            problem.grid.import_limit_kw = import_limit_kw;
            let (each, together) = (objective(&problem, Vehicles::Each), objective(&problem, Vehicles::Together));
            match (each, together) {
                (Some(each), Some(together)) => {
                    prop_assert!((each - together).abs() < 1e-7 * each.abs(), "{each} each, {together} together");
                }
                _ => prop_assert_eq!(each, together),
            }
        }
    }

    #[test]
    fn a_day_with_many_vehicles_is_shared_out_at_the_optimum_of_each_by_itself() {
        let steps = 96;
        let wave = |period: f64| (0..steps).map(move |step| (step as f64 * period).sin());
        let mut problem = sample();
        (problem.step_minutes, problem.steps) = (15.0, steps);
        problem.load_kw = wave(0.07).map(|wave| 400.0 + 150.0 * wave).collect();
        problem.pv_available_kw = wave(0.033).map(|wave| 500.0 * wave.max(0.0)).collect();
        problem.import_price_per_kwh = wave(0.13).map(|wave| 0.7 + 0.3 * wave).collect();
        problem.export_price_per_kwh = vec![0.3; steps];
        problem.emission_factor_kg_per_kwh = wave(0.9).map(|wave| 0.58 + 0.05 * wave).collect();
        problem.curtailable_loads[0].available_kw = vec![20.0; steps];
        problem.grid.import_limit_kw = 900.0;
        let vehicle = |index: usize| EvSession {
            id: format!("ev-{index}"),
            arrival_step: (index * 37) % 60,
            departure_step: (index * 37) % 60 + 8 + (index * 11) % 28,
            energy_needed_kwh: 5.0 + (index * 7 % 30) as f64,
            charge_limit_kw: [7.0, 11.0, 22.0][index % 3],
            efficiency: 0.92,
            shortfall_penalty_per_kwh: 5.0,
        };
        problem.ev_sessions = (0..220).map(vehicle).collect();
        assert_eq!(Vehicles::of(&problem), Vehicles::Together);
        let together = objective(&problem, Vehicles::Together).unwrap();
        let each = objective(&problem, Vehicles::Each).unwrap();
        assert!((together - each).abs() < 1e-8 * each, "{together} together, {each} each");
    }

    #[test]
    fn signs_only_where_they_were_broken_give_the_same_optimum_as_signs_everywhere() {
        let problem = paid_to_waste();
        let budget = Budget { seconds: 10.0, elapsed_seconds: &|| 0.0 };
        let (Formulation { pairs, .. }, program) = Formulation::new(&problem, Limits::Hard, Vehicles::Each);
        let mut everywhere = Signs::new(&pairs, &(0..pairs.len()).collect(), program).unwrap();
        let Ending::Optimal { point, .. } = everywhere.run(None, &budget).unwrap() else {
            panic!("no optimum");
        };
        let lazily = planned(&problem).objective;
        assert!((point.objective - lazily).abs() < 1e-6, "{} everywhere, {lazily} lazily", point.objective);
    }
}
