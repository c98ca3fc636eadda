//! How good the data are, as the server last said: asked for only while somebody looks.

use super::Fault;
use shared::{quality::QualityReport, time::Timestamp};

/// The figures change once a slot of five minutes; what comes late changes them too.
const STALE_MS: i64 = 30_000;
const RETRY_MS: i64 = 10_000;
/// Days shown, today among them.
pub const DAYS: i64 = 7;

#[derive(Debug, Default)]
pub struct DataQuality {
    pub report: Option<QualityReport>,
    /// Why the last request failed.
    pub error: Option<Fault>,
    asked_at: Option<Timestamp>,
}

impl DataQuality {
    /// Whether to ask the server now (this machine's clock); notes that it was asked.
    pub fn should_ask(&mut self, now: Timestamp) -> bool {
        let wait = if self.error.is_some() { RETRY_MS } else { STALE_MS };
        let due = self.asked_at.is_none_or(|asked| now.since(asked) >= wait);
        if due {
            self.asked_at = Some(now);
        }
        due
    }

    /// Asked for, and nothing came yet.
    pub fn is_awaited(&self) -> bool {
        self.asked_at.is_some() && self.report.is_none() && self.error.is_none()
    }

    /// Takes the server's answer; a failure leaves the last good one.
    pub fn answer(&mut self, result: Result<QualityReport, Fault>) {
        match result {
            Ok(report) => (self.report, self.error) = (Some(report), None),
            Err(fault) => self.error = Some(fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FaultKind;

    #[test]
    fn it_is_asked_for_at_once_then_now_and_then_and_sooner_after_a_failure() {
        let mut quality = DataQuality::default();
        let mut due = |ms| quality.should_ask(Timestamp(ms));
        assert!(due(0) && !due(29_000) && due(30_000));
        quality.answer(Err(FaultKind::NoAnswer.into()));
        assert!(!quality.should_ask(Timestamp(39_000)) && quality.should_ask(Timestamp(40_000)));
    }
}
