//! The twin as the planner sees it.

use shared::{
    id::DeviceId,
    telemetry::{Origin, Reading},
};
use twin::Twin;
use vpp::LiveValues;

pub(crate) struct TwinValues(pub(crate) Twin);

impl LiveValues for TwinValues {
    fn reading(&self, device: &DeviceId, measurement: &str) -> Option<Reading> {
        self.0.reading(device, measurement)
    }

    fn is_online(&self, device: &DeviceId) -> bool {
        self.0.is_online(device)
    }

    fn devices_online(&self) -> (u32, u32) {
        self.0.devices_online()
    }

    fn is_simulated(&self) -> bool {
        let scene = self.0.scene();
        scene.devices.iter().any(|device| self.0.origin(&device.id) == Some(Origin::Simulated))
    }
}
