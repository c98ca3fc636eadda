//! The park's connection: it closes the balance of every step, and pays for energy, carbon and the peak.

use super::{Direction, Limits, Pair, Statement, settled};
use crate::infeasible::{GRID_WEIGHT, Limit};
use crate::problem::DispatchProblem;
use crate::program::{Column, Point, Row};

pub(super) struct GridColumns {
    import: Vec<Column>,
    export: Vec<Column>,
    balance: Vec<Row>,
}

/// Must come after all devices.
pub(super) fn state(problem: &DispatchProblem, statement: &mut Statement) -> GridColumns {
    let (steps, hours, grid) = (statement.steps(), statement.hours, &problem.grid);
    let mut columns = GridColumns {
        import: Vec::with_capacity(steps),
        export: Vec::with_capacity(steps),
        balance: Vec::with_capacity(steps),
    };
    // The peak beyond the incurred one, so that the objective has no constant part to blur the solver's relative gap.
    let above = (statement.limits == Limits::Hard && grid.demand_charge_per_kw > 0.0)
        .then(|| statement.column(0.0, f64::INFINITY, grid.demand_charge_per_kw));
    for step in 0..steps {
        let load_kw = problem.load_kw[step];
        // Importing more than everything can draw would need an export in the same step, which the rules exclude:
        // the bounds hold for every allowed plan and leave the solver less to search.
        let needed_kw = (load_kw + statement.most_drawn_kw[step]).max(0.0);
        let spare_kw = (statement.most_fed_kw[step] - load_kw).max(0.0);

        let cost = hours * problem.import_cost_per_kwh(step);
        let limit = Limit::Import { limit_kw: grid.import_limit_kw };
        let (import, import_kw) = limited(limit, step, needed_kw, cost, statement);
        let revenue = hours * problem.export_price_per_kwh[step];
        let limit = Limit::Export { limit_kw: grid.export_limit_kw };
        let (export, export_kw) = limited(limit, step, spare_kw, -revenue, statement);

        let mut balance = std::mem::take(&mut statement.balance[step]);
        balance.extend([(1.0, import), (-1.0, export)]);
        columns.balance.push(statement.program.equal(&balance, load_kw));
        if let Some(above) = above
            && import_kw > grid.incurred_peak_kw
        {
            statement.program.at_most(&[(1.0, import), (-1.0, above)], grid.incurred_peak_kw);
        }
        statement.pairs.push(Pair {
            forward: Direction { column: import, most: import_kw, weight: 1.0 },
            backward: Direction { column: export, most: export_kw, weight: 1.0 },
        });
        columns.import.push(import);
        columns.export.push(export);
    }
    columns
}

/// A flow within its limit, and its upper bound; where limits are elastic, beyond the limit at a price.
fn limited(limit: Limit, step: usize, useful_kw: f64, cost: f64, statement: &mut Statement) -> (Column, f64) {
    let limit_kw = limit.value();
    let weight = GRID_WEIGHT * statement.hours;
    if useful_kw > limit_kw
        && let Some(beyond) = statement.slack(|| limit, step, weight)
    {
        let flow = statement.reluctant_column(useful_kw, cost);
        statement.program.at_most(&[(1.0, flow), (-1.0, beyond)], limit_kw);
        return (flow, useful_kw);
    }
    let most_kw = useful_kw.min(limit_kw);
    (statement.reluctant_column(most_kw, cost), most_kw)
}

impl GridColumns {
    /// The row that balances each step.
    pub(super) fn balance(&self) -> &[Row] {
        &self.balance
    }

    /// Import and export.
    pub(super) fn plan(&self, point: &Point) -> (Vec<f64>, Vec<f64>) {
        let values = |columns: &[Column]| columns.iter().map(|&column| settled(point[column])).collect();
        (values(&self.import), values(&self.export))
    }
}
