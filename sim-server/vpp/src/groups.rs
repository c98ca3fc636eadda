//! Which devices make up which term of the park's balance.

use shared::{id::DeviceId, scene::Scene};

pub use shared::group::Group;

/// The devices of each term, in scene order.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    members: [Vec<DeviceId>; 6],
}

impl Groups {
    pub fn of(scene: &Scene) -> Self {
        let mut groups = Self::default();
        for device in &scene.devices {
            if let Some(group) = Group::of(scene.role_of(device)) {
                groups.members[group as usize].push(device.id.clone());
            }
        }
        groups
    }

    pub fn members(&self, group: Group) -> &[DeviceId] {
        &self.members[group as usize]
    }
}
