//! Loads that may be cut at a price.

use super::{Statement, settled};
use crate::plan::CurtailmentPlan;
use crate::problem::CurtailableLoad;
use crate::program::{Column, Point};

pub(super) struct CurtailableColumns {
    cut: Vec<Column>,
}

pub(super) fn state(load: &CurtailableLoad, statement: &mut Statement) -> CurtailableColumns {
    let cost = statement.hours * load.penalty_per_kwh;
    let mut cut = Vec::with_capacity(statement.steps());
    for (step, &available_kw) in load.available_kw.iter().enumerate() {
        let column = statement.column(0.0, available_kw, cost);
        statement.balance[step].push((1.0, column));
        statement.most_fed_kw[step] += available_kw;
        cut.push(column);
    }
    CurtailableColumns { cut }
}

impl CurtailableColumns {
    pub(super) fn plan(&self, load: &CurtailableLoad, point: &Point) -> CurtailmentPlan {
        CurtailmentPlan {
            id: load.id.clone(),
            cut_kw: self.cut.iter().map(|&column| settled(point[column])).collect(),
        }
    }
}
