//! One simulated device: its equipment, its meter, its set-point, what it has already answered.

use super::{
    command::SetPoint,
    equipment::{
        Moment, Report, Site,
        boiler::GasBoiler,
        charger::{Charger, PluggedCar},
        cooling::Chiller,
        heat::{HeatPump, HeatPumpState, Tank, TankState},
        load::Load,
        pv::Pv,
        sensor::{Sensor, SensorState},
        storage::{Storage, StorageState},
        wind::WindTurbine,
    },
};
use jiff::tz::TimeZone;
use physics::thermal_store::ThermalStore;
use serde::{Deserialize, Serialize};
use shared::{
    command::CommandAck,
    id::{DeviceId, ModelId},
    scene::Rating,
    thing_model::Role,
};
use std::collections::VecDeque;

/// How many answers a device keeps to repeat them.
const REMEMBERED_ANSWERS: usize = 64;

#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    pub(crate) model: ModelId,
    pub(crate) role: Role,
    pub(crate) rating: Rating,
    pub(crate) site: Site,
    pub(crate) connection: Option<Connection>,
    pub(crate) equipment: Equipment,
    pub(crate) set_point: Option<SetPoint>,
    /// Mean over the last step; positive when it draws.
    pub(crate) power_kw: f64,
    pub(crate) reactive_kvar: f64,
    pub(crate) meter: Meter,
    answered: VecDeque<CommandAck>,
}

/// Where a device's power enters the network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Connection {
    pub(crate) bus: usize,
    pub(crate) voltage_kv: f64,
}

/// Registers that only grow.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Meter {
    pub(crate) import_kwh: f64,
    pub(crate) export_kwh: f64,
    pub(crate) reactive_kvarh: f64,
    /// Heat or cold given, kWh.
    pub(crate) heat_kwh: f64,
    pub(crate) gas_m3: f64,
    pub(crate) running_h: f64,
}

#[derive(Debug, Clone)]
pub(crate) enum Equipment {
    Pv(Pv),
    Wind(WindTurbine),
    Storage(Storage),
    Charger(Charger),
    Load(Load),
    Chiller(Chiller),
    HeatPump {
        pump: HeatPump,
        /// Index of the tank it fills.
        tank: Option<usize>,
    },
    Tank(Tank),
    Boiler(GasBoiler),
    StackMonitor {
        /// Index of the boiler below the stack.
        boiler: usize,
    },
    WeatherStation,
    Sensor(Sensor),
    /// Reads the power into one bus of the network; the grid meter all of it.
    Meter(MeterPlace),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum MeterPlace {
    Grid,
    Bus(usize),
}

/// What survives a restart of one device.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DeviceMemory {
    pub(crate) meter: Meter,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) set_point: Option<SetPoint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) storage: Option<StorageState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) car: Option<PluggedCar>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tank: Option<TankState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) heat_pump: Option<HeatPumpState>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sensor: Option<SensorState>,
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(crate) answered: VecDeque<CommandAck>,
}

impl Equipment {
    /// The equipment a rating describes. `find` gives a device's index, `place` is this charger's among all, by id.
    pub(crate) fn new(
        rating: &Rating,
        site: &Site,
        find: impl Fn(&DeviceId) -> Option<usize>,
        charger_place: usize,
        stations: usize,
        metered_bus: Option<usize>,
    ) -> Option<Self> {
        Some(match rating {
            Rating::GridMeter { .. } => Self::Meter(MeterPlace::Grid),
            Rating::FeederMeter { .. } => Self::Meter(MeterPlace::Bus(metered_bus?)),
            Rating::Pv { peak_kw, inverter_kw, tilt_deg, azimuth_deg } => {
                Self::Pv(Pv::new(*peak_kw, *inverter_kw, *tilt_deg, *azimuth_deg, site))
            }
            Rating::Wind { rated_kw, hub_height_m, rotor_diameter_m } => {
                Self::Wind(WindTurbine::new(*rated_kw, *hub_height_m, *rotor_diameter_m))
            }
            Rating::Storage { .. } => Self::Storage(Storage::new(rating, site)?),
            Rating::Charger { power_kw, min_kw, efficiency } => {
                Self::Charger(Charger::new(*power_kw, *min_kw, *efficiency, charger_place, stations))
            }
            Rating::Load { peak_kw, shape } => Self::Load(Load::new(*peak_kw, shape.clone())),
            Rating::Chiller { power_kw, cop } => Self::Chiller(Chiller::new(*power_kw, *cop)),
            Rating::HeatPump { power_kw, cop, store } => {
                Self::HeatPump { pump: HeatPump::new(*power_kw, *cop), tank: store.as_ref().and_then(find) }
            }
            Rating::ThermalStore { .. } => Self::Tank(Tank::new(ThermalStore::from_rating(rating)?, site)),
            Rating::Boiler { heat_kw, efficiency } => Self::Boiler(GasBoiler::new(*heat_kw, *efficiency)),
            Rating::StackMonitor { boiler, .. } => Self::StackMonitor { boiler: find(boiler)? },
            Rating::WeatherStation {} => Self::WeatherStation,
            Rating::Sensor { senses } => Self::Sensor(Sensor::new(senses.clone(), site)),
        })
    }
}

impl Device {
    pub(crate) fn new(
        id: DeviceId,
        model: ModelId,
        role: Role,
        rating: Rating,
        site: Site,
        connection: Option<Connection>,
        equipment: Equipment,
    ) -> Self {
        // Meters of a park that has run for a while do not stand at zero.
        let hours = 1_500.0 + 6_000.0 * site.noise.of("meter").constant();
        let kwh = (rating.nameplate_kw() * 0.22 * hours).round();
        let feeds = matches!(role, Role::Pv | Role::Wind);
        let meter = Meter {
            import_kwh: if feeds { (kwh * 0.004).round() } else { kwh },
            export_kwh: if feeds || role == Role::Storage { (kwh * 0.9).round() } else { 0.0 },
            reactive_kvarh: (kwh * 0.25).round(),
            heat_kwh: (hours * 40.0).round(),
            gas_m3: (hours * 30.0).round(),
            running_h: hours.round(),
        };
        Self {
            id,
            model,
            role,
            rating,
            site,
            connection,
            equipment,
            set_point: None,
            power_kw: 0.0,
            reactive_kvar: 0.0,
            meter,
            answered: VecDeque::new(),
        }
    }

    /// The power the set-point asks for, where one is in force until the step's end.
    pub(crate) fn set_point_kw(&self, moment: &Moment<'_>) -> Option<f64> {
        self.set_point.filter(|set_point| set_point.holds_at(moment.now)).map(|set_point| set_point.power_kw)
    }

    /// Everything that depends on no other device. Heat pumps and tanks are stepped together by the world, meters after all.
    pub(crate) fn step(&mut self, moment: &Moment<'_>, zone: &TimeZone) {
        let set_point_kw = self.set_point_kw(moment);
        let site = &self.site;
        self.power_kw = match &mut self.equipment {
            Equipment::Pv(pv) => pv.step(moment, site, set_point_kw),
            Equipment::Wind(turbine) => turbine.step(moment, site, set_point_kw),
            Equipment::Storage(storage) => storage.step(moment, set_point_kw),
            Equipment::Charger(charger) => charger.step(moment, zone, set_point_kw),
            Equipment::Load(load) => load.step(moment, site, set_point_kw),
            Equipment::Chiller(chiller) => {
                let power_kw = chiller.step(moment, site, set_point_kw);
                self.meter.heat_kwh += chiller.cooling_kw() * moment.hours;
                power_kw
            }
            Equipment::Boiler(boiler) => {
                self.meter.gas_m3 += boiler.step(moment, site);
                self.meter.heat_kwh += boiler.output.heat_kw * moment.hours;
                if boiler.output.heat_kw > 0.0 {
                    self.meter.running_h += moment.hours;
                }
                0.0
            }
            Equipment::Sensor(sensor) => {
                sensor.step(moment, site);
                0.0
            }
            Equipment::HeatPump { .. }
            | Equipment::Tank(_)
            | Equipment::StackMonitor { .. }
            | Equipment::WeatherStation
            | Equipment::Meter(_) => return,
        };
    }

    /// Takes the step's power into reactive power and registers.
    pub(crate) fn settle(&mut self, hours: f64) {
        if !matches!(self.equipment, Equipment::Meter(_)) {
            self.reactive_kvar = physics::electrical::reactive_kvar(self.power_kw, self.power_factor());
        }
        let energy_kwh = self.power_kw.abs() * hours;
        if self.power_kw >= 0.0 {
            self.meter.import_kwh += energy_kwh;
        } else {
            self.meter.export_kwh += energy_kwh;
        }
        self.meter.reactive_kvarh += self.reactive_kvar.abs() * hours;
        if energy_kwh > 1e-9 {
            self.meter.running_h += hours;
        }
    }

    /// Charging points up to 8 kW hang on one phase (GB/T 18487.1, mode 3, 32 A).
    pub(crate) fn is_single_phase(&self) -> bool {
        self.role == Role::Charger && self.rating.nameplate_kw() <= 8.0
    }

    /// Ordinary power factors of such machines, compensated where the grid code asks for it.
    fn power_factor(&self) -> f64 {
        match self.role {
            Role::Pv | Role::Wind | Role::Storage => 1.0,
            Role::Charger => 0.99,
            Role::Load => 0.95,
            Role::Chiller | Role::HeatPump => 0.92,
            _ => 1.0,
        }
    }

    pub(crate) fn report(&self, moment: &Moment<'_>, report: &mut Report) {
        match &self.equipment {
            Equipment::Pv(pv) => pv.report(report),
            Equipment::Wind(turbine) => turbine.report(report),
            Equipment::Storage(storage) => storage.report(report),
            Equipment::Charger(charger) => charger.report(moment.now, report),
            Equipment::Load(load) => load.report(report),
            Equipment::Chiller(chiller) => chiller.report(report),
            Equipment::HeatPump { pump, .. } => pump.report(report),
            Equipment::Tank(tank) => tank.report(report),
            Equipment::Boiler(boiler) => boiler.report(report),
            Equipment::WeatherStation => {
                super::equipment::weather_station::report(moment, &self.site, report)
            }
            Equipment::Sensor(sensor) => sensor.report(report),
            Equipment::StackMonitor { .. } | Equipment::Meter(_) => {}
        }
    }

    /// The answer already given to a command.
    pub(crate) fn answer_to(&self, command: &str) -> Option<&CommandAck> {
        self.answered.iter().find(|ack| ack.command_id.as_str() == command)
    }

    pub(crate) fn remember(&mut self, ack: CommandAck) {
        if self.answered.len() == REMEMBERED_ANSWERS {
            self.answered.pop_front();
        }
        self.answered.push_back(ack);
    }

    pub(crate) fn memory(&self) -> DeviceMemory {
        let mut memory = DeviceMemory {
            meter: self.meter,
            set_point: self.set_point,
            answered: self.answered.clone(),
            ..DeviceMemory::default()
        };
        match &self.equipment {
            Equipment::Storage(storage) => memory.storage = Some(storage.state),
            Equipment::Charger(charger) => memory.car = charger.car,
            Equipment::HeatPump { pump, .. } => memory.heat_pump = Some(pump.state),
            Equipment::Tank(tank) => memory.tank = Some(tank.state),
            Equipment::Sensor(sensor) => memory.sensor = Some(sensor.state),
            _ => {}
        }
        memory
    }

    /// Continues from what was remembered; what does not fit the device any more is left out.
    pub(crate) fn restore(&mut self, memory: DeviceMemory) {
        self.meter = memory.meter;
        self.set_point = memory.set_point;
        self.answered = memory.answered;
        match &mut self.equipment {
            Equipment::Storage(storage) => storage.restore(memory.storage),
            Equipment::Charger(charger) => charger.car = memory.car,
            Equipment::HeatPump { pump, .. } => pump.state = memory.heat_pump.unwrap_or(pump.state),
            Equipment::Tank(tank) => tank.state = memory.tank.unwrap_or(tank.state),
            Equipment::Sensor(sensor) => sensor.state = memory.sensor.unwrap_or(sensor.state),
            _ => {}
        }
    }

    #[cfg(test)]
    pub(crate) fn set_soc(&mut self, soc: f64) {
        if let Equipment::Storage(storage) = &mut self.equipment {
            storage.state.soc = soc;
        }
    }
}
