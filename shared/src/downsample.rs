//! Fewer points that look the same: MinMaxLTTB, for charts.
//!
//! First the least and the greatest reading of each of many equal stretches of time are kept, then of these the ones that make the
//! largest triangles with their neighbours. No peak is lost: first, last, least and greatest of all are always among the result.
//! Readings are taken one by one and memory is bounded by the number of points asked for, however many come and however long
//! the time they span.
//!
//! Sources: Jeroen Van Der Donckt, Jonas Van Der Donckt, M. Rademaker, S. Van Hoecke, *MinMaxLTTB: Leveraging MinMax-Preselection to
//! Scale LTTB*, IEEE VIS 2023, arXiv 2305.00332; S. Steinarsson, *Downsampling Time Series for Visual
//! Representation*, University of Iceland 2013. Two things are ours: stretches grow with the time seen, since a stream does
//! not say where it will end; and the extremes are kept where the triangles would pass over one.
//!
//! ```
//! use shared::{downsample::Downsampler, telemetry::{Quality, Reading}, time::Timestamp};
//! let mut chart = Downsampler::new(100);
//! for second in 0..86_400 {
//!     let value = if second == 50_000 { 900.0 } else { f64::from(second % 7) };
//!     chart.push(Reading { value, timestamp: Timestamp(i64::from(second) * 1_000), quality: Quality::Good });
//! }
//! let points = chart.finish();
//! assert!(points.len() <= 100 && points.iter().any(|p| p.value == 900.0));
//! ```

use crate::{telemetry::Reading, time::Timestamp};

/// The fewest points that a line can be drawn with: first, last, least, greatest.
pub const POINTS_MIN: usize = 4;
/// Stretches kept for each point asked for, at most; half as many at least. The paper finds two (four readings a point) to be enough.
const STRETCHES_A_POINT: usize = 4;

/// Takes readings in the order of time, gives at most so many of them.
#[derive(Debug, Clone)]
pub struct Downsampler {
    points: usize,
    seen: u64,
    kept: Kept,
}

#[derive(Debug, Clone)]
enum Kept {
    /// No more than asked for so far.
    All(Vec<Reading>),
    Extremes(Extremes),
}

/// The least and the greatest of each stretch, and the ends.
#[derive(Debug, Clone)]
struct Extremes {
    first: Reading,
    last: Reading,
    /// As many as fit into the time from `first` on.
    most: usize,
    width_ms: i64,
    /// Those with a reading, in the order of time.
    stretches: Vec<Stretch>,
}

#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// How many stretches lie before it.
    index: i64,
    least: Reading,
    greatest: Reading,
}

impl Stretch {
    fn join(&mut self, later: &Stretch) {
        // Of equals the earlier one.
        if later.least.value < self.least.value {
            self.least = later.least;
        }
        if later.greatest.value > self.greatest.value {
            self.greatest = later.greatest;
        }
    }
}

impl Downsampler {
    /// At most `points` will be left, and never fewer than [`POINTS_MIN`] where there are more.
    pub fn new(points: usize) -> Downsampler {
        Downsampler { points: points.max(POINTS_MIN), seen: 0, kept: Kept::All(Vec::new()) }
    }

    /// How many readings were taken.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Takes the next reading, which is later than the last one.
    pub fn push(&mut self, reading: Reading) {
        self.seen += 1;
        match &mut self.kept {
            Kept::Extremes(extremes) => extremes.push(reading),
            Kept::All(all) => {
                all.push(reading);
                if let (true, Some(first)) = (all.len() > self.points, all.first()) {
                    let mut extremes = Extremes {
                        first: *first,
                        last: *first,
                        most: self.points.saturating_mul(STRETCHES_A_POINT),
                        width_ms: 1,
                        stretches: Vec::new(),
                    };
                    all.iter().for_each(|held| extremes.push(*held));
                    self.kept = Kept::Extremes(extremes);
                }
            }
        }
    }

    /// What is left, in the order of time.
    pub fn finish(self) -> Vec<Reading> {
        match self.kept {
            Kept::All(all) => all,
            Kept::Extremes(extremes) => {
                let candidates = extremes.candidates();
                let chosen = largest_triangles(&candidates, self.points);
                let missing = missing_extremes(&candidates, &chosen);
                if missing.is_empty() {
                    return chosen;
                }
                let mut chosen = largest_triangles(&candidates, self.points - 2);
                chosen.extend(missing_extremes(&candidates, &chosen));
                chosen.sort_by_key(|point| point.timestamp);
                chosen
            }
        }
    }
}

impl Extremes {
    fn push(&mut self, reading: Reading) {
        self.last = reading;
        let since = reading.timestamp.0.saturating_sub(self.first.timestamp.0).max(0);
        while since / self.width_ms >= self.most as i64 {
            self.widen();
        }
        let next = Stretch { index: since / self.width_ms, least: reading, greatest: reading };
        match self.stretches.last_mut() {
            Some(last) if last.index == next.index => last.join(&next),
            _ => self.stretches.push(next),
        }
    }

    /// Makes each two stretches one.
    fn widen(&mut self) {
        self.width_ms = self.width_ms.saturating_mul(2);
        let mut joined: Vec<Stretch> = Vec::with_capacity(self.stretches.len());
        for stretch in &self.stretches {
            let stretch = Stretch { index: stretch.index / 2, ..*stretch };
            match joined.last_mut() {
                Some(last) if last.index == stretch.index => last.join(&stretch),
                _ => joined.push(stretch),
            }
        }
        self.stretches = joined;
    }

    /// Each once, in the order of time.
    fn candidates(&self) -> Vec<Reading> {
        let mut all: Vec<Reading> = Vec::with_capacity(2 * self.stretches.len() + 2);
        all.push(self.first);
        for Stretch { least, greatest, .. } in &self.stretches {
            let swapped = greatest.timestamp < least.timestamp;
            all.extend(if swapped { [*greatest, *least] } else { [*least, *greatest] });
        }
        all.push(self.last);
        all.dedup_by_key(|reading| reading.timestamp);
        all
    }
}

/// Largest-Triangle-Three-Buckets: of each bucket the point that spans the largest triangle with the one chosen before and the mean
/// of the next bucket. `points` is at least two.
fn largest_triangles(all: &[Reading], points: usize) -> Vec<Reading> {
    let (Some(first), Some(last)) = (all.first(), all.last()) else { return Vec::new() };
    if all.len() <= points {
        return all.to_vec();
    }
    // Times from the first on, so that no digit is lost to the years since 1970.
    let at = |t: Timestamp| t.0.saturating_sub(first.timestamp.0) as f64;
    let buckets = points - 2;
    let a_bucket = (all.len() - 2) as f64 / buckets.max(1) as f64;
    let begin = |bucket: usize| (1 + (bucket as f64 * a_bucket) as usize).min(all.len() - 1);
    let mut chosen = Vec::with_capacity(points);
    chosen.push(*first);
    let mut before = *first;
    for bucket in 0..buckets {
        let (start, end) = (begin(bucket), begin(bucket + 1).max(begin(bucket) + 1).min(all.len() - 1));
        let next = &all[end..if bucket + 1 == buckets { all.len() } else { begin(bucket + 2).max(end + 1) }];
        let mean_x = next.iter().map(|p| at(p.timestamp)).sum::<f64>() / next.len() as f64;
        let mean_y = next.iter().map(|p| p.value).sum::<f64>() / next.len() as f64;
        let (x, y) = (at(before.timestamp), before.value);
        let area = |p: &Reading| ((x - mean_x) * (p.value - y) - (x - at(p.timestamp)) * (mean_y - y)).abs();
        let largest = all[start..end].iter().max_by(|a, b| area(a).total_cmp(&area(b)));
        if let Some(point) = largest {
            before = *point;
            chosen.push(*point);
        }
    }
    chosen.push(*last);
    chosen
}

/// The least and the greatest of all, where no chosen point has their value.
fn missing_extremes(all: &[Reading], chosen: &[Reading]) -> Vec<Reading> {
    let least = all.iter().min_by(|a, b| a.value.total_cmp(&b.value));
    let greatest = all.iter().max_by(|a, b| a.value.total_cmp(&b.value));
    let extremes = least.into_iter().chain(greatest);
    extremes.filter(|extreme| chosen.iter().all(|point| point.value != extreme.value)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Quality;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn reading(timestamp: i64, value: f64) -> Reading {
        Reading { value, timestamp: Timestamp(timestamp), quality: Quality::Good }
    }

    fn sampled(all: &[Reading], points: usize) -> (Downsampler, Vec<Reading>) {
        let mut sampler = Downsampler::new(points);
        all.iter().for_each(|r| sampler.push(*r));
        (sampler.clone(), sampler.finish())
    }

    /// Times with gaps of any length between, values with ties.
    fn series() -> impl Strategy<Value = Vec<Reading>> {
        let gap = prop_oneof![8 => 1i64..2_000, 1 => 1i64..10_000_000_000];
        prop::collection::vec((gap, -40i32..40), 0..600).prop_map(|steps| {
            let mut at = 1_780_000_000_000;
            let next = |(gap, value): (i64, i32)| {
                at += gap;
                reading(at, f64::from(value) / 4.0)
            };
            steps.into_iter().map(next).collect()
        })
    }

    #[test]
    fn few_readings_stay_as_they_are() {
        let all: Vec<Reading> = (0..10).map(|i| reading(i * 1_000, (i % 3) as f64)).collect();
        assert_eq!(sampled(&all, 10).1, all);
        assert_eq!(sampled(&[], 10).1, []);
    }

    #[test]
    fn a_single_spike_in_a_day_of_seconds_stays() {
        let value = |i: i64| if i == 43_211 { -50.0 } else { (i as f64 / 3_600.0).sin() };
        let all: Vec<Reading> = (0..86_400).map(|i| reading(i * 1_000, value(i))).collect();
        let (sampler, left) = sampled(&all, 200);
        assert_eq!(sampler.seen(), 86_400);
        // Room is made for two extremes, and here the triangles passed over one only.
        assert_eq!(left.len(), 199);
        assert!(left.contains(&all[43_211]));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_more_than_asked_for_and_the_extremes_among_them(all in series(), points in 4usize..80) {
            let (_, left) = sampled(&all, points);
            prop_assert!(left.len() <= points && left.len() >= points.min(all.len()).min(POINTS_MIN).min(2));
            prop_assert!(left.is_sorted_by(|a, b| a.timestamp < b.timestamp));
            prop_assert!(left.iter().all(|point| all.contains(point)));
            prop_assert_eq!((left.first(), left.last()), (all.first(), all.last()));
            for extreme in missing_extremes(&all, &[]) {
                prop_assert!(left.iter().any(|point| point.value == extreme.value));
            }
        }

        #[test]
        fn each_stretch_keeps_its_least_and_its_greatest(all in series(), points in 4usize..80) {
            let (sampler, _) = sampled(&all, points);
            let Kept::Extremes(extremes) = &sampler.kept else {
                prop_assert!(all.len() <= points);
                return Ok(());
            };
            let (first, most) = (all[0].timestamp, points * STRETCHES_A_POINT);
            prop_assert!(extremes.stretches.len() <= most);
            let stretch_of = |r: &Reading| r.timestamp.since(first) / extremes.width_ms;
            let spanned = stretch_of(&all[all.len() - 1]) + 1;
            prop_assert!(extremes.width_ms == 1 || spanned > most as i64 / 2, "{} of {}", spanned, most);
            let mut naive: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
            for reading in &all {
                let (least, greatest) =
                    naive.entry(stretch_of(reading)).or_insert((reading.value, reading.value));
                *least = least.min(reading.value);
                *greatest = greatest.max(reading.value);
            }
            let kept = extremes.stretches.iter().map(|s| (s.index, (s.least.value, s.greatest.value)));
            prop_assert_eq!(kept.collect::<BTreeMap<_, _>>(), naive);
            let candidates = extremes.candidates();
            prop_assert!(candidates.is_sorted_by(|a, b| a.timestamp < b.timestamp));
            for s in &extremes.stretches {
                prop_assert!(candidates.contains(&s.least) && candidates.contains(&s.greatest));
            }
        }
    }
}
