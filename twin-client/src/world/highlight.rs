//! Shows what is selected and what the pointer is over: a frame of thin bars around its box.
//!
//! What stands indoors gets its frame from the overlay instead, which draws through walls.

use super::{buildings::bounds, geometry::at, looks::Looks, pins::is_indoors};
use crate::{
    model::{ParkModel, SceneIndex, Selection, selection::Thing},
    world::devices::{DeviceBox, device_box},
};
use bevy::{light::NotShadowCaster, prelude::*};
use shared::scene::Device;

/// Height of a field of modules above its mounting plane, metres.
const MODULES_HIGH_M: f64 = 1.2;

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
        Thing::Device(i) => {
            index.device(i).map(|d| modules_box(index, d).unwrap_or_else(|| device_box(&index.scene, d)))
        }
        Thing::Building(i) => {
            let building = index.building(i)?;
            let (min, max) = bounds(&building.footprint);
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

/// An inverter is where its modules are: the box around all its areas.
fn modules_box(index: &SceneIndex, device: &Device) -> Option<DeviceBox> {
    let mut around: Option<(Vec3, Vec3)> = None;
    for area in index.scene.site.pv_areas.iter().filter(|a| a.device == device.id) {
        let (west_south, east_north) = bounds(&area.outline);
        let low = at(west_south[0], east_north[1], area.base_m);
        let high = at(east_north[0], west_south[1], area.base_m + MODULES_HIGH_M);
        around = Some(around.map_or((low, high), |(min, max)| (min.min(low), max.max(high))));
    }
    let (min, max) = around?;
    Some(DeviceBox { centre: (min + max) / 2.0, half: (max - min) / 2.0, rotation: Quat::IDENTITY })
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
        let outdoors = thing.filter(|t| !is_indoors(scene, *t));
        let Some(around) = outdoors.and_then(|t| thing_box(scene, t)) else { continue };
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

/// The eight corners of a box: bit 0, 1, 2 of the index say which side in x, y, z.
pub fn corners(around: &DeviceBox) -> [Vec3; 8] {
    std::array::from_fn(|i| {
        let side = |bit: usize| if i & (1 << bit) == 0 { -1.0 } else { 1.0 };
        around.centre + around.rotation * (around.half * Vec3::new(side(0), side(1), side(2)))
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn an_inverter_is_framed_where_its_modules_are() {
        let index = SceneIndex::new(fixture::sample_park(), "v1".into());
        let pv = index.device_index(&"pv-f1".parse().unwrap()).unwrap();
        let around = thing_box(&index, Thing::Device(pv)).unwrap();
        assert!(around.half.x > 50.0 && around.half.z > 25.0, "{around:?}");
        assert!(around.centre.y > 12.0, "on the roof");
    }

    #[test]
    fn a_box_s_corners_are_its_extremes() {
        let around =
            DeviceBox { centre: Vec3::ONE, half: Vec3::new(1.0, 2.0, 3.0), rotation: Quat::IDENTITY };
        let all = corners(&around);
        assert_eq!(all[0], Vec3::new(0.0, -1.0, -2.0));
        assert_eq!(all[7], Vec3::new(2.0, 3.0, 4.0));
    }
}
