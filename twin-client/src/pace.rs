//! How often frames are drawn. A desk redraws on need: at once when someone does something, ten times a second for what moves
//! by itself. A wall draws all the time, large, without a pointer in the picture.

use crate::camera::Eye;
use bevy::{
    prelude::*,
    window::{CursorOptions, PrimaryWindow, RequestRedraw},
    winit::{UpdateMode, WinitSettings},
};
use std::time::Duration;

/// What moves by itself on a desk is drawn this often.
const DESK_EVERY: Duration = Duration::from_millis(100);
/// The same while another window has the focus.
const ASIDE_EVERY: Duration = Duration::from_millis(250);
/// How much larger everything is on a wall.
const WALL_SCALE: f32 = 1.25;
/// A pointer that rests this long leaves the wall.
const POINTER_RESTS: Duration = Duration::from_secs(4);

pub struct PacePlugin {
    pub wall: bool,
}

impl Plugin for PacePlugin {
    fn build(&self, app: &mut App) {
        if self.wall {
            app.insert_resource(WinitSettings::continuous()).add_systems(Update, (enlarge, hide_pointer));
        } else {
            app.insert_resource(WinitSettings {
                focused_mode: UpdateMode::reactive(DESK_EVERY),
                unfocused_mode: UpdateMode::reactive_low_power(ASIDE_EVERY),
            })
            .add_systems(Last, keep_drawing);
        }
    }
}

/// Asks for the next frame at once while the view glides or a key or button is held.
fn keep_drawing(
    eye: Res<Eye>,
    keys: Res<ButtonInput<KeyCode>>,
    buttons: Res<ButtonInput<MouseButton>>,
    mut redraw: MessageWriter<RequestRedraw>,
) {
    let held = keys.get_pressed().next().is_some() || buttons.get_pressed().next().is_some();
    if held || eye.is_gliding() {
        redraw.write(RequestRedraw);
    }
}

fn enlarge(window: Option<Single<&mut Window, With<PrimaryWindow>>>) {
    let Some(mut window) = window else { return };
    let wanted = Some(window.resolution.base_scale_factor() * WALL_SCALE);
    if window.resolution.scale_factor_override() != wanted {
        window.resolution.set_scale_factor_override(wanted);
    }
}

fn hide_pointer(
    time: Res<Time<Real>>,
    window: Option<Single<(&Window, &mut CursorOptions), With<PrimaryWindow>>>,
    mut moved: Local<(Option<Vec2>, Duration)>,
) {
    let Some(window) = window else { return };
    let (window, mut cursor) = window.into_inner();
    let at = window.cursor_position();
    if moved.0 != at {
        *moved = (at, time.elapsed());
    }
    let visible = time.elapsed() < moved.1 + POINTER_RESTS;
    if cursor.visible != visible {
        cursor.visible = visible;
    }
}
