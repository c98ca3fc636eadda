//! What moves with live values: charge bands, charger lights and cars, rotors and nacelles, plumes; and what goes dull when
//! a device is not connected.
//!
//! Value-driven systems touch only devices that changed; rotors and plumes move every frame but there are few.

use super::{Body, ChargeBand, ChargerLight, DeviceIndex, Nacelle, ParkedCar, Puff, Rotor, shapes};
use crate::{
    model::ParkModel,
    world::{clay::ClayMaterial, geometry::heading, looks::Looks},
};
use bevy::prelude::*;
use shared::thing_model::Role;
use std::time::Duration;

/// Blade tip speed over wind speed of a running turbine.
const TIP_SPEED_RATIO: f64 = 6.5;
/// Keeps small fast rotors from flickering.
const FASTEST_RAD_S: f32 = 2.6;
/// Stack flow at which the plume is full size.
const FULL_PLUME_M3_H: f64 = 8_000.0;

/// A nacelle follows the wind this fast: slower than the eye minds, faster than the half degree of a real one.
const YAW_DEG_S: f32 = 3.0;
/// How often presence and wind are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The moving parts of each device, so that a changed device finds them without a search.
#[derive(Resource, Default)]
pub struct Parts {
    by_device: Vec<Vec<Entity>>,
    version: u64,
}

/// Who is known not to be connected, and whose parts do not show it yet.
#[derive(Resource, Default)]
pub struct Offline {
    devices: Vec<bool>,
    changed: Vec<u32>,
    next: Duration,
}

impl Offline {
    fn has(&self, device: u32) -> bool {
        self.devices.get(device as usize).copied().unwrap_or(false)
    }

    /// Takes the present flags and notes who differs.
    fn compare(&mut self, now: impl Iterator<Item = bool>) {
        let mut count = 0;
        for (i, offline) in now.enumerate() {
            if self.devices.get(i).copied().unwrap_or(false) != offline {
                self.changed.push(i as u32);
            }
            match self.devices.get_mut(i) {
                Some(known) => *known = offline,
                None => self.devices.push(offline),
            }
            count = i + 1;
        }
        self.devices.truncate(count);
    }
}

/// The park's wind: where it comes from (compass degrees) and how fast.
#[derive(Resource, Default)]
pub struct Wind {
    pub from_deg: f32,
    pub speed_m_s: f32,
    next: Duration,
}

type MovingParts =
    Or<(With<ChargeBand>, With<ChargerLight>, With<ParkedCar>, With<Rotor>, With<Nacelle>, With<Body>)>;

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

/// Presence comes without values: looks for devices that left or came back.
pub fn follow_presence(time: Res<Time<Real>>, model: Res<ParkModel>, mut offline: ResMut<Offline>) {
    if time.elapsed() < offline.next {
        return;
    }
    offline.next = time.elapsed() + LOOK_EVERY;
    let count = model.scene.as_ref().map_or(0, |s| s.scene.devices.len() as u32);
    offline.compare((0..count).map(|device| model.connected(device).online == Some(false)));
}

/// Applies changed values and presence to the parts that show them.
#[expect(clippy::too_many_arguments, reason = "one query for each kind of part")]
pub fn follow_values(
    model: Res<ParkModel>,
    parts: Res<Parts>,
    looks: Option<Res<Looks>>,
    mut offline: ResMut<Offline>,
    mut bands: Query<&mut Transform, With<ChargeBand>>,
    mut cars: Query<&mut Visibility, With<ParkedCar>>,
    mut surfaces: Query<(
        &mut MeshMaterial3d<ClayMaterial>,
        Option<&Body>,
        Has<ChargerLight>,
        Has<ChargeBand>,
    )>,
    mut rotors: Query<&mut Rotor>,
    mut nacelles: Query<&mut Nacelle>,
) {
    let Some(looks) = looks else { return };
    let everything = parts.is_changed();
    let all = 0..if everything { parts.by_device.len() as u32 } else { 0 };
    let left = std::mem::take(&mut offline.changed);
    let changed = if everything { &[] } else { model.values.changed() };
    for device in all.chain(changed.iter().copied()).chain(left) {
        let gone = offline.has(device);
        for &part in parts.by_device.get(device as usize).map_or(&[][..], Vec::as_slice) {
            if let Ok((mut surface, body, is_light, is_band)) = surfaces.get_mut(part) {
                let material = match body {
                    Some(body) if gone => &body.offline,
                    Some(body) => &body.online,
                    None if gone && (is_light || is_band) => &looks.offline_light,
                    None if is_band => &looks.storage_light,
                    None if is_light && power_kw(&model, device).abs() > 0.2 => &looks.charging_light,
                    None if is_light => &looks.idle_light,
                    None => continue,
                };
                if surface.0 != *material {
                    surface.0 = material.clone();
                }
            }
            if let Ok(mut band) = bands.get_mut(part) {
                let share = model.value(device, "soc").map_or(0.0, |v| (v.value / 100.0).clamp(0.0, 1.0));
                band.scale.x = (share as f32 * shapes::CHARGE_BAND.x).max(0.01);
            } else if let Ok(mut car) = cars.get_mut(part) {
                let wanted = if plugged(&model, device) { Visibility::Inherited } else { Visibility::Hidden };
                car.set_if_neq(wanted);
            } else if let Ok(mut rotor) = rotors.get_mut(part) {
                rotor.speed_rad_s = if gone { 0.0 } else { rotor_speed(&model, device, rotor.radius_m) };
            } else if let Ok(mut nacelle) = nacelles.get_mut(part)
                && !gone
                && let Some(from) = model.value(device, "wind_direction")
            {
                nacelle.wanted_deg = from.value as f32;
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

/// Turns rotors; while the link is lost nothing is known of them and they stand.
pub fn turn_rotors(time: Res<Time>, model: Res<ParkModel>, mut rotors: Query<(&mut Transform, &mut Rotor)>) {
    for (mut transform, mut rotor) in &mut rotors {
        if rotor.speed_rad_s > 0.0 && model.link.is_live() {
            // From the angle each time: turning a rotation on and on would wear it down.
            rotor.angle_rad =
                (rotor.angle_rad - rotor.speed_rad_s * time.delta_secs()).rem_euclid(std::f32::consts::TAU);
            transform.rotation = Quat::from_rotation_z(rotor.angle_rad);
        }
    }
}

/// Turns nacelles into the wind: at once where they were never seen before, then slowly.
pub fn turn_nacelles(time: Res<Time>, mut nacelles: Query<(&mut Transform, &mut Nacelle)>) {
    for (mut transform, mut nacelle) in &mut nacelles {
        let wanted = nacelle.wanted_deg;
        let next = match nacelle.now_deg {
            Some(now) => yaw_towards(now, wanted, YAW_DEG_S * time.delta_secs()),
            None => wanted,
        };
        if nacelle.now_deg != Some(next) {
            nacelle.now_deg = Some(next);
            transform.rotation = heading(f64::from(next - nacelle.tower_deg));
        }
    }
}

/// The compass angle after turning towards another by the short way, by a step at most.
fn yaw_towards(now_deg: f32, wanted_deg: f32, step_deg: f32) -> f32 {
    let turn = (wanted_deg - now_deg + 180.0).rem_euclid(360.0) - 180.0;
    if turn.abs() <= step_deg {
        wanted_deg.rem_euclid(360.0)
    } else {
        (now_deg + turn.signum() * step_deg).rem_euclid(360.0)
    }
}

/// Reads the wind from the first device that measures it; a weather station's comes before a turbine's.
pub fn follow_wind(time: Res<Time<Real>>, model: Res<ParkModel>, mut wind: ResMut<Wind>) {
    if time.elapsed() < wind.next {
        return;
    }
    wind.next = time.elapsed() + LOOK_EVERY;
    let Some(scene) = &model.scene else { return };
    let at_role = |role| {
        let devices = scene.scene.devices.iter().enumerate();
        devices.filter(move |(_, d)| scene.scene.role_of(d) == role).map(|(i, _)| i as u32)
    };
    let says = at_role(Role::WeatherStation).chain(at_role(Role::Wind)).find_map(|device| {
        Some((model.value(device, "wind_direction")?.value, model.value(device, "wind_speed")?.value))
    });
    if let Some((from, speed)) = says {
        wind.from_deg = from as f32;
        wind.speed_m_s = speed.max(0.0) as f32;
    }
}

/// Where a puff is after a share of its way, from the stack's mouth: it rises, slows, and goes with the wind.
fn puff_way(t: f32, strength: f32, from_deg: f32, speed_m_s: f32) -> Vec3 {
    let away = heading(f64::from(from_deg)) * Vec3::Z;
    let speed = speed_m_s.clamp(0.6, 14.0);
    let rise = (15.0 * t - 4.0 * t * t) / (1.0 + 0.07 * speed);
    (away * speed * (1.0 * t + 2.6 * t * t) + Vec3::Y * rise) * (0.6 + 0.4 * strength)
}

/// Lets plumes rise and drift; a stack that emits nothing, or of which nothing is known, has none.
pub fn drift_plumes(
    time: Res<Time>,
    model: Res<ParkModel>,
    wind: Res<Wind>,
    offline: Res<Offline>,
    mut puffs: Query<(&mut Transform, &mut Visibility, &mut Puff, &DeviceIndex)>,
) {
    for (mut transform, mut visibility, mut puff, index) in &mut puffs {
        let flow = ["flow", "flow_rate", "flue_gas_flow", "stack_flow"]
            .iter()
            .find_map(|key| model.value(index.0, key))
            .map_or(0.0, |v| v.value.max(0.0));
        let strength = (flow / FULL_PLUME_M3_H).sqrt().min(1.3) as f32;
        let shown = strength > 0.05 && !offline.has(index.0);
        visibility.set_if_neq(if shown { Visibility::Inherited } else { Visibility::Hidden });
        if !shown {
            continue;
        }
        if model.link.is_live() {
            puff.phase = (puff.phase + time.delta_secs() * 0.11).fract();
        }
        let t = puff.phase;
        let way = puff_way(t, strength, wind.from_deg, wind.speed_m_s);
        transform.translation = puff.origin + puff.turn * way;
        // Grows as it mixes with air, and is gone at the end of its way.
        let size = (0.7 + 3.0 * t) * strength * (1.0 - t).sqrt();
        transform.scale = Vec3::splat(size.max(0.01));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nacelle_turns_the_short_way_and_stops_in_the_wind() {
        for (now, wanted, step, next) in [
            (350.0, 10.0, 3.0, 353.0),
            (10.0, 350.0, 3.0, 7.0),
            (1.0, 359.5, 3.0, 359.5),
            (90.0, 91.0, 3.0, 91.0),
            (0.0, 120.0, 3.0, 3.0),
        ] {
            assert_eq!(yaw_towards(now, wanted, step), next, "{now} to {wanted}");
        }
        let mut now = 200.0;
        for _ in 0..200 {
            now = yaw_towards(now, 20.5, 1.0);
        }
        assert_eq!(now, 20.5);
    }

    #[test]
    fn plumes_go_where_the_wind_goes_and_up() {
        let from_west = puff_way(0.8, 1.0, 270.0, 6.0);
        assert!(from_west.x > 5.0 && from_west.z.abs() < 0.1 && from_west.y > 3.0, "{from_west}");
        let from_north = puff_way(0.8, 1.0, 0.0, 6.0);
        assert!(from_north.z > 5.0, "south is +Z: {from_north}");
        assert!(puff_way(0.8, 1.0, 0.0, 12.0).length() > from_north.length(), "more wind, farther");
    }

    #[test]
    fn presence_that_changes_is_noticed_once() {
        let mut offline = Offline::default();
        offline.compare([false, true, false].into_iter());
        assert_eq!(offline.changed, [1]);
        offline.changed.clear();
        offline.compare([false, true, false].into_iter());
        assert!(offline.changed.is_empty());
        offline.compare([false, false, true].into_iter());
        assert_eq!(offline.changed, [1, 2]);
        offline.compare([false].into_iter());
        assert!(!offline.has(2), "a smaller scene forgets the rest");
    }
}
