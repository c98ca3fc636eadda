//! What stands for a series in a step that it has no reading in, where somebody asks for that.

use super::{cleaned::Filling, figure::Figure, step::Step};
use crate::ApiError;
use history::Bucket;
use shared::time::{DAY_MS, HOUR_MS, Timestamp};

/// How long a reading stands in for later steps when nothing is said, unless a step is longer: as in the cleaned view.
const WITHIN_MS: i64 = HOUR_MS;

/// How steps without a reading are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fill {
    pub(super) with: With,
    /// Steps from here on are not over, or not even begun: nothing is said of them.
    pub(super) until: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum With {
    Zero,
    /// The series' last reading, where it is not older when the step begins.
    Previous {
        within_ms: i64,
    },
}

impl Fill {
    /// As it is asked for, at `now`; none where steps without a reading stay as they are.
    pub(super) fn of(
        filling: Option<Filling>,
        within: Option<&str>,
        step: Step,
        now: Timestamp,
    ) -> Result<Option<Fill>, ApiError> {
        let with = match filling {
            None | Some(Filling::None) => None,
            Some(Filling::Zero) => Some(With::Zero),
            Some(Filling::Previous) => Some(With::Previous { within_ms: WITHIN_MS.max(step.longest_ms()) }),
            Some(Filling::Linear) => {
                let message = "steps are filled with none, previous or 0; linear is for the cleaned view";
                return Err(ApiError::field("INVALID_VALUE", "fill", message));
            }
        };
        let with = match (with, within) {
            (Some(With::Previous { .. }), Some(text)) => {
                let invalid = |message: String| ApiError::field("INVALID_VALUE", "fill_within", message);
                let within_ms = match text
                    .parse::<Step>()
                    .map_err(|e| invalid(format!("fill_within is like a step: {e}")))?
                {
                    Step::Time(ms) => ms,
                    Step::Days(days) => i64::from(days) * DAY_MS,
                    Step::Months(_) => {
                        return Err(invalid("months differ in length; write fill_within in days".to_owned()));
                    }
                };
                Some(With::Previous { within_ms })
            }
            (_, Some(_)) => {
                let message = "fill_within says how long a reading stands in; give fill=previous too";
                return Err(ApiError::field("INVALID_VALUE", "fill_within", message));
            }
            (with, None) => with,
        };
        Ok(with.map(|with| Fill { with, until: now }))
    }

    pub(super) fn as_str(self) -> &'static str {
        match self.with {
            With::Zero => "0",
            With::Previous { .. } => "previous",
        }
    }

    /// Whether it depends on what came before.
    pub(super) fn looks_back(self) -> bool {
        self.with != With::Zero
    }

    /// Whether anything stands for a series in a step that begins at `start`; `last` is the step in which it last had a reading.
    pub(super) fn is_there(self, last: Option<&Bucket>, start: Timestamp) -> bool {
        start < self.until
            && match self.with {
                With::Zero => true,
                With::Previous { within_ms } => {
                    last.is_some_and(|last| start.since(last.all.last_time) <= within_ms)
                }
            }
    }

    /// What a figure of such a step is. While a reading stands in nothing is counted, nor does anything go on.
    pub(super) fn value(self, figure: Figure, last: Option<&Bucket>) -> f64 {
        let held = match self.with {
            With::Zero => 0.0,
            With::Previous { .. } => last.map_or(f64::NAN, |last| last.all.last),
        };
        match figure {
            Figure::Filled => 1.0,
            Figure::Sum | Figure::Count | Figure::Delta => 0.0,
            Figure::Mean | Figure::Min | Figure::Max | Figure::First | Figure::Last | Figure::Twa => held,
        }
    }
}
