//! A thousand lively signals as meters give them: powers, voltages and states of charge to 0.01, counters to 0.001. The same in every run.
//!
//! So lively that VictoriaMetrics takes 1.09 bytes a point, as it did of the data by which the bars of storage were set. What is chance
//! in a reading is 7.1 bits on average.

pub(crate) const SERIES: usize = 1_000;

/// A small generator of noise, the same in every run.
struct Noise(u64);

impl Noise {
    /// Between −1 and 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

pub(crate) struct Signals {
    noise: Noise,
    levels: Vec<f64>,
}

impl Signals {
    pub(crate) fn new() -> Self {
        Self { noise: Noise(7), levels: (0..SERIES).map(|i| 50.0 + i as f64 / 10.0).collect() }
    }

    /// The next reading of a series.
    pub(crate) fn next(&mut self, series: usize) -> f64 {
        let noise = self.noise.next();
        let level = &mut self.levels[series];
        let round = |v: f64, per_unit: f64| (v * per_unit).round() / per_unit;
        match series % 5 {
            // A load that wanders.
            0 | 1 => {
                *level += noise * 1.75;
                round(*level, 100.0)
            }
            2 => round(230.0 + noise * 2.6, 100.0),
            3 => {
                *level += (1.0 + noise) * 0.044;
                round(*level, 1_000.0)
            }
            _ => {
                *level += noise * 0.044;
                round(*level, 100.0)
            }
        }
    }
}
