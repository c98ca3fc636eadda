//! What moves with live values: charge bands, charger lights and cars, rotors, plumes.
//!
//! Value-driven systems touch only devices that changed; rotors and plumes move every frame but there are few.

use super::{ChargeBand, ChargerLight, DeviceIndex, ParkedCar, Puff, Rotor, shapes};
use crate::{
    model::ParkModel,
    world::{clay::ClayMaterial, looks::Looks},
};
use bevy::prelude::*;

/// Blade tip speed over wind speed of a running turbine.
const TIP_SPEED_RATIO: f64 = 6.5;
/// Keeps small fast rotors from flickering.
const FASTEST_RAD_S: f32 = 2.6;
/// Stack flow at which the plume is full size.
const FULL_PLUME_M3_H: f64 = 8_000.0;

/// The moving parts of each device, so that a changed device finds them without a search.
#[derive(Resource, Default)]
pub struct Parts {
    by_device: Vec<Vec<Entity>>,
    version: u64,
}

type MovingParts = Or<(With<ChargeBand>, With<ChargerLight>, With<ParkedCar>, With<Rotor>)>;

/// Collects the parts of a newly built world.
pub fn index_parts(
    model: Res<ParkModel>,
    mut parts: ResMut<Parts>,
    moving: Query<(Entity, &DeviceIndex), MovingParts>,
    added: Query<(), Added<DeviceIndex>>,
) {
    if parts.version == model.scene_version && added.is_empty() {
        return;
    }
    parts.version = model.scene_version;
    let count = model.scene.as_ref().map_or(0, |s| s.scene.devices.len());
    parts.by_device = vec![Vec::new(); count];
    for (entity, index) in &moving {
        if let Some(list) = parts.by_device.get_mut(index.0 as usize) {
            list.push(entity);
        }
    }
}

type BandParts = (Without<ParkedCar>, Without<Rotor>, Without<ChargerLight>);

/// Applies changed values to the parts that show them.
pub fn follow_values(
    model: Res<ParkModel>,
    parts: Res<Parts>,
    looks: Option<Res<Looks>>,
    mut bands: Query<&mut Transform, (With<ChargeBand>, BandParts)>,
    mut cars: Query<&mut Visibility, With<ParkedCar>>,
    mut lights: Query<&mut MeshMaterial3d<ClayMaterial>, With<ChargerLight>>,
    mut rotors: Query<&mut Rotor>,
) {
    let Some(looks) = looks else { return };
    let everything = parts.is_changed();
    let all = 0..if everything { parts.by_device.len() as u32 } else { 0 };
    let changed = if everything { &[] } else { model.values.changed() };
    for device in all.chain(changed.iter().copied()) {
        for &part in parts.by_device.get(device as usize).map_or(&[][..], Vec::as_slice) {
            if let Ok(mut band) = bands.get_mut(part) {
                let share = model.value(device, "soc").map_or(0.0, |v| (v.value / 100.0).clamp(0.0, 1.0));
                band.scale.x = (share as f32 * shapes::CHARGE_BAND.x).max(0.01);
            } else if let Ok(mut car) = cars.get_mut(part) {
                let wanted = if plugged(&model, device) { Visibility::Inherited } else { Visibility::Hidden };
                car.set_if_neq(wanted);
            } else if let Ok(mut light) = lights.get_mut(part) {
                let material = if model.connected(device).online == Some(false) {
                    &looks.offline_light
                } else if power_kw(&model, device).abs() > 0.2 {
                    &looks.charging_light
                } else {
                    &looks.idle_light
                };
                if light.0 != *material {
                    light.0 = material.clone();
                }
            } else if let Ok(mut rotor) = rotors.get_mut(part) {
                rotor.speed_rad_s = rotor_speed(&model, device, rotor.radius_m);
            }
        }
    }
}

fn power_kw(model: &ParkModel, device: u32) -> f64 {
    model.value(device, "power").map_or(0.0, |v| v.value)
}

/// Whether a car is at a charger: what the charger says of its connector, its state's word, or that power flows.
fn plugged(model: &ParkModel, device: u32) -> bool {
    if let Some(says) = ["plugged", "connected", "vehicle"].iter().find_map(|key| model.value(device, key)) {
        return says.value > 0.5;
    }
    let word = model.scene.as_ref().and_then(|s| {
        let status = s.scene.model_of(s.device(device)?)?.measurement("status")?;
        let code = model.value(device, "status")?.value.round() as i32;
        status.states.iter().find(|w| w.code == code)
    });
    match word {
        Some(word) => !matches!(
            word.word.as_str(),
            "available" | "idle" | "free" | "off" | "offline" | "fault" | "faulted" | "unavailable"
        ),
        None => power_kw(model, device).abs() > 0.2,
    }
}

fn rotor_speed(model: &ParkModel, device: u32, radius_m: f32) -> f32 {
    let says = |key| model.value(device, key).map(|v| v.value);
    let speed = if let Some(rpm) = says("rotor_speed") {
        rpm * std::f64::consts::TAU / 60.0
    } else if power_kw(model, device) < -0.5 {
        TIP_SPEED_RATIO * says("wind_speed").unwrap_or(6.0) / f64::from(radius_m.max(1.0))
    } else {
        0.0
    };
    (speed as f32).clamp(0.0, FASTEST_RAD_S)
}

pub fn turn_rotors(time: Res<Time>, mut rotors: Query<(&mut Transform, &Rotor)>) {
    for (mut transform, rotor) in &mut rotors {
        if rotor.speed_rad_s > 0.0 {
            transform.rotate_local_z(-rotor.speed_rad_s * time.delta_secs());
        }
    }
}

/// Lets plumes rise and drift; a stack that emits nothing has none.
pub fn drift_plumes(
    time: Res<Time>,
    model: Res<ParkModel>,
    mut puffs: Query<(&mut Transform, &mut Visibility, &mut Puff, &DeviceIndex)>,
) {
    for (mut transform, mut visibility, mut puff, index) in &mut puffs {
        let flow = ["flow", "flow_rate", "flue_gas_flow", "stack_flow"]
            .iter()
            .find_map(|key| model.value(index.0, key))
            .map_or(0.0, |v| v.value.max(0.0));
        let strength = (flow / FULL_PLUME_M3_H).sqrt().min(1.3) as f32;
        visibility.set_if_neq(if strength > 0.05 { Visibility::Inherited } else { Visibility::Hidden });
        if strength <= 0.05 {
            continue;
        }
        puff.phase = (puff.phase + time.delta_secs() * 0.11).fract();
        let t = puff.phase;
        let rise = Vec3::new(9.0 * t * t + 3.0 * t, 15.0 * t - 4.0 * t * t, 2.5 * t);
        transform.translation = puff.origin + rise * (0.6 + 0.4 * strength);
        // Grows as it mixes with air, and is gone at the end of its way.
        let size = (0.7 + 3.0 * t) * strength * (1.0 - t).sqrt();
        transform.scale = Vec3::splat(size.max(0.01));
    }
}
