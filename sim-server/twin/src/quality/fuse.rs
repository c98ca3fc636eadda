//! One quantity, several sources: the best one is taken, the others are held against it.
//!
//! A fresh good value comes before a fresh doubtful one, and that before a stale one; among equals the declared priority
//! decides. Sources are compared only while both are fresh: an old value differs for a reason that is shown already.

use shared::{
    quality::{FusedInput, FusedSource, FusionState},
    scene::FusedQuantity,
    telemetry::{Quality, Reading},
    time::Timestamp,
};

/// A source over several devices: their sum, as old as the oldest and as good as the worst. `None` when one of them is missing.
pub(crate) fn sum(readings: impl IntoIterator<Item = Option<Reading>>) -> Option<Reading> {
    readings
        .into_iter()
        .try_fold(None, |sum: Option<Reading>, next| {
            let next = next?;
            Some(Some(match sum {
                None => next,
                Some(sum) => Reading {
                    value: sum.value + next.value,
                    timestamp: sum.timestamp.min(next.timestamp),
                    quality: if rank(next.quality) > rank(sum.quality) { next.quality } else { sum.quality },
                },
            }))
        })
        .flatten()
}

/// From good to bad.
fn rank(quality: Quality) -> u8 {
    match quality {
        Quality::Good => 0,
        Quality::Estimated => 1,
        Quality::Suspect => 2,
        Quality::OutOfRange => 3,
    }
}

/// Fuses a quantity; `readings` has what each input says, in their order. `conflict_since` is the caller's to know.
pub fn fuse(quantity: &FusedQuantity, readings: &[Option<Reading>], now: Timestamp) -> FusedSource {
    let stale_ms = i64::from(quantity.stale_after_s) * 1_000;
    let is_stale = |reading: &Reading| now.since(reading.timestamp) > stale_ms;
    let said = |index: usize| readings.get(index).copied().flatten();
    let used = (0..quantity.inputs.len()).filter_map(|index| Some((index, said(index)?))).min_by_key(
        |(index, r)| {
            // Of stale ones the newest says most.
            let age = if is_stale(r) { now.since(r.timestamp) } else { 0 };
            (age, rank(r.quality), quantity.inputs[*index].priority)
        },
    );
    let fresh = used.filter(|(_, reading)| !is_stale(reading));
    let tolerance = used.map(|(_, r)| quantity.tolerance + quantity.tolerance_share * r.value.abs());
    let mut inputs: Vec<FusedInput> = quantity
        .inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let reading = said(index);
            let comparable = reading.filter(|r| !is_stale(r)).zip(fresh.filter(|(used, _)| *used != index));
            let difference = comparable.map(|(own, (_, taken))| own.value - taken.value);
            FusedInput {
                priority: input.priority,
                measurement: input.measurement.clone(),
                devices: input.devices.clone(),
                value: reading.map(|r| r.value),
                timestamp: reading.map(|r| r.timestamp),
                quality: reading.map(|r| r.quality),
                used: used.is_some_and(|(used, _)| used == index),
                stale: reading.as_ref().is_some_and(is_stale),
                difference,
                conflicts: difference
                    .zip(tolerance)
                    .is_some_and(|(difference, most)| difference.abs() > most),
            }
        })
        .collect();
    inputs.sort_by_key(|input| input.priority);
    let state = match (used, fresh) {
        (None, _) => FusionState::Missing,
        (Some(_), None) => FusionState::Stale,
        _ if inputs.iter().any(|input| input.conflicts) => FusionState::Conflict,
        _ if inputs.iter().all(|input| input.difference.is_none()) => FusionState::Alone,
        _ => FusionState::Agreed,
    };
    FusedSource {
        id: quantity.id.clone(),
        name: quantity.name.clone(),
        unit: quantity.unit.clone(),
        value: used.map(|(_, r)| r.value),
        timestamp: used.map(|(_, r)| r.timestamp),
        quality: used.map(|(_, r)| r.quality),
        state,
        conflict_since: None,
        tolerance,
        inputs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::{scene::SourceInput, text::Text};

    const NOW: Timestamp = Timestamp(1_000_000);

    fn quantity() -> FusedQuantity {
        let input = |priority, device: &str| SourceInput {
            priority,
            measurement: "power".parse().unwrap(),
            devices: vec![device.parse().unwrap()],
        };
        FusedQuantity {
            id: "power".into(),
            name: Text::new("功率", "Power"),
            unit: "kW".into(),
            tolerance: 5.0,
            tolerance_share: 0.05,
            stale_after_s: 30,
            inputs: vec![input(2, "b"), input(1, "a"), input(3, "c")],
        }
    }

    fn said(value: f64, age_s: i64, quality: Quality) -> Option<Reading> {
        Some(Reading { value, timestamp: Timestamp(NOW.0 - age_s * 1_000), quality })
    }

    #[test]
    fn the_best_source_is_taken_and_differences_are_shown() {
        use FusionState::*;
        use Quality::{Good, OutOfRange, Suspect};
        for (what, readings, taken, state, conflicts) in [
            ("all agree", [said(101.0, 1, Good), said(100.0, 1, Good), said(99.0, 1, Good)], "a", Agreed, ""),
            (
                "one differs",
                [said(101.0, 1, Good), said(100.0, 1, Good), said(80.0, 1, Good)],
                "a",
                Conflict,
                "c",
            ),
            (
                "the first differs from both",
                [said(50.0, 1, Good), said(100.0, 1, Good), said(50.0, 1, Good)],
                "a",
                Conflict,
                "bc",
            ),
            ("the first is stale", [said(101.0, 1, Good), said(20.0, 31, Good), None], "b", Alone, ""),
            ("the first is doubtful", [said(101.0, 1, Good), said(99.0, 1, Suspect), None], "b", Agreed, ""),
            ("all are doubtful", [said(7.0, 1, OutOfRange), None, said(9.0, 1, Suspect)], "c", Agreed, ""),
            ("all are stale", [said(7.0, 90, Good), said(8.0, 60, Good), None], "a", Stale, ""),
            ("none says anything", [None, None, None], "", Missing, ""),
        ] {
            let fused = fuse(&quantity(), &readings, NOW);
            let names = |wanted: fn(&FusedInput) -> bool| -> String {
                fused.inputs.iter().filter(|i| wanted(i)).map(|i| i.devices[0].as_str()).collect()
            };
            assert_eq!((names(|i| i.used).as_str(), fused.state), (taken, state), "{what}");
            assert_eq!(names(|i| i.conflicts), conflicts, "{what}");
            assert!(fused.inputs.is_sorted_by_key(|i| i.priority), "{what}");
        }
    }

    #[test]
    fn a_sum_is_as_old_as_its_oldest_as_good_as_its_worst_and_needs_all_of_them() {
        let parts =
            [said(1.0, 5, Quality::Good), said(2.0, 20, Quality::Suspect), said(3.0, 1, Quality::Good)];
        assert_eq!(sum(parts), said(6.0, 20, Quality::Suspect));
        assert_eq!(sum([said(1.0, 5, Quality::Good), None]), None);
        assert_eq!(sum([]), None);
    }
}
