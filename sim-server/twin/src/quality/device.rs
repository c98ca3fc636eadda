//! The steps over the samples of one device, and what is counted of them until it is written.

use super::{
    Steps,
    day::{DayCounts, ParkDay},
    duplicate::{self, Recent},
    rate::RateState,
    skew::SkewEstimate,
    stuck::StuckState,
    with_steps,
};
use crate::model::ModelRules;
use jiff::tz::TimeZone;
use shared::{
    telemetry::{Quality, Reading},
    time::Timestamp,
};

/// What is the same for all devices of a park.
#[derive(Debug, Clone, Copy)]
pub struct SampleLimits {
    /// Later than this is late.
    pub late_ms: i64,
    /// Later than this was never meant to be live, and says nothing about a clock.
    pub live_ms: i64,
    pub skew_ms: i64,
}

/// What the steps saw in an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    pub readings: u32,
    pub is_duplicate: bool,
    pub out_of_range: u32,
    pub suspect: u32,
    pub jumps: u32,
    pub stuck: u32,
    pub is_skewed: bool,
    pub converted: u32,
}

/// What the steps go by: the samples of a device that were judged so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepStates {
    series: Vec<(RateState, StuckState)>,
    skew: SkewEstimate,
}

impl StepStates {
    /// Goes back to what was before samples that are not stored. Never goes on: of several batches that fail, in whatever order,
    /// what was before the first of them is left. Samples that were judged and stored after it are forgotten as well, which
    /// is as if they had not come: the steps compare with older samples, over a longer time.
    fn back_to(&mut self, earlier: &StepStates) {
        for ((rate, stuck), (rate_then, stuck_then)) in self.series.iter_mut().zip(&earlier.series) {
            if rate_then.newest() < rate.newest() {
                *rate = *rate_then;
            }
            if stuck_then.newest() < stuck.newest() {
                *stuck = *stuck_then;
            }
        }
        if earlier.skew.newest() < self.skew.newest() {
            self.skew = earlier.skew;
        }
    }
}

/// What is remembered of a device. Nothing is allocated before it sends.
#[derive(Debug, Default)]
pub struct DeviceQuality {
    states: StepStates,
    recent: Recent,
    /// Counts that are not written yet.
    days: Vec<(ParkDay, DayCounts)>,
}

impl DeviceQuality {
    /// What is to be gone back to when an item that is judged next is not stored.
    pub(crate) fn states(&mut self, rules: &ModelRules) -> StepStates {
        self.begin(rules);
        self.states.clone()
    }

    fn begin(&mut self, rules: &ModelRules) {
        if self.states.series.is_empty() {
            self.states.series = vec![Default::default(); with_steps(rules)];
        }
    }

    /// Judges an item's readings, all of one instant, and flags those that are doubtful. `newest` is a measurement's newest stored
    /// reading.
    pub fn judge(
        &mut self,
        rules: &ModelRules,
        limits: &SampleLimits,
        at: Timestamp,
        readings: &mut [(u16, Reading)],
        now: Timestamp,
        newest: impl Fn(u16) -> Option<Reading>,
    ) -> Verdict {
        let mut verdict = Verdict { readings: readings.len() as u32, ..Verdict::default() };
        let fingerprint = duplicate::fingerprint(readings);
        if let Some(doubted) = self.recent.find(at.0, fingerprint) {
            for (place, (_, reading)) in readings.iter_mut().enumerate().take(64) {
                if doubted >> place & 1 == 1 {
                    reading.quality = Quality::Suspect;
                }
            }
            verdict.is_duplicate = true;
            return verdict;
        }
        if duplicate::is_newest(readings, newest) {
            verdict.is_duplicate = true;
            return verdict;
        }
        self.begin(rules);
        if now.since(at) <= limits.live_ms {
            verdict.is_skewed = self.states.skew.judge(at.0, now.0, limits.skew_ms);
        }
        let mut doubted = 0u64;
        for (place, (measurement, reading)) in readings.iter_mut().enumerate() {
            if reading.quality != Quality::Good {
                verdict.out_of_range += u32::from(reading.quality == Quality::OutOfRange);
                continue;
            }
            let (mut jumped, mut is_stuck) = (false, false);
            if let Some(Steps { rate, stuck, place }) = &rules.measurements[usize::from(*measurement)].steps
                && let Some((rate_state, stuck_state)) = self.states.series.get_mut(*place)
            {
                jumped = rate.is_some_and(|limit| rate_state.judge(&limit, at.0, reading.value));
                is_stuck = stuck.is_some_and(|limit| stuck_state.judge(&limit, at.0, reading.value));
                verdict.jumps += u32::from(jumped);
                verdict.stuck += u32::from(is_stuck);
            }
            if jumped || is_stuck || verdict.is_skewed {
                reading.quality = Quality::Suspect;
                verdict.suspect += 1;
                doubted |= 1u64.checked_shl(place as u32).unwrap_or(0);
            }
        }
        self.recent.remember(at.0, fingerprint, doubted);
        verdict
    }

    /// The store did not take an item that was judged. `before`: what was there before it, unless an item before it goes back
    /// further.
    pub(crate) fn forget(
        &mut self,
        verdict: &Verdict,
        at: Timestamp,
        readings: &[(u16, Reading)],
        before: Option<&StepStates>,
    ) {
        // Its original is stored, or fails for itself.
        if !verdict.is_duplicate {
            self.recent.forget(at.0, duplicate::fingerprint(readings));
        }
        if let Some(before) = before {
            self.states.back_to(before);
        }
    }

    /// The item is durable: now it counts. `was_on_time` says whether the device ever was.
    pub fn count(
        &mut self,
        verdict: &Verdict,
        limits: &SampleLimits,
        at: Timestamp,
        now: Timestamp,
        was_on_time: bool,
        zone: &TimeZone,
    ) {
        let skew_ms = if now.since(at) <= limits.live_ms { self.states.skew.estimate_ms() } else { None };
        let (day, counts) = self.day(at, zone);
        let readings = u64::from(verdict.readings);
        if verdict.is_duplicate {
            counts.duplicates += readings;
            return;
        }
        let is_late = now.since(at) > limits.late_ms;
        counts.take(&day, at, verdict.readings, is_late && !was_on_time);
        if is_late && was_on_time {
            counts.late += readings;
        }
        counts.out_of_range += u64::from(verdict.out_of_range);
        counts.suspect += u64::from(verdict.suspect);
        counts.jumps += u64::from(verdict.jumps);
        counts.stuck += u64::from(verdict.stuck);
        counts.converted += u64::from(verdict.converted);
        if verdict.is_skewed {
            counts.skewed += readings;
        }
        counts.note_skew(skew_ms);
    }

    /// Something of the device was refused.
    pub(crate) fn count_refused(&mut self, now: Timestamp, zone: &TimeZone) {
        self.day(now, zone).1.refused += 1;
    }

    fn day(&mut self, at: Timestamp, zone: &TimeZone) -> (ParkDay, &mut DayCounts) {
        let found = self.days.iter().rposition(|(day, _)| day.holds(at));
        let index = found.unwrap_or_else(|| {
            self.days.push((ParkDay::of(at, zone), DayCounts::default()));
            self.days.len() - 1
        });
        let (day, counts) = &mut self.days[index];
        (*day, counts)
    }

    pub(crate) fn skew_ms(&self) -> Option<i64> {
        self.states.skew.estimate_ms()
    }

    /// What is not written yet of a day.
    pub(crate) fn unwritten(&self, day: &ParkDay) -> Option<&DayCounts> {
        self.days.iter().find(|(known, _)| known == day).map(|(_, counts)| counts)
    }

    /// Takes what is to be written.
    pub(crate) fn take_days(&mut self) -> Vec<(ParkDay, DayCounts)> {
        std::mem::take(&mut self.days)
    }

    /// Gives back what could not be written.
    pub(crate) fn give_back(&mut self, day: ParkDay, counts: &DayCounts) {
        match self.days.iter_mut().find(|(known, _)| *known == day) {
            Some((_, known)) => known.merge(counts),
            None => self.days.push((day, counts.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_park;
    use std::sync::Arc;

    const LIMITS: SampleLimits = SampleLimits { late_ms: 30_000, live_ms: 300_000, skew_ms: 10_000 };

    /// A battery whose power jumps from 5 kW a second on, and whose state of charge is stuck after 5 s.
    fn rules() -> Arc<ModelRules> {
        let scene = test_park::scene();
        let mut model = scene.models.into_values().find(|model| model.id.as_str() == "battery").unwrap();
        model.measurements[0].rate_per_s = Some(5.0);
        model.measurements[1].stuck_after_s = Some(5);
        ModelRules::new(model, &scene.alarms)
    }

    type Item = (Timestamp, Vec<(u16, Reading)>);

    fn item(second: i64, power: f64) -> Item {
        let at = second * 1_000;
        (Timestamp(at), vec![(0, test_park::reading(power, at)), (1, test_park::reading(50.0, at))])
    }

    struct Judged {
        item: Item,
        verdict: Verdict,
        before: StepStates,
    }

    /// Judges an item that comes a minute after the first one at the latest.
    fn judge(device: &mut DeviceQuality, rules: &ModelRules, item: Item) -> Judged {
        let (at, mut readings) = item;
        let before = device.states(rules);
        let verdict = device.judge(rules, &LIMITS, at, &mut readings, at, |_| None);
        Judged { item: (at, readings), verdict, before }
    }

    fn forget(device: &mut DeviceQuality, judged: &Judged) {
        let (at, readings) = &judged.item;
        device.forget(&judged.verdict, *at, readings, Some(&judged.before));
    }

    #[test]
    fn what_failed_is_judged_as_if_for_the_first_time_in_whatever_order_the_failures_are_told() {
        let rules = rules();
        let later = || vec![item(12, 90.0), item(13, 1.0), item(14, 80.0)];
        let flags = |judged: &[Judged]| -> Vec<(u32, u32, bool)> {
            judged.iter().map(|j| (j.verdict.jumps, j.verdict.stuck, j.verdict.is_duplicate)).collect()
        };
        for told in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut device = DeviceQuality::default();
            for second in 0..12 {
                judge(&mut device, &rules, item(second, 1.0));
            }
            let first: Vec<Judged> =
                later().into_iter().map(|item| judge(&mut device, &rules, item)).collect();
            assert_eq!(flags(&first), [(1, 1, false), (0, 1, false), (1, 1, false)]);
            for failed in told {
                forget(&mut device, &first[failed]);
            }
            let again: Vec<Judged> =
                later().into_iter().map(|item| judge(&mut device, &rules, item)).collect();
            assert_eq!(flags(&again), flags(&first), "{told:?}");
        }
    }

    #[test]
    fn a_failure_told_late_leaves_what_came_again_meanwhile() {
        let rules = rules();
        let mut device = DeviceQuality::default();
        judge(&mut device, &rules, item(0, 1.0));
        let spike = judge(&mut device, &rules, item(1, 90.0));
        let next = judge(&mut device, &rules, item(2, 1.0));
        forget(&mut device, &spike);
        assert_eq!(judge(&mut device, &rules, item(1, 90.0)).verdict.jumps, 1);
        forget(&mut device, &next);
        assert!(judge(&mut device, &rules, item(1, 90.0)).verdict.is_duplicate, "it is stored by now");
        assert_eq!(judge(&mut device, &rules, item(2, 80.0)).verdict.jumps, 1, "as after one doubted sample");
    }

    #[test]
    fn a_duplicate_that_fails_does_not_make_its_original_unknown() {
        let rules = rules();
        let mut device = DeviceQuality::default();
        judge(&mut device, &rules, item(0, 1.0));
        let again = judge(&mut device, &rules, item(0, 1.0));
        assert!(again.verdict.is_duplicate);
        forget(&mut device, &again);
        assert!(judge(&mut device, &rules, item(0, 1.0)).verdict.is_duplicate);
    }
}
