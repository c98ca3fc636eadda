//! Photovoltaics: anything up to what the sun offers, at no cost.

use super::{Statement, settled};
use crate::problem::DispatchProblem;
use crate::program::{Column, Point};

pub(super) struct PhotovoltaicColumns {
    power: Vec<Column>,
}

pub(super) fn state(problem: &DispatchProblem, statement: &mut Statement) -> PhotovoltaicColumns {
    let mut power = Vec::with_capacity(statement.steps());
    for (step, &available_kw) in problem.pv_available_kw.iter().enumerate() {
        let column = statement.column(0.0, available_kw, 0.0);
        statement.balance[step].push((1.0, column));
        statement.most_fed_kw[step] += available_kw;
        power.push(column);
    }
    PhotovoltaicColumns { power }
}

impl PhotovoltaicColumns {
    pub(super) fn plan(&self, point: &Point) -> Vec<f64> {
        self.power.iter().map(|&column| settled(point[column])).collect()
    }
}
