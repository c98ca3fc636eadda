//! The eye: orbit, pan, zoom and fly with mouse, touch and keys, within the space the panels leave.

mod input;
pub mod orbit;

use crate::{
    model::{ParkModel, Selection, selection::Thing},
    world::{geometry::at, highlight::thing_box},
};
use bevy::{
    camera::{ClearColorConfig, RenderTarget, Viewport},
    core_pipeline::tonemapping::{DebandDither, Tonemapping},
    pbr::{DistanceFog, FogFalloff},
    prelude::*,
    render::view::Msaa,
};
use orbit::{FIELD_OF_VIEW, LOWEST_EYE_M, Orbit, Room};

/// The camera that draws the park.
#[derive(Component)]
pub struct ParkCamera;

/// Where the camera is and where it is going.
#[derive(Resource)]
pub struct Eye {
    pub now: Orbit,
    pub goal: Orbit,
    /// Dragging turns the head instead of going round the target.
    pub flying: bool,
    framed_scene: u64,
    framed_aspect: f32,
    /// Until a person moves it, the view keeps the whole park in the space there is.
    untouched: bool,
    /// Stays as it was set: no framing of new scenes.
    fixed: bool,
    /// Pictures jump instead of gliding.
    pub glides: bool,
}

impl Default for Eye {
    fn default() -> Self {
        Self {
            now: Orbit::default(),
            goal: Orbit::default(),
            flying: false,
            framed_scene: 0,
            framed_aspect: 0.0,
            untouched: true,
            fixed: false,
            glides: true,
        }
    }
}

/// The part of the screen the panels leave, logical pixels; written by the UI, read here and by picking.
#[derive(Resource, Debug, Clone, Copy, PartialEq, Default)]
pub struct FreeRect(pub Rect);

/// What the camera renders to: the primary window unless set.
#[derive(Resource, Clone, Default)]
pub struct PictureTarget(pub Option<Handle<Image>>);

impl PictureTarget {
    pub fn render_target(&self) -> RenderTarget {
        self.0.clone().map_or_else(RenderTarget::default, |image| RenderTarget::Image(image.into()))
    }
}

pub struct CameraPlugin;

impl Plugin for CameraPlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<Eye>()
            .init_resource::<FreeRect>()
            .init_resource::<PictureTarget>()
            .init_resource::<input::Gestures>()
            .add_systems(Startup, spawn)
            .add_systems(Update, (fit_viewport, frame_park, input::read, place).chain());
    }
}

fn spawn(mut commands: Commands, target: Res<PictureTarget>) {
    commands.spawn((
        ParkCamera,
        Camera3d::default(),
        Camera { order: 0, clear_color: ClearColorConfig::Custom(Color::srgb(0.78, 0.8, 0.82)), ..default() },
        target.render_target(),
        Projection::Perspective(PerspectiveProjection {
            fov: FIELD_OF_VIEW,
            near: 1.0,
            far: 12_000.0,
            ..default()
        }),
        Msaa::Sample4,
        // Lights are set for a display's range, so colours come out as the palette names them.
        Tonemapping::None,
        DebandDither::Enabled,
        DistanceFog {
            color: Color::srgb(0.85, 0.88, 0.9),
            falloff: FogFalloff::Linear { start: 1_400.0, end: 6_500.0 },
            ..default()
        },
        Transform::default(),
    ));
}

/// Shrinks the 3D viewport to the free part of the screen.
fn fit_viewport(free: Res<FreeRect>, mut camera: Single<&mut Camera, With<ParkCamera>>) {
    let Some(size) = camera.physical_target_size() else { return };
    let scale = camera.target_scaling_factor().unwrap_or(1.0);
    if free.0.is_empty() {
        return;
    }
    let position = (free.0.min * scale).max(Vec2::ZERO).as_uvec2().min(size);
    let end = (free.0.max * scale).max(Vec2::ZERO).as_uvec2().min(size);
    let physical_size = end.saturating_sub(position).max(UVec2::ONE);
    let same = camera
        .viewport
        .as_ref()
        .is_some_and(|v| v.physical_position == position && v.physical_size == physical_size);
    if !same && position.x < size.x && position.y < size.y {
        camera.viewport = Some(Viewport { physical_position: position, physical_size, ..default() });
    }
}

/// Shows the whole park when a scene arrives, and again when the space changes before anyone moved the view.
fn frame_park(model: Res<ParkModel>, free: Res<FreeRect>, mut eye: ResMut<Eye>) {
    if eye.fixed || model.scene.is_none() || free.0.is_empty() {
        return;
    }
    let aspect = free.0.width() / free.0.height().max(1.0);
    let new_scene = eye.framed_scene != model.scene_version;
    let resized = eye.untouched && (eye.framed_aspect - aspect).abs() > 0.01;
    if new_scene || resized {
        let first = eye.framed_scene == 0 || resized;
        eye.framed_scene = model.scene_version;
        eye.framed_aspect = aspect;
        eye.frame_all(&model, aspect);
        if first {
            eye.now = eye.goal;
        }
    }
}

impl Eye {
    /// An eye that stays where it is put.
    pub fn fixed_at(view: Orbit) -> Self {
        Self { now: view, goal: view, fixed: true, ..Self::default() }
    }

    /// Aims at a view that shows the whole park.
    pub fn frame_all(&mut self, model: &ParkModel, aspect: f32) {
        let Some(scene) = &model.scene else { return };
        let [width, depth] = scene.scene.park.extent_m.map(|m| m / 2.0);
        let mut points: Vec<Vec3> = Vec::new();
        // What stands matters more than the bare rim of the site.
        for building in &scene.scene.site.buildings {
            for [east, north] in &building.footprint {
                points.push(at(*east, *north, 0.0));
                points.push(at(*east, *north, building.height_m));
            }
        }
        for device in &scene.scene.devices {
            let [east, north, up] = device.position;
            points.push(at(east, north, up));
        }
        if points.len() < 3 {
            points = [(-width, -depth), (width, -depth), (width, depth), (-width, depth)]
                .map(|(east, north)| at(east, north, 0.0))
                .to_vec();
        }
        self.goal = Orbit::overview(aspect).framing(&points, aspect, Room::below_the_sky());
        self.flying = false;
        self.untouched = true;
    }

    /// Aims at one thing, from where the view is now.
    pub fn focus(&mut self, model: &ParkModel, thing: Thing) {
        let Some(around) = model.scene.as_ref().and_then(|s| thing_box(s, thing)) else { return };
        self.untouched = false;
        self.flying = false;
        self.goal.target = around.centre;
        self.goal.distance = (around.half.length() * 5.5).clamp(28.0, 420.0);
        self.goal.pitch = self.goal.pitch.clamp(0.35, 0.9);
    }

    /// Whether the view is still on its way.
    pub fn is_gliding(&self) -> bool {
        !self.now.is_near(&self.goal)
    }

    /// Aims at the selected thing, or at the whole park.
    pub fn focus_selected(&mut self, model: &ParkModel, selection: &Selection, aspect: f32) {
        match selection.selected {
            Some(thing) => self.focus(model, thing),
            None => self.frame_all(model, aspect),
        }
    }
}

/// Glides to the goal and puts the camera there; haze begins behind what is looked at.
fn place(
    time: Res<Time>,
    mut eye: ResMut<Eye>,
    camera: Single<(&mut Transform, &mut DistanceFog), With<ParkCamera>>,
) {
    let (mut transform, mut fog) = camera.into_inner();
    if eye.is_gliding() {
        let goal = eye.goal;
        let share = if eye.glides { 1.0 - (-time.delta_secs() * 9.0).exp() } else { 1.0 };
        eye.now.glide(&goal, share);
    }
    let from = eye.now.eye();
    let from = from.with_y(from.y.max(LOWEST_EYE_M));
    let wanted = Transform::from_translation(from).with_rotation(eye.now.rotation());
    if *transform != wanted {
        *transform = wanted;
        let start = eye.now.distance * 1.35 + 500.0;
        fog.falloff = FogFalloff::Linear { start, end: start + 3_500.0 };
    }
}
