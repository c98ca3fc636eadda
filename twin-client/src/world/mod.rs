//! The park in 3D, built from the scene once and moved by live values.
//!
//! Static things are merged into few meshes; devices of a kind share one mesh and one material. When the scene changes, the
//! old world goes and a new one comes.

pub mod buildings;
pub mod clay;
pub mod devices;
pub mod flow_lines;
pub mod geometry;
pub mod ground;
pub mod highlight;
pub mod lamps;
pub mod looks;
pub mod palette;
pub mod pv;
pub mod sky;
pub mod sunlight;

use crate::model::{ParkModel, SceneIndex};
use bevy::{
    light::{DirectionalLightShadowMap, NotShadowCaster},
    prelude::*,
    render::storage::ShaderBuffer,
};
use devices::motion;
use flow_lines::FlowMaterial;
use geometry::at;
use looks::Looks;
use shared::scene::Rating;

/// The root of everything built from the scene.
#[derive(Component)]
pub struct WorldRoot;

/// A building's entity, by its index in the scene.
#[derive(Component, Debug, Clone, Copy)]
pub struct BuildingIndex(pub u32);

pub struct WorldPlugin;

impl Plugin for WorldPlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<motion::Parts>()
            .init_resource::<sunlight::SunClock>()
            .insert_resource(DirectionalLightShadowMap { size: 4096 })
            .add_plugins((
                clay::ClayPlugin,
                sky::SkyPlugin,
                flow_lines::FlowLinesPlugin,
                highlight::HighlightPlugin,
            ))
            .add_systems(Startup, (make_looks, sunlight::spawn_lights))
            .add_systems(
                Update,
                (
                    rebuild,
                    motion::index_parts,
                    motion::follow_values,
                    (motion::turn_rotors, motion::drift_plumes, sunlight::follow_sun),
                )
                    .chain(),
            );
    }
}

fn make_looks(
    mut commands: Commands,
    mut meshes: ResMut<Assets<Mesh>>,
    mut clays: ResMut<Assets<clay::ClayMaterial>>,
    mut materials: ResMut<Assets<StandardMaterial>>,
    mut images: ResMut<Assets<Image>>,
) {
    commands.insert_resource(Looks::new(&mut meshes, &mut clays, &mut materials, &mut images));
}

/// Builds the world anew when the scene is another.
#[expect(clippy::too_many_arguments, reason = "building needs every kind of asset")]
fn rebuild(
    mut commands: Commands,
    model: Res<ParkModel>,
    mut built: Local<u64>,
    roots: Query<Entity, With<WorldRoot>>,
    looks: Option<ResMut<Looks>>,
    mut meshes: ResMut<Assets<Mesh>>,
    mut flow_materials: ResMut<Assets<FlowMaterial>>,
    mut buffers: ResMut<Assets<ShaderBuffer>>,
) {
    let (Some(scene), Some(mut looks)) = (&model.scene, looks) else { return };
    if *built == model.scene_version {
        return;
    }
    *built = model.scene_version;
    for old in &roots {
        commands.entity(old).despawn();
    }
    let root = commands.spawn((WorldRoot, Transform::IDENTITY, Visibility::Inherited)).id();
    spawn_site(&mut commands, root, &looks, &mut meshes, scene);
    spawn_buildings(&mut commands, root, &looks, &mut meshes, scene);
    spawn_pv(&mut commands, root, &looks, &mut meshes, scene);
    for index in 0..scene.scene.devices.len() as u32 {
        devices::spawn_device(&mut commands, root, &mut looks, &mut meshes, &scene.scene, index);
    }
    devices::spawn_ring_main_units(&mut commands, root, &mut looks, &mut meshes, &scene.scene);
    flow_lines::spawn(&mut commands, root, scene, &mut meshes, &mut flow_materials, &mut buffers);
}

fn spawn_site(
    commands: &mut Commands,
    root: Entity,
    looks: &Looks,
    meshes: &mut Assets<Mesh>,
    index: &SceneIndex,
) {
    let scene = &index.scene;
    let mut matt = |mesh, material: &Handle<clay::ClayMaterial>, casts| {
        still(commands, meshes, root, mesh, material, casts);
    };
    matt(ground::ground_mesh(scene), &looks.clay, false);
    if let Some(mesh) = ground::water_mesh(scene) {
        matt(mesh, &looks.water, false);
    }
    let lamps = lamps::lamp_meshes(scene);
    if let Some(lamps) = lamps {
        matt(lamps.poles, &looks.clay, true);
        matt(lamps.heads, &looks.lamp, false);
        still(commands, meshes, root, lamps.pools, &looks.light_pool, false);
    }
    if let Some(mesh) = ground::contact_shade_mesh(scene) {
        still(commands, meshes, root, mesh, &looks.contact_shade, false);
    }
    for (i, tree) in scene.site.trees.iter().enumerate() {
        let pick = |salt| buildings::scatter("tree", i as u32 * 31 + salt);
        let [east, north] = tree.position;
        let height = tree.height_m as f32;
        let kind = ((pick(1) * looks.trees.len() as f32) as usize).min(looks.trees.len() - 1);
        commands.spawn((
            Mesh3d(looks.trees[kind].clone()),
            MeshMaterial3d(looks.clay.clone()),
            Transform::from_translation(at(east, north, 0.0))
                .with_rotation(Quat::from_rotation_y(pick(2) * std::f32::consts::TAU))
                .with_scale(Vec3::new(
                    height * (0.85 + 0.3 * pick(3)),
                    height,
                    height * (0.85 + 0.3 * pick(4)),
                )),
            ChildOf(root),
        ));
    }
}

/// Something that never moves.
fn still<M: Material>(
    commands: &mut Commands,
    meshes: &mut Assets<Mesh>,
    root: Entity,
    mesh: Mesh,
    material: &Handle<M>,
    casts_shadow: bool,
) {
    let mut entity =
        commands.spawn((Mesh3d(meshes.add(mesh)), MeshMaterial3d(material.clone()), ChildOf(root)));
    if !casts_shadow {
        entity.insert(NotShadowCaster);
    }
}

fn spawn_buildings(
    commands: &mut Commands,
    root: Entity,
    looks: &Looks,
    meshes: &mut Assets<Mesh>,
    index: &SceneIndex,
) {
    let scene = &index.scene;
    for (number, building) in scene.site.buildings.iter().enumerate() {
        let has_roof_pv = scene.site.pv_areas.iter().any(|area| {
            area.outline.first().is_some_and(|corner| geometry::contains(&building.footprint, *corner))
        });
        let has_roof_devices = scene.devices.iter().any(|d| {
            d.position[2] + 0.5 >= building.height_m
                && !matches!(d.rating, Rating::Pv { .. })
                && geometry::contains(&building.footprint, [d.position[0], d.position[1]])
        });
        let made = buildings::building_meshes(building, !has_roof_pv && !has_roof_devices);
        let tag = BuildingIndex(number as u32);
        let body = (Mesh3d(meshes.add(made.body)), MeshMaterial3d(looks.clay.clone()));
        commands.spawn((tag, body, ChildOf(root)));
        for (glass, material) in [(made.dark_glass, &looks.dark_glass), (made.lit_glass, &looks.lit_glass)] {
            if let Some(glass) = glass {
                let mesh = Mesh3d(meshes.add(glass));
                commands.spawn((tag, mesh, MeshMaterial3d(material.clone()), NotShadowCaster, ChildOf(root)));
            }
        }
    }
}

fn spawn_pv(
    commands: &mut Commands,
    root: Entity,
    looks: &Looks,
    meshes: &mut Assets<Mesh>,
    index: &SceneIndex,
) {
    for area in &index.scene.site.pv_areas {
        let Some(made) = pv::pv_meshes(area) else { continue };
        commands.spawn((Mesh3d(meshes.add(made.modules)), MeshMaterial3d(looks.pv.clone()), ChildOf(root)));
        commands.spawn((Mesh3d(meshes.add(made.frame)), MeshMaterial3d(looks.clay.clone()), ChildOf(root)));
    }
}
