//! Between two plans: storage gives way before the park's demand passes what the plan meant it to be.
//!
//! A plan rests on forecasts. When more is drawn than foreseen, storage that charges as planned would raise the month's
//! peak, which is billed; here it charges less, or discharges, until the ceiling is kept. Pure: measured powers in,
//! set-points out; once there is room again the plan's own set-points come back by themselves.

use crate::{park::ParkContext, planner::StorageState, set_points::SetPoints};

/// A unit this close to its lower band edge is not asked to discharge any further.
const SOC_SLACK: f64 = 0.01;

/// What is measured now, kW.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Measured {
    /// Positive on import.
    pub grid_kw: f64,
    /// All storage together, positive charging.
    pub storage_kw: f64,
}

/// The plan's set-points with storage held back so that import stays at or below `ceiling_kw`.
///
/// Units that are not in `storage` (unknown state) or have no set-point are left alone.
pub fn guarded(
    park: &ParkContext,
    planned: &SetPoints,
    storage: &[StorageState],
    measured: Measured,
    ceiling_kw: f64,
) -> SetPoints {
    let mut guarded = planned.clone();
    let units: Vec<(&StorageState, f64)> = storage
        .iter()
        .filter_map(|state| Some((state, *planned.get(&park.storage[state.unit].device)?)))
        .collect();
    let planned_kw: f64 = units.iter().map(|(_, kw)| kw).sum();
    let allowed_kw = ceiling_kw - (measured.grid_kw - measured.storage_kw);
    let excess_kw = planned_kw - allowed_kw;
    if excess_kw <= 0.0 {
        return guarded;
    }
    let room = |(state, kw): &(&StorageState, f64)| {
        let unit = &park.storage[state.unit];
        let empty = state.state_of_charge <= unit.soc_min + SOC_SLACK;
        let lowest_kw = if empty { 0.0 } else { -unit.discharge_kw };
        (kw - lowest_kw).max(0.0)
    };
    let room_kw: f64 = units.iter().map(room).sum();
    if room_kw <= 0.0 {
        return guarded;
    }
    let share = (excess_kw / room_kw).min(1.0);
    for unit in &units {
        let (state, kw) = unit;
        guarded.insert(park.storage[state.unit].device.clone(), kw - share * room(unit));
    }
    guarded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_park;

    fn park() -> ParkContext {
        ParkContext::new(test_park::scene(2000.0)).unwrap()
    }

    fn storage_after(planned_kw: f64, soc: f64, grid_kw: f64, storage_kw: f64, ceiling_kw: f64) -> f64 {
        let planned = SetPoints::from([("bess".parse().unwrap(), planned_kw)]);
        let state = [StorageState { unit: 0, state_of_charge: soc }];
        guarded(&park(), &planned, &state, Measured { grid_kw, storage_kw }, ceiling_kw)["bess"]
    }

    #[test]
    fn storage_gives_way_only_as_far_as_it_must() {
        for (planned, soc, grid, storage, ceiling, expected, why) in [
            (200.0, 0.5, 900.0, 200.0, 1000.0, 200.0, "room left: as planned"),
            (200.0, 0.5, 1100.0, 200.0, 1000.0, 100.0, "charges less"),
            (200.0, 0.5, 1000.0, 100.0, 1000.0, 100.0, "stays held back while the need lasts"),
            (200.0, 0.5, 800.0, 100.0, 1000.0, 200.0, "comes back by itself"),
            (0.0, 0.5, 1150.0, 0.0, 1000.0, -150.0, "discharges"),
            (0.0, 0.5, 2000.0, 0.0, 1000.0, -250.0, "as far as its rating"),
            (200.0, 0.1, 2000.0, 200.0, 1000.0, 0.0, "an empty unit stops charging and does not discharge"),
        ] {
            let got = storage_after(planned, soc, grid, storage, ceiling);
            assert!((got - expected).abs() < 1e-9, "{why}: {got}");
        }
    }
}
