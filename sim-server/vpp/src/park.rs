//! What the planner knows of the park once and for all: the scene, its zone and the devices it may steer.

use crate::{VppError, groups::Groups};
use jiff::tz::TimeZone;
use shared::{
    id::DeviceId,
    scene::{Rating, Scene},
    series::{MARKET, Market},
    thing_model::Role,
    time::Timestamp,
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
    /// PV that can be curtailed, with its AC limit in kW.
    pub curtailable_pv: Vec<(DeviceId, f64)>,
    /// Wind that can be curtailed, with its rating in kW.
    pub curtailable_wind: Vec<(DeviceId, f64)>,
    /// Where factor or feed-in price follow its hours.
    market: Option<Arc<Market>>,
}

impl ParkContext {
    pub fn new(scene: Arc<Scene>) -> Result<Self, VppError> {
        let zone = TimeZone::get(&scene.park.time_zone).map_err(|e| VppError::TimeZone(e.to_string()))?;
        let mut context = Self {
            groups: Groups::of(&scene),
            zone,
            storage: Vec::new(),
            charging: Vec::new(),
            curtailable_pv: Vec::new(),
            curtailable_wind: Vec::new(),
            market: market_of(&scene)?.map(Arc::new),
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
                    context.curtailable_pv.push((device.id.clone(), *inverter_kw));
                }
                Rating::Wind { rated_kw, .. } => {
                    context.curtailable_wind.push((device.id.clone(), *rated_kw))
                }
                _ => {}
            }
        }
        Ok(context)
    }

    /// The grid's emission factor as plans see it, kg/kWh: the scene's, weighted by the hour where the scene says so.
    pub fn emission_factor_at(&self, at: Timestamp) -> f64 {
        let factor = &self.scene.park.emission;
        let shape = self.market.as_ref().filter(|_| factor.hourly_shape);
        factor.kg_per_kwh * shape.map_or(1.0, |market| market.shape_at(at.local(&self.zone)).emission_factor)
    }

    /// What a kWh fed into the grid earns.
    pub fn feed_in_price_at(&self, at: Timestamp) -> f64 {
        let tariff = &self.scene.tariff;
        let shape = self.market.as_ref().filter(|_| tariff.feed_in_follows_market);
        let relative = shape.map_or(1.0, |market| market.shape_at(at.local(&self.zone)).price);
        (tariff.feed_in_price_per_kwh * relative).max(0.0)
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

/// The market's hours, if anything in the scene follows them.
fn market_of(scene: &Scene) -> Result<Option<Market>, VppError> {
    if !scene.park.emission.hourly_shape && !scene.tariff.feed_in_follows_market {
        return Ok(None);
    }
    let file =
        scene.series.get(MARKET).ok_or_else(|| VppError::Series("series/market.csv is missing".into()))?;
    let problems = |found: Vec<shared::scene::Problem>| {
        VppError::Series(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    };
    Market::parse(file).map(Some).map_err(problems)
}
