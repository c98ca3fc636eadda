//! Shared meshes and materials: one of each kind, so that drawing is instanced and a state change is a handle swap.

use super::{
    devices::{CAR_TONES, Shape, shapes},
    palette as tone,
    pv::module_texture,
};
use bevy::prelude::*;
use std::collections::HashMap;

/// Everything drawn refers to these.
#[derive(Resource)]
pub struct Looks {
    /// Matt surfaces; the colour is in the vertices.
    pub clay: Handle<StandardMaterial>,
    /// Slightly glossy vertex colours: cars.
    pub paint: Handle<StandardMaterial>,
    pub water: Handle<StandardMaterial>,
    /// Windows of dark and of lit rooms; [`super::sunlight`] changes the lit ones' glow.
    pub dark_glass: Handle<StandardMaterial>,
    pub lit_glass: Handle<StandardMaterial>,
    pub pv: Handle<StandardMaterial>,
    /// Transparent darkening with vertex alpha.
    pub contact_shade: Handle<StandardMaterial>,
    /// Lamp heads and the pools of light under them: night only.
    pub lamp: Handle<StandardMaterial>,
    pub light_pool: Handle<StandardMaterial>,
    pub plume: Handle<StandardMaterial>,
    pub storage_light: Handle<StandardMaterial>,
    pub idle_light: Handle<StandardMaterial>,
    pub charging_light: Handle<StandardMaterial>,
    pub offline_light: Handle<StandardMaterial>,
    pub selection: Handle<StandardMaterial>,
    pub hover: Handle<StandardMaterial>,

    pub charge_band: Handle<Mesh>,
    pub charger_light: Handle<Mesh>,
    pub puff: Handle<Mesh>,
    pub trees: Vec<Handle<Mesh>>,
    cars: Vec<Handle<Mesh>>,
    /// Unit cube, for highlights.
    pub cube: Handle<Mesh>,
    shapes: HashMap<ShapeKey, Handle<Mesh>>,
    rotors: HashMap<u32, Handle<Mesh>>,
}

/// Shapes with figures of their own are shared between devices of the same figures, to the centimetre.
#[derive(PartialEq, Eq, Hash)]
struct ShapeKey(u8, u32, u32);

fn centimetres(metres: f32) -> u32 {
    (metres * 100.0).round().max(0.0) as u32
}

impl Looks {
    pub fn new(
        meshes: &mut Assets<Mesh>,
        materials: &mut Assets<StandardMaterial>,
        images: &mut Assets<Image>,
    ) -> Self {
        let matt = StandardMaterial { perceptual_roughness: 0.95, reflectance: 0.12, ..default() };
        let glow = |tone: tone::Tone, strength: f32| StandardMaterial {
            base_color: tone.colour(),
            emissive: tone.shade(strength),
            ..matt.clone()
        };
        let see_through = StandardMaterial { alpha_mode: AlphaMode::Blend, unlit: true, ..default() };
        Self {
            clay: materials.add(matt.clone()),
            paint: materials.add(StandardMaterial {
                perceptual_roughness: 0.45,
                reflectance: 0.4,
                ..default()
            }),
            water: materials.add(StandardMaterial {
                base_color: tone::WATER.colour(),
                perceptual_roughness: 0.18,
                reflectance: 0.6,
                ..default()
            }),
            dark_glass: materials.add(StandardMaterial {
                base_color: tone::GLASS.colour(),
                perceptual_roughness: 0.22,
                reflectance: 0.6,
                ..default()
            }),
            lit_glass: materials.add(StandardMaterial {
                base_color: tone::GLASS.colour(),
                perceptual_roughness: 0.22,
                reflectance: 0.6,
                ..default()
            }),
            pv: materials.add(StandardMaterial {
                base_color_texture: Some(images.add(module_texture())),
                perceptual_roughness: 0.3,
                reflectance: 0.5,
                ..default()
            }),
            contact_shade: materials.add(StandardMaterial { depth_bias: 4.0, ..see_through.clone() }),
            lamp: materials.add(StandardMaterial { base_color: tone::CAR_WHITE.colour(), ..matt.clone() }),
            light_pool: materials.add(StandardMaterial {
                alpha_mode: AlphaMode::Add,
                base_color: Color::BLACK,
                depth_bias: 8.0,
                ..see_through.clone()
            }),
            plume: materials.add(StandardMaterial {
                base_color: Color::srgba(0.93, 0.93, 0.94, 0.22),
                alpha_mode: AlphaMode::Blend,
                perceptual_roughness: 1.0,
                reflectance: 0.0,
                ..default()
            }),
            storage_light: materials.add(glow(tone::STORAGE, 0.6)),
            idle_light: materials.add(glow(tone::STEEL, 0.1)),
            charging_light: materials.add(glow(tone::CHARGING, 1.0)),
            offline_light: materials.add(glow(tone::OFFLINE, 0.0)),
            selection: materials.add(StandardMaterial {
                base_color: tone::SELECTION.colour().with_alpha(0.9),
                ..see_through.clone()
            }),
            hover: materials
                .add(StandardMaterial { base_color: Color::srgba(1.0, 1.0, 1.0, 0.75), ..see_through }),
            charge_band: meshes.add(shapes::charge_band()),
            charger_light: meshes.add(shapes::charger_light()),
            puff: meshes.add(shapes::puff()),
            trees: (0..4).map(|kind| meshes.add(shapes::tree(kind))).collect(),
            cars: CAR_TONES.map(|tone| meshes.add(shapes::car(tone))).to_vec(),
            cube: meshes.add(Cuboid::default()),
            shapes: HashMap::new(),
            rotors: HashMap::new(),
        }
    }

    /// The mesh of a shape, made at its first use.
    pub fn shape(&mut self, shape: Shape, meshes: &mut Assets<Mesh>) -> Handle<Mesh> {
        type Build = Box<dyn FnOnce() -> Mesh>;
        let (key, build): (ShapeKey, Build) = match shape {
            Shape::Container => (ShapeKey(0, 0, 0), Box::new(shapes::container)),
            Shape::Charger => (ShapeKey(1, 0, 0), Box::new(shapes::charger)),
            Shape::Turbine { hub_m, rotor_m } => (
                ShapeKey(2, centimetres(hub_m), centimetres(rotor_m)),
                Box::new(move || shapes::turbine_tower(hub_m, rotor_m)),
            ),
            Shape::Chiller => (ShapeKey(3, 0, 0), Box::new(shapes::chiller)),
            Shape::HeatPump => (ShapeKey(4, 0, 0), Box::new(shapes::heat_pump)),
            Shape::ThermalStore => (ShapeKey(5, 0, 0), Box::new(shapes::thermal_store)),
            Shape::Boiler => (ShapeKey(6, 0, 0), Box::new(shapes::boiler)),
            Shape::Stack { height_m } => {
                (ShapeKey(7, centimetres(height_m), 0), Box::new(move || shapes::stack(height_m)))
            }
            Shape::Substation => (ShapeKey(8, 0, 0), Box::new(shapes::substation)),
            Shape::RingMainUnit => (ShapeKey(9, 0, 0), Box::new(shapes::ring_main_unit)),
            Shape::Cabinet => (ShapeKey(10, 0, 0), Box::new(shapes::cabinet)),
            Shape::WeatherMast => (ShapeKey(11, 0, 0), Box::new(shapes::weather_mast)),
            Shape::SensorPost => (ShapeKey(12, 0, 0), Box::new(shapes::sensor_post)),
        };
        self.shapes.entry(key).or_insert_with(|| meshes.add(build())).clone()
    }

    pub fn rotor(&mut self, rotor_m: f32, meshes: &mut Assets<Mesh>) -> Handle<Mesh> {
        self.rotors
            .entry(centimetres(rotor_m))
            .or_insert_with(|| meshes.add(shapes::turbine_rotor(rotor_m)))
            .clone()
    }

    /// A car in a paint that stays the same for a charger.
    pub fn car(&self, charger: &str) -> Handle<Mesh> {
        let pick = (super::buildings::scatter(charger, 5) * self.cars.len() as f32) as usize;
        self.cars[pick.min(self.cars.len() - 1)].clone()
    }
}
