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

/// What is remembered of a device. Nothing is allocated before it sends.
#[derive(Debug, Default)]
pub struct DeviceQuality {
    series: Vec<(RateState, StuckState)>,
    recent: Recent,
    skew: SkewEstimate,
    /// Counts that are not written yet.
    days: Vec<(ParkDay, DayCounts)>,
}

impl DeviceQuality {
    /// Judges an item's readings, all of one instant, and flags those that are doubtful.
    pub fn judge(
        &mut self,
        rules: &ModelRules,
        limits: &SampleLimits,
        at: Timestamp,
        readings: &mut [(u16, Reading)],
        now: Timestamp,
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
        if self.series.is_empty() {
            self.series = vec![Default::default(); with_steps(rules)];
        }
        if now.since(at) <= limits.live_ms {
            verdict.is_skewed = self.skew.judge(at.0, now.0, limits.skew_ms);
        }
        let mut doubted = 0u64;
        for (place, (measurement, reading)) in readings.iter_mut().enumerate() {
            if reading.quality != Quality::Good {
                verdict.out_of_range += u32::from(reading.quality == Quality::OutOfRange);
                continue;
            }
            let (mut jumped, mut is_stuck) = (false, false);
            if let Some(Steps { rate, stuck, place }) = &rules.measurements[usize::from(*measurement)].steps
                && let Some((rate_state, stuck_state)) = self.series.get_mut(*place)
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

    /// The store did not take the item.
    pub(crate) fn forget(&mut self, at: Timestamp) {
        self.recent.forget(at.0);
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
        let skew_ms = if now.since(at) <= limits.live_ms { self.skew.estimate_ms() } else { None };
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
        self.skew.estimate_ms()
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
