//! The park as it behaves: every device of a scene moving through time by its equation.
//!
//! In: the scene, its series, a seed, commands and the clock as arguments. Out: what each device's meters read. Everything is
//! deterministic: the same seed, the same steps and the same commands give the same park. Steps may be a second or a quarter of an
//! hour long.

mod climate;
mod command;
mod device;
mod equipment;
mod metering;
mod occupancy;
mod reading;

#[cfg(test)]
mod tests;

use crate::noise::Noise;
use climate::{Climate, Conditions};
use device::{Connection, Device, DeviceMemory, Equipment, MeterPlace};
use equipment::{Moment, Report, Site};
use jiff::tz::TimeZone;
use physics::radial::{Flow, NetworkFlows, RadialError, RadialNetwork};
use serde::{Deserialize, Serialize};
use shared::{
    command::{CommandAck, CommandDelivery},
    id::{DeviceId, MeasurementKey, ModelId},
    scene::{Problem, Rating, Scene},
    series::Series,
    tariff::Tariff,
    telemetry::DataMessage,
    thing_model::{Role, ThingModel},
    time::Timestamp,
};
use std::{collections::BTreeMap, sync::Arc};

/// What storage does when nobody asks it for anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Rest: the safe thing for a device that is waiting for a plan.
    Rest,
    /// Follow the tariff: what fills the past.
    TimeOfUse,
}

/// Why a scene cannot be simulated.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    #[error("time zone {zone:?} is unknown")]
    TimeZone { zone: String },
    #[error("the series cannot be read: {}", first(.0))]
    Series(Vec<Problem>),
    #[error("the network cannot be operated")]
    Network(#[from] RadialError),
    #[error("device {device} has model {model}, which is not in the scene")]
    Model { device: DeviceId, model: ModelId },
    #[error("device {device} cannot be simulated: {reason}")]
    Device { device: DeviceId, reason: &'static str },
}

fn first(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// The park's powers in the last step, kW.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Balance {
    /// Positive on import.
    pub grid_kw: f64,
    /// Sum over the devices that are terms of the balance, positive when drawing.
    pub drawn_kw: f64,
    /// Lines and transformers.
    pub loss_kw: f64,
}

/// Everything of the world that survives a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorldMemory {
    pub at: Timestamp,
    grid_kw: f64,
    demand: metering::Demand,
    devices: BTreeMap<DeviceId, DeviceMemory>,
}

/// The simulated park.
#[derive(Debug, Clone)]
pub struct World {
    now: Timestamp,
    zone: TimeZone,
    series: Arc<Series>,
    climate: Climate,
    conditions: Conditions,
    tariff: Tariff,
    models: BTreeMap<ModelId, Arc<ThingModel>>,
    devices: Vec<Device>,
    index: BTreeMap<DeviceId, usize>,
    /// Each tank with the heat pumps that fill it.
    tanks: Vec<(usize, Vec<usize>)>,
    network: RadialNetwork,
    flows: NetworkFlows,
    balance: Balance,
    demand: metering::Demand,
    grid_noise: Noise,
}

impl World {
    /// The scene's park at `start`, as it stands before its first step.
    pub fn new(scene: &Scene, seed: u64, start: Timestamp) -> Result<Self, WorldError> {
        let zone = TimeZone::get(&scene.park.time_zone)
            .map_err(|_| WorldError::TimeZone { zone: scene.park.time_zone.clone() })?;
        let series = Series::parse(&scene.series).map_err(WorldError::Series)?;
        let climate = Climate::new(&scene.park, zone.clone(), series.weather.clone(), seed);
        let network = RadialNetwork::new(&scene.network)?;
        let index: BTreeMap<DeviceId, usize> =
            scene.devices.iter().enumerate().map(|(at, device)| (device.id.clone(), at)).collect();
        let mut chargers: Vec<&DeviceId> = scene
            .devices
            .iter()
            .filter(|d| matches!(d.rating, Rating::Charger { .. }))
            .map(|d| &d.id)
            .collect();
        chargers.sort();
        let stations = series.ev_sessions.stations().len();
        let models: BTreeMap<ModelId, Arc<ThingModel>> =
            scene.models.iter().map(|(id, model)| (id.clone(), Arc::new(model.clone()))).collect();

        let mut devices = Vec::with_capacity(scene.devices.len());
        for described in &scene.devices {
            let model = models.get(&described.model).ok_or_else(|| WorldError::Model {
                device: described.id.clone(),
                model: described.model.clone(),
            })?;
            let site = Site {
                position: described.position,
                noise: Noise::new(seed, described.id.as_str()),
                used_as: described
                    .building
                    .as_ref()
                    .and_then(|id| scene.site.buildings.iter().find(|b| b.id == *id).map(|b| b.used_as)),
            };
            let bus = described.bus.as_ref().and_then(|bus| network.bus_index(bus));
            let connection = bus.and_then(|bus| {
                let id = &network.buses()[bus];
                let voltage_kv = scene.network.buses.iter().find(|b| b.id == *id)?.voltage_kv;
                Some(Connection { bus, voltage_kv })
            });
            let metered = network.metered_bus(&described.id).or(bus);
            let place = chargers.iter().position(|id| **id == described.id).unwrap_or(0);
            let equipment = Equipment::new(
                &described.rating,
                &site,
                |id| index.get(id).copied(),
                place,
                stations,
                metered,
            )
            .ok_or_else(|| WorldError::Device {
                device: described.id.clone(),
                reason: "what its rating refers to is not in the scene",
            })?;
            devices.push(Device::new(
                described.id.clone(),
                described.model.clone(),
                model.role,
                described.rating.clone(),
                site,
                connection,
                equipment,
            ));
        }

        let mut tanks: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, device) in devices.iter().enumerate() {
            match &device.equipment {
                Equipment::Tank(_) => {
                    tanks.entry(at).or_default();
                }
                Equipment::HeatPump { tank: Some(tank), .. } => tanks.entry(*tank).or_default().push(at),
                Equipment::StackMonitor { boiler }
                    if !matches!(devices[*boiler].equipment, Equipment::Boiler(_)) =>
                {
                    return Err(WorldError::Device {
                        device: device.id.clone(),
                        reason: "the device below its stack is no boiler",
                    });
                }
                _ => {}
            }
        }
        for (tank, pumps) in &tanks {
            if !matches!(devices[*tank].equipment, Equipment::Tank(_)) {
                return Err(WorldError::Device {
                    device: devices[pumps[0]].id.clone(),
                    reason: "the device it fills is no thermal store",
                });
            }
        }
        Ok(Self {
            now: start,
            conditions: climate.at(start),
            zone,
            series: Arc::new(series),
            climate,
            tariff: scene.tariff.clone(),
            models,
            devices,
            index,
            tanks: tanks.into_iter().collect(),
            flows: network.flows(&[]),
            network,
            balance: Balance::default(),
            demand: metering::Demand::new(scene.tariff.demand_interval_min),
            grid_noise: Noise::new(seed, "grid"),
        })
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub fn balance(&self) -> Balance {
        self.balance
    }

    pub fn device_count(&self) -> usize {
        self.devices.len()
    }

    pub fn device_id(&self, at: usize) -> &DeviceId {
        &self.devices[at].id
    }

    pub fn device_index(&self, id: &DeviceId) -> Option<usize> {
        self.index.get(id).copied()
    }

    pub fn role(&self, at: usize) -> Role {
        self.devices[at].role
    }

    pub fn model(&self, at: usize) -> Option<&Arc<ThingModel>> {
        self.models.get(&self.devices[at].model)
    }

    /// Moves the clock alone: nothing happens in between, registers stand still.
    pub fn skip_to(&mut self, to: Timestamp) {
        self.now = self.now.max(to);
    }

    /// Moves everything on to `to`; nothing happens for a moment that is not later than now.
    pub fn step(&mut self, to: Timestamp, rule: Rule) {
        let elapsed_ms = to.since(self.now);
        if elapsed_ms <= 0 {
            return;
        }
        let middle = Timestamp(self.now.millis() + elapsed_ms / 2);
        let conditions = self.climate.at(middle);
        let moment = Moment {
            climate: &self.climate,
            conditions: &conditions,
            series: &self.series,
            now: to,
            hours: elapsed_ms as f64 / 3.6e6,
            rule,
            band: self.tariff.band_at(conditions.local),
            grid_kw: self.balance.grid_kw,
        };
        for device in &mut self.devices {
            device.step(&moment, &self.zone);
        }
        couple_heat(&mut self.devices, &self.tanks, &moment);
        self.now = to;
        self.conditions = conditions;
        self.settle(elapsed_ms as f64 / 3.6e6);
    }

    /// Registers, network flows and meters from the powers of the step.
    fn settle(&mut self, hours: f64) {
        let mut drawn = vec![Flow::default(); self.network.buses().len()];
        let mut unplaced = Flow::default();
        let mut drawn_kw = 0.0;
        for device in &mut self.devices {
            if matches!(device.equipment, Equipment::Meter(_)) {
                continue;
            }
            device.settle(hours);
            if !device.role.is_balance_term() {
                continue;
            }
            drawn_kw += device.power_kw;
            let flow = match device.connection {
                Some(connection) => &mut drawn[connection.bus],
                None => &mut unplaced,
            };
            flow.active_kw += device.power_kw;
            flow.reactive_kvar += device.reactive_kvar;
        }
        self.flows = self.network.flows(&drawn);
        let grid = Flow {
            active_kw: self.flows.grid().active_kw + unplaced.active_kw,
            reactive_kvar: self.flows.grid().reactive_kvar + unplaced.reactive_kvar,
        };
        for device in &mut self.devices {
            let Equipment::Meter(place) = device.equipment else { continue };
            let seen = match place {
                MeterPlace::Grid => grid,
                MeterPlace::Bus(bus) => self.flows.into_bus[bus],
            };
            device.power_kw = seen.active_kw;
            device.reactive_kvar = seen.reactive_kvar;
            device.settle(hours);
        }
        self.demand.take(self.now, &self.zone, grid.active_kw, hours);
        self.balance = Balance { grid_kw: grid.active_kw, drawn_kw, loss_kw: self.flows.total_loss_kw() };
    }

    /// Answers a command at `now` and puts it in force from the next step on.
    pub fn command(&mut self, at: usize, delivery: &CommandDelivery, now: Timestamp) -> CommandAck {
        let tank_is_full = match &self.devices[at].equipment {
            Equipment::HeatPump { tank: Some(tank), .. } => match &self.devices[*tank].equipment {
                Equipment::Tank(tank) => tank.is_full(),
                _ => false,
            },
            _ => false,
        };
        let model = self.models[&self.devices[at].model].clone();
        command::obey(&mut self.devices[at], &model, delivery, now, tank_is_full)
    }

    /// What a device's meters read now.
    pub fn sample(&self, at: usize) -> DataMessage {
        let device = &self.devices[at];
        let data = self
            .models
            .get(&device.model)
            .map_or_else(Vec::new, |model| reading::read(model, &self.report(at)));
        DataMessage { device_id: device.id.clone(), timestamp: self.now, data }
    }

    /// Measurements of the scene's models that this world does not produce, by device.
    pub fn unproduced(&self) -> Vec<(DeviceId, MeasurementKey)> {
        (0..self.devices.len())
            .flat_map(|at| {
                let device = &self.devices[at];
                let model = self.models.get(&device.model);
                let report = self.report(at);
                model
                    .map(|model| reading::lacking(model, &report))
                    .unwrap_or_default()
                    .into_iter()
                    .map(|measurement| (device.id.clone(), measurement.key.clone()))
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    fn report(&self, at: usize) -> Report {
        let device = &self.devices[at];
        let moment = Moment {
            climate: &self.climate,
            conditions: &self.conditions,
            series: &self.series,
            now: self.now,
            hours: 0.0,
            rule: Rule::Rest,
            band: self.tariff.band_at(self.conditions.local),
            grid_kw: self.balance.grid_kw,
        };
        let mut report = Report::default();
        device.report(&moment, &mut report);
        if let Equipment::StackMonitor { boiler } = device.equipment
            && let Equipment::Boiler(below) = &self.devices[boiler].equipment
        {
            let noise = |purpose: &str| device.site.noise.of(purpose).at(self.now, 60.0);
            equipment::boiler::report_stack(
                &below.output,
                below.rated_heat_kw(),
                [noise("nox"), noise("so2"), noise("dust"), noise("flow")],
                &mut report,
            );
        }
        self.report_meter(at, &mut report);
        report
    }

    pub fn memory(&self) -> WorldMemory {
        WorldMemory {
            at: self.now,
            grid_kw: self.balance.grid_kw,
            demand: self.demand,
            devices: self.devices.iter().map(|d| (d.id.clone(), d.memory())).collect(),
        }
    }

    /// Continues where `memory` was taken; devices it does not know start fresh, devices it knows and the scene does not are dropped.
    pub fn restore(&mut self, mut memory: WorldMemory) {
        self.now = memory.at;
        self.conditions = self.climate.at(memory.at);
        self.balance.grid_kw = memory.grid_kw;
        self.demand = memory.demand;
        for device in &mut self.devices {
            if let Some(remembered) = memory.devices.remove(&device.id) {
                device.restore(remembered);
            }
        }
    }
}

/// Heat pumps offer heat, their tank takes what fits, each pump settles on its share.
fn couple_heat(devices: &mut [Device], tanks: &[(usize, Vec<usize>)], moment: &Moment<'_>) {
    for device in devices.iter_mut() {
        let set_point_kw = device.set_point_kw(moment);
        if let Equipment::HeatPump { pump, tank: None } = &mut device.equipment {
            let heat_kw = pump.wish(moment, &device.site, None, set_point_kw);
            device.power_kw = pump.settle(heat_kw);
            device.meter.heat_kwh += heat_kw * moment.hours;
        }
    }
    for (tank_at, pumps) in tanks {
        let Equipment::Tank(tank) = &devices[*tank_at].equipment else { continue };
        let (store, temperature_c) = (*tank.store(), tank.state.temperature_c);
        let mut offers = Vec::with_capacity(pumps.len());
        for at in pumps {
            let set_point_kw = devices[*at].set_point_kw(moment);
            let site = devices[*at].site;
            let Equipment::HeatPump { pump, .. } = &mut devices[*at].equipment else { continue };
            offers.push((*at, pump.wish(moment, &site, Some((&store, temperature_c)), set_point_kw)));
        }
        let offered_kw: f64 = offers.iter().map(|(_, heat_kw)| heat_kw).sum();
        let site = devices[*tank_at].site;
        let Equipment::Tank(tank) = &mut devices[*tank_at].equipment else { continue };
        let taken_kw = tank.step(moment, &site, offered_kw);
        devices[*tank_at].meter.heat_kwh += taken_kw * moment.hours;
        let share = if offered_kw > 0.0 { taken_kw / offered_kw } else { 0.0 };
        for (at, heat_kw) in offers {
            let Equipment::HeatPump { pump, .. } = &mut devices[at].equipment else { continue };
            devices[at].power_kw = pump.settle(heat_kw * share);
            devices[at].meter.heat_kwh += heat_kw * share * moment.hours;
        }
    }
}
