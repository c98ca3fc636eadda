//! Devices as things in the park: which shape a device has, how big it is, and what of it moves with live values.

pub mod motion;
pub mod shapes;

use super::{
    clay::ClayMaterial,
    geometry::{at, contains, heading},
    looks::Looks,
    palette as tone,
};
use bevy::prelude::*;
use shared::{
    scene::{Device, Rating, Scene},
    thing_model::Role,
};

/// Index of a device in the scene, on the entities that show it.
#[derive(Component, Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceIndex(pub u32);

/// The moving parts, looked up by [`motion`].
#[derive(Component)]
pub struct ChargeBand;
#[derive(Component)]
pub struct ChargerLight;
#[derive(Component)]
pub struct ParkedCar;
/// Radius of the rotor, its present speed and how far it has turned.
#[derive(Component)]
pub struct Rotor {
    pub radius_m: f32,
    pub speed_rad_s: f32,
    pub angle_rad: f32,
}
/// The top of a turbine, compass degrees: how its tower was put up, where it looks (`None` before the wind is known) and
/// where the wind comes from.
#[derive(Component)]
pub struct Nacelle {
    pub tower_deg: f32,
    pub now_deg: Option<f32>,
    pub wanted_deg: f32,
}
/// A puff of a stack's plume: its share of the way from stack to nothing, 0 to 1.
#[derive(Component)]
pub struct Puff {
    pub phase: f32,
    pub origin: Vec3,
    /// From the world's axes to the stack's own.
    pub turn: Quat,
}
/// What a device itself is made of while it is connected, and while it is not.
#[derive(Component)]
pub struct Body {
    pub online: Handle<ClayMaterial>,
    pub offline: Handle<ClayMaterial>,
}

/// The box a device fills, for picking and framing: centre, half size and turn.
#[derive(Debug, Clone, Copy)]
pub struct DeviceBox {
    pub centre: Vec3,
    pub half: Vec3,
    pub rotation: Quat,
}

/// What a device is drawn as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    Container,
    Charger,
    Turbine { hub_m: f32, rotor_m: f32 },
    Chiller,
    HeatPump,
    ThermalStore,
    Boiler,
    Stack { height_m: f32 },
    Substation,
    RingMainUnit,
    Cabinet,
    WeatherMast,
    SensorPost,
}

impl Shape {
    /// The shape of a device, or `None` where it stands indoors and nothing of it shows.
    pub fn of(scene: &Scene, device: &Device) -> Option<Shape> {
        let shape = match (&device.rating, scene.role_of(device)) {
            (Rating::Storage { .. }, _) => Shape::Container,
            (Rating::Charger { .. }, _) => Shape::Charger,
            (Rating::Wind { hub_height_m, rotor_diameter_m, .. }, _) => {
                Shape::Turbine { hub_m: *hub_height_m as f32, rotor_m: (*rotor_diameter_m / 2.0) as f32 }
            }
            (Rating::Chiller { .. }, _) => Shape::Chiller,
            (Rating::HeatPump { .. }, _) => Shape::HeatPump,
            (Rating::ThermalStore { .. }, _) => Shape::ThermalStore,
            (Rating::Boiler { .. }, _) => Shape::Boiler,
            (Rating::StackMonitor { stack_height_m, .. }, _) => {
                Shape::Stack { height_m: *stack_height_m as f32 }
            }
            (Rating::FeederMeter { .. }, _) => Shape::Substation,
            (Rating::GridMeter { .. }, _) => Shape::RingMainUnit,
            (Rating::WeatherStation {}, _) => Shape::WeatherMast,
            (Rating::Sensor { .. }, _) => Shape::SensorPost,
            (Rating::Pv { .. } | Rating::Load { .. }, _) => Shape::Cabinet,
        };
        (!indoors(scene, device, shape)).then_some(shape)
    }

    /// Width, height, depth of the shape, metres.
    pub fn size(self) -> Vec3 {
        match self {
            Shape::Container => shapes::CONTAINER + Vec3::new(0.4, 0.5, 0.2),
            Shape::Charger => Vec3::new(0.9, 1.9, 0.8),
            Shape::Turbine { hub_m, rotor_m } => Vec3::new(rotor_m * 0.7, hub_m + rotor_m, rotor_m * 0.5),
            Shape::Chiller => Vec3::new(6.2, 2.8, 2.5),
            Shape::HeatPump => Vec3::new(3.6, 2.2, 1.7),
            Shape::ThermalStore => Vec3::new(6.8, 10.4, 6.8),
            Shape::Boiler => Vec3::new(5.6, 3.2, 3.2),
            Shape::Stack { height_m } => Vec3::new(3.0, height_m, 3.0),
            Shape::Substation => Vec3::new(5.2, 2.8, 3.0),
            Shape::RingMainUnit => Vec3::new(3.0, 2.1, 1.4),
            Shape::Cabinet => Vec3::new(1.1, 1.8, 0.9),
            Shape::WeatherMast => Vec3::new(2.4, 10.0, 1.4),
            Shape::SensorPost => Vec3::new(0.6, 2.8, 0.6),
        }
    }
}

/// Whether a device stands inside a building. Tall things pierce the roof and show all the same.
fn indoors(scene: &Scene, device: &Device, shape: Shape) -> bool {
    if matches!(shape, Shape::Turbine { .. } | Shape::Stack { .. }) {
        return false;
    }
    let [east, north, up] = device.position;
    scene.site.buildings.iter().any(|b| up + 0.2 < b.height_m && contains(&b.footprint, [east, north]))
}

/// Where a device's box is: for drawn devices their shape, for indoor ones a small box at their place.
pub fn device_box(scene: &Scene, device: &Device) -> DeviceBox {
    let size = Shape::of(scene, device).map_or(Vec3::splat(1.0), Shape::size);
    let [east, north, up] = device.position;
    let rotation = heading(device.heading_deg);
    DeviceBox { centre: at(east, north, up) + Vec3::Y * size.y / 2.0, half: size / 2.0, rotation }
}

/// Spawns everything that shows a device, under `parent`.
pub fn spawn_device(
    commands: &mut Commands,
    parent: Entity,
    looks: &mut Looks,
    meshes: &mut Assets<Mesh>,
    scene: &Scene,
    index: u32,
) {
    let Some(device) = scene.devices.get(index as usize) else { return };
    let Some(shape) = Shape::of(scene, device) else { return };
    let [east, north, up] = device.position;
    let place = Transform::from_translation(at(east, north, up)).with_rotation(heading(device.heading_deg));
    let mesh = looks.shape(shape, meshes);
    let tag = DeviceIndex(index);
    let made_of = || Body { online: looks.clay.clone(), offline: looks.offline.clone() };
    let body = commands
        .spawn((tag, made_of(), Mesh3d(mesh), MeshMaterial3d(looks.clay.clone()), place, ChildOf(parent)))
        .id();
    match shape {
        Shape::Container => {
            let start = Vec3::X * (-shapes::CHARGE_BAND.x / 2.0);
            commands.spawn((
                tag,
                ChargeBand,
                Mesh3d(looks.charge_band.clone()),
                MeshMaterial3d(looks.storage_light.clone()),
                Transform::from_translation(start).with_scale(Vec3::new(0.01, 1.0, 1.0)),
                ChildOf(body),
            ));
        }
        Shape::Charger => {
            commands.spawn((
                tag,
                ChargerLight,
                Mesh3d(looks.charger_light.clone()),
                MeshMaterial3d(looks.idle_light.clone()),
                Transform::IDENTITY,
                ChildOf(body),
            ));
            let car = looks.car(device.id.as_str());
            commands.spawn((
                tag,
                ParkedCar,
                Mesh3d(car),
                MeshMaterial3d(looks.paint.clone()),
                // Nose to the charger, in the bay in front of it.
                Transform::from_xyz(0.0, 0.0, -3.3)
                    .with_rotation(Quat::from_rotation_y(std::f32::consts::PI)),
                Visibility::Hidden,
                ChildOf(body),
            ));
        }
        Shape::Turbine { hub_m, rotor_m } => {
            let made_of = [made_of(), made_of()];
            let [nacelle_body, rotor_body] = made_of;
            let tower_deg = device.heading_deg as f32;
            let nacelle = commands
                .spawn((
                    tag,
                    nacelle_body,
                    Nacelle { tower_deg, now_deg: None, wanted_deg: tower_deg },
                    Mesh3d(looks.nacelle(rotor_m, meshes)),
                    MeshMaterial3d(looks.clay.clone()),
                    Transform::from_xyz(0.0, hub_m, 0.0),
                    ChildOf(body),
                ))
                .id();
            commands.spawn((
                tag,
                rotor_body,
                Rotor { radius_m: rotor_m, speed_rad_s: 0.0, angle_rad: 0.0 },
                Mesh3d(looks.rotor(rotor_m, meshes)),
                MeshMaterial3d(looks.clay.clone()),
                Transform::from_xyz(0.0, 0.0, shapes::rotor_offset(rotor_m)),
                ChildOf(nacelle),
            ));
        }
        Shape::Stack { height_m } => {
            let count = 14;
            for i in 0..count {
                commands.spawn((
                    tag,
                    Puff {
                        phase: i as f32 / count as f32,
                        origin: Vec3::Y * height_m,
                        turn: heading(device.heading_deg).inverse(),
                    },
                    Mesh3d(looks.puff.clone()),
                    MeshMaterial3d(looks.plume.clone()),
                    Transform::IDENTITY,
                    Visibility::Hidden,
                    bevy::light::NotShadowCaster,
                    ChildOf(body),
                ));
            }
        }
        _ => {}
    }
}

/// Ring main units at the medium-voltage buses, which are not devices themselves.
pub fn spawn_ring_main_units(
    commands: &mut Commands,
    parent: Entity,
    looks: &mut Looks,
    meshes: &mut Assets<Mesh>,
    scene: &Scene,
) {
    let shown: Vec<[f64; 2]> = scene
        .devices
        .iter()
        .filter(|d| matches!(scene.role_of(d), Role::FeederMeter | Role::GridMeter))
        .map(|d| [d.position[0], d.position[1]])
        .collect();
    for bus in scene.network.buses.iter().filter(|b| b.voltage_kv > 1.0) {
        let [east, north] = bus.position;
        let taken = shown.iter().any(|[e, n]| (e - east).hypot(n - north) < 4.0);
        let inside = scene.site.buildings.iter().any(|b| contains(&b.footprint, bus.position));
        if taken || inside {
            continue;
        }
        commands.spawn((
            Mesh3d(looks.shape(Shape::RingMainUnit, meshes)),
            MeshMaterial3d(looks.clay.clone()),
            Transform::from_translation(at(east, north, 0.0)),
            ChildOf(parent),
        ));
    }
}

/// Paints of parked cars.
pub const CAR_TONES: [tone::Tone; 4] =
    [tone::CAR_WHITE, tone::CAR_SILVER, tone::CAR_GRAPHITE, tone::CAR_BLUE];
