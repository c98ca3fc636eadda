//! A linear program as it is stated: columns with bounds and costs, rows over them.
//!
//! good_lp holds the statement and hands HiGHS the matrix; this layer adds what good_lp keeps to itself, the position
//! of every column, without which a solved model cannot be changed and solved again.

use std::ops::Index;

use good_lp::{Constraint, Expression, ProblemVariables, SolverModel, Variable, constraint, variable};

use crate::solver::{Model, SolverFault};

/// A decision variable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    variable: Variable,
    index: usize,
}

/// A coefficient and its column.
pub(crate) type Term = (f64, Column);

/// A row, by position.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    index: usize,
}

/// Minimise cost · x under rows and bounds.
#[derive(Default)]
pub(crate) struct Program {
    variables: ProblemVariables,
    definitions: Vec<Definition>,
    rows: Vec<Constraint>,
    has_integers: bool,
}

struct Definition {
    variable: Variable,
    low: f64,
    high: f64,
    cost: f64,
}

/// A value for every column.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    pub(crate) values: Vec<f64>,
    /// Of every row, what the objective rises by per unit of its right side; empty where integers decide.
    pub(crate) duals: Vec<f64>,
    pub(crate) objective: f64,
}

impl Point {
    /// What the objective rises by per unit of a row's right side; zero where that is not known.
    pub(crate) fn dual(&self, row: Row) -> f64 {
        self.duals.get(row.index).copied().unwrap_or(0.0)
    }
}

impl Index<Column> for Point {
    type Output = f64;
    fn index(&self, column: Column) -> &f64 {
        &self.values[column.index]
    }
}

impl Column {
    pub(crate) fn index(self) -> usize {
        self.index
    }
}

impl Program {
    /// A column from `low` to `high`, at `cost` per unit.
    pub(crate) fn column(&mut self, low: f64, high: f64, cost: f64) -> Column {
        let variable = self.variables.add(variable().min(low).max(high));
        self.definitions.push(Definition { variable, low, high, cost });
        Column { variable, index: self.definitions.len() - 1 }
    }

    /// A column that is 0 or 1.
    pub(crate) fn binary(&mut self) -> Column {
        let variable = self.variables.add(variable().binary());
        self.has_integers = true;
        self.definitions.push(Definition { variable, low: 0.0, high: 1.0, cost: 0.0 });
        Column { variable, index: self.definitions.len() - 1 }
    }

    /// Σ terms = `right`
    pub(crate) fn equal(&mut self, terms: &[Term], right: f64) -> Row {
        self.rows.push(constraint::eq(expression(terms), right));
        Row { index: self.rows.len() - 1 }
    }

    /// Σ terms ≤ `right`
    pub(crate) fn at_most(&mut self, terms: &[Term], right: f64) {
        self.rows.push(constraint::leq(expression(terms), right));
    }

    /// What the objective cannot go below, whatever the rows say: every column at its cheaper bound.
    pub(crate) fn trivial_bound(&self) -> f64 {
        let cheapest = |column: &Definition| match column.cost {
            0.0 => 0.0,
            cost if cost > 0.0 => cost * column.low,
            cost => cost * column.high,
        };
        self.definitions.iter().map(cheapest).sum::<f64>()
    }

    /// Hands the statement to HiGHS.
    pub(crate) fn build(self) -> Result<Model, SolverFault> {
        let mut cost = Expression::with_capacity(self.definitions.len());
        for definition in self.definitions.iter().filter(|definition| definition.cost != 0.0) {
            cost.add_mul(definition.cost, definition.variable);
        }
        let mut stated = self.variables.minimise(cost).using(good_lp::highs);
        for row in self.rows {
            stated.add_constraint(row);
        }
        let highs = stated.try_into_inner().map_err(|error| SolverFault(error.to_string()))?;
        Model::new(highs, self.has_integers)
    }
}

fn expression(terms: &[Term]) -> Expression {
    let mut sum = Expression::with_capacity(terms.len());
    for &(factor, column) in terms {
        sum.add_mul(factor, column.variable);
    }
    sum
}
