//! Vehicles: energy until departure, or a priced shortfall.
//!
//! ```text
//! Σ_t h · efficiency · power_t + shortfall = energy_needed
//! ```

use super::{Statement, settled};
use crate::plan::EvPlan;
use crate::problem::EvSession;
use crate::program::{Column, Point};

pub(super) struct EvColumns {
    /// From the arrival on, one a step until departure.
    power: Vec<Column>,
    shortfall: Column,
}

pub(super) fn state(session: &EvSession, statement: &mut Statement) -> EvColumns {
    let stored_per_kw = statement.hours * session.efficiency;
    let present = session.arrival_step..session.departure_step;
    let mut power = Vec::with_capacity(present.len());
    let mut energy = Vec::with_capacity(present.len() + 1);
    for step in present {
        let column = statement.column(0.0, session.charge_limit_kw, 0.0);
        statement.balance[step].push((-1.0, column));
        statement.most_drawn_kw[step] += session.charge_limit_kw;
        energy.push((stored_per_kw, column));
        power.push(column);
    }
    let shortfall = statement.column(0.0, session.energy_needed_kwh, session.shortfall_penalty_per_kwh);
    energy.push((1.0, shortfall));
    statement.program.equal(&energy, session.energy_needed_kwh);
    EvColumns { power, shortfall }
}

impl EvColumns {
    pub(super) fn plan(&self, session: &EvSession, steps: usize, point: &Point) -> EvPlan {
        let mut power_kw = vec![0.0; steps];
        for (step, &column) in (session.arrival_step..).zip(&self.power) {
            power_kw[step] = settled(point[column]);
        }
        EvPlan { id: session.id.clone(), power_kw, shortfall_kwh: settled(point[self.shortfall]) }
    }
}
