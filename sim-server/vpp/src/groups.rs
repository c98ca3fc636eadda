//! Which devices make up which term of the park's balance.

use shared::{id::DeviceId, scene::Scene, thing_model::Role};

/// A term of the balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    Grid,
    Pv,
    Wind,
    Storage,
    Charging,
    Load,
}

impl Group {
    pub const ALL: [Group; 6] =
        [Group::Grid, Group::Pv, Group::Wind, Group::Storage, Group::Charging, Group::Load];

    /// The term a device of this role counts in; `None` for meters of others and for sensors.
    pub fn of(role: Role) -> Option<Group> {
        match role {
            Role::GridMeter => Some(Group::Grid),
            Role::Pv => Some(Group::Pv),
            Role::Wind => Some(Group::Wind),
            Role::Storage => Some(Group::Storage),
            Role::Charger => Some(Group::Charging),
            Role::Load | Role::Chiller | Role::HeatPump => Some(Group::Load),
            Role::FeederMeter
            | Role::ThermalStore
            | Role::Boiler
            | Role::StackMonitor
            | Role::WeatherStation
            | Role::Sensor => None,
        }
    }
}

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
