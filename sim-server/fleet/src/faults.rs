//! Faults on purpose: what field devices do to their data, reproducibly.
//!
//! Each switch is a probability or a size; which device is hit when follows from the seed.

use crate::noise::Noise;
use shared::{
    id::MeasurementKey,
    telemetry::{DataMessage, Sent},
    time::{MINUTE_MS, SECOND_MS},
};

/// Which faults are on.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Faults {
    /// Share of minutes in which a device says nothing.
    pub drop_outs: f64,
    /// Share of five-minute spells in which it repeats what it said before.
    pub stuck: f64,
    /// Share of reports in which one gauge is far off; registers and states are not hit.
    pub spikes: f64,
    /// How wrong clocks are at most, s.
    pub clock_skew_s: f64,
    pub seed: u64,
}

/// The faults of one device.
#[derive(Debug, Clone)]
pub struct FaultyDevice {
    faults: Faults,
    noise: Noise,
    skew_ms: i64,
    gauges: Vec<MeasurementKey>,
    last: Option<Vec<(MeasurementKey, Sent)>>,
}

const STUCK_SPELL_MS: i64 = 5 * MINUTE_MS;

impl FaultyDevice {
    /// `gauges` are the measurements that may spike.
    pub fn new(faults: Faults, device: &str, gauges: Vec<MeasurementKey>) -> Self {
        let noise = Noise::new(faults.seed, device).of("faults");
        let skew_s = (2.0 * noise.of("skew").constant() - 1.0) * faults.clock_skew_s;
        Self { faults, noise, skew_ms: (skew_s * SECOND_MS as f64) as i64, gauges, last: None }
    }

    /// What the device really says of what it measured; `None` while it is silent.
    pub fn distort(&mut self, mut message: DataMessage) -> Option<DataMessage> {
        let at = message.timestamp.millis();
        if self.noise.of("silent").slot(at.div_euclid(MINUTE_MS)) < self.faults.drop_outs {
            return None;
        }
        let stuck = self.noise.of("stuck").slot(at.div_euclid(STUCK_SPELL_MS)) < self.faults.stuck;
        match &self.last {
            Some(last) if stuck => message.data.clone_from(last),
            _ => {
                if self.faults.stuck > 0.0 {
                    self.last = Some(message.data.clone());
                }
            }
        }
        if self.noise.of("spike").slot(at) < self.faults.spikes {
            let which = (self.noise.of("which").slot(at) * self.gauges.len() as f64) as usize;
            let hit = self.gauges.get(which);
            if let Some((_, Sent::Number(value))) = message.data.iter_mut().find(|(key, _)| Some(key) == hit)
            {
                *value = if *value == 0.0 { 9_999.0 } else { *value * 50.0 };
            }
        }
        message.timestamp.0 += self.skew_ms;
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::time::Timestamp;

    fn messages() -> Vec<DataMessage> {
        (0..36_000)
            .map(|second| DataMessage {
                device_id: "a".parse().unwrap(),
                timestamp: Timestamp(1_780_000_000_000 + second * SECOND_MS),
                data: vec![
                    ("power".parse().unwrap(), Sent::Number(1.0 + second as f64)),
                    ("status".parse().unwrap(), Sent::Number(1.0)),
                ],
            })
            .collect()
    }

    fn said(faults: Faults) -> Vec<DataMessage> {
        let gauges = vec!["power".parse().unwrap()];
        let mut device = FaultyDevice::new(Faults { seed: 3, ..faults }, "a", gauges);
        messages().into_iter().filter_map(|m| device.distort(m)).collect()
    }

    #[test]
    fn without_faults_everything_is_said_as_measured() {
        assert_eq!(said(Faults::default()), messages());
    }

    #[test]
    fn each_fault_does_what_it_says_and_the_same_every_time() {
        let all = messages().len() as f64;
        let silent = said(Faults { drop_outs: 0.3, ..Faults::default() });
        assert!((0.6..0.8).contains(&(silent.len() as f64 / all)), "{}", silent.len());
        assert_eq!(silent, said(Faults { drop_outs: 0.3, ..Faults::default() }));

        let stuck = said(Faults { stuck: 0.3, ..Faults::default() });
        let repeated = stuck.windows(2).filter(|w| w[0].data == w[1].data).count() as f64;
        assert!((0.15..0.45).contains(&(repeated / all)), "{repeated}");

        let spiky = said(Faults { spikes: 0.01, ..Faults::default() });
        let off = spiky.iter().zip(messages()).filter(|(a, b)| a.data != b.data).count() as f64;
        assert!((0.005..0.015).contains(&(off / all)), "{off}");
        assert!(spiky.iter().all(|message| message.data[1].1 == Sent::Number(1.0)), "states do not spike");

        let skewed = said(Faults { clock_skew_s: 30.0, ..Faults::default() });
        let shift = skewed[0].timestamp.since(messages()[0].timestamp);
        assert!(shift != 0 && shift.abs() <= 30_000);
        assert!(skewed.iter().zip(messages()).all(|(a, b)| a.timestamp.since(b.timestamp) == shift));
    }
}
