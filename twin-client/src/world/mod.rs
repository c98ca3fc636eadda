//! The park in 3D, built from the scene once and moved by live values.
//!
//! Static things are merged into few meshes; devices of a kind share one mesh and one material. When the scene changes, a
//! new world is built beside the old one, a little every frame, and takes its place when it is whole.

pub mod buildings;
pub mod clay;
pub mod devices;
pub mod flow_lines;
pub mod geometry;
pub mod ground;
pub mod highlight;
pub mod lamps;
pub mod landmarks;
pub mod looks;
pub mod palette;
pub mod pins;
pub mod pv;
pub mod routes;
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
use std::{
    collections::VecDeque,
    ops::Range,
    time::{Duration, Instant},
};

/// The root of everything built from the scene; there once all of it is.
#[derive(Component)]
pub struct WorldRoot;

/// One map of this size serves an overview as well as three of twice the size did: see `sunlight::shadow_cascades`.
const SHADOW_MAP_SIZE: usize = 2048;
/// How long a frame may build at a world before it leaves the rest to the next.
const BUILD_PER_FRAME: Duration = Duration::from_millis(6);

/// A building's entity, by its index in the scene.
#[derive(Component, Debug, Clone, Copy)]
pub struct BuildingIndex(pub u32);

pub struct WorldPlugin;

impl Plugin for WorldPlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<motion::Parts>()
            .init_resource::<motion::Offline>()
            .init_resource::<motion::Wind>()
            .init_resource::<sunlight::SunClock>()
            .insert_resource(DirectionalLightShadowMap { size: SHADOW_MAP_SIZE })
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
                    build,
                    motion::index_parts,
                    (motion::follow_presence, motion::follow_wind),
                    motion::follow_values,
                    (motion::turn_rotors, motion::turn_nacelles, motion::drift_plumes),
                    (sunlight::follow_sun, sunlight::fit_shadows),
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

/// A piece of a world that is built in one go.
#[derive(Debug, Clone, PartialEq)]
enum Job {
    Site,
    Trees(Range<usize>),
    Building(usize),
    PvArea(usize),
    Devices(Range<usize>),
    RingMainUnits,
    Lines,
}

/// A world being built beside the one on show.
#[derive(Default)]
struct Construction {
    version: u64,
    root: Option<Entity>,
    jobs: VecDeque<Job>,
}

/// All there is to build, in pieces of a few milliseconds.
fn jobs(index: &SceneIndex) -> VecDeque<Job> {
    let site = &index.scene.site;
    let pieces = |count: usize, size: usize| {
        (0..count).step_by(size).map(move |from| from..(from + size).min(count)).collect::<Vec<_>>()
    };
    let mut jobs = VecDeque::from([Job::Site]);
    jobs.extend(pieces(site.trees.len(), 400).into_iter().map(Job::Trees));
    jobs.extend((0..site.buildings.len()).map(Job::Building));
    jobs.extend((0..site.pv_areas.len()).map(Job::PvArea));
    jobs.extend(pieces(index.scene.devices.len(), 100).into_iter().map(Job::Devices));
    jobs.extend([Job::RingMainUnits, Job::Lines]);
    jobs
}

/// Builds the world anew when the scene is another.
#[expect(clippy::too_many_arguments, reason = "building needs every kind of asset")]
fn build(
    mut commands: Commands,
    model: Res<ParkModel>,
    mut under_way: Local<Construction>,
    roots: Query<Entity, With<WorldRoot>>,
    looks: Option<ResMut<Looks>>,
    mut meshes: ResMut<Assets<Mesh>>,
    mut flow_materials: ResMut<Assets<FlowMaterial>>,
    mut buffers: ResMut<Assets<ShaderBuffer>>,
) {
    let (Some(index), Some(mut looks)) = (&model.scene, looks) else { return };
    if under_way.version != model.scene_version {
        if let Some(unfinished) = under_way.root.take() {
            commands.entity(unfinished).despawn();
        }
        let root = commands.spawn((Transform::IDENTITY, Visibility::Hidden)).id();
        *under_way = Construction { version: model.scene_version, root: Some(root), jobs: jobs(index) };
    }
    let Some(root) = under_way.root else { return };
    let started = Instant::now();
    while let Some(job) = under_way.jobs.pop_front() {
        let scene = &index.scene;
        match job {
            Job::Site => spawn_site(&mut commands, root, &looks, &mut meshes, index),
            Job::Trees(which) => spawn_trees(&mut commands, root, &looks, index, which),
            Job::Building(which) => spawn_building(&mut commands, root, &looks, &mut meshes, index, which),
            Job::PvArea(which) => spawn_pv_area(&mut commands, root, &looks, &mut meshes, index, which),
            Job::Devices(which) => {
                for device in which {
                    devices::spawn_device(&mut commands, root, &mut looks, &mut meshes, scene, device as u32);
                }
            }
            Job::RingMainUnits => {
                devices::spawn_ring_main_units(&mut commands, root, &mut looks, &mut meshes, scene);
            }
            Job::Lines => {
                flow_lines::spawn(&mut commands, root, index, &mut meshes, &mut flow_materials, &mut buffers);
            }
        }
        if started.elapsed() > BUILD_PER_FRAME {
            return;
        }
    }
    for old in &roots {
        commands.entity(old).despawn();
    }
    commands.entity(root).insert((WorldRoot, Visibility::Inherited));
    under_way.root = None;
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
    matt(ground::land_mesh(scene), &looks.land, false);
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
}

fn spawn_trees(
    commands: &mut Commands,
    root: Entity,
    looks: &Looks,
    index: &SceneIndex,
    which: Range<usize>,
) {
    let trees = index.scene.site.trees.iter().enumerate();
    for (i, tree) in trees.skip(which.start).take(which.len()) {
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

fn spawn_building(
    commands: &mut Commands,
    root: Entity,
    looks: &Looks,
    meshes: &mut Assets<Mesh>,
    index: &SceneIndex,
    which: usize,
) {
    let scene = &index.scene;
    let Some(building) = scene.site.buildings.get(which) else { return };
    let has_roof_pv = scene.site.pv_areas.iter().any(|area| {
        area.outline.first().is_some_and(|corner| geometry::contains(&building.footprint, *corner))
    });
    let has_roof_devices = scene.devices.iter().any(|d| {
        d.position[2] + 0.5 >= building.height_m
            && !matches!(d.rating, Rating::Pv { .. })
            && geometry::contains(&building.footprint, [d.position[0], d.position[1]])
    });
    let made = buildings::building_meshes(building, !has_roof_pv && !has_roof_devices);
    let tag = BuildingIndex(which as u32);
    let body = (Mesh3d(meshes.add(made.body)), MeshMaterial3d(looks.clay.clone()));
    commands.spawn((tag, body, ChildOf(root)));
    for (glass, material) in [(made.dark_glass, &looks.dark_glass), (made.lit_glass, &looks.lit_glass)] {
        if let Some(glass) = glass {
            let mesh = Mesh3d(meshes.add(glass));
            commands.spawn((tag, mesh, MeshMaterial3d(material.clone()), NotShadowCaster, ChildOf(root)));
        }
    }
}

fn spawn_pv_area(
    commands: &mut Commands,
    root: Entity,
    looks: &Looks,
    meshes: &mut Assets<Mesh>,
    index: &SceneIndex,
    which: usize,
) {
    let Some(area) = index.scene.site.pv_areas.get(which) else { return };
    let Some(made) = pv::pv_meshes(area) else { return };
    let mut field =
        commands.spawn((Mesh3d(meshes.add(made.modules)), MeshMaterial3d(looks.pv.clone()), ChildOf(root)));
    if let Some(device) = index.device_index(&area.device) {
        let body = devices::Body { online: looks.pv.clone(), offline: looks.offline_pv.clone() };
        field.insert((devices::DeviceIndex(device), body));
    }
    commands.spawn((Mesh3d(meshes.add(made.frame)), MeshMaterial3d(looks.clay.clone()), ChildOf(root)));
}
