//! A past series in equal steps, with holes where nothing was measured.

use shared::time::Timestamp;

/// Values of consecutive steps of `step_ms` from `start`; `None` where nothing was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub start: Timestamp,
    pub step_ms: i64,
    pub values: Vec<Option<f64>>,
}

impl Series {
    /// The instant the step `index` begins.
    pub fn time(&self, index: usize) -> Timestamp {
        Timestamp(self.start.0 + index as i64 * self.step_ms)
    }

    /// The value of the step that holds `at`; `None` outside the series and in holes.
    pub fn at(&self, at: Timestamp) -> Option<f64> {
        let index = at.since(self.start).div_euclid(self.step_ms);
        usize::try_from(index).ok().and_then(|i| self.values.get(i).copied().flatten())
    }

    /// Measured steps, oldest first.
    pub fn measured(&self) -> impl DoubleEndedIterator<Item = (Timestamp, f64)> + '_ {
        self.values.iter().enumerate().filter_map(|(i, v)| v.map(|v| (self.time(i), v)))
    }

    /// Mean of the measured steps in `[from, to)`.
    pub fn mean_between(&self, from: Timestamp, to: Timestamp) -> Option<f64> {
        let (sum, count) = self
            .measured()
            .filter(|(t, _)| *t >= from && *t < to)
            .fold((0.0, 0usize), |(sum, count), (_, v)| (sum + v, count + 1));
        (count > 0).then(|| sum / count as f64)
    }
}
