//! What is under the pointer: a pin over the walls, else a ray against the boxes of devices, the planes of PV fields and
//! the prisms of buildings.
//!
//! Our own test over compact boxes instead of meshes: it runs only when the pointer or the eye moved.

use crate::{
    camera::{FreeRect, ParkCamera},
    model::{ParkModel, SceneIndex, Selection, selection::Thing},
    world::{
        devices::{DeviceBox, Shape, device_box},
        geometry::contains,
        pins::{Pin, pins},
    },
};
use bevy::{prelude::*, window::PrimaryWindow};
use bevy_egui::input::EguiWantsInput;

/// A press that moved farther than this was a drag, logical pixels.
const CLICK_SLOP: f32 = 5.0;

/// A pin is hit within this distance of its head, logical pixels.
const PIN_REACH: f32 = 11.0;
/// Modules stand about this far above their mounting plane, metres.
const MODULES_M: f64 = 0.7;

/// The boxes of the present scene.
#[derive(Resource, Default)]
struct Boxes {
    version: u64,
    devices: Vec<(u32, DeviceBox)>,
    /// The device and number of each PV area.
    fields: Vec<(u32, usize)>,
}

pub struct PickingPlugin;

impl Plugin for PickingPlugin {
    fn build(&self, app: &mut App) {
        app.init_resource::<Boxes>().add_systems(Update, (collect, point).chain());
    }
}

fn collect(model: Res<ParkModel>, mut boxes: ResMut<Boxes>) {
    if boxes.version == model.scene_version {
        return;
    }
    boxes.version = model.scene_version;
    boxes.devices.clear();
    boxes.fields.clear();
    let Some(scene) = &model.scene else { return };
    for (index, device) in scene.scene.devices.iter().enumerate() {
        // What stands indoors is reached through its building.
        if Shape::of(&scene.scene, device).is_some() {
            let mut around = device_box(&scene.scene, device);
            // Small things get a little more room, so that they can be hit.
            around.half = around.half.max(Vec3::splat(0.8));
            boxes.devices.push((index as u32, around));
        }
    }
    let areas = scene.scene.site.pv_areas.iter().enumerate();
    boxes.fields.extend(areas.filter_map(|(i, area)| Some((scene.device_index(&area.device)?, i))));
}

#[expect(clippy::too_many_arguments, reason = "pointer, eye and scene meet here")]
fn point(
    model: Res<ParkModel>,
    boxes: Res<Boxes>,
    free: Res<FreeRect>,
    wants: Res<EguiWantsInput>,
    window: Option<Single<&Window, With<PrimaryWindow>>>,
    camera: Single<(&Camera, Ref<GlobalTransform>), With<ParkCamera>>,
    buttons: Res<ButtonInput<MouseButton>>,
    mut selection: ResMut<Selection>,
    mut last: Local<Option<Vec2>>,
    mut pressed_at: Local<Option<Vec2>>,
) {
    let (Some(window), Some(scene)) = (window, &model.scene) else { return };
    let (camera, transform) = &*camera;
    let pointer =
        window.cursor_position().filter(|p| free.0.contains(*p) && !wants.wants_any_pointer_input());
    let moved = *last != pointer || transform.is_changed();
    *last = pointer;
    if moved && !buttons.any_pressed([MouseButton::Left, MouseButton::Right, MouseButton::Middle]) {
        let hovered = pointer.and_then(|p| under(p, scene, &boxes, &selection, camera, transform));
        if selection.hovered != hovered {
            selection.hovered = hovered;
        }
    }
    if buttons.just_pressed(MouseButton::Left) {
        *pressed_at = pointer;
    }
    if buttons.just_released(MouseButton::Left)
        && let (Some(start), Some(end)) = (pressed_at.take(), pointer)
        && start.distance(end) < CLICK_SLOP
    {
        let clicked = under(end, scene, &boxes, &selection, camera, transform);
        if selection.selected != clicked {
            selection.selected = clicked;
        }
    }
}

/// The thing under a place on the screen. Pins lie over everything.
fn under(
    pointer: Vec2,
    scene: &SceneIndex,
    boxes: &Boxes,
    selection: &Selection,
    camera: &Camera,
    transform: &GlobalTransform,
) -> Option<Thing> {
    let shown = pins(scene, selection, transform.translation());
    let heads = shown.iter().filter_map(|p| Some((p, camera.world_to_viewport(transform, p.at).ok()?)));
    if let Some(pin) = pin_at(pointer, heads) {
        return Some(Thing::Device(pin.device));
    }
    hit(scene, boxes, camera.viewport_to_world(transform, pointer).ok()?)
}

/// The pin whose head is nearest to a place on the screen, within reach.
fn pin_at<'a>(pointer: Vec2, heads: impl Iterator<Item = (&'a Pin, Vec2)>) -> Option<&'a Pin> {
    heads
        .map(|(pin, head)| (pin, head.distance(pointer)))
        .filter(|(_, away)| *away <= PIN_REACH)
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(pin, _)| pin)
}

/// The nearest thing a ray meets.
fn hit(scene: &SceneIndex, boxes: &Boxes, ray: Ray3d) -> Option<Thing> {
    let device = boxes.devices.iter().filter_map(|(i, b)| Some((ray_box(ray, b)?, Thing::Device(*i))));
    let fields = boxes.fields.iter().filter_map(|(device, area)| {
        let area = scene.scene.site.pv_areas.get(*area)?;
        let top = (area.base_m + MODULES_M) as f32;
        Some((ray_plate(ray, &area.outline, top)?, Thing::Device(*device)))
    });
    let buildings = scene.scene.site.buildings.iter().enumerate().filter_map(|(i, b)| {
        Some((ray_prism(ray, &b.footprint, b.height_m as f32)?, Thing::Building(i as u32)))
    });
    device.chain(fields).chain(buildings).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, thing)| thing)
}

/// Distance along a ray that comes from above to a flat outline at a height.
fn ray_plate(ray: Ray3d, outline: &[[f64; 2]], height: f32) -> Option<f32> {
    if ray.direction.y > -1e-6 {
        return None;
    }
    let t = (height - ray.origin.y) / ray.direction.y;
    let p = ray.get_point(t);
    (t > 0.0 && contains(outline, [f64::from(p.x), -f64::from(p.z)])).then_some(t)
}

/// Distance along a ray to a turned box.
fn ray_box(ray: Ray3d, around: &DeviceBox) -> Option<f32> {
    let back = around.rotation.inverse();
    let origin = back * (ray.origin - around.centre);
    let direction = back * *ray.direction;
    let inverse = direction.recip();
    let (a, b) = ((-around.half - origin) * inverse, (around.half - origin) * inverse);
    let enter = a.min(b).max_element();
    let leave = a.max(b).min_element();
    (enter <= leave && leave > 0.0).then_some(enter.max(0.0))
}

/// Distance along a ray to an upright prism over a footprint: its roof or a wall.
fn ray_prism(ray: Ray3d, footprint: &[[f64; 2]], height: f32) -> Option<f32> {
    let roof = ray_plate(ray, footprint, height);
    let n = footprint.len();
    let walls = (0..n).filter_map(|i| {
        let (a, b) = (footprint[i], footprint[(i + 1) % n]);
        let a = Vec2::new(a[0] as f32, -a[1] as f32);
        let b = Vec2::new(b[0] as f32, -b[1] as f32);
        let (o, d) = (Vec2::new(ray.origin.x, ray.origin.z), Vec2::new(ray.direction.x, ray.direction.z));
        let edge = b - a;
        let cross = d.perp_dot(edge);
        if cross.abs() < 1e-9 {
            return None;
        }
        let t = (a - o).perp_dot(edge) / cross;
        let along = (a - o).perp_dot(d) / cross;
        (t > 0.0 && (0.0..=1.0).contains(&along) && (0.0..=height).contains(&ray.get_point(t).y)).then_some(t)
    });
    roof.into_iter().chain(walls).min_by(f32::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQUARE: [[f64; 2]; 4] = [[0.0, 0.0], [20.0, 0.0], [20.0, 20.0], [0.0, 20.0]];

    fn ray(from: [f32; 3], towards: [f32; 3]) -> Ray3d {
        let (from, to) = (Vec3::from_array(from), Vec3::from_array(towards));
        Ray3d::new(from, Dir3::new(to - from).unwrap())
    }

    #[test]
    fn a_prism_is_met_on_its_roof_and_walls_and_missed_beside_it() {
        let from_above = ray([10.0, 100.0, -10.0], [10.0, 0.0, -10.0]);
        assert_eq!(ray_prism(from_above, &SQUARE, 30.0), Some(70.0));
        let from_south = ray([10.0, 5.0, 50.0], [10.0, 5.0, -10.0]);
        assert_eq!(ray_prism(from_south, &SQUARE, 30.0), Some(50.0));
        let over_it = ray([10.0, 31.0, 50.0], [10.0, 31.0, -10.0]);
        assert_eq!(ray_prism(over_it, &SQUARE, 30.0), None);
        let away = ray([10.0, 5.0, 50.0], [10.0, 5.0, 100.0]);
        assert_eq!(ray_prism(away, &SQUARE, 30.0), None);
    }

    #[test]
    fn a_click_on_a_roof_s_modules_means_the_inverter_and_beside_them_the_building() {
        let scene = SceneIndex::new(crate::fixture::sample_park(), "v1".into());
        let pv = scene.device_index(&"pv-f1".parse().unwrap()).unwrap();
        let area = scene.scene.site.pv_areas.iter().position(|a| a.device.as_str() == "pv-f1").unwrap();
        let boxes = Boxes { fields: vec![(pv, area)], ..Boxes::default() };
        let [east, north] = [-270.0, -95.0];
        assert_eq!(
            hit(&scene, &boxes, ray([east, 300.0, north], [east, 0.0, north])),
            Some(Thing::Device(pv))
        );
        let rim = ray([-329.0, 300.0, -61.0], [-329.0, 0.0, -61.0]);
        assert_eq!(hit(&scene, &boxes, rim), Some(Thing::Building(0)));
    }

    #[test]
    fn the_nearest_pin_within_reach_is_hit() {
        let pin = |device| Pin { device, at: Vec3::ZERO };
        let (a, b) = (pin(1), pin(2));
        let heads = [(&a, Vec2::new(10.0, 10.0)), (&b, Vec2::new(18.0, 10.0))];
        let at = |x: f32| pin_at(Vec2::new(x, 10.0), heads.into_iter()).map(|p| p.device);
        assert_eq!((at(11.0), at(17.0), at(60.0)), (Some(1), Some(2), None));
    }

    #[test]
    fn a_turned_box_is_met_where_it_is() {
        let around = DeviceBox {
            centre: Vec3::new(0.0, 1.0, 0.0),
            half: Vec3::new(5.0, 1.0, 1.0),
            rotation: Quat::from_rotation_y(std::f32::consts::FRAC_PI_2),
        };
        assert!(ray_box(ray([0.0, 10.0, 4.5], [0.0, 0.0, 4.5]), &around).is_some());
        assert!(ray_box(ray([4.5, 10.0, 0.0], [4.5, 0.0, 0.0]), &around).is_none());
    }
}
