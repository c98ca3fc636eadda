//! Shared meshes and materials: one of each kind, so that drawing is instanced and a state change is a handle swap.

use super::{
    clay::ClayMaterial,
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
    pub clay: Handle<ClayMaterial>,
    /// Land around the park.
    pub land: Handle<ClayMaterial>,
    /// Equipment that is not connected: dull and dark, without colour.
    pub offline: Handle<ClayMaterial>,
    /// Slightly glossy vertex colours: cars.
    pub paint: Handle<ClayMaterial>,
    pub water: Handle<ClayMaterial>,
    /// Windows of dark and of lit rooms; [`super::sunlight`] changes the lit ones' glow.
    pub dark_glass: Handle<ClayMaterial>,
    pub lit_glass: Handle<ClayMaterial>,
    pub pv: Handle<ClayMaterial>,
    pub offline_pv: Handle<ClayMaterial>,
    /// Transparent darkening with vertex alpha.
    pub contact_shade: Handle<StandardMaterial>,
    /// Lamp heads and the pools of light under them: night only.
    pub lamp: Handle<ClayMaterial>,
    pub light_pool: Handle<StandardMaterial>,
    pub plume: Handle<StandardMaterial>,
    pub storage_light: Handle<ClayMaterial>,
    pub idle_light: Handle<ClayMaterial>,
    pub charging_light: Handle<ClayMaterial>,
    pub offline_light: Handle<ClayMaterial>,
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
    nacelles: HashMap<u32, Handle<Mesh>>,
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
        clays: &mut Assets<ClayMaterial>,
        materials: &mut Assets<StandardMaterial>,
        images: &mut Assets<Image>,
    ) -> Self {
        let matt = |tone: tone::Tone| ClayMaterial::matt(tone.linear());
        let white = ClayMaterial::matt(LinearRgba::WHITE);
        let glow = |tone: tone::Tone, strength: f32| matt(tone).glowing(tone.shade(strength));
        let module = images.add(module_texture());
        let see_through = StandardMaterial { alpha_mode: AlphaMode::Blend, unlit: true, ..default() };
        Self {
            clay: clays.add(white.clone()),
            land: clays.add(white.clone().hazy_towards(1_000.0)),
            offline: clays.add(white.clone().without_colour(0.42)),
            paint: clays.add(white.clone().shining(0.25, 0.5, 60.0)),
            water: clays.add(matt(tone::WATER).shining(0.75, 0.9, 220.0)),
            dark_glass: clays.add(matt(tone::GLASS).shining(0.55, 0.5, 90.0)),
            lit_glass: clays.add(matt(tone::GLASS).shining(0.55, 0.5, 90.0)),
            pv: clays.add(white.clone().shining(0.4, 0.35, 70.0).textured(module.clone())),
            offline_pv: clays.add(matt(tone::OFFLINE).without_colour(0.7).textured(module)),
            contact_shade: materials.add(StandardMaterial { depth_bias: 4.0, ..see_through.clone() }),
            lamp: clays.add(matt(tone::CAR_WHITE)),
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
            storage_light: clays.add(glow(tone::STORAGE, 0.6)),
            idle_light: clays.add(glow(tone::STEEL, 0.1)),
            charging_light: clays.add(glow(tone::CHARGING, 1.0)),
            offline_light: clays.add(glow(tone::OFFLINE, 0.0)),
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
            nacelles: HashMap::new(),
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
                Box::new(move || shapes::turbine_tower(hub_m)),
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

    pub fn nacelle(&mut self, rotor_m: f32, meshes: &mut Assets<Mesh>) -> Handle<Mesh> {
        self.nacelles
            .entry(centimetres(rotor_m))
            .or_insert_with(|| meshes.add(shapes::turbine_nacelle(rotor_m)))
            .clone()
    }

    /// A car in a paint that stays the same for a charger.
    pub fn car(&self, charger: &str) -> Handle<Mesh> {
        let pick = (super::buildings::scatter(charger, 5) * self.cars.len() as f32) as usize;
        self.cars[pick.min(self.cars.len() - 1)].clone()
    }
}
