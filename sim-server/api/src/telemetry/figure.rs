//! What one step of one series comes to, and how the steps of several series become one.

use crate::ApiError;
use history::Bucket;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use shared::time::Timestamp;
use utoipa::ToSchema;

/// Which figure of a step is given.
#[derive(Debug, Deserialize, Serialize, Clone, Copy, PartialEq, Eq, Default, ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "Aggregate")]
pub(crate) enum Figure {
    #[default]
    Mean,
    Min,
    Max,
    First,
    Last,
    Sum,
    Count,
    /// The mean over time: each reading holds until the next.
    Twa,
    /// How far a counter went on, resets seen through.
    Delta,
    /// Whether the step is filled: 1, or 0 where it has a reading.
    Filled,
}

/// How the steps of several series become one. Only series with a reading in the step, or for which something is filled in, take part.
#[derive(Debug, Deserialize, Serialize, Clone, Copy, PartialEq, Eq, ToSchema, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Across {
    Sum,
    Mean,
    Min,
    Max,
    /// How many series take part.
    Count,
}

impl Figure {
    pub(super) const ALL: [Figure; 10] = [
        Figure::Mean,
        Figure::Min,
        Figure::Max,
        Figure::First,
        Figure::Last,
        Figure::Sum,
        Figure::Count,
        Figure::Twa,
        Figure::Delta,
        Figure::Filled,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Figure::Mean => "mean",
            Figure::Min => "min",
            Figure::Max => "max",
            Figure::First => "first",
            Figure::Last => "last",
            Figure::Sum => "sum",
            Figure::Count => "count",
            Figure::Twa => "twa",
            Figure::Delta => "delta",
            Figure::Filled => "filled",
        }
    }

    /// A comma separated list, each figure once.
    pub(crate) fn list(parameter: &str, text: &str) -> Result<Vec<Figure>, ApiError> {
        let mut figures = Vec::new();
        for word in text.split(',').map(str::trim) {
            let figure = named(parameter, word, Figure::ALL, Figure::as_str)?;
            if !figures.contains(&figure) {
                figures.push(figure);
            }
        }
        Ok(figures)
    }

    /// Whether it depends on what came before the step.
    pub(crate) fn looks_back(self) -> bool {
        matches!(self, Figure::Twa | Figure::Delta)
    }

    /// How series are combined unless told: what adds up is added, extremes stay extremes, and of what is a level the mean is taken.
    pub(crate) fn usual_across(self) -> Across {
        match self {
            Figure::Sum | Figure::Count | Figure::Delta | Figure::Filled => Across::Sum,
            Figure::Min => Across::Min,
            Figure::Max => Across::Max,
            Figure::Mean | Figure::First | Figure::Last | Figure::Twa => Across::Mean,
        }
    }

    /// Its value of the step of `bucket`, which ends at `until`; `before` is the last step before in which the series had a reading, or
    /// all that is known of before.
    pub(crate) fn of(self, bucket: &Bucket, before: Option<&Bucket>, until: Timestamp) -> f64 {
        let all = &bucket.all;
        match self {
            Figure::Mean => all.mean(),
            Figure::Min => all.min,
            Figure::Max => all.max,
            Figure::First => all.first,
            Figure::Last => all.last,
            Figure::Sum => all.sum,
            Figure::Count => all.count as f64,
            Figure::Twa => bucket.time_weighted_mean(before, until),
            Figure::Delta => bucket.delta(before),
            Figure::Filled => 0.0,
        }
    }
}

impl Across {
    const ALL: [Across; 5] = [Across::Sum, Across::Mean, Across::Min, Across::Max, Across::Count];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Across::Sum => "sum",
            Across::Mean => "mean",
            Across::Min => "min",
            Across::Max => "max",
            Across::Count => "count",
        }
    }

    pub(crate) fn parse(parameter: &str, text: &str) -> Result<Across, ApiError> {
        named(parameter, text, Across::ALL, Across::as_str)
    }

    /// NaN when there is no value.
    pub(crate) fn of(self, values: impl Iterator<Item = f64>) -> f64 {
        let (mut count, mut sum) = (0.0, 0.0);
        let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            count += 1.0;
            sum += value;
            min = min.min(value);
            max = max.max(value);
        }
        match self {
            _ if count == 0.0 => f64::NAN,
            Across::Sum => sum,
            Across::Mean => sum / count,
            Across::Min => min,
            Across::Max => max,
            Across::Count => count,
        }
    }
}

/// The one of `all` that is called `word`, or a refusal that says what there is.
pub(crate) fn named<T: Copy, const N: usize>(
    parameter: &str,
    word: &str,
    all: [T; N],
    name: fn(T) -> &'static str,
) -> Result<T, ApiError> {
    all.into_iter().find(|one| name(*one) == word).ok_or_else(|| {
        let shown: String = word.chars().take(64).collect();
        let known = all.map(name).join(", ");
        ApiError::field("INVALID_VALUE", parameter, format!("{parameter} {shown:?} is none of {known}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_as_in_json() {
        for figure in Figure::ALL {
            assert_eq!(serde_json::to_value(figure).unwrap(), figure.as_str());
        }
        for across in Across::ALL {
            assert_eq!(serde_json::to_value(across).unwrap(), across.as_str());
        }
        assert_eq!(Figure::list("aggregate", "min, max,min").unwrap(), [Figure::Min, Figure::Max]);
        assert!(Figure::list("aggregate", "median").is_err() && Figure::list("aggregate", "").is_err());
    }

    #[test]
    fn series_without_a_reading_take_no_part() {
        let of = |across: Across, values: &[f64]| across.of(values.iter().copied());
        assert_eq!(of(Across::Mean, &[1.0, 5.0]), 3.0);
        assert_eq!((of(Across::Sum, &[1.0, 5.0]), of(Across::Count, &[1.0, 5.0])), (6.0, 2.0));
        assert_eq!((of(Across::Min, &[1.0, 5.0]), of(Across::Max, &[1.0, 5.0])), (1.0, 5.0));
        assert!(Across::ALL.into_iter().all(|across| of(across, &[]).is_nan()));
    }
}
