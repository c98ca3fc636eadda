//! The twin as the planner and the webhooks see it.

use shared::{
    command::Hold,
    id::DeviceId,
    selector::Selector,
    telemetry::{Origin, Reading},
    time::Timestamp,
};
use twin::Twin;
use vpp::LiveValues;

pub(crate) struct TwinValues(pub(crate) Twin);

impl push::Devices for TwinValues {
    fn is_in(&self, device: &DeviceId, scope: &Selector) -> bool {
        self.0.registry().get(device.as_str()).is_some_and(|entry| scope.takes_device(entry.facts()))
    }

    fn series(&self, scope: &Selector) -> Vec<push::MeasuredSeries> {
        let measured = self.0.registry().measured(scope).into_iter();
        measured.map(|(key, unit)| push::MeasuredSeries { key, unit }).collect()
    }
}

impl LiveValues for TwinValues {
    fn reading(&self, device: &DeviceId, measurement: &str) -> Option<Reading> {
        self.0.reading(device, measurement)
    }

    fn is_online(&self, device: &DeviceId) -> bool {
        self.0.registry().get(device.as_str()).is_some_and(|entry| entry.is_online())
    }

    fn hold(&self, device: &DeviceId, now: Timestamp) -> Option<Hold> {
        self.0.hold(device, now)
    }

    fn devices_online(&self) -> (u32, u32) {
        let devices = self.0.registry().all();
        let online = devices.iter().filter(|entry| entry.is_online()).count();
        (u32::try_from(online).unwrap_or(u32::MAX), u32::try_from(devices.len()).unwrap_or(u32::MAX))
    }

    fn is_simulated(&self) -> bool {
        let registry = self.0.registry();
        self.0.scene().devices.iter().any(|device| {
            registry.get(device.id.as_str()).is_some_and(|entry| entry.record.origin == Origin::Simulated)
        })
    }
}
