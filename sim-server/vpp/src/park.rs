//! What the planner knows of the park once and for all: the scene, its zone and the devices it may steer.

use crate::{VppError, groups::Groups};
use jiff::tz::TimeZone;
use shared::{
    id::DeviceId,
    scene::{Rating, Scene},
    thing_model::Role,
};
use std::sync::Arc;

/// Storage the plan may use.
#[derive(Debug, Clone, PartialEq)]
pub struct StorageUnit {
    pub device: DeviceId,
    pub energy_kwh: f64,
    pub charge_kw: f64,
    pub discharge_kw: f64,
    pub charge_efficiency: f64,
    pub discharge_efficiency: f64,
    pub soc_min: f64,
    pub soc_max: f64,
    pub throughput_cost_per_kwh: f64,
}

/// A charging point the plan may use while a car is plugged.
#[derive(Debug, Clone, PartialEq)]
pub struct ChargingPoint {
    pub device: DeviceId,
    pub power_kw: f64,
    /// Below this a car pauses instead of charging slowly.
    pub min_kw: f64,
    pub efficiency: f64,
}

/// The scene with what follows from it.
#[derive(Debug, Clone)]
pub struct ParkContext {
    pub scene: Arc<Scene>,
    pub zone: TimeZone,
    pub groups: Groups,
    pub storage: Vec<StorageUnit>,
    pub charging: Vec<ChargingPoint>,
    /// Feed-in devices that can be curtailed, with their AC limits in kW.
    pub curtailable: Vec<(DeviceId, f64)>,
}

impl ParkContext {
    pub fn new(scene: Arc<Scene>) -> Result<Self, VppError> {
        let zone = TimeZone::get(&scene.park.time_zone).map_err(|e| VppError::TimeZone(e.to_string()))?;
        let mut context = Self {
            groups: Groups::of(&scene),
            zone,
            storage: Vec::new(),
            charging: Vec::new(),
            curtailable: Vec::new(),
            scene: Arc::clone(&scene),
        };
        for device in &scene.devices {
            match &device.rating {
                Rating::Storage {
                    energy_kwh,
                    charge_kw,
                    discharge_kw,
                    charge_efficiency,
                    discharge_efficiency,
                    soc_min,
                    soc_max,
                    throughput_cost_per_kwh,
                } => context.storage.push(StorageUnit {
                    device: device.id.clone(),
                    energy_kwh: *energy_kwh,
                    charge_kw: *charge_kw,
                    discharge_kw: *discharge_kw,
                    charge_efficiency: *charge_efficiency,
                    discharge_efficiency: *discharge_efficiency,
                    soc_min: *soc_min,
                    soc_max: *soc_max,
                    throughput_cost_per_kwh: *throughput_cost_per_kwh,
                }),
                Rating::Charger { power_kw, min_kw, efficiency } => context.charging.push(ChargingPoint {
                    device: device.id.clone(),
                    power_kw: *power_kw,
                    min_kw: *min_kw,
                    efficiency: *efficiency,
                }),
                Rating::Pv { inverter_kw, .. } if scene.role_of(device) == Role::Pv => {
                    context.curtailable.push((device.id.clone(), *inverter_kw));
                }
                _ => {}
            }
        }
        Ok(context)
    }

    pub fn storage_capacity_kwh(&self) -> f64 {
        self.storage.iter().map(|s| s.energy_kwh).sum()
    }

    /// Charge and discharge efficiency of all storage, weighted by capacity; 1 without storage.
    pub fn storage_efficiencies(&self) -> (f64, f64) {
        let capacity = self.storage_capacity_kwh();
        if capacity <= 0.0 {
            return (1.0, 1.0);
        }
        let mean = |of: fn(&StorageUnit) -> f64| {
            self.storage.iter().map(|unit| of(unit) * unit.energy_kwh).sum::<f64>() / capacity
        };
        (mean(|u| u.charge_efficiency), mean(|u| u.discharge_efficiency))
    }
}
