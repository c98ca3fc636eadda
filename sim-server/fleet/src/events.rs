//! Device events: now and then a device announces one of its thing model's events.

use crate::noise::Noise;
use shared::{
    alarm::Severity,
    id::DeviceId,
    telemetry::DeviceEvent,
    thing_model::ThingModel,
    time::{MINUTE_MS, Timestamp},
};

/// When which device announces something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventSource {
    noise: Noise,
    /// Chance of one device in one minute.
    chance: f64,
}

impl EventSource {
    pub(crate) fn new(seed: u64, per_hour: f64, devices: usize) -> Self {
        Self { noise: Noise::new(seed, "events"), chance: per_hour / 60.0 / devices.max(1) as f64 }
    }

    /// The event a device announces in the minute beginning at `minute`, if any. Critical events are left out: a simulation cries no
    /// wolf.
    pub(crate) fn event(
        &self,
        device: &DeviceId,
        model: &ThingModel,
        minute: Timestamp,
    ) -> Option<DeviceEvent> {
        let own = self.noise.of(device.as_str());
        let slot = minute.millis().div_euclid(MINUTE_MS);
        if own.slot(slot) >= self.chance {
            return None;
        }
        let mild: Vec<_> = model.events.iter().filter(|e| e.severity != Severity::Critical).collect();
        let which = (own.of("which").slot(slot) * mild.len() as f64) as usize;
        let event = mild.get(which)?;
        Some(DeviceEvent {
            device_id: device.clone(),
            timestamp: minute,
            id: format!("{device}-{slot}"),
            kind: event.id.clone(),
            severity: event.severity,
            description: event.text.zh.clone(),
        })
    }
}
