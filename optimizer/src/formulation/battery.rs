//! Electric storage, as a recursion of the stored energy.
//!
//! ```text
//! energy_t = a · energy_{t−1} + h · charge_efficiency · charge_t − h · discharge_t / discharge_efficiency
//!        a = (1 − self_discharge_per_hour)^h
//! ```
//!
//! A recursion keeps every row at four entries; cumulative sums over the steps are dense and ten times slower.

use super::{Direction, Pair, Statement, settled};
use crate::infeasible::{ENERGY_FINAL_WEIGHT, ENERGY_MIN_WEIGHT, Limit};
use crate::plan::BatteryPlan;
use crate::problem::Battery;
use crate::program::{Column, Point};

pub(super) struct BatteryColumns {
    charge: Vec<Column>,
    discharge: Vec<Column>,
    energy: Vec<Column>,
}

pub(super) fn state(battery: &Battery, statement: &mut Statement) -> BatteryColumns {
    let (steps, hours) = (statement.steps(), statement.hours);
    let retention = battery.retention(hours);
    let stored_per_kw = hours * battery.charge_efficiency;
    let taken_per_kw = hours / battery.discharge_efficiency;
    let wear = hours * battery.throughput_cost_per_kwh;
    let mut columns = BatteryColumns {
        charge: Vec::with_capacity(steps),
        discharge: Vec::with_capacity(steps),
        energy: Vec::with_capacity(steps),
    };
    for step in 0..steps {
        let charge = statement.reluctant_column(battery.charge_limit_kw, wear);
        let discharge = statement.reluctant_column(battery.discharge_limit_kw, wear);
        let energy = energy(battery, step, statement);

        let mut recursion = vec![(1.0, energy), (-stored_per_kw, charge), (taken_per_kw, discharge)];
        let carried = match columns.energy.last() {
            Some(&before) => {
                recursion.push((-retention, before));
                0.0
            }
            None => retention * battery.energy_initial_kwh,
        };
        statement.program.equal(&recursion, carried);

        statement.balance[step].extend([(-1.0, charge), (1.0, discharge)]);
        statement.most_drawn_kw[step] += battery.charge_limit_kw;
        statement.most_fed_kw[step] += battery.discharge_limit_kw;
        statement.pairs.push(Pair {
            forward: Direction { column: charge, most: battery.charge_limit_kw, weight: stored_per_kw },
            backward: Direction { column: discharge, most: battery.discharge_limit_kw, weight: taken_per_kw },
        });
        columns.charge.push(charge);
        columns.discharge.push(discharge);
        columns.energy.push(energy);
    }
    columns
}

/// The energy at the end of a step, within its bounds or, where limits are elastic, with a priced way below them.
fn energy(battery: &Battery, step: usize, statement: &mut Statement) -> Column {
    let last = step + 1 == statement.steps();
    let (least, wanted) = (battery.energy_min_kwh, battery.energy_final_min_kwh);
    let low = if last { least.max(wanted) } else { least };
    // More wanted than fits is infeasible, and has to be said by a row: bounds may not cross.
    let fits = low <= battery.energy_max_kwh;
    let id = || battery.id.clone();
    let minimum = || Limit::EnergyMin { battery: id(), limit_kwh: least };
    let below = statement.slack(minimum, step, ENERGY_MIN_WEIGHT);
    let target = || Limit::EnergyFinalMin { battery: id(), limit_kwh: wanted };
    let short = if last { statement.slack(target, step, ENERGY_FINAL_WEIGHT) } else { None };
    let bounded = below.is_none() && fits;
    let energy = statement.column(if bounded { low } else { 0.0 }, battery.energy_max_kwh, 0.0);
    if !bounded {
        at_least(energy, below, least, statement);
        if last {
            at_least(energy, short, wanted, statement);
        }
    }
    energy
}

/// energy + slack ≥ `least`
fn at_least(energy: Column, slack: Option<Column>, least: f64, statement: &mut Statement) {
    let mut terms = vec![(-1.0, energy)];
    terms.extend(slack.map(|slack| (-1.0, slack)));
    statement.program.at_most(&terms, -least);
}

impl BatteryColumns {
    pub(super) fn plan(&self, battery: &Battery, point: &Point) -> BatteryPlan {
        let values = |columns: &[Column]| columns.iter().map(|&column| settled(point[column])).collect();
        BatteryPlan {
            id: battery.id.clone(),
            charge_kw: values(&self.charge),
            discharge_kw: values(&self.discharge),
            energy_kwh: values(&self.energy),
        }
    }
}
