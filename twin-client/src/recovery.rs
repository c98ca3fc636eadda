//! When the graphics device is lost (driver update, sleep, another program's crash) the client ends with a code of its own, so
//! that whoever supervises it starts it anew; it keeps nothing that the server does not have.
//!
//! Bevy 0.19 offers to take the device up again. Tried with `fixture_shot --lose-device`: its own pipelines (sparse
//! buffer updates) and bevy_egui's buffers still belong to the old device afterwards, and the first frame fails.

use crate::picture::{EXIT_GRAPHICS, failure};
use bevy::{
    prelude::*,
    render::error_handler::{RenderError, RenderErrorHandler, RenderErrorPolicy},
};

pub struct RecoveryPlugin;

impl Plugin for RecoveryPlugin {
    fn build(&self, app: &mut App) {
        app.insert_resource(RenderErrorHandler(handle));
    }
}

fn handle(error: &RenderError, main_world: &mut World, _: &mut World) -> RenderErrorPolicy {
    error!(
        "the graphics device failed ({:?} {}); ending with code {EXIT_GRAPHICS}, start the client again",
        error.ty, error.description
    );
    main_world.write_message(failure(EXIT_GRAPHICS));
    RenderErrorPolicy::StopRendering
}
