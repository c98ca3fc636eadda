//! Shows what is selected and what the pointer is over: a frame of thin bars around its box.

use super::{geometry::at, looks::Looks};
use crate::{
    model::{ParkModel, SceneIndex, Selection, selection::Thing},
    world::devices::{DeviceBox, device_box},
};
use bevy::{light::NotShadowCaster, prelude::*};

pub struct HighlightPlugin;

impl Plugin for HighlightPlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<Selection>().add_systems(Update, show);
    }
}

#[derive(Component)]
struct HighlightFrame;

/// The box around a thing of the scene.
pub fn thing_box(index: &SceneIndex, thing: Thing) -> Option<DeviceBox> {
    match thing {
        Thing::Device(i) => index.device(i).map(|d| device_box(&index.scene, d)),
        Thing::Building(i) => {
            let building = index.building(i)?;
            let (min, max) = super::buildings::bounds(&building.footprint);
            let centre = at((min[0] + max[0]) / 2.0, (min[1] + max[1]) / 2.0, building.height_m / 2.0 + 0.5);
            let half = Vec3::new(
                (max[0] - min[0]) as f32 / 2.0 + 0.6,
                building.height_m as f32 / 2.0 + 0.5,
                (max[1] - min[1]) as f32 / 2.0 + 0.6,
            );
            Some(DeviceBox { centre, half, rotation: Quat::IDENTITY })
        }
    }
}

/// Redraws the frames when the selection or the scene changed.
fn show(
    mut commands: Commands,
    selection: Res<Selection>,
    model: Res<ParkModel>,
    looks: Option<Res<Looks>>,
    mut shown: Local<(Selection, u64)>,
    frames: Query<Entity, With<HighlightFrame>>,
) {
    let (Some(scene), Some(looks)) = (&model.scene, looks) else { return };
    if shown.0 == *selection && shown.1 == model.scene_version {
        return;
    }
    *shown = (selection.clone(), model.scene_version);
    for old in &frames {
        commands.entity(old).despawn();
    }
    let hovered = selection.hovered.filter(|h| Some(*h) != selection.selected);
    for (thing, material) in [(selection.selected, &looks.selection), (hovered, &looks.hover)] {
        let Some(around) = thing.and_then(|t| thing_box(scene, t)) else { continue };
        for bar in bars(&around) {
            commands.spawn((
                HighlightFrame,
                Mesh3d(looks.cube.clone()),
                MeshMaterial3d(material.clone()),
                bar,
                NotShadowCaster,
            ));
        }
    }
}

/// The twelve edges of a box as thin bars.
fn bars(around: &DeviceBox) -> Vec<Transform> {
    let half = around.half + Vec3::splat(0.15);
    let thick = (half.max_element() * 0.02).clamp(0.05, 0.6);
    let mut bars = Vec::with_capacity(12);
    for axis in 0..3 {
        let (b, c) = ((axis + 1) % 3, (axis + 2) % 3);
        for (sb, sc) in [(-1.0, -1.0), (-1.0, 1.0), (1.0, -1.0), (1.0, 1.0)] {
            let mut offset = Vec3::ZERO;
            offset[b] = half[b] * sb;
            offset[c] = half[c] * sc;
            let mut scale = Vec3::splat(thick);
            scale[axis] = 2.0 * half[axis] + thick;
            bars.push(
                Transform::from_translation(around.centre + around.rotation * offset)
                    .with_rotation(around.rotation)
                    .with_scale(scale),
            );
        }
    }
    bars
}
