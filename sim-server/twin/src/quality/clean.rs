//! The cleaned view of a series: spikes replaced, values out of range replaced, gaps filled; everything changed is flagged.
//!
//! Pure functions over readings as stored, oldest first. What is stored never changes.
//!
//! ```
//! use shared::{telemetry::{Quality, Reading}, time::Timestamp};
//! use twin::{Cleaning, Fill, PointFlag, clean};
//! let at = |second: i64, value| Reading { value, timestamp: Timestamp(second * 1_000), quality: Quality::Good };
//! let cleaning = Cleaning { period_ms: Some(1_000), fill: Fill::Linear, ..Cleaning::default() };
//! let cleaned = clean(&[at(0, 10.0), at(1, 12.0), at(4, 18.0)], &cleaning);
//! let filled: Vec<_> = cleaned.points.iter().map(|p| (p.timestamp.0, p.value, p.flag)).collect();
//! assert_eq!(filled[2..4], [(2_000, 14.0, PointFlag::Estimated), (3_000, 16.0, PointFlag::Estimated)]);
//! ```

use schemars::JsonSchema;
use serde::Serialize;
use shared::{
    telemetry::{Quality, Reading},
    time::{HOUR_MS, Timestamp},
};

/// How a gap is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fill {
    None,
    /// On the line between the readings before and after.
    #[default]
    Linear,
    /// What was last there goes on.
    Previous,
}

/// A spike filter: a value further than `k` standard deviations from the median of its window becomes that median.
///
/// The deviation is estimated as 1.4826 times the median absolute deviation, which a minority of outliers does not move:
/// Hampel, "The influence curve and its role in robust estimation", J. Am. Stat. Assoc. 69 (1974); as a moving window: Pearson
/// et al., "Generalized Hampel filters", EURASIP J. Adv. Signal Process. 2016:87.
///
/// Where more than half of the window is the same, that estimate is zero and anything else would be a spike, a pump that runs
/// for a third of the window too. There the deviation is estimated as √(π/2) times the mean absolute deviation from the median, as
/// modified z-scores do (Iglewicz and Hoaglin, "How to detect and handle outliers", 1993; the case of zero: IBM SPSS Statistics): with
/// `k` = 3, up to a quarter of the window is a spike, and more of it is a level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hampel {
    /// Readings on either side of the one that is looked at.
    pub half_window: usize,
    pub k: f64,
}

impl Default for Hampel {
    fn default() -> Self {
        Self { half_window: 5, k: 3.0 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cleaning {
    /// How often a reading is expected; without it nothing is a gap.
    pub period_ms: Option<i64>,
    pub fill: Fill,
    /// A longer gap stays open.
    pub fill_most_ms: i64,
    pub hampel: Option<Hampel>,
    /// The last digit of the values: differences up to it are no spike.
    pub resolution: f64,
    /// The most points filled in altogether; gaps beyond stay open.
    pub filled_most: usize,
    /// Until when readings were to come: silence after the last one is a gap, up to here. It is never filled, since nothing says how
    /// it went on.
    pub until: Option<Timestamp>,
}

impl Default for Cleaning {
    fn default() -> Self {
        Self {
            period_ms: None,
            fill: Fill::default(),
            fill_most_ms: HOUR_MS,
            hampel: Some(Hampel::default()),
            resolution: 0.0,
            filled_most: 100_000,
            until: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PointFlag {
    Good,
    /// As sent, and doubted when it came.
    Suspect,
    /// As sent, and out of range: nothing was there to replace it by.
    OutOfRange,
    /// Filled in: nothing was sent for this instant, or what was is out of range.
    Estimated,
    /// What was sent stood out and is replaced by the median around it.
    Spike,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub timestamp: Timestamp,
    pub value: f64,
    pub flag: PointFlag,
}

/// No reading between two that are further apart than one and a half periods, or so long after the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Gap {
    pub from: Timestamp,
    pub to: Timestamp,
    /// Whether points were filled in.
    pub filled: bool,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cleaned {
    pub points: Vec<Point>,
    pub gaps: Vec<Gap>,
}

/// Cleans readings in the order of time.
pub fn clean(readings: &[Reading], cleaning: &Cleaning) -> Cleaned {
    let mut points: Vec<Point> = readings.iter().filter(|r| r.value.is_finite()).map(as_stored).collect();
    if cleaning.fill != Fill::None {
        replace_impossible(&mut points, cleaning.fill);
    }
    if let Some(hampel) = &cleaning.hampel {
        replace_spikes(&mut points, hampel, cleaning.resolution);
    }
    match cleaning.period_ms {
        Some(period_ms) if period_ms > 0 => fill_gaps(&points, period_ms, cleaning),
        _ => Cleaned { points, gaps: Vec::new() },
    }
}

fn as_stored(reading: &Reading) -> Point {
    let flag = match reading.quality {
        Quality::Good => PointFlag::Good,
        Quality::OutOfRange => PointFlag::OutOfRange,
        Quality::Estimated => PointFlag::Estimated,
        Quality::Suspect => PointFlag::Suspect,
    };
    Point { timestamp: reading.timestamp, value: reading.value, flag }
}

/// Values that cannot be are filled in from those around them.
fn replace_impossible(points: &mut [Point], fill: Fill) {
    let mut index = 0;
    while index < points.len() {
        if points[index].flag != PointFlag::OutOfRange {
            index += 1;
            continue;
        }
        let run = points[index..].iter().take_while(|p| p.flag == PointFlag::OutOfRange).count();
        let end = index + run;
        let before = index.checked_sub(1).map(|i| points[i]);
        let after = points.get(end).copied();
        for point in &mut points[index..end] {
            let value = match (before, after, fill) {
                (Some(before), Some(after), Fill::Linear) => Some(between(&before, &after, point.timestamp)),
                (Some(before), _, _) => Some(before.value),
                // Before the first value that can be, nothing is known.
                (None, _, _) => None,
            };
            if let Some(value) = value {
                (point.value, point.flag) = (value, PointFlag::Estimated);
            }
        }
        index = end;
    }
}

/// On the line between two points, never beyond either.
fn between(before: &Point, after: &Point, at: Timestamp) -> f64 {
    let whole = after.timestamp.since(before.timestamp) as f64;
    let gone = (at.since(before.timestamp) as f64).clamp(0.0, whole);
    let value = before.value + (after.value - before.value) * gone / whole;
    // Two huge values of either sign are further apart than a number can say.
    let value = if value.is_finite() {
        value
    } else {
        before.value * (1.0 - gone / whole) + after.value * (gone / whole)
    };
    value.clamp(before.value.min(after.value), before.value.max(after.value))
}

fn replace_spikes(points: &mut [Point], hampel: &Hampel, resolution: f64) {
    /// Of a normal distribution: its standard deviation over its median absolute deviation.
    const SIGMA_OF_MAD: f64 = 1.4826;
    /// Its standard deviation over its mean absolute deviation, √(π/2).
    const SIGMA_OF_MEAN_DEVIATION: f64 = 1.253_314;
    /// A median deviation of up to a last digit (not two, whatever rounding makes of one) is of rounding alone.
    const DIGITS_OF_FLAT: f64 = 1.5;
    let sent: Vec<f64> = points.iter().map(|p| p.value).collect();
    let mut window = Vec::with_capacity(2 * hampel.half_window + 1);
    for (index, point) in points.iter_mut().enumerate() {
        let from = index.saturating_sub(hampel.half_window);
        let to = (index + hampel.half_window + 1).min(sent.len());
        if to - from < 3 || point.flag == PointFlag::OutOfRange {
            continue;
        }
        window.clear();
        window.extend_from_slice(&sent[from..to]);
        let median = median_of(&mut window);
        window.iter_mut().for_each(|value| *value = (*value - median).abs());
        let typical = median_of(&mut window);
        let deviation = if typical > DIGITS_OF_FLAT * resolution {
            SIGMA_OF_MAD * typical
        } else {
            SIGMA_OF_MEAN_DEVIATION * window.iter().sum::<f64>() / window.len() as f64
        };
        if (sent[index] - median).abs() > (hampel.k * deviation).max(resolution) {
            (point.value, point.flag) = (median, PointFlag::Spike);
        }
    }
}

/// The middle value; of an even number of them the lower middle one, so that it is one that was there.
fn median_of(values: &mut [f64]) -> f64 {
    let middle = (values.len() - 1) / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}

fn fill_gaps(points: &[Point], period_ms: i64, cleaning: &Cleaning) -> Cleaned {
    let mut cleaned = Cleaned { points: Vec::with_capacity(points.len()), gaps: Vec::new() };
    let mut left = cleaning.filled_most;
    let is_gap = |apart_ms: i64| apart_ms.saturating_mul(2) > period_ms.saturating_mul(3);
    for (index, point) in points.iter().enumerate() {
        if let Some(before) = index.checked_sub(1).map(|i| &points[i]) {
            let apart = point.timestamp.since(before.timestamp);
            if is_gap(apart) {
                let missing = (apart + period_ms / 2) / period_ms - 1;
                let wanted = usize::try_from(missing.max(1)).unwrap_or(usize::MAX);
                let filled = cleaning.fill != Fill::None && apart <= cleaning.fill_most_ms && wanted <= left;
                if filled {
                    left -= wanted;
                    cleaned.points.extend((1..=wanted as i64).filter_map(|n| {
                        let timestamp = Timestamp(before.timestamp.0 + n * period_ms);
                        let value = match cleaning.fill {
                            Fill::Previous => before.value,
                            _ => between(before, point, timestamp),
                        };
                        let estimated = Point { timestamp, value, flag: PointFlag::Estimated };
                        (timestamp < point.timestamp).then_some(estimated)
                    }));
                }
                cleaned.gaps.push(Gap { from: before.timestamp, to: point.timestamp, filled });
            }
        }
        cleaned.points.push(*point);
    }
    if let (Some(last), Some(until)) = (points.last(), cleaning.until)
        && is_gap(until.since(last.timestamp))
    {
        cleaned.gaps.push(Gap { from: last.timestamp, to: until, filled: false });
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;
    use PointFlag::{Estimated, Good, OutOfRange, Spike, Suspect};
    use proptest::prelude::*;

    fn series(values: &[(i64, f64, Quality)]) -> Vec<Reading> {
        values
            .iter()
            .map(|(s, value, quality)| Reading {
                value: *value,
                timestamp: Timestamp(s * 1_000),
                quality: *quality,
            })
            .collect()
    }

    fn good(values: &[(i64, f64)]) -> Vec<Reading> {
        series(&values.iter().map(|(s, v)| (*s, *v, Quality::Good)).collect::<Vec<_>>())
    }

    fn shown(cleaned: &Cleaned) -> Vec<(i64, f64, PointFlag)> {
        cleaned.points.iter().map(|p| (p.timestamp.0 / 1_000, p.value, p.flag)).collect()
    }

    fn every_second(fill: Fill) -> Cleaning {
        Cleaning { period_ms: Some(1_000), fill, hampel: None, ..Cleaning::default() }
    }

    #[test]
    fn gaps_are_filled_as_asked_and_told() {
        let readings = good(&[(0, 0.0), (1, 1.0), (4, 10.0), (5, 11.0)]);
        let linear = clean(&readings, &every_second(Fill::Linear));
        assert_eq!(shown(&linear)[2..4], [(2, 4.0, Estimated), (3, 7.0, Estimated)]);
        let previous = clean(&readings, &every_second(Fill::Previous));
        assert_eq!(shown(&previous)[2..4], [(2, 1.0, Estimated), (3, 1.0, Estimated)]);
        let none = clean(&readings, &every_second(Fill::None));
        assert_eq!(none.points.len(), 4);
        for (cleaned, filled) in [(linear, true), (previous, true), (none, false)] {
            assert_eq!(cleaned.gaps, [Gap { from: Timestamp(1_000), to: Timestamp(4_000), filled }]);
        }
    }

    #[test]
    fn a_long_gap_stays_open_and_a_little_jitter_is_none() {
        let cleaning = Cleaning { fill_most_ms: 10_000, ..every_second(Fill::Linear) };
        let cleaned = clean(&good(&[(0, 0.0), (11, 1.0)]), &cleaning);
        assert_eq!((cleaned.points.len(), cleaned.gaps[0].filled), (2, false));
        let cleaned = clean(&good(&[(0, 0.0), (10, 1.0)]), &Cleaning { filled_most: 5, ..cleaning });
        assert_eq!((cleaned.points.len(), cleaned.gaps[0].filled), (2, false), "nor more than was asked for");
        let mut jittered = good(&[(0, 0.0), (1, 0.0), (2, 0.0)]);
        jittered[1].timestamp = Timestamp(1_500);
        assert!(clean(&jittered, &every_second(Fill::Linear)).gaps.is_empty());
        assert!(
            clean(&good(&[(0, 0.0), (60, 0.0)]), &Cleaning { period_ms: None, ..cleaning }).gaps.is_empty()
        );
    }

    #[test]
    fn silence_after_the_last_reading_is_a_gap_that_nothing_fills() {
        let readings = good(&[(0, 0.0), (1, 10.0)]);
        for fill in [Fill::Linear, Fill::Previous, Fill::None] {
            let until = |second: i64| {
                let until = Some(Timestamp(second * 1_000));
                clean(&readings, &Cleaning { until, ..every_second(fill) })
            };
            let silent = until(9);
            assert_eq!(silent.points.len(), 2, "{fill:?}");
            assert_eq!(silent.gaps, [Gap { from: Timestamp(1_000), to: Timestamp(9_000), filled: false }]);
            for second in [-5, 1, 2] {
                assert!(until(second).gaps.is_empty(), "{second}");
            }
        }
        assert!(
            clean(&[], &Cleaning { until: Some(Timestamp(9_000)), ..every_second(Fill::None) })
                .gaps
                .is_empty()
        );
    }

    #[test]
    fn what_cannot_be_is_replaced_and_what_is_doubted_stays_and_says_so() {
        let readings = series(&[
            (0, 900.0, Quality::OutOfRange),
            (1, 1.0, Quality::Good),
            (2, 900.0, Quality::OutOfRange),
            (3, 900.0, Quality::OutOfRange),
            (4, 4.0, Quality::Suspect),
            (5, 900.0, Quality::OutOfRange),
        ]);
        let cleaned = clean(&readings, &every_second(Fill::Linear));
        let expected = [
            (0, 900.0, OutOfRange),
            (1, 1.0, Good),
            (2, 2.0, Estimated),
            (3, 3.0, Estimated),
            (4, 4.0, Suspect),
            (5, 4.0, Estimated),
        ];
        assert_eq!(shown(&cleaned), expected);
        let raw = clean(&readings, &every_second(Fill::None));
        assert_eq!(shown(&raw)[2], (2, 900.0, OutOfRange), "nothing is filled that nobody asked for");
    }

    #[test]
    fn spikes_go_and_steps_ramps_and_last_digits_stay() {
        let spikes = |values: &[f64]| -> Vec<usize> {
            let readings = good(&values.iter().enumerate().map(|(i, v)| (i as i64, *v)).collect::<Vec<_>>());
            let cleaning = Cleaning { resolution: 0.1, ..Cleaning::default() };
            let points = clean(&readings, &cleaning).points;
            points.iter().enumerate().filter(|(_, p)| p.flag == Spike).map(|(i, _)| i).collect()
        };
        let steady: Vec<f64> = (0..40).map(|i| 50.0 + f64::from(i % 3) * 0.1).collect();
        let mut spiky = steady.clone();
        (spiky[10], spiky[25]) = (500.0, -3.0);
        let step: Vec<f64> =
            steady.iter().enumerate().map(|(i, v)| if i < 20 { *v } else { v + 100.0 }).collect();
        let ramp: Vec<f64> = (0..40).map(f64::from).collect();
        let mut digit = vec![5.0; 40];
        digit[20] = 5.1;
        let flat_but = |level: f64, length: usize, noise: f64| -> Vec<f64> {
            (0..40)
                .map(|i| if (20..20 + length).contains(&i) { level } else { 5.0 + (i % 2) as f64 * noise })
                .collect()
        };
        for (what, values, expected) in [
            ("steady", &steady, vec![]),
            ("spikes", &spiky, vec![10, 25]),
            ("a step", &step, vec![]),
            ("a ramp", &ramp, vec![]),
            ("a last digit", &digit, vec![]),
            ("one sample on a flat signal", &flat_but(40.0, 1, 0.0), vec![20]),
            ("one sample two digits off a flat signal", &flat_but(5.2, 1, 0.0), vec![20]),
            ("two samples on a flat signal", &flat_but(-40.0, 2, 0.0), vec![20, 21]),
            ("a pulse of a third of the window", &flat_but(40.0, 4, 0.0), vec![]),
            ("the same where the last digit flickers", &flat_but(40.0, 4, 0.1), vec![]),
            ("one sample where the last digit flickers", &flat_but(40.0, 1, 0.1), vec![20]),
            ("a pulse of half the window", &flat_but(40.0, 5, 0.0), vec![]),
        ] {
            assert_eq!(spikes(values), expected, "{what}");
        }
    }

    fn any_series() -> impl Strategy<Value = Vec<Reading>> {
        let value = prop_oneof![-1e3..1e3f64, -1e300..1e300f64, Just(f64::NAN), Just(7.0)];
        prop::collection::vec((1i64..9, value, 0u8..4), 0..80).prop_map(|steps| {
            let mut at = 0;
            let readings = steps.into_iter().map(|(step, value, quality)| {
                at += step * 500;
                Reading { value, timestamp: Timestamp(at), quality: Quality::from_code(quality).unwrap() }
            });
            readings.collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_is_invented_beyond_what_was_sent_and_nothing_is_nan(
            readings in any_series(),
            half_window in 1usize..8,
            k in 0.0..6.0f64,
            linear in any::<bool>(),
        ) {
            let fill = if linear { Fill::Linear } else { Fill::Previous };
            let hampel = Some(Hampel { half_window, k });
            let cleaned = clean(&readings, &Cleaning { hampel, ..every_second(fill) });
            let finite: Vec<&Reading> = readings.iter().filter(|r| r.value.is_finite()).collect();
            prop_assert!(cleaned.points.is_sorted_by(|a, b| a.timestamp < b.timestamp));
            for r in &finite {
                prop_assert!(cleaned.points.iter().any(|p| p.timestamp == r.timestamp), "raw instants stay");
            }
            let (least, most) = finite.iter().fold((f64::MAX, f64::MIN), |(a, b), r| (a.min(r.value), b.max(r.value)));
            for point in &cleaned.points {
                prop_assert!(point.value.is_finite() && point.value >= least && point.value <= most, "{point:?}");
            }
            let only_spikes = clean(&readings, &Cleaning { hampel, period_ms: None, ..every_second(Fill::None) });
            for (i, point) in only_spikes.points.iter().enumerate() {
                let window = &finite[i.saturating_sub(half_window)..(i + half_window + 1).min(finite.len())];
                prop_assert!(window.iter().any(|r| r.value == point.value), "a median is one that was there");
                prop_assert!(point.flag == Spike || point.value == finite[i].value);
            }
        }

        #[test]
        fn a_line_is_monotone_between_its_ends(a in -1e300..1e300f64, b in -1e300..1e300f64, apart in 2i64..500) {
            let cleaned = clean(&good(&[(0, a), (apart, b)]), &every_second(Fill::Linear));
            prop_assert_eq!(cleaned.points.len() as i64, apart + 1);
            let values: Vec<f64> = cleaned.points.iter().map(|p| p.value).collect();
            let tiny = 1e-12 * a.abs().max(b.abs());
            let rises = values.windows(2).all(|w| w[0] <= w[1] + tiny);
            let falls = values.windows(2).all(|w| w[0] + tiny >= w[1]);
            let monotone = if a < b { rises } else { falls };
            prop_assert!(monotone);
            prop_assert_eq!((values[0], values[values.len() - 1]), (a, b));
        }
    }
}
