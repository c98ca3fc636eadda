//! Mouse, touch and keys into movements of the eye. Nothing is taken that the panels want.
//!
//! Left drag orbits (turns the head when flying), right or middle drag and Shift + left drag pan, the wheel zooms to the
//! pointer; one finger orbits, two pan and pinch. W A S D or arrows move, Q E turn, R F tilt, + − zoom, V flies, Home shows
//! all, Z the selected thing.

use super::{Eye, FreeRect, ParkCamera};
use crate::model::{ParkModel, Selection};
use bevy::{
    input::{
        mouse::{AccumulatedMouseMotion, MouseScrollUnit, MouseWheel},
        touch::Touches,
    },
    prelude::*,
    window::PrimaryWindow,
};
use bevy_egui::input::EguiWantsInput;

/// A drag belongs to whoever it began with.
#[derive(Resource, Default)]
pub(super) struct Gestures {
    dragging: Option<MouseButton>,
}

const ORBIT_PER_SHARE: f32 = 4.2;
/// Metres a second per metre of distance.
const KEY_SPEED: f32 = 0.75;

#[expect(clippy::too_many_arguments, reason = "every input device is read here, in one place")]
pub(super) fn read(
    time: Res<Time>,
    free: Res<FreeRect>,
    wants: Res<EguiWantsInput>,
    window: Option<Single<&Window, With<PrimaryWindow>>>,
    camera: Single<(&Camera, &GlobalTransform), With<ParkCamera>>,
    buttons: Res<ButtonInput<MouseButton>>,
    keys: Res<ButtonInput<KeyCode>>,
    motion: Res<AccumulatedMouseMotion>,
    mut wheel: MessageReader<MouseWheel>,
    touches: Res<Touches>,
    (model, selection): (Res<ParkModel>, Res<Selection>),
    (mut gestures, mut eye): (ResMut<Gestures>, ResMut<Eye>),
) {
    let Some(window) = window else { return };
    let height = free.0.height().max(1.0);
    let pointer = window.cursor_position().filter(|p| free.0.contains(*p));
    let mut moved = false;

    for button in [MouseButton::Left, MouseButton::Right, MouseButton::Middle] {
        if buttons.just_pressed(button) && pointer.is_some() && !wants.wants_any_pointer_input() {
            gestures.dragging = Some(button);
        }
    }
    if gestures.dragging.is_some_and(|button| !buttons.pressed(button)) {
        gestures.dragging = None;
    }
    let share = motion.delta / height;
    if let Some(button) = gestures.dragging
        && motion.delta != Vec2::ZERO
    {
        let shift = keys.any_pressed([KeyCode::ShiftLeft, KeyCode::ShiftRight]);
        if button == MouseButton::Left && !shift {
            if eye.flying {
                eye.goal.look(share.x * 1.6, share.y * 1.6);
            } else {
                eye.goal.orbit(share.x * ORBIT_PER_SHARE, share.y * ORBIT_PER_SHARE);
            }
        } else {
            eye.goal.pan(share);
        }
        moved = true;
    }

    for turn in wheel.read() {
        if pointer.is_none() || wants.wants_any_pointer_input() {
            continue;
        }
        let notches = match turn.unit {
            MouseScrollUnit::Line => turn.y,
            MouseScrollUnit::Pixel => turn.y / 60.0,
        };
        let ground = pointer.and_then(|p| ground_below(*camera, p));
        eye.goal.zoom(0.86_f32.powf(notches.clamp(-6.0, 6.0)), ground);
        eye.goal.keep_above_ground();
        moved = true;
    }

    moved |= fingers(&touches, &free, height, &mut eye);
    if !wants.wants_any_keyboard_input() {
        let aspect = free.0.width() / height;
        moved |= read_keys(&keys, time.delta_secs(), &mut eye);
        if keys.just_pressed(KeyCode::Home) {
            eye.frame_all(&model, aspect);
        }
        if keys.just_pressed(KeyCode::KeyZ) {
            eye.focus_selected(&model, &selection, aspect);
        }
    }
    if moved {
        eye.untouched = false;
    }
}

/// Where the ray through a screen position meets the ground.
fn ground_below((camera, transform): (&Camera, &GlobalTransform), pointer: Vec2) -> Option<Vec3> {
    let ray = camera.viewport_to_world(transform, pointer).ok()?;
    let distance = ray.intersect_plane(Vec3::ZERO, InfinitePlane3d::new(Vec3::Y))?;
    (distance < 8_000.0).then(|| ray.get_point(distance))
}

fn fingers(touches: &Touches, free: &FreeRect, height: f32, eye: &mut Eye) -> bool {
    let down: Vec<_> = touches.iter().filter(|t| free.0.contains(t.start_position())).take(2).collect();
    match down[..] {
        [one] if one.delta() != Vec2::ZERO => {
            let share = one.delta() / height;
            eye.goal.orbit(share.x * ORBIT_PER_SHARE, share.y * ORBIT_PER_SHARE);
            true
        }
        [one, two] => {
            let middle = (one.delta() + two.delta()) / 2.0 / height;
            let before = one.previous_position().distance(two.previous_position());
            let after = one.position().distance(two.position());
            eye.goal.pan(middle);
            if before > 1.0 && after > 1.0 {
                eye.goal.zoom(before / after, None);
            }
            middle != Vec2::ZERO || (before - after).abs() > 0.0
        }
        _ => false,
    }
}

fn read_keys(keys: &ButtonInput<KeyCode>, seconds: f32, eye: &mut Eye) -> bool {
    let axis = |plus: [KeyCode; 2], minus: [KeyCode; 2]| {
        f32::from(u8::from(keys.any_pressed(plus))) - f32::from(u8::from(keys.any_pressed(minus)))
    };
    use KeyCode as K;
    let right = axis([K::KeyD, K::ArrowRight], [K::KeyA, K::ArrowLeft]);
    let forward = axis([K::KeyW, K::ArrowUp], [K::KeyS, K::ArrowDown]);
    let turn = axis([K::KeyE, K::KeyE], [K::KeyQ, K::KeyQ]);
    let tilt = axis([K::KeyR, K::PageUp], [K::KeyF, K::PageDown]);
    let zoom = axis([K::Minus, K::NumpadSubtract], [K::Equal, K::NumpadAdd]);
    let fast = if keys.any_pressed([K::ShiftLeft, K::ShiftRight]) { 3.0 } else { 1.0 };
    if keys.just_pressed(K::KeyV) {
        eye.flying = !eye.flying;
        if !eye.flying {
            eye.goal.settle();
        }
    }
    if [right, forward, turn, tilt, zoom].iter().all(|v| *v == 0.0) {
        return false;
    }
    let metres = eye.goal.distance.clamp(20.0, 900.0) * KEY_SPEED * seconds * fast;
    if eye.flying {
        eye.goal.look(turn * seconds, -tilt * seconds * 0.8);
        eye.goal.fly(right * metres, forward * metres);
    } else {
        eye.goal.shift(right * metres, forward * metres);
        eye.goal.orbit(turn * 1.2 * seconds, tilt * 0.8 * seconds);
    }
    eye.goal.zoom(1.0 + zoom * seconds * 1.2, None);
    eye.goal.keep_above_ground();
    true
}
