//! What was measured.

use crate::connection::Plan;
use std::time::Duration;

/// Of one connection.
#[derive(Default)]
pub(crate) struct Measured {
    points: u64,
    /// Publish to PUBACK, in microseconds.
    latencies_us: Vec<u32>,
}

impl Measured {
    pub(crate) fn acknowledged(&mut self, points: usize, after: Duration) {
        self.points += points as u64;
        self.latencies_us.push(u32::try_from(after.as_micros()).unwrap_or(u32::MAX));
    }
}

/// Of all of them.
#[derive(Default)]
pub(crate) struct Tally {
    points: u64,
    latencies_us: Vec<u32>,
}

impl Tally {
    pub(crate) fn add(&mut self, measured: Measured) {
        self.points += measured.points;
        self.latencies_us.extend(measured.latencies_us);
    }

    pub(crate) fn into_json(mut self, connections: usize, plan: &Plan) -> serde_json::Value {
        self.latencies_us.sort_unstable();
        let seconds = plan.measured.as_secs_f64();
        serde_json::json!({
            "connections": connections,
            "pointsPerPayload": plan.points,
            "window": plan.window,
            "seconds": seconds,
            "acknowledgedPoints": self.points,
            "pointsPerSecond": (self.points as f64 / seconds).round(),
            "payloadsPerSecond": (self.latencies_us.len() as f64 / seconds).round(),
            "ackMsP50": self.percentile_ms(0.50),
            "ackMsP99": self.percentile_ms(0.99),
            "ackMsMax": self.percentile_ms(1.0),
        })
    }

    /// The smallest latency that this share of acknowledgements did not exceed; null without any.
    fn percentile_ms(&self, share: f64) -> Option<f64> {
        let rank = (share * self.latencies_us.len() as f64).ceil() as usize;
        let us = self.latencies_us.get(rank.saturating_sub(1))?;
        Some(f64::from(*us) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_whole_load() {
        let mut tally = Tally::default();
        for us in 1..=100 {
            let mut one = Measured::default();
            one.acknowledged(10, Duration::from_micros(us * 1000));
            tally.add(one);
        }
        let plan = Plan {
            measurements: vec!["a".parse().unwrap()],
            points: 10,
            window: 1,
            interval: None,
            warm_up: Duration::ZERO,
            measured: Duration::from_secs(2),
        };
        let json = tally.into_json(100, &plan);
        assert_eq!((&json["ackMsP50"], &json["ackMsP99"]), (&50.0.into(), &99.0.into()));
        assert_eq!((&json["ackMsMax"], &json["pointsPerSecond"]), (&100.0.into(), &500.0.into()));
        assert_eq!(Tally::default().into_json(1, &plan)["ackMsP50"], serde_json::Value::Null);
    }
}
