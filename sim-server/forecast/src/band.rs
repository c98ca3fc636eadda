//! A forecast: means, a band around them, and what they rest on.

/// One value a step; `low` and `high` hold about 80 % of the method's recent errors.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    pub mean: Vec<f64>,
    pub low: Vec<f64>,
    pub high: Vec<f64>,
    /// Days of history the forecast rests on; 0 means a guess from the present value alone.
    pub basis_days: usize,
}

impl Forecast {
    /// A band around `mean` from relative errors seen before: their 10th and 90th percentile.
    pub(crate) fn with_errors(mean: Vec<f64>, mut errors: Vec<f64>, basis_days: usize) -> Self {
        errors.sort_by(f64::total_cmp);
        let quantile = |q: f64| {
            let index = (q * errors.len().saturating_sub(1) as f64).round() as usize;
            errors.get(index).copied().unwrap_or(0.0)
        };
        let (below, above) = (quantile(0.1).min(0.0), quantile(0.9).max(0.0));
        Self {
            low: mean.iter().map(|m| m + m.abs() * below).collect(),
            high: mean.iter().map(|m| m + m.abs() * above).collect(),
            mean,
            basis_days,
        }
    }
}
