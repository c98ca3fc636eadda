//! The terms of the park's balance, and which kinds of device make up each.

use crate::thing_model::Role;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A term of the balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
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

    /// As it is written in requests and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Group::Grid => "grid",
            Group::Pv => "pv",
            Group::Wind => "wind",
            Group::Storage => "storage",
            Group::Charging => "charging",
            Group::Load => "load",
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
