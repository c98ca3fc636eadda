//! HiGHS at work: one thread, no output, a time limit, and an honest account of how a run ended.
//!
//! good_lp states the model, but its `solve` gives back neither the gap nor the bound of a run that was stopped, and
//! cannot solve a changed model from where the last run ended. So the model runs through the `highs` crate, which is
//! what good_lp itself calls.

use highs::{HighsModelStatus, HighsOptionValue, HighsSolutionStatus, RowProblem};
use thiserror::Error;

use crate::program::{Column, Point, Term};

/// Relative distance between plan and bound at which a mixed-integer plan counts as proven.
pub(crate) const MIP_GAP: f64 = 1e-9;

/// The solver refused or gave up.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("HiGHS: {0}")]
pub(crate) struct SolverFault(pub(crate) String);

/// Time a solve may take. The crate has no clock; the caller's stopwatch tells how much has gone.
pub(crate) struct Budget<'a> {
    pub(crate) seconds: f64,
    pub(crate) elapsed_seconds: &'a dyn Fn() -> f64,
}

impl Budget<'_> {
    /// The same with a share of the whole kept back.
    pub(crate) fn but_for(&self, share: f64) -> Self {
        Self { seconds: self.seconds * (1.0 - share), elapsed_seconds: self.elapsed_seconds }
    }

    pub(crate) fn left(&self) -> f64 {
        self.seconds - (self.elapsed_seconds)()
    }
}

/// A model inside HiGHS. A run leaves its basis behind, so the next run starts from there.
pub(crate) struct Model {
    /// Absent while it runs, and after a run that failed.
    highs: Option<highs::Model>,
    /// HiGHS's handles, by position.
    columns: Vec<highs::Col>,
    has_integers: bool,
    runs: u32,
    /// HiGHS counts a model's time limit over all its runs.
    ran_seconds: f64,
}

/// How a run ended.
pub(crate) enum Ending {
    /// Nothing is better than the point, by more than the gap.
    Optimal {
        point: Point,
        bound: f64,
    },
    /// The time was up; the point satisfies the rows, if there is one.
    Stopped {
        point: Option<Point>,
        bound: f64,
    },
    Infeasible,
}

impl Model {
    pub(crate) fn new(mut highs: highs::Model, has_integers: bool) -> Result<Self, SolverFault> {
        set(&mut highs, "threads", 1)?;
        set(&mut highs, "parallel", "off")?;
        set(&mut highs, "mip_rel_gap", MIP_GAP)?;
        set(&mut highs, "mip_abs_gap", MIP_GAP)?;
        // A sign that is off by the default 1e-6 leaks 0.5 W through a 500 kW limit.
        set(&mut highs, "mip_feasibility_tolerance", 1e-9)?;
        set(&mut highs, "primal_feasibility_tolerance", 1e-9)?;
        // Presolve costs more than it saves: 500 vehicles 95 ms with it, 40 ms without; signs two to five times longer.
        set(&mut highs, "presolve", "off")?;
        // The search starts from a good plan; looking for better ones in smaller problems took five sixths of its time.
        set(&mut highs, "mip_heuristic_run_rins", false)?;
        set(&mut highs, "mip_heuristic_run_rens", false)?;
        set(&mut highs, "mip_heuristic_run_root_reduced_cost", false)?;
        // A column is only an index, but the crate lets nobody but a problem make one.
        let mut handles = RowProblem::new();
        let columns = (0..highs.num_cols()).map(|_| handles.add_column(0.0, 0..)).collect();
        Ok(Self { highs: Some(highs), columns, has_integers, runs: 0, ran_seconds: 0.0 })
    }

    pub(crate) fn set_bounds(&mut self, column: Column, low: f64, high: f64) {
        if let Some(highs) = &mut self.highs {
            highs.change_column_bounds(self.columns[column.index()], low..=high);
        }
    }

    /// Σ terms ≤ `right`, from the next run on.
    pub(crate) fn add_at_most(&mut self, terms: &[Term], right: f64) -> Result<(), SolverFault> {
        let Some(highs) = &mut self.highs else {
            return Ok(());
        };
        let entries = terms.iter().map(|&(factor, column)| (self.columns[column.index()], factor));
        match highs.try_add_row(..=right, entries) {
            Ok(_) => Ok(()),
            Err(status) => Err(SolverFault(format!("row refused: {status:?}"))),
        }
    }

    /// Solves within what is left of the budget, from `start` if there is one, else from where the last run ended.
    pub(crate) fn run(&mut self, start: Option<&[f64]>, budget: &Budget<'_>) -> Result<Ending, SolverFault> {
        let left = budget.left();
        if left <= 0.0 {
            return Ok(Ending::Stopped { point: None, bound: f64::NEG_INFINITY });
        }
        let mut highs = self.highs.take().ok_or_else(|| SolverFault("the model is gone".to_owned()))?;
        set(&mut highs, "time_limit", self.ran_seconds + left)?;
        if self.runs == 1 {
            // Exact steepest-edge weights for a basis that is nearly right cost more than the few pivots they save.
            set(&mut highs, "simplex_dual_edge_weight_strategy", 1)?;
        }
        self.runs += 1;
        if let Some(values) = start {
            highs
                .try_set_solution(Some(values), None, None, None)
                .map_err(|status| SolverFault(format!("start refused: {status:?}")))?;
        }
        let solved = highs.try_solve().map_err(|status| SolverFault(format!("run failed: {status:?}")))?;
        self.ran_seconds += left - budget.left();
        let ending = ending(&solved, self.has_integers);
        self.highs = Some(solved.into());
        ending
    }
}

fn set(highs: &mut highs::Model, option: &str, value: impl HighsOptionValue) -> Result<(), SolverFault> {
    highs.try_set_option(option, value).map_err(|_| SolverFault(format!("option {option} refused")))
}

fn ending(solved: &highs::SolvedModel, has_integers: bool) -> Result<Ending, SolverFault> {
    let point = || {
        let solution = solved.get_solution();
        Point {
            values: solution.columns().to_vec(),
            duals: if has_integers { Vec::new() } else { solution.dual_rows().to_vec() },
            objective: solved.objective_value(),
        }
    };
    let mip_bound = || solved.double_info_value(c"mip_dual_bound").unwrap_or(f64::NEG_INFINITY);
    match solved.status() {
        HighsModelStatus::Optimal => {
            let point = point();
            let bound = if has_integers { mip_bound() } else { point.objective };
            Ok(Ending::Optimal { point, bound })
        }
        HighsModelStatus::Infeasible | HighsModelStatus::UnboundedOrInfeasible => Ok(Ending::Infeasible),
        HighsModelStatus::ReachedTimeLimit => {
            let usable = solved.primal_solution_status() == HighsSolutionStatus::Feasible;
            Ok(Ending::Stopped {
                point: usable.then(point),
                bound: if has_integers { mip_bound() } else { f64::NEG_INFINITY },
            })
        }
        other => Err(SolverFault(format!("ended as {other:?}"))),
    }
}
