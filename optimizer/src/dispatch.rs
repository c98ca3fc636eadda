//! From a problem to its best plan, or to the reason why there is none.

use serde::Serialize;
use thiserror::Error;

use crate::baseline::baseline;
use crate::check::check;
use crate::formulation::{Formulation, Limits};
use crate::infeasible::{Infeasibility, explain};
use crate::plan::{Cost, Plan};
use crate::problem::DispatchProblem;
use crate::search::{Found, Method, Optimum, distance, optimise};
use crate::solver::{Budget, SolverFault};
use crate::validate::ProblemErrors;

/// What a solve may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SolveOptions {
    /// After this the best plan found so far is the answer. Explaining that there is no plan may take as long again.
    pub time_box_seconds: f64,
}

impl Default for SolveOptions {
    fn default() -> Self {
        Self { time_box_seconds: 10.0 }
    }
}

/// How good a plan is known to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Proven: no plan is better, by more than the solver's tolerances.
    Optimal,
    /// The time box ended before the proof; the gap says how much better a plan could be.
    Feasible,
}

/// A plan that keeps every limit, and what is known about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    pub status: Status,
    /// Cost of the plan, in the park's currency.
    pub objective: f64,
    /// No plan costs less.
    pub bound: f64,
    /// (objective − bound) ÷ max(|objective|, 1)
    pub gap: f64,
    pub method: Method,
    pub plan: Plan,
    pub cost: Cost,
}

/// What a solve comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Planned(Box<Solution>),
    /// The limits that no plan can keep together, never empty; the import limit first, the largest excess first.
    Infeasible(Vec<Infeasibility>),
}

/// Why a solve comes to nothing.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum SolveError {
    #[error(transparent)]
    Invalid(#[from] ProblemErrors),
    #[error("the time box of {seconds} s ended before there was a plan")]
    Stopped { seconds: f64 },
    #[error("the solver failed: {0}")]
    Solver(String),
}

impl From<SolverFault> for SolveError {
    fn from(fault: SolverFault) -> Self {
        Self::Solver(fault.to_string())
    }
}

/// Finds the cheapest plan that keeps every limit.
///
/// Without a stopwatch the time box holds for each of the solver's runs; [`solve_with_stopwatch`] holds the whole to
/// it.
///
/// # Errors
/// Every fault of the problem, a time box that ended too early for any plan, or a failure inside the solver.
pub fn solve(problem: &DispatchProblem, options: &SolveOptions) -> Result<Outcome, SolveError> {
    solve_with_stopwatch(problem, options, &|| 0.0)
}

/// [`solve`] within a time box: `elapsed_seconds` tells the time since the call, from the caller's clock.
///
/// # Errors
/// As [`solve`].
pub fn solve_with_stopwatch(
    problem: &DispatchProblem,
    options: &SolveOptions,
    elapsed_seconds: &dyn Fn() -> f64,
) -> Result<Outcome, SolveError> {
    problem.validate()?;
    let seconds = options.time_box_seconds;
    let budget = Budget { seconds, elapsed_seconds };
    let (formulation, found) = optimise(problem, Limits::Hard, &budget)?;
    match found {
        Found::Plan(optimum) => Ok(Outcome::Planned(Box::new(solution(problem, &formulation, optimum)))),
        Found::Infeasible => {
            let again = Budget { seconds: elapsed_seconds() + seconds, elapsed_seconds };
            let limits = explain(problem, &again)?.ok_or(SolveError::Stopped { seconds })?;
            Ok(Outcome::Infeasible(limits))
        }
        Found::Nothing { bound } => {
            let plan = fallback(problem, bound).ok_or(SolveError::Stopped { seconds })?;
            Ok(Outcome::Planned(Box::new(plan)))
        }
    }
}

fn solution(problem: &DispatchProblem, formulation: &Formulation, optimum: Optimum) -> Solution {
    let plan = formulation.plan(problem, &optimum.point);
    let cost = plan.cost(problem);
    let objective = cost.total();
    Solution {
        status: if optimum.proven { Status::Optimal } else { Status::Feasible },
        objective,
        bound: optimum.bound,
        gap: distance(objective, optimum.bound),
        method: optimum.method,
        plan,
        cost,
    }
}

/// The baseline, where it keeps every limit.
fn fallback(problem: &DispatchProblem, bound: f64) -> Option<Solution> {
    let plan = baseline(problem);
    if !check(problem, &plan).is_empty() {
        return None;
    }
    let cost = plan.cost(problem);
    let objective = cost.total();
    let gap = distance(objective, bound);
    Some(Solution { status: Status::Feasible, objective, bound, gap, method: Method::Baseline, plan, cost })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{paid_to_waste, planned, sample};

    #[test]
    fn the_cost_of_the_plan_is_what_the_solver_minimised() {
        let solution = planned(&sample());
        assert!((solution.objective - solution.bound).abs() < 1e-9 * solution.objective);
        assert_eq!(solution.objective, solution.cost.total());
    }

    #[test]
    fn a_time_box_that_is_over_leaves_the_baseline_and_says_how_far_it_may_be_off() {
        let problem = sample();
        let options = SolveOptions { time_box_seconds: 1.0 };
        let Outcome::Planned(solution) = solve_with_stopwatch(&problem, &options, &|| 2.0).unwrap() else {
            panic!("infeasible");
        };
        assert_eq!((solution.status, solution.method), (Status::Feasible, Method::Baseline));
        assert_eq!(check(&problem, &solution.plan), []);
        let best = planned(&problem).objective;
        assert!(solution.bound <= best && best <= solution.objective);
        assert!(solution.gap.is_finite() && solution.gap > 0.0);
    }

    #[test]
    fn a_time_box_that_is_over_before_any_plan_says_so() {
        let mut problem = sample();
        problem.load_kw[3] = 1000.0;
        let options = SolveOptions { time_box_seconds: 0.0 };
        assert_eq!(solve(&problem, &options), Err(SolveError::Stopped { seconds: 0.0 }));
    }

    #[test]
    fn a_time_box_that_ends_during_the_search_for_signs_keeps_the_plan_found_so_far() {
        let problem = paid_to_waste();
        // A stopwatch that is read before every run, and is over once the linear program has been settled.
        let best = planned(&problem).objective;
        let mut gaps = Vec::new();
        for reads in 2..8 {
            let count = std::cell::Cell::new(0);
            let elapsed = || {
                count.set(count.get() + 1);
                if count.get() > 2 * reads { 100.0 } else { 0.0 }
            };
            let options = SolveOptions { time_box_seconds: 10.0 };
            let Outcome::Planned(solution) = solve_with_stopwatch(&problem, &options, &elapsed).unwrap()
            else {
                panic!("infeasible");
            };
            assert_eq!(check(&problem, &solution.plan), []);
            assert!(solution.bound <= best + 1e-9 && best <= solution.objective + 1e-9);
            if solution.status == Status::Feasible && solution.method == Method::Milp {
                gaps.push(solution.gap);
            }
        }
        assert!(gaps.iter().any(|gap| *gap > 0.0), "no search was cut short: {gaps:?}");
    }

    #[test]
    fn a_faulty_problem_is_refused_with_its_faults() {
        let mut problem = sample();
        problem.load_kw[2] = f64::NAN;
        let Err(SolveError::Invalid(faults)) = solve(&problem, &SolveOptions::default()) else {
            panic!("accepted");
        };
        assert_eq!(faults.errors[0].field, "load_kw[2]");
    }
}
